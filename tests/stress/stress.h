/* stress.h: options, random numbers and failures of the stress programs.
 * SPDX-License-Identifier: MIT */
#ifndef LUAMP_TESTS_STRESS_H
#define LUAMP_TESTS_STRESS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/os.h"

#define must(cond)                                                       \
  do {                                                                   \
    if (!(cond)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
      abort();                                                           \
    }                                                                    \
  } while (0)

typedef struct stress_options {
  uint64_t seed;
  unsigned seconds, threads;
} stress_options;

/* -s SEED -t SECONDS -n THREADS; prints them. */
static inline stress_options stress_start(int argc, char **argv) {
  stress_options o = {lmp_os_now() % 1000000, 10, 4};
  int c;
  while ((c = getopt(argc, argv, "s:t:n:")) != -1) {
    switch (c) {
      case 's':
        o.seed = strtoull(optarg, NULL, 0);
        break;
      case 't':
        o.seconds = (unsigned)strtoul(optarg, NULL, 0);
        break;
      case 'n':
        o.threads = (unsigned)strtoul(optarg, NULL, 0);
        break;
      default:
        exit(2);
    }
  }
  printf("-s %llu -t %u -n %u\n", (unsigned long long)o.seed, o.seconds, o.threads);
  fflush(stdout);
  return o;
}

/* splitmix64 */
static inline uint64_t stress_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static inline uint32_t stress_below(uint64_t *state, uint32_t n) {
  return (uint32_t)(stress_random(state) % n);
}

#endif
