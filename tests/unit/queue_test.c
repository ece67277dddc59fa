/* queue_test.c: the queue in one process, and between a few.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include "channel/segment.h"

static lmp_obj *obj(const world *w, lmp_handle q) { return lmp_obj_at(&w->a, q.obj); }

static void end(world *w, lmp_handle q) {
  queue_is_valid(w, q);
  lmp_obj_unref(&w->me, q);
  world_is_empty(w);
  world_close(w);
}

static void put(world *w, lmp_handle q, uint32_t v) {
  assert_int_equal(queue_put_u32(&w->me, q, v, LMP_NOWAIT), LMP_OK);
}

static uint32_t get(world *w, lmp_handle q) { return queue_get_u32(&w->me, q, LMP_NOWAIT); }

/* -- order and size ----------------------------------------------------------------------------- */

static void test_first_in_first_out(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  uint32_t in = 0, out = 0;
  for (uint32_t round = 0; round < 400; round++) { /* grows, shrinks, runs empty */
    for (uint32_t i = 0; i < round % 37; i++) put(&w, q, in++);
    assert_int_equal(lmp_queue_size(obj(&w, q)), in - out);
    queue_is_valid(&w, q);
    for (uint32_t i = 0; i < round % 41 && out < in; i++) assert_int_equal(get(&w, q), out++);
    queue_is_valid(&w, q);
  }
  while (out < in) assert_int_equal(get(&w, q), out++);
  assert_int_equal(get(&w, q), UINT32_MAX);
  assert_int_equal(lmp_memory_used(&w.a),
                   0); /* an empty queue that was found empty has no segment */
  end(&w, q);
}

static uint8_t pattern(size_t i, size_t len) { return (uint8_t)(i * 31 + len); }

static void put_pattern(world *w, lmp_handle q, size_t len) {
  uint8_t *data = malloc(len + 1);
  assert_non_null(data);
  for (size_t i = 0; i < len; i++) data[i] = pattern(i, len);
  assert_int_equal(queue_put_bytes(&w->me, q, data, len, NULL, 0, LMP_NOWAIT), LMP_OK);
  free(data);
}

static void get_pattern(world *w, lmp_handle q, size_t len) {
  lmp_inbox box;
  assert_true(lmp_inbox_init(&box));
  assert_int_equal(lmp_queue_get(&w->me, obj(w, q), 1, LMP_NOWAIT, &box), LMP_OK);
  assert_int_equal(box.n, 1);
  assert_int_equal(box.in[0].len, len);
  assert_int_equal(box.in[0].block != 0, len > LMP_INLINE_MAX);
  for (size_t i = 0; i < len; i++) {
    if (box.in[0].data[i] != pattern(i, len)) assert_int_equal(i, -1);
  }
  lmp_inbox_done(&w->me, &box, 0);
  lmp_inbox_done(&w->me, &box, 0); /* idempotent */
  lmp_inbox_fini(&box);
}

static const size_t edges[] = {0,     1,     55,    56,    57,      63,      64,     65,
                               119,   120,   121,   127,   128,     503,     504,    505,
                               511,   512,   513,   4095,  4096,    4097,    32767,  32768,
                               32769, 65535, 65536, 65537, 1048575, 1048576, 1048577};

static void test_sizes_at_every_edge(void **state) {
  (void)state;
  world w;
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle q = queue_make(&w, 0);
  for (size_t i = 0; i < LMP_COUNT(edges); i++) {
    put_pattern(&w, q, edges[i]);
    queue_is_valid(&w, q);
    get_pattern(&w, q, edges[i]);
    queue_is_valid(&w, q);
  }
  for (size_t i = 0; i < LMP_COUNT(edges); i++) put_pattern(&w, q, edges[i]); /* and all at once */
  queue_is_valid(&w, q);
  for (size_t i = 0; i < LMP_COUNT(edges); i++) get_pattern(&w, q, edges[i]);
  end(&w, q);
}

