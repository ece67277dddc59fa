/* arena/arena.h: a process's view of the shared memory, and a thread's place in it.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_ARENA_ARENA_H
#define LMP_ARENA_ARENA_H

#include <pthread.h>

#include "arena/layout.h"
#include "base/atomic.h"
#include "base/debug.h"
#include "base/err.h"
#include "os/os.h"

typedef struct lmp_me lmp_me;

/* What the arena has to know of a kind of object. */
typedef struct lmp_kind {
  const char *name;
  /* Gives back all that the object refers to. Nobody holds or names it. Can be killed anywhere and
   * run again by another process. */
  void (*destroy)(lmp_me *me, lmp_obj *obj);
  /* Calls lmp_collect_mark for every handle that the object's messages name; NULL where none can. */
  void (*trace)(lmp_me *me, lmp_obj *obj);
  /* Others see the end of such an object: nobody waits for it longer than it takes to find out that it
   * is due. Its trace is called while it is being destroyed, too, and marks what destroy looks at. */
  bool seen_end;
  /* Whether a wait for the object would be over at once for this thread (mp.wait). Takes nothing, waits
   * for nothing, takes no lock. *flag: the wake-up flag at which whoever makes it ready looks, by
   * lmp_flag_wake after a full fence, on every way to become ready, death of a party included; where
   * wakers look only when a bit of a word tells them to, sets that bit before it looks for the last
   * time. An object has one such flag. NULL: it cannot be waited for. */
  bool (*watch)(lmp_me *me, lmp_obj *obj, uint64_t **flag);
  /* Context `id` is at its end, by death or by leaving, and gives up what it has in the object: locks,
   * permits, its place among waiters. Its context is still as it was left, the wakes that it owes are paid
   * and its wait record is passed on afterwards. Called for every live object while lmp_owns holds for
   * `id`, perhaps with internal locks held: takes none, does not wait. Can be killed anywhere and run
   * again by another reaper; two never run for one `id`. The object may be on its way to its end, so
   * that what is written no longer matters; its slot is not made anew meanwhile. NULL: there is nothing. */
  void (*abandon)(lmp_me *me, lmp_obj *obj, uint32_t id);
} lmp_kind;

/* A process's mapping of the arena; private memory. */
typedef struct lmp_arena {
  uint8_t *base;
  lmp_hdr *h;
  lmp_proc *procs;
  lmp_ctx *ctxs;
  lmp_bell *bells;
  lmp_obj *objs;
  lmp_span *map;
  uint16_t *tags;
  uint64_t size;
  int fd, life_fd;
  unsigned cpus;
  uint32_t proc;       /* own slot */
  uint32_t *refs;      /* handles of this process on each object; under mu */
  pthread_mutex_t mu;  /* refs; a leaf: nothing is locked while it is held */
  uint32_t dirty_max;  /* free spans that may keep their pages */
  uint32_t debt_least; /* a collection that nobody asked for waits for so many drops; for tests */
  uint64_t tick_least; /* no tick comes sooner; for tests: ticks hide a lost wake */
  const lmp_kind *kinds[LMP_KIND_COUNT];
  /* A process was found dead; may be called twice. False: it is too early, call again. */
  bool (*on_death)(lmp_me *me, uint32_t slot);
  void (*on_tick)(lmp_me *me); /* somebody looked after the dead */
  /* Whether a wait is to end with LMP_E_INTR although no system call was interrupted: asked on its ticks.
   * NULL: never. */
  bool (*interrupted)(void *arg);
  void *interrupted_arg;
} lmp_arena;

/* Sizes of a new arena; zero takes the default. */
typedef struct lmp_arena_config {
  uint64_t memory; /* bytes for messages and objects' data */
  bool shrink;     /* less will do */
  uint32_t nproc, nctx, nbell, nobj;
} lmp_arena_config;

