/* lua/l_walk.c: the graph of what a value reaches: a path for an error message, handles for a fork.
 * SPDX-License-Identifier: MIT
 *
 * A walk is breadth first over Lua tables on the stack: `list` of the values found, `seen`, and for
 * paths, per value, where it was found: `parent` (a number in the list), `kind`, `label`. */
#include <stdlib.h>
#include <string.h>

#include "codec/bytecode.h"
#include "lua/l_handle.h"
#include "lua/l_message_priv.h"

enum { AS_ROOT, AS_FIELD, AS_KEY, AS_META, AS_UPVALUE, AS_GLOBAL };

typedef struct walk {
  lua_State *L;
  l_codec *c;
  int list, seen;          /* stack slots */
  int parent, kind, label; /* of a path; else 0 */
  int target;              /* of a path: what is looked for; else 0 */
  int out;                 /* of a reach: where handles go; else 0 */
  size_t nout, limit;
  lua_Integer n;
  bool done;
} walk;

/* ---- finding ---- */

/* What a walk does not look into. */
static bool is_leaf(walk *w, int idx) {
  lua_State *L = w->L;
  const l_name *name;
  lmp_handle h;
  l_push_globals(L);
  bool same = lua_rawequal(L, -1, idx);
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->c->loaded);
  same = same || lua_rawequal(L, -1, idx);
  lua_pop(L, 2);
  if (same) return true;
  name = l_names_find(L, w->c, idx);
  if (w->out) return name && (name->own || name->base);
  if (name || l_handle_is(L, idx, &h)) return true;
  return lmp_idmap_find(&w->c->types, (uintptr_t)lua_topointer(L, idx), ID_META) != NULL;
}

/* Adds the handle at the top to what a reach found; true if it is one. */
static bool reach_handle(walk *w) {
  lua_State *L = w->L;
  lmp_handle h;
  int type = lua_type(L, -1);
  if (type != LUA_TUSERDATA && type != LUA_TTABLE) return false;
  if (!l_handle_is(L, -1, &h)) return false;
  if (w->nout < w->limit && (h.obj || h.gen)) {
    w->nout++;
    lua_pushvalue(L, -1);
    lua_rawseti(L, w->out, (lua_Integer)lua_rawlen(L, w->out) + 1);
  }
  w->done = w->nout >= w->limit;
  return true;
}

/* Takes the value at the top off the stack and into the list; `label` is a stack index or 0. */
static void visit(walk *w, lua_Integer parent, int kind, int label) {
  lua_State *L = w->L;
  int value = lua_gettop(L), type = lua_type(L, value);
  bool walks = type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TTHREAD;
  bool hit = w->target && lua_rawequal(L, value, w->target);
  if (!walks && !hit && !(w->out && type == LUA_TUSERDATA)) return lua_settop(L, value - 1);
  lua_pushvalue(L, value);
  if (lua_rawget(L, w->seen) != LUA_TNIL || w->done) return lua_settop(L, value - 1);
  lua_pop(L, 1);
  lua_pushvalue(L, value);
  lua_pushboolean(L, true);
  lua_rawset(L, w->seen);
  if (w->out && reach_handle(w)) return lua_settop(L, value - 1);
  lua_rawseti(L, w->list, ++w->n);
  if (!w->target) return;
  lua_pushinteger(L, parent);
  lua_rawseti(L, w->parent, w->n);
  lua_pushinteger(L, kind);
  lua_rawseti(L, w->kind, w->n);
  if (label)
    lua_pushvalue(L, label);
  else
    lua_pushboolean(L, false);
  lua_rawseti(L, w->label, w->n);
  w->done = hit;
}

static void walk_table(walk *w, lua_Integer i, int t) {
  lua_State *L = w->L;
  if (lua_getmetatable(L, t)) visit(w, i, AS_META, 0);
  lua_pushnil(L);
  while (!w->done && lua_next(L, t)) {
    int key = lua_gettop(L) - 1;
    visit(w, i, AS_FIELD, key);
    lua_pushvalue(L, key);
    visit(w, i, AS_KEY, 0);
  }
}

