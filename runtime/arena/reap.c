/* arena/reap.c: what the living do for the dead.
 * SPDX-License-Identifier: MIT
 *
 * Anybody may reap anybody. Every step looks before it acts and may be repeated, so a reaper that is
 * killed is reaped in turn and its work done again. One claim word keeps two live reapers apart; the
 * claim of a dead one is taken over.
 *   X1 order for a context: replay its transaction, free its locks, abandon what it owned, pay its wakes,
 *      ring all bells, free its blocks, disown its objects, free the slot. Locks before the replay would
 *      show half a change; wakes before the rest would be slept through.
 *   X2 order for a process: its contexts, its holder bits, its bells, its slot. */
#include "arena/arena.h"
#include "base/debug.h"
#include "os/os.h"

/* How long a process that was forked may take to come to life, after its creator died. */
#define START_GRACE (5 * LMP_SEC)
/* How long a dead context's process is looked at closely, in seconds. */
#define SUSPECT_SECONDS 3

static bool claim(lmp_me *me, uint32_t *word) {
  for (;;) {
    uint32_t seen = lmp_load_acq32(word);
    uint32_t id = LMP_CLAIM_ID(seen);
    if (id == me->id) return true; /* begun in the name of this slot, by a thread that is gone */
    if (id != 0 && !lmp_ctx_dead(me->a, id - 1) &&
        (lmp_load_acq32(&me->a->ctxs[id - 1].cx_state) & 0xff) == LMP_CTX_LIVE) {
      return false;
    }
    if (lmp_swap_if32(word, seen, LMP_CLAIM_NEXT(seen, me->id))) return true;
  }
}

static void claim_end(uint32_t *word) { lmp_store_rel32(word, lmp_load_rlx32(word) & 0xffff0000u); }

static void claim_drop(uint32_t *word, uint32_t id) {
  uint32_t seen = lmp_load_rlx32(word);
  if (LMP_CLAIM_ID(seen) == id) lmp_swap_if32(word, seen, LMP_CLAIM_NEXT(seen, 0));
}

static void wake_all(lmp_arena *a, uint32_t off) {
  if (off) lmp_os_futex_wake(lmp_at(a, off), INT32_MAX);
}

static void free_locks(lmp_arena *a, lmp_ctx *c, uint32_t id) {
  for (unsigned i = 0; i < LMP_WANTS; i++) {
    uint32_t off = lmp_load_acq32(&c->cx_want[i]);
    if (!off) continue;
    uint32_t *lock = lmp_at(a, off);
    uint32_t seen = lmp_load_acq32(lock);
    while ((seen & ~LMP_LOCK_W) == id && !lmp_cas_ar32(lock, &seen, 0)) {
    }
    wake_all(a, off);
    lmp_store_rel32(&c->cx_want[i], 0);
  }
}

static void pay_wakes(lmp_arena *a, lmp_ctx *c) {
  for (unsigned i = 0; i < LMP_PWAKES; i++) {
    wake_all(a, lmp_load_acq32(&c->cx_pwake[i]));
    lmp_store_rel32(&c->cx_pwake[i], 0);
  }
  uint32_t n = lmp_load_acq32(&c->cx_wait_n);
  for (uint32_t i = 0; i < n && i < LMP_WAIT_MAX; i++)
    wake_all(a, lmp_load_rlx32(&c->cx_wait_word[i]));
  lmp_store_rel32(&c->cx_wait_n, 0);
}

/* hd_look is not 0 while any cx_look is not: it grows after the first and before the last store to a
 * cx_look, and is put to 0 only from a value at which all were seen to be 0. */
static void look_begin(lmp_me *me) {
  lmp_store_rel32(&me->c->cx_look, LMP_LOOKS);
  while (lmp_add_ar32(&me->a->h->hd_look, 1) == UINT32_MAX) {
  }
}

