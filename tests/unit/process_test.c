/* process_test.c: families: their processes' starts, ends and results.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <pthread.h>

/* A family in this process, and words that its processes share. */
typedef struct kin {
  lmp_family *f;
  lmp_me *me;
  uint32_t *word;
} kin;

static void kin_open(kin *k) {
  assert_int_equal(lmp_family_new(8 * MIB, false, LMP_LOG_NONE, &k->f), LMP_OK);
  assert_int_equal(lmp_family_me(k->f, &k->me), LMP_OK);
  k->word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(k->word != MAP_FAILED);
}

/* No child is left, as this process sees it or the system; nor any object but our own. */
static void kin_close(kin *k) {
  lmp_child child;
  lmp_collect(k->me);
  assert_false(lmp_children_get(k->f, 0, &child));
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
  until((lmp_reap_all(k->me), lmp_family_processes(k->f) == 1));
  /* How an orphan ended may be told by others for a while; its object stays so long. */
  until((lmp_reap_all(k->me), lmp_collect(k->me), lmp_obj_count(&k->f->a) == 1));
  assert_int_equal(lmp_memory_used(&k->f->a), 0);
  assert_int_equal(lmp_family_end(k->f, false), LMP_OK);
  lmp_family_free(k->f);
  munmap(k->word, 4096);
}

/* Starts a child that runs body(k, arg) and leaves with what that returns. */
static lmp_handle kin_start(kin *k, const lmp_start *s, int (*body)(kin *k, void *arg), void *arg) {
  lmp_handle h;
  bool in_child;
  must(lmp_process_fork(k->f, s, &h, &in_child) == LMP_OK); /* a child may come here, too */
  if (in_child) {
    must(lmp_family_me(k->f, &k->me) == LMP_OK);
    lmp_process_exit(k->f, body(k, arg));
  }
  return h;
}

static const lmp_start plain = {.name = "child", .namelen = 5};

static uint32_t kin_exit(kin *k, lmp_handle h) {
  assert_int_equal(lmp_process_join(k->f, k->me, h, LMP_FOREVER), LMP_OK);
  return lmp_process_poll(k->f, k->me, h);
}

static void kin_drop(kin *k, lmp_handle h) { lmp_obj_unref(k->me, h); }

/* -- exits -------------------------------------------------------------------------------------- */

static int leave_with(kin *k, void *arg) {
  (void)k;
  return *(int *)arg;
}

static int stay(kin *k, void *arg) {
  (void)arg;
  lmp_add_ar32(&k->word[0], 1);
  while (k->word) pause();
  return 0;
}

static int stubborn(kin *k, void *arg) {
  signal(SIGTERM, SIG_IGN);
  return stay(k, arg);
}

static int exit_behind_our_back(kin *k, void *arg) {
  (void)k;
  _exit(*(int *)arg);
  return 0;
}

static void test_exit_codes(void **state) {
  (void)state;
  kin k;
  static const int codes[] = {0, 1, 7, 255, 256, 259};
  kin_open(&k);
  for (size_t i = 0; i < LMP_COUNT(codes); i++) {
    lmp_handle a = kin_start(&k, &plain, leave_with, (void *)(uintptr_t)&codes[i]);
    assert_int_equal(kin_exit(&k, a), LMP_EXITED | (codes[i] & 0xff));
    lmp_handle b = kin_start(&k, &plain, exit_behind_our_back, (void *)(uintptr_t)&codes[i]);
    assert_int_equal(kin_exit(&k, b), LMP_EXITED | (codes[i] & 0xff));
    assert_int_equal(kin_exit(&k, a), LMP_EXITED | (codes[i] & 0xff)); /* any number of times */
    kin_drop(&k, a);
    kin_drop(&k, b);
  }
  kin_close(&k);
}

static void test_killed_children(void **state) {
  (void)state;
  kin k;
  static const int sigs[] = {SIGKILL, SIGTERM, SIGINT};
  kin_open(&k);
  for (size_t i = 0; i < LMP_COUNT(sigs); i++) {
    k.word[0] = 0;
    lmp_handle h = kin_start(&k, &plain, stay, NULL);
    until(lmp_load_acq32(&k.word[0]));
    assert_int_equal(lmp_process_poll(k.f, k.me, h), 0);
    uint64_t deadline = lmp_os_now() + 30 * LMP_MSEC;
    assert_int_equal(lmp_process_join(k.f, k.me, h, LMP_NOWAIT), LMP_E_TIMEOUT);
    assert_int_equal(lmp_process_join(k.f, k.me, h, deadline), LMP_E_TIMEOUT);
    assert_true(lmp_os_now() >= deadline);
    lmp_process_signal(k.f, k.me, h, sigs[i]);
    assert_int_equal(kin_exit(&k, h), LMP_EXITED | LMP_BY_SIGNAL | (uint32_t)sigs[i]);
    lmp_process_signal(k.f, k.me, h, SIGKILL); /* harmless now */
    kin_drop(&k, h);
  }
  kin_close(&k);
}

