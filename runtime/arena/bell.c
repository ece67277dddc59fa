/* arena/bell.c: bells: how a thread that waits for several things is woken.
 * SPDX-License-Identifier: MIT
 *
 * Who waits for one thing sleeps on that thing's word. Who waits for several has a bell, an entry of a
 * table, and asks all of them to ring it: the bells that a wake-up flag names are bits of the flag, bell
 * i being bit i mod 31, so now and then a bell is rung for somebody else. The owner sleeps on its bell's
 * word or, if it waits for descriptors as well, has the bell's socket among them.
 *   B1 the owner empties the bell, arms it in the flags, makes a full fence, looks at the things, and
 *      sleeps while the bell is not rung. Whoever makes a thing ready does that, makes a full fence, looks
 *      at the flag, takes the bits out, and rings. So the owner sees the thing, or is rung.
 *   B2 after a bit was taken out of a flag its bells are rung; by whoever reaps the taker, if need be.
 *   B3 a bell stays rung until it is emptied, and the first who rings it wakes the owner; should that one
 *      die, its reaper wakes the owner, rung or not.
 *   B4 a ring is taken from nobody: who waits for several things swallows no wake.
 * CRASH: the owner of a bell: the entry is freed with its process; bits that are left in flags cost one
 * ring for nobody. */
#include "arena/arena.h"
#include "base/debug.h"
#include "os/os.h"

#define BITS (64 - LMP_FLAG_BELL_SHIFT)

lmp_err lmp_bell_claim(lmp_me *me, uint32_t *number) {
  lmp_arena *a = me->a;
  for (uint32_t i = 0; i < a->h->hd_nbell; i++) {
    lmp_bell *b = &a->bells[i];
    if (lmp_load_acq32(&b->be_owner) != 0) continue;
    uint32_t hwm = lmp_load_acq32(&a->h->hd_bell_hwm); /* first: a ringer must find the entry */
    while (hwm <= i && !lmp_cas_ar32(&a->h->hd_bell_hwm, &hwm, i + 1)) {
    }
    if (!lmp_swap_if32(&b->be_owner, 0, a->proc + 1)) continue;
    lmp_add_ar32(&b->be_gen, 1); /* a socket that a child of the last owner has may keep its name */
    *number = i;
    return LMP_OK;
  }
  return LMP_E_NOSLOT;
}

void lmp_bell_free(lmp_arena *a, uint32_t number) {
  lmp_bell_empty(a, number, 0);
  lmp_store_rel32(&a->bells[number].be_owner, 0);
}

void lmp_bell_free_all(lmp_arena *a, uint32_t slot) {
  uint32_t n = lmp_load_acq32(&a->h->hd_bell_hwm);
  for (uint32_t i = 0; i < n; i++) {
    if (lmp_load_acq32(&a->bells[i].be_owner) == slot + 1) lmp_bell_free(a, i);
  }
}

lmp_bell_id lmp_bell_name(const lmp_arena *a, uint32_t number) {
  return (lmp_bell_id){.key = {a->h->hd_key[0], a->h->hd_key[1]},
                       .number = number,
                       .gen = lmp_load_acq32(&a->bells[number].be_gen)};
}

void lmp_bell_arm(uint64_t *flag, uint32_t number) {
  uint64_t bit = UINT64_C(1) << (LMP_FLAG_BELL_SHIFT + number % BITS);
  /* Where it is still set, whoever takes it out rings later than we emptied the bell. */
  if (!(lmp_load_rlx64(flag) & bit)) lmp_or_ar64(flag, bit);
}

void lmp_bell_ring_one(const lmp_arena *a, uint32_t number, bool ends) {
  lmp_bell *b = &a->bells[number];
  if (lmp_load_acq32(&b->be_owner) == 0) return;
  uint32_t old = lmp_or_ar32(&b->be_word, LMP_BELL_RUNG);
  /* CRASH: here: the reaper wakes the owner. */
  if ((old & LMP_BELL_RUNG) && !ends) return;
  if (old & LMP_BELL_FUTEX) lmp_os_futex_wake(&b->be_word, 1);
  if (old & LMP_BELL_SOCKET) {
    lmp_bell_id id = lmp_bell_name(a, number);
    lmp_os_bell_ring(&id);
  }
}

void lmp_bell_ring(const lmp_arena *a, uint64_t bits) {
  uint32_t n = lmp_load_acq32(&a->h->hd_bell_hwm);
  for (uint32_t bit = 0; bit < BITS && bit < n; bit++) {
    if (!(bits >> (LMP_FLAG_BELL_SHIFT + bit) & 1)) continue;
    for (uint32_t i = bit; i < n; i += BITS) lmp_bell_ring_one(a, i, false);
  }
}

void lmp_bell_ring_all(const lmp_arena *a) {
  uint32_t n = lmp_load_acq32(&a->h->hd_bell_hwm);
  for (uint32_t i = 0; i < n; i++) lmp_bell_ring_one(a, i, true);
}
