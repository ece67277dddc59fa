/* crash/world.c: puts and gets with a ledger, and the end of every schedule.
 * SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>

#include "channel/entry.h"
#include "channel/pipe.h"
#include "channel/segment.h"
#include "check.h"
#include "sync/wait_any.h"

#define INBOX_BYTES 2048u
#define INBOX_MESSAGES 8u

world world_w;

static sim_member *checker(void) { return &sim_k.m[SIM_M]; }

lmp_obj *world_obj(lmp_handle h) { return lmp_obj_at(&checker()->a, h.obj); }

/* -- kinds -------------------------------------------------------------------------------------- */

static const world_kind *const kind_lists[] = {array_kinds, lock_kinds, sem_kinds, dict_kinds};

static const world_kind *kind_of(const lmp_obj *o) {
  for (unsigned i = 0; i < LMP_COUNT(kind_lists); i++) {
    for (const world_kind *k = kind_lists[i]; k->id; k++) {
      if (k->id == o->ob_kind) return k;
    }
  }
  return NULL;
}

void world_set_kinds(lmp_arena *a) {
  a->kinds[LMP_KIND_QUEUE] = &lmp_queue_kind;
  a->kinds[LMP_KIND_LARGE] = &lmp_large_kind;
  a->kinds[LMP_KIND_STREAM] = &lmp_stream_kind;
  a->kinds[LMP_KIND_CONNECTION] = &lmp_conn_kind;
  for (unsigned i = 0; i < LMP_COUNT(kind_lists); i++) {
    for (const world_kind *k = kind_lists[i]; k->id; k++) a->kinds[k->id] = k->kind;
  }
}

void world_share(lmp_handle h) {
  for (unsigned k = 0; k < SIM_M; k++) {
    if (sim_k.m[k].me.id && lmp_obj_hold(&sim_k.m[k].me, h)) sim_fail("set-up of a holder");
  }
}

void world_queue(unsigned i, uint32_t max) {
  if (lmp_queue_new(&checker()->me, NULL, 0, max, &world_w.q[i])) sim_fail("set-up of a queue");
  world_w.max[i] = max;
  world_share(world_w.q[i]);
}

/* -- messages ----------------------------------------------------------------------------------- */

static uint8_t byte_at(unsigned id, size_t i) { return (uint8_t)(id * 7 + i * 3 + 1); }

lmp_err world_put(sim_member *m, unsigned q, unsigned id, size_t size, lmp_handle named,
                  uint64_t deadline) {
  uint8_t bytes[WORLD_LARGE + 1];
  lmp_iov iov[2] = {{bytes, 1}, {bytes + 1, size - 1}};
  lmp_msg msg = {.iov = iov, .niov = 2, .len = size, .handles = &named, .nhandles = named.obj != 0};
  size_t done = 0;
  lmp_err e;
  bytes[0] = (uint8_t)id;
  for (size_t i = 1; i < size; i++) bytes[i] = byte_at(id, i);
  world_w.put_begun[id] = true;
  do {
    e = lmp_queue_put(&m->me, world_obj(world_w.q[q]), &msg, 1, deadline, &done);
  } while (e == LMP_E_INTR);
  if (done != (e == LMP_OK)) sim_fail("put: result and count differ");
  if (e == LMP_OK) world_w.put_ok[id] = true;
  return e;
}

static void take(sim_member *m, const lmp_in *in) {
  unsigned id = in->len ? in->data[0] : WORLD_IDS;
  unsigned who = (unsigned)(m - sim_k.m);
  if (id >= WORLD_IDS || !world_w.put_begun[id]) sim_fail("a message that nobody put");
  for (uint32_t i = 0; i < in->nhandles; i++) {
    if (!lmp_obj_get(&m->a, in->handles[i])) sim_fail("a message names an object that is gone");
  }
  for (size_t i = 1; i < in->len; i++) {
    if (in->data[i] != byte_at(id, i)) sim_fail("the bytes of a message are others");
  }
  if (world_w.got[id]++) sim_fail("a message was taken twice");
  world_w.order[who][world_w.norder[who]++] = (uint8_t)id;
}

