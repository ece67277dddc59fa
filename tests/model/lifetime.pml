/* tests/model/lifetime.pml: an object that processes hold and messages name, and the collector.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: lmp_obj_stamp, lmp_collect with queue_trace, obj_needed and condemn (arena/collect.c,
 * channel/queue.c), lmp_obj_ref, lmp_obj_unref, obj_unheld, lmp_obj_orphans (arena/object.c), put_logged
 * and take_locked (channel/queue_put.c, queue_get.c), lmp_obj_release_all by the reaper. One object X, which processes 1
 * and 2 hold at first, and two queues that live on. Both put X into the queues, take it out and let go,
 * as they like; 1 is killed at any step. One collection runs beside them, one when all is quiet. Queues
 * in queues, which only repeat the look, are left to unit.object and the fuzzer.
 *
 * Property: X is not destroyed while a process holds it or a message names it, so that who takes the message
 * finds it; in the end it is destroyed exactly when neither is the case.
 *
 * Mutants, each in a file of its name: NO_STAMP: put does not stamp. EARLY_STAMP: it stamps before it takes
 * the lock. PLAIN_STAMP: the stamp is a load of the epoch and a store: who comes late sets it back. LATE_HOLD:
 * get holds after its commit. NO_TAIL_LOCK: the collector reads a queue's end without its putters' lock.
 * EPOCH_LATE: the collector looks through the first queue, then begins the epoch. STAMP_FIRST: it looks at
 * the stamp before the holders. NO_ORPHANS: who died between letting go and destroying is not noticed. */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */

#ifndef OPS1
#define OPS1 2
#define OPS2 3
#endif

bool hold[3];       /* bits in ob_holders */
byte sent, mark;    /* ob_sent, ob_mark */
byte epoch = 1;     /* hd_gc_epoch */
bool gone;          /* X is DYING or freed */
byte qt[2], qh[2];  /* locks: the owner */
byte put[2], taken[2]; /* qt_pos, qh_pos */
bool dead, reaped;  /* process 1 */
byte ended;         /* ghost */

#define in_flight (put[0] != taken[0] || put[1] != taken[1])
#define held (hold[1] || hold[2])

inline destroy() { assert(!held && !in_flight && !gone); gone = true }

inline stamp() {
#ifdef PLAIN_STAMP
  e = epoch;
  sent = e;
#else
  do /* reads the old stamp before the epoch, so the epoch is not older */
  :: seen = sent;
    e = epoch;
    if
    :: seen == e -> break
    :: else ->
      atomic {
        if
        :: sent == seen -> sent = e; break
        :: else
        fi
      }
    fi
  od;
#endif
  skip;
  d_step { seen = 0; e = 0 }
}

/* obj_unheld */
inline unheld() {
  atomic {
    if
    :: !held && !gone && sent == 0 -> destroy()
    :: else
    fi
  }
}

proctype member(byte me; byte ops) {
  byte c, e, seen;
  {
    skip;
end:
    do
    :: atomic { ops == 0 -> break }
    :: atomic { ops > 0 && hold[me] -> ops--; select (c : 0 .. 1) }
      assert(!gone);
#ifdef EARLY_STAMP
      stamp();
#endif
      atomic { qt[c] == 0 -> qt[c] = me }
#ifndef NO_STAMP
#ifndef EARLY_STAMP
      stamp();
#endif
#endif
      put[c]++;
      atomic { qt[c] = 0; c = 0 }
    :: atomic { ops > 0 && hold[me] -> ops--; hold[me] = false } /* lmp_obj_unref */
      unheld()
    :: atomic { ops > 0 && !hold[me] && in_flight -> ops--; c = (put[0] != taken[0] -> 0 : 1) }
      atomic { qh[c] == 0 -> qh[c] = me }
      if
      :: put[c] != taken[c] ->
        assert(!gone);
#ifdef LATE_HOLD
        taken[c]++;
        hold[me] = true;
#else
        hold[me] = true;
        taken[c]++;
#endif
        assert(!gone)
      :: else
      fi;
      atomic { qh[c] = 0; c = 0 }
    od;
    ended++
  } unless { dead && me == 1 -> atomic { c = 0; e = 0; seen = 0; ops = 0 } }
}

/* queue_trace: its end under one lock; no walk if all was taken; the walk under the other lock. */
inline look_through(c) {
#ifdef NO_TAIL_LOCK
  tail = put[c];
#else
  atomic { qt[c] == 0 -> tail = put[c] }
#endif
  if
  :: taken[c] >= tail -> skip
  :: else ->
    atomic {
      qh[c] == 0 ->
      if
      :: taken[c] < tail -> mark = epoch
      :: else
      fi
    }
  fi;
  tail = 0
}

inline needed() {
  need = true;
#ifdef STAMP_FIRST
  if
  :: sent == epoch -> goto done
  :: else
  fi;
#endif
  if
  :: hold[1] -> goto done
  :: else
  fi;
  if
  :: hold[2] -> goto done
  :: else
  fi;
#ifndef STAMP_FIRST
  if
  :: sent == epoch -> goto done
  :: else
  fi;
#endif
  if
  :: sent == 0 || mark == epoch -> goto done
  :: else
  fi;
  need = false;
done:
  skip
}

inline collect() {
#ifdef EPOCH_LATE
  look_through(0);
  epoch++;
#else
  epoch++;
  look_through(0);
#endif
  look_through(1);
  needed();
  if
  :: !need && !gone -> destroy()
  :: else
  fi;
  need = false
}

proctype collector() {
  byte tail;
  bool need;
  collect();
  timeout;
  collect();
  assert(gone == (!held && !in_flight))
}

/* lmp_reap_proc of process 1: free_locks, lmp_obj_release_all, lmp_obj_orphans. */
proctype reaper() {
end:
  dead;
  d_step {
    qt[0] = (qt[0] == 1 -> 0 : qt[0]);
    qt[1] = (qt[1] == 1 -> 0 : qt[1]);
    qh[0] = (qh[0] == 1 -> 0 : qh[0]);
    qh[1] = (qh[1] == 1 -> 0 : qh[1])
  }
#ifdef NO_ORPHANS
  if
  :: hold[1] -> hold[1] = false; unheld()
  :: else
  fi
#else
  hold[1] = false;
  unheld()
#endif
}

proctype killer() {
end:
  dead = true
}

init {
  atomic {
    hold[1] = true;
    hold[2] = true;
    run member(1, OPS1);
    run member(2, OPS2);
    run collector();
    if
    :: run killer(); run reaper()
    :: skip
    fi
  }
}
