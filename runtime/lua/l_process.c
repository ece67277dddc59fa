/* lua/l_process.c: the core of mp.Process; the classes are in lualib/luamp/process.lua.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "os/os.h"

/* -- the end of this program --------------------------------------------------------------------- */

/* exit() in a child that luamp forked is its end in the family; what else was registered for the end
 * was the parent's. In the main process it waits for the children. */
static void at_exit(int status, lmp_at_exit *hook) {
  lmp_family *f = ((l_exit *)(void *)hook)->f;
  if (lmp_family_forked(f)) return;
  if (f->is_child) lmp_process_exit(f, status);
  l_end_family(f);
}

/* Once in each process that starts others or was started. */
void l_hook_exit(lua_State *L, l_state *st) {
  if (st->hooked == st->f->epoch) return;
  if (!st->at_exit) st->at_exit = calloc(1, sizeof *st->at_exit);
  if (!st->at_exit) {
    luaL_error(L, "not enough memory");
    return; /* not reached */
  }
  st->at_exit->hook.fn = at_exit;
  st->at_exit->f = st->f;
  if (!lmp_os_at_exit(&st->at_exit->hook)) luaL_error(L, "cannot register the end of the process");
  st->hooked = st->f->epoch;
}

/* -- fork ---------------------------------------------------------------------------------------- */

static uint64_t limit_field(lua_State *L, int idx, const char *key) {
  if (!lua_istable(L, idx)) return 0;
  lua_getfield(L, idx, key);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n > 0 ? (uint64_t)n : 0;
}

/* The handles of the values in the table at the top; a userdata, pushed above it. */
static lmp_handle *handles_of(lua_State *L, size_t *n) {
  size_t len = lua_rawlen(L, -1);
  lmp_handle *list = lua_newuserdatauv(L, (len + 1) * sizeof *list, 0);
  *n = 0;
  for (size_t i = 1; i <= len; i++) {
    lmp_handle h;
    lua_rawgeti(L, -2, (lua_Integer)i);
    if (l_handle_is(L, -1, &h) && h.obj) list[(*n)++] = h;
    lua_pop(L, 1);
  }
  return list;
}

/* Message handler: a string with the traceback, whatever was raised. */
static int failure(lua_State *L) {
  const char *text = lua_tostring(L, 1);
  if (!text) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) {
      text = lua_tostring(L, -1);
    } else {
      text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
  }
  luaL_traceback(L, L, text, 1);
  return 1;
}

static int store_result(lua_State *L, l_state *st, const lmp_msg *m) {
  lmp_me *me = l_me(L, st);
  lmp_obj *self = lmp_obj_at(me->a, st->f->self.obj);
  lmp_err e;
  while ((e = lmp_process_result_set(me, self, LMP_RESULT_VALUES, m)) == LMP_E_INTR) {
  }
  return e ? l_raise(L, "cannot store the result", e) : 0;
}

/* Stack: child_main, instance, handle. Calls it and stores what it returns as the result. */
static int run_target(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  size_t n;
  lua_call(L, 2, LUA_MULTRET);
  int count = lua_gettop(L);
  if (count == 0) return store_result(L, st, &(lmp_msg){0});
  lua_createtable(L, count, 1);
  lua_insert(L, 1);
  lua_pushinteger(L, count);
  lua_setfield(L, 1, "n");
  for (int i = count; i >= 1; i--) lua_rawseti(L, 1, i);
  l_encode_begin(st->codec);
  l_encode(L, st->codec, 1, "result", L_HANDLES);
  return store_result(L, st, l_encoded(st->codec, &n));
}

static void report_failure(lua_State *L, l_state *st) {
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  lmp_iov piece = {text, len};
  lmp_msg m = {.iov = &piece, .niov = 1, .len = len};
  lmp_me *me;
  fflush(NULL);
  const lmp_obj *self = lmp_obj_at(&st->f->a, st->f->self.obj);
  lua_pushlstring(L, lmp_obj_name(&st->f->a, self), self->ob_namelen);
  lua_pushfstring(L, "luamp: process '%s' (pid %I) failed:\n%s\n", lua_tostring(L, -1),
                  (lua_Integer)lmp_os_pid(), text);
  const char *all = lua_tolstring(L, -1, &len);
  lmp_os_write_err(all, len);
  if (lmp_family_me(st->f, &me)) return;
  while (lmp_process_result_set(me, lmp_obj_at(me->a, st->f->self.obj), LMP_RESULT_ERROR, &m) ==
         LMP_E_INTR) {
  }
}

