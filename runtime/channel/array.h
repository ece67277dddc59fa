/* channel/array.h: Value and Array: elements of one C type in shared memory.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_ARRAY_H
#define LMP_CHANNEL_ARRAY_H

#include "arena/arena.h"
#include "channel/elem.h"

#define LMP_ARRAY_INLINE 320u /* bytes of elements that lie in the object itself */

/* The body of an object of kind VALUE (one element) or ARRAY. */
typedef struct lmp_array {
  uint64_t ar_len;    /* elements; constant */
  uint64_t ar_data;   /* block with the elements; 0: in ar_inline, or elsewhere */
  uint32_t ar_type;   /* lmp_elem; constant */
  uint32_t ar_lock;   /* internal lock of the two handles */
  uint64_t ar_rlock;  /* its RLock, 0: it has none yet; set once, under ar_lock */
  uint64_t ar_shared; /* view: the SharedMemory where the elements are; set once, under ar_lock */
  uint64_t ar_at;     /* view: their offset there; constant */
  uint64_t ar_pad[2];
  uint8_t ar_inline[LMP_ARRAY_INLINE]; /* on lines that nothing else is on */
} lmp_array;
_Static_assert(sizeof(lmp_array) <= LMP_OBJ_BODY, "fits an object");
_Static_assert(offsetof(lmp_array, ar_inline) == LMP_CACHELINE, "cache lines");

extern const lmp_kind lmp_value_kind;
extern const lmp_kind lmp_array_kind;

/* lmp_array_of: the body of an object of either kind. */
static inline lmp_array *lmp_array_of(const lmp_obj *o) {
  return (lmp_array *)(uintptr_t)o->ob_body;
}

/* lmp_array_new: `len` zeros of type `t`, of `kind` VALUE or ARRAY, held by this process. LMP_E_TOOLARGE: more
 * than the family's memory can ever hold; LMP_E_NOMEM: no room now; LMP_E_NOSLOT. */
LMP_NODISCARD lmp_err lmp_array_new(lmp_me *me, uint32_t kind, lmp_elem t, uint64_t len,
                                    const char *name, size_t namelen, lmp_handle *h);
/* lmp_array_view: an ARRAY whose elements lie in the SharedMemory `shared`, which the caller holds, from
 * offset `at` on; they are within it. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_array_view(lmp_me *me, lmp_elem t, uint64_t len, lmp_handle shared,
                                     uint64_t at, lmp_handle *h);
/* lmp_array_shared: the SharedMemory of a view; {0, 0}: it is none. */
lmp_handle lmp_array_shared(const lmp_obj *o);
/* lmp_array_rlock: the RLock of a Value or Array, made at the first call of any process. No reference to it comes
 * along: it stays while somebody holds the array. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_array_rlock(lmp_me *me, lmp_obj *o, lmp_handle *h);
/* lmp_array_data: the first element, in this process's mapping; not of a view. */
static inline void *lmp_array_data(const lmp_arena *a, const lmp_obj *o) {
  lmp_array *ar = lmp_array_of(o);
  return ar->ar_data ? lmp_at(a, ar->ar_data) : ar->ar_inline;
}

#endif
