/* arena/collect.c: objects that nobody holds but that messages may name.
 * SPDX-License-Identifier: MIT
 *
 * A message in flight is no holder. When the last holder of an object that was ever sent lets go, the
 * collector decides: it follows the messages in containers that are held, and the containers these
 * name, and destroys the objects it did not come across. No counts, so nothing drifts; cycles go, too.
 *   G1 put stamps the objects its message names with the epoch, inside the critical section of the
 *      container, and a stamp never goes back; get takes hold of them before its commit, inside the critical section.
 *   G2 an object that is held, stamped in this epoch or marked in this epoch is alive, and looked
 *      through. Passes repeat until one finds nothing new to look through.
 *   G3 from the last pass until all that was not found is DYING nobody takes hold of what nobody held:
 *      lmp_obj_hold waits. The verdict is one store, hd_gc_verdict; whoever has the lock next after a
 *      kill carries it out before anything else. So an object does not come back without its contents.
 *   G4 who waits at one end of a pipe sees the end of the other: kinds with seen_end. Where one of these
 *      may have lost what named it last, a collection is asked for: by whoever lets go of one that was
 *      sent, or drops, while there may be one in flight, anything else that may have named one. Who asks and
 *      cannot collect, because another one is at it, is served by that one, which looks again after
 *      its unlock. hd_gc_done follows at the end, so what a dead one was asked for is still asked.
 *   G5 an end that is being destroyed, or that was never sent and nobody holds any more, keeps what it
 *      names until it is gone: its destroyer may look at it.
 * Why that is enough: the epoch grew before the first look. A live object whose container was looked
 * through before the object came into it was stamped then; if it had left before, its taker held it.
 * Reading the holders before the stamp sees one of them: a putter stamps before it lets go. */
#include "arena/arena.h"
#include "base/debug.h"

/* hd_gc_flight, besides 0. Doubted: as it was before a collection that has not ended. */
enum { FLIGHT_SURE = 1, FLIGHT_DOUBTED };

/* Its slot may be made anew meanwhile, as another kind. */
static const lmp_kind *kind_of(const lmp_arena *a, const lmp_obj *o) {
  uint32_t kind = lmp_load_rlx32(&o->ob_kind);
  return kind < LMP_KIND_COUNT ? a->kinds[kind] : NULL;
}

static bool end_is_seen(const lmp_arena *a, const lmp_obj *o) {
  const lmp_kind *kind = kind_of(a, o);
  return kind && kind->seen_end;
}

/* The old stamp is read before the epoch, so what replaces it is no older: a putter that was held up since
 * the last epoch must not take away the stamp of one that put the same object into another queue. */
void lmp_obj_stamp(lmp_me *me, lmp_handle h) {
  lmp_obj *o = lmp_obj_at(me->a, h.obj);
  uint32_t seen = lmp_load_acq32(&o->ob_sent);
  uint32_t epoch;
  do {
    epoch = lmp_load_acq32(&me->a->h->hd_gc_epoch);
  } while (seen != epoch && !lmp_cas_ar32(&o->ob_sent, &seen, epoch));
  if (end_is_seen(me->a, o)) lmp_store_rel32(&me->a->h->hd_gc_flight, FLIGHT_SURE);
}

void lmp_collect_ask(lmp_me *me, const lmp_obj *o) {
  lmp_hdr *h = me->a->h;
  if ((o && end_is_seen(me->a, o)) || lmp_load_acq32(&h->hd_gc_flight)) {
    lmp_add_ar32(&h->hd_gc_asked, 1);
  }
}

void lmp_collect_mark(lmp_me *me, lmp_handle h) {
  lmp_obj *o = lmp_obj_get(me->a, h);
  if (o) lmp_store_rel32(&o->ob_mark, lmp_load_rlx32(&me->a->h->hd_gc_epoch));
}

static bool obj_is_live(const lmp_obj *o) {
  return (lmp_load_acq32(&o->ob_state) & 0xff) == LMP_OBJ_LIVE;
}

static bool obj_held(const lmp_obj *o) {
  for (unsigned i = 0; i < LMP_HOLDER_WORDS; i++) {
    if (lmp_load_acq64(&o->ob_holders[i])) return true;
  }
  return false;
}

static bool obj_needed(const lmp_obj *o, uint32_t epoch) {
  if (obj_held(o)) return true;
  return lmp_load_acq32(&o->ob_sent) == epoch || lmp_load_acq32(&o->ob_mark) == epoch;
}

/* Alive and to be looked through, or an end that keeps what it names a little longer (G5). */
static bool obj_keeps(const lmp_arena *a, const lmp_obj *o, uint32_t epoch) {
  unsigned state = lmp_load_acq32(&o->ob_state) & 0xff;
  if (state == LMP_OBJ_DYING) return end_is_seen(a, o);
  if (state != LMP_OBJ_LIVE) return false;
  return obj_needed(o, epoch) || (lmp_load_acq32(&o->ob_sent) == 0 && end_is_seen(a, o));
}

