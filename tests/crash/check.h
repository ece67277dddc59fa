/* crash/check.h: the invariants of an arena at rest.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_TESTS_CRASH_CHECK_H
#define LMP_TESTS_CRASH_CHECK_H

#include "arena/arena.h"

/* Who lives, and what to do with a violation: fail does not return. */
typedef struct check_env {
  lmp_me *me;
  bool (*ctx_lives)(uint32_t id);
  bool (*ctx_sleeps)(uint32_t id); /* it may have a wait record */
  bool (*proc_lives)(uint32_t slot);
  void (*fail)(const char *what);
} check_env;

/* check_arena: the invariants of layout.h, arena.h, span.c, block.c, object.c and the queues, while
 * nobody is at work: contexts, processes, runs, tags, objects, holders. */
void check_arena(const check_env *e);

#endif