static void test_many_children_leave_no_zombies(void **state) {
  (void)state;
  enum { N = 40 };
  kin k;
  lmp_handle h[N];
  int code = 3;
  kin_open(&k);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < N; i++) h[i] = kin_start(&k, &plain, leave_with, &code);
    for (int i = N - 1; i >= 0; i--) {
      assert_int_equal(kin_exit(&k, h[i]), LMP_EXITED | 3);
      kin_drop(&k, h[i]);
    }
  }
  /* Nobody joins these: looking at the children is enough. */
  for (int i = 0; i < N; i++) kin_drop(&k, kin_start(&k, &plain, leave_with, &code));
  lmp_child child;
  until((lmp_children_poll(k.f, k.me), !lmp_children_get(k.f, 0, &child)));
  kin_close(&k);
}

/* -- results ------------------------------------------------------------------------------------ */

static const char text[] = "what the target returned";

static int give_result(kin *k, void *arg) {
  lmp_handle q;
  lmp_iov piece = {text, sizeof text};
  lmp_msg m = {.iov = &piece, .niov = 1, .len = sizeof text, .handles = &q, .nhandles = 1};
  (void)arg;
  must(lmp_queue_new(k->me, NULL, 0, 0, &q) == LMP_OK);
  must(queue_put_u32(k->me, q, 77, LMP_NOWAIT) == LMP_OK);
  lmp_obj *self = lmp_obj_get(&k->f->a, k->f->self);
  must(lmp_process_result_set(k->me, self, LMP_RESULT_VALUES, &m) == LMP_OK);
  return 0;
}

static void check_result(lmp_me *me, lmp_handle h) {
  lmp_process *p = lmp_process_of(lmp_obj_at(me->a, h.obj));
  must(p->ps_result_kind == LMP_RESULT_VALUES && p->ps_result_len == sizeof text &&
       p->ps_result_nh == 1);
  const lmp_handle *handles = lmp_at(me->a, p->ps_result);
  must(memcmp(handles + 1, text, sizeof text) == 0);
  must(lmp_obj_get(me->a,
                   handles[0])); /* alive, though its maker is gone and nobody held it since */
  must(lmp_block_owner(me->a, p->ps_result) == LMP_TAG_SHARED);
}

static int look_at_result(kin *k, void *arg) {
  lmp_handle h = *(lmp_handle *)arg;
  must(lmp_obj_hold(k->me, h) == LMP_OK);
  must(lmp_process_join(k->f, k->me, h, LMP_FOREVER) == LMP_OK);
  check_result(k->me, h);
  return 0;
}

static void test_results(void **state) {
  (void)state;
  kin k;
  kin_open(&k);
  lmp_handle h = kin_start(&k, &plain, give_result, NULL);
  assert_int_equal(kin_exit(&k, h), LMP_EXITED);
  for (int i = 0; i < 3; i++) {
    lmp_collect(k.me);
    check_result(k.me, h);
  }
  lmp_start s = plain;
  s.reach = &h;
  s.nreach = 1;
  lmp_handle other = kin_start(&k, &s, look_at_result, &h);
  assert_int_equal(kin_exit(&k, other), LMP_EXITED);
  kin_drop(&k, other);
  kin_drop(&k, h);
  kin_close(&k);
}

/* -- joining by others -------------------------------------------------------------------------- */

static int join_sibling(kin *k, void *arg) {
  lmp_handle h = *(lmp_handle *)arg;
  uint32_t want = k->word[1];
  must(lmp_obj_hold(k->me, h) == LMP_OK);
  uint64_t deadline = lmp_os_now() + 20 * LMP_MSEC;
  if (k->word[2]) {
    must(lmp_process_join(k->f, k->me, h, LMP_NOWAIT) == LMP_E_TIMEOUT);
    must(lmp_process_join(k->f, k->me, h, deadline) == LMP_E_TIMEOUT && lmp_os_now() >= deadline);
    lmp_process_signal(k->f, k->me, h, SIGKILL);
  }
  must(lmp_process_join(k->f, k->me, h, LMP_FOREVER) == LMP_OK);
  must(lmp_process_poll(k->f, k->me, h) == want);
  return 0;
}

