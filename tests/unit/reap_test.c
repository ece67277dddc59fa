/* reap_test.c: what killed processes leave half-done, and who repairs it.
 * SPDX-License-Identifier: MIT */
#include "core.h"

static lmp_queue *queue_of(const world *w, lmp_handle h) {
  return (lmp_queue *)(uintptr_t)lmp_obj_at(&w->a, h.obj)->ob_body;
}

static void at_step(world *w, uint32_t step) { until(lmp_load_acq32(&w->word[0]) == step); }

static lmp_ctx *find_ctx(const world *w, uint32_t slot) {
  for (uint32_t i = 0; i < lmp_load_acq32(&w->a.h->hd_ctx_hwm); i++) {
    if (lmp_load_acq32(&w->a.ctxs[i].cx_state) == LMP_CTX_STATE(LMP_CTX_LIVE, slot))
      return &w->a.ctxs[i];
  }
  return NULL;
}

/* The context of process `slot`, which may still be on its way in. */
static lmp_ctx *ctx_of(const world *w, uint32_t slot) {
  until(find_ctx(w, slot) != NULL);
  return find_ctx(w, slot);
}

static void everything_is_gone(world *w) {
  lmp_reap_all(&w->me);
  world_is_empty(w);
  for (uint32_t i = 1; i < w->a.h->hd_proc_hwm; i++) {
    assert_int_equal(lmp_proc_state(&w->a, i), LMP_PROC_FREE);
    assert_int_equal(LMP_CLAIM_ID(lmp_load_acq32(&w->a.procs[i].pr_reaper)), 0);
  }
  for (uint32_t i = 1; i < w->a.h->hd_ctx_hwm; i++) {
    assert_int_equal(lmp_load_acq32(&w->a.ctxs[i].cx_state), LMP_CTX_FREE);
  }
  world_close(w);
}

/* -- locks -------------------------------------------------------------------------------------- */

static void hold_lock(world *w, void *arg) {
  uint32_t *lock = arg;
  lmp_lock(&w->me, lock);
  peer_stay(w, 1);
}

static void test_a_dead_owners_lock_is_taken_over(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  uint32_t *locks[] = {&queue_of(&w, q)->qt_lock, &queue_of(&w, q)->qh_lock, &w.a.h->hd_run_lock};
  for (size_t i = 0; i < LMP_COUNT(locks); i++) {
    w.word[0] = 0;
    peer p = peer_start(&w, hold_lock, locks[i]);
    at_step(&w, 1);
    peer_kill(&p);
    assert_true(lmp_load_acq32(locks[i]) != 0);
    if (i == 0) assert_int_equal(queue_put_u32(&w.me, q, 3, LMP_FOREVER), LMP_OK);
    if (i == 1) assert_int_equal(queue_get_u32(&w.me, q, LMP_FOREVER), 3);
    if (i == 2) {
      uint64_t off;
      assert_int_equal(lmp_alloc(&w.me, 100000, &off), LMP_OK);
      lmp_free(&w.me, off);
    }
    peer_reap(&w, &p);
    queue_is_valid(&w, q);
  }
  lmp_obj_unref(&w.me, q);
  everything_is_gone(&w);
}

/* Kills the process in word 1 as soon as somebody sleeps on the lock. */
static void kill_owner(world *w, void *arg) {
  uint32_t *lock = arg;
  until(lmp_load_acq32(lock) & LMP_LOCK_W);
  must(kill((pid_t)w->word[1], SIGKILL) == 0);
}

static void test_a_sleeper_on_a_lock_survives_its_owner(void **state) {
  (void)state;
  world w;
  int status;
  for (int round = 0; round < 5; round++) {
    world_open(&w);
    lmp_handle q = queue_make(&w, 0);
    uint32_t *lock = &queue_of(&w, q)->qt_lock;
    peer owner = peer_start(&w, hold_lock, lock);
    at_step(&w, 1);
    w.word[1] = (uint32_t)owner.pid;
    peer killer = peer_start(&w, kill_owner, lock);
    assert_int_equal(queue_put_u32(&w.me, q, 3, LMP_FOREVER), LMP_OK);
    assert_int_equal(waitpid(owner.pid, &status, 0), owner.pid);
    peer_end(&w, &killer);
    peer_reap(&w, &owner);
    lmp_obj_unref(&w.me, q);
    everything_is_gone(&w);
  }
}

