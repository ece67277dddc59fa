/* sync/lock.c: Lock and RLock, the contended half.
 * SPDX-License-Identifier: MIT
 *
 * Design. Claim and ownership are one word: lk_word is 0, or the context id of the owner, with LMP_LK_W when
 * somebody may sleep on it; or LMP_LK_ABANDONED. It is taken by one compare-and-swap and released by one
 * exchange, so it says at every instruction whose it is. lk_depth belongs to the owner and means nothing
 * without one.
 *   K1 the word names a context exactly while that context is between the swap and the exchange, or dead
 *      and not yet abandoned. Nobody is ever given a lock: who waits has nothing that could be abandoned.
 *   K2 when somebody sleeps on the word, it has LMP_LK_W, or somebody who was woken and is still awake has
 *      his wait record standing, or a release owes the wake. Who slept takes the lock with LMP_LK_W.
 *      A watcher (lk_flag) is woken by the same wakes.
 *   K3 who was woken and did not get the lock puts LMP_LK_W back before it sleeps again or leaves.
 *   K4 lk_next names a waiter, or nobody. While it does, others do not take the lock, except by a look
 *      without waiting; they sleep on the free word and on lk_next, so that who gives its turn up reaches
 *      them; who takes it wakes them by its release.
 * Fairness. A lock goes to whoever comes first after a release: handing it to a sleeper would make every
 * change of owner as slow as a wake-up. Who has waited for STARVED though it was woken puts its id
 * into lk_next, and gets the lock next. It sleeps on lk_next as well as on the word, and a release wakes
 * it there before it wakes others. lk_next is no ownership: nothing depends on it but who waits how
 * long, so who finds a free lock reserved for a whole tick takes the reservation away.
 *
 * CRASH: owner: the reaper turns its id into ABANDONED and wakes all. In the release, before the exchange:
 * the same; after it: cx_pwake. Waiter: its wait record names the word, so all are woken, of whom the first
 * gets the lock and the others sleep again; a reservation in its name is taken away before. */
#include "sync/lock.h"

#include "base/debug.h"
#include "os/os.h"

/* From when on a waiter that lost the race for the lock has its turn next. A change of owners by wake-up costs
 * some ten microseconds, so this bounds both the loss and the waiting. */
#define STARVED LMP_MSEC
/* How often a waiter that spins may see the lock change hands before it sleeps. */
#define SPIN_ROUNDS 100

typedef struct waiter {
  lmp_me *me;
  lmp_obj *o;
  lmp_lk *k;
  uint64_t deadline;
  uint64_t since; /* when it first slept; 0: it did not */
  uint64_t tick, tick_at;
} waiter;

static lmp_err lock_make(lmp_me *me, uint32_t kind, const char *name, size_t namelen,
                         lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, kind, name, namelen, &o);
  if (e) return e;
  lmp_lk_of(o)->lk_recursive = kind == LMP_KIND_RLOCK;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

lmp_err lmp_lock_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h) {
  return lock_make(me, LMP_KIND_LOCK, name, namelen, h);
}

lmp_err lmp_rlock_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h) {
  return lock_make(me, LMP_KIND_RLOCK, name, namelen, h);
}

/* -- taking ------------------------------------------------------------------------------------- */

/* `who` must leave a free lock to somebody else. */
static bool reserved(const lmp_lk *k, uint32_t who) {
  uint32_t next = lmp_load_acq32(&k->lk_next);
  return next != 0 && next != who;
}

/* Takes the lock if it is free; `barge`: also if it is reserved. */
static bool take(const waiter *w, bool barge, bool *abandoned) {
  lmp_lk *k = w->k;
  uint32_t id = w->me->id;
  uint32_t seen = lmp_load_acq32(&k->lk_word);
  do {
    if (seen & LMP_LK_OWNER || (!barge && reserved(k, id))) return false;
    /* Others may sleep where we did: K2. */
  } while (!lmp_cas_ar32(&k->lk_word, &seen, id | (w->since ? LMP_LK_W : seen & LMP_LK_W)));
  lmp_store_rlx32(&k->lk_depth, 1);
  /* CRASH: before: the reaper takes the reservation away together with the lock. */
  if (w->since) lmp_swap_if32(&k->lk_next, id, 0);
  *abandoned = (seen & LMP_LK_ABANDONED) != 0;
  return true;
}

/* Looks for a while whether the lock becomes free. */
static bool spin(const waiter *w, bool *abandoned) {
  for (unsigned i = 0; i < SPIN_ROUNDS; i++) {
    uint32_t seen = lmp_load_rlx32(&w->k->lk_word);
    if (!lmp_spin(w->me, &w->k->lk_word, seen, true)) return false;
    if (take(w, false, abandoned)) return true;
  }
  return false;
}

