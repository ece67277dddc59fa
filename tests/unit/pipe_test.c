/* pipe_test.c: pipes in one process and its threads, and between a few processes.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <pthread.h>

#include "channel/pipe.h"
#include "channel/queue_priv.h"
#include "sync/bell.h"
#include "sync/wait_any.h"

enum { BY_MANY = 4, EACH = 3000, ROUNDS = 300, LARGE = 5000 };

typedef struct pair {
  lmp_handle first, second;
} pair;

static pair pipe_make(world *w, bool duplex) {
  lmp_handle ends[2];
  assert_int_equal(lmp_pipe_new(&w->me, NULL, 0, duplex, ends), LMP_OK);
  return (pair){ends[0], ends[1]};
}

/* The streams of an end; {0, 0}: none, or not any more. */
static lmp_handle in_of(const lmp_arena *a, lmp_handle end) {
  const lmp_obj *q = lmp_conn_in(a, lmp_obj_at(a, end.obj));
  return q ? lmp_handle_of(a, q) : (lmp_handle){0, 0};
}
static lmp_handle out_of(const lmp_arena *a, lmp_handle end) {
  const lmp_obj *q = lmp_conn_out(a, lmp_obj_at(a, end.obj));
  return q ? lmp_handle_of(a, q) : (lmp_handle){0, 0};
}

static lmp_err send(lmp_me *me, lmp_handle end, uint32_t v) {
  return queue_put_u32(me, out_of(me->a, end), v, LMP_FOREVER);
}

/* UINT32_MAX: the end of the stream, or nothing in time. */
static uint32_t recv(lmp_me *me, lmp_handle end, uint64_t deadline) {
  return queue_get_u32(me, in_of(me->a, end), deadline);
}

/* Why nothing comes at the end. */
static lmp_err recv_none(lmp_me *me, lmp_handle end, uint64_t deadline) {
  lmp_inbox box;
  assert_true(lmp_inbox_init(&box));
  lmp_err e = lmp_queue_get(me, lmp_conn_in(me->a, lmp_obj_at(me->a, end.obj)), 1, deadline, &box);
  lmp_inbox_fini(&box);
  return e;
}

static void end(world *w) {
  world_is_empty(w);
  world_close(w);
}

/* -- both directions, and the end of a stream ---------------------------------------------------- */

static void test_each_end_receives_what_the_other_sent(void **state) {
  (void)state;
  world w;
  world_open(&w);
  pair p = pipe_make(&w, true);
  for (uint32_t i = 0; i < 500; i++) {
    assert_int_equal(send(&w.me, p.first, i), LMP_OK);
    assert_int_equal(send(&w.me, p.second, 1000 + i), LMP_OK);
  }
  queue_is_valid(&w, in_of(&w.a, p.first));
  for (uint32_t i = 0; i < 500; i++) {
    assert_int_equal(recv(&w.me, p.second, LMP_NOWAIT), i);
    assert_int_equal(recv(&w.me, p.first, LMP_NOWAIT), 1000 + i);
  }
  assert_int_equal(recv_none(&w.me, p.first, LMP_NOWAIT), LMP_E_TIMEOUT);
  lmp_obj_unref(&w.me, p.first);
  lmp_obj_unref(&w.me, p.second);
  end(&w);
}

static void test_a_pipe_of_one_direction(void **state) {
  (void)state;
  world w;
  world_open(&w);
  pair p = pipe_make(&w, false);
  assert_int_equal(out_of(&w.a, p.first).obj, 0);
  assert_int_equal(in_of(&w.a, p.second).obj, 0);
  assert_int_equal(send(&w.me, p.second, 7), LMP_OK);
  assert_int_equal(recv(&w.me, p.first, LMP_NOWAIT), 7);
  lmp_obj_unref(&w.me, p.second);
  lmp_obj_unref(&w.me, p.first);
  end(&w);
}