/* Messages of one to eight cells over the ends of segments of every size. */
static void test_messages_over_the_ends_of_segments(void **state) {
  (void)state;
  world w;
  for (size_t len = 0; len <= LMP_INLINE_MAX + 1; len += 24) {
    world_open(&w);
    lmp_handle q = queue_make(&w, 0);
    size_t in = 0, out = 0;
    while (in < 600) {
      put_pattern(&w, q, in % 3 ? len : in % 60);
      in++;
      if (in % 2) {
        get_pattern(&w, q, out % 3 ? len : out % 60);
        out++;
      }
      if (in % 50 == 0) queue_is_valid(&w, q);
    }
    for (; out < in; out++) get_pattern(&w, q, out % 3 ? len : out % 60);
    end(&w, q);
  }
}

static void test_pieces_are_put_together(void **state) {
  (void)state;
  world w;
  static const char want[] = "one, two, three";
  static char big[5000];
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  lmp_iov small[] = {{"one, ", 5}, {"", 0}, {"two, ", 5}, {"three", 5}};
  lmp_iov large[] = {{"one, ", 5}, {big, sizeof big}, {"three", 5}};
  lmp_msg m[] = {{.iov = small, .niov = 4, .len = 15},
                 {.iov = large, .niov = 3, .len = sizeof big + 10}};
  size_t done;
  lmp_inbox box;
  assert_true(lmp_inbox_init(&box));
  assert_int_equal(lmp_queue_put(&w.me, obj(&w, q), m, 2, LMP_NOWAIT, &done), LMP_OK);
  assert_int_equal(done, 2);
  assert_int_equal(lmp_queue_get(&w.me, obj(&w, q), 1, LMP_NOWAIT, &box), LMP_OK);
  assert_int_equal(box.in[0].len, 15);
  assert_memory_equal(box.in[0].data, want, 15);
  lmp_inbox_done(&w.me, &box, 0);
  assert_int_equal(lmp_queue_get(&w.me, obj(&w, q), 1, LMP_NOWAIT, &box), LMP_OK);
  assert_int_equal(box.in[0].len, sizeof big + 10);
  assert_memory_equal(box.in[0].data + sizeof big + 5, "three", 5);
  lmp_inbox_done(&w.me, &box, 0);
  lmp_inbox_fini(&box);
  end(&w, q);
}

/* -- bounds ------------------------------------------------------------------------------------- */

static void test_a_bounded_queue_takes_no_more(void **state) {
  (void)state;
  world w;
  static const uint32_t sizes[] = {1, 2, 7, 100};
  for (size_t i = 0; i < LMP_COUNT(sizes); i++) {
    uint32_t n = sizes[i];
    world_open(&w);
    lmp_handle q = queue_make(&w, n);
    for (uint32_t k = 0; k < n; k++) {
      assert_false(lmp_queue_full(obj(&w, q)));
      put(&w, q, k);
    }
    assert_true(lmp_queue_full(obj(&w, q)));
    for (uint32_t k = n; k < 3 * n + 20; k++) {
      assert_int_equal(queue_put_u32(&w.me, q, k, LMP_NOWAIT), LMP_E_TIMEOUT);
      assert_int_equal(get(&w, q), k - n);
      put(&w, q, k);
      queue_is_valid(&w, q);
    }
    uint64_t deadline = lmp_os_now() + 60 * LMP_MSEC;
    assert_int_equal(queue_put_u32(&w.me, q, 0, deadline), LMP_E_TIMEOUT);
    assert_true(lmp_os_now() >= deadline);
    end(&w, q);
  }
}

static void test_get_times_out_no_earlier_than_asked(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  for (uint64_t ms = 0; ms < 200; ms = ms * 3 + 1) { /* shorter and longer than the first tick */
    uint64_t deadline = lmp_os_now() + ms * LMP_MSEC;
    assert_int_equal(queue_get_u32(&w.me, q, deadline), UINT32_MAX);
    assert_true(lmp_os_now() >= deadline);
  }
  put(&w, q, 1); /* the time-out left the queue as it was */
  assert_int_equal(get(&w, q), 1);
  end(&w, q);
}

