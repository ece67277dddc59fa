/* channel/slots.c: an array of 64-bit words that grows and shrinks at its end.
 * SPDX-License-Identifier: MIT
 *
 * The first slots lie in the body of the object, the others in segments whose blocks a directory names. Each
 * segment is as large as all before it, up to a size that costs nobody a long pause; from there on all
 * have that size. A slot never moves, and one that comes to be is not zeroed: whoever makes it part of what
 * is used writes it first.
 *   S1 the segments in the directory are the first ones, without a gap; words behind them are 0.
 *   S2 the directory and the segments in it are tagged LMP_TAG_SHARED. */
#include "channel/slots.h"

#include <string.h>

#include "base/debug.h"

/* Slots of a segment at most, and segments of the first directory: half a MiB is reserved in some 80 us.
 * The tests want to see large arrays in small memory. */
#ifdef LUAMP_TESTING
#define CAP_BITS 5u
#define DIR_FIRST 7u
#else
#define CAP_BITS 16u
#define DIR_FIRST 15u
#endif
#define SEG0_BITS 4u                      /* segment 0 ends at slot 16 */
#define LEVEL_LAST (CAP_BITS - SEG0_BITS) /* segments that double, besides the first */
#define LEVELS_END (2u << CAP_BITS)       /* from that slot on they do not */

typedef struct lmp_dir {
  uint64_t dr_cap;
  uint64_t dr_seg[];
} lmp_dir;

static lmp_dir *dir_at(const lmp_arena *a, uint64_t off) { return lmp_at(a, off); }

static unsigned top_bit(uint32_t i) { return 31u - (unsigned)__builtin_clz(i); }

static uint32_t seg_of(uint32_t i) {
  if (i < 1u << SEG0_BITS) return 0;
  if (i < LEVELS_END) return top_bit(i) - SEG0_BITS + 1;
  return LEVEL_LAST + 2 + ((i - LEVELS_END) >> CAP_BITS);
}

/* The slot that stands at the start of a segment's block. */
static uint32_t seg_base(uint32_t seg) {
  if (seg == 0) return 0;
  if (seg <= LEVEL_LAST + 1) return 1u << (seg + SEG0_BITS - 1);
  return LEVELS_END + ((seg - LEVEL_LAST - 2) << CAP_BITS);
}

static uint32_t seg_slots(uint32_t seg) {
  if (seg == 0) return 1u << SEG0_BITS;
  return seg <= LEVEL_LAST + 1 ? seg_base(seg) : 1u << CAP_BITS;
}

uint64_t *lmp_slot(const lmp_arena *a, lmp_slots *s, uint32_t i) {
  if (i < LMP_SLOTS_FIRST) return &s->sl_first[i];
  uint32_t seg = seg_of(i);
  uint64_t *block = lmp_at(a, dir_at(a, s->sl_dir)->dr_seg[seg]);
  return block + (i - seg_base(seg));
}

bool lmp_slots_has(const lmp_arena *a, const lmp_slots *s, uint32_t i) {
  if (i < LMP_SLOTS_FIRST) return true;
  uint64_t dir = s->sl_dir;
  uint32_t seg = seg_of(i);
  return dir && seg < dir_at(a, dir)->dr_cap && dir_at(a, dir)->dr_seg[seg] != 0;
}

/* How much room the directory must have for segment `seg`. */
static uint64_t dir_cap_for(uint32_t seg) {
  uint64_t cap = DIR_FIRST;
  while (cap <= seg) cap = cap * 2 + 1;
  return cap;
}

lmp_err lmp_slots_draft_for(lmp_me *me, uint32_t i, uint64_t deadline, lmp_slots_draft *d) {
  uint32_t seg = seg_of(i);
  uint64_t cap = dir_cap_for(seg);
  lmp_err e = LMP_OK;
  /* A directory is made exactly when its first new segment is: no look at one that may go away. */
  bool grows = seg == 0 || dir_cap_for(seg - 1) != cap;
  if (!d->seg) {
    e = lmp_alloc_wait(me, (uint64_t)seg_slots(seg) * sizeof(uint64_t), deadline, &d->seg);
  }
  if (!e && grows && !d->dir) {
    e = lmp_alloc_wait(me, (cap + 1) * sizeof(uint64_t), deadline, &d->dir);
    if (!e) {
      memset(lmp_at(me->a, d->dir), 0, (cap + 1) * sizeof(uint64_t));
      dir_at(me->a, d->dir)->dr_cap = cap;
    }
  }
  if (e) lmp_slots_draft_end(me, d);
  return e;
}

