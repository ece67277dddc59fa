/* crash/chaos_lock.c: random SIGKILL on users of a lock: chaos_lock [OPTIONS] WHAT.
 * SPDX-License-Identifier: MIT
 *
 * Options: --kills N, --seed N, --stall SECONDS, --ticks. WHAT is lock, rlock or condition.
 * Workers take a Lock; a deep RLock, and at times the Lock within; or give and take tokens under a Condition. Two are never in a lock at once; nobody is told of an abandoned lock more often
 * than somebody was killed.
 *
 * No wake may be lost: about each kill the traffic stops, nobody new comes, nobody waits with a deadline; then all
 * that wait for a lock must get it, and all tokens must be taken, or the watchdog says so. Ticks, which would come
 * to the rescue, are put off for an hour; only main looks after the dead, once after each kill. With --ticks
 * it is the other way round: main does not look, and those who wait find the dead by themselves; how long that took
 * is printed. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill_at.h"
#include "sync/condition.h"
#include "sync/lock.h"

#define WORKERS 6u
#define GIVERS 2u /* of tokens: the first workers */
#define HOUR (3600 * LMP_SEC)
#define ROUNDS_MOST 100000u

enum { LOCK, RLOCK, COND, THINGS };

/* What all processes see besides the arena. */
typedef struct shared {
  uint32_t stop, errors, inside[THINGS], told;
  uint32_t quiet, idle[WORKERS]; /* nobody begins anything; who has seen it */
  uint32_t there[WORKERS];       /* it is in the family */
  uint32_t timed;                /* waiters for tokens may have a deadline */
  uint32_t only, began;          /* one giver alone gives, worker + 1; it is about to */
  uint32_t give;                 /* tokens that are still to be given */
  uint32_t tokens;               /* under the condition's lock */
  uint64_t turns;
  char error[80];
} shared;

static shared *s;
static lmp_arena a;
static lmp_me me;
static lmp_handle things[THINGS];
static uint64_t seed = 1;
static uint64_t stall = 20 * LMP_SEC;
static bool ticks;

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

static void relax(uint32_t n) {
  while (n-- > 0) lmp_os_relax();
}

/* -- workers ------------------------------------------------------------------------------------ */

/* Nobody else is inside: who was and is dead has been told of. */
static void inside(unsigned i, bool abandoned) {
  uint32_t was = lmp_xchg_ar32(&s->inside[i], me.id);
  if (was && !abandoned) fail("two are in a lock");
  if (!abandoned) return;
  lmp_add_ar32(&s->told, 1);
  /* The dead one may have given a token, or been about to take one. */
  if (i == COND && s->tokens && lmp_cond_notify(&me, at(COND), UINT32_MAX)) fail("notify all");
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
  relax(pick(pick(8) ? 200 : 20000));
  if (i == RLOCK) {
    if (lmp_lock_acquire(&me, at(i), LMP_FOREVER, &abandoned) || abandoned) fail("again");
    if (pick(4) == 0) use_lock(LOCK);
    if (lmp_lock_release(&me, at(i))) fail("release again");
  }
  let_go(i);
}

static bool take_order(void) {
  uint32_t n = lmp_load_acq32(&s->give);
  while (n && !lmp_cas_ar32(&s->give, &n, n - 1)) {
  }
  return n != 0;
}

static void give_token(unsigned worker) {
  uint32_t only = lmp_load_acq32(&s->only);
  if ((only && only != worker + 1) || !take_order()) {
    lmp_os_sleep(lmp_os_now() + 20 * LMP_USEC);
    return;
  }
  lmp_store_rel32(&s->began, 1);
  relax(pick(200));
  get(COND, LMP_FOREVER);
  s->tokens++;
  if (lmp_cond_notify(&me, at(COND), 1)) fail("notify");
  let_go(COND);
}

static void take_token(void) {
  get(COND, LMP_FOREVER);
  while (s->tokens == 0) {
    bool abandoned = false;
    uint64_t deadline =
        lmp_load_acq32(&s->timed) && pick(2) ? lmp_os_now() + pick(500) * LMP_USEC : LMP_FOREVER;
    lmp_xchg_ar32(&s->inside[COND], 0);
    lmp_err e = lmp_cond_wait(&me, at(COND), deadline, &abandoned);
    inside(COND, abandoned);
    if (e == LMP_E_INVAL || (e == LMP_E_TIMEOUT && deadline == LMP_FOREVER)) fail("wait");
  }
  s->tokens--;
  let_go(COND);
}

