/* crash/scenes_pipe.c: the ends of a pipe: closed, killed, in flight, dropped.
 * SPDX-License-Identifier: MIT
 *
 * Queue 0 of the world is the stream to the pipe's first end, queue 1 the one to its second end, or
 * where a scene says so a queue that carries an end. */
#include "channel/pipe.h"
#include "world.h"

static const lmp_handle none = {0, 0};
#define FIRST (world_w.ends[0])
#define SECOND (world_w.ends[1])

static unsigned who(const sim_member *m) { return (unsigned)(m - sim_k.m); }
static sim_member *checker(void) { return &sim_k.m[SIM_M]; }

/* -- players ------------------------------------------------------------------------------------ */

static void put(sim_member *m, unsigned q, unsigned seq, size_t size, lmp_handle named) {
  lmp_err e = world_put(m, q, WORLD_ID(who(m), seq), size, named, LMP_FOREVER);
  if (e && e != LMP_E_CLOSED) sim_fail("send");
}
static void get(sim_member *m, unsigned q) {
  lmp_err e = world_get(m, q, 1, LMP_FOREVER);
  if (e && e != LMP_E_CLOSED) sim_fail("receive");
}
static void let_go(sim_member *m, lmp_handle h) {
  if (m->refs[h.obj]) lmp_obj_unref(&m->me, h);
}

