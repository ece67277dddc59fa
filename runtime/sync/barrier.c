/* sync/barrier.c: the barrier.
 * SPDX-License-Identifier: MIT
 *
 * Design. Parties take places; the state word says which round the places are for and how it ended. All is
 * done by swaps of the state and of places, without a lock, so that the reaper of a party can break the
 * round at any time. The state counts complete rounds (modulo 4), and attempts: one ends when it is complete,
 * or when a broken one is reset. B: the attempt is broken. W, V: somebody may sleep on the lower half, until
 * the attempt ends, or until a place of an earlier one is left.
 *   BA1 the places of an attempt are those that carry its number. They are taken lowest first, from the bank
 *       of its round (there are two, in turn), and while it is not broken none is given up: so who takes the
 *       last one, and finds the attempt still going on, is the last to arrive, and the only one.
 *   BA2 a party keeps its place until it has seen how its attempt ended, and a place that is not free is not
 *       taken. A free place keeps the number of the attempt that it was last used in. Who takes one has
 *       looked at it, then found its attempt still going on: so numbers only grow, and a swap that comes
 *       late, in whatever attempt, does not take a place that was used meanwhile. So from the arrival of
 *       a party until it leaves, a round can only be completed if its own was: a later one would need its
 *       place, or is in the other bank, which becomes the present one by completing its own. Hence,
 *       whatever came later: it was let go exactly if the count of rounds has changed.
 *   BA3 the swap that completes, breaks or resets is the commit, and changes the word that is slept on.
 *       Who sleeps has set W (or V) in the value that it sleeps on; that swap takes both away and wakes all.
 *       Each such swap is counted as a turn: V, set again by one who looked before it, does not make the word
 *       what it was.
 *   BA4 who waits for a place to be left sets V, then looks at the place again; who leaves one frees it,
 *       then looks at V; a full fence stands between, in both.
 * CRASH: a dead party is found by its place: the reaper breaks the attempt, if it is still going on, before
 * it frees the place. Until then the place stands for somebody who has arrived. A party that dies after its
 * round was completed breaks nothing. Wakes are owed in cx_pwake; the reaper, which may itself be killed, wakes
 * all sleepers of every barrier each time. */
#include "sync/barrier.h"

#include <string.h>

#include "base/debug.h"
#include "os/os.h"

#define BROKEN UINT64_C(1)
#define WAITERS UINT64_C(2)
#define VACANCY UINT64_C(4)
#define FLAGS (BROKEN | WAITERS | VACANCY)
#define ONE_TURN 8u
/* How often a waiting party looks whether the others live: their deaths are to be felt in less than a tenth
 * of a second. */
#define PARTY_TICK (25 * LMP_MSEC)
/* Each so many attempts a party spins as long as a wake-up may take. Where each party sleeps because the
 * other one has to be woken first, spinning never pays, and is soon given up; but as soon as one is caught
 * without sleeping, none sleeps any more. */
#define SPIN_AGAIN 8
/* Looks until it looks after all the dead of the family. */
#define TICKS_REAP 16

/* -- words ----------------------------------------------------------------------------------------- */

/* The attempt, and as its lower bits the round that it is for. */
#define ROUND UINT32_C(3)
#define ONE_ATTEMPT (ROUND + 1)
static uint32_t attempt_of(lmp_bstate s) { return (uint32_t)(s >> 32); }
static bool same_round(uint32_t attempt, uint32_t other) { return !((attempt ^ other) & ROUND); }
static bool same_attempt(lmp_bstate s, lmp_bstate t) { return attempt_of(s) == attempt_of(t); }

/* States that come after s, without waiters. */
static lmp_bstate after(lmp_bstate s, uint32_t attempt, uint64_t flags) {
  uint32_t turns = ((uint32_t)s & ~(uint32_t)FLAGS) + ONE_TURN;
  return (uint64_t)attempt << 32 | turns | flags;
}
static lmp_bstate next(lmp_bstate s, uint32_t rounds) {
  uint32_t round = (attempt_of(s) + rounds) & ROUND;
  return after(s, ((attempt_of(s) & ~ROUND) + ONE_ATTEMPT) | round, 0);
}
static lmp_bstate broken(lmp_bstate s) { return after(s, attempt_of(s), BROKEN); }
static lmp_bstate vacated(lmp_bstate s) { return after(s, attempt_of(s), s & BROKEN); }

