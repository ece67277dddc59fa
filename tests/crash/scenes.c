/* crash/scenes.c: what the players do in each scene.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "channel/segment.h"
#include "world.h"

static const lmp_handle none = {0, 0};

static unsigned who(const sim_member *m) { return (unsigned)(m - sim_k.m); }
static sim_member *checker(void) { return &sim_k.m[SIM_M]; }

/* -- players: queue 0 unless said otherwise ------------------------------------------------------ */

static void put_one(sim_member *m) { world_put(m, 0, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER); }
static void put_two(sim_member *m) {
  world_put(m, 0, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER);
  world_put(m, 0, WORLD_ID(who(m), 1), 150, none, LMP_FOREVER);
}
static void put_block(sim_member *m) {
  world_put(m, 0, WORLD_ID(who(m), 0), WORLD_LARGE, none, LMP_FOREVER);
}
static void put_now(sim_member *m) {
  world_put(m, 0, WORLD_ID(who(m), 0), WORLD_LARGE, none, LMP_NOWAIT);
}
static void put_soon(sim_member *m) {
  world_put(m, 0, WORLD_ID(who(m), 0), 5, none, sim_k.now + LMP_SEC);
}
static void get_one(sim_member *m) { world_get(m, 0, 1, LMP_FOREVER); }
static void get_two(sim_member *m) {
  world_get(m, 0, 1, LMP_FOREVER);
  world_get(m, 0, 1, LMP_FOREVER);
}
static void get_many(sim_member *m) { world_get(m, 0, 8, LMP_FOREVER); }
static void get_now(sim_member *m) { world_get(m, 0, 1, LMP_NOWAIT); }
static void get_soon(sim_member *m) { world_get(m, 0, 1, sim_k.now + LMP_SEC); }
static void get_other(sim_member *m) { world_get(m, 1, 1, LMP_FOREVER); }
static void put_other(sim_member *m) { world_put(m, 1, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER); }
static void close_both(sim_member *m) {
  lmp_queue_close(&m->me, world_obj(world_w.q[0]));
  lmp_queue_close(&m->me, world_obj(world_w.q[1]));
}
static void cancel(sim_member *m) { lmp_queue_cancel(&m->me, world_obj(world_w.q[0])); }
static void collect(sim_member *m) { lmp_collect(&m->me); }
static void reap(sim_member *m) { lmp_reap_all(&m->me); }

static void done_two(sim_member *m) {
  (void)!lmp_queue_task_done(&m->me, world_obj(world_w.q[0]));
  (void)!lmp_queue_task_done(&m->me, world_obj(world_w.q[0]));
}
static void join(sim_member *m) {
  (void)!lmp_queue_join(&m->me, world_obj(world_w.q[0]), LMP_FOREVER);
}