static void be_idle(unsigned worker) {
  lmp_store_rel32(&s->idle[worker], 1);
  while (lmp_load_acq32(&s->quiet) && !lmp_load_acq32(&s->stop)) {
    lmp_waitword w = {&s->quiet, 1};
    lmp_os_futex_wait(&w, 1, lmp_os_now() + 100 * LMP_MSEC);
  }
  lmp_store_rel32(&s->idle[worker], 0);
}

/* Until the worker is in the family. One that is killed on its way in keeps its slot for a while, and there are few here;
 * chaos.c kills such. */
static void wait_for(unsigned worker) {
  uint64_t end = lmp_os_now() + stall;
  while (!lmp_load_acq32(&s->there[worker]) && lmp_os_now() < end) {
    lmp_os_sleep(lmp_os_now() + 20 * LMP_USEC);
  }
  must(lmp_load_acq32(&s->there[worker]), "a worker does not come");
}

static pid_t start(unsigned what, unsigned worker) {
  fflush(NULL);
  seed += 77;
  lmp_store_rel32(&s->idle[worker], 0);
  lmp_store_rel32(&s->there[worker], 0);
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) {
    wait_for(worker);
    return pid;
  }
  lmp_obj_forget(&a);
  enter();
  for (unsigned i = 0; i < THINGS; i++) must(!lmp_obj_hold(&me, things[i]), "hold");
  lmp_store_rel32(&s->there[worker], 1);
  while (!lmp_load_acq32(&s->stop)) {
    if (what == COND) {
      if (worker < GIVERS) {
        give_token(worker);
      } else {
        take_token();
      }
    } else if (lmp_load_acq32(&s->quiet)) {
      be_idle(worker);
    } else {
      use_lock(what);
    }
    lmp_add_ar64(&s->turns, 1);
  }
  lmp_obj_release_all(&me, a.proc);
  lmp_me_detach(&me);
  _exit(0);
}

/* -- rounds ------------------------------------------------------------------------------------- */

static float felt[ROUNDS_MOST]; /* from a kill until all was well, ms */
static unsigned nfelt;

static void kill_one(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  if (!ticks) lmp_reap_all(&me);
}

/* Waits until all is well again. */
static void settle(bool (*well)(unsigned victim), unsigned victim, const char *what) {
  uint64_t began = lmp_os_now();
  uint64_t now = began;
  while (!well(victim) && !lmp_load_acq32(&s->errors)) {
    lmp_os_sleep(now + 50 * LMP_USEC);
    now = lmp_os_now();
    if (now > began + stall) fail(what);
  }
  if (nfelt < ROUNDS_MOST) felt[nfelt++] = (float)(now - began) / 1e6f;
}

static bool all_idle(unsigned victim) {
  for (unsigned i = 0; i < WORKERS; i++) {
    if (i != victim && !lmp_load_acq32(&s->idle[i])) return false;
  }
  return true;
}

/* The traffic stops shortly before or after the kill. */
static void lock_round(const pid_t *pids, unsigned victim) {
  bool before = pick(2);
  lmp_os_sleep(lmp_os_now() + pick(500) * LMP_USEC);
  if (before) lmp_store_rel32(&s->quiet, 1);
  relax(pick(100));
  kill_one(pids[victim]);
  lmp_store_rel32(&s->quiet, 1);
  settle(all_idle, victim, "a lock is free, and somebody waits for it");
}

static bool all_taken(unsigned victim) {
  (void)victim;
  return !lmp_load_acq32(&s->give) && !lmp_load_acq32(&s->tokens);
}

static void order(void) { lmp_store_rel32(&s->give, pick(2) ? 1 : 1 + pick(5)); }

static void kill_giver(pid_t pid, unsigned victim) {
  lmp_store_rel32(&s->began, 0);
  lmp_store_rel32(&s->only, victim + 1);
  kill_at_futex(pid, 1 + pick(3), &s->began, order);
  lmp_store_rel32(&s->only, 0);
  if (!ticks) lmp_reap_all(&me);
}

static void cond_round(const pid_t *pids, unsigned victim) {
  lmp_store_rel32(&s->timed, pick(4) == 0);
  if (victim < GIVERS && pick(2)) {
    kill_giver(pids[victim], victim);
  } else {
    order();
    while (pick(4) == 0 && lmp_load_acq32(&s->give)) lmp_os_relax();
    relax(pick(pick(4) ? 3000 : 500));
    kill_one(pids[victim]);
  }
  get(COND, LMP_FOREVER); /* or nobody is told of a lock that was abandoned */
  let_go(COND);
  settle(all_taken, victim, "there are tokens, and all wait for them");
}

