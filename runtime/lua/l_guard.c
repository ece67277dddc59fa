/* lua/l_guard.c: what is held for as long as a scope or a call lasts.
 * SPDX-License-Identifier: MIT */
#include "lua/l_guard.h"

#include <string.h>

static const char meta_key = 0; /* its address is the registry key of the metatable */

/* __close; also called by hand it releases once. */
static int guard_close(lua_State *L) {
  lmp_me *me;
  l_guard *g = lua_touserdata(L, 1);
  if (!g || !g->held) return 0;
  g->held = false;
  lmp_family *f = g->u->st->f;
  if (!f || lmp_family_forked(f) || g->epoch != f->epoch || lmp_family_me(f, &me)) return 0;
  /* Somebody else may have released it meanwhile; that is no error of who leaves a scope. */
  (void)!g->release(me, g->u->o);
  return 0;
}

/* held.abandoned */
static int guard_index(lua_State *L) {
  const l_guard *g = lua_touserdata(L, 1);
  const char *key = lua_tostring(L, 2);
  if (key && strcmp(key, "abandoned") == 0) {
    lua_pushboolean(L, g->abandoned);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

static void push_metatable(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 4);
  lua_pushcfunction(L, guard_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, guard_index);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "luamp.guard");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &meta_key);
}

l_guard *l_guard_push(lua_State *L, int arg, const l_obj *u,
                      lmp_err (*release)(lmp_me *me, lmp_obj *o)) {
  push_metatable(L);
  l_guard *g = lua_newuserdatauv(L, sizeof *g, 1);
  *g = (l_guard){.release = release, .u = u, .epoch = u->st->f->epoch};
  lua_pushvalue(L, arg);
  lua_setiuservalue(L, -2, 1);
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  return g;
}

void l_callable(lua_State *L, int arg) {
  if (lua_type(L, arg) == LUA_TFUNCTION) return;
  if (luaL_getmetafield(L, arg, "__call") == LUA_TNIL) luaL_typeerror(L, arg, "function");
  lua_pop(L, 1);
}

l_guard *l_guard_enter(lua_State *L, const l_obj *u, lmp_err (*release)(lmp_me *me, lmp_obj *o)) {
  l_callable(L, 2);
  l_guard *g = l_guard_push(L, 1, u, release);
  lua_toclose(L, -1);
  return g;
}

int l_guard_run(lua_State *L, const l_guard *g) {
  int top = lua_gettop(L); /* the guard */
  luaL_checkstack(L, top, "too many arguments");
  for (int i = 2; i < top; i++) lua_pushvalue(L, i);
  if (g->abandoned) lua_pushliteral(L, "abandoned");
  lua_call(L, top - 3 + g->abandoned, LUA_MULTRET);
  return lua_gettop(L) - top;
}
