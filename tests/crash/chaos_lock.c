/* crash/chaos_lock.c: random SIGKILL on users of locks and conditions: chaos_lock [--kills N] [--seed N].
 * SPDX-License-Identifier: MIT
 *
 * Workers take a Lock, a deep RLock, and wait for and notify of tokens under a Condition. Two are never in a lock at
 * once; nobody is told of an abandoned lock more often than somebody was killed; no token is waited for
 * while there is one; nothing may stall. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/process.h"
#include "sync/condition.h"
#include "sync/lock.h"

#define WORKERS 6u
#define STALL (20 * LMP_SEC)

/* What all processes see besides the arena. */
typedef struct shared {
  uint32_t stop, errors, inside[3], told;
  uint32_t tokens; /* under the condition's lock */
  uint64_t turns[WORKERS];
  char error[80];
} shared;

static shared *s;
static lmp_arena a;
static lmp_me me;
static lmp_handle things[3]; /* Lock, RLock, Condition */
static uint64_t seed = 1;

static uint32_t pick(uint32_t n) {
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((seed >> 33) % n);
}

static void fail(const char *what) {
  if (lmp_add_ar32(&s->errors, 1) == 0) snprintf(s->error, sizeof s->error, "%s", what);
}

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "chaos_lock: %s\n", what);
  exit(2);
}

static void enter(void) {
  uint32_t slot;
  must(!lmp_proc_claim(&a, UINT32_MAX, &slot) && !lmp_proc_enter(&a, slot, lmp_proc_gen(&a, slot)),
       "no slot");
  must(!lmp_me_attach(&a, &me), "no context");
}

static lmp_obj *at(unsigned i) { return lmp_obj_at(&a, things[i].obj); }

/* Nobody else is inside: who was and is dead has been told of. */
static void inside(unsigned i, bool abandoned) {
  uint32_t was = lmp_xchg_ar32(&s->inside[i], me.id);
  if (was && !abandoned) fail("two are in a lock");
  if (abandoned) lmp_add_ar32(&s->told, 1);
}

static bool get(unsigned i, uint64_t deadline) {
  bool abandoned;
  lmp_err e;
  do {
    e = lmp_lock_acquire(&me, at(i), deadline, &abandoned);
  } while (e == LMP_E_INTR);
  if (e && (e != LMP_E_TIMEOUT || deadline == LMP_FOREVER)) fail("acquire");
  if (!e) inside(i, abandoned);
  return !e;
}

static void let_go(unsigned i) {
  if (lmp_xchg_ar32(&s->inside[i], 0) != me.id) fail("somebody else was in my lock");
  if (lmp_lock_release(&me, at(i))) fail("release");
}

static void use_lock(unsigned i) {
  bool abandoned;
  uint64_t soon = pick(4) ? LMP_FOREVER : lmp_os_now() + 200 * LMP_USEC;
  if (!get(i, soon)) return;
  for (unsigned k = pick(pick(8) ? 200 : 20000); k > 0; k--) lmp_os_relax();
  if (i == 1) {
    if (lmp_lock_acquire(&me, at(i), LMP_FOREVER, &abandoned) || abandoned) fail("again");
    if (lmp_lock_release(&me, at(i))) fail("release again");
  }
  let_go(i);
}

static void use_cond(void) {
  get(2, LMP_FOREVER);
  if (pick(2)) {
    s->tokens++;
    if (lmp_cond_notify(&me, at(2), 1)) fail("notify");
  }
  /* With a deadline: who would give the next token may have been killed. */
  uint64_t deadline = lmp_os_now() + 3 * LMP_MSEC;
  while (s->tokens == 0) {
    bool abandoned = false;
    lmp_xchg_ar32(&s->inside[2], 0);
    lmp_err e = lmp_cond_wait(&me, at(2), deadline, &abandoned);
    inside(2, abandoned);
    if (e == LMP_E_INVAL) fail("wait");
    if (e == LMP_E_TIMEOUT) break;
  }
  if (s->tokens) s->tokens--;
  let_go(2);
}

static pid_t start(unsigned worker) {
  fflush(NULL);
  seed += 77;
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) return pid;
  lmp_obj_forget(&a);
  enter();
  for (unsigned i = 0; i < 3; i++) must(!lmp_obj_hold(&me, things[i]), "hold");
  while (!lmp_load_acq32(&s->stop)) {
    unsigned what = pick(3);
    if (what < 2) use_lock(what);
    if (what == 2) use_cond();
    lmp_add_ar64(&s->turns[worker], 1);
  }
  lmp_obj_release_all(&me, a.proc);
  lmp_me_detach(&me);
  _exit(0);
}

static uint64_t turns(void) {
  uint64_t n = 0;
  for (unsigned i = 0; i < WORKERS; i++) n += lmp_load_acq64(&s->turns[i]);
  return n;
}

static void check_end(void) {
  uint64_t end = lmp_os_now() + 10 * LMP_SEC;
  for (unsigned i = 0; i < 3; i++) {
    get(i, LMP_FOREVER);
    let_go(i);
    const char *bad = i < 2 ? lmp_lock_valid(&a, at(i)) : NULL;
    if (bad) fail(bad);
  }
  for (;;) { /* who was killed on its way in is given up after some seconds */
    lmp_reap_all(&me);
    const char *bad = lmp_cond_valid(&a, at(2));
    if (!bad) break;
    if (lmp_os_now() > end) {
      fail(bad);
      break;
    }
    lmp_os_sleep(lmp_os_now() + 50 * LMP_MSEC);
  }
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"kills", required_argument, NULL, 'k'}, {"seed", required_argument, NULL, 's'}, {0}};
  uint64_t most = 1000, kills = 0;
  pid_t pids[WORKERS];
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 'k') most = strtoull(optarg, NULL, 10);
    if (c == 's') seed = strtoull(optarg, NULL, 10);
    if (c == '?') return 2;
  }
  s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(s != MAP_FAILED, "mmap");
  lmp_arena_config config = {.memory = 4u << 20, .nproc = 64, .nctx = 64, .nobj = 64};
  must(!lmp_arena_create(&a, &config), "arena");
  for (unsigned i = 0; i < LMP_KIND_COUNT; i++) a.kinds[i] = lmp_kinds[i];
  enter();
  must(!lmp_lock_new(&me, NULL, 0, &things[0]), "lock");
  must(!lmp_rlock_new(&me, NULL, 0, &things[1]), "rlock");
  must(!lmp_cond_new(&me, NULL, 0, NULL, &things[2]), "condition");
  for (unsigned i = 0; i < WORKERS; i++) pids[i] = start(i);
  uint64_t moved = lmp_os_now();
  uint64_t before = 0;
  while (kills < most && !lmp_load_acq32(&s->errors)) {
    lmp_os_sleep(lmp_os_now() + LMP_MSEC + pick(1000) * LMP_USEC);
    unsigned w = pick(WORKERS);
    kill(pids[w], SIGKILL);
    waitpid(pids[w], NULL, 0);
    if (pick(2)) lmp_reap_all(&me); /* else the others find it */
    pids[w] = start(w);
    kills++;
    if (turns() != before) {
      before = turns();
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
  check_end();
  /* A worker is in one lock at a time, and one more in a wait for it. */
  if (s->told > kills) fail("told of locks that nobody abandoned");
  printf("%llu kills, %llu turns, %u times told, %u errors %s\n", (unsigned long long)kills,
         (unsigned long long)turns(), s->told, s->errors, s->error);
  return s->errors != 0;
}
