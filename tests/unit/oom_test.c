/* oom_test.c: the bindings when Lua's memory is out, at every allocation.
 * SPDX-License-Identifier: MIT */
#include "oom.h"

/* -- the scripts -------------------------------------------------------------------------------- */

static void test_opening_the_module(void **state) {
  (void)state;
  int before = dup(0), after;
  int status;
  long n = 0;
  close(before);
  do {
    budget b = {.left = -1};
    lua_State *L = lua_newstate(limited, &b);
    assert_non_null(L);
    luaL_openlibs(L);
    /* Lua 5.4 does not recover when the metatable of its buffers was made by half. */
    if (luaL_dostring(L, "local s = string.rep('x', 10000)")) fail();
    b.left = n++;
    lua_pushcfunction(L, state_setup);
    status = lua_pcall(L, 0, 0, 0);
    b.left = -1;
    if (status) about_memory(L, status, "require", n);
    lua_settop(L, 0);
    lua_pushcfunction(L, state_setup); /* and once more, in the same state */
    if (lua_pcall(L, 0, 0, 0)) fail_msg("after %ld: %s", n, lua_tostring(L, -1));
    is_usable(L);
    lua_close(L);
    assert_int_equal(b.used, 0);
  } while (status);
  after = dup(0);
  close(after);
  assert_int_equal(after, before);
}

static void test_making_queues(void **state) {
  (void)state;
  sweep(
      "local a, b = mp.Queue(), mp.Queue(5, {name = 'a name of more than twenty bytes'})\n"
      "assert(tostring(b):find('more than'))\n"
      "assert(tostring(a) ~= tostring(b))\n"
      "assert(mp.type(a) == 'Queue')");
}

static void test_locks(void **state) {
  (void)state;
  sweep(
      "kept = kept or mp.Lock()\n"
      "local l, c = mp.Lock{name = 'a name of more than twenty bytes'}, mp.Condition(mp.RLock())\n"
      "assert(tostring(l):find('more than') and not kept:locked())\n"
      "assert(l:acquire()); l:release()\n"
      "assert(kept:with(function(...) return ... end, 1) == 1)\n"
      "do local held <close> = c:guard(); assert(not held.abandoned) end\n"
      "c:with(function()\n"
      "  c:notify(); assert(not c:wait(0)); assert(c:wait_for(function() return 5 end) == 5)\n"
      "end)\n"
      "assert(not pcall(l.release, l) and not l:locked())");
}

static void test_numbers(void **state) {
  (void)state;
  sweep(
      "local v = mp.Value('q', 5, {name = 'a name of more than twenty bytes'})\n"
      "local a = mp.Array('d', {1, 2, 3})\n"
      "v.value = v:add(1)\n"
      "assert(v:exchange(7) == 6 and v:compare_exchange(7, 8))\n"
      "a:set({4, 5}, 2)\n"
      "assert(#a:table() == 3 and a:string() and select('#', a:unpack()) == 3)\n"
      "for x in a:iter() do assert(x) end\n"
      "for i, x in ipairs(a) do assert(a[i] == x) end\n"
      "assert(not pcall(function() a[4] = 1 end) and not pcall(function() a[1] = 'x' end))\n"
      "assert(v:with(function(x) return x.value end) == 8)\n"
      "assert(a:get_lock():acquire()); a:get_lock():release()\n"
      "q:put(a)\n"
      "assert(q:get() == a)\n"
      "mp.Array('c', long):sort()");
}

static void test_shared_memory(void **state) {
  (void)state;
  sweep(
      "local shm = assert(mp.SharedMemory{size = 100})\n"
      "assert(shm:unlink())\n"
      "assert(shm:pack('i4z', 0, 5, 'text') == 9)\n"
      "assert(select(2, shm:unpack('i4z')) == 'text')\n"
      "shm:write(50, long:sub(1, 40))\n"
      "assert(#shm:read() == 100 and shm.name and shm.size == 100)\n"
      "local view = shm:array('i', 0, 1)\n"
      "shm:close()\n"
      "assert(view[1] == 5)\n"
      "assert(select(2, mp.SharedMemory('luamp-there-is-none')) == 'system')");
}

static void test_scalars(void **state) {
  (void)state;
  sweep(
      "for _, v in ipairs{1, 2.5, true, 'short', 'a somewhat longer string, of more than forty "
      "bytes, not short'} do\n"
      "  assert(q:put(v)); assert(q:get() == v)\n"
      "end\n"
      "q:put(nil); assert(q:get() == nil)");
}

static void test_tables(void **state) {
  (void)state;
  sweep(
      "local t = {1, 'two', {3, {4, {}}}, x = {y = 'z'}, [2.5] = true}\n"
      "t.self = t\n"
      "assert(q:put(t))\n"
      "local r = q:get()\n"
      "assert(r.self == r and r[3][2][1] == 4 and r.x.y == 'z' and r ~= t)");
}

