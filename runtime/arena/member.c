/* arena/member.c: how processes and threads come and go.
 * SPDX-License-Identifier: MIT
 *
 * A process slot: FREE -> STARTING (by the creator) -> ALIVE (by the process itself, which then holds
 * the life byte of the slot) -> DEAD (by a reaper) -> FREE. The slot and its generation are the identity
 * of a process; pid and start time are only information.
 *   M1 ALIVE implies that the life byte was taken before.
 *   M2 STARTING becomes ALIVE or DEAD by one CAS of the state with the generation: a child that comes
 *      too late learns it, also when the slot is STARTING again, for another.
 * A context: FREE -> TAKING -> LIVE -> FREE. Its life word means something while it is LIVE. */
#include "arena/arena.h"
#include "os/os.h"

/* A process starts so long after its slot was taken, at most; its creator then knows better. */
#define START_SLACK (LMP_SEC / 2)

/* Grows a high-water mark to at least `n`. */
static void raise_mark(uint32_t *mark, uint32_t n) {
  uint32_t old = lmp_load_acq32(mark);
  while (old < n && !lmp_cas_ar32(mark, &old, n)) {
  }
}

lmp_err lmp_proc_claim(lmp_arena *a, uint32_t creator, uint32_t *slot) {
  for (uint32_t i = 0; i < a->h->hd_nproc; i++) {
    lmp_proc *p = &a->procs[i];
    uint32_t word = lmp_load_acq32(&p->pr_state);
    if ((word & 0xff) != LMP_PROC_FREE) continue;
    /* Raised first: a reaper must find the slot if we are killed after the swap. */
    raise_mark(&a->h->hd_proc_hwm, i + 1);
    if (!lmp_swap_if32(&p->pr_state, word, LMP_PROC_WORD(LMP_PROC_STARTING, word >> 8))) continue;
    /* CRASH: before: nobody's child, since no time; whoever looks starts the clock. */
    lmp_store_rel32(&p->pr_creator, creator);
    lmp_store_rel64(&p->pr_since, lmp_os_now());
    p->pr_pid = 0;
    p->pr_start = lmp_os_boot_time() + START_SLACK;
    p->pr_obj = p->pr_parent = (lmp_handle){0, 0};
    p->pr_detached = 0;
    *slot = i;
    return LMP_OK;
  }
  return LMP_E_NOSLOT;
}

lmp_err lmp_proc_enter(lmp_arena *a, uint32_t slot, uint32_t gen) {
  lmp_proc *p = &a->procs[slot];
  lmp_err e = lmp_os_byte_lock(a->life_fd, slot);
  if (e) return e;
  /* Under the life byte: the rightful owner writes it after a late one. */
  lmp_store_rlx64(&p->pr_pid, (uint64_t)lmp_os_pid());
  if (!lmp_swap_if32(&p->pr_state, LMP_PROC_WORD(LMP_PROC_STARTING, gen),
                     LMP_PROC_WORD(LMP_PROC_ALIVE, gen))) {
    lmp_os_byte_unlock(a->life_fd, slot);
    return LMP_E_GONE;
  }
  a->proc = slot;
  return LMP_OK;
}

void lmp_proc_giveup(lmp_arena *a, uint32_t slot) {
  lmp_proc *p = &a->procs[slot];
  uint32_t gen = lmp_proc_gen(a, slot);
  lmp_store_rel64(&p->pr_since, 0);
  lmp_store_rel32(&p->pr_creator, UINT32_MAX);
  lmp_swap_if32(&p->pr_state, LMP_PROC_WORD(LMP_PROC_STARTING, gen),
                LMP_PROC_WORD(LMP_PROC_FREE, gen + 1));
}

void lmp_proc_bury(lmp_arena *a, uint32_t slot, uint32_t gen) {
  lmp_swap_if32(&a->procs[slot].pr_state, LMP_PROC_WORD(LMP_PROC_STARTING, gen),
                LMP_PROC_WORD(LMP_PROC_DEAD, gen));
}