/* -- sleeping ----------------------------------------------------------------------------------- */

/* The life word of whom the waiter waits for, so that his death wakes it. False, and it looks again: he is
 * dead, and was reaped. */
static bool watch_life(const waiter *w, uint32_t who, lmp_waitword *word) {
  uint32_t *life = lmp_os_life_word(&w->me->a->ctxs[who - 1].cx_life);
  *word = (lmp_waitword){life, lmp_load_acq32(life)};
  return !lmp_ctx_dead(w->me->a, who - 1) || !lmp_reap_ctx(w->me, who - 1);
}

/* Sleeps while the word is `seen`, which has LMP_LK_W, and it is the turn of `next`. */
static lmp_err lock_sleep(waiter *w, uint32_t seen, uint32_t next) {
  lmp_lk *k = w->k;
  lmp_waitword words[3];
  unsigned n = 0;
  uint32_t owner = seen & LMP_LK_OWNER;
  uint32_t who = owner ? owner : next;
  /* Whose turn it is may change while the word does not: K4. Before the word: the kernel queues us on one after
   * the other, and a release in between would find nobody on lk_next, and wake another waiter for us. */
  if (next != 0 && (!owner || next == w->me->id)) words[n++] = (lmp_waitword){&k->lk_next, next};
  words[n++] = (lmp_waitword){&k->lk_word, seen};
  if (who != 0 && who != w->me->id) {
    if (!watch_life(w, who, &words[n])) return LMP_OK;
    n += !(words[n].value & LMP_LIFE_DEAD); /* else another reaper is at it, and changes the word */
  }
  uint64_t until = lmp_min_u64(w->deadline, w->tick_at);
  lmp_woke woke = lmp_os_futex_wait(words, n, until);
  if (woke == LMP_SIGNALLED) return LMP_E_INTR;
  if (woke == LMP_TIMED_OUT && until == w->deadline) return LMP_E_TIMEOUT;
  if (lmp_os_now() < w->tick_at) return LMP_OK;
  lmp_reap_all(w->me);
  w->tick = lmp_tick(w->me->a, w->tick);
  w->tick_at = lmp_os_now() + w->tick;
  /* K4: the one whose turn it is has been stopped, perhaps. */
  if (!(seen & LMP_LK_OWNER) && next != w->me->id && lmp_load_acq32(&k->lk_word) == seen) {
    lmp_swap_if32(&k->lk_next, next, 0);
  }
  /* Who was woken goes on: K3. */
  return woke == LMP_TIMED_OUT && lmp_interrupted(w->me->a) ? LMP_E_INTR : LMP_OK;
}

/* The owner is dead, and it was seen to that it owns nothing any more. */
static bool bury_owner(const waiter *w) {
  uint32_t owner = lmp_load_acq32(&w->k->lk_word) & LMP_LK_OWNER;
  return owner && owner != w->me->id && lmp_ctx_dead(w->me->a, owner - 1) &&
         lmp_reap_ctx(w->me, owner - 1);
}

/* After a look that found the lock taken or reserved. */
static lmp_err lock_wait(waiter *w) {
  lmp_lk *k = w->k;
  uint32_t id = w->me->id;
  lmp_wait_begin(w->me, w->o, &k->lk_word, w->deadline);
  if (!w->since) {
    w->since = lmp_os_now();
    w->tick_at = w->since + w->tick;
  } else if (lmp_os_now() - w->since >= STARVED) {
    /* CRASH: after: the reaper of this context takes it away. */
    lmp_swap_if32(&k->lk_next, 0, id);
  }
  uint32_t seen = lmp_load_acq32(&k->lk_word);
  uint32_t next = lmp_load_acq32(&k->lk_next); /* what is slept on decides, too */
  if (!(seen & LMP_LK_OWNER) && (next == 0 || next == id)) return LMP_OK;
  if (!(seen & LMP_LK_W) && !lmp_swap_if32(&k->lk_word, seen, seen | LMP_LK_W)) return LMP_OK;
  return lock_sleep(w, seen | LMP_LK_W, next);
}

/* Leaves without the lock. */
static void give_up(const waiter *w) {
  lmp_lk *k = w->k;
  if (!lmp_swap_if32(&k->lk_next, w->me->id, 0)) return;
  /* CRASH: before: the wait record names the word, on which these sleep, too. */
  lmp_os_futex_wake(&k->lk_next, INT32_MAX);
  if (!(lmp_load_acq32(&k->lk_word) & LMP_LK_OWNER)) lmp_lock_wake(w->me->a, k);
}

