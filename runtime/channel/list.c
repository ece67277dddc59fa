/* channel/list.c: a list in shared memory.
 * SPDX-License-Identifier: MIT
 *
 * Elements are entries without a key (entry.c), named by slots in order. A change is one transaction under the one lock.
 * Moving the elements behind a place is more than a transaction holds; so there is a gap: a slot
 * that means nothing, which wanders. Inserting lets it wander from the end to the place and fills it there;
 * taking out leaves a gap that wanders to the end.
 *   E1 without a gap the elements are the slots [0, ls_count); with one, [0, ls_count] without that slot.
 *   E2 the gap moves by two stores: its neighbour's word into it, then ls_gap. CRASH: between them both slots say the same,
 *      and the gap is still one of them. So the list is whole at every instant, and whoever locks it next, and finds a gap,
 *      lets it wander to the end.
 *   E3 ls_change grows with every transaction and is its last word.
 *   E4 ls_nh counts the elements that name objects; those, the segments and the directory are tagged.
 *   E5 an element that moves down past ls_traced takes it along: the collector does not miss it. */
#include "channel/list.h"

#include <string.h>

#include "base/debug.h"

/* Elements that the collector looks at before it lets others in; the tests want to see it let them. */
#ifdef LUAMP_TESTING
#define TRACE_BATCH 2u
#else
#define TRACE_BATCH 256u
#endif

static lmp_list *list_of(const lmp_obj *o) { return (lmp_list *)(uintptr_t)o->ob_body; }

static uint64_t *slot(lmp_me *me, lmp_list *l, uint32_t i) {
  return lmp_slot(me->a, &l->ls_slots, i);
}

/* -- the gap, under the lock ---------------------------------------------------------------------- */

static void gap_to_end(lmp_me *me, lmp_list *l) {
  uint32_t g = l->ls_gap - 1;
  uint64_t *to = slot(me, l, g);
  for (; g < l->ls_count; g++) {
    uint64_t *from = slot(me, l, g + 1);
    lmp_store_rel64(to, *from);
    lmp_store_rel32(&l->ls_gap, g + 2);
    to = from;
  }
  lmp_store_rel32(&l->ls_gap, 0);
}

static void gap_down_to(lmp_me *me, lmp_list *l, uint32_t i) {
  uint32_t g = l->ls_count;
  if (g == i) return;
  uint64_t *to = slot(me, l, g);
  lmp_store_rel32(&l->ls_gap, g + 1);
  for (; g > i; g--) {
    uint64_t *from = slot(me, l, g - 1);
    lmp_store_rel64(to, *from);
    lmp_store_rel32(&l->ls_gap, g);
    to = from;
  }
}

static void enter(lmp_me *me, lmp_list *l) {
  lmp_lock(me, &l->ls_lock);
  if (LMP_UNLIKELY(l->ls_gap)) gap_to_end(me, l);
}

/* -- reading ------------------------------------------------------------------------------------ */

uint32_t lmp_list_count(const lmp_obj *o) { return lmp_load_acq32(&list_of(o)->ls_count); }

bool lmp_list_get(lmp_me *me, lmp_obj *o, uint32_t i, lmp_out *out, size_t *need) {
  lmp_list *l = list_of(o);
  bool fits = true;
  enter(me, l);
  if (i < l->ls_count) {
    fits = lmp_out_copy(me, out, lmp_entry_at(me->a, *slot(me, l, i)), false, need);
  }
  lmp_unlock(me, &l->ls_lock);
  return fits;
}

uint64_t lmp_list_changes(const lmp_obj *o) { return lmp_load_acq64(&list_of(o)->ls_change); }

bool lmp_list_copy(lmp_me *me, lmp_obj *o, uint32_t i, uint32_t most, lmp_out *out, uint32_t *n,
                   uint8_t *buf, size_t cap) {
  lmp_list *l = list_of(o);
  size_t used = 0;
  uint32_t k = 0;
  enter(me, l);
  uint32_t count = i < l->ls_count ? l->ls_count - i : 0;
  if (count > most) count = most;
  bool fits = count <= *n;
  for (; fits && k < count; k++) {
    size_t need;
    out[k] = (lmp_out){.buf = buf + used, .cap = cap - used};
    fits = lmp_out_copy(me, &out[k], lmp_entry_at(me->a, *slot(me, l, i + k)), false, &need);
    used = lmp_min_u64(cap, used + lmp_round_up(need, sizeof(uint64_t)));
    if (!fits) break;
  }
  lmp_unlock(me, &l->ls_lock);
  *n = k;
  while (!fits && k-- > 0) lmp_out_done(me, &out[k]);
  return fits;
}

