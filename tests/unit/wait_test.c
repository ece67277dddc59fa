/* wait_test.c: sleeping on words, with time-outs, signals and wakes.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <pthread.h>
#include <sys/time.h>

#include "os/linux.h"

static uint32_t words[LMP_OS_WAITV_MAX];

/* Another thread of the test, which wakes it up. */
typedef struct alarm_clock {
  uint32_t *word;
  uint32_t value; /* 0: does not change the word */
  uint32_t stop, woken;
} alarm_clock;

static void *ring(void *arg) {
  alarm_clock *c = arg;
  if (c->value) lmp_store_rel32(c->word, c->value);
  while (!lmp_load_acq32(&c->stop)) { /* until it reached somebody */
    if (lmp_os_futex_wake(c->word, 1)) lmp_add_ar32(&c->woken, 1);
    (void)lmp_os_sleep(lmp_os_now() + LMP_MSEC);
  }
  return NULL;
}

static void clock_start(alarm_clock *c, pthread_t *t) {
  assert_int_equal(pthread_create(t, NULL, ring, c), 0);
}

static void clock_stop(alarm_clock *c, pthread_t t) {
  lmp_store_rel32(&c->stop, 1);
  assert_int_equal(pthread_join(t, NULL), 0);
}

static unsigned signals;

