/* sync/bell.h: a descriptor that tells whether an object is ready, for a host's event loop.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_SYNC_BELL_H
#define LMP_SYNC_BELL_H

#include "arena/arena.h"

/* A bell with its socket; private memory of a handle. {0, -1}: none. One thread at a time uses it. */
typedef struct lmp_fdbell {
  uint32_t number; /* + 1; 0: none */
  int fd;          /* for ppoll, epoll, ...; never to be read from */
} lmp_fdbell;

#define LMP_FDBELL_NONE ((lmp_fdbell){0, -1})

/* lmp_fdbell_open: makes *b a bell of this process, not readable and not armed. LMP_E_NOSLOT: the table is
 * full; LMP_E_SYSTEM: no descriptor (errno tells). */
LMP_NODISCARD lmp_err lmp_fdbell_open(lmp_me *me, lmp_fdbell *b);

/* lmp_fdbell_show: makes b->fd readable exactly if `obj`, whose kind has `watch`, is ready now; from then
 * on it becomes readable by itself when the object becomes ready, and stays so until the next call. So
 * call it once after lmp_fdbell_open, and after each operation that may have made the object less
 * ready: a recv that took something, or came too late. Now and then the descriptor is readable without
 * need: because another process was faster, or because a ring was meant for another bell. Never waits. */
void lmp_fdbell_show(lmp_me *me, lmp_fdbell *b, lmp_obj *obj);

/* lmp_fdbell_close: gives bell and descriptor back; idempotent. lmp_fdbell_forget: closes the descriptor
 * only: in a child of fork, whose parent owns the bell (the family's epoch differs from that in which it
 * was opened). */
void lmp_fdbell_close(lmp_me *me, lmp_fdbell *b);
void lmp_fdbell_forget(lmp_fdbell *b);

#endif