/* -- transactions ------------------------------------------------------------------------------- */

/* Killed with both locks of a queue, after the commit of "closed" in one of the two positions. */
static void half_closed(world *w, void *arg) {
  lmp_queue *q = queue_of(w, *(lmp_handle *)arg);
  lmp_lock(&w->me, &q->qt_lock);
  lmp_lock(&w->me, &q->qh_lock);
  lmp_tx_begin(&w->me);
  lmp_tx_set64(&w->me, &q->qt_pos, q->qt_pos | 1);
  lmp_tx_set64(&w->me, &q->qh_pos, q->qh_pos | 1);
  lmp_store_rel32(&w->me.c->cx_txn, w->me.ntx);
  lmp_store_rel64(&q->qt_pos, q->qt_pos | 1);
  peer_stay(w, 1);
}

static void not_closed(world *w, void *arg) {
  lmp_queue *q = queue_of(w, *(lmp_handle *)arg);
  lmp_lock(&w->me, &q->qt_lock);
  lmp_lock(&w->me, &q->qh_lock);
  lmp_tx_begin(&w->me);
  lmp_tx_set64(&w->me, &q->qt_pos, q->qt_pos | 1);
  lmp_tx_set64(&w->me, &q->qh_pos, q->qh_pos | 1);
  peer_stay(w, 1);
}

static void test_a_committed_transaction_is_finished(void **state) {
  (void)state;
  world w;
  for (int committed = 0; committed < 2; committed++) {
    world_open(&w);
    lmp_handle q = queue_make(&w, 0);
    assert_int_equal(queue_put_u32(&w.me, q, 3, LMP_NOWAIT), LMP_OK);
    peer p = peer_start(&w, committed ? half_closed : not_closed, &q);
    at_step(&w, 1);
    peer_kill(&p);
    peer_reap(&w, &p);
    assert_int_equal(queue_of(&w, q)->qt_pos & 1, committed);
    assert_int_equal(queue_of(&w, q)->qh_pos & 1, committed);
    queue_is_valid(&w, q);
    assert_int_equal(queue_put_u32(&w.me, q, 4, LMP_NOWAIT), committed ? LMP_E_CLOSED : LMP_OK);
    assert_int_equal(queue_get_u32(&w.me, q, LMP_NOWAIT), 3);
    lmp_obj_unref(&w.me, q);
    everything_is_gone(&w);
  }
}

/* -- memory and objects ------------------------------------------------------------------------- */

static void take_blocks(world *w, void *arg) {
  (void)arg;
  for (uint64_t size = 1; size < 300000; size += size / 3 + 1) {
    uint64_t off;
    must(lmp_alloc(&w->me, size, &off) == LMP_OK);
  }
  peer_stay(w, 1);
}

static void test_blocks_come_back(void **state) {
  (void)state;
  world w;
  uint64_t mine;
  world_open(&w);
  assert_int_equal(lmp_alloc(&w.me, 1000, &mine), LMP_OK);
  uint64_t before = lmp_memory_used(&w.a);
  for (int round = 0; round < 10; round++) { /* more than once fits, did anything stay behind */
    w.word[0] = 0;
    peer p = peer_start(&w, take_blocks, NULL);
    at_step(&w, 1);
    assert_true(lmp_memory_used(&w.a) > before + MIB);
    peer_kill(&p);
    peer_reap(&w, &p);
    assert_int_equal(lmp_memory_used(&w.a), before);
    assert_int_equal(lmp_block_owner(&w.a, mine), w.me.id);
  }
  lmp_free(&w.me, mine);
  uint64_t all;
  assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
  lmp_free(&w.me, all);
  everything_is_gone(&w);
}

static const char long_name[] = "a name that needs a block of its own";

/* Objects in each state: being made, alive and full of messages, being destroyed; a cycle; and one
 * message with a handle in a queue that others hold. */