static uint32_t place_attempt(lmp_place w) { return (uint32_t)(w >> 32); }
static uint32_t place_id(lmp_place w) { return (uint32_t)w; }
static lmp_place place_word(lmp_bstate s, uint32_t id) {
  return (uint64_t)attempt_of(s) << 32 | id;
}

/* Place i of the bank of the round that `s` is in. */
static lmp_place *place_at(const lmp_arena *a, lmp_barrier *b, lmp_bstate s, uint32_t i) {
  lmp_place *all = b->ba_block ? lmp_at(a, b->ba_block) : b->ba_place;
  return &all[(attempt_of(s) & 1) * b->ba_parties + i];
}

/* The half of the state that is slept on (little endian). */
static uint32_t *state_word(lmp_barrier *b) { return (uint32_t *)(void *)&b->ba_state; }

/* -- changes of state ------------------------------------------------------------------------------- */

/* Swaps the state from `s`, which it was, to `to`, and wakes who slept on it. */
static bool turn(lmp_me *me, lmp_barrier *b, lmp_bstate *s, lmp_bstate to) {
  lmp_owe(me, 0, state_word(b));
  bool done = lmp_cas_ar64(&b->ba_state, s, to);
  /* CRASH: here: cx_pwake owes the sleepers. */
  if (done && (*s & (WAITERS | VACANCY))) lmp_os_futex_wake(state_word(b), INT32_MAX);
  lmp_owe_none(me, 0);
  return done;
}

/* Breaks the attempt of `of`, if it is the present one. */
static void break_attempt(lmp_me *me, lmp_barrier *b, lmp_bstate of) {
  lmp_bstate s = lmp_load_acq64(&b->ba_state);
  while (same_attempt(s, of) && !(s & BROKEN) && !turn(me, b, &s, broken(s))) {
  }
}

/* Frees the caller's place. */
static void leave(lmp_me *me, lmp_barrier *b, const lmp_party *p) {
  lmp_store_rel64(place_at(me->a, b, p->state, p->index - 1), place_word(p->state, 0));
  lmp_fence_sc(); /* BA4 */
  lmp_bstate s = lmp_load_acq64(&b->ba_state);
  while ((s & VACANCY) && !turn(me, b, &s, vacated(s))) {
  }
}

/* -- sleeping --------------------------------------------------------------------------------------- */

/* A dead party breaks the round: somebody has to find it. */
static void look_after(lmp_me *me, lmp_barrier *b, unsigned *ticks) {
  for (uint32_t i = 0; i < 2 * b->ba_parties; i++) {
    uint32_t id = place_id(lmp_load_acq64(place_at(me->a, b, 0, i)));
    if (id && lmp_ctx_dead(me->a, id - 1)) lmp_reap_ctx(me, id - 1);
  }
  if (++*ticks % TICKS_REAP == 0) lmp_reap_all(me);
}

/* Sleeps while the state is `s`, with the flag `bit`, and the place `at` (NULL: none) is as it was seen. */
static lmp_err sleep_at(lmp_me *me, lmp_obj *o, lmp_bstate s, uint64_t bit, const lmp_place *at,
                        lmp_place seen, uint64_t deadline) {
  lmp_barrier *b = lmp_barrier_of(o);
  unsigned ticks = 0;
  lmp_wait_begin(me, o, state_word(b), deadline);
  if (!(s & bit) && !lmp_swap_if64(&b->ba_state, s, s | bit)) return LMP_OK;
  s |= bit;
  lmp_fence_sc(); /* BA4 */
  if (at && lmp_load_acq64(at) != seen) return LMP_OK;
  for (;;) {
    uint64_t until = lmp_min_u64(deadline, lmp_os_now() + PARTY_TICK);
    lmp_err e = lmp_wait_sleep(me, state_word(b), (uint32_t)s, until);
    if (e != LMP_E_TIMEOUT || until == deadline) return e;
    look_after(me, b, &ticks);
    if (lmp_load_acq32(state_word(b)) != (uint32_t)s) return LMP_OK;
    if (lmp_interrupted(me->a)) return LMP_E_INTR;
  }
}

