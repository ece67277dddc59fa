/* SPDX-License-Identifier: MIT */
/* poll.c COUNT PIPES: a number goes out over one pipe and comes back over one of PIPES others, which
 * its sender polls all at once; the next when it is back. */
#include <poll.h>

#include "peer.h"

enum { MOST = 500 };

static struct pollfd fds[MOST];
static int ends[MOST];

static void answer(int from, int64_t count, int width) {
  int64_t i;
  for (int64_t k = 0; k < count; k++) {
    read_all(from, &i, sizeof i);
    write_all(ends[i * 37 % width], &i, sizeof i);
  }
}

static int64_t take(int width, int64_t i) {
  int64_t v = -1;
  int n = poll(fds, (nfds_t)width, -1);
  if (n != 1) fail("poll says %d", n);
  for (int k = 0; k < width; k++) {
    if (fds[k].revents == 0) continue;
    if (k != (int)(i * 37 % width)) fail("pipe %d is readable", k);
    read_all(fds[k].fd, &v, sizeof v);
  }
  return v;
}

int main(int argc, char **argv) {
  gate g;
  int ping[2];
  if (argc != 3) fail("usage: poll COUNT PIPES");
  int64_t count = count_of(argv[1]);
  int width = (int)count_of(argv[2]);
  if (width > MOST) fail("at most %d pipes", MOST);
  gate_init(&g);
  if (pipe(ping) != 0) fail("pipe");
  for (int k = 0; k < width; k++) {
    int pair[2];
    if (pipe(pair) != 0) fail("pipe %d: %s", k, strerror(errno));
    fds[k] = (struct pollfd){.fd = pair[0], .events = POLLIN};
    ends[k] = pair[1];
  }
  double *times = allocate((size_t)count * sizeof *times);
  pid_t pid = start();
  if (pid == 0) {
    gate_enter(&g);
    answer(ping[0], count + WARMUP, width);
    gate_leave(&g, count + WARMUP);
    _exit(0);
  }
  gate_open(&g, 1);
  for (int64_t i = 1; i <= count + WARMUP; i++) {
    double t = now();
    write_all(ping[1], &i, sizeof i);
    int64_t v = take(width, i);
    t = now() - t;
    if (v != i) fail("got %" PRId64 ", not %" PRId64, v, i);
    if (i > WARMUP) times[i - WARMUP - 1] = t;
  }
  if (gate_wait(&g, 1) != count + WARMUP) fail("the partner's count is wrong");
  join(pid);
  print_percentiles(times, count);
  free(times);
  return 0;
}
