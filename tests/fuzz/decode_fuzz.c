/* decode_fuzz.c: l_decode on any bytes, without L_FUNCTIONS; what decodes must encode and decode again.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "lua/l_handle.h"
#include "lua/l_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Handles of no family. */
bool l_handle_is(lua_State *L, int idx, lmp_handle *h) {
  void *p = luaL_testudata(L, idx, "Fake");
  if (p) *h = *(lmp_handle *)p;
  return p != NULL;
}

void l_handle_push(lua_State *L, lmp_handle h) {
  lmp_handle *p = lua_newuserdatauv(L, sizeof h, 0);
  *p = h;
  luaL_setmetatable(L, "Fake");
}

static void *limited(void *ud, void *p, size_t old, size_t size) {
  size_t *used = ud;
  if (!p) old = 0;
  if (size > old && *used + size - old > (size_t)256 << 20) abort(); /* out of proportion */
  *used += size - old;
  if (size) return realloc(p, size);
  free(p);
  return NULL;
}

static l_codec *open_state(lua_State *L) {
  luaL_openlibs(L);
  luaL_newmetatable(L, "Fake");
  lua_newtable(L);
  l_codec *c = l_codec_new(L);
  lua_insert(L, -2);
  l_message_funcs(L, -2);
  lua_setglobal(L, "mp");
  if (luaL_dostring(L, "mp.register('C', {__gc = function() end, __index = {}})")) abort();
  lua_settop(L, 3);
  return c;
}

static void again(lua_State *L, l_codec *c) {
  size_t n, at = 0;
  l_encode_begin(c);
  l_encode(L, c, -1, "message", L_HANDLES);
  const lmp_msg *m = l_encoded(c, &n);
  uint8_t *copy = malloc(m->len);
  for (uint32_t i = 0; i < m->niov; at += m->iov[i++].len) {
    memcpy(copy + at, m->iov[i].data, m->iov[i].len);
  }
  lmp_handle handles[4] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}};
  if (m->nhandles > 4 || l_decode(L, c, copy, at, handles, m->nhandles, 0)) abort();
  free(copy);
}

static int one(lua_State *L) {
  l_codec *c = lua_touserdata(L, 1);
  const uint8_t *data = lua_touserdata(L, 2);
  size_t size = (size_t)lua_tointeger(L, 3);
  lmp_handle handles[4] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}};
  uint32_t n = size ? data[size - 1] % 5 : 0;
  uint8_t *copy = malloc(size + 1); /* of the exact size, for the sanitizer */
  if (size) memcpy(copy, data, size);
  uint8_t *exact = realloc(copy, size ? size : 1);
  if (l_decode(L, c, exact, size, handles, n, 0) == LMP_OK) again(L, c);
  free(exact);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  static l_codec *c;
  static size_t used;
  if (!L) c = open_state(L = lua_newstate(limited, &used));
  lua_pushcfunction(L, one);
  lua_pushlightuserdata(L, c);
  lua_pushlightuserdata(L, (void *)(uintptr_t)data);
  lua_pushinteger(L, (lua_Integer)size);
  if (lua_pcall(L, 3, 0, 0)) {
    const char *why = lua_tostring(L, -1);
    if (!why || !strstr(why, "cannot send")) abort(); /* damage is no error */
  }
  lua_settop(L, 3);
  if (used > (size_t)64 << 20) lua_gc(L, LUA_GCCOLLECT);
  return 0;
}
