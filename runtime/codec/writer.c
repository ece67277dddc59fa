/* codec/writer.c: the longer forms of writer.h.
 * SPDX-License-Identifier: MIT */
#include "codec/writer.h"

bool lmp_put_bytes(lmp_buf *b, const void *data, size_t n) {
  if (!lmp_buf_reserve(b, n)) return false;
  if (n) memcpy(b->data + b->len, data, n);
  b->len += n;
  return true;
}

bool lmp_put_varint(lmp_buf *b, uint64_t x) {
  unsigned size = lmp_varint_size(x);
  if (!lmp_buf_reserve(b, size)) return false;
  lmp_set_varint(b->data + b->len, size, x);
  b->len += size;
  return true;
}

void lmp_set_varint(uint8_t *p, unsigned size, uint64_t x) {
  for (unsigned i = 0; i + 1 < size; i++, x >>= 7) p[i] = (uint8_t)(x | 0x80);
  p[size - 1] = (uint8_t)(x & 0x7f);
}

bool lmp_put_long_string(lmp_buf *b, const char *s, size_t n) {
  size_t head = n <= UINT8_MAX ? 2 : 5;
  if (n > UINT32_MAX || !lmp_buf_reserve(b, head + n)) return false;
  uint8_t *p = b->data + b->len;
  if (head == 2) {
    p[0] = LMP_T_STR8;
    p[1] = (uint8_t)n;
  } else {
    uint32_t size = lmp_le32((uint32_t)n);
    p[0] = LMP_T_STR32;
    memcpy(p + 1, &size, 4);
  }
  memcpy(p + head, s, n);
  b->len += head + n;
  return true;
}

bool lmp_put_long_int(lmp_buf *b, int64_t x) {
  if (!lmp_buf_reserve(b, 9)) return false;
  uint8_t *p = b->data + b->len;
  uint64_t bits = lmp_le64((uint64_t)x);
  if (x >= INT16_MIN && x <= INT16_MAX) {
    uint16_t low = lmp_le16((uint16_t)x);
    p[0] = LMP_T_I16;
    memcpy(p + 1, &low, 2);
    b->len += 3;
  } else if (x >= INT32_MIN && x <= INT32_MAX) {
    uint32_t low = lmp_le32((uint32_t)x);
    p[0] = LMP_T_I32;
    memcpy(p + 1, &low, 4);
    b->len += 5;
  } else {
    p[0] = LMP_T_I64;
    memcpy(p + 1, &bits, 8);
    b->len += 9;
  }
  return true;
}

bool lmp_put_blob(lmp_buf *b, uint64_t n) {
  uint64_t size = lmp_le64(n);
  if (!lmp_buf_reserve(b, 9)) return false;
  b->data[b->len] = LMP_T_BLOB;
  memcpy(b->data + b->len + 1, &size, 8);
  b->len += 9;
  return true;
}

bool lmp_put_light(lmp_buf *b, uint64_t image, uint64_t pointer) {
  uint64_t both[2] = {lmp_le64(image), lmp_le64(pointer)};
  if (!lmp_buf_reserve(b, 17)) return false;
  b->data[b->len] = LMP_T_LIGHT;
  memcpy(b->data + b->len + 1, both, 16);
  b->len += 17;
  return true;
}
