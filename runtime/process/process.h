/* process/process.h: families and their processes.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_PROCESS_PROCESS_H
#define LMP_PROCESS_PROCESS_H

#include <pthread.h>

#include "arena/arena.h"
#include "base/buf.h"

/* ps_exit: 0 while the process may live; then LMP_EXITED with the code, or with LMP_BY_SIGNAL and the
 * signal's number; LMP_UNKNOWN when nobody could tell the number. */
#define LMP_EXITED 0x80000000u
#define LMP_BY_SIGNAL 0x100u
#define LMP_UNKNOWN 0x200u

enum { LMP_RESULT_NONE, LMP_RESULT_VALUES, LMP_RESULT_ERROR };

/* The body of a process object: what every holder of the handle can see. */
typedef struct lmp_process {
  uint32_t ps_exit; /* set once; slept on */
  uint32_t ps_slot; /* its process slot, meaningful while ps_exit is 0 */
  uint64_t ps_flag; /* somebody sleeps on ps_exit */
  uint32_t ps_daemon;
  uint32_t ps_pad0;
  uint64_t ps_pid;
  uint32_t ps_lock; /* the result, against the collector */
  uint32_t ps_result_kind;
  uint64_t ps_result; /* block: handles, then bytes; never changes once set */
  uint64_t ps_result_len;
  uint32_t ps_result_nh;
  uint32_t ps_pad;
} lmp_process;
_Static_assert(sizeof(lmp_process) <= LMP_OBJ_BODY, "fits an object");

extern const lmp_kind lmp_process_kind;

/* A child of this process; private. */
typedef struct lmp_child {
  lmp_handle h; /* referenced while the child is in the list */
  int64_t pid;
  int pidfd;
  uint32_t slot, gen;
  bool daemon, detached;
} lmp_child;

/* A named block of the system that this process made and unlinks at its end; private. */
typedef struct lmp_named {
  char name[LMP_OS_SHM_NAME + 1];
  uint64_t id[2];
} lmp_named;

/* A process that is no child of this one, and the descriptor that tells its end; private. */
#define LMP_WATCHED_MAX 32
typedef struct lmp_watched {
  uint32_t slot, gen;
  int pidfd; /* -1: there was none to be had */
  uint64_t since;
} lmp_watched;

typedef enum lmp_log_level { LMP_LOG_NONE, LMP_LOG_INFO, LMP_LOG_DEBUG } lmp_log_level;

/* A process's view of its family; private memory. */
typedef struct lmp_family {
  lmp_arena a;
  uint64_t *fork_page; /* holds `serial`; zero after a fork */
  uint64_t serial;
  uint64_t epoch; /* grows with every fork on the way from the main process */
  bool is_child;  /* made by lmp_process_fork */
  bool ended;     /* lmp_family_end ran */
  lmp_handle self, parent;
  int null_fd; /* what children read as their standard input; -1 until the first */
  lmp_log_level log;
  pthread_key_t key;  /* lmp_me of each thread */
  pthread_mutex_t mu; /* children and named; a leaf but for the arena's */
  lmp_child *children;
  uint32_t nchildren, capchildren;
  lmp_named *named; /* under mu */
  uint32_t nnamed, capnamed;
  uint32_t nwatched; /* under mu */
  lmp_watched watched[LMP_WATCHED_MAX];
  uint64_t repaired; /* the last slot whose recovery was logged, with its generation */
} lmp_family;

/* Every kind of object, by its number. */
extern const lmp_kind *const lmp_kinds[LMP_KIND_COUNT];

/* -- families (family.c) ------------------------------------------------------------------------- */

/* lmp_family_new: a new family with the calling process, named `MainProcess`, as its main one.
 * `memory`: the limit of its shared memory; with `shrink` it takes less where that does not fit. LMP_E_INVAL: too
 * small; LMP_E_NOMEM, LMP_E_SYSTEM. */
LMP_NODISCARD lmp_err lmp_family_new(uint64_t memory, bool shrink, lmp_log_level log,
                                     lmp_family **f);
/* lmp_family_free: leaves the family and frees *f; the calling thread is the only one in it. */
void lmp_family_free(lmp_family *f);

/* lmp_family_me: the calling thread's place in the family; taken at the first call. After a fork that
 * was not ours it makes the process a new member. LMP_E_NOSLOT, LMP_E_SYSTEM. */
LMP_NODISCARD lmp_err lmp_family_me_slow(lmp_family *f, lmp_me **me);

typedef struct lmp_me_cache {
  const lmp_family *family;
  uint64_t serial;
  lmp_me *me;
} lmp_me_cache;
extern _Thread_local lmp_me_cache lmp_me_last;

LMP_NODISCARD static inline lmp_err lmp_family_me(lmp_family *f, lmp_me **me) {
  /* The fork page is zero after any fork, and serials are never zero nor used twice. */
  if (LMP_LIKELY(lmp_me_last.family == f && lmp_me_last.serial == *f->fork_page)) {
    *me = lmp_me_last.me;
    return LMP_OK;
  }
  return lmp_family_me_slow(f, me);
}

/* lmp_family_forked: true between an unannounced fork and the next lmp_family_me. */
static inline bool lmp_family_forked(const lmp_family *f) { return *f->fork_page == 0; }