static void test_what_was_sent_comes_before_the_end(void **state) {
  (void)state;
  world w;
  world_open(&w);
  pair p = pipe_make(&w, true);
  assert_int_equal(send(&w.me, p.second, 1), LMP_OK);
  assert_int_equal(send(&w.me, p.second, 2), LMP_OK);
  assert_int_equal(send(&w.me, p.first, 3), LMP_OK); /* nobody will ever read it */
  lmp_obj_unref(&w.me, p.second);
  assert_int_equal(send(&w.me, p.first, 4), LMP_E_CLOSED);
  assert_int_equal(recv(&w.me, p.first, LMP_FOREVER), 1);
  assert_int_equal(recv(&w.me, p.first, LMP_FOREVER), 2);
  assert_int_equal(recv_none(&w.me, p.first, LMP_FOREVER), LMP_E_CLOSED);
  assert_int_equal(recv_none(&w.me, p.first, LMP_NOWAIT), LMP_E_CLOSED);
  assert_int_equal(
      lmp_queue_poll(&w.me, lmp_conn_in(&w.a, lmp_obj_at(&w.a, p.first.obj)), LMP_FOREVER), LMP_OK);
  lmp_obj_unref(&w.me, p.first);
  end(&w);
}

static void test_a_deaf_end_sends_on(void **state) {
  (void)state;
  world w;
  world_open(&w);
  pair p = pipe_make(&w, true);
  lmp_obj *first = lmp_obj_at(&w.a, p.first.obj);
  assert_int_equal(send(&w.me, p.second, 1), LMP_OK);
  lmp_conn_deafen(&w.me, first);
  lmp_conn_deafen(&w.me, first);
  assert_null(lmp_conn_in(&w.a, first));
  assert_int_equal(send(&w.me, p.second, 2), LMP_E_CLOSED);
  assert_int_equal(send(&w.me, p.first, 3), LMP_OK);
  assert_int_equal(recv(&w.me, p.second, LMP_NOWAIT), 3);
  lmp_obj_unref(&w.me, p.first);
  lmp_obj_unref(&w.me, p.second);
  end(&w);
}

static void test_making_without_room_leaves_nothing(void **state) {
  (void)state;
  world w;
  lmp_handle ends[2], queues[16];
  static const char name[] = "a name that is too long to lie in the object";
  for (uint32_t left = 0; left < 4; left++) { /* of the four objects of a pipe */
    uint32_t n = 0;
    world_open_as(&w, 4 * MIB, 12);
    while (lmp_queue_new(&w.me, NULL, 0, 0, &queues[n]) == LMP_OK) n++;
    for (uint32_t i = 0; i < left; i++) lmp_obj_unref(&w.me, queues[--n]);
    assert_int_equal(lmp_pipe_new(&w.me, name, sizeof name, true, ends), LMP_E_NOSLOT);
    lmp_collect(&w.me);
    assert_int_equal(lmp_obj_count(&w.a), n);
    assert_int_equal(lmp_memory_used(&w.a), 0);
    while (n > 0) lmp_obj_unref(&w.me, queues[--n]);
    uint64_t all;
    assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
    assert_int_equal(lmp_pipe_new(&w.me, name, sizeof name, true, ends), LMP_E_NOMEM);
    lmp_free(&w.me, all);
    end(&w);
  }
}

/* -- ends that travel ---------------------------------------------------------------------------- */

static lmp_err send_end(lmp_me *me, lmp_handle q, lmp_handle named) {
  return queue_put_bytes(me, q, "x", 1, &named, 1, LMP_FOREVER);
}

