/* channel/slots.h: an array of 64-bit words in shared memory that grows and shrinks at its end.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_SLOTS_H
#define LMP_CHANNEL_SLOTS_H

#include "arena/arena.h"

#define LMP_SLOTS_FIRST 2u

/* Part of an object's body, zero at first; under a lock of the object. */
typedef struct lmp_slots {
  uint64_t sl_first[LMP_SLOTS_FIRST];
  uint64_t sl_dir; /* block: the number of segments it has room for, then their blocks; 0: none */
} lmp_slots;

/* Memory for one more segment, taken outside the lock; zero at first. */
typedef struct lmp_slots_draft {
  uint64_t seg, dir;
} lmp_slots_draft;

/* lmp_slot: slot `i`, which must be there. lmp_slots_has: is it there? */
uint64_t *lmp_slot(const lmp_arena *a, lmp_slots *s, uint32_t i);
bool lmp_slots_has(const lmp_arena *a, const lmp_slots *s, uint32_t i);

/* lmp_slots_draft_for: takes what slot `i` may want, waiting for memory until `deadline`. LMP_E_TIMEOUT, LMP_E_INTR,
 * LMP_E_TOOLARGE: nothing is kept. No lock may be held. lmp_slots_draft_end: gives back what the draft (still) holds. */
LMP_NODISCARD lmp_err lmp_slots_draft_for(lmp_me *me, uint32_t i, uint64_t deadline,
                                          lmp_slots_draft *d);
void lmp_slots_draft_end(lmp_me *me, lmp_slots_draft *d);
/* lmp_slots_extend: makes slot `i`, the first that is missing, be there, by a transaction of its own under
 * the lock; false when the draft does not suffice. What is left in the draft is the caller's. */
bool lmp_slots_extend(lmp_me *me, lmp_slots *s, uint32_t i, lmp_slots_draft *d);
/* lmp_slots_cut: slot `i` is the last that is there and not used any more. Where it is the first of its segment,
 * the caller's transaction, to which this adds at most five words, takes the segment out: into the empty draft. */
void lmp_slots_cut(lmp_me *me, lmp_slots *s, uint32_t i, lmp_slots_draft *d);

/* lmp_slots_idle: the first slot of the last segment, for lmp_slots_cut, when `n` slots in use are so few that it will not
 * be missed soon; else 0. */
uint32_t lmp_slots_idle(const lmp_arena *a, const lmp_slots *s, uint32_t n);

/* lmp_slots_valid: checks that the blocks are tagged as an object's and adds their number to *blocks; for tests.
 * NULL, or what is wrong. */
const char *lmp_slots_valid(const lmp_arena *a, const lmp_slots *s, uint32_t *blocks);

#endif
