/* lua/l_handle.h: Lua values that stand for objects of the family.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_HANDLE_H
#define LMP_LUA_L_HANDLE_H

#include <lua.h>

#include "base/defs.h"

/* l_handle_is: true when the value at `idx` is an object of luamp (a handle userdata, or a table that
 * wraps one, like a Process). Then *h names the object, or is {0, 0} when the handle was closed or its
 * object is gone. Raises nothing, pushes nothing. */
bool l_handle_is(lua_State *L, int idx, lmp_handle *h);

/* l_handle_push: pushes a Lua value for the object `h`, which the caller's process holds. The same
 * object gives equal values. May raise (memory). */
void l_handle_push(lua_State *L, lmp_handle h);

/* The keys of what lualib/luamp/process.lua keeps in an instance: light userdata, their addresses. */
enum { L_KEY_HANDLE, L_KEY_STATE, L_KEY_NAME, L_KEY_COUNT = 11 };
extern const char l_keys[L_KEY_COUNT];

/* Metamethods of handle userdata: __gc, and __tostring ("Queue: 0x55... (jobs)"). */
int l_handle_gc(lua_State *L);
int l_handle_tostring(lua_State *L);

#endif