/* -- changing ----------------------------------------------------------------------------------- */

/* What a change has in hand, outside the lock. */
typedef struct draft {
  uint64_t entry, old;
  lmp_slots_draft slots;
} draft;

/* Ends a transaction that brings an entry in and takes one out; either may be 0. */
static void commit(lmp_me *me, lmp_list *l, uint64_t in, uint64_t out) {
  uint32_t nh = l->ls_nh;
  if (in) {
    lmp_entry_link(me, in);
    nh += lmp_entry_at(me->a, in)->en_nh != 0;
  }
  if (out) {
    nh -= lmp_entry_at(me->a, out)->en_nh != 0;
    lmp_entry_unlink(me, out);
  }
  if (nh != l->ls_nh) lmp_tx_set32(me, &l->ls_nh, nh);
  lmp_tx_set64(me, &l->ls_change, l->ls_change + 1);
  lmp_tx_commit(me);
}

/* Under the lock: the entry becomes element `i`, those from there on move up. False: a slot is wanted. */
static bool insert_locked(lmp_me *me, lmp_list *l, uint32_t i, draft *d) {
  uint32_t n = l->ls_count;
  if (!lmp_slots_has(me->a, &l->ls_slots, n) && !lmp_slots_extend(me, &l->ls_slots, n, &d->slots))
    return false;
  gap_down_to(me, l, i);
  /* CRASH: until the commit there is a gap. */
  lmp_tx_begin(me);
  lmp_tx_set64(me, slot(me, l, i), d->entry);
  lmp_tx_set32(me, &l->ls_count, n + 1);
  lmp_tx_set32(me, &l->ls_gap, 0);
  commit(me, l, d->entry, 0);
  d->entry = 0;
  return true;
}

static void replace_locked(lmp_me *me, lmp_list *l, uint32_t i, draft *d) {
  d->old = *slot(me, l, i);
  lmp_tx_begin(me);
  lmp_tx_set64(me, slot(me, l, i), d->entry);
  commit(me, l, d->entry, d->old);
  d->entry = 0;
}

static lmp_err put(lmp_me *me, lmp_obj *o, uint32_t i, bool insert, const lmp_msg *value,
                   uint64_t deadline) {
  lmp_list *l = list_of(o);
  draft d = {0};
  lmp_err e = lmp_entry_new(me, NULL, 0, value, 0, deadline, &d.entry);
  if (e) return e;
  lmp_handle large = lmp_entry_large_or_none(lmp_entry_at(me->a, d.entry));
  bool done = false;
  while (!done && !e) {
    enter(me, l);
    uint32_t n = l->ls_count;
    uint32_t at = i == LMP_LIST_END ? n : i;
    if (at > n) {
      e = LMP_E_INVAL;
    } else if (at < n && !insert) {
      replace_locked(me, l, at, &d);
      done = true;
    } else if (n >= LMP_LIST_MAX) {
      e = LMP_E_NOSLOT;
    } else {
      done = insert_locked(me, l, at, &d);
    }
    lmp_unlock(me, &l->ls_lock);
    if (!done && !e) {
      lmp_slots_draft_end(me, &d.slots);
      e = lmp_slots_draft_for(me, n, deadline, &d.slots);
    }
  }
  if (done && large.obj) lmp_entry_linked(me, large);
  if (d.entry) lmp_entry_drop(me, d.entry);
  if (d.old) lmp_entry_drop(me, d.old);
  lmp_slots_draft_end(me, &d.slots);
  lmp_wait_end(me);
  return e;
}

lmp_err lmp_list_insert(lmp_me *me, lmp_obj *o, uint32_t i, const lmp_msg *value,
                        uint64_t deadline) {
  return put(me, o, i, true, value, deadline);
}

lmp_err lmp_list_set(lmp_me *me, lmp_obj *o, uint32_t i, const lmp_msg *value, uint64_t deadline) {
  return put(me, o, i, false, value, deadline);
}

/* Under the lock. */
static void cut_idle(lmp_me *me, lmp_list *l, lmp_slots_draft *cut) {
  uint32_t i = lmp_slots_idle(me->a, &l->ls_slots, l->ls_count);
  if (!i) return;
  lmp_tx_begin(me);
  lmp_slots_cut(me, &l->ls_slots, i, cut);
  lmp_tx_set64(me, &l->ls_change, l->ls_change + 1);
  lmp_tx_commit(me);
}

