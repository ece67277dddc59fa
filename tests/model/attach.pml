/* tests/model/attach.pml: who gets a process slot: a child that comes late, or who gives it up.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: lmp_proc_claim, lmp_proc_enter (arena/member.c), resolve_starting, lmp_reap_proc, lmp_obj_release_all
 * (arena/reap.c, object.c), lmp_process_fork with make_object (process/fork.c), child_bury (process/children.c).
 * One slot. Process 1 is killed at any step, perhaps before it has forked its child 1, which comes as late
 * as it likes; process 2 lives on, takes the slot as soon as it is free, and buries its child 2 when that
 * has ended. Both children are killed at any step. A reaper is not killed: reaper.pml is about that.
 * Time: a slot is given up at any moment after its creator died (the code waits, for politeness).
 *
 * Property: a child that entered is the one the slot was claimed for, has the holder bits that its
 * creator gave it, and holds the life byte (M1, M2); in the end no slot is STARTING or DEAD.
 *
 * Mutants, each in a file of its name: NO_GEN: a child takes the slot whatever its generation, so one
 * that is too late takes it from another. BURY_NO_GEN: a parent buries by the process object that stands
 * in the slot, which may have been claimed again a moment ago. ALIVE_FIRST: a child enters, then takes the
 * life byte. GIVE_LATE: the creator gives the bits after the fork. NO_BURY: nobody buries a child that
 * ended before it entered. REAP_STORE: the reaper gives up by a store. KEEP_BITS: it frees the slot first. */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */

mtype = { FREE, STARTING, ALIVE, DEAD };

mtype st = FREE;
byte gen;        /* with st one word, pr_state */
byte obj;        /* pr_obj, which the creator writes */
byte owner;      /* who holds the life byte */
bool given;       /* the slot's bit in ob_holders of something that the child was to have */
byte plan;       /* ghost: whose the slot is, as a child */
bool dead1;      /* process 1 */
bool forked[3], ended[3], in[3];

#ifdef NO_GEN
#define mine (st == STARTING)
#else
#define mine (st == STARTING && gen == g)
#endif

proctype child(byte me; byte g) {
  {
#ifdef ALIVE_FIRST
    atomic {
      if
      :: mine -> st = ALIVE
      :: else -> goto out
      fi
    }
    atomic {
      if
      :: owner == 0 -> owner = me; in[me] = true
      :: else -> goto out
      fi
    }
#else
    atomic {
      if
      :: owner == 0 -> owner = me
      :: else -> goto out
      fi
    }
    atomic {
      if
      :: mine -> st = ALIVE; in[me] = true
      :: else -> owner = 0; goto out
      fi
    }
#endif
    /* It works. */
    assert(st == ALIVE && plan == me && given && owner == me);
    assert(st == ALIVE && plan == me && given && owner == me);
out:
    skip
  } unless { ended[me] };
  d_step {
    ended[me] = true;
    in[me] = false;
    owner = (owner == me -> 0 : owner)
  }
}

/* lmp_proc_claim with the rest of make_object, and the fork. */
inline start(me) {
  atomic { st == FREE -> st = STARTING; plan = me; given = false; g = gen }
#ifndef GIVE_LATE
  obj = me;
  given = true;
#endif
  atomic { forked[me] = true; run child(me, g) }
#ifdef GIVE_LATE
  obj = me;
  given = true;
#endif
}

proctype creator1() {
  byte g;
  {
    skip;
end:
    start(1)
  } unless { dead1 }
}

proctype creator2() {
  byte g;
end:
  start(2);
  ended[2];
#ifndef NO_BURY
#ifdef BURY_NO_GEN
  if
  :: obj == 2 ->
    atomic {
      if
      :: st == STARTING -> assert(plan == 2); st = DEAD
      :: else
      fi
    }
  :: else
  fi
#else
  atomic {
    if
    :: st == STARTING && gen == g -> st = DEAD
    :: else
    fi
  }
#endif
#endif
}

proctype reaper() {
  byte seen;
end:
  do
  :: atomic { st == STARTING && plan == 1 && dead1 -> seen = gen } /* plan stands for pr_creator */
    if
    :: owner == 0 ->
#ifdef REAP_STORE
      st = DEAD
#else
      atomic {
        if
        :: st == STARTING && gen == seen -> st = DEAD
        :: else
        fi
      }
#endif
    :: else
    fi;
    seen = 0
  :: atomic { st == ALIVE && owner == 0 -> st = DEAD }
  :: st == DEAD ->
#ifdef KEEP_BITS
    atomic { st = FREE; gen++; plan = 0 }
    given = false
#else
    given = false;
    atomic { st = FREE; gen++; plan = 0 }
#endif
  od
}

proctype killer() {
end:
  do
  :: atomic { !dead1 -> dead1 = true }
  :: d_step { forked[1] && !ended[1] -> ended[1] = true; in[1] = false; owner = (owner == 1 -> 0 : owner) }
  :: d_step { forked[2] && !ended[2] -> ended[2] = true; in[2] = false; owner = (owner == 2 -> 0 : owner) }
  od
}

proctype monitor() {
  timeout -> assert(st == FREE)
}

init {
  atomic { run creator1(); run creator2(); run reaper(); run killer(); run monitor() }
}
