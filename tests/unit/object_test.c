/* object_test.c: handles, holders, and when an object ends.
 * SPDX-License-Identifier: MIT */
#include "core.h"

static lmp_obj *get(const world *w, lmp_handle h) { return lmp_obj_get(&w->a, h); }

/* Puts handle `what` into queue `into`. */
static void send(world *w, lmp_handle into, lmp_handle what) {
  assert_int_equal(queue_put_bytes(&w->me, into, "h", 1, &what, 1, LMP_NOWAIT), LMP_OK);
}

/* Takes a message with one handle and keeps a reference to it. */
static lmp_handle take(world *w, lmp_handle from) {
  lmp_inbox box;
  assert_true(lmp_inbox_init(&box));
  assert_int_equal(lmp_queue_get(&w->me, lmp_obj_at(&w->a, from.obj), 1, LMP_NOWAIT, &box), LMP_OK);
  assert_int_equal(box.n, 1);
  assert_int_equal(box.in[0].nhandles, 1);
  lmp_handle h = box.in[0].handles[0];
  lmp_obj_ref(&w->me, h);
  lmp_inbox_done(&w->me, &box, 0);
  lmp_inbox_fini(&box);
  return h;
}

static void test_names_that_name_nothing(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = queue_make(&w, 0);
  lmp_handle bad[] = {{0, 0},   {0, 1},   {h.obj, h.gen + 1},       {h.obj, 0},    {h.obj + 1, 1},
                      {255, 1}, {256, 1}, {UINT32_MAX, UINT32_MAX}, {1u << 31, 1}, {UINT32_MAX, 0}};
  for (size_t i = 0; i < LMP_COUNT(bad); i++) {
    assert_null(get(&w, bad[i]));
    assert_int_equal(lmp_obj_hold(&w.me, bad[i]), LMP_E_GONE);
  }
  assert_non_null(get(&w, h));
  lmp_obj_unref(&w.me, h);
  world_is_empty(&w);
  world_close(&w);
}

static void test_handles_are_stale_after_the_drop(void **state) {
  (void)state;
  world w;
  lmp_handle old = {0, 0};
  world_open(&w);
  for (int i = 0; i < 100; i++) {
    lmp_handle h = queue_make(&w, 0);
    assert_int_equal(h.obj, 1); /* the slot is used again, in another generation */
    assert_true(h.gen != old.gen);
    assert_null(get(&w, old));
    assert_non_null(get(&w, h));
    lmp_obj_ref(&w.me, h);
    lmp_obj_unref(&w.me, h);
    assert_non_null(get(&w, h));
    lmp_obj_unref(&w.me, h);
    assert_null(get(&w, h));
    assert_int_equal(lmp_obj_hold(&w.me, h), LMP_E_GONE);
    old = h;
  }
  world_is_empty(&w);
  world_close(&w);
}

static void test_generations_skip_zero_when_they_wrap(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_obj_unref(&w.me, queue_make(&w, 0));
  lmp_obj_at(&w.a, 1)->ob_gen = UINT32_MAX;
  lmp_handle h = queue_make(&w, 0);
  assert_int_equal(h.gen, UINT32_MAX);
  lmp_obj_unref(&w.me, h);
  lmp_handle next = queue_make(&w, 0);
  assert_int_equal(next.gen, 1);
  assert_null(get(&w, h));
  lmp_obj_unref(&w.me, next);
  world_is_empty(&w);
  world_close(&w);
}

