/* SPDX-License-Identifier: MIT */
/* spin.c: spin pingpong COUNT PAUSE CORE OTHER: a number goes out and back through
 * two words of shared memory; both ends spin and never sleep. The limit of a round
 * trip where each end has a core of its own. */
#include "peer.h"

#include <stdatomic.h>
#include <sys/mman.h>

enum { LINE = 64 };

typedef struct words {
  _Alignas(2 * LINE) atomic_llong ping;
  _Alignas(2 * LINE) atomic_llong pong;
} words;

static void await(atomic_llong *word, int64_t value) {
  while (atomic_load_explicit(word, memory_order_acquire) != value) continue;
}

int main(int argc, char **argv) {
  gate g;
  if (argc < 6 || strcmp(argv[1], "pingpong") != 0) fail("spin pingpong COUNT PAUSE CORE OTHER");
  int64_t count = count_of(argv[2]);
  double *times = allocate((size_t)count * sizeof *times), pause = atof(argv[3]);
  words *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (w == MAP_FAILED) fail("mmap: %s", strerror(errno));
  gate_init(&g);
  pid_t pid = start();
  pin(pid == 0 ? argv[5] : argv[4]);
  if (pid == 0) {
    gate_enter(&g);
    for (int64_t i = 1; i <= count + WARMUP; i++) {
      await(&w->ping, i);
      atomic_store_explicit(&w->pong, i, memory_order_release);
    }
    gate_leave(&g, count + WARMUP);
    _exit(0);
  }
  gate_open(&g, 1);
  for (int64_t i = 1; i <= count + WARMUP; i++) {
    doze(pause);
    double t = now();
    atomic_store_explicit(&w->ping, i, memory_order_release);
    await(&w->pong, i);
    t = now() - t;
    if (i > WARMUP) times[i - WARMUP - 1] = t;
  }
  if (gate_wait(&g, 1) != count + WARMUP) fail("the partner's count is wrong");
  join(pid);
  print_percentiles(times, count);
  free(times);
  return 0;
}
