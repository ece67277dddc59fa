/* os/linux_shm.c: named shared memory, as POSIX has it.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"

static lmp_err fail_closing(int fd) {
  int saved = errno;
  close(fd);
  errno = saved;
  return LMP_E_SYSTEM;
}

static lmp_err shm_look(int fd, lmp_shm *shm) {
  struct stat st;
  if (fstat(fd, &st) < 0) return fail_closing(fd);
  *shm = (lmp_shm){.fd = fd, .size = (uint64_t)st.st_size, .id = {st.st_dev, st.st_ino}};
  return LMP_OK;
}

/* All of it now, so that a full file system is an error here and no signal later. */
static int shm_reserve(int fd, uint64_t size) {
  struct rlimit fsize;
  int r;
  /* Growing past RLIMIT_FSIZE would end the process by SIGXFSZ. */
  if (getrlimit(RLIMIT_FSIZE, &fsize) == 0 && fsize.rlim_cur < size) return EFBIG;
  if (size > INT64_MAX) return EFBIG;
  if (ftruncate(fd, (off_t)size) < 0) return errno;
  do {
    r = posix_fallocate(fd, 0, (off_t)size);
  } while (r == EINTR);
  return r;
}

lmp_err lmp_os_shm_create(const char *name, uint64_t size, lmp_shm *shm) {
  char path[LMP_OS_SHM_NAME + 2];
  snprintf(path, sizeof path, "/%s", name);
  int fd = shm_open(path, O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
  if (fd < 0) return LMP_E_SYSTEM;
  int r = shm_reserve(fd, size);
  if (r) {
    shm_unlink(path);
    close(fd);
    errno = r;
    return LMP_E_SYSTEM;
  }
  return shm_look(fd, shm);
}

lmp_err lmp_os_shm_open(const char *name, lmp_shm *shm) {
  char path[LMP_OS_SHM_NAME + 2];
  snprintf(path, sizeof path, "/%s", name);
  int fd = shm_open(path, O_RDWR, 0);
  return fd < 0 ? LMP_E_SYSTEM : shm_look(fd, shm);
}

lmp_err lmp_os_shm_unlink(const char *name) {
  char path[LMP_OS_SHM_NAME + 2];
  snprintf(path, sizeof path, "/%s", name);
  return shm_unlink(path) < 0 ? LMP_E_SYSTEM : LMP_OK;
}