static void test_who_is_not_the_parent_joins(void **state) {
  (void)state;
  kin k;
  int code = 9;
  kin_open(&k);
  for (int kills = 0; kills < 2; kills++) {
    k.word[0] = 0;
    k.word[1] = kills ? LMP_EXITED | LMP_BY_SIGNAL | SIGKILL : LMP_EXITED | 9;
    k.word[2] = (uint32_t)kills;
    lmp_handle a = kin_start(&k, &plain, kills ? stay : leave_with, &code);
    lmp_start s = plain;
    s.reach = &a;
    s.nreach = 1;
    lmp_handle b = kin_start(&k, &s, join_sibling, &a);
    /* We only look at b meanwhile: a's end must become known without its parent's help. */
    int status;
    lmp_child child;
    assert_true(lmp_children_find(k.f, b, &child));
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    status = info.si_status;
    assert_int_equal(status, 0);
    assert_int_equal(kin_exit(&k, b), LMP_EXITED);
    assert_int_equal(kin_exit(&k, a), k.word[1]);
    kin_drop(&k, a);
    kin_drop(&k, b);
  }
  kin_close(&k);
}

/* A child that cannot start one of its own: the thread sanitizer gives it a second thread. */
#define NOT_ALONE 77

static int child_of_child(kin *k, void *arg) {
  if (lmp_os_threads() > 1) return NOT_ALONE;
  lmp_handle h = kin_start(k, &plain, leave_with, arg);
  must(lmp_process_join(k->f, k->me, h, LMP_FOREVER) == LMP_OK);
  must(lmp_process_poll(k->f, k->me, h) == (LMP_EXITED | (uint32_t) * (int *)arg));
  must(lmp_obj_get(&k->f->a, k->f->parent) != NULL);
  return 0;
}

static void test_children_have_children(void **state) {
  (void)state;
  kin k;
  int code = 5;
  kin_open(&k);
  lmp_handle h = kin_start(&k, &plain, child_of_child, &code);
  if (kin_exit(&k, h) != (LMP_EXITED | NOT_ALONE)) assert_int_equal(kin_exit(&k, h), LMP_EXITED);
  kin_drop(&k, h);
  kin_close(&k);
}

/* -- hosts -------------------------------------------------------------------------------------- */

static bool ended_somehow(uint32_t exit, uint32_t want) {
  return exit == want || (exit & (LMP_EXITED | LMP_UNKNOWN)) == (LMP_EXITED | LMP_UNKNOWN);
}

static void test_a_host_that_collects_our_children(void **state) {
  (void)state;
  kin k;
  int code = 6;
  kin_open(&k);
  for (int kills = 0; kills < 2; kills++) {
    k.word[0] = 0;
    lmp_handle h = kin_start(&k, &plain, kills ? stay : leave_with, &code);
    if (kills) {
      until(lmp_load_acq32(&k.word[0]));
      lmp_process_signal(k.f, k.me, h, SIGKILL);
    }
    assert_true(waitpid(-1, NULL, 0) > 0); /* the host was faster */
    uint32_t want = kills ? LMP_EXITED | LMP_BY_SIGNAL | SIGKILL : LMP_EXITED | 6;
    assert_true(ended_somehow(kin_exit(&k, h), want));
    kin_drop(&k, h);
  }
  kin_close(&k);
}

static void test_a_host_that_ignores_sigchld(void **state) {
  (void)state;
  kin k;
  int code = 6;
  kin_open(&k);
  signal(SIGCHLD, SIG_IGN);
  lmp_handle h = kin_start(&k, &plain, leave_with, &code);
  assert_int_equal(kin_exit(&k, h), LMP_EXITED | 6); /* the child said so itself */
  kin_drop(&k, h);
  h = kin_start(&k, &plain, stay, NULL);
  until(lmp_load_acq32(&k.word[0]));
  lmp_process_signal(k.f, k.me, h, SIGKILL);
  assert_true(ended_somehow(kin_exit(&k, h), LMP_EXITED | LMP_BY_SIGNAL | SIGKILL));
  kin_drop(&k, h);
  signal(SIGCHLD, SIG_DFL);
  kin_close(&k);
}

