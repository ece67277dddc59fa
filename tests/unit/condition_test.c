/* condition_test.c: Condition: who may wait and notify, whom a notify reaches, depth, death.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <pthread.h>

#include "sync/condition.h"

/* Words that peers count in. */
enum { HELD, NOTIFIED, TOLD, GO };

static lmp_obj *at(const world *w, lmp_handle h) { return lmp_obj_at(&w->a, h.obj); }

static lmp_handle make(world *w, const lmp_obj *lock) {
  lmp_handle h;
  assert_int_equal(lmp_cond_new(&w->me, NULL, 0, lock, &h), LMP_OK);
  return h;
}

static lmp_err acquire(lmp_me *me, lmp_obj *o, bool *abandoned) {
  lmp_err e;
  do {
    e = lmp_lock_acquire(me, lmp_cond_lock(me->a, o), LMP_FOREVER, abandoned);
  } while (e == LMP_E_INTR);
  return e;
}

static void takes(world *w, lmp_handle h, bool was_abandoned) {
  bool abandoned = !was_abandoned;
  assert_int_equal(acquire(&w->me, at(w, h), &abandoned), LMP_OK);
  assert_int_equal(abandoned, was_abandoned);
}

static void leaves(world *w, lmp_handle h) {
  assert_int_equal(lmp_lock_release(&w->me, lmp_cond_lock(&w->a, at(w, h))), LMP_OK);
}

static void notifies(world *w, lmp_handle h, uint32_t n) {
  takes(w, h, false);
  assert_int_equal(lmp_cond_notify(&w->me, at(w, h), n), LMP_OK);
  leaves(w, h);
}

static void done(world *w, lmp_handle h) {
  assert_ptr_equal(lmp_cond_valid(&w->a, at(w, h)), NULL);
  assert_int_equal(lmp_lock_owner(lmp_cond_lock(&w->a, at(w, h))), 0);
  lmp_obj_unref(&w->me, h);
  lmp_reap_all(&w->me);
  world_is_empty(w);
  world_close(w);
}

/* -- alone -------------------------------------------------------------------------------------- */

