/* crash/step_kill.h: what step_kill.c and the operations in other files share.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_TESTS_CRASH_STEP_KILL_H
#define LMP_TESTS_CRASH_STEP_KILL_H

#include "arena/arena.h"

/* One arena, and this process in it. */
typedef struct place {
  lmp_arena a;
  lmp_me me;
} place;

typedef struct step_op {
  const char *name;
  void (*set)(void);   /* by the main process: what is there before */
  void (*run)(void);   /* by the victim */
  uint8_t first, last; /* ids of messages that are there before */
  /* After the recovery: what it worked on is valid, works, and goes; NULL, or what is wrong. */
  const char *(*check)(place *p);
} step_op;

extern place real;

/* step_must: ends the program where a set-up fails. */
void step_must(bool ok, const char *what);
/* step_watch: the main process waits for `o` by its bell. */
void step_watch(const lmp_kind *kind, lmp_obj *o);

/* step_sync.c: locks, conditions, semaphores, events, barriers; the last has no name. */
extern const step_op sync_ops[];
void sync_place(place *p);  /* the kinds that it needs */
void sync_hold(lmp_me *me); /* the victim holds what was set */
void sync_drop(void);       /* what was set goes, where no check of `real` took it away */

/* step_pipe.c: the same for pipes. */
extern const step_op pipe_ops[];
void pipe_place(place *p);
void pipe_hold(lmp_me *me);
void pipe_drop(void);

#endif
