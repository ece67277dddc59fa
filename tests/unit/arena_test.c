/* arena_test.c: making the shared memory, and blocks of it.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* Greatest size of each class, as the users of lmp_alloc see it: one byte more takes a larger block. */
static const uint32_t sizes[] = {64,   128,  192,  256,  384,  512,   768,   1024,  1536,
                                 2048, 3072, 4096, 6144, 8192, 12288, 16384, 21824, 32768};

/* -- making ------------------------------------------------------------------------------------- */

static void test_create_gives_what_was_asked_for(void **state) {
  (void)state;
  world w;
  world_open(&w);
  assert_int_equal(w.a.h->hd_magic, LMP_MAGIC);
  assert_int_equal(w.a.h->hd_format, LMP_FORMAT);
  assert_int_equal((uint64_t)w.a.h->hd_nspan * LMP_SPAN, 4 * MIB);
  assert_int_equal(w.a.h->hd_nobj, 256);
  assert_int_equal(lmp_memory_used(&w.a), 0);
  world_close(&w);
}

static void test_create_refuses_less_than_the_least(void **state) {
  (void)state;
  lmp_arena a;
  lmp_arena_config config = {.memory = LMP_ARENA_LEAST - 1};
  assert_int_equal(lmp_arena_create(&a, &config), LMP_E_INVAL);
  config.memory = 0;
  assert_int_equal(lmp_arena_create(&a, &config), LMP_E_INVAL);
  config.memory = LMP_ARENA_LEAST;
  assert_int_equal(lmp_arena_create(&a, &config), LMP_OK);
  lmp_arena_close(&a);
}

static void test_create_leaves_no_descriptor_and_no_mapping(void **state) {
  (void)state;
  lmp_arena a;
  lmp_arena_config config = {.memory = 4 * MIB, .nobj = 64};
  int before = dup(0);
  close(before);
  for (int i = 0; i < 200; i++) {
    assert_int_equal(lmp_arena_create(&a, &config), LMP_OK);
    lmp_arena_close(&a);
    lmp_arena_close(&a); /* a closed arena is a legal argument */
  }
  int after = dup(0);
  close(after);
  assert_int_equal(after, before);
}

