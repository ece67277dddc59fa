/* base/buf.h: a growable private byte buffer and the message it becomes.
 * SPDX-License-Identifier: MIT
 *
 * Nothing here raises or aborts: growth that fails is a false, and the buffer stays as it was. */
#ifndef LMP_BASE_BUF_H
#define LMP_BASE_BUF_H

#include "base/defs.h"

typedef struct lmp_buf {
  uint8_t *data;
  size_t len;
  size_t cap;
} lmp_buf;

/* lmp_buf_grow: makes room for `more` further bytes; false when memory is out. */
LMP_NODISCARD bool lmp_buf_grow(lmp_buf *b, size_t more);
/* lmp_buf_fini: frees the memory; a zeroed buffer is a legal argument. */
void lmp_buf_fini(lmp_buf *b);

/* lmp_buf_reserve: room for `more` bytes, without a call when there is some. */
LMP_NODISCARD static inline bool lmp_buf_reserve(lmp_buf *b, size_t more) {
  return LMP_LIKELY(b->cap - b->len >= more) || lmp_buf_grow(b, more);
}

/* One piece of a message; borrowed memory. */
typedef struct lmp_iov {
  const void *data;
  size_t len;
} lmp_iov;

/* A message as the channels take it: its bytes in pieces (borrowed during the call), and the handles
 * that the bytes refer to by index. `len` is the sum of the pieces. */
typedef struct lmp_msg {
  const lmp_iov *iov;
  uint32_t niov;
  uint32_t nhandles;
  const lmp_handle *handles;
  size_t len;
  bool alone; /* the receiver may be unable to rebuild it: it is taken by itself, not in a batch */
} lmp_msg;

#endif
