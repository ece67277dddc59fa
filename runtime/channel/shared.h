/* channel/shared.h: what the family knows of a named block of the system.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_SHARED_H
#define LMP_CHANNEL_SHARED_H

#include "arena/arena.h"

/* The body of an object of kind SHARED; its name is the block's. The memory is not the arena's: each process
 * opens it by that name, and `id` tells whether it is still the same block. */
typedef struct lmp_shared {
  uint64_t sm_size;
  uint64_t sm_id[2]; /* see lmp_os_shm_open */
} lmp_shared;

extern const lmp_kind lmp_shared_kind;

static inline lmp_shared *lmp_shared_of(const lmp_obj *o) {
  return (lmp_shared *)(uintptr_t)o->ob_body;
}

/* lmp_shared_new: an object that stands for the block, so that handles on it travel. LMP_E_NOSLOT,
 * LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_shared_new(lmp_me *me, const char *name, size_t namelen, uint64_t size,
                                     const uint64_t id[2], lmp_handle *h);

#endif
