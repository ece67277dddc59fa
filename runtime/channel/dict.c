/* channel/dict.c: the dict as a whole: its order, reading and walking it, its life.
 * SPDX-License-Identifier: MIT
 *
 * Design. A key is hashed to its order, 64 bits. The lowest choose one of four stripes, tables with a lock and a
 * count each, so that different keys rarely meet. In a stripe the highest bits, read backwards, choose the bucket:
 * there are n, and n grows and shrinks by one (linear hashing), so that no change moves more than one chain. A
 * chain is sorted by order. Hence
 *   - a bucket is a range of the order, and the last bucket is the upper half of an older one's range: a split cuts a chain
 *     in two, a merge joins two, and no entry moves within the order;
 *   - the order of a stripe is that of its entries for good, so a walk that goes by it meets everything once.
 * An entry is a block; storing puts another one into its place, or, where the value is small, writes over it. Every change is one transaction
 * under the stripe's lock: the link to the entry, the tags of the blocks, and st_count, which is always last but for
 * the end of a hold.
 *   D1 a chain holds the entries whose order lies in its bucket's range, sorted by order, then length, then bytes of the
 *      key, which are all different; the entries are tagged LMP_TAG_SHARED.
 *   D2 st_count has the number of entries, st_nh the number of those that name objects.
 *   D3 the buckets are the slots [0, st_buckets); segments and directory are tagged (slots.c).
 *   D4 holds are tagged blocks; of those on one key at most one is of a living thread.
 * CRASH: between two transactions every stripe is whole: growing and shrinking are steps of their own.
 * Readers copy under the lock (entry.c says what becomes of large values). */
#include "channel/dict.h"

#include <string.h>

#include "base/debug.h"
#include "channel/dict_priv.h"

/* Entries that the collector looks at before it lets others in. */
#define TRACE_BATCH 256
/* Odd constants with bits all over: the golden ratio, and two of its kind. */
#define MIX_A UINT64_C(0x9e3779b97f4a7c15)
#define MIX_B UINT64_C(0xd6e8feb86659fd93)
#define MIX_C UINT64_C(0xa0761d6478bd642f)

/* -- the order ---------------------------------------------------------------------------------- */

static uint64_t reverse_bits(uint64_t x) {
  x = (x >> 1 & UINT64_C(0x5555555555555555)) | (x & UINT64_C(0x5555555555555555)) << 1;
  x = (x >> 2 & UINT64_C(0x3333333333333333)) | (x & UINT64_C(0x3333333333333333)) << 2;
  x = (x >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
  return __builtin_bswap64(x);
}

static uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * MIX_B;
  return h ^ h >> 29;
}

/* Whoever does not know the seed cannot choose keys that meet. */
lmp_dkey lmp_dict_key(const lmp_obj *o, const void *data, uint32_t len) {
  const uint8_t *p = data;
  uint64_t word;
  uint32_t left = len;
  uint64_t h = mix(lmp_dict_of(o)->di_seed, len * MIX_A);
  for (; left >= sizeof word; left -= (uint32_t)sizeof word, p += sizeof word) {
    memcpy(&word, p, sizeof word);
    h = mix(h, word * MIX_C);
  }
  if (left) {
    word = 0;
    memcpy(&word, p, left);
    h = mix(h, word * MIX_C);
  }
  h *= MIX_A;
  h ^= h >> 32;
  return (lmp_dkey){data, len, h * MIX_C};
}

uint32_t lmp_dict_bucket(uint32_t n, uint64_t order, unsigned *bits) {
  unsigned level = 31u - (unsigned)__builtin_clz(n);
  uint64_t low = reverse_bits(order);
  uint32_t b = (uint32_t)(low & ((UINT64_C(2) << level) - 1));
  *bits = level + 1;
  if (b < n) return b;
  *bits = level;
  return (uint32_t)(low & ((UINT64_C(1) << level) - 1));
}

