/* channel/dict_priv.h: what the files of the dict share.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_DICT_PRIV_H
#define LMP_CHANNEL_DICT_PRIV_H

#include "channel/dict.h"

static inline lmp_dict *lmp_dict_of(const lmp_obj *o) { return (lmp_dict *)(uintptr_t)o->ob_body; }
/* The lowest bits of the order choose the stripe, the highest the bucket. */
static inline lmp_stripe *lmp_dict_stripe(const lmp_obj *o, uint64_t order) {
  return &lmp_dict_of(o)->di_stripe[order % LMP_DICT_STRIPES];
}

static inline uint32_t lmp_stripe_entries(const lmp_stripe *st) { return (uint32_t)st->st_count; }
/* The count after `more` entries came, one change further. */
static inline uint64_t lmp_stripe_changed(const lmp_stripe *st, int more) {
  uint32_t n = (uint32_t)st->st_count + (uint32_t)more;
  return ((st->st_count >> 32) + 1) << 32 | n;
}

static inline lmp_hold *lmp_hold_at(const lmp_arena *a, uint64_t off) { return lmp_at(a, off); }

/* lmp_dict_bucket: the bucket of an order among `n`; *bits: how many of the order's highest bits chose it. */
uint32_t lmp_dict_bucket(uint32_t n, uint64_t order, unsigned *bits);
/* lmp_dict_cmp: where a key stands, seen from an entry: < 0: before it. */
int lmp_dict_cmp(const lmp_dkey *key, lmp_entry *e);

/* lmp_hold_find: the hold on a key, under the lock; *link: the word that names it. NULL: none. */
lmp_hold *lmp_hold_find(lmp_me *me, lmp_stripe *st, const lmp_dkey *key, uint64_t **link);
/* lmp_hold_end: adds to the transaction that the hold that `link` names ends, and that its block is the calling
 * thread's. Its last word must be the transaction's. The caller owes the sleepers a wake before the commit, and frees
 * the block after the unlock. */
void lmp_hold_end(lmp_me *me, lmp_stripe *st, uint64_t *link);
/* lmp_hold_wake: after the unlock: wakes who waits for a hold to end. */
void lmp_hold_wake(lmp_me *me, lmp_stripe *st);
/* lmp_hold_pass: under the lock: may the calling thread change the key (NULL: all keys)? *locked, and the lock is kept: it may.
 * Else the lock was let go, and with LMP_OK the caller has to lock and ask again: a hold has ended. LMP_E_TIMEOUT, LMP_E_INTR;
 * LMP_E_INVAL: the calling thread holds the key. May leave a wait record. */
LMP_NODISCARD lmp_err lmp_hold_pass(lmp_me *me, lmp_obj *o, lmp_stripe *st, const lmp_dkey *key,
                                    uint64_t deadline, bool *locked);

#endif
