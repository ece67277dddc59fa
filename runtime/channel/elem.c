/* channel/elem.c: atomic changes of one element.
 * SPDX-License-Identifier: MIT */
#include "channel/elem.h"

#include "base/debug.h"

lmp_elem lmp_elem_of(char code) {
  switch (code) {
    case 'b':
      return LMP_EL_I8;
    case 'B':
      return LMP_EL_U8;
    case 'h':
      return LMP_EL_I16;
    case 'H':
      return LMP_EL_U16;
    case 'i':
      return LMP_EL_I32;
    case 'I':
      return LMP_EL_U32;
    case 'l':
      return sizeof(long) == 8 ? LMP_EL_I64 : LMP_EL_I32;
    case 'L':
      return sizeof(long) == 8 ? LMP_EL_U64 : LMP_EL_U32;
    case 'q':
      return LMP_EL_I64;
    case 'Q':
      return LMP_EL_U64;
    case 'f':
      return LMP_EL_F32;
    case 'd':
      return LMP_EL_F64;
    case '?':
      return LMP_EL_BOOL;
    case 'c':
      return LMP_EL_CHAR;
    default:
      return LMP_EL_COUNT;
  }
}

bool lmp_elem_same(lmp_elem t, uint64_t a, uint64_t b) {
  if (t == LMP_EL_BOOL) return !a == !b;
  if (t != LMP_EL_F32 && t != LMP_EL_F64) return a == b;
  double x = t == LMP_EL_F32 ? (double)lmp_f32_of(a) : lmp_f64_of(a);
  double y = t == LMP_EL_F32 ? (double)lmp_f32_of(b) : lmp_f64_of(b);
  return x == y || (x != x && y != y);
}

uint64_t lmp_elem_exchange(lmp_elem t, void *p, uint64_t bits) {
  switch (lmp_elem_shift(t)) {
    case 0:
      return lmp_xchg_ar8(p, (uint8_t)bits);
    case 1:
      return lmp_xchg_ar16(p, (uint16_t)bits);
    case 2:
      return lmp_xchg_ar32(p, (uint32_t)bits);
    default:
      return lmp_xchg_ar64(p, bits);
  }
}

/* By the bits; *seen gets what was there. */
static bool swap_bits(lmp_elem t, void *p, uint64_t *seen, uint64_t bits) {
  uint8_t b;
  uint16_t h;
  uint32_t w;
  bool done;
  switch (lmp_elem_shift(t)) {
    case 0:
      b = (uint8_t)*seen;
      done = lmp_cas_ar8(p, &b, (uint8_t)bits);
      *seen = b;
      return done;
    case 1:
      h = (uint16_t)*seen;
      done = lmp_cas_ar16(p, &h, (uint16_t)bits);
      *seen = h;
      return done;
    case 2:
      w = (uint32_t)*seen;
      done = lmp_cas_ar32(p, &w, (uint32_t)bits);
      *seen = w;
      return done;
    default:
      return lmp_cas_ar64(p, seen, bits);
  }
}

bool lmp_elem_cas(lmp_elem t, void *p, uint64_t *expected, uint64_t bits) {
  uint64_t want = *expected;
  while (!swap_bits(t, p, expected, bits)) {
    /* Other bits may mean the same: another NaN, -0.0, another true. Then those are expected. */
    if (!lmp_elem_same(t, want, *expected)) return false;
  }
  return true;
}

static uint64_t add_float(lmp_elem t, void *p, double n) {
  uint64_t seen = lmp_elem_load(t, p);
  for (;;) {
    uint64_t sum = t == LMP_EL_F32 ? lmp_bits_f32((float)((double)lmp_f32_of(seen) + n))
                                   : lmp_bits_f64(lmp_f64_of(seen) + n);
    if (swap_bits(t, p, &seen, sum)) return sum;
  }
}

uint64_t lmp_elem_add(lmp_elem t, void *p, uint64_t n) {
  lmp_assert(t < LMP_EL_BOOL);
  if (t == LMP_EL_F32 || t == LMP_EL_F64) return add_float(t, p, lmp_f64_of(n));
  switch (lmp_elem_shift(t)) {
    case 0:
      return (uint8_t)(lmp_add_ar8(p, (uint8_t)n) + n);
    case 1:
      return (uint16_t)(lmp_add_ar16(p, (uint16_t)n) + n);
    case 2:
      return (uint32_t)(lmp_add_ar32(p, (uint32_t)n) + n);
    default:
      return lmp_add_ar64(p, n) + n;
  }
}
