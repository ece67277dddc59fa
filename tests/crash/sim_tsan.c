/* crash/sim_tsan.c: what gcc and clang call in code compiled with -fsanitize=thread.
 * SPDX-License-Identifier: MIT
 *
 * Called before each access. The atomic ones make the access themselves. memcpy, memset and mutexes
 * come here because the core is compiled with their names defined as these. */
#include <pthread.h>
#include <string.h>

#include "sim.h"

#define FROM __builtin_return_address(0)
/* The compilers give no prototypes for these. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wincompatible-library-redeclaration"
#else
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void) {}

#define PLAIN(n)                                                           \
  void __tsan_read##n(void *p) { sim_touch(p, n, false, FROM); }           \
  void __tsan_write##n(void *p) { sim_touch(p, n, true, FROM); }           \
  void __tsan_volatile_read##n(void *p) { sim_touch(p, n, false, FROM); }  \
  void __tsan_volatile_write##n(void *p) { sim_touch(p, n, true, FROM); }  \
  void __tsan_unaligned_read##n(void *p) { sim_touch(p, n, false, FROM); } \
  void __tsan_unaligned_write##n(void *p) { sim_touch(p, n, true, FROM); } \
  void __tsan_read_write##n(void *p) { sim_touch(p, n, true, FROM); }      \
  void __tsan_unaligned_read_write##n(void *p) { sim_touch(p, n, true, FROM); }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *p, size_t n) { sim_touch(p, n, false, FROM); }
void __tsan_write_range(void *p, size_t n) { sim_touch(p, n, true, FROM); }

#define ATOMIC(bits)                                                                               \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order) {         \
    (void)order;                                                                                   \
    sim_touch(p, bits / 8, false, FROM);                                                           \
    return *p;                                                                                     \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order) {      \
    (void)order;                                                                                   \
    sim_touch(p, bits / 8, true, FROM);                                                            \
    *p = v;                                                                                        \
  }                                                                                                \
  static bool swap##bits(volatile uint##bits##_t *p, uint##bits##_t *old, uint##bits##_t v) {      \
    uint##bits##_t seen = *p;                                                                      \
    bool same = seen == *old;                                                                      \
    if (same) *p = v;                                                                              \
    *old = seen;                                                                                   \
    return same;                                                                                   \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_strong(                                               \
      volatile uint##bits##_t *p, uint##bits##_t *old, uint##bits##_t v, int order, int fail) {    \
    (void)order, (void)fail;                                                                       \
    sim_touch(p, bits / 8, true, FROM);                                                            \
    return swap##bits(p, old, v);                                                                  \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t *p, uint##bits##_t *old, \
                                                  uint##bits##_t v, int order, int fail) {         \
    (void)order, (void)fail;                                                                       \
    sim_touch(p, bits / 8, true, FROM);                                                            \
    return swap##bits(p, old, v);                                                                  \
  }                                                                                                \
  uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                       \
      volatile uint##bits##_t *p, uint##bits##_t old, uint##bits##_t v, int order, int fail) {     \
    (void)order, (void)fail;                                                                       \
    sim_touch(p, bits / 8, true, FROM);                                                            \
    swap##bits(p, &old, v);                                                                        \
    return old;                                                                                    \
  }

#define MODIFY(bits, name, expression)                                                      \
  uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, \
                                              int order) {                                  \
    (void)order;                                                                            \
    sim_touch(p, bits / 8, true, FROM);                                                     \
    uint##bits##_t old = *p;                                                                \
    *p = (uint##bits##_t)(expression);                                                      \
    return old;                                                                             \
  }

#define WIDTH(bits)                \
  ATOMIC(bits)                     \
  MODIFY(bits, exchange, v)        \
  MODIFY(bits, fetch_add, old + v) \
  MODIFY(bits, fetch_sub, old - v) \
  MODIFY(bits, fetch_and, old &v)  \
  MODIFY(bits, fetch_or, old | v)  \
  MODIFY(bits, fetch_xor, old ^ v)
WIDTH(8)
WIDTH(16)
WIDTH(32)
WIDTH(64)

void __tsan_atomic_thread_fence(int order) { (void)order; }
void __tsan_atomic_signal_fence(int order) { (void)order; }

/* Two places to be killed in a copy: before it, and half-way. */
void *sim_memcpy(void *to, const void *from, size_t n) {
  size_t half = n / 2;
  sim_touch(from, n, false, FROM);
  sim_touch(to, n, true, FROM);
  memcpy(to, from, half);
  sim_touch((uint8_t *)to + half, n - half, true, FROM);
  memcpy((uint8_t *)to + half, (const uint8_t *)from + half, n - half);
  return to;
}

void *sim_memset(void *to, int c, size_t n) {
  size_t half = n / 2;
  sim_touch(to, n, true, FROM);
  memset(to, c, half);
  sim_touch((uint8_t *)to + half, n - half, true, FROM);
  memset((uint8_t *)to + half, c, n - half);
  return to;
}

/* Each member is a process of one thread: its private mutex is always free. */
int sim_mutex(pthread_mutex_t *mu) {
  (void)mu;
  return 0;
}
