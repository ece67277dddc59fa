/* crash/chaos.c: random SIGKILL on real processes: chaos [--seconds N] [--kills N] [--seed N].
 * SPDX-License-Identifier: MIT
 *
 * Producers and consumers on a bounded and an unbounded queue, small messages, blocks, handles; one of
 * the consumers waits for both queues at once. Each
 * message names its producer and its number there. Nothing may come twice or out of order; what was
 * put may only be lost with a consumer that was killed, a batch at most; nothing may stall; in the end
 * all memory and all objects are given back. */
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/queue.h"
#include "check.h"
#include "sync/wait_any.h"

#define WORKERS 6u
#define PRODUCERS 3u
#define BATCH 8u
#define SEQS 2048u /* messages of one producer number; then it takes another */
#define NUMBERS (1u << 16)
#define LARGE 3000u
#define STALL (10 * LMP_SEC)

/* What all processes see besides the arena. */
typedef struct shared {
  uint32_t next, stop, errors;
  uint64_t received;
  uint32_t acked[NUMBERS];
  uint32_t seen[NUMBERS][SEQS / 32];
  char error[128];
} shared;

static shared *s;
static lmp_arena a;
static lmp_me me;
static lmp_handle queues[2];
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
  fprintf(stderr, "chaos: %s\n", what);
  exit(2);
}

static void enter(void) {
  uint32_t slot;
  must(!lmp_proc_claim(&a, UINT32_MAX, &slot) && !lmp_proc_enter(&a, slot, lmp_proc_gen(&a, slot)),
       "no slot");
  must(!lmp_me_attach(&a, &me), "no context");
}

/* -- workers ------------------------------------------------------------------------------------ */

static lmp_err put(uint32_t number, uint32_t seq, lmp_handle named) {
  uint8_t bytes[LARGE];
  size_t size = seq % 7 == 0 ? LARGE : 8 + seq % 90;
  uint32_t head[2] = {number, seq};
  lmp_iov iov[2] = {{head, sizeof head}, {bytes, size - sizeof head}};
  lmp_msg m = {.iov = iov, .niov = 2, .len = size, .handles = &named, .nhandles = named.obj != 0};
  size_t done;
  lmp_err e;
  memset(bytes, (int)(number + seq), sizeof bytes);
  do {
    e = lmp_queue_put(&me, lmp_obj_at(&a, queues[number % 2].obj), &m, 1, LMP_FOREVER, &done);
  } while (e == LMP_E_INTR);
  return e;
}

static void produce(void) {
  while (!lmp_load_acq32(&s->stop)) {
    uint32_t number = lmp_add_ar32(&s->next, 1);
    if (number >= NUMBERS) return;
    for (uint32_t seq = 0; seq < SEQS && !lmp_load_acq32(&s->stop); seq++) {
      lmp_handle named = {0, 0};
      if (seq % 16 == 5 && lmp_queue_new(&me, "a queue that is only sent around", 32, 0, &named)) {
        named.obj = 0; /* memory or table are full now */
      }
      lmp_err e = put(number, seq, named);
      if (named.obj) lmp_obj_unref(&me, named);
      if (e == LMP_E_CLOSED) return;
      if (e) fail("put");
      lmp_store_rel32(&s->acked[number], seq + 1);
    }
  }
}

static void take(const lmp_in *in) {
  static uint16_t last[NUMBERS];
  uint32_t head[2];
  memcpy(head, in->data, sizeof head);
  if (in->len < sizeof head || head[0] >= NUMBERS || head[1] >= SEQS) {
    fail("a message that nobody put");
    return;
  }
  for (size_t i = sizeof head; i < in->len; i++) {
    if (in->data[i] != (uint8_t)(head[0] + head[1])) fail("a message is torn");
  }
  uint32_t bit = 1u << head[1] % 32;
  if (lmp_or_ar32(&s->seen[head[0]][head[1] / 32], bit) & bit) fail("a message came twice");
  if (last[head[0]] > head[1]) fail("messages of one producer out of order");
  last[head[0]] = (uint16_t)(head[1] + 1);
  if (in->nhandles && !lmp_obj_get(&a, in->handles[0]))
    fail("a message names an object that is gone");
  lmp_add_ar64(&s->received, 1);
}

static lmp_err consume(unsigned q, uint64_t deadline) {
  static lmp_inbox box;
  if (!box.buf) must(lmp_inbox_init(&box), "memory");
  lmp_err e = lmp_queue_get(&me, lmp_obj_at(&a, queues[q].obj), BATCH, deadline, &box);
  for (uint32_t i = 0; i < box.n; i++) {
    take(&box.in[i]);
    lmp_inbox_done(&me, &box, i);
  }
  return e;
}

