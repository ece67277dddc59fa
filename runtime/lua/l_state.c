/* lua/l_state.c: opening the module, and the helpers of all bindings.
 * SPDX-License-Identifier: MIT */
#include "lua/l_state.h"

#include <errno.h>
#include <lualib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lua/l_handle.h"
#include "lua/l_lualib.h"
#include "lua/l_main.h"
#include "luamp.h"
#include "os/os.h"

#define METATABLE_SIZE 16 /* entries of a metatable, at most */

static const char state_key = 0; /* its address is the registry key */

/* -- the state ----------------------------------------------------------------------------------- */

bool l_hook_pending(const l_state *st) {
  lua_Hook hook = lua_gethook(st->main);
  return hook && hook != st->tame;
}

/* lmp_arena.interrupted */
static bool interrupted(void *arg) { return l_hook_pending(arg); }

void l_end_family(lmp_family *f) {
  l_state *st = f->a.interrupted_arg;
  if (st) st->tame = lua_gethook(st->main); /* Ctrl-C sets another */
  while (lmp_family_end(f, false) == LMP_E_INTR) {
    if (st && l_hook_pending(st)) (void)lmp_family_end(f, true);
  }
}

/* Also the end of a process that never called l_main_end: the stock interpreter closes its state. */
static int state_gc(lua_State *L) {
  l_state *st = lua_touserdata(L, 1);
  lmp_family *f = st->f;
  st->f = NULL;
  lmp_inbox_fini(&st->inbox);
  lmp_wanteds_fini(&st->wanted);
  if (f && !f->is_child && !lmp_family_forked(f)) {
    if (st->at_exit) lmp_os_at_exit_drop(&st->at_exit->hook);
    free(st->at_exit);
    l_end_family(f);
    lmp_family_free(f);
  } else if (f) { /* its end comes without us */
    f->a.interrupted = NULL;
    f->a.interrupted_arg = NULL;
  }
  return 0;
}

l_state *l_state_get(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  l_state *st = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!st) luaL_error(L, "luamp is not open in this Lua state");
  return st;
}

void l_state_uv(lua_State *L, int which) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  lua_getiuservalue(L, -1, which);
  lua_remove(L, -2);
}

/* A variable that is set; an empty one is not. */
static const char *environment(const char *name) {
  const char *text = getenv(name);
  return text && *text ? text : NULL;
}

static lmp_log_level log_level(lua_State *L) {
  const char *text = environment("LUAMP_LOG");
  if (!text) return LMP_LOG_NONE;
  if (strcmp(text, "debug") == 0) return LMP_LOG_DEBUG;
  if (strcmp(text, "info") != 0) {
    luaL_error(L, "LUAMP_LOG: 'info' or 'debug' expected, got '%s'", text);
  }
  return LMP_LOG_INFO;
}

static void memory_from_environment(lua_State *L, l_state *st) {
  const char *text = environment("LUAMP_MEMORY");
  if (!text) return;
  lua_pushstring(L, text);
  st->memory = l_size(L, -1, "LUAMP_MEMORY");
  st->memory_from = "LUAMP_MEMORY";
  lua_pop(L, 1);
}

lmp_family *l_family(lua_State *L, l_state *st) {
  if (LMP_LIKELY(st->f != NULL)) return st->f;
  if (st->memory == 0) memory_from_environment(L, st);
  uint64_t memory = st->memory ? st->memory : lmp_os_memory() / 2;
  lmp_err e = lmp_family_new(memory, st->memory == 0, log_level(L), &st->f);
  if (e == LMP_E_INVAL) {
    luaL_error(L, "a memory limit of %I bytes is too small: luamp needs %I", (lua_Integer)memory,
               (lua_Integer)LMP_ARENA_LEAST);
  }
  if (e == LMP_E_NOMEM && st->memory) {
    luaL_error(L,
               "cannot have a memory limit of %I bytes (%s): more than this process may map (see "
               "ulimit -v, -f)",
               (lua_Integer)memory, st->memory_from);
  }
  if (e == LMP_E_NOMEM) {
    lmp_arena_config least = {.memory = LMP_ARENA_LEAST};
    luaL_error(L,
               "cannot make the family's shared memory: this process may not map as much as %I "
               "bytes (see ulimit -v, -f)",
               (lua_Integer)lmp_arena_size(&least));
  }
  if (e) l_raise(L, "cannot make the family's shared memory", e);
  st->f->a.interrupted = interrupted;
  st->f->a.interrupted_arg = st;
  return st->f;
}

lmp_me *l_me(lua_State *L, l_state *st) {
  lmp_me *me;
  lmp_err e = lmp_family_me(l_family(L, st), &me);
  if (LMP_UNLIKELY(e)) l_raise(L, "cannot join the family's shared memory", e);
  return me;
}

