/* tests/model/lock.pml: the internal lock with its futex, kills and the reaper.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: lmp_lock, lmp_unlock (arena/arena.h), lmp_lock_slow, lock_sleep (arena/lock.c), lmp_tx_commit
 * (arena/tx.c), lmp_reap_ctx with claim, lmp_tx_replay, free_locks, pay_wakes (arena/reap.c). Three
 * members take the lock and change two words by a transaction; two of them are killed at any step,
 * also while they reap; one reaper that is not killed stands for whoever ticks next. No tick of a
 * sleeper: wakes alone have to do. A death wakes one watcher of the life word, as the kernel does.
 * Slots are not taken again: see reaper.pml.
 *
 * Property: nobody sleeps for ever (invalid end state); one member in the critical section, which finds
 * the two words equal, and no change lost or made twice.
 *
 * Mutants, each in a file of its name: NO_KEEP_W: who slept takes the lock without LMP_LOCK_W;
 * NO_WANT: the reaper wakes nobody for cx_want; NO_PWAKE: nor for cx_pwake; LATE_REPLAY: frees the
 * locks, then replays; EARLY_CLEAR: cx_txn is cleared before the words are applied. */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 */

#ifndef MAX_KILLS
#define MAX_KILLS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define N 3
#define REAPER 4

byte owner;             /* the lock word: its owner ... */
bool waiters;           /* ... and LMP_LOCK_W */
bool want[5], pwake[5]; /* cx_want, cx_pwake name the lock */
bool txn[5];            /* cx_txn */
byte val[5];            /* the value in the log */
bool dead[5], reaped[5];
byte claim[5];    /* cx_reaper */
bool asleep[5];   /* in the kernel, on the lock ... */
byte watches[5];  /* ... and on the life word of this one */
byte a, b;        /* what the lock protects */
byte commits;     /* ghost: how often a changed */
byte kills;       /* that are still to come */

inline wake_one() {
  atomic {
    if
    :: asleep[1] -> asleep[1] = false
    :: asleep[2] -> asleep[2] = false
    :: asleep[3] -> asleep[3] = false
    :: else
    fi
  }
}

inline wake_all() { d_step { asleep[1] = false; asleep[2] = false; asleep[3] = false } }

inline replay(d) {
  if
  :: txn[d] -> a = val[d]; b = val[d]; txn[d] = false
  :: else
  fi
}

inline free_locks(d) {
  if
  :: want[d] ->
    d_step {
      if
      :: owner == d -> owner = 0; waiters = false
      :: else
      fi
    }
#ifndef NO_WANT
    wake_all();
#endif
    want[d] = false
  :: else
  fi
}

/* lmp_reap_ctx: of the dead member d, by `me`. */
inline reap(me, d) {
  got_claim = false;
  atomic {
    if
    :: claim[d] == 0 || dead[claim[d]] -> claim[d] = me; got_claim = true
    :: else
    fi
  }
  if
  :: got_claim ->
    if
    :: dead[d] && !reaped[d] ->
#ifdef LATE_REPLAY
      free_locks(d);
      replay(d);
#else
      replay(d);
      free_locks(d);
#endif
#ifndef NO_PWAKE
      if
      :: pwake[d] -> wake_all()
      :: else
      fi;
#endif
      pwake[d] = false;
      d_step { reaped[d] = true; val[d] = 0 }
    :: else
    fi;
    claim[d] = 0
  :: else
  fi
}

proctype member(byte me) {
  byte rounds, seen;
  bool seen_w, old_w, got_claim;
  {
    do
    :: rounds == ROUNDS -> break
    :: rounds < ROUNDS ->
      rounds++;
      want[me] = true;
      atomic {
        if
        :: owner == 0 && !waiters -> owner = me; goto locked
        :: else
        fi
      }
slow:
      atomic { seen = owner; seen_w = waiters }
      if
      :: seen == 0 ->
        atomic {
          if
          :: owner == seen && waiters == seen_w -> owner = me;
#ifndef NO_KEEP_W
            waiters = true;
#endif
            goto locked
          :: else -> goto slow
          fi
        }
      :: seen != 0 && !seen_w ->
        atomic {
          if
          :: owner == seen && waiters == seen_w -> waiters = true; seen_w = true
          :: else -> goto slow
          fi
        }
      :: else
      fi;
      /* lock_sleep */
      if
      :: !dead[seen] ->
        atomic {
          if
          :: owner == seen && waiters && !dead[seen] -> asleep[me] = true; watches[me] = seen
          :: else
          fi
        }
        atomic { !asleep[me] -> watches[me] = 0 }
      :: else
      fi;
      if
      :: owner == seen && waiters && dead[seen] -> reap(me, seen)
      :: else
      fi;
      atomic { seen = 0; seen_w = false; got_claim = false; goto slow }
locked:
      atomic { /* the log is its writer's own */
        seen = 0;
        seen_w = false;
        assert(owner == me && a == b && a == commits);
        val[me] = a + 1
      }
#ifdef EARLY_CLEAR
      d_step { txn[me] = true; commits++ }
      txn[me] = false;
      a = val[me];
      b = val[me];
#else
      d_step { txn[me] = true; commits++ } /* the commit */
      a = val[me];
      b = val[me];
      txn[me] = false;
#endif
      assert(owner == me);
      /* lmp_unlock */
      pwake[me] = true;
      d_step { old_w = waiters; owner = 0; waiters = false }
      want[me] = false;
      if
      :: old_w -> wake_one()
      :: else
      fi;
      atomic { pwake[me] = false; old_w = false; val[me] = 0 }
    od
  } unless { dead[me] -> atomic { rounds = 0; seen = 0; seen_w = false; old_w = false; got_claim = false } }
}

proctype killer() {
  byte d;
end:
  do
  :: atomic {
    kills > 0 ->
    if
    :: !dead[1] -> d = 1
    :: !dead[2] -> d = 2
    :: else -> goto end
    fi;
    kills--;
    dead[d] = true;
    asleep[d] = false;
    watches[d] = 0;
    if /* the kernel marks the life word and wakes one who watches it */
    :: asleep[1] && watches[1] == d -> asleep[1] = false
    :: asleep[2] && watches[2] == d -> asleep[2] = false
    :: asleep[3] && watches[3] == d -> asleep[3] = false
    :: else
    fi;
    d = 0
  }
  od
}

proctype reaper() {
  bool got_claim;
end:
  do
  :: dead[1] && !reaped[1] -> reap(REAPER, 1)
  :: dead[2] && !reaped[2] -> reap(REAPER, 2)
  od
}

init {
  /* Chosen now: a sleeper whom only another kill would wake is found. */
  select (kills : 0 .. MAX_KILLS);
  atomic { run member(1); run member(2); run member(3); run killer(); run reaper() }
}