/* Runs `body` in a child whose address space or file size is limited. */
static void in_child(void (*body)(void)) {
  int status;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    body();
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

static void limit(int which, rlim_t value) {
  struct rlimit r;
  must(getrlimit(which, &r) == 0);
  r.rlim_cur = value;
  must(setrlimit(which, &r) == 0);
}

/* What the process has mapped, in bytes. */
static rlim_t mapped(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  must(f && fscanf(f, "%lu", &pages) == 1);
  fclose(f);
  return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static uint64_t create_and_use(void) {
  lmp_arena_config config = {.memory = KIB * MIB, .shrink = true, .nobj = 64};
  lmp_arena a;
  lmp_me me;
  uint32_t slot;
  uint64_t off;
  must(lmp_arena_create(&a, &config) == LMP_OK);
  must(lmp_proc_claim(&a, UINT32_MAX, &slot) == LMP_OK &&
       lmp_proc_enter(&a, slot, lmp_proc_gen(&a, slot)) == LMP_OK);
  must(lmp_me_attach(&a, &me) == LMP_OK);
  must(lmp_alloc(&me, 100000, &off) == LMP_OK);
  memset(lmp_at(&a, off), 1, 100000);
  lmp_free(&me, off);
  uint64_t memory = (uint64_t)a.h->hd_nspan * LMP_SPAN;
  lmp_me_detach(&me);
  lmp_arena_close(&a);
  return memory;
}

static void under_address_limit(void) {
  limit(RLIMIT_AS, mapped() + 300 * MIB);
  uint64_t memory = create_and_use();
  must(memory < 300 * MIB && memory >= 100 * MIB);
}

static void under_file_limit(void) {
  limit(RLIMIT_FSIZE, 70 * MIB);
  must(create_and_use() == 64 * MIB);
}

static void under_no_room(void) {
  lmp_arena_config config = {.memory = KIB * MIB, .shrink = true};
  lmp_arena a;
  limit(RLIMIT_FSIZE, 512 * KIB);
  must(lmp_arena_create(&a, &config) == LMP_E_NOMEM);
}

/* No room for the first of the two files, then for the second. */
static void under_no_descriptors(void) {
  lmp_arena_config config = {.memory = 4 * MIB};
  lmp_arena a;
  for (int room = 0; room < 2; room++) {
    int fd = dup(0);
    close(fd);
    limit(RLIMIT_NOFILE, (rlim_t)fd + (rlim_t)room);
    must(lmp_arena_create(&a, &config) == LMP_E_SYSTEM);
    must(dup(0) == (room ? fd : -1)); /* and none is left open */
    close(fd);
  }
}

static void test_create_under_limits(void **state) {
  (void)state;
  in_child(under_address_limit);
  in_child(under_file_limit);
  in_child(under_no_room);
  in_child(under_no_descriptors);
}

static void test_format_lays_out_plain_memory(void **state) {
  (void)state;
  lmp_arena_config config = {.memory = 2 * MIB, .nproc = 4, .nctx = 8, .nobj = 32};
  uint64_t size = lmp_arena_size(&config);
  void *base = aligned_alloc(LMP_PAGE, lmp_round_up(size, LMP_PAGE));
  lmp_arena a = {.fd = -1, .life_fd = -1};
  assert_non_null(base);
  memset(base, 0, size);
  lmp_arena_format(&a, base, size, &config);
  uint8_t *at[] = {base,
                   (uint8_t *)a.procs,
                   (uint8_t *)a.ctxs,
                   (uint8_t *)a.objs,
                   (uint8_t *)a.map,
                   (uint8_t *)a.tags,
                   lmp_at(&a, a.h->hd_span_off)};
  size_t need[] = {sizeof(lmp_hdr),      4 * sizeof(lmp_proc),  8 * sizeof(lmp_ctx),
                   32 * sizeof(lmp_obj), 32 * sizeof(lmp_span), 32 * LMP_TAGS * 2,
                   (size_t)32 * LMP_SPAN};
  for (size_t i = 0; i + 1 < LMP_COUNT(at); i++) assert_true(at[i] + need[i] <= at[i + 1]);
  assert_true(at[6] + need[6] <= (uint8_t *)base + size);
  assert_int_equal(a.h->hd_span_off % LMP_SPAN, 0);
  assert_int_equal(lmp_obj_count(&a), 0);
  assert_int_equal(lmp_memory_used(&a), 0);
  assert_null(lmp_obj_get(&a, (lmp_handle){0, 0}));
  free(base);
}

/* -- blocks ------------------------------------------------------------------------------------- */

static void test_alloc_of_every_class(void **state) {
  (void)state;
  world w;
  uint64_t off[3 * LMP_COUNT(sizes)];
  uint64_t used = 0;
  world_open(&w);
  for (size_t i = 0; i < LMP_COUNT(off); i++) {
    uint64_t size = sizes[i / 3] - 1 + i % 3; /* one less, the size, one more */
    assert_int_equal(lmp_alloc(&w.me, size, &off[i]), LMP_OK);
    uint64_t room = lmp_block_size(&w.a, off[i]);
    uint64_t next = i / 3 + 1 < LMP_COUNT(sizes) ? sizes[i / 3 + 1] : LMP_SPAN;
    assert_int_equal(room, i % 3 < 2 ? sizes[i / 3] : next);
    assert_int_equal(off[i] % 64, 0);
    assert_int_equal(lmp_block_owner(&w.a, off[i]), w.me.id);
    memset(lmp_at(&w.a, off[i]), (int)i + 1, room);
    used += room;
    assert_int_equal(lmp_memory_used(&w.a), used);
  }
  for (size_t i = 0; i < LMP_COUNT(off); i++) {
    const uint8_t *p = lmp_at(&w.a, off[i]);
    uint64_t room = lmp_block_size(&w.a, off[i]);
    for (uint64_t k = 0; k < room; k++) assert_int_equal(p[k], i + 1);
    used -= room;
    lmp_free(&w.me, off[i]);
    assert_int_equal(lmp_memory_used(&w.a), used);
    if (i % 3 != 2 || i / 3 + 1 < LMP_COUNT(sizes))
      assert_int_equal(lmp_block_owner(&w.a, off[i]), 0);
  }
  world_is_empty(&w);
  world_close(&w);
}

static void test_alloc_of_runs(void **state) {
  (void)state;
  static const struct {
    uint64_t size;
    unsigned spans;
  } c[] = {{32769, 1}, {65535, 1}, {65536, 1}, {65537, 2}, {1 << 20, 16}, {(1 << 20) + 1, 17}};
  world w;
  uint64_t off[LMP_COUNT(c)];
  world_open(&w);
  for (size_t i = 0; i < LMP_COUNT(c); i++) {
    assert_int_equal(lmp_alloc(&w.me, c[i].size, &off[i]), LMP_OK);
    assert_int_equal(lmp_block_size(&w.a, off[i]), (uint64_t)c[i].spans * LMP_SPAN);
    assert_int_equal(off[i] % LMP_SPAN, 0);
    assert_int_equal(lmp_block_owner(&w.a, off[i]), w.me.id);
    memset(lmp_at(&w.a, off[i]), (int)i + 1, c[i].size);
  }
  for (size_t i = 0; i < LMP_COUNT(c); i++) {
    const uint8_t *p = lmp_at(&w.a, off[i]);
    assert_int_equal(p[0], i + 1);
    assert_int_equal(p[c[i].size - 1], i + 1);
    lmp_free(&w.me, off[i]);
  }
  /* Merged again: one run of everything. */
  assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &off[0]), LMP_OK);
  assert_int_equal(lmp_memory_used(&w.a), 4 * MIB);
  lmp_free(&w.me, off[0]);
  world_is_empty(&w);
  world_close(&w);
}