static void alloc_free(sim_member *m, uint64_t size) {
  uint64_t off;
  lmp_err e = lmp_alloc(&m->me, size, &off);
  if (e == LMP_E_NOMEM) return;
  if (e) sim_fail("alloc");
  if (lmp_block_owner(&m->a, off) != m->me.id) sim_fail("an allocated block of somebody else");
  lmp_free(&m->me, off);
}
static void alloc_small(sim_member *m) {
  alloc_free(m, 700);
  alloc_free(m, 16000);
}
static void alloc_runs(sim_member *m) {
  alloc_free(m, 2 * LMP_SPAN);
  alloc_free(m, LMP_SPAN);
}
/* What it has and what it gets then must be apart. */
static void alloc_apart(sim_member *m) {
  uint64_t one, two;
  if (lmp_alloc(&m->me, LMP_SPAN, &one)) return;
  if (lmp_alloc(&m->me, 2 * LMP_SPAN, &two) == LMP_OK) {
    if (one - two < 2 * LMP_SPAN) sim_fail("two blocks in one place");
    lmp_free(&m->me, two);
  }
  lmp_free(&m->me, one);
}
static void alloc_two(sim_member *m) { alloc_free(m, 2 * LMP_SPAN); }
static void alloc_mixed(sim_member *m) {
  alloc_free(m, LMP_SPAN + 1);
  alloc_free(m, 20000);
}
static void trim_all(sim_member *m) { lmp_memory_trim(&m->me, SIM_SPANS); }
static void alloc_most(sim_member *m) {
  uint64_t off;
  lmp_err e;
  do {
    e = lmp_alloc_wait(&m->me, (SIM_SPANS - 1) * LMP_SPAN, LMP_FOREVER, &off);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("alloc_wait");
  lmp_free(&m->me, off);
}

static void make_object(sim_member *m) {
  lmp_handle h;
  if (lmp_queue_new(&m->me, "a name that needs a block", 25, 0, &h)) sim_fail("queue_new");
  lmp_obj_unref(&m->me, h);
}
static void abandon_object(sim_member *m) {
  lmp_obj *o;
  if (lmp_obj_new(&m->me, LMP_KIND_QUEUE, "a name that needs a block", 25, &o)) sim_fail("obj_new");
  lmp_obj_abandon(&m->me, o);
}
static void unref_extra(sim_member *m) {
  if (m->refs[world_w.extra.obj]) lmp_obj_unref(&m->me, world_w.extra);
}
static void hold_extra(sim_member *m) {
  if (lmp_obj_hold(&m->me, world_w.extra)) return;
  if (!lmp_obj_get(&m->a, world_w.extra)) sim_fail("an object that is held is gone");
  lmp_obj_unref(&m->me, world_w.extra);
}
/* Takes hold of it anew, and of what the message in it names. */
static void hold_and_take(sim_member *m) {
  if (lmp_obj_hold(&m->me, world_w.extra)) return;
  lmp_handle q = world_w.q[1];
  world_w.q[1] = world_w.extra;
  world_get(m, 1, 1, LMP_NOWAIT);
  world_w.q[1] = q;
  lmp_obj_unref(&m->me, world_w.extra);
}
static void send_extra(sim_member *m) {
  world_put(m, 0, WORLD_ID(who(m), 0), 5, world_w.extra, LMP_FOREVER);
  lmp_obj_unref(&m->me, world_w.extra);
}
static void send_by_other(sim_member *m) {
  world_put(m, 1, WORLD_ID(who(m), 0), 5, world_w.extra, LMP_FOREVER);
  lmp_obj_unref(&m->me, world_w.extra);
}
static void send_and_get_other(sim_member *m) {
  send_extra(m);
  world_get(m, 1, 1, LMP_FOREVER);
}
static void get_and_send_on(sim_member *m) {
  /* What the message names is held by nobody else: hold it, send it on, let go. */
  if (lmp_obj_hold(&m->me, world_w.extra)) return;
  if (!lmp_obj_get(&m->a, world_w.extra)) sim_fail("an object that is held is gone");
  world_put(m, 0, WORLD_ID(who(m), 0), 5, world_w.extra, LMP_FOREVER);
  lmp_obj_unref(&m->me, world_w.extra);
  world_get(m, 0, 1, LMP_NOWAIT);
}

static void enter(sim_member *m) {
  if (lmp_proc_enter(&m->a, world_w.slot, world_w.gen)) return;
  if (lmp_me_attach(&m->a, &m->me)) return;
  if (lmp_obj_hold(&m->me, world_w.q[0]) == LMP_OK) {
    world_put(m, 0, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER);
    lmp_obj_release_all(&m->me, m->a.proc);
    memset(m->refs, 0, sizeof m->refs);
  }
}
static void reattach(sim_member *m) {
  lmp_me_detach(&m->me);
  if (lmp_me_attach(&m->a, &m->me)) sim_fail("attach");
}
static void start_process(sim_member *m) {
  uint32_t slot;
  if (lmp_proc_claim(&m->a, m->a.proc, &slot)) sim_fail("claim");
  lmp_obj_give(&m->me, world_w.q[0], slot);
  lmp_obj_release_all(&m->me, slot);
  lmp_proc_giveup(&m->a, slot);
}

/* -- settings ----------------------------------------------------------------------------------- */

static void fill(unsigned q, unsigned n, size_t size) {
  for (unsigned seq = 1; n > 0; seq++) {
    if (world_w.put_begun[WORLD_ID(SIM_M, seq)]) continue;
    if (world_put(checker(), q, WORLD_ID(SIM_M, seq), size, none, LMP_NOWAIT)) sim_fail("set-up");
    n--;
  }
}
static void empty(unsigned q, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    if (world_get(checker(), q, 1, LMP_NOWAIT)) sim_fail("set-up");
  }
}

