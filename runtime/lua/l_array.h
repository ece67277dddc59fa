/* lua/l_array.h: what the bindings of Value, Array and SharedMemory share.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_ARRAY_H
#define LMP_LUA_L_ARRAY_H

#include "channel/array.h"
#include "lua/l_state.h"

/* A named block as this Lua state has it mapped: shared by the SharedMemory and its views. */
typedef struct l_map {
  void *base;
  uint64_t size;
  size_t refs;
} l_map;

/* The userdata of a Value or an Array. The elements never move while the handle is open, also over a fork. */
typedef struct l_array {
  l_obj obj;
  uint8_t *data; /* the first element; NULL: a view that could not be opened here */
  uint64_t len;
  lmp_elem type;
  l_map *map; /* of a view */
} l_array;

/* l_array_slow: the same for a handle that was inherited; raises for what is none. */
l_array *l_array_slow(lua_State *L, int arg, uint32_t kind);

/* l_array_self: the open Value or Array at `arg`. Needs no place in the family: an element is just memory. */
static inline l_array *l_array_self(lua_State *L, int arg, uint32_t kind) {
  l_array *u = lua_touserdata(L, arg);
  if (LMP_LIKELY(u && lua_rawlen(L, arg) >= sizeof *u && u->obj.magic == L_HANDLE_MAGIC &&
                 u->obj.kind == kind && u->obj.open && u->data)) {
    const lmp_family *f = u->obj.st->f;
    if (LMP_LIKELY(f && u->obj.epoch == f->epoch && !lmp_family_forked(f))) return u;
  }
  return l_array_slow(L, arg, kind);
}

static inline void *l_array_at(const l_array *u, uint64_t i) {
  return u->data + (i << lmp_elem_shift(u->type));
}

/* l_map_open: maps the block that `shm` has open, and closes that; NULL: errno tells why. l_map_drop:
 * one reference less; NULL is legal. */
l_map *l_map_open(const lmp_shm *shm);
void l_map_drop(l_map *map);
/* l_shared_map: the mapping of the SharedMemory `h` of a view that the process holds, with one more reference; NULL:
 * it could not be opened. Raises (memory). */
l_map *l_shared_map(lua_State *L, lmp_handle h);

/* -- elements and Lua values (l_elem.c) ---------------------------------------------------------- */

/* l_elem_code: the type of the code at `arg`. Raises. */
lmp_elem l_elem_code(lua_State *L, int arg);
/* l_elem_name: the code, for messages. */
const char *l_elem_name(lmp_elem t);
/* l_elem_get: the value at `idx` as the bits of an element; false: it is none. Raises nothing, converts no
 * strings. l_elem_why: pushes what is wrong with it. */
bool l_elem_get(lua_State *L, int idx, lmp_elem t, uint64_t *bits);
const char *l_elem_why(lua_State *L, int idx, lmp_elem t);
/* l_elem_check: the argument as bits. l_elem_delta: what can be added. Both raise. */
uint64_t l_elem_check(lua_State *L, int arg, lmp_elem t);
uint64_t l_elem_delta(lua_State *L, int arg, lmp_elem t);
/* l_elem_push: pushes the value of bits. */
void l_elem_push(lua_State *L, lmp_elem t, uint64_t bits);

/* l_elem_push_at: pushes the element at `p`. */
static inline void l_elem_push_at(lua_State *L, lmp_elem t, const void *p) {
  switch (t) {
    case LMP_EL_I8:
      lua_pushinteger(L, (int8_t)lmp_load_acq8(p));
      return;
    case LMP_EL_U8:
      lua_pushinteger(L, lmp_load_acq8(p));
      return;
    case LMP_EL_I16:
      lua_pushinteger(L, (int16_t)lmp_load_acq16(p));
      return;
    case LMP_EL_U16:
      lua_pushinteger(L, lmp_load_acq16(p));
      return;
    case LMP_EL_I32:
      lua_pushinteger(L, (int32_t)lmp_load_acq32(p));
      return;
    case LMP_EL_U32:
      lua_pushinteger(L, lmp_load_acq32(p));
      return;
    case LMP_EL_I64:
    case LMP_EL_U64:
      lua_pushinteger(L, (lua_Integer)lmp_load_acq64(p));
      return;
    case LMP_EL_F32:
      lua_pushnumber(L, (lua_Number)lmp_f32_of(lmp_load_acq32(p)));
      return;
    case LMP_EL_F64:
      lua_pushnumber(L, lmp_f64_of(lmp_load_acq64(p)));
      return;
    default:
      l_elem_push(L, t, lmp_load_acq8(p));
  }
}

/* l_index_function: replaces the __index of a kind's metatable, a table of methods, by a function with these
 * upvalues: the l_state, the table, the iterator of ipairs, all names. */
void l_index_function(lua_State *L, int st, uint32_t kind, lua_CFunction f);

/* -- methods of Arrays (l_bulk.c) ---------------------------------------------------------------- */

extern const luaL_Reg l_bulk_meth[];
/* l_bulk_set: the table at `arg`, `n` elements, into the array from index `start` (from 0) on, which is
 * within it: all, or it raises. Runs no metamethods. */
void l_bulk_set(lua_State *L, int arg, uint64_t n, l_array *u, uint64_t start);

#endif
