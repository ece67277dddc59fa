/* lua/l_array.c: mp.Value and mp.Array, element by element.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Value(code [, initial] [, {name = string}])    mp.Array(code, n | table | string [, {name = string}])
 *   v.value   v:add(n) -> new   v:exchange(x) -> old   v:compare_exchange(e, n) -> boolean, seen
 *   x:get_lock() -> RLock   x:with(f, ...) -> the results of f(x, ...)
 *   a[i]   #a   a:add(i, n)   a:exchange(i, x)   a:compare_exchange(i, e, n)
 *
 * The fast paths are __index and __newindex, C functions that look for an integer key first. */
#include "lua/l_array.h"

#include <string.h>

#include "base/debug.h"
#include "lua/l_handle.h"

/* Upvalues of __index; the first is the l_state, as everywhere. The last is the table of methods with one more
 * entry, `true` for the field `value`, so that one look tells a field from a method. */
enum { UP_METHODS = 2, UP_IPAIRS, UP_NAMES, UP_LAST = UP_NAMES };

/* -- handles ------------------------------------------------------------------------------------- */

LMP_NOINLINE l_array *l_array_slow(lua_State *L, int arg, uint32_t kind) {
  lmp_me *me;
  l_array *u = (l_array *)(void *)l_check(L, arg, kind, &me);
  if (!u->data) luaL_error(L, "the Array is gone: its SharedMemory could not be opened here");
  return u;
}

static void array_opened(lua_State *L, l_obj *obj) {
  l_array *u = (l_array *)(void *)obj;
  const lmp_array *ar = lmp_array_of(obj->o);
  lmp_handle shared = lmp_array_shared(obj->o);
  u->type = (lmp_elem)ar->ar_type;
  u->len = ar->ar_len;
  if (shared.obj == 0) {
    u->data = lmp_array_data(&obj->st->f->a, obj->o);
    return;
  }
  if (!u->map) u->map = l_shared_map(L, shared);
  if (u->map) u->data = (uint8_t *)u->map->base + ar->ar_at;
}

static void array_ended(l_obj *obj) {
  l_array *u = (l_array *)(void *)obj;
  u->data = NULL;
  l_map_drop(u->map);
  u->map = NULL;
}

const l_kind l_array_kind = {.size = sizeof(l_array), .opened = array_opened, .ended = array_ended};

/* -- making -------------------------------------------------------------------------------------- */

static l_array *make(lua_State *L, l_state *st, uint32_t kind, lmp_elem t, uint64_t len, int opts) {
  static const char *const names[] = {"name", NULL};
  size_t namelen;
  lmp_handle h;
  l_options(L, opts, names);
  const char *name = l_opt_name(L, opts, &namelen);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, kind);
  lmp_err e = lmp_array_new(me, kind, t, len, name, namelen, &h);
  if (e && e != LMP_E_TOOLARGE) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_array_new(me, kind, t, len, name, namelen, &h);
  }
  if (e && kind == LMP_KIND_VALUE) l_raise(L, "cannot make a Value", e);
  if (e) {
    const char *what = lua_pushfstring(L, "cannot make an Array of %I elements", (lua_Integer)len);
    l_raise(L, what, e);
  }
  l_open(L, u, h);
  /* Lua's collector should know how much memory hangs on the handle. */
  int kib = (int)lmp_min_u64((len << lmp_elem_shift(t)) >> 10, INT32_MAX / 2);
  if (kib) lua_gc(L, LUA_GCSTEP, kib);
  return (l_array *)(void *)u;
}

static int value_new(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lmp_elem t = l_elem_code(L, 1);
  int opts = lua_istable(L, 2) ? 2 : 3;
  bool zero = opts == 2 || lua_isnoneornil(L, 2);
  uint64_t bits = zero ? 0 : l_elem_check(L, 2, t);
  l_array *u = make(L, st, LMP_KIND_VALUE, t, 1, opts);
  lmp_elem_store(t, u->data, bits);
  return 1;
}

