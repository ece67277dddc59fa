/* lua/l_bulk.c: methods of Arrays on many elements.
 * SPDX-License-Identifier: MIT
 *
 *   a:fill(x [, i [, j]])   a:table([i [, j]])   a:set(t [, start])   a:unpack([i [, j]])
 *   a:copy(from [, i [, j [, to]]])   a:string()   a:setstring(s [, start])   a:iter([i [, j]])
 *   a:sum()   a:min()   a:max()   a:find(x [, i])   a:sort()
 *
 * All arguments, and all elements of a table, are looked at before the first element is written. Tables are
 * read and made raw, so nothing of a script runs in between. */
#include "channel/bulk.h"

#include <limits.h>
#include <stdlib.h>

#include "lua/l_array.h"

static l_array *self(lua_State *L) { return l_array_self(L, 1, LMP_KIND_ARRAY); }

/* The range i..j at `arg`, by default all: its first element, from 0, and their number. An end before the
 * start is an empty range, as everywhere in Lua. */
static uint64_t range(lua_State *L, int arg, const l_array *u, uint64_t *n) {
  lua_Integer len = (lua_Integer)u->len;
  lua_Integer i = luaL_optinteger(L, arg, 1);
  lua_Integer j = luaL_optinteger(L, arg + 1, len);
  if (i < 1 || i > len + 1) {
    luaL_argerror(L, arg, lua_pushfstring(L, "index %I is out of range (1 to %I)", i, len));
  }
  if (j < 0 || j > len) {
    luaL_argerror(L, arg + 1, lua_pushfstring(L, "index %I is out of range (1 to %I)", j, len));
  }
  *n = j < i ? 0 : (uint64_t)(j - i) + 1;
  return (uint64_t)i - 1;
}

/* The index at `arg`, by default 1, from 0, from which on `n` elements are to be written. */
static uint64_t place(lua_State *L, int arg, const l_array *u, uint64_t n) {
  lua_Integer start = luaL_optinteger(L, arg, 1);
  if (start < 1 || (uint64_t)start - 1 > u->len || n > u->len - ((uint64_t)start - 1)) {
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "%I elements from index %I on are out of range (1 to %I)",
                                  (lua_Integer)n, start, (lua_Integer)u->len));
  }
  return (uint64_t)start - 1;
}

/* -- Lua tables ---------------------------------------------------------------------------------- */

/* How many elements of a table are on the stack at once. */
#define BATCH 16
/* Elements that are gathered on the C stack. */
#define SMALL 512

/* Reads elements first..last of the table at `arg` into `to`; the number of the first that does not fit, 0:
 * all do. One loop for each kind of type: the calls into Lua are what it costs. */
#define READ(name, T, get)                                                               \
  static uint64_t read_##name(lua_State *L, int arg, uint64_t n, lmp_elem t, void *to) { \
    T *p = to;                                                                           \
    (void)t;                                                                             \
    for (uint64_t i = 0; i < n; i += BATCH) {                                            \
      int many = n - i < BATCH ? (int)(n - i) : BATCH;                                   \
      int top = lua_gettop(L);                                                           \
      for (int k = 1; k <= many; k++) {                                                  \
        bool fits;                                                                       \
        int type = lua_rawgeti(L, arg, (lua_Integer)i + k);                              \
        p[i + (uint64_t)k - 1] = (T)get(L, top + k, type, t, &fits);                     \
        if (LMP_UNLIKELY(!fits)) {                                                       \
          lua_settop(L, top);                                                            \
          return i + (uint64_t)k;                                                        \
        }                                                                                \
      }                                                                                  \
      lua_settop(L, top);                                                                \
    }                                                                                    \
    return 0;                                                                            \
  }

static inline lua_Number get_number(lua_State *L, int idx, int type, lmp_elem t, bool *fits) {
  (void)t;
  *fits = type == LUA_TNUMBER;
  return lua_tonumberx(L, idx, NULL);
}

