/* crash/step_sync.c: operations of step_kill on locks, conditions, semaphores, events and barriers.
 * SPDX-License-Identifier: MIT
 *
 * Each works on one object, the subject, which the main process makes and holds. A sleeper that the victim
 * has to wake is the main process: it has left the traces of one (W, a bell, a word of a condition) and
 * does not sleep. Whether a wake comes is the explorer's to see; here every instruction is one to die at. Waits
 * end by a deadline, so the victim goes to sleep for a moment, and gives up. */
#include "os/os.h"
#include "step_kill.h"
#include "sync/barrier.h"
#include "sync/condition.h"
#include "sync/event.h"
#include "sync/semaphore.h"

#define MOMENT (LMP_MSEC / 5)
#define TICK_AND_MORE \
  (300 * LMP_MSEC) /* TICK_FIRST of sync/lock.c, and the pauses of a stepped victim */

static lmp_handle subject;
static bool there; /* in the real arena */
static lmp_party party;

static lmp_obj *of(place *p) { return lmp_obj_at(&p->a, subject.obj); }
static lmp_obj *mine(void) { return of(&real); }

static void made(lmp_err e) {
  step_must(e == LMP_OK, "set-up");
  there = true;
}

static void drop(place *p) {
  p->me.c->cx_cond = 0;
  lmp_obj_unref(&p->me, subject);
  if (p == &real) there = false;
}

void sync_drop(void) {
  if (there) drop(&real);
}

void sync_hold(lmp_me *me) {
  if (there) step_must(lmp_obj_hold(me, subject) == LMP_OK, "hold");
}

void sync_place(place *p) {
  p->a.kinds[LMP_KIND_LOCK] = &lmp_lock_kind;
  p->a.kinds[LMP_KIND_RLOCK] = &lmp_rlock_kind;
  p->a.kinds[LMP_KIND_CONDITION] = &lmp_cond_kind;
  p->a.kinds[LMP_KIND_SEMAPHORE] = &lmp_semaphore_kind;
  p->a.kinds[LMP_KIND_BOUNDED] = &lmp_bounded_kind;
  p->a.kinds[LMP_KIND_EVENT] = &lmp_event_kind;
  p->a.kinds[LMP_KIND_BARRIER] = &lmp_barrier_kind;
}

/* The main process waits for the subject by its bell. */
static void watched(const lmp_kind *kind) { step_watch(kind, mine()); }

static uint64_t soon(uint64_t ns) { return lmp_os_now() + ns; }

/* -- locks -------------------------------------------------------------------------------------- */

static bool take(place *p, lmp_obj *o) {
  bool abandoned;
  return lmp_lock_acquire(&p->me, o, LMP_NOWAIT, &abandoned) == LMP_OK;
}

static void set_lock(void) { made(lmp_lock_new(&real.me, NULL, 0, &subject)); }
static void set_rlock(void) { made(lmp_rlock_new(&real.me, NULL, 0, &subject)); }
static void set_lock_held(void) {
  set_lock();
  step_must(take(&real, mine()), "acquire");
}
/* Free again, but for who sleeps and who watches. */
static void set_lock_waited(void) {
  set_lock_held();
  watched(&lmp_lock_kind);
  lmp_store_rel32(&lmp_lk_of(mine())->lk_word, LMP_LK_W);
}

static void do_lock(void) {
  if (take(&real, mine())) (void)!lmp_lock_release(&real.me, mine());
}
static void do_rlock(void) {
  for (int i = 0; i < 3; i++) (void)!take(&real, mine());
  for (int i = 0; i < 3; i++) (void)!lmp_lock_release(&real.me, mine());
}
static void wait_for_lock(uint64_t ns) {
  bool abandoned;
  (void)!lmp_lock_acquire(&real.me, mine(), soon(ns), &abandoned);
}
static void do_lock_wait(void) { wait_for_lock(MOMENT); }
/* A tick after it fell asleep it takes its turn. */
static void do_lock_starve(void) { wait_for_lock(TICK_AND_MORE); }

