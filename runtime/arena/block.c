/* arena/block.c: blocks: small ones by tags, large ones as runs.
 * SPDX-License-Identifier: MIT
 *
 * A block's tag is its owner: one word that says whether it is free, who may use it, and who has to
 * give it back. Allocating is a swap of the tag from 0 to the context id, freeing a store of 0; a
 * transaction makes a block part of an object (LMP_TAG_SHARED) or takes it out. A dead context's blocks are
 * found by its tag.
 *   A1 a block's tag is LMP_TAG_SHARED exactly while an object refers to it.
 *   A2 a tag names a context only while that context lives or is not yet reaped.
 * Where to look for room (cursors, class hints, sp_full) is advisory: before the allocator says that
 * memory is full it forgets all hints and looks everywhere. */
#include "arena/span.h"
#include "base/debug.h"
#include "os/os.h"

/* Steps of at most a half; all multiples of a cache line. Above the last, whole spans. */
static const uint32_t class_size[LMP_CLASSES] = {64,   128,  192,   256,   384,   512,
                                                 768,  1024, 1536,  2048,  3072,  4096,
                                                 6144, 8192, 12288, 16384, 21824, 32768};
#define CLASS_LAST (LMP_CLASSES - 1)

/* How many spans' worth of frees it takes before looking for empty spans, and how many to look at:
 * more than were freed, so that a drained queue's memory comes back while it drains. */
#define TRIM_EVERY 16
#define TRIM_LOOK 64

static unsigned class_of(uint64_t size) {
  unsigned c = 0;
  while (class_size[c] < size) c++;
  return c;
}

static uint32_t class_blocks(unsigned cls) { return LMP_SPAN / class_size[cls]; }

static uint16_t *span_tags(const lmp_arena *a, uint32_t s) {
  return &a->tags[(size_t)s * LMP_TAGS];
}

static uint64_t span_off(const lmp_arena *a, uint32_t s) {
  return a->h->hd_span_off + ((uint64_t)s << LMP_SPAN_BITS);
}

static bool span_is_small(const lmp_arena *a, uint32_t s, unsigned cls) {
  uint64_t w = lmp_load_acq64(&a->map[s].sp_word);
  return LMP_SPAN_STATE(w) == LMP_SPAN_SMALL && LMP_SPAN_CLASS(w) == cls;
}

/* Takes a free block of span `s`, looking from block `from` on. */
static bool span_take(lmp_me *me, uint32_t s, unsigned cls, uint32_t from, uint64_t *off) {
  lmp_arena *a = me->a;
  uint16_t *tags = span_tags(a, s);
  uint32_t n = class_blocks(cls);
  for (uint32_t k = 0; k < n; k++) {
    uint32_t i = from + k < n ? from + k : from + k - n;
    if (lmp_load_rlx16(&tags[i]) != 0) continue;
    if (!lmp_swap_if16(&tags[i], 0, (uint16_t)me->id)) continue;
    if (!span_is_small(a, s, cls)) { /* it became something else meanwhile: not ours to take */
      lmp_store_rel16(&tags[i], 0);
      return false;
    }
    me->cursor[cls] = (lmp_cursor){s + 1, i + 1 < n ? i + 1 : 0};
    *off = span_off(a, s) + (uint64_t)i * class_size[cls];
    return true;
  }
  return false;
}

/* The same, and notes that the span is full where it is. Noted first: a block that comes free while we
 * look either is seen, or takes the note away. */
static bool span_try(lmp_me *me, uint32_t s, unsigned cls, uint64_t *off) {
  lmp_span *sp = &me->a->map[s];
  lmp_store_rlx32(&sp->sp_full, 1);
  lmp_fence_sc();
  /* Threads start at different places, so that they do not fight for the same tags. */
  bool found = span_take(me, s, cls, (me->id * 7) % class_blocks(cls), off);
  if (found) lmp_store_rlx32(&sp->sp_full, 0);
  return found;
}

static bool class_search(lmp_me *me, unsigned cls, uint64_t *off) {
  lmp_arena *a = me->a;
  uint32_t *hint = &a->h->hd_class_hint[cls];
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  for (uint32_t s = lmp_load_rlx32(hint); s < hwm; s++) {
    if (!span_is_small(a, s, cls) || lmp_load_rlx32(&a->map[s].sp_full)) continue;
    if (span_try(me, s, cls, off)) {
      lmp_store_rlx32(hint, s);
      return true;
    }
  }
  lmp_store_rlx32(hint, hwm);
  return false;
}

static void forget_hints(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  for (uint32_t s = 0; s < hwm; s++) {
    if (lmp_load_rlx32(&a->map[s].sp_full)) lmp_store_rlx32(&a->map[s].sp_full, 0);
  }
  for (unsigned c = 0; c < LMP_CLASSES; c++) lmp_store_rlx32(&a->h->hd_class_hint[c], 0);
}

