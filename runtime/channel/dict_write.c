/* channel/dict_write.c: storing and deleting, growing and shrinking.
 * SPDX-License-Identifier: MIT
 *
 * A small value is written over another one, in its entry, by a transaction: nothing is allocated. Otherwise
 * the new entry is written before the lock is taken. Under it: find the place, ask `decide`, commit. Then,
 * under the same lock, a bucket is split where there are more entries than buckets, or some are joined where there are
 * four times as many buckets. Memory for another segment is taken after the unlock; where there is
 * none, chains get longer. */
#include <string.h>

#include "base/debug.h"
#include "channel/dict_priv.h"

/* Joined at most after one deletion: more than the four that keep pace with it. */
#define JOINS 6
#define SPARSE 4u
/* Bytes of a value that is written in place: numbers, short strings. */
#define IN_PLACE 24u

/* What a write has in hand, outside the lock. */
typedef struct draft {
  uint64_t entry; /* the new one, 0: none */
  uint64_t old;   /* the one that was replaced or deleted: ours now */
  uint64_t hold;  /* the hold that ended */
  lmp_slots_draft slots;
} draft;

/* -- growing and shrinking, under the lock -------------------------------------------------------- */

/* The bucket of whose range `b` has, or gets, the upper half. */
static uint32_t elder(uint32_t b) { return b & ~(UINT32_C(1) << (31 - __builtin_clz(b))); }

static void split(lmp_me *me, lmp_stripe *st) {
  uint32_t fresh = st->st_buckets;
  uint64_t *link = lmp_slot(me->a, &st->st_slots, elder(fresh));
  unsigned bits;
  while (*link) {
    lmp_entry *e = lmp_entry_at(me->a, *link);
    if (lmp_dict_bucket(fresh + 1, e->en_order, &bits) == fresh) break;
    link = &e->en_next;
  }
  uint64_t upper = *link;
  lmp_tx_begin(me);
  lmp_tx_set64(me, lmp_slot(me->a, &st->st_slots, fresh), upper);
  if (upper) lmp_tx_set64(me, link, 0);
  lmp_tx_set32(me, &st->st_buckets, fresh + 1);
  lmp_tx_commit(me);
}

static void join(lmp_me *me, lmp_stripe *st, lmp_slots_draft *cut) {
  uint32_t last = st->st_buckets - 1;
  uint64_t upper = *lmp_slot(me->a, &st->st_slots, last);
  uint64_t *link = lmp_slot(me->a, &st->st_slots, elder(last));
  while (upper && *link) link = &lmp_entry_at(me->a, *link)->en_next;
  lmp_tx_begin(me);
  if (upper) lmp_tx_set64(me, link, upper);
  lmp_slots_cut(me, &st->st_slots, last, cut);
  lmp_tx_set32(me, &st->st_buckets, last);
  lmp_tx_commit(me);
}

/* A segment was made in advance and is not used yet: it goes first. */
static bool cut_unused(lmp_me *me, lmp_stripe *st, lmp_slots_draft *cut) {
  if (!lmp_slots_has(me->a, &st->st_slots, st->st_buckets)) return false;
  lmp_tx_begin(me);
  lmp_slots_cut(me, &st->st_slots, st->st_buckets, cut);
  if (cut->seg) lmp_tx_commit(me);
  return cut->seg != 0;
}

static bool sparse(const lmp_stripe *st) {
  uint32_t entries = lmp_stripe_entries(st);
  return st->st_buckets > LMP_SLOTS_FIRST && (entries == 0 || st->st_buckets / SPARSE > entries);
}

/* True: a segment came free, and there is more to do once it is given back. */
static bool shrink(lmp_me *me, lmp_stripe *st, lmp_slots_draft *cut) {
  for (int i = 0; i < JOINS && sparse(st); i++) {
    if (!cut_unused(me, st, cut)) join(me, st, cut);
    if (cut->seg) return sparse(st);
  }
  return false;
}

static bool crowded(const lmp_stripe *st) {
  return lmp_stripe_entries(st) > st->st_buckets && st->st_buckets < UINT32_MAX / 2;
}

/* False: a segment is wanted. */
static bool grow(lmp_me *me, lmp_stripe *st, lmp_slots_draft *d) {
  if (!crowded(st)) return true;
  if (!lmp_slots_has(me->a, &st->st_slots, st->st_buckets) &&
      !lmp_slots_extend(me, &st->st_slots, st->st_buckets, d)) {
    return false;
  }
  split(me, st);
  return true;
}

/* After the unlock: takes a segment and tries again. */
static void grow_by_segment(lmp_me *me, lmp_stripe *st, lmp_slots_draft *d) {
  bool done = false;
  while (!done) {
    uint32_t n = lmp_load_rlx32(&st->st_buckets);
    lmp_slots_draft_end(me, d);
    if (n < LMP_SLOTS_FIRST || lmp_slots_draft_for(me, n, LMP_NOWAIT, d)) return;
    lmp_lock(me, &st->st_lock);
    done = grow(me, st, d) || st->st_buckets == n;
    lmp_unlock(me, &st->st_lock);
  }
}

