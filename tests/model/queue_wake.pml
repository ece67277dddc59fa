/* tests/model/queue_wake.pml: how putters and getters of the queue sleep and wake each other.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: lmp_queue_get with get_try, wait_message (channel/queue_get.c), lmp_queue_put with put_step,
 * wait_room, wake_getters (channel/queue_put.c), lmp_flag_raise, lmp_flag_wake_slow, lmp_wait_begin,
 * lmp_wait_end (arena/wait.c), pay_wakes (arena/reap.c). A critical section is one step: lock.pml is
 * about locks. The positions are slept on. Two getters, two putters, room for CAP messages; getters
 * may time out, one of all is killed at any step, the reaper then pays its wakes. No ticks. This file:
 * kills and room for all; queue_wake_timeout.pml: timeouts; queue_wake_full*.pml: room for one.
 *
 * Property: when nothing moves any more, no getter sleeps while there is a message and no putter sleeps
 * while there is room.
 *
 * A flag holds the position at which its last raiser is about to sleep (here: + 1; 0: nobody), and only
 * grows while it is raised. A waker that finds nobody lowers it only when the position had moved on
 * from that value before it tried to wake: then whoever raised it will not fall asleep there.
 *
 * Mutants, each in a file of its name: COUNTER: the flag is a counter, and whoever finds nobody lowers
 * the value that it saw; a getter that raised it and is not asleep yet is forgotten. LATE_LOOK: the
 * position is looked at after trying to wake. NOT_MONOTONE: raising overwrites a newer value. EARLY_END:
 * the wait record is cleared right after the sleep. NO_OWE: cx_pwake is not set. */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 -E */

#ifndef CAP
#define CAP 3 /* putters never sleep */
#define KILLS 1
#define TIMEOUTS 0
/* What each of them gets or puts. */
#define G0 2
#define G1 1
#define P2 1
#define P3 1
#endif

byte qt, qh;       /* messages that were put and taken: qt_pos and qh_pos */
byte qe, qf;       /* qe_flag: on qt; qf_flag: on qh */
bool asleep[4];    /* getters 0 and 1 on qt, putters 2 and 3 on qh */
bool waits[4];     /* the wait record */
bool owes[4];      /* cx_pwake: getters owe qh, putters qt */
bool dead[4], reaped[4];
byte kills, timeouts; /* that are still to come */

/* lmp_os_futex_wake(word, 1): getters sleep on qt. */
inline wake_one(x, y, woke) {
  atomic {
    if
    :: asleep[x] -> asleep[x] = false; woke = true
    :: asleep[y] -> asleep[y] = false; woke = true
    :: else -> woke = false
    fi
  }
}

inline flag_raise(flag, pos) {
#ifdef COUNTER
  flag++
#else
  d_step {
    if
#ifdef NOT_MONOTONE
    :: flag != pos + 1 -> flag = pos + 1
#else
    :: flag < pos + 1 -> flag = pos + 1
#endif
    :: else
    fi
  }
#endif
}

/* lmp_flag_wake; x and y are those who may sleep on `word`; what `me` owes is paid at the end. */
inline flag_wake(flag, word, x, y) {
  seen = flag;
  if
  :: seen != 0 ->
#ifdef COUNTER
    wake_one(x, y, woke);
    d_step {
      if
      :: !woke && flag == seen -> flag = 0
      :: else
      fi
    }
#else
#ifdef LATE_LOOK
    wake_one(x, y, woke);
    now = word;
#else
    now = word;
    wake_one(x, y, woke);
#endif
    d_step {
      if
      :: !woke && seen != now + 1 && flag == seen -> flag = 0
      :: else
      fi;
      seen = 0;
      now = 0;
      woke = false
    }
#endif
  :: else
  fi
}