static void q_empty(void) { world_queue(0, 0); }
static void q_one(void) {
  world_queue(0, 0);
  fill(0, 1, 5);
}
static void q_three(void) {
  world_queue(0, 0);
  fill(0, 3, 5);
}
static void q_block(void) {
  world_queue(0, 0);
  fill(0, 2, WORLD_LARGE);
}
/* The first segment has 15 cells, of which all or all but one are used. */
static void q_segment_full(void) {
  world_queue(0, 0);
  fill(0, 7, 100);
  fill(0, 1, 5);
  empty(0, 7);
}
static void q_segment_two(void) {
  world_queue(0, 0);
  fill(0, 7, 100);
  fill(0, 1, 5);
  empty(0, 7);
  fill(0, 1, 5);
  fill(0, 1, WORLD_LARGE);
}
static void q_bounded_full(void) {
  world_queue(0, 1);
  fill(0, 1, 5);
}
static void q_bounded_two(void) {
  world_queue(0, 2);
  fill(0, 2, 5);
}
static void q_used(void) { /* empty, with its segment */
  world_queue(0, 0);
  fill(0, 1, 5);
  empty(0, 1);
}
static void q_close(void) {
  world_queue(0, 0);
  world_queue(1, 1);
  fill(1, 1, 5);
  world_w.closed = true;
}
/* Who puts into queue 0 waits for memory. */
static void q_close_low(void) {
  world_queue(0, 0);
  world_queue(1, 0);
  if (lmp_alloc(&checker()->me, SIM_SPANS * LMP_SPAN, &world_w.block)) sim_fail("set-up");
  world_w.closed = true;
}
static void q_cancel(void) {
  world_queue(0, 0);
  fill(0, 2, 5);
  fill(0, 1, WORLD_LARGE);
  world_w.closed = world_w.drops = true;
}
static void q_join(void) {
  world_queue(0, 0);
  fill(0, 2, 5);
  empty(0, 2);
}
static void m_nothing(void) {}
static void m_span(void) {
  alloc_free(checker(), 700);
  memset(checker()->me.cursor, 0, sizeof checker()->me.cursor);
}
static void m_runs(void) {
  uint64_t off[3];
  for (unsigned i = 0; i < 3; i++) (void)!lmp_alloc(&checker()->me, LMP_SPAN, &off[i]);
  for (unsigned i = 0; i < 3; i++) lmp_free(&checker()->me, off[i]);
}
/* Full but for two spans, of which the hint names the second: a reaper freed the first, and what it did to
 * the hint was overwritten. */
static void m_hint(void) {
  uint64_t off[SIM_SPANS];
  sim_member *p = &sim_k.m[SIM_P];
  for (unsigned i = 0; i < SIM_SPANS; i++) {
    if (lmp_alloc(&checker()->me, LMP_SPAN, &off[i])) sim_fail("set-up");
  }
  lmp_free(&checker()->me, off[0]);
  lmp_free(&checker()->me, off[1]);
  lmp_store_rel32(&p->a.h->hd_run_hint, 1);
  world_w.leaky = true;
}
static void m_spans_empty(void) {
  alloc_free(checker(), 700);
  alloc_free(checker(), 3000);
  for (unsigned i = 0; i < 3; i++) sim_k.m[i].me.cursor[6] = checker()->me.cursor[6];
}
/* All look for room for a name in the same place. */
static void m_names(void) {
  alloc_free(checker(), 60);
  for (unsigned i = 0; i < 3; i++) {
    sim_k.m[i].me.cursor[0] = (lmp_cursor){checker()->me.cursor[0].span, 0};
  }
}
static void m_low(void) {
  uint64_t off;
  sim_member *m = &sim_k.m[SIM_P];
  if (lmp_alloc(&m->me, 3 * LMP_SPAN, &off)) sim_fail("set-up");
  world_w.block = off;
}
static void free_block(sim_member *m) { lmp_free(&m->me, world_w.block); }

