/* process/watched.c: processes that are no children of ours, and how they ended.
 * SPDX-License-Identifier: MIT
 *
 * The status of a process is gone as soon as its parent, or whoever adopted it, has collected it; but a
 * descriptor that was opened while it lived still tells it (Linux 6.15). So who asks for a process keeps one.
 * A member that has none leaves it for a while to those who may have. All of it is private to this process,
 * and no more than a hint: what is not here is asked of the system. */
#include "os/os.h"
#include "process/process.h"

/* How long who cannot tell waits for those who can: a few of their ticks. */
#define UNKNOWN_GRACE (200 * LMP_MSEC)

static lmp_watched *find(lmp_family *f, uint32_t slot, uint32_t gen) {
  for (uint32_t i = 0; i < f->nwatched; i++) {
    if (f->watched[i].slot == slot && f->watched[i].gen == gen) return &f->watched[i];
  }
  return NULL;
}

static void drop(lmp_family *f, lmp_watched *w) {
  if (w->pidfd >= 0) lmp_os_close(w->pidfd);
  *w = f->watched[--f->nwatched];
}

/* How it ended is told already. */
static bool is_over(const lmp_family *f, const lmp_watched *w) {
  const lmp_obj *o = lmp_obj_get(&f->a, f->a.procs[w->slot].pr_obj);
  return lmp_proc_gen(&f->a, w->slot) != w->gen || !o ||
         lmp_load_acq32(&lmp_process_of(o)->ps_exit) != 0;
}

/* A place for one more; the oldest makes room. */
static lmp_watched *add(lmp_family *f, uint32_t slot, uint32_t gen) {
  if (f->nwatched == LMP_WATCHED_MAX) {
    lmp_watched *oldest = f->watched;
    for (uint32_t i = 1; i < f->nwatched; i++) {
      if (f->watched[i].since < oldest->since) oldest = &f->watched[i];
    }
    drop(f, oldest);
  }
  lmp_watched *w = &f->watched[f->nwatched++];
  *w = (lmp_watched){.slot = slot, .gen = gen, .pidfd = -1, .since = lmp_os_now()};
  return w;
}

void lmp_watched_open(lmp_family *f, lmp_handle h, uint32_t slot) {
  const lmp_proc *p = &f->a.procs[slot];
  uint32_t gen = lmp_proc_gen(&f->a, slot);
  if (slot == f->a.proc || lmp_proc_state(&f->a, slot) != LMP_PROC_ALIVE) return;
  if (p->pr_obj.obj != h.obj || p->pr_obj.gen != h.gen) return;
  pthread_mutex_lock(&f->mu);
  if (!find(f, slot, gen)) {
    int fd = lmp_os_pidfd((int64_t)p->pr_pid);
    /* It lives, still: so the number was its own when the descriptor was opened. */
    if (fd >= 0 && lmp_os_byte_held(f->a.life_fd, slot) == 1) {
      add(f, slot, gen)->pidfd = fd;
    } else if (fd >= 0) {
      lmp_os_close(fd);
    }
  }
  pthread_mutex_unlock(&f->mu);
}

/* 1, 0 and -1 as lmp_os_exit_status. */
static int status_locked(lmp_family *f, uint32_t slot, lmp_exit *end) {
  const lmp_proc *p = &f->a.procs[slot];
  uint32_t gen = lmp_proc_gen(&f->a, slot);
  lmp_watched *w = find(f, slot, gen);
  int pidfd = w ? w->pidfd : -1;
  int known = lmp_os_exit_status((int64_t)p->pr_pid, p->pr_start, pidfd, end);
  if (known == 0 && !w) add(f, slot, gen)->pidfd = lmp_os_pidfd((int64_t)p->pr_pid);
  if (known >= 0 || pidfd >= 0) return known;
  if (!w) w = add(f, slot, gen);
  return lmp_os_now() < w->since + UNKNOWN_GRACE ? 0 : -1;
}

int lmp_watched_status(lmp_family *f, uint32_t slot, lmp_exit *end) {
  pthread_mutex_lock(&f->mu);
  int known = status_locked(f, slot, end);
  pthread_mutex_unlock(&f->mu);
  return known;
}

void lmp_watched_trim(lmp_family *f) {
  pthread_mutex_lock(&f->mu);
  for (uint32_t i = f->nwatched; i-- > 0;) {
    if (is_over(f, &f->watched[i])) drop(f, &f->watched[i]);
  }
  pthread_mutex_unlock(&f->mu);
}

void lmp_watched_forget(lmp_family *f) {
  while (f->nwatched) drop(f, f->watched);
}
