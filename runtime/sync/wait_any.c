/* sync/wait_any.c: waiting until one of several things is ready.
 * SPDX-License-Identifier: MIT
 *
 * Objects ring the thread's bell (arena/bell.c says how, and why nothing is lost); it sleeps on the bell's
 * word, or polls its socket together with the descriptors. However many objects there are, it sleeps on
 * one word, so this needs no FUTEX_WAITV, and costs a look at each object and one fence, no matter how
 * often they are waited for: a bit that nobody took out since the last wait need not be set again.
 *   Y1 a round: empty the bell, arm it in all objects, fence, look at all, sleep.
 *   Y2 no wake is taken from anybody: a bell is its owner's alone. A killed owner owes nothing.
 *   Y3 one more look after a time-out or a signal: who is ready then is told.
 * Ticks are for the dead: who had a lock and was killed makes it ready when somebody has reaped him, and
 * who waits for such a thing looks after the dead more often. Only where no bell or no socket is to be had, objects are looked at every few
 * milliseconds instead. */
#include "sync/wait_any.h"

#include <stdlib.h>

#include "base/debug.h"
#include "os/os.h"

#define TICK_FIRST (50 * LMP_MSEC)
#define TICK_MOST (500 * LMP_MSEC)
#define TICK_MORTAL (20 * LMP_MSEC)
#define TICK_DYING (2 * LMP_MSEC) /* a dead process is still being torn down */
#define NO_BELL_SLICE (5 * LMP_MSEC)
#define CAP_FIRST 16u

/* -- what is waited for -------------------------------------------------------------------------- */

void lmp_waiter_clear(lmp_waiter *w) {
  w->n = w->nobj = w->nfds = 0;
  w->mortal = false;
}

void lmp_waiter_fini(lmp_waiter *w) {
  free(w->src);
  free(w->fds);
  *w = (lmp_waiter){0};
}

static lmp_source *source_add(lmp_waiter *w) {
  if (w->n == w->cap) {
    uint32_t cap = w->cap ? w->cap * 2 : CAP_FIRST;
    lmp_source *src = realloc(w->src, cap * sizeof *src);
    if (!src) return NULL;
    w->src = src;
    w->cap = cap;
  }
  return &w->src[w->n];
}

bool lmp_waiter_obj(lmp_waiter *w, lmp_obj *obj) {
  lmp_source *s = source_add(w);
  if (!s) return false;
  *s = (lmp_source){.obj = obj};
  w->n++;
  w->nobj++;
  return true;
}

bool lmp_waiter_fd(lmp_waiter *w, int fd) {
  lmp_source *s = source_add(w);
  if (!s) return false;
  if (w->nfds + 1 >= w->capfds) {
    uint32_t cap = w->capfds ? w->capfds * 2 : CAP_FIRST;
    lmp_pollfd *fds = realloc(w->fds, cap * sizeof *fds);
    if (!fds) return false;
    w->fds = fds;
    w->capfds = cap;
  }
  if (w->nfds == 0) w->fds[w->nfds++] = (lmp_pollfd){.fd = -1, .want = LMP_POLL_READ};
  *s = (lmp_source){.poll = w->nfds};
  w->fds[w->nfds++] = (lmp_pollfd){.fd = fd, .want = LMP_POLL_READ};
  w->n++;
  return true;
}

/* -- looking ------------------------------------------------------------------------------------- */

static bool look_at_objects(lmp_me *me, lmp_waiter *w) {
  bool any = false;
  for (uint32_t i = 0; i < w->n; i++) {
    lmp_source *s = &w->src[i];
    if (!s->obj) continue;
    const lmp_kind *kind = me->a->kinds[s->obj->ob_kind];
    s->ready = kind->watch(me, s->obj, &s->flag);
    w->mortal |= kind->abandon != NULL;
    any |= s->ready;
  }
  return any;
}

/* What the last poll found. */
static lmp_err take_polled(lmp_waiter *w, bool *any) {
  if (!w->nfds) return LMP_OK;
  for (uint32_t i = 0; i < w->n; i++) {
    lmp_source *s = &w->src[i];
    if (s->obj) continue;
    if (w->fds[s->poll].got & LMP_POLL_BAD) {
      w->bad = i;
      return LMP_E_INVAL;
    }
    s->ready = w->fds[s->poll].got != 0;
    *any |= s->ready;
  }
  return LMP_OK;
}

/* Looks at everything, waits for nothing; unless `afresh`, at what the last poll found. LMP_E_TIMEOUT:
 * nothing is ready. */
static lmp_err look(lmp_me *me, lmp_waiter *w, bool afresh) {
  bool any = look_at_objects(me, w);
  if (afresh && w->nfds) {
    if (lmp_os_poll(w->fds + 1, w->nfds - 1, LMP_NOWAIT) == LMP_CHANGED) return LMP_E_SYSTEM;
  }
  lmp_err e = take_polled(w, &any);
  if (e) return e;
  return any ? LMP_OK : LMP_E_TIMEOUT;
}

