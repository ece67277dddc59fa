/* codec/writer.h: appends values of the message format to a buffer.
 * SPDX-License-Identifier: MIT
 *
 * Each function appends one item, or returns false (memory is out) and leaves the buffer as it was. */
#ifndef LMP_CODEC_WRITER_H
#define LMP_CODEC_WRITER_H

#include <string.h>

#include "base/buf.h"
#include "codec/format.h"

#define LMP_VARINT_MAX 10 /* bytes of the longest varint */

/* lmp_put_bytes: `n` raw bytes. */
LMP_NODISCARD bool lmp_put_bytes(lmp_buf *b, const void *data, size_t n);
/* lmp_put_varint: an unsigned number. */
LMP_NODISCARD bool lmp_put_varint(lmp_buf *b, uint64_t x);
/* lmp_put_long_string: the forms of lmp_put_string whose length does not fit the tag. */
LMP_NODISCARD bool lmp_put_long_string(lmp_buf *b, const char *s, size_t n);
/* lmp_put_long_int: the forms of lmp_put_int of more than two bytes. */
LMP_NODISCARD bool lmp_put_long_int(lmp_buf *b, int64_t x);
/* lmp_put_blob: tag and length of a string whose `n` bytes the caller places after them. */
LMP_NODISCARD bool lmp_put_blob(lmp_buf *b, uint64_t n);
/* lmp_put_light: a light userdata of the process image `image`. */
LMP_NODISCARD bool lmp_put_light(lmp_buf *b, uint64_t image, uint64_t pointer);

/* lmp_varint_size: the bytes that lmp_put_varint takes for `x`. */
static inline unsigned lmp_varint_size(uint64_t x) {
  return x < 128 ? 1u : (unsigned)(70 - __builtin_clzll(x)) / 7;
}

/* lmp_set_varint: overwrites `size` bytes at `p` with `x`, padded; x must fit. */
void lmp_set_varint(uint8_t *p, unsigned size, uint64_t x);

LMP_NODISCARD static inline bool lmp_put_u8(lmp_buf *b, unsigned x) {
  if (!lmp_buf_reserve(b, 1)) return false;
  b->data[b->len++] = (uint8_t)x;
  return true;
}

LMP_NODISCARD static inline bool lmp_put_int(lmp_buf *b, int64_t x) {
  if (LMP_UNLIKELY(x < -128 || x > 127)) return lmp_put_long_int(b, x);
  if (!lmp_buf_reserve(b, 2)) return false;
  if (x < 0) b->data[b->len++] = LMP_T_I8;
  b->data[b->len++] = (uint8_t)x;
  return true;
}

LMP_NODISCARD static inline bool lmp_put_float(lmp_buf *b, double x) {
  uint64_t bits;
  if (!lmp_buf_reserve(b, 9)) return false;
  memcpy(&bits, &x, 8);
  bits = lmp_le64(bits);
  b->data[b->len] = LMP_T_F64;
  memcpy(b->data + b->len + 1, &bits, 8);
  b->len += 9;
  return true;
}

/* lmp_put_string: a string with its bytes, of any length below 4 GiB. */
LMP_NODISCARD static inline bool lmp_put_string(lmp_buf *b, const char *s, size_t n) {
  if (LMP_UNLIKELY(n > LMP_STR_TINY)) return lmp_put_long_string(b, s, n);
  if (!lmp_buf_reserve(b, 1 + n)) return false;
  b->data[b->len] = (uint8_t)(LMP_T_TINY + n);
  memcpy(b->data + b->len + 1, s, n);
  b->len += 1 + n;
  return true;
}

#endif
