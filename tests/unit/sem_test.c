/* sem_test.c: Semaphore, BoundedSemaphore, Event and Barrier: counting, waiting, death.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <pthread.h>

#include "sync/barrier.h"
#include "sync/event.h"
#include "sync/semaphore.h"

#define THREADS 4u

static lmp_obj *at(const world *w, lmp_handle h) { return lmp_obj_at(&w->a, h.obj); }

static lmp_handle semaphore(world *w, uint32_t n) {
  lmp_handle h;
  assert_int_equal(lmp_semaphore_new(&w->me, NULL, 0, n, &h), LMP_OK);
  return h;
}

static lmp_handle bounded(world *w, uint32_t n) {
  lmp_handle h;
  assert_int_equal(lmp_bounded_new(&w->me, NULL, 0, n, &h), LMP_OK);
  return h;
}

static lmp_handle event(world *w) {
  lmp_handle h;
  assert_int_equal(lmp_event_new(&w->me, NULL, 0, &h), LMP_OK);
  return h;
}

static lmp_handle barrier(world *w, uint32_t parties) {
  lmp_handle h;
  assert_int_equal(lmp_barrier_new(&w->me, NULL, 0, parties, LMP_FOREVER, NULL, &h), LMP_OK);
  return h;
}

static void done(world *w, lmp_handle h) {
  lmp_obj_unref(&w->me, h);
  lmp_reap_all(&w->me);
  world_is_empty(w);
  world_close(w);
}

/* Calls that a signal interrupts are made again. */
static lmp_err take(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_err e;
  do {
    e = o->ob_kind == LMP_KIND_BOUNDED ? lmp_bounded_acquire(me, o, deadline)
                                       : lmp_semaphore_acquire(me, o, deadline);
  } while (e == LMP_E_INTR);
  return e;
}

static lmp_err give(lmp_me *me, lmp_obj *o) {
  return o->ob_kind == LMP_KIND_BOUNDED ? lmp_bounded_release(me, o) : lmp_semaphore_release(me, o);
}

static uint32_t value(const world *w, const lmp_obj *o) {
  return o->ob_kind == LMP_KIND_BOUNDED ? lmp_bounded_value(&w->a, o) : lmp_semaphore_value(o);
}

static lmp_err hear(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_err e;
  do {
    e = lmp_event_wait(me, o, deadline);
  } while (e == LMP_E_INTR);
  return e;
}

/* One whole wait; *p says what place it had. */
static lmp_err meet(lmp_me *me, lmp_obj *o, uint64_t deadline, lmp_party *p) {
  lmp_err e;
  do {
    e = lmp_barrier_arrive(me, o, deadline, p);
  } while (e == LMP_E_INTR);
  if (e) return e;
  if (p->last) return lmp_barrier_release(me, o, p);
  do {
    e = lmp_barrier_await(me, o, deadline, p);
  } while (e == LMP_E_INTR);
  return e;
}

static bool sleeps(const world *w, const peer *p) {
  for (uint32_t i = 0; i < lmp_load_acq32(&w->a.h->hd_ctx_hwm); i++) {
    const lmp_ctx *c = &w->a.ctxs[i];
    if (lmp_load_acq32(&c->cx_state) == LMP_CTX_STATE(LMP_CTX_LIVE, p->slot))
      return lmp_load_acq32(&c->cx_wait_n) != 0;
  }
  return false;
}

static void times_out(world *w, lmp_obj *o, lmp_err (*wait)(lmp_me *, lmp_obj *, uint64_t)) {
  assert_int_equal(wait(&w->me, o, LMP_NOWAIT), LMP_E_TIMEOUT);
  uint64_t deadline = lmp_os_now() + 20 * LMP_MSEC;
  assert_int_equal(wait(&w->me, o, deadline), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
}

/* -- semaphores ----------------------------------------------------------------------------------- */

static void count_down_and_up(world *w, lmp_handle h, uint32_t n) {
  for (uint32_t i = n; i > 0; i--) {
    assert_int_equal(value(w, at(w, h)), i);
    assert_int_equal(take(&w->me, at(w, h), LMP_FOREVER), LMP_OK);
  }
  assert_int_equal(value(w, at(w, h)), 0);
  times_out(w, at(w, h), take);
  for (uint32_t i = 0; i < n; i++) assert_int_equal(give(&w->me, at(w, h)), LMP_OK);
  assert_int_equal(value(w, at(w, h)), n);
}

static void test_permits_are_counted(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = semaphore(&w, 3);
  count_down_and_up(&w, h, 3);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_OK); /* any number of them */
  assert_int_equal(value(&w, at(&w, h)), 4);
  done(&w, h);
}