/* Where a thread last found room, by class; private hints. */
typedef struct lmp_cursor {
  uint32_t span; /* + 1; 0: none */
  uint32_t next;
} lmp_cursor;

/* A thread's place in an arena: every operation of the core takes it first. */
struct lmp_me {
  lmp_arena *a;
  lmp_ctx *c;
  uint32_t id;    /* context id: slot + 1 */
  uint32_t depth; /* internal locks held */
  uint32_t ntx;   /* entries of the transaction being written */
  uint32_t spin;  /* how long spinning for a peer lately paid */
  uint32_t naps;  /* of lmp_spin: how often it was in vain */
  bool asked;     /* it has put something since it last waited to get */
  uint32_t freed; /* spans' worth of bytes freed since it last looked for empty spans */
  uint32_t bell;  /* its bell's number + 1, 0: none yet */
  int bell_fd;    /* that bell's socket, -1: none yet */
  lmp_cursor cursor[LMP_CLASSES];
};

/* lmp_interrupted: on a tick of a wait: a signal handler left something to do just before the thread slept. */
static inline bool lmp_interrupted(const lmp_arena *a) {
  return a->interrupted && a->interrupted(a->interrupted_arg);
}

/* lmp_arena_least: the least `memory` that can be asked for. */
#define LMP_ARENA_LEAST (UINT64_C(1) << 20)

/* lmp_arena_create: a new arena, mapped, with nobody in it. Where the address space or the file size is
 * limited, `memory` is halved until it fits, if it may shrink. LMP_E_INVAL: less than the least; LMP_E_NOMEM: it
 * does not fit; LMP_E_SYSTEM: the system refused. */
LMP_NODISCARD lmp_err lmp_arena_create(lmp_arena *a, const lmp_arena_config *config);
/* lmp_arena_format: lays the empty tables out in `base`, `size` bytes of zeros; the tests use it on
 * plain memory. */
void lmp_arena_format(lmp_arena *a, void *base, uint64_t size, const lmp_arena_config *config);
/* lmp_arena_size: how many bytes an arena of this shape takes. */
uint64_t lmp_arena_size(const lmp_arena_config *config);
/* lmp_arena_close: unmaps it; no thread of the process may be in it any more. */
void lmp_arena_close(lmp_arena *a);

/* Offsets. lmp_off32 names a word of the tables. */
static inline void *lmp_at(const lmp_arena *a, uint64_t off) { return a->base + off; }
static inline uint64_t lmp_off(const lmp_arena *a, const void *p) {
  return (uint64_t)((const uint8_t *)p - a->base);
}
static inline uint32_t lmp_off32(const lmp_arena *a, const void *p) {
  return (uint32_t)((const uint8_t *)p - a->base);
}
static inline lmp_obj *lmp_obj_at(const lmp_arena *a, uint32_t index) { return &a->objs[index]; }
static inline lmp_handle lmp_handle_of(const lmp_arena *a, const lmp_obj *o) {
  return (lmp_handle){(uint32_t)(o - a->objs), lmp_load_rlx32(&o->ob_gen)};
}

/* -- processes and contexts (member.c) ----------------------------------------------------------- */

/* lmp_proc_claim: takes a free slot for a process that is about to start, as LMP_PROC_STARTING; its
 * creator is this process. LMP_E_NOSLOT: too many. */
LMP_NODISCARD lmp_err lmp_proc_claim(lmp_arena *a, uint32_t creator, uint32_t *slot);
/* lmp_proc_enter: makes the calling process the owner of a STARTING slot: takes its life byte, then the
 * slot. `gen`: the slot's generation when it was claimed. LMP_E_GONE: somebody gave the slot up, and another
 * may have claimed it since; the caller must not touch the arena any more. */