lmp_err world_get(sim_member *m, unsigned q, uint32_t max, uint64_t deadline) {
  static uint8_t bytes[SIM_MEMBERS][INBOX_BYTES];
  static lmp_in ins[SIM_MEMBERS][INBOX_MESSAGES];
  unsigned who = (unsigned)(m - sim_k.m);
  lmp_inbox box = {.buf = bytes[who], .cap = INBOX_BYTES, .in = ins[who], .max = INBOX_MESSAGES};
  lmp_err e;
  do {
    e = lmp_queue_get(&m->me, world_obj(world_w.q[q]), max, deadline, &box);
  } while (e == LMP_E_INTR);
  if ((box.n > 0) != (e == LMP_OK)) sim_fail("get: result and count differ");
  /* Counted when the call is over: who is killed in it took them along. */
  for (uint32_t i = 0; i < box.n; i++) take(m, &box.in[i]);
  for (uint32_t i = 0; i < box.n; i++) lmp_inbox_done(&m->me, &box, i);
  return e;
}

/* -- the ledger --------------------------------------------------------------------------------- */

static unsigned consumers_killed(void) {
  unsigned n = 0;
  for (unsigned i = 0; i < 3; i++) n += sim_k.m[i].state == SIM_DEAD;
  return n;
}

static void check_ledger(void) {
  uint32_t lost = 0;
  for (unsigned id = 0; id < WORLD_IDS; id++) lost += world_w.put_ok[id] && !world_w.got[id];
  uint32_t may = world_w.drops ? WORLD_IDS : consumers_killed() * world_w.batch;
  if (lost > may) sim_fail("a message was lost");
  for (unsigned who = 0; who < SIM_MEMBERS; who++) {
    uint8_t last[SIM_MEMBERS + 2] = {0};
    for (unsigned i = 0; i < world_w.norder[who]; i++) {
      unsigned id = world_w.order[who][i];
      if (last[id / 16] > id % 16) sim_fail("messages of one producer out of order");
      last[id / 16] = (uint8_t)(id % 16);
    }
  }
}

/* -- sleepers ----------------------------------------------------------------------------------- */

static bool sleeps_rightly(const lmp_queue *q, const uint32_t *word) {
  uint32_t size = lmp_qpos_diff(q->qt_pos, q->qh_pos);
  bool closed = lmp_qpos_closed(q->qt_pos);
  if (word == (const uint32_t *)(const void *)&q->qt_pos) return size == 0 && !closed;
  if (word == (const uint32_t *)(const void *)&q->qh_pos) return size >= q->qf_max && !closed;
  return ((lmp_qpos_count(q->qt_pos) - q->qd_done) & LMP_QCOUNT_MASK) != 0;
}

/* The object that a word lies in; NULL: it lies in none. */
static lmp_obj *obj_of_word(const uint32_t *word) {
  uint64_t off = lmp_off(&checker()->a, word);
  uint64_t first = lmp_off(&checker()->a, checker()->a.objs);
  for (unsigned i = 0; i < SIM_CTXS; i++) { /* it names the object that is waited for */
    if (word == &checker()->a.ctxs[i].cx_cond) return lmp_obj_at(&checker()->a, *word >> 2);
  }
  if (off < first || off >= first + SIM_OBJS * sizeof(lmp_obj)) return NULL;
  return lmp_obj_at(&checker()->a, (uint32_t)((off - first) / sizeof(lmp_obj)));
}

/* Who waits for any of the queues. */
static bool waits_for_any(const uint32_t *word) {
  const lmp_arena *a = &checker()->a;
  bool on_bell = (const uint8_t *)word >= (const uint8_t *)a->bells &&
                 (const uint8_t *)word < (const uint8_t *)(a->bells + SIM_BELLS);
  return on_bell || sim_socket(word) >= 0;
}

static bool waits_rightly(void) {
  uint64_t *flag;
  lmp_obj *waited = world_w.waited.obj ? world_obj(world_w.waited) : NULL;
  if (waited && kind_of(waited)->kind->watch(&checker()->me, waited, &flag)) return false;
  for (unsigned i = 0; i < WORLD_QUEUES; i++) {
    if (!world_w.q[i].obj) continue;
    const lmp_obj *o = world_obj(world_w.q[i]);
    if (lmp_queue_size(o) || lmp_queue_closed(o)) return false;
  }
  return true;
}

