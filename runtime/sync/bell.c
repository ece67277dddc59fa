/* sync/bell.c: descriptors that tell whether an object is ready.
 * SPDX-License-Identifier: MIT
 *
 * The rules are those of arena/bell.c; the owner sleeps somewhere else, in its event loop. Emptying takes
 * the datagrams first and the mark second: a ring in between is covered by the look that follows, and one
 * after it leaves both. */
#include "sync/bell.h"

#include "os/os.h"

lmp_err lmp_fdbell_open(lmp_me *me, lmp_fdbell *b) {
  uint32_t number;
  *b = LMP_FDBELL_NONE;
  lmp_err e = lmp_bell_claim(me, &number);
  if (e) return e;
  lmp_bell_id id = lmp_bell_name(me->a, number);
  int fd = lmp_os_bell_open(&id);
  if (fd < 0) {
    lmp_bell_free(me->a, number);
    return LMP_E_SYSTEM;
  }
  *b = (lmp_fdbell){number + 1, fd};
  lmp_bell_empty(me->a, number, LMP_BELL_SOCKET);
  return LMP_OK;
}

void lmp_fdbell_show(lmp_me *me, lmp_fdbell *b, lmp_obj *obj) {
  const lmp_kind *kind = me->a->kinds[obj->ob_kind];
  uint32_t number = b->number - 1;
  uint64_t *flag;
  if (!kind->watch(me, obj, &flag)) {
    lmp_os_bell_drain(b->fd);
    lmp_bell_empty(me->a, number, LMP_BELL_SOCKET);
    lmp_bell_arm(flag, number);
    lmp_fence_sc(); /* the bit before the look; pairs with the fence before lmp_flag_wake */
    if (!kind->watch(me, obj, &flag)) return;
  }
  lmp_bell_ring_one(me->a, number, false);
}

void lmp_fdbell_close(lmp_me *me, lmp_fdbell *b) {
  if (b->number) lmp_bell_free(me->a, b->number - 1);
  lmp_fdbell_forget(b);
}

void lmp_fdbell_forget(lmp_fdbell *b) {
  if (b->fd >= 0) lmp_os_close(b->fd);
  *b = LMP_FDBELL_NONE;
}