lmp_err lmp_me_attach(lmp_arena *a, lmp_me *me) {
  for (uint32_t i = 0; i < a->h->hd_nctx; i++) {
    lmp_ctx *c = &a->ctxs[i];
    if (lmp_load_acq32(&c->cx_state) != LMP_CTX_FREE) continue;
    raise_mark(&a->h->hd_ctx_hwm, i + 1);
    if (!lmp_swap_if32(&c->cx_state, LMP_CTX_FREE, LMP_CTX_STATE(LMP_CTX_TAKING, a->proc)))
      continue;
    /* CRASH: TAKING: the reaper of the process frees the slot. */
    lmp_err e = lmp_os_life_take(&c->cx_life);
    if (e) {
      lmp_store_rel32(&c->cx_state, LMP_CTX_FREE);
      return e;
    }
    *me = (lmp_me){.a = a, .c = c, .id = i + 1, .bell_fd = -1};
    lmp_store_rel32(&c->cx_serial, lmp_load_rlx32(&c->cx_serial) + 1);
    lmp_store_rel32(&c->cx_state, LMP_CTX_STATE(LMP_CTX_LIVE, a->proc));
    return LMP_OK;
  }
  return LMP_E_NOSLOT;
}

void lmp_me_detach(lmp_me *me) {
  lmp_wait_end(me);
  lmp_abandon(me, me->id);
  lmp_store_rel32(&me->c->cx_owns, 0);
  /* CRASH: before: the reaper abandons it all, once more perhaps. */
  if (me->bell) lmp_bell_free(me->a, me->bell - 1);
  if (me->bell_fd >= 0) lmp_os_close(me->bell_fd);
  lmp_os_life_drop(&me->c->cx_life);
  /* CRASH: LIVE with a free life word looks alive until the process ends; then it is reaped. */
  lmp_store_rel32(&me->c->cx_state, LMP_CTX_FREE);
  *me = (lmp_me){0};
}

bool lmp_ctx_dead(const lmp_arena *a, uint32_t index) {
  lmp_ctx *c = &a->ctxs[index];
  /* The state first: the mark of a slot's last owner must not be taken for that of its next one. */
  return (lmp_load_acq32(&c->cx_state) & 0xff) == LMP_CTX_LIVE &&
         (lmp_load_acq32(lmp_os_life_word(&c->cx_life)) & LMP_LIFE_DEAD);
}

bool lmp_ctx_is(const lmp_arena *a, uint32_t id, uint32_t serial) {
  const lmp_ctx *c = &a->ctxs[id - 1];
  if ((lmp_load_acq32(&c->cx_state) & 0xff) != LMP_CTX_LIVE) return false;
  uint32_t life = lmp_load_acq32(lmp_os_life_word((lmp_life *)(uintptr_t)&c->cx_life));
  /* 0: on its way out, or killed there. The serial last: while it is the same, what was seen before was
   * that thread's. */
  return life != 0 && !(life & LMP_LIFE_DEAD) && lmp_load_acq32(&c->cx_serial) == serial;
}

bool lmp_proc_dead(const lmp_arena *a, uint32_t slot) {
  uint32_t state = lmp_proc_state(a, slot);
  if (state == LMP_PROC_DEAD) return true;
  if (state != LMP_PROC_ALIVE || slot == a->proc) return false;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_ctx_hwm);
  for (uint32_t i = 0; i < hwm; i++) {
    lmp_ctx *c = &a->ctxs[i];
    uint32_t s = lmp_load_acq32(&c->cx_state);
    if (s == LMP_CTX_STATE(LMP_CTX_LIVE, slot) && !lmp_ctx_dead(a, i) &&
        lmp_load_acq32(lmp_os_life_word(&c->cx_life)) != 0) {
      return false;
    }
  }
  return lmp_os_byte_held(a->life_fd, slot) == 0;
}
