/* tx_test.c: several words change as one, also when their writer was killed in between.
 * SPDX-License-Identifier: MIT */
#include "core.h"

/* Words to change: the body of an object nobody else looks at. */
typedef struct words {
  uint16_t half[4];
  uint32_t word[6];
  uint64_t wide[4];
} words;

static words *words_of(world *w, lmp_handle *h) {
  *h = queue_make(w, 0);
  return (words *)(uintptr_t)lmp_obj_at(&w->a, h->obj)->ob_body;
}

/* Widths side by side: a store of the wrong width would change a neighbour. */
static void fill(lmp_me *me, words *x) {
  lmp_tx_begin(me);
  lmp_tx_set16(me, &x->half[1], 0x1111);
  lmp_tx_set16(me, &x->half[2], 0x2222);
  lmp_tx_set32(me, &x->word[1], 0x33333333);
  lmp_tx_set64(me, &x->wide[1], UINT64_C(0x4444444455555555));
  lmp_tx_set32(me, &x->word[1], 0x66666666); /* the same word again: the later one counts */
}

static void check(const words *x, bool done) {
  assert_int_equal(x->half[0], 0);
  assert_int_equal(x->half[1], done ? 0x1111 : 0);
  assert_int_equal(x->half[2], done ? 0x2222 : 0);
  assert_int_equal(x->half[3], 0);
  assert_int_equal(x->word[0], 0);
  assert_int_equal(x->word[1], done ? 0x66666666 : 0);
  assert_int_equal(x->word[2], 0);
  assert_int_equal(x->wide[0], 0);
  assert_int_equal(x->wide[1], done ? UINT64_C(0x4444444455555555) : 0);
  assert_int_equal(x->wide[2], 0);
}

static void end(world *w, words *x, lmp_handle h) {
  memset(x, 0, sizeof *x);
  lmp_obj_unref(&w->me, h);
  world_is_empty(w);
  world_close(w);
}

static void test_commit_changes_all_words(void **state) {
  (void)state;
  world w;
  lmp_handle h;
  world_open(&w);
  words *x = words_of(&w, &h);
  fill(&w.me, x);
  check(x, false);
  lmp_tx_commit(&w.me);
  check(x, true);
  assert_int_equal(w.me.c->cx_txn, 0);
  end(&w, x, h);
}

static void test_replay_ignores_what_was_not_committed(void **state) {
  (void)state;
  world w;
  lmp_handle h;
  world_open(&w);
  words *x = words_of(&w, &h);
  fill(&w.me, x);
  lmp_tx_replay(&w.a, w.me.c);
  check(x, false);
  end(&w, x, h);
}

static void test_replay_is_idempotent(void **state) {
  (void)state;
  world w;
  lmp_handle h;
  world_open(&w);
  words *x = words_of(&w, &h);
  fill(&w.me, x);
  /* Killed after the commit, with any prefix of the words applied. */
  for (unsigned applied = 0; applied <= 3; applied++) {
    memset(x, 0, sizeof *x);
    if (applied > 0) x->half[1] = 0x1111;
    if (applied > 1) x->half[2] = 0x2222;
    if (applied > 2) x->word[1] = 0x33333333;
    lmp_store_rel32(&w.me.c->cx_txn, w.me.ntx);
    lmp_tx_replay(&w.a, w.me.c);
    check(x, true);
    /* The reaper was killed before it cleared the count: the same again. */
    lmp_store_rel32(&w.me.c->cx_txn, w.me.ntx);
    lmp_tx_replay(&w.a, w.me.c);
    check(x, true);
    assert_int_equal(lmp_load_acq32(&w.me.c->cx_txn), 0);
    /* Once it is cleared, nobody touches the words again. */
    x->half[1] = 7;
    lmp_tx_replay(&w.a, w.me.c);
    assert_int_equal(x->half[1], 7);
  }
  end(&w, x, h);
}

static void test_replay_survives_a_count_that_cannot_be(void **state) {
  (void)state;
  world w;
  lmp_handle h;
  world_open(&w);
  words *x = words_of(&w, &h);
  fill(&w.me, x);
  lmp_store_rel32(&w.me.c->cx_txn, LMP_TX_MAX + 1);
  lmp_tx_replay(&w.a, w.me.c);
  check(x, false);
  lmp_store_rel32(&w.me.c->cx_txn, 0);
  end(&w, x, h);
}

static void test_as_many_words_as_fit_and_no_more(void **state) {
  (void)state;
  world w;
  lmp_handle h;
  int status;
  world_open(&w);
  words *x = words_of(&w, &h);
  lmp_tx_begin(&w.me);
  for (uint32_t i = 0; i < LMP_TX_MAX; i++) lmp_tx_set32(&w.me, &x->word[i % 6], i);
  lmp_tx_commit(&w.me);
  for (uint32_t i = 0; i < 6; i++) assert_int_equal(x->word[i], (LMP_TX_MAX - 1 - i) / 6 * 6 + i);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    fclose(stderr);
    for (uint32_t i = 0; i < 2; i++) lmp_tx_set32(&w.me, &x->word[0], 99);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  end(&w, x, h);
}

static void test_words_anywhere_in_the_arena(void **state) {
  (void)state;
  world w;
  uint64_t off;
  world_open_as(&w, 64 * MIB, 64);
  assert_int_equal(lmp_alloc(&w.me, 64 * MIB, &off), LMP_OK);
  uint64_t *last = lmp_at(&w.a, w.a.size - sizeof *last);
  uint16_t *odd = lmp_at(&w.a, w.a.size - 14);
  *last = 0;
  lmp_tx_begin(&w.me);
  lmp_tx_set64(&w.me, last, UINT64_MAX);
  lmp_tx_set16(&w.me, odd, 5);
  lmp_tx_commit(&w.me);
  assert_true(*last == UINT64_MAX);
  assert_int_equal(*odd, 5);
  lmp_free(&w.me, off);
  world_is_empty(&w);
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_commit_changes_all_words),
      cmocka_unit_test(test_replay_ignores_what_was_not_committed),
      cmocka_unit_test(test_replay_is_idempotent),
      cmocka_unit_test(test_replay_survives_a_count_that_cannot_be),
      cmocka_unit_test(test_as_many_words_as_fit_and_no_more),
      cmocka_unit_test(test_words_anywhere_in_the_arena),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
