/* crash/scenes_sem.c: semaphores, events and barriers: players, scenes, and what must hold at the end.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "sync/barrier.h"
#include "sync/event.h"
#include "sync/semaphore.h"
#include "world.h"

#define MOST_WAITS 3u

/* What a member did, as far as its calls returned. */
typedef struct deeds {
  uint32_t takes_begun, takes, gives_begun, gives;
  uint32_t nwaits;
  struct {
    lmp_party party;
    bool arrived, over;
    lmp_err e;
  } wait[MOST_WAITS];
} deeds;

typedef struct ledger {
  lmp_handle h;
  uint32_t initial;
  bool breaks; /* the scene breaks the barrier by itself */
  bool resets;
  bool other;     /* a permit is released by another than its holder, who may be killed in it */
  uint32_t quits; /* arrivals that ended otherwise */
  deeds did[SIM_MEMBERS];
} ledger;
_Static_assert(sizeof(ledger) <= WORLD_ROOM, "put back for each schedule");

static ledger *now(void) { return (ledger *)(void *)world_w.room; }

static unsigned who(const sim_member *m) { return (unsigned)(m - sim_k.m); }
static sim_member *checker(void) { return &sim_k.m[SIM_M]; }
static lmp_obj *thing(void) { return world_obj(now()->h); }
static bool dead(unsigned i) { return sim_k.m[i].state == SIM_DEAD; }

static bool any_dead(void) {
  for (unsigned i = 0; i < SIM_M; i++) {
    if (dead(i)) return true;
  }
  return false;
}

/* -- semaphores ----------------------------------------------------------------------------------- */

static bool bounded(void) { return thing()->ob_kind == LMP_KIND_BOUNDED; }

static uint32_t holders(void) {
  uint32_t n = 0;
  for (unsigned i = 0; i < SIM_MEMBERS; i++)
    n += dead(i) ? 0 : now()->did[i].takes - now()->did[i].gives;
  return n;
}

static lmp_err take(sim_member *m, uint64_t deadline) {
  deeds *d = &now()->did[who(m)];
  lmp_err e;
  d->takes_begun++;
  do {
    e = bounded() ? lmp_bounded_acquire(&m->me, thing(), deadline)
                  : lmp_semaphore_acquire(&m->me, thing(), deadline);
  } while (e == LMP_E_INTR);
  if (e == LMP_OK) {
    d->takes++;
  } else {
    d->takes_begun--;
  }
  if (bounded() && holders() > now()->initial) sim_fail("more permits are held than there are");
  return e;
}

static void give(sim_member *m) {
  deeds *d = &now()->did[who(m)];
  d->gives_begun++;
  if (bounded()) d->gives++; /* no longer inside, whatever it returns */
  if (bounded() ? lmp_bounded_release(&m->me, thing()) : lmp_semaphore_release(&m->me, thing())) {
    sim_fail("release");
  }
  if (!bounded()) d->gives++;
}

static void take_one(sim_member *m) {
  if (take(m, LMP_FOREVER)) sim_fail("acquire");
}
static void take_soon(sim_member *m) {
  if (take(m, sim_k.now + LMP_SEC) == LMP_OK) give(m);
}
static void give_one(sim_member *m) { give(m); }
static void give_two(sim_member *m) {
  give(m);
  give(m);
}
static void take_give(sim_member *m) {
  take_one(m);
  give(m);
}
static void take_give_twice(sim_member *m) {
  take_give(m);
  take_give(m);
}
/* By waiting for it with others first. */
static void wait_take(sim_member *m, bool polls) {
  do {
    world_wait(m, thing(), polls);
  } while (take(m, LMP_NOWAIT));
}
static void any_one(sim_member *m) { wait_take(m, false); }
static void poll_one(sim_member *m) { wait_take(m, true); }
static void any_give(sim_member *m) {
  any_one(m);
  give(m);
}
static void any_event(sim_member *m) { world_wait(m, thing(), false); }
static void poll_event(sim_member *m) { world_wait(m, thing(), true); }
static void take_now(sim_member *m) {
  if (take(m, LMP_NOWAIT) == LMP_OK) give(m);
}
/* Frees a permit that another holds. */
static void give_other(sim_member *m) {
  if (lmp_bounded_release(&m->me, thing())) sim_fail("release of another's permit");
}
static void give_of_q(sim_member *m) {
  now()->did[SIM_Q].gives++;
  give_other(m);
}
static void take_leave(sim_member *m) {
  take_one(m);
  now()->did[who(m)].gives++; /* at its end it holds none */
  lmp_me_detach(&m->me);
  if (lmp_me_attach(&m->a, &m->me)) sim_fail("attach");
}