static int protected_report(lua_State *L) {
  l_state *st = lua_touserdata(L, 2);
  lua_settop(L, 1);
  report_failure(L, st);
  return 0;
}

/* What lies on the stack of the coroutine that a child runs in. */
enum { CHILD_FAILURE = 1, CHILD_TARGET, CHILD_LIFE };

/* The child's life: child_main, instance, reached handles, own handle, coroutine -> exit code. It runs in
 * the coroutine: the parent's calls are not the child's, nor in its tracebacks. */
static int child_life(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  l_obj *u = lua_touserdata(L, 4);
  lua_State *C = lua_tothread(L, 5);
  lmp_handle self = st->f->self;
  size_t n = lua_istable(L, 3) ? lua_rawlen(L, 3) : 0;
  l_hook_exit(L, st);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, 3, (lua_Integer)i);
    l_rebind(L, -1);
    lua_pop(L, 1);
  }
  lmp_obj_ref(l_me(L, st), self);
  l_open(L, u, self);
  l_state_uv(L, L_UV_HANDLES); /* the instance stands for this process */
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, self.obj);
  lua_pop(L, 1);
  lua_pushnil(L); /* it is ours; our children take another */
  lua_setiuservalue(L, lua_upvalueindex(1), L_UV_CHILD);
  lua_settop(C, CHILD_TARGET);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 4);
  lua_xmove(L, C, 3);
  bool failed = lua_pcall(C, 3, 0, CHILD_FAILURE) != LUA_OK;
  if (failed) { /* on C, where it was raised, but protected: C is in no call */
    lua_pushcfunction(C, protected_report);
    lua_insert(C, -2);
    lua_pushlightuserdata(C, st);
    (void)lua_pcall(C, 2, 0, 0);
  }
  lua_pushinteger(L, failed);
  return 1;
}

/* In the child, on the parent's stack, where core_fork has it all: whatever is raised stays here. */
LMP_NORETURN static void run_child(lua_State *L, l_state *st) {
  static const int life[] = {12, 6, 7, 8, 10, 11};
  int code = 1;
  for (size_t i = 0; i < LMP_COUNT(life); i++) lua_pushvalue(L, life[i]);
  if (lua_pcall(L, LMP_COUNT(life) - 1, 1, 0) == LUA_OK) {
    code = (int)lua_tointeger(L, -1);
  } else {
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "luamp: a process (pid %lld) failed: %s\n", (long long)lmp_os_pid(),
            text ? text : "an error that is no string");
  }
  lmp_process_exit(st->f, code);
}

/* Calls itself so deep: afterwards the state has room for such calls. */
static int call_deep(lua_State *L) {
  lua_Integer n = lua_tointeger(L, 1);
  if (n == 0) return 0;
  lua_pushcfunction(L, call_deep);
  lua_pushinteger(L, n - 1);
  lua_call(L, 1, 0);
  return 0;
}

/* Pushes the coroutine in which a child is to run; the parent keeps it for the next one. All is made here
 * that every child would have to make: in a fresh process each new page costs a fault. */
static void child_thread(lua_State *L) {
  lua_getiuservalue(L, lua_upvalueindex(1), L_UV_CHILD);
  if (lua_isthread(L, -1)) return;
  lua_pop(L, 1);
  lua_State *C = lua_newthread(L);
  luaL_checkstack(C, 30, NULL);
  lua_pushcfunction(C, failure);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, run_target, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, child_life, 1);
  lua_xmove(L, C, 2);
  lua_pushcfunction(C, call_deep);
  lua_pushinteger(C, 8);
  if (lua_pcall(C, 1, 0, 0)) { /* memory, or Ctrl-C */
    lua_xmove(C, L, 1);
    lua_error(L);
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, lua_upvalueindex(1), L_UV_CHILD);
}