/* -- the bell ------------------------------------------------------------------------------------ */

/* How the thread is going to be woken: LMP_BELL_FUTEX, LMP_BELL_SOCKET; 0: not at all. */
static uint32_t bell_ready(lmp_me *me, const lmp_waiter *w) {
  uint32_t number;
  if (w->nobj == 0) return 0;
  if (!me->bell) {
    if (lmp_bell_claim(me, &number)) return 0;
    me->bell = number + 1;
  }
  if (!w->nfds) return LMP_BELL_FUTEX;
  if (me->bell_fd < 0) {
    lmp_bell_id id = lmp_bell_name(me->a, me->bell - 1);
    me->bell_fd = lmp_os_bell_open(&id);
  }
  return me->bell_fd < 0 ? 0 : LMP_BELL_SOCKET;
}

static void bell_arm(lmp_me *me, lmp_waiter *w, uint32_t how) {
  if (how == LMP_BELL_SOCKET) lmp_os_bell_drain(me->bell_fd); /* see sync/bell.c for the order */
  lmp_bell_empty(me->a, me->bell - 1, how);
  for (uint32_t i = 0; i < w->n; i++) {
    if (w->src[i].obj) lmp_bell_arm(w->src[i].flag, me->bell - 1);
  }
  lmp_fence_sc(); /* the bits before the looks; pairs with the fence before lmp_flag_wake */
}

/* -- sleeping ------------------------------------------------------------------------------------ */

/* Sleeps in poll; the tick is `most` at most. LMP_OK: look again. */
static lmp_err poll_sleep(lmp_me *me, lmp_waiter *w, uint64_t deadline, uint64_t most) {
  uint64_t tick = lmp_min_u64(TICK_FIRST, most);
  for (;;) {
    uint64_t until = lmp_min_u64(deadline, lmp_os_now() + tick);
    lmp_woke woke = lmp_os_poll(w->fds, w->nfds, until);
    if (woke == LMP_WOKEN) return LMP_OK;
    if (woke == LMP_SIGNALLED) return LMP_E_INTR;
    if (woke == LMP_CHANGED) return LMP_E_SYSTEM;
    if (until == deadline) return LMP_E_TIMEOUT;
    if (most != NO_BELL_SLICE) {
      unsigned dying = lmp_reap_all(me);
      tick = dying ? TICK_DYING : lmp_min_u64(tick * 2, most);
    }
    if (lmp_interrupted(me->a)) return LMP_E_INTR;
    if (most == NO_BELL_SLICE) return LMP_OK;
  }
}

static lmp_err sleep_on_bell(lmp_me *me, const lmp_waiter *w, uint64_t deadline) {
  uint32_t *word = &me->a->bells[me->bell - 1].be_word;
  uint64_t until = w->mortal ? lmp_min_u64(deadline, lmp_os_now() + TICK_MORTAL) : deadline;
  lmp_err e = lmp_wait_sleep(me, word, LMP_BELL_FUTEX, until);
  if (e != LMP_E_TIMEOUT || until == deadline) return e;
  lmp_reap_all(me);
  return lmp_interrupted(me->a) ? LMP_E_INTR : LMP_OK;
}

static lmp_err sleep_once(lmp_me *me, lmp_waiter *w, uint32_t how, uint64_t deadline) {
  if (how == LMP_BELL_FUTEX) return sleep_on_bell(me, w, deadline);
  if (w->nfds) w->fds[0].fd = how == LMP_BELL_SOCKET ? me->bell_fd : -1;
  uint64_t tick = w->mortal ? TICK_MORTAL : TICK_MOST;
  return poll_sleep(me, w, deadline, w->nobj && !how ? NO_BELL_SLICE : tick);
}

/* For people; there is no wake that could be lost with us. */
static void record(lmp_me *me, const lmp_waiter *w, uint32_t how, uint64_t deadline) {
  if (!how) return;
  const lmp_obj *first = NULL;
  for (uint32_t i = 0; i < w->n && !first; i++) first = w->src[i].obj;
  lmp_wait_begin(me, first, &me->a->bells[me->bell - 1].be_word, deadline);
}

lmp_err lmp_wait_any(lmp_me *me, lmp_waiter *w, uint64_t deadline) {
  lmp_err e = look(me, w, true);
  if (e != LMP_E_TIMEOUT || deadline == LMP_NOWAIT) return e;
  uint32_t how = bell_ready(me, w);
  record(me, w, how, deadline);
  for (lmp_err slept = LMP_OK;;) {
    if (how) bell_arm(me, w, how);
    e = look(me, w, slept != LMP_OK);
    if (e == LMP_OK && w->nobj && w->nfds) e = look(me, w, true); /* all that are ready are told */
    if (e != LMP_E_TIMEOUT) break;
    if (slept) {
      e = slept;
      break;
    }
    slept = sleep_once(me, w, how, deadline);
  }
  if (how) {
    lmp_bell_empty(me->a, me->bell - 1, 0);
    lmp_wait_end(me);
  }
  return e;
}