static void test_a_hosts_own_children_are_left_alone(void **state) {
  (void)state;
  kin k;
  int code = 0, status;
  kin_open(&k);
  pid_t own = fork();
  assert_true(own >= 0);
  if (own == 0) _exit(33);
  lmp_handle h = kin_start(&k, &plain, leave_with, &code);
  assert_int_equal(kin_exit(&k, h), LMP_EXITED);
  kin_drop(&k, h);
  lmp_children_poll(k.f, k.me);
  lmp_reap_all(k.me);
  assert_int_equal(lmp_family_end(k.f, false), LMP_OK);
  assert_int_equal(waitpid(own, &status, 0), own);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 33);
  kin_close(&k);
}

/* -- forks that are not ours -------------------------------------------------------------------- */

static void test_a_process_that_forked_by_itself_joins(void **state) {
  (void)state;
  kin k;
  lmp_handle q;
  int status;
  kin_open(&k);
  assert_int_equal(lmp_queue_new(k.me, NULL, 0, 0, &q), LMP_OK);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    lmp_me *me;
    lmp_handle mine;
    must(lmp_family_forked(k.f));
    must(lmp_family_me(k.f, &me) == LMP_OK);
    must(!lmp_family_forked(k.f) && lmp_family_processes(k.f) == 2);
    must(lmp_obj_hold(me, q) == LMP_OK);
    must(lmp_queue_new(me, NULL, 0, 0, &mine) == LMP_OK);
    must(queue_put_u32(me, q, 4, LMP_NOWAIT) == LMP_OK);
    must(lmp_obj_get(&k.f->a, k.f->parent) != NULL && k.f->parent.obj != k.f->self.obj);
    _exit(0); /* without a word: what it held is given back by those who find it dead */
  }
  assert_int_equal(queue_get_u32(k.me, q, LMP_FOREVER), 4);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  until((lmp_reap_all(k.me), lmp_obj_count(&k.f->a) == 2));
  lmp_obj_unref(k.me, q);
  kin_close(&k);
}

static void test_a_process_that_forked_and_never_came_changes_nothing(void **state) {
  (void)state;
  kin k;
  lmp_handle q;
  int status;
  kin_open(&k);
  assert_int_equal(lmp_queue_new(k.me, NULL, 0, 0, &q), LMP_OK);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    must(lmp_family_end(k.f, false) == LMP_OK); /* the parent's family: not ours to end */
    lmp_family_free(k.f);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_non_null(lmp_obj_get(&k.f->a, q));
  assert_int_equal(queue_put_u32(k.me, q, 4, LMP_NOWAIT), LMP_OK);
  assert_int_equal(lmp_family_processes(k.f), 1);
  lmp_obj_unref(k.me, q);
  kin_close(&k);
}

/* -- threads ------------------------------------------------------------------------------------ */

typedef struct visitor {
  lmp_family *f;
  uint32_t id;
  uint32_t in, go;
} visitor;

static void *visit(void *arg) {
  visitor *v = arg;
  lmp_me *me;
  if (lmp_family_me(v->f, &me) == LMP_OK) v->id = me->id;
  lmp_store_rel32(&v->in, 1);
  until(lmp_load_acq32(&v->go));
  return NULL;
}

static void test_fork_is_refused_among_threads(void **state) {
  (void)state;
  kin k;
  pthread_t t;
  lmp_handle h;
  bool in_child;
  int code = 0;
  kin_open(&k);
  visitor v = {.f = k.f};
  assert_int_equal(pthread_create(&t, NULL, visit, &v), 0);
  until(lmp_load_acq32(&v.in));
  assert_true(v.id != 0 && v.id != k.me->id); /* a thread is a party of its own */
  assert_int_equal(lmp_process_fork(k.f, &plain, &h, &in_child), LMP_E_REFUSED);
  assert_int_equal(lmp_obj_count(&k.f->a), 1); /* nothing is left of it */
  assert_int_equal(lmp_family_processes(k.f), 1);
  lmp_store_rel32(&v.go, 1);
  assert_int_equal(pthread_join(t, NULL), 0);
  assert_int_equal(lmp_load_acq32(&k.f->a.ctxs[v.id - 1].cx_state), LMP_CTX_FREE); /* it left */
  /* The system may count a thread for a moment after it was joined. */
  for (int i = 0; i < 1000 && lmp_os_threads() > 1; i++)
    (void)lmp_os_sleep(lmp_os_now() + LMP_MSEC);
  if (lmp_os_threads() == 1) { /* a sanitizer may have one of its own */
    h = kin_start(&k, &plain, leave_with, &code);
    assert_int_equal(kin_exit(&k, h), LMP_EXITED);
    kin_drop(&k, h);
  }
  kin_close(&k);
}