static const char *lock_goes_on(place *p, lmp_obj *o) {
  const char *bad = lmp_lock_valid(&p->a, o);
  if (bad) return bad;
  if (lmp_lock_owner(o) != p->me.id && !take(p, o)) return "a lock cannot be acquired";
  if (lmp_lock_release(&p->me, o)) return "a lock cannot be released";
  if (!take(p, o) || lmp_lock_release(&p->me, o)) return "a lock works once only";
  return lmp_lock_valid(&p->a, o);
}

static const char *check_lock(place *p) {
  const char *bad = lock_goes_on(p, of(p));
  drop(p);
  return bad;
}

/* -- conditions --------------------------------------------------------------------------------- */

#define ASLEEP 2u /* COND_ASLEEP of sync/condition.c */

static void set_cond(void) { made(lmp_cond_new(&real.me, NULL, 0, NULL, &subject)); }
static void set_cond_waited(void) {
  uint32_t bit = real.me.id - 1;
  set_cond();
  real.me.c->cx_cond = subject.obj << 2 | ASLEEP;
  ((lmp_cond *)(uintptr_t)mine()->ob_body)->cv_waiters[bit / 64] |= UINT64_C(1) << bit % 64;
}

static void do_cond_wait(void) {
  bool abandoned;
  for (int i = 0; i < 2; i++) (void)!take(&real, mine());
  (void)!lmp_cond_wait(&real.me, mine(), soon(MOMENT), &abandoned);
  for (int i = 0; i < 2; i++) (void)!lmp_lock_release(&real.me, mine());
}
static void do_cond_notify(void) {
  if (!take(&real, mine())) return;
  (void)!lmp_cond_notify(&real.me, mine(), 1);
  (void)!lmp_lock_release(&real.me, mine());
}

static const char *cond_goes_on(place *p) {
  lmp_obj *o = of(p);
  bool abandoned;
  const char *bad = lmp_cond_valid(&p->a, o);
  if (bad) return bad;
  if (p->me.c->cx_cond) { /* the wait of the main process ends */
    uint32_t bit = p->me.id - 1;
    if (p->me.c->cx_cond >> 2 != subject.obj) return "a waiter waits for another condition";
    ((lmp_cond *)(uintptr_t)o->ob_body)->cv_waiters[bit / 64] &= ~(UINT64_C(1) << bit % 64);
    p->me.c->cx_cond = 0;
  }
  if (!take(p, o)) return "the lock of a condition cannot be acquired";
  if (lmp_cond_wait(&p->me, o, LMP_NOWAIT, &abandoned) != LMP_E_TIMEOUT) return "a stray notify";
  if (lmp_cond_notify(&p->me, o, UINT32_MAX)) return "notify";
  if (lmp_lock_release(&p->me, o)) return "the lock of a condition cannot be released";
  bad = lmp_cond_valid(&p->a, o);
  return bad ? bad : lock_goes_on(p, o);
}

static const char *check_cond(place *p) {
  const char *bad = cond_goes_on(p);
  drop(p);
  return bad;
}

/* -- semaphores --------------------------------------------------------------------------------- */

static void set_sem(void) { made(lmp_semaphore_new(&real.me, NULL, 0, 1, &subject)); }
static void set_sem_none(void) { made(lmp_semaphore_new(&real.me, NULL, 0, 0, &subject)); }
static void set_sem_waited(void) {
  set_sem_none();
  watched(&lmp_semaphore_kind);
}
static void do_sem_release(void) { (void)!lmp_semaphore_release(&real.me, mine()); }
static void do_sem(void) {
  (void)!lmp_semaphore_acquire(&real.me, mine(), LMP_NOWAIT);
  do_sem_release();
}
static void do_sem_wait(void) { (void)!lmp_semaphore_acquire(&real.me, mine(), soon(MOMENT)); }