/* -- helpers ------------------------------------------------------------------------------------- */

uint64_t l_deadline(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return LMP_FOREVER;
  luaL_checktype(L, arg, LUA_TNUMBER);
  lua_Number s = lua_tonumber(L, arg);
  if (isnan(s)) luaL_argerror(L, arg, "timeout is not a number (nan)");
  if (s <= 0) return LMP_NOWAIT;
  if (s >= 9e9) return LMP_FOREVER; /* 285 years, and the clock's range in nanoseconds */
  /* Rounded up: a timed-out call takes at least the time given. */
  return lmp_os_now() + (uint64_t)ceil(s * 1e9);
}

int l_result(lua_State *L, bool boolean, lmp_err e, const char *text) {
  if (boolean) {
    lua_pushboolean(L, 0);
  } else {
    luaL_pushfail(L);
  }
  lua_pushstring(L, lmp_err_code(e));
  if (!text) return 2;
  lua_pushstring(L, text);
  return 3;
}

int l_raise(lua_State *L, const char *what, lmp_err e) {
  if (e == LMP_E_SYSTEM) return luaL_error(L, "%s: %s", what, strerror(errno));
  return luaL_error(L, "%s: %s", what, lmp_err_text(e));
}

void l_interrupted(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_Hook hook = lua_gethook(main);
  if (!hook) return;
  /* A signal handler hooks the main thread; a wait inside a coroutine is interrupted as well. */
  if (main != L && !lua_gethook(L))
    lua_sethook(L, hook, lua_gethookmask(main), lua_gethookcount(main));
  l_state_uv(L, L_UV_NOP);
  lua_call(L, 0, 0); /* the hook runs at the call */
  l_state_get(L)->tame = lua_gethook(main);
}

static bool name_in(const char *name, const char *const *names) {
  for (; *names; names++) {
    if (strcmp(name, *names) == 0) return true;
  }
  return false;
}

bool l_options(lua_State *L, int arg, const char *const *names) {
  if (lua_isnoneornil(L, arg)) return false;
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING && name_in(lua_tostring(L, -1), names)) continue;
    const char *key = luaL_tolstring(L, -1, NULL);
    luaL_argerror(L, arg, lua_pushfstring(L, "unknown option '%s'", key));
  }
  return true;
}

const char *l_opt_name(lua_State *L, int arg, size_t *len) {
  *len = 0;
  if (!lua_istable(L, arg) || lua_getfield(L, arg, "name") == LUA_TNIL) return NULL;
  if (lua_type(L, -1) != LUA_TSTRING) {
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "name: string expected, got %s", luaL_typename(L, -1)));
  }
  return lua_tolstring(L, -1, len); /* stays on the stack, and in the table */
}

static uint64_t unit_of(char c) {
  switch (c) {
    case 'k':
    case 'K':
      return UINT64_C(1) << 10;
    case 'm':
    case 'M':
      return UINT64_C(1) << 20;
    case 'g':
    case 'G':
      return UINT64_C(1) << 30;
    default:
      return c ? 0 : 1;
  }
}

bool l_is_size(lua_State *L, int idx, uint64_t *size) {
  lua_Number n = -1;
  if (lua_type(L, idx) == LUA_TNUMBER) {
    n = lua_tonumber(L, idx);
  } else if (lua_type(L, idx) == LUA_TSTRING) {
    char *end;
    const char *text = lua_tostring(L, idx);
    n = strtod(text, &end);
    bool good = end != text && unit_of(*end) != 0 && (*end == 0 || end[1] == 0);
    n = good ? n * (lua_Number)unit_of(*end) : -1;
  }
  if (!(n >= 0 && n <= 0x1p62 && n == floor(n))) return false;
  *size = (uint64_t)n;
  return true;
}

uint64_t l_size(lua_State *L, int idx, const char *what) {
  uint64_t size = 0;
  if (!l_is_size(L, idx, &size)) {
    const char *type = luaL_typename(L, idx);
    luaL_error(L, "%s: not a size in whole bytes: %s (%s)", what, luaL_tolstring(L, idx, NULL),
               type);
  }
  return size;
}

/* A closure for each name, so that messages have the one that was called. */
void l_constructor(lua_State *L, int st, lua_CFunction f, const char *const *names) {
  for (; *names; names++) {
    lua_pushvalue(L, st);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, *names);
  }
}

/* Enters the methods, in the table at the top, where messages and tracebacks of Lua look for the name of a
 * function that was not called by a name: two levels deep in the table of loaded modules. */