static void shrink_further(lmp_me *me, lmp_stripe *st, lmp_slots_draft *cut) {
  bool more = true;
  while (more) {
    lmp_slots_draft_end(me, cut);
    lmp_lock(me, &st->st_lock);
    more = shrink(me, st, cut);
    lmp_unlock(me, &st->st_lock);
  }
}

/* -- one change --------------------------------------------------------------------------------- */

/* The word that names the key's entry, or would. *old: the entry, NULL: there is none. */
static uint64_t *find(lmp_me *me, lmp_stripe *st, const lmp_dkey *key, lmp_entry **old) {
  unsigned bits;
  uint32_t b = lmp_dict_bucket(st->st_buckets, key->order, &bits);
  uint64_t *link = lmp_slot(me->a, &st->st_slots, b);
  for (*old = NULL; *link;) {
    lmp_entry *e = lmp_entry_at(me->a, *link);
    int cmp = lmp_dict_cmp(key, e);
    if (cmp == 0) *old = e;
    if (cmp <= 0) break;
    link = &e->en_next;
  }
  return link;
}

/* The transaction of a change. `fresh`: the draft's entry takes the place of `old`, if there is one; else `old` goes. */
static void change(lmp_me *me, lmp_stripe *st, uint64_t *link, lmp_entry *old, bool fresh, draft *d,
                   uint64_t *hold) {
  uint64_t off = old ? *link : 0;
  lmp_entry *entry = fresh ? lmp_entry_at(me->a, d->entry) : NULL;
  uint64_t next = old ? old->en_next : *link;
  uint32_t nh = st->st_nh;
  if (entry) entry->en_next = next;
  lmp_tx_begin(me);
  lmp_tx_set64(me, link, entry ? d->entry : next);
  if (entry) lmp_entry_link(me, d->entry);
  if (old) lmp_entry_unlink(me, off);
  if (LMP_UNLIKELY((old && old->en_nh) || (entry && entry->en_nh))) {
    nh += (entry && entry->en_nh ? 1u : 0u) - (old && old->en_nh ? 1u : 0u);
    lmp_tx_set32(me, &st->st_nh, nh);
  }
  lmp_tx_set64(me, &st->st_count, lmp_stripe_changed(st, (entry != NULL) - (old != NULL)));
  if (hold) lmp_hold_end(me, st, hold);
  lmp_tx_commit(me);
  d->old = off;
  if (entry) d->entry = 0;
}

static lmp_dact decided(lmp_dop *op, lmp_entry *old, lmp_entry *fresh) {
  if (op->decide) return op->decide(op->arg, old, fresh);
  return fresh ? LMP_DICT_STORE : LMP_DICT_DELETE;
}

/* Under the lock, the key being nobody's, or the caller's with op->held. */
static void write_locked(lmp_me *me, lmp_stripe *st, lmp_dop *op, draft *d) {
  uint64_t *hold = NULL;
  lmp_entry *old;
  uint64_t *link = find(me, st, &op->key, &old);
  lmp_entry *fresh = d->entry ? lmp_entry_at(me->a, d->entry) : NULL;
  lmp_dact act = decided(op, old, fresh);
  op->changed = act == LMP_DICT_STORE || (act == LMP_DICT_DELETE && old);
  if (op->held && lmp_hold_find(me, st, &op->key, &hold)) {
    d->hold = *hold;
    lmp_owe(me, 0, &st->st_release);
  } else {
    hold = NULL;
  }
  if (op->changed) {
    change(me, st, link, old, act == LMP_DICT_STORE, d, hold);
  } else if (hold) {
    lmp_tx_begin(me);
    lmp_hold_end(me, st, hold);
    lmp_tx_commit(me);
  }
  if (d->old && op->out) {
    lmp_out_take(me, op->out, d->old);
    d->old = 0; /* freed with it */
  }
}

/* -- in place ----------------------------------------------------------------------------------- */

/* A value, as `decide` wants it, before the entry is known in which it goes. */
typedef struct small {
  lmp_entry e;
  uint8_t value[IN_PLACE];
} small;

static bool small_new(const lmp_dop *op, small *v) {
  const lmp_msg *m = op->value;
  if (op->out || op->held || (!m && !op->room)) return false;
  if (m ? m->nhandles || m->len > IN_PLACE : op->room > IN_PLACE) return false;
  v->e = (lmp_entry){.en_vlen = m ? m->len : op->room};
  size_t at = 0;
  for (uint32_t i = 0; m && i < m->niov; i++) {
    if (m->iov[i].len) memcpy(v->value + at, m->iov[i].data, m->iov[i].len);
    at += m->iov[i].len;
  }
  return true;
}

/* Whatever block it is, that much has room in it. */
static bool fits(const lmp_entry *old, const small *v) {
  return old->en_nh == 0 && sizeof *old + old->en_klen + v->e.en_vlen <= LMP_BLOCK_MIN;
}

