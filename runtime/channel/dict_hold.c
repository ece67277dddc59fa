/* channel/dict_hold.c: keys that are held while their new value is being computed.
 * SPDX-License-Identifier: MIT
 *
 * A hold is a block in a list of its stripe; it names the key, which need not be in the dict, and the thread. Writers of the
 * stripe look whether the list is empty, and through it when it is not. The hold ends with the transaction that
 * stores the new value, or by one of its own; either moves st_release, as its last word.
 *   H1 st_release changes with every end of a hold, so it is what one sleeps on.
 *   H2 a hold counts while its thread lives (lmp_ctx_is); the next writer of the stripe, of any key, ends those of the dead.
 *   H3 a sleeper watches st_release and the life word of the hold's thread. When that thread dies the kernel wakes one of
 *      the sleepers; that one ends the hold, which wakes the others. Killed before, its own reaper wakes them: its wait
 *      record names st_release. So no death needs a timer to be noticed.
 *   H4 all sleepers are woken at once: none takes a wake that was meant for another. */
#include <string.h>

#include "base/debug.h"
#include "channel/dict_priv.h"
#include "os/os.h"

static bool hold_is_on(const lmp_hold *h, const lmp_dkey *key) {
  return h->ho_order == key->order && h->ho_klen == key->len &&
         memcmp(h + 1, key->data, key->len) == 0;
}

lmp_hold *lmp_hold_find(lmp_me *me, lmp_stripe *st, const lmp_dkey *key, uint64_t **link) {
  for (*link = &st->st_holds; **link;) {
    lmp_hold *h = lmp_hold_at(me->a, **link);
    if (hold_is_on(h, key)) return h;
    *link = &h->ho_next;
  }
  return NULL;
}

void lmp_hold_end(lmp_me *me, lmp_stripe *st, uint64_t *link) {
  uint64_t off = *link;
  lmp_tx_owner(me, off, me->id);
  lmp_tx_set64(me, link, lmp_hold_at(me->a, off)->ho_next);
  lmp_tx_set32(me, &st->st_release, st->st_release + 1);
}

void lmp_hold_wake(lmp_me *me, lmp_stripe *st) {
  lmp_fence_after_rmw(); /* after the unlock: st_release before the flag; pairs with lmp_flag_raise */
  lmp_flag_wake(me->a, &st->st_flag, &st->st_release, INT32_MAX);
  lmp_owe_none(me, 0);
}

/* Sleeps until the hold of context `id` may have ended; `seen` is st_release as it was under the lock. */
static lmp_err hold_wait(lmp_me *me, lmp_obj *o, lmp_stripe *st, uint32_t seen, uint32_t id,
                         uint32_t serial, uint64_t deadline) {
  lmp_arena *a = me->a;
  uint32_t *life = lmp_os_life_word(&a->ctxs[id - 1].cx_life);
  uint64_t tick = lmp_tick(a, 0);
  if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  if (lmp_spin(me, &st->st_release, seen, false)) return LMP_OK;
  lmp_wait_begin(me, o, &st->st_release, deadline);
  lmp_flag_raise(&st->st_flag, seen);
  for (;;) {
    /* The life word first: where it was read from another thread's life, the serial is another one now. */
    lmp_waitword w[2] = {{&st->st_release, seen}, {life, lmp_load_acq32(life)}};
    if (!lmp_ctx_is(a, id, serial)) return LMP_OK;
    uint64_t now = lmp_os_now();
    uint64_t until = lmp_min_u64(deadline, now + tick);
    lmp_woke woke = lmp_os_futex_wait(w, 2, until);
    if (woke == LMP_WOKEN || woke == LMP_CHANGED) return LMP_OK;
    if (woke == LMP_SIGNALLED) return LMP_E_INTR;
    if (until == deadline) return LMP_E_TIMEOUT;
    lmp_reap_all(me);
    if (lmp_interrupted(me->a)) return LMP_E_INTR;
    tick = lmp_tick(a, tick);
  }
}

/* -- taking and letting go ---------------------------------------------------------------------- */

