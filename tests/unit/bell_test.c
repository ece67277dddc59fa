/* bell_test.c: bells, and waiting for several things with them.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/time.h>

#include "os/linux.h"
#include "process/wait.h"
#include "sync/bell.h"
#include "sync/wait_any.h"

enum { MANY = 300 };

static lmp_obj *obj(world *w, lmp_handle h) { return lmp_obj_at(&w->a, h.obj); }

static bool readable(int fd) { return lmp_os_wait_fd(fd, LMP_NOWAIT) == LMP_WOKEN; }

static unsigned bells_taken(const world *w) {
  unsigned n = 0;
  for (uint32_t i = 0; i < w->a.h->hd_bell_hwm; i++) n += w->a.bells[i].be_owner != 0;
  return n;
}

/* -- waiting ------------------------------------------------------------------------------------ */

static void test_all_that_are_ready_are_told(void **state) {
  (void)state;
  world w;
  lmp_waiter l = {0};
  int fds[2];
  world_open(&w);
  assert_int_equal(pipe(fds), 0);
  lmp_handle a = queue_make(&w, 0), b = queue_make(&w, 0);
  assert_true(lmp_waiter_obj(&l, obj(&w, a)) && lmp_waiter_fd(&l, fds[0]) &&
              lmp_waiter_obj(&l, obj(&w, b)) && lmp_waiter_obj(&l, obj(&w, a)));
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_NOWAIT), LMP_E_TIMEOUT);
  uint64_t deadline = lmp_os_now() + 30 * LMP_MSEC;
  assert_int_equal(lmp_wait_any(&w.me, &l, deadline), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  assert_int_equal(queue_put_u32(&w.me, a, 1, LMP_NOWAIT), LMP_OK);
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_OK);
  assert_true(l.src[0].ready && !l.src[1].ready && !l.src[2].ready && l.src[3].ready);
  assert_int_equal(write(fds[1], "x", 1), 1);
  lmp_queue_close(&w.me, obj(&w, b)); /* nothing will ever be in it: a get returns at once */
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_NOWAIT), LMP_OK);
  for (unsigned i = 0; i < 4; i++) assert_true(l.src[i].ready);
  assert_int_equal(queue_get_u32(&w.me, a, LMP_NOWAIT), 1); /* it took nothing */
  lmp_waiter_fini(&l);
  close(fds[0]);
  close(fds[1]);
  lmp_obj_unref(&w.me, a);
  lmp_obj_unref(&w.me, b);
  world_is_empty(&w);
  world_close(&w);
}

static void test_descriptors(void **state) {
  (void)state;
  world w;
  lmp_waiter l = {0};
  int fds[2];
  world_open(&w);
  int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  assert_true(file >= 0);
  assert_true(lmp_waiter_fd(&l, file));
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_OK); /* regular files are ready */
  close(file);
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_E_INVAL);
  assert_int_equal(l.bad, 0);
  lmp_waiter_clear(&l);
  assert_int_equal(pipe(fds), 0);
  assert_true(lmp_waiter_fd(&l, fds[0]));
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_NOWAIT), LMP_E_TIMEOUT);
  close(fds[1]); /* the end of the stream */
  assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_OK);
  close(fds[0]);
  assert_int_equal(bells_taken(&w), 0); /* descriptors alone need none */
  lmp_waiter_clear(&l);
  uint64_t deadline = lmp_os_now() + 10 * LMP_MSEC;
  assert_int_equal(lmp_wait_any(&w.me, &l, deadline), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  lmp_waiter_fini(&l);
  world_close(&w);
}

/* A peer puts round by round into one of many queues; the next round begins when it was seen. */
typedef struct rounds {
  lmp_handle q[MANY];
  uint32_t n;
} rounds;

static void put_rounds(world *w, void *arg) {
  rounds *r = arg;
  must(r->n > 0);
  for (uint32_t i = 0; i < r->n; i++) must(lmp_obj_hold(&w->me, r->q[i]) == LMP_OK);
  lmp_store_rel32(&w->word[0], 1);
  for (uint32_t i = 0; i < 200; i++) {
    while (lmp_load_acq32(&w->word[1]) != i) (void)lmp_os_sleep(lmp_os_now() + 20 * LMP_USEC);
    must(queue_put_u32(&w->me, r->q[i * 7 % r->n], i, LMP_NOWAIT) == LMP_OK);
  }
}