/* Player V holds queue `extra`, in which lie a message and a block; others know its name. */
static void o_extra(void) {
  sim_member *v = &sim_k.m[SIM_V];
  world_queue(0, 0);
  world_queue(1, 0);
  if (lmp_queue_new(&v->me, "another name in a block", 23, 0, &world_w.extra)) sim_fail("set-up");
  lmp_handle q = world_w.q[1];
  world_w.q[1] = world_w.extra;
  if (world_put(v, 1, WORLD_ID(SIM_M, 14), 5, none, LMP_NOWAIT)) sim_fail("set-up");
  if (world_put(v, 1, WORLD_ID(SIM_M, 15), WORLD_LARGE, none, LMP_NOWAIT)) sim_fail("set-up");
  world_w.q[1] = q;
  world_w.put_ok[WORLD_ID(SIM_M, 14)] = world_w.put_ok[WORLD_ID(SIM_M, 15)] = false;
}
/* V and P hold it; it was never sent. */
static void o_both(void) {
  o_extra();
  if (lmp_obj_hold(&sim_k.m[SIM_P].me, world_w.extra)) sim_fail("set-up");
}
/* It is in queue 0, and held by nobody. */
static void o_sent(void) {
  sim_member *v = &sim_k.m[SIM_V];
  o_extra();
  if (world_put(v, 0, WORLD_ID(SIM_M, 1), 5, world_w.extra, LMP_NOWAIT)) sim_fail("set-up");
  lmp_obj_unref(&v->me, world_w.extra);
}
/* It is in a queue that is in it, and nobody holds either: a cycle. */
static void o_cycle(void) {
  sim_member *v = &sim_k.m[SIM_V];
  o_extra();
  lmp_handle q = world_w.q[1];
  world_w.q[1] = world_w.extra;
  if (world_put(v, 1, WORLD_ID(SIM_M, 13), 5, world_w.extra, LMP_NOWAIT)) sim_fail("set-up");
  world_w.put_ok[WORLD_ID(SIM_M, 13)] = false;
  world_w.q[1] = q;
  lmp_store_rlx32(&v->a.h->hd_gc_debt, 0);
}

/* It was sent once, V holds it, and in it is a message that names another queue. */
static void o_inner(void) {
  sim_member *v = &sim_k.m[SIM_V];
  lmp_handle inner;
  world_queue(0, 0);
  world_queue(1, 0);
  lmp_handle q = world_w.q[1];
  if (lmp_queue_new(&v->me, NULL, 0, 0, &world_w.extra)) sim_fail("set-up");
  if (world_put(v, 0, WORLD_ID(SIM_M, 1), 5, world_w.extra, LMP_NOWAIT)) sim_fail("set-up");
  if (world_get(v, 0, 1, LMP_NOWAIT)) sim_fail("set-up");
  if (lmp_queue_new(&v->me, NULL, 0, 0, &inner)) sim_fail("set-up");
  world_w.q[1] = world_w.extra;
  if (world_put(v, 1, WORLD_ID(SIM_M, 2), 5, inner, LMP_NOWAIT)) sim_fail("set-up");
  world_w.q[1] = q;
  world_w.put_ok[WORLD_ID(SIM_M, 2)] = false; /* it may go with its queue */
  lmp_obj_unref(&v->me, inner);
}

static void starting(void) {
  sim_member *p = &sim_k.m[SIM_P];
  world_queue(0, 0);
  if (lmp_proc_claim(&p->a, p->a.proc, &world_w.slot)) sim_fail("set-up");
  world_w.gen = lmp_proc_gen(&p->a, world_w.slot);
  world_w.child = true;
}

/* A dead member with work left half-done; V and P reap it. */
static void dead_putter(void) {
  world_queue(0, 0);
  sim_member *r = &sim_k.m[SIM_Q];
  r->body = put_block;
  r->state = SIM_READY;
  world_w.batch = 1;
  sim_run(SIM_Q, SIM_ALWAYS, 34);
  sim_kill(SIM_Q);
  sim_bury(SIM_Q);
}

#define VICTIM_V 1u
#define VICTIM_P 2u
#define VICTIM_Q 4u

