/* os/os.h: the port contract. Every system call of luamp is behind one of these.
 * SPDX-License-Identifier: MIT
 *
 * The first group is also the seam of the tests: the schedule explorer replaces exactly these, so the
 * core above runs unchanged in a simulated kernel. */
#ifndef LMP_OS_OS_H
#define LMP_OS_OS_H

#include "base/defs.h"
#include "base/err.h"

/* -- the seam: what the core of the arena needs of a kernel -------------------------------------- */

typedef enum lmp_woke {
  LMP_WOKEN,     /* somebody woke us, or spuriously: look again */
  LMP_CHANGED,   /* the word had another value already */
  LMP_TIMED_OUT, /* the deadline passed */
  LMP_SIGNALLED  /* a signal handler ran */
} lmp_woke;

/* One word of a wait for any of several. */
typedef struct lmp_waitword {
  uint32_t *word;
  uint32_t value;
} lmp_waitword;

/* lmp_os_now: the monotonic clock in nanoseconds. */
uint64_t lmp_os_now(void);

/* lmp_os_futex_wait: sleeps while the first word has its value, until a wake on any of the `n` words
 * (n >= 1; at most LMP_OS_WAITV_MAX) or `deadline`. Without FUTEX_WAITV only the first word is watched,
 * and the sleep is cut to a few milliseconds when n > 1: the caller looks at all words anyway. */
#define LMP_OS_WAITV_MAX 128
lmp_woke lmp_os_futex_wait(const lmp_waitword *words, unsigned n, uint64_t deadline);

/* lmp_os_futex_wake: wakes up to n sleepers on *word; returns how many it woke. */
unsigned lmp_os_futex_wake(uint32_t *word, unsigned n);

/* The name of a bell's socket: the family's key, the bell's number, and how many owners it had. */
typedef struct lmp_bell_id {
  uint64_t key[2];
  uint32_t number, gen;
} lmp_bell_id;

/* lmp_os_bell_open: a descriptor, close-on-exec, that becomes readable when the bell is rung; -1: none to
 * be had. lmp_os_bell_ring: makes that of the bell's owner readable, whichever process it is; never
 * waits, and does nothing when there is none. lmp_os_bell_drain: it is not readable any more. */
int lmp_os_bell_open(const lmp_bell_id *id);
void lmp_os_bell_ring(const lmp_bell_id *id);
void lmp_os_bell_drain(int fd);

/* One descriptor of lmp_os_poll, as the system has it: what is wanted, and what it got. */
typedef struct lmp_pollfd {
  int fd; /* negative: is left out */
  int16_t want, got;
} lmp_pollfd;
#define LMP_POLL_READ 0x001 /* want */
#define LMP_POLL_BAD 0x020  /* got: no open descriptor; any other bit: reading would not wait */

/* lmp_os_poll: waits until one of the descriptors is readable, at its end, or bad, or `deadline`. The
 * deadline LMP_NOWAIT: looks. LMP_CHANGED: the system refused, because of their number or for want of
 * memory; errno tells. */
lmp_woke lmp_os_poll(lmp_pollfd *fds, size_t n, uint64_t deadline);

/* lmp_os_relax: one step of a spin loop. */
void lmp_os_relax(void);

/* lmp_os_reserve: makes sure that the bytes [off, off + len) of the file can be written without a
 * signal; false when the system is out of memory for it. */
bool lmp_os_reserve(int fd, uint64_t off, uint64_t len);

/* lmp_os_punch: gives the pages of the range back to the system; they read as zeros afterwards. False
 * when the system refused (the pages are as they were). */
bool lmp_os_punch(int fd, uint64_t off, uint64_t len);

/* -- life --------------------------------------------------------------------------------------- */

/* The life word of a thread: a robust mutex in shared memory that its thread holds for life. The
 * kernel marks the word when the thread ends in any way. */
#define LMP_OS_LIFE_SIZE 40
typedef struct lmp_life {
  uint64_t opaque[LMP_OS_LIFE_SIZE / 8];
} lmp_life;

#define LMP_LIFE_DEAD 0x40000000u /* FUTEX_OWNER_DIED */

/* lmp_os_life_take: makes *life anew and takes it for the calling thread. */
LMP_NODISCARD lmp_err lmp_os_life_take(lmp_life *life);
/* lmp_os_life_drop: lets go of it; only by the thread that took it. */
void lmp_os_life_drop(lmp_life *life);
/* lmp_os_life_word: the word to look at or to sleep on; alive while it keeps its value. */
uint32_t *lmp_os_life_word(lmp_life *life);

/* lmp_os_byte_lock: takes the byte lock at `off` for this process; the proof that it lives, until it
 * ends or executes another program. lmp_os_byte_held: whether any other process holds it (1), none
 * does (0), or the kernel could not tell (-1). lmp_os_byte_unlock gives it back. */
LMP_NODISCARD lmp_err lmp_os_byte_lock(int fd, uint64_t off);
int lmp_os_byte_held(int fd, uint64_t off);
void lmp_os_byte_unlock(int fd, uint64_t off);

/* -- memory ------------------------------------------------------------------------------------- */

/* lmp_os_memfd: an anonymous file of `size` bytes, close-on-exec, its size sealed when `seal`. */
LMP_NODISCARD lmp_err lmp_os_memfd(const char *name, uint64_t size, bool seal, int *fd);
/* lmp_os_map: maps all of it, shared and writable. */
LMP_NODISCARD lmp_err lmp_os_map(int fd, uint64_t size, void **base);
void lmp_os_unmap(void *base, uint64_t size);
void lmp_os_close(int fd);

