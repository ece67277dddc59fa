/* tests/model/runs.pml: the span map: runs are found, split, merged and given back by single stores.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: run_merge, run_split, run_fresh, run_scan, run_grow, run_find, lmp_run_alloc, lmp_run_free,
 * lmp_run_free_dead (arena/span.c), span_sweep for runs (arena/block.c), free_locks (arena/reap.c). It
 * starts with any map of NS spans and any hint that R1 to R4 allow, in which member 1, who is dead, owns
 * one run or none. Member 2 allocates and perhaps frees, killed at any store; member 3 allocates. The reaper
 * works without the lock. Small blocks, which have no protocol with the map but one store, and pages
 * are left out: blocks are words that are their owners, and the explorer goes through them.
 *
 * Property: after every store the heads that are reached by hopping from 0 cover [0, hwm) without a gap,
 * and a run belongs to whom its head says, as a whole (R1, R2); a word inside a run reads FREE (R3); a
 * scan starts at a run head (R4); who finds nothing looked while there was nothing; no lock stays.
 *
 * Mutants, each in a file of its name: STALE_HINT: a scan from below the hint does not lower it first; it
 * merges runs, and killed in it, a thread leaves a hint that names a word inside a run. TRUST_SCAN:
 * run_grow gives up when the last free runs are long enough: a reaper freed one just now. HEAD_FIRST: run_split stores the shorter head first. HWM_FIRST:
 * run_fresh raises hwm, then stores the head. NO_SECOND: no second look: a run that a reaper freed may
 * be out of sight. */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */

#define NS 3
#define NONE 255

byte own[NS], size[NS]; /* sp_word: own 0 is FREE, otherwise LARGE and its owner */
byte hwm;              /* hd_span_hwm */
byte hint;             /* hd_run_hint */
byte lock;             /* hd_run_lock */
bool dead[4], reaped[4];
byte used[NS]; /* ghost: who may write to the span */
hidden byte k, end_, hop;

/* After each store. */
inline check() {
  hop = 0;
  do
  :: hop >= hwm -> break
  :: else ->
    assert(size[hop] > 0 && hop + size[hop] <= hwm);
    k = hop;
    end_ = hop + size[hop];
    do
    :: k == end_ -> break
    :: else ->
      assert(used[k] == own[hop]);
      assert(k == hop || own[k] == 0);
      k++
    od;
    hop = end_
  od;
  assert(hop == hwm)
}

inline check_head(s) {
  hop = 0;
  do
  :: hop >= s || hop >= hwm -> break
  :: else -> hop = hop + size[hop]
  od;
  assert(hop == s)
}

/* The spans [s, s + n) change hands: ghost. */
inline give(s, n, from, to) {
  k = s;
  do
  :: k == s + n -> break
  :: else -> assert(used[k] == from); used[k] = to; k++
  od
}

/* Whether n spans in a row are nobody's: ghost. */
inline look(n) {
  can = false;
  k = 0;
  hop = 0;
  do
  :: k == NS -> break
  :: else ->
    hop = (used[k] == 0 -> hop + 1 : 0);
    can = can || hop >= n;
    k++
  od
}

/* run_scan from `at` on, for `n` spans; `found` is where. */
inline scan(me, n) {
#ifndef STALE_HINT
  if
  :: hint > at -> hint = at
  :: else
  fi;
#endif
  lowest = NONE;
  do
  :: at >= hwm -> break
  :: else ->
    if
    :: atomic { own[at] != 0 -> at = at + size[at] }
    :: own[at] == 0 ->
      do /* run_merge; a word that is not reached any more is cleared, so that its use shows */
      :: d_step { at + size[at] < hwm && own[at + size[at]] == 0 ->
                  k = at + size[at];
                  size[at] = size[at] + size[k];
                  size[k] = 0;
                  check() }
      :: else -> break
      od;
      if
      :: size[at] >= n ->
        /* run_split */
        if
        :: size[at] > n ->
#ifdef HEAD_FIRST
          rest = size[at] - n;
          d_step { give(at, n, 0, me); own[at] = me; size[at] = n; check() }
          d_step { own[at + n] = 0; size[at + n] = rest; rest = 0; check() }
#else
          d_step { own[at + n] = 0; size[at + n] = size[at] - n; check() }
          d_step { give(at, n, 0, me); own[at] = me; size[at] = n; check() }
#endif
        :: else -> d_step { give(at, n, 0, me); own[at] = me; size[at] = n; check() }
        fi;
        atomic {
          hint = (lowest == NONE -> at + n : lowest);
          found = at;
          break
        }
      :: atomic {
          size[at] < n ->
          lowest = (lowest == NONE -> at : lowest);
          at = at + size[at]
        }
      fi
    fi
  od;
  if
  :: found == NONE -> hint = (lowest == NONE -> hwm : lowest)
  :: else
  fi;
  atomic { lowest = NONE; at = 0 }
}

