/* array_test.c: the life of Values, Arrays and named blocks, and what their killed users leave.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <sys/resource.h>

static lmp_handle array_make(world *w, lmp_elem t, uint64_t len) {
  lmp_handle h;
  assert_int_equal(lmp_array_new(&w->me, LMP_KIND_ARRAY, t, len, NULL, 0, &h), LMP_OK);
  return h;
}

static uint8_t *bytes_of(world *w, lmp_handle h) {
  return lmp_array_data(&w->a, lmp_obj_at(&w->a, h.obj));
}

static void test_new_arrays_are_zeros_in_used_memory(void **state) {
  static const uint64_t lengths[] = {0, 1, 40, 41, 100, 5000, 20000};
  world w;
  (void)state;
  world_open(&w);
  for (int round = 0; round < 3; round++) {
    for (size_t k = 0; k < LMP_COUNT(lengths); k++) {
      uint64_t size = lengths[k] * 8;
      lmp_handle h = array_make(&w, LMP_EL_F64, lengths[k]);
      uint8_t *p = bytes_of(&w, h);
      assert_int_equal((uintptr_t)p % LMP_CACHELINE, 0);
      for (uint64_t i = 0; i < size; i++) assert_int_equal(p[i], 0);
      memset(p, 0xff, size);
      lmp_obj_unref(&w.me, h);
    }
  }
  world_is_empty(&w);
  world_close(&w);
}

static void test_what_can_never_fit_is_too_large(void **state) {
  world w;
  lmp_handle h;
  lmp_handle first;
  (void)state;
  world_open(&w);
  assert_int_equal(lmp_array_new(&w.me, LMP_KIND_ARRAY, LMP_EL_U8, 5 * MIB, NULL, 0, &h),
                   LMP_E_TOOLARGE);
  assert_int_equal(lmp_array_new(&w.me, LMP_KIND_ARRAY, LMP_EL_F64, UINT64_MAX / 4, NULL, 0, &h),
                   LMP_E_TOOLARGE);
  first = array_make(&w, LMP_EL_U8, 3 * MIB);
  assert_int_equal(lmp_array_new(&w.me, LMP_KIND_ARRAY, LMP_EL_U8, 2 * MIB, NULL, 0, &h),
                   LMP_E_NOMEM);
  lmp_obj_unref(&w.me, first);
  lmp_obj_unref(&w.me, array_make(&w, LMP_EL_U8, 3 * MIB));
  /* No slot: the elements' block goes back. */
  while (lmp_array_new(&w.me, LMP_KIND_VALUE, LMP_EL_I64, 1, NULL, 0, &h) == LMP_OK) {
  }
  uint64_t used = lmp_memory_used(&w.a);
  assert_int_equal(lmp_array_new(&w.me, LMP_KIND_ARRAY, LMP_EL_U8, MIB, NULL, 0, &h), LMP_E_NOSLOT);
  assert_int_equal(lmp_memory_used(&w.a), used);
  lmp_obj_release_mine(&w.me);
  world_is_empty(&w);
  world_close(&w);
}

/* -- views --------------------------------------------------------------------------------------- */

static lmp_handle shared_make(world *w) {
  static const uint64_t id[2] = {1, 2};
  lmp_handle h;
  assert_int_equal(lmp_shared_new(&w->me, "block", 5, 100, id, &h), LMP_OK);
  return h;
}

static void test_a_view_keeps_its_block_known(void **state) {
  world w;
  lmp_handle view;
  (void)state;
  world_open(&w);
  lmp_handle shared = shared_make(&w);
  assert_int_equal(lmp_array_view(&w.me, LMP_EL_I32, 5, shared, 8, &view), LMP_OK);
  lmp_obj_unref(&w.me, shared);
  for (int i = 0; i < 3; i++) {
    lmp_collect(&w.me);
    assert_non_null(lmp_obj_get(&w.a, shared));
  }
  lmp_handle named = lmp_array_shared(lmp_obj_at(&w.a, view.obj));
  assert_int_equal(named.obj, shared.obj);
  assert_int_equal(named.gen, shared.gen);
  /* Only a message names the view. */
  lmp_handle q = queue_make(&w, 0);
  assert_int_equal(queue_put_bytes(&w.me, q, "x", 1, &view, 1, LMP_NOWAIT), LMP_OK);
  lmp_obj_unref(&w.me, view);
  lmp_collect(&w.me);
  assert_non_null(lmp_obj_get(&w.a, shared));
  lmp_obj_unref(&w.me, q);
  lmp_reap_all(&w.me); /* what it named is known to be looked for */
  lmp_reap_all(&w.me);
  assert_null(lmp_obj_get(&w.a, view));
  assert_null(lmp_obj_get(&w.a, shared));
  world_is_empty(&w);
  world_close(&w);
}

