/* tests/model/runs.pml: the span map: runs are found, split, merged and given back by single stores.
 * SPDX-License-Identifier: MIT
 *
 * Modelled: run_merge, run_split, run_fresh, run_scan, run_find, lmp_run_alloc, lmp_run_free,
 * lmp_run_free_dead (arena/span.c), span_sweep for runs (arena/block.c). NS spans; three members
 * allocate runs of any length and free them; two of them are killed at any store. The reaper frees
 * the lock, then sweeps without it. Small blocks and pages are left out.
 *
 * Property: after every store the heads that are reached by hopping from 0 cover [0, hwm) without a gap,
 * and a run belongs to whom its head says, as a whole (R1, R2); a word inside a run reads FREE (R3); a
 * scan starts at a run head (R4); at the end all is free and can be had.
 *
 * Before the second look, from the front, the hint is set to 0: that look merges runs from below the
 * hint. Mutants, each in a file of its name: STALE_HINT: it is not; killed in that look, a thread leaves
 * a hint that names a word inside a run. HEAD_FIRST: run_split stores the shorter head first.
 * HWM_FIRST: run_fresh raises hwm, then stores the head. NO_SECOND: no second look, and a run that a
 * reaper freed may be out of sight. */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 */

#ifndef NS
#define NS 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
/* How often each member allocates. */
#ifndef OPS1
#define OPS1 1
#define OPS2 2
#define OPS3 1
#endif
#define NONE 255

byte own[NS], size[NS]; /* sp_word: own 0 is FREE, otherwise LARGE and its owner */
byte hwm;              /* hd_span_hwm */
byte hint;             /* hd_run_hint */
byte lock;             /* hd_run_lock */
bool dead[4], reaped[4];
byte kills;
byte used[NS]; /* ghost: who may write to the span */
/* For checks. */
byte k, end_, hop;

/* After each store. Ghost `used` is what allocating and freeing mean. */
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
  assert(hop == hwm);
  k = 0; end_ = 0; hop = 0
}

inline check_head(s) {
  hop = 0;
  do
  :: hop >= s || hop >= hwm -> break
  :: else -> hop = hop + size[hop]
  od;
  assert(hop == s);
  hop = 0
}

/* The span words of [s, s + n) change hands. */
inline give(s, n, from, to) {
  k = s;
  do
  :: k == s + n -> break
  :: else -> assert(used[k] == from); used[k] = to; k++
  od;
  k = 0
}

/* run_scan from `at` on, for `n` spans; `found` is where. */
inline scan(me, n) {
  lowest = NONE;
  do
  :: at >= hwm -> break
  :: else ->
    if
    :: own[at] == 0 ->
      do /* run_merge */
      :: d_step { at + size[at] < hwm && own[at + size[at]] == 0 ->
                  size[at] = size[at] + size[at + size[at]];
                  for (hop : at + 1 .. at + size[at] - 1) { size[hop] = 0 } /* fewer states: nobody reads them */
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
          if
          :: lowest == NONE -> hint = at + n
          :: else -> hint = lowest
          fi;
          found = at;
          break
        }
      :: size[at] < n && lowest == NONE -> lowest = at
      :: else
      fi
    :: else
    fi;
    at = at + size[at]
  od;
  if
  :: found == NONE ->
    if
    :: lowest == NONE -> hint = hwm
    :: else -> hint = lowest
    fi
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
#ifndef STALE_HINT
    hint = 0;
#endif
    scan(me, n)
#endif
  :: else
  fi;
  second = false
}


proctype member(byte me; byte ops) {
  byte n, at, lowest = NONE, found = NONE, rest;
  bool second;
  {
    do
    :: ops == 0 -> break
    :: else ->
      atomic { ops--; select (n : 1 .. NS) }
      atomic { lock == 0 -> lock = me }
      run_find(me, n);
      atomic { lock = 0; n = 0 }
      if
      :: found != NONE -> /* it keeps it, or gives it back */
        if
        :: atomic { lock == 0 -> lock = me }
          d_step { give(found, size[found], me, 0); own[found] = 0; check() }
          if
          :: hint > found -> hint = found
          :: else
          fi;
          atomic { lock = 0; found = NONE }
        :: found = NONE
        fi
      :: else
      fi
    od
  } unless { dead[me] ->
    atomic { ops = 0; n = 0; at = 0; lowest = NONE; found = NONE; second = false; rest = 0 }
  }
}

proctype killer() {
end:
  do
  :: atomic {
    kills > 0 ->
    kills--;
    if
    :: !dead[1] -> dead[1] = true
    :: !dead[2] -> dead[2] = true
    :: else -> goto end
    fi
  }
  od
}

/* free_locks, then lmp_memory_sweep, of dead member d. */
inline reap(d) {
  atomic {
    dead[d] && !reaped[d] ->
    if
    :: lock == d -> lock = 0
    :: else
    fi
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
  select (kills : 0 .. KILLS);
  atomic { run member(1, OPS1); run member(2, OPS2); run member(3, OPS3); run killer(); run reaper() }
}
