/* channel/entry.c: a value in shared memory, and how it is read.
 * SPDX-License-Identifier: MIT
 *
 * An entry is written before its container refers to it. Later on en_next, and the bytes of a small value, change by
 * transactions under the container's lock. A reader copies it under that lock, or, once a transaction made the
 * entry its own, reads it in place.
 * A large value is not copied under a lock: it is the block of an object of its own, which the entry names
 * and a reader holds while it reads. That is all it takes to be safe against kills: a holder's bit goes
 * with its process, and the object goes with its last holder or with the entry, whichever is later.
 *   N1 the object of a large value is named by one entry, and only while that is in a container is its ob_sent
 *      set. Whoever takes the entry out holds the object and clears ob_sent in the same transaction; from then
 *      on the object ends with its last holder, without the collector.
 *   N2 the entry and the object's block are tagged LMP_TAG_SHARED while something refers to them. */
#include "channel/entry.h"

#include <string.h>

#include "base/debug.h"

#define COPY_PIECE ((size_t)128 << 10)

static lmp_large *large_of(const lmp_obj *o) { return (lmp_large *)(uintptr_t)o->ob_body; }

/* CRASH: anywhere: the next destroyer finds the block as it was, or none. */
static void large_destroy(lmp_me *me, lmp_obj *o) {
  uint64_t block = large_of(o)->la_block;
  if (!block) return;
  lmp_tx_begin(me);
  lmp_tx_owner(me, block, me->id);
  lmp_tx_set64(me, &large_of(o)->la_block, 0);
  lmp_tx_commit(me);
  lmp_free(me, block);
}

const lmp_kind lmp_large_kind = {.name = "value", .destroy = large_destroy};

/* The C library copies large pieces past the caches; somebody is going to read them soon. */
static void copy_cached(uint8_t *to, const uint8_t *from, size_t len) {
  for (; len > COPY_PIECE; len -= COPY_PIECE, to += COPY_PIECE, from += COPY_PIECE) {
    memcpy(to, from, COPY_PIECE);
  }
  if (len) memcpy(to, from, len);
}

static void value_write(const lmp_msg *m, uint8_t *to) {
  for (uint32_t i = 0; i < m->niov; i++) {
    copy_cached(to, m->iov[i].data, m->iov[i].len);
    to += m->iov[i].len;
  }
}

