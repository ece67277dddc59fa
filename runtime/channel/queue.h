/* channel/queue.h: the queue: first in, first out, any number of producers and consumers.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_QUEUE_H
#define LMP_CHANNEL_QUEUE_H

#include "arena/arena.h"
#include "base/buf.h"

/* A position packs the number of cells and of messages that passed, and whether the queue is closed,
 * so that one store moves it: cells:32 | messages:31 | closed:1. Its lower half is slept on. */
typedef uint64_t lmp_qpos;

/* The body of a queue object. */
typedef struct lmp_queue {
  /* The putters' line, under qt_lock. */
  uint32_t qt_lock;
  uint32_t qt_nh; /* messages with handles that were put */
  lmp_qpos qt_pos;
  uint64_t qt_seg;   /* last segment, 0: there is none */
  uint64_t qt_first; /* the segment that began the chain, for the first getter */
  lmp_qpos qt_head;  /* qh_pos as last seen here */
  uint64_t qt_pad[3];
  /* The getters' line, under qh_lock. */
  uint32_t qh_lock;
  uint32_t qh_nh; /* messages with handles that were taken */
  lmp_qpos qh_pos;
  uint64_t qh_seg;  /* segment of qh_pos, 0: qt_first */
  lmp_qpos qh_tail; /* qt_pos as last seen here */
  uint64_t qh_pad[4];
  /* Flags of sleepers, each on a line that is only read while nobody sleeps. */
  uint64_t qe_flag; /* on qt_pos: until it is not empty */
  uint32_t qe_pad[14];
  uint64_t qf_flag; /* on qh_pos: until it is not full */
  uint32_t qf_max;  /* messages it may hold, 0: any number; constant */
  uint32_t qf_pad[13];
  /* Joining. */
  uint32_t qd_done; /* messages that were reported done, modulo 2^31; also slept on */
  uint32_t qd_pad0;
  uint64_t qd_flag; /* somebody joins */
  uint32_t qd_pad1[12];
} lmp_queue;
_Static_assert(sizeof(lmp_queue) <= LMP_OBJ_BODY, "fits an object");
_Static_assert(offsetof(lmp_queue, qh_lock) == 64, "cache lines");
_Static_assert(offsetof(lmp_queue, qe_flag) == 128, "cache lines");
_Static_assert(offsetof(lmp_queue, qf_flag) == 192, "cache lines");

#define LMP_QUEUE_MAX 0x7ffffffeu /* most messages in a queue */

extern const lmp_kind lmp_queue_kind;

/* A message that was taken. `data` is in the inbox's buffer or, for a large one, in the arena. */
typedef struct lmp_in {
  const uint8_t *data;
  size_t len;
  const lmp_handle *handles; /* held by the process on behalf of the message */
  uint32_t nhandles;
  uint64_t block; /* to be freed, 0: none */
} lmp_in;

/* Where taken messages go: private memory of the caller. */
typedef struct lmp_inbox {
  uint8_t *buf;
  size_t cap;
  lmp_in *in;
  uint32_t max;
  uint32_t n;
  bool
      more; /* set by the caller: it has other messages in hand, so none that is to be taken alone */
} lmp_inbox;

LMP_NODISCARD bool lmp_inbox_init(lmp_inbox *box);
void lmp_inbox_fini(lmp_inbox *box);
/* lmp_inbox_done: gives back what message `i` of the inbox still holds; idempotent. */
void lmp_inbox_done(lmp_me *me, lmp_inbox *box, uint32_t i);

/* lmp_queue_new: an empty queue for at most `maxsize` messages (0: any number), held by this process.
 * LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_queue_new(lmp_me *me, const char *name, size_t namelen, uint32_t maxsize,
                                    lmp_handle *h);

/* lmp_queue_put: appends the `n` messages in order; *done of them were put, all with LMP_OK. Waits
 * until `deadline` while the queue or the family's memory is full. The handles in the messages are held
 * by the caller. LMP_E_CLOSED; LMP_E_TIMEOUT; LMP_E_INTR: a signal handler ran, call again for the
 * rest; LMP_E_TOOLARGE: can never fit. A message is in the queue, for every process, or not at all. */
LMP_NODISCARD lmp_err lmp_queue_put(lmp_me *me, lmp_obj *q, const lmp_msg *msgs, size_t n,
                                    uint64_t deadline, size_t *done);

/* lmp_queue_get: takes the first message, and up to `max` if more are there at once, into the inbox,
 * which must be empty; a message that is to be taken alone comes alone, or, with box->more, ends the
 * batch as if the queue was empty (LMP_NOWAIT only); each must be given back with lmp_inbox_done. Waits for the first until
 * `deadline`. LMP_E_CLOSED: closed and empty; LMP_E_TIMEOUT; LMP_E_INTR. */
LMP_NODISCARD lmp_err lmp_queue_get(lmp_me *me, lmp_obj *q, uint32_t max, uint64_t deadline,
                                    lmp_inbox *box);

/* lmp_queue_poll: waits until there is a message, or it is closed, and takes nothing; others may be
 * faster then. LMP_E_TIMEOUT, LMP_E_INTR. */
LMP_NODISCARD lmp_err lmp_queue_poll(lmp_me *me, lmp_obj *q, uint64_t deadline);

/* lmp_queue_size: messages in it, exact at a moment during the call. */
uint32_t lmp_queue_size(const lmp_obj *q);
bool lmp_queue_full(const lmp_obj *q);
bool lmp_queue_closed(const lmp_obj *q);

/* lmp_queue_close: no more puts, by anyone; wakes all who wait. Idempotent. */
void lmp_queue_close(lmp_me *me, lmp_obj *q);
/* lmp_queue_cancel: closes it and drops what is in it. */
void lmp_queue_cancel(lmp_me *me, lmp_obj *q);

/* lmp_queue_task_done: one message that was put is done with. LMP_E_INVAL: more than were put. */
LMP_NODISCARD lmp_err lmp_queue_task_done(lmp_me *me, lmp_obj *q);
/* lmp_queue_join: waits until all that were put are done. LMP_E_TIMEOUT, LMP_E_INTR. */
LMP_NODISCARD lmp_err lmp_queue_join(lmp_me *me, lmp_obj *q, uint64_t deadline);

/* lmp_queue_valid: checks the invariants of a queue at rest; for tests. NULL, or what is wrong. */
const char *lmp_queue_valid(lmp_me *me, lmp_obj *q);

#endif
