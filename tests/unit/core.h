/* core.h: what the tests of the core share: a small arena, and processes that can be killed in it.
 * SPDX-License-Identifier: MIT
 *
 * A test is in an arena of its own, as process 0. Peers are real children of fork; cmocka's assertions
 * are the parent's, a peer uses `must`. Nothing here sleeps for a state: `until` polls for it. */
#ifndef LUAMP_TESTS_CORE_H
#define LUAMP_TESTS_CORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena/arena.h"
#include "channel/array.h"
#include "channel/queue.h"
#include "channel/shared.h"
#include "os/os.h"
#include "process/process.h"

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)

/* In a peer: ends it with a status that peer_end does not accept. */
#define must(cond)                                                             \
  do {                                                                         \
    if (!(cond)) {                                                             \
      fprintf(stderr, "%s:%d: peer: not so: %s\n", __FILE__, __LINE__, #cond); \
      _exit(97);                                                               \
    }                                                                          \
  } while (0)

/* Polls until `cond` is true; the watchdog only turns a hang into a failure. */
#define until(cond)                                                                      \
  do {                                                                                   \
    uint64_t until_end = lmp_os_now() + 40 * LMP_SEC;                                    \
    while (!(cond)) {                                                                    \
      if (lmp_os_now() > until_end) {                                                    \
        fprintf(stderr, "%s:%d: this never came true: %s\n", __FILE__, __LINE__, #cond); \
        abort();                                                                         \
      }                                                                                  \
      (void)lmp_os_sleep(lmp_os_now() + LMP_MSEC);                                       \
    }                                                                                    \
  } while (0)

/* -- a small arena -------------------------------------------------------------------------------- */

typedef struct world {
  lmp_arena a;
  lmp_me me;
  uint32_t *word; /* 64 words that peers share, for their progress */
} world;

static inline void world_open_as(world *w, uint64_t memory, uint32_t nobj) {
  lmp_arena_config config = {.memory = memory, .nproc = 16, .nctx = 32, .nobj = nobj};
  uint32_t slot;
  assert_int_equal(lmp_arena_create(&w->a, &config), LMP_OK);
  memcpy(w->a.kinds, lmp_kinds, sizeof w->a.kinds);
  assert_int_equal(lmp_proc_claim(&w->a, UINT32_MAX, &slot), LMP_OK);
  assert_int_equal(lmp_proc_enter(&w->a, slot, lmp_proc_gen(&w->a, slot)), LMP_OK);
  assert_int_equal(lmp_me_attach(&w->a, &w->me), LMP_OK);
  w->word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(w->word != MAP_FAILED);
}

static inline void world_open(world *w) { world_open_as(w, 4 * MIB, 256); }

/* No internal lock names anybody, and nobody is in the middle of anything. */
static inline void world_at_rest(const world *w) {
  const lmp_hdr *h = w->a.h;
  assert_int_equal(w->me.depth, 0);
  assert_int_equal(lmp_load_acq32(&h->hd_run_lock), 0);
  assert_int_equal(lmp_load_acq32(&h->hd_gc_lock), 0);
  for (uint32_t i = 0; i < lmp_load_acq32(&h->hd_ctx_hwm); i++) {
    const lmp_ctx *c = &w->a.ctxs[i];
    for (unsigned k = 0; k < LMP_WANTS; k++) assert_int_equal(lmp_load_acq32(&c->cx_want[k]), 0);
    for (unsigned k = 0; k < LMP_PWAKES; k++) assert_int_equal(lmp_load_acq32(&c->cx_pwake[k]), 0);
    assert_int_equal(lmp_load_acq32(&c->cx_txn), 0);
    assert_int_equal(lmp_load_acq32(&c->cx_wait_n), 0);
    assert_int_equal(LMP_CLAIM_ID(lmp_load_acq32(&c->cx_reaper)), 0);
  }
}

static inline void world_close(world *w) {
  world_at_rest(w);
  lmp_me_detach(&w->me);
  lmp_arena_close(&w->a);
  munmap(w->word, 4096);
}

/* Nothing is left in the arena. */
static inline void world_is_empty(world *w) {
  lmp_collect(&w->me);
  assert_int_equal(lmp_obj_count(&w->a), 0);
  assert_int_equal(lmp_memory_used(&w->a), 0);
}

/* -- peers ---------------------------------------------------------------------------------------- */

typedef struct peer {
  pid_t pid;
  uint32_t slot, gen;
} peer;

/* Starts a process of the arena that runs `body`. Not STARTING any more when this returns. */
static inline peer peer_start(world *w, void (*body)(world *w, void *arg), void *arg) {
  peer p;
  assert_int_equal(lmp_proc_claim(&w->a, w->a.proc, &p.slot), LMP_OK);
  p.gen = lmp_proc_gen(&w->a, p.slot);
  p.pid = fork();
  assert_true(p.pid >= 0);
  if (p.pid == 0) {
    lmp_obj_forget(&w->a);
    must(lmp_proc_enter(&w->a, p.slot, p.gen) == LMP_OK);
    must(lmp_me_attach(&w->a, &w->me) == LMP_OK);
    body(w, arg);
    lmp_obj_release_mine(&w->me);
    lmp_me_detach(&w->me);
    _exit(0);
  }
  until(lmp_proc_state(&w->a, p.slot) != LMP_PROC_STARTING);
  return p;
}

/* Until somebody has reaped it. */
static inline void peer_reap(world *w, const peer *p) {
  until(lmp_proc_gen(&w->a, p->slot) != p->gen || lmp_reap_proc(&w->me, p->slot));
}

/* Waits for a peer that ends by itself, and reaps it. */
static inline void peer_end(world *w, const peer *p) {
  int status;
  assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
  assert_int_equal(status, 0);
  peer_reap(w, p);
}

static inline void peer_kill(const peer *p) {
  int status;
  assert_int_equal(kill(p->pid, SIGKILL), 0);
  assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A peer says that it has come to step `step`, and waits to be killed. */
static inline void peer_stay(world *w, uint32_t step) {
  lmp_store_rel32(&w->word[0], step);
  for (;;) pause();
}

/* -- queues --------------------------------------------------------------------------------------- */

static inline lmp_handle queue_make(world *w, uint32_t maxsize) {
  lmp_handle h;
  assert_int_equal(lmp_queue_new(&w->me, NULL, 0, maxsize, &h), LMP_OK);
  return h;
}

static inline lmp_err queue_put_bytes(lmp_me *me, lmp_handle q, const void *data, size_t len,
                                      const lmp_handle *handles, uint32_t n, uint64_t deadline) {
  lmp_iov piece = {data, len};
  lmp_msg m = {.iov = &piece, .niov = 1, .nhandles = n, .handles = handles, .len = len};
  size_t done;
  return lmp_queue_put(me, lmp_obj_at(me->a, q.obj), &m, 1, deadline, &done);
}

static inline lmp_err queue_put_u32(lmp_me *me, lmp_handle q, uint32_t v, uint64_t deadline) {
  return queue_put_bytes(me, q, &v, sizeof v, NULL, 0, deadline);
}

/* UINT32_MAX: none came. */
static inline uint32_t queue_get_u32(lmp_me *me, lmp_handle q, uint64_t deadline) {
  lmp_inbox box;
  uint32_t v = UINT32_MAX;
  if (!lmp_inbox_init(&box)) abort();
  if (lmp_queue_get(me, lmp_obj_at(me->a, q.obj), 1, deadline, &box) == LMP_OK) {
    if (box.n != 1 || box.in[0].len != sizeof v) abort();
    memcpy(&v, box.in[0].data, sizeof v);
    lmp_inbox_done(me, &box, 0);
  }
  lmp_inbox_fini(&box);
  return v;
}

static inline void queue_is_valid(world *w, lmp_handle q) {
  assert_ptr_equal(lmp_queue_valid(&w->me, lmp_obj_at(&w->a, q.obj)), NULL);
}

#endif