static void test_the_greatest_value_is_not_exceeded(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = semaphore(&w, LMP_SEMAPHORE_MAX);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_E_INVAL);
  assert_int_equal(value(&w, at(&w, h)), LMP_SEMAPHORE_MAX);
  assert_int_equal(take(&w.me, at(&w, h), LMP_NOWAIT), LMP_OK);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_OK);
  done(&w, h);
}

static void test_both_counts_run_over(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = semaphore(&w, 0);
  lmp_semaphore_of(at(&w, h))->se_pos = UINT64_MAX; /* as if after so many */
  assert_int_equal(value(&w, at(&w, h)), 0);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_OK);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_OK);
  assert_int_equal(take(&w.me, at(&w, h), LMP_NOWAIT), LMP_OK);
  assert_int_equal(value(&w, at(&w, h)), 1);
  assert_int_equal(take(&w.me, at(&w, h), LMP_NOWAIT), LMP_OK);
  times_out(&w, at(&w, h), take);
  done(&w, h);
}

static void test_bounded_permits_are_counted(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, LMP_BOUNDED_INLINE, LMP_BOUNDED_INLINE + 1};
  for (unsigned i = 0; i < 3; i++) {
    world w;
    world_open(&w);
    lmp_handle h = bounded(&w, sizes[i]);
    assert_int_equal(give(&w.me, at(&w, h)), LMP_E_INVAL);
    count_down_and_up(&w, h, sizes[i]);
    assert_int_equal(give(&w.me, at(&w, h)), LMP_E_INVAL);
    assert_int_equal(lmp_bounded_held(&w.a, at(&w, h), w.me.id), 0);
    done(&w, h);
  }
}

static void test_a_semaphore_of_none_is_never_free(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = bounded(&w, 0);
  times_out(&w, at(&w, h), take);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_E_INVAL);
  done(&w, h);
}

static void take_and_stay(world *w, void *arg) {
  must(take(&w->me, arg, LMP_FOREVER) == LMP_OK);
  peer_stay(w, 1);
}

static void take_and_leave(world *w, void *arg) { must(take(&w->me, arg, LMP_FOREVER) == LMP_OK); }

static void take_and_tell(world *w, void *arg) {
  must(take(&w->me, arg, LMP_FOREVER) == LMP_OK);
  lmp_store_rel32(&w->word[1], 1);
}

static void test_a_permit_that_is_a_signal_dies_with_its_taker(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = semaphore(&w, 2);
  peer p = peer_start(&w, take_and_stay, at(&w, h));
  until(w.word[0] == 1);
  peer_kill(&p);
  peer_reap(&w, &p);
  assert_int_equal(value(&w, at(&w, h)), 1);
  done(&w, h);
}

static void test_a_permit_that_is_held_comes_back(void **state) {
  (void)state;
  for (int dies = 0; dies < 2; dies++) {
    world w;
    world_open(&w);
    lmp_handle h = bounded(&w, 2);
    peer p = peer_start(&w, dies ? take_and_stay : take_and_leave, at(&w, h));
    if (dies) {
      until(w.word[0] == 1);
      assert_int_equal(value(&w, at(&w, h)), 1);
      peer_kill(&p);
      peer_reap(&w, &p);
    } else {
      peer_end(&w, &p);
    }
    assert_int_equal(value(&w, at(&w, h)), 2);
    assert_int_equal(give(&w.me, at(&w, h)), LMP_E_INVAL);
    done(&w, h);
  }
}

static void test_a_sleeper_gets_a_dead_holders_permit(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = bounded(&w, 1);
  peer holder = peer_start(&w, take_and_stay, at(&w, h));
  until(w.word[0] == 1);
  peer waiter = peer_start(&w, take_and_tell, at(&w, h));
  until(sleeps(&w, &waiter));
  peer_kill(&holder);
  peer_end(&w, &waiter);
  assert_int_equal(w.word[1], 1);
  peer_reap(&w, &holder);
  done(&w, h);
}

