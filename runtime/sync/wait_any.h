/* sync/wait_any.h: waiting until one of several things is ready.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_WAIT_ANY_H
#define LMP_SYNC_WAIT_ANY_H

#include "arena/arena.h"

/* One of the things: an object whose kind has `watch`, or a descriptor. */
typedef struct lmp_source {
  lmp_obj *obj;   /* NULL: a descriptor */
  uint64_t *flag; /* the object's, once it was found not ready */
  uint32_t poll;  /* index of the descriptor in `fds` */
  bool ready;
} lmp_source;

/* The things a thread waits for: private memory that is used again and again. All zeros: empty. */
typedef struct lmp_waiter {
  lmp_source *src;
  uint32_t n, cap;
  uint32_t nobj;   /* objects among them */
  bool mortal;     /* a death may make one of them ready */
  lmp_pollfd *fds; /* the descriptors; the first place is the bell's */
  uint32_t nfds, capfds;
  uint32_t bad; /* after LMP_E_INVAL: the source that is no open descriptor */
} lmp_waiter;

/* lmp_waiter_clear: it waits for nothing. lmp_waiter_obj, lmp_waiter_fd: and for this; false when
 * memory is out. The same thing may be there several times. lmp_waiter_fini frees the memory. */
void lmp_waiter_clear(lmp_waiter *w);
LMP_NODISCARD bool lmp_waiter_obj(lmp_waiter *w, lmp_obj *obj);
LMP_NODISCARD bool lmp_waiter_fd(lmp_waiter *w, int fd);
void lmp_waiter_fini(lmp_waiter *w);

/* lmp_wait_any: waits until one of the things is ready, or `deadline`. LMP_OK: `ready` is set in all that
 * are. LMP_E_TIMEOUT; LMP_E_INTR: a signal handler ran; LMP_E_INVAL: a descriptor is not open;
 * LMP_E_SYSTEM: the system cannot watch so many (errno tells). Takes nothing and changes no object. With
 * nothing to wait for it waits until the deadline. No lock may be held. Reaps the dead now and then, but
 * does not depend on it. */
LMP_NODISCARD lmp_err lmp_wait_any(lmp_me *me, lmp_waiter *w, uint64_t deadline);

#endif
