/* lock_test.c: Lock and RLock: ownership, waiting, death, turns.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <pthread.h>

#include "sync/lock.h"

static lmp_obj *at(const world *w, lmp_handle h) { return lmp_obj_at(&w->a, h.obj); }

static lmp_handle make(world *w, bool recursive) {
  lmp_handle h;
  lmp_err e = recursive ? lmp_rlock_new(&w->me, NULL, 0, &h) : lmp_lock_new(&w->me, NULL, 0, &h);
  assert_int_equal(e, LMP_OK);
  return h;
}

static lmp_err acquire(lmp_me *me, lmp_obj *o, uint64_t deadline, bool *abandoned) {
  lmp_err e;
  do {
    e = lmp_lock_acquire(me, o, deadline, abandoned);
  } while (e == LMP_E_INTR);
  return e;
}

static void takes(world *w, lmp_handle h, bool was_abandoned) {
  bool abandoned = !was_abandoned;
  assert_int_equal(acquire(&w->me, at(w, h), LMP_FOREVER, &abandoned), LMP_OK);
  assert_int_equal(abandoned, was_abandoned);
  assert_int_equal(lmp_lock_owner(at(w, h)), w->me.id);
  assert_ptr_equal(lmp_lock_valid(&w->a, at(w, h)), NULL);
}

static void leaves(world *w, lmp_handle h) {
  assert_int_equal(lmp_lock_release(&w->me, at(w, h)), LMP_OK);
}

static void done(world *w, lmp_handle h) {
  assert_ptr_equal(lmp_lock_valid(&w->a, at(w, h)), NULL);
  assert_int_equal(lmp_lock_owner(at(w, h)), 0);
  lmp_obj_unref(&w->me, h);
  lmp_reap_all(&w->me);
  world_is_empty(w);
  world_close(w);
}

/* -- alone -------------------------------------------------------------------------------------- */

static void test_only_the_owner_releases(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  assert_int_equal(lmp_lock_release(&w.me, at(&w, h)), LMP_E_INVAL);
  takes(&w, h, false);
  leaves(&w, h);
  assert_int_equal(lmp_lock_release(&w.me, at(&w, h)), LMP_E_INVAL);
  done(&w, h);
}