/* A named block of shared memory, open. `id` tells it from another one that got its name later. */
#define LMP_OS_SHM_NAME 255 /* bytes of the longest name */
typedef struct lmp_shm {
  int fd; /* close-on-exec; the caller closes it */
  uint64_t size;
  uint64_t id[2];
} lmp_shm;
/* lmp_os_shm_create: a new block of `size` zeros, all of which can be written, open to this user only. The
 * name has no slash and at most LMP_OS_SHM_NAME bytes. LMP_E_SYSTEM: errno tells; EEXIST: there is one of that
 * name. lmp_os_shm_open: the one of that name. lmp_os_shm_unlink: takes the name away; the block is
 * gone when nobody has it mapped. */
LMP_NODISCARD lmp_err lmp_os_shm_create(const char *name, uint64_t size, lmp_shm *shm);
LMP_NODISCARD lmp_err lmp_os_shm_open(const char *name, lmp_shm *shm);
LMP_NODISCARD lmp_err lmp_os_shm_unlink(const char *name);

/* lmp_os_fork_page: a private page that reads as zeros in a child of fork; NULL when out of memory. */
uint64_t *lmp_os_fork_page(void);
void lmp_os_fork_page_free(uint64_t *page);

/* lmp_os_memory: the memory that this process may use in all, in bytes: the machine's, or its
 * cgroup's limit where that is lower. */
uint64_t lmp_os_memory(void);

/* lmp_os_random: fills `len` bytes with random ones. */
void lmp_os_random(void *p, size_t len);

/* -- processes ---------------------------------------------------------------------------------- */

/* lmp_os_cpus: processors this process may use: affinity and cgroup quota counted; at least 1. */
unsigned lmp_os_cpus(void);

/* lmp_os_pid: the calling process. */
int64_t lmp_os_pid(void);
/* lmp_os_boot_time: nanoseconds since boot, as the system counts the start of processes. */
uint64_t lmp_os_boot_time(void);
/* lmp_os_threads: how many threads the calling process has. */
unsigned lmp_os_threads(void);

/* The end of a process: exited with a code 0..255, or killed by a signal. */
typedef struct lmp_exit {
  bool signalled;
  uint8_t code; /* the code, or the signal's number */
} lmp_exit;

/* lmp_os_fork: flushes the standard library's output, then forks; *pid is 0 in the child, which has
 * SIGINT and SIGTERM blocked until lmp_os_child_setup. lmp_os_pidfd: a descriptor that is readable once `pid` has
 * ended; -1 when there is none to be had. */
LMP_NODISCARD lmp_err lmp_os_fork(int64_t *pid);
int lmp_os_pidfd(int64_t pid);

/* lmp_os_ended: how the child `pid` of this process ended: 1 and *end; 0 while it runs; -1 when it is no
 * child of ours (any more). Leaves the status with the system until lmp_os_collect takes it away. Never
 * waits, and never looks at another child. */
int lmp_os_ended(int64_t pid, lmp_exit *end);
void lmp_os_collect(int64_t pid);
/* lmp_os_exit_status: how `pid`, that was seen alive at `seen` (boot time), ended, for who is not its
 * parent: 1 and *end when the system tells, 0 while it is still ending, -1 when it cannot be known (its
 * parent collected it, or it lives on as another program). */
int lmp_os_exit_status(int64_t pid, uint64_t seen, int pidfd, lmp_exit *end);

/* lmp_os_wait_fd: waits until fd is readable, or `deadline`. */
lmp_woke lmp_os_wait_fd(int fd, uint64_t deadline);

/* lmp_os_kill: sends a signal; through pidfd when that is not -1. False when there is no such process. */
bool lmp_os_kill(int64_t pid, int pidfd, int sig);

/* lmp_os_null: a descriptor, close-on-exec, from which one reads the end of file; -1: none. */
int lmp_os_null(void);
/* lmp_os_child_setup: in a fresh child of fork: default action for SIGINT and SIGTERM and none
 * blocked; `null` as standard input; SIGTERM when the parent `ppid` dies (`orphan_dies`), also when
 * it died already. */
void lmp_os_child_setup(int64_t ppid, bool orphan_dies, int null);

/* Limits of a process; 0 where there is none. */
typedef struct lmp_limits {
  uint64_t memory; /* bytes of its own data */
  uint64_t cpu;    /* seconds */
  uint64_t files;  /* open descriptors */
} lmp_limits;
LMP_NODISCARD lmp_err lmp_os_set_limits(const lmp_limits *limits);

/* lmp_os_exit: flushes the standard library's output and ends the process, without any other cleaning
 * up: exit handlers and finalisers were the parent's. */
LMP_NORETURN void lmp_os_exit(int code);

/* What is to be done when the process calls exit(); memory of the caller. */
typedef struct lmp_at_exit {
  void (*fn)(int status, struct lmp_at_exit *self);
  struct lmp_at_exit *next;
} lmp_at_exit;

/* lmp_os_at_exit: has `e` called at exit(), before what was registered earlier; also in a child of fork
 * that calls this for `e` again, before all that its parent registered. lmp_os_at_exit_drop takes it
 * back. */
LMP_NODISCARD bool lmp_os_at_exit(lmp_at_exit *e);
void lmp_os_at_exit_drop(lmp_at_exit *e);

/* lmp_os_sleep: sleeps until `deadline`; LMP_SIGNALLED when a signal handler ran. */
lmp_woke lmp_os_sleep(uint64_t deadline);

/* lmp_os_write_err: writes all of it to standard error in one go, unbuffered. */
void lmp_os_write_err(const char *text, size_t len);
/* lmp_os_terminal_columns: the width of the terminal that standard error is; -1: it is none. */
int lmp_os_terminal_columns(void);

#endif
