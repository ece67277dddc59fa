/* tests/model/reaper.pml: reapers of one dead context, killed in turn, and slots that are taken again.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: claim, lmp_reap_ctx, free_locks, drop_claims (arena/reap.c), lmp_memory_sweep of one block
 * (arena/block.c), lmp_tx_commit, lmp_tx_replay, tx_applied (arena/tx.c), lmp_me_attach (arena/member.c),
 * a put of a message in a block, and its get, which goes on as soon as the put's last word has its
 * value (channel/queue_put.c, queue_get.c). The thread in slot 1 puts, and is killed at any step; the one
 * in slot 2 reaps it, and is killed at any step; another thread takes slot 2 when it is free, and reaps,
 * too; and one takes slot 1. Slot 3 reaps, and is not killed. Others reap slot 2, put, and get.
 *
 * Property: one live reaper at a time works for a context, and only for a dead one; a message is put
 * once or not at all; a block changes hands by its owner only; in the end all dead are reaped, and no
 * lock, claim, log or block is left in their names.
 *
 * Mutants, each in a file of its name: LATE_REPLAY: locks are freed, then the log is replayed.
 * ALWAYS_REPLAY: also a log whose last word has its value: a block that a getter took is the queue's
 * again. CLEAR_FIRST: the reaper clears the log, then applies it. FREE_FIRST: it frees the slot, then works.
 * NO_DROP: a dead reaper's claims stay, in the name of who comes into its slot. NO_COUNT: a claim is
 * only an id: who saw the claim of a dead reaper takes it away from a live one in the same slot. (That a
 * claim is taken over makes no difference here: the reaper of its owner drops it as well.) */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */

#define SHARED 9 /* LMP_TAG_SHARED */
#define OTHERS 4

bool live[5], dead[5];   /* cx_state is LIVE; the life word, then */
byte claim, count;       /* cx_reaper of slot 1: an id, and how often it changed */
bool want, txn;          /* of slot 1: cx_want names the lock; cx_txn ... */
byte to;                 /* ... and the log: tag = SHARED, then tail = to */
byte lock;               /* qt_lock */
byte tag;                /* of the block */
byte tail, puts;         /* qt_pos; ghost: commits */
byte works;              /* ghost: its live reaper, by id, 8: the second in slot 2 */
bool killed[3];          /* ghost: the first threads of the slots */

#define is_dead(x) (live[x] && dead[x])

proctype putter() {
  {
    tag = 1;
    want = true;
    atomic { lock == 0 -> lock = 1; to = tail + 1 }
    d_step { txn = true; puts++ } /* the commit */
    tag = SHARED;
    tail = to;
    txn = false;
    lock = 0;
    want = false
  } unless { killed[1] }
}

/* The message in the block is taken once its put is done, or seems so. */
proctype getter() {
end:
  tag == SHARED && tail == to;
  tag = OTHERS; /* its commit */
  assert(tag == OTHERS);
  atomic { assert(tag == OTHERS); tag = 0 }
}

/* One more putter, without a block. */
proctype other() {
  byte pos;
  atomic { lock == 0 -> lock = OTHERS }
  atomic { assert(tail == puts); pos = tail + 1; puts++ }
  tail = pos;
  atomic { assert(tail == puts && lock == OTHERS); lock = 0 }
}

inline take_claim(me) {
  atomic { seen = claim; seen_count = count }
  if
  :: seen == 0 -> skip
  :: seen == me -> skip /* begun in the name of the slot, by a thread that is gone */
  :: seen != 0 && seen != me ->
    if
    :: !live[seen] || dead[seen]
    :: live[seen] && !dead[seen] -> goto out
    fi
  fi;
  atomic {
    if
#ifdef NO_COUNT
    :: claim == seen ->
#else
    :: claim == seen && count == seen_count ->
#endif
      if
      :: seen != me -> claim = me; count++
      :: else
      fi;
      seen = 0;
      seen_count = 0
    :: else -> goto out
    fi
  }
}

/* lmp_reap_ctx; `self`: ghost, me and which thread it is. */
inline reap(me, self) {
  take_claim(me);
  if
  :: atomic { is_dead(1) -> assert(works == 0); works = self }
#ifdef FREE_FIRST
    d_step { live[1] = false; dead[1] = false }
#endif
#ifdef LATE_REPLAY
    d_step { lock = (want && lock == 1 -> 0 : lock) }
#endif
    if /* lmp_tx_replay */
    :: txn ->
#ifdef CLEAR_FIRST
      txn = false;
#endif
#ifndef ALWAYS_REPLAY
      if
      :: tail == to
      :: tail != to -> tag = SHARED; tail = to
      fi;
#else
      tag = SHARED;
      tail = to;
#endif
      txn = false
    :: else
    fi;
#ifndef LATE_REPLAY
    d_step { lock = (want && lock == 1 -> 0 : lock) } /* free_locks */
#endif
    want = false;
    d_step { tag = (tag == 1 -> 0 : tag) } /* lmp_memory_sweep */
    atomic {
      assert(works == self);
      works = 0;
#ifndef FREE_FIRST
      assert(is_dead(1));
      live[1] = false;
      dead[1] = false
#endif
    }
  :: atomic { else }
  fi;
  claim = 0;
out:
  atomic { seen = 0; seen_count = 0 }
}

/* In slot 2: the first is killed at some time, or never; the second comes into its slot. */
proctype mortal() {
  byte seen, seen_count;
  {
end:
    do
    :: is_dead(1) -> reap(2, 2)
    od
  } unless { killed[2] -> atomic { seen = 0; seen_count = 0 } }
}

proctype second() {
  byte seen, seen_count;
end_free:
  atomic { !live[2] -> live[2] = true }
end:
  do
  :: is_dead(1) -> reap(2, 8)
  od
}

/* A new thread in slot 1, whose want, log and lock are its own. */
proctype first_again() {
end:
  atomic { !live[1] -> live[1] = true; assert(!txn && !want && lock != 1 && tag != 1 && works == 0) }
  atomic { lock == 0 -> lock = 1; want = true }
  assert(lock == 1 && want);
  lock = 0;
  want = false
}

proctype reaper() {
  byte seen, seen_count;
end:
  do
  :: is_dead(1) -> reap(3, 3)
  od
}

/* Reaps slot 2, in which nothing is left but claims. */
proctype passer_by() {
end:
  is_dead(2);
#ifndef NO_DROP
  d_step { /* drop_claims */
    if
    :: claim == 2 -> claim = 0; count++
    :: else
    fi
  }
#endif
  d_step { live[2] = false; dead[2] = false }
}

proctype killer() {
  d_step { dead[1] = true; killed[1] = true }
end:
  d_step { is_dead(1) -> dead[2] = true; killed[2] = true; works = (works == 2 -> 0 : works) }
}

proctype monitor() {
  timeout ->
  assert(!is_dead(1) && !is_dead(2) && claim == 0 && lock == 0 && !txn && tail == puts && tag != 1)
}

init {
  atomic {
    live[1] = true;
    live[2] = true;
    live[3] = true;
    live[OTHERS] = true;
    run putter();
    run getter();
    run other();
    run mortal();
    run second();
    run first_again();
    run reaper();
    run passer_by();
    run killer();
    run monitor()
  }
}