static void test_names_of_any_length(void **state) {
  (void)state;
  static const size_t lens[] = {0,    1,     LMP_NAME_SHORT - 1, LMP_NAME_SHORT, LMP_NAME_SHORT + 1,
                                5000, 100000};
  world w;
  world_open(&w);
  for (size_t i = 0; i < LMP_COUNT(lens); i++) {
    char *name = malloc(lens[i] + 1);
    lmp_handle h;
    assert_non_null(name);
    memset(name, 'a' + (int)i, lens[i]);
    assert_int_equal(lmp_queue_new(&w.me, name, lens[i], 0, &h), LMP_OK);
    lmp_obj *o = get(&w, h);
    assert_int_equal(o->ob_namelen, lens[i]);
    assert_memory_equal(lmp_obj_name(&w.a, o), name, lens[i]);
    if (lens[i] > LMP_NAME_SHORT)
      assert_int_equal(lmp_block_owner(&w.a, o->ob_name), LMP_TAG_SHARED);
    lmp_obj_unref(&w.me, h);
    free(name);
    world_is_empty(&w);
  }
  world_close(&w);
}

static void test_abandoned_objects_leave_nothing(void **state) {
  (void)state;
  world w;
  lmp_obj *o;
  world_open(&w);
  assert_int_equal(lmp_obj_new(&w.me, LMP_KIND_QUEUE, "a name that needs a block", 25, &o), LMP_OK);
  assert_int_equal(lmp_obj_count(&w.a), 0);
  assert_null(get(&w, lmp_handle_of(&w.a, o))); /* not visible before it is published */
  lmp_obj_abandon(&w.me, o);
  world_is_empty(&w);
  world_close(&w);
}

static void test_a_full_table_is_told(void **state) {
  (void)state;
  world w;
  lmp_handle h[7], more;
  world_open_as(&w, 4 * MIB, 8);
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < LMP_COUNT(h); i++) h[i] = queue_make(&w, 0);
    assert_int_equal(lmp_queue_new(&w.me, NULL, 0, 0, &more), LMP_E_NOSLOT);
    /* The block of a long name is not left behind either. */
    assert_int_equal(lmp_queue_new(&w.me, "a name that needs a block", 25, 0, &more), LMP_E_NOSLOT);
    assert_int_equal(lmp_memory_used(&w.a), 0);
    size_t k = (size_t)round * 3;
    lmp_obj_unref(&w.me, h[k]);
    h[k] = queue_make(&w, 0);
    assert_int_equal(lmp_queue_new(&w.me, NULL, 0, 0, &more), LMP_E_NOSLOT);
    for (size_t i = 0; i < LMP_COUNT(h); i++) lmp_obj_unref(&w.me, h[i]);
    world_is_empty(&w);
  }
  world_close(&w);
}

static void test_no_memory_for_a_name(void **state) {
  (void)state;
  world w;
  uint64_t all;
  lmp_handle h;
  world_open(&w);
  assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
  assert_int_equal(lmp_queue_new(&w.me, "a name that needs a block", 25, 0, &h), LMP_E_NOMEM);
  assert_int_equal(lmp_queue_new(&w.me, "short", 5, 0, &h), LMP_OK);
  lmp_obj_unref(&w.me, h);
  lmp_free(&w.me, all);
  world_is_empty(&w);
  world_close(&w);
}

/* -- holders ------------------------------------------------------------------------------------ */

/* Holds the object that it was given until word 1 says so. */
static void keeper(world *w, void *arg) {
  lmp_handle h = *(lmp_handle *)arg;
  lmp_obj_ref(&w->me, h);
  lmp_store_rel32(&w->word[0], 1);
  until(lmp_load_acq32(&w->word[1]) == 1);
  must(queue_get_u32(&w->me, h, LMP_NOWAIT) == 7);
}

static void test_an_object_lives_as_long_as_any_holder(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = queue_make(&w, 0);
  /* As fork does it: the child's share is made before. peer_start claims the first free slot. */
  lmp_obj_give(&w.me, h, 1);
  peer p = peer_start(&w, keeper, &h);
  assert_int_equal(p.slot, 1);
  until(lmp_load_acq32(&w.word[0]) == 1);
  assert_int_equal(queue_put_u32(&w.me, h, 7, LMP_NOWAIT), LMP_OK);
  lmp_obj_unref(&w.me, h);
  assert_non_null(get(&w, h));
  assert_int_equal(lmp_obj_hold(&w.me, h), LMP_OK); /* and can be taken hold of again */
  lmp_obj_unref(&w.me, h);
  lmp_store_rel32(&w.word[1], 1);
  peer_end(&w, &p);
  assert_null(get(&w, h));
  assert_int_equal(lmp_obj_hold(&w.me, h), LMP_E_GONE);
  world_is_empty(&w);
  world_close(&w);
}