/* lmp_family_adopt_child: makes a fresh child of fork the member in `slot`, claimed in generation `gen`.
 * Internal to process/. */
LMP_NODISCARD lmp_err lmp_family_adopt_child(lmp_family *f, uint32_t slot, uint32_t gen,
                                             lmp_handle self);

/* lmp_family_end: the normal end of this process in the family: waits for its children that are no
 * daemons, terminates the daemons. With `interrupted`: ends all of them. Idempotent. LMP_E_INTR: a
 * signal handler ran while it waited; call again, perhaps with `interrupted`. */
lmp_err lmp_family_end(lmp_family *f, bool interrupted);

/* lmp_family_processes: live ones, and those that are starting. */
uint32_t lmp_family_processes(const lmp_family *f);

void lmp_log(const lmp_family *f, lmp_log_level level, const char *fmt, ...) LMP_PRINTF(3, 4);

/* -- processes (process.c, fork.c, children.c) ---------------------------------------------------- */

typedef struct lmp_start {
  const char *name;
  size_t namelen;
  bool daemon, detached;
  lmp_limits limits;
  const lmp_handle *reach; /* what the child holds from the start */
  size_t nreach;
} lmp_start;

/* lmp_process_fork: forks a member. In the parent: *h is a referenced handle on it and *in_child false.
 * In the child *in_child is true, and *h is its own object. LMP_E_REFUSED: the process has several
 * threads; LMP_E_NOSLOT, LMP_E_NOMEM, LMP_E_SYSTEM (errno tells). */
LMP_NODISCARD lmp_err lmp_process_fork(lmp_family *f, const lmp_start *start, lmp_handle *h,
                                       bool *in_child);

/* lmp_process_of: the body of a process object. */
static inline lmp_process *lmp_process_of(const lmp_obj *o) {
  return (lmp_process *)(uintptr_t)o->ob_body;
}

/* lmp_process_poll: ps_exit, after looking whether the process ended meanwhile. */
uint32_t lmp_process_poll(lmp_family *f, lmp_me *me, lmp_handle h);
/* lmp_process_join: waits until the process ended. LMP_E_TIMEOUT, LMP_E_INTR. */
LMP_NODISCARD lmp_err lmp_process_join(lmp_family *f, lmp_me *me, lmp_handle h, uint64_t deadline);
/* lmp_process_signal: sends a signal; nothing when it has ended. */
void lmp_process_signal(lmp_family *f, lmp_me *me, lmp_handle h, int sig);
/* lmp_process_exit_set: publishes how the process ended, once. */
void lmp_process_exit_set(lmp_me *me, lmp_obj *o, uint32_t exit);
/* lmp_process_result_set: stores what the target returned (LMP_RESULT_VALUES) or a text
 * (LMP_RESULT_ERROR), once; an empty message takes no memory. Waits while memory is full. LMP_E_TOOLARGE, LMP_E_INTR. */
LMP_NODISCARD lmp_err lmp_process_result_set(lmp_me *me, lmp_obj *o, uint32_t kind,
                                             const lmp_msg *m);

/* lmp_process_exit: the end of a child: lmp_family_end, then publishes `code` and leaves. Never
 * returns. */
LMP_NORETURN void lmp_process_exit(lmp_family *f, int code);

/* -- named blocks of the system (named.c) --------------------------------------------------------- */

/* lmp_named_add: the block will be unlinked at the normal end of this process; false: out of memory.
 * lmp_named_drop: it will not. */
LMP_NODISCARD bool lmp_named_add(lmp_family *f, const char *name, const uint64_t id[2]);
void lmp_named_drop(lmp_family *f, const char *name);
/* lmp_named_end: unlinks them. lmp_named_forget: forgets them, after a fork: they are the parent's. */
void lmp_named_end(lmp_family *f);
void lmp_named_forget(lmp_family *f);

/* -- processes that are no children of ours (watched.c) ------------------------------------------- */

/* lmp_watched_open: this process wants to know how the live process of handle `h`, in `slot`, ends. */
void lmp_watched_open(lmp_family *f, lmp_handle h, uint32_t slot);
/* lmp_watched_status: how the dead process in `slot` ended: 1; 0: ask again; -1: nobody can tell. */
int lmp_watched_status(lmp_family *f, uint32_t slot, lmp_exit *end);
/* lmp_watched_trim: drops those whose end is told. */
void lmp_watched_trim(lmp_family *f);
/* lmp_watched_forget: drops all, after a fork or at the end. */
void lmp_watched_forget(lmp_family *f);

/* lmp_children_poll: looks which children ended, publishes how, takes them off the list. */
void lmp_children_poll(lmp_family *f, lmp_me *me);
/* lmp_children_count: how many there are. lmp_children_get: child `i`, newest last; false at the end. */
bool lmp_children_get(lmp_family *f, uint32_t i, lmp_child *child);
LMP_NODISCARD bool lmp_children_reserve(lmp_family *f);
void lmp_children_add(lmp_family *f, lmp_me *me, const lmp_child *child);
/* lmp_children_drop_all: forgets them, after a fork: they are the parent's. */
void lmp_children_drop_all(lmp_family *f);
/* lmp_children_find: this process's child with handle `h`. */
bool lmp_children_find(lmp_family *f, lmp_handle h, lmp_child *child);

#endif
