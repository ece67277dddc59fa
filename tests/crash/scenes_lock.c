/* crash/scenes_lock.c: locks and conditions: players, scenes, and what must hold at the end.
 * SPDX-License-Identifier: MIT */
#include "sync/condition.h"
#include "sync/lock.h"
#include "world.h"

typedef struct ledger {
  lmp_handle lock, cond;
  uint32_t inside; /* member + 1 that knows that it is in the lock */
  uint32_t left;   /* members that gave up their context holding the lock */
  uint32_t told;   /* acquisitions that were told of an abandoned lock */
  uint32_t tokens; /* under the lock: a waiter takes one */
} ledger;
_Static_assert(sizeof(ledger) <= WORLD_ROOM, "put back for each schedule");

static ledger *now(void) { return (ledger *)(void *)world_w.room; }
static unsigned who(const sim_member *m) { return (unsigned)(m - sim_k.m); }
static sim_member *checker(void) { return &sim_k.m[SIM_M]; }
static lmp_obj *lock(void) { return world_obj(now()->lock); }
static lmp_obj *cond(void) { return world_obj(now()->cond); }

static uint32_t ends(void) {
  uint32_t n = now()->left;
  for (unsigned i = 0; i < SIM_M; i++) n += sim_k.m[i].state == SIM_DEAD;
  return n;
}

/* -- players ------------------------------------------------------------------------------------ */

static void entered(sim_member *m, bool abandoned) {
  ledger *l = now();
  if (l->inside && sim_k.m[l->inside - 1].state != SIM_DEAD) sim_fail("two are in a lock");
  if (l->inside && !abandoned) sim_fail("nobody is told of an abandoned lock");
  if (abandoned && ++l->told > ends()) sim_fail("told of a lock that nobody abandoned");
  l->inside = who(m) + 1;
}

static lmp_err get(sim_member *m, uint64_t deadline) {
  bool abandoned;
  lmp_err e;
  do {
    e = lmp_lock_acquire(&m->me, lock(), deadline, &abandoned);
  } while (e == LMP_E_INTR);
  if (!e) entered(m, abandoned);
  return e;
}

static void let_go(sim_member *m) {
  if (now()->inside != who(m) + 1) sim_fail("somebody else is in my lock");
  now()->inside = 0;
  if (lmp_lock_release(&m->me, lock())) sim_fail("release");
}

static void once(sim_member *m) {
  if (get(m, LMP_FOREVER)) sim_fail("acquire");
  let_go(m);
}
static void twice(sim_member *m) {
  once(m);
  once(m);
}
static void now_or_never(sim_member *m) {
  if (get(m, LMP_NOWAIT) == LMP_OK) let_go(m);
}
static void soon(sim_member *m) {
  if (get(m, sim_k.now + LMP_SEC) == LMP_OK) let_go(m);
}
/* Holds it for so long that others starve, and comes back at once. */
static void greedy(sim_member *m) {
  for (unsigned i = 0; i < 3; i++) {
    if (get(m, LMP_FOREVER)) sim_fail("acquire");
    sim_k.now += 2 * LMP_MSEC;
    let_go(m);
  }
}
/* Has it from the set-up. */
static void release(sim_member *m) { let_go(m); }
static void release_greedy(sim_member *m) {
  sim_k.now += 2 * LMP_MSEC;
  let_go(m);
  greedy(m);
}
static void deep(sim_member *m) {
  bool abandoned;
  if (get(m, LMP_FOREVER)) sim_fail("acquire");
  if (lmp_lock_acquire(&m->me, lock(), LMP_FOREVER, &abandoned) || abandoned) sim_fail("again");
  if (lmp_lock_release(&m->me, lock())) sim_fail("release");
  let_go(m);
}
static void leave(sim_member *m) {
  if (get(m, LMP_FOREVER)) sim_fail("acquire");
  now()->left++;
  now()->inside = 0;
  lmp_me_detach(&m->me);
  if (lmp_me_attach(&m->a, &m->me)) sim_fail("attach");
}

static void wait_take(sim_member *m, bool polls) {
  do {
    world_wait(m, lock(), polls);
  } while (get(m, sim_k.now + LMP_SEC)); /* its reaper may be at work */
  let_go(m);
}
static void wait_lock(sim_member *m) { wait_take(m, false); }
static void poll_lock(sim_member *m) { wait_take(m, true); }

/* Waits for a token, and takes it. */
static void take_until(sim_member *m, uint64_t deadline) {
  lmp_err e = LMP_OK;
  if (get(m, LMP_FOREVER)) sim_fail("acquire");
  while (now()->tokens == 0 && e != LMP_E_TIMEOUT) {
    bool abandoned = false;
    now()->inside = 0;
    e = lmp_cond_wait(&m->me, cond(), deadline, &abandoned);
    if (e == LMP_E_INVAL) sim_fail("wait");
    entered(m, abandoned);
  }
  if (now()->tokens) now()->tokens--;
  let_go(m);
}
static void take(sim_member *m) { take_until(m, LMP_FOREVER); }
static void take_soon(sim_member *m) { take_until(m, sim_k.now + LMP_SEC); }

