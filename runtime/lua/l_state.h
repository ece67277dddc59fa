/* lua/l_state.h: what the bindings know of a Lua state, and helpers of all binding files.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_STATE_H
#define LMP_LUA_L_STATE_H

#include <lauxlib.h>
#include <lua.h>

#include "channel/queue.h"
#include "lua/l_message.h"
#include "process/process.h"
#include "process/wait.h"

/* What the handler of the process's end knows; it outlives the Lua state. */
typedef struct l_exit {
  lmp_at_exit hook;
  lmp_family *f;
} l_exit;

/* One for each main Lua state in which the module was opened: a userdata in the registry. */
typedef struct l_state {
  lmp_family *f;           /* NULL until the first object */
  uint64_t memory;         /* limit for the family to be made; 0: the default */
  const char *memory_from; /* who set it */
  l_codec *codec;
  lmp_inbox inbox;
  size_t nhandles;    /* open handle userdata of this state */
  lmp_wanteds wanted; /* of mp.wait */
  bool inbox_used;    /* by an outer call: a message's module is being required */
  l_exit *at_exit;    /* NULL until the handler is registered */
  uint64_t hooked;    /* epoch of the family in which the handler was registered */
  lua_State *main;    /* the main thread */
  lua_Hook tame;      /* a hook of it that had its chance and did nothing: a debugger's, say */
} l_state;

/* A handle: userdata with one of the metatables of l_state_metatable. */
#define L_HANDLE_MAGIC UINT64_C(0x6c75616d70206f62)
typedef struct l_obj {
  uint64_t magic;
  l_state *st;
  lmp_obj *o;     /* the object, while open and epoch is the family's */
  uint64_t epoch; /* of the family, when the handle was last taken hold of */
  lmp_handle h;
  uint32_t kind;
  bool open;
} l_obj;

/* What handles of a kind have beyond an l_obj; a function may be NULL. */
typedef struct l_kind {
  size_t size; /* of the userdata, which begins with its l_obj; the rest is zeros */
  int values;  /* user values */
  /* The handle, at the top of the stack, has just got its object; may raise. */
  void (*opened)(lua_State *L, l_obj *u);
  /* It is at its end; raises nothing. */
  void (*ended)(l_obj *u);
} l_kind;
extern const l_kind l_array_kind, l_shared_kind, l_conn_kind;

/* Registry slots: user values of the state's userdata. */
enum {
  L_UV_CODEC = 1, /* the codec's userdata */
  L_UV_HANDLES,   /* object index -> handle value; weak values */
  L_UV_METAS,     /* kind -> metatable */
  L_UV_WRAP,      /* function: Process userdata -> instance */
  L_UV_NOP,       /* a function that does nothing */
  L_UV_CHILD,     /* a coroutine for the next child to run in */
  L_UV_WAIT,      /* function: mp.wait for lists with objects of lualib */
  L_UV_COUNT = L_UV_WAIT
};

/* l_state_get: the state's l_state; raises when the module was not opened. l_state_uv pushes one of its
 * user values. */
l_state *l_state_get(lua_State *L);
void l_state_uv(lua_State *L, int which);

/* l_family: the family, made at the first call. Raises. */
lmp_family *l_family(lua_State *L, l_state *st);
/* l_me: the thread's place in it. Raises. */
lmp_me *l_me(lua_State *L, l_state *st);

/* l_check: the open handle of `kind` at `arg`, taken hold of anew after a fork; *me is the thread's
 * place. Raises: another type, closed, gone. */
l_obj *l_check(lua_State *L, int arg, uint32_t kind, lmp_me **me);
/* l_test: the handle userdata of any kind at idx, or NULL. */
l_obj *l_test(lua_State *L, int idx);
/* l_adopt: pushes a handle for `h`, one reference of which belongs to the caller and goes to the handle;
 * on a raise the reference is given back. */
