/* sync/bounded.c: the semaphore whose permits have holders.
 * SPDX-License-Identifier: MIT
 *
 * Design. A word for each permit says who holds it: claim, ownership and release are one swap of it, so that
 * the permits of the dead are exactly the words that name them.
 *   BS1 a permit names a context exactly while that one holds it, or is dead and not reaped.
 *   BS2 each swap of a permit counts it as changed (modulo 2^20): two looks through all permits that find
 *       the same sum of changes found what was there between them. So "none is free" and "none is held" are
 *       never said of a semaphore of which it was not true at a moment of the call.
 *   BS3 who sleeps read bs_seq, raised the flag, then found no permit free. Who frees one looks at the flag
 *       after; if it is raised, bs_seq grows before the wake.
 * CRASH: a releaser killed between the swap and the growth of bs_seq leaves a free permit with nothing to
 * tell those who are about to sleep: so the reaper of whoever owned anything lets bs_seq grow and wakes
 * all, in every bounded semaphore, whether there was something to give back or not. Wakes that a woken
 * sleeper took along are passed on by its wait record. */
#include "sync/semaphore.h"

#include "base/debug.h"

#define HOLDER_BITS 12
#define HOLDER_MASK ((UINT32_C(1) << HOLDER_BITS) - 1)
#define ONE_CHANGE (UINT32_C(1) << HOLDER_BITS)
_Static_assert(LMP_CTX_MAX <= HOLDER_MASK, "a context id fits a permit");

static lmp_permit *permits_of(const lmp_arena *a, lmp_bounded *b) {
  return b->bs_block ? lmp_at(a, b->bs_block) : b->bs_permit;
}

static uint32_t holder(lmp_permit p) { return p & HOLDER_MASK; }
static lmp_permit changed(lmp_permit p, uint32_t id) {
  return ((p & ~HOLDER_MASK) + ONE_CHANGE) | id;
}

/* -- looking -------------------------------------------------------------------------------------- */

/* One look at all permits: how many `id` holds (0: how many are free), and the sum of all changes. */
static uint32_t look(const lmp_permit *p, uint32_t n, uint32_t id, uint64_t *changes) {
  uint32_t count = 0;
  *changes = 0;
  for (uint32_t i = 0; i < n; i++) {
    lmp_permit seen = lmp_load_acq32(&p[i]);
    count += holder(seen) == id;
    *changes += seen >> HOLDER_BITS;
  }
  return count;
}

/* How many permits `id` held at one moment during the call (BS2). */
static uint32_t census(const lmp_permit *p, uint32_t n, uint32_t id) {
  uint64_t before;
  uint64_t after;
  uint32_t count;
  (void)look(p, n, id, &after);
  do {
    before = after;
    count = look(p, n, id, &after);
  } while (before != after);
  return count;
}

uint32_t lmp_bounded_value(const lmp_arena *a, const lmp_obj *o) {
  lmp_bounded *b = lmp_bounded_of(o);
  return census(permits_of(a, b), b->bs_n, 0);
}

uint32_t lmp_bounded_held(const lmp_arena *a, const lmp_obj *o, uint32_t id) {
  lmp_bounded *b = lmp_bounded_of(o);
  return census(permits_of(a, b), b->bs_n, id);
}

/* -- acquire --------------------------------------------------------------------------------------- */

static bool take_one(lmp_permit *p, uint32_t id) {
  lmp_permit seen = lmp_load_rlx32(p);
  while (holder(seen) == 0) {
    /* CRASH: before: nothing happened. After: the permit is the dead one's, and comes back. */
    if (lmp_cas_ar32(p, &seen, changed(seen, id)))
      return true; /* pairs with the swap in free_one */
  }
  return false;
}

static bool try_take(lmp_me *me, lmp_bounded *b) {
  lmp_permit *p = permits_of(me->a, b);
  uint32_t n = b->bs_n;
  uint32_t i = lmp_load_rlx32(&b->bs_hint);
  if (i >= n) i = 0;
  for (uint32_t k = 0; k < n; k++) {
    if (take_one(&p[i], me->id)) {
      lmp_store_rlx32(&b->bs_hint, i + 1);
      return true;
    }
    if (++i == n) i = 0;
  }
  return false;
}

static LMP_NOINLINE lmp_err acquire_slow(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_bounded *b = lmp_bounded_of(o);
  lmp_err e = LMP_OK;
  lmp_wait_begin(me, o, &b->bs_seq, deadline);
  for (;;) {
    uint32_t seq = lmp_load_acq32(&b->bs_seq); /* before the flag and the look: BS3 */
    lmp_flag_raise(&b->bs_flag, seq);
    if (try_take(me, b)) {
      e = LMP_OK;
      break;
    }
    if (e) break;
    e = lmp_wait_sleep(me, &b->bs_seq, seq, deadline);
  }
  /* A wake that we took and leave without having used belongs to another. */
  if (e) lmp_flag_wake(me->a, &b->bs_flag, &b->bs_seq, 1);
  lmp_wait_end(me);
  return e;
}