/* The scene's block is the checker's: who waits for memory waits for that. */
static bool keeps_memory(void) {
  const lmp_me *me = &checker()->me;
  return world_w.block && lmp_block_owner(me->a, world_w.block) == me->id;
}
static void give_memory(void) {
  if (keeps_memory()) lmp_free(&checker()->me, world_w.block);
}

/* Returns how many sleep, and rightly so. */
static unsigned check_sleepers(void) {
  unsigned n = 0;
  for (unsigned i = 0; i < SIM_M; i++) {
    sim_member *m = &sim_k.m[i];
    if (m->state != SIM_SLEEPING) continue;
    n++;
    const uint32_t *word = m->words[0].word;
    if (word == &checker()->a.h->hd_mem_seq) {
      if (keeps_memory() && lmp_queue_closed(world_obj(world_w.q[0])))
        sim_fail("stuck: waits for memory to put into a closed queue");
      continue;
    }
    if (waits_for_any(word)) {
      if (!waits_rightly()) sim_fail("stuck: a bell was not rung");
      continue;
    }
    lmp_obj *o = obj_of_word(word);
    if (!o) sim_fail("stuck: on a lock");
    if (word == &o->ob_lock) sim_fail("stuck: on an object's lock");
    const world_kind *kind = kind_of(o);
    if (kind && !kind->rightly(o, m)) sim_fail("stuck: a wake was lost");
    if (kind) continue;
    lmp_queue *q = lmp_queue_of(o);
    if (word == &q->qt_lock || word == &q->qh_lock) sim_fail("stuck: on a queue's lock");
    if (!sleeps_rightly(q, word)) sim_fail("stuck: a wake was lost");
  }
  return n;
}

/* -- the arena ---------------------------------------------------------------------------------- */

static bool ctx_sleeps(uint32_t id) {
  for (unsigned i = 0; i < SIM_MEMBERS; i++) {
    if (sim_k.m[i].state == SIM_SLEEPING && sim_k.m[i].me.id == id) return true;
  }
  return false;
}
static bool proc_lives(uint32_t slot) { return slot < SIM_PROCS && sim_k.byte_owner[slot] != 0; }
static void fail(const char *what) { sim_fail(what); }

/* O2, which only the processes themselves can tell. */
static void check_references(uint32_t i) {
  const lmp_obj *o = lmp_obj_at(&checker()->a, i);
  if ((o->ob_state & 0xff) != LMP_OBJ_LIVE) return;
  for (unsigned k = 0; k < SIM_MEMBERS; k++) {
    sim_member *m = &sim_k.m[k];
    if (m->state == SIM_DEAD || m->state == SIM_ABSENT || !m->me.id) continue;
    bool bit = o->ob_holders[m->a.proc / 64] >> m->a.proc % 64 & 1;
    if (bit != (m->refs[i] != 0)) sim_fail("O2: holder bit and references differ");
  }
}

static void check_all(void) {
  check_env e = {&checker()->me, sim_alive, ctx_sleeps, proc_lives, fail};
  check_arena(&e);
  for (uint32_t i = 1; i < checker()->a.h->hd_obj_hwm; i++) check_references(i);
}

/* -- the end ------------------------------------------------------------------------------------ */

/* Gives a sleeper what it waits for. */
static void relieve(void) {
  sim_member *m = checker();
  for (unsigned k = 0; k < SIM_M; k++) {
    lmp_obj *o = sim_k.m[k].state == SIM_SLEEPING ? obj_of_word(sim_k.m[k].words[0].word) : NULL;
    const world_kind *kind = o ? kind_of(o) : NULL;
    if (!kind) continue;
    kind->relieve(o, &sim_k.m[k]);
    return;
  }
  for (unsigned k = 0; k < SIM_M && world_w.waited.obj; k++) {
    const sim_member *s = &sim_k.m[k];
    if (s->state != SIM_SLEEPING || !waits_for_any(s->words[0].word)) continue;
    kind_of(world_obj(world_w.waited))->relieve(world_obj(world_w.waited), s);
    return;
  }
  for (unsigned i = 0; i < WORLD_QUEUES; i++) {
    if (!world_w.q[i].obj) continue;
    lmp_queue *q = lmp_queue_of(world_obj(world_w.q[i]));
    for (unsigned k = 0; k < SIM_M; k++) {
      sim_member *s = &sim_k.m[k];
      if (s->state != SIM_SLEEPING) continue;
      if (s->words[0].word == lmp_qpos_word(&q->qt_pos) || waits_for_any(s->words[0].word)) {
        unsigned id = WORLD_ID(SIM_MEMBERS, 0);
        while (world_w.put_begun[id]) id++;
        if (world_put(m, i, id, 3, (lmp_handle){0, 0}, LMP_NOWAIT))
          sim_fail("no relief for a getter");
        return;
      }
      if (s->words[0].word == lmp_qpos_word(&q->qh_pos)) {
        if (world_get(m, i, 1, LMP_NOWAIT)) sim_fail("no relief for a putter");
        return;
      }
      if (s->words[0].word == &q->qd_done) {
        if (lmp_queue_task_done(&m->me, world_obj(world_w.q[i]))) sim_fail("no relief for a join");
        return;
      }
    }
  }
  if (!keeps_memory()) sim_fail("stuck: waits for memory");
  give_memory();
}