static void test_a_release_wakes_a_sleeper(void **state) {
  (void)state;
  for (int held = 0; held < 2; held++) {
    world w;
    world_open(&w);
    lmp_handle h = held ? bounded(&w, 1) : semaphore(&w, 1);
    assert_int_equal(take(&w.me, at(&w, h), LMP_NOWAIT), LMP_OK);
    peer waiter = peer_start(&w, take_and_tell, at(&w, h));
    until(sleeps(&w, &waiter));
    assert_int_equal(w.word[1], 0);
    assert_int_equal(give(&w.me, at(&w, h)), LMP_OK);
    peer_end(&w, &waiter);
    assert_int_equal(w.word[1], 1);
    done(&w, h);
  }
}

static void test_who_has_no_permit_releases_anothers(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = bounded(&w, 1);
  peer p = peer_start(&w, take_and_stay, at(&w, h));
  until(w.word[0] == 1);
  assert_int_equal(give(&w.me, at(&w, h)), LMP_OK);
  assert_int_equal(value(&w, at(&w, h)), 1);
  assert_int_equal(take(&w.me, at(&w, h), LMP_NOWAIT), LMP_OK);
  peer_kill(&p);
  peer_reap(&w, &p);
  assert_int_equal(lmp_bounded_held(&w.a, at(&w, h), w.me.id), 1); /* ours now, and stays */
  assert_int_equal(give(&w.me, at(&w, h)), LMP_OK);
  done(&w, h);
}

/* -- events --------------------------------------------------------------------------------------- */

static void hear_and_tell(world *w, void *arg) {
  must(hear(&w->me, arg, LMP_FOREVER) == LMP_OK);
  lmp_add_ar32(&w->word[1], 1);
}

static void test_an_event_is_set_and_cleared(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = event(&w);
  times_out(&w, at(&w, h), hear);
  for (int i = 0; i < 3; i++) {
    lmp_event_clear(at(&w, h));
    assert_false(lmp_event_is_set(at(&w, h)));
    for (int k = 0; k < 2; k++) {
      lmp_event_set(&w.me, at(&w, h));
      assert_true(lmp_event_is_set(at(&w, h)));
      assert_int_equal(hear(&w.me, at(&w, h), LMP_NOWAIT), LMP_OK);
      assert_int_equal(hear(&w.me, at(&w, h), LMP_FOREVER), LMP_OK);
    }
  }
  done(&w, h);
}

static void test_a_pulse_is_heard_by_all_who_wait(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = event(&w);
  peer p[3];
  for (int i = 0; i < 3; i++) {
    p[i] = peer_start(&w, hear_and_tell, at(&w, h));
    until(sleeps(&w, &p[i]));
  }
  lmp_event_set(&w.me, at(&w, h));
  lmp_event_clear(at(&w, h));
  for (int i = 0; i < 3; i++) peer_end(&w, &p[i]);
  assert_int_equal(w.word[1], 3);
  assert_false(lmp_event_is_set(at(&w, h)));
  done(&w, h);
}

/* -- barriers ------------------------------------------------------------------------------------- */

static void meet_once(world *w, void *arg) {
  lmp_party p;
  must(meet(&w->me, arg, LMP_FOREVER, &p) == LMP_OK);
  lmp_add_ar32(&w->word[1], p.index);
}

static void meet_in_vain(world *w, void *arg) {
  lmp_party p;
  must(meet(&w->me, arg, LMP_FOREVER, &p) == LMP_E_BROKEN);
  lmp_add_ar32(&w->word[1], 1);
}

static void arrive_and_stay(world *w, void *arg) {
  lmp_party p;
  must(lmp_barrier_arrive(&w->me, arg, LMP_FOREVER, &p) == LMP_OK);
  peer_stay(w, p.index);
}

static void is_whole(const world *w, lmp_handle h) {
  assert_false(lmp_barrier_broken(at(w, h)));
  assert_int_equal(lmp_barrier_waiting(&w->a, at(w, h)), 0);
  assert_ptr_equal(lmp_barrier_valid(&w->a, at(w, h)), NULL);
}

static void test_one_party_never_waits(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = barrier(&w, 1);
  lmp_party p;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(meet(&w.me, at(&w, h), LMP_NOWAIT, &p), LMP_OK);
    assert_true(p.last && p.index == 1);
  }
  is_whole(&w, h);
  done(&w, h);
}