static void wait_rounds(uint32_t n, bool with_fd) {
  static rounds r;
  world w;
  lmp_waiter l = {0};
  int fds[2];
  world_open_as(&w, 4 * MIB, 1024);
  assert_int_equal(pipe(fds), 0);
  r.n = n;
  for (uint32_t i = 0; i < n; i++) {
    r.q[i] = queue_make(&w, 0);
    assert_true(lmp_waiter_obj(&l, obj(&w, r.q[i])));
  }
  if (with_fd) assert_true(lmp_waiter_fd(&l, fds[0]));
  peer p = peer_start(&w, put_rounds, &r);
  until(lmp_load_acq32(&w.word[0]) == 1);
  for (uint32_t i = 0; i < 200; i++) {
    lmp_store_rel32(&w.word[1], i);
    assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_OK);
    uint32_t at = i * 7 % n;
    assert_true(l.src[at].ready);
    for (uint32_t k = 0; k < l.n; k++) assert_int_equal(l.src[k].ready, k == at);
    assert_int_equal(queue_get_u32(&w.me, r.q[at], LMP_NOWAIT), i);
  }
  peer_end(&w, &p);
  for (uint32_t i = 0; i < n; i++) lmp_obj_unref(&w.me, r.q[i]);
  lmp_waiter_fini(&l);
  assert_int_equal(bells_taken(&w), 1);
  close(fds[0]);
  close(fds[1]);
  world_is_empty(&w);
  world_close(&w);
}

static void test_one_of_many_becomes_ready(void **state) {
  (void)state;
  wait_rounds(1, false);
  wait_rounds(2, false);
  wait_rounds(128, false);
  wait_rounds(MANY, false);
  wait_rounds(2, true);
  wait_rounds(MANY, true);
}

static void test_without_futex_waitv(void **state) {
  (void)state;
  lmp_linux_refuse_waitv(true);
  wait_rounds(3, false);
  wait_rounds(3, true);
  lmp_linux_refuse_waitv(false);
}

/* With no bell or no socket to be had, it looks now and then. */
static void test_without_bells(void **state) {
  (void)state;
  world w;
  lmp_waiter l = {0};
  static rounds r;
  world_open(&w);
  for (uint32_t i = 0; i < w.a.h->hd_nbell; i++) w.a.bells[i].be_owner = 1;
  r.n = 2;
  for (uint32_t i = 0; i < r.n; i++) {
    r.q[i] = queue_make(&w, 0);
    assert_true(lmp_waiter_obj(&l, obj(&w, r.q[i])));
  }
  lmp_store_rel32(&w.word[1], UINT32_MAX);
  peer p = peer_start(&w, put_rounds, &r);
  until(lmp_load_acq32(&w.word[0]) == 1);
  for (uint32_t i = 0; i < 20; i++) {
    lmp_store_rel32(&w.word[1], i);
    assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_OK);
    assert_int_equal(queue_get_u32(&w.me, r.q[i % 2], LMP_NOWAIT), i);
  }
  uint64_t deadline = lmp_os_now() + 12 * LMP_MSEC;
  assert_int_equal(lmp_wait_any(&w.me, &l, deadline), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  peer_kill(&p);
  peer_reap(&w, &p);
  for (uint32_t i = 0; i < w.a.h->hd_nbell; i++) w.a.bells[i].be_owner = 0;
  for (uint32_t i = 0; i < r.n; i++) lmp_obj_unref(&w.me, r.q[i]);
  lmp_waiter_fini(&l);
  world_is_empty(&w);
  world_close(&w);
}

/* A wait that takes nothing must not keep the wake from who would take something. */
static void wait_only(world *w, void *arg) {
  lmp_handle *q = arg;
  lmp_waiter l = {0};
  must(lmp_obj_hold(&w->me, *q) == LMP_OK && lmp_waiter_obj(&l, obj(w, *q)));
  lmp_add_ar32(&w->word[0], 1);
  must(lmp_wait_any(&w->me, &l, LMP_FOREVER) == LMP_OK);
  lmp_waiter_fini(&l);
}

static void get_one(world *w, void *arg) {
  lmp_handle *q = arg;
  must(lmp_obj_hold(&w->me, *q) == LMP_OK);
  lmp_add_ar32(&w->word[0], 1);
  must(queue_get_u32(&w->me, *q, LMP_FOREVER) == 5);
}

