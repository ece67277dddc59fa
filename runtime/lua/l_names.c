/* lua/l_names.c: which functions and tables the require'd modules hold, and under what name.
 * SPDX-License-Identifier: MIT
 *
 * Design
 * The index maps the address of a function or table to a path: the module's key in package.loaded and
 * up to L_PATH_MAX fields. It is built breadth first, the standard modules first, so that a value gets
 * its shortest and most common name. It is rebuilt when package.loaded has changed: one raw pass over
 * that table per message compares a digest of its values.
 * I1  The addresses are hints: what they stood for may be gone and the address be another's. A hit
 *     counts only if the path leads to the value now.
 * I2  Of the standard modules only C functions count (and the tables of `package`): what a script put
 *     into `string` is the script's own, for a fresh process does not have it.
 * I3  Base functions are those a fresh state has: known by the address of their code, wherever the
 *     script keeps them. They have no path to check. */
#include "lua/l_message_priv.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "codec/idmap.h"

#define NAMES_MAX 100000 /* entries; modules with more data than this travel in part by value */
#define NO_PARENT UINT32_MAX

static const char *const base_names[] = {
    "assert",       "collectgarbage", "dofile",   "error",  "getmetatable", "ipairs",
    "load",         "loadfile",       "next",     "pairs",  "pcall",        "print",
    "rawequal",     "rawget",         "rawlen",   "rawset", "require",      "select",
    "setmetatable", "tonumber",       "tostring", "type",   "warn",         "xpcall"};
static_assert(LMP_COUNT(base_names) <= L_BASE_MAX, "l_codec.base has room");

static const char *const standard_modules[] = {"string", "table", "math",      "io",     "os",
                                               "utf8",   "debug", "coroutine", "package"};

const char *l_names_text(const l_codec *c, const l_name *e) {
  return (const char *)c->names.text.data + e->off;
}

/* ---- the base functions ---- */

/* In a state of its own: (ud: l_codec) fills c->base. */
static int base_find(lua_State *L) {
  l_codec *c = lua_touserdata(L, 1);
  luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
  luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
  for (size_t i = 0; i < LMP_COUNT(base_names); i++) {
    lua_getglobal(L, base_names[i]);
    c->base[i] = lua_tocfunction(L, -1);
    lua_pop(L, 1);
  }
  return 0;
}

void l_names_init(lua_State *L, l_codec *c) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  lua_State *fresh = lua_newstate(alloc, ud);
  bool ok = false;
  if (fresh) {
    lua_pushcfunction(fresh, base_find);
    lua_pushlightuserdata(fresh, c);
    ok = lua_pcall(fresh, 1, 0, 0) == LUA_OK;
    lua_close(fresh);
  }
  if (!ok) l_nomem(L);
}

void l_names_fini(l_codec *c) {
  l_names *n = &c->names;
  lmp_idmap_fini(&n->map);
  lmp_buf_fini(&n->text);
  free(n->entries);
  *n = (l_names){0};
}

/* The number of the base function at `idx`, or -1. */
static int base_index(lua_State *L, const l_codec *c, int idx) {
  lua_CFunction f = lua_tocfunction(L, idx);
  for (size_t i = 0; f && i < LMP_COUNT(base_names); i++) {
    if (c->base[i] == f) return (int)i;
  }
  return -1;
}

bool l_names_push_base(lua_State *L, l_codec *c, const char *name, size_t len) {
  for (size_t i = 0; i < LMP_COUNT(base_names); i++) {
    if (strlen(base_names[i]) != len || memcmp(base_names[i], name, len) != 0) continue;
    l_push_globals(L); /* the receiver's own first: `require` is a closure */
    lua_pushstring(L, base_names[i]);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (base_index(L, c, -1) == (int)i) return true;
    lua_pop(L, 1);
    if (!c->base[i] || strcmp(base_names[i], "require") == 0) return false;
    lua_pushcfunction(L, c->base[i]);
    return true;
  }
  return false;
}

/* ---- building ---- */

static bool is_standard(const char *name) {
  for (size_t i = 0; i < LMP_COUNT(standard_modules); i++) {
    if (strcmp(standard_modules[i], name) == 0) return true;
  }
  return false;
}

static l_name *entry_add(lua_State *L, l_names *n, const void *key, const char *name, size_t len) {
  if (n->n == n->cap) {
    uint32_t cap = n->cap ? n->cap * 2 : 256;
    l_name *p = realloc(n->entries, cap * sizeof *p);
    if (!p) l_nomem(L);
    n->entries = p;
    n->cap = cap;
  }
  lmp_id *id = lmp_idmap_add(&n->map, (uintptr_t)key, 0);
  if (!id || !lmp_buf_reserve(&n->text, len + 1)) l_nomem(L);
  id->pos = n->n;
  l_name *e = &n->entries[n->n++];
  *e = (l_name){.parent = NO_PARENT, .len = (uint32_t)len, .off = n->text.len};
  memcpy(n->text.data + n->text.len, name, len);
  n->text.data[n->text.len + len] = 0;
  n->text.len += len + 1;
  return e;
}