static void test_all_are_let_go_when_all_are_there(void **state) {
  (void)state;
  static const uint32_t sizes[] = {2, 3};
  for (unsigned k = 0; k < 2; k++) {
    world w;
    world_open(&w);
    lmp_handle h = barrier(&w, sizes[k]);
    for (int round = 0; round < 3; round++) {
      peer p[2];
      lmp_party mine;
      lmp_store_rel32(&w.word[1], 0);
      for (uint32_t i = 0; i + 1 < sizes[k]; i++) {
        p[i] = peer_start(&w, meet_once, at(&w, h));
        until(lmp_barrier_waiting(&w.a, at(&w, h)) == i + 1);
      }
      assert_int_equal(lmp_load_acq32(&w.word[1]), 0);
      assert_int_equal(meet(&w.me, at(&w, h), LMP_FOREVER, &mine), LMP_OK);
      assert_true(mine.last && mine.index == sizes[k]);
      for (uint32_t i = 0; i + 1 < sizes[k]; i++) peer_end(&w, &p[i]);
      assert_int_equal(w.word[1], sizes[k] == 2 ? 1 : 3);
      is_whole(&w, h);
    }
    done(&w, h);
  }
}

static void test_a_deadline_breaks_it_for_all(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = barrier(&w, 3);
  lmp_party p;
  peer waiter = peer_start(&w, meet_in_vain, at(&w, h));
  until(sleeps(&w, &waiter));
  uint64_t deadline = lmp_os_now() + 20 * LMP_MSEC;
  assert_int_equal(meet(&w.me, at(&w, h), deadline, &p), LMP_E_BROKEN);
  assert_true(lmp_os_now() >= deadline);
  peer_end(&w, &waiter);
  assert_true(lmp_barrier_broken(at(&w, h)));
  assert_int_equal(meet(&w.me, at(&w, h), LMP_FOREVER, &p), LMP_E_BROKEN);
  lmp_barrier_reset(&w.me, at(&w, h));
  is_whole(&w, h);
  assert_int_equal(meet(&w.me, at(&w, h), LMP_NOWAIT, &p), LMP_E_BROKEN);
  done(&w, h);
}

static void test_abort_reset_and_quit_break_it(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    world w;
    world_open(&w);
    lmp_handle h = barrier(&w, 2);
    lmp_party p;
    peer waiter = peer_start(&w, meet_in_vain, at(&w, h));
    until(sleeps(&w, &waiter));
    if (how == 0) lmp_barrier_abort(&w.me, at(&w, h));
    if (how == 1) lmp_barrier_reset(&w.me, at(&w, h));
    if (how == 2) {
      assert_int_equal(lmp_barrier_arrive(&w.me, at(&w, h), LMP_FOREVER, &p), LMP_OK);
      assert_true(p.last);
      lmp_barrier_quit(&w.me, at(&w, h), &p);
    }
    peer_end(&w, &waiter);
    assert_int_equal(lmp_barrier_broken(at(&w, h)), how != 1);
    lmp_barrier_reset(&w.me, at(&w, h));
    is_whole(&w, h);
    done(&w, h);
  }
}

static void test_a_death_breaks_it_once(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = barrier(&w, 3);
  peer dies = peer_start(&w, arrive_and_stay, at(&w, h));
  until(w.word[0] == 1);
  peer waiter = peer_start(&w, meet_in_vain, at(&w, h));
  until(sleeps(&w, &waiter));
  peer_kill(&dies);
  peer_end(&w, &waiter); /* it finds the dead one by itself */
  peer_reap(&w, &dies);
  assert_true(lmp_barrier_broken(at(&w, h)));
  lmp_barrier_reset(&w.me, at(&w, h));
  lmp_reap_all(&w.me);
  is_whole(&w, h);
  done(&w, h);
}

static void test_a_death_after_the_round_breaks_nothing(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = barrier(&w, 2);
  lmp_party p;
  peer dies = peer_start(&w, arrive_and_stay, at(&w, h));
  until(w.word[0] == 1);
  assert_int_equal(meet(&w.me, at(&w, h), LMP_FOREVER, &p), LMP_OK);
  peer_kill(&dies);
  peer_reap(&w, &dies);
  is_whole(&w, h);
  peer other = peer_start(&w, meet_once, at(&w, h));
  assert_int_equal(meet(&w.me, at(&w, h), LMP_FOREVER, &p), LMP_OK);
  peer_end(&w, &other);
  is_whole(&w, h);
  done(&w, h);
}