LMP_NODISCARD lmp_err lmp_proc_enter(lmp_arena *a, uint32_t slot, uint32_t gen);
/* lmp_proc_bury: a slot that is still STARTING in generation `gen` is DEAD: its process has ended. */
void lmp_proc_bury(lmp_arena *a, uint32_t slot, uint32_t gen);
/* lmp_proc_state, lmp_proc_gen: LMP_PROC_* of a slot; its generation. */
static inline uint32_t lmp_proc_state(const lmp_arena *a, uint32_t slot) {
  return lmp_load_acq32(&a->procs[slot].pr_state) & 0xff;
}
static inline uint32_t lmp_proc_gen(const lmp_arena *a, uint32_t slot) {
  return lmp_load_acq32(&a->procs[slot].pr_state) >> 8;
}
/* lmp_proc_giveup: gives a STARTING slot back whose process never came to be. */
void lmp_proc_giveup(lmp_arena *a, uint32_t slot);

/* lmp_me_attach: takes a context for the calling thread, which must not have one. LMP_E_NOSLOT: too
 * many threads. lmp_me_detach: gives it back; no internal lock is held, no object waited for; what the
 * thread still owns in objects it abandons. */
LMP_NODISCARD lmp_err lmp_me_attach(lmp_arena *a, lmp_me *me);
void lmp_me_detach(lmp_me *me);

/* lmp_owns: this context may own something in an object from now on: called before the first claim, and
 * cheap. It is a hint that stays until the context is given back. */
static inline void lmp_owns(lmp_me *me) {
  /* CRASH: before: nothing is owned yet. */
  if (LMP_UNLIKELY(!lmp_load_rlx32(&me->c->cx_owns))) lmp_store_rel32(&me->c->cx_owns, 1);
}

/* lmp_ctx_dead: its thread is gone. One load. */
bool lmp_ctx_dead(const lmp_arena *a, uint32_t index);
/* lmp_ctx_is: context `id` is alive and still that of the thread that took it under this cx_serial. */
bool lmp_ctx_is(const lmp_arena *a, uint32_t id, uint32_t serial);
/* lmp_proc_dead: the process is gone: all its contexts are dead and its life byte is free. */
bool lmp_proc_dead(const lmp_arena *a, uint32_t slot);

/* -- internal lock (lock.c) ---------------------------------------------------------------------- */

#define LMP_LOCK_W 0x80000000u /* there may be sleepers; the rest is the owner's context id */

void lmp_lock_slow(lmp_me *me, uint32_t *lock);

/* lmp_lock: takes an internal lock; at most LMP_WANTS nested, no system call but a futex's, no Lua and
 * no malloc while held. Repairs what a dead owner left. */
static inline void lmp_lock(lmp_me *me, uint32_t *lock) {
  /* CRASH: before the swap: the reaper finds that the word is not ours. */
  lmp_assert(me->depth < LMP_WANTS);
  lmp_store_rel32(&me->c->cx_want[me->depth++], lmp_off32(me->a, lock));
  if (LMP_UNLIKELY(!lmp_swap_if32(lock, 0, me->id))) lmp_lock_slow(me, lock);
}

static inline void lmp_unlock(lmp_me *me, uint32_t *lock) {
  uint32_t d = --me->depth;
  lmp_store_rel32(&me->c->cx_pwake[d], lmp_off32(me->a, lock));
  uint32_t old = lmp_xchg_ar32(lock, 0); /* pairs with the swap in lmp_lock */
  /* CRASH: here: a sleeper may not have been woken; the reaper wakes whom cx_pwake names. */
  lmp_store_rel32(&me->c->cx_want[d], 0);
  if (LMP_UNLIKELY(old & LMP_LOCK_W)) lmp_os_futex_wake(lock, 1);
  lmp_store_rel32(&me->c->cx_pwake[d], 0);
}

/* -- redo log (tx.c) ----------------------------------------------------------------------------- */

