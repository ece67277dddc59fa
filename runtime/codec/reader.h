/* codec/reader.h: takes items of the message format from memory that anyone may have written.
 * SPDX-License-Identifier: MIT
 *
 * Nothing is read beyond `end`, nothing is allocated, and every count is checked before it is given
 * out. A false means damaged bytes; the reader is not used further then. */
#ifndef LMP_CODEC_READER_H
#define LMP_CODEC_READER_H

#include <string.h>

#include "codec/format.h"

typedef struct lmp_reader {
  const uint8_t *p;
  const uint8_t *end;
  const uint8_t *base; /* moved forward by the contents of blobs: p - base is a position */
  size_t budget;       /* elements that tables may still claim (format.h, I1) */
} lmp_reader;

typedef enum lmp_kind {
  LMP_K_BAD,
  LMP_K_NIL,
  LMP_K_BOOL,   /* i */
  LMP_K_INT,    /* i */
  LMP_K_FLOAT,  /* x */
  LMP_K_STRING, /* data, n */
  LMP_K_END,
  LMP_K_REF,    /* n: position */
  LMP_K_HANDLE, /* n: index */
  LMP_K_GLOBALS,
  LMP_K_LIGHT, /* n: image, i: pointer */
  LMP_K_GLOBAL,
  LMP_K_NAME,
  LMP_K_TYPE,
  LMP_K_UPVALUE,
  LMP_K_UPVALUE_SAME, /* n: position, i: number */
  LMP_K_TABLE,        /* n: elements, i: room for pairs (0: no pairs follow), flags */
  LMP_K_TABLE_LATER,
  LMP_K_FUNCTION /* data, n: bytecode; flags */
} lmp_kind;

typedef struct lmp_item {
  lmp_kind kind;
  unsigned flags;    /* LMP_SHARED and those of the kind */
  uint64_t position; /* of the tag; set where `flags` has LMP_SHARED */
  const char *data;
  uint64_t n;
  int64_t i;
  double x;
} lmp_item;

/* lmp_reader_init: to the bytes after the version byte; false when that one is not ours. */
LMP_NODISCARD bool lmp_reader_init(lmp_reader *r, const void *bytes, size_t len);
/* lmp_get_rich: the kinds that lmp_get_item does not handle in line. */
LMP_NODISCARD bool lmp_get_rich(lmp_reader *r, unsigned tag, lmp_item *it);
/* lmp_get_u8: a raw byte. */
LMP_NODISCARD bool lmp_get_u8(lmp_reader *r, unsigned *x);
/* lmp_get_string: an item that must be a string and no blob; borrowed from the message. */
LMP_NODISCARD bool lmp_get_string(lmp_reader *r, const char **s, size_t *n);

static inline size_t lmp_reader_left(const lmp_reader *r) { return (size_t)(r->end - r->p); }

/* lmp_get_item: the next tag with what belongs to it, up to the values inside it. */
LMP_NODISCARD static inline bool lmp_get_item(lmp_reader *r, lmp_item *it) {
  if (LMP_UNLIKELY(r->p == r->end)) return false;
  unsigned tag = *r->p++;
  if (tag < LMP_T_TINY) {
    it->kind = LMP_K_INT;
    it->i = (int64_t)tag;
    return true;
  }
  if (tag < LMP_T_NIL) {
    it->kind = LMP_K_STRING;
    it->flags = 0;
    it->n = tag - LMP_T_TINY;
    it->data = (const char *)r->p;
    if (LMP_UNLIKELY(lmp_reader_left(r) < it->n)) return false;
    r->p += it->n;
    return true;
  }
  return lmp_get_rich(r, tag, it);
}

#endif
