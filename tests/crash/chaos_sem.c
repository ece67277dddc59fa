/* crash/chaos_sem.c: random SIGKILL on users of one primitive: chaos_sem [OPTIONS] WHAT.
 * SPDX-License-Identifier: MIT
 *
 * Options: --seconds N, --kills N, --seed N, --stall SECONDS. WHAT is semaphore, bounded, event or barrier. Workers use
 * it in a loop, one is killed every millisecond or so and another takes its place. Nothing may stall; permits are exact in the end, and one of one is held by one
 * at a time; rounds of a barrier go on, and how long the others took to feel a death is printed.
 *
 * No wake may be lost: about each kill the traffic stops, and nobody new comes; then all permits that are left must
 * be taken while somebody waits for one, a set event must let all through, or the watchdog says so. Ticks,
 * which would come to the rescue, are put off for an hour. (A barrier has its own, by which deaths are felt.) */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill_at.h"
#include "sync/barrier.h"
#include "sync/event.h"
#include "sync/semaphore.h"

#define WORKERS 4u
#define PERMITS 3u
#define FIRST 5u /* permits of the semaphore */

#define HOUR (3600 * LMP_SEC)

/* What all processes see besides the arena. */
typedef struct shared {
  uint32_t stop, errors, holder, hold, held;
  uint32_t quiet, idle[WORKERS];   /* nobody begins anything; who has seen it */
  uint32_t there[WORKERS];         /* it is in the family */
  uint32_t give, began;            /* signals that worker 0 is to give; it is about to */
  uint32_t round, passed[WORKERS]; /* of an event; the last one that a worker came through */
  uint32_t pulse;                  /* the event is set and cleared all the time */
  uint64_t moves;                  /* calls that went through */
  uint64_t takes_begun, takes, gives_begun, gives;
  uint64_t rounds, felt;
  char error[128];
} shared;

static shared *s;
static lmp_arena a;
static lmp_me me;
static lmp_handle h, one;
static uint64_t seed = 1;
static uint64_t stall = 20 * LMP_SEC;

static uint32_t pick(uint32_t n) {
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((seed >> 33) % n);
}

static void fail(const char *what) {
  if (lmp_add_ar32(&s->errors, 1) == 0) snprintf(s->error, sizeof s->error, "%s", what);
}

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "chaos_sem: %s\n", what);
  exit(2);
}

static lmp_obj *obj(lmp_handle x) { return lmp_obj_at(&a, x.obj); }

static void enter(void) {
  uint32_t slot;
  must(!lmp_proc_claim(&a, UINT32_MAX, &slot) && !lmp_proc_enter(&a, slot, lmp_proc_gen(&a, slot)),
       "no slot");
  must(!lmp_me_attach(&a, &me), "no context");
}

/* -- workers ------------------------------------------------------------------------------------ */

static void moved(void) { lmp_add_ar64(&s->moves, 1); }

static void relax(uint32_t n) {
  while (n-- > 0) lmp_os_relax();
}

static void sleep_on(uint32_t *word, uint32_t value) {
  lmp_waitword w = {word, value};
  lmp_os_futex_wait(&w, 1, lmp_os_now() + 100 * LMP_MSEC);
}

/* Worker 0: is it to give a signal? It spins a while, so as to be killed about the moment when it does. */
static bool ordered(void) {
  uint64_t end = lmp_os_now() + 300 * LMP_USEC;
  while (!lmp_load_acq32(&s->give)) {
    if (lmp_os_now() > end) {
      sleep_on(&s->give, 0);
      return false;
    }
    relax(10);
  }
  lmp_add_ar32(&s->give, UINT32_MAX);
  lmp_store_rel32(&s->began, 1);
  relax(pick(150));
  return true;
}