lmp_err lmp_list_remove(lmp_me *me, lmp_obj *o, uint32_t i, bool last, lmp_out *out) {
  lmp_list *l = list_of(o);
  lmp_slots_draft cut = {0, 0};
  enter(me, l);
  uint32_t n = l->ls_count;
  uint32_t at = i == LMP_LIST_END ? n - 1 : i;
  if (n == 0 || at >= n || (last && at + 1 != n)) {
    lmp_unlock(me, &l->ls_lock);
    return LMP_E_INVAL;
  }
  uint64_t old = *slot(me, l, at);
  lmp_tx_begin(me);
  if (at + 1 < n) lmp_tx_set32(me, &l->ls_gap, at + 1);
  if (at < l->ls_traced) lmp_tx_set32(me, &l->ls_traced, l->ls_traced - 1);
  lmp_tx_set32(me, &l->ls_count, n - 1);
  commit(me, l, 0, old);
  if (l->ls_gap) gap_to_end(me, l);
  lmp_out_take(me, out, old);
  cut_idle(me, l, &cut);
  lmp_unlock(me, &l->ls_lock);
  lmp_slots_draft_end(me, &cut);
  return LMP_OK;
}

/* -- life --------------------------------------------------------------------------------------- */

lmp_err lmp_list_new(lmp_me *me, const char *name, size_t namelen, lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_LIST, name, namelen, &o);
  if (e) return e;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

/* Nobody changes it any more but its destroyer; the lock is against a collector that still looks through it. */
static void list_destroy(lmp_me *me, lmp_obj *o) {
  lmp_list *l = list_of(o);
  lmp_slots_draft cut = {0, 0};
  enter(me, l);
  lmp_unlock(me, &l->ls_lock);
  while (l->ls_count) {
    uint64_t off = *slot(me, l, l->ls_count - 1);
    bool held = lmp_entry_hold_dying(me, off);
    lmp_lock(me, &l->ls_lock);
    lmp_tx_begin(me);
    lmp_entry_unlink_dying(me, off, held);
    lmp_tx_set32(me, &l->ls_count, l->ls_count - 1);
    lmp_tx_commit(me);
    lmp_unlock(me, &l->ls_lock);
    lmp_entry_free(me, off);
  }
  do {
    lmp_slots_draft_end(me, &cut);
    lmp_lock(me, &l->ls_lock);
    cut_idle(me, l, &cut);
    lmp_unlock(me, &l->ls_lock);
  } while (cut.seg);
}

static bool trace_batch(lmp_me *me, lmp_list *l) {
  uint32_t i = l->ls_traced;
  uint32_t end = l->ls_count;
  if (l->ls_nh == 0) return false;
  if (end - i > TRACE_BATCH && end > i) end = i + TRACE_BATCH;
  for (; i < end; i++) {
    lmp_entry *e = lmp_entry_at(me->a, *slot(me, l, i));
    if (e->en_nh) lmp_entry_mark(me, e);
  }
  lmp_store_rlx32(&l->ls_traced, i);
  return i < l->ls_count;
}

static void list_trace(lmp_me *me, lmp_obj *o) {
  lmp_list *l = list_of(o);
  bool more = true;
  bool first = true;
  while (more) {
    enter(me, l);
    if (first) lmp_store_rlx32(&l->ls_traced, 0);
    first = false;
    more = trace_batch(me, l);
    lmp_unlock(me, &l->ls_lock);
  }
}

const lmp_kind lmp_list_kind = {.name = "List", .destroy = list_destroy, .trace = list_trace};

/* -- invariants --------------------------------------------------------------------------------- */

const char *lmp_list_valid(lmp_me *me, lmp_obj *o, uint32_t *blocks) {
  lmp_list *l = list_of(o);
  uint32_t nh = 0;
  const char *bad = lmp_slots_valid(me->a, &l->ls_slots, blocks);
  if (bad) return bad;
  if (l->ls_lock) return "a lock is held";
  if (l->ls_gap > l->ls_count + 1) return "E1: the gap is out of place";
  uint32_t end = l->ls_count + (l->ls_gap ? 1 : 0);
  if (end && !lmp_slots_has(me->a, &l->ls_slots, end - 1)) return "E1: slots are missing";
  for (uint32_t i = 0; i < end; i++) {
    if (i + 1 == l->ls_gap) continue;
    uint64_t off = *slot(me, l, i);
    if (lmp_block_owner(me->a, off) != LMP_TAG_SHARED) return "E4: an element is not tagged";
    lmp_entry *e = lmp_entry_at(me->a, off);
    if (lmp_entry_is_large(e) && !lmp_obj_get(me->a, lmp_entry_large(e)))
      return "N1: a large value is gone";
    nh += e->en_nh != 0;
    ++*blocks;
  }
  if (nh != l->ls_nh) return "E4: elements that name objects are miscounted";
  return NULL;
}