static void given_and_gone(world *w, void *arg) {
  (void)w;
  (void)arg;
}

static void test_what_a_starting_process_was_given_ends_with_it(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle h = queue_make(&w, 0);
  lmp_obj_give(&w.me, h, 1);
  peer p = peer_start(&w, given_and_gone, NULL); /* never takes up what it was given */
  assert_int_equal(p.slot, 1);
  lmp_obj_unref(&w.me, h);
  peer_end(&w, &p);
  assert_null(get(&w, h));
  world_is_empty(&w);
  world_close(&w);
}

static void test_release_mine_drops_all_references(void **state) {
  (void)state;
  world w;
  world_open(&w);
  for (int i = 0; i < 50; i++) {
    lmp_handle h = queue_make(&w, 0);
    for (int k = 0; k < i % 4; k++) lmp_obj_ref(&w.me, h);
    assert_int_equal(queue_put_u32(&w.me, h, 1, LMP_NOWAIT), LMP_OK);
  }
  assert_int_equal(lmp_obj_count(&w.a), 50);
  lmp_obj_release_mine(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 0);
  world_is_empty(&w);
  world_close(&w);
}

/* -- collector ---------------------------------------------------------------------------------- */

static void test_a_message_in_a_held_queue_keeps_its_objects(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle outer = queue_make(&w, 0);
  lmp_handle inner = queue_make(&w, 0);
  assert_int_equal(queue_put_u32(&w.me, inner, 5, LMP_NOWAIT), LMP_OK);
  send(&w, outer, inner);
  lmp_obj_unref(&w.me, inner);
  for (int i = 0; i < 3; i++) {
    lmp_collect(&w.me);
    assert_non_null(get(&w, inner));
  }
  lmp_handle again = take(&w, outer);
  assert_int_equal(again.obj, inner.obj);
  assert_int_equal(again.gen, inner.gen);
  lmp_collect(&w.me);
  assert_int_equal(queue_get_u32(&w.me, again, LMP_NOWAIT), 5);
  lmp_obj_unref(&w.me, again);
  lmp_collect(&w.me); /* was sent once: the collector ends it */
  assert_null(get(&w, inner));
  lmp_obj_unref(&w.me, outer);
  world_is_empty(&w);
  world_close(&w);
}

static void test_cycles_of_queues_are_collected(void **state) {
  (void)state;
  world w;
  for (int n = 1; n <= 5; n++) { /* n = 1: a queue inside itself */
    lmp_handle h[5];
    world_open(&w);
    for (int i = 0; i < n; i++) h[i] = queue_make(&w, 0);
    for (int i = 0; i < n; i++) send(&w, h[i], h[(i + 1) % n]);
    for (int i = 0; i < n; i++) queue_is_valid(&w, h[i]);
    for (int i = 1; i < n; i++) lmp_obj_unref(&w.me, h[i]);
    lmp_collect(&w.me);
    for (int i = 0; i < n; i++) assert_non_null(get(&w, h[i])); /* the first one is still held */
    lmp_obj_unref(&w.me, h[0]);
    lmp_collect(&w.me);
    for (int i = 0; i < n; i++) assert_null(get(&w, h[i]));
    world_is_empty(&w);
    world_close(&w);
  }
}