static void give(sim_member *m, uint32_t n, uint32_t notify) {
  if (get(m, LMP_FOREVER)) sim_fail("acquire");
  now()->tokens += n;
  if (lmp_cond_notify(&m->me, cond(), notify)) sim_fail("notify");
  let_go(m);
}
static void give_one(sim_member *m) { give(m, 1, 1); }
static void give_all(sim_member *m) { give(m, 2, UINT32_MAX); }
static void give_two(sim_member *m) {
  give_one(m);
  give_one(m);
}

/* -- settings ----------------------------------------------------------------------------------- */

static void a_lock(void) {
  if (lmp_lock_new(&checker()->me, NULL, 0, &now()->lock)) sim_fail("set-up");
  world_share(now()->lock);
  world_w.objects = 1;
}
static void held_by_q(void) {
  bool abandoned;
  a_lock();
  world_w.waited = now()->lock;
  if (lmp_lock_acquire(&sim_k.m[SIM_Q].me, lock(), LMP_NOWAIT, &abandoned)) sim_fail("set-up");
  now()->inside = SIM_Q + 1;
}
static void an_rlock(void) {
  if (lmp_rlock_new(&checker()->me, NULL, 0, &now()->lock)) sim_fail("set-up");
  world_share(now()->lock);
  world_w.objects = 1;
}
static void a_cond(void) { /* with a lock of its own */
  if (lmp_cond_new(&checker()->me, NULL, 0, NULL, &now()->cond)) sim_fail("set-up");
  world_share(now()->cond);
  now()->lock = now()->cond;
  world_w.objects = 1;
}
static void a_bound_cond(void) {
  a_lock();
  if (lmp_cond_new(&checker()->me, NULL, 0, lock(), &now()->cond)) sim_fail("set-up");
  world_share(now()->cond);
  world_w.objects = 2;
}

/* -- the end ------------------------------------------------------------------------------------ */

/* Nobody stays in a lock, so nobody sleeps for one. Who waits for a token has reason to while there is none;
 * or one was lost with somebody who was killed in the lock. */
static bool rightly(const lmp_obj *o, const sim_member *s) {
  (void)o;
  if (s->words[0].word != &s->me.c->cx_cond) return false;
  bool lost = now()->told || lmp_lk_of(lock())->lk_word & LMP_LK_ABANDONED;
  return now()->tokens == 0 || lost;
}

static void relieve(lmp_obj *o, const sim_member *s) {
  (void)o, (void)s;
  bool abandoned;
  if (lmp_lock_acquire(&checker()->me, lock(), LMP_NOWAIT, &abandoned)) sim_fail("no relief");
  entered(checker(), abandoned);
  now()->tokens++;
  if (lmp_cond_notify(&checker()->me, cond(), 1)) sim_fail("no relief");
  let_go(checker());
}

static void finish_lock(lmp_obj *o) {
  bool abandoned;
  const char *bad = lmp_lock_valid(&checker()->a, o);
  if (bad) sim_fail(bad);
  if (o != lock()) return;
  if (lmp_lock_acquire(&checker()->me, o, LMP_NOWAIT, &abandoned)) sim_fail("a lock stays held");
  entered(checker(), abandoned);
  let_go(checker());
}

static void finish_cond(lmp_obj *o) {
  const char *bad = lmp_cond_valid(&checker()->a, o);
  if (bad) sim_fail(bad);
  finish_lock(o);
}

const world_kind lock_kinds[] = {
    {LMP_KIND_LOCK, &lmp_lock_kind, rightly, relieve, finish_lock},
    {LMP_KIND_RLOCK, &lmp_rlock_kind, rightly, relieve, finish_lock},
    {LMP_KIND_CONDITION, &lmp_cond_kind, rightly, relieve, finish_cond},
    {0},
};

#define V 1u
#define P 2u
#define Q 4u

const scene lock_scenes[] = {
    {"lock", a_lock, {once, twice}, V | P, false},
    {"lock_three", a_lock, {once, once, once}, V | P | Q, false},
    {"lock_soon", a_lock, {soon, once, soon}, V | P | Q, false},
    {"lock_now", a_lock, {now_or_never, twice, once}, V | P | Q, false},
    {"lock_starved", a_lock, {once, greedy, once}, V | P | Q, false},
    {"lock_starved_soon", a_lock, {soon, greedy, soon}, V | P | Q, false},
    {"lock_leave", a_lock, {leave, once, once}, V | P, false},
    {"lock_held", held_by_q, {once, once, release}, V | P | Q, false},
    {"lock_held_soon", held_by_q, {soon, once, release}, V | P | Q, false},
    {"lock_held_starved", held_by_q, {once, once, release_greedy}, V | P | Q, false},
    {"wait_lock", held_by_q, {wait_lock, once, release}, V | P | Q, false},
    {"wait_lock_two", held_by_q, {wait_lock, wait_lock, release}, V | P | Q, false},
    {"wait_lock_poll", held_by_q, {poll_lock, once, release}, V | P | Q, false},
    {"rlock", an_rlock, {deep, once, deep}, V | P, false},
    {"cond", a_cond, {take, give_one}, V | P, false},
    {"cond_two", a_bound_cond, {take, give_one, take}, V | P | Q, false},
    {"cond_both", a_cond, {take, give_two, take}, V | P | Q, false},
    {"cond_all", a_cond, {take, give_all, take}, V | P | Q, false},
    {"cond_soon", a_bound_cond, {take_soon, give_one, take}, V | P | Q, false},
    {0},
};
