/* sync/lock.h: Lock and RLock: locks of scripts, held by a thread for as long as it likes.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_LOCK_H
#define LMP_SYNC_LOCK_H

#include "arena/arena.h"

#define LMP_LK_OWNER 0xffffu         /* context id of the owner, 0: free */
#define LMP_LK_ABANDONED 0x40000000u /* free, and its last owner ended without releasing it */
#define LMP_LK_W 0x80000000u         /* somebody may sleep on the word */

/* The body of a Lock and of an RLock, and the beginning of that of every object that has a lock of its
 * own. See sync/lock.c. */
typedef struct lmp_lk {
  uint32_t lk_word;  /* slept on; LMP_LK_* */
  uint32_t lk_depth; /* how often it must be released; the owner's */
  uint32_t
      lk_next; /* context id of a waiter that starved: its turn; it sleeps on it, too. 0: none */
  uint32_t lk_recursive; /* the owner may acquire it again; constant */
  uint64_t lk_flag;      /* raised by who waits for several objects; see lmp_kind.watch */
} lmp_lk;

extern const lmp_kind lmp_lock_kind, lmp_rlock_kind;

static inline lmp_lk *lmp_lk_of(const lmp_obj *o) { return (lmp_lk *)(uintptr_t)o->ob_body; }

/* lmp_lock_new, lmp_rlock_new: a free lock, held (as an object) by this process. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_lock_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h);
LMP_NODISCARD lmp_err lmp_rlock_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h);

/* lmp_lock_owner: the context id of the owner, 0: free. Of other threads' ownership true at a moment. */
static inline uint32_t lmp_lock_owner(const lmp_obj *o) {
  return lmp_load_acq32(&lmp_lk_of(o)->lk_word) & LMP_LK_OWNER;
}

LMP_NODISCARD lmp_err lmp_lock_acquire_slow(lmp_me *me, lmp_obj *o, uint64_t deadline,
                                            bool *abandoned);
void lmp_lock_wake(const lmp_arena *a, lmp_lk *k);

/* lmp_lock_acquire: makes this thread the owner of the lock that the body of `o` begins with; waits until
 * `deadline`. With LMP_OK *abandoned tells that the last owner died, or ended, holding it: what it protects
 * may be half-changed. LMP_E_TIMEOUT; LMP_E_INTR: a signal handler ran, call again; LMP_E_INVAL: no RLock, held by
 * this thread, and without a deadline: this would be for ever. LMP_E_TOOLARGE: acquired too often. A thread that
 * dies after this has abandoned the lock, one that dies in it while it waits has not. */
LMP_NODISCARD static inline lmp_err lmp_lock_acquire(lmp_me *me, lmp_obj *o, uint64_t deadline,
                                                     bool *abandoned) {
  lmp_lk *k = lmp_lk_of(o);
  lmp_owns(me);
  if (LMP_LIKELY(!lmp_load_rlx32(&k->lk_word) && !lmp_load_rlx32(&k->lk_next) &&
                 lmp_swap_if32(&k->lk_word, 0, me->id))) {
    /* CRASH: from here on the reaper makes it abandoned. */
    lmp_store_rlx32(&k->lk_depth, 1);
    *abandoned = false;
    return LMP_OK;
  }
  return lmp_lock_acquire_slow(me, o, deadline, abandoned);
}

/* lmp_lock_release: one acquisition less. LMP_E_INVAL, and nothing done: this thread is not the owner. */
LMP_NODISCARD static inline lmp_err lmp_lock_release(lmp_me *me, lmp_obj *o) {
  lmp_lk *k = lmp_lk_of(o);
  if (LMP_UNLIKELY((lmp_load_rlx32(&k->lk_word) & LMP_LK_OWNER) != me->id)) return LMP_E_INVAL;
  uint32_t depth = lmp_load_rlx32(&k->lk_depth);
  if (LMP_UNLIKELY(depth > 1)) {
    lmp_store_rlx32(&k->lk_depth, depth - 1);
    return LMP_OK;
  }
  lmp_owe(me, 0, &k->lk_word);
  /* CRASH: before: abandoned. After: released; cx_pwake owes the wake. */
  uint32_t old = lmp_xchg_ar32(&k->lk_word, 0); /* pairs with the swap of who gets it */
  if (LMP_UNLIKELY(old != me->id)) lmp_lock_wake(me->a, k);
  lmp_owe_none(me, 0);
  return LMP_OK;
}

/* lmp_lock_watch: for lmp_kind.watch of such an object. */
bool lmp_lock_watch(lmp_me *me, lmp_obj *o, uint64_t **flag);
/* lmp_lock_abandon: for lmp_kind.abandon of an object whose body begins with a lock. */
void lmp_lock_abandon(lmp_me *me, lmp_obj *o, uint32_t id);

/* lmp_lock_valid: checks the invariants of a lock at rest, its waiters asleep; for tests. NULL, or what is
 * wrong. */
const char *lmp_lock_valid(const lmp_arena *a, const lmp_obj *o);

#endif
