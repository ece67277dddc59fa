/* lua/l_list.c: mp.List.
 * SPDX-License-Identifier: MIT
 *
 *   mp.List([{name = string}])      l[i], l[i] = v, #l, ipairs(l), pairs(l)
 *   l:append(v)   l:insert(i, v)    l:pop([i]) -> v | nil     l:table([i [, j]]) -> list */
#include "channel/list.h"

#include <stdlib.h>
#include <string.h>

#include "lua/l_handle.h"
#include "lua/l_value.h"

static l_obj *check(lua_State *L, lmp_me **me) { return l_check(L, 1, LMP_KIND_LIST, me); }

/* -- reading ------------------------------------------------------------------------------------ */

static LMP_NOINLINE void read_large(lua_State *L, l_obj *u, lmp_me *me, uint32_t i, lmp_out *out,
                                    size_t need) {
  bool fits = false;
  while (!fits) {
    out->buf = lua_newuserdatauv(L, need, 0);
    out->cap = need;
    fits = lmp_list_get(me, u->o, i, out, &need);
  }
}

/* Pushes element `i`, from 1; nil where there is none. */
static void push_element(lua_State *L, l_obj *u, lmp_me *me, lua_Integer i) {
  uint64_t buf[L_OUT_SMALL / sizeof(uint64_t)];
  size_t need;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  if (i >= 1 && i <= LMP_LIST_MAX && !lmp_list_get(me, u->o, (uint32_t)(i - 1), &out, &need)) {
    read_large(L, u, me, (uint32_t)(i - 1), &out, need);
  }
  if (out.found) {
    l_value_push(L, u->st, me, &out);
  } else {
    lua_pushnil(L);
  }
}

/* Upvalue 2: the methods. */
static int l_index(lua_State *L) {
  lmp_me *me;
  int is_int;
  l_obj *u = check(L, &me);
  lua_Integer i = lua_tointegerx(L, 2, &is_int);
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TNUMBER && is_int) {
    push_element(L, u, me, i);
  } else {
    lua_rawget(L, lua_upvalueindex(2));
  }
  return 1;
}

static int l_len(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  lua_pushinteger(L, lmp_list_count(u->o));
  return 1;
}

static int l_next(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  lua_Integer i = luaL_optinteger(L, 2, 0);
  if (i < 0 || i >= LMP_LIST_MAX) return 0;
  lua_settop(L, 2);
  lua_pushinteger(L, i + 1);
  push_element(L, u, me, i + 1);
  if (lua_isnil(L, -1)) return 1;
  lua_pushinteger(L, i + 1);
  lua_insert(L, -2);
  return 2;
}

static int l_pairs(lua_State *L) {
  lmp_me *me;
  check(L, &me);
  lua_pushcfunction(L, l_next);
  lua_pushvalue(L, 1);
  return 2;
}

/* Elements `from` to `to` into the table at 2; false: there were changes meanwhile. */
static bool table_read(lua_State *L, l_obj *u, lmp_me *me, lua_Integer from, lua_Integer to) {
  uint64_t changes = lmp_list_changes(u->o);
  lua_Integer n = lmp_list_count(u->o);
  lua_createtable(L, from <= to && from <= n ? (int)((to < n ? to : n) - from + 1) : 0, 0);
  for (lua_Integer i = from; i <= to && i <= n; i++) {
    push_element(L, u, me, i);
    lua_rawseti(L, 2, i - from + 1);
    lua_settop(L, 2);
    if (lmp_list_changes(u->o) != changes) return false;
  }
  return lmp_list_changes(u->o) == changes;
}

/* Elements that were copied at one moment; given back at the end of the call, in any way. */
typedef struct l_copy {
  lmp_me *me;
  lmp_out *out;
  uint8_t *buf;
  uint32_t n, done;
} l_copy;

static int copy_end(lua_State *L) {
  l_copy *c = lua_touserdata(L, 1);
  for (; c->done < c->n; c->done++) lmp_out_done(c->me, &c->out[c->done]);
  free(c->out);
  free(c->buf);
  *c = (l_copy){0};
  return 0;
}

/* The same by lmp_list_copy: nobody changes the list meanwhile. */
static void table_copy(lua_State *L, l_obj *u, lmp_me *me, lua_Integer from, lua_Integer to) {
  bool fits = false;
  size_t cap = 4096;
  l_copy *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (l_copy){.me = me};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, copy_end);
  lua_setfield(L, -2, "__close");
  lua_setmetatable(L, -2);
  lua_toclose(L, 2);
  while (!fits) {
    lua_Integer n = lmp_list_count(u->o) - from + 1;
    if (n > to - from + 1) n = to - from + 1;
    if (n < 0) n = 0;
    free(c->out);
    free(c->buf);
    c->out = calloc((size_t)n + 1, sizeof *c->out);
    c->buf = malloc(cap);
    if (!c->out || !c->buf) luaL_error(L, "not enough memory");
    uint32_t got = (uint32_t)n;
    uint32_t most = to < from ? 0 : (uint32_t)(to - from + 1);
    fits = lmp_list_copy(me, u->o, (uint32_t)(from - 1), most, c->out, &got, c->buf, cap);
    if (fits) c->n = got;
    cap *= 2;
  }
  lua_createtable(L, (int)c->n, 0);
  while (c->done < c->n) {
    uint32_t i = c->done++;
    l_value_push(L, u->st, me, &c->out[i]);
    lua_rawseti(L, 3, (lua_Integer)i + 1);
  }
}

