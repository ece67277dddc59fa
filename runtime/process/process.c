/* process/process.c: process objects: their end, their result, waiting for them.
 * SPDX-License-Identifier: MIT */
#include "process/process.h"

#include <string.h>

#include "base/debug.h"
#include "os/os.h"

/* How often a waiter looks when it cannot be told: the process is dead but not yet reported. */
#define DYING_TICK LMP_MSEC
#define JOIN_TICK (100 * LMP_MSEC)

/* -- the object ---------------------------------------------------------------------------------- */

static void process_destroy(lmp_me *me, lmp_obj *o) {
  lmp_process *p = lmp_process_of(o);
  uint64_t block = p->ps_result;
  if (!block) return;
  if (p->ps_result_nh) {
    lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
    lmp_collect_ask(me, NULL);
  }
  lmp_lock(me, &p->ps_lock); /* against a collector that is looking through it */
  lmp_tx_begin(me);
  lmp_tx_owner(me, block, me->id);
  lmp_tx_set64(me, &p->ps_result, 0);
  lmp_tx_commit(me);
  lmp_unlock(me, &p->ps_lock);
  lmp_free(me, block);
}

static void process_trace(lmp_me *me, lmp_obj *o) {
  lmp_process *p = lmp_process_of(o);
  lmp_lock(me, &p->ps_lock); /* a result that is being set is either there or stamped afterwards */
  uint64_t block = p->ps_result;
  uint32_t n = block ? p->ps_result_nh : 0;
  const lmp_handle *handles = lmp_at(me->a, block);
  for (uint32_t i = 0; i < n; i++) lmp_collect_mark(me, handles[i]);
  lmp_unlock(me, &p->ps_lock);
}

static bool process_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  (void)me;
  lmp_process *p = lmp_process_of(o);
  *flag = &p->ps_flag;
  return lmp_load_acq32(&p->ps_exit) != 0;
}

const lmp_kind lmp_process_kind = {
    .name = "Process",
    .destroy = process_destroy,
    .trace = process_trace,
    .watch = process_watch,
};

void lmp_process_exit_set(lmp_me *me, lmp_obj *o, uint32_t exit) {
  lmp_process *p = lmp_process_of(o);
  lmp_owe(me, 0, &p->ps_exit);
  if (lmp_swap_if32(&p->ps_exit, 0, exit)) {
    lmp_fence_after_rmw();
    lmp_flag_wake(me->a, &p->ps_flag, &p->ps_exit, INT32_MAX);
  }
  lmp_owe_none(me, 0);
}

lmp_err lmp_process_result_set(lmp_me *me, lmp_obj *o, uint32_t kind, const lmp_msg *m) {
  lmp_process *p = lmp_process_of(o);
  uint64_t block;
  size_t handles = m->nhandles * sizeof(lmp_handle);
  if (m->len == 0) {
    lmp_store_rel32(&p->ps_result_kind, kind);
    return LMP_OK;
  }
  lmp_err e = lmp_alloc_wait(me, m->len + handles, LMP_FOREVER, &block);
  if (e) return e;
  uint8_t *at = lmp_at(me->a, block);
  if (handles) memcpy(at, m->handles, handles);
  at += handles;
  for (uint32_t i = 0; i < m->niov; i++) {
    memcpy(at, m->iov[i].data, m->iov[i].len);
    at += m->iov[i].len;
  }
  lmp_lock(me, &p->ps_lock);
  for (uint32_t i = 0; i < m->nhandles; i++) lmp_obj_stamp(me, m->handles[i]);
  lmp_tx_begin(me);
  lmp_tx_owner(me, block, LMP_TAG_SHARED);
  lmp_tx_set64(me, &p->ps_result_len, m->len);
  lmp_tx_set32(me, &p->ps_result_nh, m->nhandles);
  lmp_tx_set64(me, &p->ps_result, block);
  lmp_tx_set32(me, &p->ps_result_kind, kind);
  lmp_tx_commit(me);
  lmp_unlock(me, &p->ps_lock);
  return LMP_OK;
}

/* -- waiting ------------------------------------------------------------------------------------- */

/* The life word of a thread of process `slot`: that it dies is the first news of the process's death.
 * NULL when there is none, or when it is dead already. */
