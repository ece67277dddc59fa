/* channel/array.c: the life of Values and Arrays. What is done to the elements is in elem.h and bulk.h.
 * SPDX-License-Identifier: MIT
 *
 * The elements never move: in the body when they are few, else in one block of the arena, or in a named
 * block of the system (a view). So every process goes straight to them, without a lock.
 *   V1 a LIVE object has its elements: the block becomes its own in the transaction that publishes it.
 *   V2 ar_rlock and ar_shared name objects that need not be held by anybody: they are followed by the
 *      collector, as messages are, and were stamped under ar_lock when they were set. So the collector
 *      either sees the handle, or the stamp is of its epoch (collect.c, G1).
 * Elements hold no handles and owe no wakes: a kill between two of them leaves some written and some not,
 * each whole, and there is nothing to repair. */
#include "channel/array.h"

#include <string.h>

#include "base/debug.h"
#include "sync/lock.h"

/* Handles as one word, so that setting one is one store. */
static uint64_t pack(lmp_handle h) { return (uint64_t)h.gen << 32 | h.obj; }
static lmp_handle unpack(uint64_t word) {
  return (lmp_handle){(uint32_t)word, (uint32_t)(word >> 32)};
}

/* The elements' bytes; false when no memory can hold so many. */
static bool bytes_of(lmp_elem t, uint64_t len, uint64_t *bytes) {
  *bytes = len << lmp_elem_shift(t);
  return *bytes >> lmp_elem_shift(t) == len;
}

static lmp_err data_new(lmp_me *me, uint64_t bytes, uint64_t *off) {
  *off = 0;
  if (bytes <= LMP_ARRAY_INLINE) return LMP_OK; /* the body of a new object is zeros */
  lmp_err e = lmp_alloc(me, bytes, off);
  if (!e) memset(lmp_at(me->a, *off), 0, bytes);
  return e;
}

lmp_err lmp_array_new(lmp_me *me, uint32_t kind, lmp_elem t, uint64_t len, const char *name,
                      size_t namelen, lmp_handle *h) {
  lmp_obj *o;
  uint64_t bytes;
  uint64_t data;
  if (!bytes_of(t, len, &bytes)) return LMP_E_TOOLARGE;
  lmp_err e = data_new(me, bytes, &data);
  if (e) return e;
  e = lmp_obj_new(me, kind, name, namelen, &o);
  if (e) {
    if (data) lmp_free(me, data);
    return e;
  }
  lmp_array *ar = lmp_array_of(o);
  ar->ar_type = t;
  ar->ar_len = len;
  ar->ar_data = data;
  /* CRASH: before the commit: the reaper frees the slot as it is, and the sweep the block. */
  lmp_tx_begin(me);
  if (data) lmp_tx_owner(me, data, LMP_TAG_SHARED);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

/* Makes the array name `h`, which the caller holds, unless it names another one there already. Returns what it
 * names. */
static lmp_handle link_set(lmp_me *me, lmp_array *ar, uint64_t *word, lmp_handle h) {
  lmp_lock(me, &ar->ar_lock);
  if (*word == 0) {
    lmp_obj_stamp(me, h);
    lmp_store_rel64(word, pack(h));
  }
  h = unpack(*word);
  lmp_unlock(me, &ar->ar_lock);
  return h;
}

lmp_err lmp_array_view(lmp_me *me, lmp_elem t, uint64_t len, lmp_handle shared, uint64_t at,
                       lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_ARRAY, NULL, 0, &o);
  if (e) return e;
  lmp_array *ar = lmp_array_of(o);
  ar->ar_type = t;
  ar->ar_len = len;
  ar->ar_at = at;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  /* CRASH: here: an array of nothing, which nobody else knows. */
  (void)link_set(me, ar, &ar->ar_shared, shared);
  return LMP_OK;
}

lmp_handle lmp_array_shared(const lmp_obj *o) {
  return unpack(lmp_load_acq64(&lmp_array_of(o)->ar_shared));
}

lmp_err lmp_array_rlock(lmp_me *me, lmp_obj *o, lmp_handle *h) {
  lmp_array *ar = lmp_array_of(o);
  lmp_handle made;
  *h = unpack(lmp_load_acq64(&ar->ar_rlock));
  if (h->obj) return LMP_OK;
  lmp_err e = lmp_rlock_new(me, lmp_obj_name(me->a, o), o->ob_namelen, &made);
  if (e) return e;
  /* CRASH: here: a lock that nobody else knows ends with us. */
  *h = link_set(me, ar, &ar->ar_rlock, made);
  lmp_obj_unref(me, made); /* also ours, when another process was first */
  return LMP_OK;
}

static void array_destroy(lmp_me *me, lmp_obj *o) {
  lmp_array *ar = lmp_array_of(o);
  uint64_t data = ar->ar_data;
  if (data) {
    lmp_tx_begin(me);
    lmp_tx_set64(me, &ar->ar_data, 0);
    lmp_tx_owner(me, data, me->id);
    lmp_tx_commit(me);
    lmp_free(me, data);
  }
  /* What it named may be garbage from now on. */
  if (ar->ar_rlock || ar->ar_shared) lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
}

static void array_trace(lmp_me *me, lmp_obj *o) {
  lmp_array *ar = lmp_array_of(o);
  lmp_lock(me, &ar->ar_lock);
  lmp_handle rlock = unpack(ar->ar_rlock);
  lmp_handle shared = unpack(ar->ar_shared);
  lmp_unlock(me, &ar->ar_lock);
  if (rlock.obj) lmp_collect_mark(me, rlock);
  if (shared.obj) lmp_collect_mark(me, shared);
}

const lmp_kind lmp_value_kind = {.name = "Value", .destroy = array_destroy, .trace = array_trace};
const lmp_kind lmp_array_kind = {.name = "Array", .destroy = array_destroy, .trace = array_trace};
