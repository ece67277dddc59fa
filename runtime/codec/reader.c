/* codec/reader.c: the rarer items of reader.h.
 * SPDX-License-Identifier: MIT */
#include "codec/reader.h"

bool lmp_reader_init(lmp_reader *r, const void *bytes, size_t len) {
  const uint8_t *p = bytes;
  if (len == 0 || p[0] != LMP_FORMAT_VERSION) return false;
  *r = (lmp_reader){.p = p + 1, .end = p + len, .base = p, .budget = len};
  return true;
}

bool lmp_get_u8(lmp_reader *r, unsigned *x) {
  if (r->p == r->end) return false;
  *x = *r->p++;
  return true;
}

static bool get_varint(lmp_reader *r, uint64_t *x) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (r->p == r->end) return false;
    uint64_t byte = *r->p++;
    if (shift == 63 && byte > 1) return false;
    v |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      *x = v;
      return true;
    }
  }
  return false;
}

/* Takes `n` raw bytes, counted before they are touched. */
static const uint8_t *get_bytes(lmp_reader *r, uint64_t n) {
  if (lmp_reader_left(r) < n) return NULL;
  const uint8_t *p = r->p;
  r->p += n;
  return p;
}

static bool get_int(lmp_reader *r, unsigned tag, int64_t *x) {
  const uint8_t *p = get_bytes(r, UINT64_C(1) << (tag - LMP_T_I8));
  uint16_t a;
  uint32_t b;
  uint64_t c;
  if (!p) return false;
  switch (tag) {
    case LMP_T_I8:
      *x = p[0] < 128 ? p[0] : p[0] - 256;
      break;
    case LMP_T_I16:
      memcpy(&a, p, 2);
      *x = (int16_t)lmp_le16(a);
      break;
    case LMP_T_I32:
      memcpy(&b, p, 4);
      *x = (int32_t)lmp_le32(b);
      break;
    default:
      memcpy(&c, p, 8);
      *x = (int64_t)lmp_le64(c);
  }
  return true;
}

static bool get_float(lmp_reader *r, double *x) {
  const uint8_t *p = get_bytes(r, 8);
  uint64_t bits;
  if (!p) return false;
  memcpy(&bits, p, 8);
  bits = lmp_le64(bits);
  memcpy(x, &bits, 8);
  return true;
}

/* A length of `size` bytes and as many bytes as it says. */
static bool get_sized(lmp_reader *r, unsigned size, lmp_item *it) {
  const uint8_t *p = get_bytes(r, size);
  uint32_t b;
  uint64_t c;
  if (!p) return false;
  if (size == 1) {
    it->n = p[0];
  } else if (size == 4) {
    memcpy(&b, p, 4);
    it->n = lmp_le32(b);
  } else {
    memcpy(&c, p, 8);
    it->n = lmp_le64(c);
  }
  it->data = (const char *)get_bytes(r, it->n);
  return it->data != NULL;
}

static bool get_table(lmp_reader *r, lmp_item *it) {
  unsigned hint;
  uint64_t pairs = 0;
  if (!lmp_get_u8(r, &hint) || hint > LMP_HINT_MAX || !get_varint(r, &it->n)) return false;
  it->i = hint ? INT64_C(1) << (hint - 1) : 0;
  if (hint)
    pairs = hint < 3 ? hint : (UINT64_C(1) << (hint - 2)) + 1; /* the least the hint stands for */
  if (it->n > r->budget || pairs > (r->budget - it->n) / 2) return false;
  r->budget -= it->n + 2 * pairs;
  return true;
}

static bool get_light(lmp_reader *r, lmp_item *it) {
  const uint8_t *p = get_bytes(r, 16);
  uint64_t both[2];
  if (!p) return false;
  memcpy(both, p, 16);
  it->n = lmp_le64(both[0]);
  it->i = (int64_t)lmp_le64(both[1]);
  return true;
}

static bool get_function(lmp_reader *r, lmp_item *it) {
  if (!get_varint(r, &it->n)) return false;
  it->data = (const char *)get_bytes(r, it->n);
  return it->data != NULL;
}

static bool get_upvalue_same(lmp_reader *r, lmp_item *it) {
  unsigned number;
  if (!get_varint(r, &it->n) || !lmp_get_u8(r, &number)) return false;
  it->i = (int64_t)number;
  return true;
}

