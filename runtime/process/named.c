/* process/named.c: named blocks of the system that this process made.
 * SPDX-License-Identifier: MIT
 *
 * They outlive processes, so who makes one takes its name away at its normal end, unless it was asked not
 * to; a killed creator leaves them, as POSIX has it. A child of fork inherits the mapping, not the duty. */
#include <stdlib.h>
#include <string.h>

#include "os/os.h"
#include "process/process.h"

bool lmp_named_add(lmp_family *f, const char *name, const uint64_t id[2]) {
  bool ok = true;
  pthread_mutex_lock(&f->mu);
  if (f->nnamed == f->capnamed) {
    uint32_t cap = f->capnamed ? f->capnamed * 2 : 4;
    lmp_named *list = realloc(f->named, cap * sizeof *list);
    if (list) {
      f->named = list;
      f->capnamed = cap;
    } else {
      ok = false;
    }
  }
  if (ok) {
    lmp_named *n = &f->named[f->nnamed++];
    *n = (lmp_named){.id = {id[0], id[1]}};
    memcpy(n->name, name, strlen(name));
  }
  pthread_mutex_unlock(&f->mu);
  return ok;
}

void lmp_named_drop(lmp_family *f, const char *name) {
  pthread_mutex_lock(&f->mu);
  for (uint32_t i = 0; i < f->nnamed; i++) {
    if (strcmp(f->named[i].name, name) != 0) continue;
    f->named[i] = f->named[--f->nnamed];
    break;
  }
  pthread_mutex_unlock(&f->mu);
}

/* Not another block that somebody else gave the name of ours, after he had unlinked it. */
static void unlink_own(const lmp_named *n) {
  lmp_shm shm;
  if (lmp_os_shm_open(n->name, &shm)) return;
  lmp_os_close(shm.fd);
  if (shm.id[0] == n->id[0] && shm.id[1] == n->id[1] && lmp_os_shm_unlink(n->name)) return;
}

void lmp_named_end(lmp_family *f) {
  pthread_mutex_lock(&f->mu);
  for (uint32_t i = 0; i < f->nnamed; i++) unlink_own(&f->named[i]);
  f->nnamed = 0;
  pthread_mutex_unlock(&f->mu);
}

void lmp_named_forget(lmp_family *f) { f->nnamed = 0; }
