/* tests/model/barrier.pml: parties of a barrier, kills, deadlines, resets and reapers.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: sync/barrier.c, whole but for the count of who waits: turn, break_attempt, leave, sleep_at,
 * take_place, lmp_barrier_arrive, _await, _release, _quit, _abort, _reset, barrier_abandon. A barrier of two
 * is visited by two parties, three times each, so that both banks are used again; once each while two things
 * happen (barrier_two_events.pml); or by three parties and a reset (barrier_three.pml). Up to EVENTS of these
 * happen, at any step: a party is killed, a deadline passes, a party's interpreter raises, somebody
 * resets or aborts the barrier, or is killed in it, a reaper is killed (and the next one begins anew). No
 * ticks: all sleep until they are woken. Announcing a wake (lmp_owe) is one step with the commit, which it
 * precedes: killed between them a party only owes too much.
 *
 * Property: a round is completed when all its places are taken, each by another party, and none of them is
 * counted in two rounds in one call; who is let go was counted, who finds it broken was not; who runs the
 * action came last to an attempt that was whole when it came; a reaper breaks only what the dead party was
 * in; and when nothing moves any more, all dead are reaped and who sleeps waits for a party that has not come.
 *
 * Mutants, each in a file of its name: NO_RECHECK: who took a place does not look at the state again.
 * COME_AGAIN: it does, and comes again where its round was completed meanwhile. STALE_TAKE: the state is not
 * looked at between the look at a place and the swap. FREE_ZERO: a free place keeps no number. NO_VACANCY: who
 * leaves does not look at V. VACANCY_FIRST: it looks before it leaves. NO_TURN: it clears V, and V
 * set again makes the word what it was. NO_LOOK: who sets V does not look at
 * the place again. REAP_FREE_FIRST: the reaper frees the place, then breaks. REAP_ANY: it breaks whatever
 * goes on. REAP_QUIET: it wakes only if it broke. NO_OWE: wakes are not announced. */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */

#ifdef RESET_ONLY /* the only event that matters */
#define chance(when) false
#else
#define chance(when) events > 0 && when -> events--
#endif
#ifndef PARTIES
#define PARTIES 2 /* who come, and */
#define CALLS 3   /* how often each does */
#define EVENTS 1
#endif
#define OTHER 4 /* who resets and aborts */
#define N 2     /* places */

/* The state: attempt | round | turns | V W B. The lower half, from the turns on, is slept on. */
#define B 1
#define W 2
#define V 4
#define FLAGS 7
#define round(s) (((s) >> 10) & 3)
#define attempt(s) ((s) >> 12)
#define lower(s) ((s) & 1023)
#define same(s, t) (((s) >> 10) == ((t) >> 10))
#define next(s, n) (((s) & ~(FLAGS | 3072)) + 4096 + ((round(s) + n) & 3) * 1024 + 8)
#define broken(s) (((s) & ~FLAGS) + 8 + B)
#ifdef NO_TURN
#define vacated(s) ((s) & ~(V | W))
#else
#define vacated(s) (((s) & ~(V | W)) + 8)
#endif
/* A place: attempt | id. (Its number tells the round.) */
#define pl_attempt(w) ((w) >> 3)
#define pl_id(w) ((w) & 7)
#define pl_word(s, id) (attempt(s) * 8 + (id))
#define place(s, i) pl[(round(s) & 1) * N + (i)]
#define wait_bit (W + (at > 0) * (V - W))

int st = 4096;
byte pl[4];
bool asleep[5], owes[5], dead[5], reaped[5];
bool reaper_dead;
byte events;
/* Ghosts. */
byte in[5];      /* the attempt in which it has a place */
byte counted[5]; /* the attempt that was completed with it, until it is let go */
bool arriving[5];
#ifdef RESET_ONLY
byte begun;
#endif

inline wake_all(me) {
  atomic { asleep[1] = false; asleep[2] = false; asleep[3] = false; owes[me] = false }
}