/* The first gives signals, the others take them. */
static void use_semaphore(unsigned worker) {
  if (worker) {
    lmp_add_ar64(&s->takes_begun, 1);
    if (lmp_semaphore_acquire(&me, obj(h), LMP_FOREVER)) fail("acquire");
    lmp_add_ar64(&s->takes, 1);
  } else if (ordered()) {
    lmp_add_ar64(&s->gives_begun, 1);
    if (lmp_semaphore_release(&me, obj(h))) fail("release");
    lmp_add_ar64(&s->gives, 1);
  }
}

static void use_bounded(unsigned worker) {
  if (lmp_load_acq32(&s->quiet)) {
    lmp_store_rel32(&s->idle[worker], 1);
    while (lmp_load_acq32(&s->quiet) && !lmp_load_acq32(&s->stop)) sleep_on(&s->quiet, 1);
    lmp_store_rel32(&s->idle[worker], 0);
  }
  if (lmp_bounded_acquire(&me, obj(h), LMP_FOREVER)) fail("acquire");
  if (lmp_bounded_held(&a, obj(h), me.id) != 1) fail("a permit that was taken is not held");
  if (lmp_bounded_acquire(&me, obj(one), LMP_FOREVER)) fail("acquire of the one");
  uint32_t mine = (uint32_t)getpid();
  lmp_store_rel32(&s->holder, mine);
  for (unsigned i = pick(8) ? 20 : 2000; i > 0; i--) {
    if (lmp_load_acq32(&s->holder) != mine) fail("two hold the one");
  }
  if (lmp_bounded_release(&me, obj(one))) fail("release of the one");
  if (lmp_bounded_release(&me, obj(h))) fail("release");
}

/* The first sets it, once or all the time; the others wait for it, once in each round. */
static void use_event(unsigned worker) {
  if (worker) {
    uint32_t round = lmp_load_acq32(&s->round);
    if (lmp_load_acq32(&s->passed[worker]) == round) {
      sleep_on(&s->round, round);
      return;
    }
    if (lmp_event_wait(&me, obj(h), LMP_FOREVER)) fail("wait");
    lmp_store_rel32(&s->passed[worker], round);
  } else if (ordered()) {
    lmp_event_set(&me, obj(h));
    while (lmp_load_acq32(&s->pulse)) {
      lmp_event_clear(obj(h));
      relax(pick(100));
      lmp_event_set(&me, obj(h));
    }
  }
}

static void use_barrier(unsigned worker) {
  lmp_party p;
  while (worker == 0 && lmp_load_acq32(&s->hold)) {
    lmp_store_rel32(&s->held, 1);
    lmp_os_sleep(lmp_os_now() + 100 * LMP_USEC);
  }
  lmp_err e = lmp_barrier_arrive(&me, obj(h), LMP_FOREVER, &p);
  if (!e) {
    e = p.last ? lmp_barrier_release(&me, obj(h), &p)
               : lmp_barrier_await(&me, obj(h), LMP_FOREVER, &p);
  }
  if (e == LMP_E_BROKEN) {
    lmp_store_rel64(&s->felt, lmp_os_now());
    if (lmp_barrier_broken(obj(h))) lmp_barrier_reset(&me, obj(h));
  } else if (e) {
    fail("wait");
  } else {
    lmp_add_ar64(&s->rounds, 1);
  }
}

static void semaphore_round(const pid_t *pids, unsigned victim);
static void bounded_round(const pid_t *pids, unsigned victim);
static void event_round(const pid_t *pids, unsigned victim);
static void barrier_round(const pid_t *pids, unsigned victim);

static const struct use {
  const char *name;
  void (*use)(unsigned worker);
  void (*round)(const pid_t *pids, unsigned victim); /* one is killed, and then all is well */
} uses[] = {{"semaphore", use_semaphore, semaphore_round},
            {"bounded", use_bounded, bounded_round},
            {"event", use_event, event_round},
            {"barrier", use_barrier, barrier_round}};

/* Until the worker is in the family. One that is killed on its way in keeps its slot for a while, and there are few here;
 * chaos.c kills such. */