static uint32_t value(void) {
  return bounded() ? lmp_bounded_value(&checker()->a, thing()) : lmp_semaphore_value(thing());
}

static bool sem_rightly(const lmp_obj *o, const sim_member *s) {
  (void)o, (void)s;
  return value() == 0;
}

static void sem_relieve(lmp_obj *o, const sim_member *s) {
  (void)o, (void)s;
  if (bounded()) {
    /* By releasing what one who is at its end still holds. */
    give_other(checker());
    for (unsigned i = 0; i < SIM_M; i++) {
      if (now()->did[i].takes == now()->did[i].gives) continue;
      now()->did[i].gives++;
      return;
    }
    if (!now()->other) sim_fail("nobody holds a permit, and one waits");
    return;
  }
  give(checker());
}

static void semaphore_finish(lmp_obj *o) {
  int64_t least = now()->initial;
  int64_t most = now()->initial;
  for (unsigned i = 0; i < SIM_MEMBERS; i++) {
    least += (int64_t)now()->did[i].gives - now()->did[i].takes_begun;
    most += (int64_t)now()->did[i].gives_begun - now()->did[i].takes;
  }
  int64_t v = lmp_semaphore_value(o);
  if (v < least || v > most) sim_fail("SE1: permits were lost or made");
  if (lmp_semaphore_release(&checker()->me, o)) sim_fail("no release afterwards");
  for (; v >= 0; v--) {
    if (lmp_semaphore_acquire(&checker()->me, o, LMP_NOWAIT)) sim_fail("no acquire afterwards");
  }
  if (lmp_semaphore_acquire(&checker()->me, o, LMP_NOWAIT) != LMP_E_TIMEOUT) {
    sim_fail("too many permits afterwards");
  }
}

static void bounded_finish(lmp_obj *o) {
  sim_member *m = checker();
  uint32_t n = now()->initial - holders();
  if (now()->other && dead(SIM_V) && lmp_bounded_held(&m->a, o, sim_k.m[SIM_Q].me.id)) {
    give_other(m); /* V was killed before it did */
  }
  if (lmp_bounded_value(&m->a, o) != n) sim_fail("BS1: permits are not what is left over");
  for (uint32_t i = 0; i < n; i++) {
    if (lmp_bounded_acquire(&m->me, o, LMP_NOWAIT)) sim_fail("no acquire afterwards");
  }
  if (lmp_bounded_acquire(&m->me, o, LMP_NOWAIT) != LMP_E_TIMEOUT) {
    sim_fail("too many permits afterwards");
  }
  for (uint32_t i = 0; i < now()->initial; i++) {
    if (lmp_bounded_release(&m->me, o)) sim_fail("no release afterwards");
  }
  if (lmp_bounded_release(&m->me, o) != LMP_E_INVAL) sim_fail("a release too many");
}

/* -- events --------------------------------------------------------------------------------------- */

