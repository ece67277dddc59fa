/* lua/l_decode.c: message bytes -> Lua value.
 * SPDX-License-Identifier: MIT
 *
 * Design
 * The bytes may be anyone's. What must not happen: a read outside them (reader.h), memory or time out of
 * proportion to their length, deep recursion, and code run that the caller did not accept.
 * I1  Recursion is bounded by LMP_NEST_MAX; bodies are filled one after the other.
 * I2  A count is believed only within the budget of format.h (I1); a table gets no key twice.
 * I3  Without L_FUNCTIONS there is no function in the value, of any origin: no bytecode, and none by
 *     name (os.exit as a field is as good as code). No module is loaded; tables come by name only from
 *     modules that are loaded already. A metatable that came by value or belongs to a module is
 *     refused when it has __gc or __close; only those of mp.register may have them.
 * I4  Globals are set when everything else has succeeded.
 * A function here that returns false has left a sentence on the top of the stack. */
#include <string.h>

#include "codec/reader.h"
#include "lua/l_handle.h"
#include "lua/l_message_priv.h"

#define PREALLOC_MAX (1 << 24) /* larger tables grow as they are filled */

typedef struct dec {
  lua_State *L;
  l_codec *c;
  lmp_reader r;
  const lmp_handle *handles;
  uint32_t nhandles;
  unsigned flags, depth;
  int refs;    /* slot: position -> object, -1 - index -> handle; nil until needed */
  int later;   /* slot: objects whose bodies are due; nil until needed */
  int globals; /* slot: name -> value; nil until needed */
  int into;    /* of l_decode_list: the table; 0: none */
  lua_Integer first, count;
  lua_Integer nlater, later_done;
} dec;

static bool dec_item(dec *d, const lmp_item *it);

#define dec_bad(d, ...) (lua_pushfstring((d)->L, __VA_ARGS__), false)

static LMP_COLD bool dec_damaged(dec *d) { return dec_bad(d, "the message is damaged"); }

static bool dec_value(dec *d) {
  lmp_item it;
  if (LMP_UNLIKELY(!lmp_get_item(&d->r, &it))) return dec_damaged(d);
  return dec_item(d, &it);
}

static void slot_need(dec *d, int slot) {
  if (!lua_isnil(d->L, slot)) return;
  lua_newtable(d->L);
  lua_replace(d->L, slot);
}

/* Notes the value at the top as the one at `position`. */
static void dec_note(dec *d, uint64_t position) {
  slot_need(d, d->refs);
  lua_pushvalue(d->L, -1);
  lua_rawseti(d->L, d->refs, (lua_Integer)position);
}

static void dec_due(dec *d) {
  slot_need(d, d->later);
  lua_pushvalue(d->L, -1);
  lua_rawseti(d->L, d->later, ++d->nlater);
}

static bool dec_ref(dec *d, uint64_t position) {
  if (position > INT64_MAX || lua_isnil(d->L, d->refs)) return dec_damaged(d);
  if (lua_rawgeti(d->L, d->refs, (lua_Integer)position) == LUA_TNIL) return dec_damaged(d);
  return true;
}

static bool dec_handle(dec *d, uint64_t index) {
  lua_State *L = d->L;
  if (index >= d->nhandles) return dec_damaged(d);
  slot_need(d, d->refs);
  if (lua_rawgeti(L, d->refs, -1 - (lua_Integer)index) != LUA_TNIL) return true;
  lua_pop(L, 1);
  l_handle_push(L, d->handles[index]);
  lua_pushvalue(L, -1);
  lua_rawseti(L, d->refs, -1 - (lua_Integer)index);
  return true;
}

/* ---- names ---- */

/* Pushes the module, loading it if that is allowed. */
static bool dec_module(dec *d, const char *name, size_t len) {
  lua_State *L = d->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, d->c->loaded);
  lua_pushlstring(L, name, len);
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  if (lua_toboolean(L, -1)) return true;
  lua_pop(L, 1);
  name = lua_tostring(L, -1);
  if (!(d->flags & L_FUNCTIONS)) return dec_bad(d, "module '%s' is not loaded here", name);
  l_push_globals(L);
  lua_pushstring(L, "require");
  lua_rawget(L, -2);
  if (!lua_isfunction(L, -1)) return dec_bad(d, "module '%s' is not loaded here", name);
  lua_pushvalue(L, -3);
  int status = lua_pcall(L, 1, 1, 0);
  if (status == LUA_OK) return true;
  if (status == LUA_ERRMEM) lua_error(L);
  const char *why = lua_tostring(L, -1);
  return dec_bad(d, "cannot load module '%s' here: %s", name, why ? why : "(error object)");
}

