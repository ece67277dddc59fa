/* base/defs.h: compiler attributes, fixed-width types and arithmetic helpers.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_BASE_DEFS_H
#define LMP_BASE_DEFS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LMP_CACHELINE 64

#define LMP_LIKELY(x) __builtin_expect(!!(x), 1)
#define LMP_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LMP_NODISCARD __attribute__((warn_unused_result))
#define LMP_NORETURN __attribute__((noreturn))
#define LMP_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define LMP_NOINLINE __attribute__((noinline))
#define LMP_COLD __attribute__((cold, noinline))
/* For loops over memory that others may be writing, by the user's own choice: not a bug to report. */
#define LMP_RACY __attribute__((no_sanitize_thread))

#define LMP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A deadline is an absolute time of the monotonic clock in nanoseconds. */
#define LMP_NOWAIT UINT64_C(0) /* already over: look once, never sleep */
#define LMP_FOREVER UINT64_MAX /* never over */
#define LMP_SEC UINT64_C(1000000000)
#define LMP_MSEC UINT64_C(1000000)
#define LMP_USEC UINT64_C(1000)

static inline uint64_t lmp_min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t lmp_max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint64_t lmp_ceil_div(uint64_t a, uint64_t b) { return (a + b - 1) / b; }
static inline uint64_t lmp_round_up(uint64_t a, uint64_t b) { return lmp_ceil_div(a, b) * b; }

/* The name of an object of the family, the same in every process: the index of its slot and the
 * generation of that slot. {0, 0} names nothing. */
typedef struct lmp_handle {
  uint32_t obj;
  uint32_t gen;
} lmp_handle;

#endif