static void wait_for(unsigned worker) {
  uint64_t end = lmp_os_now() + stall;
  while (!lmp_load_acq32(&s->there[worker]) && lmp_os_now() < end) {
    lmp_os_sleep(lmp_os_now() + 20 * LMP_USEC);
  }
  must(lmp_load_acq32(&s->there[worker]), "a worker does not come");
}

static pid_t start(const struct use *u, unsigned worker) {
  fflush(NULL);
  seed += 77;
  lmp_store_rel32(&s->idle[worker], 0);
  lmp_store_rel32(&s->passed[worker], 0);
  lmp_store_rel32(&s->there[worker], 0);
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) {
    wait_for(worker);
    return pid;
  }
  lmp_obj_forget(&a);
  enter();
  if (lmp_obj_hold(&me, h) || lmp_obj_hold(&me, one)) _exit(3);
  lmp_store_rel32(&s->there[worker], 1);
  while (!lmp_load_acq32(&s->stop)) {
    u->use(worker);
    moved();
  }
  lmp_obj_release_mine(&me);
  lmp_me_detach(&me);
  _exit(0);
}

/* -- the end ------------------------------------------------------------------------------------ */

static void check_end(const struct use *u) {
  lmp_reap_all(&me);
  lmp_reap_all(&me);
  if (u->use == use_semaphore) {
    uint64_t v = lmp_semaphore_value(obj(h));
    if (v + s->takes > FIRST + s->gives_begun || v + s->takes_begun < FIRST + s->gives)
      fail("permits are not exact");
  } else if (u->use == use_bounded) {
    if (lmp_bounded_value(&a, obj(h)) != PERMITS || lmp_bounded_value(&a, obj(one)) != 1) {
      fail("permits of the dead did not come back");
    }
  } else if (u->use == use_barrier) {
    const char *bad = lmp_barrier_valid(&a, obj(h));
    if (bad) fail(bad);
  }
  lmp_obj_unref(&me, h);
  lmp_obj_unref(&me, one);
  lmp_collect(&me);
  if (lmp_memory_used(&a) != 0) fail("memory is not given back");
  if (lmp_obj_count(&a) != 0) fail("objects stay");
}

static lmp_err make(const struct use *u) {
  if (lmp_bounded_new(&me, NULL, 0, 1, &one)) return LMP_E_NOMEM;
  if (u->use == use_semaphore) return lmp_semaphore_new(&me, NULL, 0, FIRST, &h);
  if (u->use == use_bounded) return lmp_bounded_new(&me, NULL, 0, PERMITS, &h);
  if (u->use == use_event) return lmp_event_new(&me, NULL, 0, &h);
  return lmp_barrier_new(&me, NULL, 0, WORKERS, LMP_FOREVER, NULL, &h);
}

/* Until a death is felt by those who wait at the barrier, when nobody else looks. Worker 0 is held back meanwhile. Returns who was killed. */
#define FELT_MOST 10000u
static uint64_t felt[FELT_MOST];
static unsigned nfelt;
static unsigned feel(const pid_t *pids) {
  unsigned w = 1 + pick(WORKERS - 1);
  uint64_t end = lmp_os_now() + stall;
  lmp_store_rel32(&s->held, 0);
  lmp_store_rel32(&s->hold, 1);
  while (!(lmp_load_acq32(&s->held) && lmp_barrier_waiting(&a, obj(h)) == WORKERS - 1) &&
         lmp_os_now() < end) {
    lmp_os_sleep(lmp_os_now() + LMP_MSEC);
  }
  uint64_t killed = lmp_os_now();
  kill(pids[w], SIGKILL);
  waitpid(pids[w], NULL, 0);
  while (lmp_load_acq64(&s->felt) < killed && lmp_os_now() < end) {
    lmp_os_sleep(lmp_os_now() + LMP_MSEC);
  }
  uint64_t when = lmp_load_acq64(&s->felt);
  if (when < killed) fail("a death is not felt");
  if (nfelt < FELT_MOST) felt[nfelt++] = when - killed;
  lmp_store_rel32(&s->hold, 0);
  return w;
}