const scene scenes[] = {
    {"put_inline", q_one, {put_two, put_one}, VICTIM_V, false},
    {"put_block", q_one, {put_block, put_one}, VICTIM_V, false},
    {"put_first", q_empty, {put_one, put_one}, VICTIM_V, false},
    {"put_segment", q_segment_full, {put_block, put_two}, VICTIM_V, false},
    {"put_now", q_bounded_two, {put_now, get_one}, VICTIM_V | VICTIM_P, false},
    {"put_full", q_bounded_full, {put_one, get_one, put_one}, VICTIM_V | VICTIM_P, false},
    {"put_full_soon", q_bounded_full, {put_soon, get_one, put_one}, VICTIM_V | VICTIM_P, false},
    {"put_full_two", q_bounded_two, {put_two, get_two, put_one}, VICTIM_V | VICTIM_P, false},
    {"get_inline", q_three, {get_one, get_two}, VICTIM_V, false},
    {"get_many", q_three, {get_many, put_one}, VICTIM_V | VICTIM_P, false},
    {"get_block", q_block, {get_one, get_one}, VICTIM_V, false},
    {"get_segment", q_segment_two, {get_many, get_two}, VICTIM_V, false},
    {"get_put_segment", q_segment_full, {get_two, put_two}, VICTIM_V | VICTIM_P, false},
    {"get_empty", q_empty, {get_one, put_one}, VICTIM_V | VICTIM_P, false},
    {"get_empty_block", q_used, {get_one, put_block}, VICTIM_V | VICTIM_P, false},
    {"getters_two", q_empty, {get_one, get_one, put_one}, VICTIM_V | VICTIM_Q, false},
    {"getters_puts", q_used, {get_one, get_one, put_two}, VICTIM_V | VICTIM_Q, false},
    {"getter_soon", q_empty, {get_soon, get_one, put_one}, VICTIM_V | VICTIM_Q, false},
    {"close", q_close, {close_both, get_one, put_other}, VICTIM_V | VICTIM_P, false},
    {"close_get", q_close, {close_both, get_other, get_one}, VICTIM_V | VICTIM_P, false},
    {"close_low", q_close_low, {close_both, put_block, put_one}, VICTIM_V | VICTIM_P, false},
    {"cancel", q_cancel, {cancel, get_one, put_one}, VICTIM_V | VICTIM_P, false},
    {"trim", q_used, {get_now, put_one}, VICTIM_V | VICTIM_P, false},
    {"trim_two", q_one, {get_two, get_now, put_one}, VICTIM_V | VICTIM_Q, false},
    {"alloc_small", m_nothing, {alloc_small, alloc_small}, VICTIM_V, false},
    {"alloc_span", m_span, {alloc_small, alloc_mixed}, VICTIM_V | VICTIM_P, false},
    {"alloc_runs", m_runs, {alloc_runs, alloc_mixed}, VICTIM_V | VICTIM_P, false},
    {"alloc_hint", m_hint, {alloc_two, alloc_apart}, VICTIM_V, false},
    {"memory_trim", m_spans_empty, {trim_all, alloc_small}, VICTIM_V | VICTIM_P, false},
    {"memory_trim_two", m_spans_empty, {trim_all, trim_all, alloc_runs}, VICTIM_V, false},
    {"memory_low", m_low, {alloc_most, free_block}, VICTIM_V | VICTIM_P, false},
    {"object", m_nothing, {make_object, make_object}, VICTIM_V, false},
    {"object_again", m_names, {make_object, make_object}, VICTIM_V, false},
    {"object_abandon", m_nothing, {abandon_object, make_object}, VICTIM_V, false},
    {"unref", o_extra, {unref_extra, hold_extra}, VICTIM_V | VICTIM_P, false},
    {"send", o_extra, {send_extra, get_one}, VICTIM_V | VICTIM_P, false},
    {"send_collect", o_extra, {send_extra, collect, get_one}, VICTIM_V | VICTIM_P, false},
    {"send_late", o_both, {send_by_other, send_and_get_other, collect}, 0, false},
    {"collect_get", o_sent, {collect, get_one}, VICTIM_V | VICTIM_P, false},
    {"collect_send_on", o_sent, {collect, get_and_send_on}, VICTIM_V | VICTIM_P, false},
    {"collect_cycle", o_cycle, {unref_extra, collect}, VICTIM_V | VICTIM_P, false},
    {"collect_two", o_sent, {collect, get_one, collect}, VICTIM_V | VICTIM_P, false},
    {"collect_hold", o_inner, {unref_extra, hold_and_take}, VICTIM_V | VICTIM_P, false},
    {"join", q_join, {done_two, join}, VICTIM_V | VICTIM_P, false},
    {"join_two", q_join, {done_two, join, join}, VICTIM_V | VICTIM_P, false},
    {"enter", starting, {enter, put_one}, VICTIM_V | VICTIM_P, true},
    {"reattach", q_one, {reattach, reap}, VICTIM_V, false},
    {"start_process", q_one, {start_process, reap}, VICTIM_V, false},
    {"reap_two", dead_putter, {reap, reap}, VICTIM_V | VICTIM_P, false},
    {"reap_put", dead_putter, {reap, put_one}, VICTIM_V | VICTIM_P, false},
    {0},
};
