/* lua/l_lock.c: mp.Lock, mp.RLock, mp.Condition.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Lock([{name = string}])   mp.RLock([{name = string}])   mp.Condition([lock] [, {name = string}])
 *   x:acquire([timeout])   -> true [, "abandoned"] | false, "timeout"
 *   x:release()            x:locked() -> boolean
 *   x:with(f, ...)         -> the results of f(..., [ "abandoned" ])
 *   x:guard()              -> held, to be closed; held.abandoned
 *   c:wait([timeout])      -> true [, "abandoned"] | false, "timeout" [, "abandoned"]
 *   c:wait_for(f [, timeout]) -> what f returned last [, "abandoned"]
 *   c:notify([n = 1])      c:notify_all()
 * A Condition has the calls of the lock that it is bound to. */
#include <stdio.h>

#include "lua/l_guard.h"
#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "sync/condition.h"
#include "sync/lock.h"

/* -- making -------------------------------------------------------------------------------------- */

static lmp_err make(lmp_me *me, uint32_t kind, const char *name, size_t len, const lmp_obj *lock,
                    lmp_handle *h) {
  if (kind == LMP_KIND_LOCK) return lmp_lock_new(me, name, len, h);
  if (kind == LMP_KIND_RLOCK) return lmp_rlock_new(me, name, len, h);
  return lmp_cond_new(me, name, len, lock, h);
}

/* An object with the options at `opts`; `lock`: the handle of the lock to bind it to, or NULL. */
static int object_new(lua_State *L, uint32_t kind, int opts, const l_obj *lock) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  size_t len;
  lmp_handle h;
  l_options(L, opts, names);
  lua_settop(L, 2);
  const char *name = l_opt_name(L, opts, &len);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, kind);
  const lmp_obj *bound = lock ? lock->o : NULL;
  lmp_err e = make(me, kind, name, len, bound, &h);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = make(me, kind, name, len, bound, &h);
  }
  if (e) {
    char what[64];
    snprintf(what, sizeof what, "cannot make a %s", lmp_kinds[kind]->name);
    return l_raise(L, what, e);
  }
  l_open(L, u, h);
  return 1;
}

static int lock_new(lua_State *L) { return object_new(L, LMP_KIND_LOCK, 1, NULL); }
static int rlock_new(lua_State *L) { return object_new(L, LMP_KIND_RLOCK, 1, NULL); }

static int condition_new(lua_State *L) {
  lmp_me *me;
  l_obj *lock = l_test(L, 1);
  if (lock && (lock->kind == LMP_KIND_LOCK || lock->kind == LMP_KIND_RLOCK)) {
    l_check(L, 1, lock->kind, &me);
    return object_new(L, LMP_KIND_CONDITION, 2, lock);
  }
  if (lock || !(lua_isnoneornil(L, 1) || lua_istable(L, 1))) {
    return luaL_typeerror(L, 1, "Lock or RLock");
  }
  return object_new(L, LMP_KIND_CONDITION, lua_istable(L, 1) ? 1 : 2, NULL);
}

/* -- who holds it -------------------------------------------------------------------------------- */

/* Describes a context's thread in `text`. */
static void describe_owner(lmp_me *me, uint32_t id, char *text, size_t size) {
  const lmp_arena *a = me->a;
  if (id == 0) {
    snprintf(text, size, "nobody holds it");
    return;
  }
  uint32_t slot = lmp_load_acq32(&a->ctxs[id - 1].cx_state) >> 8;
  if (slot == a->proc) {
    snprintf(text, size, "%s of this process holds it",
             id == me->id ? "this thread" : "another thread");
    return;
  }
  lmp_handle h = slot < a->h->hd_nproc ? a->procs[slot].pr_obj : (lmp_handle){0, 0};
  if (lmp_obj_hold(me, h)) {
    snprintf(text, size, "a process that is gone held it");
    return;
  }
  const lmp_obj *o = lmp_obj_at(a, h.obj);
  snprintf(text, size, "process '%.*s' (pid %llu) holds it",
           (int)lmp_min_u64(o->ob_namelen, size / 2), lmp_obj_name(a, o),
           (unsigned long long)lmp_load_acq64(&lmp_process_of(o)->ps_pid));
  lmp_obj_unref(me, h);
}

static int not_the_owner(lua_State *L, lmp_me *me, const lmp_obj *lock, const char *what) {
  char text[200];
  describe_owner(me, lmp_lock_owner(lock), text, sizeof text);
  return luaL_error(L, "'%s' of %s by a thread that does not hold it: %s", what,
                    luaL_tolstring(L, 1, NULL), text);
}