void l_name_methods(lua_State *L, const char *kind, const luaL_Reg *methods) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  luaL_getsubtable(L, -1, "luamp.methods");
  for (; methods->name; methods++) {
    lua_pushfstring(L, "%s:%s", kind, methods->name);
    lua_getfield(L, -4, methods->name);
    lua_rawset(L, -3);
  }
  lua_pop(L, 2);
}

void l_metatable(lua_State *L, int st, uint32_t kind, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *meta) {
  /* Who comes first, and into a table that need not grow, is found first: __index is what is looked up at
   * every call of a method. */
  lua_createtable(L, 0, METATABLE_SIZE);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, st);
  luaL_setfuncs(L, meta, 1);
  lua_newtable(L);
  lua_pushvalue(L, st);
  luaL_setfuncs(L, methods, 1);
  l_name_methods(L, name, methods);
  lua_setfield(L, -2, "__index");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (lua_Integer)kind);
  lua_pop(L, 2);
}

/* -- opening ------------------------------------------------------------------------------------- */

static int nop(lua_State *L) {
  (void)L;
  return 0;
}

static int state_new(lua_State *L) {
  l_state *st = lua_newuserdatauv(L, sizeof *st, L_UV_COUNT);
  memset(st, 0, sizeof *st);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  if (!lmp_inbox_init(&st->inbox)) luaL_error(L, "not enough memory");
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  st->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setiuservalue(L, -2, L_UV_HANDLES);
  lua_newtable(L);
  lua_setiuservalue(L, -2, L_UV_METAS);
  lua_pushcfunction(L, nop);
  lua_setiuservalue(L, -2, L_UV_NOP);
  st->codec = l_codec_new(L);
  lua_setiuservalue(L, -2, L_UV_CODEC);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return 1;
}

/* Runs a file of lualib with the module table, to which it adds, and the core's table. */
static void run_lualib(lua_State *L, const struct l_lualib *lib, int module, int core) {
  lua_pushfstring(L, "=%s", lib->name);
  if (luaL_loadbufferx(L, lib->chunk, lib->len, lua_tostring(L, -1), "t")) lua_error(L);
  lua_pushvalue(L, module);
  lua_pushvalue(L, core);
  lua_call(L, 2, 0);
  lua_pop(L, 1);
}

/* core.load(prefix): runs the files of lualib whose names begin so; they are not run when the module is opened. */
static int core_load(lua_State *L) {
  size_t len;
  const char *prefix = luaL_checklstring(L, 1, &len);
  for (const struct l_lualib *lib = l_lualib; lib->name; lib++) {
    if (strncmp(lib->name, prefix, len) == 0)
      run_lualib(L, lib, lua_upvalueindex(1), lua_upvalueindex(2));
  }
  return 0;
}

/* luamp.name is a file of the module itself, luamp.part.name one of a part that is loaded later. */
static bool is_part(const struct l_lualib *lib) {
  return strchr(strchr(lib->name, '.') + 1, '.') != NULL;
}

LUAMP_API int luaopen_luamp(lua_State *L) {
  luaL_checkversion(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) == LUA_TNIL) {
    lua_pop(L, 1);
    state_new(L);
  }
  int st = lua_gettop(L);
  lua_newtable(L);
  lua_pushliteral(L, LUAMP_VERSION);
  lua_setfield(L, -2, "_VERSION");
  lua_getiuservalue(L, st, L_UV_CODEC);
  lua_insert(L, -2);
  l_message_funcs(L, lua_gettop(L) - 1);
  lua_remove(L, -2);
  l_queue_funcs(L, st);
  l_dict_funcs(L, st);
  l_list_funcs(L, st);
  l_semaphore_funcs(L, st);
  l_event_funcs(L, st);
  l_barrier_funcs(L, st);
  l_lock_funcs(L, st);
  l_array_funcs(L, st);
  l_shared_funcs(L, st);
  l_pipe_funcs(L, st);
  l_misc_funcs(L, st);
  l_wait_funcs(L, st);
  int module = lua_gettop(L);
  l_process_core(L, st);
  l_pool_core(L, st);
  lua_pushvalue(L, module);
  lua_pushvalue(L, module + 1);
  lua_pushcclosure(L, core_load, 2);
  lua_setfield(L, module + 1, "load");
  for (const struct l_lualib *lib = l_lualib; lib->name; lib++) {
    if (!is_part(lib)) run_lualib(L, lib, module, module + 1);
  }
  lua_settop(L, module);
  return 1;
}

bool l_main_end(lua_State *L, bool interrupted) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  l_state *st = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return st && st->f && lmp_family_end(st->f, interrupted) == LMP_E_INTR;
}