/* In turn on the word of its bell and on its socket, beside a descriptor that is never readable. */
static void wait_and_consume(unsigned turn) {
  lmp_waiter w = {0};
  int idle[2];
  must(pipe(idle) == 0, "pipe");
  bool ok = lmp_waiter_obj(&w, lmp_obj_at(&a, queues[0].obj)) &&
            lmp_waiter_obj(&w, lmp_obj_at(&a, queues[1].obj)) &&
            (turn % 2 == 0 || lmp_waiter_fd(&w, idle[0]));
  must(ok, "memory");
  for (;;) {
    lmp_err e = lmp_wait_any(&me, &w, LMP_FOREVER);
    if (e && e != LMP_E_INTR) fail("wait");
    for (unsigned q = 0; q < 2 && !e; q++) {
      if (w.src[q].ready && consume(q, LMP_NOWAIT) == LMP_E_CLOSED) _exit(0);
    }
  }
}

static pid_t start(unsigned worker) {
  static unsigned turn;
  turn++;
  fflush(NULL);
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) return pid;
  lmp_obj_forget(&a);
  enter();
  if (lmp_obj_hold(&me, queues[0]) || lmp_obj_hold(&me, queues[1])) _exit(3);
  if (worker < PRODUCERS) {
    produce();
  } else if (worker == WORKERS - 1) {
    wait_and_consume(turn);
  } else {
    while (consume(worker % 2, LMP_FOREVER) != LMP_E_CLOSED) {
    }
  }
  lmp_obj_release_all(&me, a.proc);
  lmp_me_detach(&me);
  _exit(0);
}

/* -- the end ------------------------------------------------------------------------------------ */

static bool ctx_lives(uint32_t id) { return id == me.id; }
static bool ctx_sleeps(uint32_t id) { return id == 0; }
static bool proc_lives(uint32_t slot) { return slot == a.proc; }
static jmp_buf out;
static void check_fail(const char *what) {
  fail(what);
  longjmp(out, 1);
}

/* A worker that was killed on its way in is given up after some seconds. */
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

static void check_end(uint64_t consumers_killed) {
  check_env e = {&me, ctx_lives, ctx_sleeps, proc_lives, check_fail};
  volatile uint64_t lost = 0;
  if (setjmp(out)) return;
  reap();
  check_arena(&e);
  for (unsigned q = 0; q < 2; q++) {
    while (consume(q, LMP_NOWAIT) == LMP_OK) {
    }
  }
  for (uint32_t p = 0; p < s->next && p < NUMBERS; p++) {
    for (uint32_t seq = 0; seq < s->acked[p]; seq++)
      lost += !(s->seen[p][seq / 32] >> seq % 32 & 1);
  }
  if (lost > consumers_killed * BATCH) check_fail("more was lost than killed consumers had taken");
  lmp_collect(&me);
  lmp_collect(&me);
  check_arena(&e);
  if (lmp_memory_used(&a) != 0) check_fail("memory is not given back");
  if (lmp_obj_count(&a) != 2) check_fail("objects stay");
  printf("%llu lost, ", (unsigned long long)lost);
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"seconds", required_argument, NULL, 't'},
                                          {"kills", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 's'},
                                          {0}};
  uint64_t seconds = 20, most = UINT64_MAX, kills = 0, consumers = 0;
  pid_t pids[WORKERS];
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 't') seconds = strtoull(optarg, NULL, 10);
    if (c == 'k') most = strtoull(optarg, NULL, 10), seconds = 3600;
    if (c == 's') seed = strtoull(optarg, NULL, 10);
    if (c == '?') return 2;
  }
  s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
           0);
  must(s != MAP_FAILED, "mmap");
  lmp_arena_config config = {.memory = 16u << 20, .nproc = 64, .nctx = 64, .nobj = 4096};
  must(!lmp_arena_create(&a, &config), "arena");
  a.kinds[LMP_KIND_QUEUE] = &lmp_queue_kind;
  enter();
  must(!lmp_queue_new(&me, NULL, 0, 64, &queues[0]), "queue");
  must(!lmp_queue_new(&me, NULL, 0, 0, &queues[1]), "queue");
  for (unsigned i = 0; i < WORKERS; i++) pids[i] = start(i);
  uint64_t end = lmp_os_now() + seconds * LMP_SEC;
  uint64_t moved = lmp_os_now();
  uint64_t before = 0;
  while (kills < most && lmp_os_now() < end && !s->errors && s->next < NUMBERS) {
    lmp_os_sleep(lmp_os_now() + LMP_MSEC + pick(1000) * LMP_USEC);
    unsigned w = pick(WORKERS);
    kill(pids[w], SIGKILL);
    waitpid(pids[w], NULL, 0);
    lmp_reap_all(&me);
    pids[w] = start(w);
    kills++;
    consumers += w >= PRODUCERS;
    if (s->received != before) {
      before = s->received;
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
    consumers += i >= PRODUCERS;
  }
  check_end(consumers);
  printf("%llu kills, %llu messages, %u producers, %u errors %s\n", (unsigned long long)kills,
         (unsigned long long)s->received, s->next, s->errors, s->error);
  return s->errors != 0;
}
