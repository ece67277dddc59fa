/* lua/l_flat.c: messages of flat tables, without buffers and bookkeeping.
 * SPDX-License-Identifier: MIT
 *
 * A record, a table whose keys and values are all scalars, refers to nothing and nothing refers to it: so
 * its bytes can be written in one pass, on the C stack. They are the bytes that l_encode would make. */
#include "codec/writer.h"
#include "lua/l_message_priv.h"

#define FLAT_NUMBER \
  9 /* bytes of the longest number, tag and length of the longest string, an end */

/* Appends a scalar; false: it is none, or there is no room. */
static bool flat_value(lua_State *L, int idx, lmp_buf *b) {
  size_t n;
  const char *str;
  if (L_FLAT_MAX - b->len <= FLAT_NUMBER) return false;
  switch (lua_type(L, idx)) {
    case LUA_TSTRING:
      str = lua_tolstring(L, idx, &n);
      return n < L_FLAT_MAX - b->len - FLAT_NUMBER && lmp_put_string(b, str, n);
    case LUA_TNUMBER:
      if (lua_isinteger(L, idx)) return lmp_put_int(b, lua_tointeger(L, idx));
      return lmp_put_float(b, lua_tonumber(L, idx));
    case LUA_TBOOLEAN:
      return lmp_put_u8(b, lua_toboolean(L, idx) ? LMP_T_TRUE : LMP_T_FALSE);
    default:
      return false;
  }
}

/* The pairs of the table at `idx`; false, with the stack as it was, when not all are flat. */
static bool flat_pairs(lua_State *L, int idx, lmp_buf *b, uint64_t *count) {
  lua_pushnil(L);
  int key = lua_gettop(L);
  for (*count = 0; lua_next(L, idx); ++*count) {
    if (!flat_value(L, key, b) || !flat_value(L, key + 1, b)) {
      lua_settop(L, key - 1);
      return false;
    }
    lua_settop(L, key);
  }
  return true;
}

size_t l_flat_encode(lua_State *L, l_codec *c, int idx, uint8_t to[L_FLAT_MAX]) {
  lmp_buf b = {to, 4, L_FLAT_MAX};
  uint64_t n;
  const void *key = lua_topointer(L, idx);
  if (lua_rawlen(L, idx) != 0) return 0;
  if (lua_getmetatable(L, idx)) {
    lua_pop(L, 1);
    return 0;
  }
  luaL_checkstack(L, 4, NULL);
  l_names_refresh(L, c);
  if (key == c->names.globals || lmp_idmap_find(&c->names.map, (uintptr_t)key, 0) ||
      lmp_idmap_find(&c->types, (uintptr_t)key, ID_META)) {
    return 0; /* it travels by name */
  }
  if (!flat_pairs(L, idx, &b, &n) || (n > 0 && !lmp_put_u8(&b, LMP_T_END))) return 0;
  to[0] = LMP_FORMAT_VERSION;
  to[1] = LMP_T_TABLE;
  to[2] = lmp_hint_of(n);
  to[3] = 0; /* no elements */
  return b.len;
}