/* As the list is at one moment. Who comes again and again while others change it takes the lock for the whole list. */
static int l_table(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  lua_Integer from = luaL_optinteger(L, 2, 1);
  lua_Integer to = luaL_optinteger(L, 3, LMP_LIST_MAX);
  if (from < 1) from = 1;
  if (from > LMP_LIST_MAX) from = LMP_LIST_MAX;
  if (to > LMP_LIST_MAX) to = LMP_LIST_MAX;
  for (int i = 0; i < 3; i++) {
    lua_settop(L, 1);
    if (table_read(L, u, me, from, to)) return 1;
  }
  lua_settop(L, 1);
  table_copy(L, u, me, from, to);
  return 1;
}

/* -- writing ------------------------------------------------------------------------------------ */

typedef lmp_err (*change)(lmp_me *me, lmp_obj *o, uint32_t i, const lmp_msg *value,
                          uint64_t deadline);

/* Raises for all outcomes but these: 0, LMP_E_INVAL. */
static lmp_err write_value(lua_State *L, l_obj *u, lmp_me *me, change f, uint32_t i, int idx) {
  l_value v;
  lmp_err e;
  do {
    const lmp_msg *m = l_value_encode(L, u->st, &v, idx);
    e = f(me, u->o, i, m, LMP_FOREVER);
    if (LMP_UNLIKELY(e && e != LMP_E_INVAL)) l_value_failed(L, e, "List");
  } while (e == LMP_E_INTR);
  return e;
}

static void out_of_bounds(lua_State *L, int arg, lua_Integer i, const l_obj *u) {
  luaL_argerror(L, arg,
                lua_pushfstring(L, "position %I is out of bounds, the List has %I elements", i,
                                (lua_Integer)lmp_list_count(u->o)));
}

static uint32_t index_of(lua_State *L, int arg, lua_Integer i, const l_obj *u) {
  if (i < 1 || i > LMP_LIST_MAX) out_of_bounds(L, arg, i, u);
  return (uint32_t)(i - 1);
}

static int l_newindex(lua_State *L) {
  lmp_me *me;
  int is_int;
  l_obj *u = check(L, &me);
  lua_Integer i = lua_tointegerx(L, 2, &is_int);
  lua_settop(L, 3);
  if (lua_type(L, 2) != LUA_TNUMBER || !is_int) {
    return luaL_argerror(L, 2,
                         lua_pushfstring(L, "the index of a List is an integer, got %s",
                                         luaL_tolstring(L, 2, NULL)));
  }
  uint32_t at = index_of(L, 2, i, u);
  lmp_out out = {0};
  if (!lua_isnil(L, 3)) {
    if (write_value(L, u, me, lmp_list_set, at, 3)) out_of_bounds(L, 2, i, u);
  } else if (lmp_list_remove(me, u->o, at, true, &out) == LMP_OK) {
    lmp_out_done(me, &out);
  } else if (at < lmp_list_count(u->o)) {
    return luaL_error(
        L, "a List has no holes: only its last element can become nil, use 'pop' for the others");
  }
  return 0;
}

static int l_append(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  lua_settop(L, 2);
  luaL_argcheck(L, !lua_isnil(L, 2), 2, "value expected, got nil");
  (void)write_value(L, u, me, lmp_list_set, LMP_LIST_END, 2);
  return 0;
}

static int l_insert(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  lua_Integer i = luaL_checkinteger(L, 2);
  lua_settop(L, 3);
  luaL_argcheck(L, !lua_isnil(L, 3), 3, "value expected, got nil");
  uint32_t at = index_of(L, 2, i, u);
  if (write_value(L, u, me, lmp_list_insert, at, 3)) out_of_bounds(L, 2, i, u);
  return 0;
}

static int l_pop(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  bool last = lua_isnoneornil(L, 2);
  lua_Integer i = last ? 0 : luaL_checkinteger(L, 2);
  uint32_t at = last ? LMP_LIST_END : index_of(L, 2, i, u);
  lmp_out out = {0};
  lua_settop(L, 2);
  if (lmp_list_remove(me, u->o, at, false, &out) == LMP_OK) {
    l_value_push(L, u->st, me, &out);
  } else {
    /* As table.remove: the place behind the last one is no mistake. */
    if (!last && at > lmp_list_count(u->o)) out_of_bounds(L, 2, i, u);
    lua_pushnil(L);
  }
  return 1;
}

/* -- making ------------------------------------------------------------------------------------- */

static int list_new(lua_State *L) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  size_t len;
  lmp_handle h;
  l_options(L, 1, names);
  lua_settop(L, 1);
  const char *name = l_opt_name(L, 1, &len);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, LMP_KIND_LIST);
  lmp_err e = lmp_list_new(me, name, len, &h);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_list_new(me, name, len, &h);
  }
  if (e) return l_raise(L, "cannot make a List", e);
  l_open(L, u, h);
  return 1;
}

static const luaL_Reg list_meth[] = {
    {"append", l_append}, {"insert", l_insert}, {"pop", l_pop}, {"table", l_table}, {NULL, NULL}};

static const luaL_Reg list_meta[] = {{"__newindex", l_newindex},
                                     {"__len", l_len},
                                     {"__pairs", l_pairs},
                                     {"__gc", l_handle_gc},
                                     {"__tostring", l_handle_tostring},
                                     {NULL, NULL}};

void l_list_funcs(lua_State *L, int st) {
  static const luaL_Reg funcs[] = {{"List", list_new}, {"list", list_new}, {NULL, NULL}};
  l_metatable(L, st, LMP_KIND_LIST, "List", list_meth, list_meta);
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_rawgeti(L, -1, LMP_KIND_LIST);
  lua_pushvalue(L, st);
  lua_getfield(L, -2, "__index"); /* the methods, so far */
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 2);
  lua_pushvalue(L, st);
  luaL_setfuncs(L, funcs, 1);
}
