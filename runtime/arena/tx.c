/* arena/tx.c: the redo log: several shared words change as one.
 * SPDX-License-Identifier: MIT
 *
 * The log is in the context of the thread that writes it. Values are absolute, so that applying twice
 * is applying once.
 *   T1 words under a lock are written by apply only, or are not reachable before the commit.
 *   T2 recovery applies first, then frees the dead thread's locks, then pays its wakes.
 *   T3 cx_txn is cleared after the last word was applied, never before.
 *   T4 the last word of a transaction is one that it changes and that only a holder of its locks may
 *      change: it makes the others visible. Once it has its value, others may go on from there (free
 *      the block, take the segment), and the rest must not be applied again. */
#include "arena/arena.h"
#include "base/debug.h"

enum { WIDTH16, WIDTH32, WIDTH64 };

static void tx_add(lmp_me *me, uint64_t off, unsigned width, uint64_t value) {
  lmp_check(me->ntx < LMP_TX_MAX);
  lmp_txent *e = &me->c->cx_tx[me->ntx++];
  lmp_store_rlx64(&e->tx_off, off << 2 | width);
  lmp_store_rlx64(&e->tx_val, value);
}

void lmp_tx_set16(lmp_me *me, uint16_t *word, uint16_t value) {
  tx_add(me, lmp_off(me->a, word), WIDTH16, value);
}

void lmp_tx_set32(lmp_me *me, uint32_t *word, uint32_t value) {
  tx_add(me, lmp_off(me->a, word), WIDTH32, value);
}

void lmp_tx_set64(lmp_me *me, uint64_t *word, uint64_t value) {
  tx_add(me, lmp_off(me->a, word), WIDTH64, value);
}

static void tx_apply(lmp_arena *a, lmp_ctx *c, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    uint64_t off = lmp_load_rlx64(&c->cx_tx[i].tx_off);
    uint64_t value = lmp_load_rlx64(&c->cx_tx[i].tx_val);
    void *word = lmp_at(a, off >> 2);
    switch (off & 3) {
      case WIDTH16:
        lmp_store_rel16(word, (uint16_t)value);
        break;
      case WIDTH32:
        lmp_store_rel32(word, (uint32_t)value);
        break;
      default:
        lmp_store_rel64(word, value);
    }
  }
}

void lmp_tx_commit(lmp_me *me) {
  /* CRASH: before: nothing happened. After: the reaper applies all of it. Release: the entries, and
   * what the caller wrote into blocks, come first. */
  lmp_store_rel32(&me->c->cx_txn, me->ntx);
  tx_apply(me->a, me->c, me->ntx);
  lmp_store_rel32(&me->c->cx_txn, 0);
}

static bool tx_applied(const lmp_arena *a, const lmp_ctx *c, uint32_t n) {
  uint64_t off = lmp_load_rlx64(&c->cx_tx[n - 1].tx_off);
  uint64_t value = lmp_load_rlx64(&c->cx_tx[n - 1].tx_val);
  const void *word = lmp_at(a, off >> 2);
  switch (off & 3) {
    case WIDTH16:
      return lmp_load_acq16(word) == (uint16_t)value;
    case WIDTH32:
      return lmp_load_acq32(word) == (uint32_t)value;
    default:
      return lmp_load_acq64(word) == value;
  }
}

void lmp_tx_replay(lmp_arena *a, lmp_ctx *c) {
  uint32_t n = lmp_load_acq32(&c->cx_txn);
  if (n == 0 || n > LMP_TX_MAX) return;
  if (!tx_applied(a, c, n)) tx_apply(a, c, n);
  lmp_store_rel32(&c->cx_txn, 0);
}
