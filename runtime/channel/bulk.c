/* channel/bulk.c: loops over elements, one function for each C type, for the compiler to vectorise.
 * SPDX-License-Identifier: MIT
 *
 * Plain loads and stores: aligned elements are moved whole by every machine this runs on, alone or in
 * vectors. Floats are summed and compared in LANES at a time, as vectors are, whatever the compiler makes
 * of it: so the result does not depend on the compiler. */
#include "channel/bulk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/debug.h"

#define LANES 8
#define BLOCK 4096 /* floats that go into one set of partial sums */
#define LOOK 256   /* elements looked at before asking whether one was found */

/* -- fill and copy ------------------------------------------------------------------------------- */

#define FILL(T)                                                        \
  LMP_RACY static void fill_##T(void *to, uint64_t n, uint64_t bits) { \
    T *p = to;                                                         \
    T v = (T)bits;                                                     \
    for (uint64_t i = 0; i < n; i++) p[i] = v;                         \
  }
FILL(uint16_t)
FILL(uint32_t)
FILL(uint64_t)

void lmp_bulk_fill(lmp_elem t, void *p, uint64_t n, uint64_t bits) {
  switch (lmp_elem_shift(t)) {
    case 0:
      memset(p, (int)bits, n);
      return;
    case 1:
      fill_uint16_t(p, n, bits);
      return;
    case 2:
      fill_uint32_t(p, n, bits);
      return;
    default:
      fill_uint64_t(p, n, bits);
  }
}

void lmp_bulk_copy(lmp_elem t, void *to, const void *from, uint64_t n) {
  memmove(to, from, n << lmp_elem_shift(t));
}

/* -- sum ----------------------------------------------------------------------------------------- */

#define SUM_INT(T)                                                   \
  LMP_RACY static uint64_t sum_##T(const void *from, uint64_t n) {   \
    const T *p = from;                                               \
    uint64_t sum = 0;                                                \
    for (uint64_t i = 0; i < n; i++) sum += (uint64_t)(int64_t)p[i]; \
    return sum;                                                      \
  }
SUM_INT(int8_t)
SUM_INT(uint8_t)
SUM_INT(int16_t)
SUM_INT(uint16_t)
SUM_INT(int32_t)
SUM_INT(uint32_t)
SUM_INT(uint64_t)

LMP_RACY static uint64_t sum_bool(const void *from, uint64_t n) {
  const uint8_t *p = from;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < n; i++) sum += p[i] != 0;
  return sum;
}

#define SUM_FLOAT(T)                                                                            \
  LMP_RACY static double block_##T(const T *p, uint64_t n) {                                    \
    double lane[LANES] = {0};                                                                   \
    uint64_t i = 0;                                                                             \
    for (; i + LANES <= n; i += LANES) {                                                        \
      for (unsigned k = 0; k < LANES; k++) lane[k] += (double)p[i + k];                         \
    }                                                                                           \
    for (unsigned k = 0; i < n; i++, k++) lane[k] += (double)p[i];                              \
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +                                        \
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));                                         \
  }                                                                                             \
  static uint64_t sum_##T(const void *from, uint64_t n) {                                       \
    const T *p = from;                                                                          \
    double sum = 0;                                                                             \
    for (uint64_t i = 0; i < n; i += BLOCK) sum += block_##T(p + i, lmp_min_u64(BLOCK, n - i)); \
    return lmp_bits_f64(sum);                                                                   \
  }
SUM_FLOAT(float)
SUM_FLOAT(double)

uint64_t lmp_bulk_sum(lmp_elem t, const void *p, uint64_t n) {
  static uint64_t (*const sum[LMP_EL_COUNT])(const void *, uint64_t) = {
      [LMP_EL_I8] = sum_int8_t,    [LMP_EL_U8] = sum_uint8_t,   [LMP_EL_I16] = sum_int16_t,
      [LMP_EL_U16] = sum_uint16_t, [LMP_EL_I32] = sum_int32_t,  [LMP_EL_U32] = sum_uint32_t,
      [LMP_EL_I64] = sum_uint64_t, [LMP_EL_U64] = sum_uint64_t, [LMP_EL_F32] = sum_float,
      [LMP_EL_F64] = sum_double,   [LMP_EL_BOOL] = sum_bool,
  };
  lmp_assert(sum[t]);
  return sum[t](p, n);
}

/* -- least and greatest -------------------------------------------------------------------------- */

#define EXTREME_INT(T, name, op)                                      \
  LMP_RACY static uint64_t name##_##T(const void *from, uint64_t n) { \
    const T *p = from;                                                \
    T m = p[0];                                                       \
    for (uint64_t i = 1; i < n; i++) m = p[i] op m ? p[i] : m;        \
    return (uint64_t)m & (UINT64_MAX >> (64 - 8 * sizeof(T)));        \
  }
