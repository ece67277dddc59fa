/* channel/queue_put.c: the putters' side of the queue.
 * SPDX-License-Identifier: MIT
 *
 * Cells beyond qt_pos are nobody's, so a message is written there first; then one store of qt_pos
 * puts it, or a transaction where more has to change: a block or a segment becomes the queue's, a
 * message with handles is counted. Killed before that store, nothing happened; after it, the message
 * is in. Memory is taken before the lock: nothing is allocated, and no system call made, inside. */
#include <string.h>

#include "base/debug.h"
#include "channel/queue_priv.h"
#include "os/os.h"

#define COPY_PIECE ((size_t)128 << 10)
/* Blocks of 1, 4 and 16 KiB. */
static const uint16_t seg_cells[] = {15, 63, 255};

/* What a put has in hand, prepared outside the lock. */
typedef struct draft {
  uint64_t block; /* the first message's bytes, when it goes into a block */
  uint64_t seg;   /* an unused segment */
} draft;

typedef enum put_result { PUT_DONE, PUT_CLOSED, PUT_FULL, PUT_NO_SEGMENT } put_result;

static size_t msg_size(const lmp_msg *m) { return m->len + m->nhandles * sizeof(lmp_handle); }
static bool msg_inline(const lmp_msg *m) { return msg_size(m) <= LMP_INLINE_MAX; }
/* Can be put by moving qt_pos alone. */
static bool msg_simple(const lmp_msg *m) { return m->nhandles == 0 && m->len <= LMP_INLINE_MAX; }

static uint32_t msg_cells(const lmp_msg *m) {
  if (!msg_inline(m)) return 1;
  return (uint32_t)((msg_size(m) + LMP_CELL_HEAD + LMP_CELL - 1) / LMP_CELL);
}

/* The C library copies large pieces past the caches; the getter is going to read them at once. */
static void copy_cached(uint8_t *to, const uint8_t *from, size_t len) {
  for (; len > COPY_PIECE; len -= COPY_PIECE, to += COPY_PIECE, from += COPY_PIECE) {
    memcpy(to, from, COPY_PIECE);
  }
  memcpy(to, from, len);
}

static void msg_write(const lmp_msg *m, uint8_t *to) {
  size_t handles = m->nhandles * sizeof(lmp_handle);
  if (handles) memcpy(to, m->handles, handles);
  to += handles;
  for (uint32_t i = 0; i < m->niov; i++) {
    copy_cached(to, m->iov[i].data, m->iov[i].len);
    to += m->iov[i].len;
  }
}

static void cell_write(lmp_cell *c, const lmp_msg *m, uint64_t block) {
  bool in = msg_inline(m);
  c->ce_kind = in ? LMP_CELL_INLINE : LMP_CELL_BLOCK;
  c->ce_cells = (uint8_t)(msg_cells(m) | (m->alone ? LMP_CELL_ALONE : 0));
  c->ce_len = in ? (uint16_t)m->len : 0;
  c->ce_nhandles = m->nhandles;
  if (in) {
    msg_write(m, c->ce.bytes);
  } else {
    c->ce.block.off = block;
    c->ce.block.len = m->len;
  }
}

/* How many messages the queue still takes. */
static uint32_t room_left(lmp_queue *q, lmp_qpos pos) {
  uint32_t max = q->qf_max ? q->qf_max : LMP_QUEUE_MAX;
  if (lmp_qpos_diff(pos, q->qt_head) >= max) {
    q->qt_head =
        lmp_load_acq64(&q->qh_pos); /* pairs with the getters' store: the cells were read */
  }
  uint32_t size = lmp_qpos_diff(pos, q->qt_head);
  return size < max ? max - size : 0;
}

/* Puts as many simple messages as fit the last segment, by one store. */
static uint32_t put_simple(lmp_queue *q, lmp_seg *seg, lmp_qpos pos, const lmp_msg *msgs, size_t n,
                           uint32_t room) {
  uint32_t first = lmp_qpos_cells(pos);
  uint32_t used = first - seg->sg_base;
  uint32_t cells = 0;
  uint32_t k = 0;
  while (k < n && k < room && msg_simple(&msgs[k])) {
    uint32_t need = msg_cells(&msgs[k]);
    if (used + cells + need > seg->sg_cap) break;
    cell_write(lmp_seg_cell(seg, first + cells), &msgs[k], 0);
    cells += need;
    k++;
  }
  /* CRASH: before: the cells are nobody's. After: the messages are in; cx_pwake owes the getters. */
  if (k) lmp_store_rel64(&q->qt_pos, lmp_qpos_add(pos, cells, k));
  return k;
}