static void look_end(lmp_me *me) {
  lmp_hdr *h = me->a->h;
  lmp_store_rel32(&me->c->cx_look, 0);
  lmp_fence_sc();
  uint32_t seen = lmp_load_acq32(&h->hd_look);
  uint32_t nctx = lmp_load_acq32(&h->hd_ctx_hwm);
  for (uint32_t i = 0; i < nctx; i++) {
    if (lmp_load_acq32(&me->a->ctxs[i].cx_look)) return;
  }
  /* CRASH: before: it stays up, and objects are made a little slower until the next one ends. */
  lmp_swap_if32(&h->hd_look, seen, 0);
}

void lmp_abandon(lmp_me *me, uint32_t id) {
  lmp_arena *a = me->a;
  if (!lmp_load_acq32(&a->ctxs[id - 1].cx_owns)) return;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  look_begin(me);
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    if ((lmp_load_rlx32(&o->ob_state) & 0xff) != LMP_OBJ_LIVE) continue;
    /* It may end meanwhile, but its slot stays as it is: pairs with slot_looked_at. */
    lmp_store_rel32(&me->c->cx_look, i);
    lmp_fence_sc();
    if ((lmp_load_acq32(&o->ob_state) & 0xff) != LMP_OBJ_LIVE) continue;
    const lmp_kind *kind = o->ob_kind < LMP_KIND_COUNT ? a->kinds[o->ob_kind] : NULL;
    if (kind && kind->abandon) kind->abandon(me, o, id);
  }
  look_end(me);
}

static void suspect(lmp_arena *a, uint32_t slot) {
  if (slot < a->h->hd_nproc) {
    lmp_store_rlx32(&a->procs[slot].pr_suspect, (uint32_t)(lmp_os_now() / LMP_SEC) + 1);
  }
}

/* A dead reaper's claims: in the name of whoever comes into its slot they would keep others away. */
static void drop_claims(lmp_arena *a, uint32_t id) {
  uint32_t nctx = lmp_load_acq32(&a->h->hd_ctx_hwm);
  uint32_t nproc = lmp_load_acq32(&a->h->hd_proc_hwm);
  for (uint32_t i = 0; i < nctx; i++) {
    claim_drop(&a->ctxs[i].cx_reaper, id);
  }
  for (uint32_t i = 0; i < nproc; i++) {
    claim_drop(&a->procs[i].pr_reaper, id);
  }
}

bool lmp_reap_ctx(lmp_me *me, uint32_t index) {
  lmp_arena *a = me->a;
  lmp_ctx *c = &a->ctxs[index];
  uint32_t id = index + 1;
  if (id == me->id || !claim(me, &c->cx_reaper)) return false;
  if (lmp_ctx_dead(a, index)) {
    suspect(a, lmp_load_acq32(&c->cx_state) >> 8);
    lmp_tx_replay(a, c);
    free_locks(a, c, id);
    lmp_abandon(me, id);
    pay_wakes(a, c);
    lmp_bell_ring_all(a); /* it may have taken bits out of a flag, and not rung yet */
    lmp_memory_sweep(me, id);
    lmp_obj_disown(a, id);
    lmp_store_rel32(&a->h->hd_orphans, 1);
    drop_claims(a, id);
    lmp_store_rel32(&c->cx_owns, 0);
    lmp_store_rel32(&c->cx_look, 0);
    lmp_store_rel32(&c->cx_state, LMP_CTX_FREE);
  }
  claim_end(&c->cx_reaper);
  return true;
}

/* The contexts of a dead process; one that was half taken or half given back has nothing in it. */
static bool reap_contexts(lmp_me *me, uint32_t slot) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_ctx_hwm);
  for (uint32_t i = 0; i < hwm; i++) {
    lmp_ctx *c = &a->ctxs[i];
    uint32_t state = lmp_load_acq32(&c->cx_state);
    if (state == LMP_CTX_FREE || state >> 8 != slot) continue;
    if (lmp_ctx_dead(a, i)) {
      if (!lmp_reap_ctx(me, i)) return false;
    } else {
      lmp_swap_if32(&c->cx_state, state, LMP_CTX_FREE);
    }
  }
  return true;
}

/* Children that the dead process was starting: those that never came to life are dead, too. False while
 * one may still come. */