static void drain(unsigned i) {
  lmp_err e;
  do {
    e = world_get(checker(), i, INBOX_MESSAGES, LMP_NOWAIT);
  } while (e == LMP_OK);
  if (e != LMP_E_TIMEOUT && e != LMP_E_CLOSED) sim_fail("drain");
}

static void fill_and_drain(unsigned i) {
  sim_member *m = checker();
  lmp_handle none = {0, 0};
  uint32_t n = world_w.max[i] ? world_w.max[i] : 3;
  if (lmp_queue_closed(world_obj(world_w.q[i]))) return;
  for (uint32_t k = 0; k < n; k++) {
    unsigned id = WORLD_ID(SIM_MEMBERS + 1, k + 8 * i);
    if (world_put(m, i, id, k == 1 ? WORLD_LARGE : 5, none, LMP_NOWAIT))
      sim_fail("no put afterwards");
  }
  if (world_w.max[i] && world_put(m, i, WORLD_IDS - 1, 5, none, LMP_NOWAIT) != LMP_E_TIMEOUT) {
    sim_fail("too many fit afterwards");
  }
  drain(i);
}

static void reap(bool killed) {
  for (unsigned i = 0; i < SIM_M; i++) {
    if (sim_k.m[i].state == SIM_DEAD) sim_bury(i);
  }
  if (killed && sim_k.m[SIM_R].state == SIM_READY) sim_run_all();
  if (killed) lmp_reap_all(&checker()->me);
  for (uint32_t i = 0; i < checker()->a.h->hd_proc_hwm; i++) {
    const lmp_arena *a = &checker()->a;
    if (lmp_proc_state(a, i) != LMP_PROC_STARTING || sim_k.byte_owner[i]) continue;
    lmp_reap_all(&checker()->me);
    sim_k.now += 10 * LMP_SEC; /* what was starting never will */
    lmp_reap_all(&checker()->me);
    /* As its parent does when the child died on the way. */
    if (lmp_proc_state(a, i) == LMP_PROC_STARTING && world_w.child) {
      lmp_proc_bury(&checker()->a, i, lmp_proc_gen(a, i));
      lmp_reap_proc(&checker()->me, i);
    }
  }
  sim_run_all();
}

static void finish_kinds(void) {
  for (uint32_t i = 1; i < checker()->a.h->hd_obj_hwm; i++) {
    lmp_obj *o = lmp_obj_at(&checker()->a, i);
    const world_kind *kind = (o->ob_state & 0xff) == LMP_OBJ_LIVE ? kind_of(o) : NULL;
    if (kind) kind->finish(o);
  }
}

/* -- pipes -------------------------------------------------------------------------------------- */

/* Players only: a reaper collects, too. */
static void run_players(void) {
  bool any = true;
  while (any) {
    any = false;
    for (unsigned i = 0; i < 3; i++) {
      if (sim_k.m[i].state != SIM_READY) continue;
      sim_run(i, SIM_ALWAYS, SIM_ALWAYS);
      any = true;
    }
  }
}

/* P4: nobody sleeps whom the collector would wake. */
static void check_ends_are_seen(void) {
  unsigned asleep = check_sleepers();
  lmp_collect(&checker()->me);
  if (check_sleepers() != asleep) sim_fail("stuck: the end of a stream was not seen");
}

