/* threads_stress.c: the core used at random by several threads of one process.
 * SPDX-License-Identifier: MIT
 *
 * Each thread has its own lmp_me over one mapping, and handles of its own; threads meet in the shared
 * queues only, through which they also pass handles. Whatever is received is checked against what its
 * first bytes say it is; at the end nothing may be left. Threads end and begin all the time. */
#include <pthread.h>
#include <string.h>

#include "channel/queue.h"
#include "process/process.h"
#include "stress.h"

enum { SHARED = 6, OWN = 10, BLOCKS = 12, OLD = 16 };

#define MEMORY (UINT64_C(8) << 20)

static lmp_family *family;
static lmp_handle shared[SHARED];
static const uint32_t bounds[SHARED] = {0, 0, 1, 3, 40, 0};
static uint64_t stop_at;
static uint64_t operations;

typedef struct worker {
  lmp_me *me;
  uint64_t rng;
  lmp_inbox box;
  lmp_handle own[OWN];
  uint32_t nown;
  uint64_t block[BLOCKS];
  uint32_t block_len[BLOCKS];
  lmp_handle old[OLD]; /* names that may be stale by now */
} worker;

static lmp_obj *obj(lmp_handle h) { return lmp_obj_at(&family->a, h.obj); }

static uint32_t below(worker *w, uint32_t n) { return stress_below(&w->rng, n); }

static void remember(worker *w, lmp_handle h) { w->old[below(w, OLD)] = h; }

/* A queue that the thread holds. */
static lmp_handle any_queue(worker *w) {
  if (w->nown && below(w, 4) == 0) return w->own[below(w, w->nown)];
  return shared[below(w, SHARED)];
}

static uint64_t any_deadline(worker *w) {
  return below(w, 4) ? LMP_NOWAIT : lmp_os_now() + below(w, 2000) * LMP_USEC;
}

static void own_drop(worker *w, uint32_t i) {
  remember(w, w->own[i]);
  lmp_obj_unref(w->me, w->own[i]);
  w->own[i] = w->own[--w->nown];
}

/* -- messages ----------------------------------------------------------------------------------- */

static uint8_t pattern(uint32_t seed, size_t i) { return (uint8_t)(seed + i * 7 + (i >> 8)); }

static size_t any_len(worker *w) {
  switch (below(w, 40)) {
    case 0:
      return 4 + below(w, 70000);
    case 1:
    case 2:
      return 4 + below(w, 6000);
    case 3:
    case 4:
      return 490 + below(w, 30);
    default:
      return 4 + below(w, 130);
  }
}

static void fill(uint8_t *data, size_t len, uint32_t seed) {
  memcpy(data, &seed, sizeof seed);
  for (size_t i = 4; i < len; i++) data[i] = pattern(seed, i);
}

static void check(const uint8_t *data, size_t len) {
  uint32_t seed;
  must(len >= 4);
  memcpy(&seed, data, sizeof seed);
  for (size_t i = 4; i < len; i++) must(data[i] == pattern(seed, i));
}

static void put(worker *w) {
  enum { MOST = 12 };
  static _Thread_local uint8_t bytes[MOST][70100];
  lmp_iov iov[MOST];
  lmp_msg msgs[MOST];
  uint32_t n = below(w, 4) ? 1 : 1 + below(w, MOST);
  size_t done;
  for (uint32_t i = 0; i < n; i++) {
    size_t len = any_len(w);
    uint32_t nh = w->nown && below(w, 4) == 0 ? 1 + below(w, w->nown) : 0;
    fill(bytes[i], len, (uint32_t)stress_random(&w->rng));
    iov[i] = (lmp_iov){bytes[i], len};
    msgs[i] = (lmp_msg){.iov = &iov[i],
                        .niov = 1,
                        .len = len,
                        .handles = w->own,
                        .nhandles = nh,
                        .alone = below(w, 10) == 0};
  }
  lmp_err e = lmp_queue_put(w->me, obj(any_queue(w)), msgs, n, any_deadline(w), &done);
  must(e == LMP_OK || e == LMP_E_TIMEOUT || e == LMP_E_CLOSED || e == LMP_E_INTR);
  must(e ? done < n : done == n);
}

static void get(worker *w) {
  lmp_obj *q = obj(any_queue(w));
  lmp_err e = lmp_queue_get(w->me, q, 1 + below(w, 30), any_deadline(w), &w->box);
  if (e) {
    must(e == LMP_E_TIMEOUT || e == LMP_E_CLOSED || e == LMP_E_INTR);
    return;
  }
  for (uint32_t i = 0; i < w->box.n; i++) {
    const lmp_in *in = &w->box.in[i];
    check(in->data, in->len);
    for (uint32_t k = 0; k < in->nhandles; k++) {
      must(lmp_obj_get(&family->a, in->handles[k])); /* a message keeps alive what it names */
      if (w->nown == OWN || below(w, 2)) continue;
      lmp_obj_ref(w->me, in->handles[k]);
      w->own[w->nown++] = in->handles[k];
    }
    lmp_inbox_done(w->me, &w->box, i);
  }
}

