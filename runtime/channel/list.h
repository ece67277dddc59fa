/* channel/list.h: a list in shared memory.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_LIST_H
#define LMP_CHANNEL_LIST_H

#include "channel/entry.h"
#include "channel/slots.h"

typedef struct lmp_list {
  uint32_t ls_lock;
  uint32_t ls_count;
  uint32_t ls_nh;     /* elements that name objects */
  uint32_t ls_gap;    /* 1 + the slot that means nothing while elements are being moved; 0: none */
  uint64_t ls_change; /* grows with every change */
  lmp_slots ls_slots; /* the elements' entries */
  uint32_t ls_traced; /* the collector has looked at the elements before this one */
  uint32_t ls_pad;
} lmp_list;
_Static_assert(sizeof(lmp_list) <= LMP_OBJ_BODY, "fits an object");

#define LMP_LIST_MAX 0x7fffffffu
#define LMP_LIST_END UINT32_MAX /* as an index: behind the last element, or the last one */

extern const lmp_kind lmp_list_kind;

LMP_NODISCARD lmp_err lmp_list_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h);
uint32_t lmp_list_count(const lmp_obj *o);

/* lmp_list_get: reads the element at `i` (from 0); out->found is false for one that is not there. False: the buffer
 * is too small, *need bytes are wanted. */
LMP_NODISCARD bool lmp_list_get(lmp_me *me, lmp_obj *o, uint32_t i, lmp_out *out, size_t *need);

/* lmp_list_changes: a number that grows with every change; from one look at it to the next the list stayed as it was
 * where it did not grow. */
uint64_t lmp_list_changes(const lmp_obj *o);
/* lmp_list_copy: reads the elements from `i` on, `most` at most, as they are at one moment: under one lock, which is what
 * makes lmp_list_get and lmp_list_changes better as long as they do. They go into `out`, which has room for *n, all of
 * which are to be given back, and their bytes into `buf`; *n becomes their number. False, and nothing is held: `out` or
 * the buffer is too small. */
LMP_NODISCARD bool lmp_list_copy(lmp_me *me, lmp_obj *o, uint32_t i, uint32_t most, lmp_out *out,
                                 uint32_t *n, uint8_t *buf, size_t cap);

/* The changes, each at one moment for all processes. They wait until `deadline` while the family's memory is full:
 * LMP_E_TIMEOUT, LMP_E_INTR, LMP_E_TOOLARGE, LMP_E_NOSLOT (too many large values, or elements). LMP_E_INVAL: there
 * is no such place.
 * lmp_list_insert: a new element at `i`, those from there on move up. lmp_list_set: the element at `i` becomes
 * another one; at LMP_LIST_END, or where `i` is the count, it is appended. */
LMP_NODISCARD lmp_err lmp_list_insert(lmp_me *me, lmp_obj *o, uint32_t i, const lmp_msg *value,
                                      uint64_t deadline);
LMP_NODISCARD lmp_err lmp_list_set(lmp_me *me, lmp_obj *o, uint32_t i, const lmp_msg *value,
                                   uint64_t deadline);
/* lmp_list_remove: takes the element at `i` out, those behind it move down. LMP_E_INVAL: there is none, or, with `last`,
 * it is not the last one. Does not wait. */
LMP_NODISCARD lmp_err lmp_list_remove(lmp_me *me, lmp_obj *o, uint32_t i, bool last, lmp_out *out);

/* lmp_list_valid: checks the invariants of a list at rest, and adds the number of its blocks; for tests. */
const char *lmp_list_valid(lmp_me *me, lmp_obj *o, uint32_t *blocks);

#endif
