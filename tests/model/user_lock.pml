/* tests/model/user_lock.pml: the lock of scripts: waiters, turns, timeouts, kills, reapers.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: lmp_lock_acquire_slow with take, lock_wait, lock_sleep, give_up; lmp_lock_release, lmp_lock_wake,
 * lmp_lock_abandon (sync/lock.c); of lmp_reap_ctx abandon and pay_wakes (arena/reap.c). Three members take
 * the lock and release it; the third may also try it without waiting. A wait may end by its deadline or by
 * a signal, after which it is called again or not. A waiter may find any time it was woken that it starves. A
 * sleeper queues on its words one after the other, as futex_waitv does. Members 1 and 3 are killed at any
 * step, and so is a reaper. No tick of a sleeper and no watched lives: they would only wake more. Depth, watchers
 * (see bell.pml) and slots that are taken again (see reaper.pml) are not modelled.
 *
 * Property: one owner at a time; who takes the lock is told that it was abandoned exactly when its last
 * owner died; when nothing moves any more nobody sleeps, and the lock is free and for anybody.
 *
 * Searches: this file, with a kill; user_lock_quit, a kill and a timeout or signal; user_lock_reaper, a
 * kill, and one of the reaper. In the last two the third member takes the lock only as it comes or tries.
 *
 * Mutants, each in a file of its name: NO_KEEP_W: who slept takes the lock without W. NO_W_BACK: who was
 * woken and did not get the lock sleeps again without W. SILENT_TURN: who gives its turn up wakes nobody.
 * NO_WATCH_NEXT: a sleeper at a free, reserved lock does not sleep on lk_next. LATE_LOOK: lk_next is read
 * again after the look that found the lock reserved. WORD_FIRST: it is slept on after the word.
 * WAITER_ABANDONS: a dead waiter leaves a free lock abandoned. NO_PWAKE: the reaper wakes nobody for
 * cx_pwake. EARLY_END: the wait record ends with the sleep. KEEP_TURN: the reaper leaves the turn of the
 * dead. LATE_TURN: it wakes, then takes the turn away. WAKE_ONCE: who finds the lock abandoned already,
 * by a reaper that was killed, does not wake again. (That a release wakes on the word when nobody sleeps
 * on lk_next matters with four members only.) */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */

#ifndef MAX_KILLS
#define MAX_KILLS 1
#endif
#ifndef MAX_QUITS
#define MAX_QUITS 0
#endif
#ifndef MAX_REAPERS
#define MAX_REAPERS 0
#endif

/* lk_word */
#define OWNER 3
#define ABANDONED 4
#define W 8

byte word, next;                  /* lk_word, lk_next */
bool asleep[4], on_next[4];       /* in the kernel, on the word; on lk_next, too */
bool record[4], pwake[4];         /* cx_wait_n, cx_pwake */
bool dead[4], reaped[4], ended[4];
bool reaper_dead;
byte kills, reaper_kills, quits;                /* that are still to come */
byte inside;                      /* ghost: who has the lock */
bool untold;                      /* ghost: it died */

inline wake(i) { asleep[i] = false; on_next[i] = false }

inline wake_word_one() {
  atomic {
    if
    :: asleep[1] -> wake(1)
    :: asleep[2] -> wake(2)
    :: asleep[3] -> wake(3)
    :: else
    fi
  }
}

inline wake_word_all() { wake(1); wake(2); wake(3) }

inline wake_next_all(n) {
  d_step {
    n = on_next[1] + on_next[2] + on_next[3];
    if :: on_next[1] -> wake(1) :: else fi;
    if :: on_next[2] -> wake(2) :: else fi;
    if :: on_next[3] -> wake(3) :: else fi
  }
}

/* lmp_lock_wake */
inline lock_wake(n) {
  n = next;
  if
  :: n != 0 -> wake_next_all(n)
  :: else
  fi;
  if
  :: n == 0 -> wake_word_one()
  :: else -> n = 0
  fi
}

/* What has changed is not slept on. */
inline queue_word() {
  d_step {
    if
    :: word == seen -> asleep[me] = true
    :: else -> wake(me)
    fi
  }
}

/* On lk_next, then on the word, too. A wake between the two is one. */
inline queue_both() {
#ifdef WORD_FIRST
  queue_word();
  d_step {
    if
    :: asleep[me] && next == n -> on_next[me] = true
    :: else -> wake(me)
    fi
  }
#else
  d_step {
    if
    :: next == n -> on_next[me] = true
    :: else
    fi
  };
  if
  :: on_next[me] ->
    d_step {
      if
      :: on_next[me] && word == seen -> asleep[me] = true
      :: else -> wake(me)
      fi
    }
  :: else
  fi
#endif
}

#define reserved (next != 0 && next != me)