/* -- arriving --------------------------------------------------------------------------------------- */

/* Looks for the first free place of the attempt of `s` and takes it: its number from 1. 0: all are taken,
 * or *at is one that an earlier attempt's party, *was, has not left; or the attempt is over. */
#define OVER UINT32_MAX
static uint32_t take_place(lmp_me *me, lmp_barrier *b, lmp_bstate s, lmp_place **at,
                           lmp_place *was) {
  *at = NULL;
  *was = 0;
  for (uint32_t i = 0; i < b->ba_parties; i++) {
    lmp_place *place = place_at(me->a, b, s, i);
    lmp_place seen = lmp_load_acq64(place);
    /* CRASH: after the swap: a party that has arrived is dead. */
    while (place_id(seen) == 0) {
      if (!same_attempt(lmp_load_acq64(&b->ba_state), s)) return OVER; /* after the place: BA2 */
      if (lmp_cas_ar64(place, &seen, place_word(s, me->id))) return i + 1;
    }
    if (place_attempt(seen) != attempt_of(s)) {
      *at = place;
      *was = seen;
      return 0;
    }
  }
  return 0;
}

lmp_err lmp_barrier_arrive(lmp_me *me, lmp_obj *o, uint64_t deadline, lmp_party *p) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_err e = LMP_OK;
  lmp_owns(me);
  for (;;) {
    lmp_place *at;
    lmp_place was;
    lmp_bstate s = lmp_load_acq64(&b->ba_state);
    if (s & BROKEN) {
      e = LMP_E_BROKEN;
      break;
    }
    *p = (lmp_party){.index = take_place(me, b, s, &at, &was), .state = s};
    if (p->index == OVER) continue;
    if (p->index) {
      s = lmp_load_acq64(&b->ba_state); /* after the swap of the place: BA1 */
      bool complete = !same_round(attempt_of(s), attempt_of(p->state)); /* with us: BA2 */
      if (complete || (same_attempt(s, p->state) && !(s & BROKEN))) {
        p->last = !complete && p->index == b->ba_parties;
        e = LMP_OK;
        break;
      }
      leave(me, b, p); /* it was for an attempt that is over */
      continue;
    }
    if (e == LMP_E_INTR) break;
    if (e == LMP_E_TIMEOUT || deadline == LMP_NOWAIT) {
      break_attempt(me, b, s);
      continue;
    }
    e = sleep_at(me, o, s, at ? VACANCY : WAITERS, at, was, deadline);
  }
  lmp_wait_end(me);
  return e;
}

/* -- waiting ---------------------------------------------------------------------------------------- */

lmp_err lmp_barrier_await(lmp_me *me, lmp_obj *o, uint64_t deadline, const lmp_party *p) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_err e = deadline == LMP_NOWAIT ? LMP_E_TIMEOUT : LMP_OK;
  bool spun = false;
  for (;;) {
    lmp_bstate s = lmp_load_acq64(&b->ba_state); /* pairs with the swap in lmp_barrier_release */
    if (!same_round(attempt_of(s), attempt_of(p->state))) { /* BA2 */
      e = LMP_OK;
      break;
    }
    if (!same_attempt(s, p->state) || (s & BROKEN)) {
      e = LMP_E_BROKEN;
      break;
    }
    if (e == LMP_E_INTR) {
      lmp_wait_end(me); /* wakes are for all: there is none to pass on */
      return e;
    }
    if (e) {
      break_attempt(me, b, s);
    } else if (!spun) {
      if (attempt_of(s) / ONE_ATTEMPT % SPIN_AGAIN == 0) me->spin = 0; /* the most there is */
      spun = !lmp_spin(me, state_word(b), (uint32_t)s, true);
    } else {
      e = sleep_at(me, o, s, WAITERS, NULL, 0, deadline);
    }
  }
  leave(me, b, p);
  lmp_wait_end(me);
  return e;
}

lmp_err lmp_barrier_release(lmp_me *me, lmp_obj *o, const lmp_party *p) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_bstate s = lmp_load_acq64(&b->ba_state);
  lmp_err e = LMP_E_BROKEN;
  /* CRASH: before the swap: the round is broken. After it: it is complete. */
  while (e && same_attempt(s, p->state) && !(s & BROKEN)) {
    if (turn(me, b, &s, next(s, 1))) e = LMP_OK;
  }
  leave(me, b, p);
  return e;
}

