/* arena/span.c: runs of spans: finding, splitting, giving back.
 * SPDX-License-Identifier: MIT
 *
 * The span map holds a word for each span; the words of run heads are reached by hopping from run to
 * run by their lengths. Every change is one store:
 *   R1 the words that are reached by hopping from 0 cover [0, hwm) without gaps.
 *   R2 split: first the head of the rest, which nobody reaches, then the shorter head.
 *   R3 merge: the first head grows over the second. So the words inside a run always read FREE, and
 *      who looks for SMALL or LARGE may look at every word, without hopping and without the lock.
 *   R4 free runs are split and merged, and hd_run_hint is a run head, under hd_run_lock; a run that is
 *      owned changes by a single store of its owner. The reaper frees a dead owner's run without the
 *      lock and sets the hint to 0, which is always a head. */
#include "arena/span.h"

#include "base/debug.h"
#include "os/os.h"

static uint64_t span_file_off(const lmp_arena *a, uint32_t s) {
  return a->h->hd_span_off + (uint64_t)s * LMP_SPAN;
}

/* Merges the free runs that follow free run `s`; returns its word. */
static uint64_t run_merge(lmp_arena *a, uint32_t s, uint64_t word) {
  uint32_t hwm = lmp_load_rlx32(&a->h->hd_span_hwm);
  for (;;) {
    uint32_t next = s + LMP_SPAN_LEN(word);
    if (next >= hwm) return word;
    uint64_t w = lmp_load_acq64(&a->map[next].sp_word);
    if (LMP_SPAN_STATE(w) != LMP_SPAN_FREE) return word;
    /* Dirty only when both are: what has holes must be reserved again. */
    unsigned dirty = LMP_SPAN_CLASS(word) & LMP_SPAN_CLASS(w);
    word = LMP_SPAN_WORD(LMP_SPAN_FREE, dirty, 0, LMP_SPAN_LEN(word) + LMP_SPAN_LEN(w));
    lmp_store_rel64(&a->map[s].sp_word, word);
  }
}

/* Takes `n` spans off the free run `s`. CRASH: between the stores the rest is part of run `s`. */
static void run_split(lmp_me *me, uint32_t s, uint64_t word, uint32_t n) {
  lmp_arena *a = me->a;
  uint32_t len = LMP_SPAN_LEN(word);
  if (len > n) {
    lmp_store_rlx64(&a->map[s + n].sp_word,
                    LMP_SPAN_WORD(LMP_SPAN_FREE, LMP_SPAN_CLASS(word), 0, len - n));
  }
  lmp_store_rel64(&a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, me->id, n));
}

/* Takes `n` spans that were never used; false when there are no so many. */
static bool run_fresh(lmp_me *me, uint32_t n, uint32_t *out) {
  lmp_hdr *h = me->a->h;
  uint32_t s = lmp_load_rlx32(&h->hd_span_hwm);
  if (h->hd_nspan - s < n) return false;
  lmp_store_rlx64(&me->a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, me->id, n));
  /* CRASH: before: nobody looks beyond hwm. After: the run is ours and swept. */
  lmp_store_rel32(&h->hd_span_hwm, s + n);
  *out = s;
  return true;
}

/* First fit, from the run head `from` on; merges what it passes. CRASH: before the last store: the hint
 * must not name a word inside a run that was merged, so it is lowered before. */
static bool run_scan(lmp_me *me, uint32_t from, uint32_t n, uint32_t *out, bool *dirty) {
  lmp_arena *a = me->a;
  uint32_t *hint = &a->h->hd_run_hint;
  uint32_t hwm = lmp_load_rlx32(&a->h->hd_span_hwm);
  uint32_t lowest = UINT32_MAX;
  if (lmp_load_rlx32(hint) > from) lmp_store_rel32(hint, from);
  for (uint32_t s = from; s < hwm;) {
    uint64_t w = lmp_load_acq64(&a->map[s].sp_word);
    if (LMP_SPAN_STATE(w) == LMP_SPAN_FREE) {
      w = run_merge(a, s, w);
      if (LMP_SPAN_LEN(w) >= n) {
        run_split(me, s, w, n);
        lmp_store_rlx32(hint, lowest == UINT32_MAX ? s + n : lowest);
        *out = s;
        *dirty = LMP_SPAN_CLASS(w) != 0;
        return true;
      }
      if (lowest == UINT32_MAX) lowest = s;
    }
    s += LMP_SPAN_LEN(w);
  }
  lmp_store_rlx32(hint, lowest == UINT32_MAX ? hwm : lowest);
  return false;
}