static void on_signal(int sig) {
  (void)sig;
  __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

/* Signals every few milliseconds, so that one comes inside the sleep wherever it begins. */
static void signals_start(void) {
  struct sigaction sa = {.sa_handler = on_signal};
  struct itimerval every = {{0, 5000}, {0, 5000}};
  assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
  assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void signals_stop(void) {
  struct itimerval never = {{0, 0}, {0, 0}};
  assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
  signal(SIGALRM, SIG_DFL);
}

/* -- the system's part -------------------------------------------------------------------------- */

static void test_a_changed_word_is_not_slept_on(void **state) {
  (void)state;
  lmp_waitword w[2] = {{&words[0], 1}, {&words[1], 0}};
  words[0] = words[1] = 0;
  assert_int_equal(lmp_os_futex_wait(w, 1, LMP_FOREVER), LMP_CHANGED);
  assert_int_equal(lmp_os_futex_wait(w, 2, LMP_FOREVER), LMP_CHANGED);
  assert_int_equal(lmp_os_futex_wake(&words[0], 5), 0);
}

static void sleeps_long_enough(unsigned n) {
  lmp_waitword w[LMP_OS_WAITV_MAX];
  for (unsigned i = 0; i < n; i++) w[i] = (lmp_waitword){&words[i], 0};
  for (uint64_t us = 0; us < 60000; us = us * 4 + 100) {
    uint64_t deadline = lmp_os_now() + us * LMP_USEC;
    lmp_woke r;
    do { /* a sleep that cannot watch all of its words is cut short, and says so */
      r = lmp_os_futex_wait(w, n, deadline);
      assert_true(r == LMP_TIMED_OUT || (n > 1 && r == LMP_WOKEN));
    } while (r != LMP_TIMED_OUT);
    assert_true(lmp_os_now() >= deadline);
  }
  assert_int_equal(lmp_os_futex_wait(w, n, LMP_NOWAIT), LMP_TIMED_OUT);
  assert_int_equal(lmp_os_futex_wait(w, n, 1), LMP_TIMED_OUT); /* long over */
}

static void test_time_outs_are_at_least_as_long_as_asked(void **state) {
  (void)state;
  memset(words, 0, sizeof words);
  for (int refuse = 0; refuse < 2; refuse++) {
    lmp_linux_refuse_waitv(refuse);
    sleeps_long_enough(1);
    sleeps_long_enough(2);
    sleeps_long_enough(LMP_OS_WAITV_MAX);
  }
  lmp_linux_refuse_waitv(false);
}

static void test_a_wake_on_any_word(void **state) {
  (void)state;
  static const unsigned counts[] = {1, 2, 3, LMP_OS_WAITV_MAX};
  for (size_t i = 0; i < LMP_COUNT(counts); i++) {
    lmp_waitword w[LMP_OS_WAITV_MAX];
    pthread_t t;
    unsigned n = counts[i];
    memset(words, 0, sizeof words);
    for (unsigned k = 0; k < n; k++) w[k] = (lmp_waitword){&words[k], 0};
    alarm_clock c = {.word = &words[n - 1]}; /* the word keeps its value: only the wake tells */
    clock_start(&c, &t);
    assert_int_equal(lmp_os_futex_wait(w, n, LMP_FOREVER), LMP_WOKEN);
    clock_stop(&c, t);
  }
}

/* Without FUTEX_WAITV a change of another word is seen after a slice, the first word's at once. */
static void test_the_fallback_sees_every_word_in_the_end(void **state) {
  (void)state;
  lmp_linux_refuse_waitv(true);
  for (unsigned which = 0; which < 2; which++) {
    pthread_t t;
    words[0] = words[1] = 0;
    lmp_waitword w[2] = {{&words[0], 0}, {&words[1], 0}};
    alarm_clock c = {.word = &words[which], .value = 7};
    clock_start(&c, &t);
    uint64_t give_up = lmp_os_now() + 30 * LMP_SEC;
    while (lmp_load_acq32(&words[which]) == 0) {
      lmp_woke r = lmp_os_futex_wait(w, 2, give_up);
      assert_true(r == LMP_WOKEN || r == LMP_CHANGED);
    }
    clock_stop(&c, t);
  }
  lmp_linux_refuse_waitv(false);
}

/* Waits for ever until something else than a wake for nothing happens: without futex_waitv there are such. */
static lmp_woke wait_on(const lmp_waitword *w, unsigned n) {
  lmp_woke woke;
  do {
    woke = lmp_os_futex_wait(w, n, LMP_FOREVER);
  } while (woke == LMP_WOKEN);
  return woke;
}

static void test_signals_are_told(void **state) {
  (void)state;
  lmp_waitword w[2] = {{&words[0], 0}, {&words[1], 0}};
  int fds[2];
  words[0] = words[1] = 0;
  assert_int_equal(pipe(fds), 0);
  signals_start();
  assert_int_equal(lmp_os_futex_wait(w, 1, LMP_FOREVER), LMP_SIGNALLED);
  assert_int_equal(wait_on(w, 2), LMP_SIGNALLED);
  assert_int_equal(lmp_os_sleep(LMP_FOREVER), LMP_SIGNALLED);
  assert_int_equal(lmp_os_wait_fd(fds[0], LMP_FOREVER), LMP_SIGNALLED);
  lmp_linux_refuse_waitv(true);
  lmp_woke r = wait_on(w, 2);
  lmp_linux_refuse_waitv(false);
  assert_int_equal(r, LMP_SIGNALLED);
  signals_stop();
  assert_true(signals >= 5);
  close(fds[0]);
  close(fds[1]);
}

static void test_sleep_and_descriptors(void **state) {
  (void)state;
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  uint64_t deadline = lmp_os_now() + 20 * LMP_MSEC;
  assert_int_equal(lmp_os_sleep(deadline), LMP_TIMED_OUT);
  assert_true(lmp_os_now() >= deadline);
  assert_int_equal(lmp_os_sleep(LMP_NOWAIT), LMP_TIMED_OUT);
  deadline = lmp_os_now() + 20 * LMP_MSEC;
  assert_int_equal(lmp_os_wait_fd(fds[0], deadline), LMP_TIMED_OUT);
  assert_true(lmp_os_now() >= deadline);
  assert_int_equal(lmp_os_wait_fd(fds[0], LMP_NOWAIT), LMP_TIMED_OUT);
  assert_int_equal(write(fds[1], "x", 1), 1);
  assert_int_equal(lmp_os_wait_fd(fds[0], LMP_NOWAIT), LMP_WOKEN);
  assert_int_equal(lmp_os_wait_fd(fds[0], LMP_FOREVER), LMP_WOKEN);
  close(fds[0]);
  close(fds[1]);
}

/* -- the arena's part --------------------------------------------------------------------------- */

static void test_wait_sleep_keeps_its_deadline_over_ticks(void **state) {
  (void)state;
  world w;
  world_open(&w);
  uint32_t *word = &w.a.h->hd_mem_seq;
  for (uint64_t ms = 0; ms < 200; ms = ms * 3 + 1) { /* the first tick is after 50 */
    uint64_t deadline = lmp_os_now() + ms * LMP_MSEC;
    lmp_wait_begin(&w.me, NULL, word, deadline);
    assert_int_equal(lmp_wait_sleep(&w.me, word, *word, deadline), LMP_E_TIMEOUT);
    assert_true(lmp_os_now() >= deadline);
    lmp_wait_end(&w.me);
  }
  assert_int_equal(lmp_wait_sleep(&w.me, word, *word + 1, LMP_FOREVER), LMP_OK);
  signals_start();
  assert_int_equal(lmp_wait_sleep(&w.me, word, *word, LMP_FOREVER), LMP_E_INTR);
  signals_stop();
  world_close(&w);
}

static void test_the_record_of_a_wait(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle q = queue_make(&w, 0);
  lmp_obj *o = lmp_obj_at(&w.a, q.obj);
  uint32_t *a = &w.a.h->hd_mem_seq, *b = &o->ob_lock;
  lmp_wait_begin(&w.me, o, b, LMP_FOREVER);
  assert_int_equal(w.me.c->cx_wait_n, 1);
  assert_int_equal(w.me.c->cx_wait_obj, q.obj);
  assert_int_equal(w.me.c->cx_wait_word[0], lmp_off32(&w.a, b));
  lmp_wait_begin(&w.me, o, b, LMP_FOREVER); /* the same word once */
  assert_int_equal(w.me.c->cx_wait_n, 1);
  assert_int_equal(w.me.c->cx_wait_flags & 1, 0);
  lmp_wait_begin(&w.me, NULL, a, 5);
  assert_int_equal(w.me.c->cx_wait_n, 2);
  assert_int_equal(w.me.c->cx_wait_flags & 1, 1);
  assert_int_equal(w.me.c->cx_wait_obj, 0);
  lmp_wait_end(&w.me);
  assert_int_equal(w.me.c->cx_wait_n, 0);
  lmp_obj_unref(&w.me, q);
  world_is_empty(&w);
  world_close(&w);
}

/* -- flags -------------------------------------------------------------------------------------- */

enum { ROUNDS = 3000 };

static const lmp_arena nowhere; /* no bells */
static uint64_t flag;
static uint32_t ping, pong;

/* Sleeps on `ping` behind the flag, as the queue does; a lost wake makes it hang. */
static void *answer(void *arg) {
  (void)arg;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (lmp_load_acq32(&ping) == i) {
      lmp_waitword w = {&ping, i};
      lmp_flag_raise(&flag, i);
      if (lmp_load_acq32(&ping) == i) (void)lmp_os_futex_wait(&w, 1, LMP_FOREVER);
    }
    lmp_store_rel32(&pong, i + 1);
  }
  return NULL;
}

static void test_a_raised_flag_loses_no_wake(void **state) {
  (void)state;
  pthread_t t;
  flag = 0;
  ping = pong = 0;
  assert_int_equal(pthread_create(&t, NULL, answer, NULL), 0);
  for (uint32_t i = 0; i < ROUNDS; i++) {
    lmp_add_ar32(&ping, 1);
    lmp_fence_after_rmw();
    lmp_flag_wake(&nowhere, &flag, &ping, 1);
    if (i % 64 == 0) { /* else: runs ahead, while it may be awake or asleep */
      until(lmp_load_acq32(&pong) >= i);
    }
    while (lmp_load_acq32(&pong) < i) lmp_os_relax();
  }
  assert_int_equal(pthread_join(t, NULL), 0);
  assert_int_equal(pong, ROUNDS);
}

static void test_a_flag_is_lowered_when_nobody_sleeps(void **state) {
  (void)state;
  flag = 0;
  ping = 7;
  lmp_flag_raise(&flag, 6); /* its raiser finds that the word moved on, and does not sleep */
  assert_true(flag != 0);
  lmp_flag_wake(&nowhere, &flag, &ping, 1);
  assert_true(flag == 0);
}

/* A waker that comes late, after the word was looked at again: who raised the flag may be about to fall
 * asleep at the value that the word still has, so the next change must find the flag raised. */
static void test_a_late_waker_leaves_the_flag_of_who_is_not_asleep_yet(void **state) {
  (void)state;
  flag = 0;
  ping = 7;
  lmp_flag_raise(&flag, 7);
  lmp_flag_wake(&nowhere, &flag, &ping, 1);
  assert_true(flag != 0);
  lmp_flag_raise(&flag, 5); /* late, with an old value: does not hide the newer */
  lmp_flag_wake(&nowhere, &flag, &ping, 1);
  assert_true(flag != 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_changed_word_is_not_slept_on),
      cmocka_unit_test(test_time_outs_are_at_least_as_long_as_asked),
      cmocka_unit_test(test_a_wake_on_any_word),
      cmocka_unit_test(test_the_fallback_sees_every_word_in_the_end),
      cmocka_unit_test(test_signals_are_told),
      cmocka_unit_test(test_sleep_and_descriptors),
      cmocka_unit_test(test_wait_sleep_keeps_its_deadline_over_ticks),
      cmocka_unit_test(test_the_record_of_a_wait),
      cmocka_unit_test(test_a_raised_flag_loses_no_wake),
      cmocka_unit_test(test_a_flag_is_lowered_when_nobody_sleeps),
      cmocka_unit_test(test_a_late_waker_leaves_the_flag_of_who_is_not_asleep_yet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
