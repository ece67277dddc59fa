/* channel/queue_get.c: the getters' side of the queue.
 * SPDX-License-Identifier: MIT
 *
 * Messages are copied out under qh_lock (at most a few hundred bytes each; a large one stays in its
 * block, which becomes the getter's), then one store of qh_pos takes them, or a transaction where a
 * block or a used-up segment changes hands. Killed before that store, nothing was taken; after it, the
 * messages go with the getter. The handles of a message are held before. */
#include <stdlib.h>
#include <string.h>

#include "base/debug.h"
#include "channel/queue_priv.h"
#include "os/os.h"

#define INBOX_BYTES (32u << 10)
#define INBOX_MESSAGES 256u

bool lmp_inbox_init(lmp_inbox *box) {
  *box = (lmp_inbox){.cap = INBOX_BYTES, .max = INBOX_MESSAGES};
  box->buf = malloc(INBOX_BYTES);
  box->in = malloc(INBOX_MESSAGES * sizeof *box->in);
  if (box->buf && box->in) return true;
  lmp_inbox_fini(box);
  return false;
}

void lmp_inbox_fini(lmp_inbox *box) {
  free(box->buf);
  free(box->in);
  *box = (lmp_inbox){0};
}

void lmp_inbox_done(lmp_me *me, lmp_inbox *box, uint32_t i) {
  lmp_in *in = &box->in[i];
  /* Handles may lie in the block: they go first. */
  for (uint32_t k = 0; k < in->nhandles; k++) lmp_obj_unref(me, in->handles[k]);
  in->nhandles = 0;
  if (in->block) lmp_free(me, in->block);
  in->block = 0;
}

/* Where a getter stands: under qh_lock. */
typedef struct cursor {
  lmp_qpos pos, tail;
  lmp_seg *seg;
  uint64_t seg_off;
  uint64_t used_up; /* the segment that was left, 0: none */
} cursor;

/* False when the queue is empty; then c->tail is its true tail. */
static bool cursor_init(lmp_me *me, lmp_queue *q, cursor *c) {
  c->pos = q->qh_pos;
  c->tail = q->qh_tail;
  c->used_up = 0;
  if (lmp_qpos_diff(c->tail, c->pos) == 0) {
    c->tail = lmp_load_acq64(&q->qt_pos); /* pairs with the putters' store: the cells are written */
    q->qh_tail = c->tail;
    if (lmp_qpos_diff(c->tail, c->pos) == 0) return false;
  }
  c->seg_off = q->qh_seg ? q->qh_seg : lmp_load_acq64(&q->qt_first);
  c->seg = lmp_seg_at(me->a, c->seg_off);
  return true;
}

/* The next message's cell; steps into the next segment where the message is there. NULL when that
 * would be the second step: what was taken has to be committed first. */
static lmp_cell *cursor_cell(lmp_me *me, cursor *c) {
  uint64_t next = lmp_load_acq64(&c->seg->sg_next);
  uint32_t at = lmp_qpos_cells(c->pos);
  if (next && lmp_seg_at(me->a, next)->sg_base == at) {
    if (c->used_up) return NULL;
    c->used_up = c->seg_off;
    c->seg_off = next;
    c->seg = lmp_seg_at(me->a, next);
  }
  return lmp_seg_cell(c->seg, at);
}

static void cursor_pass(cursor *c, const lmp_cell *cell) {
  c->pos = lmp_qpos_add(c->pos, lmp_cell_count(cell), 1);
}

/* Commits what the cursor passed; `block` and `handles` describe a message that is not simple. */
static void cursor_commit(lmp_me *me, lmp_queue *q, const cursor *c, uint64_t block, bool handles) {
  if (LMP_LIKELY(c->seg_off == q->qh_seg && !block && !handles)) {
    lmp_store_rel64(&q->qh_pos, c->pos);
    return;
  }
  lmp_tx_begin(me);
  lmp_tx_set64(me, &q->qh_seg, c->seg_off);
  if (c->used_up) lmp_tx_owner(me, c->used_up, me->id);
  if (block) lmp_tx_owner(me, block, me->id);
  if (handles) lmp_tx_set32(me, &q->qh_nh, q->qh_nh + 1);
  lmp_tx_set64(me, &q->qh_pos, c->pos);
  lmp_tx_commit(me);
}

/* Bytes of the inbox that a message needs: an inline one is copied, aligned as its handles are. */
static size_t inbox_need(const lmp_cell *cell) {
  if (cell->ce_kind == LMP_CELL_BLOCK) return 0;
  return (cell->ce_nhandles * sizeof(lmp_handle) + cell->ce_len + 7) & ~(size_t)7;
}

