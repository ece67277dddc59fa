/* channel/segment.h: how messages lie in a queue's segments.
 * SPDX-License-Identifier: MIT
 *
 * A queue is a chain of segments, blocks of the arena, each a header and cells of one cache line. A
 * message takes consecutive cells of one segment: its header, then, inline, its handles and bytes; or
 * the name of a block that holds them. Cell numbers count through the whole life of the queue (modulo
 * 2^32); sg_base is the number of a segment's first cell. A segment ends where its successor begins. */
#ifndef LMP_CHANNEL_SEGMENT_H
#define LMP_CHANNEL_SEGMENT_H

#include "channel/queue.h"

typedef struct lmp_seg {
  uint64_t sg_next; /* set once, by the transaction that puts the first message there */
  uint32_t sg_base;
  uint32_t sg_cap; /* cells */
  uint64_t sg_pad[6];
} lmp_seg;
_Static_assert(sizeof(lmp_seg) == LMP_CACHELINE, "cells start on a line");

#define LMP_CELL 64u
#define LMP_CELL_HEAD 8u
#define LMP_CELLS_MAX 8u /* of one message */
#define LMP_INLINE_MAX (LMP_CELLS_MAX * LMP_CELL - LMP_CELL_HEAD)

enum { LMP_CELL_INLINE = 1, LMP_CELL_BLOCK = 2 };
#define LMP_CELL_ALONE 0x80u /* in ce_cells: lmp_msg.alone */

typedef struct lmp_cell {
  uint8_t ce_kind;
  uint8_t ce_cells; /* how many it takes, and LMP_CELL_ALONE */
  uint16_t ce_len;  /* bytes of an inline message, without handles */
  uint32_t ce_nhandles;
  union {
    uint8_t bytes[LMP_CELL - LMP_CELL_HEAD]; /* and on into the next cells */
    struct {
      uint64_t off, len; /* the block, and its bytes without handles */
    } block;
  } ce;
} lmp_cell;
_Static_assert(sizeof(lmp_cell) == LMP_CELL, "one line");

static inline uint32_t lmp_cell_count(const lmp_cell *c) { return c->ce_cells & ~LMP_CELL_ALONE; }

#define LMP_QCOUNT_MASK 0x7fffffffu

static inline uint32_t lmp_qpos_cells(lmp_qpos p) { return (uint32_t)(p >> 32); }
static inline uint32_t lmp_qpos_count(lmp_qpos p) { return (uint32_t)p >> 1; }
static inline bool lmp_qpos_closed(lmp_qpos p) { return p & 1; }
static inline lmp_qpos lmp_qpos_add(lmp_qpos p, uint32_t cells, uint32_t count) {
  uint32_t low = (((uint32_t)p >> 1) + count) << 1 | ((uint32_t)p & 1);
  return (uint64_t)(lmp_qpos_cells(p) + cells) << 32 | low;
}
/* Messages between two positions. */
static inline uint32_t lmp_qpos_diff(lmp_qpos tail, lmp_qpos head) {
  return (lmp_qpos_count(tail) - lmp_qpos_count(head)) & LMP_QCOUNT_MASK;
}

static inline lmp_queue *lmp_queue_of(const lmp_obj *o) {
  return (lmp_queue *)(uintptr_t)o->ob_body;
}

/* The half of a position that is slept on (little endian). */
static inline uint32_t *lmp_qpos_word(lmp_qpos *p) { return (uint32_t *)(void *)p; }

static inline lmp_seg *lmp_seg_at(const lmp_arena *a, uint64_t off) { return lmp_at(a, off); }

static inline lmp_cell *lmp_seg_cell(lmp_seg *seg, uint32_t number) {
  return (lmp_cell *)(void *)((uint8_t *)(seg + 1) + (size_t)(number - seg->sg_base) * LMP_CELL);
}

#endif