/* A transaction changes several shared words as one. lmp_tx_begin, lmp_tx_set for each word with its
 * new value, lmp_tx_commit: the store of cx_txn is the moment at which all have happened, also when the
 * thread is killed the next instruction. The caller holds the locks of all words, or they are its own.
 * Words are applied in the order of the calls. */
static inline void lmp_tx_begin(lmp_me *me) { me->ntx = 0; }
void lmp_tx_set16(lmp_me *me, uint16_t *word, uint16_t value);
void lmp_tx_set32(lmp_me *me, uint32_t *word, uint32_t value);
void lmp_tx_set64(lmp_me *me, uint64_t *word, uint64_t value);
void lmp_tx_commit(lmp_me *me);
/* lmp_tx_replay: applies the committed transaction of the dead context `c`, if there is one. */
void lmp_tx_replay(lmp_arena *a, lmp_ctx *c);

/* -- memory (block.c, span.c) -------------------------------------------------------------------- */

/* lmp_alloc: a block of at least `size` bytes that belongs to the calling thread; its offset, a
 * multiple of 64 (of the span size from 64 KiB on). Contents are arbitrary. LMP_E_NOMEM: no room now;
 * LMP_E_TOOLARGE: never. Takes no lock for small blocks; do not call with two locks held. */
LMP_NODISCARD lmp_err lmp_alloc(lmp_me *me, uint64_t size, uint64_t *off);
/* lmp_free: gives back a block that belongs to the calling thread. Never waits long; wakes those who
 * wait for memory. No lock may be held. */
void lmp_free(lmp_me *me, uint64_t off);
/* lmp_tx_owner: adds to the transaction that the block belongs to `owner`: LMP_TAG_SHARED or me->id. */
void lmp_tx_owner(lmp_me *me, uint64_t off, uint32_t owner);
/* lmp_block_owner, lmp_block_size: for tests and recovery. */
uint32_t lmp_block_owner(const lmp_arena *a, uint64_t off);
uint64_t lmp_block_size(const lmp_arena *a, uint64_t off);
/* lmp_alloc_wait: the same, and waits until `deadline` while there is no room: LMP_E_TIMEOUT, LMP_E_INTR,
 * LMP_E_TOOLARGE. No lock may be held. */
LMP_NODISCARD lmp_err lmp_alloc_wait(lmp_me *me, uint64_t size, uint64_t deadline, uint64_t *off);
/* lmp_alloc_watch, lmp_memory_wait: its two halves, for who has to look at something else before the
 * sleep. After LMP_E_NOMEM of the first, *seq is the value to sleep at: whoever frees memory, or changes
 * that something and then calls lmp_memory_wake, ends the sleep or keeps it from beginning. */
LMP_NODISCARD lmp_err lmp_alloc_watch(lmp_me *me, uint64_t size, uint32_t *seq, uint64_t *off);
LMP_NODISCARD lmp_err lmp_memory_wait(lmp_me *me, uint32_t seq, uint64_t deadline);
/* lmp_memory_wake: all who wait for memory look again. A full fence stands between the change and it
 * (lmp_fence_after_rmw). Who is killed between the two has it done by its reaper (lmp_memory_sweep). */
void lmp_memory_wake(lmp_arena *a);
/* lmp_memory_used: bytes in blocks that are not free. Exact when nobody else is at work. */
uint64_t lmp_memory_used(const lmp_arena *a);
/* lmp_memory_sweep: frees all blocks that belong to context id `id`; by its reaper. */
void lmp_memory_sweep(lmp_me *me, uint32_t id);
/* lmp_memory_trim: gives up to `spans` empty spans back to the free runs, looking on from where the
 * last call ended. */
void lmp_memory_trim(lmp_me *me, uint32_t spans);

/* -- objects (object.c) -------------------------------------------------------------------------- */