void lmp_barrier_quit(lmp_me *me, lmp_obj *o, const lmp_party *p) {
  lmp_barrier *b = lmp_barrier_of(o);
  break_attempt(me, b, p->state);
  leave(me, b, p);
}

/* -- for all ---------------------------------------------------------------------------------------- */

void lmp_barrier_abort(lmp_me *me, lmp_obj *o) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_bstate s = lmp_load_acq64(&b->ba_state);
  while (!(s & BROKEN) && !turn(me, b, &s, broken(s))) {
  }
}

void lmp_barrier_reset(lmp_me *me, lmp_obj *o) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_bstate s = lmp_load_acq64(&b->ba_state);
  while (!turn(me, b, &s, next(s, 0))) {
  }
}

bool lmp_barrier_broken(const lmp_obj *o) {
  return lmp_load_acq64(&lmp_barrier_of(o)->ba_state) & BROKEN;
}

uint32_t lmp_barrier_waiting(const lmp_arena *a, const lmp_obj *o) {
  lmp_barrier *b = lmp_barrier_of(o);
  for (;;) {
    lmp_bstate s = lmp_load_acq64(&b->ba_state);
    uint32_t n = 0;
    while (n < b->ba_parties) { /* places are taken lowest first */
      lmp_place seen = lmp_load_acq64(place_at(a, b, s, n));
      if (!place_id(seen) || place_attempt(seen) != attempt_of(s)) break;
      n++;
    }
    if (s & BROKEN) return 0;
    lmp_bstate now = lmp_load_acq64(&b->ba_state);
    if (same_attempt(now, s) && !(now & BROKEN)) return n;
  }
}

bool lmp_barrier_action(const lmp_arena *a, const lmp_obj *o, const uint8_t **data, size_t *len,
                        const lmp_handle **handles, uint32_t *nhandles) {
  const lmp_barrier *b = lmp_barrier_of(o);
  if (!b->ba_action) return false;
  *handles = lmp_at(a, b->ba_action);
  *nhandles = b->ba_nhandles;
  *data = (const uint8_t *)(*handles + b->ba_nhandles);
  *len = b->ba_len;
  return true;
}

/* -- life ------------------------------------------------------------------------------------------- */

static lmp_err places_new(lmp_me *me, uint32_t parties, uint64_t *off) {
  *off = 0;
  if (parties <= LMP_BARRIER_INLINE) return LMP_OK;
  lmp_err e = lmp_alloc(me, 2 * (uint64_t)parties * sizeof(lmp_place), off);
  if (e) return e;
  lmp_place *places = lmp_at(me->a, *off);
  for (uint32_t i = 0; i < 2 * parties; i++) lmp_store_rlx64(&places[i], 0);
  return LMP_OK;
}

static lmp_err action_new(lmp_me *me, const lmp_msg *m, uint64_t *off) {
  *off = 0;
  if (!m) return LMP_OK;
  size_t handles = m->nhandles * sizeof(lmp_handle);
  lmp_err e = lmp_alloc(me, handles + m->len, off);
  if (e) return e;
  uint8_t *to = lmp_at(me->a, *off);
  if (handles) memcpy(to, m->handles, handles);
  to += handles;
  for (uint32_t i = 0; i < m->niov; i++) {
    memcpy(to, m->iov[i].data, m->iov[i].len);
    to += m->iov[i].len;
  }
  return LMP_OK;
}

static void stamp(lmp_me *me, const lmp_msg *m) {
  for (uint32_t i = 0; m && i < m->nhandles; i++) lmp_obj_stamp(me, m->handles[i]);
}

