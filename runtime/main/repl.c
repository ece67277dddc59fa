/* main/repl.c: the interactive mode of the luamp executable.
 * SPDX-License-Identifier: MIT
 *
 * A first line is tried as an expression, then as the beginning of a chunk that goes on for as
 * long as the compiler stops at its end. The stack holds at most what the step in hand needs and
 * is emptied before each chunk. */

#include "main/repl.h"

#include <lauxlib.h>
#include <luamp.h>
#include <string.h>

#include "main/call.h"
#include "main/line.h"

#define CHUNKNAME "=stdin"

/* prompt_push: pushes the prompt: the global's value made a string, else the usual one. */
static const char *prompt_push(lua_State *L, const char *global, const char *usual) {
  if (lua_getglobal(L, global) == LUA_TNIL) {
    lua_pop(L, 1);
    return lua_pushstring(L, usual);
  }
  const char *prompt = luaL_tolstring(L, -1, NULL);
  lua_remove(L, -2);
  return prompt;
}

/* line_push: asks for a line and pushes it, without its newline; pushes nothing on other results. */
static line_result line_push(lua_State *L, bool first) {
  const char *prompt = first ? prompt_push(L, "_PROMPT", "> ") : prompt_push(L, "_PROMPT2", ">> ");
  const char *line = NULL;
  size_t len = 0;
  line_result r = line_read(prompt, &line, &len);
  lua_pop(L, 1);
  if (r != LINE_READ) return r;
  if (first && line[0] == '=') {
    lua_pushliteral(L, "return "); /* as Lua 5.1 had it, and lua5.4 still has */
    lua_pushlstring(L, line + 1, len - 1);
    lua_concat(L, 2);
  } else {
    lua_pushlstring(L, line, len);
  }
  return r;
}

static int text_load(lua_State *L, int index) {
  size_t len;
  const char *text = lua_tolstring(L, index, &len);
  return luaL_loadbufferx(L, text, len, CHUNKNAME, "t");
}

/* expression_load: the line at 1 as an expression: pushes the function; else nothing. */
static bool expression_load(lua_State *L) {
  const char *text = lua_pushfstring(L, "return %s;", lua_tostring(L, 1));
  bool ok = luaL_loadbuffer(L, text, strlen(text), CHUNKNAME) == LUA_OK;
  lua_remove(L, -2);
  if (!ok) lua_pop(L, 1);
  return ok;
}

/* is_incomplete: true when the message on top says that the chunk goes on. */
static bool is_incomplete(lua_State *L, int status) {
  static const char mark[] = "<eof>";
  if (status != LUA_ERRSYNTAX) return false;
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  return len >= strlen(mark) && strcmp(text + len - strlen(mark), mark) == 0;
}

/* statement_load: the line at 1, and more lines as needed, as a chunk: leaves the text at 1 and
 * above it the function or the message. *status is Lua's. False when Ctrl-C came. */
static bool statement_load(lua_State *L, int *status) {
  for (;;) {
    *status = text_load(L, 1);
    if (!is_incomplete(L, *status)) return true;
    line_result r = line_push(L, false);
    if (r == LINE_INTERRUPTED) return false;
    if (r == LINE_END) return true; /* with the message that something is missing */
    lua_remove(L, 2);
    lua_pushliteral(L, "\n");
    lua_insert(L, 2);
    lua_concat(L, 3);
  }
}

/* chunk_read: leaves the next chunk's function, or its message, as the only value on the stack. */
static line_result chunk_read(lua_State *L, int *status) {
  lua_settop(L, 0);
  line_result r = line_push(L, true);
  if (r != LINE_READ) return r;
  *status = LUA_OK;
  if (!expression_load(L) && !statement_load(L, status)) return LINE_INTERRUPTED;
  line_remember(lua_tostring(L, 1));
  lua_remove(L, 1);
  return LINE_READ;
}

/* results_print: everything on the stack, by the global print. */
static void results_print(lua_State *L) {
  int n = lua_gettop(L);
  if (n == 0) return;
  luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
  lua_getglobal(L, "print");
  lua_insert(L, 1);
  if (lua_pcall(L, n, 0, 0) == LUA_OK) return;
  call_message(lua_pushfstring(L, "error calling 'print' (%s)", lua_tostring(L, -1)));
}

/* module_offer: the global `mp`. Raw access: a strict mode's metatable must not notice. */
static void module_offer(lua_State *L) {
  lua_pushglobaltable(L);
  lua_pushliteral(L, "mp");
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushliteral(L, "mp");
    luaL_requiref(L, "luamp", luaopen_luamp, 0);
    lua_rawset(L, -4);
  }
  lua_settop(L, 0);
}

void repl_run(lua_State *L) {
  int status = LUA_OK;
  line_result r;
  module_offer(L);
  call_interactive(true);
  line_open();
  while ((r = chunk_read(L, &status)) == LINE_READ) {
    if (status == LUA_OK) status = call_run(L, 0, LUA_MULTRET);
    if (call_report(L, status) == LUA_OK) results_print(L);
  }
  line_close();
  call_interactive(false);
  lua_settop(L, 0);
  if (r == LINE_INTERRUPTED) call_interrupt();
}
