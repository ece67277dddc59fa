/* lua/l_barrier.c: mp.Barrier.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Barrier(parties [, action [, timeout]] [, {name = string}])
 *   b:wait([timeout]) -> 1 ... parties | nil, "broken"      b:reset()   b:abort()
 *   b.parties   b.n_waiting   b.broken
 *
 * The action is a user value of the handle where it was made, and in children of fork; a handle that came by
 * message finds it, encoded, in the shared memory when it first has to run it. */
#include "sync/barrier.h"

#include <math.h>
#include <string.h>

#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "os/os.h"

#define UV_ACTION 1

/* -- making -------------------------------------------------------------------------------------- */

static bool callable(lua_State *L, int idx) {
  if (lua_type(L, idx) == LUA_TFUNCTION) return true;
  if (luaL_getmetafield(L, idx, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

/* The timeout at `arg` as a duration in nanoseconds; see l_deadline, which checks it. */
static uint64_t duration(lua_State *L, int arg) {
  uint64_t deadline = l_deadline(L, arg);
  if (deadline == LMP_NOWAIT || deadline == LMP_FOREVER) return deadline;
  return (uint64_t)ceil(lua_tonumber(L, arg) * 1e9);
}

static lmp_err make(lua_State *L, const l_state *st, uint32_t parties, uint64_t timeout,
                    const char *name, size_t len, lmp_handle *h) {
  const lmp_msg *action = NULL;
  lmp_me *me = l_me(L, lua_touserdata(L, lua_upvalueindex(1)));
  if (!lua_isnil(L, 2)) {
    size_t n;
    l_encode_begin(st->codec);
    l_encode(L, st->codec, 2, "action", L_HANDLES);
    action = l_encoded(st->codec, &n);
  }
  return lmp_barrier_new(me, name, len, parties, timeout, action, h);
}

static int barrier_new(lua_State *L) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lua_Integer parties = luaL_checkinteger(L, 1);
  int top = lua_gettop(L);
  size_t len = 0;
  lmp_handle h;
  if (parties < 1 || parties > LMP_BARRIER_MAX) {
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "1 to %I parties expected, got %I",
                                  (lua_Integer)LMP_BARRIER_MAX, parties));
  }
  int opts = top > 1 && lua_istable(L, top) && !callable(L, top) ? top : 4;
  l_options(L, opts, names);
  const char *name = l_opt_name(L, opts, &len);
  lua_settop(L, top < 4 ? 4 : top);
  lua_pushvalue(L, opts); /* keeps the name */
  if (opts < 4) {
    for (int i = opts; i < 4; i++) {
      lua_pushnil(L);
      lua_replace(L, i);
    }
  }
  if (!lua_isnil(L, 2) && !callable(L, 2)) luaL_typeerror(L, 2, "function");
  uint64_t timeout = duration(L, 3);
  l_me(L, st); /* the family, before a handle of it */
  l_obj *u = l_prepare(L, st, LMP_KIND_BARRIER);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, UV_ACTION);
  lmp_err e = make(L, st, (uint32_t)parties, timeout, name, len, &h);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = make(L, st, (uint32_t)parties, timeout, name, len, &h);
  }
  if (e) return l_raise(L, "cannot make a Barrier", e);
  l_open(L, u, h);
  return 1;
}

/* -- waiting ------------------------------------------------------------------------------------- */

/* Pushes the action; false, and nothing pushed, where there is none. Raises. */
static bool push_action(lua_State *L, lmp_me *me, const l_obj *u) {
  const uint8_t *data;
  const lmp_handle *handles;
  size_t len;
  uint32_t n;
  if (!lmp_barrier_action(me->a, u->o, &data, &len, &handles, &n)) return false;
  if (lua_getiuservalue(L, 1, UV_ACTION) != LUA_TNIL) return true;
  lua_pop(L, 1);
  if (l_decode(L, u->st->codec, data, len, handles, n, L_FUNCTIONS)) {
    luaL_error(L, "cannot rebuild the action of a Barrier: %s", lua_tostring(L, -1));
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, UV_ACTION);
  return true;
}