static lmp_err hold_new(lmp_me *me, const lmp_dkey *key, uint64_t deadline, uint64_t *off) {
  lmp_err e = lmp_alloc_wait(me, sizeof(lmp_hold) + key->len, deadline, off);
  if (e) return e;
  lmp_hold *h = lmp_hold_at(me->a, *off);
  *h = (lmp_hold){.ho_order = key->order, .ho_id = me->id, .ho_klen = key->len};
  h->ho_serial = lmp_load_rlx32(&me->c->cx_serial);
  if (key->len) memcpy(h + 1, key->data, key->len);
  return LMP_OK;
}

/* CRASH: before the commit: a block of ours. After it: a hold of a dead thread. */
static void hold_begin(lmp_me *me, lmp_stripe *st, uint64_t off) {
  lmp_hold_at(me->a, off)->ho_next = st->st_holds;
  lmp_tx_begin(me);
  lmp_tx_owner(me, off, LMP_TAG_SHARED);
  lmp_tx_set64(me, &st->st_holds, off);
  lmp_tx_commit(me);
}

/* Ends the hold under the lock, which is let go. */
static void hold_drop(lmp_me *me, lmp_stripe *st, uint64_t *link) {
  uint64_t off = *link;
  lmp_owe(me, 0, &st->st_release);
  lmp_tx_begin(me);
  lmp_hold_end(me, st, link);
  lmp_tx_commit(me);
  lmp_unlock(me, &st->st_lock);
  lmp_hold_wake(me, st);
  lmp_free(me, off);
}

/* The first hold that is on the key (NULL: on any), or of a dead thread (*dead). */
static lmp_hold *hold_in_the_way(lmp_me *me, lmp_stripe *st, const lmp_dkey *key, uint64_t **link,
                                 bool *dead) {
  for (*link = &st->st_holds; **link;) {
    lmp_hold *h = lmp_hold_at(me->a, **link);
    *dead = !lmp_ctx_is(me->a, h->ho_id, h->ho_serial);
    if (*dead || !key || hold_is_on(h, key)) return h;
    *link = &h->ho_next;
  }
  return NULL;
}

lmp_err lmp_hold_pass(lmp_me *me, lmp_obj *o, lmp_stripe *st, const lmp_dkey *key,
                      uint64_t deadline, bool *locked) {
  uint64_t *link;
  bool dead;
  *locked = true;
  if (LMP_LIKELY(!st->st_holds)) return LMP_OK;
  lmp_hold *h = hold_in_the_way(me, st, key, &link, &dead);
  if (!h) return LMP_OK;
  *locked = false;
  if (dead) {
    hold_drop(me, st, link);
    return LMP_OK;
  }
  uint32_t id = h->ho_id;
  uint32_t serial = h->ho_serial;
  uint32_t seen = st->st_release;
  lmp_unlock(me, &st->st_lock);
  if (id == me->id) return LMP_E_INVAL;
  return hold_wait(me, o, st, seen, id, serial, deadline);
}

lmp_err lmp_dict_hold(lmp_me *me, lmp_obj *o, const lmp_dkey *key, uint64_t deadline) {
  lmp_stripe *st = lmp_dict_stripe(o, key->order);
  uint64_t off;
  bool locked = false;
  lmp_err e = hold_new(me, key, deadline, &off);
  if (e) return e;
  while (!locked && !e) {
    lmp_lock(me, &st->st_lock);
    e = lmp_hold_pass(me, o, st, key, deadline, &locked);
  }
  if (!e) {
    hold_begin(me, st, off);
    lmp_unlock(me, &st->st_lock);
  } else {
    lmp_free(me, off);
  }
  lmp_wait_end(me);
  return e;
}

void lmp_dict_release(lmp_me *me, lmp_obj *o, const lmp_dkey *key) {
  lmp_stripe *st = lmp_dict_stripe(o, key->order);
  uint64_t *link;
  lmp_lock(me, &st->st_lock);
  lmp_hold *h = lmp_hold_find(me, st, key, &link);
  if (h && h->ho_id == me->id && h->ho_serial == lmp_load_rlx32(&me->c->cx_serial)) {
    hold_drop(me, st, link);
  } else {
    lmp_unlock(me, &st->st_lock);
  }
}