static void wait_event(sim_member *m) {
  lmp_err e;
  do {
    e = lmp_event_wait(&m->me, thing(), LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("wait for an event");
}
static void wait_event_soon(sim_member *m) {
  lmp_err e;
  do {
    e = lmp_event_wait(&m->me, thing(), sim_k.now + LMP_SEC);
  } while (e == LMP_E_INTR);
  if (e && e != LMP_E_TIMEOUT) sim_fail("wait for an event");
}
static void set_event(sim_member *m) { lmp_event_set(&m->me, thing()); }
static void pulse_event(sim_member *m) {
  lmp_event_set(&m->me, thing());
  lmp_event_clear(thing());
}

/* Also after a pulse: who fell asleep at a value that is not there any more was not told. */
static bool event_rightly(const lmp_obj *o, const sim_member *s) {
  return !lmp_event_is_set(o) && lmp_event_of(o)->ev_turns == s->words[0].value;
}
static void event_relieve(lmp_obj *o, const sim_member *s) {
  (void)s;
  lmp_event_set(&checker()->me, o);
}
static void event_finish(lmp_obj *o) {
  sim_member *m = checker();
  lmp_event_set(&m->me, o);
  if (lmp_event_wait(&m->me, o, LMP_NOWAIT)) sim_fail("an event is not set afterwards");
  lmp_event_clear(o);
  if (lmp_event_wait(&m->me, o, LMP_NOWAIT) != LMP_E_TIMEOUT) sim_fail("or not clear");
}

/* -- barriers ------------------------------------------------------------------------------------- */

static lmp_err wait_until(sim_member *m, uint64_t deadline) {
  deeds *d = &now()->did[who(m)];
  uint32_t k = d->nwaits++;
  lmp_party *p = &d->wait[k].party;
  lmp_party mine;
  lmp_err e;
  do {
    e = lmp_barrier_arrive(&m->me, thing(), deadline, &mine);
  } while (e == LMP_E_INTR);
  if (e == LMP_OK) {
    *p = mine;
    d->wait[k].arrived = true;
    if (p->last) {
      e = lmp_barrier_release(&m->me, thing(), p);
    } else {
      do {
        e = lmp_barrier_await(&m->me, thing(), deadline, p);
      } while (e == LMP_E_INTR);
    }
  }
  if (e && e != LMP_E_BROKEN) sim_fail("wait at a barrier");
  d->wait[k].over = true;
  d->wait[k].e = e;
  return e;
}

static void wait_one(sim_member *m) { (void)wait_until(m, LMP_FOREVER); }
static void wait_two(sim_member *m) {
  if (wait_until(m, LMP_FOREVER) == LMP_OK) (void)wait_until(m, LMP_FOREVER);
}
static void wait_three(sim_member *m) {
  for (unsigned i = 0; i < 3 && wait_until(m, LMP_FOREVER) == LMP_OK; i++) {
  }
}
static void wait_soon(sim_member *m) { (void)wait_until(m, sim_k.now + LMP_SEC); }
static void wait_now(sim_member *m) { (void)wait_until(m, LMP_NOWAIT); }
static void wait_again(sim_member *m) {
  (void)wait_until(m, LMP_FOREVER);
  (void)wait_until(m, LMP_FOREVER);
}
static void abort_barrier(sim_member *m) { lmp_barrier_abort(&m->me, thing()); }
static void reset_barrier(sim_member *m) { lmp_barrier_reset(&m->me, thing()); }
static void abort_reset(sim_member *m) {
  lmp_barrier_abort(&m->me, thing());
  lmp_barrier_reset(&m->me, thing());
}
static void reset_and_wait(sim_member *m) {
  lmp_barrier_reset(&m->me, thing());
  (void)wait_until(m, LMP_FOREVER);
}
/* Has been found by a reset: leaves its place. */
static void leave_reset(sim_member *m) {
  deeds *d = &now()->did[who(m)];
  d->wait[0].e = lmp_barrier_await(&m->me, thing(), LMP_FOREVER, &d->wait[0].party);
  d->wait[0].over = true;
}
/* The last party's action goes wrong. */
static void wait_and_quit(sim_member *m) {
  lmp_party p;
  lmp_err e;
  do {
    e = lmp_barrier_arrive(&m->me, thing(), LMP_FOREVER, &p);
  } while (e == LMP_E_INTR);
  if (e) return;
  now()->quits++;
  lmp_barrier_quit(&m->me, thing(), &p);
}

/* Whoever sleeps rightly lacks parties, and the barrier is whole. */
static bool barrier_rightly(const lmp_obj *o, const sim_member *s) {
  if ((uint32_t)lmp_barrier_of(o)->ba_state != s->words[0].value) return false;
  return !lmp_barrier_broken(o) &&
         lmp_barrier_waiting(&checker()->a, o) < lmp_barrier_of(o)->ba_parties;
}
static void barrier_relieve(lmp_obj *o, const sim_member *s) {
  (void)s;
  now()->breaks = true;
  lmp_barrier_abort(&checker()->me, o);
}

static uint32_t round_of(lmp_bstate s) { return (uint32_t)(s >> 32) & 3; }

/* Two waits that both had a place in one attempt. */
static void check_two(unsigned i, unsigned k, unsigned j, unsigned l) {
  const lmp_party *p = &now()->did[i].wait[k].party;
  const lmp_party *q = &now()->did[j].wait[l].party;
  if ((p->state ^ q->state) >> 32) return;
  if (p->index == q->index) sim_fail("two parties with one number");
  if (!now()->did[i].wait[k].over || !now()->did[j].wait[l].over) return;
  if (now()->did[i].wait[k].e != now()->did[j].wait[l].e) sim_fail("one was let go, the other not");
}

static void check_wait(const lmp_obj *o, unsigned i, unsigned k) {
  if (!now()->did[i].wait[k].arrived) return;
  for (unsigned j = 0; j < SIM_M; j++) {
    for (unsigned l = 0; l < now()->did[j].nwaits; l++) {
      if ((j != i || l != k) && now()->did[j].wait[l].arrived) check_two(i, k, j, l);
    }
  }
  if (!now()->did[i].wait[k].over) return;
  bool complete =
      round_of(lmp_barrier_of(o)->ba_state) > round_of(now()->did[i].wait[k].party.state);
  if (now()->did[i].wait[k].e == LMP_OK && !complete)
    sim_fail("BA2: let go, and the round is not over");
  if (now()->did[i].wait[k].e && complete && !now()->resets)
    sim_fail("BA2: broken, and the round is complete");
}

/* Of each complete round, all parties were let go, or killed before they knew. */
static void check_rounds(const lmp_obj *o) {
  const lmp_barrier *b = lmp_barrier_of(o);
  uint32_t arrivals = round_of(b->ba_state) * b->ba_parties;
  uint32_t known = 0;
  uint32_t killed = 0;
  for (unsigned i = 0; i < SIM_M; i++) {
    killed += dead(i);
    for (unsigned k = 0; k < now()->did[i].nwaits; k++) {
      known += now()->did[i].wait[k].over && now()->did[i].wait[k].e == LMP_OK;
    }
  }
  if (known > arrivals) sim_fail("let go by a round that never was");
  if (known + killed + now()->quits < arrivals)
    sim_fail("a round is complete, and a party of it was not let go");
}

static void barrier_finish(lmp_obj *o) {
  sim_member *m = checker();
  check_rounds(o);
  lmp_barrier *b = lmp_barrier_of(o);
  const char *bad = lmp_barrier_valid(&m->a, o);
  if (bad) sim_fail(bad);
  for (unsigned i = 0; i < SIM_M; i++) {
    for (unsigned k = 0; k < now()->did[i].nwaits; k++) {
      check_wait(o, i, k);
      if (now()->did[i].wait[k].over && now()->did[i].wait[k].e && !now()->breaks && !any_dead())
        sim_fail("broken by nobody");
    }
  }
  for (uint32_t i = 0; i < 2 * b->ba_parties; i++) {
    if ((uint32_t)b->ba_place[i]) sim_fail("a place is not left");
  }
  lmp_barrier_reset(&m->me, o);
  lmp_party p[4];
  for (unsigned i = 0; i < b->ba_parties; i++) {
    if (lmp_barrier_arrive(&m->me, o, LMP_NOWAIT, &p[i])) sim_fail("no arrival afterwards");
    if (p[i].index != i + 1 || p[i].last != (i + 1 == b->ba_parties))
      sim_fail("no order afterwards");
  }
  if (lmp_barrier_release(&m->me, o, &p[b->ba_parties - 1])) sim_fail("no round afterwards");
  for (unsigned i = 0; i + 1 < b->ba_parties; i++) {
    if (lmp_barrier_await(&m->me, o, LMP_NOWAIT, &p[i])) sim_fail("nobody let go afterwards");
  }
}

const world_kind sem_kinds[] = {
    {LMP_KIND_SEMAPHORE, &lmp_semaphore_kind, sem_rightly, sem_relieve, semaphore_finish},
    {LMP_KIND_BOUNDED, &lmp_bounded_kind, sem_rightly, sem_relieve, bounded_finish},
    {LMP_KIND_EVENT, &lmp_event_kind, event_rightly, event_relieve, event_finish},
    {LMP_KIND_BARRIER, &lmp_barrier_kind, barrier_rightly, barrier_relieve, barrier_finish},
    {0},
};

/* -- settings ------------------------------------------------------------------------------------- */

static void begin(lmp_handle h, uint32_t initial) {
  memset(world_w.room, 0, sizeof world_w.room);
  now()->h = h;
  now()->initial = initial;
  world_w.objects = 1;
  world_w.waited = h;
  world_share(h);
}

static void semaphore(uint32_t v) {
  lmp_handle h;
  if (lmp_semaphore_new(&checker()->me, NULL, 0, v, &h)) sim_fail("set-up");
  begin(h, v);
}
static void s_zero(void) { semaphore(0); }
static void s_one(void) { semaphore(1); }

static void bounded_of(uint32_t n) {
  lmp_handle h;
  if (lmp_bounded_new(&checker()->me, NULL, 0, n, &h)) sim_fail("set-up");
  begin(h, n);
}
static void b_one(void) { bounded_of(1); }
static void b_two(void) { bounded_of(2); }
/* One permit, held by V. */
static void b_held(void) {
  sim_member *v = &sim_k.m[SIM_V];
  bounded_of(1);
  if (lmp_bounded_acquire(&v->me, thing(), LMP_NOWAIT)) sim_fail("set-up");
  now()->did[SIM_V].takes = 1;
}

/* One permit, held by Q, who does nothing. */
static void b_other(void) {
  sim_member *q = &sim_k.m[SIM_Q];
  bounded_of(1);
  now()->other = true;
  if (lmp_bounded_acquire(&q->me, thing(), LMP_NOWAIT)) sim_fail("set-up");
  now()->did[SIM_Q].takes = 1;
}

static void e_clear(void) {
  lmp_handle h;
  if (lmp_event_new(&checker()->me, NULL, 0, &h)) sim_fail("set-up");
  begin(h, 0);
}

static void barrier_of(uint32_t parties) {
  lmp_handle h;
  if (lmp_barrier_new(&checker()->me, NULL, 0, parties, LMP_FOREVER, NULL, &h)) sim_fail("set-up");
  begin(h, 0);
}
static void r_two(void) { barrier_of(2); }
static void r_three(void) { barrier_of(3); }
static void r_two_broken(void) {
  barrier_of(2);
  now()->breaks = true;
}
static void r_two_reset(void) {
  barrier_of(2);
  now()->breaks = now()->resets = true;
}
/* V has the first place, of an attempt before the present one. */
static void r_two_stay(void) {
  deeds *d;
  r_two_reset();
  d = &now()->did[SIM_V];
  if (lmp_barrier_arrive(&sim_k.m[SIM_V].me, thing(), LMP_NOWAIT, &d->wait[0].party))
    sim_fail("set-up");
  d->wait[0].arrived = true;
  d->nwaits = 1;
  lmp_barrier_reset(&checker()->me, thing());
}
/* With blocks: one for the places, one for the action. */
static void r_nothing(void) {}
static void make_barrier(sim_member *m) {
  lmp_iov iov = {"action", 6};
  lmp_msg action = {.iov = &iov, .niov = 1, .len = 6};
  lmp_handle h;
  if (lmp_barrier_new(&m->me, NULL, 0, 24, 0, &action, &h)) sim_fail("barrier_new");
  lmp_obj_unref(&m->me, h);
}
static void make_bounded(sim_member *m) {
  lmp_handle h;
  if (lmp_bounded_new(&m->me, NULL, 0, 90, &h)) sim_fail("bounded_new");
  if (lmp_bounded_acquire(&m->me, world_obj(h), LMP_NOWAIT)) sim_fail("acquire");
  lmp_obj_unref(&m->me, h);
}

/* Q is dead and not reaped; its reaper looks at objects whose blocks may become something else. */
static void b_dead(void) {
  sim_member *q = &sim_k.m[SIM_Q];
  bounded_of(1);
  if (lmp_bounded_new(&sim_k.m[SIM_V].me, NULL, 0, 90, &world_w.extra)) sim_fail("set-up");
  q->body = take_one;
  q->state = SIM_READY;
  sim_run(SIM_Q, SIM_ALWAYS, SIM_ALWAYS);
  sim_kill(SIM_Q);
  sim_bury(SIM_Q);
}
static void reuse_block(sim_member *m) {
  uint32_t id = sim_k.m[SIM_Q].me.id;
  uint64_t off = lmp_bounded_of(world_obj(world_w.extra))->bs_block;
  lmp_permit *words = lmp_at(&m->a, off);
  lmp_obj_unref(&m->me, world_w.extra);
  if (lmp_block_owner(&m->a, off)) return;         /* not freed yet */
  for (unsigned i = 0; i < 90; i++) words[i] = id; /* looks like permits of the dead */
  (void)lmp_obj_count(&m->a);
  for (unsigned i = 0; i < 90; i++) {
    if (words[i] != id) sim_fail("a reaper writes into a block that is somebody else's");
  }
}
static void abandon_q(sim_member *m) { lmp_abandon(&m->me, sim_k.m[SIM_Q].me.id); }

#define VICTIM_V 1u
#define VICTIM_P 2u
#define VICTIM_Q 4u

const scene sem_scenes[] = {
    {"semaphore_two", s_zero, {take_one, take_one, give_two}, VICTIM_V | VICTIM_Q, false},
    {"semaphore_give", s_zero, {give_one, take_one, take_one}, VICTIM_V | VICTIM_P, false},
    {"semaphore_in_turn", s_one, {take_give, take_give_twice}, VICTIM_V | VICTIM_P, false},
    {"semaphore_soon", s_zero, {take_soon, take_one, give_one}, VICTIM_V | VICTIM_Q, false},
    {"bounded_one", b_one, {take_give, take_give_twice}, VICTIM_V | VICTIM_P, false},
    {"bounded_three", b_one, {take_give, take_give, take_give}, VICTIM_V | VICTIM_P, false},
    {"bounded_two", b_two, {take_give_twice, take_give, take_give}, VICTIM_V | VICTIM_P, false},
    {"bounded_held", b_held, {give_one, take_give, take_give}, VICTIM_V | VICTIM_P, false},
    {"bounded_soon", b_held, {give_one, take_soon, take_give}, VICTIM_V | VICTIM_P, false},
    {"bounded_other", b_other, {give_of_q, take_give}, VICTIM_V | VICTIM_P, false},
    {"bounded_now", b_two, {take_now, take_now, take_give}, VICTIM_V, false},
    {"bounded_leave", b_one, {take_leave, take_give}, VICTIM_V | VICTIM_P, false},
    {"bounded_make", r_nothing, {make_bounded, make_bounded}, VICTIM_V, false},
    {"bounded_reuse", b_dead, {reuse_block, abandon_q}, VICTIM_V | VICTIM_P, false},
    {"wait_sem", s_zero, {any_one, take_one, give_two}, VICTIM_V | VICTIM_Q, false},
    {"wait_sem_poll", s_zero, {poll_one, give_one}, VICTIM_V | VICTIM_P, false},
    {"wait_bounded", b_held, {give_one, any_give, take_give}, VICTIM_V | VICTIM_P, false},
    {"wait_event", e_clear, {any_event, wait_event, set_event}, VICTIM_V | VICTIM_Q, false},
    {"wait_event_poll", e_clear, {poll_event, set_event}, VICTIM_V | VICTIM_P, false},
    {"event", e_clear, {wait_event, wait_event, set_event}, VICTIM_V | VICTIM_Q, false},
    {"event_pulse", e_clear, {wait_event, wait_event, pulse_event}, VICTIM_V | VICTIM_Q, false},
    {"event_sets", e_clear, {set_event, wait_event, set_event}, VICTIM_V | VICTIM_Q, false},
    {"event_soon", e_clear, {wait_event_soon, wait_event, pulse_event}, VICTIM_V | VICTIM_Q, false},
    {"barrier_two", r_two, {wait_one, wait_one}, VICTIM_V | VICTIM_P, false},
    {"barrier_rounds", r_two, {wait_three, wait_three}, VICTIM_V | VICTIM_P, false},
    {"barrier_three", r_three, {wait_two, wait_two, wait_two}, VICTIM_V | VICTIM_Q, false},
    {"barrier_more", r_two, {wait_two, wait_two, wait_two}, VICTIM_V | VICTIM_P, false},
    {"barrier_soon", r_two_broken, {wait_soon, wait_one, wait_one}, VICTIM_V | VICTIM_P, false},
    {"barrier_now", r_two_broken, {wait_now, wait_two}, VICTIM_V | VICTIM_P, false},
    {"barrier_abort",
     r_two_broken,
     {wait_one, wait_two, abort_barrier},
     VICTIM_V | VICTIM_Q,
     false},
    {"barrier_reset",
     r_two_reset,
     {wait_again, wait_again, abort_reset},
     VICTIM_V | VICTIM_Q,
     false},
    {"barrier_resets",
     r_two_reset,
     {wait_again, wait_again, reset_barrier},
     VICTIM_V | VICTIM_Q,
     false},
    {"barrier_late", r_two_reset, {wait_one, reset_and_wait, wait_one}, VICTIM_V | VICTIM_P, false},
    {"barrier_vacancy", r_two_stay, {leave_reset, wait_one, wait_one}, VICTIM_V | VICTIM_Q, false},
    {"barrier_quit", r_two_broken, {wait_and_quit, wait_one}, VICTIM_V | VICTIM_P, false},
    {"barrier_make", r_nothing, {make_barrier, make_barrier}, VICTIM_V, false},
    {0},
};