static void test_long_chains_of_queues(void **state) {
  (void)state;
  enum { N = 100 };
  world w;
  lmp_handle h[N];
  world_open(&w);
  for (int i = 0; i < N; i++) h[i] = queue_make(&w, 0);
  /* Against the order of the slots, so that one pass is not enough. */
  for (int i = 0; i + 1 < N; i++) send(&w, h[i + 1], h[i]);
  for (int i = 0; i + 1 < N; i++) lmp_obj_unref(&w.me, h[i]);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), N);
  lmp_obj_unref(&w.me, h[N - 1]);
  for (int i = 0; i < N; i++) lmp_collect(&w.me); /* at most one link for each run */
  assert_int_equal(lmp_obj_count(&w.a), 0);
  world_is_empty(&w);
  world_close(&w);
}

static void test_handles_of_large_messages_and_of_results_are_seen(void **state) {
  (void)state;
  enum { N = 200 }; /* their handles do not fit a cell: the message goes into a block */
  world w;
  lmp_handle h[N];
  lmp_obj *o;
  world_open_as(&w, 4 * MIB, 512);
  lmp_handle q = queue_make(&w, 0);
  for (int i = 0; i < N; i++) h[i] = queue_make(&w, 0);
  assert_int_equal(queue_put_bytes(&w.me, q, "m", 1, h, N / 2, LMP_NOWAIT), LMP_OK);
  assert_int_equal(lmp_obj_new(&w.me, LMP_KIND_PROCESS, "p", 1, &o), LMP_OK);
  lmp_tx_begin(&w.me);
  lmp_handle p = lmp_obj_publish(&w.me, o);
  lmp_iov piece = {"r", 1};
  lmp_msg m = {.iov = &piece, .niov = 1, .len = 1, .handles = h + N / 2, .nhandles = N / 2};
  assert_int_equal(lmp_process_result_set(&w.me, o, LMP_RESULT_VALUES, &m), LMP_OK);
  for (int i = 0; i < N; i++) lmp_obj_unref(&w.me, h[i]);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), N + 2);
  queue_is_valid(&w, q);
  lmp_obj_unref(&w.me, q);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), N / 2 + 1);
  lmp_obj_unref(&w.me, p);
  world_is_empty(&w);
  world_close(&w);
}

static void test_dropped_messages_let_go_of_their_objects(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  for (int i = 0; i < 20; i++) {
    lmp_handle h = queue_make(&w, 0);
    send(&w, q, h);
    lmp_obj_unref(&w.me, h);
  }
  assert_int_equal(lmp_obj_count(&w.a), 21);
  lmp_queue_cancel(&w.me, get(&w, q));
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 1);
  queue_is_valid(&w, q);
  lmp_obj_unref(&w.me, q);
  world_is_empty(&w);
  world_close(&w);
}

static void test_garbage_is_collected_without_being_asked(void **state) {
  (void)state;
  world w;
  world_open(&w);                  /* 255 slots */
  for (int i = 0; i < 5000; i++) { /* cycles that nobody holds, and no call of lmp_collect */
    lmp_handle h = queue_make(&w, 0);
    send(&w, h, h);
    lmp_obj_unref(&w.me, h);
  }
  world_is_empty(&w);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_that_name_nothing),
      cmocka_unit_test(test_handles_are_stale_after_the_drop),
      cmocka_unit_test(test_generations_skip_zero_when_they_wrap),
      cmocka_unit_test(test_names_of_any_length),
      cmocka_unit_test(test_abandoned_objects_leave_nothing),
      cmocka_unit_test(test_a_full_table_is_told),
      cmocka_unit_test(test_no_memory_for_a_name),
      cmocka_unit_test(test_an_object_lives_as_long_as_any_holder),
      cmocka_unit_test(test_what_a_starting_process_was_given_ends_with_it),
      cmocka_unit_test(test_release_mine_drops_all_references),
      cmocka_unit_test(test_a_message_in_a_held_queue_keeps_its_objects),
      cmocka_unit_test(test_cycles_of_queues_are_collected),
      cmocka_unit_test(test_long_chains_of_queues),
      cmocka_unit_test(test_handles_of_large_messages_and_of_results_are_seen),
      cmocka_unit_test(test_dropped_messages_let_go_of_their_objects),
      cmocka_unit_test(test_garbage_is_collected_without_being_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