/* In the child: Ctrl-C that came before the fork is the parent's business. Whoever could raise before has had
 * his chance. */
static void drop_pending_hook(lua_State *L, const l_state *st, lua_State *C) {
  lua_State *const threads[] = {st->main, L, C};
  lua_Hook hook = lua_gethook(st->main);
  if (!l_hook_pending(st)) return;
  for (size_t i = 0; i < LMP_COUNT(threads); i++) {
    if (lua_gethook(threads[i]) == hook) lua_sethook(threads[i], NULL, 0, 0);
  }
}

/* (instance, handle): the instance is the value for its object from now on. */
static int know(lua_State *L) {
  const l_obj *u = lua_touserdata(L, 2);
  lua_settop(L, 1);
  l_known(L, u->h);
  return 0;
}

/* In the parent, when the child runs already: the instance, at 7, becomes a started one with the handle at 10;
 * its state, at 13, is "started". It had these keys, so nothing is allocated, and nothing raised before it is
 * complete; but then Ctrl-C, if that has come meanwhile. */
static void complete(lua_State *L) {
  int status = LUA_OK;
  bool known = false;
  lua_settop(L, 13);
  lua_rawsetp(L, 7, &l_keys[L_KEY_STATE]);
  lua_pushvalue(L, 10);
  lua_rawsetp(L, 7, &l_keys[L_KEY_HANDLE]);
  for (int i = 0; i < 2 && !known; i++) { /* the second time the hook is gone */
    lua_pushcfunction(L, know);
    lua_pushvalue(L, 7);
    lua_pushvalue(L, 10);
    int s = lua_pcall(L, 2, 0, 0);
    known = s == LUA_OK || s == LUA_ERRMEM; /* without memory it works, too */
    if (s == LUA_ERRRUN) status = s;
    if (s != LUA_OK && s != LUA_ERRRUN) lua_pop(L, 1);
  }
  if (status != LUA_OK) lua_error(L);
}

/* core.fork(name, daemon, detached, limits, reach, child_main, instance) -> what went wrong, if anything */
static int core_fork(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lmp_start s = {.daemon = lua_toboolean(L, 2), .detached = lua_toboolean(L, 3)};
  lmp_handle h;
  bool in_child;
  s.name = luaL_checklstring(L, 1, &s.namelen);
  s.limits = (lmp_limits){limit_field(L, 4, "memory"), limit_field(L, 4, "cpu"),
                          limit_field(L, 4, "files")};
  lua_settop(L, 7);
  l_me(L, st);
  if (l_hook_pending(st)) l_interrupted(L);
  l_hook_exit(L, st);
  if (lua_istable(L, 5)) {
    lua_newtable(L); /* 8: what is reached */
    lua_pushvalue(L, 5);
    l_reach(L, st->codec, 1, 8, st->nhandles);
    lua_settop(L, 8);
    s.reach = handles_of(L, &s.nreach); /* 9 */
  } else {
    lua_settop(L, 9);
  }
  l_obj *u = l_prepare(L, st, LMP_KIND_PROCESS); /* 10 */
  child_thread(L);                               /* 11 */
  luaL_checkstack(L, 20, NULL);                  /* nothing may be raised after the fork */
  lua_pushvalue(lua_tothread(L, 11), CHILD_LIFE);
  lua_xmove(lua_tothread(L, 11), L, 1); /* 12 */
  lua_pushliteral(L, "started");        /* 13 */
  lmp_err e = lmp_process_fork(st->f, &s, &h, &in_child);
  if (e == LMP_E_REFUSED) {
    lua_pushfstring(L,
                    "cannot start process '%s' by fork: this process has several threads"
                    " (use start method 'spawn' or 'forkserver')",
                    s.name);
    return 1;
  }
  if (e) {
    const char *why = e == LMP_E_SYSTEM ? strerror(errno) : lmp_err_text(e);
    lua_pushfstring(L, "cannot start process '%s': %s", s.name, why);
    return 1;
  }
  if (in_child) {
    drop_pending_hook(L, st, lua_tothread(L, 11));
    if (lmp_os_set_limits(&s.limits))
      fprintf(stderr, "luamp: cannot set limits: %s\n", strerror(errno));
    run_child(L, st);
  }
  l_open_quietly(u, h);
  complete(L);
  return 0;
}