#ifdef NO_OWE
#define owed(s) false
#else
#define owed(s) (((s) & (W | V)) != 0)
#endif

/* Swaps the state from s; where that fails, s is what it is. */
inline turn(me, s, to, ok) {
  atomic {
    if
    :: st == s -> ok = true; st = to; owes[me] = owed(s)
    :: else -> ok = false; s = st
    fi
  };
  if
  :: ok && (s & (W | V)) -> wake_all(me)
  :: else
  fi
}

/* turn to the next round, and what must be so when it is. */
inline complete(me, s, ok) {
  atomic {
    if
    :: st == s ->
      assert(pl_id(place(s, 0)) && pl_id(place(s, 1)) && pl_id(place(s, 0)) != pl_id(place(s, 1)));
      assert(pl_attempt(place(s, 0)) == attempt(s) && pl_attempt(place(s, 1)) == attempt(s));
      assert(!counted[pl_id(place(s, 0))] && !counted[pl_id(place(s, 1))]);
      counted[pl_id(place(s, 0))] = attempt(s);
      counted[pl_id(place(s, 1))] = attempt(s)
    :: else
    fi;
    turn(me, s, next(s, 1), ok)
  }
}

inline break_attempt(me, s, which, ok) {
  s = st;
  do
  :: same(s, which) && !(s & B) ->
    turn(me, s, broken(s), ok);
    if
    :: ok -> break
    :: else
    fi
  :: else -> break
  od;
  atomic { s = 0; ok = false }
}

#ifdef FREE_ZERO
#define freed(w) 0
#else
#define freed(w) ((w) & ~7)
#endif

inline free_place(me, mine, ix) {
  atomic {
    assert(pl_id(place(mine, ix - 1)) == me);
    place(mine, ix - 1) = freed(place(mine, ix - 1));
    in[me] = 0
  }
}

inline leave(me, s, mine, ix, ok) {
#ifndef VACANCY_FIRST
  free_place(me, mine, ix);
#endif
#ifndef NO_VACANCY
  s = st;
  do
  :: s & V ->
    turn(me, s, vacated(s), ok);
    if
    :: ok -> break
    :: else
    fi
  :: else -> break
  od;
#endif
#ifdef VACANCY_FIRST
  free_place(me, mine, ix);
#endif
  atomic { s = 0; ok = false; ix = 0 }
}

