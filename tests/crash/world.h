/* crash/world.h: what the players of a scene do, the ledger of it, and the checks.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_TESTS_CRASH_WORLD_H
#define LMP_TESTS_CRASH_WORLD_H

#include "channel/queue.h"
#include "sim.h"

#define WORLD_IDS 128u
#define WORLD_QUEUES 2u
/* A message's identity: who puts it, and its number among those. */
#define WORLD_ID(member, seq) ((unsigned)(member)*16u + (unsigned)(seq))
#define WORLD_ROOM 1024u
#define WORLD_LARGE 900u /* bytes: goes into a block */

/* Set up by a scene, put back for each schedule. */
typedef struct world {
  lmp_handle q[WORLD_QUEUES];
  uint32_t max[WORLD_QUEUES]; /* their greatest sizes */
  lmp_handle extra;           /* an object of the scene */
  lmp_handle ends[2];         /* of the scene's pipe; its streams are queues 0 and 1 */
  lmp_handle fresh;           /* a queue that the scene makes in the middle; nobody closes it */
  bool itself;                /* the first end is only sent to itself */
  lmp_handle waited;          /* an object, no queue, that members wait for with others */
  uint64_t block;         /* a block of the scene; the checker's: putters to queue 0 wait for it */
  uint32_t slot, gen;     /* a process slot of the scene */
  bool put_ok[WORLD_IDS]; /* put returned that it is in */
  bool put_begun[WORLD_IDS];
  uint8_t got[WORLD_IDS];        /* times it was taken */
  bool closed;                   /* the scene closes queues */
  bool child;                    /* the process in `slot` has a parent that buries it */
  bool drops;                    /* the scene drops messages */
  bool leaky;                    /* an end state other than "all memory is free" is right */
  uint32_t batch;                /* most messages one get takes */
  uint32_t objects;              /* live ones at the end; 0: the queues */
  uint32_t joins;                /* join waits for that */
  uint64_t room[WORLD_ROOM / 8]; /* what other files of scenes have to put back */
  uint8_t norder[SIM_MEMBERS];
  uint8_t order[SIM_MEMBERS][WORLD_IDS];
} world;

extern world world_w;

typedef struct scene {
  const char *name;
  void (*setup)(void);
  void (*body[3])(sim_member *m); /* of SIM_V, SIM_P, SIM_Q; NULL: absent */
  unsigned victims;               /* bit for each player that is killed; 0: V */
  bool outside;                   /* V is no member yet */
} scene;

extern const scene scenes[], array_scenes[], lock_scenes[], pipe_scenes[], sem_scenes[],
    wait_scenes[], dict_scenes[];

/* What scenes with objects of another kind than queues bring along. */
typedef struct world_kind {
  uint32_t id; /* LMP_KIND_*; 0: the end of the list */
  const lmp_kind *kind;
  /* A member that sleeps on a word of the object has reason to; gives it what it waits for. */
  bool (*rightly)(const lmp_obj *o, const sim_member *s);
  void (*relieve)(lmp_obj *o, const sim_member *s);
  /* All are at rest: its invariants, its ledger, and that it works. */
  void (*finish)(lmp_obj *o);
} world_kind;

extern const world_kind array_kinds[], lock_kinds[], sem_kinds[], dict_kinds[];
/* world_set_kinds: makes all kinds known to an arena. */
void world_set_kinds(lmp_arena *a);
/* world_share: makes all members holders of an object that the checker made. */
void world_share(lmp_handle h);

/* world_queue: makes queue `i`, held by all members. */
void world_queue(unsigned i, uint32_t max);
lmp_obj *world_obj(lmp_handle h);
lmp_err world_put(sim_member *m, unsigned q, unsigned id, size_t size, lmp_handle named,
                  uint64_t deadline);
lmp_err world_get(sim_member *m, unsigned q, uint32_t max, uint64_t deadline);

/* world_wait: waits until `o`, which is world_w.waited, or the idle descriptor is ready. */
void world_wait(sim_member *m, lmp_obj *o, bool polls);

/* world_finish: after all players stopped: buries and reaps, looks after who sleeps, checks the arena
 * and the ledger, and goes on using it. Violations go to sim_fail. */
void world_finish(bool killed);

#endif