static void look(worker *w) {
  lmp_obj *q = obj(any_queue(w));
  (void)lmp_queue_size(q);
  (void)lmp_queue_full(q);
  (void)lmp_queue_closed(q);
  (void)lmp_memory_used(&family->a);
  (void)lmp_obj_count(&family->a);
  (void)lmp_family_processes(family);
}

static void done(worker *w) {
  lmp_obj *q = obj(any_queue(w));
  if (below(w, 8)) {
    lmp_err e = lmp_queue_task_done(w->me, q);
    must(e == LMP_OK || e == LMP_E_INVAL);
  } else {
    lmp_err e = lmp_queue_join(w->me, q, any_deadline(w));
    must(e == LMP_OK || e == LMP_E_TIMEOUT || e == LMP_E_INTR);
  }
}

/* -- objects ------------------------------------------------------------------------------------ */

static void make(worker *w) {
  static const char name[] = "a name that is sometimes too long for its place";
  lmp_handle h;
  if (w->nown == OWN) own_drop(w, below(w, OWN));
  lmp_err e = lmp_queue_new(w->me, name, below(w, sizeof name), below(w, 5), &h);
  must(e == LMP_OK || e == LMP_E_NOMEM || e == LMP_E_NOSLOT);
  if (!e) w->own[w->nown++] = h;
}

/* Slots are used again by objects of other kinds, while the collector is looking through them. */
static void other_kind(worker *w) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(w->me, LMP_KIND_PROCESS, NULL, 0, &o);
  must(e == LMP_OK || e == LMP_E_NOSLOT);
  if (e) return;
  if (below(w, 4) == 0) {
    lmp_obj_abandon(w->me, o);
    return;
  }
  lmp_process_of(o)->ps_slot = below(w, 16);
  lmp_tx_begin(w->me);
  lmp_handle h = lmp_obj_publish(w->me, o);
  /* A result waits for memory for ever: only where there is plenty. */
  if (below(w, 2) && lmp_memory_used(&family->a) < MEMORY / 2) {
    lmp_iov piece = {"r", 1};
    lmp_msg m = {
        .iov = &piece, .niov = 1, .len = 1, .handles = w->own, .nhandles = below(w, w->nown + 1)};
    e = lmp_process_result_set(w->me, o, LMP_RESULT_VALUES, &m);
    must(e == LMP_OK || e == LMP_E_INTR);
  }
  lmp_process_exit_set(w->me, o, LMP_EXITED);
  remember(w, h);
  lmp_obj_unref(w->me, h);
}

static void drop(worker *w) {
  if (w->nown) own_drop(w, below(w, w->nown));
}

static void again(worker *w) {
  if (w->nown == 0 || w->nown == OWN) return;
  lmp_handle h = w->own[below(w, w->nown)];
  must(lmp_obj_get(&family->a, h));
  must(lmp_load_acq32(&obj(h)->ob_gen) == h.gen);
  lmp_obj_ref(w->me, h);
  w->own[w->nown++] = h;
}

/* Names that may be stale: an object of that name lives, or it does not. */
static void stale(worker *w) {
  lmp_handle h = w->old[below(w, OLD)];
  if (below(w, 8) == 0) h = (lmp_handle){below(w, 4000), below(w, 10)};
  (void)lmp_obj_get(&family->a, h);
  if (lmp_obj_hold(w->me, h)) return;
  must(lmp_obj_get(&family->a, h));
  lmp_obj_unref(w->me, h);
}

static void close_one(worker *w) {
  if (w->nown == 0) return;
  lmp_obj *q = obj(w->own[below(w, w->nown)]);
  if (below(w, 2)) {
    lmp_queue_close(w->me, q);
    must(lmp_queue_closed(q));
  } else {
    lmp_queue_cancel(w->me, q);
  }
}

/* -- memory ------------------------------------------------------------------------------------- */

static void block_free(worker *w, uint32_t i) {
  const uint8_t *p = lmp_at(&family->a, w->block[i]);
  check(p, w->block_len[i]);
  lmp_free(w->me, w->block[i]);
  w->block[i] = 0;
}

