/* lua/l_wait.c: mp.wait.
 * SPDX-License-Identifier: MIT
 *
 *   mp.wait(list [, timeout]) -> array of those of `list` that are ready, in its order; empty on timeout
 *
 * An element is a handle whose kind can be waited for, a Process, or the number of a descriptor. A list with an
 * object of lualib is waited for by the function that lualib has set. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "os/os.h"

/* Raises: element `i` of the list is no good. */
static int bad_element(lua_State *L, lua_Integer i, const char *why) {
  return luaL_argerror(L, 1, lua_pushfstring(L, "list[%I]: %s", i, why));
}

/* The same for the element at the top of the stack: it cannot be waited for. */
static int unknown_element(lua_State *L, lua_Integer i) {
  int value = lua_gettop(L);
  bool named = luaL_getmetafield(L, value, "__name") == LUA_TSTRING;
  const char *type = named ? lua_tostring(L, -1) : luaL_typename(L, value);
  return bad_element(L, i, lua_pushfstring(L, "cannot wait for a %s value", type));
}

/* The element at the top of the stack is a table: pushes its userdata if it is a Process. */
static void unwrap_process(lua_State *L, lua_Integer i) {
  if (!lua_getmetatable(L, -1)) return;
  lua_pushliteral(L, "__luamp_class");
  bool instance = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  if (!instance) return;
  lua_rawgetp(L, -1, &l_keys[L_KEY_HANDLE]);
  if (l_test(L, -1)) return;
  lua_rawgetp(L, -2, &l_keys[L_KEY_STATE]);
  bool is_new = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "new") == 0;
  lua_rawgetp(L, -3, &l_keys[L_KEY_NAME]);
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
  bad_element(
      L, i,
      lua_pushfstring(
          L, is_new ? "the process %s has not been started" : "the process %s is closed", name));
}

static bool add_fd(lua_State *L, lmp_wanteds *l, lua_Integer i) {
  int is_int;
  lua_Integer fd = lua_tointegerx(L, -1, &is_int);
  if (!is_int || fd < 0 || fd > INT_MAX) {
    bad_element(L, i, lua_pushfstring(L, "not a descriptor: %s", luaL_tolstring(L, -1, NULL)));
  }
  return lmp_wanteds_add(l, NULL, (int)fd);
}

static bool add_handle(lua_State *L, l_state *st, lmp_wanteds *l, lua_Integer i) {
  lmp_me *me;
  if (lua_type(L, -1) == LUA_TTABLE) unwrap_process(L, i);
  l_obj *u = l_test(L, -1);
  const lmp_kind *kind = u ? st->f->a.kinds[u->kind] : NULL;
  if (!u || !kind || !kind->watch) return unknown_element(L, i) != 0;
  if (!u->open) bad_element(L, i, lua_pushfstring(L, "the %s is closed", kind->name));
  l_check(L, lua_gettop(L), u->kind, &me);
  if (u->kind == LMP_KIND_PROCESS && u->h.obj == st->f->self.obj) {
    bad_element(L, i, "a process cannot wait for itself");
  }
  return lmp_wanteds_add(l, u->o, -1);
}

/* Checks the list and notes what is in it; false: it is for lualib. */
static bool read_list(lua_State *L, l_state *st, lmp_wanteds *l) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  l->n = 0;
  for (lua_Integer i = 1; i <= n; i++) {
    lua_settop(L, 2);
    int type = lua_rawgeti(L, 1, i);
    if (type == LUA_TTABLE && l_lualib_is(L, -1)) return false;
    if (!(type == LUA_TNUMBER ? add_fd(L, l, i) : add_handle(L, st, l, i))) {
      luaL_error(L, "not enough memory");
    }
  }
  lua_settop(L, 2);
  return true;
}

static int push_ready(lua_State *L, const lmp_wanteds *l) {
  lua_Integer n = 0;
  lua_newtable(L);
  for (uint32_t i = 0; i < l->n; i++) {
    if (!l->item[i].ready) continue;
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static int wait_any(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lmp_wanteds *l = &st->wanted;
  luaL_checktype(L, 1, LUA_TTABLE);
  uint64_t deadline = l_deadline(L, 2);
  lmp_me *me = l_me(L, st);
  lua_settop(L, 2);
  if (!read_list(L, st, l)) {
    lua_settop(L, 2);
    l_state_uv(L, L_UV_WAIT);
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
  }
  if (l->n == 0 && deadline == LMP_FOREVER) deadline = LMP_NOWAIT; /* nothing ever will be */
  for (;;) {
    lmp_err e = lmp_family_wait(st->f, me, l, deadline);
    if (e == LMP_OK) return push_ready(L, l);
    if (e == LMP_E_TIMEOUT) {
      lua_newtable(L);
      return 1;
    }
    if (e == LMP_E_INVAL) {
      return bad_element(L, (lua_Integer)l->bad + 1,
                         lua_pushfstring(L, "descriptor %d is not open", l->item[l->bad].fd));
    }
    if (e != LMP_E_INTR) return l_raise(L, "cannot wait", e);
    l_interrupted(L);
    (void)read_list(L, st, l); /* the hook may have waited, too */
  }
}

static const luaL_Reg wait_funcs[] = {{"wait", wait_any}, {NULL, NULL}};

void l_wait_funcs(lua_State *L, int st) {
  lua_pushvalue(L, st);
  luaL_setfuncs(L, wait_funcs, 1);
}