/* Puts one message of any kind by a transaction. */
static void put_logged(lmp_me *me, lmp_queue *q, lmp_seg *seg, lmp_qpos pos, const lmp_msg *m,
                       const draft *d, bool fresh) {
  uint32_t at = lmp_qpos_cells(pos);
  lmp_seg *to = seg;
  lmp_tx_begin(me);
  if (fresh) {
    to = lmp_seg_at(me->a, d->seg);
    to->sg_base = at;
    lmp_tx_owner(me, d->seg, LMP_TAG_SHARED);
    lmp_tx_set64(me, seg ? &seg->sg_next : &q->qt_first, d->seg);
    lmp_tx_set64(me, &q->qt_seg, d->seg);
  }
  cell_write(lmp_seg_cell(to, at), m, d->block);
  if (!msg_inline(m)) lmp_tx_owner(me, d->block, LMP_TAG_SHARED);
  if (m->nhandles) {
    for (uint32_t i = 0; i < m->nhandles; i++) lmp_obj_stamp(me, m->handles[i]);
    lmp_tx_set32(me, &q->qt_nh, q->qt_nh + 1);
  }
  lmp_tx_set64(me, &q->qt_pos,
               lmp_qpos_add(pos, msg_cells(m), 1)); /* last: getters look at it first */
  lmp_tx_commit(me);
}

/* Under qt_lock. *k messages were put; what they used of the draft is taken out of it. */
static put_result put_locked(lmp_me *me, lmp_queue *q, const lmp_msg *msgs, size_t n, draft *d,
                             uint32_t *k) {
  lmp_qpos pos = q->qt_pos;
  if (lmp_qpos_closed(pos)) return PUT_CLOSED;
  uint32_t room = room_left(q, pos);
  if (room == 0) return PUT_FULL;
  lmp_seg *seg = q->qt_seg ? lmp_seg_at(me->a, q->qt_seg) : NULL;
  lmp_owe(me, 0, lmp_qpos_word(&q->qt_pos));
  if (seg && msg_simple(&msgs[0])) {
    *k = put_simple(q, seg, pos, msgs, n, room);
    if (*k) return PUT_DONE;
  }
  bool fresh = !seg || lmp_qpos_cells(pos) - seg->sg_base + msg_cells(&msgs[0]) > seg->sg_cap;
  if (fresh && !d->seg) return PUT_NO_SEGMENT;
  put_logged(me, q, seg, pos, &msgs[0], d, fresh);
  if (fresh) d->seg = 0;
  d->block = 0;
  *k = 1;
  return PUT_DONE;
}

/* Waits for memory, but not at a queue that is closed or gets closed meanwhile. */
static lmp_err draft_alloc(lmp_me *me, lmp_queue *q, uint64_t size, uint64_t deadline,
                           uint64_t *off) {
  for (;;) {
    uint32_t seq;
    lmp_err e = lmp_alloc_watch(me, size, &seq, off);
    if (LMP_LIKELY(e != LMP_E_NOMEM)) return e;
    /* After the flag of who waits for memory; pairs with the fence in lmp_queue_close. */
    if (lmp_qpos_closed(lmp_load_acq64(&q->qt_pos))) return LMP_E_CLOSED;
    e = lmp_memory_wait(me, seq, deadline);
    if (e) return e;
  }
}

static lmp_err draft_block(lmp_me *me, lmp_queue *q, const lmp_msg *m, uint64_t deadline,
                           draft *d) {
  lmp_err e = draft_alloc(me, q, msg_size(m), deadline, &d->block);
  if (!e) msg_write(m, lmp_at(me->a, d->block));
  return e;
}

