/* base/buf.c: the slow paths of buf.h.
 * SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdlib.h>

#define BUF_FIRST 256

bool lmp_buf_grow(lmp_buf *b, size_t more) {
  size_t want = b->cap ? b->cap : BUF_FIRST;
  if (more > SIZE_MAX / 2 - b->len) return false;
  while (want - b->len < more) want *= 2;
  if (want == b->cap) return true;
  uint8_t *data = realloc(b->data, want);
  if (!data) return false;
  b->data = data;
  b->cap = want;
  return true;
}

void lmp_buf_fini(lmp_buf *b) {
  free(b->data);
  *b = (lmp_buf){0};
}
