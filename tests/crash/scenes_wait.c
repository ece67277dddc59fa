/* crash/scenes_wait.c: scenes of waiting for several things at once, and of bells.
 * SPDX-License-Identifier: MIT */
#include "sync/bell.h"
#include "sync/wait_any.h"
#include "world.h"

static const lmp_handle none = {0, 0};

static unsigned who(const sim_member *m) { return (unsigned)(m - sim_k.m); }

/* -- players: they wait for both queues ----------------------------------------------------------- */

/* With a descriptor in the list, too, when `polls`. Memory of its own: a killed member frees nothing. */
static lmp_err wait_both(sim_member *m, uint64_t deadline, bool polls) {
  static lmp_source src[SIM_MEMBERS][4];
  static lmp_pollfd fds[SIM_MEMBERS][4];
  lmp_waiter w = {.src = src[who(m)], .cap = 4, .fds = fds[who(m)], .capfds = 4};
  lmp_err e;
  bool ok = lmp_waiter_obj(&w, world_obj(world_w.q[0])) &&
            lmp_waiter_obj(&w, world_obj(world_w.q[1])) &&
            (!polls || lmp_waiter_fd(&w, SIM_IDLE_FD));
  if (!ok) sim_fail("the list of a wait");
  do {
    e = lmp_wait_any(&m->me, &w, deadline);
  } while (e == LMP_E_INTR);
  if (e == LMP_OK && !src[who(m)][0].ready && !src[who(m)][1].ready) {
    sim_fail("a wait says that something is ready, and nothing is");
  }
  return e;
}

static lmp_err take_any(sim_member *m) {
  lmp_err e = world_get(m, 0, 1, LMP_NOWAIT);
  return e == LMP_E_TIMEOUT ? world_get(m, 1, 1, LMP_NOWAIT) : e;
}

/* Until it got something. */
static void wait_and_get(sim_member *m, bool polls) {
  lmp_err e;
  do {
    if (wait_both(m, LMP_FOREVER, polls)) sim_fail("wait");
    e = take_any(m);
  } while (e == LMP_E_TIMEOUT); /* somebody else was faster */
}

static void wait_get(sim_member *m) { wait_and_get(m, false); }
static void wait_get_two(sim_member *m) {
  wait_and_get(m, false);
  wait_and_get(m, false);
}
static void wait_only(sim_member *m) { (void)!wait_both(m, LMP_FOREVER, false); }
static void wait_soon(sim_member *m) { (void)!wait_both(m, sim_k.now + LMP_SEC, false); }
static void poll_get(sim_member *m) { wait_and_get(m, true); }
static void poll_get_two(sim_member *m) {
  wait_and_get(m, true);
  wait_and_get(m, true);
}
static void poll_only(sim_member *m) { (void)!wait_both(m, LMP_FOREVER, true); }

/* An event loop of the host's around the descriptor of a bell. */
static void loop_get(sim_member *m) {
  lmp_obj *q = world_obj(world_w.q[0]);
  lmp_fdbell b;
  lmp_err e;
  if (lmp_fdbell_open(&m->me, &b)) sim_fail("no bell");
  lmp_fdbell_show(&m->me, &b, q);
  do {
    lmp_pollfd fd = {.fd = b.fd, .want = LMP_POLL_READ};
    while (lmp_os_poll(&fd, 1, LMP_FOREVER) != LMP_WOKEN) {
    }
    e = world_get(m, 0, 1, LMP_NOWAIT);
    lmp_fdbell_show(&m->me, &b, q);
  } while (e == LMP_E_TIMEOUT);
  lmp_fdbell_close(&m->me, &b);
}

static void put_one(sim_member *m) { world_put(m, 0, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER); }
static void put_two(sim_member *m) {
  world_put(m, 0, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER);
  world_put(m, 0, WORLD_ID(who(m), 1), WORLD_LARGE, none, LMP_FOREVER);
}
/* As if by two members: messages of two queues have no order. */
static void put_both(sim_member *m) {
  world_put(m, 1, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER);
  world_put(m, 0, WORLD_ID(SIM_R2, 0), 5, none, LMP_FOREVER);
}
static void put_other(sim_member *m) { world_put(m, 1, WORLD_ID(who(m), 0), 5, none, LMP_FOREVER); }
static void get_one(sim_member *m) { world_get(m, 0, 1, LMP_FOREVER); }
static void close_one(sim_member *m) { lmp_queue_close(&m->me, world_obj(world_w.q[1])); }

/* -- settings ----------------------------------------------------------------------------------- */

static void q_two(void) {
  world_queue(0, 0);
  world_queue(1, 0);
}
static void q_closes(void) {
  q_two();
  world_w.closed = true;
}

#define VICTIM_V 1u
#define VICTIM_P 2u
#define VICTIM_Q 4u

const scene wait_scenes[] = {
    {"wait_put", q_two, {wait_get, put_one}, VICTIM_V | VICTIM_P, false},
    {"wait_put_both", q_two, {wait_get_two, put_both}, VICTIM_V | VICTIM_P, false},
    {"wait_two_putters", q_two, {wait_get_two, put_one, put_other}, VICTIM_P | VICTIM_Q, false},
    {"wait_getter", q_two, {wait_only, get_one, put_one}, VICTIM_V | VICTIM_Q, false},
    {"wait_two", q_two, {wait_get, wait_get, put_one}, VICTIM_V | VICTIM_Q, false},
    {"wait_two_puts", q_two, {wait_get, wait_get, put_both}, VICTIM_V | VICTIM_Q, false},
    {"wait_stolen", q_two, {wait_get, get_one, put_two}, VICTIM_P | VICTIM_Q, false},
    {"wait_soon", q_two, {wait_soon, get_one, put_one}, VICTIM_V | VICTIM_Q, false},
    {"wait_close", q_closes, {wait_only, close_one}, VICTIM_V | VICTIM_P, false},
    {"wait_poll_put", q_two, {poll_get, put_one}, VICTIM_V | VICTIM_P, false},
    {"wait_poll_put_both", q_two, {poll_get_two, put_both}, VICTIM_V | VICTIM_P, false},
    {"wait_poll_getter", q_two, {poll_only, get_one, put_one}, VICTIM_V | VICTIM_Q, false},
    {"wait_poll_wait", q_two, {poll_get, wait_get, put_two}, VICTIM_V | VICTIM_Q, false},
    {"wait_loop_put", q_two, {loop_get, put_one}, VICTIM_V | VICTIM_P, false},
    {"wait_loop_stolen", q_two, {loop_get, get_one, put_two}, VICTIM_P | VICTIM_Q, false},
    {0},
};