proctype member(byte me) {
  byte seen, n;
  bool slept, barge, quit;
#ifdef NO_W_BACK
  bool woken;
#endif
  {
    if
    :: me == 3 -> barge = true /* LMP_NOWAIT */
#ifdef TWO_WAIT
    :: me != 3
#else
    :: skip
#endif
    fi;
look: /* take */
    atomic { seen = word; if :: seen & OWNER -> goto failed :: else fi }
    if
    :: barge
    :: !barge && !reserved
    :: !barge && reserved -> goto failed
    fi;
    atomic {
      if
      :: word == seen ->
#ifdef NO_KEEP_W
        word = me | (seen & W);
#else
        word = me | (slept -> W : seen & W);
#endif
        assert(inside == 0 && untold == ((seen & ABANDONED) != 0));
        inside = me;
        untold = false;
        seen = 0;
        goto locked
      :: else -> seen = 0; goto look
      fi
    }
failed:
    atomic { seen = 0; if :: quit || barge -> goto give_up :: else fi }
    /* lock_wait */
    atomic { record[me] = true; if :: slept :: else -> slept = true; goto raise fi }
    atomic {
      if
      :: next == 0 -> next = me /* STARVED */
      :: skip
      fi
    }
raise:
    seen = word;
    atomic { n = next; if :: !(seen & OWNER) && (n == 0 || n == me) -> seen = 0; n = 0; goto look :: else fi }
    atomic {
      if
      :: seen & W
#ifdef NO_W_BACK
      :: woken && !(seen & W)
      :: !woken && !(seen & W) ->
#else
      :: else ->
#endif
        if
        :: word == seen -> word = word | W; seen = seen | W
        :: else -> seen = 0; n = 0; goto look
        fi
      fi
    }
    /* lock_sleep */
#ifdef LATE_LOOK
    n = next;
#endif
    if
#ifdef NO_WATCH_NEXT
    :: n == me -> queue_both()
#else
    :: n != 0 && (!(seen & OWNER) || n == me) -> queue_both()
#endif
    :: else -> queue_word()
    fi;
    atomic {
      if
      :: !asleep[me] -> skip
      :: asleep[me] && quits > 0 && me != 3 -> quits--; wake(me); quit = true;
        if
        :: barge = true /* LMP_E_TIMEOUT */
        :: skip         /* LMP_E_INTR */
        fi
      fi;
      seen = 0;
      n = 0;
#ifdef NO_W_BACK
      woken = true;
#endif
#ifdef EARLY_END
      record[me] = false;
#endif
      goto look
    }

give_up:
    atomic {
      if
      :: next == me -> next = 0
      :: else -> goto left
      fi
    }
#ifndef SILENT_TURN
    wake_next_all(n);
    atomic { n = 0; if :: word & OWNER -> goto left :: else fi }
    lock_wake(n);
#endif
left:
    atomic {
      record[me] = false;
      if
      :: quit && !barge -> quit = false; slept = false; goto look /* called again */
      :: goto out
      fi
    }

locked:
    atomic { barge = false; quit = false; if :: slept -> slept = false :: else -> goto have fi }
    d_step {
      if
      :: next == me -> next = 0
      :: else
      fi
    }
    record[me] = false;
have: /* lmp_lock_release */
    atomic { assert(inside == me && (word & OWNER) == me); pwake[me] = true }
    atomic { seen = word; word = 0; inside = 0; if :: seen == me -> seen = 0; goto owed :: else -> seen = 0 fi }
    lock_wake(n);
owed:
    pwake[me] = false;
out:
    atomic { n = 0; slept = false; barge = false; quit = false; ended[me] = true }
  } unless { dead[me] -> atomic { seen = 0; n = 0; slept = false; barge = false; quit = false } }
}

proctype killer() {
  byte d;
end:
  do
  :: atomic {
    kills > 0 ->
    if
    :: !dead[1] && !ended[1] -> d = 1
    :: !dead[3] && !ended[3] -> d = 3
    :: else -> goto end
    fi;
    kills--;
    dead[d] = true;
    wake(d);
    if
    :: inside == d -> inside = 0; untold = true
    :: else
    fi;
    d = 0
  }
  :: d_step { reaper_kills > 0 && ((dead[1] && !reaped[1]) || (dead[3] && !reaped[3])) -> reaper_kills--; reaper_dead = true }
  od
}

inline take_turn_away(d) {
  d_step {
    if
    :: next == d -> next = 0
    :: else
    fi
  }
}

/* lmp_lock_abandon, pay_wakes */
inline reap(d) {
#if !defined(KEEP_TURN) && !defined(LATE_TURN)
  take_turn_away(d);
#endif
  d_step {
    v = word;
    if
    :: (v & OWNER) == d -> v = ABANDONED | (v & W); word = v
#ifdef WAITER_ABANDONS
    :: (v & OWNER) == 0 && record[d] -> v = v | ABANDONED; word = v
#endif
#ifdef WAKE_ONCE
    :: else -> v = 0
#else
    :: else
#endif
    fi
  }
  d_step {
    if
    :: v & ABANDONED -> wake_word_all()
    :: else
    fi;
    v = 0
  }
  d_step {
    if
#ifndef NO_PWAKE
    :: pwake[d] -> wake_word_all()
#endif
    :: else
    fi;
    pwake[d] = false
  }
  d_step {
    if
    :: record[d] -> wake_word_all()
    :: else
    fi;
    record[d] = false
#ifndef LATE_TURN
    ;
    reaped[d] = true
#endif
  }
#ifdef LATE_TURN
  take_turn_away(d);
  reaped[d] = true
#endif
}

/* A killed one is followed by the next: the claim keeps living ones apart. */
proctype reaper() {
  byte v;
again:
  {
end:
    do
    :: dead[1] && !reaped[1] -> reap(1)
    :: dead[3] && !reaped[3] -> reap(3)
    od
  } unless { reaper_dead -> atomic { reaper_dead = false; v = 0; goto again } }
}

proctype monitor() {
  timeout ->
  assert((ended[1] || dead[1]) && (ended[2] || dead[2]) && (ended[3] || dead[3]));
  assert((word & OWNER) == 0 && next == 0)
}

init {
  select (kills : 0 .. MAX_KILLS);
  select (quits : 0 .. MAX_QUITS);
  reaper_kills = MAX_REAPERS;
  atomic { run member(1); run member(2); run member(3); run killer(); run reaper(); run monitor() }
}