static void test_what_never_fits_is_too_large(void **state) {
  (void)state;
  world w;
  uint64_t all;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  size_t len = 4 * MIB + 1;
  uint8_t *data = calloc(1, len);
  assert_non_null(data);
  put(&w, q, 1);
  assert_int_equal(queue_put_bytes(&w.me, q, data, len, NULL, 0, LMP_FOREVER), LMP_E_TOOLARGE);
  assert_int_equal(lmp_queue_size(obj(&w, q)), 1);
  queue_is_valid(&w, q);
  assert_int_equal(get(&w, q), 1);
  assert_int_equal(get(&w, q), UINT32_MAX);
  /* Fits, but not now. */
  assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
  assert_int_equal(queue_put_u32(&w.me, q, 2, LMP_NOWAIT), LMP_E_TIMEOUT);
  uint64_t deadline = lmp_os_now() + 60 * LMP_MSEC;
  assert_int_equal(queue_put_bytes(&w.me, q, data, 10000, NULL, 0, deadline), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  lmp_free(&w.me, all);
  put(&w, q, 3);
  assert_int_equal(get(&w, q), 3);
  free(data);
  end(&w, q);
}

/* -- batches ------------------------------------------------------------------------------------ */

enum { BATCH = 1000 };

/* Message i: its number, then as many bytes more as make the sizes go through all kinds. */
static size_t batch_len(uint32_t i) { return 4 + (i % 13 == 12 ? 600 : i % 97); }

static void test_batches_over_segments(void **state) {
  (void)state;
  static uint8_t bytes[BATCH][1024];
  static lmp_iov iov[BATCH];
  static lmp_msg msgs[BATCH];
  world w;
  lmp_inbox box;
  size_t done;
  world_open(&w);
  assert_true(lmp_inbox_init(&box));
  for (uint32_t i = 0; i < BATCH; i++) {
    memcpy(bytes[i], &i, sizeof i);
    iov[i] = (lmp_iov){bytes[i], batch_len(i)};
    msgs[i] = (lmp_msg){.iov = &iov[i], .niov = 1, .len = batch_len(i), .alone = i % 29 == 28};
  }
  for (uint32_t max = 1; max < 2000; max = max * 3 + 1) {
    lmp_handle q = queue_make(&w, 0);
    assert_int_equal(lmp_queue_put(&w.me, obj(&w, q), msgs, BATCH, LMP_NOWAIT, &done), LMP_OK);
    assert_int_equal(done, BATCH);
    queue_is_valid(&w, q);
    for (uint32_t next = 0; next < BATCH;) {
      assert_int_equal(lmp_queue_get(&w.me, obj(&w, q), max, LMP_NOWAIT, &box), LMP_OK);
      assert_in_range(box.n, 1, max);
      for (uint32_t k = 0; k < box.n; k++, next++) {
        assert_int_equal(box.in[k].len, batch_len(next));
        assert_memory_equal(box.in[k].data, bytes[next], box.in[k].len);
        if (next % 29 == 28) assert_int_equal(box.n, 1); /* by itself */
        lmp_inbox_done(&w.me, &box, k);
      }
    }
    queue_is_valid(&w, q);
    lmp_obj_unref(&w.me, q);
    world_is_empty(&w);
  }
  /* A batch that does not fit: what was put is put, in order. */
  lmp_handle q = queue_make(&w, 10);
  assert_int_equal(lmp_queue_put(&w.me, obj(&w, q), msgs, BATCH, LMP_NOWAIT, &done), LMP_E_TIMEOUT);
  assert_int_equal(done, 10);
  lmp_queue_close(&w.me, obj(&w, q));
  assert_int_equal(lmp_queue_put(&w.me, obj(&w, q), msgs, BATCH, LMP_NOWAIT, &done), LMP_E_CLOSED);
  assert_int_equal(done, 0);
  assert_int_equal(lmp_queue_put(&w.me, obj(&w, q), msgs, 0, LMP_NOWAIT, &done), LMP_OK);
  lmp_inbox_fini(&box);
  end(&w, q);
}

/* -- closing ------------------------------------------------------------------------------------ */

static void test_a_closed_queue_gives_what_is_in_it(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  put(&w, q, 1);
  put(&w, q, 2);
  lmp_queue_close(&w.me, obj(&w, q));
  lmp_queue_close(&w.me, obj(&w, q));
  assert_true(lmp_queue_closed(obj(&w, q)));
  queue_is_valid(&w, q);
  assert_int_equal(queue_put_u32(&w.me, q, 3, LMP_FOREVER), LMP_E_CLOSED);
  assert_int_equal(lmp_queue_size(obj(&w, q)), 2);
  assert_int_equal(get(&w, q), 1);
  assert_int_equal(get(&w, q), 2);
  lmp_inbox box;
  assert_true(lmp_inbox_init(&box));
  assert_int_equal(lmp_queue_get(&w.me, obj(&w, q), 1, LMP_FOREVER, &box), LMP_E_CLOSED);
  assert_int_equal(lmp_queue_get(&w.me, obj(&w, q), 1, LMP_NOWAIT, &box), LMP_E_CLOSED);
  lmp_inbox_fini(&box);
  end(&w, q);
}

static void test_cancel_drops_everything(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  for (size_t i = 0; i < 200; i++) put_pattern(&w, q, i * 37 % 2000);
  lmp_queue_cancel(&w.me, obj(&w, q));
  queue_is_valid(&w, q);
  assert_int_equal(lmp_queue_size(obj(&w, q)), 0);
  assert_int_equal(lmp_memory_used(&w.a), 0);
  assert_int_equal(lmp_queue_join(&w.me, obj(&w, q), LMP_NOWAIT),
                   LMP_OK); /* nothing is left to do */
  lmp_queue_cancel(&w.me, obj(&w, q));
  end(&w, q);
}

/* -- joining ------------------------------------------------------------------------------------ */

static void test_join_waits_for_every_message(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  assert_int_equal(lmp_queue_join(&w.me, obj(&w, q), LMP_FOREVER), LMP_OK);
  assert_int_equal(lmp_queue_task_done(&w.me, obj(&w, q)), LMP_E_INVAL);
  for (uint32_t i = 0; i < 5; i++) put(&w, q, i);
  for (uint32_t i = 0; i < 5; i++) {
    assert_int_equal(get(&w, q), i);
    uint64_t deadline = lmp_os_now() + 10 * LMP_MSEC;
    assert_int_equal(lmp_queue_join(&w.me, obj(&w, q), deadline), LMP_E_TIMEOUT);
    assert_true(lmp_os_now() >= deadline);
    assert_int_equal(lmp_queue_task_done(&w.me, obj(&w, q)), LMP_OK);
  }
  assert_int_equal(lmp_queue_join(&w.me, obj(&w, q), LMP_NOWAIT), LMP_OK);
  assert_int_equal(lmp_queue_task_done(&w.me, obj(&w, q)), LMP_E_INVAL);
  end(&w, q);
}

/* -- counters that wrap ------------------------------------------------------------------------- */

/* As if 2^31 - 50 messages had passed, in 2^32 - 70 cells. */
static void test_counters_wrap(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 60);
  lmp_queue *body = lmp_queue_of(obj(&w, q));
  lmp_qpos start = (uint64_t)(UINT32_MAX - 69) << 32 | (uint64_t)(LMP_QCOUNT_MASK - 49) << 1;
  body->qt_pos = body->qh_pos = body->qt_head = body->qh_tail = start;
  body->qd_done = LMP_QCOUNT_MASK - 49;
  uint32_t in = 0, out = 0;
  for (; in < 200; in++) {
    put(&w, q, in);
    queue_is_valid(&w, q);
    if (in < 55) continue;
    assert_int_equal(lmp_queue_size(obj(&w, q)), 56);
    assert_int_equal(get(&w, q), out++);
    assert_int_equal(lmp_queue_task_done(&w.me, obj(&w, q)), LMP_OK);
  }
  for (int i = 0; i < 5; i++) put(&w, q, in++);
  assert_int_equal(queue_put_u32(&w.me, q, in, LMP_NOWAIT), LMP_E_TIMEOUT);
  while (out < in) {
    assert_int_equal(get(&w, q), out++);
    assert_int_equal(lmp_queue_task_done(&w.me, obj(&w, q)), LMP_OK);
  }
  assert_int_equal(lmp_queue_join(&w.me, obj(&w, q), LMP_NOWAIT), LMP_OK);
  end(&w, q);
}

