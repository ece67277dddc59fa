/* SPDX-License-Identifier: MIT */
/* peer.h: what the C peers share: clock, failed check, start gate, percentiles. */
#ifndef LUAMP_BENCH_PEER_H
#define LUAMP_BENCH_PEER_H

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WARMUP = 20, KINDS = 4, BASE = 10000000, NAME_SIZE = 16, NAMES = 64 };

typedef struct record {
  int64_t id;
  char name[NAME_SIZE];
  double x;
} record;

typedef struct gate {
  int ready[2], go[2], done[2];
} gate;

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("VERIFICATION FAILED: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* write_all, read_all: whole buffers; anything less ends the program. */
static inline void write_all(int fd, const void *buffer, size_t size) {
  const char *p = buffer;
  while (size > 0) {
    ssize_t n = write(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("write: %s", strerror(errno));
    p += n;
    size -= (size_t)n;
  }
}

static inline void read_all(int fd, void *buffer, size_t size) {
  char *p = buffer;
  while (size > 0) {
    ssize_t n = read(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("read: %s", n == 0 ? "end of file" : strerror(errno));
    p += n;
    size -= (size_t)n;
  }
}

static inline void gate_init(gate *g) {
  if (pipe(g->ready) != 0 || pipe(g->go) != 0 || pipe(g->done) != 0) fail("pipe");
}

static inline void gate_enter(gate *g) {
  char c;
  write_all(g->ready[1], "r", 1);
  read_all(g->go[0], &c, 1);
}

static inline void gate_leave(gate *g, int64_t count) {
  write_all(g->done[1], &count, sizeof count);
}

/* gate_open waits for n children, starts them and returns the time. */
static inline double gate_open(gate *g, int n) {
  char c;
  for (int i = 0; i < n; i++) read_all(g->ready[0], &c, 1);
  double t0 = now();
  for (int i = 0; i < n; i++) write_all(g->go[1], "g", 1);
  return t0;
}

/* gate_wait waits until n children have left, returns the sum of their counts. */
static inline int64_t gate_wait(gate *g, int n) {
  int64_t sum = 0, count;
  for (int i = 0; i < n; i++) {
    read_all(g->done[0], &count, sizeof count);
    sum += count;
  }
  return sum;
}

/* start forks; a child ends with its parent, whatever the parent failed at. */
static inline pid_t start(void) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) fail("fork: %s", strerror(errno));
  if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

static inline void join(pid_t pid) {
  int status;
  if (waitpid(pid, &status, 0) != pid) fail("waitpid: %s", strerror(errno));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("a child ended with status %d", status);
}

/* pin moves the calling process to one core; NULL leaves it where it is. */
static inline void pin(const char *core) {
  if (core == NULL) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)atoi(core), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("core %s: %s", core, strerror(errno));
}

static inline int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static inline void print_percentiles(double *times, int64_t n) {
  qsort(times, (size_t)n, sizeof *times, compare_doubles);
  printf("RESULT %.9g us p50\n", times[(int64_t)ceil((double)n * 0.50) - 1] * 1e6);
  printf("RESULT %.9g us p99\n", times[(int64_t)ceil((double)n * 0.99) - 1] * 1e6);
}

static inline void doze(double seconds) {
  if (seconds <= 0) return;
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) continue;
}

static inline void check_sum(int64_t count, int64_t put, int64_t sum) {
  if (put != count) fail("%" PRId64 " put", put);
  if (sum != count * (count + 1) / 2) fail("the sum is %" PRId64, sum);
}

static inline void make_record(record *r, int64_t i) {
  char name[NAME_SIZE + 1];
  snprintf(name, sizeof name, "customer-%07d", (int)(i & (NAMES - 1)));
  memcpy(r->name, name, NAME_SIZE);
  r->id = i;
  r->x = (double)i * 0.5;
}

/* make_string fills s with string k: byte j is (j + k) % 251. */
static inline void make_string(unsigned char *s, size_t size, size_t k) {
  for (size_t j = 0; j < size; j++) s[j] = (unsigned char)((j + k) % 251);
}

static inline void check_string(const unsigned char *s, size_t size, int64_t i) {
  size_t k = (size_t)(i % KINDS);
  if (s[0] != k || s[size / 2] != (size / 2 + k) % 251 || s[size - 1] != (size - 1 + k) % 251)
    fail("string %" PRId64 " is not the one that was put", i);
}

static inline void check_whole_string(const unsigned char *s, size_t size, int64_t i) {
  for (size_t j = 0; j < size; j++)
    if (s[j] != (j + (size_t)(i % KINDS)) % 251) fail("the last string differs");
}

static inline void *allocate(size_t size) {
  void *p = malloc(size);
  if (p == NULL) fail("malloc");
  return p;
}

static inline int64_t count_of(const char *text) {
  int64_t n = strtoll(text, NULL, 10);
  if (n < 1) fail("not a count: %s", text);
  return n;
}

#endif
