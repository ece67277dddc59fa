/* lua/l_misc.c: time, limits, figures: the module's functions that belong to no object.
 * SPDX-License-Identifier: MIT */
#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "os/os.h"

#define SLEEP_TICK (500 * LMP_MSEC)

/* mp.sleep(seconds): sleeps at least so long. */
static int misc_sleep(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  luaL_checktype(L, 1, LUA_TNUMBER);
  uint64_t deadline = l_deadline(L, 1);
  if (deadline == LMP_NOWAIT) return 0;
  for (;;) {
    /* A member of a family looks after the dead now and then, itself an orphan perhaps. */
    uint64_t until = lmp_min_u64(deadline, lmp_os_now() + SLEEP_TICK);
    if (lmp_os_sleep(until) == LMP_SIGNALLED || (until != deadline && l_hook_pending(st))) {
      l_interrupted(L);
    } else if (until == deadline) {
      return 0;
    } else if (st->f) {
      lmp_reap_all(l_me(L, st));
    }
  }
}

/* mp.time() -> monotonic seconds */
static int misc_time(lua_State *L) {
  lua_pushnumber(L, (lua_Number)lmp_os_now() / 1e9);
  return 1;
}

static int misc_cpu_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lmp_os_cpus());
  return 1;
}

/* mp.type(x) -> "Queue", "Process", ... | nil */
static int misc_type(lua_State *L) {
  lmp_handle h;
  luaL_checkany(L, 1);
  if (!l_handle_is(L, 1, &h) && !l_lualib_is(L, 1)) {
    lua_pushnil(L);
  } else if (lua_getmetatable(L, 1)) {
    lua_pushliteral(L, "__name");
    lua_rawget(L, -2);
  }
  return 1;
}

/* mp.configure{memory = size} */
static int misc_configure(lua_State *L) {
  static const char *const names[] = {"memory", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  luaL_checktype(L, 1, LUA_TTABLE);
  l_options(L, 1, names);
  if (lua_getfield(L, 1, "memory") != LUA_TNIL) {
    uint64_t memory = l_size(L, -1, "configure: memory");
    if (st->f) return luaL_error(L, "configure: memory can be set before the first object only");
    if (memory < LMP_ARENA_LEAST) {
      return luaL_error(L, "configure: a memory limit of %s is too small: luamp needs %I bytes",
                        luaL_tolstring(L, -1, NULL), (lua_Integer)LMP_ARENA_LEAST);
    }
    st->memory = memory;
    st->memory_from = "configure";
  }
  return 0;
}

static void set_figure(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

/* mp.stats() -> {memory =, limit =, processes =, objects =} */
static int misc_stats(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lmp_me *me = l_me(L, st);
  lmp_children_poll(st->f, me);
  lmp_reap_all(me);
  lua_createtable(L, 0, 4);
  set_figure(L, "memory", lmp_memory_used(me->a));
  set_figure(L, "limit", (uint64_t)me->a->h->hd_nspan * LMP_SPAN);
  set_figure(L, "processes", lmp_family_processes(st->f));
  set_figure(L, "objects", lmp_obj_count(me->a));
  return 1;
}

static const luaL_Reg misc_funcs[] = {
    {"sleep", misc_sleep}, {"time", misc_time},           {"cpu_count", misc_cpu_count},
    {"type", misc_type},   {"configure", misc_configure}, {"stats", misc_stats},
    {NULL, NULL},
};

void l_misc_funcs(lua_State *L, int st) {
  lua_pushvalue(L, st);
  luaL_setfuncs(L, misc_funcs, 1);
}