static void test_a_lock_that_one_holds_is_not_waited_for(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  bool abandoned;
  takes(&w, h, false);
  assert_int_equal(acquire(&w.me, at(&w, h), LMP_FOREVER, &abandoned), LMP_E_INVAL);
  assert_int_equal(acquire(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_E_TIMEOUT);
  uint64_t deadline = lmp_os_now() + 20 * LMP_MSEC;
  assert_int_equal(acquire(&w.me, at(&w, h), deadline, &abandoned), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  leaves(&w, h);
  done(&w, h);
}

static void test_an_rlock_is_released_as_often(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, true);
  for (int i = 0; i < 5; i++) takes(&w, h, false);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(lmp_lock_owner(at(&w, h)), w.me.id);
    leaves(&w, h);
  }
  assert_int_equal(lmp_lock_owner(at(&w, h)), 0);
  lmp_lk_of(at(&w, h))->lk_depth = UINT32_MAX; /* of a free lock: means nothing */
  takes(&w, h, false);
  lmp_lk_of(at(&w, h))->lk_depth = UINT32_MAX;
  bool abandoned;
  assert_int_equal(acquire(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_E_TOOLARGE);
  lmp_lk_of(at(&w, h))->lk_depth = 1;
  leaves(&w, h);
  done(&w, h);
}

/* -- others ------------------------------------------------------------------------------------- */

static void hold(world *w, void *arg) {
  bool abandoned;
  must(lmp_lock_acquire(&w->me, arg, LMP_FOREVER, &abandoned) == LMP_OK);
  peer_stay(w, 1);
}

static void hold_twice(world *w, void *arg) {
  bool abandoned;
  must(lmp_lock_acquire(&w->me, arg, LMP_FOREVER, &abandoned) == LMP_OK);
  hold(w, arg);
}

static void leave_held(world *w, void *arg) {
  bool abandoned;
  must(lmp_lock_acquire(&w->me, arg, LMP_FOREVER, &abandoned) == LMP_OK);
}

static void wait_for_it(world *w, void *arg) {
  bool abandoned;
  must(acquire(&w->me, arg, LMP_FOREVER, &abandoned) == LMP_OK);
  lmp_store_rel32(&w->word[1], abandoned ? 2 : 1);
  must(lmp_lock_release(&w->me, arg) == LMP_OK);
}

static bool sleeps_on(const world *w, const peer *p, const lmp_obj *o) {
  for (uint32_t i = 0; i < lmp_load_acq32(&w->a.h->hd_ctx_hwm); i++) {
    const lmp_ctx *c = &w->a.ctxs[i];
    if (lmp_load_acq32(&c->cx_state) == LMP_CTX_STATE(LMP_CTX_LIVE, p->slot))
      return lmp_load_acq32(&c->cx_wait_n) && (lmp_load_acq32(&lmp_lk_of(o)->lk_word) & LMP_LK_W);
  }
  return false;
}

static void test_others_neither_take_nor_release_it(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  bool abandoned;
  peer p = peer_start(&w, hold, at(&w, h));
  until(w.word[0] == 1);
  assert_int_equal(lmp_lock_release(&w.me, at(&w, h)), LMP_E_INVAL);
  assert_int_equal(acquire(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_E_TIMEOUT);
  uint64_t deadline = lmp_os_now() + 30 * LMP_MSEC;
  assert_int_equal(acquire(&w.me, at(&w, h), deadline, &abandoned), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  peer_kill(&p);
  peer_reap(&w, &p);
  takes(&w, h, true);
  leaves(&w, h);
  takes(&w, h, false); /* told once */
  leaves(&w, h);
  done(&w, h);
}

static void test_a_dead_owner_is_found_by_the_next_to_acquire(void **state) {
  (void)state;
  for (int recursive = 0; recursive < 2; recursive++) {
    world w;
    world_open(&w);
    lmp_handle h = make(&w, recursive);
    peer p = peer_start(&w, recursive ? hold_twice : hold, at(&w, h));
    until(w.word[0] == 1);
    peer_kill(&p);
    bool abandoned = false; /* also without waiting */
    assert_int_equal(acquire(&w.me, at(&w, h), recursive ? LMP_FOREVER : LMP_NOWAIT, &abandoned),
                     LMP_OK);
    assert_true(abandoned);
    leaves(&w, h); /* once is enough, whatever the other did */
    assert_int_equal(lmp_lock_owner(at(&w, h)), 0);
    peer_reap(&w, &p);
    done(&w, h);
  }
}

static void test_a_sleeper_is_told_of_the_owners_death(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  peer owner = peer_start(&w, hold, at(&w, h));
  until(w.word[0] == 1);
  peer waiter = peer_start(&w, wait_for_it, at(&w, h));
  until(sleeps_on(&w, &waiter, at(&w, h)));
  peer_kill(&owner);
  peer_end(&w, &waiter);
  assert_int_equal(w.word[1], 2);
  peer_reap(&w, &owner);
  done(&w, h);
}

static void test_an_owner_that_leaves_has_abandoned_it(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  peer p = peer_start(&w, leave_held, at(&w, h));
  peer_end(&w, &p);
  takes(&w, h, true);
  leaves(&w, h);
  done(&w, h);
}

static void test_a_release_wakes_a_sleeper(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  takes(&w, h, false);
  peer waiter = peer_start(&w, wait_for_it, at(&w, h));
  until(sleeps_on(&w, &waiter, at(&w, h)));
  leaves(&w, h);
  peer_end(&w, &waiter);
  assert_int_equal(w.word[1], 1);
  done(&w, h);
}

/* -- waiters that are killed ---------------------------------------------------------------------- */

static void test_a_killed_waiter_abandons_nothing(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  takes(&w, h, false);
  for (int i = 0; i < 5; i++) {
    peer waiter = peer_start(&w, wait_for_it, at(&w, h));
    until(sleeps_on(&w, &waiter, at(&w, h)));
    if (i > 0) until(lmp_load_acq32(&lmp_lk_of(at(&w, h))->lk_word) & LMP_LK_W);
    peer_kill(&waiter);
    peer_reap(&w, &waiter);
  }
  leaves(&w, h);
  takes(&w, h, false);
  leaves(&w, h);
  done(&w, h);
}

/* Says that it waits, and takes its turn as soon as it lost the race once. */
static void test_a_turn_of_a_dead_waiter_is_given_up(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  lmp_lk *k = lmp_lk_of(at(&w, h));
  takes(&w, h, false);
  peer first = peer_start(&w, wait_for_it, at(&w, h));
  until(sleeps_on(&w, &first, at(&w, h)));
  uint64_t give_up = lmp_os_now() + 40 * LMP_SEC;
  while (!lmp_load_acq32(&k->lk_next)) { /* woken, and the lock is not free: starves */
    lmp_os_futex_wake(&k->lk_word, 1);
    assert_true(lmp_os_now() < give_up);
    (void)lmp_os_sleep(lmp_os_now() + 2 * LMP_MSEC);
  }
  peer second = peer_start(&w, wait_for_it, at(&w, h));
  until(sleeps_on(&w, &second, at(&w, h)));
  assert_int_equal(kill(first.pid, SIGSTOP), 0);
  leaves(&w, h);
  peer_kill(&first);
  /* Nobody but a reaper can take the turn away before a tick. */
  peer_reap(&w, &first);
  assert_int_equal(k->lk_next, 0);
  peer_end(&w, &second);
  assert_int_equal(w.word[1], 1);
  takes(&w, h, false);
  leaves(&w, h);
  done(&w, h);
}

static void test_a_turn_is_respected_and_taken(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, false);
  lmp_lk *k = lmp_lk_of(at(&w, h));
  bool abandoned;
  lmp_store_rel32(&k->lk_next, 30); /* a context that nobody has */
  uint64_t deadline = lmp_os_now() + 10 * LMP_MSEC;
  /* Waits in the hope that the other comes; at its deadline it no longer does. */
  assert_int_equal(acquire(&w.me, at(&w, h), deadline, &abandoned), LMP_OK);
  assert_true(lmp_os_now() >= deadline);
  leaves(&w, h);
  /* And not for longer than a tick. */
  assert_int_equal(lmp_load_acq32(&k->lk_next), 30);
  takes(&w, h, false);
  assert_int_equal(lmp_load_acq32(&k->lk_next), 0);
  leaves(&w, h);
  lmp_store_rel32(&k->lk_next, w.me.id);
  assert_int_equal(acquire(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_OK);
  leaves(&w, h);
  lmp_store_rel32(&k->lk_next, 0);
  done(&w, h);
}

/* -- threads ------------------------------------------------------------------------------------ */

typedef struct shared {
  world *w;
  lmp_obj *o;
  uint64_t count; /* under the lock */
  uint32_t stop;
  uint64_t of[4];
} shared;

typedef struct job {
  shared *s;
  unsigned i;
} job;

static void *work(void *arg) {
  job *j = arg;
  shared *s = j->s;
  lmp_me me;
  bool abandoned;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  while (!lmp_load_acq32(&s->stop)) {
    must(acquire(&me, s->o, LMP_FOREVER, &abandoned) == LMP_OK && !abandoned);
    s->count++;
    s->of[j->i]++;
    if (s->count % 8 == 0 && j->i < 2) { /* and once more, for an RLock */
      lmp_err e = lmp_lock_acquire(&me, s->o, LMP_NOWAIT, &abandoned);
      must(e == (lmp_lk_of(s->o)->lk_recursive ? LMP_OK : LMP_E_TIMEOUT));
      if (!e) must(lmp_lock_release(&me, s->o) == LMP_OK);
    }
    must(lmp_lock_release(&me, s->o) == LMP_OK);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_threads_exclude_each_other(void **state) {
  (void)state;
  for (int recursive = 0; recursive < 2; recursive++) {
    world w;
    world_open(&w);
    lmp_handle h = make(&w, recursive);
    shared s = {.w = &w, .o = at(&w, h)};
    pthread_t t[4];
    job j[4];
    for (unsigned i = 0; i < 4; i++) {
      j[i] = (job){&s, i};
      assert_int_equal(pthread_create(&t[i], NULL, work, &j[i]), 0);
    }
    bool abandoned;
    uint64_t have = 0;
    until(((void)!acquire(&w.me, s.o, LMP_FOREVER, &abandoned), have = s.count,
           (void)!lmp_lock_release(&w.me, s.o), have > 20000));
    lmp_store_rel32(&s.stop, 1);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_int_equal(s.count, s.of[0] + s.of[1] + s.of[2] + s.of[3]);
    done(&w, h);
  }
}

static void *leave(void *arg) {
  shared *s = arg;
  lmp_me me;
  bool abandoned;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  must(acquire(&me, s->o, LMP_FOREVER, &abandoned) == LMP_OK);
  lmp_me_detach(&me);
  return NULL;
}

static void test_a_thread_that_leaves_has_abandoned_it(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, true);
  shared s = {.w = &w, .o = at(&w, h)};
  pthread_t t;
  assert_int_equal(pthread_create(&t, NULL, leave, &s), 0);
  assert_int_equal(pthread_join(t, NULL), 0);
  takes(&w, h, true);
  leaves(&w, h);
  done(&w, h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_only_the_owner_releases),
      cmocka_unit_test(test_a_lock_that_one_holds_is_not_waited_for),
      cmocka_unit_test(test_an_rlock_is_released_as_often),
      cmocka_unit_test(test_others_neither_take_nor_release_it),
      cmocka_unit_test(test_a_dead_owner_is_found_by_the_next_to_acquire),
      cmocka_unit_test(test_a_sleeper_is_told_of_the_owners_death),
      cmocka_unit_test(test_an_owner_that_leaves_has_abandoned_it),
      cmocka_unit_test(test_a_release_wakes_a_sleeper),
      cmocka_unit_test(test_a_killed_waiter_abandons_nothing),
      cmocka_unit_test(test_a_turn_of_a_dead_waiter_is_given_up),
      cmocka_unit_test(test_a_turn_is_respected_and_taken),
      cmocka_unit_test(test_threads_exclude_each_other),
      cmocka_unit_test(test_a_thread_that_leaves_has_abandoned_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
