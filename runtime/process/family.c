/* process/family.c: making, joining and leaving a family.
 * SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/debug.h"
#include "channel/array.h"
#include "channel/dict.h"
#include "channel/list.h"
#include "channel/pipe.h"
#include "channel/shared.h"
#include "os/os.h"
#include "process/process.h"
#include "sync/barrier.h"
#include "sync/condition.h"
#include "sync/event.h"
#include "sync/lock.h"
#include "sync/semaphore.h"

_Thread_local lmp_me_cache lmp_me_last;

const lmp_kind *const lmp_kinds[LMP_KIND_COUNT] = {
    [LMP_KIND_PROCESS] = &lmp_process_kind,     [LMP_KIND_QUEUE] = &lmp_queue_kind,
    [LMP_KIND_LOCK] = &lmp_lock_kind,           [LMP_KIND_RLOCK] = &lmp_rlock_kind,
    [LMP_KIND_CONDITION] = &lmp_cond_kind,      [LMP_KIND_SEMAPHORE] = &lmp_semaphore_kind,
    [LMP_KIND_BOUNDED] = &lmp_bounded_kind,     [LMP_KIND_EVENT] = &lmp_event_kind,
    [LMP_KIND_BARRIER] = &lmp_barrier_kind,     [LMP_KIND_VALUE] = &lmp_value_kind,
    [LMP_KIND_ARRAY] = &lmp_array_kind,         [LMP_KIND_SHARED] = &lmp_shared_kind,
    [LMP_KIND_STREAM] = &lmp_stream_kind,       [LMP_KIND_CONNECTION] = &lmp_conn_kind,
    [LMP_KIND_LARGE] = &lmp_large_kind,         [LMP_KIND_DICT] = &lmp_dict_kind,
    [LMP_KIND_NAMESPACE] = &lmp_namespace_kind, [LMP_KIND_LIST] = &lmp_list_kind,
};

_Static_assert(offsetof(lmp_family, a) == 0, "on_death gets from the arena to the family");

/* Orphans get SIGTERM from the kernel; those that are still there so much later get SIGKILL. */
#define ORPHAN_GRACE (2 * LMP_SEC)
#define SIG_KILL 9
#define SIG_TERM 15

/* -- threads ------------------------------------------------------------------------------------- */

/* The family of a thread's lmp_me, found by the destructor when the thread ends. */
typedef struct member {
  lmp_me me;
  lmp_family *family;
} member;

static void member_end(void *arg) {
  member *m = arg;
  if (!lmp_family_forked(m->family)) lmp_me_detach(&m->me);
  free(m);
}

static lmp_err member_new(lmp_family *f, lmp_me **me) {
  member *m = calloc(1, sizeof *m);
  if (!m) return LMP_E_NOMEM;
  m->family = f;
  lmp_err e = lmp_me_attach(&f->a, &m->me);
  if (e == LMP_OK && pthread_setspecific(f->key, m)) {
    lmp_me_detach(&m->me);
    e = LMP_E_NOMEM;
  }
  if (e) {
    free(m);
    return e;
  }
  *me = &m->me;
  return LMP_OK;
}

static void cache_me(lmp_family *f, lmp_me *me) { lmp_me_last = (lmp_me_cache){f, f->serial, me}; }

/* -- processes ----------------------------------------------------------------------------------- */

static lmp_err self_new(lmp_family *f, lmp_me *me, const char *name, lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_PROCESS, name, strlen(name), &o);
  if (e) return e;
  lmp_process_of(o)->ps_slot = f->a.proc;
  lmp_process_of(o)->ps_pid = (uint64_t)lmp_os_pid();
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  f->a.procs[f->a.proc].pr_obj = *h;
  return LMP_OK;
}

static lmp_err join_as(lmp_family *f, uint32_t slot, uint32_t gen, lmp_me **me) {
  member *m = pthread_getspecific(f->key);
  f->epoch++;
  *f->fork_page = 0;
  lmp_err e = lmp_proc_enter(&f->a, slot, gen);
  if (e) return e;
  f->a.proc = slot;
  if (m) { /* the parent's place; ours takes its memory */
    if (m->me.bell_fd >= 0) lmp_os_close(m->me.bell_fd);
    e = lmp_me_attach(&f->a, &m->me);
    *me = &m->me;
  } else {
    e = member_new(f, me);
  }
  if (e) return e;
  *f->fork_page = f->serial;
  cache_me(f, *me);
  return LMP_OK;
}