LMP_NOINLINE lmp_err lmp_lock_acquire_slow(lmp_me *me, lmp_obj *o, uint64_t deadline,
                                           bool *abandoned) {
  lmp_lk *k = lmp_lk_of(o);
  if ((lmp_load_rlx32(&k->lk_word) & LMP_LK_OWNER) == me->id) {
    if (k->lk_recursive) {
      uint32_t depth = lmp_load_rlx32(&k->lk_depth);
      if (depth == UINT32_MAX) return LMP_E_TOOLARGE;
      lmp_store_rlx32(&k->lk_depth, depth + 1);
      *abandoned = false;
      return LMP_OK;
    }
    if (deadline == LMP_FOREVER) return LMP_E_INVAL;
  }
  waiter w = {me, o, k, deadline, 0, lmp_tick(me->a, 0), 0};
  lmp_err e = LMP_OK;
  bool barge = deadline == LMP_NOWAIT;
  bool got = take(&w, barge, abandoned) || (bury_owner(&w) && take(&w, barge, abandoned));
  if (!got && deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  if (!got) got = spin(&w, abandoned);
  while (!got && !e) {
    e = lock_wait(&w);
    /* One more look after a timeout or a signal, then out. */
    got = take(&w, e == LMP_E_TIMEOUT, abandoned);
    if (!got && !e) got = spin(&w, abandoned);
  }
  if (!got) give_up(&w);
  if (w.since) lmp_wait_end(me);
  return got ? LMP_OK : e;
}

/* -- releasing ---------------------------------------------------------------------------------- */

/* After a release: wakes the one whose turn it is, or the first. */
LMP_NOINLINE void lmp_lock_wake(const lmp_arena *a, lmp_lk *k) {
  lmp_fence_after_rmw(); /* the word before the flag; pairs with lmp_flag_raise */
  if (!lmp_load_acq32(&k->lk_next) || !lmp_os_futex_wake(&k->lk_next, INT32_MAX)) {
    lmp_os_futex_wake(&k->lk_word, 1);
  }
  lmp_flag_wake(a, &k->lk_flag, &k->lk_word, 1);
}

bool lmp_lock_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  lmp_lk *k = lmp_lk_of(o);
  *flag = &k->lk_flag;
  uint32_t seen = lmp_load_acq32(&k->lk_word);
  for (;;) {
    uint32_t owner = seen & LMP_LK_OWNER;
    if (!owner) return true;
    if (owner == me->id) return k->lk_recursive;
    if (lmp_ctx_dead(me->a, owner - 1)) return true;
    if (seen & LMP_LK_W || lmp_cas_ar32(&k->lk_word, &seen, seen | LMP_LK_W)) return false;
  }
}

void lmp_lock_abandon(lmp_me *me, lmp_obj *o, uint32_t id) {
  lmp_lk *k = lmp_lk_of(o);
  /* Its sleepers are woken with the wait record that it has left. */
  lmp_swap_if32(&k->lk_next, id, 0);
  uint32_t seen = lmp_load_acq32(&k->lk_word);
  while ((seen & LMP_LK_OWNER) == id) {
    uint32_t free = LMP_LK_ABANDONED | (seen & LMP_LK_W);
    if (lmp_cas_ar32(&k->lk_word, &seen, free)) seen = free;
  }
  /* Also for a reaper that was killed between this and the swap. */
  if (seen & LMP_LK_ABANDONED) {
    lmp_fence_sc();
    lmp_os_futex_wake(&k->lk_word, INT32_MAX);
    lmp_flag_wake(me->a, &k->lk_flag, &k->lk_word, INT32_MAX);
  }
}

const lmp_kind lmp_lock_kind = {
    .name = "Lock", .watch = lmp_lock_watch, .abandon = lmp_lock_abandon};
const lmp_kind lmp_rlock_kind = {
    .name = "RLock", .watch = lmp_lock_watch, .abandon = lmp_lock_abandon};

/* -- invariants --------------------------------------------------------------------------------- */

const char *lmp_lock_valid(const lmp_arena *a, const lmp_obj *o) {
  const lmp_lk *k = lmp_lk_of(o);
  uint32_t word = lmp_load_acq32(&k->lk_word);
  uint32_t owner = word & LMP_LK_OWNER;
  if (owner && word & LMP_LK_ABANDONED) return "K1: owned and abandoned";
  if (owner > a->h->hd_nctx) return "K1: no such owner";
  if (owner && lmp_ctx_dead(a, owner - 1)) return "K1: the owner is dead";
  if (owner && !k->lk_recursive && k->lk_depth != 1) return "a Lock acquired more than once";
  if (lmp_load_acq32(&k->lk_next) && !owner) return "K4: a free lock stays reserved";
  return NULL;
}