int lmp_dict_cmp(const lmp_dkey *key, lmp_entry *e) {
  if (key->order != e->en_order) return key->order < e->en_order ? -1 : 1;
  if (key->len != e->en_klen) return key->len < e->en_klen ? -1 : 1;
  return memcmp(key->data, lmp_entry_key(e), key->len);
}

/* -- reading ------------------------------------------------------------------------------------ */

/* The first entry that stands after the key, or, with `equal`, is the key's; in its chain. */
static lmp_entry *chain_from(const lmp_arena *a, uint64_t off, const lmp_dkey *key, bool equal) {
  while (off) {
    lmp_entry *e = lmp_entry_at(a, off);
    int cmp = lmp_dict_cmp(key, e);
    if (cmp < 0 || (cmp == 0 && equal)) return e;
    off = e->en_next;
  }
  return NULL;
}

bool lmp_dict_get(lmp_me *me, lmp_obj *o, const lmp_dkey *key, lmp_out *out, size_t *need) {
  lmp_stripe *st = lmp_dict_stripe(o, key->order);
  unsigned bits;
  bool fits = true;
  lmp_lock(me, &st->st_lock);
  uint32_t b = lmp_dict_bucket(st->st_buckets, key->order, &bits);
  lmp_entry *e = chain_from(me->a, *lmp_slot(me->a, &st->st_slots, b), key, true);
  if (e && lmp_dict_cmp(key, e) == 0) fits = lmp_out_copy(me, out, e, false, need);
  lmp_unlock(me, &st->st_lock);
  return fits;
}

/* The first entry of the stripe from the key on. Under the lock. */
static lmp_entry *stripe_from(lmp_me *me, lmp_stripe *st, const lmp_dkey *key, bool equal) {
  lmp_dkey at = *key;
  for (;;) {
    unsigned bits;
    uint32_t b = lmp_dict_bucket(st->st_buckets, at.order, &bits);
    lmp_entry *e = chain_from(me->a, *lmp_slot(me->a, &st->st_slots, b), &at, equal);
    if (e) return e;
    uint64_t last = at.order | UINT64_MAX >> bits; /* of the bucket's range */
    if (last == UINT64_MAX) return NULL;
    at = (lmp_dkey){"", 0, last + 1};
    equal = true;
  }
}

bool lmp_dict_next(lmp_me *me, lmp_obj *o, const lmp_dkey *key, lmp_out *out, size_t *need) {
  lmp_dkey at = key ? *key : (lmp_dkey){"", 0, 0};
  uint32_t i = (uint32_t)(at.order % LMP_DICT_STRIPES);
  bool equal = !key;
  for (; i < LMP_DICT_STRIPES; i++) {
    lmp_stripe *st = &lmp_dict_of(o)->di_stripe[i];
    bool fits = true;
    lmp_lock(me, &st->st_lock);
    lmp_entry *e = stripe_from(me, st, &at, equal);
    if (e) fits = lmp_out_copy(me, out, e, true, need);
    lmp_unlock(me, &st->st_lock);
    if (e) return fits;
    at = (lmp_dkey){"", 0, 0};
    equal = true;
  }
  return true;
}

/* Two looks at all counts, between which none changed: so the sum was true in between. */
uint64_t lmp_dict_count(const lmp_obj *o) {
  const lmp_dict *d = lmp_dict_of(o);
  uint64_t seen[LMP_DICT_STRIPES];
  for (;;) {
    uint64_t sum = 0;
    bool same = true;
    for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
      seen[i] = lmp_load_acq64(&d->di_stripe[i].st_count);
      sum += (uint32_t)seen[i];
    }
    lmp_fence_sc();
    for (unsigned i = 0; i < LMP_DICT_STRIPES && same; i++) {
      same = lmp_load_acq64(&d->di_stripe[i].st_count) == seen[i];
    }
    if (same) return sum;
    lmp_os_relax();
  }
}