static void test_an_end_that_nobody_can_take_is_gone(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle hub = queue_make(&w, 0);
  /* In a queue that is cancelled; in a queue that ends; in its own pipe. */
  for (int how = 0; how < 3; how++) {
    pair p = pipe_make(&w, true);
    lmp_handle carrier = how == 1 ? queue_make(&w, 0) : hub;
    assert_int_equal(send(&w.me, p.second, 5), LMP_OK);
    lmp_handle to = how == 2 ? out_of(&w.a, p.first) : carrier;
    assert_int_equal(send_end(&w.me, to, p.second), LMP_OK);
    lmp_obj_unref(&w.me, p.second);
    if (how == 0) assert_true(lmp_queue_drop(&w.me, lmp_queue_of(lmp_obj_at(&w.a, hub.obj))));
    if (how == 0) lmp_collect_if_due(&w.me, 0);
    if (how == 1) lmp_obj_unref(&w.me, carrier);
    /* Nobody collects: this sleeps for ever if it is not seen. */
    assert_int_equal(recv(&w.me, p.first, LMP_FOREVER), 5);
    assert_int_equal(recv_none(&w.me, p.first, LMP_FOREVER), LMP_E_CLOSED);
    lmp_obj_unref(&w.me, p.first);
  }
  lmp_obj_unref(&w.me, hub);
  end(&w);
}

static void test_an_end_in_flight_keeps_the_pipe(void **state) {
  (void)state;
  world w;
  lmp_inbox box;
  world_open(&w);
  assert_true(lmp_inbox_init(&box));
  lmp_handle hub = queue_make(&w, 0);
  pair p = pipe_make(&w, false);
  assert_int_equal(send_end(&w.me, hub, p.second), LMP_OK);
  lmp_obj_unref(&w.me, p.second);
  for (int i = 0; i < 3; i++) lmp_collect(&w.me);
  assert_int_equal(recv_none(&w.me, p.first, LMP_NOWAIT), LMP_E_TIMEOUT);
  assert_int_equal(lmp_queue_get(&w.me, lmp_obj_at(&w.a, hub.obj), 1, LMP_NOWAIT, &box), LMP_OK);
  assert_int_equal(box.in[0].handles[0].obj, p.second.obj);
  assert_int_equal(send(&w.me, p.second, 9), LMP_OK); /* the inbox holds it */
  lmp_inbox_done(&w.me, &box, 0);
  assert_int_equal(recv(&w.me, p.first, LMP_FOREVER), 9);
  assert_int_equal(recv_none(&w.me, p.first, LMP_FOREVER), LMP_E_CLOSED);
  lmp_inbox_fini(&box);
  lmp_obj_unref(&w.me, p.first);
  lmp_obj_unref(&w.me, hub);
  end(&w);
}

/* -- threads of one process ---------------------------------------------------------------------- */

typedef struct worker {
  world *w;
  pthread_t thread;
  lmp_handle end;
  uint32_t id, n;
  lmp_err e;
  uint8_t *seen; /* by the receivers: times that each value came */
} worker;

static void attach(worker *k, lmp_me *me) {
  if (lmp_me_attach(&k->w->a, me)) abort();
}

static void start(worker *k, void *(*body)(void *)) {
  assert_int_equal(pthread_create(&k->thread, NULL, body, k), 0);
}

static void *send_each(void *arg) {
  worker *k = arg;
  lmp_me me;
  attach(k, &me);
  uint32_t big[LARGE / 4] = {0};
  for (uint32_t i = 0; i < k->n; i++) {
    lmp_handle q = out_of(&k->w->a, k->end);
    big[0] = k->id * k->n + i;
    size_t size = i % 64 == 0 ? sizeof big : sizeof big[0];
    k->e = queue_put_bytes(&me, q, big, size, NULL, 0, LMP_FOREVER);
    if (k->e) break;
  }
  lmp_me_detach(&me);
  return NULL;
}

/* Until the end of the stream; those of one sender come in order. */
static void *recv_all(void *arg) {
  worker *k = arg;
  lmp_me me;
  lmp_inbox box;
  uint32_t next[BY_MANY] = {0};
  attach(k, &me);
  if (!lmp_inbox_init(&box)) abort();
  lmp_obj *q = lmp_conn_in(&k->w->a, lmp_obj_at(&k->w->a, k->end.obj));
  while ((k->e = lmp_queue_get(&me, q, 1, LMP_FOREVER, &box)) == LMP_OK) {
    uint32_t v;
    memcpy(&v, box.in[0].data, sizeof v);
    if (v >= BY_MANY * EACH || v % EACH < next[v / EACH]) abort();
    next[v / EACH] = v % EACH + 1;
    lmp_add_ar32(&k->n, 1);
    __atomic_add_fetch(&k->seen[v], 1, __ATOMIC_RELAXED);
    lmp_inbox_done(&me, &box, 0);
  }
  lmp_inbox_fini(&box);
  lmp_me_detach(&me);
  return NULL;
}

