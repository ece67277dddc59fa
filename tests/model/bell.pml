/* tests/model/bell.pml: arming a bell against puts, a thief and a kill.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: lmp_wait_any (sync/wait_any.c), lmp_bell_empty, lmp_bell_arm, lmp_bell_ring_one (arena/bell.c),
 * lmp_flag_wake_slow (arena/wait.c), the ring of all bells in lmp_reap_ctx. An owner waits for a thing of
 * which two others put one each and a thief takes one; a stranger rings by mistake, as for another bell of
 * the same bit; one of the putters may be killed at any step. The owner's plain stores wait in a store
 * buffer, as they do on x86, until a fence or a locked instruction. No ticks.
 *
 * Property: when nothing moves any more the owner does not sleep while there is something to take.
 *
 * Mutants, each in a file of its name: NO_FENCE: no fence between emptying the bell and looking at the
 * flags; then a bit that is still set is trusted although its taker has rung already. LOOK_FIRST: the
 * owner looks before it arms. RING_FIRST: the bit is taken out after the ring. NO_RING_ALL: the reaper
 * rings nobody. UNRUNG_ONLY: it rings only a bell that is not rung. */
/* args: -DSAFETY -E */

byte n;         /* things that are there */
bool armed;     /* the bell's bit in the flag */
bool rung;      /* be_word */
bool buffered;  /* the owner's store of "not rung" is on its way */
bool asleep;
bool dead[2], reaped[2];
byte kills;

#define FLUSH if :: buffered -> rung = false; buffered = false :: else fi

/* The buffer drains when it likes. */
proctype memory() {
end:
  do
  :: d_step { buffered -> rung = false; buffered = false }
  od
}

proctype owner() {
  do
  :: buffered = true; /* lmp_bell_empty */
#ifndef NO_FENCE
    d_step { FLUSH };
#endif
#ifdef LOOK_FIRST
    if
    :: atomic { n > 0 -> n--; break }
    :: else
    fi;
#endif
    if /* lmp_bell_arm */
    :: armed
    :: else -> d_step { FLUSH; armed = true }
    fi;
    d_step { FLUSH }; /* the fence */
#ifndef LOOK_FIRST
    if
    :: atomic { n > 0 -> n--; break }
    :: else
    fi;
#endif
    atomic { /* the futex looks again */
      if
      :: !rung -> asleep = true
      :: else
      fi
    };
    !asleep
  od
}

/* lmp_bell_ring_one; `always` as a reaper. */
inline ring(old, always) {
  d_step { old = rung; rung = true };
  if
  :: !old || always -> asleep = false
  :: else
  fi
}

proctype putter(byte me) {
  bool seen, old;
  {
    n++;
    if
    :: armed ->
#ifdef RING_FIRST
      ring(old, false);
      armed = false
#else
      d_step { seen = armed; armed = false };
      if
      :: seen -> ring(old, false)
      :: else
      fi
#endif
    :: else
    fi
  } unless { dead[me] }
}

proctype stranger() {
  bool old;
  ring(old, false)
}

proctype thief() {
  if
  :: atomic { n > 0 -> n-- }
  :: skip
  fi
}

proctype killer() {
end:
  do
  :: atomic { kills > 0 && !dead[0] -> dead[0] = true; kills-- }
  :: atomic { kills > 0 && !dead[1] -> dead[1] = true; kills-- }
  od
}

inline reap(d) {
  atomic { dead[d] && !reaped[d] -> reaped[d] = true };
#ifndef NO_RING_ALL
#ifdef UNRUNG_ONLY
  ring(old, false)
#else
  ring(old, true)
#endif
#endif
}

proctype reaper() {
  bool old;
end:
  do
  :: reap(0)
  :: reap(1)
  od
}

proctype monitor() {
  timeout -> assert(!(asleep && n > 0))
}

init {
  select (kills : 0 .. 1);
  atomic {
    run memory();
    run owner();
    run putter(0);
    run putter(1);
    run stranger();
    run thief();
    run killer();
    run reaper();
    run monitor()
  }
}
