/* arena/wait.c: sleeping on a word so that neither a wake nor a death is lost.
 * SPDX-License-Identifier: MIT
 *
 *   W1 cx_wait_n is set before the word is looked at for the last time, and cleared only when the
 *      operation is complete or given up. Cleared right after the sleep it would lose a wake: a thread
 *      that was woken and is killed before it acts must have it passed on.
 *   W2 a sleeper that was woken looks at the object again before it gives up.
 *   W3 ticks are belt and braces for wakes, and the time at which the living look after the dead, and for a
 *      signal that came between the last look and the sleep. Only who timed out ends with LMP_E_INTR then, so
 *      that no wake is lost. */
#include "arena/arena.h"
#include "base/debug.h"
#include "os/os.h"

/* While a dead process is still being torn down. */
#define TICK_DYING (2 * LMP_MSEC)

/* Pauses, of about 20 ns, before looking again at a word that another processor writes. Each look takes
 * the line away from the writer, and who looks seldom finds several messages at once; but who has put
 * something since it last got waits for an answer, and looks at once, then less and less often. And the
 * most and least pauses in all before sleeping: at most about as long as a wake-up costs. */
#define SPIN_FIRST 4u
#define SPIN_STEP 256u
#define SPIN_MOST 512u
#define SPIN_LEAST 64u
/* Each so many times in vain it is tried at length once more: two who answer each other, and have both begun to
 * sleep, find out that they need not. */
#define SPIN_PROBE 16u

bool lmp_spin(lmp_me *me, const uint32_t *word, uint32_t seen, bool soon) {
  uint32_t step = soon ? SPIN_FIRST : SPIN_STEP;
  if (me->a->cpus < 2) return false;
  if (me->spin < SPIN_LEAST || me->naps % SPIN_PROBE == SPIN_PROBE - 1) me->spin = SPIN_MOST;
  for (uint32_t spent = 0; spent < me->spin; spent += step) {
    if (spent) step = step * 2 < SPIN_STEP ? step * 2 : SPIN_STEP;
    if (step > me->spin - spent) step = me->spin - spent;
    for (uint32_t i = 0; i < step; i++) lmp_os_relax();
    if (lmp_load_rlx32(word) != seen) {
      me->spin = me->spin * 2 < SPIN_MOST ? me->spin * 2 : SPIN_MOST;
      return true;
    }
  }
  me->spin = me->spin / 2 > SPIN_LEAST ? me->spin / 2 : SPIN_LEAST;
  me->naps++;
  return false;
}

void lmp_wait_begin(lmp_me *me, const lmp_obj *obj, const uint32_t *word, uint64_t deadline) {
  lmp_ctx *c = me->c;
  uint32_t off = lmp_off32(me->a, word);
  uint32_t n = lmp_load_rlx32(&c->cx_wait_n);
  lmp_store_rlx32(&c->cx_wait_obj, obj ? (uint32_t)(obj - me->a->objs) : 0);
  lmp_store_rlx32(&c->cx_wait_flags, deadline != LMP_FOREVER);
  for (uint32_t i = 0; i < n; i++) {
    if (lmp_load_rlx32(&c->cx_wait_word[i]) == off) return;
  }
  lmp_check(n < LMP_WAIT_MAX);
  lmp_store_rel32(&c->cx_wait_word[n], off);
  lmp_store_rel32(&c->cx_wait_n, n + 1);
}

lmp_err lmp_wait_sleep(lmp_me *me, uint32_t *word, uint32_t value, uint64_t deadline) {
  uint64_t tick = lmp_tick(me->a, 0);
  lmp_waitword w = {word, value};
  for (;;) {
    uint64_t now = lmp_os_now();
    uint64_t until = lmp_min_u64(deadline, now + tick);
    lmp_woke woke = lmp_os_futex_wait(&w, 1, until);
    if (woke == LMP_WOKEN || woke == LMP_CHANGED) return LMP_OK;
    if (woke == LMP_SIGNALLED) return LMP_E_INTR;
    if (until == deadline) return LMP_E_TIMEOUT;
    unsigned dying = lmp_reap_all(me);
    if (lmp_load_acq32(word) != value) return LMP_OK;
    if (lmp_interrupted(me->a)) return LMP_E_INTR;
    tick = dying ? TICK_DYING : lmp_tick(me->a, tick);
  }
}

void lmp_flag_raise(uint64_t *flag, uint32_t value) {
  uint64_t old = lmp_load_rlx64(flag);
  while (!((old & LMP_FLAG_RAISED) && (int32_t)((uint32_t)old - value) > 0) &&
         !lmp_cas_ar64(flag, &old, (old & LMP_FLAG_BELLS) | LMP_FLAG_RAISED | value)) {
  }
  lmp_fence_sc(); /* pairs with the fence after the waker's change of the word */
}

LMP_NOINLINE void lmp_flag_wake_slow(const lmp_arena *a, uint64_t *flag, uint32_t *word,
                                     unsigned n) {
  uint64_t seen = lmp_load_acq64(flag);
  if (seen & LMP_FLAG_BELLS) {
    seen = lmp_and_ar64(flag, ~LMP_FLAG_BELLS);
    lmp_fence_after_rmw(); /* the bits before the bells; pairs with the one in lmp_bell_empty */
    /* CRASH: here: nobody else rings for these bits; the reaper rings all bells. */
    lmp_bell_ring(a, seen & LMP_FLAG_BELLS);
    seen &= ~LMP_FLAG_BELLS;
  }
  if (!(seen & LMP_FLAG_RAISED)) return;
  bool moved = lmp_load_acq32(word) != (uint32_t)seen;
  if (lmp_os_futex_wake(word, n) == 0 && moved) lmp_swap_if64(flag, seen, 0);
}