/* The length that the second argument of mp.Array asks for. */
static uint64_t length_of(lua_State *L, lmp_elem t) {
  int type = lua_type(L, 2);
  if (type == LUA_TTABLE) return lua_rawlen(L, 2);
  if (type == LUA_TSTRING) {
    uint64_t bytes = lua_rawlen(L, 2);
    if (bytes & ((UINT64_C(1) << lmp_elem_shift(t)) - 1)) {
      luaL_argerror(L, 2,
                    lua_pushfstring(L, "%I bytes are no whole elements of type '%s'",
                                    (lua_Integer)bytes, l_elem_name(t)));
    }
    return bytes >> lmp_elem_shift(t);
  }
  if (type != LUA_TNUMBER) luaL_typeerror(L, 2, "length, table or string");
  lua_Integer n = luaL_checkinteger(L, 2);
  if (n < 0) luaL_argerror(L, 2, lua_pushfstring(L, "length must not be negative, got %I", n));
  return (uint64_t)n;
}

static int array_new(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lmp_elem t = l_elem_code(L, 1);
  uint64_t len = length_of(L, t);
  l_array *u = make(L, st, LMP_KIND_ARRAY, t, len, 3);
  if (lua_type(L, 2) == LUA_TTABLE) {
    l_bulk_set(L, 2, len, u, 0);
  } else if (lua_type(L, 2) == LUA_TSTRING) {
    memcpy(u->data, lua_tostring(L, 2), len << lmp_elem_shift(t));
  }
  return 1;
}

/* -- Value --------------------------------------------------------------------------------------- */

static bool key_is_value(lua_State *L) {
  return lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "value") == 0;
}

/* Pushes what the name at 2 stands for: a method, `true` for a field, or nil; returns its type. */
static inline int push_named(lua_State *L) {
  if (LMP_UNLIKELY(lua_gettop(L) != 2)) lua_settop(L, 2);
  return lua_rawget(L, lua_upvalueindex(UP_NAMES));
}

static int v_index(lua_State *L) {
  if (push_named(L) == LUA_TBOOLEAN) {
    const l_array *u = l_array_self(L, 1, LMP_KIND_VALUE);
    l_elem_push_at(L, u->type, u->data);
  }
  return 1;
}

static int v_newindex(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_VALUE);
  uint64_t bits;
  if (LMP_UNLIKELY(!key_is_value(L))) {
    return luaL_error(L, "a Value has no field '%s' to assign", luaL_tolstring(L, 2, NULL));
  }
  if (LMP_UNLIKELY(!l_elem_get(L, 3, u->type, &bits))) {
    return luaL_error(L, "cannot assign the field 'value': %s", l_elem_why(L, 3, u->type));
  }
  lmp_elem_store(u->type, u->data, bits);
  return 0;
}

/* The operations on the element at `p`, their arguments from `arg` on. */
static int elem_add(lua_State *L, const l_array *u, void *p, int arg) {
  if (LMP_LIKELY(u->type == LMP_EL_I64 && lua_isinteger(L, arg))) {
    uint64_t n = (uint64_t)lua_tointeger(L, arg);
    n += lmp_add_ar64(p, n);
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
  }
  uint64_t n = l_elem_delta(L, arg, u->type);
  l_elem_push(L, u->type, lmp_elem_add(u->type, p, n));
  return 1;
}

static int elem_exchange(lua_State *L, const l_array *u, void *p, int arg) {
  uint64_t bits = l_elem_check(L, arg, u->type);
  l_elem_push(L, u->type, lmp_elem_exchange(u->type, p, bits));
  return 1;
}

static int elem_compare_exchange(lua_State *L, const l_array *u, void *p, int arg) {
  uint64_t seen = l_elem_check(L, arg, u->type);
  uint64_t bits = l_elem_check(L, arg + 1, u->type);
  lua_pushboolean(L, lmp_elem_cas(u->type, p, &seen, bits));
  l_elem_push(L, u->type, seen);
  return 2;
}

static int v_add(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_VALUE);
  return elem_add(L, u, u->data, 2);
}

static int v_exchange(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_VALUE);
  return elem_exchange(L, u, u->data, 2);
}

static int v_compare_exchange(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_VALUE);
  return elem_compare_exchange(L, u, u->data, 2);
}

/* -- Array --------------------------------------------------------------------------------------- */