static void test_large_messages(void **state) {
  (void)state;
  sweep(
      "assert(q:put{long, long .. 'er', {long}})\n"
      "assert(q:put(long))\n"
      "local r = q:get()\n"
      "assert(r[3][1] == long and q:get() == long)");
}

static void test_functions_and_metatables(void **state) {
  (void)state;
  sweep(
      "local n = 0\n"
      "local function count() n = n + 1; return n, string.rep, other end\n"
      "other = count\n"
      "assert(q:put{count, count, setmetatable({}, class)})\n"
      "local r = q:get()\n"
      "assert(r[1] == r[2] and r[1]() == 1 and r[3].hello == 1)\n"
      "other = nil");
}

static void test_handles_in_messages(void **state) {
  (void)state;
  sweep(
      "local inner, other = mp.Queue(), mp.Queue(0, {name = 'a name of more than twenty bytes'})\n"
      "assert(inner:put(5) and other:put{inner})\n"
      "assert(q:put{inner, other, inner, q})\n"
      "inner, other = nil\n"
      "collectgarbage()\n"
      "local r = q:get()\n"
      "assert(r[1] == r[3] and r[4] == q and r[1]:get() == 5 and r[2]:get()[1] == r[1])");
}

static void test_put_many_and_get_many(void **state) {
  (void)state;
  sweep(
      "local list = {long, {long}, mp.Queue(), function() return q end}\n"
      "for i = 5, 60 do list[i] = i % 7 == 0 and {i} or i end\n"
      "assert(q:put_many(list) == 60)\n"
      "local n = 0\n"
      "while n < 60 do\n"
      "  local r = q:get_many(25)\n"
      "  for i = 1, r.n do assert(type(r[i]) == type(list[n + i])) end\n"
      "  n = n + r.n\n"
      "end");
}

static void test_items_and_closing(void **state) {
  (void)state;
  sweep(
      "local own = mp.Queue(10)\n"
      "for i = 1, 9 do own:put{i, long} end\n"
      "own:close()\n"
      "local n = 0\n"
      "for m in own:items() do n = n + m[1] end\n"
      "assert(n == 45)\n"
      "local ok, code = own:put(1)\n"
      "assert(ok == false and code == 'closed')\n"
      "local v, why = own:get()\n"
      "assert(v == nil and why == 'closed')\n"
      "own:cancel()");
}

static void test_outcomes_and_joining(void **state) {
  (void)state;
  sweep(
      "local own = mp.JoinableQueue(1)\n"
      "assert(own:put(1))\n"
      "local ok, code = own:put_nowait{2}\n"
      "assert(ok == false and code == 'timeout')\n"
      "assert(own:full() and #own == 1 and not own:empty())\n"
      "assert(own:join(0) == false and own:get() == 1)\n"
      "own:task_done()\n"
      "assert(own:join())\n"
      "assert(own:get(0) == nil)");
}

static void test_encode_and_decode(void **state) {
  (void)state;
  sweep(
      "local s = mp.encode{1, 'two', {3}, long, f = function() return long end}\n"
      "local t = mp.decode(s, {functions = true})\n"
      "assert(t[4] == long and t.f() == long)\n"
      "local v, code = mp.decode('rubbish')\n"
      "assert(v == nil and code == 'broken')");
}

static void test_dicts(void **state) {
  (void)state;
  sweep(
      "local d = mp.Dict{name = 'a name of more than twenty bytes'}\n"
      "d.x, d[1], d[long], d.t = 1, 'two', {3, q}, long\n"
      "assert(d.x == 1 and d[long][2] == q and d.t == long and #d == 4)\n"
      "assert(d:incr('x', 2) == 3 and d:replace('t', long, {long}) and d:replace(1, 'two', 2))\n"
      "assert(d:update('t', function(old, x) return {old[1], x} end, 7)[2] == 7)\n"
      "assert(d:add('new', d) and not d:add('new', 1) and d:pop('new') == d and d:get('no', 5) == "
      "5)\n"
      "local n = 0\n"
      "for k, v in pairs(d) do n = n + 1 end\n"
      "assert(n == 4 and #d:keys() == 4)\n"
      "d:clear()\n"
      "d.x = nil\n"
      "assert(#d == 0)");
}

static void test_lists_and_the_like(void **state) {
  (void)state;
  sweep(
      "local l, ns = mp.List(), mp.Namespace()\n"
      "l:append(1); l:append{long}; l:insert(1, long); l[4] = q; l[1] = 'new'\n"
      "assert(#l == 4 and l[1] == 'new' and l[3][1] == long and l:pop() == q and l:pop(2) == 1)\n"
      "assert(#l:table() == 2)\n"
      "for i, v in ipairs(l) do ns[i] = v end\n"
      "ns.field = l\n"
      "assert(ns.field == l and ns[2][1] == long)\n"
      "local m = mp.Manager()\n"
      "assert(m.dict{a = 1}.a == 1 and m.list{long}[1] == long)");
}