static void check_end(void) {
  uint64_t end = lmp_os_now() + 10 * LMP_SEC;
  for (unsigned i = 0; i < THINGS; i++) {
    get(i, LMP_FOREVER);
    let_go(i);
    const char *bad = i != COND ? lmp_lock_valid(&a, at(i)) : NULL;
    if (bad) fail(bad);
  }
  for (;;) { /* who was killed on its way in is given up after some seconds */
    lmp_reap_all(&me);
    const char *bad = lmp_cond_valid(&a, at(COND));
    if (!bad) break;
    if (lmp_os_now() > end) {
      fail(bad);
      break;
    }
    lmp_os_sleep(lmp_os_now() + 50 * LMP_MSEC);
  }
}

static int by_size(const void *x, const void *y) {
  float d = *(const float *)x - *(const float *)y;
  return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"kills", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"stall", required_argument, NULL, 'w'},
                                          {"ticks", no_argument, NULL, 't'},
                                          {0}};
  static const char *const names[] = {"lock", "rlock", "condition"};
  uint64_t most = 1000, kills = 0;
  unsigned what = THINGS;
  pid_t pids[WORKERS];
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 'k') most = strtoull(optarg, NULL, 10);
    if (c == 's') seed = strtoull(optarg, NULL, 10);
    if (c == 'w') stall = strtoull(optarg, NULL, 10) * LMP_SEC;
    if (c == 't') ticks = true;
    if (c == '?') return 2;
  }
  for (unsigned i = 0; i < THINGS && optind < argc; i++) {
    if (strcmp(names[i], argv[optind]) == 0) what = i;
  }
  must(what != THINGS, "lock, rlock or condition?");
  s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(s != MAP_FAILED, "mmap");
  lmp_arena_config config = {.memory = 4u << 20, .nproc = 64, .nctx = 64, .nobj = 64};
  must(!lmp_arena_create(&a, &config), "arena");
  if (!ticks) a.tick_least = HOUR;
  a.kinds[LMP_KIND_LOCK] = &lmp_lock_kind;
  a.kinds[LMP_KIND_RLOCK] = &lmp_rlock_kind;
  a.kinds[LMP_KIND_CONDITION] = &lmp_cond_kind;
  enter();
  must(!lmp_lock_new(&me, NULL, 0, &things[LOCK]), "lock");
  must(!lmp_rlock_new(&me, NULL, 0, &things[RLOCK]), "rlock");
  must(!lmp_cond_new(&me, NULL, 0, NULL, &things[COND]), "condition");
  for (unsigned i = 0; i < WORKERS; i++) pids[i] = start(what, i);
  while (kills < most && !lmp_load_acq32(&s->errors)) {
    unsigned victim = pick(WORKERS);
    if (what == COND) {
      cond_round(pids, victim);
    } else {
      lock_round(pids, victim);
    }
    if (++kills % 16 == 0) lmp_reap_all(&me); /* or the table of processes is full */
    pids[victim] = start(what, victim);
    lmp_store_rel32(&s->quiet, 0);
    lmp_os_futex_wake(&s->quiet, INT32_MAX);
  }
  lmp_store_rel32(&s->stop, 1);
  for (unsigned i = 0; i < WORKERS; i++) {
    kill(pids[i], SIGKILL);
    waitpid(pids[i], NULL, 0);
    kills++;
  }
  if (!s->errors) check_end();
  /* A worker is in one lock at a time, or in an RLock and a Lock. */
  if (s->told > kills * (what == RLOCK ? 2 : 1)) fail("told of locks that nobody abandoned");
  qsort(felt, nfelt, sizeof *felt, by_size);
  printf("%s: %llu kills, %llu turns, %u times told, %u errors %s\n", names[what],
         (unsigned long long)kills, (unsigned long long)s->turns, s->told, s->errors, s->error);
  if (nfelt) {
    printf("all well %.2f ms after a kill (median), %.2f (99%%), %.1f (at most)\n",
           (double)felt[nfelt / 2], (double)felt[nfelt - 1 - nfelt / 100], (double)felt[nfelt - 1]);
  }
  return s->errors != 0;
}