static void leave_objects(world *w, void *arg) {
  static uint8_t large[100000];
  lmp_handle shared = *(lmp_handle *)arg;
  lmp_handle h[6];
  lmp_obj *o;
  lmp_obj_ref(&w->me, shared);
  must(lmp_obj_new(&w->me, LMP_KIND_QUEUE, long_name, sizeof long_name, &o) == LMP_OK);
  for (int i = 0; i < 6; i++) {
    must(lmp_queue_new(&w->me, long_name, sizeof long_name, 0, &h[i]) == LMP_OK);
    must(queue_put_u32(&w->me, h[i], 1, LMP_NOWAIT) == LMP_OK);
    must(queue_put_bytes(&w->me, h[i], large, sizeof large, NULL, 0, LMP_NOWAIT) == LMP_OK);
  }
  must(queue_put_bytes(&w->me, h[1], "c", 1, &h[2], 1, LMP_NOWAIT) == LMP_OK);
  must(queue_put_bytes(&w->me, h[2], "c", 1, &h[1], 1, LMP_NOWAIT) == LMP_OK);
  must(queue_put_bytes(&w->me, shared, "s", 1, &h[3], 1, LMP_NOWAIT) == LMP_OK);
  /* Killed while it destroys h[4]: half of its content is gone. */
  lmp_obj *dying = lmp_obj_at(&w->a, h[4].obj);
  lmp_and_ar64(&dying->ob_holders[0], ~(UINT64_C(1) << w->a.proc));
  lmp_store_rel32(&dying->ob_state, LMP_OBJ_STATE(LMP_OBJ_DYING, w->me.id));
  must(queue_get_u32(&w->me, h[4], LMP_NOWAIT) == 1);
  peer_stay(w, 1);
}

static void test_objects_end_with_their_last_holder(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle shared = queue_make(&w, 0);
  peer p = peer_start(&w, leave_objects, &shared);
  at_step(&w, 1);
  peer_kill(&p);
  peer_reap(&w, &p);
  lmp_reap_all(&w.me);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 2); /* the shared queue, and the one in its message */
  queue_is_valid(&w, shared);
  lmp_inbox box;
  assert_true(lmp_inbox_init(&box));
  lmp_obj *o = lmp_obj_at(&w.a, shared.obj);
  assert_int_equal(lmp_queue_get(&w.me, o, 1, LMP_NOWAIT, &box), LMP_OK);
  lmp_handle in = box.in[0].handles[0];
  lmp_obj_ref(&w.me, in);
  lmp_inbox_done(&w.me, &box, 0);
  assert_int_equal(queue_get_u32(&w.me, in, LMP_NOWAIT), 1); /* what was put is not lost */
  lmp_obj_unref(&w.me, in);
  lmp_obj_unref(&w.me, shared);
  lmp_inbox_fini(&box);
  everything_is_gone(&w);
}

/* -- wakes -------------------------------------------------------------------------------------- */

/* Owes the wake of a message that it has put. */
static void owe_wake(world *w, void *arg) {
  lmp_handle q = *(lmp_handle *)arg;
  lmp_queue *body = queue_of(w, q);
  lmp_qpos *pos = &body->qt_pos;
  until(lmp_load_acq64(&body->qe_flag) != 0);
  lmp_owe(&w->me, 0, (uint32_t *)(void *)pos);
  lmp_store_rlx64(&body->qe_flag, 0); /* or the put would wake */
  must(queue_put_u32(&w->me, q, 9, LMP_NOWAIT) == LMP_OK);
  lmp_owe(&w->me, 0, (uint32_t *)(void *)pos);
  raise(SIGKILL);
}

static void test_owed_wakes_are_paid(void **state) {
  (void)state;
  world w;
  int status;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  peer p = peer_start(&w, owe_wake, &q);
  assert_int_equal(queue_get_u32(&w.me, q, LMP_FOREVER), 9);
  assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
  peer_reap(&w, &p);
  lmp_obj_unref(&w.me, q);
  everything_is_gone(&w);
}

static void wait_for_message(world *w, void *arg) {
  lmp_store_rel32(&w->word[0], 1);
  (void)queue_get_u32(&w->me, *(lmp_handle *)arg, LMP_FOREVER);
  _exit(0);
}

static void test_killed_sleepers_leave_the_queue_alone(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  for (uint32_t i = 0; i < 5; i++) {
    peer p = peer_start(&w, wait_for_message, &q);
    lmp_ctx *c = ctx_of(&w, p.slot);
    until(lmp_load_acq32(&c->cx_wait_n) != 0);
    peer_kill(&p);
    if (i & 1) peer_reap(&w, &p);
    assert_int_equal(queue_put_u32(&w.me, q, i, LMP_NOWAIT), LMP_OK);
    assert_int_equal(queue_get_u32(&w.me, q, LMP_NOWAIT), i);
    peer_reap(&w, &p);
    queue_is_valid(&w, q);
  }
  lmp_obj_unref(&w.me, q);
  everything_is_gone(&w);
}