lmp_err lmp_bounded_acquire(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_bounded *b = lmp_bounded_of(o);
  lmp_owns(me);
  do {
    if (LMP_LIKELY(try_take(me, b))) return LMP_OK;
    if (deadline != LMP_NOWAIT) return acquire_slow(me, o, deadline);
  } while (lmp_bounded_value(me->a, o) != 0);
  return LMP_E_TIMEOUT;
}

/* -- release --------------------------------------------------------------------------------------- */

/* Frees a permit of `id`, or of anybody where `id` is 0, looking backwards from the last one that was
 * taken: who acquires and releases in turn finds its own at once. */
static bool free_one(lmp_bounded *b, lmp_permit *p, uint32_t id) {
  uint32_t n = b->bs_n;
  uint32_t i = lmp_load_rlx32(&b->bs_hint);
  if (i > n) i = n;
  for (uint32_t k = 0; k < n; k++) {
    i = i ? i - 1 : n - 1;
    lmp_permit seen = lmp_load_rlx32(&p[i]);
    while (holder(seen) != 0 && (id == 0 || holder(seen) == id)) {
      if (lmp_cas_ar32(&p[i], &seen, changed(seen, 0))) {
        lmp_store_rlx32(&b->bs_hint, i);
        return true;
      }
    }
  }
  return false;
}

/* After a permit became free. */
static void tell(lmp_me *me, lmp_bounded *b, unsigned n) {
  lmp_fence_sc(); /* the permit before the flag; pairs with lmp_flag_raise */
  if (LMP_LIKELY(!lmp_load_rlx64(&b->bs_flag))) return;
  lmp_add_ar32(&b->bs_seq, 1);
  lmp_fence_after_rmw();
  lmp_flag_wake(me->a, &b->bs_flag, &b->bs_seq, n);
}

lmp_err lmp_bounded_release(lmp_me *me, lmp_obj *o) {
  lmp_bounded *b = lmp_bounded_of(o);
  lmp_permit *p = permits_of(me->a, b);
  lmp_err e = LMP_OK;
  lmp_owns(me); /* also where another acquired: see CRASH above */
  lmp_owe(me, 0, &b->bs_seq);
  while (!e && !free_one(b, p, me->id) && !free_one(b, p, 0)) {
    if (census(p, b->bs_n, 0) == b->bs_n) e = LMP_E_INVAL;
  }
  if (!e) tell(me, b, 1);
  lmp_owe_none(me, 0);
  return e;
}

/* -- life ------------------------------------------------------------------------------------------ */

lmp_err lmp_bounded_new(lmp_me *me, const char *name, size_t namelen, uint32_t n, lmp_handle *h) {
  uint64_t block = 0;
  lmp_obj *o;
  lmp_check(n <= LMP_BOUNDED_MAX);
  if (n > LMP_BOUNDED_INLINE) {
    lmp_err e = lmp_alloc(me, (uint64_t)n * sizeof(lmp_permit), &block);
    if (e) return e;
    lmp_permit *p = lmp_at(me->a, block);
    for (uint32_t i = 0; i < n; i++) lmp_store_rlx32(&p[i], 0);
  }
  lmp_err e = lmp_obj_new(me, LMP_KIND_BOUNDED, name, namelen, &o);
  if (e) {
    if (block) lmp_free(me, block);
    return e;
  }
  lmp_bounded_of(o)->bs_n = n;
  lmp_bounded_of(o)->bs_block = block;
  lmp_tx_begin(me);
  if (block) lmp_tx_owner(me, block, LMP_TAG_SHARED);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

static void bounded_destroy(lmp_me *me, lmp_obj *o) {
  uint64_t block = lmp_bounded_of(o)->bs_block;
  if (!block) return;
  lmp_tx_begin(me);
  lmp_tx_set64(me, &lmp_bounded_of(o)->bs_block, 0);
  lmp_tx_owner(me, block, me->id);
  lmp_tx_commit(me);
  lmp_free(me, block);
}

static void bounded_abandon(lmp_me *me, lmp_obj *o, uint32_t id) {
  lmp_bounded *b = lmp_bounded_of(o);
  lmp_permit *p = permits_of(me->a, b);
  for (uint32_t i = 0; i < b->bs_n; i++) {
    lmp_permit seen = lmp_load_acq32(&p[i]);
    while (holder(seen) == id && !lmp_cas_ar32(&p[i], &seen, changed(seen, 0))) {
    }
  }
  tell(me, b, INT32_MAX);
}

/* Ready: an acquire would not wait. */
static bool bounded_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  *flag = &lmp_bounded_of(o)->bs_flag;
  return lmp_bounded_value(me->a, o) != 0;
}

const lmp_kind lmp_bounded_kind = {
    .name = "BoundedSemaphore",
    .destroy = bounded_destroy,
    .abandon = bounded_abandon,
    .watch = bounded_watch,
};