static void walk_function(walk *w, lua_Integer i, int f) {
  lua_State *L = w->L;
  const char *name;
  int n = 1;
  for (; !w->done && (name = lua_getupvalue(L, f, n)) != NULL; n++) {
    int value = lua_gettop(L);
    if (strcmp(name, "_ENV") != 0 || l_function_env(L, name) != ENV_VIEW) {
      lua_pushstring(L, name);
      lua_insert(L, value);
      visit(w, i, AS_UPVALUE, value);
    }
    lua_settop(L, value - 1);
  }
  if (n == 1 || lua_iscfunction(L, f)) return; /* globals are found through an upvalue */
  size_t names = l_function_names(L, w->c, f);
  for (size_t g = 0; g < names && !w->done; g++) {
    int top = lua_gettop(L);
    l_function_name(L, g);
    l_push_globals(L);
    lua_pushvalue(L, top + 1);
    lua_rawget(L, top + 2);
    if (!l_names_standard(L, w->c, lua_tostring(L, top + 1), top + 3)) {
      visit(w, i, AS_GLOBAL, top + 1);
    }
    lua_settop(L, top);
  }
}

/* The functions and locals of a coroutine's frames, and what it was given and has not taken. */
static void walk_thread(walk *w, lua_Integer i, lua_State *co) {
  lua_State *L = w->L;
  lua_Debug ar;
  if (co == L || !lua_checkstack(co, 4)) return;
  for (int n = 1; n <= lua_gettop(co); n++) {
    lua_pushvalue(co, n);
    lua_xmove(co, L, 1);
    visit(w, i, AS_FIELD, 0);
  }
  for (int level = 0; !w->done && lua_getstack(co, level, &ar); level++) {
    lua_getinfo(co, "f", &ar);
    lua_xmove(co, L, 1);
    visit(w, i, AS_FIELD, 0);
    for (int n = 1; lua_getlocal(co, &ar, n); n++) {
      lua_xmove(co, L, 1);
      visit(w, i, AS_FIELD, 0);
    }
    for (int n = -1; lua_getlocal(co, &ar, n); n--) {
      lua_xmove(co, L, 1);
      visit(w, i, AS_FIELD, 0);
    }
  }
}

/* Looks into the values of the list, which grows meanwhile, until there are no more. */
static void walk_run(walk *w) {
  lua_State *L = w->L;
  int top = lua_gettop(L);
  luaL_checkstack(L, 24, NULL);
  for (lua_Integer i = 1; i <= w->n && !w->done; i++) {
    int type = lua_rawgeti(L, w->list, i);
    if (type == LUA_TTHREAD) {
      if (w->out) walk_thread(w, i, lua_tothread(L, top + 1));
    } else if (type != LUA_TUSERDATA && !is_leaf(w, top + 1)) {
      if (type == LUA_TTABLE)
        walk_table(w, i, top + 1);
      else if (type == LUA_TFUNCTION)
        walk_function(w, i, top + 1);
    }
    lua_settop(L, top);
  }
}

/* ---- paths ---- */

#define PATH_ENDS ((lua_Integer)12) /* steps shown at either end of a long path */
#define PATH_NAME 60                /* bytes shown of a string key */

static bool is_identifier(const char *s, size_t n) {
  static const char *const words[] = {"and",   "break", "do",       "else", "elseif", "end",
                                      "false", "for",   "function", "goto", "if",     "in",
                                      "local", "nil",   "not",      "or",   "repeat", "return",
                                      "then",  "true",  "until",    "while"};
  if (n == 0 || (s[0] >= '0' && s[0] <= '9')) return false;
  for (size_t i = 0; i < n; i++) {
    char ch = s[i];
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
    if (!letter && !(ch >= '0' && ch <= '9')) return false;
  }
  for (size_t i = 0; i < LMP_COUNT(words); i++) {
    if (strlen(words[i]) == n && memcmp(words[i], s, n) == 0) return false;
  }
  return true;
}