proctype party(byte me) {
  int s, mine; /* mine: lmp_party.state */
  byte calls, seen, at, i, ix;
  bool ok, last, late, whole; /* whole, a ghost: the attempt was when it came */
  {
    skip;
next_call:
    atomic {
      assert(!counted[me] && !in[me]);
      late = false;
      mine = 0;
      ok = false;
      last = false;
      s = 0;
      if
      :: calls == CALLS -> goto out
      :: else -> calls++; arriving[me] = true
      fi
    };
arrive:
    atomic {
#ifdef RESET_ONLY
      begun >= me - 1; /* they are all alike: let them come in this order */
      if
      :: begun < me -> begun = me
      :: else
      fi;
#endif
      s = st;
      i = 0;
      at = 0;
      seen = 0;
      assert(!counted[me]);
      if
      :: s & B -> goto told_broken
      :: else
      fi
    };
look:
    atomic {
      seen = place(s, i);
look_at:
      if
      :: pl_id(seen) == 0 -> goto take
      :: pl_id(seen) && pl_attempt(seen) != attempt(s) -> at = i + 1; goto none
      :: else ->
        i++;
        if
        :: i < N -> goto look
        :: else -> goto none
        fi
      fi
    };
take:
#ifndef STALE_TAKE
    atomic {
      if
      :: !same(st, s) -> goto arrive
      :: else
      fi
    };
#endif
    atomic {
      if
      :: place(s, i) == seen ->
        place(s, i) = pl_word(s, me);
        in[me] = attempt(s);
        whole = same(st, s) && !(st & B);
        ix = i + 1;
        mine = s - lower(s);
        seen = 0;
        i = 0;
        s = 0;
        goto taken
      :: else -> seen = place(s, i); goto look_at
      fi
    };
none:
    if
    :: late -> mine = s; break_attempt(me, s, mine, ok); mine = 0; goto arrive
    :: atomic { chance(!late); late = true; goto none }
    :: !late
    fi;
    atomic { /* sleep_at */
      if
      :: s & wait_bit
      :: !(s & wait_bit) && st == s -> st = s | wait_bit; s = st
      :: else -> goto arrive
      fi
    };
#ifndef NO_LOOK
    atomic {
      if
      :: at && place(s, at - 1) != seen -> goto arrive
      :: else
      fi
    };
#endif
    atomic { asleep[me] = lower(st) == lower(s); s = 0; seen = 0; at = 0; i = 0 };
    if
    :: !asleep[me]
    :: atomic { chance(asleep[me]); asleep[me] = false; late = true }
    fi;
    goto arrive;

taken:
    atomic {
      s = st;
      if
#ifdef NO_RECHECK
      :: true -> last = ix == N
#else
#ifndef COME_AGAIN
      :: round(s) != round(mine) -> last = false
#endif
      :: same(s, mine) && !(s & B) -> last = ix == N
      :: else -> goto too_late
#endif
      fi;
      s = 0;
      arriving[me] = false;
      assert(!last || whole);
      whole = false;
      if
      :: last -> goto release
      :: else -> goto await
      fi
    };
too_late:
    whole = false;
    leave(me, s, mine, ix, ok);
    mine = 0;
    goto arrive;

release:
    if
    :: atomic { chance(true); goto quit } /* the action raises */
    :: true
    fi;
    s = st;
    do
    :: same(s, mine) && !(s & B) ->
      complete(me, s, ok);
      if
      :: ok -> goto let_go
      :: else
      fi
    :: else -> goto found_broken
    od;

await:
    atomic {
      s = st;
      if
      :: round(s) != round(mine) -> goto let_go
      :: round(s) == round(mine) && (!same(s, mine) || (s & B)) -> goto found_broken
      :: else
      fi
    };
    if
    :: late -> break_attempt(me, s, mine, ok); goto await
    :: atomic { chance(!late); late = true; goto await }
    :: !late
    fi;
    atomic { /* sleep_at */
      if
      :: s & W
      :: !(s & W) && st == s -> st = s | W; s = st
      :: else -> goto await
      fi
    };
    atomic { asleep[me] = lower(st) == lower(s); s = 0 };
    if
    :: !asleep[me]
    :: atomic { chance(asleep[me]); asleep[me] = false; late = true }
    :: atomic { chance(asleep[me]); asleep[me] = false; goto quit }
    fi;
    goto await;

quit:
    break_attempt(me, s, mine, ok);
    leave(me, s, mine, ix, ok);
    counted[me] = 0;
    goto next_call;
let_go:
    atomic { s = 0; ok = false; assert(counted[me] == attempt(mine)); counted[me] = 0 };
    leave(me, s, mine, ix, ok);
    goto next_call;
found_broken:
    atomic { s = 0; ok = false; assert(!counted[me]) };
    leave(me, s, mine, ix, ok);
    goto next_call;
told_broken:
    atomic { arriving[me] = false; goto next_call };
out:
    skip
  } unless {
    dead[me] ->
    d_step {
      asleep[me] = false; s = 0; mine = 0; seen = 0; at = 0; i = 0; ix = 0;
      ok = false; last = false; late = false; whole = false; calls = 0
    }
  }
}

