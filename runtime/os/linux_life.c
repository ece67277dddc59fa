/* os/linux_life.c: the two proofs of life, robust mutexes and fcntl byte locks.
 * SPDX-License-Identifier: MIT
 *
 * A robust mutex tells at once that its *thread* is gone, but the kernel finds it through a list in
 * that thread's memory; the mark can be seen while the rest of the process is still being torn down.
 * A byte lock tells that the *process* is gone: it survives the end of any thread, is not inherited by
 * fork, and is let go by exec. It is lost when its process closes any descriptor of the file, so that
 * file is used for nothing else and its descriptor is never duplicated. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/os.h"

_Static_assert(sizeof(pthread_mutex_t) <= LMP_OS_LIFE_SIZE, "lmp_life holds a mutex");
_Static_assert(FUTEX_OWNER_DIED == LMP_LIFE_DEAD, "the kernel's mark");
/* glibc keeps the futex word at the start of the mutex; musl does not. */
_Static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0, "the futex word is first");

static pthread_mutex_t *mutex_of(lmp_life *life) { return (pthread_mutex_t *)(void *)life; }

/* An unlocked mutex. It is made in private memory and moved: others may be looking at the word, and what
 * pthread_mutex_init writes is not atomic. glibc's holds no address before it is locked. */
static lmp_err mutex_make(uint64_t words[LMP_OS_LIFE_SIZE / 8]) {
  pthread_mutexattr_t attr;
  pthread_mutex_t fresh;
  if (pthread_mutexattr_init(&attr)) return LMP_E_SYSTEM;
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  int r = pthread_mutex_init(&fresh, &attr);
  pthread_mutexattr_destroy(&attr);
  if (r) return LMP_E_SYSTEM;
  memset(words, 0, LMP_OS_LIFE_SIZE);
  memcpy(words, &fresh, sizeof fresh);
  return LMP_OK;
}

lmp_err lmp_os_life_take(lmp_life *life) {
  uint64_t words[LMP_OS_LIFE_SIZE / 8];
  lmp_err e = mutex_make(words);
  if (e) return e;
  for (unsigned i = 0; i < LMP_OS_LIFE_SIZE / 8; i++) lmp_store_rlx64(&life->opaque[i], words[i]);
  if (pthread_mutex_lock(mutex_of(life))) return LMP_E_SYSTEM;
  /* The kernel wakes a sleeper at our death only where the word says that there may be one. */
  lmp_or_ar32(lmp_os_life_word(life), FUTEX_WAITERS);
  return LMP_OK;
}

void lmp_os_life_drop(lmp_life *life) { pthread_mutex_unlock(mutex_of(life)); }

uint32_t *lmp_os_life_word(lmp_life *life) { return (uint32_t *)(void *)life; }

lmp_err lmp_os_byte_lock(int fd, uint64_t off) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)off, .l_len = 1};
  int r;
  do {
    r = fcntl(fd, F_SETLK, &lock);
  } while (r < 0 && errno == EINTR);
  return r < 0 ? LMP_E_SYSTEM : LMP_OK;
}

void lmp_os_byte_unlock(int fd, uint64_t off) {
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)off, .l_len = 1};
  (void)fcntl(fd, F_SETLK, &lock);
}

int lmp_os_byte_held(int fd, uint64_t off) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)off, .l_len = 1};
  if (fcntl(fd, F_GETLK, &lock) < 0) return -1;
  return lock.l_type != F_UNLCK;
}