void lmp_slots_draft_end(lmp_me *me, lmp_slots_draft *d) {
  if (d->seg) lmp_free(me, d->seg);
  if (d->dir) lmp_free(me, d->dir);
  *d = (lmp_slots_draft){0, 0};
}

/* A new directory takes the place of the old one, with the old one's segments and the new one. */
static void dir_replace(lmp_me *me, lmp_slots *s, uint32_t seg, lmp_slots_draft *d) {
  lmp_dir *dir = dir_at(me->a, d->dir);
  uint64_t old = s->sl_dir;
  if (old) {
    const lmp_dir *from = dir_at(me->a, old);
    memcpy(dir->dr_seg, from->dr_seg, from->dr_cap * sizeof(uint64_t));
    lmp_tx_owner(me, old, me->id);
  }
  dir->dr_seg[seg] = d->seg;
  lmp_tx_owner(me, d->dir, LMP_TAG_SHARED);
  lmp_tx_set64(me, &s->sl_dir, d->dir);
  lmp_tx_commit(me);
  *d = (lmp_slots_draft){0, old};
}

bool lmp_slots_extend(lmp_me *me, lmp_slots *s, uint32_t i, lmp_slots_draft *d) {
  uint32_t seg = seg_of(i);
  uint64_t cap = s->sl_dir ? dir_at(me->a, s->sl_dir)->dr_cap : 0;
  bool grows = seg >= cap;
  if (!d->seg || lmp_block_size(me->a, d->seg) < seg_slots(seg) * sizeof(uint64_t)) return false;
  if (grows && (!d->dir || dir_at(me->a, d->dir)->dr_cap <= seg)) return false;
  lmp_tx_begin(me);
  lmp_tx_owner(me, d->seg, LMP_TAG_SHARED);
  if (grows) {
    dir_replace(me, s, seg, d);
    return true;
  }
  lmp_tx_set64(me, &dir_at(me->a, s->sl_dir)->dr_seg[seg], d->seg);
  lmp_tx_commit(me);
  d->seg = 0;
  return true;
}

void lmp_slots_cut(lmp_me *me, lmp_slots *s, uint32_t i, lmp_slots_draft *d) {
  if (i < LMP_SLOTS_FIRST) return;
  uint32_t seg = seg_of(i);
  if (i != (seg ? seg_base(seg) : LMP_SLOTS_FIRST)) return;
  lmp_dir *dir = dir_at(me->a, s->sl_dir);
  d->seg = dir->dr_seg[seg];
  lmp_tx_owner(me, d->seg, me->id);
  if (seg == 0) {
    d->dir = s->sl_dir;
    lmp_tx_owner(me, d->dir, me->id);
    lmp_tx_set64(me, &s->sl_dir, 0);
  } else {
    lmp_tx_set64(me, &dir->dr_seg[seg], 0);
  }
}

uint32_t lmp_slots_idle(const lmp_arena *a, const lmp_slots *s, uint32_t n) {
  uint32_t seg = n > LMP_SLOTS_FIRST ? seg_of(n - 1) : 0;
  if (!s->sl_dir) return 0;
  const lmp_dir *dir = dir_at(a, s->sl_dir);
  while (seg + 1 < dir->dr_cap && dir->dr_seg[seg + 1]) seg++;
  if (seg == 0) return n == 0 ? LMP_SLOTS_FIRST : 0;
  return n + seg_slots(seg) / 2 <= seg_base(seg) ? seg_base(seg) : 0;
}

const char *lmp_slots_valid(const lmp_arena *a, const lmp_slots *s, uint32_t *blocks) {
  if (!s->sl_dir) return NULL;
  const lmp_dir *dir = dir_at(a, s->sl_dir);
  bool end = false;
  if (lmp_block_owner(a, s->sl_dir) != LMP_TAG_SHARED) return "S2: a directory is not tagged";
  ++*blocks;
  for (uint64_t k = 0; k < dir->dr_cap; k++) {
    if (!dir->dr_seg[k]) {
      end = true;
      continue;
    }
    if (end) return "S1: the directory has a gap";
    if (lmp_block_owner(a, dir->dr_seg[k]) != LMP_TAG_SHARED) return "S2: a segment is not tagged";
    ++*blocks;
  }
  return NULL;
}