static bool dec_name(dec *d) {
  lua_State *L = d->L;
  const char *module, *field;
  size_t n, len;
  unsigned count;
  int top = lua_gettop(L);
  if (!lmp_get_string(&d->r, &module, &n) || !lmp_get_u8(&d->r, &count)) return dec_damaged(d);
  luaL_checkstack(L, 12, NULL);
  if (n == 2 && memcmp(module, "_G", 2) == 0) {
    if (count != 1 || !lmp_get_string(&d->r, &field, &len)) return dec_damaged(d);
    if (!(d->flags & L_FUNCTIONS)) return dec_bad(d, "functions are not accepted here");
    if (l_names_push_base(L, d->c, field, len)) return true;
    lua_pushlstring(L, field, len);
    return dec_bad(d, "there is no function '%s' here", lua_tostring(L, -1));
  }
  if (count > L_PATH_MAX) return dec_damaged(d);
  if (!dec_module(d, module, n)) return false;
  for (; count > 0; count--) {
    if (!lmp_get_string(&d->r, &field, &len)) return dec_damaged(d);
    lua_pushlstring(L, field, len);
    lua_pushvalue(L, -1);
    if (!lua_istable(L, -3))
      lua_pushnil(L);
    else
      lua_rawget(L, -3);
    lua_remove(L, -3); /* module, ..., field, value */
  }
  if (!lua_istable(L, -1) && !lua_isfunction(L, -1)) {
    field = lua_tostring(L, -2); /* the module's name when there was no field */
    lua_pushlstring(L, module, n);
    return dec_bad(d, "module '%s' holds no '%s' here", lua_tostring(L, -1), field);
  }
  if (lua_isfunction(L, -1) && !(d->flags & L_FUNCTIONS)) {
    return dec_bad(d, "functions are not accepted here");
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return true;
}

static bool dec_type(dec *d) {
  lua_State *L = d->L;
  const char *name;
  size_t n;
  if (!lmp_get_string(&d->r, &name, &n)) return dec_damaged(d);
  lua_rawgeti(L, LUA_REGISTRYINDEX, d->c->registry);
  lua_pushlstring(L, name, n);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) != LUA_TTABLE) {
    return dec_bad(d, "no metatable is registered as '%s' here", lua_tostring(L, -2));
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  return true;
}

/* ---- functions ---- */

static bool dec_upvalue_same(dec *d, int f, int i, const lmp_item *it) {
  lua_State *L = d->L;
  if (!dec_ref(d, it->n)) return false;
  if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1) || !lua_upvalueid(L, -1, (int)it->i) ||
      !lua_upvalueid(L, f, i)) {
    return dec_damaged(d);
  }
  lua_upvaluejoin(L, f, i, -1, (int)it->i);
  lua_pop(L, 1);
  return true;
}

/* Sets the upvalues of the function at the top. */
static bool dec_upvalues(dec *d) {
  lua_State *L = d->L;
  int f = lua_gettop(L);
  lmp_item it;
  unsigned n;
  if (d->depth >= LMP_NEST_MAX || !lmp_get_u8(&d->r, &n)) return dec_damaged(d);
  d->depth++;
  luaL_checkstack(L, 8, NULL);
  for (int i = 1; i <= (int)n; i++) {
    if (!lmp_get_item(&d->r, &it)) return dec_damaged(d);
    if (it.kind == LMP_K_UPVALUE_SAME) {
      if (!dec_upvalue_same(d, f, i, &it)) return false;
      continue;
    }
    if (it.kind != LMP_K_UPVALUE) return dec_damaged(d);
    if (it.flags & LMP_SHARED) dec_note(d, it.position);
    if (!dec_value(d)) return false;
    if (!lua_setupvalue(L, f, i)) return dec_damaged(d);
  }
  d->depth--;
  return true;
}

static bool dec_function(dec *d, const lmp_item *it) {
  lua_State *L = d->L;
  if (!(d->flags & L_FUNCTIONS)) return dec_bad(d, "functions are not accepted here");
  luaL_checkstack(L, 8, NULL);
  if (!l_function_load(L, it->data, (size_t)it->n)) {
    return dec_bad(d, "a function cannot be loaded here: %s", lua_tostring(L, -1));
  }
  if (it->flags & LMP_SHARED) dec_note(d, it->position);
  if (!(it->flags & LMP_FUNCTION_LATER)) return dec_upvalues(d);
  dec_due(d);
  return true;
}

/* ---- tables ---- */

static bool has_field(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  bool is = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 1);
  return is;
}

