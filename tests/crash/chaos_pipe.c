/* crash/chaos_pipe.c: random SIGKILL on processes that pass ends of pipes around: chaos_pipe
 * [--seconds N] [--kills N] [--seed N].
 * SPDX-License-Identifier: MIT
 *
 * A client makes a pipe, puts its second end into a queue, lets go of it and receives at the first until the
 * stream ends. A server takes an end, sends a few messages on, and closes it or puts it back for another
 * server; some ends are sent through their own pipe. Nobody has a time-out: an end of a stream that is not
 * seen stalls its client for ever. A client gets the messages of a round in order, without gaps. In the
 * end all memory and all objects are given back. */
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/pipe.h"
#include "check.h"

#define WORKERS 6u
#define CLIENTS 3u
#define LARGE 3000u
#define HOPS 4u
#define STALL (10 * LMP_SEC)

/* What all processes see besides the arena. */
typedef struct shared {
  uint32_t stop, errors;
  uint64_t rounds, messages, since[WORKERS]; /* when a client's round began */
  char error[128];
} shared;

typedef struct text {
  uint32_t seq, hops;
} text;

static shared *s;
static lmp_arena a;
static lmp_me me;
static lmp_handle hub;
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
  fprintf(stderr, "chaos_pipe: %s\n", what);
  exit(2);
}

static void enter(void) {
  uint32_t slot;
  must(!lmp_proc_claim(&a, UINT32_MAX, &slot) && !lmp_proc_enter(&a, slot, lmp_proc_gen(&a, slot)),
       "no slot");
  must(!lmp_me_attach(&a, &me), "no context");
}

static lmp_err put(lmp_obj *q, text t, size_t size, lmp_handle named) {
  uint8_t bytes[LARGE];
  lmp_iov iov[2] = {{&t, sizeof t}, {bytes, size - sizeof t}};
  lmp_msg m = {.iov = iov, .niov = 2, .len = size, .handles = &named, .nhandles = named.obj != 0};
  size_t done;
  lmp_err e;
  memset(bytes, (int)t.seq, sizeof bytes);
  do {
    e = lmp_queue_put(&me, q, &m, 1, LMP_FOREVER, &done);
  } while (e == LMP_E_INTR);
  return e;
}

static lmp_inbox box;

static lmp_err get(lmp_obj *q, text *t) {
  lmp_err e;
  if (!box.buf) must(lmp_inbox_init(&box), "memory");
  do {
    e = lmp_queue_get(&me, q, 1, LMP_FOREVER, &box);
  } while (e == LMP_E_INTR);
  if (e) return e;
  memcpy(t, box.in[0].data, sizeof *t);
  for (size_t i = sizeof *t; i < box.in[0].len; i++) {
    if (box.in[0].data[i] != (uint8_t)t->seq) fail("a message is torn");
  }
  return LMP_OK;
}

/* -- workers ------------------------------------------------------------------------------------ */

static void client_round(void) {
  lmp_handle ends[2];
  text t = {0, 0};
  uint32_t expected = 0;
  if (lmp_pipe_new(&me, "a pipe that is passed around", 28, pick(2) != 0, ends)) return;
  lmp_obj *in = lmp_conn_in(&a, lmp_obj_at(&a, ends[0].obj));
  bool itself = pick(8) == 0;
  if (itself) { /* the writing end lies in the stream: taken out of it, it is let go of */
    put(lmp_conn_out(&a, lmp_obj_at(&a, ends[1].obj)), t, 100, ends[1]);
  } else {
    put(lmp_obj_at(&a, hub.obj), t, sizeof t, ends[1]);
  }
  lmp_obj_unref(&me, ends[1]);
  while (get(in, &t) == LMP_OK) {
    if (!itself && t.seq != expected) fail("messages are out of order or missing");
    expected = t.seq + 1;
    lmp_inbox_done(&me, &box, 0);
    lmp_add_ar64(&s->messages, 1);
  }
  if (itself && expected != 1) fail("the end in its own pipe did not come");
  lmp_obj_unref(&me, ends[0]);
}