/* -- kills --------------------------------------------------------------------------------------- */

static void make_and_stay(world *w, void *arg) {
  lmp_handle h;
  (void)arg;
  must(lmp_array_new(&w->me, LMP_KIND_ARRAY, LMP_EL_F64, 1000, "a name of many letters", 22, &h) ==
       LMP_OK);
  must(lmp_array_new(&w->me, LMP_KIND_VALUE, LMP_EL_F64, 1, NULL, 0, &h) == LMP_OK);
  lmp_handle shared;
  static const uint64_t id[2] = {1, 2};
  must(lmp_shared_new(&w->me, "block", 5, 100, id, &shared) == LMP_OK);
  must(lmp_array_view(&w->me, LMP_EL_I32, 5, shared, 8, &h) == LMP_OK);
  peer_stay(w, 1);
}

static void test_a_killed_holder_leaves_nothing(void **state) {
  world w;
  (void)state;
  world_open(&w);
  for (int i = 0; i < 20; i++) {
    lmp_store_rel32(&w.word[0], 0);
    peer p = peer_start(&w, make_and_stay, NULL);
    until(lmp_load_acq32(&w.word[0]) == 1);
    peer_kill(&p);
    peer_reap(&w, &p);
    lmp_collect(&w.me);
    assert_int_equal(lmp_obj_count(&w.a), 0);
    assert_int_equal(lmp_memory_used(&w.a), 0);
  }
  world_close(&w);
}

/* What every adder leaves behind at each round: it is ahead by one at most, in all elements alike. */
#define ELEMS 6
static void add_for_ever(world *w, void *arg) {
  lmp_handle h = *(lmp_handle *)arg;
  must(lmp_obj_hold(&w->me, h) == LMP_OK);
  uint64_t *p = lmp_array_data(&w->a, lmp_obj_at(&w->a, h.obj));
  uint32_t me = lmp_add_ar32(&w->word[0], 1);
  for (;;) {
    lmp_handle tmp;
    for (unsigned i = 0; i < ELEMS; i++) lmp_elem_add(LMP_EL_I64, &p[i], 1);
    lmp_add_ar32(&w->word[1 + me % 4], 1);
    must(lmp_array_new(&w->me, LMP_KIND_ARRAY, LMP_EL_U8, 1 + me % 7 * 100, NULL, 0, &tmp) ==
         LMP_OK);
    lmp_obj_unref(&w->me, tmp);
  }
}

static void test_killed_adders_lose_and_tear_nothing(void **state) {
  const char *asked = getenv("LUAMP_KILLS");
  unsigned kills = asked ? (unsigned)atoi(asked) : 60;
  world w;
  (void)state;
  world_open(&w);
  lmp_handle h = array_make(&w, LMP_EL_I64, ELEMS);
  uint64_t *p = (uint64_t *)(void *)bytes_of(&w, h);
  uint64_t used = lmp_memory_used(&w.a);
  for (unsigned i = 0; i < kills; i++) {
    uint64_t before[ELEMS];
    memcpy(before, p, sizeof before);
    lmp_store_rel32(&w.word[0], 0);
    peer a = peer_start(&w, add_for_ever, &h);
    peer b = peer_start(&w, add_for_ever, &h);
    until(lmp_load_acq32(&w.word[0]) == 2);
    until(lmp_elem_load(LMP_EL_I64, &p[ELEMS - 1]) >= before[ELEMS - 1] + 2 + i % 50);
    peer_kill(&a);
    peer_kill(&b);
    peer_reap(&w, &a);
    peer_reap(&w, &b);
    /* Each was killed in one of its rounds. */
    for (unsigned k = 1; k < ELEMS; k++) assert_in_range(p[k - 1] - p[k], 0, 2 * (i + 1));
    assert_in_range(p[0] - p[ELEMS - 1], 0, 2 * (i + 1));
    lmp_reap_all(&w.me); /* also what was let go of and not yet destroyed */
    assert_int_equal(lmp_obj_count(&w.a), 1);
    lmp_memory_trim(&w.me, 1000);
    assert_int_equal(lmp_memory_used(&w.a), used);
  }
  lmp_obj_unref(&w.me, h);
  world_is_empty(&w);
  world_close(&w);
}

/* -- named blocks --------------------------------------------------------------------------------- */