/* P3; forgets the streams that are gone. Returns the objects of the pipe. */
static uint32_t check_pipe(void) {
  lmp_arena *a = &checker()->a;
  uint32_t n = 0;
  if (!world_w.ends[0].obj) return 0;
  for (unsigned i = 0; i < 2; i++) {
    lmp_obj *o = lmp_obj_get(a, world_w.ends[i]);
    bool alone = !lmp_obj_get(a, world_w.ends[1 - i]);
    n += o != NULL;
    if (!o) continue;
    const lmp_handle names[2] = {lmp_conn_of(o)->cn_in, lmp_conn_of(o)->cn_out};
    for (unsigned k = 0; k < 2; k++) {
      if (!names[k].obj) continue;
      lmp_obj *stream = lmp_obj_get(a, names[k]);
      if (!stream) sim_fail("P1: an end without its stream");
      if (alone && !lmp_queue_closed(stream)) sim_fail("P3: the last end has an open stream");
    }
  }
  const lmp_obj *first = world_w.itself ? lmp_obj_get(a, world_w.ends[0]) : NULL;
  for (unsigned i = 0; first && i < LMP_HOLDER_WORDS; i++) {
    if (first->ob_holders[i]) first = NULL;
  }
  if (first) sim_fail("P2: an end in its own stream stays");
  const lmp_obj *fresh = lmp_obj_get(a, world_w.fresh);
  if (fresh && lmp_queue_closed(fresh))
    sim_fail("G5: a stream was closed that is another queue now");
  for (unsigned i = 0; i < WORLD_QUEUES; i++) {
    if (world_w.q[i].obj && !lmp_obj_get(a, world_w.q[i])) world_w.q[i] = (lmp_handle){0, 0};
  }
  return n;
}

/* -- waiting for several ------------------------------------------------------------------------- */

/* Memory of its own: a killed member frees nothing. */
void world_wait(sim_member *m, lmp_obj *o, bool polls) {
  static lmp_source src[SIM_MEMBERS][2];
  static lmp_pollfd fds[SIM_MEMBERS][4];
  unsigned i = (unsigned)(m - sim_k.m);
  lmp_waiter w = {.src = src[i], .cap = 2, .fds = fds[i], .capfds = 4};
  lmp_err e;
  if (!lmp_waiter_obj(&w, o) || (polls && !lmp_waiter_fd(&w, SIM_IDLE_FD)))
    sim_fail("the list of a wait");
  do {
    e = lmp_wait_any(&m->me, &w, LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("wait");
  if (!src[i][0].ready) sim_fail("a wait says that something is ready, and nothing is");
}

/* -- all of it ---------------------------------------------------------------------------------- */

void world_finish(bool killed) {
  sim_member *m = checker();
  run_players();
  if (sim_k.failure) return;
  if (!killed && !sim_k.m[SIM_R].started && !sim_k.m[SIM_R2].started) check_ends_are_seen();
  sim_run_all();
  if (sim_k.failure) return;
  reap(killed);
  check_ends_are_seen();
  check_pipe();
  for (unsigned n = 0; check_sleepers() > 0; n++) {
    if (n > 20) sim_fail("stuck: relief does not help");
    relieve();
    sim_run_all();
  }
  if (sim_k.failure) return;
  check_all();
  give_memory();
  for (unsigned i = 0; i < WORLD_QUEUES; i++) {
    if (world_w.q[i].obj) drain(i);
  }
  check_ledger();
  lmp_collect(&m->me);
  lmp_collect(&m->me);
  uint32_t ends = check_pipe();
  check_all();
  for (unsigned i = 0; i < WORLD_QUEUES; i++) {
    if (world_w.q[i].obj) fill_and_drain(i);
  }
  finish_kinds();
  check_all();
  if (world_w.leaky) return;
  if (lmp_memory_used(&m->a) != 0) sim_fail("memory is not given back");
  if (lmp_obj_get(&m->a, world_w.fresh)) ends++;
  uint32_t objects =
      ends + world_w.objects + (world_w.q[0].obj ? 1 : 0) + (world_w.q[1].obj ? 1 : 0);
  if (lmp_obj_count(&m->a) != objects) sim_fail("objects stay");
}