static const char *check_sem(place *p) {
  lmp_obj *o = of(p);
  const char *bad = NULL;
  uint32_t value = lmp_semaphore_value(o);
  if (value > 1) bad = "a permit that nobody released";
  if (lmp_semaphore_release(&p->me, o) || lmp_semaphore_value(o) != value + 1) bad = "release";
  for (uint32_t i = 0; i <= value; i++) {
    if (lmp_semaphore_acquire(&p->me, o, LMP_NOWAIT)) bad = "a permit cannot be acquired";
  }
  if (!lmp_semaphore_acquire(&p->me, o, LMP_NOWAIT)) bad = "a permit too many";
  drop(p);
  return bad;
}

#define PERMITS 2u
static void set_bounded(void) { made(lmp_bounded_new(&real.me, NULL, 0, PERMITS, &subject)); }
static void set_bounded_none(void) {
  set_bounded();
  for (uint32_t i = 0; i < PERMITS; i++) {
    step_must(!lmp_bounded_acquire(&real.me, mine(), LMP_NOWAIT), "acquire");
  }
}
static void set_bounded_waited(void) {
  set_bounded_none();
  watched(&lmp_bounded_kind);
}
static void do_bounded(void) {
  for (uint32_t i = 0; i < PERMITS; i++) (void)!lmp_bounded_acquire(&real.me, mine(), LMP_NOWAIT);
  for (uint32_t i = 0; i < PERMITS; i++) (void)!lmp_bounded_release(&real.me, mine());
}
/* One of another's: it has none. */
static void do_bounded_release(void) { (void)!lmp_bounded_release(&real.me, mine()); }
static void do_bounded_wait(void) { (void)!lmp_bounded_acquire(&real.me, mine(), soon(MOMENT)); }

static const char *check_bounded(place *p) {
  lmp_obj *o = of(p);
  const char *bad = NULL;
  uint32_t held = lmp_bounded_held(&p->a, o, p->me.id);
  if (lmp_bounded_value(&p->a, o) + held != PERMITS) bad = "a permit of the dead";
  for (uint32_t i = 0; i < held; i++) {
    if (lmp_bounded_release(&p->me, o)) bad = "a permit cannot be released";
  }
  if (lmp_bounded_release(&p->me, o) != LMP_E_INVAL) bad = "a permit too many";
  for (uint32_t i = 0; i < PERMITS; i++) {
    if (lmp_bounded_acquire(&p->me, o, LMP_NOWAIT)) bad = "a permit cannot be acquired";
  }
  if (lmp_bounded_acquire(&p->me, o, LMP_NOWAIT) != LMP_E_TIMEOUT)
    bad = "more permits than there are";
  drop(p);
  return bad;
}

/* -- events ------------------------------------------------------------------------------------- */

static void set_event(void) { made(lmp_event_new(&real.me, NULL, 0, &subject)); }
static void set_event_waited(void) {
  set_event();
  watched(&lmp_event_kind);
}
static void do_event(void) {
  lmp_event_set(&real.me, mine());
  lmp_event_clear(mine());
}
static void do_event_wait(void) { (void)!lmp_event_wait(&real.me, mine(), soon(MOMENT)); }

static const char *check_event(place *p) {
  lmp_obj *o = of(p);
  const char *bad = NULL;
  lmp_event_set(&p->me, o);
  if (!lmp_event_is_set(o) || lmp_event_wait(&p->me, o, LMP_NOWAIT)) bad = "an event cannot be set";
  lmp_event_clear(o);
  if (lmp_event_wait(&p->me, o, LMP_NOWAIT) != LMP_E_TIMEOUT) bad = "an event cannot be cleared";
  drop(p);
  return bad;
}

/* -- barriers ----------------------------------------------------------------------------------- */

static void set_barrier(uint32_t parties) {
  made(lmp_barrier_new(&real.me, NULL, 0, parties, LMP_FOREVER, NULL, &subject));
  party.index = 0;
}
static void set_barrier_one(void) { set_barrier(1); }
static void set_barrier_two(void) { set_barrier(2); }
/* The main process has arrived. */
static void set_barrier_waited(void) {
  set_barrier(2);
  step_must(!lmp_barrier_arrive(&real.me, mine(), LMP_NOWAIT, &party), "arrive");
}

