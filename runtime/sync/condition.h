/* sync/condition.h: Condition: waiting for news while a lock is let go.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_CONDITION_H
#define LMP_SYNC_CONDITION_H

#include "sync/lock.h"

/* The body of a Condition. See sync/condition.c. */
typedef struct lmp_cond {
  lmp_lk cv_lk;       /* its own lock, recursive; unused when it is bound to another */
  lmp_handle cv_lock; /* the lock it is bound to, {0, 0}: its own; constant */
  uint32_t cv_hand;   /* context id of who was notified last; under the lock, only a hint */
  uint32_t cv_pad;
  uint64_t cv_waiters[LMP_CTX_MAX / 64]; /* a bit for each context that may be waiting */
} lmp_cond;
_Static_assert(sizeof(lmp_cond) <= LMP_OBJ_BODY, "fits an object");

extern const lmp_kind lmp_cond_kind;

/* lmp_cond_new: a condition bound to the Lock or RLock `lock`, which the caller holds as an object and which
 * lives as long as the condition; NULL: to an RLock of its own. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_cond_new(lmp_me *me, const char *name, size_t namelen,
                                   const lmp_obj *lock, lmp_handle *h);

/* lmp_cond_lock: the object whose lock it is: pass it to lmp_lock_acquire and the like. */
lmp_obj *lmp_cond_lock(const lmp_arena *a, lmp_obj *o);

/* lmp_cond_wait: lets go of the lock however often it was acquired, waits until notified, and holds the lock
 * again, as often as before, whatever the result. LMP_OK: was notified; LMP_E_TIMEOUT; LMP_E_INTR: a signal handler
 * ran, call again. *abandoned: somebody ended holding the lock meanwhile. LMP_E_INVAL, and nothing done: this
 * thread does not hold the lock. */
LMP_NODISCARD lmp_err lmp_cond_wait(lmp_me *me, lmp_obj *o, uint64_t deadline, bool *abandoned);

/* lmp_cond_notify: wakes `n` of those who wait, all if they are fewer. One that dies before its wait is
 * over has another one notified in its place. LMP_E_INVAL: this thread does not hold the lock. */
LMP_NODISCARD lmp_err lmp_cond_notify(lmp_me *me, lmp_obj *o, uint32_t n);

/* lmp_cond_valid: checks the invariants at rest, for tests. NULL, or what is wrong. */
const char *lmp_cond_valid(const lmp_arena *a, lmp_obj *o);

#endif
