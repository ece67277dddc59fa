/* sync/condition.c: Condition.
 * SPDX-License-Identifier: MIT
 *
 * Design. Whether a waiter was notified is said by one word in its own context, cx_cond: the condition's
 * index and a state. The waiter makes it WAITING under the lock and takes it back to 0 when it has the lock again;
 * a notifier turns WAITING or ASLEEP into NOTIFIED by one compare-and-swap, which is the notification; the
 * waiter sleeps on that word. So a notify is meant for one waiter, who finds it however late it comes, and
 * nobody else can take it; nobody waits for a waiter to answer.
 *   V1 cx_cond of a context names a condition from before its release of the lock until after it has the
 *      lock again. Only notifiers, who hold the lock, and reapers change it meanwhile, by compare-and-swap
 *      from the value that names this condition.
 *   V2 the bit of a context in cv_waiters is set while its cx_cond names the condition and it does not
 *      hold the lock; it may also be set or cleared at other times: it only says where to look.
 *   V3 ASLEEP is set by the waiter before it sleeps: without it nobody has to make a system call.
 * A waiter that timed out is a waiter until it has the lock: when it was notified meanwhile, it returns
 * that it was, so no notify goes to one that does not tell.
 *
 * CRASH: a waiter before it was notified: the reaper clears its word and its bit, by compare-and-swap against a
 * notifier. NOTIFIED: the reaper notifies another one, and only then clears the word; done twice it is a notify too
 * many. A notifier: each of its notifies is whole; cx_pwake owes the wake of the last. Holding the lock, it has
 * abandoned it. */
#include "sync/condition.h"

#include "base/debug.h"
#include "os/os.h"

enum { COND_WAITING = 1, COND_ASLEEP, COND_NOTIFIED };
#define COND_STATE 3u

static lmp_cond *cond_of(const lmp_obj *o) { return (lmp_cond *)(uintptr_t)o->ob_body; }

static uint32_t word_of(const lmp_arena *a, const lmp_obj *o, uint32_t state) {
  return (uint32_t)(o - a->objs) << 2 | state;
}

lmp_obj *lmp_cond_lock(const lmp_arena *a, lmp_obj *o) {
  uint32_t lock = cond_of(o)->cv_lock.obj;
  return lock ? lmp_obj_at(a, lock) : o;
}

lmp_err lmp_cond_new(lmp_me *me, const char *name, size_t namelen, const lmp_obj *lock,
                     lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_CONDITION, name, namelen, &o);
  if (e) return e;
  cond_of(o)->cv_lk.lk_recursive = 1;
  if (lock) cond_of(o)->cv_lock = lmp_handle_of(me->a, lock);
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  /* After it can be traced: a collector that was past its slot by then keeps what was stamped since. */
  if (lock) lmp_obj_stamp(me, cond_of(o)->cv_lock);
  return LMP_OK;
}

static void cond_destroy(lmp_me *me, lmp_obj *o) {
  if (cond_of(o)->cv_lock.obj) lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
}

static void cond_trace(lmp_me *me, lmp_obj *o) {
  if (cond_of(o)->cv_lock.obj) lmp_collect_mark(me, cond_of(o)->cv_lock);
}

/* -- waiters ------------------------------------------------------------------------------------ */

static void bit_set(lmp_cond *v, uint32_t id) {
  lmp_or_ar64(&v->cv_waiters[(id - 1) / 64], UINT64_C(1) << (id - 1) % 64);
}

static void bit_clear(lmp_cond *v, uint32_t id) {
  lmp_and_ar64(&v->cv_waiters[(id - 1) / 64], ~(UINT64_C(1) << (id - 1) % 64));
}

/* The first id after `id` whose bit is set, 0: none. */
static uint32_t bit_next(const lmp_cond *v, uint32_t id) {
  for (uint32_t w = id / 64; w < LMP_CTX_MAX / 64; w++) {
    uint64_t bits = lmp_load_acq64(&v->cv_waiters[w]);
    if (w == id / 64) bits &= UINT64_MAX << id % 64;
    if (bits) return w * 64 + (uint32_t)__builtin_ctzll(bits) + 1;
  }
  return 0;
}

/* Notifies context `id` if it waits and was not notified; the caller owes it the wake. */
static bool notify_one(const lmp_arena *a, const lmp_obj *o, uint32_t id) {
  uint32_t *word = &a->ctxs[id - 1].cx_cond;
  uint32_t seen = lmp_load_acq32(word);
  do {
    if (seen != word_of(a, o, COND_WAITING) && seen != word_of(a, o, COND_ASLEEP)) return false;
  } while (!lmp_cas_ar32(word, &seen, word_of(a, o, COND_NOTIFIED)));
  /* CRASH: between: cx_pwake. */
  if ((seen & COND_STATE) == COND_ASLEEP) lmp_os_futex_wake(word, 1);
  return true;
}