inline run_find(me, n) {
  atomic { at = hint; second = at > 0; check_head(at) }
  scan(me, n);
  if
  :: found == NONE && NS - hwm >= n -> /* run_fresh */
    at = hwm;
#ifdef HWM_FIRST
    d_step { hwm = at + n; give(at, n, 0, me); check() }
    d_step { own[at] = me; size[at] = n; check() }
#else
    d_step { own[at] = me; size[at] = n }
    d_step { hwm = at + n; give(at, n, 0, me); check() }
#endif
    d_step { found = at; at = 0 }
#ifndef NO_SECOND
  :: found == NONE && NS - hwm < n && second ->
    scan(me, n)
#endif
  :: else
  fi;
  if
  :: found == NONE -> /* run_grow */
    rest = hwm;
    do
    :: at >= hwm -> break
    :: else ->
      atomic {
        if
        :: own[at] != 0 -> rest = hwm
        :: own[at] == 0 && rest == hwm -> rest = at
        :: else
        fi;
        at = at + size[at]
      }
    od;
    at = 0;
    if
    :: rest < hwm && NS - rest >= n ->
#ifdef TRUST_SCAN
      if
      :: n <= hwm - rest -> goto grown
      :: else
      fi;
#endif
      if
      :: n > hwm - rest ->
        d_step { own[hwm] = 0; size[hwm] = n - (hwm - rest) }
        d_step { hwm = rest + n; check() }
      :: else
      fi;
      at = rest;
      rest = 0;
      scan(me, n)
    :: else
    fi;
grown:
    rest = 0
  :: else
  fi;
  second = false
}

proctype member(byte me; byte ops) {
  byte n, at, lowest = NONE, found = NONE, rest;
  bool second, can;
  {
    do
    :: ops == 0 -> break
    :: else ->
      atomic { lock == 0 -> lock = me; ops--; select (n : 1 .. NS); look(n) }
      run_find(me, n);
      assert(found != NONE || !can);
      atomic { lock = 0; n = 0; can = false }
      if /* it keeps it, or gives it back */
      :: found != NONE && me == 2 ->
        atomic { lock == 0 -> lock = me }
        d_step { give(found, size[found], me, 0); own[found] = 0; check() }
        if
        :: hint > found -> hint = found
        :: else
        fi;
        atomic { lock = 0; found = NONE }
      :: found = NONE
      fi
    od
  } unless { dead[me] ->
    atomic { ops = 0; n = 0; at = 0; lowest = NONE; found = NONE; second = false; rest = 0; can = false }
  }
}

proctype killer() {
end:
  atomic { lock == 2 -> dead[2] = true } /* without the lock it is as dead as member 1 */
}

/* free_locks, then lmp_memory_sweep, of dead member d. */
inline reap(d) {
  atomic {
    dead[d] && !reaped[d] ->
    lock = (lock == d -> 0 : lock)
  }
  do
  :: atomic { /* the words before s are not its own, and do not become so */
      s < hwm ->
      do
      :: s >= hwm || own[s] == d -> break
      :: else -> s++
      od
    }
    if
    :: s < hwm && own[s] == d ->
      d_step { give(s, size[s], d, 0); own[s] = 0; check() }
      hint = 0
    :: else
    fi
  :: atomic { s >= hwm -> break }
  od;
  atomic { s = 0; reaped[d] = true }
}

proctype reaper() {
  byte s;
end:
  do
  :: reap(1)
  :: reap(2)
  od
}

init {
  byte n;
  bool one;
  atomic {
    do /* any map */
    :: hwm < NS ->
      select (n : 1 .. NS - hwm);
      size[hwm] = n;
      if
      :: !one -> own[hwm] = 1; one = true
      :: own[hwm] = 0
      fi;
      d_step {
        k = hwm;
        do
        :: k == hwm + n -> break
        :: else -> used[k] = own[hwm]; k++
        od;
        hwm = hwm + n
      }
    :: break
    od;
    do /* any hint */
    :: hint < hwm -> hint = hint + size[hint]
    :: break
    od;
    n = 0;
    one = false;
    d_step { check() }
    dead[1] = true;
    run member(2, 1);
    run member(3, 1);
    run reaper();
    if
    :: run killer()
    :: skip
    fi
  }
}
