/* channel/dict_clear.c: emptying a dict.
 * SPDX-License-Identifier: MIT
 *
 * Under the locks of all stripes, one transaction gives what is in them to a dict that nobody else knows, and that is
 * dropped afterwards: so freeing the entries takes nobody's time but the caller's.
 * CRASH: before the commit: a slot that is being made, which the reaper frees, whatever is in it. After it: the new dict is
 * held by a dead process, and goes with it. A collector that looked through the new one before and the old one after
 * may end large values that are named there; destroying expects that. */
#include "base/debug.h"
#include "channel/dict_priv.h"

static void lock_all(lmp_me *me, lmp_dict *d) {
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) lmp_lock(me, &d->di_stripe[i].st_lock);
}

static void unlock_all(lmp_me *me, lmp_dict *d) {
  for (unsigned i = LMP_DICT_STRIPES; i-- > 0;) lmp_unlock(me, &d->di_stripe[i].st_lock);
}

/* Takes all locks (*locked), unless somebody held a key: then waits until he may have ended. */
static lmp_err enter(lmp_me *me, lmp_obj *o, uint64_t deadline, bool *locked) {
  lmp_dict *d = lmp_dict_of(o);
  lock_all(me, d);
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
    if (!d->di_stripe[i].st_holds) continue;
    lmp_stripe *st = &d->di_stripe[i];
    bool one = false;
    unlock_all(me, d);
    lmp_lock(me, &st->st_lock);
    lmp_err e = lmp_hold_pass(me, o, st, NULL, deadline, &one);
    if (one) lmp_unlock(me, &st->st_lock);
    return e;
  }
  *locked = true;
  return LMP_OK;
}

/* Adds to the transaction that the stripe is empty; what was in it is in the other one, which nobody knows yet. The
 * other's lock and holds are free and none. */
static void move(lmp_me *me, lmp_stripe *st, lmp_stripe *to) {
  to->st_count = lmp_stripe_entries(st);
  to->st_buckets = st->st_buckets;
  to->st_nh = st->st_nh;
  to->st_slots = st->st_slots;
  for (unsigned i = 0; i < LMP_SLOTS_FIRST; i++) lmp_tx_set64(me, &st->st_slots.sl_first[i], 0);
  lmp_tx_set64(me, &st->st_slots.sl_dir, 0);
  lmp_tx_set32(me, &st->st_buckets, LMP_SLOTS_FIRST);
  lmp_tx_set32(me, &st->st_nh, 0);
  lmp_tx_set64(me, &st->st_count, lmp_stripe_changed(st, -(int)lmp_stripe_entries(st)));
}

lmp_err lmp_dict_clear(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_dict *d = lmp_dict_of(o);
  lmp_obj *to;
  bool locked = false;
  lmp_err e = lmp_obj_new(me, LMP_KIND_DICT, NULL, 0, &to);
  if (e) return e;
  while (!locked && !e) e = enter(me, o, deadline, &locked);
  lmp_wait_end(me);
  if (e) {
    lmp_obj_abandon(me, to);
    return e;
  }
  lmp_tx_begin(me);
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
    move(me, &d->di_stripe[i], &lmp_dict_of(to)->di_stripe[i]);
  }
  lmp_handle h = lmp_obj_publish(me, to);
  unlock_all(me, d);
  lmp_obj_unref(me, h);
  return LMP_OK;
}
