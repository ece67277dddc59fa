/* crash/sim.h: members of a family as coroutines in a simulated kernel.
 * SPDX-License-Identifier: MIT
 *
 * The core is compiled with -fsanitize=thread and linked with the __tsan_ functions of sim_tsan.c: every
 * access to the arena comes by sim_touch, where the running member may be stopped before the access.
 * A member that is stopped is killed by never running it again. Memory is sequentially consistent. */
#ifndef LMP_TESTS_CRASH_SIM_H
#define LMP_TESTS_CRASH_SIM_H

#include <setjmp.h>
#include <ucontext.h>

#include "arena/arena.h"

/* Two or three players, two reapers, and the checker, which runs outside of all coroutines. */
enum { SIM_V, SIM_P, SIM_Q, SIM_R, SIM_R2, SIM_M, SIM_MEMBERS };
#define SIM_PROCS 8u
#define SIM_CTXS 8u
#define SIM_OBJS 12u
#define SIM_BELLS 8u
#define SIM_IDLE_FD 7 /* a descriptor that never becomes readable */
#define SIM_SPANS 6u
#define SIM_STACK (64u << 10)
#define SIM_ALWAYS UINT64_MAX

typedef enum sim_state { SIM_ABSENT, SIM_READY, SIM_SLEEPING, SIM_DONE, SIM_DEAD } sim_state;

typedef struct sim_member {
  /* The process and its one thread: what a real process has in private memory. */
  lmp_arena a;
  lmp_me me;
  uint32_t refs[SIM_OBJS];
  uint32_t *life; /* the word it holds, NULL: none */
  uint32_t tid;
  /* The coroutine. */
  void (*body)(struct sim_member *);
  sim_state state;
  bool started;
  uint64_t accesses, writes, stop_access, stop_write;
  lmp_waitword words[4];
  unsigned nwords;
  uint64_t since; /* order of falling asleep */
  bool queueing;  /* in the kernel, not asleep yet: on the first nwords of them */
  lmp_woke woke;
  ucontext_t uc;
} sim_member;

typedef struct sim {
  uint8_t *base;
  uint64_t size;
  uint64_t now;
  int byte_owner[SIM_PROCS]; /* member + 1, 0 free */
  struct {
    uint32_t rings; /* datagrams in its socket; slept on */
    uint32_t gen;   /* of the name it is bound to, 0: not open */
  } socket[SIM_BELLS];
  sim_member *cur; /* NULL: the checker */
  sim_member m[SIM_MEMBERS];
  const char *failure; /* the first violation of this schedule */
  bool trace;
  bool no_reserve; /* the system is out of memory */
  jmp_buf out;     /* where a failure of the checker goes */
} sim;

extern sim sim_k;

/* sim_make: the empty arena. sim_save, sim_reset: remember the present state; go back to it. */
void sim_make(void);
void sim_save(void);
void sim_reset(void);

/* sim_process: makes member `i` a live process with a context, in the checker's time. */
void sim_process(unsigned i);

/* sim_run: lets `i` run until it is done, asleep or killed by a failure, or is about to make access
 * number `access` or write number `write`, counted from its start. True when it was stopped there. */
bool sim_run(unsigned i, uint64_t access, uint64_t write);
/* sim_run_all: runs all that can run until nobody can. */
void sim_run_all(void);
/* sim_kill: SIGKILL. The life word is marked at once; the byte lock is let go by sim_bury. */
void sim_kill(unsigned i);
void sim_bury(unsigned i);
/* sim_interrupt: ends the sleep of `i` with `woke`. */
void sim_interrupt(unsigned i, lmp_woke woke);

/* sim_fail: notes a violation; in a coroutine it stops the member for good, in the checker it ends the
 * schedule. */
LMP_NORETURN void sim_fail(const char *what);

/* sim_socket: the bell whose socket has `word`, -1: none. */
int sim_socket(const uint32_t *word);

/* sim_touch: an access is about to be made. */
void sim_touch(const volatile void *p, size_t n, bool write, const void *from);
bool sim_alive(uint32_t ctx_id);

#endif
