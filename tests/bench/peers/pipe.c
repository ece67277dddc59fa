/* SPDX-License-Identifier: MIT */
/* pipe.c: a plain pipe between two processes, one write and one read per message.
 * The limit of what the kernel offers, and no queue: one producer, one consumer,
 * messages of one size, no script values.
 *
 *   pipe ints COUNT [BATCH]        8 bytes a message; with BATCH, that many per write
 *   pipe records COUNT             a struct of 32 bytes
 *   pipe pingpong COUNT PAUSE [CORE OTHER]
 *   pipe bulk COUNT SIZE
 */
#include "peer.h"

static int link_fd[2];
static gate start_gate;

static void ints(int64_t count, int64_t batch) {
  count = (count + batch - 1) / batch * batch;
  size_t bytes = (size_t)batch * sizeof(int64_t);
  int64_t *buffer = allocate(bytes);
  pid_t pid = start();
  if (pid == 0) {
    gate_enter(&start_gate);
    for (int64_t base = 0; base < count; base += batch) {
      for (int64_t j = 0; j < batch; j++) buffer[j] = base + j + 1;
      write_all(link_fd[1], buffer, bytes);
    }
    gate_leave(&start_gate, count);
    _exit(0);
  }
  double t0 = gate_open(&start_gate, 1);
  int64_t sum = 0, last = 0;
  while (last < count) {
    read_all(link_fd[0], buffer, bytes);
    for (int64_t j = 0; j < batch; j++) {
      if (buffer[j] != ++last) fail("got %" PRId64 ", not %" PRId64, buffer[j], last);
      sum += buffer[j];
    }
  }
  int64_t put = gate_wait(&start_gate, 1);
  double t1 = now();
  check_sum(count, put, sum);
  join(pid);
  free(buffer);
  printf("RESULT %.9g msg/s\n", (double)count / (t1 - t0));
}

static void records(int64_t count) {
  record names[NAMES], r;
  for (int k = 0; k < NAMES; k++) make_record(&names[k], k);
  pid_t pid = start();
  if (pid == 0) {
    gate_enter(&start_gate);
    for (int64_t i = 1; i <= count; i++) {
      r = names[i & (NAMES - 1)];
      r.id = i;
      r.x = (double)i * 0.5;
      write_all(link_fd[1], &r, sizeof r);
    }
    gate_leave(&start_gate, count);
    _exit(0);
  }
  double t0 = gate_open(&start_gate, 1), sum = 0;
  for (int64_t i = 1; i <= count; i++) {
    read_all(link_fd[0], &r, sizeof r);
    if (r.id != i || memcmp(r.name, names[i & (NAMES - 1)].name, NAME_SIZE) != 0)
      fail("got record %" PRId64 " at %" PRId64, r.id, i);
    sum += r.x;
  }
  int64_t put = gate_wait(&start_gate, 1);
  double t1 = now();
  check_sum(count, put, (int64_t)(sum * 2));
  join(pid);
  printf("RESULT %.9g msg/s\n", (double)count / (t1 - t0));
}

static void pingpong(int64_t count, double pause, const char *core, const char *other) {
  int back[2];
  int64_t v;
  double *times = allocate((size_t)count * sizeof *times);
  if (pipe(back) != 0) fail("pipe");
  pid_t pid = start();
  pin(pid == 0 ? other : core);
  if (pid == 0) {
    gate_enter(&start_gate);
    for (int64_t i = 0; i < count + WARMUP; i++) {
      read_all(link_fd[0], &v, sizeof v);
      write_all(back[1], &v, sizeof v);
    }
    gate_leave(&start_gate, count + WARMUP);
    _exit(0);
  }
  gate_open(&start_gate, 1);
  for (int64_t i = 1 - WARMUP; i <= count; i++) {
    doze(pause);
    double t = now();
    write_all(link_fd[1], &i, sizeof i);
    read_all(back[0], &v, sizeof v);
    t = now() - t;
    if (v != i) fail("got %" PRId64 ", not %" PRId64, v, i);
    if (i > 0) times[i - 1] = t;
  }
  if (gate_wait(&start_gate, 1) != count + WARMUP) fail("the partner's count is wrong");
  join(pid);
  print_percentiles(times, count);
  free(times);
}

static void bulk(int64_t count, size_t size) {
  unsigned char *s = allocate(size), *strings[KINDS];
  for (size_t k = 0; k < KINDS; k++) make_string(strings[k] = allocate(size), size, k);
  pid_t pid = start();
  if (pid == 0) {
    gate_enter(&start_gate);
    for (int64_t i = 1; i <= count; i++) write_all(link_fd[1], strings[i % KINDS], size);
    gate_leave(&start_gate, count);
    _exit(0);
  }
  double t0 = gate_open(&start_gate, 1);
  for (int64_t i = 1; i <= count; i++) {
    read_all(link_fd[0], s, size);
    check_string(s, size, i);
  }
  int64_t put = gate_wait(&start_gate, 1);
  double t1 = now();
  if (put != count) fail("%" PRId64 " put", put);
  check_whole_string(s, size, count);
  join(pid);
  for (size_t k = 0; k < KINDS; k++) free(strings[k]);
  free(s);
  printf("RESULT %.9g MB/s\n", (double)count * (double)size / (t1 - t0) / 1e6);
}

int main(int argc, char **argv) {
  if (argc < 3) fail("pipe ints|records|pingpong|bulk COUNT ...");
  int64_t count = count_of(argv[2]);
  gate_init(&start_gate);
  if (pipe(link_fd) != 0) fail("pipe");
  if (strcmp(argv[1], "ints") == 0)
    ints(count, argc > 3 ? count_of(argv[3]) : 1);
  else if (strcmp(argv[1], "records") == 0)
    records(count);
  else if (strcmp(argv[1], "pingpong") == 0)
    pingpong(count, argc > 3 ? atof(argv[3]) : 0, argc > 5 ? argv[4] : NULL,
             argc > 5 ? argv[5] : NULL);
  else if (strcmp(argv[1], "bulk") == 0 && argc > 3)
    bulk(count, (size_t)count_of(argv[3]));
  else
    fail("no such work: %s", argv[1]);
  return 0;
}
