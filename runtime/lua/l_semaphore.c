/* lua/l_semaphore.c: mp.Semaphore and mp.BoundedSemaphore.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Semaphore([n [, {name = string}]]) | mp.Semaphore{name = string}
 *   s:acquire([timeout]) -> true | false, "timeout"      s:release()
 *   s:with(f, ...) -> results of f(...)                  local held <close> = s:guard()
 *   s:value() -> n                                       s:locked() -> boolean */
#include "sync/semaphore.h"

#include "lua/l_guard.h"
#include "lua/l_handle.h"
#include "lua/l_state.h"

/* What tells the two apart. */
typedef struct sem_kind {
  uint32_t id;
  const char *name;
  uint32_t most;
  lmp_err (*make)(lmp_me *me, const char *name, size_t namelen, uint32_t n, lmp_handle *h);
  lmp_err (*acquire)(lmp_me *me, lmp_obj *o, uint64_t deadline);
  lmp_err (*release)(lmp_me *me, lmp_obj *o);
} sem_kind;

static const sem_kind kinds[] = {
    {LMP_KIND_SEMAPHORE, "Semaphore", LMP_SEMAPHORE_MAX, lmp_semaphore_new, lmp_semaphore_acquire,
     lmp_semaphore_release},
    {LMP_KIND_BOUNDED, "BoundedSemaphore", LMP_BOUNDED_MAX, lmp_bounded_new, lmp_bounded_acquire,
     lmp_bounded_release},
};
enum { PLAIN, BOUNDED };

/* -- making -------------------------------------------------------------------------------------- */

static int sem_new(lua_State *L, const sem_kind *k) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  int opts = lua_istable(L, 1) ? 1 : 2;
  lua_Integer n = opts == 1 ? 1 : luaL_optinteger(L, 1, 1);
  size_t len;
  lmp_handle h;
  if (n < 0) luaL_argerror(L, 1, lua_pushfstring(L, "n must not be negative, got %I", n));
  if (n > k->most) {
    luaL_argerror(L, 1, lua_pushfstring(L, "at most %I permits, got %I", (lua_Integer)k->most, n));
  }
  l_options(L, opts, names);
  lua_settop(L, 2);
  const char *name = l_opt_name(L, opts, &len);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, k->id);
  lmp_err e = k->make(me, name, len, (uint32_t)n, &h);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = k->make(me, name, len, (uint32_t)n, &h);
  }
  if (e) return l_raise(L, lua_pushfstring(L, "cannot make a %s", k->name), e);
  l_open(L, u, h);
  return 1;
}

static int semaphore_new(lua_State *L) { return sem_new(L, &kinds[PLAIN]); }
static int bounded_new(lua_State *L) { return sem_new(L, &kinds[BOUNDED]); }

/* -- methods: the same for both, each with its own kind to check --------------------------------- */

static inline lmp_err sem_wait(lua_State *L, const l_obj *u, lmp_me *me, const sem_kind *k,
                               uint64_t deadline) {
  for (;;) {
    lmp_err e = k->acquire(me, u->o, deadline);
    if (LMP_LIKELY(e != LMP_E_INTR)) return e;
    l_interrupted(L);
  }
}

static inline int sem_acquire(lua_State *L, const sem_kind *k) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, k->id, &me);
  lmp_err e = sem_wait(L, u, me, k, l_deadline(L, 2));
  if (e) return l_result(L, true, e, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static LMP_COLD int too_often(lua_State *L, const l_obj *u, const sem_kind *k) {
  const char *name = luaL_tolstring(L, 1, NULL);
  if (k->id == LMP_KIND_SEMAPHORE) {
    return luaL_error(L, "'release' of %s: its value is %I, the greatest there is", name,
                      (lua_Integer)LMP_SEMAPHORE_MAX);
  }
  return luaL_error(L, "'release' of %s called more often than 'acquire': all of its %I are free",
                    name, (lua_Integer)lmp_bounded_of(u->o)->bs_n);
}

static inline int sem_release(lua_State *L, const sem_kind *k) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, k->id, &me);
  if (LMP_UNLIKELY(k->release(me, u->o))) return too_often(L, u, k);
  return 0;
}

static inline int sem_guard(lua_State *L, const sem_kind *k) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, k->id, &me);
  l_guard *g = l_guard_push(L, 1, u, k->release);
  g->held = sem_wait(L, u, me, k, LMP_FOREVER) == LMP_OK;
  return 1;
}

static inline int sem_with(lua_State *L, const sem_kind *k) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, k->id, &me);
  l_guard *g = l_guard_enter(L, u, k->release);
  g->held = sem_wait(L, u, me, k, LMP_FOREVER) == LMP_OK;
  return l_guard_run(L, g);
}

static inline uint32_t free_permits(lua_State *L, const sem_kind *k) {
  lmp_me *me;
  const l_obj *u = l_check(L, 1, k->id, &me);
  return k->id == LMP_KIND_BOUNDED ? lmp_bounded_value(me->a, u->o) : lmp_semaphore_value(u->o);
}

static inline int sem_value(lua_State *L, const sem_kind *k) {
  lua_pushinteger(L, free_permits(L, k));
  return 1;
}

static inline int sem_locked(lua_State *L, const sem_kind *k) {
  lua_pushboolean(L, free_permits(L, k) == 0);
  return 1;
}

#define METHOD(name)                                                         \
  static int s_##name(lua_State *L) { return sem_##name(L, &kinds[PLAIN]); } \
  static int b_##name(lua_State *L) { return sem_##name(L, &kinds[BOUNDED]); }
METHOD(acquire)
METHOD(release)
METHOD(with)
METHOD(guard)
METHOD(value)
METHOD(locked)

static const luaL_Reg semaphore_meth[] = {
    {"acquire", s_acquire}, {"release", s_release}, {"with", s_with}, {"guard", s_guard},
    {"value", s_value},     {"locked", s_locked},   {NULL, NULL},
};

static const luaL_Reg bounded_meth[] = {
    {"acquire", b_acquire}, {"release", b_release}, {"with", b_with}, {"guard", b_guard},
    {"value", b_value},     {"locked", b_locked},   {NULL, NULL},
};

static const luaL_Reg sem_meta[] = {
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

void l_semaphore_funcs(lua_State *L, int st) {
  l_metatable(L, st, LMP_KIND_SEMAPHORE, "Semaphore", semaphore_meth, sem_meta);
  l_metatable(L, st, LMP_KIND_BOUNDED, "BoundedSemaphore", bounded_meth, sem_meta);
  l_constructor(L, st, semaphore_new, (const char *[]){"Semaphore", "semaphore", NULL});
  l_constructor(L, st, bounded_new,
                (const char *[]){"BoundedSemaphore", "bounded_semaphore", NULL});
}