static void test_several_senders_and_receivers(void **state) {
  (void)state;
  world w;
  worker in[BY_MANY] = {0}, out[BY_MANY] = {0};
  uint32_t all = 0;
  uint8_t *seen = calloc(BY_MANY, EACH);
  assert_non_null(seen);
  world_open(&w);
  pair p = pipe_make(&w, false);
  for (uint32_t i = 0; i < BY_MANY; i++) {
    out[i] = (worker){.w = &w, .end = p.second, .id = i, .n = EACH};
    in[i] = (worker){.w = &w, .end = p.first, .seen = seen};
    start(&in[i], recv_all);
    start(&out[i], send_each);
  }
  for (uint32_t i = 0; i < BY_MANY; i++) {
    assert_int_equal(pthread_join(out[i].thread, NULL), 0);
    assert_int_equal(out[i].e, LMP_OK);
  }
  lmp_obj_unref(&w.me, p.second); /* all of them wake up from it */
  for (uint32_t i = 0; i < BY_MANY; i++) {
    assert_int_equal(pthread_join(in[i].thread, NULL), 0);
    assert_int_equal(in[i].e, LMP_E_CLOSED);
    all += in[i].n;
  }
  assert_int_equal(all, BY_MANY * EACH);
  for (uint32_t i = 0; i < BY_MANY * EACH; i++) assert_int_equal(seen[i], 1);
  free(seen);
  lmp_obj_unref(&w.me, p.first);
  end(&w);
}