static bool server_round(void) {
  text t;
  lmp_obj *queue = lmp_obj_at(&a, hub.obj);
  if (get(queue, &t)) return false;
  lmp_handle end = box.in[0].handles[0];
  if (!lmp_obj_get(&a, end)) {
    fail("a message names an end that is gone");
    return false;
  }
  lmp_obj *out = lmp_conn_out(&a, lmp_obj_at(&a, end.obj));
  uint32_t n = pick(4);
  for (uint32_t i = 0; i < n; i++, t.seq++) {
    lmp_err e = put(out, t, t.seq % 3 == 1 ? LARGE : 30, (lmp_handle){0, 0});
    if (e == LMP_E_CLOSED) break; /* the client was killed */
    if (e) fail("send");
  }
  if (++t.hops < HOPS && pick(2)) put(queue, t, sizeof t, end);
  lmp_inbox_done(&me, &box, 0);
  return true;
}

static pid_t start(unsigned worker) {
  fflush(NULL);
  uint64_t mine = seed + worker * 7919 + lmp_os_now();
  lmp_store_rel64(&s->since[worker], lmp_os_now());
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) return pid;
  lmp_obj_forget(&a);
  enter();
  seed = mine;
  if (lmp_obj_hold(&me, hub)) _exit(3);
  while (!lmp_load_acq32(&s->stop)) {
    if (worker >= CLIENTS) {
      if (!server_round()) break;
    } else {
      client_round();
      lmp_store_rel64(&s->since[worker], lmp_os_now());
      lmp_add_ar64(&s->rounds, 1);
    }
  }
  lmp_obj_release_mine(&me);
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

static bool any_starting(void) {
  for (uint32_t i = 0; i < a.h->hd_proc_hwm; i++) {
    if (lmp_proc_state(&a, i) == LMP_PROC_STARTING) return true;
  }
  return false;
}

static void check_end(void) {
  check_env e = {&me, ctx_lives, ctx_sleeps, proc_lives, check_fail};
  if (setjmp(out)) return;
  uint64_t end = lmp_os_now() + 10 * LMP_SEC;
  lmp_reap_all(&me);
  while (any_starting() && lmp_os_now() < end) {
    (void)lmp_os_sleep(lmp_os_now() + 100 * LMP_MSEC);
    lmp_reap_all(&me);
  }
  lmp_reap_all(&me);
  check_arena(&e);
  lmp_queue_cancel(&me, lmp_obj_at(&a, hub.obj));
  lmp_collect(&me);
  lmp_collect(&me);
  check_arena(&e);
  if (lmp_memory_used(&a) != 0) check_fail("memory is not given back");
  if (lmp_obj_count(&a) != 1) check_fail("objects stay");
}

static bool stalled(void) {
  uint64_t now = lmp_os_now();
  for (unsigned i = 0; i < CLIENTS; i++) {
    uint64_t since = lmp_load_acq64(&s->since[i]);
    if (now > since + STALL) return true;
  }
  return false;
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"seconds", required_argument, NULL, 't'},
                                          {"kills", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 's'},
                                          {0}};
  uint64_t seconds = 20, most = UINT64_MAX, kills = 0;
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
  a.kinds[LMP_KIND_STREAM] = &lmp_stream_kind;
  a.kinds[LMP_KIND_CONNECTION] = &lmp_conn_kind;
  enter();
  must(!lmp_queue_new(&me, NULL, 0, 64, &hub), "queue");
  for (unsigned i = 0; i < WORKERS; i++) pids[i] = start(i);
  uint64_t end = lmp_os_now() + seconds * LMP_SEC;
  while (kills < most && lmp_os_now() < end && !s->errors) {
    (void)lmp_os_sleep(lmp_os_now() + LMP_MSEC + pick(1000) * LMP_USEC);
    unsigned w = kills % 64 == 63 ? pick(CLIENTS) : CLIENTS + pick(WORKERS - CLIENTS);
    kill(pids[w], SIGKILL);
    waitpid(pids[w], NULL, 0);
    lmp_reap_all(&me);
    pids[w] = start(w);
    kills++;
    if (stalled()) fail("a client waits for ever");
  }
  lmp_store_rel32(&s->stop, 1);
  for (unsigned i = 0; i < WORKERS; i++) {
    kill(pids[i], SIGKILL);
    waitpid(pids[i], NULL, 0);
    kills++;
  }
  check_end();
  printf("%llu kills, %llu rounds, %llu messages, %u errors %s\n", (unsigned long long)kills,
         (unsigned long long)s->rounds, (unsigned long long)s->messages, s->errors, s->error);
  return s->errors != 0;
}