/* lmp_obj_new: a slot for an object of `kind`, its body zeroed, held by this process, not yet visible:
 * ob_state is NEW until lmp_obj_publish. `name` may be NULL. LMP_E_NOSLOT, LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_obj_new(lmp_me *me, uint32_t kind, const char *name, size_t namelen,
                                  lmp_obj **obj);
/* lmp_obj_publish: the object lives, with one more reference of this process; a transaction begun by
 * the caller may add words to happen at the same moment. */
lmp_handle lmp_obj_publish(lmp_me *me, lmp_obj *obj);
/* lmp_obj_abandon: gives up an object that was not published. */
void lmp_obj_abandon(lmp_me *me, lmp_obj *obj);

/* lmp_obj_name: the text of an object's name, o->ob_namelen bytes, without a zero at its end. */
const char *lmp_obj_name(const lmp_arena *a, const lmp_obj *o);

/* lmp_obj_get: the object that `h` names, which the caller holds (or which a message names under the
 * lock of its container); NULL when the handle is stale. */
lmp_obj *lmp_obj_get(const lmp_arena *a, lmp_handle h);
/* lmp_obj_ref: one more reference of this process to an object that it holds, or that a message names
 * under the lock of its container. lmp_obj_unref: one less; the last one lets go of the object, and
 * destroys it when nobody else can reach it. No lock may be held. */
void lmp_obj_ref(lmp_me *me, lmp_handle h);
void lmp_obj_unref(lmp_me *me, lmp_handle h);
/* lmp_obj_unref_named: lmp_obj_unref for an object whose container, while it names it, also answers for
 * its end: the collector is not asked. */
void lmp_obj_unref_named(lmp_me *me, lmp_handle h);
/* lmp_obj_hold: takes hold of an object that was known before a fork, and of all that is in it; LMP_E_GONE
 * when it ended, or nobody holds it and no message ever named it. Waits for a collector; no lock may be
 * held. */
LMP_NODISCARD lmp_err lmp_obj_hold(lmp_me *me, lmp_handle h);
/* lmp_obj_hold_leaf: the same for an object that names no others: does not wait for a collector, and does
 * not run one. No lock may be held. */
LMP_NODISCARD lmp_err lmp_obj_hold_leaf(lmp_me *me, lmp_handle h);
/* lmp_obj_entrust: gives up the reference of this process to an object that it just made: others, which
 * were published, name it in their bodies and mark it in their trace. */
void lmp_obj_entrust(lmp_me *me, lmp_handle h);
/* lmp_obj_give: makes process `slot`, which is STARTING, a holder of an object that we hold. */
void lmp_obj_give(lmp_me *me, lmp_handle h, uint32_t slot);
/* lmp_obj_forget: forgets this process's references, after a fork: they were the parent's. */
void lmp_obj_forget(lmp_arena *a);
/* lmp_obj_release_mine: drops all references of this process, at its end; no other thread of it is at
 * work. lmp_obj_release_all: takes the dead process `slot` off all objects; by its reaper. */
void lmp_obj_release_mine(lmp_me *me);
void lmp_obj_release_all(lmp_me *me, uint32_t slot);
/* lmp_obj_orphans: destroys the dying objects whose destroyer died. */
void lmp_obj_orphans(lmp_me *me);
/* lmp_obj_disown: makes objects in the hands of the dead context `id` free or orphans. */
void lmp_obj_disown(lmp_arena *a, uint32_t id);
/* lmp_obj_count: live objects. */
uint32_t lmp_obj_count(const lmp_arena *a);
/* lmp_obj_destroy: the end of an object whose state is DYING by this context. */
void lmp_obj_destroy(lmp_me *me, lmp_obj *obj);

/* -- collector (collect.c) ----------------------------------------------------------------------- */

/* lmp_obj_stamp: a message that is being put names `h`; inside the critical section of the container. */
void lmp_obj_stamp(lmp_me *me, lmp_handle h);
/* lmp_collect: finds the objects that nobody holds and no reachable message names, and destroys them.
 * No lock may be held. */
