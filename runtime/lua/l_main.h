/* lua/l_main.h: what the luamp executable needs of the bindings beyond the module itself.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_MAIN_H
#define LMP_LUA_L_MAIN_H

#include <lua.h>
#include <stdbool.h>

/* l_main_end: the end of a process that used luamp in state `L`: waits for its children that are no
 * daemons, terminates the daemons. With `interrupted`, ends all children instead, by force after two
 * seconds. Returns at once when no process was started; idempotent; raises nothing. os.exit comes
 * here by itself. True: a signal handler ran, or a hook is set, and there is still something to wait for. */
bool l_main_end(lua_State *L, bool interrupted);

#endif
