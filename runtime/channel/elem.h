/* channel/elem.h: one element of an Array, or the element of a Value, in shared memory.
 * SPDX-License-Identifier: MIT
 *
 * An element travels as its bits: the bytes of the C type, zero-extended to 64. Elements lie at multiples
 * of their size, so an access is one instruction, and a kill or another process never tears it.
 *   E1 a load acquires and a store releases: who sees a value also sees what its writer wrote before.
 *   E2 exchange, cas and add are one atomic step each; floats are added by a loop of cas. */
#ifndef LMP_CHANNEL_ELEM_H
#define LMP_CHANNEL_ELEM_H

#include "base/atomic.h"
#include "base/defs.h"

typedef enum lmp_elem {
  LMP_EL_I8,
  LMP_EL_U8,
  LMP_EL_I16,
  LMP_EL_U16,
  LMP_EL_I32,
  LMP_EL_U32,
  LMP_EL_I64,
  LMP_EL_U64,
  LMP_EL_F32,
  LMP_EL_F64,
  LMP_EL_BOOL, /* a byte: 0 is false, anything else true */
  LMP_EL_CHAR, /* a byte */
  LMP_EL_COUNT
} lmp_elem;

/* lmp_elem_of: the type with the code that Python and C know it by; LMP_EL_COUNT: there is none. */
lmp_elem lmp_elem_of(char code);

/* lmp_elem_shift: the size of an element is 1 << this. */
static inline unsigned lmp_elem_shift(lmp_elem t) {
  static const uint8_t shift[LMP_EL_COUNT] = {0, 0, 1, 1, 2, 2, 3, 3, 2, 3, 0, 0};
  return shift[t];
}

static inline uint64_t lmp_elem_load(lmp_elem t, const void *p) {
  switch (lmp_elem_shift(t)) {
    case 0:
      return lmp_load_acq8(p);
    case 1:
      return lmp_load_acq16(p);
    case 2:
      return lmp_load_acq32(p);
    default:
      return lmp_load_acq64(p);
  }
}

static inline void lmp_elem_store(lmp_elem t, void *p, uint64_t bits) {
  switch (lmp_elem_shift(t)) {
    case 0:
      lmp_store_rel8(p, (uint8_t)bits);
      return;
    case 1:
      lmp_store_rel16(p, (uint16_t)bits);
      return;
    case 2:
      lmp_store_rel32(p, (uint32_t)bits);
      return;
    default:
      lmp_store_rel64(p, bits);
  }
}

/* lmp_elem_same: the two mean the same: equal numbers (0.0 and -0.0, too), or both NaN; equal truth. */
bool lmp_elem_same(lmp_elem t, uint64_t a, uint64_t b);
/* lmp_elem_exchange: stores `bits`, returns what was there. */
uint64_t lmp_elem_exchange(lmp_elem t, void *p, uint64_t bits);
/* lmp_elem_cas: stores `bits` if *p is the same as *expected, which then gets what was there. */
bool lmp_elem_cas(lmp_elem t, void *p, uint64_t *expected, uint64_t bits);
/* lmp_elem_add: adds, returns the new value. `n` is an integer, which wraps with the type, or for a float
 * type the bits of a double. Not for BOOL and CHAR. */
uint64_t lmp_elem_add(lmp_elem t, void *p, uint64_t n);

/* Bits and floats. */
static inline double lmp_f64_of(uint64_t bits) {
  union {
    uint64_t u;
    double f;
  } x = {.u = bits};
  return x.f;
}
static inline uint64_t lmp_bits_f64(double f) {
  union {
    uint64_t u;
    double f;
  } x = {.f = f};
  return x.u;
}
static inline float lmp_f32_of(uint64_t bits) {
  union {
    uint32_t u;
    float f;
  } x = {.u = (uint32_t)bits};
  return x.f;
}
static inline uint64_t lmp_bits_f32(float f) {
  union {
    uint32_t u;
    float f;
  } x = {.f = f};
  return x.u;
}

#endif