static void test_only_the_owner_waits_and_notifies(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  bool abandoned;
  assert_int_equal(lmp_cond_wait(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_E_INVAL);
  assert_int_equal(lmp_cond_notify(&w.me, at(&w, h), 1), LMP_E_INVAL);
  assert_int_equal(w.me.c->cx_cond, 0);
  notifies(&w, h, 1);
  done(&w, h);
}

static void test_a_wait_ends_at_its_deadline_with_the_lock(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  bool abandoned;
  notifies(&w, h, UINT32_MAX); /* of nobody: is not kept */
  for (int i = 0; i < 3; i++) takes(&w, h, false);
  uint64_t deadline = lmp_os_now() + 20 * LMP_MSEC;
  lmp_err e;
  do {
    e = lmp_cond_wait(&w.me, at(&w, h), deadline, &abandoned);
  } while (e == LMP_E_INTR);
  assert_int_equal(e, LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  assert_int_equal(lmp_cond_wait(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_E_TIMEOUT);
  assert_false(abandoned);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(lmp_lock_owner(at(&w, h)), w.me.id);
    leaves(&w, h);
  }
  done(&w, h);
}

static void test_it_keeps_the_lock_that_it_is_bound_to(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle lock;
  assert_int_equal(lmp_lock_new(&w.me, NULL, 0, &lock), LMP_OK);
  lmp_handle h = make(&w, at(&w, lock));
  assert_ptr_equal(lmp_cond_lock(&w.a, at(&w, h)), at(&w, lock));
  lmp_obj_unref(&w.me, lock);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 2);
  bool abandoned;
  takes(&w, h, false);
  assert_int_equal(lmp_cond_wait(&w.me, at(&w, h), LMP_NOWAIT, &abandoned), LMP_E_TIMEOUT);
  leaves(&w, h);
  done(&w, h);
}

/* -- peers -------------------------------------------------------------------------------------- */

/* Waits once, three deep when the lock is recursive, and counts how that ended. */
static void wait_once(world *w, void *arg) {
  lmp_obj *o = arg;
  lmp_obj *lock = lmp_cond_lock(&w->a, o);
  uint32_t depth = lmp_lk_of(lock)->lk_recursive ? 3 : 1;
  bool abandoned;
  for (uint32_t i = 0; i < depth; i++) must(acquire(&w->me, o, &abandoned) == LMP_OK);
  lmp_add_ar32(&w->word[HELD], 1);
  lmp_err e;
  do {
    abandoned = false;
    e = lmp_cond_wait(&w->me, o, LMP_FOREVER, &abandoned);
  } while (e == LMP_E_INTR);
  must(e == LMP_OK && lmp_lk_of(lock)->lk_depth == depth);
  if (abandoned) lmp_add_ar32(&w->word[TOLD], 1);
  lmp_add_ar32(&w->word[NOTIFIED], 1);
  for (uint32_t i = 0; i < depth; i++) must(lmp_lock_release(&w->me, lock) == LMP_OK);
}

/* Notifies one, says so, and stays with the lock. */
static void notify_and_hold(world *w, void *arg) {
  bool abandoned;
  must(acquire(&w->me, arg, &abandoned) == LMP_OK);
  must(lmp_cond_notify(&w->me, arg, 1) == LMP_OK);
  lmp_store_rel32(&w->word[GO], 1);
  for (;;) pause();
}

/* The word of the peer's only thread; NULL: it has none yet. */
static const uint32_t *cond_word(const world *w, const peer *p) {
  for (uint32_t i = 0; i < lmp_load_acq32(&w->a.h->hd_ctx_hwm); i++) {
    const lmp_ctx *c = &w->a.ctxs[i];
    if (lmp_load_acq32(&c->cx_state) == LMP_CTX_STATE(LMP_CTX_LIVE, p->slot)) return &c->cx_cond;
  }
  return NULL;
}

/* V3: asleep, and a notifier sees it. */
static bool asleep(const world *w, const peer *p) {
  const uint32_t *word = cond_word(w, p);
  return word && (lmp_load_acq32(word) & 3) == 2;
}

static peer waiter(world *w, lmp_handle h) {
  peer p = peer_start(w, wait_once, at(w, h));
  until(asleep(w, &p));
  return p;
}

static void test_a_notify_reaches_as_many_as_it_says(void **state) {
  (void)state;
  for (int bound = 0; bound < 2; bound++) {
    world w;
    world_open(&w);
    lmp_handle lock = {0, 0};
    if (bound) assert_int_equal(lmp_lock_new(&w.me, NULL, 0, &lock), LMP_OK);
    lmp_handle h = make(&w, bound ? at(&w, lock) : NULL);
    peer p[4];
    for (int i = 0; i < 4; i++) p[i] = waiter(&w, h);
    assert_int_equal(w.word[HELD], 4); /* each let go of it */
    notifies(&w, h, 0);
    notifies(&w, h, 1);
    until(w.word[NOTIFIED] == 1);
    notifies(&w, h, 2);
    until(w.word[NOTIFIED] == 3);
    int still = 0;
    for (int i = 0; i < 4; i++) still += asleep(&w, &p[i]);
    assert_int_equal(still, 1);
    notifies(&w, h, UINT32_MAX);
    for (int i = 0; i < 4; i++) peer_end(&w, &p[i]);
    assert_int_equal(w.word[NOTIFIED], 4);
    assert_int_equal(w.word[TOLD], 0);
    if (bound) lmp_obj_unref(&w.me, lock);
    done(&w, h);
  }
}

static void test_one_that_is_notified_waits_for_the_lock(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  peer p = waiter(&w, h);
  takes(&w, h, false);
  assert_int_equal(lmp_cond_notify(&w.me, at(&w, h), 1), LMP_OK);
  until(lmp_load_acq32(&lmp_lk_of(at(&w, h))->lk_word) & LMP_LK_W);
  assert_int_equal(w.word[NOTIFIED], 0);
  leaves(&w, h);
  peer_end(&w, &p);
  assert_int_equal(w.word[NOTIFIED], 1);
  done(&w, h);
}

/* -- the dead ----------------------------------------------------------------------------------- */

static void test_a_dead_waiter_takes_no_notify(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  peer first = waiter(&w, h);
  peer second = waiter(&w, h);
  peer_kill(&first);
  notifies(&w, h, 1);
  peer_end(&w, &second);
  assert_int_equal(w.word[NOTIFIED], 1);
  peer_reap(&w, &first);
  done(&w, h);
}

static void test_the_notify_of_a_dead_waiter_goes_to_another(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  peer p[2] = {waiter(&w, h), waiter(&w, h)};
  for (int i = 0; i < 2; i++) assert_int_equal(kill(p[i].pid, SIGSTOP), 0);
  notifies(&w, h, 1);
  int dead = asleep(&w, &p[0]) ? 1 : 0;
  assert_true(asleep(&w, &p[1 - dead])); /* one only */
  peer_kill(&p[dead]);
  peer_reap(&w, &p[dead]);
  assert_false(asleep(&w, &p[1 - dead]));
  assert_int_equal(kill(p[1 - dead].pid, SIGCONT), 0);
  peer_end(&w, &p[1 - dead]);
  assert_int_equal(w.word[NOTIFIED], 1);
  done(&w, h);
}

static void test_who_is_notified_is_told_of_an_abandoned_lock(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  peer p = waiter(&w, h);
  peer owner = peer_start(&w, notify_and_hold, at(&w, h));
  until(w.word[GO] == 1);
  peer_kill(&owner);
  peer_end(&w, &p);
  assert_int_equal(w.word[NOTIFIED], 1);
  assert_int_equal(w.word[TOLD], 1);
  peer_reap(&w, &owner);
  done(&w, h);
}

/* -- threads ------------------------------------------------------------------------------------ */

#define TOKENS 3000u
typedef struct shared {
  world *w;
  lmp_obj *o;
  uint32_t tokens, taken, given; /* under the lock */
} shared;

static void let_go(lmp_me *me, shared *s) {
  must(lmp_lock_release(me, lmp_cond_lock(me->a, s->o)) == LMP_OK);
}

static void *take_tokens(void *arg) {
  shared *s = arg;
  lmp_me me;
  bool abandoned;
  bool more = true;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  while (more) {
    must(acquire(&me, s->o, &abandoned) == LMP_OK && !abandoned);
    while (s->tokens == 0 && s->taken < TOKENS) {
      lmp_err e = lmp_cond_wait(&me, s->o, LMP_FOREVER, &abandoned);
      must(e == LMP_OK || e == LMP_E_INTR);
    }
    more = s->taken < TOKENS;
    if (more) {
      s->tokens--;
      s->taken++;
    }
    if (s->taken == TOKENS) must(lmp_cond_notify(&me, s->o, UINT32_MAX) == LMP_OK);
    let_go(&me, s);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void *give_tokens(void *arg) {
  shared *s = arg;
  lmp_me me;
  bool abandoned;
  bool more = true;
  must(lmp_me_attach(&s->w->a, &me) == LMP_OK);
  while (more) {
    must(acquire(&me, s->o, &abandoned) == LMP_OK && !abandoned);
    more = s->given < TOKENS;
    if (more) {
      s->given++;
      s->tokens++;
      must(lmp_cond_notify(&me, s->o, 1) == LMP_OK);
    }
    let_go(&me, s);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_no_notify_is_lost_between_threads(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = make(&w, NULL);
  shared s = {.w = &w, .o = at(&w, h)};
  pthread_t t[5];
  for (unsigned i = 0; i < 5; i++) {
    assert_int_equal(pthread_create(&t[i], NULL, i < 3 ? take_tokens : give_tokens, &s), 0);
  }
  for (unsigned i = 0; i < 5; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
  assert_int_equal(s.taken, TOKENS);
  assert_int_equal(s.given, TOKENS);
  assert_int_equal(s.tokens, 0);
  done(&w, h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_only_the_owner_waits_and_notifies),
      cmocka_unit_test(test_a_wait_ends_at_its_deadline_with_the_lock),
      cmocka_unit_test(test_it_keeps_the_lock_that_it_is_bound_to),
      cmocka_unit_test(test_a_notify_reaches_as_many_as_it_says),
      cmocka_unit_test(test_one_that_is_notified_waits_for_the_lock),
      cmocka_unit_test(test_a_dead_waiter_takes_no_notify),
      cmocka_unit_test(test_the_notify_of_a_dead_waiter_goes_to_another),
      cmocka_unit_test(test_who_is_notified_is_told_of_an_abandoned_lock),
      cmocka_unit_test(test_no_notify_is_lost_between_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
