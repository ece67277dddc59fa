/* luamp.h: the public interface of luamp, processes and shared objects for Lua 5.4.
 * SPDX-License-Identifier: MIT */
#ifndef LUAMP_H
#define LUAMP_H

#include <lua.h>

#define LUAMP_VERSION_MAJOR 0
#define LUAMP_VERSION_MINOR 1
#define LUAMP_VERSION_PATCH 0
#define LUAMP_VERSION "0.1.0"
#define LUAMP_VERSION_NUM \
  (LUAMP_VERSION_MAJOR * 10000 + LUAMP_VERSION_MINOR * 100 + LUAMP_VERSION_PATCH)

#if defined(__GNUC__)
#define LUAMP_API __attribute__((visibility("default")))
#else
#define LUAMP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* luaopen_luamp: the module's loader, as `require "luamp"` calls it: pushes the module table and
 * returns 1. Sets no global, installs no signal handler and starts nothing: the family's shared
 * memory is made with the first object. A host preloads it with
 * luaL_requiref(L, "luamp", luaopen_luamp, 0). Raises a Lua error when memory is out or when the
 * library was built for another Lua. */
LUAMP_API int luaopen_luamp(lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