static void test_a_wait_swallows_no_wake(void **state) {
  (void)state;
  for (unsigned round = 0; round < 5; round++) {
    world w;
    peer p[4];
    world_open(&w);
    lmp_handle q = queue_make(&w, 0);
    for (unsigned i = 0; i < 3; i++) p[i] = peer_start(&w, wait_only, &q);
    p[3] = peer_start(&w, get_one, &q);
    until(lmp_load_acq32(&w.word[0]) == 4);
    if (round) (void)lmp_os_sleep(lmp_os_now() + round * 2 * LMP_MSEC);
    lmp_obj *o = obj(&w, q);
    assert_int_equal(queue_put_u32(&w.me, q, 5, LMP_NOWAIT), LMP_OK);
    peer_end(&w, &p[3]);
    lmp_queue_close(&w.me, o); /* those who came too late */
    for (unsigned i = 0; i < 3; i++) peer_end(&w, &p[i]);
    lmp_obj_unref(&w.me, q);
    world_is_empty(&w);
    world_close(&w);
  }
}

static unsigned signals;

static void on_signal(int sig) {
  (void)sig;
  __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

static void test_signals_end_a_wait(void **state) {
  (void)state;
  world w;
  int fds[2];
  struct sigaction sa = {.sa_handler = on_signal};
  struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
  world_open(&w);
  assert_int_equal(pipe(fds), 0);
  lmp_handle q = queue_make(&w, 0);
  assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
  assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
  for (unsigned mode = 1; mode < 4; mode++) { /* futex, poll, both */
    lmp_waiter l = {0};
    assert_true(!(mode & 1) || lmp_waiter_obj(&l, obj(&w, q)));
    assert_true(!(mode & 2) || lmp_waiter_fd(&l, fds[0]));
    assert_int_equal(lmp_wait_any(&w.me, &l, LMP_FOREVER), LMP_E_INTR);
    lmp_waiter_fini(&l);
  }
  assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
  signal(SIGALRM, SIG_DFL);
  assert_true(signals >= 3);
  close(fds[0]);
  close(fds[1]);
  lmp_obj_unref(&w.me, q);
  world_is_empty(&w);
  world_close(&w);
}

/* -- descriptors of bells ------------------------------------------------------------------------- */

static void test_a_bell_shows_whether_a_queue_is_ready(void **state) {
  (void)state;
  world w;
  lmp_fdbell b;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  assert_int_equal(lmp_fdbell_open(&w.me, &b), LMP_OK);
  assert_false(readable(b.fd));
  lmp_fdbell_show(&w.me, &b, obj(&w, q));
  assert_false(readable(b.fd));
  for (uint32_t i = 0; i < 50; i++) {
    assert_int_equal(queue_put_u32(&w.me, q, i, LMP_NOWAIT), LMP_OK);
    assert_true(readable(b.fd));
    assert_int_equal(queue_put_u32(&w.me, q, i, LMP_NOWAIT), LMP_OK);
    lmp_fdbell_show(&w.me, &b, obj(&w, q));
    assert_true(readable(b.fd)); /* as often as it is asked */
    assert_int_equal(queue_get_u32(&w.me, q, LMP_NOWAIT), i);
    lmp_fdbell_show(&w.me, &b, obj(&w, q));
    assert_true(readable(b.fd)); /* one is left */
    assert_int_equal(queue_get_u32(&w.me, q, LMP_NOWAIT), i);
    lmp_fdbell_show(&w.me, &b, obj(&w, q));
    assert_false(readable(b.fd));
  }
  lmp_queue_close(&w.me, obj(&w, q));
  assert_true(readable(b.fd));
  lmp_fdbell_show(&w.me, &b, obj(&w, q));
  assert_true(readable(b.fd));
  lmp_fdbell_close(&w.me, &b);
  lmp_fdbell_close(&w.me, &b);
  assert_int_equal(b.fd, -1);
  assert_int_equal(bells_taken(&w), 0);
  lmp_obj_unref(&w.me, q);
  world_is_empty(&w);
  world_close(&w);
}

static void test_bells_are_used_again_and_run_out(void **state) {
  (void)state;
  world w;
  lmp_fdbell b[3];
  uint32_t number;
  world_open(&w);
  for (unsigned i = 0; i < 2000; i++) {
    assert_int_equal(lmp_fdbell_open(&w.me, &b[0]), LMP_OK);
    lmp_fdbell_close(&w.me, &b[0]);
  }
  assert_int_equal(w.a.h->hd_bell_hwm, 1);
  for (uint32_t i = 0; i < w.a.h->hd_nbell; i++) {
    assert_int_equal(lmp_bell_claim(&w.me, &number), LMP_OK);
    assert_int_equal(number, i);
  }
  assert_int_equal(lmp_bell_claim(&w.me, &number), LMP_E_NOSLOT);
  assert_int_equal(lmp_fdbell_open(&w.me, &b[1]), LMP_E_NOSLOT);
  assert_int_equal(b[1].fd, -1);
  lmp_bell_free_all(&w.a, w.a.proc);
  assert_int_equal(bells_taken(&w), 0);
  world_close(&w);
}

/* All bells of one bit are rung: those for whom it is not look, and go on. */
static void test_bells_that_share_a_bit(void **state) {
  (void)state;
  world w;
  lmp_fdbell b[40];
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  for (unsigned i = 0; i < 40; i++) assert_int_equal(lmp_fdbell_open(&w.me, &b[i]), LMP_OK);
  lmp_fdbell_show(&w.me, &b[33], obj(&w, q));
  lmp_fdbell_show(&w.me, &b[4], obj(&w, q));
  assert_int_equal(queue_put_u32(&w.me, q, 1, LMP_NOWAIT), LMP_OK);
  for (unsigned i = 0; i < 40; i++) assert_int_equal(readable(b[i].fd), i % 31 == 2 || i % 31 == 4);
  lmp_handle other = queue_make(&w, 0);
  lmp_fdbell_show(&w.me, &b[2], obj(&w, other));
  assert_false(readable(b[2].fd));
  for (unsigned i = 0; i < 40; i++) lmp_fdbell_close(&w.me, &b[i]);
  lmp_obj_unref(&w.me, q);
  lmp_obj_unref(&w.me, other);
  world_is_empty(&w);
  world_close(&w);
}

/* -- kills -------------------------------------------------------------------------------------- */

static void wait_for_ever(world *w, void *arg) {
  lmp_handle *q = arg;
  lmp_waiter l = {0};
  lmp_fdbell b;
  must(lmp_obj_hold(&w->me, *q) == LMP_OK && lmp_waiter_obj(&l, obj(w, *q)));
  must(lmp_fdbell_open(&w->me, &b) == LMP_OK);
  lmp_store_rel32(&w->word[0], 1);
  (void)!lmp_wait_any(&w->me, &l, LMP_FOREVER);
  must(false);
}

static void test_bells_of_the_dead_are_freed(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  for (unsigned i = 0; i < 20; i++) {
    lmp_store_rel32(&w.word[0], 0);
    peer p = peer_start(&w, wait_for_ever, &q);
    until(lmp_load_acq32(&w.word[0]) == 1);
    if (i % 2) until(bells_taken(&w) == 2);
    peer_kill(&p);
    peer_reap(&w, &p);
    assert_int_equal(bells_taken(&w), 0);
    assert_int_equal(queue_put_u32(&w.me, q, i, LMP_NOWAIT), LMP_OK); /* rings nobody */
    assert_int_equal(queue_get_u32(&w.me, q, LMP_NOWAIT), i);
  }
  assert_true(w.a.h->hd_bell_hwm <= 2);
  lmp_obj_unref(&w.me, q);
  world_is_empty(&w);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_that_are_ready_are_told),
      cmocka_unit_test(test_descriptors),
      cmocka_unit_test(test_one_of_many_becomes_ready),
      cmocka_unit_test(test_without_futex_waitv),
      cmocka_unit_test(test_without_bells),
      cmocka_unit_test(test_a_wait_swallows_no_wake),
      cmocka_unit_test(test_signals_end_a_wait),
      cmocka_unit_test(test_a_bell_shows_whether_a_queue_is_ready),
      cmocka_unit_test(test_bells_are_used_again_and_run_out),
      cmocka_unit_test(test_bells_that_share_a_bit),
      cmocka_unit_test(test_bells_of_the_dead_are_freed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
