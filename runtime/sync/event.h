/* sync/event.h: the event: a flag that any number of threads wait for.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_EVENT_H
#define LMP_SYNC_EVENT_H

#include "arena/arena.h"

typedef struct lmp_event {
  uint32_t ev_turns; /* how often it was set or cleared: odd while it is set; slept on */
  uint32_t ev_pad;
  uint64_t ev_flag; /* somebody may sleep; see lmp_flag_raise */
} lmp_event;

extern const lmp_kind lmp_event_kind;

static inline lmp_event *lmp_event_of(const lmp_obj *o) {
  return (lmp_event *)(uintptr_t)o->ob_body;
}

/* lmp_event_new: an event that is not set, held by this process. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_event_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h);

/* lmp_event_set: sets it and wakes all who wait; lmp_event_clear: it is not set any more. Both may be
 * called in any state of it. */
void lmp_event_set(lmp_me *me, lmp_obj *o);
void lmp_event_clear(lmp_obj *o);
static inline bool lmp_event_is_set(const lmp_obj *o) {
  return lmp_load_acq32(&lmp_event_of(o)->ev_turns) & 1; /* pairs with the swap in lmp_event_set */
}
/* lmp_event_wait: waits until it is set, or was since the call, or `deadline`: LMP_E_TIMEOUT;
 * LMP_E_INTR: a signal handler ran. */
LMP_NODISCARD lmp_err lmp_event_wait(lmp_me *me, lmp_obj *o, uint64_t deadline);

#endif
