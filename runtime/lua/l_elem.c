/* lua/l_elem.c: Lua values and elements of C types.
 * SPDX-License-Identifier: MIT
 *
 * Integers stand for `b` to `q` when they are in the type's range, and so do floats with an integer value.
 * L and Q are unsigned: from 2^63 on a number is the Lua integer with the same 64 bits, a negative one, as
 * math.ult and "%x" take it; writing such an integer, or a float from 2^63 up, gives that number. */
#include <math.h>

#include "lua/l_array.h"

#define CODES "bBhHiIlLqQfd?c"

static const struct range {
  lua_Integer lo, hi;
} ranges[] = {
    [LMP_EL_I8] = {INT8_MIN, INT8_MAX},    [LMP_EL_U8] = {0, UINT8_MAX},
    [LMP_EL_I16] = {INT16_MIN, INT16_MAX}, [LMP_EL_U16] = {0, UINT16_MAX},
    [LMP_EL_I32] = {INT32_MIN, INT32_MAX}, [LMP_EL_U32] = {0, UINT32_MAX},
    [LMP_EL_I64] = {INT64_MIN, INT64_MAX}, [LMP_EL_U64] = {INT64_MIN, INT64_MAX},
};

const char *l_elem_name(lmp_elem t) {
  static const char *const names[LMP_EL_COUNT] = {"b",        "B",        "h", "H", "i", "I",
                                                  "l' or 'q", "L' or 'Q", "f", "d", "?", "c"};
  return names[t];
}

lmp_elem l_elem_code(lua_State *L, int arg) {
  size_t len;
  luaL_checktype(L, arg, LUA_TSTRING);
  const char *code = lua_tolstring(L, arg, &len);
  lmp_elem t = len == 1 ? lmp_elem_of(code[0]) : LMP_EL_COUNT;
  if (t == LMP_EL_COUNT) {
    luaL_argerror(L, arg, lua_pushfstring(L, "unknown type code '%s' (one of " CODES ")", code));
  }
  return t;
}

static bool get_integer(lua_State *L, int idx, lmp_elem t, uint64_t *bits) {
  int ok = 1;
  lua_Integer i;
  if (LMP_LIKELY(lua_isinteger(L, idx))) {
    i = lua_tointeger(L, idx);
  } else {
    if (lua_type(L, idx) != LUA_TNUMBER) return false;
    i = lua_tointegerx(L, idx, &ok);
    lua_Number n = lua_tonumber(L, idx);
    if (!ok && t == LMP_EL_U64 && n >= 0x1p63 && n < 0x1p64) { /* these all are integers */
      *bits = (uint64_t)n;
      return true;
    }
    if (!ok) return false;
  }
  *bits = (uint64_t)i;
  return i >= ranges[t].lo && i <= ranges[t].hi;
}

bool l_elem_get(lua_State *L, int idx, lmp_elem t, uint64_t *bits) {
  lua_Number n;
  size_t len;
  switch (t) {
    case LMP_EL_F64:
      if (lua_type(L, idx) != LUA_TNUMBER) return false;
      *bits = lmp_bits_f64(lua_tonumber(L, idx));
      return true;
    case LMP_EL_F32:
      if (lua_type(L, idx) != LUA_TNUMBER) return false;
      n = lua_tonumber(L, idx);
      *bits = lmp_bits_f32((float)n);
      return isfinite((float)n) || !isfinite(n);
    case LMP_EL_BOOL:
      *bits = (uint64_t)lua_toboolean(L, idx);
      return lua_isboolean(L, idx);
    case LMP_EL_CHAR:
      if (lua_type(L, idx) != LUA_TSTRING) return false;
      *bits = (uint8_t)*lua_tolstring(L, idx, &len);
      return len == 1;
    default:
      return get_integer(L, idx, t, bits);
  }
}

const char *l_elem_why(lua_State *L, int idx, lmp_elem t) {
  int type = lua_type(L, idx);
  if (t == LMP_EL_BOOL)
    return lua_pushfstring(L, "boolean expected, got %s", luaL_typename(L, idx));
  if (t == LMP_EL_CHAR && type == LUA_TSTRING) {
    return lua_pushfstring(L, "a string of one byte expected, got one of %I bytes",
                           (lua_Integer)lua_rawlen(L, idx));
  }
  if (t == LMP_EL_CHAR) {
    return lua_pushfstring(L, "a string of one byte expected, got %s", luaL_typename(L, idx));
  }
  if (type != LUA_TNUMBER) {
    return lua_pushfstring(L, "number expected, got %s", luaL_typename(L, idx));
  }
  lua_Number n = lua_tonumber(L, idx);
  const char *text = luaL_tolstring(L, idx, NULL);
  if (t == LMP_EL_F32) return lua_pushfstring(L, "%s does not fit into 'f'", text);
  if (n != floor(n) || isinf(n)) {
    return lua_pushfstring(L, "%s is no integer, as '%s' holds", text, l_elem_name(t));
  }
  if (t == LMP_EL_I64 || t == LMP_EL_U64) {
    return lua_pushfstring(L, "%s does not fit into '%s' (64 bits)", text, l_elem_name(t));
  }
  return lua_pushfstring(L, "%s does not fit into '%s' (%I to %I)", text, l_elem_name(t),
                         ranges[t].lo, ranges[t].hi);
}

uint64_t l_elem_check(lua_State *L, int arg, lmp_elem t) {
  uint64_t bits = 0;
  luaL_checkany(L, arg);
  if (LMP_UNLIKELY(!l_elem_get(L, arg, t, &bits))) luaL_argerror(L, arg, l_elem_why(L, arg, t));
  return bits;
}

uint64_t l_elem_delta(lua_State *L, int arg, lmp_elem t) {
  if (LMP_LIKELY(lua_isinteger(L, arg) && t < LMP_EL_F32)) return (uint64_t)lua_tointeger(L, arg);
  if (t >= LMP_EL_BOOL) {
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "cannot add to an element of type '%s'", l_elem_name(t)));
  }
  luaL_checktype(L, arg, LUA_TNUMBER);
  if (t >= LMP_EL_F32) return lmp_bits_f64(lua_tonumber(L, arg));
  int ok;
  lua_Integer n = lua_tointegerx(L, arg, &ok);
  if (!ok) luaL_argerror(L, arg, l_elem_why(L, arg, t));
  return (uint64_t)n;
}

void l_elem_push(lua_State *L, lmp_elem t, uint64_t bits) {
  char c = (char)bits;
  switch (t) {
    case LMP_EL_I8:
      lua_pushinteger(L, (int8_t)bits);
      return;
    case LMP_EL_I16:
      lua_pushinteger(L, (int16_t)bits);
      return;
    case LMP_EL_I32:
      lua_pushinteger(L, (int32_t)bits);
      return;
    case LMP_EL_F32:
      lua_pushnumber(L, (lua_Number)lmp_f32_of(bits));
      return;
    case LMP_EL_F64:
      lua_pushnumber(L, lmp_f64_of(bits));
      return;
    case LMP_EL_BOOL:
      lua_pushboolean(L, bits != 0);
      return;
    case LMP_EL_CHAR:
      lua_pushlstring(L, &c, 1);
      return;
    default:
      lua_pushinteger(L, (lua_Integer)bits);
  }
}