static void test_names_of_blocks(void **state) {
  lmp_shm made;
  lmp_shm opened;
  char name[64];
  char longest[LMP_OS_SHM_NAME + 1] = {0};
  (void)state;
  snprintf(name, sizeof name, "luamp-test-%d", (int)getpid());
  assert_int_equal(lmp_os_shm_open(name, &opened), LMP_E_SYSTEM);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(lmp_os_shm_create(name, 12345, &made), LMP_OK);
  assert_int_equal(made.size, 12345);
  assert_int_equal(lmp_os_shm_create(name, 1, &opened), LMP_E_SYSTEM);
  assert_int_equal(errno, EEXIST);
  assert_int_equal(lmp_os_shm_open(name, &opened), LMP_OK);
  assert_int_equal(opened.size, 12345);
  assert_int_equal(opened.id[0], made.id[0]);
  assert_int_equal(opened.id[1], made.id[1]);
  lmp_os_close(opened.fd);
  lmp_os_close(made.fd);
  assert_int_equal(lmp_os_shm_unlink(name), LMP_OK);
  assert_int_equal(lmp_os_shm_unlink(name), LMP_E_SYSTEM);
  assert_int_equal(errno, ENOENT);
  int used = snprintf(longest, sizeof longest, "%s", name);
  memset(longest + used, 'x', LMP_OS_SHM_NAME - (size_t)used);
  assert_int_equal(lmp_os_shm_create(longest, 1, &made), LMP_OK);
  lmp_os_close(made.fd);
  assert_int_equal(lmp_os_shm_unlink(longest), LMP_OK);
}

/* More than the system has, and more than a file of this process may have: errors, and no name stays. */
static void test_a_block_that_cannot_be_had(void **state) {
  lmp_shm made;
  struct rlimit old;
  struct rlimit small;
  char name[64];
  (void)state;
  snprintf(name, sizeof name, "luamp-large-%d", (int)getpid());
  assert_int_equal(lmp_os_shm_create(name, UINT64_MAX, &made), LMP_E_SYSTEM);
  assert_int_equal(errno, EFBIG);
  assert_int_equal(lmp_os_shm_create(name, (uint64_t)1 << 62, &made), LMP_E_SYSTEM);
  getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  lmp_err e = lmp_os_shm_create(name, 8192, &made);
  int error = errno;
  setrlimit(RLIMIT_FSIZE, &old);
  assert_int_equal(e, LMP_E_SYSTEM);
  assert_int_equal(error, EFBIG);
  assert_int_equal(lmp_os_shm_open(name, &made), LMP_E_SYSTEM);
}

static bool name_is_there(const char *name) {
  lmp_shm shm;
  if (lmp_os_shm_open(name, &shm)) return false;
  lmp_os_close(shm.fd);
  return true;
}

/* At its end a process unlinks what it made, and not another block that got the name meanwhile. */
static void test_names_end_with_their_maker(void **state) {
  lmp_family *f;
  lmp_shm shm;
  char name[4][64];
  (void)state;
  assert_int_equal(lmp_family_new(4 * MIB, false, LMP_LOG_NONE, &f), LMP_OK);
  for (int i = 0; i < 4; i++) {
    snprintf(name[i], sizeof name[i], "luamp-end-%d-%d", i, (int)getpid());
    assert_int_equal(lmp_os_shm_create(name[i], 10, &shm), LMP_OK);
    lmp_os_close(shm.fd);
    if (i != 3) assert_true(lmp_named_add(f, name[i], shm.id));
  }
  assert_int_equal(lmp_os_shm_unlink(name[1]), LMP_OK);
  lmp_named_drop(f, name[1]);
  assert_int_equal(lmp_os_shm_unlink(name[2]), LMP_OK);
  assert_int_equal(lmp_os_shm_create(name[2], 10, &shm), LMP_OK); /* somebody else's */
  lmp_os_close(shm.fd);
  assert_int_equal(lmp_family_end(f, false), LMP_OK);
  assert_false(name_is_there(name[0]));
  assert_false(name_is_there(name[1]));
  assert_true(name_is_there(name[2]));
  assert_true(name_is_there(name[3]));
  assert_int_equal(lmp_os_shm_unlink(name[2]), LMP_OK);
  assert_int_equal(lmp_os_shm_unlink(name[3]), LMP_OK);
  lmp_family_free(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_new_arrays_are_zeros_in_used_memory),
      cmocka_unit_test(test_what_can_never_fit_is_too_large),
      cmocka_unit_test(test_a_view_keeps_its_block_known),
      cmocka_unit_test(test_a_killed_holder_leaves_nothing),
      cmocka_unit_test(test_killed_adders_lose_and_tear_nothing),
      cmocka_unit_test(test_names_of_blocks),
      cmocka_unit_test(test_a_block_that_cannot_be_had),
      cmocka_unit_test(test_names_end_with_their_maker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