/* Gives the table at `t` the metatable that follows. */
static bool dec_meta(dec *d, int t) {
  lua_State *L = d->L;
  if (!dec_value(d)) return false;
  if (!lua_istable(L, -1)) return dec_damaged(d);
  if (!(d->flags & L_FUNCTIONS) &&
      !lmp_idmap_find(&d->c->types, (uintptr_t)lua_topointer(L, -1), ID_META) &&
      (has_field(L, "__gc") || has_field(L, "__close"))) {
    return dec_bad(d, "a metatable with __gc or __close that is not registered here");
  }
  lua_setmetatable(L, t);
  return true;
}

/* A key at the top that no table can have. */
static bool bad_key(lua_State *L, const lmp_item *it) {
  if (it->kind == LMP_K_NIL) return true;
  return it->kind == LMP_K_FLOAT && lua_tonumber(L, -1) != lua_tonumber(L, -1);
}

static bool dec_pairs(dec *d, int t) {
  lua_State *L = d->L;
  lmp_item it;
  for (;;) {
    if (LMP_UNLIKELY(!lmp_get_item(&d->r, &it))) return dec_damaged(d);
    if (it.kind == LMP_K_END) return true;
    if (!dec_item(d, &it)) return false;
    if (LMP_UNLIKELY(bad_key(L, &it))) return dec_damaged(d);
    lua_pushvalue(L, -1);
    if (LMP_UNLIKELY(lua_rawget(L, t) != LUA_TNIL)) return dec_damaged(d);
    lua_pop(L, 1);
    if (LMP_UNLIKELY(!lmp_get_item(&d->r, &it)) || it.kind == LMP_K_NIL) return dec_damaged(d);
    if (!dec_item(d, &it)) return false;
    lua_rawset(L, t);
  }
}

/* Fills the table at the top with what follows its head. */
static bool dec_content(dec *d, const lmp_item *head) {
  lua_State *L = d->L;
  lua_Integer n = (lua_Integer)head->n;
  bool pairs = head->i > 0;
  int t = lua_gettop(L);
  lmp_item it;
  if (LMP_UNLIKELY(d->depth >= LMP_NEST_MAX)) return dec_damaged(d);
  d->depth++;
  luaL_checkstack(L, 8, NULL);
  if ((head->flags & LMP_TABLE_META) && !dec_meta(d, t)) return false;
  for (lua_Integer i = 1; i <= n; i++) {
    if (LMP_UNLIKELY(!lmp_get_item(&d->r, &it))) return dec_damaged(d);
    if (it.kind == LMP_K_NIL) continue;
    if (!dec_item(d, &it)) return false;
    lua_rawseti(L, t, i);
  }
  if (pairs && !dec_pairs(d, t)) return false;
  d->depth--;
  return true;
}

static int room(uint64_t n) { return n < PREALLOC_MAX ? (int)n : PREALLOC_MAX; }

static bool dec_table(dec *d, const lmp_item *it) {
  lua_createtable(d->L, room(it->n), room((uint64_t)it->i));
  if (it->flags & LMP_SHARED) dec_note(d, it->position);
  return dec_content(d, it);
}

/* ---- values ---- */

static bool dec_string(dec *d, const lmp_item *it) {
  lua_pushlstring(d->L, it->data, (size_t)it->n);
  if (LMP_UNLIKELY(it->flags & LMP_SHARED)) dec_note(d, it->position);
  return true;
}

static bool dec_light(dec *d, const lmp_item *it) {
  if (it->n != d->c->image) return dec_bad(d, "light userdata of another process image");
  lua_pushlightuserdata(d->L, (void *)(uintptr_t)it->i);
  return true;
}

/* Pushes what `it` begins. */
static bool dec_item(dec *d, const lmp_item *it) {
  lua_State *L = d->L;
  bool ok = true;
  switch (it->kind) {
    case LMP_K_NIL:
      lua_pushnil(L);
      return true;
    case LMP_K_BOOL:
      lua_pushboolean(L, (int)it->i);
      return true;
    case LMP_K_INT:
      lua_pushinteger(L, it->i);
      return true;
    case LMP_K_FLOAT:
      lua_pushnumber(L, it->x);
      return true;
    case LMP_K_STRING:
      return dec_string(d, it);
    case LMP_K_TABLE:
      return dec_table(d, it);
    case LMP_K_TABLE_LATER:
      lua_newtable(L);
      if (it->flags & LMP_SHARED) dec_note(d, it->position);
      dec_due(d);
      return true;
    case LMP_K_FUNCTION:
      return dec_function(d, it);
    case LMP_K_REF:
      return dec_ref(d, it->n);
    case LMP_K_HANDLE:
      return dec_handle(d, it->n);
    case LMP_K_GLOBALS:
      if (!(d->flags & L_FUNCTIONS)) return dec_bad(d, "the table of globals is not accepted here");
      l_push_globals(L);
      return true;
    case LMP_K_LIGHT:
      return dec_light(d, it);
    case LMP_K_NAME:
      ok = dec_name(d);
      break;
    case LMP_K_TYPE:
      ok = dec_type(d);
      break;
    default:
      return dec_damaged(d);
  }
  if (ok && (it->flags & LMP_SHARED)) dec_note(d, it->position);
  return ok;
}

