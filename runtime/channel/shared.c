/* channel/shared.c: the object that stands for a named block of the system.
 * SPDX-License-Identifier: MIT */
#include "channel/shared.h"

lmp_err lmp_shared_new(lmp_me *me, const char *name, size_t namelen, uint64_t size,
                       const uint64_t id[2], lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_SHARED, name, namelen, &o);
  if (e) return e;
  *lmp_shared_of(o) = (lmp_shared){.sm_size = size, .sm_id = {id[0], id[1]}};
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

/* The block lives and ends with its name, not with this. */
const lmp_kind lmp_shared_kind = {.name = "SharedMemory"};
