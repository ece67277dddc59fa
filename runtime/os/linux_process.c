/* os/linux_process.c: processes, their ends, and what a fresh child needs.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/linux.h"
#include "os/os.h"

/* PIDFD_GET_INFO of Linux 6.13, its exit part of 6.15; not in the headers of Debian 12. */
struct pidfd_status {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t ids[11];
  int32_t exit_code;
};
#define PIDFD_STATUS_EXIT (UINT64_C(1) << 3)
#define PIDFD_STATUS_GET _IOWR(0xFF, 11, struct pidfd_status)
_Static_assert(sizeof(struct pidfd_status) == 64, "the first published size");

#define PROCESS_EXITING 0x4 /* PF_EXITING among the flags of /proc/PID/stat */

int64_t lmp_os_pid(void) { return getpid(); }

/* The fields of /proc/PID/stat from the third on: the second, the name in parentheses, may hold
 * anything. NULL when there is no such process. */
static char *stat_fields(int64_t pid, char *buf, size_t cap) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
  if (!lmp_linux_read_file(path, buf, cap)) return NULL;
  char *end = strrchr(buf, ')');
  return end && end[1] == ' ' ? end + 2 : NULL;
}

/* Field `n` of proc(5), counted from 1; `fields` starts at the third. */
static uint64_t stat_number(const char *fields, int n) {
  for (int i = 3; i < n && fields; i++) {
    fields = strchr(fields, ' ');
    if (fields) fields++;
  }
  return fields ? strtoull(fields, NULL, 10) : 0;
}

uint64_t lmp_os_boot_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * LMP_SEC + (uint64_t)t.tv_nsec;
}

unsigned lmp_os_threads(void) {
  char buf[1024];
  if (__libc_single_threaded) return 1; /* spares the look into /proc in the common case */
  char *fields = stat_fields(getpid(), buf, sizeof buf);
  return fields ? (unsigned)stat_number(fields, 20) : 1;
}

lmp_err lmp_os_fork(int64_t *pid) {
  /* A signal that comes for the child before it has set its actions waits until then. */
  uint64_t both = UINT64_C(1) << (SIGINT - 1) | UINT64_C(1) << (SIGTERM - 1);
  uint64_t before = 0;
  fflush(NULL); /* or both processes would write what is in the buffers */
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &both, &before, sizeof both);
  pid_t r = fork();
  int error = errno;
  if (r != 0) syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  errno = error;
  if (r < 0) return LMP_E_SYSTEM;
  *pid = r;
  return LMP_OK;
}

int lmp_os_pidfd(int64_t pid) { return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0); }

static lmp_exit exit_from_status(int status) {
  if (WIFSIGNALED(status)) return (lmp_exit){true, (uint8_t)WTERMSIG(status)};
  return (lmp_exit){false, (uint8_t)WEXITSTATUS(status)};
}

int lmp_os_ended(int64_t pid, lmp_exit *end) {
  siginfo_t info = {0};
  int r;
  do {
    r = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
  } while (r < 0 && errno == EINTR);
  if (r < 0) return -1;
  if (info.si_pid == 0) return 0;
  *end = (lmp_exit){info.si_code != CLD_EXITED, (uint8_t)info.si_status};
  return 1;
}

void lmp_os_collect(int64_t pid) {
  int status;
  while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR) {
  }
}

/* A zombie's status stands in field 52 of its stat line, until the parent collects it; after that a
 * pidfd still has it (Linux 6.15). A process that started (field 22) later only has the same number. */
int lmp_os_exit_status(int64_t pid, uint64_t seen, int pidfd, lmp_exit *end) {
  char buf[1024];
  char *fields = stat_fields(pid, buf, sizeof buf);
  uint64_t tick = LMP_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
  if (fields && stat_number(fields, 22) <= seen / tick) {
    if (fields[0] != 'Z' && fields[0] != 'X') {
      return stat_number(fields, 9) & PROCESS_EXITING ? 0 : -1;
    }
    *end = exit_from_status((int)stat_number(fields, 52));
    return 1;
  }
  if (pidfd >= 0) {
    struct pidfd_status info = {.mask = PIDFD_STATUS_EXIT};
    if (ioctl(pidfd, PIDFD_STATUS_GET, &info) == 0 && (info.mask & PIDFD_STATUS_EXIT)) {
      *end = exit_from_status(info.exit_code);
      return 1;
    }
  }
  return -1;
}

bool lmp_os_kill(int64_t pid, int pidfd, int sig) {
  if (pidfd >= 0) return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0;
  return kill((pid_t)pid, sig) == 0;
}