/* -- life --------------------------------------------------------------------------------------- */

lmp_err lmp_dict_new(lmp_me *me, uint32_t kind, const char *name, size_t namelen, lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, kind, name, namelen, &o);
  if (e) return e;
  lmp_dict *d = lmp_dict_of(o);
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) d->di_stripe[i].st_buckets = LMP_SLOTS_FIRST;
  d->di_seed = mix(lmp_os_now() * MIX_A, (uint64_t)lmp_load_rlx32(&o->ob_gen) << 32 | me->id);
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

/* Nobody changes it any more but its destroyer; the lock is against a collector that still looks through it. */
static void destroy_chain(lmp_me *me, lmp_stripe *st, uint64_t *head) {
  while (*head) {
    uint64_t off = *head;
    bool held = lmp_entry_hold_dying(me, off);
    lmp_lock(me, &st->st_lock);
    lmp_tx_begin(me);
    lmp_entry_unlink_dying(me, off, held);
    lmp_tx_set64(me, head, lmp_entry_at(me->a, off)->en_next);
    lmp_tx_commit(me);
    lmp_unlock(me, &st->st_lock);
    lmp_entry_free(me, off);
  }
}

static void destroy_holds(lmp_me *me, lmp_stripe *st) {
  while (st->st_holds) {
    uint64_t off = st->st_holds;
    lmp_tx_begin(me);
    lmp_tx_owner(me, off, me->id);
    lmp_tx_set64(me, &st->st_holds, lmp_hold_at(me->a, off)->ho_next);
    lmp_tx_commit(me);
    lmp_free(me, off);
  }
}

/* Takes the last bucket away, which is empty. */
static void destroy_bucket(lmp_me *me, lmp_stripe *st, uint32_t last) {
  lmp_slots_draft cut = {0, 0};
  lmp_lock(me, &st->st_lock);
  lmp_tx_begin(me);
  if (last >= LMP_SLOTS_FIRST) lmp_slots_cut(me, &st->st_slots, last, &cut);
  lmp_tx_set32(me, &st->st_buckets, last);
  lmp_tx_commit(me);
  lmp_unlock(me, &st->st_lock);
  lmp_slots_draft_end(me, &cut);
}

/* A segment may be there whose first bucket is still to come. */
static void destroy_unused(lmp_me *me, lmp_stripe *st) {
  lmp_slots_draft cut = {0, 0};
  if (!lmp_slots_has(me->a, &st->st_slots, st->st_buckets)) return;
  lmp_lock(me, &st->st_lock);
  lmp_tx_begin(me);
  lmp_slots_cut(me, &st->st_slots, st->st_buckets, &cut);
  if (cut.seg) lmp_tx_commit(me);
  lmp_unlock(me, &st->st_lock);
  lmp_slots_draft_end(me, &cut);
}

/* From the last bucket down; CRASH: each step leaves less, for the next destroyer. */
static void dict_destroy(lmp_me *me, lmp_obj *o) {
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
    lmp_stripe *st = &lmp_dict_of(o)->di_stripe[i];
    destroy_holds(me, st);
    destroy_unused(me, st);
    for (uint32_t last = st->st_buckets - 1;; last--) {
      destroy_chain(me, st, lmp_slot(me->a, &st->st_slots, last));
      if (last == 0) break;
      destroy_bucket(me, st, last);
    }
  }
}

/* -- collector ---------------------------------------------------------------------------------- */

/* Marks what the entries of some buckets name, from the one in whose range *from is on; under the lock. Whole
 * buckets, so that *from is the start of a range whatever n will be. False: that was the last one. */