static LMP_COLD int index_error(lua_State *L, const l_array *u) {
  const char *key = luaL_tolstring(L, 2, NULL);
  if (u->len == 0) return luaL_error(L, "index %s is out of range: the Array is empty", key);
  return luaL_error(L, "index %s is out of range (1 to %I)", key, (lua_Integer)u->len);
}

/* The iterator of ipairs reads until it gets a nil: it may read one element too many, and nobody else. */
static LMP_COLD int index_outside(lua_State *L, const l_array *u, uint64_t i) {
  lua_Debug ar;
  if (i == u->len && lua_getstack(L, 1, &ar) && lua_getinfo(L, "f", &ar) &&
      lua_rawequal(L, -1, lua_upvalueindex(UP_IPAIRS))) {
    lua_pushnil(L);
    return 1;
  }
  return index_error(L, u);
}

/* The key at 2, from 0; what is no index of the array raises. */
static uint64_t index_key(lua_State *L, const l_array *u) {
  int ok;
  if (lua_type(L, 2) != LUA_TNUMBER) {
    luaL_error(L, "an Array has no field '%s' to assign", luaL_tolstring(L, 2, NULL));
  }
  uint64_t i = (uint64_t)lua_tointegerx(L, 2, &ok) - 1;
  if (!ok || i >= u->len) index_error(L, u);
  return i;
}

static int a_index(lua_State *L) {
  if (LMP_LIKELY(lua_isinteger(L, 2))) {
    const l_array *u = l_array_self(L, 1, LMP_KIND_ARRAY);
    uint64_t i = (uint64_t)lua_tointeger(L, 2) - 1;
    if (LMP_UNLIKELY(i >= u->len)) return index_outside(L, u, i);
    l_elem_push_at(L, u->type, l_array_at(u, i));
    return 1;
  }
  if (lua_type(L, 2) == LUA_TNUMBER) {
    const l_array *u = l_array_self(L, 1, LMP_KIND_ARRAY);
    l_elem_push_at(L, u->type, l_array_at(u, index_key(L, u)));
    return 1;
  }
  push_named(L);
  return 1;
}

static int a_newindex(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_ARRAY);
  uint64_t i = lua_isinteger(L, 2) ? (uint64_t)lua_tointeger(L, 2) - 1 : UINT64_MAX;
  uint64_t bits;
  if (LMP_UNLIKELY(i >= u->len)) i = index_key(L, u);
  if (LMP_UNLIKELY(!l_elem_get(L, 3, u->type, &bits))) {
    const char *why = l_elem_why(L, 3, u->type);
    return luaL_error(L, "cannot assign element %I: %s", (lua_Integer)i + 1, why);
  }
  lmp_elem_store(u->type, l_array_at(u, i), bits);
  return 0;
}

static int a_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)l_array_self(L, 1, LMP_KIND_ARRAY)->len);
  return 1;
}

/* The element that the index at 2 names. */
static void *a_elem(lua_State *L, const l_array *u) {
  lua_Integer i = luaL_checkinteger(L, 2);
  if (LMP_UNLIKELY((uint64_t)i - 1 >= u->len)) {
    luaL_argerror(L, 2,
                  lua_pushfstring(L, "index %I is out of range (1 to %I)", i, (lua_Integer)u->len));
  }
  return l_array_at(u, (uint64_t)i - 1);
}

static int a_add(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_ARRAY);
  return elem_add(L, u, a_elem(L, u), 3);
}

static int a_exchange(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_ARRAY);
  return elem_exchange(L, u, a_elem(L, u), 3);
}

static int a_compare_exchange(lua_State *L) {
  l_array *u = l_array_self(L, 1, LMP_KIND_ARRAY);
  return elem_compare_exchange(L, u, a_elem(L, u), 3);
}

/* -- the lock ------------------------------------------------------------------------------------ */

/* x:get_lock() -> the RLock of the Value or Array at 1 */
static void push_lock(lua_State *L, uint32_t kind) {
  lmp_me *me;
  lmp_handle h;
  const l_obj *u = l_check(L, 1, kind, &me);
  lmp_err e = lmp_array_rlock(me, u->o, &h);
  if (e) {
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_array_rlock(me, u->o, &h);
  }
  if (e) l_raise(L, "cannot make an RLock", e);
  l_handle_push(L, h);
}

