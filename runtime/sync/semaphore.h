/* sync/semaphore.h: the semaphore that counts signals, and the one whose permits have holders.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_SEMAPHORE_H
#define LMP_SYNC_SEMAPHORE_H

#include "arena/arena.h"

/* -- Semaphore: permits are signals; nobody holds them, and a death gives none back ------------------ */

/* Both counts in one word, so that one store moves them: released:32 | taken:32. The value is their
 * difference. The upper half only grows (modulo 2^32); it is slept on while the two are equal. */
typedef uint64_t lmp_spos;

typedef struct lmp_semaphore {
  lmp_spos se_pos;
  uint64_t se_flag; /* somebody may sleep on the upper half; see lmp_flag_raise */
} lmp_semaphore;

#define LMP_SEMAPHORE_MAX 0x7fffffffu /* greatest value */

extern const lmp_kind lmp_semaphore_kind;

static inline lmp_semaphore *lmp_semaphore_of(const lmp_obj *o) {
  return (lmp_semaphore *)(uintptr_t)o->ob_body;
}

/* lmp_semaphore_new: a semaphore of `value` <= LMP_SEMAPHORE_MAX, held by this process. LMP_E_NOSLOT,
 * LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_semaphore_new(lmp_me *me, const char *name, size_t namelen,
                                        uint32_t value, lmp_handle *h);
/* lmp_semaphore_acquire: takes a permit, waits for one until `deadline`: LMP_E_TIMEOUT; LMP_E_INTR: a
 * signal handler ran. */
LMP_NODISCARD lmp_err lmp_semaphore_acquire(lmp_me *me, lmp_obj *o, uint64_t deadline);
/* lmp_semaphore_release: one permit more; wakes one who waits. LMP_E_INVAL, and nothing done: the value
 * is the greatest. */
LMP_NODISCARD lmp_err lmp_semaphore_release(lmp_me *me, lmp_obj *o);
/* lmp_semaphore_value: permits that are free, exact at a moment during the call. */
uint32_t lmp_semaphore_value(const lmp_obj *o);

/* -- BoundedSemaphore: a fixed number of permits, each with its holder -------------------------------- */

/* Permits whose words lie in the object's body; more have a block. */
#define LMP_BOUNDED_INLINE 80u
#define LMP_BOUNDED_MAX \
  65536u /* permits: a block of 256 KiB, which an acquire may have to look through */

/* A permit: changes:20 | holder's context id:12, 0: it is free. */
typedef uint32_t lmp_permit;

typedef struct lmp_bounded {
  uint32_t bs_seq;   /* grows when a permit became free while somebody might sleep; slept on */
  uint32_t bs_n;     /* permits; constant */
  uint64_t bs_flag;  /* somebody may sleep; see lmp_flag_raise */
  uint64_t bs_block; /* the permits, 0: they are in bs_permit; constant while the object lives */
  uint32_t bs_hint;  /* where to look for a free permit; only a hint */
  uint32_t bs_pad[3];
  lmp_permit bs_permit[LMP_BOUNDED_INLINE];
} lmp_bounded;
_Static_assert(sizeof(lmp_bounded) <= LMP_OBJ_BODY, "fits an object");

extern const lmp_kind lmp_bounded_kind;

static inline lmp_bounded *lmp_bounded_of(const lmp_obj *o) {
  return (lmp_bounded *)(uintptr_t)o->ob_body;
}

/* lmp_bounded_new: `n` <= LMP_BOUNDED_MAX free permits; held (as an object) by this process. LMP_E_NOSLOT,
 * LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_bounded_new(lmp_me *me, const char *name, size_t namelen, uint32_t n,
                                      lmp_handle *h);
/* lmp_bounded_acquire: makes this thread the holder of a permit, waits for one until `deadline`:
 * LMP_E_TIMEOUT; LMP_E_INTR: a signal handler ran. When the holder dies or ends its permits are free. */
LMP_NODISCARD lmp_err lmp_bounded_acquire(lmp_me *me, lmp_obj *o, uint64_t deadline);
/* lmp_bounded_release: frees a permit of this thread or, where it has none, one of anybody's; wakes one
 * who waits. LMP_E_INVAL, and nothing done: all are free. */
LMP_NODISCARD lmp_err lmp_bounded_release(lmp_me *me, lmp_obj *o);
/* lmp_bounded_value: free permits, exact at a moment during the call. */
uint32_t lmp_bounded_value(const lmp_arena *a, const lmp_obj *o);
/* lmp_bounded_held: permits of context `id`; for tests. */
uint32_t lmp_bounded_held(const lmp_arena *a, const lmp_obj *o, uint32_t id);

#endif
