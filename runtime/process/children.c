/* process/children.c: the children of this process, and its end.
 * SPDX-License-Identifier: MIT
 *
 * Only children in this list are ever waited for, each by its own pid: a host's children are the
 * host's. The status stays with the system until the process object tells it, so that any other member
 * can read it, should we be killed in between. */
#include <stdlib.h>
#include <string.h>

#include "base/debug.h"
#include "os/os.h"
#include "process/process.h"

#define SIG_TERM 15
#define SIG_KILL 9
/* How long a child may take to die of SIGTERM; with an interrupted main process, less: nothing may be
 * left two seconds after Ctrl-C. */
#define TERM_GRACE (2 * LMP_SEC)
#define INTERRUPT_GRACE (LMP_SEC)

bool lmp_children_reserve(lmp_family *f) {
  bool ok = true;
  pthread_mutex_lock(&f->mu);
  if (f->nchildren == f->capchildren) {
    uint32_t cap = f->capchildren ? f->capchildren * 2 : 8;
    lmp_child *list = realloc(f->children, cap * sizeof *list);
    if (list) {
      f->children = list;
      f->capchildren = cap;
    } else {
      ok = false;
    }
  }
  pthread_mutex_unlock(&f->mu);
  return ok;
}

void lmp_children_add(lmp_family *f, lmp_me *me, const lmp_child *child) {
  lmp_obj_ref(me, child->h);
  pthread_mutex_lock(&f->mu);
  lmp_check(f->nchildren < f->capchildren);
  f->children[f->nchildren++] = *child;
  pthread_mutex_unlock(&f->mu);
}

void lmp_children_drop_all(lmp_family *f) {
  for (uint32_t i = 0; i < f->nchildren; i++) lmp_os_close(f->children[i].pidfd);
  f->nchildren = 0;
}

bool lmp_children_get(lmp_family *f, uint32_t i, lmp_child *child) {
  pthread_mutex_lock(&f->mu);
  bool found = i < f->nchildren;
  if (found) *child = f->children[i];
  pthread_mutex_unlock(&f->mu);
  return found;
}

bool lmp_children_find(lmp_family *f, lmp_handle h, lmp_child *child) {
  bool found = false;
  pthread_mutex_lock(&f->mu);
  for (uint32_t i = 0; i < f->nchildren && !found; i++) {
    found = f->children[i].h.obj == h.obj && f->children[i].h.gen == h.gen;
    if (found) *child = f->children[i];
  }
  pthread_mutex_unlock(&f->mu);
  return found;
}

/* Whether the child ended; *word is then its exit word. Someone else may have collected its status:
 * then the descriptor tells. */
static bool child_ended(const lmp_child *child, uint32_t *word) {
  lmp_exit end;
  int r = lmp_os_ended(child->pid, &end);
  if (r < 0) {
    if (child->pidfd >= 0 && lmp_os_wait_fd(child->pidfd, LMP_NOWAIT) == LMP_TIMED_OUT)
      return false;
    r = lmp_os_exit_status(child->pid, 0, child->pidfd, &end);
    if (r != 1) {
      *word = LMP_EXITED | LMP_BY_SIGNAL | LMP_UNKNOWN | SIG_KILL;
      return true;
    }
  }
  if (r != 1) return false;
  *word = LMP_EXITED | (end.signalled ? LMP_BY_SIGNAL : 0) | end.code;
  return true;
}

static void child_bury(lmp_family *f, lmp_me *me, const lmp_child *child, uint32_t word) {
  lmp_obj *o = lmp_obj_at(&f->a, child->h.obj);
  bool by_signal = word & LMP_BY_SIGNAL;
  lmp_log(f, LMP_LOG_INFO, "process '%.*s' (pid %lld) %s %u", (int)o->ob_namelen,
          lmp_obj_name(&f->a, o), (long long)child->pid,
          by_signal ? "was ended by signal" : "exited with status", word & 0xff);
  lmp_process_exit_set(me, o, word);
  lmp_os_collect(child->pid);
  lmp_os_close(child->pidfd);
  if (lmp_proc_gen(&f->a, child->slot) == child->gen) {
    /* It may have died before it took its slot; nobody else could tell. */
    lmp_proc_bury(&f->a, child->slot, child->gen);
    lmp_reap_proc(me, child->slot);
  }
  lmp_obj_unref(me, child->h);
}