static lmp_err large_new(lmp_me *me, const lmp_msg *value, uint64_t deadline, lmp_handle *h) {
  uint64_t block;
  lmp_obj *o;
  lmp_err e = lmp_alloc_wait(me, value->len, deadline, &block);
  if (e) return e;
  e = lmp_obj_new(me, LMP_KIND_LARGE, NULL, 0, &o);
  if (e) {
    lmp_free(me, block);
    return e;
  }
  value_write(value, lmp_at(me->a, block));
  lmp_tx_begin(me);
  lmp_tx_owner(me, block, LMP_TAG_SHARED);
  lmp_tx_set64(me, &large_of(o)->la_block, block);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

lmp_err lmp_entry_new(lmp_me *me, const void *key, uint32_t klen, const lmp_msg *value,
                      uint32_t room, uint64_t deadline, uint64_t *off) {
  uint32_t nh = value ? value->nhandles : 0;
  uint64_t vlen = value ? value->len : room;
  bool large = value && vlen > LMP_ENTRY_COPY_MAX;
  lmp_handle named = {0, 0};
  lmp_err e = large ? large_new(me, value, deadline, &named) : LMP_OK;
  if (e) return e;
  uint64_t size =
      sizeof(lmp_entry) + (nh + (large ? 1u : 0u)) * sizeof(lmp_handle) + klen + (large ? 0 : vlen);
  e = lmp_alloc_wait(me, size, deadline, off);
  if (e) {
    if (large) lmp_obj_unref_named(me, named);
    return e;
  }
  lmp_entry *en = lmp_entry_at(me->a, *off);
  en->en_next = en->en_order = 0;
  en->en_vlen = vlen;
  en->en_klen = klen;
  en->en_nh = nh | (large ? LMP_ENTRY_LARGE : 0);
  if (nh) memcpy(lmp_entry_handle(en), value->handles, nh * sizeof(lmp_handle));
  if (large) lmp_entry_handle(en)[nh] = named;
  if (klen) memcpy(lmp_entry_key(en), key, klen);
  if (value && !large) value_write(value, lmp_entry_value(en));
  return LMP_OK;
}

void lmp_entry_free(lmp_me *me, uint64_t off) {
  lmp_entry *e = lmp_entry_at(me->a, off);
  if (LMP_UNLIKELY(e->en_nh)) {
    /* Not by way of the collector, which would find a container that is just being destroyed. */
    if (lmp_entry_is_large(e)) lmp_obj_unref_named(me, lmp_entry_large(e));
    if (lmp_entry_handles(e)) {
      lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
      lmp_collect_ask(me, NULL);
    }
  }
  lmp_free(me, off);
}

void lmp_entry_drop(lmp_me *me, uint64_t off) {
  bool handles = lmp_entry_handles(lmp_entry_at(me->a, off)) != 0;
  lmp_entry_free(me, off);
  if (LMP_UNLIKELY(handles)) lmp_collect_if_due(me, 0);
}

void lmp_entry_link(lmp_me *me, uint64_t off) {
  lmp_entry *e = lmp_entry_at(me->a, off);
  lmp_tx_owner(me, off, LMP_TAG_SHARED);
  if (LMP_LIKELY(!e->en_nh)) return;
  uint32_t n = lmp_entry_handles(e) + (lmp_entry_is_large(e) ? 1 : 0);
  for (uint32_t i = 0; i < n; i++) lmp_obj_stamp(me, lmp_entry_handle(e)[i]);
}

void lmp_entry_linked(lmp_me *me, lmp_handle large) {
  /* No question to the collector: the entry names it, or whoever took that out holds it. */
  if (large.obj) lmp_obj_unref_named(me, large);
}

void lmp_entry_unlink(lmp_me *me, uint64_t off) {
  lmp_entry *e = lmp_entry_at(me->a, off);
  lmp_tx_owner(me, off, me->id);
  if (LMP_LIKELY(!lmp_entry_is_large(e))) return;
  /* CRASH: here: the bit goes with our process. After the commit, too, and with it the object. */
  lmp_obj_ref(me, lmp_entry_large(e));
  lmp_tx_set32(me, &lmp_obj_at(me->a, lmp_entry_large(e).obj)->ob_sent, 0);
}

bool lmp_entry_hold_dying(lmp_me *me, uint64_t off) {
  lmp_entry *e = lmp_entry_at(me->a, off);
  return lmp_entry_is_large(e) && lmp_obj_hold_leaf(me, lmp_entry_large(e)) == LMP_OK;
}

void lmp_entry_unlink_dying(lmp_me *me, uint64_t off, bool held) {
  lmp_entry *e = lmp_entry_at(me->a, off);
  lmp_tx_owner(me, off, me->id);
  if (held) {
    lmp_tx_set32(me, &lmp_obj_at(me->a, lmp_entry_large(e).obj)->ob_sent, 0);
  } else {
    e->en_nh &= ~LMP_ENTRY_LARGE; /* from now on there is none, also for who comes after us */
  }
}

static void out_hold(lmp_me *me, lmp_out *out, lmp_entry *e) {
  out->found = true;
  out->klen = e->en_klen;
  out->len = e->en_vlen;
  out->nhandles = lmp_entry_handles(e);
  for (uint32_t i = 0; i < out->nhandles; i++) lmp_obj_ref(me, lmp_entry_handle(e)[i]);
}

static void out_large(lmp_me *me, lmp_out *out, lmp_entry *e) {
  out->large = lmp_entry_large(e);
  out->data = lmp_at(me->a, large_of(lmp_obj_at(me->a, out->large.obj))->la_block);
}

static bool out_copy_key(lmp_out *out, lmp_entry *e, size_t *need) {
  *need = e->en_klen;
  if (*need > out->cap) return false;
  out->found = true;
  out->klen = e->en_klen;
  out->key = out->buf;
  if (e->en_klen) memcpy(out->buf, lmp_entry_key(e), e->en_klen);
  return true;
}

bool lmp_out_copy(lmp_me *me, lmp_out *out, lmp_entry *e, bool key, size_t *need) {
  bool large = lmp_entry_is_large(e);
  size_t handles = lmp_entry_handles(e) * sizeof(lmp_handle);
  size_t klen = key ? e->en_klen : 0;
  size_t vlen = large ? 0 : e->en_vlen;
  if (out->no_value) return out_copy_key(out, e, need);
  *need = handles + klen + vlen;
  if (*need > out->cap) return false;
  out_hold(me, out, e);
  if (handles) memcpy(out->buf, lmp_entry_handle(e), handles);
  out->handles = (const lmp_handle *)(const void *)out->buf;
  out->key = out->buf + handles;
  out->data = out->key + klen;
  /* Key and value lie one behind the other. */
  if (klen + vlen)
    memcpy(out->buf + handles, key ? lmp_entry_key(e) : lmp_entry_value(e), klen + vlen);
  if (LMP_UNLIKELY(large)) {
    lmp_obj_ref(me, lmp_entry_large(e));
    out_large(me, out, e);
  }
  return true;
}

void lmp_out_take(lmp_me *me, lmp_out *out, uint64_t off) {
  lmp_entry *e = lmp_entry_at(me->a, off);
  out_hold(me, out, e);
  out->block = off;
  out->handles = lmp_entry_handle(e);
  out->key = lmp_entry_key(e);
  out->data = lmp_entry_value(e);
  if (LMP_UNLIKELY(lmp_entry_is_large(e))) {
    out_large(me, out, e);
    out->large = (lmp_handle){0, 0}; /* held on behalf of the entry */
  }
}

void lmp_out_done(lmp_me *me, lmp_out *out) {
  for (uint32_t i = 0; i < out->nhandles; i++) lmp_obj_unref(me, out->handles[i]);
  if (out->large.obj) lmp_obj_unref_named(me, out->large);
  if (out->block) lmp_entry_drop(me, out->block);
  out->nhandles = 0;
  out->large = (lmp_handle){0, 0};
  out->block = 0;
}

void lmp_entry_mark(lmp_me *me, lmp_entry *e) {
  uint32_t n = lmp_entry_handles(e) + (lmp_entry_is_large(e) ? 1 : 0);
  for (uint32_t i = 0; i < n; i++) lmp_collect_mark(me, lmp_entry_handle(e)[i]);
}