static bool resolve_starting(lmp_me *me, uint32_t creator) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_proc_hwm);
  bool all = true;
  for (uint32_t i = 0; i < hwm; i++) {
    lmp_proc *p = &a->procs[i];
    uint32_t word = lmp_load_acq32(&p->pr_state);
    if ((word & 0xff) != LMP_PROC_STARTING) continue;
    if (lmp_load_acq32(&p->pr_creator) != creator) continue;
    if (lmp_load_acq64(&p->pr_since) == 0) lmp_swap_if64(&p->pr_since, 0, lmp_os_now());
    if (lmp_os_now() < lmp_load_acq64(&p->pr_since) + START_GRACE ||
        lmp_os_byte_held(a->life_fd, i) != 0) {
      all = false;
    } else {
      lmp_proc_bury(a, i, word >> 8);
    }
  }
  return all;
}

bool lmp_reap_proc(lmp_me *me, uint32_t slot) {
  lmp_arena *a = me->a;
  lmp_proc *p = &a->procs[slot];
  if (!claim(me, &p->pr_reaper)) return false;
  bool done = false;
  if (lmp_proc_dead(a, slot)) {
    uint32_t gen = lmp_proc_gen(a, slot);
    lmp_swap_if32(&p->pr_state, LMP_PROC_WORD(LMP_PROC_ALIVE, gen),
                  LMP_PROC_WORD(LMP_PROC_DEAD, gen));
    if (reap_contexts(me, slot) && (!a->on_death || a->on_death(me, slot))) {
      lmp_obj_release_all(me, slot);
      lmp_bell_free_all(a, slot);
      done = resolve_starting(me, slot);
    }
  }
  if (done) {
    lmp_store_rel64(&p->pr_since, 0);
    lmp_store_rel32(&p->pr_creator, UINT32_MAX);
    lmp_store_rel32(&p->pr_state, LMP_PROC_WORD(LMP_PROC_FREE, lmp_proc_gen(a, slot) + 1));
  }
  claim_end(&p->pr_reaper);
  return done;
}

/* A process none of whose contexts lives: dead, dying, or one whose threads all left. */
static bool proc_has_life(const lmp_arena *a, uint32_t slot) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_ctx_hwm);
  for (uint32_t i = 0; i < hwm; i++) {
    uint32_t state = lmp_load_acq32(&a->ctxs[i].cx_state);
    if (state == LMP_CTX_STATE(LMP_CTX_LIVE, slot) && !lmp_ctx_dead(a, i) &&
        lmp_load_acq32(lmp_os_life_word(&a->ctxs[i].cx_life)) != 0) { /* 0: killed in detaching */
      return true;
    }
  }
  return false;
}

static bool proc_suspect(const lmp_arena *a, uint32_t slot) {
  uint32_t since = lmp_load_rlx32(&a->procs[slot].pr_suspect);
  return since && (uint32_t)(lmp_os_now() / LMP_SEC) < since + SUSPECT_SECONDS;
}

unsigned lmp_reap_all(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t nctx = lmp_load_acq32(&a->h->hd_ctx_hwm);
  uint32_t nproc = lmp_load_acq32(&a->h->hd_proc_hwm);
  unsigned dying = 0;
  if (me->depth > 0) return 0;
  for (uint32_t i = 0; i < nctx; i++) {
    if (lmp_ctx_dead(a, i)) lmp_reap_ctx(me, i);
  }
  resolve_starting(me, UINT32_MAX); /* of no known creator */
  for (uint32_t i = 0; i < nproc; i++) {
    uint32_t state = lmp_proc_state(a, i);
    if (i == a->proc || (state != LMP_PROC_ALIVE && state != LMP_PROC_DEAD)) continue;
    if (state == LMP_PROC_ALIVE && proc_has_life(a, i)) continue;
    if (!lmp_reap_proc(me, i) && proc_suspect(a, i)) dying++;
  }
  lmp_obj_orphans(me);
  if (a->on_tick) a->on_tick(me);
  if (lmp_load_rlx32(&a->h->hd_gc_debt) || lmp_collect_asked(a)) lmp_collect(me);
  return dying;
}