static inline lua_Integer get_signed(lua_State *L, int idx, int type, lua_Integer lo,
                                     lua_Integer hi, bool *fits) {
  int whole;
  lua_Integer i = lua_tointegerx(L, idx, &whole);
  *fits = type == LUA_TNUMBER && whole && i >= lo && i <= hi;
  return i;
}
#define GET_I32(L, idx, type, t, fits) get_signed(L, idx, type, INT32_MIN, INT32_MAX, fits)
#define GET_I64(L, idx, type, t, fits) get_signed(L, idx, type, INT64_MIN, INT64_MAX, fits)

/* All types, by their bits. */
static uint64_t get_bits(lua_State *L, int idx, int type, lmp_elem t, bool *fits) {
  uint64_t bits = 0;
  (void)type;
  *fits = l_elem_get(L, idx, t, &bits);
  return bits;
}
READ(f64, double, get_number)
READ(i32, int32_t, GET_I32)
READ(i64, int64_t, GET_I64)
READ(any8, uint8_t, get_bits)
READ(any16, uint16_t, get_bits)
READ(any32, uint32_t, get_bits)
READ(any64, uint64_t, get_bits)

void l_bulk_set(lua_State *L, int arg, uint64_t n, l_array *u, uint64_t start) {
  static uint64_t (*const read[LMP_EL_COUNT])(lua_State *, int, uint64_t, lmp_elem, void *) = {
      [LMP_EL_I8] = read_any8,   [LMP_EL_U8] = read_any8,   [LMP_EL_I16] = read_any16,
      [LMP_EL_U16] = read_any16, [LMP_EL_I32] = read_i32,   [LMP_EL_U32] = read_any32,
      [LMP_EL_I64] = read_i64,   [LMP_EL_U64] = read_any64, [LMP_EL_F32] = read_any32,
      [LMP_EL_F64] = read_f64,   [LMP_EL_BOOL] = read_any8, [LMP_EL_CHAR] = read_any8,
  };
  uint64_t small[SMALL];
  luaL_checkstack(L, BATCH + 4, NULL);
  void *all = n <= SMALL ? small : malloc(n << lmp_elem_shift(u->type));
  if (!all) luaL_error(L, "not enough memory");
  uint64_t bad = read[u->type](L, arg, n, u->type, all);
  if (!bad) lmp_bulk_copy(u->type, l_array_at(u, start), all, n);
  if (all != small) free(all);
  if (!bad) return;
  lua_rawgeti(L, arg, (lua_Integer)bad);
  const char *why = l_elem_why(L, -1, u->type);
  luaL_argerror(L, arg, lua_pushfstring(L, "element %I: %s", (lua_Integer)bad, why));
}

static int a_set(lua_State *L) {
  l_array *u = self(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  uint64_t n = lua_rawlen(L, 2);
  l_bulk_set(L, 2, n, u, place(L, 3, u, n));
  return 0;
}

/* One loop for each type, so that the type is not asked for each element. */
#define TABLE(name, T, load, push)                                       \
  static void table_##name(lua_State *L, const void *from, uint64_t n) { \
    const T *p = from;                                                   \
    for (uint64_t i = 0; i < n; i++) {                                   \
      push(L, load);                                                     \
      lua_rawseti(L, -2, (lua_Integer)i + 1);                            \
    }                                                                    \
  }
TABLE(i8, uint8_t, (int8_t)lmp_load_rlx8(p + i), lua_pushinteger)
TABLE(u8, uint8_t, lmp_load_rlx8(p + i), lua_pushinteger)
TABLE(i16, uint16_t, (int16_t)lmp_load_rlx16(p + i), lua_pushinteger)
TABLE(u16, uint16_t, lmp_load_rlx16(p + i), lua_pushinteger)
TABLE(i32, uint32_t, (int32_t)lmp_load_rlx32(p + i), lua_pushinteger)
TABLE(u32, uint32_t, lmp_load_rlx32(p + i), lua_pushinteger)
TABLE(i64, uint64_t, (lua_Integer)lmp_load_rlx64(p + i), lua_pushinteger)
TABLE(f32, uint32_t, (lua_Number)lmp_f32_of(lmp_load_rlx32(p + i)), lua_pushnumber)
TABLE(f64, uint64_t, lmp_f64_of(lmp_load_rlx64(p + i)), lua_pushnumber)
TABLE(bool, uint8_t, lmp_load_rlx8(p + i) != 0, lua_pushboolean)

