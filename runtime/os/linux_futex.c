/* os/linux_futex.c: time, futexes and spinning on Linux.
 * SPDX-License-Identifier: MIT
 *
 * Sleeping words are in a shared file, so no FUTEX_PRIVATE_FLAG anywhere. Deadlines are absolute on
 * CLOCK_MONOTONIC: FUTEX_WAIT_BITSET and futex_waitv (Linux 5.16) both take them so. Sandboxes refuse
 * futex_waitv with ENOSYS or EPERM, valgrind does not know it: then only the first word is watched. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/linux.h"
#include "os/os.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* struct futex_waitv of the kernel's ABI; Debian 12's header has it, older ones do not. */
struct waitv_entry {
  uint64_t val;
  uint64_t uaddr;
  uint32_t flags;
  uint32_t reserved;
};
#define WAITV_SIZE_U32 2

/* How long a sleep may last that cannot watch all of its words. */
#define FALLBACK_SLICE (5 * LMP_MSEC)

static uint32_t waitv_refused;

void lmp_linux_refuse_waitv(bool refuse) { lmp_store_rlx32(&waitv_refused, refuse); }

uint64_t lmp_os_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * LMP_SEC + (uint64_t)t.tv_nsec;
}

struct timespec lmp_linux_timespec(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / LMP_SEC), .tv_nsec = (long)(ns % LMP_SEC)};
}

static lmp_woke woke_from_errno(void) {
  switch (errno) {
    case EAGAIN:
      return LMP_CHANGED;
    case ETIMEDOUT:
      return LMP_TIMED_OUT;
    case EINTR:
      return LMP_SIGNALLED;
    default:
      return LMP_WOKEN; /* EFAULT and the like: the caller looks again, and has a tick */
  }
}

static lmp_woke wait_one(uint32_t *word, uint32_t value, uint64_t deadline) {
  struct timespec t = lmp_linux_timespec(deadline);
  long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline == LMP_FOREVER ? NULL : &t,
                   NULL, FUTEX_BITSET_MATCH_ANY);
  return r == 0 ? LMP_WOKEN : woke_from_errno();
}

static lmp_woke wait_any(const lmp_waitword *words, unsigned n, uint64_t deadline) {
  struct waitv_entry v[LMP_OS_WAITV_MAX];
  struct timespec t = lmp_linux_timespec(deadline);
  for (unsigned i = 0; i < n; i++) {
    v[i] = (struct waitv_entry){
        .val = words[i].value, .uaddr = (uintptr_t)words[i].word, .flags = WAITV_SIZE_U32};
  }
  long r = syscall(SYS_futex_waitv, v, n, 0, deadline == LMP_FOREVER ? NULL : &t, CLOCK_MONOTONIC);
  if (r >= 0) return LMP_WOKEN;
  if (errno == ENOSYS || errno == EPERM) lmp_store_rlx32(&waitv_refused, 1);
  return woke_from_errno();
}

lmp_woke lmp_os_futex_wait(const lmp_waitword *words, unsigned n, uint64_t deadline) {
  if (n == 1) return wait_one(words[0].word, words[0].value, deadline);
  if (!lmp_load_rlx32(&waitv_refused)) {
    lmp_woke r = wait_any(words, n, deadline);
    if (!lmp_load_rlx32(&waitv_refused)) return r;
  }
  uint64_t slice = lmp_min_u64(deadline, lmp_os_now() + FALLBACK_SLICE);
  lmp_woke r = wait_one(words[0].word, words[0].value, slice);
  return r == LMP_TIMED_OUT && slice < deadline ? LMP_WOKEN : r;
}

unsigned lmp_os_futex_wake(uint32_t *word, unsigned n) {
  long r = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
  return r > 0 ? (unsigned)r : 0;
}

void lmp_os_relax(void) { lmp_pause(); }

lmp_woke lmp_os_sleep(uint64_t deadline) {
  struct timespec t = lmp_linux_timespec(deadline);
  if (deadline == LMP_FOREVER) t.tv_sec = INT32_MAX;
  int r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
  return r == EINTR ? LMP_SIGNALLED : LMP_TIMED_OUT;
}

lmp_woke lmp_os_wait_fd(int fd, uint64_t deadline) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  uint64_t now = deadline == LMP_FOREVER ? 0 : lmp_os_now();
  struct timespec t = lmp_linux_timespec(deadline > now ? deadline - now : 0);
  int r = ppoll(&p, 1, deadline == LMP_FOREVER ? NULL : &t, NULL);
  if (r > 0) return LMP_WOKEN;
  return r == 0 ? LMP_TIMED_OUT : LMP_SIGNALLED;
}
