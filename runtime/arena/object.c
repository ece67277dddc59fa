/* arena/object.c: the object table: who holds what, and when it ends.
 * SPDX-License-Identifier: MIT
 *
 * A slot: FREE -> NEW (being made, by a context) -> LIVE -> DYING (being destroyed, by a context; by
 * context 0: its destroyer died) -> FREE with the next generation.
 *   O1 a LIVE object that no message ever named has a holder, or somebody is in lmp_obj_unref of it.
 *   O2 the holder bit of a process is set while that process has references (refs, private).
 *   O3 LIVE becomes DYING only under ob_lock, with no holder bit set, and either the object was never
 *      named by a message or the collector found that no reachable one names it.
 * A holder is a bit and not a count: setting and clearing it twice is harmless, so nothing drifts when
 * a process is killed, and its death clears one bit everywhere. */
#include <string.h>

#include "arena/arena.h"
#include "base/debug.h"
#include "os/os.h"

/* Pages of the table are reserved so many slots at a time. */
#define OBJ_CHUNK (LMP_SPAN / (uint32_t)sizeof(lmp_obj))

static unsigned obj_state(const lmp_obj *o) { return lmp_load_acq32(&o->ob_state) & 0xff; }

static bool obj_held(const lmp_obj *o) {
  for (unsigned i = 0; i < LMP_HOLDER_WORDS; i++) {
    if (lmp_load_acq64(&o->ob_holders[i])) return true;
  }
  return false;
}

static void holder_set(lmp_obj *o, uint32_t slot) {
  lmp_or_ar64(&o->ob_holders[slot / 64], UINT64_C(1) << slot % 64);
}

static void holder_clear(lmp_obj *o, uint32_t slot) {
  lmp_and_ar64(&o->ob_holders[slot / 64], ~(UINT64_C(1) << slot % 64));
}

static bool holder_is(const lmp_obj *o, uint32_t slot) {
  return lmp_load_acq64(&o->ob_holders[slot / 64]) >> slot % 64 & 1;
}

/* -- slots -------------------------------------------------------------------------------------- */

/* Grows the high-water mark over slot i, its pages first. */
static bool table_reach(lmp_arena *a, uint32_t i) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  if (i < hwm) return true;
  if (i == 1 || i % OBJ_CHUNK == 0) {
    uint64_t off = lmp_off(a, lmp_obj_at(a, i)) & ~(uint64_t)(LMP_PAGE - 1);
    if (!lmp_os_reserve(a->fd, off, (uint64_t)OBJ_CHUNK * sizeof(lmp_obj))) return false;
  }
  while (hwm <= i && !lmp_cas_ar32(&a->h->hd_obj_hwm, &hwm, i + 1)) {
  }
  return true;
}

/* After a change of the state of slot i and a full fence, which pairs with those of pass and lmp_abandon:
 * somebody is looking at what it was, for the collector or for a context at its end, so it must not become
 * another object now, nor its blocks something else. */
static bool slot_looked_at(lmp_arena *a, uint32_t i) {
  if (lmp_load_acq32(&a->h->hd_gc_scan) == i) return true;
  if (LMP_LIKELY(lmp_load_acq32(&a->h->hd_look) == 0)) return false;
  uint32_t nctx = lmp_load_acq32(&a->h->hd_ctx_hwm);
  for (uint32_t k = 0; k < nctx; k++) {
    if (lmp_load_acq32(&a->ctxs[k].cx_look) == i) return true;
  }
  return false;
}

static lmp_obj *slot_claim(lmp_me *me, uint32_t from, uint32_t to) {
  lmp_arena *a = me->a;
  for (uint32_t i = from; i < to; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    if (i >= lmp_load_rlx32(&a->h->hd_obj_hwm) && !table_reach(a, i)) return NULL;
    if (lmp_load_rlx32(&o->ob_state) != LMP_OBJ_FREE) continue;
    if (!lmp_swap_if32(&o->ob_state, LMP_OBJ_FREE, LMP_OBJ_STATE(LMP_OBJ_NEW, me->id))) continue;
    lmp_fence_after_rmw();
    if (LMP_UNLIKELY(slot_looked_at(a, i))) {
      lmp_store_rel32(&o->ob_state, LMP_OBJ_FREE);
      continue;
    }
    lmp_store_rlx32(&a->h->hd_obj_hint, i + 1);
    return o;
  }
  return NULL;
}