/* -- starting ----------------------------------------------------------------------------------- */

/* Claims a slot for a child and is killed before the fork; word 2: the slot. */
static void claim_and_stay(world *w, void *arg) {
  uint32_t slot;
  must(lmp_proc_claim(&w->a, w->a.proc, &slot) == LMP_OK);
  lmp_obj_give(&w->me, *(lmp_handle *)arg, slot);
  /* The grace of such a child is over. */
  if (w->word[3]) lmp_store_rel64(&w->a.procs[slot].pr_since, 1);
  lmp_store_rel32(&w->word[2], slot);
  peer_stay(w, 1);
}

static void test_a_child_that_never_came_is_given_up(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  w.word[3] = 1;
  peer p = peer_start(&w, claim_and_stay, &q);
  at_step(&w, 1);
  uint32_t slot = w.word[2];
  peer_kill(&p);
  peer_reap(&w, &p);
  until((lmp_reap_all(&w.me), lmp_proc_state(&w.a, slot) == LMP_PROC_FREE));
  lmp_obj_unref(&w.me, q); /* its share went, too */
  assert_null(lmp_obj_get(&w.a, q));
  everything_is_gone(&w);
}

static void test_a_child_may_come_late_or_too_late(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  peer p = peer_start(&w, claim_and_stay, &q);
  at_step(&w, 1);
  uint32_t slot = w.word[2];
  uint32_t gen = lmp_proc_gen(&w.a, slot);
  peer_kill(&p);
  until(lmp_proc_dead(&w.a, p.slot));
  assert_false(lmp_reap_proc(&w.me, p.slot)); /* not while its child may come */
  assert_int_equal(lmp_proc_state(&w.a, slot), LMP_PROC_STARTING);
  int status;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) { /* the child comes */
    lmp_obj_forget(&w.a);
    must(lmp_proc_enter(&w.a, slot, gen) == LMP_OK);
    must(lmp_me_attach(&w.a, &w.me) == LMP_OK);
    lmp_obj_ref(&w.me, q);
    must(queue_put_u32(&w.me, q, 5, LMP_NOWAIT) == LMP_OK);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(queue_get_u32(&w.me, q, LMP_NOWAIT), 5);
  peer_reap(&w, &p);
  until((lmp_reap_all(&w.me), lmp_proc_state(&w.a, slot) == LMP_PROC_FREE));
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) { /* too late: the slot was given up */
    must(lmp_proc_enter(&w.a, slot, gen) == LMP_E_GONE);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  /* And when it is another's. */
  uint32_t again;
  do {
    assert_int_equal(lmp_proc_claim(&w.a, w.a.proc, &again), LMP_OK);
  } while (again < slot);
  assert_int_equal(again, slot);
  lmp_proc_bury(&w.a, slot, gen);
  assert_int_equal(lmp_proc_state(&w.a, slot), LMP_PROC_STARTING);
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    must(lmp_proc_enter(&w.a, slot, gen) == LMP_E_GONE);
    must(lmp_proc_enter(&w.a, slot, lmp_proc_gen(&w.a, slot)) == LMP_OK);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_true(lmp_reap_proc(&w.me, slot));
  for (uint32_t i = 0; i < slot; i++) {
    if (lmp_proc_state(&w.a, i) == LMP_PROC_STARTING) lmp_proc_giveup(&w.a, i);
  }
  lmp_obj_unref(&w.me, q);
  everything_is_gone(&w);
}

/* -- reapers ------------------------------------------------------------------------------------ */

/* Reaps process word 1. */
static void reap_other(world *w, void *arg) {
  (void)arg;
  uint32_t slot = w->word[1];
  until(lmp_reap_proc(&w->me, slot));
}

static void test_anybody_may_reap(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle shared = queue_make(&w, 0);
  peer p = peer_start(&w, leave_objects, &shared);
  at_step(&w, 1);
  peer_kill(&p);
  w.word[1] = p.slot;
  peer r = peer_start(&w, reap_other, NULL);
  peer_end(&w, &r);
  assert_true(lmp_proc_gen(&w.a, p.slot) != p.gen);
  lmp_obj_unref(&w.me, shared);
  everything_is_gone(&w);
}