static void test_stats_and_the_like(void **state) {
  (void)state;
  sweep(
      "assert(mp.stats().objects >= 2 and mp.cpu_count() > 0 and mp.time() > 0)\n"
      "assert(mp.current_process().name == 'MainProcess' and not mp.parent_process())\n"
      "assert(#mp.active_children() == 0)\n"
      "local p = mp.Process{target = print, name = 'unstarted', args = {1}}\n"
      "assert(tostring(p):find('unstarted') and mp.type(p) == 'Process' and not p:is_alive())\n"
      "mp.sleep(0)");
}

static void test_waiting(void **state) {
  (void)state;
  sweep(
      "local a, b = mp.Queue(), mp.Queue()\n"
      "b:put(1)\n"
      "local list = {a, b, a, b}\n"
      "local ready = mp.wait(list)\n"
      "assert(#ready == 2 and ready[1] == b and ready[2] == b)\n"
      "b:get()\n"
      "assert(#mp.wait(list, 0.001) == 0)\n"
      "assert(not pcall(mp.wait, {a, 'text'}) and not pcall(mp.wait, {a, 9999}))\n"
      "local p = mp.Process{target = print}\n"
      "assert(not pcall(mp.wait, {p}))");
}

/* -- processes ---------------------------------------------------------------------------------- */

static const char start_script[] =
    "local own = mp.Queue()\n"
    "local p = mp.Process{target = function(n) own:put(long); return n, {own, q}, long end, args = "
    "{7},\n"
    "  name = 'a name of more than twenty bytes'}\n"
    "p:start()\n"
    "assert(p:join() and p.exitcode ~= nil)\n"
    "assert(p.exitcode ~= 96, 'the child came out of start')\n"
    "if p.exitcode == 0 then\n"
    "  local n, t, s = p:result()\n"
    "  assert(n == 7 and t[2] == q and t[1] == own and s == long and own:get() == long)\n"
    "end\n"
    "p:close()\n";

/* The child inherits the parent's shortage: whatever happens to it, it ends as a process of its own. */
static void test_processes(void **state) {
  (void)state;
  sweep_by(start_script, 1);
}

/* -- errors that are raised while memory is short ----------------------------------------------- */

static void test_errors_of_a_child(void **state) {
  (void)state;
  sweep_by(
      "local p = mp.spawn(function() error(long) end)\n"
      "local v, code, why = p:result()\n"
      "assert(v == nil and code == 'died' and why)\n"
      "p:close()\n",
      3);
}

static void test_semaphores_events_barriers(void **state) {
  (void)state;
  sweep(
      "local s, b = mp.Semaphore(2, {name = long}), mp.BoundedSemaphore(100)\n"
      "local e = mp.Event{name = 'an event'}\n"
      "assert(s:with(function(x) return x .. 'y' end, 'x') == 'xy' and s:value() == 2)\n"
      "do local held <close> = b:guard() assert(b:value() == 99 and not held.abandoned) end\n"
      "assert(b:value() == 100 and not pcall(b.release, b))\n"
      "e:set()\n"
      "assert(e:wait() and not s:with(e.wait, mp.Event(), 0))\n");
  sweep(
      "local n = 0\n"
      "local b = mp.Barrier(1, function() n = n + #long end, 5, {name = long})\n"
      "assert(b:wait() == 1 and b.parties == 1 and n == #long)\n"
      "assert(q:put(mp.Barrier(1, function() return long .. 'x', q end)))\n"
      "local other = q:get()\n"
      "b = nil\n"
      "collectgarbage()\n"
      "assert(other:wait() == 1 and mp.Barrier(30):wait(0) == nil)\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_opening_the_module),
      cmocka_unit_test(test_making_queues),
      cmocka_unit_test(test_locks),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_shared_memory),
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_tables),
      cmocka_unit_test(test_large_messages),
      cmocka_unit_test(test_functions_and_metatables),
      cmocka_unit_test(test_handles_in_messages),
      cmocka_unit_test(test_put_many_and_get_many),
      cmocka_unit_test(test_items_and_closing),
      cmocka_unit_test(test_outcomes_and_joining),
      cmocka_unit_test(test_encode_and_decode),
      cmocka_unit_test(test_dicts),
      cmocka_unit_test(test_lists_and_the_like),
      cmocka_unit_test(test_stats_and_the_like),
      cmocka_unit_test(test_waiting),
      cmocka_unit_test(test_semaphores_events_barriers),
      cmocka_unit_test(test_processes),
      cmocka_unit_test(test_errors_of_a_child),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
