/* os/linux_memory.c: memory files, mappings and the limits the system sets.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "os/linux.h"
#include "os/os.h"

#define PAGE_SIZE 4096

lmp_err lmp_os_memfd(const char *name, uint64_t size, bool seal, int *out) {
  struct rlimit fsize;
  /* Growing past RLIMIT_FSIZE would end the process by SIGXFSZ. */
  if (getrlimit(RLIMIT_FSIZE, &fsize) == 0 && fsize.rlim_cur < size) return LMP_E_NOMEM;
  int fd = memfd_create(name, MFD_CLOEXEC | (seal ? MFD_ALLOW_SEALING : 0));
  if (fd < 0) return LMP_E_SYSTEM;
  if (ftruncate(fd, (off_t)size) < 0) {
    close(fd);
    return LMP_E_NOMEM;
  }
  if (seal && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    close(fd);
    return LMP_E_SYSTEM;
  }
  *out = fd;
  return LMP_OK;
}

lmp_err lmp_os_map(int fd, uint64_t size, void **base) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (p == MAP_FAILED) return LMP_E_NOMEM;
  *base = p;
  return LMP_OK;
}

void lmp_os_unmap(void *base, uint64_t size) { munmap(base, size); }

void lmp_os_close(int fd) {
  if (fd >= 0) close(fd);
}

bool lmp_os_reserve(int fd, uint64_t off, uint64_t len) {
  int r;
  do {
    r = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
  } while (r < 0 && errno == EINTR);
  return r == 0;
}

bool lmp_os_punch(int fd, uint64_t off, uint64_t len) {
  int r;
  do {
    r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
  } while (r < 0 && errno == EINTR);
  return r == 0;
}

uint64_t *lmp_os_fork_page(void) {
  void *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (madvise(p, PAGE_SIZE, MADV_WIPEONFORK) < 0) {
    munmap(p, PAGE_SIZE);
    return NULL;
  }
  return p;
}

void lmp_os_fork_page_free(uint64_t *page) {
  if (page) munmap(page, PAGE_SIZE);
}

void lmp_os_random(void *p, size_t len) {
  uint8_t *at = p;
  while (len > 0) {
    ssize_t r = getrandom(at, len, 0);
    if (r < 0) {
      if (errno == EINTR) continue;
      abort(); /* the kernel has getrandom since 3.17, and it has no other failure */
    }
    at += r;
    len -= (size_t)r;
  }
}

bool lmp_linux_read_file(const char *path, char *buf, size_t cap) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t len = 0;
  while (len < cap - 1) {
    ssize_t r = read(fd, buf + len, cap - 1 - len);
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) break;
    len += (size_t)r;
  }
  buf[len] = 0;
  close(fd);
  return len > 0;
}

/* The number in a cgroup's limit file; none where there is no file or no number ("max"). */
static uint64_t limit_in(const char *dir, const char *group, const char *file) {
  char path[PATH_MAX];
  char text[64];
  if ((size_t)snprintf(path, sizeof path, "%s%s/%s", dir, group, file) >= sizeof path) {
    return UINT64_MAX;
  }
  if (!lmp_linux_read_file(path, text, sizeof text)) return UINT64_MAX;
  if (text[0] < '0' || text[0] > '9') return UINT64_MAX;
  return strtoull(text, NULL, 10);
}

/* Lines of /proc/self/cgroup read "number:controllers:/path"; version 2 has no controllers. */
static uint64_t cgroup_limit(void) {
  char text[4096];
  char *save = NULL;
  uint64_t limit = lmp_min_u64(limit_in("/sys/fs/cgroup", "", "memory.max"),
                               limit_in("/sys/fs/cgroup/memory", "", "memory.limit_in_bytes"));
  if (!lmp_linux_read_file("/proc/self/cgroup", text, sizeof text)) return limit;
  for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    if (controllers[1] == 0) {
      limit = lmp_min_u64(limit, limit_in("/sys/fs/cgroup", group, "memory.max"));
    } else if (strstr(controllers, "memory")) {
      limit = lmp_min_u64(limit, limit_in("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return limit;
}

uint64_t lmp_os_memory(void) {
  struct sysinfo info;
  uint64_t total = UINT64_C(1) << 30;
  if (sysinfo(&info) == 0) total = (uint64_t)info.totalram * info.mem_unit;
  return lmp_min_u64(total, cgroup_limit());
}