static void forget_parent(lmp_family *f) {
  lmp_obj_forget(&f->a);
  lmp_children_drop_all(f);
  lmp_named_forget(f);
  lmp_watched_forget(f);
  f->ended = false;
}

lmp_err lmp_family_adopt_child(lmp_family *f, uint32_t slot, uint32_t gen, lmp_handle self) {
  lmp_me *me;
  lmp_handle parent = f->self;
  forget_parent(f);
  lmp_err e = join_as(f, slot, gen, &me);
  if (e) return e;
  f->is_child = true;
  f->self = self;
  f->parent = parent;
  lmp_obj_ref(me, self);
  lmp_obj_ref(me, parent);
  return LMP_OK;
}

/* A process that forked behind our back joins as a new member, a child of the one it was. */
static lmp_err adopt_stranger(lmp_family *f, lmp_me **me) {
  uint32_t slot;
  lmp_handle parent = f->self;
  forget_parent(f);
  lmp_err e = lmp_proc_claim(&f->a, UINT32_MAX, &slot);
  if (e) return e;
  e = join_as(f, slot, lmp_proc_gen(&f->a, slot), me);
  if (!e) e = self_new(f, *me, "ForkedProcess", &f->self);
  if (e) return e;
  f->parent = lmp_obj_hold(*me, parent) ? (lmp_handle){0, 0} : parent;
  return LMP_OK;
}

LMP_NOINLINE lmp_err lmp_family_me_slow(lmp_family *f, lmp_me **me) {
  if (lmp_family_forked(f)) return adopt_stranger(f, me);
  member *m = pthread_getspecific(f->key);
  if (m) {
    *me = &m->me;
  } else {
    lmp_err e = member_new(f, me);
    if (e) return e;
  }
  cache_me(f, *me);
  return LMP_OK;
}

/* -- the dead ------------------------------------------------------------------------------------ */

static uint32_t exit_word(const lmp_exit *end) {
  return LMP_EXITED | (end->signalled ? LMP_BY_SIGNAL : 0) | end->code;
}

/* lmp_arena.on_death: tells the holders of the process's handle. Its parent does so, too, and leaves
 * the status with the system until it has. */
static bool on_death(lmp_me *me, uint32_t slot) {
  lmp_proc *p = &me->a->procs[slot];
  lmp_obj *o = lmp_obj_get(me->a, p->pr_obj);
  lmp_family *f = (lmp_family *)me->a;
  lmp_exit end;
  if (!o) return true;
  uint32_t word = lmp_load_acq32(&lmp_process_of(o)->ps_exit);
  if (!word) {
    int known = lmp_watched_status(f, slot, &end);
    if (known == 0) return false; /* its files are closed, but it is no zombie yet */
    word = known == 1 ? exit_word(&end) : LMP_EXITED | LMP_BY_SIGNAL | LMP_UNKNOWN | SIG_KILL;
    lmp_process_exit_set(me, o, word);
    lmp_watched_trim(f);
  }
  uint64_t which = (uint64_t)lmp_proc_gen(me->a, slot) << 32 | slot;
  if (!(word & LMP_BY_SIGNAL) || f->repaired == which) return true;
  f->repaired = which;
  lmp_log(f, LMP_LOG_INFO, "found process '%.*s' (pid %llu) dead; repaired what it left",
          (int)o->ob_namelen, lmp_obj_name(me->a, o),
          (unsigned long long)lmp_process_of(o)->ps_pid);
  return true;
}

static bool parent_gone(lmp_arena *a, const lmp_proc *p) {
  if (p->pr_parent.obj == 0 || p->pr_detached) return false;
  lmp_obj *o = lmp_obj_get(a, p->pr_parent);
  return !o || lmp_load_acq32(&lmp_process_of(o)->ps_exit) != 0;
}

/* lmp_arena.on_tick: ends orphans that the kernel's SIGTERM did not. While a process is ALIVE, pr_since
 * is the time at which it was first seen without a parent. */
