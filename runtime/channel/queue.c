/* channel/queue.c: the queue as a whole: its life, its size, joining and closing.
 * SPDX-License-Identifier: MIT
 *
 * Design. Two sides with a lock each, each writing only its own line: qt_pos is moved by putters, qh_pos
 * by getters, and each keeps the other's position as last seen.
 *   Q1 0 <= messages(qt_pos) - messages(qh_pos) <= the greatest size.
 *   Q2 the cells [qh_pos, qt_pos) lie in the chain of segments from qh_seg (or qt_first) to qt_seg;
 *      these segments, and the blocks that those cells name, are tagged LMP_TAG_SHARED, and no others.
 *   Q3 qt_pos and qh_pos change with every put and get, so they are what one sleeps on: a sleeper that
 *      looked before the change does not fall asleep after it.
 *   Q4 when the queue is not empty and a getter sleeps, then a wake is on its way, or owed in cx_pwake
 *      of a putter, or taken by a getter whose wait record still stands. The same for putters.
 *   Q5 an empty queue on which somebody waited, or that somebody found empty, has no segment.
 * The closed bit is in both positions and changes under both locks (putters' first). */
#include "channel/queue.h"

#include "base/debug.h"
#include "channel/queue_priv.h"
#include "os/os.h"

/* Cells that the collector looks at before it lets getters in. */
#define TRACE_BATCH 256

lmp_err lmp_queue_new(lmp_me *me, const char *name, size_t namelen, uint32_t maxsize,
                      lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_QUEUE, name, namelen, &o);
  if (e) return e;
  lmp_queue_of(o)->qf_max = maxsize;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

static void queue_destroy(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  while (lmp_queue_drop(me, q)) {
  }
  lmp_queue_trim(me, q);
}

/* -- collector ---------------------------------------------------------------------------------- */

/* Marks what one cell's message names. */
static void trace_cell(lmp_me *me, const lmp_cell *cell) {
  const uint8_t *at = cell->ce.bytes;
  if (cell->ce_nhandles == 0) return;
  if (cell->ce_kind == LMP_CELL_BLOCK) at = lmp_at(me->a, cell->ce.block.off);
  const lmp_handle *handles = (const lmp_handle *)(const void *)at;
  for (uint32_t i = 0; i < cell->ce_nhandles; i++) lmp_collect_mark(me, handles[i]);
}

/* Walks from message number `from` (or from the first that is still there) to `tail`, a batch at most;
 * under qh_lock. Returns the number to go on from. */
static uint32_t trace_batch(lmp_me *me, lmp_queue *q, uint32_t from, lmp_qpos tail, bool *end) {
  lmp_qpos pos = q->qh_pos;
  uint64_t off = q->qh_seg ? q->qh_seg : lmp_load_acq64(&q->qt_first);
  uint32_t budget = TRACE_BATCH;
  /* Getters may have come by: what they took they hold. */
  *end = lmp_qpos_diff(tail, pos) == 0 || lmp_qpos_diff(tail, pos) > LMP_QUEUE_MAX / 2;
  while (!*end) {
    lmp_seg *seg = lmp_seg_at(me->a, off);
    uint64_t next = lmp_load_acq64(&seg->sg_next);
    if (next && lmp_seg_at(me->a, next)->sg_base == lmp_qpos_cells(pos)) {
      off = next;
      continue;
    }
    const lmp_cell *cell = lmp_seg_cell(seg, lmp_qpos_cells(pos));
    bool old = ((lmp_qpos_count(pos) - from) & LMP_QCOUNT_MASK) > LMP_QUEUE_MAX / 2;
    if (!old) {
      if (budget-- == 0) break;
      trace_cell(me, cell);
    }
    pos = lmp_qpos_add(pos, lmp_cell_count(cell), 1);
    *end = lmp_qpos_diff(tail, pos) == 0;
  }
  return lmp_qpos_count(pos);
}

void lmp_queue_trace(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  bool end = false;
  /* Under the putters' lock: one that read the last epoch for its stamp has committed when we get it, and
   * who comes later reads ours. */
  lmp_lock(me, &q->qt_lock);
  lmp_qpos tail = q->qt_pos;
  uint32_t nh = q->qt_nh;
  lmp_unlock(me, &q->qt_lock);
  if (nh == lmp_load_acq32(&q->qh_nh)) return;
  uint32_t from = lmp_qpos_count(lmp_load_acq64(&q->qh_pos));
  while (!end) {
    lmp_lock(me, &q->qh_lock);
    from = trace_batch(me, q, from, tail, &end);
    lmp_unlock(me, &q->qh_lock);
  }
}

/* Ready to get from: something is in it, or nothing ever will be. */
static bool queue_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  (void)me;
  lmp_queue *q = lmp_queue_of(o);
  *flag = &q->qe_flag;
  return lmp_queue_size(o) != 0 || lmp_queue_closed(o);
}

const lmp_kind lmp_queue_kind = {
    .name = "Queue",
    .destroy = queue_destroy,
    .trace = lmp_queue_trace,
    .watch = queue_watch,
};

/* -- size and end ------------------------------------------------------------------------------- */

uint32_t lmp_queue_size(const lmp_obj *o) {
  const lmp_queue *q = lmp_queue_of(o);
  for (;;) { /* the head stood still around the look at the tail: so the difference was true then */
    lmp_qpos head = lmp_load_acq64(&q->qh_pos);
    lmp_qpos tail = lmp_load_acq64(&q->qt_pos);
    lmp_fence_sc();
    if (lmp_load_acq64(&q->qh_pos) == head) return lmp_qpos_diff(tail, head);
  }
}

bool lmp_queue_full(const lmp_obj *o) {
  const lmp_queue *q = lmp_queue_of(o);
  return lmp_queue_size(o) >= (q->qf_max ? q->qf_max : LMP_QUEUE_MAX);
}

