/* lua/l_event.c: mp.Event.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Event([{name = string}])
 *   e:set()   e:clear()   e:is_set() -> boolean   e:wait([timeout]) -> true | false, "timeout" */
#include "sync/event.h"

#include "lua/l_handle.h"
#include "lua/l_state.h"

static int event_new(lua_State *L) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  size_t len;
  lmp_handle h;
  l_options(L, 1, names);
  lua_settop(L, 1);
  const char *name = l_opt_name(L, 1, &len);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, LMP_KIND_EVENT);
  lmp_err e = lmp_event_new(me, name, len, &h);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_event_new(me, name, len, &h);
  }
  if (e) return l_raise(L, "cannot make an Event", e);
  l_open(L, u, h);
  return 1;
}

static int e_set(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_EVENT, &me);
  lmp_event_set(me, u->o);
  return 0;
}

static int e_clear(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_EVENT, &me);
  lmp_event_clear(u->o);
  return 0;
}

static int e_is_set(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_EVENT, &me);
  lua_pushboolean(L, lmp_event_is_set(u->o));
  return 1;
}

static int e_wait(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_EVENT, &me);
  uint64_t deadline = l_deadline(L, 2);
  lmp_err e;
  while ((e = lmp_event_wait(me, u->o, deadline)) == LMP_E_INTR) l_interrupted(L);
  if (e) return l_result(L, true, e, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg event_meth[] = {
    {"set", e_set}, {"clear", e_clear}, {"is_set", e_is_set}, {"wait", e_wait}, {NULL, NULL},
};

static const luaL_Reg event_meta[] = {
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

void l_event_funcs(lua_State *L, int st) {
  l_metatable(L, st, LMP_KIND_EVENT, "Event", event_meth, event_meta);
  l_constructor(L, st, event_new, (const char *[]){"Event", "event", NULL});
}
