/* main/call.h: running chunks for the luamp executable: traceback, Ctrl-C, messages on stderr.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_MAIN_CALL_H
#define LMP_MAIN_CALL_H

#include <lua.h>
#include <stdbool.h>

/* call_message: one line on stderr: the program's name, unless call_interactive is on, and `text`. */
void call_message(const char *text);

/* call_program: the name that messages begin with; borrows `name` for ever. */
void call_program(const char *name);

/* call_interactive: with `on`, messages come without the program's name and an interrupted chunk
 * shows its traceback, as any error does; without, an interruption is one line. */
void call_interactive(bool on);

/* call_run: calls the function below its `narg` arguments on the stack, as lua_pcall does; SIGINT
 * raises "interrupted!" in it meanwhile, once: a second one has the default action. An error value
 * becomes a message with a traceback. Returns Lua's status. */
int call_run(lua_State *L, int narg, int nresults);

/* call_report: unless `status` is LUA_OK, prints and pops the message on top. Returns `status`. */
int call_report(lua_State *L, int status);

/* call_end: l_main_end after the main chunk, at which Ctrl-C counts as before. */
void call_end(lua_State *L);

/* call_interrupt, call_was_interrupted: says, asks whether an interruption ends the program. */
void call_interrupt(void);
bool call_was_interrupted(void);

#endif