/* -- between processes -------------------------------------------------------------------------- */

enum { MANY = 20000 };

static void produce(world *w, void *arg) {
  lmp_handle q = *(lmp_handle *)arg;
  uint32_t from = (uint32_t)w->a.proc << 24;
  for (uint32_t i = 0; i < MANY; i++) {
    must(queue_put_u32(&w->me, q, from + i, LMP_FOREVER) == LMP_OK);
  }
}

static void test_two_producers_keep_their_order(void **state) {
  (void)state;
  world w;
  static const uint32_t bounds[] = {0, 1, 50};
  for (size_t b = 0; b < LMP_COUNT(bounds); b++) {
    uint32_t next[16] = {0};
    world_open(&w);
    lmp_handle q = queue_make(&w, bounds[b]);
    peer p[] = {peer_start(&w, produce, &q), peer_start(&w, produce, &q)};
    uint32_t most = bounds[b] == 1 ? MANY / 10 : MANY; /* one by one takes two switches each */
    for (uint32_t i = 0; i < 2 * most; i++) {
      uint32_t v = queue_get_u32(&w.me, q, LMP_FOREVER);
      assert_int_equal(v & 0xffffff, next[v >> 24]);
      next[v >> 24]++;
    }
    if (most < MANY) {
      peer_kill(&p[0]);
      peer_kill(&p[1]);
      peer_reap(&w, &p[0]);
      peer_reap(&w, &p[1]);
    } else {
      peer_end(&w, &p[0]);
      peer_end(&w, &p[1]);
      assert_int_equal(lmp_queue_size(obj(&w, q)), 0);
    }
    end(&w, q);
  }
}