/* Enters the value at the top, found under the string below it in `parent`. */
static void value_add(lua_State *L, l_codec *c, uint32_t parent, const void *skip) {
  l_names *n = &c->names;
  size_t len;
  int type = lua_type(L, -1);
  const void *key = lua_topointer(L, -1);
  if (type != LUA_TTABLE && type != LUA_TFUNCTION) return;
  if (lua_type(L, -2) != LUA_TSTRING || key == skip || n->n >= NAMES_MAX) return;
  if (lmp_idmap_find(&n->map, (uintptr_t)key, 0)) return;
  const char *name = lua_tolstring(L, -2, &len);
  if (len > UINT16_MAX) return;
  if (parent != NO_PARENT && n->entries[parent].parent == NO_PARENT &&
      is_standard(l_names_text(c, &n->entries[parent])) && !lua_iscfunction(L, -1) &&
      strcmp(l_names_text(c, &n->entries[parent]), LUA_LOADLIBNAME) != 0) {
    return; /* I2 */
  }
  l_name *e = entry_add(L, n, key, name, len);
  e->parent = parent;
  e->table = type == LUA_TTABLE;
  if (parent == NO_PARENT) {
    e->own = strncmp(name, "luamp", 5) == 0 && (name[5] == 0 || name[5] == '.');
  } else {
    e->own = n->entries[parent].own;
    e->depth = (uint8_t)(n->entries[parent].depth + 1);
    if (strcmp(l_names_text(c, &n->entries[parent]), LUA_LOADLIBNAME) == 0) e->table = false;
  }
}

/* Pushes what the path of entry `at` leads to now; nil when it leads nowhere. */
static void entry_push(lua_State *L, l_codec *c, uint32_t at) {
  uint32_t way[L_PATH_MAX + 1] = {0};
  unsigned n = 0;
  for (uint32_t i = at; i != NO_PARENT; i = c->names.entries[i].parent) way[n++] = i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->loaded);
  while (n-- > 0) {
    const l_name *e = &c->names.entries[way[n]];
    if (!lua_istable(L, -1)) {
      lua_pop(L, 1);
      lua_pushnil(L);
      return;
    }
    lua_pushlstring(L, l_names_text(c, e), e->len);
    lua_rawget(L, -2);
    lua_remove(L, -2);
  }
}

/* Enters the modules themselves; first the standard ones, then the others. */
static void modules_add(lua_State *L, l_codec *c, const void *skip) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->loaded);
  for (size_t i = 0; i < LMP_COUNT(standard_modules); i++) {
    lua_pushstring(L, standard_modules[i]);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    value_add(L, c, NO_PARENT, skip);
    lua_pop(L, 2);
  }
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    value_add(L, c, NO_PARENT, skip);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void names_build(lua_State *L, l_codec *c) {
  l_names *n = &c->names;
  luaL_checkstack(L, 10, NULL);
  lmp_idmap_reset(&n->map);
  n->n = 0;
  n->text.len = 0;
  n->generation++;
  l_push_globals(L);
  const void *globals = n->globals = lua_topointer(L, -1);
  lua_pop(L, 1);
  for (size_t i = 0; i < LMP_COUNT(base_names); i++) {
    if (!c->base[i]) continue;
    l_name *e =
        entry_add(L, n, (const void *)(uintptr_t)c->base[i], base_names[i], strlen(base_names[i]));
    e->base = true;
  }
  uint32_t first = n->n, generation = n->generation;
  modules_add(L, c, globals);
  for (uint32_t i = first; i < n->n && n->generation == generation; i++) {
    if (!n->entries[i].table || n->entries[i].depth >= L_PATH_MAX) continue;
    entry_push(L, c, i);
    if (lua_istable(L, -1)) {
      lua_pushnil(L);
      while (n->generation == generation && lua_next(L, -2)) {
        value_add(L, c, i, globals);
        lua_pop(L, 1);
      }
    }
    lua_pop(L, 1);
  }
}

void l_names_refresh(lua_State *L, l_codec *c) {
  uint64_t digest = 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->loaded);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    digest = (digest ^ (uintptr_t)lua_topointer(L, -1)) * UINT64_C(0x9E3779B97F4A7C15);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  if (LMP_LIKELY(digest == c->names.loaded)) return;
  c->names.loaded = 0; /* for the case that the build raises */
  names_build(L, c);
  c->names.loaded = digest;
}

/* ---- asking ---- */

const l_name *l_names_find(lua_State *L, l_codec *c, int idx) {
  l_names *n = &c->names;
  const void *key = lua_topointer(L, idx);
  lmp_id *id = lmp_idmap_find(&n->map, (uintptr_t)key, 0);
  if (LMP_LIKELY(!id)) {
    int base = lua_iscfunction(L, idx) ? base_index(L, c, idx) : -1;
    if (base < 0 || strcmp(base_names[base], "require") != 0) return NULL;
    id = lmp_idmap_find(&n->map, (uintptr_t)c->base[base], 0); /* a closure: its code counts */
    return id ? &n->entries[id->pos] : NULL;
  }
  uint32_t at = (uint32_t)id->pos, generation = n->generation;
  if (n->entries[at].base) return lua_iscfunction(L, idx) ? &n->entries[at] : NULL;
  luaL_checkstack(L, 4, NULL);
  idx = lua_absindex(L, idx);
  entry_push(L, c, at);
  bool same = lua_topointer(L, -1) == key && lua_type(L, -1) == lua_type(L, idx);
  lua_pop(L, 1);
  /* A finaliser that ran in there may have rebuilt the index. */
  if (n->generation != generation) return l_names_find(L, c, idx);
  return same ? &n->entries[at] : NULL;
}

bool l_names_standard(lua_State *L, l_codec *c, const char *name, int idx) {
  int base = base_index(L, c, idx);
  if (base >= 0) return strcmp(base_names[base], name) == 0;
  if (strcmp(name, "_VERSION") == 0) return lua_type(L, idx) == LUA_TSTRING;
  if (!lua_istable(L, idx)) return false;
  l_push_globals(L);
  bool same = lua_rawequal(L, -1, idx);
  lua_pop(L, 1);
  if (same) return strcmp(name, LUA_GNAME) == 0;
  if (!is_standard(name)) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->loaded);
  lua_pushstring(L, name);
  lua_rawget(L, -2);
  same = lua_rawequal(L, -1, idx);
  lua_pop(L, 2);
  return same;
}