static lmp_err alloc_small(lmp_me *me, unsigned cls, uint64_t *off) {
  lmp_cursor *cur = &me->cursor[cls];
  uint32_t s;
  if (cur->span && span_is_small(me->a, cur->span - 1, cls) &&
      span_take(me, cur->span - 1, cls, cur->next, off)) {
    return LMP_OK;
  }
  if (cur->span) lmp_store_rlx32(&me->a->map[cur->span - 1].sp_full, 1);
  cur->span = 0;
  if (class_search(me, cls, off)) return LMP_OK;
  lmp_err e = lmp_run_alloc(me, 1, &s);
  if (!e) e = lmp_run_to_small(me, s, cls);
  if (e) return e;
  return span_take(me, s, cls, 0, off) ? LMP_OK : LMP_E_NOMEM;
}

static lmp_err alloc_once(lmp_me *me, uint64_t size, uint64_t *off) {
  uint32_t s;
  if (size <= class_size[CLASS_LAST]) return alloc_small(me, class_of(size), off);
  lmp_err e = lmp_run_alloc(me, (uint32_t)lmp_ceil_div(size, LMP_SPAN), &s);
  if (!e) *off = span_off(me->a, s);
  return e;
}

lmp_err lmp_alloc(lmp_me *me, uint64_t size, uint64_t *off) {
  if (size > (uint64_t)me->a->h->hd_nspan * LMP_SPAN) return LMP_E_TOOLARGE;
  lmp_err e = alloc_once(me, size, off);
  if (e != LMP_E_NOMEM) return e;
  lmp_memory_trim(me, me->a->h->hd_nspan);
  forget_hints(me);
  return alloc_once(me, size, off);
}

/* Where a block is: its span, its map word, its tag (NULL for a run). */
typedef struct place {
  uint32_t span;
  uint64_t word;
  uint16_t *tag;
} place;

static place place_of(const lmp_arena *a, uint64_t off) {
  uint64_t at = off - a->h->hd_span_off;
  place p = {.span = (uint32_t)(at >> LMP_SPAN_BITS)};
  p.word = lmp_load_acq64(&a->map[p.span].sp_word);
  if (LMP_SPAN_STATE(p.word) == LMP_SPAN_SMALL) {
    p.tag = &span_tags(a, p.span)[(at & (LMP_SPAN - 1)) / class_size[LMP_SPAN_CLASS(p.word)]];
  }
  return p;
}

uint32_t lmp_block_owner(const lmp_arena *a, uint64_t off) {
  place p = place_of(a, off);
  return p.tag ? lmp_load_acq16(p.tag) : LMP_SPAN_OWNER(p.word);
}

uint64_t lmp_block_size(const lmp_arena *a, uint64_t off) {
  place p = place_of(a, off);
  return p.tag ? class_size[LMP_SPAN_CLASS(p.word)] : (uint64_t)LMP_SPAN_LEN(p.word) * LMP_SPAN;
}

void lmp_tx_owner(lmp_me *me, uint64_t off, uint32_t owner) {
  place p = place_of(me->a, off);
  if (p.tag) {
    lmp_tx_set16(me, p.tag, (uint16_t)owner);
  } else {
    lmp_tx_set64(me, &me->a->map[p.span].sp_word,
                 LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, owner, LMP_SPAN_LEN(p.word)));
  }
}

void lmp_memory_wake(lmp_arena *a) {
  lmp_hdr *h = a->h;
  if (LMP_LIKELY(!lmp_load_rlx64(&h->hd_mem_flag))) return;
  lmp_add_ar32(&h->hd_mem_seq, 1);
  lmp_flag_wake_slow(a, &h->hd_mem_flag, &h->hd_mem_seq, INT32_MAX);
}

/* A block of a span that was noted as full came free. */
static void span_not_full(lmp_arena *a, uint32_t s, unsigned cls) {
  lmp_span *sp = &a->map[s];
  if (lmp_load_rlx32(&sp->sp_full)) lmp_store_rlx32(&sp->sp_full, 0);
  uint32_t *hint = &a->h->hd_class_hint[cls];
  if (lmp_load_rlx32(hint) > s) lmp_store_rlx32(hint, s);
}

void lmp_free(lmp_me *me, uint64_t off) {
  lmp_arena *a = me->a;
  place p = place_of(a, off);
  lmp_assert(lmp_block_owner(a, off) == me->id);
  if (p.tag) {
    unsigned cls = LMP_SPAN_CLASS(p.word);
    lmp_xchg_ar16(p.tag, 0); /* an exchange: what follows must not be looked at earlier */
    lmp_fence_after_rmw();
    span_not_full(a, p.span, cls);
    me->freed += class_size[cls];
  } else {
    lmp_run_free(me, p.span, LMP_SPAN_LEN(p.word));
  }
  lmp_memory_wake(a);
  if (me->freed >= TRIM_EVERY * LMP_SPAN) {
    me->freed = 0;
    lmp_memory_trim(me, TRIM_LOOK);
  }
}

