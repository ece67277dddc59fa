/* tests/checks/install/host.c: a host program that preloads luamp; compiled as C99 and as C++.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>

#ifdef __cplusplus
#include <lua.hpp>
#else
#include <lauxlib.h>
#include <lualib.h>
#endif
#include <luamp.h>

int main(void) {
  lua_State *L = luaL_newstate();
  int failed;
  if (!L) return 1;
  luaL_openlibs(L);
  luaL_requiref(L, "luamp", luaopen_luamp, 0);
  lua_pop(L, 1);
  failed = luaL_dostring(L,
                         "local mp = require 'luamp'\n"
                         "assert(rawget(_G, 'luamp') == nil)\n"
                         "assert(type(mp) == 'table')\n"
                         "return 'host: ok'");
  printf("%s %s\n", lua_tostring(L, -1), LUAMP_VERSION);
  lua_close(L);
  return failed ? 1 : 0;
}