void lmp_collect(lmp_me *me);
/* lmp_collect_if_due: the same, when enough objects were dropped for it to pay, `dropped` more, or when it
 * was asked for. */
void lmp_collect_if_due(lmp_me *me, uint32_t dropped);
/* lmp_collect_ask: something was dropped that was the last to name object `o`, or NULL: that named some.
 * Asks for a collection where one might end an object whose end is seen. Collects nothing yet. */
void lmp_collect_ask(lmp_me *me, const lmp_obj *o);
static inline bool lmp_collect_asked(const lmp_arena *a) {
  return lmp_load_acq32(&a->h->hd_gc_asked) != lmp_load_acq32(&a->h->hd_gc_done);
}
/* lmp_collect_pause: keeps collectors away, and finishes what a dead one had begun, until
 * lmp_collect_resume, which takes what the first returned. One more lock may be taken meanwhile. */
LMP_NODISCARD uint32_t lmp_collect_pause(lmp_me *me);
void lmp_collect_resume(lmp_me *me, uint32_t condemned);
/* lmp_collect_mark: for lmp_kind.trace. */
void lmp_collect_mark(lmp_me *me, lmp_handle h);

/* -- waiting (wait.c) ---------------------------------------------------------------------------- */

#define LMP_TICK_FIRST (50 * LMP_MSEC)
#define LMP_TICK_MOST (500 * LMP_MSEC)

/* lmp_wait_begin: publishes that this thread is about to sleep on a word of `obj` (NULL: of nobody);
 * for another word of the same operation, again. From then on until lmp_wait_end a wake that reaches it, should it die, is passed on by its reaper. End
 * it only when the operation is complete or given up: a wake that was taken must have been acted on. */
void lmp_wait_begin(lmp_me *me, const lmp_obj *obj, const uint32_t *word, uint64_t deadline);
static inline void lmp_wait_end(lmp_me *me) { lmp_store_rel32(&me->c->cx_wait_n, 0); }
/* lmp_wait_sleep: sleeps while *word == value. LMP_OK: look again; LMP_E_TIMEOUT: `deadline` passed
 * and no wake was taken; LMP_E_INTR: a signal handler ran. Now and then looks after the dead. */
LMP_NODISCARD lmp_err lmp_wait_sleep(lmp_me *me, uint32_t *word, uint32_t value, uint64_t deadline);

/* lmp_tick: how long until the next tick, after one of `tick`, 0: the first. */
static inline uint64_t lmp_tick(const lmp_arena *a, uint64_t tick) {
  uint64_t next = tick ? lmp_min_u64(tick * 2, LMP_TICK_MOST) : LMP_TICK_FIRST;
  return next > a->tick_least ? next : a->tick_least;
}

/* lmp_spin: looks for a while whether *word moves on from `seen`; true when it did. `soon`: it is
 * expected at once. Before a sleep: a wake-up costs more than the most that this takes. */
bool lmp_spin(lmp_me *me, const uint32_t *word, uint32_t seen, bool soon);

/* A wake-up flag beside a word that is slept on: the value of the word at which its last raiser is about
 * to sleep, or nothing. The sleeper raises it, then looks again; the waker changes the word, then looks
 * at the flag. lmp_flag_raise ends with, lmp_flag_wake begins after, a full fence, so one of the two sees
 * the other. No count of sleepers: a kill would leave it wrong. The word only grows (modulo 2^32).
 *   F1 while it is raised its value only grows: who comes late with an old one does not hide a newer.
 *   F2 a waker that found nobody lowers it only if the word had moved on from the flag's value before it
 *      tried: then whoever raised it will not fall asleep any more.
 * Beside value and mark, the flag has a bit for each bell that is to be rung; see the next section. */