/* Places in a block, all taken by this one thread. */
static void test_the_most_parties_have_places(void **state) {
  (void)state;
  world w;
  world_open(&w);
  const uint32_t n = LMP_BARRIER_INLINE + 5;
  lmp_handle h = barrier(&w, n);
  lmp_party p[LMP_BARRIER_INLINE + 5];
  for (int round = 0; round < 3; round++) {
    for (uint32_t i = 0; i < n; i++) {
      assert_int_equal(lmp_barrier_arrive(&w.me, at(&w, h), LMP_NOWAIT, &p[i]), LMP_OK);
      assert_int_equal(p[i].index, i + 1);
      assert_int_equal(lmp_barrier_waiting(&w.a, at(&w, h)), i + 1);
    }
    assert_int_equal(lmp_barrier_release(&w.me, at(&w, h), &p[n - 1]), LMP_OK);
    for (uint32_t i = 0; i + 1 < n; i++)
      assert_int_equal(lmp_barrier_await(&w.me, at(&w, h), LMP_NOWAIT, &p[i]), LMP_OK);
    is_whole(&w, h);
  }
  done(&w, h);
}

/* -- threads -------------------------------------------------------------------------------------- */

typedef struct shared {
  world *w;
  lmp_obj *o, *other;
  uint32_t inside, most; /* who have a permit; the most there were */
  uint64_t plain;        /* written between the calls, by one thread at a time */
  uint64_t of[THREADS];
  uint32_t let_go, heard, stop, left;
} shared;

typedef struct job {
  shared *s;
  unsigned i;
} job;