static bool look_through(lmp_me *me, lmp_obj *o) {
  const lmp_kind *kind = kind_of(me->a, o);
  if (!kind || !kind->trace) return false;
  kind->trace(me, o);
  return true;
}

static bool pass(lmp_me *me, uint32_t epoch) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  bool found = false;
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    if (lmp_load_rlx32(&o->ob_scan) == epoch || !obj_keeps(a, o, epoch)) continue;
    lmp_store_rlx32(&o->ob_scan, epoch);
    /* It may end meanwhile, but its slot stays as it is: pairs with slot_claim. */
    lmp_store_rlx32(&a->h->hd_gc_scan, i);
    lmp_fence_sc();
    if (obj_keeps(a, o, epoch)) found |= look_through(me, o);
    lmp_store_rel32(&a->h->hd_gc_scan, 0);
  }
  return found;
}

/* Makes what was not found DYING in this context's name: carries out the verdict, if there is one. */
static uint32_t condemn(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t epoch = lmp_load_rlx32(&a->h->hd_gc_verdict);
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  uint32_t n = 0;
  bool flight = false;
  if (epoch == 0) return 0;
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    if (!obj_is_live(o) || lmp_load_acq32(&o->ob_sent) == 0) continue;
    if (obj_needed(o, epoch)) { /* who lets go of one that is held asks again */
      flight |= end_is_seen(a, o) && !obj_held(o);
      continue;
    }
    lmp_lock(me, &o->ob_lock); /* against lmp_obj_unref */
    if (obj_is_live(o) && lmp_load_acq32(&o->ob_sent) != 0 && !obj_needed(o, epoch)) {
      lmp_store_rel32(&o->ob_state, LMP_OBJ_STATE(LMP_OBJ_DYING, me->id));
      n++;
    }
    lmp_unlock(me, &o->ob_lock);
  }
  if (flight) {
    lmp_store_rel32(&a->h->hd_gc_flight, FLIGHT_SURE);
  } else { /* unless one was sent since the collection began */
    lmp_swap_if32(&a->h->hd_gc_flight, FLIGHT_DOUBTED, 0);
  }
  lmp_store_rel32(&a->h->hd_gc_verdict, 0);
  return n;
}

static void destroy_mine(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_obj_hwm);
  for (uint32_t i = 1; i < hwm; i++) {
    lmp_obj *o = lmp_obj_at(a, i);
    if (lmp_load_acq32(&o->ob_state) == LMP_OBJ_STATE(LMP_OBJ_DYING, me->id))
      lmp_obj_destroy(me, o);
  }
}

/* One collector at a time; who comes second has no need to wait. */
static bool collector_enter(lmp_me *me) {
  uint32_t seen = lmp_load_acq32(&me->a->h->hd_gc_lock) & ~LMP_LOCK_W;
  if (seen != 0 && !lmp_ctx_dead(me->a, seen - 1)) return false;
  lmp_lock(me, &me->a->h->hd_gc_lock);
  return true;
}

uint32_t lmp_collect_pause(lmp_me *me) {
  lmp_lock(me, &me->a->h->hd_gc_lock);
  return condemn(me);
}

void lmp_collect_resume(lmp_me *me, uint32_t condemned) {
  lmp_unlock(me, &me->a->h->hd_gc_lock);
  if (condemned) destroy_mine(me);
}

static uint32_t collect_locked(lmp_me *me) {
  lmp_hdr *h = me->a->h;
  uint32_t n = condemn(me); /* CRASH: in the middle of it: the next one goes on */
  uint32_t asked = lmp_load_acq32(&h->hd_gc_asked);
  uint32_t epoch = lmp_load_rlx32(&h->hd_gc_epoch) + 1;
  if (epoch == 0) epoch = 1;
  lmp_store_rlx32(&h->hd_gc_debt, 0);
  if (lmp_load_rlx32(&h->hd_gc_flight)) lmp_store_rel32(&h->hd_gc_flight, FLIGHT_DOUBTED);
  lmp_store_rel32(&h->hd_gc_epoch, epoch);
  lmp_fence_sc(); /* the epoch before the first look */
  while (pass(me, epoch)) {
  }
  lmp_store_rel32(&h->hd_gc_verdict, epoch);
  n += condemn(me);
  lmp_store_rel32(&h->hd_gc_done, asked);
  return n;
}

void lmp_collect(lmp_me *me) {
  do {
    lmp_check(me->depth == 0);
    lmp_fence_sc(); /* what was asked for before the look at the lock: pairs with the fence below */
    if (!collector_enter(me)) return;
    lmp_collect_resume(me, collect_locked(me));
    lmp_fence_sc();
  } while (lmp_collect_asked(me->a));
}