/* -- the lock's calls ---------------------------------------------------------------------------- */

static bool is_lock(uint32_t kind) {
  return kind == LMP_KIND_LOCK || kind == LMP_KIND_RLOCK || kind == LMP_KIND_CONDITION;
}

static LMP_NOINLINE l_obj *check_lock_slow(lua_State *L, lmp_me **me) {
  const l_obj *u = l_test(L, 1);
  if (u && is_lock(u->kind)) return l_check(L, 1, u->kind, me);
  luaL_typeerror(L, 1, "Lock, RLock or Condition");
  return NULL;
}

/* The object at 1; sets *lock to the one whose lock is meant. */
static inline l_obj *check_lock(lua_State *L, lmp_me **me, lmp_obj **lock) {
  l_obj *u = lua_touserdata(L, 1);
  if (LMP_UNLIKELY(!u || lua_rawlen(L, 1) < sizeof *u || u->magic != L_HANDLE_MAGIC ||
                   !is_lock(u->kind) || !u->open || !u->st->f || lmp_family_me(u->st->f, me) ||
                   u->epoch != u->st->f->epoch)) {
    u = check_lock_slow(L, me);
  }
  *lock = u->kind == LMP_KIND_CONDITION ? lmp_cond_lock((*me)->a, u->o) : u->o;
  return u;
}

/* LMP_OK or LMP_E_TIMEOUT. */
static lmp_err acquire(lua_State *L, lmp_me *me, lmp_obj *lock, uint64_t deadline,
                       bool *abandoned) {
  for (;;) {
    lmp_err e = lmp_lock_acquire(me, lock, deadline, abandoned);
    if (LMP_LIKELY(e == LMP_OK || e == LMP_E_TIMEOUT)) return e;
    if (e == LMP_E_INTR) {
      l_interrupted(L);
    } else if (e == LMP_E_INVAL) {
      luaL_error(L, "deadlock: %s is acquired by the thread that holds it already",
                 luaL_tolstring(L, 1, NULL));
    } else {
      luaL_argerror(L, 1,
                    lua_pushfstring(L, "%s is acquired too often", luaL_tolstring(L, 1, NULL)));
    }
  }
}

static int lock_acquire(lua_State *L) {
  lmp_me *me;
  lmp_obj *lock;
  bool abandoned;
  check_lock(L, &me, &lock);
  lmp_err e =
      acquire(L, me, lock, lua_isnoneornil(L, 2) ? LMP_FOREVER : l_deadline(L, 2), &abandoned);
  if (LMP_UNLIKELY(e)) return l_result(L, true, e, NULL);
  lua_pushboolean(L, 1);
  if (LMP_LIKELY(!abandoned)) return 1;
  lua_pushliteral(L, "abandoned");
  return 2;
}

static int lock_release(lua_State *L) {
  lmp_me *me;
  lmp_obj *lock;
  check_lock(L, &me, &lock);
  if (LMP_UNLIKELY(lmp_lock_release(me, lock))) return not_the_owner(L, me, lock, "release");
  return 0;
}

static int lock_locked(lua_State *L) {
  lmp_me *me;
  lmp_obj *lock;
  check_lock(L, &me, &lock);
  uint32_t owner = lmp_lock_owner(lock);
  lua_pushboolean(L, owner != 0 && !lmp_ctx_dead(me->a, owner - 1));
  return 1;
}

/* For guards. */
static lmp_err release_any(lmp_me *me, lmp_obj *o) {
  return lmp_lock_release(me, o->ob_kind == LMP_KIND_CONDITION ? lmp_cond_lock(me->a, o) : o);
}

static void guard_acquire(lua_State *L, l_guard *g) {
  lmp_me *me;
  lmp_obj *lock;
  check_lock(L, &me, &lock);
  acquire(L, me, lock, LMP_FOREVER, &g->abandoned);
  g->held = true;
}

static int lock_guard(lua_State *L) {
  lmp_me *me;
  lmp_obj *lock;
  const l_obj *u = check_lock(L, &me, &lock);
  guard_acquire(L, l_guard_push(L, 1, u, release_any));
  return 1;
}

static int lock_with(lua_State *L) {
  lmp_me *me;
  lmp_obj *lock;
  const l_obj *u = check_lock(L, &me, &lock);
  l_guard *g = l_guard_enter(L, u, release_any);
  guard_acquire(L, g);
  return l_guard_run(L, g);
}