/* lmp_barrier_reset, lmp_barrier_abort; may be killed, and then its wake is paid. */
proctype other() {
  int s;
  bool ok;
  {
#ifdef RESET_ONLY
    atomic { events > 0 -> events--; s = st; turn(OTHER, s, next(s, 0), ok) }
#else
    atomic { events > 0 -> events-- };
    s = st;
    if
    :: true ->
      do
      :: turn(OTHER, s, next(s, 0), ok);
        if
        :: ok -> break
        :: else
        fi
      od
    :: true ->
      do
      :: !(s & B) ->
        turn(OTHER, s, broken(s), ok);
        if
        :: ok -> break
        :: else
        fi
      :: else -> break
      od
    fi;
#endif
    s = 0
  } unless { dead[OTHER] -> s = 0 }
}

/* barrier_abandon and pay_wakes for party d. Who is killed in it leaves the rest to the next. */
proctype reaper() {
  int s;
  byte d, i, seen;
  bool broke;
end:
  do
  :: {
      if
      :: atomic { dead[1] && !reaped[1] -> d = 1 }
      :: atomic { dead[2] && !reaped[2] -> d = 2 }
      :: atomic { dead[3] && !reaped[3] -> d = 3 }
      :: atomic { dead[OTHER] && !reaped[OTHER] -> d = OTHER; goto pay }
      fi;
      do
      :: i < 2 * N ->
        seen = pl[i];
        if
        :: pl_id(seen) == d ->
#ifdef REAP_FREE_FIRST
          d_step { pl[i] = freed(pl[i]); in[d] = 0 };
#endif
          s = st;
          do
#ifdef REAP_ANY
          :: !(s & B) ->
#else
          :: attempt(s) == pl_attempt(seen) && !(s & B) ->
#endif
            atomic {
              if
              :: st == s ->
                st = broken(s);
                broke = true;
#ifndef REAP_FREE_FIRST
                assert(in[d] == attempt(s));
#endif
                s = st
              :: else -> s = st
              fi
            }
          :: else -> break
          od;
#ifndef REAP_FREE_FIRST
          atomic { pl[i] = freed(pl[i]); in[d] = 0 };
#endif
          s = 0
        :: else
        fi;
        d_step { seen = 0; i++ }
      :: else -> break
      od;
      s = st;
      do
      :: s & V ->
        atomic {
          if
          :: st == s -> st = vacated(s); s = st; broke = true
          :: else -> s = st
          fi
        }
      :: else -> break
      od;
#ifdef REAP_QUIET
      if
      :: broke -> wake_all(0)
      :: else
      fi;
#else
      wake_all(0);
#endif
pay:  if
      :: owes[d] -> wake_all(0)
      :: else
      fi;
      d_step { reaped[d] = true; owes[d] = false; counted[d] = 0; d = 0; i = 0; s = 0; broke = false }
    } unless {
      reaper_dead -> d_step { reaper_dead = false; d = 0; i = 0; s = 0; seen = 0; broke = false }
    }
  od
}

proctype fate() {
end:
  do
  :: atomic { chance(!dead[1]); dead[1] = true }
  :: atomic { chance(!dead[2]); dead[2] = true }
  :: atomic { chance(!dead[OTHER]); dead[OTHER] = true }
  :: atomic { chance((dead[1] || dead[2]) && !reaper_dead); reaper_dead = true }
  od
}

proctype monitor() {
  byte p;
  timeout ->
  atomic {
    p = 1;
    do
    :: p <= OTHER ->
      assert(!dead[p] || reaped[p]);
      assert(!dead[p] || !in[p]);
      if
      :: asleep[p] ->
        assert(!arriving[p]);
        assert(in[p] == attempt(st) && !(st & B));
        assert(pl_attempt(place(st, 0)) != attempt(st) || pl_attempt(place(st, 1)) != attempt(st))
      :: else
      fi;
      p++
    :: else -> break
    od
  }
}

init {
  select (events : 0 .. EVENTS);
  atomic {
    run party(1);
    run party(2);
#if PARTIES == 3
    run party(3);
#endif
    run other();
    run reaper();
    run fate();
    run monitor()
  }
}