static void test_tags_follow_the_owner(void **state) {
  (void)state;
  static const uint64_t size[] = {100, 5000, 200000};
  world w;
  world_open(&w);
  for (size_t i = 0; i < LMP_COUNT(size); i++) {
    uint64_t off;
    assert_int_equal(lmp_alloc(&w.me, size[i], &off), LMP_OK);
    uint64_t room = lmp_block_size(&w.a, off);
    lmp_tx_begin(&w.me);
    lmp_tx_owner(&w.me, off, LMP_TAG_SHARED);
    assert_int_equal(lmp_block_owner(&w.a, off), w.me.id); /* not before the commit */
    lmp_tx_commit(&w.me);
    assert_int_equal(lmp_block_owner(&w.a, off), LMP_TAG_SHARED);
    assert_int_equal(lmp_block_size(&w.a, off), room);
    lmp_memory_sweep(&w.me, w.me.id); /* what is an object's is nobody's to sweep */
    assert_int_equal(lmp_block_owner(&w.a, off), LMP_TAG_SHARED);
    lmp_tx_begin(&w.me);
    lmp_tx_owner(&w.me, off, w.me.id);
    lmp_tx_commit(&w.me);
    lmp_free(&w.me, off);
  }
  world_is_empty(&w);
  world_close(&w);
}

static unsigned small_spans(const world *w) {
  unsigned n = 0;
  for (uint32_t s = 0; s < w->a.h->hd_span_hwm; s++) {
    n += LMP_SPAN_STATE(w->a.map[s].sp_word) == LMP_SPAN_SMALL;
  }
  return n;
}

static void test_trim_gives_empty_spans_back(void **state) {
  (void)state;
  enum { N = 3000 };
  world w;
  uint64_t off[N];
  world_open(&w);
  for (int i = 0; i < N; i++) {
    assert_int_equal(lmp_alloc(&w.me, sizes[i % 6], &off[i]), LMP_OK);
  }
  assert_true(small_spans(&w) >= 6);
  uint64_t kept = off[N / 2];
  for (int i = 0; i < N; i++) {
    if (i != N / 2) lmp_free(&w.me, off[i]);
  }
  lmp_memory_trim(&w.me, w.a.h->hd_nspan);
  assert_int_equal(small_spans(&w), 1); /* only the span of the block that is in use */
  assert_int_equal(lmp_memory_used(&w.a), lmp_block_size(&w.a, kept));
  assert_int_equal(lmp_block_owner(&w.a, kept), w.me.id);
  lmp_free(&w.me, kept);
  lmp_memory_trim(&w.me, w.a.h->hd_nspan);
  assert_int_equal(small_spans(&w), 0);
  world_is_empty(&w);
  world_close(&w);
}

