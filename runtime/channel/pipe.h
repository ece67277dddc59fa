/* channel/pipe.h: the pipe: two ends, a queue for each direction.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_PIPE_H
#define LMP_CHANNEL_PIPE_H

#include "channel/queue.h"

/* The body of an end. The handles are constant. */
typedef struct lmp_conn {
  lmp_handle cn_in, cn_out; /* streams, {0, 0}: not in this direction */
  uint32_t cn_deaf;         /* set once: it is not to be read any more */
  uint32_t cn_pad;
} lmp_conn;
_Static_assert(sizeof(lmp_conn) <= LMP_OBJ_BODY, "fits an object");

/* An end, and a queue that is part of a pipe: held by nobody, alive as long as one of the ends. */
extern const lmp_kind lmp_conn_kind;
extern const lmp_kind lmp_stream_kind;

/* lmp_pipe_new: two ends, held by this process. Not duplex: the first only receives, the second only
 * sends. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_pipe_new(lmp_me *me, const char *name, size_t namelen, bool duplex,
                                   lmp_handle ends[2]);

static inline lmp_conn *lmp_conn_of(const lmp_obj *o) { return (lmp_conn *)(uintptr_t)o->ob_body; }

/* lmp_conn_in, lmp_conn_out: the queue that an end, which the caller holds, receives from or sends to;
 * NULL where it does not do that. It is closed when the other end is gone, and is used with the
 * functions of queue.h for putting, getting and polling. */
static inline lmp_obj *lmp_conn_in(const lmp_arena *a, const lmp_obj *o) {
  lmp_handle h = lmp_conn_of(o)->cn_in;
  return h.obj && !lmp_load_acq32(&lmp_conn_of(o)->cn_deaf) ? lmp_obj_at(a, h.obj) : NULL;
}
static inline lmp_obj *lmp_conn_out(const lmp_arena *a, const lmp_obj *o) {
  lmp_handle h = lmp_conn_of(o)->cn_out;
  return h.obj ? lmp_obj_at(a, h.obj) : NULL;
}

/* lmp_conn_deafen: the end, which the caller holds, receives no more; what was on the way to it is
 * dropped, and for who sends to it it is as if it was closed. Idempotent. */
void lmp_conn_deafen(lmp_me *me, lmp_obj *o);

#endif