/* -- Condition ------------------------------------------------------------------------------------ */

/* Waits once. LMP_OK, LMP_E_TIMEOUT; sets *abandoned, or leaves it. */
static lmp_err cond_wait(lua_State *L, l_obj *u, lmp_me *me, uint64_t deadline, const char *what,
                         bool *abandoned) {
  for (;;) {
    bool now = false;
    lmp_err e = lmp_cond_wait(me, u->o, deadline, &now);
    if (e == LMP_E_INVAL) not_the_owner(L, me, lmp_cond_lock(me->a, u->o), what);
    *abandoned |= now;
    if (e != LMP_E_INTR) return e;
    l_interrupted(L); /* with the lock held: what it raises finds it so */
  }
}

static int condition_wait(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_CONDITION, &me);
  bool abandoned = false;
  lmp_err e = cond_wait(L, u, me, l_deadline(L, 2), "wait", &abandoned);
  int n = 1;
  if (e) {
    n = l_result(L, true, e, NULL);
  } else {
    lua_pushboolean(L, 1);
  }
  if (!abandoned) return n;
  lua_pushliteral(L, "abandoned");
  return n + 1;
}

static int condition_wait_for(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_CONDITION, &me);
  l_callable(L, 2);
  uint64_t deadline = l_deadline(L, 3);
  lmp_obj *lock = lmp_cond_lock(me->a, u->o);
  bool abandoned = false;
  lmp_err e = LMP_OK;
  lua_settop(L, 2);
  if (lmp_lock_owner(lock) != me->id) return not_the_owner(L, me, lock, "wait_for");
  for (;;) {
    lua_pushvalue(L, 2);
    lua_call(L, 0, 1);
    if (lua_toboolean(L, -1) || e) break;
    lua_settop(L, 2);
    e = cond_wait(L, u, me, deadline, "wait_for", &abandoned);
  }
  if (!abandoned) return 1;
  lua_pushliteral(L, "abandoned");
  return 2;
}

static int notify(lua_State *L, uint32_t n, const char *what) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_CONDITION, &me);
  if (lmp_cond_notify(me, u->o, n)) {
    return not_the_owner(L, me, lmp_cond_lock(me->a, u->o), what);
  }
  return 0;
}

static int condition_notify(lua_State *L) {
  lua_Integer n = luaL_optinteger(L, 2, 1);
  if (n < 0) luaL_argerror(L, 2, lua_pushfstring(L, "n must not be negative, got %I", n));
  return notify(L, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX, "notify");
}

static int condition_notify_all(lua_State *L) { return notify(L, UINT32_MAX, "notify_all"); }

/* -- tables -------------------------------------------------------------------------------------- */

static const luaL_Reg lock_meth[] = {
    {"acquire", lock_acquire}, {"release", lock_release}, {"locked", lock_locked},
    {"guard", lock_guard},     {"with", lock_with},       {NULL, NULL},
};

static const luaL_Reg condition_meth[] = {{"wait", condition_wait},
                                          {"wait_for", condition_wait_for},
                                          {"notify", condition_notify},
                                          {"notify_all", condition_notify_all},
                                          {NULL, NULL}};

static const luaL_Reg object_meta[] = {
    {"__gc", l_handle_gc}, {"__tostring", l_handle_tostring}, {NULL, NULL}};

/* The type of objects of `kind`, made by `maker` under two names. */
static void type_new(lua_State *L, int st, uint32_t kind, lua_CFunction maker,
                     const char *const *names) {
  l_metatable(L, st, kind, lmp_kinds[kind]->name, lock_meth, object_meta);
  if (kind == LMP_KIND_CONDITION) {
    lua_getiuservalue(L, st, L_UV_METAS);
    lua_rawgeti(L, -1, (lua_Integer)kind);
    lua_getfield(L, -1, "__index");
    lua_pushvalue(L, st);
    luaL_setfuncs(L, condition_meth, 1);
    l_name_methods(L, "Condition", condition_meth);
    lua_pop(L, 3);
  }
  l_constructor(L, st, maker, names);
}

void l_lock_funcs(lua_State *L, int st) {
  type_new(L, st, LMP_KIND_LOCK, lock_new, (const char *[]){"Lock", "lock", NULL});
  type_new(L, st, LMP_KIND_RLOCK, rlock_new, (const char *[]){"RLock", "rlock", NULL});
  type_new(L, st, LMP_KIND_CONDITION, condition_new,
           (const char *[]){"Condition", "condition", NULL});
}