int lmp_os_null(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

/* System calls without the library's functions for them: these lie all over its text, and in a fresh
 * child each page of that is a page fault. The kernel's action, all zeros: the default one. */
static void default_action(int sig) {
  uint64_t action[4] = {0};
  syscall(SYS_rt_sigaction, sig, action, NULL, sizeof(uint64_t));
}

void lmp_os_child_setup(int64_t ppid, bool orphan_dies, int null) {
  uint64_t both = UINT64_C(1) << (SIGINT - 1) | UINT64_C(1) << (SIGTERM - 1);
  default_action(SIGINT);
  default_action(SIGTERM);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &both, NULL, sizeof both);
  syscall(SYS_prctl, PR_SET_PDEATHSIG, orphan_dies ? SIGTERM : 0, 0, 0, 0);
  if (orphan_dies && syscall(SYS_getppid) != ppid) raise(SIGTERM);
  if (__freading(stdin)) __fpurge(stdin); /* what the parent has read ahead is the parent's */
  if (null < 0 || syscall(SYS_dup3, null, STDIN_FILENO, 0) < 0) close(STDIN_FILENO);
}

static bool set_limit(__rlimit_resource_t which, uint64_t value) {
  struct rlimit r;
  if (value == 0) return true;
  if (getrlimit(which, &r) < 0) return false;
  rlim_t v = value > r.rlim_max ? r.rlim_max : (rlim_t)value;
  r.rlim_cur = v;
  r.rlim_max = which == RLIMIT_CPU && v < r.rlim_max ? v + 1 : v;
  return setrlimit(which, &r) == 0;
}

lmp_err lmp_os_set_limits(const lmp_limits *limits) {
  bool ok = set_limit(RLIMIT_DATA, limits->memory) && set_limit(RLIMIT_NOFILE, limits->files) &&
            set_limit(RLIMIT_CPU, limits->cpu);
  return ok ? LMP_OK : LMP_E_SYSTEM;
}

void lmp_os_exit(int code) {
  fflush(NULL);
  _exit(code);
}

/* The library's list of exit handlers only grows, so there is one of ours in it for each process, with a
 * list of its own behind it. */
static struct {
  pthread_mutex_t mu;
  lmp_at_exit *first;
  pid_t registered;
} exits = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void run_exits(int status, void *arg) {
  (void)arg;
  for (;;) { /* one that was called is called once */
    pthread_mutex_lock(&exits.mu);
    lmp_at_exit *e = exits.first;
    if (e) exits.first = e->next;
    pthread_mutex_unlock(&exits.mu);
    if (!e) return;
    e->fn(status, e);
  }
}

void lmp_os_at_exit_drop(lmp_at_exit *e) {
  pthread_mutex_lock(&exits.mu);
  for (lmp_at_exit **at = &exits.first; *at; at = &(*at)->next) {
    if (*at != e) continue;
    *at = e->next;
    break;
  }
  pthread_mutex_unlock(&exits.mu);
}

bool lmp_os_at_exit(lmp_at_exit *e) {
  bool ok = true;
  lmp_os_at_exit_drop(e);
  pthread_mutex_lock(&exits.mu);
  if (exits.registered != getpid()) ok = on_exit(run_exits, NULL) == 0;
  if (ok) {
    exits.registered = getpid();
    e->next = exits.first;
    exits.first = e;
  }
  pthread_mutex_unlock(&exits.mu);
  return ok;
}

void lmp_os_write_err(const char *text, size_t len) {
  while (len > 0) {
    ssize_t r = write(STDERR_FILENO, text, len);
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) return;
    text += r;
    len -= (size_t)r;
  }
}

int lmp_os_terminal_columns(void) {
  struct winsize size;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0) return -1;
  return size.ws_col ? size.ws_col : 80;
}

/* A quota is "max 100000" or "200000 100000" (version 2), or two files (version 1). */
static unsigned quota_cpus(void) {
  char text[64];
  char *rest;
  long long quota = -1;
  long long period = 0;
  if (lmp_linux_read_file("/sys/fs/cgroup/cpu.max", text, sizeof text)) {
    if (text[0] == 'm') return 0;
    quota = strtoll(text, &rest, 10);
    period = strtoll(rest, NULL, 10);
  } else if (lmp_linux_read_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, sizeof text)) {
    quota = strtoll(text, NULL, 10);
    if (lmp_linux_read_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", text, sizeof text)) {
      period = strtoll(text, NULL, 10);
    }
  }
  if (quota <= 0 || period <= 0) return 0;
  return (unsigned)lmp_ceil_div((uint64_t)quota, (uint64_t)period);
}

unsigned lmp_os_cpus(void) {
  cpu_set_t set;
  unsigned n = 0;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = (unsigned)CPU_COUNT(&set);
  if (n == 0) { /* more processors than the set has bits */
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    n = online > 0 ? (unsigned)online : 1;
  }
  unsigned quota = quota_cpus();
  return quota > 0 && quota < n ? quota : n;
}