static int by_size(const void *x, const void *y) {
  uint64_t d = *(const uint64_t *)x;
  uint64_t e = *(const uint64_t *)y;
  return d < e ? -1 : d > e;
}

/* -- rounds ------------------------------------------------------------------------------------- */

static void kill_one(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  lmp_reap_all(&me);
}

static void settle(bool (*well)(unsigned victim), unsigned victim, const char *what) {
  uint64_t end = lmp_os_now() + stall;
  while (!well(victim) && !lmp_load_acq32(&s->errors)) {
    lmp_os_sleep(lmp_os_now() + 50 * LMP_USEC);
    if (lmp_os_now() > end) fail(what);
  }
}

/* Worker 0 gives signals; it, or another, is killed at about that time. Most times it is one alone: the next would
 * wake whom it did not. */
static void give_order(void) {
  lmp_store_rel32(&s->give, pick(4) ? 1 : 1 + pick(4));
  lmp_os_futex_wake(&s->give, 1);
}

static void order(const pid_t *pids, unsigned victim) {
  uint64_t end = lmp_os_now() + LMP_MSEC;
  lmp_store_rel32(&s->began, 0);
  if (victim == 0 && pick(4) == 0) {
    kill_at_futex(pids[0], 1, &s->began, give_order);
    lmp_reap_all(&me);
    lmp_store_rel32(&s->give, 0);
    return;
  }
  give_order();
  while (!lmp_load_acq32(&s->began) && lmp_os_now() < end) lmp_os_relax();
  relax(pick(pick(4) ? 60 : 2000));
  kill_one(pids[victim]);
  if (victim == 0) lmp_store_rel32(&s->give, 0);
}

static bool all_taken(unsigned victim) {
  (void)victim;
  return !lmp_load_acq32(&s->give) && lmp_semaphore_value(obj(h)) == 0;
}

static void semaphore_round(const pid_t *pids, unsigned victim) {
  order(pids, victim);
  settle(all_taken, victim, "there are permits, and all wait for them");
}

static bool all_idle(unsigned victim) {
  for (unsigned i = 0; i < WORKERS; i++) {
    if (i != victim && !lmp_load_acq32(&s->idle[i])) return false;
  }
  return true;
}

static void bounded_round(const pid_t *pids, unsigned victim) {
  bool before = pick(2);
  lmp_os_sleep(lmp_os_now() + pick(500) * LMP_USEC);
  if (before) lmp_store_rel32(&s->quiet, 1);
  kill_one(pids[victim]);
  lmp_store_rel32(&s->quiet, 1);
  settle(all_idle, victim, "there are permits, and somebody waits for one");
}

static bool all_passed(unsigned victim) {
  for (unsigned i = 1; i < WORKERS; i++) {
    if (i != victim && lmp_load_acq32(&s->passed[i]) != s->round) return false;
  }
  return true;
}

static void event_round(const pid_t *pids, unsigned victim) {
  lmp_event_clear(obj(h));
  lmp_add_ar32(&s->round, 1);
  lmp_os_futex_wake(&s->round, INT32_MAX);
  lmp_os_sleep(lmp_os_now() + pick(200) * LMP_USEC);
  lmp_store_rel32(&s->pulse, pick(4) == 0);
  order(pids, victim);
  lmp_store_rel32(&s->pulse, 0);
  while (victim && lmp_load_acq32(&s->give)) lmp_os_sleep(lmp_os_now() + 50 * LMP_USEC);
  /* A second set would wake those whom the first one left asleep. */
  if (victim == 0 && !lmp_event_is_set(obj(h))) lmp_event_set(&me, obj(h));
  settle(all_passed, victim, "the event is set, and somebody waits for it");
}