static void slot_free(lmp_arena *a, lmp_obj *o) {
  uint32_t i = (uint32_t)(o - a->objs);
  uint32_t gen = lmp_load_rlx32(&o->ob_gen) + 1;
  lmp_store_rel32(&o->ob_gen, gen ? gen : 1);
  lmp_store_rel32(&o->ob_state, LMP_OBJ_FREE);
  if (lmp_load_rlx32(&a->h->hd_obj_hint) > i) lmp_store_rlx32(&a->h->hd_obj_hint, i);
}

lmp_err lmp_obj_new(lmp_me *me, uint32_t kind, const char *name, size_t namelen, lmp_obj **out) {
  lmp_arena *a = me->a;
  uint32_t hint = lmp_load_rlx32(&a->h->hd_obj_hint);
  uint64_t text = 0;
  if (namelen > LMP_NAME_SHORT) {
    lmp_err e = lmp_alloc(me, namelen, &text);
    if (e) return e;
    memcpy(lmp_at(a, text), name, namelen);
  }
  lmp_obj *o = slot_claim(me, hint, a->h->hd_nobj);
  if (!o) o = slot_claim(me, 1, lmp_min_u64(hint, a->h->hd_nobj) & UINT32_MAX);
  if (!o) {
    if (text) lmp_free(me, text);
    return LMP_E_NOSLOT;
  }
  /* CRASH: NEW: the reaper frees the slot, the sweep the text. */
  if (lmp_load_rlx32(&o->ob_gen) == 0) lmp_store_rlx32(&o->ob_gen, 1);
  lmp_store_rlx32(&o->ob_kind, kind); /* a collector may still look at what the slot was */
  lmp_store_rlx32(&o->ob_sent, 0);
  lmp_store_rlx32(&o->ob_mark, 0);
  lmp_store_rlx32(&o->ob_scan, 0);
  o->ob_name = text;
  o->ob_namelen = (uint32_t)namelen;
  if (namelen && !text) memcpy(o->ob_short, name, namelen);
  for (unsigned i = 0; i < LMP_HOLDER_WORDS; i++) lmp_store_rlx64(&o->ob_holders[i], 0);
  memset(o->ob_body, 0, sizeof o->ob_body);
  *out = o;
  return LMP_OK;
}

lmp_handle lmp_obj_publish(lmp_me *me, lmp_obj *o) {
  lmp_arena *a = me->a;
  uint32_t i = (uint32_t)(o - a->objs);
  pthread_mutex_lock(&a->mu);
  a->refs[i] = 1;
  holder_set(o, a->proc);
  pthread_mutex_unlock(&a->mu);
  if (o->ob_name) lmp_tx_owner(me, o->ob_name, LMP_TAG_SHARED);
  lmp_tx_set32(me, &o->ob_state, LMP_OBJ_LIVE);
  lmp_tx_commit(me);
  return lmp_handle_of(a, o);
}

void lmp_obj_abandon(lmp_me *me, lmp_obj *o) {
  if (o->ob_name) lmp_free(me, o->ob_name);
  slot_free(me->a, o);
}

const char *lmp_obj_name(const lmp_arena *a, const lmp_obj *o) {
  return o->ob_name ? lmp_at(a, o->ob_name) : o->ob_short;
}

lmp_obj *lmp_obj_get(const lmp_arena *a, lmp_handle h) {
  if (h.obj == 0 || h.obj >= lmp_load_rlx32(&a->h->hd_obj_hwm)) return NULL;
  lmp_obj *o = lmp_obj_at(a, h.obj);
  if (obj_state(o) != LMP_OBJ_LIVE || lmp_load_acq32(&o->ob_gen) != h.gen) return NULL;
  return o;
}

uint32_t lmp_obj_count(const lmp_arena *a) {
  uint32_t n = 0;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  for (uint32_t i = 1; i < hwm; i++) n += obj_state(lmp_obj_at(a, i)) == LMP_OBJ_LIVE;
  return n;
}

/* -- ends --------------------------------------------------------------------------------------- */

/* The owner of a DYING object. CRASH: anywhere: the object becomes an orphan, and whoever finds it
 * starts again; a name that was freed is taken out of the object first. */