/* All threads do `work`, and this one waits for their end. */
static void in_threads(shared *s, void *(*work)(void *)) {
  pthread_t t[THREADS];
  job j[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    j[i] = (job){s, i};
    assert_int_equal(pthread_create(&t[i], NULL, work, &j[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
}

#define TURNS 2000u

static void *use_permits(void *arg) {
  shared *s = ((job *)arg)->s;
  lmp_me me;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  for (unsigned i = 0; i < TURNS; i++) {
    must(take(&me, s->o, LMP_FOREVER) == LMP_OK);
    must(lmp_add_ar32(&s->inside, 1) < s->most);
    if (s->most == 1) s->plain++; /* a release happens before the next acquire */
    lmp_add_ar32(&s->inside, UINT32_MAX);
    must(give(&me, s->o) == LMP_OK);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_threads_share_permits(void **state) {
  (void)state;
  for (uint32_t held = 0; held < 2; held++) {
    for (uint32_t n = 1; n < 3; n++) {
      world w;
      world_open(&w);
      lmp_handle h = held ? bounded(&w, n) : semaphore(&w, n);
      shared s = {.w = &w, .o = at(&w, h), .most = n};
      in_threads(&s, use_permits);
      assert_int_equal(value(&w, s.o), n);
      assert_int_equal(s.plain, n == 1 ? THREADS * TURNS : 0);
      done(&w, h);
    }
  }
}

static void *keep_a_permit(void *arg) {
  shared *s = ((job *)arg)->s;
  lmp_me me;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  must(take(&me, s->o, LMP_FOREVER) == LMP_OK);
  lmp_me_detach(&me); /* and the next one gets it */
  return NULL;
}

static void test_a_thread_that_leaves_gives_back_its_permit(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = bounded(&w, 1);
  shared s = {.w = &w, .o = at(&w, h)};
  in_threads(&s, keep_a_permit);
  assert_int_equal(value(&w, s.o), 1);
  done(&w, h);
}

/* In turn each is the one who sets; the others wait. Rounds are kept apart by a barrier. */
static void *pulse(void *arg) {
  job *j = arg;
  shared *s = j->s;
  lmp_me me;
  lmp_party p;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  for (unsigned i = 0; i < TURNS / 10; i++) {
    bool setter = i % THREADS == j->i;
    if (setter) {
      s->plain++;
      lmp_event_set(&me, s->o);
    } else {
      must(hear(&me, s->o, LMP_FOREVER) == LMP_OK);
      must(s->plain == i + 1);
      lmp_add_ar32(&s->heard, 1);
    }
    must(meet(&me, s->other, LMP_FOREVER, &p) == LMP_OK);
    if (setter) lmp_event_clear(s->o);
    must(meet(&me, s->other, LMP_FOREVER, &p) == LMP_OK);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_threads_hear_an_event(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = event(&w);
  lmp_handle b = barrier(&w, THREADS);
  shared s = {.w = &w, .o = at(&w, h), .other = at(&w, b)};
  in_threads(&s, pulse);
  assert_int_equal(s.heard, TURNS / 10 * (THREADS - 1));
  is_whole(&w, b);
  lmp_obj_unref(&w.me, b);
  done(&w, h);
}

/* In each round the last to come writes, before all are let go. */
static void *meet_often(void *arg) {
  shared *s = ((job *)arg)->s;
  lmp_me me;
  lmp_party p;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  for (unsigned i = 0; i < TURNS; i++) {
    lmp_err e;
    must(lmp_barrier_arrive(&me, s->o, LMP_FOREVER, &p) == LMP_OK);
    if (p.last) {
      must(s->plain == i);
      s->plain++;
      must(lmp_barrier_release(&me, s->o, &p) == LMP_OK);
    } else {
      do {
        e = lmp_barrier_await(&me, s->o, LMP_FOREVER, &p);
      } while (e == LMP_E_INTR);
      must(e == LMP_OK);
    }
    must(s->plain == i + 1);
    must(meet(&me, s->other, LMP_FOREVER, &p) == LMP_OK);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_threads_meet_round_after_round(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = barrier(&w, THREADS);
  lmp_handle b = barrier(&w, THREADS);
  shared s = {.w = &w, .o = at(&w, h), .other = at(&w, b)};
  in_threads(&s, meet_often);
  assert_int_equal(s.plain, TURNS);
  is_whole(&w, h);
  is_whole(&w, b);
  lmp_obj_unref(&w.me, b);
  done(&w, h);
}

/* Twice as many threads as places, and resets in between: whoever is let go is one of two. */
static void *meet_and_reset(void *arg) {
  job *j = arg;
  shared *s = j->s;
  lmp_me me;
  lmp_party p;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  for (unsigned i = 0; !lmp_load_acq32(&s->stop); i++) {
    lmp_err e = meet(&me, s->o, LMP_FOREVER, &p);
    must(e == LMP_OK || e == LMP_E_BROKEN);
    if (!e) lmp_add_ar32(&s->let_go, 1);
    if (e || i % 16 == j->i) lmp_barrier_reset(&me, s->o);
  }
  lmp_add_ar32(&s->left, 1);
  lmp_me_detach(&me);
  return NULL;
}

static void test_more_threads_than_places_and_resets(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = barrier(&w, 2);
  shared s = {.w = &w, .o = at(&w, h)};
  pthread_t t[THREADS];
  job j[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    j[i] = (job){&s, i};
    assert_int_equal(pthread_create(&t[i], NULL, meet_and_reset, &j[i]), 0);
  }
  until(lmp_load_acq32(&s.let_go) > 2 * TURNS);
  lmp_store_rel32(&s.stop, 1);
  /* One who waits may lack somebody who has stopped, again and again, since others reset it. */
  until((lmp_barrier_abort(&w.me, s.o), lmp_load_acq32(&s.left) == THREADS));
  for (unsigned i = 0; i < THREADS; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
  assert_int_equal(s.let_go % 2, 0);
  lmp_barrier_reset(&w.me, s.o);
  is_whole(&w, h);
  done(&w, h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_permits_are_counted),
      cmocka_unit_test(test_the_greatest_value_is_not_exceeded),
      cmocka_unit_test(test_both_counts_run_over),
      cmocka_unit_test(test_bounded_permits_are_counted),
      cmocka_unit_test(test_a_semaphore_of_none_is_never_free),
      cmocka_unit_test(test_a_permit_that_is_a_signal_dies_with_its_taker),
      cmocka_unit_test(test_a_permit_that_is_held_comes_back),
      cmocka_unit_test(test_a_sleeper_gets_a_dead_holders_permit),
      cmocka_unit_test(test_a_release_wakes_a_sleeper),
      cmocka_unit_test(test_who_has_no_permit_releases_anothers),
      cmocka_unit_test(test_an_event_is_set_and_cleared),
      cmocka_unit_test(test_a_pulse_is_heard_by_all_who_wait),
      cmocka_unit_test(test_one_party_never_waits),
      cmocka_unit_test(test_all_are_let_go_when_all_are_there),
      cmocka_unit_test(test_a_deadline_breaks_it_for_all),
      cmocka_unit_test(test_abort_reset_and_quit_break_it),
      cmocka_unit_test(test_a_death_breaks_it_once),
      cmocka_unit_test(test_a_death_after_the_round_breaks_nothing),
      cmocka_unit_test(test_the_most_parties_have_places),
      cmocka_unit_test(test_threads_share_permits),
      cmocka_unit_test(test_a_thread_that_leaves_gives_back_its_permit),
      cmocka_unit_test(test_threads_hear_an_event),
      cmocka_unit_test(test_threads_meet_round_after_round),
      cmocka_unit_test(test_more_threads_than_places_and_resets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
