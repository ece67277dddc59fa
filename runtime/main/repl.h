/* main/repl.h: the interactive mode of the luamp executable.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_MAIN_REPL_H
#define LMP_MAIN_REPL_H

#include <lua.h>

/* repl_run: reads, runs and prints until the end of input, or until Ctrl-C at the prompt, which
 * counts as an interruption of the program (call_interrupt). Makes the module the global `mp`
 * where there is none. Raises what _PROMPT's __tostring raises. */
void repl_run(lua_State *L);

#endif