/* -- the end ------------------------------------------------------------------------------------ */

static int count_later(kin *k, void *arg) {
  (void)arg;
  (void)lmp_os_sleep(lmp_os_now() + 50 * LMP_MSEC);
  lmp_add_ar32(&k->word[1], 1);
  return 0;
}

static void test_the_end_waits_for_children_and_terminates_daemons(void **state) {
  (void)state;
  kin k;
  lmp_start daemon = plain;
  daemon.daemon = true;
  kin_open(&k);
  for (int i = 0; i < 3; i++) kin_drop(&k, kin_start(&k, &plain, count_later, NULL));
  lmp_handle d = kin_start(&k, &daemon, stay, NULL);
  lmp_handle s = kin_start(&k, &daemon, stubborn, NULL);
  until(lmp_load_acq32(&k.word[0]) == 2);
  assert_int_equal(lmp_family_end(k.f, false), LMP_OK);
  assert_int_equal(lmp_load_acq32(&k.word[1]), 3);
  assert_int_equal(lmp_process_poll(k.f, k.me, d), LMP_EXITED | LMP_BY_SIGNAL | SIGTERM);
  assert_int_equal(lmp_process_poll(k.f, k.me, s), LMP_EXITED | LMP_BY_SIGNAL | SIGKILL);
  assert_int_equal(lmp_family_end(k.f, false), LMP_OK);
  kin_drop(&k, d);
  kin_drop(&k, s);
  kin_close(&k);
}

static int make_orphan(kin *k, void *arg) {
  if (lmp_os_threads() > 1) return NOT_ALONE;
  (void)kin_start(k, &plain, stay, arg);
  until(lmp_load_acq32(&k->word[0]));
  raise(SIGKILL);
  return 0;
}

static void test_orphans_end(void **state) {
  (void)state;
  kin k;
  kin_open(&k);
  lmp_handle h = kin_start(&k, &plain, make_orphan, NULL);
  uint32_t exit = kin_exit(&k, h);
  if (exit != (LMP_EXITED | NOT_ALONE))
    assert_int_equal(exit, LMP_EXITED | LMP_BY_SIGNAL | SIGKILL);
  until((lmp_reap_all(k.me), lmp_family_processes(k.f) == 1));
  kin_drop(&k, h);
  kin_close(&k);
}

static void test_families_are_apart(void **state) {
  (void)state;
  kin a, b;
  lmp_handle q;
  kin_open(&a);
  kin_open(&b);
  assert_ptr_not_equal(a.me, b.me);
  assert_int_equal(lmp_queue_new(a.me, NULL, 0, 0, &q), LMP_OK);
  assert_int_equal(lmp_obj_count(&b.f->a), 1);
  lmp_obj_unref(a.me, q);
  kin_close(&a);
  assert_int_equal(lmp_family_me(b.f, &b.me), LMP_OK);
  kin_close(&b);
  lmp_family *f;
  assert_int_equal(lmp_family_new(1000, false, LMP_LOG_NONE, &f), LMP_E_INVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exit_codes),
      cmocka_unit_test(test_killed_children),
      cmocka_unit_test(test_many_children_leave_no_zombies),
      cmocka_unit_test(test_results),
      cmocka_unit_test(test_who_is_not_the_parent_joins),
      cmocka_unit_test(test_children_have_children),
      cmocka_unit_test(test_a_host_that_collects_our_children),
      cmocka_unit_test(test_a_host_that_ignores_sigchld),
      cmocka_unit_test(test_a_hosts_own_children_are_left_alone),
      cmocka_unit_test(test_a_process_that_forked_by_itself_joins),
      cmocka_unit_test(test_a_process_that_forked_and_never_came_changes_nothing),
      cmocka_unit_test(test_the_end_waits_for_children_and_terminates_daemons),
      cmocka_unit_test(test_orphans_end),
      cmocka_unit_test(test_families_are_apart),
      cmocka_unit_test(test_fork_is_refused_among_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
