/* channel/entry.h: a value in shared memory, under a key or without one, and how it is read.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_ENTRY_H
#define LMP_CHANNEL_ENTRY_H

#include "arena/arena.h"
#include "base/buf.h"

/* A block: this, the handles, the key, the value. */
typedef struct lmp_entry {
  uint64_t en_next;  /* of the container */
  uint64_t en_order; /* of the container */
  uint64_t en_vlen;  /* bytes of the value */
  uint32_t en_klen;
  uint32_t
      en_nh; /* handles, and LMP_ENTRY_LARGE: the value is in the object that one more handle names */
} lmp_entry;
_Static_assert(sizeof(lmp_entry) == 32, "half a line");

#define LMP_ENTRY_LARGE 0x80000000u
/* A value with its handles beyond this is not copied under a lock. */
#define LMP_ENTRY_COPY_MAX 8192u

/* The body of an object that holds one large value. */
typedef struct lmp_large {
  uint64_t la_block;
} lmp_large;

extern const lmp_kind lmp_large_kind;

/* A value that was read. Data and key are in `buf` or, for an entry that became the caller's and for a large
 * value, in the arena. To be given back with lmp_out_done. */
typedef struct lmp_out {
  uint8_t *buf; /* the caller's memory, aligned as handles are */
  size_t cap;
  bool no_value; /* set by the caller: the key alone is wanted */
  const uint8_t *key, *data;
  size_t len;
  uint32_t klen;
  bool found;
  const lmp_handle *handles; /* held by the process */
  uint32_t nhandles;
  lmp_handle large; /* held; {0, 0}: none */
  uint64_t block;   /* entry to be freed, 0: none */
} lmp_out;

static inline lmp_entry *lmp_entry_at(const lmp_arena *a, uint64_t off) { return lmp_at(a, off); }
static inline uint32_t lmp_entry_handles(const lmp_entry *e) { return e->en_nh & ~LMP_ENTRY_LARGE; }
static inline bool lmp_entry_is_large(const lmp_entry *e) { return e->en_nh & LMP_ENTRY_LARGE; }
static inline lmp_handle *lmp_entry_handle(lmp_entry *e) {
  return (lmp_handle *)(void *)((uint8_t *)e + sizeof *e);
}
static inline lmp_handle lmp_entry_large(lmp_entry *e) {
  return lmp_entry_handle(e)[lmp_entry_handles(e)];
}
/* What lmp_entry_linked wants to know, read before others can take the entry out. */
static inline lmp_handle lmp_entry_large_or_none(lmp_entry *e) {
  return lmp_entry_is_large(e) ? lmp_entry_large(e) : (lmp_handle){0, 0};
}
static inline uint8_t *lmp_entry_key(lmp_entry *e) {
  return (uint8_t *)(lmp_entry_handle(e) + lmp_entry_handles(e) + (lmp_entry_is_large(e) ? 1 : 0));
}
static inline uint8_t *lmp_entry_value(lmp_entry *e) { return lmp_entry_key(e) + e->en_klen; }

/* lmp_entry_new: a block of the calling thread with the key and the value; NULL instead of the value: `room`
 * bytes to be written. Waits for memory until `deadline`. A large value becomes an object that the process holds.
 * LMP_E_TIMEOUT, LMP_E_INTR, LMP_E_TOOLARGE, LMP_E_NOSLOT. No lock may be held. */
LMP_NODISCARD lmp_err lmp_entry_new(lmp_me *me, const void *key, uint32_t klen,
                                    const lmp_msg *value, uint32_t room, uint64_t deadline,
                                    uint64_t *off);
/* lmp_entry_free: gives back an entry that no object refers to. No lock may be held. lmp_entry_drop: and lets the
 * collector look after what it named, where it is due; not in lmp_kind.destroy. */
void lmp_entry_free(lmp_me *me, uint64_t off);
void lmp_entry_drop(lmp_me *me, uint64_t off);
/* lmp_entry_link: adds to the transaction that the entry becomes the object's, and stamps what it names; inside
 * the critical section of the container. lmp_entry_linked: after the unlock, with what was the large value then. */
void lmp_entry_link(lmp_me *me, uint64_t off);
void lmp_entry_linked(lmp_me *me, lmp_handle large);
/* lmp_entry_unlink: adds to the transaction that the entry becomes the calling thread's (two words), which first
 * takes hold of its large value. To be freed with lmp_entry_free, or by lmp_out_done after lmp_out_take. */
void lmp_entry_unlink(lmp_me *me, uint64_t off);
/* lmp_entry_hold_dying: before the lock, in lmp_kind.destroy, where the collector may have ended the large value
 * first: takes hold of it. lmp_entry_unlink_dying: lmp_entry_unlink then; `held` is what that returned. */
bool lmp_entry_hold_dying(lmp_me *me, uint64_t off);
void lmp_entry_unlink_dying(lmp_me *me, uint64_t off, bool held);

/* lmp_out_copy: copies key (where `key`) and value out, under the lock of the container, and takes hold of the
 * handles. False when the buffer is too small, for *need bytes: nothing is held. */
bool lmp_out_copy(lmp_me *me, lmp_out *out, lmp_entry *e, bool key, size_t *need);
/* lmp_out_take: the entry, which became the caller's, is what was read; under the lock of the container. */
void lmp_out_take(lmp_me *me, lmp_out *out, uint64_t off);
void lmp_out_done(lmp_me *me, lmp_out *out);

/* lmp_entry_mark: for lmp_kind.trace, under the lock of the container. */
void lmp_entry_mark(lmp_me *me, lmp_entry *e);

#endif