/* ---- the message ---- */

static bool dec_body(dec *d) {
  lua_State *L = d->L;
  lmp_item it;
  int type = lua_rawgeti(L, d->later, ++d->later_done);
  lua_pushnil(L);
  lua_rawseti(L, d->later, d->later_done);
  if (type == LUA_TFUNCTION) {
    if (!dec_upvalues(d)) return false;
  } else {
    if (!lmp_get_item(&d->r, &it) || it.kind != LMP_K_TABLE) return dec_damaged(d);
    if ((it.flags & LMP_SHARED) || !dec_content(d, &it)) return dec_damaged(d);
  }
  lua_pop(L, 1);
  return true;
}

static bool dec_global(dec *d) {
  lua_State *L = d->L;
  lmp_item it;
  const char *name;
  size_t n;
  if (!lmp_get_item(&d->r, &it) || it.kind != LMP_K_GLOBAL) return dec_damaged(d);
  if (!(d->flags & L_FUNCTIONS) || !lmp_get_string(&d->r, &name, &n)) return dec_damaged(d);
  slot_need(d, d->globals);
  lua_pushlstring(L, name, n);
  if (!dec_value(d)) return false;
  lua_rawset(L, d->globals);
  return true;
}

/* Sets the globals that came along where there are none. */
static void set_globals(dec *d) {
  lua_State *L = d->L;
  if (lua_isnil(L, d->globals)) return;
  l_push_globals(L);
  int g = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, d->globals)) {
    lua_pushvalue(L, -2);
    if (lua_rawget(L, g) == LUA_TNIL || (d->flags & L_FRESH)) {
      lua_pushvalue(L, -3);
      lua_pushvalue(L, -3);
      lua_rawset(L, g);
    }
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
}

/* The list at the front of the message, whose elements go into a table of the caller; false: it is none, and nothing
 * was done, or, with a sentence at the top, it is damaged. */
static bool dec_list(dec *d, bool *is_list) {
  lmp_item it;
  lmp_reader start = d->r;
  *is_list = lmp_get_item(&d->r, &it) && it.kind == LMP_K_TABLE && it.i == 0 &&
             !(it.flags & (LMP_SHARED | LMP_TABLE_META));
  if (!*is_list) {
    d->r = start;
    return false;
  }
  for (; (uint64_t)d->count < it.n; d->count++) {
    if (!dec_value(d)) return false;
    lua_rawseti(d->L, d->into, d->first + d->count);
  }
  lua_pushvalue(d->L, d->into);
  return true;
}

static bool dec_first(dec *d) {
  bool is_list = false;
  if (d->into && (dec_list(d, &is_list) || is_list)) return lua_rawequal(d->L, -1, d->into);
  d->into = 0;
  return dec_value(d);
}

static bool dec_message(dec *d) {
  lua_State *L = d->L;
  int top = lua_gettop(L);
  luaL_checkstack(L, 12, NULL);
  lua_settop(L, top + 3);
  d->refs = top + 1;
  d->later = top + 2;
  d->globals = top + 3;
  if (!dec_first(d)) return false;
  while (d->r.p < d->r.end || d->later_done < d->nlater) {
    if (!(d->later_done < d->nlater ? dec_body(d) : dec_global(d))) return false;
  }
  set_globals(d);
  return true;
}

static lmp_err decode(dec *d, const void *bytes, size_t len) {
  lua_State *L = d->L;
  int top = lua_gettop(L);
  bool ok = lmp_reader_init(&d->r, bytes, len) ? dec_message(d) : dec_damaged(d);
  if (lua_gettop(L) > top + 1) {
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
  }
  return ok ? LMP_OK : LMP_E_BROKEN;
}

lmp_err l_decode(lua_State *L, l_codec *c, const void *bytes, size_t len, const lmp_handle *handles,
                 uint32_t nhandles, unsigned flags) {
  dec d = {.L = L, .c = c, .handles = handles, .nhandles = nhandles, .flags = flags};
  return decode(&d, bytes, len);
}

lmp_err l_decode_list(lua_State *L, l_codec *c, const void *bytes, size_t len,
                      const lmp_handle *handles, uint32_t nhandles, unsigned flags, int into,
                      lua_Integer first, lua_Integer *count) {
  dec d = {.L = L, .c = c, .handles = handles, .nhandles = nhandles, .flags = flags};
  d.into = lua_absindex(L, into);
  d.first = first;
  lmp_err e = decode(&d, bytes, len);
  *count = d.into ? d.count : -1;
  return e;
}