/* Stands in the middle of reaping process word 1: everything is claimed, its lock is free already. */
static void claim_reaping(world *w, void *arg) {
  uint32_t slot = w->word[1];
  lmp_ctx *c = arg;
  lmp_store_rel32(&w->a.procs[slot].pr_reaper, w->me.id);
  lmp_store_rel32(&c->cx_reaper, w->me.id);
  peer_stay(w, 2);
}

static void test_a_killed_reaper_is_replaced(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle shared = queue_make(&w, 0);
  peer p = peer_start(&w, leave_objects, &shared);
  at_step(&w, 1);
  lmp_ctx *c = ctx_of(&w, p.slot);
  peer_kill(&p);
  w.word[1] = p.slot;
  peer r = peer_start(&w, claim_reaping, c);
  at_step(&w, 2);
  assert_false(lmp_reap_ctx(&w.me, (uint32_t)(c - w.a.ctxs))); /* a live one is at it */
  assert_false(lmp_reap_proc(&w.me, p.slot));
  peer_kill(&r);
  peer_reap(&w, &p);
  peer_reap(&w, &r);
  assert_int_equal(LMP_CLAIM_ID(c->cx_reaper), 0);
  lmp_obj_unref(&w.me, shared);
  everything_is_gone(&w);
}

static void test_a_dead_reapers_claims_do_not_stay_in_its_slots_name(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle shared = queue_make(&w, 0);
  lmp_handle empty = queue_make(&w, 0);
  peer p = peer_start(&w, leave_objects, &shared);
  at_step(&w, 1);
  lmp_ctx *c = ctx_of(&w, p.slot);
  peer_kill(&p);
  w.word[1] = p.slot;
  peer r = peer_start(&w, claim_reaping, c);
  at_step(&w, 2);
  peer_kill(&r);
  peer_reap(&w, &r); /* the reaper first; then a live process comes into its context */
  w.word[0] = 0;
  peer next = peer_start(&w, wait_for_message, &empty);
  at_step(&w, 1);
  peer_reap(&w, &p);
  peer_kill(&next);
  peer_reap(&w, &next);
  lmp_obj_unref(&w.me, shared);
  lmp_obj_unref(&w.me, empty);
  everything_is_gone(&w);
}

static void test_many_die_at_once(void **state) {
  (void)state;
  enum { N = 10 };
  world w;
  peer p[N];
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  lmp_handle shared[N];
  for (int i = 0; i < N; i++) {
    shared[i] = queue_make(&w, 0);
    w.word[0] = 0;
    /* Of 4 MiB: three do not have room for all that these take. */
    p[i] = i % 4 == 0   ? peer_start(&w, leave_objects, &shared[i])
           : i % 4 == 1 ? peer_start(&w, wait_for_message, &q)
           : i % 4 == 2 ? peer_start(&w, hold_lock, &queue_of(&w, shared[i])->qh_lock)
                        : peer_start(&w, half_closed, &shared[i]);
    at_step(&w, 1);
  }
  for (int i = 0; i < N; i++) kill(p[i].pid, SIGKILL);
  for (int i = 0; i < N; i++) waitpid(p[i].pid, NULL, 0);
  for (int i = 0; i < N; i++) peer_reap(&w, &p[i]);
  for (int i = 0; i < N; i++) {
    queue_is_valid(&w, shared[i]);
    lmp_obj_unref(&w.me, shared[i]);
  }
  lmp_obj_unref(&w.me, q);
  everything_is_gone(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_dead_owners_lock_is_taken_over),
      cmocka_unit_test(test_a_sleeper_on_a_lock_survives_its_owner),
      cmocka_unit_test(test_a_committed_transaction_is_finished),
      cmocka_unit_test(test_blocks_come_back),
      cmocka_unit_test(test_objects_end_with_their_last_holder),
      cmocka_unit_test(test_owed_wakes_are_paid),
      cmocka_unit_test(test_killed_sleepers_leave_the_queue_alone),
      cmocka_unit_test(test_a_child_that_never_came_is_given_up),
      cmocka_unit_test(test_a_child_may_come_late_or_too_late),
      cmocka_unit_test(test_anybody_may_reap),
      cmocka_unit_test(test_a_killed_reaper_is_replaced),
      cmocka_unit_test(test_a_dead_reapers_claims_do_not_stay_in_its_slots_name),
      cmocka_unit_test(test_many_die_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
