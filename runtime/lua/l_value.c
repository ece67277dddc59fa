/* lua/l_value.c: Lua values in and out of a Dict, a Namespace or a List.
 * SPDX-License-Identifier: MIT */
#include "lua/l_value.h"

#include <string.h>

const lmp_msg *l_value_encode(lua_State *L, l_state *st, l_value *v, int idx) {
  size_t n;
  size_t len = l_scalar_encode(L, idx, v->scalar);
  if (LMP_LIKELY(len)) {
    v->piece = (lmp_iov){v->scalar, len};
    v->msg = (lmp_msg){.iov = &v->piece, .niov = 1, .len = len};
    return &v->msg;
  }
  l_encode_begin(st->codec);
  l_encode(L, st->codec, idx, "value", L_HANDLES);
  return l_encoded(st->codec, &n);
}

static void decode(lua_State *L, l_state *st, const lmp_out *out) {
  if (LMP_LIKELY(l_scalar_decode(L, out->data, out->len))) return;
  if (l_decode(L, st->codec, out->data, out->len, out->handles, out->nhandles, L_FUNCTIONS)) {
    luaL_error(L, "cannot rebuild a value: %s", lua_tostring(L, -1));
  }
}

typedef struct decoding {
  l_state *st;
  const lmp_out *out;
} decoding;

static int protected_decode(lua_State *L) {
  decoding *d = lua_touserdata(L, 1);
  decode(L, d->st, d->out);
  return 1;
}

void l_value_push(lua_State *L, l_state *st, lmp_me *me, lmp_out *out) {
  uint64_t copy[L_OUT_SMALL / sizeof(uint64_t)];
  if (out->block && !out->nhandles && out->len <= sizeof copy) {
    memcpy(copy, out->data, out->len);
    out->data = (const uint8_t *)copy;
    lmp_out_done(me, out);
  }
  if (LMP_LIKELY(!out->block && !out->nhandles && !out->large.obj)) { /* nothing to give back */
    decode(L, st, out);
    return;
  }
  decoding d = {st, out};
  lua_pushcfunction(L, protected_decode);
  lua_pushlightuserdata(L, &d);
  int status = lua_pcall(L, 1, 1, 0);
  lmp_out_done(me, out);
  if (status) lua_error(L);
}

void l_key_push(lua_State *L, l_state *st, const uint8_t *key, size_t len) {
  lmp_out out = {.data = key, .len = len};
  decode(L, st, &out);
}

void l_value_failed(lua_State *L, lmp_err e, const char *what) {
  switch (e) {
    case LMP_E_INTR:
      l_interrupted(L);
      return;
    case LMP_E_TOOLARGE:
      luaL_error(L, "toolarge: the value can never fit into the family's shared memory");
      return;
    case LMP_E_INVAL:
      luaL_error(L, "deadlock: the key is held by an 'update' of this thread itself");
      return;
    default:
      luaL_error(L, "cannot store a value in a %s: %s", what, lmp_err_text(e));
  }
}

/* -- numbers ------------------------------------------------------------------------------------ */

static lua_Integer sign_extend(uint64_t v, size_t bytes) {
  unsigned shift = (unsigned)(64 - 8 * bytes);
  return (lua_Integer)(v << shift) >> shift;
}

l_number l_number_read(const uint8_t *p, size_t len) {
  static const uint8_t sizes[] = {1, 2, 4, 8, 8}; /* I8, I16, I32, I64, F64 */
  l_number x = {L_NONE, 0, 0};
  if (len < 2 || p[0] != LMP_FORMAT_VERSION) return x;
  uint8_t tag = p[1];
  if (tag < LMP_T_TINY && len == 2) return (l_number){L_INTEGER, tag, 0};
  if (tag < LMP_T_I8 || tag > LMP_T_F64 || len != 2u + sizes[tag - LMP_T_I8]) return x;
  uint64_t bits = 0;
  memcpy(&bits, p + 2, len - 2);
  bits = lmp_le64(bits);
  if (tag == LMP_T_F64) {
    x.kind = L_FLOAT;
    memcpy(&x.n, &bits, sizeof x.n);
  } else {
    x.kind = L_INTEGER;
    x.i = sign_extend(bits, len - 2);
  }
  return x;
}

size_t l_number_write(l_number x, uint8_t *to) {
  lmp_buf b = {to, 1, L_NUMBER_MAX};
  to[0] = LMP_FORMAT_VERSION;
  (void)!(x.kind == L_INTEGER ? lmp_put_int(&b, x.i) : lmp_put_float(&b, x.n));
  return b.len;
}

l_number l_number_add(l_number a, l_number b) {
  if (a.kind == L_INTEGER && b.kind == L_INTEGER) {
    return (l_number){L_INTEGER, (lua_Integer)((lua_Unsigned)a.i + (lua_Unsigned)b.i), 0};
  }
  lua_Number x = a.kind == L_INTEGER ? (lua_Number)a.i : a.n;
  lua_Number y = b.kind == L_INTEGER ? (lua_Number)b.i : b.n;
  return (l_number){L_FLOAT, 0, x + y};
}

bool l_number_equal(l_number a, l_number b) {
  lua_Integer i;
  if (a.kind == L_NONE || b.kind == L_NONE) return false;
  if (a.kind == b.kind) return a.kind == L_INTEGER ? a.i == b.i : a.n == b.n;
  lua_Number n = a.kind == L_FLOAT ? a.n : b.n;
  lua_Integer exact = a.kind == L_FLOAT ? b.i : a.i;
  return lua_numbertointeger(n, &i) && (lua_Number)i == n && i == exact;
}