#define LMP_FLAG_RAISED (UINT64_C(1) << 32)
#define LMP_FLAG_BELL_SHIFT 33
#define LMP_FLAG_BELLS (~UINT64_C(0) << LMP_FLAG_BELL_SHIFT)
void lmp_flag_raise(uint64_t *flag, uint32_t value);
void lmp_flag_wake_slow(const lmp_arena *a, uint64_t *flag, uint32_t *word, unsigned n);
static inline void lmp_flag_wake(const lmp_arena *a, uint64_t *flag, uint32_t *word, unsigned n) {
  if (LMP_UNLIKELY(lmp_load_rlx64(flag))) lmp_flag_wake_slow(a, flag, word, n);
}

/* lmp_owe: this thread will wake the sleepers of `word`: slot 0 or 1; lmp_owe_none: it has. */
static inline void lmp_owe(lmp_me *me, unsigned slot, const uint32_t *word) {
  lmp_store_rel32(&me->c->cx_pwake[LMP_WANTS + slot], lmp_off32(me->a, word));
}
static inline void lmp_owe_none(lmp_me *me, unsigned slot) {
  lmp_store_rel32(&me->c->cx_pwake[LMP_WANTS + slot], 0);
}

/* -- bells (bell.c) ------------------------------------------------------------------------------ */

/* lmp_bell_claim: a bell for this process. LMP_E_NOSLOT: all are taken. lmp_bell_free gives it back;
 * lmp_bell_free_all: all of the dead process `slot`, by its reaper. */
LMP_NODISCARD lmp_err lmp_bell_claim(lmp_me *me, uint32_t *number);
void lmp_bell_free(lmp_arena *a, uint32_t number);
void lmp_bell_free_all(lmp_arena *a, uint32_t slot);
/* lmp_bell_empty: the bell is not rung from now on; `how` the owner is going to wait: LMP_BELL_FUTEX,
 * LMP_BELL_SOCKET, 0: not at all. */
static inline void lmp_bell_empty(const lmp_arena *a, uint32_t number, uint32_t how) {
  lmp_xchg_ar32(&a->bells[number].be_word, how);
  lmp_fence_after_rmw(); /* before the flags are looked at; pairs with the one in lmp_flag_wake_slow */
}
/* lmp_bell_arm: whoever wakes the sleepers behind the flag next rings the bell, once. The caller has
 * emptied the bell; when it has armed all flags it makes a full fence, then looks. */
void lmp_bell_arm(uint64_t *flag, uint32_t number);
/* lmp_bell_ring: rings the bells of some bits of a flag. lmp_bell_ring_one: as who `ends` the work of a
 * dead ringer, a bell that has been rung, too. lmp_bell_ring_all: all of them, so. */
void lmp_bell_ring(const lmp_arena *a, uint64_t bits);
void lmp_bell_ring_one(const lmp_arena *a, uint32_t number, bool ends);
void lmp_bell_ring_all(const lmp_arena *a);
/* lmp_bell_name: what the bell's socket is called. */
lmp_bell_id lmp_bell_name(const lmp_arena *a, uint32_t number);

/* -- reaper (reap.c) ----------------------------------------------------------------------------- */

/* lmp_reap_ctx: repairs what the dead context `index` left half-done and frees it. Takes no lock: may be
 * called with locks held. False, and nothing done, when another live thread is at it. */
bool lmp_reap_ctx(lmp_me *me, uint32_t index);
/* lmp_abandon: gives up what context `id` owns in objects: its own, or a dead one by its reaper. */
void lmp_abandon(lmp_me *me, uint32_t id);
/* lmp_reap_proc: when process `slot` is dead: repairs its contexts, takes it off all objects, frees the
 * slot. False while it cannot be (not dead; still being torn down). No lock may be held. */
bool lmp_reap_proc(lmp_me *me, uint32_t slot);
/* lmp_reap_all: looks for the dead and reaps them, destroys orphans; what anybody does now and then.
 * Returns how many processes are dead but not yet reaped. No lock may be held. */
unsigned lmp_reap_all(lmp_me *me);

#endif