/* -- handles ------------------------------------------------------------------------------------- */

static lmp_process *body(const l_obj *u) { return lmp_process_of(u->o); }

static void push_exitcode(lua_State *L, uint32_t exit) {
  lua_Integer code = exit & 0xff;
  if (!exit) {
    lua_pushnil(L);
  } else {
    lua_pushinteger(L, exit & LMP_BY_SIGNAL ? -code : code);
  }
}

static int core_join(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  uint64_t deadline = l_deadline(L, 2);
  lmp_err e;
  while ((e = lmp_process_join(u->st->f, me, u->h, deadline)) == LMP_E_INTR) l_interrupted(L);
  if (e) return l_result(L, true, e, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static int core_is_alive(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  lua_pushboolean(L, lmp_process_poll(u->st->f, me, u->h) == 0);
  return 1;
}

static int core_exitcode(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  push_exitcode(L, lmp_process_poll(u->st->f, me, u->h));
  return 1;
}

static int core_pid(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  lua_pushinteger(L, (lua_Integer)lmp_load_acq64(&body(u)->ps_pid));
  return 1;
}

static int core_signal(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  lmp_process_signal(u->st->f, me, u->h, (int)luaL_checkinteger(L, 2));
  return 0;
}

static int core_describe(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  lua_pushlstring(L, lmp_obj_name(me->a, u->o), u->o->ob_namelen);
  lua_pushboolean(L, (int)body(u)->ps_daemon);
  return 2;
}

static int core_is_self(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  lua_pushboolean(L, u->h.obj == u->st->f->self.obj);
  return 1;
}

static int push_death(lua_State *L, const l_obj *u) {
  uint32_t exit = lmp_load_acq32(&body(u)->ps_exit);
  int code = (int)(exit & 0xff);
  lua_pushlstring(L, lmp_obj_name(&u->st->f->a, u->o), u->o->ob_namelen);
  const char *who = lua_tostring(L, -1);
  lua_Integer pid = (lua_Integer)body(u)->ps_pid;
  const char *text;
  if (exit & LMP_UNKNOWN) {
    text = lua_pushfstring(L, "process '%s' (pid %I) ended, how is not known", who, pid);
  } else if (exit & LMP_BY_SIGNAL) {
    text = lua_pushfstring(L, "process '%s' (pid %I) was killed by signal %d (%s)", who, pid, code,
                           strsignal(code));
  } else {
    text =
        lua_pushfstring(L, "process '%s' (pid %I) exited with status %d before its target returned",
                        who, pid, code);
  }
  return l_result(L, false, LMP_E_DIED, text);
}

static int core_result(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_PROCESS, &me);
  uint64_t deadline = l_deadline(L, 2);
  lmp_process *p = body(u);
  lmp_err e;
  while ((e = lmp_process_join(u->st->f, me, u->h, deadline)) == LMP_E_INTR) l_interrupted(L);
  if (e) return l_result(L, false, e, NULL);
  uint32_t kind = lmp_load_acq32(&p->ps_result_kind);
  if (kind == LMP_RESULT_NONE) return push_death(L, u);
  if (!p->ps_result) return 0;
  const uint8_t *at = lmp_at(me->a, p->ps_result);
  const lmp_handle *handles = (const lmp_handle *)(const void *)at;
  at += p->ps_result_nh * sizeof *handles;
  if (kind == LMP_RESULT_ERROR) {
    lua_pushlstring(L, (const char *)at, p->ps_result_len);
    return l_result(L, false, LMP_E_DIED, lua_tostring(L, -1));
  }
  /* The result stays with the process object, which we hold: so do, meanwhile, its handles. */
  if (l_decode(L, u->st->codec, at, p->ps_result_len, handles, p->ps_result_nh, L_FUNCTIONS)) {
    return luaL_error(L, "cannot rebuild the result: %s", lua_tostring(L, -1));
  }
  int list = lua_gettop(L);
  lua_getfield(L, list, "n");
  int n = (int)lua_tointeger(L, -1);
  luaL_checkstack(L, n, "too many results");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, list, i);
  return n;
}

