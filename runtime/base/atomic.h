/* base/atomic.h: atomic access to shared words, with the memory order in the name.
 * SPDX-License-Identifier: MIT
 *
 * rlx: no order. acq: what the writer did before its release is seen after. rel: the pair of acq.
 * ar: both. sc: one total order, for "I publish, then look at what you published" (Dekker).
 *
 * A killed thread leaves a program-order prefix of its stores (the kernel's exit path orders them
 * before anybody can see the death). Stores that recovery reads must therefore only be kept in order
 * by the compiler: rel does that, and costs nothing on x86-64. */
#ifndef LMP_BASE_ATOMIC_H
#define LMP_BASE_ATOMIC_H

#include "base/defs.h"

#define LMP_ATOMIC_WIDTH(bits)                                                                     \
  static inline uint##bits##_t lmp_load_rlx##bits(const uint##bits##_t *p) {                       \
    return __atomic_load_n(p, __ATOMIC_RELAXED);                                                   \
  }                                                                                                \
  static inline uint##bits##_t lmp_load_acq##bits(const uint##bits##_t *p) {                       \
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);                                                   \
  }                                                                                                \
  static inline void lmp_store_rlx##bits(uint##bits##_t *p, uint##bits##_t v) {                    \
    __atomic_store_n(p, v, __ATOMIC_RELAXED);                                                      \
  }                                                                                                \
  static inline void lmp_store_rel##bits(uint##bits##_t *p, uint##bits##_t v) {                    \
    __atomic_store_n(p, v, __ATOMIC_RELEASE);                                                      \
  }                                                                                                \
  static inline uint##bits##_t lmp_xchg_ar##bits(uint##bits##_t *p, uint##bits##_t v) {            \
    return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL);                                            \
  }                                                                                                \
  static inline uint##bits##_t lmp_add_ar##bits(uint##bits##_t *p, uint##bits##_t v) {             \
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);                                             \
  }                                                                                                \
  static inline uint##bits##_t lmp_or_ar##bits(uint##bits##_t *p, uint##bits##_t v) {              \
    return __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL);                                              \
  }                                                                                                \
  static inline uint##bits##_t lmp_and_ar##bits(uint##bits##_t *p, uint##bits##_t v) {             \
    return __atomic_fetch_and(p, v, __ATOMIC_ACQ_REL);                                             \
  }                                                                                                \
  /* On failure *expected gets the value seen. */                                                  \
  static inline bool lmp_cas_ar##bits(uint##bits##_t *p, uint##bits##_t *expected,                 \
                                      uint##bits##_t v) {                                          \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
  }                                                                                                \
  static inline bool lmp_swap_if##bits(uint##bits##_t *p, uint##bits##_t old, uint##bits##_t v) {  \
    return lmp_cas_ar##bits(p, &old, v);                                                           \
  }

LMP_ATOMIC_WIDTH(8)
LMP_ATOMIC_WIDTH(16)
LMP_ATOMIC_WIDTH(32)
LMP_ATOMIC_WIDTH(64)
#undef LMP_ATOMIC_WIDTH

static inline void lmp_fence_sc(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/* A full fence directly after an atomic read-modify-write of this thread: free where such an
 * instruction is a full fence itself (x86), a real fence elsewhere. */
static inline void lmp_fence_after_rmw(void) {
#if defined(__x86_64__)
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Keeps the compiler from moving stores; for the order that only a post-mortem reader sees. */
static inline void lmp_fence_compiler(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

static inline void lmp_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

#endif
