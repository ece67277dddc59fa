/* process/wait.h: waiting for several things of which some are processes.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_PROCESS_WAIT_H
#define LMP_PROCESS_WAIT_H

#include "process/process.h"
#include "sync/wait_any.h"

/* One of the things: an object whose kind has `watch`, or a descriptor. */
typedef struct lmp_wanted {
  lmp_obj *obj; /* NULL: fd */
  int fd;       /* of a process: what tells its end, -1: nothing does */
  bool ours;    /* fd was opened for this wait */
  bool ready;
} lmp_wanted;

/* Private memory that is used again and again. All zeros: an empty list. */
typedef struct lmp_wanteds {
  lmp_wanted *item;
  uint32_t n, cap;
  uint32_t bad; /* after LMP_E_INVAL: the item that is no open descriptor */
  lmp_waiter waiter;
} lmp_wanteds;

/* lmp_wanteds_add: one more; false when memory is out. `n` = 0 empties the list. */
LMP_NODISCARD bool lmp_wanteds_add(lmp_wanteds *l, lmp_obj *obj, int fd);
void lmp_wanteds_fini(lmp_wanteds *l);

/* lmp_family_wait: lmp_wait_any, also for processes: those that ended are ready, children of this
 * process once their status can be told. LMP_OK: `ready` is set in all that are; LMP_E_TIMEOUT,
 * LMP_E_INTR, LMP_E_INVAL, LMP_E_SYSTEM as there; LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_family_wait(lmp_family *f, lmp_me *me, lmp_wanteds *l, uint64_t deadline);

#endif
