/* os_test.c: what the core asks of the system.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

static uint32_t *shared_words(void) {
  void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED);
  return p;
}

/* A child that runs `body` and then waits to be killed, or ends with what `body` returns if that is not
 * negative. word[0] is 1 once it has run. */
static pid_t child_of(int (*body)(void *arg), void *arg, uint32_t *word) {
  word[0] = 0;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    int code = body(arg);
    lmp_store_rel32(&word[0], 1);
    if (code >= 0) _exit(code);
    for (;;) pause();
  }
  return pid;
}

static void killed(pid_t pid) {
  int status;
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* -- byte locks --------------------------------------------------------------------------------- */

static int life_fd;

static int lock_bytes(void *arg) {
  (void)arg;
  must(lmp_os_byte_lock(life_fd, 3) == LMP_OK && lmp_os_byte_lock(life_fd, 5) == LMP_OK);
  must(lmp_os_byte_lock(life_fd, 5) == LMP_OK); /* again is harmless */
  lmp_os_byte_unlock(life_fd, 5);
  return -1;
}

static int see_parents_byte(void *arg) {
  (void)arg;
  /* Not inherited: it is the parent's, and our end does not take it away. */
  return lmp_os_byte_held(life_fd, 7) == 1 && lmp_os_byte_lock(life_fd, 7) != LMP_OK ? 0 : 1;
}

static void test_byte_locks(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  int status;
  assert_int_equal(lmp_os_memfd("test", 16, false, &life_fd), LMP_OK);
  pid_t pid = child_of(lock_bytes, NULL, word);
  until(lmp_load_acq32(&word[0]));
  assert_int_equal(lmp_os_byte_held(life_fd, 3), 1);
  assert_int_equal(lmp_os_byte_held(life_fd, 4), 0);
  assert_int_equal(lmp_os_byte_held(life_fd, 5), 0);
  assert_int_not_equal(lmp_os_byte_lock(life_fd, 3), LMP_OK);
  killed(pid);
  assert_int_equal(lmp_os_byte_held(life_fd, 3), 0);
  assert_int_equal(lmp_os_byte_lock(life_fd, 7), LMP_OK);
  assert_int_equal(lmp_os_byte_held(life_fd, 7), 0); /* by any other process */
  pid = child_of(see_parents_byte, NULL, word);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(lmp_os_byte_held(-1, 0), -1);
  lmp_os_close(life_fd);
  munmap(word, 4096);
}

/* -- life words --------------------------------------------------------------------------------- */

static bool dead(lmp_life *life) { return lmp_load_acq32(lmp_os_life_word(life)) & LMP_LIFE_DEAD; }

static int take_life(void *life) {
  must(lmp_os_life_take(life) == LMP_OK);
  return -1;
}

static int take_life_and_exit(void *life) {
  must(lmp_os_life_take(life) == LMP_OK);
  return 0;
}

static void test_a_life_word_tells_the_death_of_a_process(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  lmp_life *life = (lmp_life *)(void *)(word + 16);
  for (int round = 0; round < 3; round++) {
    pid_t pid = child_of(take_life, life, word);
    until(lmp_load_acq32(&word[0]));
    uint32_t alive = lmp_load_acq32(lmp_os_life_word(life));
    assert_true(alive != 0 && !dead(life));
    lmp_waitword w = {lmp_os_life_word(life), alive};
    kill(pid, SIGKILL);
    while (!dead(life))
      assert_int_not_equal(lmp_os_futex_wait(&w, 1, lmp_os_now() + 30 * LMP_SEC), LMP_TIMED_OUT);
    waitpid(pid, NULL, 0);
    assert_true(dead(life));
    pid = child_of(take_life_and_exit, life, word); /* anew, and an end in order */
    waitpid(pid, NULL, 0);
    assert_true(dead(life));
  }
  munmap(word, 4096);
}

static void *thread_life(void *life) { return lmp_os_life_take(life) ? life : NULL; }

static void *thread_drop(void *life) {
  if (lmp_os_life_take(life)) return life;
  lmp_os_life_drop(life);
  return NULL;
}

static void test_a_life_word_tells_the_end_of_a_thread(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  lmp_life *life = (lmp_life *)(void *)word;
  lmp_life *mine = (lmp_life *)(void *)(word + 16);
  lmp_life *other = (lmp_life *)(void *)(word + 32);
  pthread_t t;
  void *failed;
  assert_int_equal(lmp_os_life_take(mine), LMP_OK);
  assert_int_equal(pthread_create(&t, NULL, thread_life, life), 0);
  assert_int_equal(pthread_join(t, &failed), 0);
  assert_null(failed);
  assert_true(dead(life));
  assert_false(dead(mine));
  assert_int_equal(pthread_create(&t, NULL, thread_drop, other), 0);
  assert_int_equal(pthread_join(t, &failed), 0);
  assert_null(failed);
  assert_false(dead(other)); /* given back, so nobody's death */
  lmp_os_life_drop(mine);
  assert_false(dead(mine));
  munmap(word, 4096);
}

/* -- ends of processes -------------------------------------------------------------------------- */

static int exit_with(void *code) { return *(int *)code; }
static int stay(void *arg) {
  (void)arg;
  return -1;
}

static void test_the_status_stays_until_it_is_collected(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  lmp_exit end;
  for (int code = 0; code < 256; code += 85) {
    uint64_t seen = lmp_os_boot_time() + LMP_SEC;
    pid_t pid = child_of(exit_with, &code, word);
    int pidfd = lmp_os_pidfd(pid);
    until(lmp_os_ended(pid, &end));
    for (int i = 0; i < 3; i++) {
      assert_int_equal(lmp_os_ended(pid, &end), 1);
      assert_false(end.signalled);
      assert_int_equal(end.code, code);
      memset(&end, 0xff, sizeof end);
      assert_int_equal(lmp_os_exit_status(pid, seen, -1, &end), 1); /* a zombie */
      assert_false(end.signalled);
      assert_int_equal(end.code, code);
    }
    assert_int_equal(lmp_os_exit_status(pid, 0, -1, &end), -1); /* one of that number, but later */
    lmp_os_collect(pid);
    assert_int_equal(lmp_os_ended(pid, &end), -1);
    assert_int_equal(lmp_os_exit_status(pid, seen, -1, &end), -1);
    int r = lmp_os_exit_status(pid, seen, pidfd, &end); /* Linux 6.15 still tells */
    assert_true(r == -1 || (r == 1 && !end.signalled && end.code == code));
    lmp_os_close(pidfd);
  }
  munmap(word, 4096);
}

static void test_signals_as_ends(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  static const int sigs[] = {SIGKILL, SIGTERM, SIGINT};
  lmp_exit end;
  for (size_t i = 0; i < LMP_COUNT(sigs); i++) {
    uint64_t seen = lmp_os_boot_time() + LMP_SEC;
    pid_t pid = child_of(stay, NULL, word);
    int pidfd = i == 1 ? -1 : lmp_os_pidfd(pid);
    until(lmp_load_acq32(&word[0]));
    assert_int_equal(lmp_os_ended(pid, &end), 0);
    assert_int_equal(lmp_os_exit_status(pid, seen, -1, &end), -1); /* it lives */
    assert_true(lmp_os_kill(pid, pidfd, sigs[i]));
    if (pidfd >= 0) assert_int_equal(lmp_os_wait_fd(pidfd, LMP_FOREVER), LMP_WOKEN);
    until(lmp_os_ended(pid, &end));
    assert_true(end.signalled);
    assert_int_equal(end.code, sigs[i]);
    assert_int_equal(lmp_os_exit_status(pid, seen, pidfd, &end), 1);
    assert_true(end.signalled);
    assert_int_equal(end.code, sigs[i]);
    lmp_os_collect(pid);
    assert_false(lmp_os_kill(pid, pidfd, 0));
    lmp_os_close(pidfd);
  }
  munmap(word, 4096);
}

static int look_at_sibling(void *arg) {
  lmp_exit end;
  pid_t pid = *(pid_t *)arg;
  must(lmp_os_ended(pid, &end) == -1); /* no child of ours */
  must(lmp_os_exit_status(pid, lmp_os_boot_time(), -1, &end) == 1);
  must(!end.signalled && end.code == 42);
  return 0;
}

static void test_a_zombies_status_for_who_is_not_its_parent(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  int code = 42, status;
  lmp_exit end;
  pid_t zombie = child_of(exit_with, &code, word);
  until(lmp_os_ended(zombie, &end));
  (void)lmp_os_sleep(lmp_os_now() + 20 * LMP_MSEC); /* the clock of starts has ticks of 10 ms */
  pid_t sibling = child_of(look_at_sibling, &zombie, word);
  assert_int_equal(waitpid(sibling, &status, 0), sibling);
  assert_int_equal(status, 0);
  lmp_os_collect(zombie);
  munmap(word, 4096);
}

static int setup_child(void *arg) {
  char c;
  struct sigaction sa;
  sigset_t set;
  must(signal(SIGTERM, SIG_IGN) != SIG_ERR);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int null = lmp_os_null();
  must(null >= 0);
  lmp_os_child_setup(*(pid_t *)arg, true, null);
  must(read(0, &c, 1) == 0); /* standard input is at its end */
  must(sigaction(SIGTERM, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
  sigprocmask(SIG_SETMASK, NULL, &set);
  must(!sigismember(&set, SIGTERM));
  return 0;
}

static int setup_orphan(void *arg) {
  lmp_os_child_setup(*(pid_t *)arg - 1, true, lmp_os_null()); /* that is not our parent any more */
  return 0;
}

static void test_a_fresh_child(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  int status;
  pid_t self = getpid();
  pid_t pid = child_of(setup_child, &self, word);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  pid = child_of(setup_orphan, &self, word);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  munmap(word, 4096);
}

static int limited(void *arg) {
  struct rlimit r;
  lmp_limits l = {.memory = 64 * MIB, .cpu = 7, .files = 20};
  (void)arg;
  must(lmp_os_set_limits(&l) == LMP_OK);
  must(getrlimit(RLIMIT_DATA, &r) == 0 && r.rlim_cur == 64 * MIB);
  must(getrlimit(RLIMIT_CPU, &r) == 0 && r.rlim_cur == 7);
  must(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur == 20);
  must(open("/dev/null", O_RDONLY) < 20);
  return 0;
}

static void test_limits(void **state) {
  const char *preload = getenv("LD_PRELOAD");
  (void)state;
  if (preload && strstr(preload, "vgpreload"))
    skip(); /* valgrind keeps the limit of files as it is */
  uint32_t *word = shared_words();
  int status;
  lmp_limits none = {0, 0, 0};
  struct rlimit before, after;
  assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
  assert_int_equal(lmp_os_set_limits(&none), LMP_OK);
  assert_int_equal(getrlimit(RLIMIT_DATA, &after), 0);
  assert_true(before.rlim_cur == after.rlim_cur);
  pid_t pid = child_of(limited, NULL, word);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  munmap(word, 4096);
}

/* -- figures and memory ------------------------------------------------------------------------- */

static void *sleeper(void *word) {
  until(lmp_load_acq32(word));
  return NULL;
}

static void test_figures(void **state) {
  (void)state;
  pthread_t t;
  uint32_t go = 0;
  long online = sysconf(_SC_NPROCESSORS_CONF);
  assert_true(lmp_os_cpus() >= 1 && lmp_os_cpus() <= (unsigned)online);
  assert_true(lmp_os_memory() >= 16 * MIB);
  unsigned before = lmp_os_threads();
  assert_true(before >= 1); /* a sanitizer may have one of its own */
  assert_int_equal(pthread_create(&t, NULL, sleeper, &go), 0);
  assert_true(lmp_os_threads() > 1);
  lmp_store_rel32(&go, 1);
  assert_int_equal(pthread_join(t, NULL), 0);
  uint64_t a = lmp_os_now(), b = lmp_os_now();
  assert_true(b >= a && a > 0);
  assert_true(lmp_os_boot_time() > 0);
  uint64_t random[2] = {0, 0};
  lmp_os_random(random, sizeof random);
  assert_true(random[0] != random[1]);
}

static int wiped(void *page) { return *(uint64_t *)page == 0 ? 0 : 1; }

static void test_the_fork_page_is_wiped_in_children(void **state) {
  (void)state;
  uint32_t *word = shared_words();
  int status;
  uint64_t *page = lmp_os_fork_page();
  assert_non_null(page);
  *page = 5;
  pid_t pid = child_of(wiped, page, word);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(*page, 5);
  lmp_os_fork_page_free(page);
  lmp_os_fork_page_free(NULL);
  munmap(word, 4096);
}

static void test_memory_files(void **state) {
  (void)state;
  int fd;
  void *base;
  assert_int_equal(lmp_os_memfd("test", 8 * LMP_PAGE, true, &fd), LMP_OK);
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  assert_int_equal(ftruncate(fd, LMP_PAGE), -1); /* sealed: nobody can take pages from under us */
  assert_int_equal(ftruncate(fd, 16 * LMP_PAGE), -1);
  assert_int_equal(lmp_os_map(fd, 8 * LMP_PAGE, &base), LMP_OK);
  assert_true(lmp_os_reserve(fd, 0, 8 * LMP_PAGE));
  memset(base, 7, 8 * LMP_PAGE);
  assert_true(lmp_os_punch(fd, LMP_PAGE, LMP_PAGE));
  const uint8_t *at = base;
  assert_int_equal(at[LMP_PAGE - 1], 7);
  assert_int_equal(at[LMP_PAGE], 0);
  assert_int_equal(at[2 * LMP_PAGE - 1], 0);
  assert_int_equal(at[2 * LMP_PAGE], 7);
  assert_false(lmp_os_punch(-1, 0, LMP_PAGE));
  assert_false(lmp_os_reserve(-1, 0, LMP_PAGE));
  lmp_os_unmap(base, 8 * LMP_PAGE);
  lmp_os_close(fd);
  lmp_os_close(-1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_byte_locks),
      cmocka_unit_test(test_a_life_word_tells_the_death_of_a_process),
      cmocka_unit_test(test_a_life_word_tells_the_end_of_a_thread),
      cmocka_unit_test(test_the_status_stays_until_it_is_collected),
      cmocka_unit_test(test_signals_as_ends),
      cmocka_unit_test(test_a_zombies_status_for_who_is_not_its_parent),
      cmocka_unit_test(test_a_fresh_child),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_figures),
      cmocka_unit_test(test_the_fork_page_is_wiped_in_children),
      cmocka_unit_test(test_memory_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