/* x:with(f, ...): as the lock's with(f, x, ...). */
static int with_lock(lua_State *L, uint32_t kind) {
  int n = lua_gettop(L);
  if (!lua_isfunction(L, 2) && luaL_getmetafield(L, 2, "__call") == LUA_TNIL) {
    luaL_typeerror(L, 2, "function");
  }
  lua_settop(L, n);
  push_lock(L, kind);
  lua_getfield(L, -1, "with");
  lua_insert(L, 1);
  lua_insert(L, 2); /* with, lock, x, f, ... */
  lua_pushvalue(L, 4);
  lua_remove(L, 4);
  lua_insert(L, 3);
  lua_call(L, n + 1, LUA_MULTRET);
  return lua_gettop(L);
}

static int v_get_lock(lua_State *L) {
  push_lock(L, LMP_KIND_VALUE);
  return 1;
}
static int a_get_lock(lua_State *L) {
  push_lock(L, LMP_KIND_ARRAY);
  return 1;
}
static int v_with(lua_State *L) { return with_lock(L, LMP_KIND_VALUE); }
static int a_with(lua_State *L) { return with_lock(L, LMP_KIND_ARRAY); }

/* -- opening ------------------------------------------------------------------------------------- */

static const luaL_Reg value_meth[] = {
    {"add", v_add},           {"exchange", v_exchange}, {"compare_exchange", v_compare_exchange},
    {"get_lock", v_get_lock}, {"with", v_with},         {NULL, NULL},
};

static const luaL_Reg value_meta[] = {
    {"__newindex", v_newindex},
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

static const luaL_Reg array_meth[] = {
    {"add", a_add},           {"exchange", a_exchange}, {"compare_exchange", a_compare_exchange},
    {"get_lock", a_get_lock}, {"with", a_with},         {NULL, NULL},
};

static const luaL_Reg array_meta[] = {
    {"__newindex", a_newindex},        {"__len", a_len}, {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring}, {NULL, NULL},
};

/* Pushes the iterator of Lua's own ipairs, or false. */
static void push_ipairs(lua_State *L) {
  int top = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, LUA_GNAME) == LUA_TTABLE && lua_getfield(L, -1, "ipairs") != LUA_TNIL &&
      lua_iscfunction(L, -1)) {
    lua_newtable(L);
    lua_call(L, 1, 1);
  } else {
    lua_pushboolean(L, 0);
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* Pushes a copy of the table of methods at `idx`, with an entry for the field `value`. */
static void push_names(lua_State *L, int idx, bool value) {
  idx = lua_absindex(L, idx);
  lua_createtable(L, 0, 64); /* roomy: few names share a place */
  if (value) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "value");
  }
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

void l_index_function(lua_State *L, int st, uint32_t kind, lua_CFunction f) {
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_rawgeti(L, -1, (lua_Integer)kind);
  lua_pushvalue(L, st);
  lua_getfield(L, -2, "__index");
  push_ipairs(L);
  push_names(L, -2, kind == LMP_KIND_VALUE);
  lua_pushcclosure(L, f, UP_LAST);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 2);
}

void l_array_funcs(lua_State *L, int st) {
  static const char *const values[] = {"Value", "value", "RawValue", "raw_value", NULL};
  static const char *const arrays[] = {"Array", "array", "RawArray", "raw_array", NULL};
  l_metatable(L, st, LMP_KIND_VALUE, "Value", value_meth, value_meta);
  l_index_function(L, st, LMP_KIND_VALUE, v_index);
  l_constructor(L, st, value_new, values);
  l_metatable(L, st, LMP_KIND_ARRAY, "Array", array_meth, array_meta);
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_rawgeti(L, -1, LMP_KIND_ARRAY);
  lua_getfield(L, -1, "__index");
  lua_pushvalue(L, st);
  luaL_setfuncs(L, l_bulk_meth, 1);
  lua_pop(L, 3);
  l_index_function(L, st, LMP_KIND_ARRAY, a_index);
  l_constructor(L, st, array_new, arrays);
}
