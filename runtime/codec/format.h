/* codec/format.h: the tags of the message format.
 * SPDX-License-Identifier: MIT
 *
 * Design
 *   message  = VERSION value { body | global }
 *   value    = one tag byte and what follows it, see the list below
 *   body     = the content of an object whose tag said "later"; the bodies stand in the order of
 *              their tags, the first right after the value. A table's body is TABLE or TABLE|META
 *              with its content; a function's is its upvalues. Nesting inside one value or body is
 *              thereby at most LMP_NEST_MAX, whatever the depth of the data, and neither side recurses.
 *   global   = GLOBAL string value; stands where no body is due
 *
 *   table    = TABLE|flags  hint  narr:varint  [metatable value, with META]  narr values
 *              [ { key value } END, with hint > 0 ]
 *              hint is 1 + the rounded-up logarithm of the number of pairs: what preallocation needs,
 *              and one byte that the writer can fill in afterwards.
 *   function = FUNCTION|flags  length:varint  bytecode  [count:byte { upvalue }, unless "later"]
 *   upvalue  = UPVALUE value | UPVALUE_SAME position:varint number:byte
 *   name     = NAME string count:byte { string }: module, then fields
 *   type     = TYPE string: a metatable of mp.register
 *   light    = LIGHT image:8 pointer:8
 *
 * I1  Every element, key and value of every table has a tag byte of its own. So the counts that all
 *     tables of a message claim cannot exceed its length together, and a reader that keeps that one
 *     budget (lmp_reader.budget) allocates no more than a constant times the message.
 * I2  The SHARED bit (1) of a tag says that something refers to this object by its position. The
 *     writer sets it when the second reference comes; objects without it cost the reader nothing.
 * I3  A position counts the bytes of the message before the tag, without the contents of BLOBs: these
 *     are not copied into the writer's buffer, where the bit is set.
 * Numbers are little-endian. A varint has seven bits per byte, low ones first, and may be padded. */
#ifndef LMP_CODEC_FORMAT_H
#define LMP_CODEC_FORMAT_H

#include "base/defs.h"

#define LMP_FORMAT_VERSION 0xA1

#define LMP_NEST_MAX 40             /* bounds the C and Lua stack of both sides */
#define LMP_BLOB_MIN ((size_t)4096) /* strings from here on are borrowed, not copied */
#define LMP_STR_TINY 63             /* longest string whose length is in the tag */
#define LMP_HINT_MAX 60
#define LMP_SHARED 1
#define LMP_TABLE_META 2
#define LMP_FUNCTION_LATER 2

/* 0x00..0x7F are the integers 0..127, 0x80..0xBF strings of 0..63 bytes. */
enum {
  LMP_T_TINY = 0x80,
  LMP_T_NIL = 0xC0,
  LMP_T_FALSE,
  LMP_T_TRUE,
  LMP_T_I8,
  LMP_T_I16,
  LMP_T_I32,
  LMP_T_I64,
  LMP_T_F64,
  LMP_T_STR8,  /* length:1 bytes */
  LMP_T_STR32, /* length:4 bytes */
  LMP_T_BLOB,  /* length:8 bytes; may be shared */
  LMP_T_END = 0xCC,
  LMP_T_REF,     /* position:varint */
  LMP_T_HANDLE,  /* index:varint in the message's handle list */
  LMP_T_GLOBALS, /* the receiver's table of globals */
  LMP_T_LIGHT,
  LMP_T_GLOBAL,
  LMP_T_NAME = 0xD2,    /* may be shared */
  LMP_T_TYPE = 0xD4,    /* may be shared */
  LMP_T_UPVALUE = 0xD6, /* may be shared */
  LMP_T_UPVALUE_SAME = 0xD8,
  LMP_T_TABLE = 0xE0,       /* | LMP_SHARED | LMP_TABLE_META */
  LMP_T_TABLE_LATER = 0xE4, /* | LMP_SHARED; nothing follows */
  LMP_T_FUNCTION = 0xE8,    /* | LMP_SHARED | LMP_FUNCTION_LATER */
};

static_assert((LMP_T_BLOB & 1) == 0, "the shared bit is free");

static inline uint16_t lmp_le16(uint16_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap16(x);
#else
  return x;
#endif
}

static inline uint32_t lmp_le32(uint32_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap32(x);
#else
  return x;
#endif
}

static inline uint64_t lmp_le64(uint64_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap64(x);
#else
  return x;
#endif
}

/* lmp_hint_of: the hint byte for `pairs` pairs. */
static inline uint8_t lmp_hint_of(uint64_t pairs) {
  if (pairs <= 1) return (uint8_t)pairs;
  return (uint8_t)(65 - __builtin_clzll(pairs - 1));
}

#endif