bool lmp_queue_closed(const lmp_obj *o) {
  return lmp_qpos_closed(lmp_load_acq64(&lmp_queue_of(o)->qt_pos));
}

void lmp_queue_close(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  lmp_lock(me, &q->qt_lock);
  lmp_lock(me, &q->qh_lock);
  lmp_owe(me, 0, lmp_qpos_word(&q->qt_pos));
  lmp_owe(me, 1, lmp_qpos_word(&q->qh_pos));
  lmp_tx_begin(me);
  lmp_tx_set64(me, &q->qt_pos, q->qt_pos | 1);
  lmp_tx_set64(me, &q->qh_pos, q->qh_pos | 1);
  lmp_tx_commit(me);
  lmp_unlock(me, &q->qh_lock);
  lmp_unlock(me, &q->qt_lock);
  lmp_fence_after_rmw(); /* the positions before the flags; pairs with lmp_flag_raise */
  lmp_flag_wake(me->a, &q->qe_flag, lmp_qpos_word(&q->qt_pos), INT32_MAX);
  lmp_flag_wake(me->a, &q->qf_flag, lmp_qpos_word(&q->qh_pos), INT32_MAX);
  /* CRASH: from the commit to here: the reaper pays what is owed, and wakes who waits for memory. */
  lmp_memory_wake(me->a); /* putters too; pairs with the flag that lmp_alloc_watch raises */
  lmp_owe_none(me, 0);
  lmp_owe_none(me, 1);
}

static void add_done(lmp_me *me, lmp_queue *q) {
  lmp_owe(me, 1, &q->qd_done);
  lmp_add_ar32(&q->qd_done, 1);
  lmp_fence_after_rmw();
  lmp_flag_wake(me->a, &q->qd_flag, &q->qd_done, INT32_MAX);
  lmp_owe_none(me, 1);
}

void lmp_queue_cancel(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  lmp_queue_close(me, o);
  /* CRASH: between: a join would wait for a dropped message; nobody can report it any more. */
  while (lmp_queue_drop(me, q)) add_done(me, q);
  lmp_queue_trim(me, q);
  lmp_collect_if_due(me, 0);
}

/* -- joining ------------------------------------------------------------------------------------ */

static uint32_t unfinished(const lmp_queue *q, uint32_t done) {
  return (lmp_qpos_count(lmp_load_acq64(&q->qt_pos)) - done) & LMP_QCOUNT_MASK;
}

lmp_err lmp_queue_task_done(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  uint32_t done = lmp_load_acq32(&q->qd_done);
  lmp_owe(me, 1, &q->qd_done);
  do {
    if (unfinished(q, done) == 0) {
      lmp_owe_none(me, 1);
      return LMP_E_INVAL;
    }
  } while (!lmp_cas_ar32(&q->qd_done, &done, done + 1));
  lmp_fence_after_rmw();
  lmp_flag_wake(me->a, &q->qd_flag, &q->qd_done, INT32_MAX);
  lmp_owe_none(me, 1);
  return LMP_OK;
}

lmp_err lmp_queue_join(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_queue *q = lmp_queue_of(o);
  lmp_err e = LMP_OK;
  for (;;) {
    uint32_t done = lmp_load_acq32(&q->qd_done);
    if (unfinished(q, done) == 0) {
      e = LMP_OK;
      break;
    }
    if (deadline == LMP_NOWAIT) e = LMP_E_TIMEOUT;
    if (e) break;
    lmp_wait_begin(me, o, &q->qd_done, deadline);
    lmp_flag_raise(&q->qd_flag, done);
    if (lmp_load_acq32(&q->qd_done) == done) e = lmp_wait_sleep(me, &q->qd_done, done, deadline);
    lmp_wait_end(me);
  }
  return e;
}

/* -- invariants --------------------------------------------------------------------------------- */

const char *lmp_queue_valid(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  lmp_qpos pos = q->qh_pos;
  uint64_t off = q->qh_seg ? q->qh_seg : q->qt_first;
  uint64_t last = 0;
  uint32_t nh = 0;
  if (q->qt_lock || q->qh_lock) return "a lock is held";
  if (lmp_qpos_diff(q->qt_pos, pos) > (q->qf_max ? q->qf_max : LMP_QUEUE_MAX)) return "Q1: size";
  while (off) {
    lmp_seg *seg = lmp_seg_at(me->a, off);
    if (lmp_block_owner(me->a, off) != LMP_TAG_SHARED) return "Q2: a segment is not tagged";
    uint32_t end =
        seg->sg_next ? lmp_seg_at(me->a, seg->sg_next)->sg_base : lmp_qpos_cells(q->qt_pos);
    while (lmp_qpos_cells(pos) != end) {
      const lmp_cell *cell = lmp_seg_cell(seg, lmp_qpos_cells(pos));
      uint32_t cells = lmp_cell_count(cell);
      if (cells == 0 || cells > LMP_CELLS_MAX) return "Q2: a cell is no message";
      if (cell->ce_kind == LMP_CELL_BLOCK &&
          lmp_block_owner(me->a, cell->ce.block.off) != LMP_TAG_SHARED) {
        return "Q2: a block is not tagged";
      }
      nh += cell->ce_nhandles != 0;
      pos = lmp_qpos_add(pos, cells, 1);
    }
    last = off;
    off = seg->sg_next;
  }
  if (last != q->qt_seg) return "Q2: the chain does not end at the last segment";
  if (lmp_qpos_count(pos) != lmp_qpos_count(q->qt_pos)) return "Q2: cells and messages disagree";
  if (nh != q->qt_nh - q->qh_nh) return "messages with handles are miscounted";
  return NULL;
}