lmp_err lmp_barrier_new(lmp_me *me, const char *name, size_t namelen, uint32_t parties,
                        uint64_t timeout, const lmp_msg *action, lmp_handle *h) {
  uint64_t places;
  uint64_t code;
  lmp_obj *o;
  lmp_check(parties >= 1 && parties <= LMP_BARRIER_MAX);
  lmp_err e = places_new(me, parties, &places);
  if (e) return e;
  e = action_new(me, action, &code);
  if (e) goto fail;
  e = lmp_obj_new(me, LMP_KIND_BARRIER, name, namelen, &o);
  if (e) goto fail_action;
  lmp_barrier *b = lmp_barrier_of(o);
  b->ba_state = (uint64_t)ONE_ATTEMPT << 32;
  b->ba_parties = parties;
  b->ba_timeout = timeout;
  b->ba_block = places;
  b->ba_action = code;
  b->ba_len = action ? action->len : 0;
  b->ba_nhandles = action ? action->nhandles : 0;
  lmp_tx_begin(me);
  if (places) lmp_tx_owner(me, places, LMP_TAG_SHARED);
  if (code) lmp_tx_owner(me, code, LMP_TAG_SHARED);
  *h = lmp_obj_publish(me, o);
  /* After it: a collector that began before did not look through this object, so the stamp is what keeps
   * those that it names; one that begins later finds them here. */
  stamp(me, action);
  return LMP_OK;

fail_action:
  if (code) lmp_free(me, code);
fail:
  if (places) lmp_free(me, places);
  return e;
}

static void give_back(lmp_me *me, uint64_t *block) {
  uint64_t off = *block;
  if (!off) return;
  lmp_tx_begin(me);
  lmp_tx_set64(me, block, 0);
  lmp_tx_owner(me, off, me->id);
  lmp_tx_commit(me);
  lmp_free(me, off);
}

static void barrier_destroy(lmp_me *me, lmp_obj *o) {
  give_back(me, &lmp_barrier_of(o)->ba_block);
  if (lmp_barrier_of(o)->ba_nhandles) {
    lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
    lmp_collect_ask(me, NULL);
  }
  give_back(me, &lmp_barrier_of(o)->ba_action);
}

static void barrier_trace(lmp_me *me, lmp_obj *o) {
  const lmp_barrier *b = lmp_barrier_of(o);
  const lmp_handle *handles = lmp_at(me->a, b->ba_action);
  if (!b->ba_action) return;
  for (uint32_t i = 0; i < b->ba_nhandles; i++) lmp_collect_mark(me, handles[i]);
}

static void barrier_abandon(lmp_me *me, lmp_obj *o, uint32_t id) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_bstate s;
  for (uint32_t i = 0; i < 2 * b->ba_parties; i++) {
    lmp_place *place = place_at(me->a, b, 0, i);
    lmp_place seen = lmp_load_acq64(place);
    if (place_id(seen) != id) continue;
    s = lmp_load_acq64(&b->ba_state);
    while (attempt_of(s) == place_attempt(seen) && !(s & BROKEN) &&
           !lmp_cas_ar64(&b->ba_state, &s, broken(s))) {
    }
    /* CRASH: before: the next reaper finds it broken, and the place. */
    lmp_store_rel64(place, (uint64_t)place_attempt(seen) << 32);
  }
  lmp_fence_sc(); /* BA4 */
  s = lmp_load_acq64(&b->ba_state);
  while ((s & VACANCY) && !lmp_cas_ar64(&b->ba_state, &s, vacated(s))) {
  }
  /* Whatever there was: one who was killed in the middle of this has left no trace of it. */
  lmp_os_futex_wake(state_word(b), INT32_MAX);
}

const lmp_kind lmp_barrier_kind = {.name = "Barrier",
                                   .destroy = barrier_destroy,
                                   .trace = barrier_trace,
                                   .abandon = barrier_abandon};

const char *lmp_barrier_valid(const lmp_arena *a, const lmp_obj *o) {
  lmp_barrier *b = lmp_barrier_of(o);
  lmp_bstate s = lmp_load_acq64(&b->ba_state);
  bool free_seen = false;
  if (b->ba_parties == 0 || b->ba_parties > LMP_BARRIER_MAX) return "parties";
  for (uint32_t i = 0; i < b->ba_parties; i++) {
    lmp_place seen = lmp_load_acq64(place_at(a, b, s, i));
    bool taken = place_id(seen) && place_attempt(seen) == attempt_of(s);
    if (taken && free_seen && !(s & BROKEN)) return "BA1: a gap in the places";
    free_seen |= !taken;
  }
  return NULL;
}