#define EXTREMES_INT(T) EXTREME_INT(T, least, <) EXTREME_INT(T, greatest, >)
EXTREMES_INT(int8_t)
EXTREMES_INT(uint8_t)
EXTREMES_INT(int16_t)
EXTREMES_INT(uint16_t)
EXTREMES_INT(int32_t)
EXTREMES_INT(uint32_t)
EXTREMES_INT(int64_t)
EXTREMES_INT(uint64_t)

/* Comparisons with NaN are false, so it never gets into a lane. A result that is what the lanes began
 * with may mean that there was nothing but NaN. */
#define EXTREME_FLOAT(T, name, op, worst, bits)                                                \
  LMP_RACY static uint64_t name##_##T(const void *from, uint64_t n) {                          \
    const T *p = from;                                                                         \
    T lane[LANES];                                                                             \
    uint64_t i = 0;                                                                            \
    for (unsigned k = 0; k < LANES; k++) lane[k] = (T)(worst);                                 \
    for (; i + LANES <= n; i += LANES) {                                                       \
      for (unsigned k = 0; k < LANES; k++) lane[k] = p[i + k] op lane[k] ? p[i + k] : lane[k]; \
    }                                                                                          \
    for (; i < n; i++) lane[0] = p[i] op lane[0] ? p[i] : lane[0];                             \
    for (unsigned k = 1; k < LANES; k++) lane[0] = lane[k] op lane[0] ? lane[k] : lane[0];     \
    for (i = 0; lane[0] == (T)(worst) && i < n; i++) {                                         \
      if (p[i] == (T)(worst)) return bits(lane[0]);                                            \
    }                                                                                          \
    return bits(lane[0] == (T)(worst) ? (T)NAN : lane[0]);                                     \
  }
EXTREME_FLOAT(float, least, <, INFINITY, lmp_bits_f32)
EXTREME_FLOAT(float, greatest, >, -INFINITY, lmp_bits_f32)
EXTREME_FLOAT(double, least, <, INFINITY, lmp_bits_f64)
EXTREME_FLOAT(double, greatest, >, -INFINITY, lmp_bits_f64)

#define EXTREMES(name)                                                    \
  uint64_t lmp_bulk_##name(lmp_elem t, const void *p, uint64_t n) {       \
    static uint64_t (*const of[LMP_EL_COUNT])(const void *, uint64_t) = { \
        [LMP_EL_I8] = name##_int8_t,    [LMP_EL_U8] = name##_uint8_t,     \
        [LMP_EL_I16] = name##_int16_t,  [LMP_EL_U16] = name##_uint16_t,   \
        [LMP_EL_I32] = name##_int32_t,  [LMP_EL_U32] = name##_uint32_t,   \
        [LMP_EL_I64] = name##_int64_t,  [LMP_EL_U64] = name##_uint64_t,   \
        [LMP_EL_F32] = name##_float,    [LMP_EL_F64] = name##_double,     \
        [LMP_EL_CHAR] = name##_uint8_t,                                   \
    };                                                                    \
    lmp_assert(n > 0 && of[t]);                                           \
    return of[t](p, n);                                                   \
  }
EXTREMES(least)
EXTREMES(greatest)

/* -- find ---------------------------------------------------------------------------------------- */

/* Looks at LOOK elements without leaving the loop, which vectorises, then for the one that it was. */
#define FIND(name, T, test)                                           \
  LMP_RACY static uint64_t find_##name(const T *p, uint64_t n, T x) { \
    (void)x;                                                          \
    for (uint64_t at = 0; at < n; at += LOOK) {                       \
      uint64_t end = lmp_min_u64(at + LOOK, n);                       \
      unsigned hit = 0;                                               \
      for (uint64_t i = at; i < end; i++) hit |= (test);              \
      for (uint64_t i = at; hit && i < end; i++) {                    \
        if (test) return i;                                           \
      }                                                               \
    }                                                                 \
    return n;                                                         \
  }
FIND(u8, uint8_t, p[i] == x)
FIND(u16, uint16_t, p[i] == x)
FIND(u32, uint32_t, p[i] == x)
FIND(u64, uint64_t, p[i] == x)
FIND(true, uint8_t, p[i] != 0)
FIND(f32, float, p[i] == x)
FIND(f64, double, p[i] == x)
FIND(nan32, float, p[i] != p[i])
FIND(nan64, double, p[i] != p[i])