static void table_char(lua_State *L, const void *from, uint64_t n) {
  const uint8_t *p = from;
  for (uint64_t i = 0; i < n; i++) {
    l_elem_push(L, LMP_EL_CHAR, lmp_load_rlx8(p + i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static int a_table(lua_State *L) {
  static void (*const fill[LMP_EL_COUNT])(lua_State *, const void *, uint64_t) = {
      [LMP_EL_I8] = table_i8,   [LMP_EL_U8] = table_u8,     [LMP_EL_I16] = table_i16,
      [LMP_EL_U16] = table_u16, [LMP_EL_I32] = table_i32,   [LMP_EL_U32] = table_u32,
      [LMP_EL_I64] = table_i64, [LMP_EL_U64] = table_i64,   [LMP_EL_F32] = table_f32,
      [LMP_EL_F64] = table_f64, [LMP_EL_BOOL] = table_bool, [LMP_EL_CHAR] = table_char,
  };
  l_array *u = self(L);
  uint64_t n;
  uint64_t first = range(L, 2, u, &n);
  if (n > INT_MAX) {
    return luaL_argerror(L, 1,
                         lua_pushfstring(L, "too many elements for a table: %I", (lua_Integer)n));
  }
  lua_createtable(L, (int)n, 0);
  fill[u->type](L, l_array_at(u, first), n);
  return 1;
}

static int a_unpack(lua_State *L) {
  l_array *u = self(L);
  uint64_t n;
  uint64_t first = range(L, 2, u, &n);
  if (n >= INT_MAX || !lua_checkstack(L, (int)n))
    return luaL_argerror(L, 1, "too many results to unpack");
  for (uint64_t i = 0; i < n; i++) l_elem_push_at(L, u->type, l_array_at(u, first + i));
  return (int)n;
}

/* -- memory to memory ---------------------------------------------------------------------------- */

static int a_fill(lua_State *L) {
  l_array *u = self(L);
  uint64_t n;
  uint64_t bits = l_elem_check(L, 2, u->type);
  uint64_t first = range(L, 3, u, &n);
  lmp_bulk_fill(u->type, l_array_at(u, first), n, bits);
  return 0;
}

static int a_copy(lua_State *L) {
  l_array *u = self(L);
  const l_array *from = l_array_self(L, 2, LMP_KIND_ARRAY);
  uint64_t n;
  if (from->type != u->type) {
    luaL_argerror(L, 2,
                  lua_pushfstring(L, "Array of '%s' expected, got one of '%s'",
                                  l_elem_name(u->type), l_elem_name(from->type)));
  }
  uint64_t first = range(L, 3, from, &n);
  uint64_t to = place(L, 5, u, n);
  lmp_bulk_copy(u->type, l_array_at(u, to), l_array_at(from, first), n);
  return 0;
}

static int a_string(lua_State *L) {
  const l_array *u = self(L);
  lua_pushlstring(L, (const char *)u->data, u->len << lmp_elem_shift(u->type));
  return 1;
}

static int a_setstring(lua_State *L) {
  l_array *u = self(L);
  unsigned shift = lmp_elem_shift(u->type);
  size_t len;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *s = lua_tolstring(L, 2, &len);
  if (len & ((1u << shift) - 1)) {
    luaL_argerror(L, 2,
                  lua_pushfstring(L, "%I bytes are no whole elements of type '%s'",
                                  (lua_Integer)len, l_elem_name(u->type)));
  }
  uint64_t to = place(L, 3, u, len >> shift);
  lmp_bulk_copy(u->type, l_array_at(u, to), s, len >> shift);
  return 0;
}

/* -- looking at all ------------------------------------------------------------------------------ */

static int a_sum(lua_State *L) {
  const l_array *u = self(L);
  if (u->type == LMP_EL_CHAR) return luaL_argerror(L, 1, "characters ('c') have no sum");
  uint64_t bits = lmp_bulk_sum(u->type, u->data, u->len);
  l_elem_push(L, u->type == LMP_EL_F32 || u->type == LMP_EL_F64 ? LMP_EL_F64 : LMP_EL_I64, bits);
  return 1;
}

static int extreme(lua_State *L, uint64_t (*of)(lmp_elem, const void *, uint64_t)) {
  const l_array *u = self(L);
  if (u->type == LMP_EL_BOOL) return luaL_argerror(L, 1, "booleans ('?') have no order");
  if (u->len == 0) {
    lua_pushnil(L);
  } else {
    l_elem_push(L, u->type, of(u->type, u->data, u->len));
  }
  return 1;
}

static int a_min(lua_State *L) { return extreme(L, lmp_bulk_least); }
static int a_max(lua_State *L) { return extreme(L, lmp_bulk_greatest); }

static int a_find(lua_State *L) {
  const l_array *u = self(L);
  lua_Integer i = luaL_optinteger(L, 3, 1);
  uint64_t bits;
  luaL_checkany(L, 2);
  if (i < 1 || (uint64_t)i - 1 > u->len) {
    luaL_argerror(L, 3,
                  lua_pushfstring(L, "index %I is out of range (1 to %I)", i, (lua_Integer)u->len));
  }
  uint64_t n = u->len - ((uint64_t)i - 1);
  uint64_t at = n;
  if (l_elem_get(L, 2, u->type, &bits)) {
    at = lmp_bulk_find(u->type, l_array_at(u, (uint64_t)i - 1), n, bits);
  } else if (lua_type(L, 2) != LUA_TNUMBER || u->type >= LMP_EL_BOOL) {
    luaL_argerror(L, 2, l_elem_why(L, 2, u->type)); /* a number that cannot be there just is not */
  }
  if (at == n) {
    lua_pushnil(L);
  } else {
    lua_pushinteger(L, i + (lua_Integer)at);
  }
  return 1;
}

static int a_sort(lua_State *L) {
  l_array *u = self(L);
  if (!lmp_bulk_sort(u->type, u->data, u->len)) return luaL_error(L, "not enough memory");
  return 0;
}

/* Upvalues: the l_state, the array, the next index from 0, the one after the last. */
static int iter_next(lua_State *L) {
  uint64_t i = (uint64_t)lua_tointeger(L, lua_upvalueindex(3));
  if (i >= (uint64_t)lua_tointeger(L, lua_upvalueindex(4))) return 0;
  const l_array *u = l_array_self(L, lua_upvalueindex(2), LMP_KIND_ARRAY);
  lua_pushinteger(L, (lua_Integer)i + 1);
  lua_replace(L, lua_upvalueindex(3));
  l_elem_push_at(L, u->type, l_array_at(u, i));
  return 1;
}

static int a_iter(lua_State *L) {
  uint64_t n;
  uint64_t first = range(L, 2, self(L), &n);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushinteger(L, (lua_Integer)first);
  lua_pushinteger(L, (lua_Integer)first + (lua_Integer)n);
  lua_pushcclosure(L, iter_next, 4);
  return 1;
}

const luaL_Reg l_bulk_meth[] = {
    {"fill", a_fill}, {"table", a_table},   {"set", a_set},   {"unpack", a_unpack},
    {"copy", a_copy}, {"string", a_string}, {"sum", a_sum},   {"setstring", a_setstring},
    {"min", a_min},   {"max", a_max},       {"find", a_find}, {"sort", a_sort},
    {"iter", a_iter}, {NULL, NULL},
};