static void on_tick(lmp_me *me) {
  lmp_arena *a = me->a;
  uint32_t n = lmp_load_acq32(&a->h->hd_proc_hwm);
  for (uint32_t i = 0; i < n; i++) {
    lmp_proc *p = &a->procs[i];
    if (lmp_proc_state(a, i) != LMP_PROC_ALIVE || !parent_gone(a, p)) continue;
    if (i != a->proc && lmp_os_byte_held(a->life_fd, i) != 1) continue;
    uint64_t since = lmp_load_rlx64(&p->pr_since);
    if (since == 0) {
      lmp_store_rlx64(&p->pr_since, lmp_os_now());
      lmp_os_kill((int64_t)p->pr_pid, -1, SIG_TERM);
    } else if (lmp_os_now() > since + ORPHAN_GRACE) {
      lmp_os_kill((int64_t)p->pr_pid, -1, SIG_KILL);
    }
  }
}

/* -- making and freeing -------------------------------------------------------------------------- */

static lmp_err family_enter(lmp_family *f) {
  uint32_t slot;
  lmp_me *me;
  lmp_err e = lmp_proc_claim(&f->a, UINT32_MAX, &slot);
  if (!e) e = join_as(f, slot, lmp_proc_gen(&f->a, slot), &me);
  if (!e) e = self_new(f, me, "MainProcess", &f->self);
  return e;
}

lmp_err lmp_family_new(uint64_t memory, bool shrink, lmp_log_level log, lmp_family **out) {
  lmp_arena_config config = {.memory = memory, .shrink = shrink};
  lmp_family *f = calloc(1, sizeof *f);
  if (!f) return LMP_E_NOMEM;
  lmp_err e = lmp_arena_create(&f->a, &config);
  if (e) goto fail;
  memcpy(f->a.kinds, lmp_kinds, sizeof f->a.kinds);
  f->a.on_death = on_death;
  f->a.on_tick = on_tick;
  f->log = log;
  f->null_fd = -1;
  f->repaired = UINT64_MAX;
  do {
    lmp_os_random(&f->serial, sizeof f->serial);
  } while (f->serial == 0);
  e = LMP_E_NOMEM;
  f->fork_page = lmp_os_fork_page();
  if (!f->fork_page) goto fail_arena;
  if (pthread_key_create(&f->key, member_end)) goto fail_arena;
  if (pthread_mutex_init(&f->mu, NULL)) goto fail_key;
  e = family_enter(f);
  if (e) goto fail_key;
  *out = f;
  return LMP_OK;

fail_key:
  pthread_key_delete(f->key);
fail_arena:
  lmp_os_fork_page_free(f->fork_page);
  lmp_arena_close(&f->a);
fail:
  free(f);
  return e;
}

void lmp_family_free(lmp_family *f) {
  member *m = pthread_getspecific(f->key);
  if (m && !lmp_family_forked(f)) {
    lmp_obj *o = lmp_obj_get(&f->a, f->self);
    if (o) lmp_process_exit_set(&m->me, o, LMP_EXITED);
    lmp_obj_release_mine(&m->me);
    lmp_me_detach(&m->me);
  }
  free(m);
  pthread_setspecific(f->key, NULL);
  pthread_key_delete(f->key);
  lmp_children_drop_all(f);
  lmp_watched_forget(f);
  free(f->children);
  lmp_named_forget(f);
  free(f->named);
  lmp_os_close(f->null_fd);
  lmp_os_fork_page_free(f->fork_page);
  if (lmp_me_last.family == f) lmp_me_last = (lmp_me_cache){0};
  lmp_arena_close(&f->a);
  free(f);
}

uint32_t lmp_family_processes(const lmp_family *f) {
  uint32_t n = lmp_load_acq32(&f->a.h->hd_proc_hwm);
  uint32_t live = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t state = lmp_proc_state(&f->a, i);
    live += state == LMP_PROC_ALIVE || state == LMP_PROC_STARTING;
  }
  return live;
}

void lmp_log(const lmp_family *f, lmp_log_level level, const char *fmt, ...) {
  char line[512];
  va_list args;
  if (LMP_LIKELY(f->log < level)) return;
  const lmp_obj *self = lmp_obj_at(&f->a, f->self.obj);
  int n =
      snprintf(line, sizeof line, "luamp: [%.*s %lld] ", (int)lmp_min_u64(self->ob_namelen, 200),
               lmp_obj_name(&f->a, self), (long long)lmp_os_pid());
  va_start(args, fmt);
  /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start stands above */
  n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
  va_end(args);
  if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
  line[n++] = '\n';
  lmp_os_write_err(line, (size_t)n);
}