/* Takes until the queue is closed; word 1 counts. */
static void consume(world *w, void *arg) {
  lmp_handle q = *(lmp_handle *)arg;
  while (queue_get_u32(&w->me, q, LMP_FOREVER) != UINT32_MAX) {
    lmp_add_ar32(&w->word[1], 1);
    must(lmp_queue_task_done(&w->me, lmp_obj_at(&w->a, q.obj)) == LMP_OK);
  }
}

static void test_close_and_join_wake_all_who_wait(void **state) {
  (void)state;
  world w;
  for (int round = 0; round < 20; round++) {
    world_open(&w);
    lmp_handle q = queue_make(&w, 3);
    peer p[] = {peer_start(&w, consume, &q), peer_start(&w, consume, &q),
                peer_start(&w, consume, &q)};
    for (uint32_t i = 0; i < 100; i++) {
      assert_int_equal(queue_put_u32(&w.me, q, i, LMP_FOREVER), LMP_OK);
    }
    assert_int_equal(lmp_queue_join(&w.me, obj(&w, q), LMP_FOREVER), LMP_OK);
    assert_int_equal(lmp_load_acq32(&w.word[1]), 100);
    lmp_queue_close(&w.me, obj(&w, q));
    for (int i = 0; i < 3; i++) peer_end(&w, &p[i]);
    end(&w, q);
  }
}

static void put_when_full(world *w, void *arg) {
  lmp_store_rel32(&w->word[0], 1);
  must(queue_put_u32(&w->me, *(lmp_handle *)arg, 1, LMP_FOREVER) == LMP_E_CLOSED);
}

static void test_close_wakes_a_putter(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 1);
  put(&w, q, 0);
  peer p = peer_start(&w, put_when_full, &q);
  until(lmp_load_acq64(&lmp_queue_of(obj(&w, q))->qf_flag) != 0);
  lmp_queue_close(&w.me, obj(&w, q));
  peer_end(&w, &p);
  end(&w, q);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_first_in_first_out),
      cmocka_unit_test(test_sizes_at_every_edge),
      cmocka_unit_test(test_messages_over_the_ends_of_segments),
      cmocka_unit_test(test_pieces_are_put_together),
      cmocka_unit_test(test_a_bounded_queue_takes_no_more),
      cmocka_unit_test(test_get_times_out_no_earlier_than_asked),
      cmocka_unit_test(test_what_never_fits_is_too_large),
      cmocka_unit_test(test_batches_over_segments),
      cmocka_unit_test(test_a_closed_queue_gives_what_is_in_it),
      cmocka_unit_test(test_cancel_drops_everything),
      cmocka_unit_test(test_join_waits_for_every_message),
      cmocka_unit_test(test_counters_wrap),
      cmocka_unit_test(test_two_producers_keep_their_order),
      cmocka_unit_test(test_close_and_join_wake_all_who_wait),
      cmocka_unit_test(test_close_wakes_a_putter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