/* Sends back what comes, until the end. */
static void *echo(void *arg) {
  worker *k = arg;
  lmp_me me;
  uint32_t v;
  attach(k, &me);
  while ((v = recv(&me, k->end, LMP_FOREVER)) != UINT32_MAX) {
    k->e = send(&me, k->end, v + 1);
    if (k->e) break;
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_questions_and_answers(void **state) {
  (void)state;
  world w;
  world_open(&w);
  for (uint32_t round = 0; round < 20; round++) {
    pair p = pipe_make(&w, true);
    worker k = {.w = &w, .end = p.second};
    start(&k, echo);
    for (uint32_t i = 0; i < ROUNDS; i++) {
      assert_int_equal(send(&w.me, p.first, i), LMP_OK);
      assert_int_equal(recv(&w.me, p.first, LMP_FOREVER), i + 1);
    }
    lmp_obj_unref(&w.me, p.first); /* while the other waits */
    assert_int_equal(pthread_join(k.thread, NULL), 0);
    assert_int_equal(k.e, LMP_OK);
    lmp_obj_unref(&w.me, p.second);
  }
  end(&w);
}

static void *wait_and_recv(void *arg) {
  worker *k = arg;
  lmp_me me;
  lmp_waiter l = {0};
  attach(k, &me);
  if (!lmp_waiter_obj(&l, lmp_obj_at(&k->w->a, k->end.obj))) abort();
  do {
    k->e = lmp_wait_any(&me, &l, LMP_FOREVER);
    if (k->e) break;
    k->e = queue_get_u32(&me, in_of(&k->w->a, k->end), LMP_NOWAIT) == UINT32_MAX ? LMP_E_CLOSED
                                                                                 : LMP_OK;
    if (!k->e) k->n++;
  } while (!k->e);
  lmp_waiter_fini(&l);
  lmp_me_detach(&me);
  return NULL;
}

static void test_waiting_for_messages_and_for_the_end(void **state) {
  (void)state;
  world w;
  world_open(&w);
  for (uint32_t round = 0; round < 50; round++) {
    pair p = pipe_make(&w, false);
    worker k = {.w = &w, .end = p.first};
    start(&k, wait_and_recv);
    for (uint32_t i = 0; i < round; i++) assert_int_equal(send(&w.me, p.second, i), LMP_OK);
    lmp_obj_unref(&w.me, p.second);
    assert_int_equal(pthread_join(k.thread, NULL), 0);
    assert_int_equal(k.e, LMP_E_CLOSED);
    assert_int_equal(k.n, round);
    lmp_obj_unref(&w.me, p.first);
  }
  end(&w);
}

/* Its own pipes, while another thread collects. */
static void *make_and_drop(void *arg) {
  worker *k = arg;
  lmp_me me;
  lmp_handle ends[2];
  attach(k, &me);
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (lmp_pipe_new(&me, NULL, 0, true, ends)) {
      /* The collector was held up in the middle of it: until it is through. */
      lmp_collect_resume(&me, lmp_collect_pause(&me));
      lmp_collect(&me);
    }
    if (send(&me, ends[0], i) || send(&me, ends[1], i) || recv(&me, ends[1], LMP_FOREVER) != i ||
        send_end(&me, out_of(&k->w->a, ends[0]), ends[0])) {
      abort();
    }
    lmp_obj_unref(&me, ends[i & 1]);
    lmp_obj_unref(&me, ends[!(i & 1)]);
    if (k->id == 0) lmp_collect(&me);
  }
  lmp_me_detach(&me);
  return NULL;
}

static void test_pipes_come_and_go(void **state) {
  (void)state;
  world w;
  worker k[BY_MANY] = {0};
  world_open(&w);
  for (uint32_t i = 0; i < BY_MANY; i++) {
    k[i] = (worker){.w = &w, .id = i};
    start(&k[i], make_and_drop);
  }
  for (uint32_t i = 0; i < BY_MANY; i++) assert_int_equal(pthread_join(k[i].thread, NULL), 0);
  end(&w);
}

/* -- memory is full ------------------------------------------------------------------------------ */

/* Sends something for which there is no memory. */
static void *send_large(void *arg) {
  worker *k = arg;
  lmp_me me;
  static const char large[LARGE];
  attach(k, &me);
  k->e = queue_put_bytes(&me, out_of(&k->w->a, k->end), large, k->n, NULL, 0, LMP_FOREVER);
  lmp_me_detach(&me);
  return NULL;
}

static bool waits_for_memory(const world *w) {
  uint32_t word = lmp_off32(&w->a, &w->a.h->hd_mem_seq);
  for (uint32_t i = 0; i < lmp_load_acq32(&w->a.h->hd_ctx_hwm); i++) {
    const lmp_ctx *c = &w->a.ctxs[i];
    if (lmp_load_acq32(&c->cx_wait_n) && lmp_load_acq32(&c->cx_wait_word[0]) == word) return true;
  }
  return false;
}

static void test_sending_to_nobody_does_not_wait_for_memory(void **state) {
  (void)state;
  world w;
  world_open(&w);
  for (uint32_t size = 4; size <= LARGE; size = size < LARGE ? LARGE : LARGE + 1) {
    uint64_t all;
    pair p = pipe_make(&w, true);
    assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
    worker k = {.w = &w, .end = p.first, .n = size};
    start(&k, send_large);
    until(waits_for_memory(&w));
    lmp_obj_unref(&w.me, p.second); /* this frees no memory */
    assert_int_equal(pthread_join(k.thread, NULL), 0);
    assert_int_equal(k.e, LMP_E_CLOSED);
    k.e = LMP_OK;
    start(&k, send_large); /* it is closed before */
    assert_int_equal(pthread_join(k.thread, NULL), 0);
    assert_int_equal(k.e, LMP_E_CLOSED);
    assert_int_equal(send(&w.me, p.first, 1), LMP_E_CLOSED);
    lmp_free(&w.me, all);
    lmp_obj_unref(&w.me, p.first);
  }
  end(&w);
}

static void test_a_put_is_told_by_close_while_memory_is_full(void **state) {
  (void)state;
  world w;
  uint64_t all;
  world_open(&w);
  pair p = pipe_make(&w, true);
  lmp_obj *q = lmp_conn_out(&w.a, lmp_obj_at(&w.a, p.first.obj));
  assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
  assert_int_equal(queue_put_u32(&w.me, lmp_handle_of(&w.a, q), 1, LMP_NOWAIT), LMP_E_TIMEOUT);
  worker k[BY_MANY];
  for (uint32_t i = 0; i < BY_MANY; i++) {
    k[i] = (worker){.w = &w, .end = p.first, .n = i % 2 ? LARGE : 4};
    start(&k[i], send_large);
  }
  until(waits_for_memory(&w));
  lmp_queue_cancel(&w.me, q);
  for (uint32_t i = 0; i < BY_MANY; i++) {
    assert_int_equal(pthread_join(k[i].thread, NULL), 0);
    assert_int_equal(k[i].e, LMP_E_CLOSED);
  }
  assert_int_equal(queue_put_u32(&w.me, lmp_handle_of(&w.a, q), 1, LMP_NOWAIT), LMP_E_CLOSED);
  lmp_free(&w.me, all);
  lmp_obj_unref(&w.me, p.first);
  lmp_obj_unref(&w.me, p.second);
  end(&w);
}

/* -- processes ------------------------------------------------------------------------------------ */

typedef struct plan {
  pair p;
  int how;
} plan;

/* Holds the second end alone, says so, and ends in some way when a message has come. */
static void other_end(world *w, void *arg) {
  const plan *l = arg;
  must(lmp_obj_hold(&w->me, l->p.second) == LMP_OK);
  lmp_store_rel32(&w->word[0], 1);
  must(recv(&w->me, l->p.second, LMP_FOREVER) == 1);
  must(send(&w->me, l->p.second, 2) == LMP_OK);
  if (l->how == 0) peer_stay(w, 2);
  if (l->how == 1) raise(SIGKILL);
}

static void test_the_end_of_a_process_ends_its_streams(void **state) {
  (void)state;
  world w;
  for (int how = 0; how < 3; how++) { /* killed at rest, at once; of its own accord */
    int status;
    world_open(&w);
    plan l = {pipe_make(&w, true), how};
    peer p = peer_start(&w, other_end, &l);
    until(lmp_load_acq32(&w.word[0]) == 1);
    lmp_obj_unref(&w.me, l.p.second);
    assert_int_equal(send(&w.me, l.p.first, 1), LMP_OK);
    assert_int_equal(recv(&w.me, l.p.first, LMP_FOREVER), 2);
    if (how == 0) {
      until(lmp_load_acq32(&w.word[0]) == 2);
      assert_int_equal(kill(p.pid, SIGKILL), 0);
    }
    assert_int_equal(recv_none(&w.me, l.p.first, LMP_FOREVER), LMP_E_CLOSED);
    until(send(&w.me, l.p.first, 1) == LMP_E_CLOSED); /* P3: a step later */
    assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
    assert_int_equal(status, how == 2 ? 0 : SIGKILL);
    peer_reap(&w, &p);
    lmp_obj_unref(&w.me, l.p.first);
    end(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_end_receives_what_the_other_sent),
      cmocka_unit_test(test_a_pipe_of_one_direction),
      cmocka_unit_test(test_what_was_sent_comes_before_the_end),
      cmocka_unit_test(test_a_deaf_end_sends_on),
      cmocka_unit_test(test_making_without_room_leaves_nothing),
      cmocka_unit_test(test_an_end_that_nobody_can_take_is_gone),
      cmocka_unit_test(test_an_end_in_flight_keeps_the_pipe),
      cmocka_unit_test(test_several_senders_and_receivers),
      cmocka_unit_test(test_questions_and_answers),
      cmocka_unit_test(test_waiting_for_messages_and_for_the_end),
      cmocka_unit_test(test_pipes_come_and_go),
      cmocka_unit_test(test_sending_to_nobody_does_not_wait_for_memory),
      cmocka_unit_test(test_a_put_is_told_by_close_while_memory_is_full),
      cmocka_unit_test(test_the_end_of_a_process_ends_its_streams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
