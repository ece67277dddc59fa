/* sync/semaphore.c: the semaphore that counts signals.
 * SPDX-License-Identifier: MIT
 *
 * Design. One word holds how many permits were ever released (the first ones at its making) and how many
 * were taken; an acquire or a release is one swap of it.
 *   SE1 0 <= released - taken <= the greatest value.
 *   SE2 who sleeps found released == taken. Only a release changes the half that is slept on, and that
 *       change is the commit: a sleeper that looked before it does not fall asleep after it.
 *   SE3 where there are permits and sleepers, a wake is on its way, or owed in cx_pwake of a releaser, or
 *       taken by one whose wait record still stands, or its taker found the permit gone. Each release
 *       wakes one; a wake that is taken and not used is passed on.
 * A permit is a signal and no property: who is killed with it has taken it, and no reaper gives it back. */
#include "sync/semaphore.h"

static uint32_t pos_released(lmp_spos p) { return (uint32_t)(p >> 32); }
static uint32_t pos_value(lmp_spos p) { return (uint32_t)(p >> 32) - (uint32_t)p; }
/* One more taken; the sum does not run over into the other half. */
static lmp_spos pos_take(lmp_spos p) { return (p & ~(uint64_t)UINT32_MAX) | (uint32_t)(p + 1); }

#define ONE_RELEASED (UINT64_C(1) << 32)

/* The half that is slept on (little endian). */
static uint32_t *pos_word(lmp_semaphore *s) { return (uint32_t *)(void *)&s->se_pos + 1; }

/* Ready: an acquire would not wait. */
static bool semaphore_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  (void)me;
  *flag = &lmp_semaphore_of(o)->se_flag;
  return lmp_semaphore_value(o) != 0;
}

const lmp_kind lmp_semaphore_kind = {.name = "Semaphore", .watch = semaphore_watch};

lmp_err lmp_semaphore_new(lmp_me *me, const char *name, size_t namelen, uint32_t value,
                          lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_SEMAPHORE, name, namelen, &o);
  if (e) return e;
  lmp_semaphore_of(o)->se_pos = (uint64_t)value << 32;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

/* Takes a permit; false when there was none, at *pos. */
static bool try_take(lmp_semaphore *s, lmp_spos *pos) {
  *pos = lmp_load_acq64(&s->se_pos); /* pairs with the release: what was done before it is seen */
  while (pos_value(*pos) != 0) {
    if (lmp_cas_ar64(&s->se_pos, pos, pos_take(*pos))) return true;
  }
  return false;
}

static LMP_NOINLINE lmp_err acquire_slow(lmp_me *me, lmp_obj *o, lmp_spos pos, uint64_t deadline) {
  lmp_semaphore *s = lmp_semaphore_of(o);
  lmp_err e = LMP_OK;
  lmp_wait_begin(me, o, pos_word(s), deadline);
  for (;;) {
    lmp_flag_raise(&s->se_flag, pos_released(pos));
    /* SE2: if nobody released since `pos` there is still none; the futex looks again. */
    e = lmp_wait_sleep(me, pos_word(s), pos_released(pos), deadline);
    if (try_take(s, &pos)) {
      e = LMP_OK;
      break;
    }
    if (e) break;
  }
  /* A wake that we took and leave without having used belongs to another. */
  if (e) lmp_flag_wake(me->a, &s->se_flag, pos_word(s), 1);
  lmp_wait_end(me);
  return e;
}

lmp_err lmp_semaphore_acquire(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_semaphore *s = lmp_semaphore_of(o);
  lmp_spos pos;
  if (LMP_LIKELY(try_take(s, &pos))) return LMP_OK;
  if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  if (lmp_spin(me, pos_word(s), pos_released(pos), false) && try_take(s, &pos)) return LMP_OK;
  return acquire_slow(me, o, pos, deadline);
}

lmp_err lmp_semaphore_release(lmp_me *me, lmp_obj *o) {
  lmp_semaphore *s = lmp_semaphore_of(o);
  lmp_spos pos = lmp_load_rlx64(&s->se_pos);
  lmp_owe(me, 0, pos_word(s));
  do {
    if (pos_value(pos) >= LMP_SEMAPHORE_MAX) {
      lmp_owe_none(me, 0);
      return LMP_E_INVAL;
    }
  } while (!lmp_cas_ar64(&s->se_pos, &pos, pos + ONE_RELEASED));
  /* CRASH: here: the permit is there; cx_pwake owes the sleepers. */
  lmp_fence_after_rmw(); /* the position before the flag; pairs with lmp_flag_raise */
  lmp_flag_wake(me->a, &s->se_flag, pos_word(s), 1);
  lmp_owe_none(me, 0);
  return LMP_OK;
}

uint32_t lmp_semaphore_value(const lmp_obj *o) {
  return pos_value(lmp_load_acq64(&lmp_semaphore_of(o)->se_pos));
}