static void inbox_add(lmp_me *me, lmp_inbox *box, size_t *used, const lmp_cell *cell) {
  lmp_in *in = &box->in[box->n++];
  size_t handles = cell->ce_nhandles * sizeof(lmp_handle);
  const uint8_t *from;
  if (cell->ce_kind == LMP_CELL_INLINE) {
    from = box->buf + *used;
    memcpy(box->buf + *used, cell->ce.bytes, handles + cell->ce_len);
    *used += inbox_need(cell);
    *in = (lmp_in){.len = cell->ce_len};
  } else {
    from = lmp_at(me->a, cell->ce.block.off);
    *in = (lmp_in){.len = cell->ce.block.len, .block = cell->ce.block.off};
  }
  in->handles = (const lmp_handle *)(const void *)from;
  in->nhandles = cell->ce_nhandles;
  in->data = from + handles;
  for (uint32_t i = 0; i < in->nhandles; i++) lmp_obj_ref(me, in->handles[i]);
}

/* Takes up to `max` messages; one that is not simple is taken by itself. *tail: the queue's end when it
 * is empty. The segment that was used up is freed after the unlock. */
static uint64_t take_locked(lmp_me *me, lmp_queue *q, uint32_t max, lmp_inbox *box,
                            lmp_qpos *tail) {
  cursor c;
  size_t used = 0;
  uint64_t block = 0;
  bool handles = false;
  if (!cursor_init(me, q, &c)) {
    *tail = c.tail;
    return 0;
  }
  lmp_owe(me, 0, lmp_qpos_word(&q->qh_pos));
  lmp_qpos start = c.pos;
  while (box->n < max && lmp_qpos_diff(c.tail, c.pos)) {
    lmp_cell *cell = cursor_cell(me, &c);
    if (!cell || used + inbox_need(cell) > box->cap) break;
    bool alone = cell->ce_cells & LMP_CELL_ALONE;
    bool simple = cell->ce_kind == LMP_CELL_INLINE && cell->ce_nhandles == 0 && !alone;
    if ((!simple && box->n) || (alone && box->more)) break;
    inbox_add(me, box, &used, cell);
    cursor_pass(&c, cell);
    if (simple) continue;
    block = box->in[0].block;
    handles = box->in[0].nhandles != 0;
    break;
  }
  if (c.pos == start) return 0; /* a message that may not be taken now; a step ahead is forgotten */
  cursor_commit(me, q, &c, block, handles);
  return c.used_up;
}

/* CRASH: in take_locked before the commit: nothing was taken (holder bits go with the dead). After it:
 * the messages went with the getter; cx_pwake owes the putters; the segment has our tag. */
static void get_try(lmp_me *me, lmp_queue *q, uint32_t max, lmp_inbox *box, lmp_qpos *tail) {
  lmp_lock(me, &q->qh_lock);
  uint64_t used_up = take_locked(me, q, max, box, tail);
  lmp_unlock(me, &q->qh_lock);
  if (box->n == 0) {
    lmp_owe_none(me, 0);
    return;
  }
  lmp_fence_after_rmw(); /* qh_pos before the flag; pairs with lmp_flag_raise */
  lmp_flag_wake(me->a, &q->qf_flag, lmp_qpos_word(&q->qh_pos), box->n);
  lmp_owe_none(me, 0);
  if (LMP_UNLIKELY(used_up)) lmp_free(me, used_up);
}

/* Sleeps until the queue moves on from the end `tail`, at which it was found empty. */
static lmp_err wait_message(lmp_me *me, lmp_obj *o, lmp_qpos tail, uint64_t deadline,
                            bool *waiting) {
  lmp_queue *q = lmp_queue_of(o);
  bool moved = lmp_spin(me, lmp_qpos_word(&q->qt_pos), (uint32_t)tail, me->asked);
  me->asked = false;
  if (moved) return LMP_OK;
  if (lmp_load_rlx64(&q->qt_seg)) lmp_queue_trim(me, q);
  lmp_wait_begin(me, o, lmp_qpos_word(&q->qt_pos), deadline);
  *waiting = true;
  lmp_flag_raise(&q->qe_flag, (uint32_t)tail);
  /* Only putters and close move qt_pos, and the queue was empty at `tail`: the futex looks again. */
  return lmp_wait_sleep(me, lmp_qpos_word(&q->qt_pos), (uint32_t)tail, deadline);
}

