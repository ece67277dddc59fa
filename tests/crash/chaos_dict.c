/* crash/chaos_dict.c: random SIGKILL on processes that share a dict and a list: chaos_dict [--seconds N] [--kills N]
 * [--seed N].
 * SPDX-License-Identifier: MIT
 *
 * Half of the counters are added to in one call, half by hold, read and write. What was begun and what returned is
 * noted outside of the arena: each counter must be between the two. Other keys come and go with small values, large ones and
 * ones that name objects, none of which may be torn. A walk meets every counter once. Elements of the list are
 * numbered: none may be taken twice, and of those that were put only as many may be missing as processes were killed.
 * Nothing may stall; in the end all memory and all objects are given back. */
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/dict.h"
#include "channel/list.h"
#include "channel/queue.h"
#include "check.h"

#define WORKERS 6u
#define COUNTERS 16u
#define KEYS 600u /* from COUNTERS on they come and go */
#define LARGE 12000u
#define ELEMENTS (1u << 22)
#define STALL (10 * LMP_SEC)

/* What all processes see besides the arena. */
typedef struct shared {
  uint32_t next, stop, errors;
  uint64_t steps;
  uint64_t begun[COUNTERS], done[COUNTERS];
  uint32_t put[ELEMENTS / 32], taken[ELEMENTS / 32];
  char error[128];
} shared;

static shared *s;
static lmp_arena a;
static lmp_me me;
static lmp_handle dict, list;
static uint64_t seed = 1;
static uint8_t bytes[LARGE];
static uint64_t room[LMP_ENTRY_COPY_MAX / 8];

static uint32_t pick(uint32_t n) {
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((seed >> 33) % n);
}

static void fail(const char *what) {
  if (lmp_add_ar32(&s->errors, 1) == 0) snprintf(s->error, sizeof s->error, "%s", what);
}

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "chaos_dict: %s\n", what);
  exit(2);
}

static void enter(void) {
  uint32_t slot;
  must(!lmp_proc_claim(&a, UINT32_MAX, &slot) && !lmp_proc_enter(&a, slot, lmp_proc_gen(&a, slot)),
       "no slot");
  must(!lmp_me_attach(&a, &me), "no context");
}

static lmp_obj *dict_obj(void) { return lmp_obj_at(&a, dict.obj); }
static lmp_obj *list_obj(void) { return lmp_obj_at(&a, list.obj); }
static lmp_out out_room(void) { return (lmp_out){.buf = (uint8_t *)room, .cap = sizeof room}; }

/* -- counters ------------------------------------------------------------------------------------ */

static uint64_t number_in(const uint8_t *data, size_t len) {
  uint64_t n = 0;
  if (len != sizeof n) fail("a counter is torn");
  memcpy(&n, data, sizeof n);
  return n;
}

static lmp_dact add_one(void *arg, lmp_entry *old, lmp_entry *fresh) {
  (void)arg;
  uint64_t n = old ? number_in(lmp_entry_value(old), old->en_vlen) + 1 : 1;
  memcpy(lmp_entry_value(fresh), &n, sizeof n);
  fresh->en_vlen = sizeof n;
  return LMP_DICT_STORE;
}

static void change_once(lmp_dop *op) {
  lmp_err e;
  do {
    e = lmp_dict_write(&me, dict_obj(), op, LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e && e != LMP_E_NOSLOT) fail("write");
}

static bool read_counter(const lmp_dkey *key, uint64_t *n) {
  size_t need;
  lmp_out out = out_room();
  if (!lmp_dict_get(&me, dict_obj(), key, &out, &need)) fail("get");
  bool found = out.found;
  *n = found ? number_in(out.data, out.len) : 0;
  lmp_out_done(&me, &out);
  return found;
}

static void count(uint32_t k) {
  lmp_dkey key = lmp_dict_key(dict_obj(), &k, sizeof k);
  if (k % 2) {
    lmp_dop op = {.key = key, .room = 8, .decide = add_one};
    lmp_add_ar64(&s->begun[k], 1);
    change_once(&op);
  } else {
    uint64_t n;
    lmp_err e;
    while ((e = lmp_dict_hold(&me, dict_obj(), &key, LMP_FOREVER)) == LMP_E_INTR) {
    }
    if (e) fail("hold");
    read_counter(&key, &n);
    n++;
    lmp_iov iov = {&n, sizeof n};
    lmp_msg m = {.iov = &iov, .niov = 1, .len = sizeof n};
    lmp_dop op = {.key = key, .value = &m, .held = true};
    lmp_add_ar64(&s->begun[k], 1);
    change_once(&op);
  }
  lmp_add_ar64(&s->done[k], 1);
}

/* -- other keys ----------------------------------------------------------------------------------- */

static void check_value(uint32_t k, const lmp_out *out) {
  for (size_t i = 0; i < out->len; i++) {
    if (out->data[i] != (uint8_t)(k * 7 + out->len)) return fail("a value is torn");
  }
  if (out->nhandles && !lmp_obj_get(&a, out->handles[0]))
    fail("a value names an object that is gone");
}

static void change(uint32_t k) {
  lmp_dop op = {.key = lmp_dict_key(dict_obj(), &k, sizeof k)};
  lmp_out out = {0};
  lmp_handle named = {0, 0};
  uint32_t what = pick(20);
  size_t len = what == 0 ? LARGE - pick(100) : pick(100);
  if (what == 1 && lmp_queue_new(&me, "named by a value only", 21, 0, &named)) named.obj = 0;
  memset(bytes, (int)(k * 7 + len), len);
  lmp_iov iov = {bytes, len};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = len, .handles = &named, .nhandles = named.obj != 0};
  op.out = &out;
  if (what < 10) op.value = &m;
  change_once(&op);
  if (named.obj) lmp_obj_unref(&me, named);
  if (out.found) check_value(k, &out);
  lmp_out_done(&me, &out);
}

