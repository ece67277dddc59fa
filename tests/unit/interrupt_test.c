/* interrupt_test.c: waits find a hook that was set after the last instruction of Lua.
 * SPDX-License-Identifier: MIT
 *
 * A signal handler's hook that comes before the system call interrupts nothing. Here the hook is set before
 * the wait and listens to returns only, so the call of
 * the wait itself does not run it; a wait that does not look for it never ends. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>

#include "luamp.h"

static lua_State *L;

static void hook_raise(lua_State *T, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  lua_sethook(T, NULL, 0, 0);
  luaL_error(T, "interrupted!");
}

static unsigned ran;
static void hook_count(lua_State *T, lua_Debug *ar) {
  (void)T;
  (void)ar;
  ran++;
}

static int setup(void **state) {
  (void)state;
  L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "luamp", luaopen_luamp, 0);
  lua_setglobal(L, "mp");
  return 0;
}

static int teardown(void **state) {
  (void)state;
  lua_close(L);
  return 0;
}

/* Runs the chunk, which returns a function and its arguments. */
static int prepare(const char *chunk) {
  lua_settop(L, 0);
  if (luaL_dostring(L, chunk)) fail_msg("%s", lua_tostring(L, -1));
  return lua_gettop(L) - 1;
}

static void interrupts(const char *chunk) {
  int n = prepare(chunk);
  lua_sethook(L, hook_raise, LUA_MASKRET, 0);
  int status = lua_pcall(L, n, LUA_MULTRET, 0);
  lua_sethook(L, NULL, 0, 0);
  if (status == LUA_OK) fail_msg("not interrupted: %s", chunk);
  assert_non_null(strstr(lua_tostring(L, -1), "interrupted!"));
}

static void test_sleep_without_a_family(void **state) {
  (void)state;
  interrupts("return mp.sleep, 1e6");
}

static void test_sleep(void **state) {
  (void)state;
  interrupts("q = mp.Queue() return mp.sleep, 1e6");
}

static void test_queues(void **state) {
  (void)state;
  interrupts("q = mp.Queue(1) return q.get, q");
  interrupts("q:put(1) return q.put, q, 1");
  interrupts("return q.put, q, {{}}");
  interrupts("return q.join, q");
}

static void test_a_pipe(void **state) {
  (void)state;
  interrupts("a, b = mp.Pipe() return a.recv, a");
  interrupts("return a.poll, a");
}

static void test_locks(void **state) {
  (void)state;
  prepare(
      "l, c = mp.Lock(), mp.Condition()\n"
      "local q = mp.Queue()\n"
      "p = mp.spawn(function() l:acquire() q:put(1) mp.sleep(100) end)\n"
      "q:get()");
  interrupts("return l.acquire, l");
  interrupts("c:acquire() return c.wait, c");
  interrupts("return mp.wait, {l}");
  prepare("p:kill():join()");
}

static void test_semaphores_events_and_barriers(void **state) {
  (void)state;
  interrupts("s = mp.Semaphore(0) return s.acquire, s");
  interrupts("s = mp.BoundedSemaphore(1) s:acquire() return s.acquire, s");
  interrupts("e = mp.Event() return e.wait, e");
  interrupts("b = mp.Barrier(2) return b.wait, b");
}

static void test_a_key_of_a_dict(void **state) {
  (void)state;
  prepare(
      "d = mp.Dict()\n"
      "local q = mp.Queue()\n"
      "p = mp.spawn(function() d:update('k', function() q:put(1) mp.sleep(100) end) end)\n"
      "q:get()");
  interrupts("return d.set, d, 'k', 1");
  prepare("p:kill():join()");
}

static void test_processes(void **state) {
  (void)state;
  prepare("p = mp.spawn(mp.sleep, 100)");
  interrupts("return p.join, p");
  interrupts("return p.result, p");
  interrupts("return mp.wait, {p}");
  prepare("p:kill():join()");
}

static void test_waiting_for_several(void **state) {
  (void)state;
  interrupts("q, e = mp.Queue(), mp.Event() return mp.wait, {q, e}");
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  lua_pushinteger(L, fds[0]);
  lua_setglobal(L, "fd");
  interrupts("return mp.wait, {fd}");
  interrupts("return mp.wait, {q, fd}");
  close(fds[0]);
  close(fds[1]);
}

/* A hook that does nothing to the wait, such as a debugger's, runs once, and the wait goes on. */
static void test_a_hook_that_does_not_raise(void **state) {
  (void)state;
  int n = prepare("q, now = mp.Queue(), mp.time() return q.get, q, 0.4");
  ran = 0;
  lua_sethook(L, hook_count, LUA_MASKRET, 0);
  assert_int_equal(lua_pcall(L, n, LUA_MULTRET, 0), LUA_OK);
  lua_sethook(L, NULL, 0, 0);
  assert_string_equal(lua_tostring(L, -1), "timeout");
  assert_int_equal(ran, 2); /* the chance it got, and the return of get */
  prepare("assert(mp.time() - now >= 0.4)");
}

/* -- starting a process ------------------------------------------------------------------------- */

#define ALL (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT)
static bool at_fork, at_thread;

static void before_fork(void) {
  if (at_fork) lua_sethook(L, hook_raise, ALL, 1);
}

static void *allocate(void *ud, void *p, size_t osize, size_t nsize) {
  (void)ud;
  if (!p && osize == LUA_TTHREAD && at_thread) {
    at_thread = false;
    lua_sethook(L, hook_raise, ALL, 1);
  }
  if (nsize) return realloc(p, nsize);
  free(p);
  return NULL;
}

static int setup_start(void **state) {
  int r = setup(state);
  lua_setallocf(L, allocate, NULL);
  return r;
}

/* Between the last look of the parent and the fork: the child runs, and knows nothing of it; the parent
 * raises, when the instance is complete. */
static void test_a_start_that_is_interrupted(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    prepare("q = mp.Queue() p = mp.Process(function() return q:get() end)");
    at_fork = true;
    lua_settop(L, 0);
    if (luaL_loadstring(L, "p:start()")) fail();
    int status = lua_pcall(L, 0, 0, 0);
    at_fork = false;
    assert_int_equal(status, LUA_ERRRUN);
    assert_non_null(strstr(lua_tostring(L, -1), "interrupted!"));
    prepare(
        "assert(math.type(p.pid) == 'integer' and p:is_alive())\n"
        "assert(mp.active_children()[1] == p)\n"
        "assert(not pcall(p.start, p))\n"
        "q:put(7)\n"
        "assert(p:result() == 7 and p.exitcode == 0)");
  }
}

static void test_a_start_that_is_interrupted_early(void **state) {
  (void)state;
  prepare("p = mp.Process(function() return 7 end)");
  at_thread = true;
  lua_settop(L, 0);
  if (luaL_loadstring(L, "p:start()")) fail();
  assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
  assert_non_null(strstr(lua_tostring(L, -1), "interrupted!"));
  prepare("assert(p.pid == nil and p:start():result() == 7)");
}

int main(void) {
  pthread_atfork(before_fork, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_sleep_without_a_family, setup, teardown),
      cmocka_unit_test_setup_teardown(test_sleep, setup, teardown),
      cmocka_unit_test_setup_teardown(test_queues, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_pipe, setup, teardown),
      cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_semaphores_events_and_barriers, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_key_of_a_dict, setup, teardown),
      cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_waiting_for_several, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_hook_that_does_not_raise, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_start_that_is_interrupted, setup_start, teardown),
      cmocka_unit_test_setup_teardown(test_a_start_that_is_interrupted_early, setup_start,
                                      teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