void lmp_children_poll(lmp_family *f, lmp_me *me) {
  for (uint32_t i = 0;;) {
    lmp_child child;
    uint32_t word;
    pthread_mutex_lock(&f->mu);
    bool there = i < f->nchildren;
    if (there) child = f->children[i];
    bool ended = there && child_ended(&child, &word);
    if (ended) {
      memmove(&f->children[i], &f->children[i + 1], (f->nchildren - i - 1) * sizeof child);
      f->nchildren--;
    }
    pthread_mutex_unlock(&f->mu);
    if (!there) return;
    if (ended) {
      child_bury(f, me, &child, word);
    } else {
      i++;
    }
  }
}

/* -- the end of a process ------------------------------------------------------------------------ */

/* The first child that the end has to wait for. */
static bool pending(lmp_family *f, bool daemons, lmp_child *child) {
  for (uint32_t i = 0; lmp_children_get(f, i, child); i++) {
    if (!child->detached && (daemons || !child->daemon)) return true;
  }
  return false;
}

static void signal_all(lmp_family *f, int sig) {
  lmp_child child;
  for (uint32_t i = 0; lmp_children_get(f, i, &child); i++) {
    if (!child.detached) lmp_os_kill(child.pid, child.pidfd, sig);
  }
}

static lmp_err wait_all(lmp_family *f, lmp_me *me, bool daemons, uint64_t deadline) {
  lmp_child child;
  for (;;) {
    lmp_children_poll(f, me);
    if (!pending(f, daemons, &child)) return LMP_OK;
    lmp_err e = lmp_process_join(f, me, child.h, deadline);
    if (e) return e;
  }
}

/* The same, but signals do not shorten it. */
static void wait_firmly(lmp_family *f, lmp_me *me, uint64_t deadline) {
  while (wait_all(f, me, true, deadline) == LMP_E_INTR) {
  }
}

static lmp_err end_children(lmp_family *f, bool interrupted) {
  lmp_me *me;
  lmp_child child;
  if (f->ended || lmp_family_me(f, &me)) return LMP_OK;
  lmp_abandon(me, me->id); /* the children may wait for a lock of ours */
  if (!interrupted && wait_all(f, me, false, LMP_FOREVER) == LMP_E_INTR) return LMP_E_INTR;
  f->ended = true;
  if (!pending(f, true, &child)) return LMP_OK;
  signal_all(f, SIG_TERM);
  wait_firmly(f, me, lmp_os_now() + (interrupted ? INTERRUPT_GRACE : TERM_GRACE));
  if (!pending(f, true, &child)) return LMP_OK;
  signal_all(f, SIG_KILL);
  wait_firmly(f, me, LMP_FOREVER);
  return LMP_OK;
}

lmp_err lmp_family_end(lmp_family *f, bool interrupted) {
  if (lmp_family_forked(f)) return LMP_OK;
  lmp_err e = end_children(f, interrupted);
  if (!e) lmp_named_end(f); /* after the children, which may still have opened them */
  return e;
}

void lmp_process_exit(lmp_family *f, int code) {
  lmp_me *me;
  while (lmp_family_end(f, false) == LMP_E_INTR) {
  }
  if (!lmp_family_forked(f) && lmp_family_me(f, &me) == LMP_OK) {
    lmp_log(f, LMP_LOG_DEBUG, "leaves with status %d", code & 0xff);
    lmp_obj *self = lmp_obj_get(&f->a, f->self);
    if (self) lmp_process_exit_set(me, self, LMP_EXITED | (uint32_t)(code & 0xff));
    lmp_obj_release_mine(me);
    lmp_me_detach(me);
  }
  lmp_os_exit(code);
}