static void look(uint32_t k) {
  size_t need;
  lmp_out out = out_room();
  lmp_dkey key = lmp_dict_key(dict_obj(), &k, sizeof k);
  if (!lmp_dict_get(&me, dict_obj(), &key, &out, &need)) fail("get");
  if (out.found) check_value(k, &out);
  lmp_out_done(&me, &out);
}

static void walk(void) {
  uint32_t met[COUNTERS] = {0};
  uint32_t k = 0;
  size_t need;
  lmp_dkey key = {0};
  for (bool first = true;; first = false) {
    lmp_out out = out_room();
    if (!lmp_dict_next(&me, dict_obj(), first ? NULL : &key, &out, &need)) return fail("next");
    if (!out.found) break;
    memcpy(&k, out.key, sizeof k);
    key = lmp_dict_key(dict_obj(), &k, sizeof k);
    if (k < COUNTERS) {
      met[k]++;
    } else {
      check_value(k, &out);
    }
    lmp_out_done(&me, &out);
  }
  for (k = 0; k < COUNTERS; k++) {
    if (met[k] != 1) fail("a walk did not meet a counter once");
  }
}

/* -- the list -------------------------------------------------------------------------------------- */

static uint32_t place(void) {
  uint32_t n = lmp_list_count(list_obj());
  return pick(2) ? LMP_LIST_END : n ? pick(n) : 0;
}

static void list_put(void) {
  uint32_t id = lmp_add_ar32(&s->next, 1);
  if (id >= ELEMENTS || lmp_list_count(list_obj()) > 200) return;
  size_t len = pick(30) ? sizeof id : LARGE;
  memcpy(bytes, &id, sizeof id);
  lmp_iov iov = {bytes, len};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = len};
  uint32_t at = place();
  lmp_err e = lmp_list_insert(&me, list_obj(), at, &m, LMP_FOREVER);
  if (e == LMP_E_INVAL || e == LMP_E_NOSLOT) return; /* it has become shorter */
  if (e) fail("insert");
  lmp_or_ar32(&s->put[id / 32], 1u << id % 32);
}

static bool list_take(uint32_t at) {
  lmp_out out = {0};
  uint32_t id = ELEMENTS;
  if (lmp_list_remove(&me, list_obj(), at, false, &out)) return false;
  memcpy(&id, out.data, sizeof id);
  if (id >= ELEMENTS) {
    fail("an element that nobody put");
  } else if (lmp_or_ar32(&s->taken[id / 32], 1u << id % 32) & 1u << id % 32) {
    fail("an element was taken twice");
  }
  lmp_out_done(&me, &out);
  return true;
}

/* -- workers --------------------------------------------------------------------------------------- */

static void work(void) {
  while (!lmp_load_acq32(&s->stop)) {
    for (unsigned i = 0; i < 8; i++) count(pick(COUNTERS));
    for (unsigned i = 0; i < 20; i++) change(COUNTERS + pick(KEYS));
    for (unsigned i = 0; i < 8; i++) look(COUNTERS + pick(KEYS));
    for (unsigned i = 0; i < 4; i++) list_put();
    for (unsigned i = 0; i < 4; i++) list_take(place());
    if (pick(20) == 0) walk();
    if (pick(50) == 0) lmp_collect(&me);
    lmp_add_ar64(&s->steps, 1);
  }
}

static pid_t start(void) {
  fflush(NULL);
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) return pid;
  seed = (uint64_t)getpid() * 31 + seed;
  lmp_obj_forget(&a);
  enter();
  if (lmp_obj_hold(&me, dict) || lmp_obj_hold(&me, list)) _exit(3);
  work();
  _exit(0);
}

/* -- the end ---------------------------------------------------------------------------------------- */