static void memory(worker *w) {
  uint32_t i = below(w, BLOCKS);
  if (w->block[i]) {
    block_free(w, i);
    return;
  }
  uint32_t len = (uint32_t)any_len(w);
  lmp_err e = below(w, 8) ? lmp_alloc(w->me, len, &w->block[i])
                          : lmp_alloc_wait(w->me, len, any_deadline(w), &w->block[i]);
  if (e) {
    must(e == LMP_E_NOMEM || e == LMP_E_TIMEOUT || e == LMP_E_INTR);
    w->block[i] = 0;
    return;
  }
  w->block_len[i] = len;
  fill(lmp_at(&family->a, w->block[i]), len, (uint32_t)stress_random(&w->rng));
}

static void tidy(worker *w) {
  switch (below(w, 6)) {
    case 0:
      lmp_memory_trim(w->me, 1 + below(w, 100));
      break;
    case 1:
      lmp_collect(w->me);
      break;
    case 2:
      (void)lmp_reap_all(w->me);
      break;
    default:
      break;
  }
}

/* -- threads ------------------------------------------------------------------------------------ */

static void (*const acts[])(worker *) = {other_kind, other_kind, put,    put,    put,  put,  put,
                                         get,        get,        get,    get,    get,  get,  get,
                                         look,       done,       make,   drop,   drop, drop, again,
                                         stale,      close_one,  memory, memory, tidy};

static void *work(void *arg) {
  worker w = {.rng = *(uint64_t *)arg};
  uint32_t n = 0;
  must(lmp_family_me(family, &w.me) == LMP_OK);
  must(lmp_inbox_init(&w.box));
  uint32_t most = 2000 + below(&w, 50000);
  while (n < most && lmp_os_now() < stop_at) {
    for (int i = 0; i < 50; i++, n++) acts[below(&w, LMP_COUNT(acts))](&w);
    must(w.me->depth == 0);
  }
  while (w.nown) own_drop(&w, 0);
  for (uint32_t i = 0; i < BLOCKS; i++) {
    if (w.block[i]) block_free(&w, i);
  }
  lmp_inbox_fini(&w.box);
  lmp_add_ar64(&operations, n);
  return NULL;
}

static void at_rest(lmp_me *me) {
  const lmp_arena *a = &family->a;
  for (uint32_t i = 0; i < SHARED; i++) {
    const char *wrong = lmp_queue_valid(me, obj(shared[i]));
    if (wrong) fprintf(stderr, "queue %u: %s\n", i, wrong);
    must(!wrong);
    lmp_queue_cancel(me, obj(shared[i]));
    lmp_obj_unref(me, shared[i]);
  }
  lmp_collect(me);
  lmp_reap_all(me);
  must(lmp_obj_count(a) == 1); /* the main process */
  must(lmp_memory_used(a) == 0);
  must(a->h->hd_run_lock == 0 && a->h->hd_gc_lock == 0);
  for (uint32_t i = 0; i < a->h->hd_ctx_hwm; i++) {
    const lmp_ctx *c = &a->ctxs[i];
    bool mine = c == me->c;
    must(mine || c->cx_state == LMP_CTX_FREE);
    must(c->cx_txn == 0 && c->cx_wait_n == 0 && c->cx_want[0] == 0 && c->cx_want[1] == 0);
  }
  lmp_memory_trim(me, a->h->hd_nspan);
  uint64_t all;
  must(lmp_alloc(me, (uint64_t)a->h->hd_nspan * LMP_SPAN, &all) == LMP_OK);
  lmp_free(me, all);
}

int main(int argc, char **argv) {
  stress_options o = stress_start(argc, argv);
  lmp_me *me;
  must(lmp_family_new(MEMORY, false, LMP_LOG_NONE, &family) == LMP_OK);
  must(lmp_family_me(family, &me) == LMP_OK);
  for (uint32_t i = 0; i < SHARED; i++) {
    must(lmp_queue_new(me, NULL, 0, bounds[i], &shared[i]) == LMP_OK);
  }
  stop_at = lmp_os_now() + o.seconds * LMP_SEC;
  pthread_t *threads = calloc(o.threads, sizeof *threads);
  uint64_t *seeds = calloc(o.threads, sizeof *seeds);
  must(threads && seeds);
  uint32_t rounds = 0;
  for (uint32_t i = 0; i < o.threads; i++) {
    seeds[i] = stress_random(&o.seed);
    must(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
  }
  while (lmp_os_now() < stop_at) { /* a thread that has ended is followed by another one */
    uint32_t i = rounds++ % o.threads;
    must(pthread_join(threads[i], NULL) == 0);
    seeds[i] = stress_random(&o.seed);
    must(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
  }
  for (uint32_t i = 0; i < o.threads; i++) must(pthread_join(threads[i], NULL) == 0);
  at_rest(me);
  printf("%llu operations, %u threads\n", (unsigned long long)operations, rounds + o.threads);
  lmp_family_free(family);
  free(threads);
  free(seeds);
  return 0;
}
