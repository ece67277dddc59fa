/* process/wait.c: waiting for several things of which some are processes.
 * SPDX-License-Identifier: MIT
 *
 * The end of a process is told by its pidfd, at once and however it ended; what a process publishes
 * itself is only the usual case of that. A member that is not our child may be found dead before its
 * files are closed and its status is known: then we look again every millisecond, as a join does. */
#include "process/wait.h"

#include <stdlib.h>

#include "os/os.h"

#define DYING_TICK LMP_MSEC
#define CAP_FIRST 16u

bool lmp_wanteds_add(lmp_wanteds *l, lmp_obj *obj, int fd) {
  if (l->n == l->cap) {
    uint32_t cap = l->cap ? l->cap * 2 : CAP_FIRST;
    lmp_wanted *item = realloc(l->item, cap * sizeof *item);
    if (!item) return false;
    l->item = item;
    l->cap = cap;
  }
  l->item[l->n++] = (lmp_wanted){.obj = obj, .fd = fd};
  return true;
}

void lmp_wanteds_fini(lmp_wanteds *l) {
  free(l->item);
  lmp_waiter_fini(&l->waiter);
  *l = (lmp_wanteds){0};
}

static bool is_process(const lmp_wanted *it) {
  return it->obj && it->obj->ob_kind == LMP_KIND_PROCESS;
}

/* Finds what tells the end of the process; sets `ready` when it is over already. */
static void open_process(lmp_family *f, lmp_me *me, lmp_wanted *it) {
  lmp_process *p = lmp_process_of(it->obj);
  lmp_handle h = lmp_handle_of(me->a, it->obj);
  lmp_child child;
  it->fd = -1;
  it->ours = it->ready = false;
  if (lmp_children_find(f, h, &child)) {
    it->fd = child.pidfd;
    return;
  }
  it->ready = lmp_load_acq32(&p->ps_exit) != 0;
  uint64_t pid = lmp_load_acq64(&p->ps_pid);
  if (it->ready || !pid) return;
  lmp_watched_open(f, h, p->ps_slot);
  it->fd = lmp_os_pidfd((int64_t)pid);
  it->ours = it->fd >= 0;
  /* It lives, still: so the number was its own when the descriptor was opened. */
  if (!it->ours || lmp_os_byte_held(me->a->life_fd, p->ps_slot) == 1) return;
  lmp_os_close(it->fd);
  it->fd = -1;
  it->ours = false;
}

static void close_processes(lmp_wanteds *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    if (l->item[i].ours) lmp_os_close(l->item[i].fd);
    l->item[i].ours = false;
  }
}

/* Fills the waiter, item by item. *until becomes earlier where something has to be looked at again. */
static lmp_err prepare(lmp_family *f, lmp_me *me, lmp_wanteds *l, uint64_t *until) {
  lmp_waiter_clear(&l->waiter);
  for (uint32_t i = 0; i < l->n; i++) {
    lmp_wanted *it = &l->item[i];
    bool process = is_process(it);
    if (process) {
      open_process(f, me, it);
      if (it->ready) *until = LMP_NOWAIT;
      if (!it->ready && it->fd < 0) *until = lmp_min_u64(*until, lmp_os_now() + DYING_TICK);
    }
    bool by_fd = !it->obj || (process && it->fd >= 0);
    bool ok = by_fd ? lmp_waiter_fd(&l->waiter, it->fd) : lmp_waiter_obj(&l->waiter, it->obj);
    if (!ok) return LMP_E_NOMEM;
  }
  return LMP_OK;
}

/* Its end is published and, of a child of ours, which may have published it itself, the system says so, too:
 * a join returns at once. */
static bool is_over(lmp_family *f, lmp_me *me, lmp_handle h) {
  lmp_child child;
  return lmp_process_poll(f, me, h) != 0 && !lmp_children_find(f, h, &child);
}

/* Takes over what is ready; true when anything is. `again`: a process ended that cannot be told yet. */
static bool result(lmp_family *f, lmp_me *me, lmp_wanteds *l, bool *again) {
  bool any = false;
  for (uint32_t i = 0; i < l->n; i++) {
    lmp_wanted *it = &l->item[i];
    bool fired = l->waiter.src[i].ready;
    if (is_process(it) && !it->ready && (fired || it->fd < 0)) {
      fired = is_over(f, me, lmp_handle_of(me->a, it->obj));
      *again |= !fired;
    }
    it->ready = it->ready || fired;
    any |= it->ready;
  }
  return any;
}

static lmp_err wait_round(lmp_family *f, lmp_me *me, lmp_wanteds *l, uint64_t deadline) {
  uint64_t until = deadline;
  bool again = false;
  for (uint32_t i = 0; i < l->n; i++) l->item[i].ready = false;
  lmp_err e = prepare(f, me, l, &until);
  if (!e) e = lmp_wait_any(me, &l->waiter, until);
  if (e == LMP_E_INVAL) l->bad = l->waiter.bad;
  if ((!e || e == LMP_E_TIMEOUT) && result(f, me, l, &again)) {
    e = LMP_OK;
  } else if (!e || (e == LMP_E_TIMEOUT && until != deadline)) {
    if (again && deadline != LMP_NOWAIT)
      (void)lmp_os_sleep(lmp_min_u64(deadline, lmp_os_now() + DYING_TICK));
    e = deadline != LMP_FOREVER && lmp_os_now() >= deadline ? LMP_E_TIMEOUT : LMP_E_DIED;
  }
  close_processes(l);
  return e;
}

lmp_err lmp_family_wait(lmp_family *f, lmp_me *me, lmp_wanteds *l, uint64_t deadline) {
  lmp_err e;
  do { /* LMP_E_DIED: of a process that is going to be ready; look again */
    e = wait_round(f, me, l, deadline);
    if (e == LMP_E_DIED && lmp_interrupted(me->a)) e = LMP_E_INTR;
  } while (e == LMP_E_DIED);
  return e;
}