static bool ctx_lives(uint32_t id) { return id == me.id; }
static bool ctx_sleeps(uint32_t id) { return id == 0; }
static bool proc_lives(uint32_t slot) { return slot == a.proc; }
static jmp_buf out_of_check;
static void check_fail(const char *what) {
  fail(what);
  longjmp(out_of_check, 1);
}

static bool any_starting(void) {
  for (uint32_t i = 0; i < a.h->hd_proc_hwm; i++) {
    if (lmp_proc_state(&a, i) == LMP_PROC_STARTING) return true;
  }
  return false;
}

static void reap(void) {
  uint64_t end = lmp_os_now() + 10 * LMP_SEC;
  do {
    lmp_reap_all(&me);
    if (!any_starting()) break;
    lmp_os_sleep(lmp_os_now() + 100 * LMP_MSEC);
  } while (lmp_os_now() < end);
  lmp_reap_all(&me);
}

static void check_end(uint64_t kills) {
  check_env e = {&me, ctx_lives, ctx_sleeps, proc_lives, check_fail};
  volatile uint64_t lost = 0;
  if (setjmp(out_of_check)) return;
  reap();
  check_arena(&e);
  walk();
  for (uint32_t k = 0; k < COUNTERS; k++) {
    uint64_t n;
    lmp_dkey key = lmp_dict_key(dict_obj(), &k, sizeof k);
    read_counter(&key, &n);
    if (n < s->done[k] || n > s->begun[k]) fail("a counter is wrong");
    count(k); /* nobody holds it */
  }
  while (list_take(0)) {
  }
  for (uint32_t i = 0; i < ELEMENTS / 32; i++)
    lost += (unsigned)__builtin_popcount(s->put[i] & ~s->taken[i]);
  if (lost > kills) fail("elements of the list are missing");
  printf("%llu lost, ", (unsigned long long)lost);
  for (uint32_t k = 0; k < COUNTERS + KEYS; k++) {
    lmp_dop op = {.key = lmp_dict_key(dict_obj(), &k, sizeof k)};
    change_once(&op);
  }
  lmp_collect(&me);
  lmp_collect(&me);
  check_arena(&e);
  if (lmp_memory_used(&a) != 0) check_fail("memory is not given back");
  if (lmp_obj_count(&a) != 2) check_fail("objects stay");
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"seconds", required_argument, NULL, 't'},
                                          {"kills", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 's'},
                                          {0}};
  uint64_t seconds = 10, most = UINT64_MAX, kills = 0;
  pid_t pids[WORKERS];
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 't') seconds = strtoull(optarg, NULL, 10);
    if (c == 'k') most = strtoull(optarg, NULL, 10), seconds = 3600;
    if (c == 's') seed = strtoull(optarg, NULL, 10);
    if (c == '?') return 2;
  }
  s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(s != MAP_FAILED, "mmap");
  lmp_arena_config config = {.memory = 16u << 20, .nproc = 64, .nctx = 64, .nobj = 4096};
  must(!lmp_arena_create(&a, &config), "arena");
  a.kinds[LMP_KIND_QUEUE] = &lmp_queue_kind;
  a.kinds[LMP_KIND_LARGE] = &lmp_large_kind;
  a.kinds[LMP_KIND_DICT] = &lmp_dict_kind;
  a.kinds[LMP_KIND_LIST] = &lmp_list_kind;
  enter();
  must(!lmp_dict_new(&me, LMP_KIND_DICT, NULL, 0, &dict), "dict");
  must(!lmp_list_new(&me, NULL, 0, &list), "list");
  for (uint32_t k = 0; k < COUNTERS; k++) count(k);
  for (unsigned i = 0; i < WORKERS; i++) pids[i] = start();
  uint64_t end = lmp_os_now() + seconds * LMP_SEC;
  uint64_t moved = lmp_os_now();
  uint64_t before = 0;
  while (kills < most && lmp_os_now() < end && !s->errors) {
    lmp_os_sleep(lmp_os_now() + LMP_MSEC + pick(1000) * LMP_USEC);
    unsigned w = pick(WORKERS);
    kill(pids[w], SIGKILL);
    waitpid(pids[w], NULL, 0);
    lmp_reap_all(&me);
    pids[w] = start();
    kills++;
    uint64_t steps = lmp_load_acq64(&s->steps);
    if (steps != before) {
      before = steps;
      moved = lmp_os_now();
    } else if (lmp_os_now() > moved + STALL) {
      fail("nothing moves");
    }
  }
  lmp_store_rel32(&s->stop, 1);
  for (unsigned i = 0; i < WORKERS; i++) {
    kill(pids[i], SIGKILL);
    waitpid(pids[i], NULL, 0);
    kills++;
  }
  check_end(kills);
  printf("%llu kills, %llu rounds of work, %u elements, %u errors %s\n", (unsigned long long)kills,
         (unsigned long long)s->steps, s->next, s->errors, s->error);
  return s->errors != 0;
}
