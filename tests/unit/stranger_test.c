/* stranger_test.c: Lua in a process that forked behind luamp's back.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>

#include "luamp.h"

static int lua_fork(lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

static int lua_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

/* Runs the chunk, which forks; the status of the child is 0 when it had no error. */
static void run(const char *chunk) {
  int status;
  pid_t self = getpid();
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "luamp", luaopen_luamp, 0);
  lua_setglobal(L, "mp");
  lua_register(L, "fork", lua_fork);
  lua_register(L, "getpid", lua_pid);
  int error = luaL_dostring(L, chunk);
  if (getpid() != self) {
    if (error) fprintf(stderr, "%s\n", lua_tostring(L, -1));
    _exit(error);
  }
  if (error) fail_msg("%s", lua_tostring(L, -1));
  assert_int_equal(waitpid((pid_t)lua_tointeger(L, -1), &status, 0), lua_tointeger(L, -1));
  assert_int_equal(status, 0);
  lua_close(L);
}

static void test_current_process_comes_first(void **state) {
  (void)state;
  run("local q = mp.Queue()\n"
      "local pid = fork()\n"
      "if pid > 0 then return pid end\n"
      "local me = mp.current_process()\n"
      "assert(me.pid == getpid() and me.name == 'ForkedProcess', me.name)\n"
      "assert(mp.current_process() == me)\n"
      "assert(mp.parent_process().name == 'MainProcess')");
}

static void test_what_the_parent_knew_is_forgotten(void **state) {
  (void)state;
  run("local main = mp.current_process()\n"
      "assert(mp.parent_process() == nil and mp.Process(print).name == 'Process-1')\n"
      "local pid = fork()\n"
      "if pid > 0 then\n"
      "  assert(mp.current_process() == main and mp.Process(print).name == 'Process-2')\n"
      "  return pid\n"
      "end\n"
      "assert(mp.Process(print).name == 'Process-1')\n"
      "assert(mp.parent_process() == main and main:is_alive())\n"
      "assert(mp.current_process().pid == getpid())");
}

/* A sanitizer may have a thread of its own here, with which nothing can be forked. */
static void test_in_a_child_of_ours(void **state) {
  (void)state;
  run("local pid = fork()\n"
      "if pid > 0 then return pid end\n"
      "local probe, why = pcall(mp.spawn, print)\n"
      "if not probe and why:find('several threads', 1, true) then return end\n"
      "assert(probe, why)\n"
      "local p = mp.spawn(function()\n"
      "  local me = mp.current_process()\n"
      "  assert(me.pid == getpid() and me.name == 'Process-2', me.name)\n"
      "  assert(mp.Process(print).name == 'Process-2:1')\n"
      "end)\n"
      "assert(p:join() and p.exitcode == 0)");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_current_process_comes_first),
      cmocka_unit_test(test_what_the_parent_knew_is_forgotten),
      cmocka_unit_test(test_in_a_child_of_ours),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
