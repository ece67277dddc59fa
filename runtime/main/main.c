/* main/main.c: the luamp executable: a Lua interpreter with luamp built in.
 * SPDX-License-Identifier: MIT
 *
 * Behaves as lua5.4 does for everything that lua5.4 has. What is added costs a start nothing:
 * `require "luamp"` finds the module in package.preload, which loads it at first use. */

#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <luamp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/l_main.h"
#include "main/call.h"
#include "main/options.h"
#include "main/repl.h"

#define STATUS_INTERRUPTED 130 /* 128 + SIGINT, what a shell says of a program killed by it */

typedef struct program {
  int argc;
  char **argv;
  options options;
  bool ok;
} program;

/* arg_create: the global `arg`: the script at 0, its arguments above, what came before below. */
static void arg_create(lua_State *L, const program *p) {
  int script = p->options.script < p->argc ? p->options.script : 0;
  int above = p->argc - script - 1;
  lua_createtable(L, above > 0 ? above : 0, script + 1);
  for (int i = 0; i < p->argc; i++) {
    lua_pushstring(L, p->argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

/* arg_push: pushes the elements of `arg` from 1 on, as the script has them now. */
static int arg_push(lua_State *L) {
  if (lua_getglobal(L, "arg") != LUA_TTABLE) luaL_error(L, "'arg' is not a table");
  lua_Integer n = luaL_len(L, -1);
  int table = lua_gettop(L);
  if (n > INT_MAX - 3) n = INT_MAX - 3;
  luaL_checkstack(L, (int)n + 3, "too many arguments to script");
  for (lua_Integer i = 1; i <= n; i++) lua_rawgeti(L, table, i);
  lua_remove(L, table);
  return (int)n;
}

/* chunk_run: runs the chunk that was loaded with `status`, or reports why it was not. */
static bool chunk_run(lua_State *L, int status) {
  if (status == LUA_OK) status = call_run(L, 0, 0);
  return call_report(L, status) == LUA_OK;
}

static bool string_run(lua_State *L, const char *code, const char *chunkname) {
  return chunk_run(L, luaL_loadbuffer(L, code, strlen(code), chunkname));
}

/* init_run: the code, or "@file", in LUA_INIT_5_4 or else in LUA_INIT. */
static bool init_run(lua_State *L) {
  const char *chunkname = "=LUA_INIT_5_4";
  const char *init = getenv(chunkname + 1);
  if (init == NULL) {
    chunkname = "=LUA_INIT";
    init = getenv(chunkname + 1);
  }
  if (init == NULL) return true;
  if (init[0] == '@') return chunk_run(L, luaL_loadfile(L, init + 1));
  return string_run(L, init, chunkname);
}

/* library_run: -l: `global = require(module)` for "module" and "global=module". */
static bool library_run(lua_State *L, const char *word) {
  const char *equals = strchr(word, '=');
  const char *global = lua_pushlstring(L, word, strcspn(word, "="));
  lua_getglobal(L, "require");
  lua_pushstring(L, equals ? equals + 1 : word);
  bool ok = call_report(L, call_run(L, 1, 1)) == LUA_OK;
  if (ok) lua_setglobal(L, global);
  lua_pop(L, 1);
  return ok;
}

/* words_run: -e, -l and -W in the order of the command line; the first error ends it. */
static bool words_run(lua_State *L, const program *p) {
  for (int i = 1; i < p->options.script; i++) {
    const char *word = p->argv[i];
    if (word[1] == 'W') lua_warning(L, "@on", 0);
    if (word[1] != 'e' && word[1] != 'l') continue;
    const char *text = word[2] != '\0' ? word + 2 : p->argv[++i];
    bool ok = word[1] == 'e' ? string_run(L, text, "=(command line)") : library_run(L, text);
    if (!ok) return false;
  }
  return true;
}

/* script_run: the script; "-" is standard input unless it follows "--". */
static bool script_run(lua_State *L, const program *p) {
  const char *name = p->argv[p->options.script];
  if (strcmp(name, "-") == 0 && strcmp(p->argv[p->options.script - 1], "--") != 0) name = NULL;
  int status = luaL_loadfile(L, name);
  if (status == LUA_OK) status = call_run(L, arg_push(L), LUA_MULTRET);
  return call_report(L, status) == LUA_OK;
}

/* setting_apply: the function on top, called with the value below it; raises with the option's
 * name before what the module says. */
static void setting_apply(lua_State *L, const char *option, const char *value) {
  lua_insert(L, -2);
  int top = lua_gettop(L) - 2;
  bool ok = lua_pcall(L, 1, 2, 0) == LUA_OK;
  if (ok && (lua_toboolean(L, top + 1) || lua_isnil(L, top + 2))) {
    lua_settop(L, top);
    return;
  }
  const char *text = luaL_tolstring(L, ok ? top + 2 : top + 1, NULL);
  luaL_error(L, "%s=%s: %s", option, value, text);
}

/* settings_apply: --memory and --start-method, before any code of the user runs. */
static void settings_apply(lua_State *L, const options *o) {
  if (o->memory == NULL && o->start_method == NULL) return;
  luaL_requiref(L, "luamp", luaopen_luamp, 0);
  if (o->memory) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, o->memory);
    lua_setfield(L, -2, "memory");
    lua_getfield(L, -2, "configure");
    setting_apply(L, "--memory", o->memory);
  }
  if (o->start_method) {
    lua_pushstring(L, o->start_method);
    lua_getfield(L, -2, "set_start_method");
    setting_apply(L, "--start-method", o->start_method);
  }
  lua_pop(L, 1);
}

/* libraries_open: the standard libraries, and luamp where `require` finds it. */
static void libraries_open(lua_State *L, const options *o) {
  if (o->no_environment) {
    lua_pushboolean(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV"); /* read by the package library */
  }
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_luamp);
  lua_setfield(L, -2, "luamp");
  lua_pop(L, 1);
}

/* program_run: everything between the creation of the state and its end. Raises what happens
 * outside of a chunk. Calls chunks itself: their tracebacks end with one "[C]: in ?". */
static int program_run(lua_State *L) {
  program *p = lua_touserdata(L, 1);
  const options *o = &p->options;
  luaL_checkversion(L);
  if (o->banner) options_banner();
  libraries_open(L, o);
  arg_create(L, p);
  lua_gc(L, LUA_GCGEN, 0, 0);
  settings_apply(L, o);
  if (!o->no_environment && !init_run(L)) return 0;
  if (!words_run(L, p)) return 0;
  bool has_script = o->script < p->argc;
  if (has_script && !script_run(L, p)) return 0;
  if (o->interactive) {
    repl_run(L);
  } else if (!has_script && !o->has_code && !o->banner) {
    if (isatty(STDIN_FILENO)) {
      options_banner();
      repl_run(L);
    } else {
      chunk_run(L, luaL_loadfile(L, NULL)); /* lua5.4, too, ends well after an error here */
    }
  }
  p->ok = true;
  return 0;
}

static int interpret(program *p) {
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    call_message("cannot create state: not enough memory");
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, program_run);
  lua_pushlightuserdata(L, p);
  int status = call_report(L, lua_pcall(L, 1, 0, 0));
  call_end(L);
  lua_close(L);
  if (call_was_interrupted()) return STATUS_INTERRUPTED;
  return status == LUA_OK && p->ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
  program p = {.argc = argc, .argv = argv};
  const char *progname = argc > 0 && argv[0][0] != '\0' ? argv[0] : "luamp";
  call_program(progname);
  options_parse(&p.options, argc, argv);
  switch (p.options.action) {
    case OPTIONS_BAD:
      options_usage(progname, argv[p.options.culprit]);
      return EXIT_FAILURE;
    case OPTIONS_ABSENT:
      fprintf(stderr, "%s: '%s' is not available in this version\n", progname,
              argv[p.options.culprit]);
      return EXIT_FAILURE;
    case OPTIONS_VERSION:
      options_version();
      return EXIT_SUCCESS;
    case OPTIONS_HELP:
      options_help(progname);
      return EXIT_SUCCESS;
    case OPTIONS_RUN:
      break;
  }
  return interpret(&p);
}
