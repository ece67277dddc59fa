/* sync/event.c: the event.
 * SPDX-License-Identifier: MIT
 *
 * Design. One word counts the turns from clear to set and back, so it is odd while the event is set, and
 * it only grows (modulo 2^32).
 *   EV1 the word changes at each turn and at nothing else: that change is the commit, and it is what
 *       waiters sleep on, so who looked before it does not fall asleep after it.
 *   EV2 from clear the only turn is to set: whoever waits and finds another value than the even one that it
 *       had seen, was told; also when the event was cleared since. No pulse is missed.
 * CRASH: in a set: before the swap nothing happened; after it the waiters are owed a wake in cx_pwake. */
#include "sync/event.h"

#include "os/os.h"

static bool event_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  (void)me;
  *flag = &lmp_event_of(o)->ev_flag;
  return lmp_event_is_set(o);
}

const lmp_kind lmp_event_kind = {.name = "Event", .watch = event_watch};

lmp_err lmp_event_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_EVENT, name, namelen, &o);
  if (e) return e;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

void lmp_event_set(lmp_me *me, lmp_obj *o) {
  lmp_event *ev = lmp_event_of(o);
  uint32_t turns = lmp_load_rlx32(&ev->ev_turns);
  lmp_owe(me, 0, &ev->ev_turns);
  while (!(turns & 1) && !lmp_cas_ar32(&ev->ev_turns, &turns, turns + 1)) {
  }
  /* Also when it was set: by one who was killed before the wake, perhaps. */
  lmp_fence_sc(); /* the turn before the flag; pairs with lmp_flag_raise */
  lmp_flag_wake(me->a, &ev->ev_flag, &ev->ev_turns, INT32_MAX);
  lmp_owe_none(me, 0);
}

void lmp_event_clear(lmp_obj *o) {
  lmp_event *ev = lmp_event_of(o);
  uint32_t turns = lmp_load_rlx32(&ev->ev_turns);
  while ((turns & 1) && !lmp_cas_ar32(&ev->ev_turns, &turns, turns + 1)) {
  }
}

lmp_err lmp_event_wait(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_event *ev = lmp_event_of(o);
  uint32_t turns = lmp_load_acq32(&ev->ev_turns);
  lmp_err e = LMP_OK;
  if (turns & 1) return LMP_OK;
  if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  /* Looked at once more, to see what was done before the set. */
  if (lmp_spin(me, &ev->ev_turns, turns, false) && lmp_load_acq32(&ev->ev_turns) != turns) {
    return LMP_OK;
  }
  lmp_wait_begin(me, o, &ev->ev_turns, deadline);
  lmp_flag_raise(&ev->ev_flag, turns);
  while (!e && lmp_load_acq32(&ev->ev_turns) == turns) {
    e = lmp_wait_sleep(me, &ev->ev_turns, turns, deadline);
  }
  if (lmp_load_acq32(&ev->ev_turns) != turns) e = LMP_OK; /* EV2 */
  lmp_wait_end(me);
  return e;
}