static void barrier_round(const pid_t *pids, unsigned victim) {
  lmp_os_sleep(lmp_os_now() + LMP_MSEC + pick(1000) * LMP_USEC);
  kill(pids[victim], SIGKILL);
  waitpid(pids[victim], NULL, 0);
  if (pick(2)) lmp_reap_all(&me); /* else the others find it */
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"seconds", required_argument, NULL, 't'},
                                          {"kills", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"stall", required_argument, NULL, 'w'},
                                          {0}};
  uint64_t seconds = 8, most = UINT64_MAX, kills = 0, before = 0;
  const struct use *u = NULL;
  pid_t pids[WORKERS];
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 't') seconds = strtoull(optarg, NULL, 10);
    if (c == 'k') most = strtoull(optarg, NULL, 10), seconds = 3600;
    if (c == 's') seed = strtoull(optarg, NULL, 10);
    if (c == 'w') stall = strtoull(optarg, NULL, 10) * LMP_SEC;
    if (c == '?') return 2;
  }
  for (size_t i = 0; i < LMP_COUNT(uses) && optind < argc; i++) {
    if (strcmp(uses[i].name, argv[optind]) == 0) u = &uses[i];
  }
  must(u != NULL, "semaphore, bounded, event or barrier?");
  s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(s != MAP_FAILED, "mmap");
  lmp_arena_config config = {.memory = 16u << 20, .nproc = 64, .nctx = 64, .nobj = 4096};
  must(!lmp_arena_create(&a, &config), "arena");
  a.tick_least = HOUR;
  a.kinds[LMP_KIND_SEMAPHORE] = &lmp_semaphore_kind;
  a.kinds[LMP_KIND_BOUNDED] = &lmp_bounded_kind;
  a.kinds[LMP_KIND_EVENT] = &lmp_event_kind;
  a.kinds[LMP_KIND_BARRIER] = &lmp_barrier_kind;
  enter();
  must(!make(u), "object");
  for (unsigned i = 0; i < WORKERS; i++) pids[i] = start(u, i);
  uint64_t end = lmp_os_now() + seconds * LMP_SEC;
  uint64_t last = lmp_os_now();
  while (kills < most && lmp_os_now() < end && !s->errors) {
    unsigned w = pick(WORKERS);
    if (u->use == use_semaphore || u->use == use_event) w = pick(2) ? 0 : w;
    if (u->use == use_barrier && kills % 64 == 0) {
      w = feel(pids);
    } else {
      u->round(pids, w);
    }
    if (kills % 16 == 0) lmp_reap_all(&me); /* or the table of processes is full */
    pids[w] = start(u, w);
    lmp_store_rel32(&s->quiet, 0);
    lmp_os_futex_wake(&s->quiet, INT32_MAX);
    kills++;
    if (s->moves != before) {
      before = s->moves;
      last = lmp_os_now();
    } else if (lmp_os_now() > last + stall) {
      fail("nothing moves");
    }
  }
  lmp_store_rel32(&s->stop, 1);
  for (unsigned i = 0; i < WORKERS; i++) {
    kill(pids[i], SIGKILL);
    waitpid(pids[i], NULL, 0);
    kills++;
  }
  check_end(u);
  printf("%s: %llu kills, %llu calls, %llu through the barrier, %u errors %s\n", u->name,
         (unsigned long long)kills, (unsigned long long)s->moves, (unsigned long long)s->rounds,
         s->errors, s->error);
  qsort(felt, nfelt, sizeof *felt, by_size);
  if (nfelt) {
    uint32_t middle = nfelt / 2;
    printf("%u deaths felt after %.1f ms (median), %.1f ms (at most)\n", nfelt,
           (double)felt[middle] / 1e6, (double)felt[nfelt - 1] / 1e6);
  }
  return s->errors != 0;
}
