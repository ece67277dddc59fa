/* process/fork.c: starting a process by fork.
 * SPDX-License-Identifier: MIT
 *
 * The parent makes the child's slot and process object, and makes the child a holder of all that it
 * may reach, before the fork: from then on the child owns its share whatever happens to the parent.
 * CRASH: parent killed before the fork: the slot stays STARTING and is given up after a while. Child
 * killed before it is ALIVE: the parent buries it by pid. */
#include <errno.h>

#include "base/debug.h"
#include "os/os.h"
#include "process/process.h"

typedef struct plan {
  lmp_me *me;
  lmp_handle h;
  uint32_t slot, gen;
} plan;

static lmp_err make_object(lmp_family *f, const lmp_start *s, plan *p) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(p->me, LMP_KIND_PROCESS, s->name, s->namelen, &o);
  if (e) return e;
  lmp_process_of(o)->ps_daemon = s->daemon;
  lmp_tx_begin(p->me);
  p->h = lmp_obj_publish(p->me, o);
  e = lmp_proc_claim(&f->a, f->a.proc, &p->slot);
  if (e) {
    lmp_obj_unref(p->me, p->h);
    return e;
  }
  lmp_proc *proc = &f->a.procs[p->slot];
  p->gen = lmp_proc_gen(&f->a, p->slot);
  lmp_process_of(o)->ps_slot = p->slot;
  proc->pr_obj = p->h;
  proc->pr_parent = f->self;
  proc->pr_detached = s->detached;
  lmp_obj_give(p->me, p->h, p->slot);
  lmp_obj_give(p->me, f->self, p->slot);
  for (size_t i = 0; i < s->nreach; i++) lmp_obj_give(p->me, s->reach[i], p->slot);
  return LMP_OK;
}

static lmp_err plan_fork(lmp_family *f, const lmp_start *s, plan *p) {
  lmp_err e = lmp_family_me(f, &p->me);
  if (e) return e;
  if (lmp_os_threads() > 1) return LMP_E_REFUSED;
  lmp_children_poll(f, p->me);
  if (!lmp_children_reserve(f)) return LMP_E_NOMEM;
  if (f->null_fd < 0) f->null_fd = lmp_os_null();
  e = make_object(f, s, p);
  if (e == LMP_E_NOSLOT) { /* the dead may be in the way */
    lmp_reap_all(p->me);
    e = make_object(f, s, p);
  }
  return e;
}

/* In the child. Without a place in the family there is nothing it could say. */
static void enter_child(lmp_family *f, const lmp_start *s, const plan *p, int64_t parent_pid) {
  lmp_os_child_setup(parent_pid, !s->detached, f->null_fd);
  if (lmp_family_adopt_child(f, p->slot, p->gen, p->h)) lmp_os_exit(1);
  lmp_store_rlx64(&f->a.procs[p->slot].pr_since, 0);
  lmp_store_rel64(&lmp_process_of(lmp_obj_at(&f->a, p->h.obj))->ps_pid, (uint64_t)lmp_os_pid());
}

static void enter_parent(lmp_family *f, const lmp_start *s, const plan *p, int64_t pid) {
  lmp_child child = {.h = p->h,
                     .pid = pid,
                     .pidfd = lmp_os_pidfd(pid),
                     .slot = p->slot,
                     .gen = p->gen,
                     .daemon = s->daemon,
                     .detached = s->detached};
  lmp_store_rel64(&lmp_process_of(lmp_obj_at(&f->a, p->h.obj))->ps_pid, (uint64_t)pid);
  lmp_store_rel64(&f->a.procs[p->slot].pr_start, lmp_os_boot_time());
  lmp_children_add(f, p->me, &child);
  lmp_log(f, LMP_LOG_INFO, "started process '%.*s' (pid %lld)", (int)s->namelen, s->name,
          (long long)pid);
}

lmp_err lmp_process_fork(lmp_family *f, const lmp_start *s, lmp_handle *h, bool *in_child) {
  plan p;
  int64_t pid;
  int64_t self = lmp_os_pid();
  lmp_err e = plan_fork(f, s, &p);
  if (e) return e;
  *h = p.h;
  e = lmp_os_fork(&pid);
  if (e) {
    int saved = errno;
    lmp_obj_release_all(p.me, p.slot);
    lmp_proc_giveup(&f->a, p.slot);
    lmp_obj_unref(p.me, p.h);
    errno = saved;
    return e;
  }
  *in_child = pid == 0;
  if (pid == 0) {
    enter_child(f, s, &p, self);
  } else {
    enter_parent(f, s, &p, pid);
  }
  return LMP_OK;
}