/* A queue's segments grow with it. */
static lmp_err draft_segment(lmp_me *me, lmp_queue *q, uint64_t deadline, draft *d) {
  uint32_t size = lmp_qpos_diff(lmp_load_rlx64(&q->qt_pos), lmp_load_rlx64(&q->qh_pos));
  uint32_t cells = seg_cells[size < 8 ? 0 : size < 48 ? 1 : 2];
  lmp_err e = draft_alloc(me, q, sizeof(lmp_seg) + (size_t)cells * LMP_CELL, deadline, &d->seg);
  if (e) return e;
  lmp_seg *seg = lmp_seg_at(me->a, d->seg);
  seg->sg_next = 0;
  seg->sg_base = 0;
  seg->sg_cap = cells;
  return LMP_OK;
}

static bool still_full(lmp_queue *q, lmp_qpos head) {
  lmp_qpos tail = lmp_load_acq64(&q->qt_pos);
  uint32_t max = q->qf_max ? q->qf_max : LMP_QUEUE_MAX;
  return !lmp_qpos_closed(tail) && lmp_qpos_diff(tail, head) >= max;
}

static lmp_err wait_room(lmp_me *me, lmp_obj *o, uint64_t deadline, bool *waiting) {
  lmp_queue *q = lmp_queue_of(o);
  if (deadline == LMP_NOWAIT) return LMP_E_TIMEOUT;
  lmp_qpos head = lmp_load_acq64(&q->qh_pos);
  if (!still_full(q, head) || lmp_spin(me, lmp_qpos_word(&q->qh_pos), (uint32_t)head, false))
    return LMP_OK;
  lmp_wait_begin(me, o, lmp_qpos_word(&q->qh_pos), deadline);
  *waiting = true;
  head = lmp_load_acq64(&q->qh_pos); /* before the flag: who moves it later sees the flag */
  lmp_flag_raise(&q->qf_flag, (uint32_t)head);
  if (!still_full(q, lmp_load_acq64(&q->qh_pos))) return LMP_OK;
  return lmp_wait_sleep(me, lmp_qpos_word(&q->qh_pos), (uint32_t)head, deadline);
}

static void wake_getters(lmp_me *me, lmp_queue *q, uint32_t n) {
  if (n) {
    lmp_fence_after_rmw(); /* after the unlock: qt_pos before the flag; pairs with lmp_flag_raise */
    lmp_flag_wake(me->a, &q->qe_flag, lmp_qpos_word(&q->qt_pos), n);
  }
  lmp_owe_none(me, 0);
}

static lmp_err put_step(lmp_me *me, lmp_obj *o, const lmp_msg *msgs, size_t n, uint64_t deadline,
                        draft *d, bool *waiting, size_t *done) {
  lmp_queue *q = lmp_queue_of(o);
  uint32_t k = 0;
  if (!d->block && !msg_inline(&msgs[0])) {
    lmp_err e = draft_block(me, q, &msgs[0], deadline, d);
    if (e) return e;
  }
  lmp_lock(me, &q->qt_lock);
  put_result r = put_locked(me, q, msgs, n, d, &k);
  lmp_unlock(me, &q->qt_lock);
  wake_getters(me, q, k);
  *done += k;
  me->asked = true;
  switch (r) {
    case PUT_CLOSED:
      return LMP_E_CLOSED;
    case PUT_FULL:
      return wait_room(me, o, deadline, waiting);
    case PUT_NO_SEGMENT:
      return draft_segment(me, q, deadline, d);
    default:
      return LMP_OK;
  }
}

lmp_err lmp_queue_put(lmp_me *me, lmp_obj *o, const lmp_msg *msgs, size_t n, uint64_t deadline,
                      size_t *done) {
  draft d = {0, 0};
  bool waiting = false;
  lmp_err e = LMP_OK;
  *done = 0;
  while (*done < n && !e) {
    e = put_step(me, o, msgs + *done, n - *done, deadline, &d, &waiting, done);
  }
  if (LMP_UNLIKELY(d.block)) lmp_free(me, d.block);
  if (LMP_UNLIKELY(d.seg)) lmp_free(me, d.seg);
  if (LMP_UNLIKELY(waiting)) {
    lmp_queue *q = lmp_queue_of(o);
    /* A wake that we took and leave without having used belongs to another putter. */
    if (e) lmp_flag_wake(me->a, &q->qf_flag, lmp_qpos_word(&q->qh_pos), 1);
    lmp_wait_end(me);
  }
  return e;
}