static bool trace_batch(lmp_me *me, lmp_stripe *st, uint64_t *from) {
  for (int budget = TRACE_BATCH; budget > 0; budget--) {
    unsigned bits;
    uint32_t b = lmp_dict_bucket(st->st_buckets, *from, &bits);
    for (uint64_t off = *lmp_slot(me->a, &st->st_slots, b); off; budget--) {
      lmp_entry *e = lmp_entry_at(me->a, off);
      lmp_assert(lmp_block_owner(me->a, off) == LMP_TAG_SHARED);
      if (e->en_nh) lmp_entry_mark(me, e);
      off = e->en_next;
    }
    uint64_t last = *from | UINT64_MAX >> bits;
    if (last == UINT64_MAX) return false;
    *from = last + 1;
  }
  return true;
}

static void dict_trace(lmp_me *me, lmp_obj *o) {
  lmp_dict *d = lmp_dict_of(o);
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
    lmp_stripe *st = &d->di_stripe[i];
    uint64_t from = 0;
    bool more = true;
    while (more) {
      lmp_lock(me, &st->st_lock);
      /* Who stores with an older stamp than this epoch's has committed, or comes after us and reads ours. */
      more = st->st_nh != 0 && trace_batch(me, st, &from);
      lmp_unlock(me, &st->st_lock);
    }
  }
}

const lmp_kind lmp_dict_kind = {.name = "Dict", .destroy = dict_destroy, .trace = dict_trace};
const lmp_kind lmp_namespace_kind = {
    .name = "Namespace", .destroy = dict_destroy, .trace = dict_trace};

/* -- invariants --------------------------------------------------------------------------------- */

static const char *chain_valid(lmp_me *me, lmp_stripe *st, uint32_t b, uint32_t *entries,
                               uint32_t *nh) {
  lmp_entry *before = NULL;
  for (uint64_t off = *lmp_slot(me->a, &st->st_slots, b); off;) {
    lmp_entry *e = lmp_entry_at(me->a, off);
    lmp_dkey key = {lmp_entry_key(e), e->en_klen, e->en_order};
    unsigned bits;
    if (lmp_block_owner(me->a, off) != LMP_TAG_SHARED) return "D1: an entry is not tagged";
    if (lmp_dict_bucket(st->st_buckets, e->en_order, &bits) != b)
      return "D1: an entry in another's bucket";
    if (before && lmp_dict_cmp(&key, before) <= 0) return "D1: a chain is not sorted";
    if (lmp_entry_is_large(e) && !lmp_obj_get(me->a, lmp_entry_large(e)))
      return "N1: a large value is gone";
    ++*entries;
    *nh += e->en_nh != 0;
    before = e;
    off = e->en_next;
  }
  return NULL;
}

static const char *stripe_valid(lmp_me *me, lmp_stripe *st, uint32_t *blocks) {
  uint32_t entries = 0;
  uint32_t nh = 0;
  const char *bad = lmp_slots_valid(me->a, &st->st_slots, blocks);
  if (bad) return bad;
  if (st->st_lock) return "a lock is held";
  if (st->st_buckets < LMP_SLOTS_FIRST ||
      !lmp_slots_has(me->a, &st->st_slots, st->st_buckets - 1)) {
    return "D3: buckets are missing";
  }
  for (uint32_t b = 0; b < st->st_buckets; b++) {
    bad = chain_valid(me, st, b, &entries, &nh);
    if (bad) return bad;
  }
  if (entries != lmp_stripe_entries(st) || nh != st->st_nh) return "D2: entries are miscounted";
  *blocks += entries;
  for (uint64_t off = st->st_holds; off; off = lmp_hold_at(me->a, off)->ho_next) {
    if (lmp_block_owner(me->a, off) != LMP_TAG_SHARED) return "D4: a hold is not tagged";
    ++*blocks;
  }
  return NULL;
}

const char *lmp_dict_valid(lmp_me *me, lmp_obj *o, uint32_t *blocks) {
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
    const char *bad = stripe_valid(me, &lmp_dict_of(o)->di_stripe[i], blocks);
    if (bad) return bad;
  }
  return NULL;
}