static void test_full_memory_is_told_and_usable_to_the_last_block(void **state) {
  (void)state;
  enum { MOST = 4 * 1024 * 1024 / 64 };
  world w;
  uint64_t *off = malloc(MOST * sizeof *off);
  uint64_t more;
  world_open(&w);
  assert_non_null(off);
  for (size_t c = 0; c < LMP_COUNT(sizes); c += 4) {
    uint32_t n = 0;
    lmp_err e;
    while ((e = lmp_alloc(&w.me, sizes[c], &more)) == LMP_OK) {
      assert_true(n < MOST);
      off[n++] = more;
    }
    assert_int_equal(e, LMP_E_NOMEM);
    assert_int_equal(n, w.a.h->hd_nspan * (LMP_SPAN / sizes[c]));
    assert_int_equal(lmp_memory_used(&w.a), (uint64_t)n * sizes[c]);
    assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &more), LMP_E_NOMEM);
    assert_int_equal(lmp_alloc(&w.me, 4 * MIB + 1, &more), LMP_E_TOOLARGE);
    assert_int_equal(lmp_alloc(&w.me, UINT64_MAX, &more), LMP_E_TOOLARGE);
    lmp_free(&w.me, off[n / 3]);
    assert_int_equal(lmp_alloc(&w.me, sizes[c], &off[n / 3]), LMP_OK);
    for (uint32_t i = 0; i < n; i++) lmp_free(&w.me, off[(uint64_t)i * 7919 % n]);
    assert_int_equal(lmp_memory_used(&w.a), 0);
    assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &more), LMP_OK);
    lmp_free(&w.me, more);
  }
  free(off);
  world_is_empty(&w);
  world_close(&w);
}

static uint64_t resident(const world *w) {
  struct stat st;
  assert_int_equal(fstat(w->a.fd, &st), 0);
  return (uint64_t)st.st_blocks * 512;
}

static void test_freed_memory_goes_back_to_the_system(void **state) {
  (void)state;
  world w;
  uint64_t off[32];
  world_open_as(&w, 32 * MIB, 64);
  uint64_t before = resident(&w);
  for (int i = 0; i < 32; i++) {
    assert_int_equal(lmp_alloc(&w.me, MIB, &off[i]), LMP_OK);
    memset(lmp_at(&w.a, off[i]), 1, MIB);
  }
  uint64_t full = resident(&w);
  assert_true(full >= before + 32 * MIB);
  for (int i = 0; i < 32; i++) lmp_free(&w.me, off[i]);
  uint64_t kept = (uint64_t)w.a.dirty_max * LMP_SPAN;
  assert_true(resident(&w) <= before + kept + MIB);
  /* And comes from it again, zeroed or not: usable. */
  assert_int_equal(lmp_alloc(&w.me, 32 * MIB, &off[0]), LMP_OK);
  memset(lmp_at(&w.a, off[0]), 2, 32 * MIB);
  lmp_free(&w.me, off[0]);
  assert_true(resident(&w) <= before + kept + MIB);
  world_is_empty(&w);
  world_close(&w);
}