proctype getter(byte me; byte todo) {
  byte tail, seen, now;
  bool waiting, took, out, woke;
  {
    do
    :: todo == 0 -> break
    :: else ->
again:
      atomic { /* get_try */
        if
        :: qh < qt ->
#ifndef NO_OWE
          owes[me] = true;
#endif
          qh++;
          took = true
        :: qh == qt && !out -> tail = qt
        :: qh == qt && out -> goto leave
        fi
      }
      if
      :: took -> flag_wake(qf, qh, 2, 3); goto leave
      :: else ->
        atomic {
          waits[me] = true;
          waiting = true;
          flag_raise(qe, tail)
        }
        atomic { /* the futex looks again */
          if
          :: qt == tail -> asleep[me] = true; tail = 0
          :: else -> tail = 0; goto woken
          fi
        }
        if
        :: atomic { !asleep[me] -> goto woken }
        :: atomic { asleep[me] && timeouts > 0 -> asleep[me] = false; timeouts--; out = true; goto again }
        fi;
woken:
#ifdef EARLY_END
        waits[me] = false;
#endif
        goto again
      fi;
leave:
      if
      :: waiting && !took -> flag_wake(qe, qt, 0, 1)
      :: else
      fi;
      d_step {
        owes[me] = false;
        waits[me] = false;
        took = false;
        waiting = false;
        out = false;
        todo--
      }
    od
  } unless { dead[me] -> atomic { todo = 0; tail = 0; seen = 0; now = 0; waiting = 0; took = 0; out = 0; woke = 0 } }
}

proctype putter(byte me; byte todo) {
  byte head, seen, now;
  bool woke;
  {
    do
    :: todo == 0 -> break
    :: else ->
again:
      atomic { /* put_locked */
        if
        :: qt - qh < CAP ->
#ifndef NO_OWE
          owes[me] = true;
#endif
          qt++
        :: else -> /* wait_room */
          waits[me] = true;
          goto sleep
        fi
      }
      flag_wake(qe, qt, 0, 1);
      d_step {
        owes[me] = false;
        waits[me] = false;
        todo--
      }
      goto next;
sleep:
      head = qh;
      flag_raise(qf, head);
      atomic {
        if
        :: qt - qh < CAP -> head = 0; goto again
        :: else
        fi
      }
      atomic {
        if
        :: qh == head -> asleep[me] = true
        :: else
        fi;
        head = 0
      }
      !asleep[me];
#ifdef EARLY_END
      waits[me] = false;
#endif
      goto again;
next:
      skip
    od
  } unless { dead[me] -> atomic { todo = 0; head = 0; seen = 0; now = 0; woke = 0 } }
}

proctype killer() {
end:
  do
  :: atomic {
    kills > 0 ->
    kills--;
    if
    :: !dead[0] -> dead[0] = true; asleep[0] = false
    :: !dead[1] -> dead[1] = true; asleep[1] = false
    :: !dead[2] -> dead[2] = true; asleep[2] = false
    :: !dead[3] -> dead[3] = true; asleep[3] = false
    fi
  }
  od
}

/* pay_wakes: owed to x and y; the record is of a word that v and w sleep on. */
inline pay(d, x, y, v, w) {
  d_step {
    dead[d] && !reaped[d] ->
    reaped[d] = true;
    if
    :: owes[d] -> asleep[x] = false; asleep[y] = false; owes[d] = false
    :: else
    fi;
    if
    :: waits[d] -> asleep[v] = false; asleep[w] = false; waits[d] = false
    :: else
    fi
  }
}

proctype reaper() {
end:
  do
  :: pay(0, 2, 3, 0, 1)
  :: pay(1, 2, 3, 0, 1)
  :: pay(2, 0, 1, 2, 3)
  :: pay(3, 0, 1, 2, 3)
  od
}

/* When nothing moves: who sleeps, sleeps for a reason. */
proctype monitor() {
  timeout ->
  assert(!((asleep[0] || asleep[1]) && qh < qt));
  assert(!((asleep[2] || asleep[3]) && qt - qh < CAP));
  assert(!owes[0] && !owes[1] && !owes[2] && !owes[3])
}

init {
  /* Chosen now: a sleeper whom only another kill or timeout would wake is found. */
  select (kills : 0 .. KILLS);
  select (timeouts : 0 .. TIMEOUTS);
  atomic {
    run getter(0, G0);
    run getter(1, G1);
    run putter(2, P2);
    run putter(3, P3);
    run killer();
    run reaper();
    run monitor()
  }
}