void lmp_obj_destroy(lmp_me *me, lmp_obj *o) {
  lmp_arena *a = me->a;
  const lmp_kind *kind = o->ob_kind < LMP_KIND_COUNT ? a->kinds[o->ob_kind] : NULL;
  lmp_fence_sc();
  if (kind && kind->abandon && LMP_UNLIKELY(slot_looked_at(a, (uint32_t)(o - a->objs)))) {
    /* The reaper of another context writes into it: left to whoever looks for orphans next. */
    lmp_store_rel32(&o->ob_state, LMP_OBJ_STATE(LMP_OBJ_DYING, 0));
    lmp_store_rel32(&a->h->hd_orphans, 1);
    return;
  }
  if (kind && kind->destroy) kind->destroy(me, o);
  uint64_t text = o->ob_name;
  if (text) {
    lmp_tx_begin(me);
    lmp_tx_set64(me, &o->ob_name, 0);
    lmp_tx_owner(me, text, me->id);
    lmp_tx_commit(me);
    lmp_free(me, text);
  }
  slot_free(me->a, o);
}

/* Destroys a LIVE object that lost its last holder; leaves one that messages may name to the
 * collector, which the return value asks for. */
static bool obj_unheld(lmp_me *me, lmp_obj *o, uint32_t gen) {
  bool dying = false;
  bool last = false;
  lmp_lock(me, &o->ob_lock);
  /* Looked at before the holders: who takes an object out of the one container that names it holds it, then
   * clears ob_sent. And after them: a putter stamps, then lets go. */
  bool sent = lmp_load_acq32(&o->ob_sent) != 0;
  if (obj_state(o) == LMP_OBJ_LIVE && lmp_load_acq32(&o->ob_gen) == gen && !obj_held(o)) {
    last = true;
    sent = sent || lmp_load_acq32(&o->ob_sent) != 0;
    dying = !sent;
    if (dying) lmp_store_rel32(&o->ob_state, LMP_OBJ_STATE(LMP_OBJ_DYING, me->id));
  }
  lmp_unlock(me, &o->ob_lock);
  if (dying) lmp_obj_destroy(me, o);
  if (last && sent) lmp_collect_ask(me, o);
  return last && sent;
}

/* Running the collector costs in proportion to the objects there are: it pays when so many were
 * dropped that each bears a constant share. */
void lmp_collect_if_due(lmp_me *me, uint32_t dropped) {
  lmp_hdr *h = me->a->h;
  if (dropped) lmp_add_ar32(&h->hd_gc_debt, dropped);
  uint32_t debt = lmp_load_rlx32(&h->hd_gc_debt);
  bool due = debt > me->a->debt_least && debt >= lmp_load_rlx32(&h->hd_obj_hwm) / 16;
  if (due || lmp_collect_asked(me->a)) lmp_collect(me);
}

/* True: nobody holds it any more. */
static bool obj_drop(lmp_me *me, lmp_handle h) {
  lmp_arena *a = me->a;
  lmp_obj *o = lmp_obj_at(a, h.obj);
  pthread_mutex_lock(&a->mu);
  lmp_assert(a->refs[h.obj] > 0);
  bool last = --a->refs[h.obj] == 0;
  if (last) holder_clear(o, a->proc);
  pthread_mutex_unlock(&a->mu);
  return last && !obj_held(o);
}

void lmp_obj_unref(lmp_me *me, lmp_handle h) {
  if (obj_drop(me, h)) lmp_collect_if_due(me, obj_unheld(me, lmp_obj_at(me->a, h.obj), h.gen));
}

void lmp_obj_unref_named(lmp_me *me, lmp_handle h) {
  if (obj_drop(me, h)) (void)obj_unheld(me, lmp_obj_at(me->a, h.obj), h.gen);
}

void lmp_obj_ref(lmp_me *me, lmp_handle h) {
  lmp_arena *a = me->a;
  pthread_mutex_lock(&a->mu);
  if (a->refs[h.obj]++ == 0) holder_set(lmp_obj_at(a, h.obj), a->proc);
  pthread_mutex_unlock(&a->mu);
}