lmp_err lmp_cond_notify(lmp_me *me, lmp_obj *o, uint32_t n) {
  lmp_arena *a = me->a;
  lmp_cond *v = cond_of(o);
  if (lmp_lock_owner(lmp_cond_lock(a, o)) != me->id) return LMP_E_INVAL;
  uint32_t start = v->cv_hand; /* from the one after it, then from the first up to it */
  uint32_t id = start;
  bool wrapped = false;
  while (n > 0) {
    id = bit_next(v, id);
    if (id == 0 && !wrapped) {
      wrapped = true;
      id = bit_next(v, 0);
    }
    if (id == 0 || (wrapped && id > start)) break;
    if (lmp_ctx_dead(a, id - 1)) {
      lmp_reap_ctx(me, id - 1);
      continue;
    }
    lmp_owe(me, 0, &a->ctxs[id - 1].cx_cond);
    if (!notify_one(a, o, id)) continue;
    v->cv_hand = id;
    n--;
  }
  lmp_owe_none(me, 0);
  return LMP_OK;
}

/* -- waiting ------------------------------------------------------------------------------------ */

static lmp_err cond_sleep(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  uint32_t *word = &me->c->cx_cond;
  uint32_t waiting = word_of(me->a, o, COND_WAITING);
  uint32_t asleep = word_of(me->a, o, COND_ASLEEP);
  if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  if (lmp_spin(me, word, waiting, true)) return LMP_OK;
  lmp_wait_begin(me, o, word, deadline);
  if (!lmp_swap_if32(word, waiting, asleep)) return LMP_OK;
  lmp_err e;
  do {
    e = lmp_wait_sleep(me, word, asleep, deadline);
  } while (!e && lmp_load_acq32(word) == asleep);
  return e;
}

lmp_err lmp_cond_wait(lmp_me *me, lmp_obj *o, uint64_t deadline, bool *abandoned) {
  lmp_cond *v = cond_of(o);
  lmp_obj *lock = lmp_cond_lock(me->a, o);
  lmp_lk *k = lmp_lk_of(lock);
  if (lmp_lock_owner(lock) != me->id) return LMP_E_INVAL;
  uint32_t depth = lmp_load_rlx32(&k->lk_depth);
  lmp_assert(lmp_load_rlx32(&me->c->cx_cond) == 0);
  lmp_owns(me); /* also where the lock was another state's */
  lmp_store_rel32(&me->c->cx_cond, word_of(me->a, o, COND_WAITING));
  bit_set(v, me->id);
  lmp_store_rlx32(&k->lk_depth, 1);
  (void)!lmp_lock_release(me, lock); /* it is ours */
  lmp_err e = cond_sleep(me, o, deadline);
  while (lmp_lock_acquire(me, lock, LMP_FOREVER, abandoned)) { /* signals: the lock comes first */
  }
  lmp_store_rlx32(&k->lk_depth, depth);
  bit_clear(v, me->id);
  uint32_t was = lmp_xchg_ar32(&me->c->cx_cond, 0);
  lmp_wait_end(me);
  if ((was & COND_STATE) == COND_NOTIFIED) return LMP_OK;
  return e == LMP_E_INTR ? LMP_E_INTR : LMP_E_TIMEOUT;
}

/* -- the dead ----------------------------------------------------------------------------------- */

/* Notifies another waiter in the place of one that died. */
static void pass_on(const lmp_arena *a, const lmp_obj *o, uint32_t dead) {
  const lmp_cond *v = cond_of(o);
  uint32_t notified = word_of(a, o, COND_NOTIFIED);
  bool done = false;
  for (uint32_t id = bit_next(v, 0); id != 0; id = bit_next(v, id)) {
    if (id == dead) continue;
    /* Perhaps by a reaper that was killed before the wake. */
    if (lmp_load_acq32(&a->ctxs[id - 1].cx_cond) == notified) {
      lmp_os_futex_wake(&a->ctxs[id - 1].cx_cond, 1);
    } else if (!done && !lmp_ctx_dead(a, id - 1)) {
      done = notify_one(a, o, id);
    }
  }
}

static void cond_abandon(lmp_me *me, lmp_obj *o, uint32_t id) {
  const lmp_arena *a = me->a;
  uint32_t *word = &a->ctxs[id - 1].cx_cond;
  lmp_lock_abandon(me, o, id);
  uint32_t seen = lmp_load_acq32(word);
  if (seen >> 2 != (uint32_t)(o - a->objs)) return;
  bit_clear(cond_of(o), id); /* before the word, by which a further reaper comes here */
  while ((seen & COND_STATE) != COND_NOTIFIED) {
    if (lmp_cas_ar32(word, &seen, 0)) break;
  }
  if ((seen & COND_STATE) == COND_NOTIFIED) {
    pass_on(a, o, id);
    lmp_store_rel32(word, 0); /* after: CRASH: before: another one is notified once more */
  }
}

const lmp_kind lmp_cond_kind = {
    .name = "Condition",
    .destroy = cond_destroy,
    .trace = cond_trace,
    .abandon = cond_abandon,
};

const char *lmp_cond_valid(const lmp_arena *a, lmp_obj *o) {
  const lmp_cond *v = cond_of(o);
  const char *bad = lmp_lock_valid(a, lmp_cond_lock(a, o));
  if (bad) return bad;
  for (uint32_t id = bit_next(v, 0); id != 0; id = bit_next(v, id)) {
    if (lmp_load_acq32(&a->ctxs[id - 1].cx_cond) >> 2 != (uint32_t)(o - a->objs)) {
      return "V2: a bit of nobody who waits";
    }
  }
  return NULL;
}