/* Pushes a key that is a string as Lua source has it. */
static void push_string_key(lua_State *L, const char *s, size_t n) {
  static const char hex[] = "0123456789abcdef";
  char text[PATH_NAME * 4 + 1];
  size_t len = 0, shown = n < PATH_NAME ? n : PATH_NAME;
  if (n <= PATH_NAME && is_identifier(s, n)) {
    lua_pushfstring(L, ".%s", s);
    return;
  }
  for (size_t i = 0; i < shown; i++) {
    unsigned char ch = (unsigned char)s[i];
    if (ch == '"' || ch == '\\') text[len++] = '\\';
    if (ch >= 32 && ch != 127) {
      text[len++] = (char)ch;
      continue;
    }
    text[len++] = '\\';
    text[len++] = 'x';
    text[len++] = hex[ch >> 4];
    text[len++] = hex[ch & 15];
  }
  text[len] = 0;
  lua_pushfstring(L, "[\"%s\"%s]", text, shown < n ? "..." : "");
}

/* Pushes one step of a path as text; the label is at the top and stays. */
static void push_step(lua_State *L, lua_Integer kind) {
  size_t n;
  const char *s;
  if (kind == AS_META) {
    lua_pushstring(L, " (metatable)");
  } else if (kind == AS_KEY) {
    lua_pushstring(L, " (a key)");
  } else if (kind == AS_UPVALUE || kind == AS_GLOBAL) {
    lua_pushfstring(L, kind == AS_GLOBAL ? " (global '%s')" : " (upvalue '%s')",
                    lua_tostring(L, -1));
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    s = lua_tolstring(L, -1, &n);
    push_string_key(L, s, n);
  } else if (lua_type(L, -1) == LUA_TNUMBER) {
    lua_pushvalue(L, -1); /* tostring on a copy: the number stays a number */
    lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
    lua_remove(L, -2);
  } else if (lua_isboolean(L, -1)) {
    lua_pushstring(L, lua_toboolean(L, -1) ? "[true]" : "[false]");
  } else {
    lua_pushfstring(L, "[%s]", luaL_typename(L, -1));
  }
}

/* Pushes the text of the way to the last value of the list. */
static void path_text(walk *w, const char *root) {
  lua_State *L = w->L;
  lua_Integer steps = 0, i;
  lua_newtable(L); /* the numbers of the values on the way, last first */
  int way = lua_gettop(L);
  for (i = w->n; i > 1; steps++) {
    lua_pushinteger(L, i);
    lua_rawseti(L, way, steps + 1);
    lua_rawgeti(L, w->parent, i);
    i = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pushstring(L, root);
  for (lua_Integer s = steps; s > 0; s--) {
    if (steps > 2 * PATH_ENDS && s == steps - PATH_ENDS) {
      lua_pushfstring(L, " ... (%I more steps) ... ", (LUAI_UACINT)(steps - 2 * PATH_ENDS));
      lua_concat(L, 2);
      s = PATH_ENDS;
    }
    lua_rawgeti(L, way, s);
    i = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_rawgeti(L, w->kind, i);
    lua_Integer kind = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_rawgeti(L, w->label, i);
    push_step(L, kind);
    lua_remove(L, -2);
    lua_concat(L, 2);
  }
}

void l_path(lua_State *L, l_codec *c, const char *root, int from, int to) {
  walk w = {.L = L, .c = c, .target = lua_absindex(L, to)};
  int top = lua_gettop(L);
  luaL_checkstack(L, 24, NULL);
  from = lua_absindex(L, from);
  for (int i = 0; i < 5; i++) lua_newtable(L);
  w.list = top + 1;
  w.seen = top + 2;
  w.parent = top + 3;
  w.kind = top + 4;
  w.label = top + 5;
  lua_pushvalue(L, from);
  visit(&w, 0, AS_ROOT, 0);
  walk_run(&w);
  if (w.done)
    path_text(&w, root);
  else
    lua_pushstring(L, root); /* a finaliser changed the data since */
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* ---- handles ---- */

void l_reach(lua_State *L, l_codec *c, int n, int out, size_t limit) {
  walk w = {.L = L, .c = c, .out = lua_absindex(L, out), .limit = limit};
  int top = lua_gettop(L);
  luaL_checkstack(L, 24, NULL);
  l_names_refresh(L, c);
  lua_newtable(L);
  lua_newtable(L);
  w.list = top + 1;
  w.seen = top + 2;
  w.done = limit == 0;
  for (int i = top - n + 1; i <= top; i++) {
    lua_pushvalue(L, i);
    visit(&w, 0, AS_ROOT, 0);
  }
  walk_run(&w);
  lua_settop(L, top);
}