void lmp_obj_entrust(lmp_me *me, lmp_handle h) {
  lmp_arena *a = me->a;
  lmp_obj *o = lmp_obj_at(a, h.obj);
  /* A collector that looked at those others before they were there had begun its epoch by then. */
  lmp_fence_sc();
  lmp_obj_stamp(me, h);
  pthread_mutex_lock(&a->mu);
  lmp_assert(a->refs[h.obj] == 1);
  a->refs[h.obj] = 0;
  holder_clear(o, a->proc);
  pthread_mutex_unlock(&a->mu);
}

lmp_err lmp_obj_hold(lmp_me *me, lmp_handle h) {
  lmp_arena *a = me->a;
  if (!lmp_obj_get(a, h)) return LMP_E_GONE;
  lmp_obj *o = lmp_obj_at(a, h.obj);
  uint32_t condemned = lmp_collect_pause(me);
  lmp_lock(me, &o->ob_lock);
  /* Nobody's and never sent: somebody is about to end it, and what it names may be gone. */
  bool live = lmp_obj_get(a, h) && (obj_held(o) || lmp_load_acq32(&o->ob_sent) != 0);
  if (live) lmp_obj_ref(me, h);
  lmp_unlock(me, &o->ob_lock);
  lmp_collect_resume(me, condemned);
  if (lmp_collect_asked(a)) lmp_collect(me); /* by one who saw us at it, and left */
  return live ? LMP_OK : LMP_E_GONE;
}

lmp_err lmp_obj_hold_leaf(lmp_me *me, lmp_handle h) {
  if (!lmp_obj_get(me->a, h)) return LMP_E_GONE;
  lmp_obj *o = lmp_obj_at(me->a, h.obj);
  lmp_lock(me, &o->ob_lock);
  bool live = lmp_obj_get(me->a, h) != NULL;
  if (live) lmp_obj_ref(me, h);
  lmp_unlock(me, &o->ob_lock);
  return live ? LMP_OK : LMP_E_GONE;
}

void lmp_obj_give(lmp_me *me, lmp_handle h, uint32_t slot) {
  holder_set(lmp_obj_at(me->a, h.obj), slot);
}

void lmp_obj_forget(lmp_arena *a) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  memset(a->refs, 0, hwm * sizeof *a->refs);
}

void lmp_obj_release_mine(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  for (uint32_t i = 1; i < hwm; i++) {
    if (a->refs[i] == 0) continue;
    a->refs[i] = 1;
    lmp_obj_unref(me, lmp_handle_of(a, lmp_obj_at(a, i)));
  }
}

void lmp_obj_release_all(lmp_me *me, uint32_t slot) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  uint32_t dropped = 0;
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    if (!holder_is(o, slot)) continue;
    uint32_t gen = lmp_load_acq32(&o->ob_gen);
    holder_clear(o, slot);
    if (!obj_held(o) && obj_unheld(me, o, gen)) dropped++;
  }
  lmp_collect_if_due(me, dropped);
}

/* -- what a dead context left ------------------------------------------------------------------- */

void lmp_obj_disown(lmp_arena *a, uint32_t id) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    uint32_t state = lmp_load_acq32(&o->ob_state);
    if (state == LMP_OBJ_STATE(LMP_OBJ_NEW, id)) {
      slot_free(a, o);
    } else if (state == LMP_OBJ_STATE(LMP_OBJ_DYING, id)) {
      lmp_store_rel32(&a->h->hd_orphans, 1);
      lmp_swap_if32(&o->ob_state, state, LMP_OBJ_STATE(LMP_OBJ_DYING, 0));
    }
  }
}

/* Besides those: a LIVE object without a holder whose last one was killed between letting go and
 * destroying it. */
void lmp_obj_orphans(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  if (!lmp_load_rlx32(&a->h->hd_orphans)) return;
  lmp_store_rel32(&a->h->hd_orphans, 0);
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    uint32_t orphan = LMP_OBJ_STATE(LMP_OBJ_DYING, 0);
    if (lmp_load_acq32(&o->ob_state) == orphan &&
        lmp_swap_if32(&o->ob_state, orphan, LMP_OBJ_STATE(LMP_OBJ_DYING, me->id))) {
      lmp_obj_destroy(me, o);
    } else if (obj_state(o) == LMP_OBJ_LIVE && !obj_held(o)) {
      if (obj_unheld(me, o, lmp_load_acq32(&o->ob_gen))) lmp_add_ar32(&a->h->hd_gc_debt, 1);
    }
  }
}