static void receive_one(sim_member *m) { get(m, 0); }
static void receive_two(sim_member *m) {
  get(m, 0);
  get(m, 0);
}
static void receive_at_second(sim_member *m) { get(m, 1); }
static void send_and_close(sim_member *m) {
  put(m, 0, 0, 5, none);
  let_go(m, SECOND);
}
static void send_twice(sim_member *m) {
  put(m, 0, 0, WORLD_LARGE, none);
  put(m, 0, 1, 5, none);
}
static void send_one(sim_member *m) { put(m, 0, 0, 5, none); }
static void close_first(sim_member *m) { let_go(m, FIRST); }
static void close_second(sim_member *m) { let_go(m, SECOND); }
/* The slots of the streams have a new owner then, if they are free. */
static void close_second_and_go_on(sim_member *m) {
  let_go(m, SECOND);
  lmp_collect(&m->me);
  if (lmp_queue_new(&m->me, NULL, 0, 0, &world_w.fresh)) sim_fail("queue_new");
}
static void close_carrier(sim_member *m) { let_go(m, world_w.extra); }
static void pass_on_second(sim_member *m) {
  put(m, 1, 0, 5, SECOND);
  let_go(m, SECOND);
}
static void take_from_carrier(sim_member *m) { get(m, 1); }
static void cancel_carrier(sim_member *m) { lmp_queue_cancel(&m->me, world_obj(world_w.q[1])); }
/* Sends the first end to itself and lets go of both. */
static void send_to_itself(sim_member *m) {
  put(m, 0, 0, 5, FIRST);
  let_go(m, FIRST);
  let_go(m, SECOND);
}
static void collect(sim_member *m) { lmp_collect(&m->me); }
static void make(sim_member *m) {
  lmp_handle ends[2];
  if (lmp_pipe_new(&m->me, "a name that needs a block", 25, true, ends)) sim_fail("pipe_new");
  lmp_obj_unref(&m->me, ends[1]);
  lmp_obj_unref(&m->me, ends[0]);
}
static void hold_second(sim_member *m) {
  if (lmp_obj_hold(&m->me, SECOND)) return;
  if (!lmp_obj_get(&m->a, lmp_conn_of(world_obj(SECOND))->cn_out))
    sim_fail("an end without its stream");
  put(m, 0, 0, 5, none);
  lmp_obj_unref(&m->me, SECOND);
}
static void poll_first(sim_member *m) {
  lmp_err e;
  do {
    e = lmp_queue_poll(&m->me, world_obj(world_w.q[0]), LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("poll");
}
static void any_first(sim_member *m) { world_wait(m, world_obj(FIRST), false); }
static void any_first_polled(sim_member *m) { world_wait(m, world_obj(FIRST), true); }
static void deafen(sim_member *m) {
  lmp_conn_deafen(&m->me, world_obj(FIRST));
  if (!lmp_queue_closed(world_obj(world_w.q[0]))) sim_fail("a deaf end's stream is open");
}

/* -- settings ----------------------------------------------------------------------------------- */

#define V 1u
#define P 2u
#define Q 4u

static void hold_by(lmp_handle h, unsigned members) {
  for (unsigned i = 0; i < 3; i++) {
    if ((members >> i & 1) && lmp_obj_hold(&sim_k.m[i].me, h)) sim_fail("set-up of a holder");
  }
}

/* A pipe whose ends these players hold. */
static void pipe_of(bool duplex, unsigned first, unsigned second) {
  sim_member *m = checker();
  /* Only what is asked for is collected at once. */
  for (unsigned i = 0; i < SIM_MEMBERS; i++) sim_k.m[i].a.debt_least = 1000;
  if (lmp_pipe_new(&m->me, NULL, 0, duplex, world_w.ends)) sim_fail("set-up of a pipe");
  hold_by(FIRST, first);
  hold_by(SECOND, second);
  world_w.q[0] = lmp_conn_of(world_obj(FIRST))->cn_in;
  if (duplex) world_w.q[1] = lmp_conn_of(world_obj(SECOND))->cn_in;
  world_w.drops = true; /* with the end that reads */
  lmp_obj_unref(&m->me, FIRST);
  lmp_obj_unref(&m->me, SECOND);
}

static void p_close(void) { pipe_of(true, P, V); }
static void p_two(void) { pipe_of(false, P, V | Q); }
static void p_reader(void) { pipe_of(false, V, P | Q); }
static void p_both(void) {
  pipe_of(true, V, P);
  world_put(&sim_k.m[SIM_P], 0, WORLD_ID(SIM_M, 1), WORLD_LARGE, none, LMP_NOWAIT);
}
static void p_carried(void) {
  pipe_of(false, P, V);
  world_queue(1, 0);
}
/* The second end is in the carrier, and held by nobody. */
static void p_in_flight(void) {
  sim_member *v = &sim_k.m[SIM_V];
  p_carried();
  if (world_put(v, 1, WORLD_ID(SIM_M, 1), 5, SECOND, LMP_NOWAIT)) sim_fail("set-up");
  lmp_obj_unref(&v->me, SECOND);
}
/* The same, and only V holds the carrier. */
static void p_in_carrier(void) {
  sim_member *v = &sim_k.m[SIM_V];
  pipe_of(false, P, V);
  if (lmp_queue_new(&v->me, NULL, 0, 0, &world_w.extra)) sim_fail("set-up");
  world_w.q[1] = world_w.extra;
  if (world_put(v, 1, WORLD_ID(SIM_M, 1), 5, SECOND, LMP_NOWAIT)) sim_fail("set-up");
  lmp_obj_unref(&v->me, SECOND);
}
/* It was sent, and V has it again. */
static void p_sent(void) {
  sim_member *v = &sim_k.m[SIM_V];
  p_carried();
  if (world_put(v, 1, WORLD_ID(SIM_M, 1), 5, SECOND, LMP_NOWAIT)) sim_fail("set-up");
  if (world_get(v, 1, 1, LMP_NOWAIT)) sim_fail("set-up");
}
static void p_itself(void) {
  pipe_of(true, V, V | P);
  world_w.itself = true;
}
static void p_poll(void) { pipe_of(false, V | P, Q); }
static void p_readers(void) { pipe_of(false, V | Q, P); }
static void p_none(void) {}

const scene pipe_scenes[] = {
    {"pipe_close", p_close, {send_and_close, receive_two}, V | P, false},
    {"pipe_close_two", p_two, {close_second, receive_two, send_and_close}, V | P | Q, false},
    {"pipe_close_reader", p_reader, {close_first, send_twice, send_one}, V | P, false},
    {"pipe_close_both", p_both, {close_first, close_second}, V | P, false},
    {"pipe_close_collect", p_both, {close_first, close_second, collect}, V | Q, false},
    {"pipe_close_reuse", p_both, {close_first, close_second_and_go_on, collect}, V, false},
    {"pipe_flight", p_carried, {pass_on_second, receive_one, take_from_carrier}, V | P | Q, false},
    {"pipe_cancel", p_in_flight, {cancel_carrier, receive_one}, V | P, false},
    {"pipe_cancel_take",
     p_in_flight,
     {cancel_carrier, receive_one, take_from_carrier},
     V | Q,
     false},
    {"pipe_carrier", p_in_carrier, {close_carrier, receive_one}, V | P, false},
    {"pipe_sent", p_sent, {close_second, receive_one, collect}, V | P | Q, false},
    {"pipe_itself", p_itself, {send_to_itself, receive_at_second}, V | P, false},
    {"pipe_hold", p_close, {close_second, receive_one, hold_second}, V | Q, false},
    {"pipe_hold_sent", p_sent, {close_second, hold_second, collect}, V | P | Q, false},
    {"pipe_poll", p_poll, {poll_first, receive_one, send_one}, V | P, false},
    {"wait_conn", p_poll, {any_first, receive_one, send_one}, V | P, false},
    {"wait_conn_poll", p_poll, {any_first_polled, receive_one, send_one}, V | P, false},
    {"wait_conn_close", p_close, {close_second, any_first}, V | P, false},
    {"pipe_deafen", p_readers, {deafen, send_twice, receive_two}, V | P, false},
    {"pipe_new", p_none, {make, collect}, V | P, false},
    {"pipe_new_two", p_none, {make, make, collect}, V | P, false},
    {0},
};