void l_adopt(lua_State *L, l_state *st, lmp_handle h);
/* l_prepare: pushes a closed handle, to be opened with l_open: own before you acquire. */
l_obj *l_prepare(lua_State *L, l_state *st, uint32_t kind);
void l_open(lua_State *L, l_obj *u, lmp_handle h);
/* l_open_quietly: the same, raises nothing; but the value is not yet known as the one for its object. */
void l_open_quietly(l_obj *u, lmp_handle h);
/* l_known: makes it known, the value at the top of the stack as the one for object h. Raises (memory). */
void l_known(lua_State *L, lmp_handle h);
/* l_rebind: after a fork, takes over the hold that the parent gave to the child. */
void l_rebind(lua_State *L, int idx);

/* l_deadline: the timeout in seconds at `arg` as a deadline; nil and none: for ever. Raises. */
uint64_t l_deadline(lua_State *L, int arg);
/* l_result: pushes fail, code [, text]: fail is nil, or false where `boolean`; returns the count. */
int l_result(lua_State *L, bool boolean, lmp_err e, const char *text);
/* l_error_system: raises with the error's text and errno's. */
int l_raise(lua_State *L, const char *what, lmp_err e);
/* l_end_family: the normal end of the process in the family; an interruption ends its children. */
void l_end_family(lmp_family *f);
/* l_hook_exit: has the end of this process in the family happen at exit(); once in each process. Raises. */
void l_hook_exit(lua_State *L, l_state *st);
/* l_interrupted: a signal handler ran during a wait: gives the interpreter's hook, which may raise
 * `interrupted!`, its chance. */
void l_interrupted(lua_State *L);
/* l_hook_pending: the main thread has a hook that had no chance yet: a signal handler set it after the last
 * instruction of Lua, before a wait. */
bool l_hook_pending(const l_state *st);
/* l_options: the table at `arg`, if there is one: checks that all its keys are in `names` (ends with
 * NULL). Raises, naming function and key. Returns whether there is a table. */
bool l_options(lua_State *L, int arg, const char *const *names);
/* l_opt_name: the `name` of the option table at `arg`, *len its length; NULL when there is none. */
const char *l_opt_name(lua_State *L, int arg, size_t *len);
/* l_size: a number of bytes, or a text such as "512M". Raises. */
uint64_t l_size(lua_State *L, int idx, const char *what);
/* l_is_size: the same, raises nothing; false: it is no size. */
bool l_is_size(lua_State *L, int idx, uint64_t *size);

/* Makers of the module's parts: each adds to the module table at the top of the stack; the closures
 * have the l_state userdata, at index `st`, as their first upvalue. */
void l_queue_funcs(lua_State *L, int st);
void l_semaphore_funcs(lua_State *L, int st);
void l_event_funcs(lua_State *L, int st);
void l_barrier_funcs(lua_State *L, int st);
void l_lock_funcs(lua_State *L, int st);
void l_array_funcs(lua_State *L, int st);
void l_shared_funcs(lua_State *L, int st);
void l_pipe_funcs(lua_State *L, int st);
void l_misc_funcs(lua_State *L, int st);
void l_dict_funcs(lua_State *L, int st);
void l_list_funcs(lua_State *L, int st);
void l_wait_funcs(lua_State *L, int st);
/* l_process_core: pushes the table of functions under lualib/luamp/process.lua. */
void l_process_core(lua_State *L, int st);
/* l_pool_core: adds what lualib/luamp/pool/ needs to the table at the top. */
void l_pool_core(lua_State *L, int st);
/* l_constructor: adds `f` to the table at the top under all `names`, which end with NULL. */
void l_constructor(lua_State *L, int st, lua_CFunction f, const char *const *names);
/* l_name_methods: makes the methods, in the table at the top, known by name to messages and tracebacks. */
void l_name_methods(lua_State *L, const char *kind, const luaL_Reg *methods);
/* l_metatable: makes and registers the metatable of a kind: methods, then metamethods. */
void l_metatable(lua_State *L, int st, uint32_t kind, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *meta);

#endif
