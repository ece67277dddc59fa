/* lua/l_scalar.h: the fast path of messages: numbers, booleans, nil and short strings.
 * SPDX-License-Identifier: MIT
 *
 * The same bytes as l_encode and l_decode make and take, without their buffers and bookkeeping. */
#ifndef LMP_LUA_L_SCALAR_H
#define LMP_LUA_L_SCALAR_H

#include <lua.h>
#include <string.h>

#include "codec/format.h"
#include "codec/writer.h"

#define L_SCALAR_STRING 200 /* longest string that is copied here */
#define L_SCALAR_MAX (L_SCALAR_STRING + 16)

/* l_scalar_encode: writes the message of the value at `idx`, if it is a scalar, into `to`; its length,
 * 0: it is none. */
static inline size_t l_scalar_encode(lua_State *L, int idx, uint8_t to[L_SCALAR_MAX]) {
  lmp_buf b = {to, 1, L_SCALAR_MAX};
  size_t len;
  const char *s;
  bool ok = false;
  to[0] = LMP_FORMAT_VERSION;
  switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
      ok = lua_isinteger(L, idx) ? lmp_put_int(&b, lua_tointeger(L, idx))
                                 : lmp_put_float(&b, lua_tonumber(L, idx));
      break;
    case LUA_TSTRING:
      s = lua_tolstring(L, idx, &len);
      ok = len <= L_SCALAR_STRING && lmp_put_string(&b, s, len);
      break;
    case LUA_TNIL:
      ok = lmp_put_u8(&b, LMP_T_NIL);
      break;
    case LUA_TBOOLEAN:
      ok = lmp_put_u8(&b, lua_toboolean(L, idx) ? LMP_T_TRUE : LMP_T_FALSE);
      break;
    default:
      break;
  }
  return ok ? b.len : 0;
}

/* l_scalar_decode: pushes the value of a message, if its bytes are of the common scalar forms. */
static inline bool l_scalar_decode(lua_State *L, const uint8_t *p, size_t len) {
  if (len < 2 || p[0] != LMP_FORMAT_VERSION) return false;
  uint8_t tag = p[1];
  if (tag < LMP_T_TINY) {
    if (len == 2) lua_pushinteger(L, tag);
    return len == 2;
  }
  if (tag < LMP_T_TINY + LMP_STR_TINY + 1) {
    if (len == 2u + (tag - LMP_T_TINY)) lua_pushlstring(L, (const char *)p + 2, tag - LMP_T_TINY);
    return len == 2u + (tag - LMP_T_TINY);
  }
  if (tag == LMP_T_I16 && len == 4) {
    uint16_t v;
    memcpy(&v, p + 2, sizeof v);
    lua_pushinteger(L, (int16_t)lmp_le16(v));
    return true;
  }
  if (tag == LMP_T_I32 && len == 6) {
    uint32_t v;
    memcpy(&v, p + 2, sizeof v);
    lua_pushinteger(L, (int32_t)lmp_le32(v));
    return true;
  }
  return false;
}

#endif