uint64_t lmp_bulk_find(lmp_elem t, const void *p, uint64_t n, uint64_t bits) {
  float f = lmp_f32_of(bits);
  double d = lmp_f64_of(bits);
  if (t == LMP_EL_F32) return f == f ? find_f32(p, n, f) : find_nan32(p, n, f);
  if (t == LMP_EL_F64) return d == d ? find_f64(p, n, d) : find_nan64(p, n, d);
  if (t == LMP_EL_BOOL && bits) return find_true(p, n, 1);
  switch (lmp_elem_shift(t)) {
    case 0:
      return find_u8(p, n, (uint8_t)bits);
    case 1:
      return find_u16(p, n, (uint16_t)bits);
    case 2:
      return find_u32(p, n, (uint32_t)bits);
    default:
      return find_u64(p, n, bits);
  }
}

/* -- sort ---------------------------------------------------------------------------------------- */

/* The key of an element is an unsigned number of its width that sorts as the element does; key_out is the
 * way back. `sign` is the highest bit of the width. */
static inline uint64_t key_in(lmp_elem t, uint64_t bits, uint64_t sign) {
  if (t == LMP_EL_F32 || t == LMP_EL_F64) {
    bool nan = t == LMP_EL_F32 ? isnan(lmp_f32_of(bits)) : isnan(lmp_f64_of(bits));
    if (nan) bits &= ~sign; /* the x86's own NaN is a negative one */
    return bits & sign ? ~bits : bits | sign;
  }
  bool is_signed = t == LMP_EL_I8 || t == LMP_EL_I16 || t == LMP_EL_I32 || t == LMP_EL_I64;
  return is_signed ? bits ^ sign : bits;
}

static inline uint64_t key_out(lmp_elem t, uint64_t key, uint64_t sign) {
  if (t == LMP_EL_F32 || t == LMP_EL_F64) return key & sign ? key & ~sign : ~key;
  return key_in(t, key, sign);
}

/* By one byte of the keys after the other, from the lowest; bytes that all keys share are left out. Returns
 * which of the two holds the result. */
#define RADIX(T)                                                                      \
  static T *radix_##T(T *a, T *b, uint64_t n) {                                       \
    for (unsigned byte = 0; byte < sizeof(T); byte++) {                               \
      uint64_t at[256] = {0};                                                         \
      uint64_t sum = 0;                                                               \
      for (uint64_t i = 0; i < n; i++) at[a[i] >> 8 * byte & 0xff]++;                 \
      if (at[a[0] >> 8 * byte & 0xff] == n) continue;                                 \
      for (unsigned d = 0; d < 256; d++) {                                            \
        uint64_t count = at[d];                                                       \
        at[d] = sum;                                                                  \
        sum += count;                                                                 \
      }                                                                               \
      for (uint64_t i = 0; i < n; i++) b[at[a[i] >> 8 * byte & 0xff]++] = a[i];       \
      T *other = a;                                                                   \
      a = b;                                                                          \
      b = other;                                                                      \
    }                                                                                 \
    return a;                                                                         \
  }                                                                                   \
  static T *insert_##T(T *a, T *b, uint64_t n) {                                      \
    (void)b;                                                                          \
    for (uint64_t i = 1; i < n; i++) {                                                \
      T key = a[i];                                                                   \
      uint64_t k = i;                                                                 \
      for (; k > 0 && a[k - 1] > key; k--) a[k] = a[k - 1];                           \
      a[k] = key;                                                                     \
    }                                                                                 \
    return a;                                                                         \
  }                                                                                   \
  LMP_RACY static bool sort_##T(lmp_elem t, T *p, uint64_t n) {                       \
    uint64_t sign = UINT64_C(1) << (8 * sizeof(T) - 1);                               \
    T *work = malloc(2 * n * sizeof(T));                                              \
    if (!work) return false;                                                          \
    for (uint64_t i = 0; i < n; i++) work[i] = (T)key_in(t, p[i], sign);              \
    T *done = n < FEW ? insert_##T(work, work + n, n) : radix_##T(work, work + n, n); \
    for (uint64_t i = 0; i < n; i++) p[i] = (T)key_out(t, done[i], sign);             \
    free(work);                                                                       \
    return true;                                                                      \
  }
#define FEW 64
RADIX(uint8_t)
RADIX(uint16_t)
RADIX(uint32_t)
RADIX(uint64_t)

bool lmp_bulk_sort(lmp_elem t, void *p, uint64_t n) {
  if (n < 2) return true;
  switch (lmp_elem_shift(t)) {
    case 0:
      return sort_uint8_t(t, p, n);
    case 1:
      return sort_uint16_t(t, p, n);
    case 2:
      return sort_uint32_t(t, p, n);
    default:
      return sort_uint64_t(t, p, n);
  }
}