static bool get_blob(lmp_reader *r, lmp_item *it) {
  if (!get_sized(r, 8, it)) return false;
  r->base += it->n; /* format.h, I3 */
  return true;
}

bool lmp_get_rich(lmp_reader *r, unsigned tag, lmp_item *it) {
#define KIND(k) (it->kind = (k))
  it->flags = 0;
  it->position = (uint64_t)(r->p - r->base) - 1;
  switch (tag) {
    case LMP_T_NIL:
      return KIND(LMP_K_NIL), true;
    case LMP_T_FALSE:
    case LMP_T_TRUE:
      it->i = tag == LMP_T_TRUE;
      return KIND(LMP_K_BOOL), true;
    case LMP_T_I8:
    case LMP_T_I16:
    case LMP_T_I32:
    case LMP_T_I64:
      return KIND(LMP_K_INT), get_int(r, tag, &it->i);
    case LMP_T_F64:
      return KIND(LMP_K_FLOAT), get_float(r, &it->x);
    case LMP_T_STR8:
      return KIND(LMP_K_STRING), get_sized(r, 1, it);
    case LMP_T_STR32:
      return KIND(LMP_K_STRING), get_sized(r, 4, it);
    case LMP_T_BLOB:
    case LMP_T_BLOB | LMP_SHARED:
      it->flags = tag & LMP_SHARED;
      return KIND(LMP_K_STRING), get_blob(r, it);
    case LMP_T_END:
      return KIND(LMP_K_END), true;
    case LMP_T_REF:
      return KIND(LMP_K_REF), get_varint(r, &it->n);
    case LMP_T_HANDLE:
      return KIND(LMP_K_HANDLE), get_varint(r, &it->n);
    case LMP_T_GLOBALS:
      return KIND(LMP_K_GLOBALS), true;
    case LMP_T_LIGHT:
      return KIND(LMP_K_LIGHT), get_light(r, it);
    case LMP_T_GLOBAL:
      return KIND(LMP_K_GLOBAL), true;
    case LMP_T_NAME:
    case LMP_T_NAME | LMP_SHARED:
      it->flags = tag & LMP_SHARED;
      return KIND(LMP_K_NAME), true;
    case LMP_T_TYPE:
    case LMP_T_TYPE | LMP_SHARED:
      it->flags = tag & LMP_SHARED;
      return KIND(LMP_K_TYPE), true;
    case LMP_T_UPVALUE:
    case LMP_T_UPVALUE | LMP_SHARED:
      it->flags = tag & LMP_SHARED;
      return KIND(LMP_K_UPVALUE), true;
    case LMP_T_UPVALUE_SAME:
      return KIND(LMP_K_UPVALUE_SAME), get_upvalue_same(r, it);
    case LMP_T_TABLE:
    case LMP_T_TABLE | LMP_SHARED:
    case LMP_T_TABLE | LMP_TABLE_META:
    case LMP_T_TABLE | LMP_TABLE_META | LMP_SHARED:
      it->flags = tag & 3;
      return KIND(LMP_K_TABLE), get_table(r, it);
    case LMP_T_TABLE_LATER:
    case LMP_T_TABLE_LATER | LMP_SHARED:
      it->flags = tag & LMP_SHARED;
      return KIND(LMP_K_TABLE_LATER), true;
    case LMP_T_FUNCTION:
    case LMP_T_FUNCTION | LMP_SHARED:
    case LMP_T_FUNCTION | LMP_FUNCTION_LATER:
    case LMP_T_FUNCTION | LMP_FUNCTION_LATER | LMP_SHARED:
      it->flags = tag & 3;
      return KIND(LMP_K_FUNCTION), get_function(r, it);
    default:
      return KIND(LMP_K_BAD), false;
  }
#undef KIND
}

bool lmp_get_string(lmp_reader *r, const char **s, size_t *n) {
  lmp_item it;
  if (r->p == r->end || (*r->p & ~1) == LMP_T_BLOB) return false;
  if (!lmp_get_item(r, &it) || it.kind != LMP_K_STRING) return false;
  *s = it.data;
  *n = (size_t)it.n;
  return true;
}