lmp_err lmp_queue_get(lmp_me *me, lmp_obj *o, uint32_t max, uint64_t deadline, lmp_inbox *box) {
  lmp_queue *q = lmp_queue_of(o);
  bool waiting = false;
  lmp_err e = LMP_OK;
  box->n = 0;
  if (max > box->max) max = box->max;
  for (;;) {
    lmp_qpos tail = 0;
    get_try(me, q, max, box, &tail);
    if (box->n || e) break;
    if (lmp_qpos_closed(tail)) {
      e = LMP_E_CLOSED;
    } else if (deadline == LMP_NOWAIT) {
      e = LMP_E_TIMEOUT;
    } else {
      /* One more look after a timeout or a signal, then out. */
      e = wait_message(me, o, tail, deadline, &waiting);
      continue;
    }
    break;
  }
  if (e && !box->n && lmp_load_rlx64(&q->qt_seg)) lmp_queue_trim(me, q);
  if (LMP_UNLIKELY(waiting)) {
    /* A wake that we took and leave without having used belongs to another getter. */
    if (!box->n) lmp_flag_wake(me->a, &q->qe_flag, lmp_qpos_word(&q->qt_pos), 1);
    lmp_wait_end(me);
  }
  return box->n ? LMP_OK : e;
}

lmp_err lmp_queue_poll(lmp_me *me, lmp_obj *o, uint64_t deadline) {
  lmp_queue *q = lmp_queue_of(o);
  bool waiting = false;
  lmp_err e = LMP_OK;
  for (;;) {
    lmp_qpos tail = lmp_load_acq64(&q->qt_pos);
    /* Not the head first: it could be that of an emptier time. Beyond this tail, it says no less. */
    uint32_t size = lmp_qpos_diff(tail, lmp_load_acq64(&q->qh_pos));
    if (size > LMP_QUEUE_MAX / 2) continue;
    if (size || lmp_qpos_closed(tail)) e = LMP_OK;
    if (size || lmp_qpos_closed(tail) || e) break;
    if (deadline == LMP_NOWAIT) {
      e = LMP_E_TIMEOUT;
      break;
    }
    e = wait_message(me, o, tail, deadline, &waiting);
  }
  if (LMP_UNLIKELY(waiting)) {
    /* We take nothing: a wake that we took belongs to a getter. */
    lmp_flag_wake(me->a, &q->qe_flag, lmp_qpos_word(&q->qt_pos), 1);
    lmp_wait_end(me);
  }
  return e;
}

bool lmp_queue_drop(lmp_me *me, lmp_queue *q) {
  cursor c;
  lmp_lock(me, &q->qh_lock);
  if (!cursor_init(me, q, &c)) {
    lmp_unlock(me, &q->qh_lock);
    return false;
  }
  lmp_owe(me, 0, lmp_qpos_word(&q->qh_pos));
  lmp_cell *cell = cursor_cell(me, &c);
  uint64_t block = cell->ce_kind == LMP_CELL_BLOCK ? cell->ce.block.off : 0;
  bool handles = cell->ce_nhandles != 0;
  cursor_pass(&c, cell);
  cursor_commit(me, q, &c, block, handles);
  lmp_unlock(me, &q->qh_lock);
  lmp_fence_after_rmw();
  lmp_flag_wake(me->a, &q->qf_flag, lmp_qpos_word(&q->qh_pos), 1);
  lmp_owe_none(me, 0);
  if (c.used_up) lmp_free(me, c.used_up);
  if (block) lmp_free(me, block);
  if (handles) {
    lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
    lmp_collect_ask(me, NULL);
  }
  return true;
}

void lmp_queue_trim(lmp_me *me, lmp_queue *q) {
  uint64_t seg = 0;
  lmp_lock(me, &q->qt_lock);
  lmp_lock(me, &q->qh_lock);
  if (q->qt_seg && lmp_qpos_diff(q->qt_pos, q->qh_pos) == 0) {
    lmp_assert(q->qh_seg == q->qt_seg);
    seg = q->qt_seg;
    lmp_tx_begin(me);
    lmp_tx_set64(me, &q->qt_seg, 0);
    lmp_tx_set64(me, &q->qh_seg, 0);
    lmp_tx_set64(me, &q->qt_first, 0);
    lmp_tx_owner(me, seg, me->id);
    lmp_tx_commit(me);
  }
  lmp_unlock(me, &q->qh_lock);
  lmp_unlock(me, &q->qt_lock);
  if (seg) lmp_free(me, seg);
}