/* With the handle: in a protected call. */
static int run_action(lua_State *L) {
  const l_obj *u = l_test(L, 1);
  if (push_action(L, l_me(L, u->st), u)) lua_call(L, 0, 0);
  return 0;
}

static int interrupted(lua_State *L) {
  l_interrupted(L);
  return 0;
}

/* Calls f(handle); when it raises, leaves the barrier broken and raises on. */
static void protect(lua_State *L, lua_CFunction f, const l_obj *u, lmp_me *me, const lmp_party *p) {
  lua_pushcfunction(L, f);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return;
  lmp_barrier_quit(me, u->o, p);
  lua_error(L);
}

static lmp_err wait_done(lua_State *L, const l_obj *u, lmp_me *me, uint64_t deadline,
                         const lmp_party *p) {
  if (p->last) {
    const lmp_barrier *b = lmp_barrier_of(u->o);
    if (b->ba_action) protect(L, run_action, u, me, p);
    return lmp_barrier_release(me, u->o, p);
  }
  for (;;) {
    lmp_err e = lmp_barrier_await(me, u->o, deadline, p);
    if (LMP_LIKELY(e != LMP_E_INTR)) return e;
    protect(L, interrupted, u, me, p);
  }
}

static int b_wait(lua_State *L) {
  lmp_me *me;
  lmp_party p;
  const l_obj *u = l_check(L, 1, LMP_KIND_BARRIER, &me);
  uint64_t deadline = l_deadline(L, 2);
  uint64_t timeout = lmp_barrier_of(u->o)->ba_timeout;
  lmp_err e;
  lua_settop(L, 2);
  luaL_checkstack(L, LUA_MINSTACK, NULL); /* before there is a place to lose */
  if (lua_isnil(L, 2) && timeout != LMP_FOREVER) {
    deadline = timeout == LMP_NOWAIT ? LMP_NOWAIT : lmp_os_now() + timeout;
  }
  while ((e = lmp_barrier_arrive(me, u->o, deadline, &p)) == LMP_E_INTR) l_interrupted(L);
  if (!e) e = wait_done(L, u, me, deadline, &p);
  if (e) return l_result(L, false, e, NULL);
  lua_pushinteger(L, p.index);
  return 1;
}

static int b_reset(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_BARRIER, &me);
  lmp_barrier_reset(me, u->o);
  return 0;
}

static int b_abort(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_BARRIER, &me);
  lmp_barrier_abort(me, u->o);
  return 0;
}

/* Fields, else methods: the second upvalue. */
static int b_index(lua_State *L) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, LMP_KIND_BARRIER, &me);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "parties") == 0) {
    lua_pushinteger(L, lmp_barrier_of(u->o)->ba_parties);
  } else if (strcmp(key, "n_waiting") == 0) {
    lua_pushinteger(L, lmp_barrier_waiting(me->a, u->o));
  } else if (strcmp(key, "broken") == 0) {
    lua_pushboolean(L, lmp_barrier_broken(u->o));
  } else {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
  }
  return 1;
}

static const luaL_Reg barrier_meth[] = {
    {"wait", b_wait},
    {"reset", b_reset},
    {"abort", b_abort},
    {NULL, NULL},
};

static const luaL_Reg barrier_meta[] = {
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

void l_barrier_funcs(lua_State *L, int st) {
  l_metatable(L, st, LMP_KIND_BARRIER, "Barrier", barrier_meth, barrier_meta);
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_rawgeti(L, -1, LMP_KIND_BARRIER);
  lua_pushvalue(L, st);
  lua_getfield(L, -2, "__index");
  lua_pushcclosure(L, b_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 2);
  l_constructor(L, st, barrier_new, (const char *[]){"Barrier", "barrier", NULL});
}
