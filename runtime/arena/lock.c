/* arena/lock.c: the contended half of the internal lock.
 * SPDX-License-Identifier: MIT
 *
 * A lock is one word: 0, or the context id of its owner and LMP_LOCK_W when somebody may sleep on it.
 *   L1 a lock names a context exactly while that context is between the swap and the exchange, or dead
 *      and not reaped; cx_want of that context names the lock for longer than that.
 *   L2 whoever gets the lock after sleeping sets LMP_LOCK_W again: others may sleep.
 * A sleeper watches the lock and the owner's life word, so that the owner's death wakes one of them; the
 * tick covers the others, and systems without futex_waitv. */
#include "arena/arena.h"
#include "base/debug.h"

/* Critical sections last about 50 ns: a little spinning sees most of them end. */
#define LOCK_SPIN 60
#define LOCK_TICK (10 * LMP_MSEC)

static void lock_sleep(lmp_me *me, uint32_t *lock, uint32_t seen) {
  lmp_arena *a = me->a;
  uint32_t owner = (seen & ~LMP_LOCK_W) - 1;
  uint32_t *life = lmp_os_life_word(&a->ctxs[owner].cx_life);
  uint32_t alive = lmp_load_acq32(life);
  if (!lmp_ctx_dead(a, owner)) {
    lmp_waitword w[2] = {{lock, seen}, {life, alive}};
    lmp_os_futex_wait(w, 2, lmp_os_now() + LOCK_TICK);
  }
  if (lmp_load_acq32(lock) == seen && lmp_ctx_dead(a, owner) && !lmp_reap_ctx(me, owner)) {
    lmp_waitword w = {lock, seen}; /* another live thread is at it */
    lmp_os_futex_wait(&w, 1, lmp_os_now() + LMP_MSEC);
  }
}

LMP_NOINLINE void lmp_lock_slow(lmp_me *me, uint32_t *lock) {
  for (int i = 0; i < LOCK_SPIN && me->a->cpus > 1; i++) {
    lmp_os_relax();
    if (lmp_load_rlx32(lock) == 0 && lmp_swap_if32(lock, 0, me->id)) return;
  }
  for (;;) {
    uint32_t seen = lmp_load_acq32(lock);
    if ((seen & ~LMP_LOCK_W) == 0) {
      if (lmp_swap_if32(lock, seen, me->id | LMP_LOCK_W)) return;
      continue;
    }
    lmp_check((seen & ~LMP_LOCK_W) != me->id);
    if (!(seen & LMP_LOCK_W)) {
      if (!lmp_swap_if32(lock, seen, seen | LMP_LOCK_W)) continue;
      seen |= LMP_LOCK_W;
    }
    lock_sleep(me, lock, seen);
  }
}