/* The last run is free but too short: it grows into what was never used. Each store leaves a whole map. */
static bool run_grow(lmp_me *me, uint32_t n, uint32_t *out, bool *dirty) {
  lmp_hdr *h = me->a->h;
  uint32_t hwm = lmp_load_rlx32(&h->hd_span_hwm);
  uint32_t tail = hwm;
  for (uint32_t s = 0; s < hwm;) {
    uint64_t w = lmp_load_acq64(&me->a->map[s].sp_word);
    if (LMP_SPAN_STATE(w) != LMP_SPAN_FREE) {
      tail = hwm;
    } else if (tail == hwm) {
      tail = s;
    }
    s += LMP_SPAN_LEN(w);
  }
  if (tail == hwm || h->hd_nspan - tail < n) return false;
  if (n > hwm - tail) { /* otherwise a reaper made room just now */
    uint32_t more = n - (hwm - tail);
    lmp_store_rlx64(&me->a->map[hwm].sp_word, LMP_SPAN_WORD(LMP_SPAN_FREE, 0, 0, more));
    lmp_store_rel32(&h->hd_span_hwm, hwm + more);
  }
  return run_scan(me, tail, n, out, dirty);
}

/* Under the lock. *dirty: all pages of the run are there. The second look from the front is for runs
 * that a reaper freed without the lock, whose reset of the hint was overwritten. */
static bool run_find(lmp_me *me, uint32_t n, uint32_t *out, bool *dirty) {
  uint32_t from = lmp_load_rlx32(&me->a->h->hd_run_hint);
  *dirty = false;
  return run_scan(me, from, n, out, dirty) || run_fresh(me, n, out) ||
         (from > 0 && run_scan(me, 0, n, out, dirty)) || run_grow(me, n, out, dirty);
}

lmp_err lmp_run_alloc(lmp_me *me, uint32_t n, uint32_t *out) {
  lmp_arena *a = me->a;
  bool dirty = false;
  if (n > a->h->hd_nspan) return LMP_E_TOOLARGE;
  lmp_lock(me, &a->h->hd_run_lock);
  bool found = run_find(me, n, out, &dirty);
  lmp_unlock(me, &a->h->hd_run_lock);
  if (!found) return LMP_E_NOMEM;
  if (dirty) {
    lmp_add_ar32(&a->h->hd_dirty, -n);
  } else if (!lmp_os_reserve(a->fd, span_file_off(a, *out), (uint64_t)n * LMP_SPAN)) {
    lmp_run_free(me, *out, n);
    return LMP_E_NOMEM;
  }
  return LMP_OK;
}

void lmp_run_free(lmp_me *me, uint32_t s, uint32_t n) {
  lmp_arena *a = me->a;
  lmp_hdr *h = a->h;
  bool dirty = true;
  if (lmp_load_rlx32(&h->hd_dirty) + n > a->dirty_max) {
    dirty = !lmp_os_punch(a->fd, span_file_off(a, s), (uint64_t)n * LMP_SPAN);
  }
  if (dirty) lmp_add_ar32(&h->hd_dirty, n);
  lmp_lock(me, &h->hd_run_lock);
  lmp_store_rel64(&a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_FREE, dirty, 0, n));
  if (lmp_load_rlx32(&h->hd_run_hint) > s) lmp_store_rlx32(&h->hd_run_hint, s);
  lmp_unlock(me, &h->hd_run_lock);
}

void lmp_run_free_dead(lmp_arena *a, uint32_t s, uint32_t n) {
  lmp_store_rel64(&a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_FREE, 0, 0, n));
  lmp_store_rel32(&a->h->hd_run_hint, 0);
}

lmp_err lmp_run_to_small(lmp_me *me, uint32_t s, unsigned cls) {
  lmp_arena *a = me->a;
  lmp_span *sp = &a->map[s];
  if (!lmp_load_rlx32(&sp->sp_tagged)) {
    uint64_t tags = a->h->hd_tag_off + (uint64_t)s * LMP_TAGS * sizeof(uint16_t);
    if (!lmp_os_reserve(a->fd, tags, LMP_TAGS * sizeof(uint16_t))) {
      lmp_run_free(me, s, 1);
      return LMP_E_NOMEM;
    }
    lmp_store_rel32(&sp->sp_tagged, 1);
  }
  lmp_store_rlx32(&sp->sp_full, 0);
  lmp_store_rel64(&sp->sp_word, LMP_SPAN_WORD(LMP_SPAN_SMALL, cls, 0, 1));
  return LMP_OK;
}

void lmp_run_recount(lmp_arena *a) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  uint32_t dirty = 0;
  for (uint32_t s = 0; s < hwm;) {
    uint64_t w = lmp_load_acq64(&a->map[s].sp_word);
    if (LMP_SPAN_STATE(w) == LMP_SPAN_FREE && LMP_SPAN_CLASS(w)) dirty += LMP_SPAN_LEN(w);
    s += LMP_SPAN_LEN(w) ? LMP_SPAN_LEN(w) : 1;
  }
  lmp_store_rlx32(&a->h->hd_dirty, dirty);
}