static int core_close(lua_State *L) { return l_handle_gc(L); }

/* core.any_handle(): whether a child could reach one at all. */
static int core_any_handle(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lua_pushboolean(L, st->nhandles > 0);
  return 1;
}

static int core_set_wrap(lua_State *L) {
  lua_settop(L, 1);
  lua_setiuservalue(L, lua_upvalueindex(1), L_UV_WRAP);
  return 0;
}

static int core_set_wait(lua_State *L) {
  lua_settop(L, 1);
  lua_setiuservalue(L, lua_upvalueindex(1), L_UV_WAIT);
  return 0;
}

static int core_self(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  l_me(L, st);
  l_handle_push(L, st->f->self);
  return 1;
}

/* core.epoch(): grows with every fork, also one that was not ours; nil before the first object. */
static int core_epoch(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  if (!st->f) return 0;
  l_me(L, st);
  lua_pushinteger(L, (lua_Integer)st->f->epoch);
  return 1;
}

static int core_parent(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  l_me(L, st);
  if (st->f->parent.obj == 0) return 0;
  l_handle_push(L, st->f->parent);
  return 1;
}

static int core_children(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  lmp_child child;
  lua_newtable(L);
  if (!st->f) return 1;
  lmp_children_poll(st->f, l_me(L, st));
  for (uint32_t i = 0; lmp_children_get(st->f, i, &child); i++) {
    l_handle_push(L, child.h);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* core.class(x): the class of a Process instance, or nil. */
static int core_class(lua_State *L) {
  if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1)) return 0;
  lua_pushliteral(L, "__luamp_class");
  lua_rawget(L, -2);
  return 1;
}

static int core_address(lua_State *L) {
  lua_pushfstring(L, "%p", lua_topointer(L, 1));
  return 1;
}

static int core_size(lua_State *L) {
  uint64_t size;
  if (!l_is_size(L, 1, &size)) return 0;
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

static const char *const key_names[L_KEY_COUNT] = {"handle",   "state",  "name",   "target",
                                                   "args",     "ids",    "number", "daemon",
                                                   "detached", "method", "limits"};

static const luaL_Reg process_core[] = {
    {"fork", core_fork},
    {"join", core_join},
    {"is_alive", core_is_alive},
    {"exitcode", core_exitcode},
    {"pid", core_pid},
    {"signal", core_signal},
    {"describe", core_describe},
    {"is_self", core_is_self},
    {"result", core_result},
    {"close", core_close},
    {"set_wrap", core_set_wrap},
    {"set_wait", core_set_wait},
    {"self", core_self},
    {"parent", core_parent},
    {"epoch", core_epoch},
    {"children", core_children},
    {"class", core_class},
    {"address", core_address},
    {"size", core_size},
    {"any_handle", core_any_handle},
    {NULL, NULL},
};

static const luaL_Reg no_meth[] = {{NULL, NULL}};
static const luaL_Reg process_meta[] = {
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

void l_process_core(lua_State *L, int st) {
  l_metatable(L, st, LMP_KIND_PROCESS, "Process", no_meth, process_meta);
  lua_newtable(L);
  lua_pushvalue(L, st);
  luaL_setfuncs(L, process_core, 1);
  lua_createtable(L, 0, L_KEY_COUNT);
  for (int i = 0; i < L_KEY_COUNT; i++) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&l_keys[i]);
    lua_setfield(L, -2, key_names[i]);
  }
  lua_setfield(L, -2, "keys");
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  luaL_getsubtable(L, -1, "luamp.methods"); /* see l_name_methods */
  lua_setfield(L, -3, "methods");
  lua_pop(L, 1);
}