static void test_random_sizes_never_overlap(void **state) {
  (void)state;
  enum { N = 300 };
  static uint64_t off[N], len[N];
  world w;
  uint64_t seed = 42;
  world_open(&w);
  memset(off, 0, sizeof off);
  for (uint32_t step = 0; step < 20000; step++) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    uint32_t i = (uint32_t)(seed >> 33) % N;
    if (off[i]) {
      const uint8_t *p = lmp_at(&w.a, off[i]);
      assert_true(p[0] == (uint8_t)i && p[len[i] - 1] == (uint8_t)i);
      lmp_free(&w.me, off[i]);
      off[i] = 0;
      continue;
    }
    len[i] = 1 + (seed >> 40) % (seed >> 20 & 15 ? 2000 : 150000);
    if (lmp_alloc(&w.me, len[i], &off[i])) {
      off[i] = 0;
      continue;
    }
    uint8_t *p = lmp_at(&w.a, off[i]);
    p[0] = p[len[i] - 1] = (uint8_t)i;
  }
  for (uint32_t i = 0; i < N; i++) {
    if (off[i]) lmp_free(&w.me, off[i]);
  }
  world_is_empty(&w);
  world_close(&w);
}

/* -- waiting for memory ------------------------------------------------------------------------- */

static void test_waiting_for_memory_times_out(void **state) {
  (void)state;
  world w;
  uint64_t all, off;
  world_open(&w);
  assert_int_equal(lmp_alloc(&w.me, 4 * MIB, &all), LMP_OK);
  assert_int_equal(lmp_alloc_wait(&w.me, 64, LMP_NOWAIT, &off), LMP_E_TIMEOUT);
  assert_int_equal(lmp_alloc_wait(&w.me, 5 * MIB, LMP_FOREVER, &off), LMP_E_TOOLARGE);
  uint64_t deadline = lmp_os_now() + 80 * LMP_MSEC;
  assert_int_equal(lmp_alloc_wait(&w.me, 64, deadline, &off), LMP_E_TIMEOUT);
  assert_true(lmp_os_now() >= deadline);
  lmp_free(&w.me, all);
  assert_int_equal(lmp_alloc_wait(&w.me, 64, LMP_NOWAIT, &off), LMP_OK);
  lmp_free(&w.me, off);
  world_is_empty(&w);
  world_close(&w);
}

/* Takes all memory; gives it back when somebody waits for it, or dies with it. */
static void hog(world *w, void *arg) {
  bool dies = arg != NULL;
  uint64_t off;
  must(lmp_alloc(&w->me, 4 * MIB, &off) == LMP_OK);
  lmp_store_rel32(&w->word[0], 1);
  until(lmp_load_acq64(&w->a.h->hd_mem_flag) != 0);
  if (dies) raise(SIGKILL);
  lmp_free(&w->me, off);
}

static void test_waiting_for_memory_ends_when_a_peer_frees_or_dies(void **state) {
  (void)state;
  world w;
  for (int dies = 0; dies < 2; dies++) {
    uint64_t off;
    int status;
    world_open(&w);
    peer p = peer_start(&w, hog, dies ? &w : NULL);
    until(lmp_load_acq32(&w.word[0]) == 1);
    assert_int_equal(lmp_alloc_wait(&w.me, 64, LMP_FOREVER, &off), LMP_OK);
    lmp_free(&w.me, off);
    assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
    assert_int_equal(status, dies ? SIGKILL : 0);
    peer_reap(&w, &p);
    world_is_empty(&w);
    world_close(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_create_gives_what_was_asked_for),
      cmocka_unit_test(test_create_refuses_less_than_the_least),
      cmocka_unit_test(test_create_leaves_no_descriptor_and_no_mapping),
      cmocka_unit_test(test_create_under_limits),
      cmocka_unit_test(test_format_lays_out_plain_memory),
      cmocka_unit_test(test_alloc_of_every_class),
      cmocka_unit_test(test_alloc_of_runs),
      cmocka_unit_test(test_tags_follow_the_owner),
      cmocka_unit_test(test_trim_gives_empty_spans_back),
      cmocka_unit_test(test_full_memory_is_told_and_usable_to_the_last_block),
      cmocka_unit_test(test_freed_memory_goes_back_to_the_system),
      cmocka_unit_test(test_random_sizes_never_overlap),
      cmocka_unit_test(test_waiting_for_memory_times_out),
      cmocka_unit_test(test_waiting_for_memory_ends_when_a_peer_frees_or_dies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