static void do_barrier(void) {
  lmp_party its;
  if (lmp_barrier_arrive(&real.me, mine(), LMP_NOWAIT, &its)) return;
  if (its.last) {
    (void)!lmp_barrier_release(&real.me, mine(), &its);
  } else {
    (void)!lmp_barrier_await(&real.me, mine(), soon(MOMENT), &its);
  }
}

static void set_barrier_broken(void) {
  set_barrier_waited();
  lmp_barrier_abort(&real.me, mine());
}
static void do_barrier_reset(void) { lmp_barrier_reset(&real.me, mine()); }
static void do_barrier_abort(void) { lmp_barrier_abort(&real.me, mine()); }

static const char *barrier_goes_on(place *p) {
  lmp_obj *o = of(p);
  lmp_party its;
  const char *bad = lmp_barrier_valid(&p->a, o);
  if (bad) return bad;
  bool waits = party.index != 0;
  if (waits) {
    lmp_err e = lmp_barrier_await(&p->me, o, LMP_NOWAIT, &party);
    if (e && e != LMP_E_BROKEN) return "a party cannot leave";
  }
  lmp_barrier_reset(&p->me, o);
  if (lmp_barrier_broken(o) || lmp_barrier_waiting(&p->a, o)) return "a barrier is not whole";
  if (lmp_barrier_arrive(&p->me, o, LMP_NOWAIT, &its)) return "nobody can arrive";
  if (its.last != (lmp_barrier_of(o)->ba_parties == 1)) return "a party that is not there";
  if (!its.last) {
    lmp_barrier_quit(&p->me, o, &its);
    if (!lmp_barrier_broken(o)) return "a round goes on without a party";
  } else if (lmp_barrier_release(&p->me, o, &its)) {
    return "a round cannot end";
  }
  return lmp_barrier_valid(&p->a, o);
}

static const char *check_barrier(place *p) {
  const char *bad = barrier_goes_on(p);
  drop(p);
  return bad;
}

/* -- the table ---------------------------------------------------------------------------------- */

const step_op sync_ops[] = {
    {"lock", set_lock, do_lock, 1, 0, check_lock},
    {"lock_waited", set_lock_waited, do_lock, 1, 0, check_lock},
    {"lock_wait", set_lock_held, do_lock_wait, 1, 0, check_lock},
    {"lock_starve", set_lock_held, do_lock_starve, 1, 0, check_lock},
    {"rlock", set_rlock, do_rlock, 1, 0, check_lock},
    {"cond_wait", set_cond, do_cond_wait, 1, 0, check_cond},
    {"cond_notify", set_cond_waited, do_cond_notify, 1, 0, check_cond},
    {"semaphore", set_sem, do_sem, 1, 0, check_sem},
    {"semaphore_wait", set_sem_none, do_sem_wait, 1, 0, check_sem},
    {"semaphore_waited", set_sem_waited, do_sem_release, 1, 0, check_sem},
    {"bounded", set_bounded, do_bounded, 1, 0, check_bounded},
    {"bounded_wait", set_bounded_none, do_bounded_wait, 1, 0, check_bounded},
    {"bounded_waited", set_bounded_waited, do_bounded_release, 1, 0, check_bounded},
    {"event", set_event, do_event, 1, 0, check_event},
    {"event_wait", set_event, do_event_wait, 1, 0, check_event},
    {"event_waited", set_event_waited, do_event, 1, 0, check_event},
    {"barrier", set_barrier_one, do_barrier, 1, 0, check_barrier},
    {"barrier_wait", set_barrier_two, do_barrier, 1, 0, check_barrier},
    {"barrier_waited", set_barrier_waited, do_barrier, 1, 0, check_barrier},
    {"barrier_reset", set_barrier_waited, do_barrier_reset, 1, 0, check_barrier},
    {"barrier_broken", set_barrier_broken, do_barrier_reset, 1, 0, check_barrier},
    {"barrier_abort", set_barrier_waited, do_barrier_abort, 1, 0, check_barrier},
    {0},
};
