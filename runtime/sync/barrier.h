/* sync/barrier.h: the barrier: parties wait until all have come, round after round.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_BARRIER_H
#define LMP_SYNC_BARRIER_H

#include "arena/arena.h"
#include "base/buf.h"

/* Parties whose places lie in the object's body; more have a block. */
#define LMP_BARRIER_INLINE 20u
/* Every thread that waits has a context: more could never come together. */
#define LMP_BARRIER_MAX LMP_CTX_MAX

/* attempt:30 | round:2 | turns:29 | V:1 | W:1 | B:1. The lower half is slept on. See barrier.c. */
typedef uint64_t lmp_bstate;
/* A party's place in an attempt: attempt and round, as above | context id:32, 0: it is free since. */
typedef uint64_t lmp_place;

typedef struct lmp_barrier {
  lmp_bstate ba_state;
  uint32_t ba_parties; /* constant, as all from here on but for the places */
  uint32_t ba_nhandles;
  uint64_t ba_timeout; /* of a wait that gives none, in ns; LMP_FOREVER */
  uint64_t ba_block;   /* the places, 0: in ba_place */
  uint64_t ba_action;  /* block with the handles and the bytes of the encoded action, 0: none */
  uint64_t ba_len;     /* its bytes, without handles */
  lmp_place ba_place[2 * LMP_BARRIER_INLINE];
} lmp_barrier;
_Static_assert(sizeof(lmp_barrier) <= LMP_OBJ_BODY, "fits an object");

extern const lmp_kind lmp_barrier_kind;

static inline lmp_barrier *lmp_barrier_of(const lmp_obj *o) {
  return (lmp_barrier *)(uintptr_t)o->ob_body;
}

/* A party that has arrived: private memory of the caller. */
typedef struct lmp_party {
  uint32_t index; /* 1 ... parties */
  bool last;
  lmp_bstate state; /* round and attempt in which it has its place */
} lmp_party;

/* lmp_barrier_new: a barrier of `parties` (1 ... LMP_BARRIER_MAX), held by this process. `action`, which may
 * be NULL, is copied; its handles are held by the caller. LMP_E_NOSLOT, LMP_E_NOMEM, LMP_E_TOOLARGE. */
LMP_NODISCARD lmp_err lmp_barrier_new(lmp_me *me, const char *name, size_t namelen,
                                      uint32_t parties, uint64_t timeout, const lmp_msg *action,
                                      lmp_handle *h);

/* lmp_barrier_arrive: takes the calling thread's place in the round. With LMP_OK it must go on to
 * lmp_barrier_release when it is the last to arrive, to lmp_barrier_await when it is not, or to
 * lmp_barrier_quit. Waits until `deadline` while an earlier round is still being left; when that is over it
 * breaks the barrier. LMP_E_BROKEN; LMP_E_INTR: a signal handler ran, it has no place, call again. */
LMP_NODISCARD lmp_err lmp_barrier_arrive(lmp_me *me, lmp_obj *o, uint64_t deadline, lmp_party *p);
/* lmp_barrier_await: waits until the round is complete, and leaves the place. At `deadline` breaks the
 * barrier. LMP_E_BROKEN: by this or another party, by the death of one, or reset. LMP_E_INTR: a signal handler
 * ran, it still has its place, call again. */
LMP_NODISCARD lmp_err lmp_barrier_await(lmp_me *me, lmp_obj *o, uint64_t deadline,
                                        const lmp_party *p);
/* lmp_barrier_release: completes the round, by its last party, and lets all go. LMP_E_BROKEN: it was
 * broken meanwhile. */
LMP_NODISCARD lmp_err lmp_barrier_release(lmp_me *me, lmp_obj *o, const lmp_party *p);
/* lmp_barrier_quit: leaves the place, and breaks the round where it is not over. */
void lmp_barrier_quit(lmp_me *me, lmp_obj *o, const lmp_party *p);

/* lmp_barrier_abort: breaks it. lmp_barrier_reset: makes it whole again; parties that wait find it broken. */
void lmp_barrier_abort(lmp_me *me, lmp_obj *o);
void lmp_barrier_reset(lmp_me *me, lmp_obj *o);
bool lmp_barrier_broken(const lmp_obj *o);
/* lmp_barrier_waiting: parties that have arrived in the round, 0 while it is broken; exact at a moment
 * during the call. */
uint32_t lmp_barrier_waiting(const lmp_arena *a, const lmp_obj *o);

/* lmp_barrier_action: the encoded action; false: there is none. It is there while the caller holds the
 * barrier, and so are the objects that it names. */
bool lmp_barrier_action(const lmp_arena *a, const lmp_obj *o, const uint8_t **data, size_t *len,
                        const lmp_handle **handles, uint32_t *nhandles);

/* lmp_barrier_valid: checks the invariants of a barrier; for tests. NULL, or what is wrong. */
const char *lmp_barrier_valid(const lmp_arena *a, const lmp_obj *o);

#endif
