/* main/call.c: running chunks for the luamp executable: traceback, Ctrl-C, messages on stderr.
 * SPDX-License-Identifier: MIT
 *
 * Ctrl-C. The handler may do next to nothing: it notes the signal, gives SIGINT its default action
 * back (so that a script that does not react can be killed by a second one) and sets a hook, which
 * lua_sethook allows in a handler. The hook raises "interrupted!" at the next instruction, call or
 * return. A hook belongs to one coroutine, ours to the main one: code that runs in another is
 * reached when it yields or ends. Blocking waits of luamp end with EINTR and look for the hook
 * themselves. A script may catch the error with pcall and go on; only when it arrives here, the
 * interruption ends the program: one line on stderr and status 130. */

#include "main/call.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lua/l_main.h"

#define INTERRUPTED "interrupted!"

/* One per process, since a signal handler gets no argument. */
static struct {
  lua_State *L; /* the state that SIGINT interrupts */
  const char *progname;
  bool interactive;
  bool interrupted;              /* the program ends by an interruption */
  volatile sig_atomic_t signal;  /* SIGINT came since the handler was installed */
  volatile sig_atomic_t between; /* it came between two calls, and is still to be acted upon */
} call = {.progname = "luamp"};

void call_program(const char *name) { call.progname = name; }

void call_interactive(bool on) { call.interactive = on; }

void call_interrupt(void) { call.interrupted = true; }

bool call_was_interrupted(void) { return call.interrupted; }

/* One call of fprintf, one write: lines of several processes do not mix. */
void call_message(const char *text) {
  if (call.interactive) {
    fprintf(stderr, "%s\n", text);
  } else {
    fprintf(stderr, "%s: %s\n", call.progname, text);
  }
}

static void hook_raise(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(call.L, NULL, 0, 0);
  lua_sethook(L, NULL, 0, 0); /* a coroutine made since the signal has inherited the hook */
  luaL_error(L, "%s", INTERRUPTED);
}

static void signal_set(void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler; /* no SA_RESTART: blocking calls have to end */
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
}

static void signal_handle(int number) {
  (void)number;
  signal_set(SIG_DFL);
  call.signal = 1;
  lua_sethook(call.L, hook_raise, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Between the calls of a program there is nothing to raise the error in: the next call does. */
static void signal_note(int number) {
  (void)number;
  signal_set(SIG_DFL);
  call.between = 1;
}

static void signal_begin(lua_State *L) {
  call.L = L;
  call.signal = 0;
  signal_set(signal_handle);
  if (!call.between) return;
  call.between = 0;
  signal_handle(SIGINT);
}

/* signal_end: true when a signal came that nothing has reacted to yet. */
static bool signal_end(lua_State *L) {
  signal_set(call.interactive ? SIG_DFL : signal_note); /* the prompt has a handler of its own */
  if (lua_gethook(L) != hook_raise) return false;
  lua_sethook(L, NULL, 0, 0);
  return true;
}

/* handle_message: the message handler: any error value to a string with a traceback. */
static int handle_message(lua_State *L) {
  const char *text = lua_tostring(L, 1);
  if (text == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
    text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  } else if (call.signal && !call.interactive && strstr(text, INTERRUPTED) != NULL) {
    call.interrupted = true;
    lua_pushliteral(L, INTERRUPTED);
    return 1;
  }
  luaL_traceback(L, L, text, 1);
  return 1;
}

int call_run(lua_State *L, int narg, int nresults) {
  int base = lua_gettop(L) - narg;
  lua_pushcfunction(L, handle_message);
  lua_insert(L, base);
  signal_begin(L);
  int status = lua_pcall(L, narg, nresults, base);
  bool pending = signal_end(L);
  lua_remove(L, base);
  if (pending && status == LUA_OK) { /* the chunk ended before the hook could stop it */
    call.interrupted = !call.interactive;
    lua_settop(L, base - 1);
    lua_pushliteral(L, INTERRUPTED);
    status = LUA_ERRRUN;
  }
  return status;
}

int call_report(lua_State *L, int status) {
  if (status == LUA_OK) return status;
  const char *text = lua_tostring(L, -1);
  if (text == NULL) /* an error outside of call_run, with no handler */
    text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, -1));
  call_message(text);
  lua_pop(L, 1);
  return status;
}

void call_end(lua_State *L) {
  if (!call.interrupted) {
    signal_begin(L);
    while (l_main_end(L, false) && !call.signal) { /* the hook is a debugger's */
    }
    signal_end(L);
    signal_set(SIG_DFL);
    if (!call.signal && !call.between) return;
    call.interrupted = true;
    call_message(INTERRUPTED);
  }
  signal_set(
      SIG_IGN); /* takes two seconds at most, and what it has begun must not be left half done */
  (void)l_main_end(L, true);
  signal_set(SIG_DFL);
}