/* The whole words in which the value lies, its length, the count. CRASH: before the commit the old value, after it the
 * new one. */
static void overwrite(lmp_me *me, lmp_stripe *st, lmp_entry *old, const small *v) {
  uint64_t words[IN_PLACE / 8 + 1];
  size_t before = (uintptr_t)lmp_entry_value(old) % sizeof *words;
  uint64_t *first = (uint64_t *)(void *)(lmp_entry_value(old) - before);
  size_t n = (before + v->e.en_vlen + sizeof *words - 1) / sizeof *words;
  if (n) memcpy(words, first, n * sizeof *words);
  memcpy((uint8_t *)words + before, v->value, v->e.en_vlen);
  lmp_tx_begin(me);
  for (size_t i = 0; i < n; i++) lmp_tx_set64(me, &first[i], words[i]);
  if (old->en_vlen != v->e.en_vlen) lmp_tx_set64(me, &old->en_vlen, v->e.en_vlen);
  lmp_tx_set64(me, &st->st_count, lmp_stripe_changed(st, 0));
  lmp_tx_commit(me);
}

/* Takes the lock, with the key free for the calling thread, or an error and no lock. */
static lmp_err enter(lmp_me *me, lmp_obj *o, lmp_stripe *st, const lmp_dop *op, uint64_t deadline) {
  lmp_err e = LMP_OK;
  bool locked = false;
  while (!locked && !e) {
    lmp_lock(me, &st->st_lock);
    locked = op->held;
    if (!locked) e = lmp_hold_pass(me, o, st, &op->key, deadline, &locked);
  }
  return e;
}

/* False, and nothing done: it takes an entry of its own. */
static bool write_in_place(lmp_me *me, lmp_obj *o, lmp_stripe *st, lmp_dop *op, uint64_t deadline,
                           lmp_err *e) {
  small v;
  lmp_entry *old;
  lmp_dact act = LMP_DICT_STORE;
  if (!small_new(op, &v)) return false;
  *e = enter(me, o, st, op, deadline);
  if (*e) return true;
  find(me, st, &op->key, &old);
  bool done = old && fits(old, &v);
  if (done && op->decide) act = op->decide(op->arg, old, &v.e);
  done = done && act != LMP_DICT_DELETE;
  if (done && act == LMP_DICT_STORE) {
    overwrite(me, st, old, &v);
    op->changed = true;
  }
  lmp_unlock(me, &st->st_lock);
  return done;
}

/* -- any change --------------------------------------------------------------------------------- */

static lmp_err draft_new(lmp_me *me, const lmp_dop *op, uint64_t deadline, draft *d) {
  if (!op->value && !op->room) return LMP_OK;
  lmp_err e =
      lmp_entry_new(me, op->key.data, op->key.len, op->value, op->room, deadline, &d->entry);
  if (!e) lmp_entry_at(me->a, d->entry)->en_order = op->key.order;
  return e;
}

static void draft_end(lmp_me *me, lmp_stripe *st, draft *d) {
  if (d->hold) {
    lmp_hold_wake(me, st);
    lmp_free(me, d->hold);
  }
  if (d->old) lmp_entry_drop(me, d->old);
  if (d->entry) lmp_entry_drop(me, d->entry);
  lmp_slots_draft_end(me, &d->slots);
}

/* CRASH: before the commit in change(): nothing happened, and the draft has our tag. After it: all of it happened, the
 * old entry has our tag, and cx_pwake owes those who wait for the hold. */
lmp_err lmp_dict_write(lmp_me *me, lmp_obj *o, lmp_dop *op, uint64_t deadline) {
  lmp_stripe *st = lmp_dict_stripe(o, op->key.order);
  draft d = {0};
  bool want = false; /* a segment */
  bool more = false; /* to be joined, after one is given back */
  lmp_err e;
  op->changed = false;
  if (write_in_place(me, o, st, op, deadline, &e)) {
    lmp_wait_end(me);
    return e;
  }
  e = draft_new(me, op, deadline, &d);
  if (e) {
    lmp_wait_end(me);
    return e;
  }
  lmp_handle named =
      d.entry ? lmp_entry_large_or_none(lmp_entry_at(me->a, d.entry)) : (lmp_handle){0};
  e = enter(me, o, st, op, deadline);
  if (!e) {
    bool drafted = d.entry != 0;
    write_locked(me, st, op, &d);
    bool stored = drafted && !d.entry;
    if (stored) {
      want = !grow(me, st, &d.slots);
    } else {
      more = shrink(me, st, &d.slots);
    }
    lmp_unlock(me, &st->st_lock);
    if (LMP_UNLIKELY(stored && named.obj)) lmp_entry_linked(me, named);
  }
  draft_end(me, st, &d);
  if (LMP_UNLIKELY(want)) grow_by_segment(me, st, &d.slots);
  if (LMP_UNLIKELY(more)) shrink_further(me, st, &d.slots);
  lmp_slots_draft_end(me, &d.slots);
  lmp_wait_end(me);
  return e;
}