static uint32_t *life_of(lmp_arena *a, uint32_t slot) {
  uint32_t hwm = lmp_load_acq32(&a->h->hd_ctx_hwm);
  for (uint32_t i = 0; i < hwm; i++) {
    lmp_ctx *c = &a->ctxs[i];
    if (lmp_load_acq32(&c->cx_state) == LMP_CTX_STATE(LMP_CTX_LIVE, slot) && !lmp_ctx_dead(a, i)) {
      return lmp_os_life_word(&c->cx_life);
    }
  }
  return NULL;
}

static lmp_err wait_result(const lmp_me *me, lmp_woke woke, bool last) {
  if (woke == LMP_SIGNALLED) return LMP_E_INTR;
  if (woke != LMP_TIMED_OUT) return LMP_OK;
  if (last) return LMP_E_TIMEOUT;
  return lmp_interrupted(me->a) ? LMP_E_INTR : LMP_OK;
}

static lmp_err wait_exit(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_process *p = lmp_process_of(o);
  lmp_waitword w[2] = {{&p->ps_exit, 0}};
  uint32_t *life = life_of(me->a, p->ps_slot);
  unsigned n = 1;
  if (life) {
    w[n++] = (lmp_waitword){life, lmp_load_acq32(life)};
    if (w[1].value & LMP_LIFE_DEAD) return LMP_OK;
  }
  lmp_flag_raise(&p->ps_flag, 0);
  uint64_t tick = lmp_os_now() + (life ? JOIN_TICK : DYING_TICK);
  uint64_t until = lmp_min_u64(deadline, tick);
  lmp_woke woke = lmp_os_futex_wait(w, n, until);
  if (woke == LMP_TIMED_OUT && life) lmp_reap_all(me); /* it may be an orphan that does not go */
  return wait_result(me, woke, until == deadline);
}

static lmp_err wait_child(lmp_me *me, const lmp_child *child, uint64_t deadline) {
  uint64_t until = lmp_min_u64(deadline, lmp_os_now() + JOIN_TICK);
  lmp_woke woke = lmp_os_wait_fd(child->pidfd, until);
  if (woke == LMP_TIMED_OUT) lmp_reap_all(me);
  return wait_result(me, woke, until == deadline);
}

uint32_t lmp_process_poll(lmp_family *f, lmp_me *me, lmp_handle h) {
  lmp_process *p = lmp_process_of(lmp_obj_at(me->a, h.obj));
  lmp_child child;
  if (lmp_children_find(f, h, &child)) {
    lmp_children_poll(f, me);
  } else if (lmp_load_acq32(&p->ps_exit) == 0 && p->ps_slot != me->a->proc) {
    lmp_watched_open(f, h, p->ps_slot);
    if (!life_of(me->a, p->ps_slot)) lmp_reap_all(me);
  }
  uint32_t exit = lmp_load_acq32(&p->ps_exit);
  if (exit && f->nwatched) lmp_watched_trim(f);
  return exit;
}

lmp_err lmp_process_join(lmp_family *f, lmp_me *me, lmp_handle h, uint64_t deadline) {
  lmp_obj *o = lmp_obj_at(me->a, h.obj);
  lmp_child child;
  lmp_err e = LMP_OK;
  for (;;) {
    bool mine = lmp_children_find(f, h, &child);
    uint32_t exit = lmp_process_poll(f, me, h);
    /* A child of ours may have published its end, but it has ended when the system says so. */
    if (exit && (!mine || !lmp_children_find(f, h, &child))) return LMP_OK;
    if (e) return e;
    if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
    e = mine && child.pidfd >= 0 ? wait_child(me, &child, deadline) : wait_exit(me, o, deadline);
  }
}

static bool is_starting(const lmp_arena *a, uint32_t slot, lmp_handle h) {
  const lmp_proc *p = &a->procs[slot];
  return lmp_proc_state(a, slot) == LMP_PROC_STARTING && p->pr_obj.obj == h.obj &&
         p->pr_obj.gen == h.gen;
}

void lmp_process_signal(lmp_family *f, lmp_me *me, lmp_handle h, int sig) {
  lmp_process *p = lmp_process_of(lmp_obj_at(me->a, h.obj));
  lmp_child child;
  if (lmp_process_poll(f, me, h)) return;
  if (lmp_children_find(f, h, &child)) {
    lmp_os_kill(child.pid, child.pidfd, sig);
  } else if (p->ps_slot == me->a->proc || is_starting(me->a, p->ps_slot, h) ||
             lmp_os_byte_held(me->a->life_fd, p->ps_slot) == 1) {
    /* Its parent publishes how it ended before it gives the number back to the system. */
    lmp_os_kill((int64_t)lmp_load_acq64(&p->ps_pid), -1, sig);
  }
}