lmp_err lmp_memory_wait(lmp_me *me, uint32_t seq, uint64_t deadline) {
  lmp_hdr *h = me->a->h;
  if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  uint32_t outer = lmp_load_rlx32(&me->c->cx_wait_n);
  lmp_wait_begin(me, NULL, &h->hd_mem_seq, deadline);
  lmp_err e = lmp_wait_sleep(me, &h->hd_mem_seq, seq, deadline);
  lmp_store_rel32(&me->c->cx_wait_n,
                  outer); /* all sleepers are woken at once: no wake to pass on */
  return e;
}

lmp_err lmp_alloc_watch(lmp_me *me, uint64_t size, uint32_t *seq, uint64_t *off) {
  *seq = lmp_load_acq32(&me->a->h->hd_mem_seq);
  lmp_err e = lmp_alloc(me, size, off);
  if (LMP_LIKELY(e != LMP_E_NOMEM)) return e;
  lmp_flag_raise(&me->a->h->hd_mem_flag, *seq);
  return lmp_alloc(me, size, off);
}

lmp_err lmp_alloc_wait(lmp_me *me, uint64_t size, uint64_t deadline, uint64_t *off) {
  for (;;) {
    uint32_t seq;
    lmp_err e = lmp_alloc_watch(me, size, &seq, off);
    if (e != LMP_E_NOMEM) return e;
    e = lmp_memory_wait(me, seq, deadline);
    if (e) return e;
  }
}

/* Takes all blocks of span `s`; when one is in use, gives them back and returns false. */
static bool span_take_all(lmp_me *me, uint32_t s, uint32_t n) {
  uint16_t *tags = span_tags(me->a, s);
  uint32_t i = 0;
  while (i < n && lmp_load_rlx16(&tags[i]) == 0) i++;
  if (i < n) return false;
  for (i = 0; i < n; i++) {
    if (!lmp_swap_if16(&tags[i], 0, (uint16_t)me->id)) break;
  }
  if (i == n) return true;
  while (i-- > 0) lmp_store_rel16(&tags[i], 0);
  return false;
}

void lmp_memory_trim(lmp_me *me, uint32_t spans) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  uint32_t s = lmp_load_rlx32(&a->h->hd_sweep);
  for (uint32_t k = 0; k < spans && k < hwm; k++, s++) {
    if (s >= hwm) s = 0;
    uint64_t w = lmp_load_acq64(&a->map[s].sp_word);
    if (LMP_SPAN_STATE(w) != LMP_SPAN_SMALL) continue;
    uint32_t n = class_blocks(LMP_SPAN_CLASS(w));
    if (!span_is_small(a, s, LMP_SPAN_CLASS(w)) || !span_take_all(me, s, n)) continue;
    if (span_is_small(a, s, LMP_SPAN_CLASS(w))) {
      /* CRASH: between these: a free span with our tags, which the sweep takes away. */
      lmp_run_free(me, s, 1);
    }
    for (uint32_t i = 0; i < n; i++) lmp_swap_if16(&span_tags(a, s)[i], (uint16_t)me->id, 0);
  }
  lmp_store_rlx32(&a->h->hd_sweep, s);
}

static uint64_t span_used(const lmp_arena *a, uint32_t s) {
  uint64_t w = lmp_load_acq64(&a->map[s].sp_word);
  uint64_t used = 0;
  if (LMP_SPAN_STATE(w) == LMP_SPAN_LARGE) return (uint64_t)LMP_SPAN_LEN(w) * LMP_SPAN;
  if (LMP_SPAN_STATE(w) != LMP_SPAN_SMALL) return 0;
  for (uint32_t i = 0; i < class_blocks(LMP_SPAN_CLASS(w)); i++) {
    if (lmp_load_rlx16(&span_tags(a, s)[i])) used += class_size[LMP_SPAN_CLASS(w)];
  }
  return used;
}

uint64_t lmp_memory_used(const lmp_arena *a) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  uint64_t used = 0;
  for (uint32_t s = 0; s < hwm; s++) used += span_used(a, s);
  return used;
}

/* Tags are looked at in every span that ever had some, whatever it is now: a killed thread may have
 * left its mark on a span that was just becoming something else. */
static void span_sweep(lmp_arena *a, uint32_t s, uint32_t id) {
  uint64_t w = lmp_load_acq64(&a->map[s].sp_word);
  if (LMP_SPAN_STATE(w) == LMP_SPAN_LARGE && LMP_SPAN_OWNER(w) == id) {
    lmp_run_free_dead(a, s, LMP_SPAN_LEN(w));
  }
  if (!lmp_load_acq32(&a->map[s].sp_tagged)) return;
  uint16_t *tags = span_tags(a, s);
  for (uint32_t i = 0; i < LMP_TAGS; i++) {
    if (lmp_load_rlx16(&tags[i]) == id) lmp_swap_if16(&tags[i], (uint16_t)id, 0);
  }
}

void lmp_memory_sweep(lmp_me *me, uint32_t id) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  for (uint32_t s = 0; s < hwm; s++) span_sweep(a, s, id);
  forget_hints(me);
  lmp_run_recount(a);
  lmp_add_ar32(&a->h->hd_mem_seq, 1);
  lmp_os_futex_wake(&a->h->hd_mem_seq, INT32_MAX);
}
