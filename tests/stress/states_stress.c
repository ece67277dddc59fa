/* states_stress.c: several threads, each with Lua states of its own that use the whole module.
 * SPDX-License-Identifier: MIT
 *
 * A state is a family of its own: nothing is shared but the process. A script that fails prints why. */
#include <pthread.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "luamp.h"
#include "stress.h"

static uint64_t stop_at;

static const char script[] =
    "local mp, seed = require 'luamp', ...\n"
    "mp.configure {memory = '4M'}\n"
    "math.randomseed(seed)\n"
    "local q, small = mp.Queue(), mp.Queue(3, {name = 'a name of more than twenty bytes'})\n"
    "assert(tostring(small):find('more than twenty'))\n"
    "for i = 1, 200 do\n"
    "  local big = string.rep('x', math.random(0, 3000))\n"
    "  local t = {i, big, {k = i / 2, [true] = false}, small, function() return i + #big end}\n"
    "  t.self = t\n"
    "  assert(q:put(t))\n"
    "  if i % 3 == 0 then\n"
    "    local r = q:get()\n"
    "    assert(r.self == r and r[4] == small and r[5]() == r[1] + #r[2])\n"
    "  end\n"
    "end\n"
    "q:close()\n"
    "local n = 0\n"
    "for t in q:items() do n = n + 1 end\n"
    "assert(n == 200 - 200 // 3, n)\n"
    "local list = {}\n"
    "for i = 1, 1000 do list[i] = i end\n"
    "local many = mp.Queue()\n"
    "assert(many:put_many(list) == 1000)\n"
    "local got = many:get_many(2000)\n"
    "assert(got.n == 1000 and got[1000] == 1000)\n"
    "assert(not small:get(0.001))\n"
    "for i = 1, 3 do assert(small:put_nowait(i)) end\n"
    "local ok, why = small:put(4, 0.001)\n"
    "assert(ok == false and why == 'timeout')\n"
    "for i = 1, 50 do many:put(mp.Queue()) end\n"
    "many:cancel()\n"
    "collectgarbage()\n"
    "local s = mp.stats()\n"
    "assert(s.limit == 4 << 20 and s.processes == 1, s.processes)\n"
    "assert(mp.decode(mp.encode {1, {2}})[2][1] == 2)\n"
    "assert(mp.current_process().name == 'MainProcess')\n"
    "local ok, why = pcall(mp.spawn, print)\n"
    "assert(not ok and why:find('several threads'), why)\n";

/* What is not a queue. */
static const char others[] =
    "local mp, seed = require 'luamp', ...\n"
    "mp.configure {memory = '4M'}\n"
    "local n = mp.Value('q', 0)\n"
    "local lock, rlock, cond = mp.Lock(), mp.RLock(), mp.Condition()\n"
    "local sem, bounded = mp.Semaphore(2), mp.BoundedSemaphore(2)\n"
    "local event, barrier = mp.Event(), mp.Barrier(1)\n"
    "for i = 1, 100 do\n"
    "  lock:with(function() n.value = n.value + 1 end)\n"
    "  rlock:with(rlock.with, rlock, n.add, n, 1)\n"
    "  n:with(n.add, 1)\n"
    "  cond:with(function() cond:notify_all(); assert(i % 50 > 0 or not cond:wait(0.001)) end)\n"
    "  assert(sem:acquire() and sem:acquire() and not sem:acquire(0))\n"
    "  sem:release(); sem:release()\n"
    "  bounded:with(n.add, n, 1)\n"
    "  event:set(); assert(event:wait()); event:clear()\n"
    "  assert(barrier:wait() == 1)\n"
    "end\n"
    "assert(n.value == 400 and not event:is_set() and bounded:value() == 2, n.value)\n"
    "assert(not pcall(bounded.release, bounded) and not pcall(lock.release, lock))\n"
    "local a, shm = mp.Array('d', 1000), mp.SharedMemory {size = 1000}\n"
    "for i = 1, #a do a[i] = (i * seed) % 1009 end\n"
    "a:sort()\n"
    "assert(a[1] == a:min() and a[#a] == a:max())\n"
    "shm:pack('i4z', 0, seed & 0xffff, 'text')\n"
    "assert(shm:array('i', 0, 1)[1] == seed & 0xffff and shm:unlink())\n"
    "local first, second <close> = mp.Pipe()\n"
    "local fd = first:fileno()\n"
    "for i = 1, 100 do\n"
    "  assert(second:send {i, lock, n} and second:send_bytes(('x'):rep(i * 30)) and "
    "first:send(i))\n"
    "  local ready = mp.wait({first, second, fd, event})\n"
    "  assert(#ready == 3 and first:poll() and second:recv() == i)\n"
    "  local t = first:recv()\n"
    "  assert(t[1] == i and t[2] == lock and t[3] == n and #first:recv_bytes() == i * 30)\n"
    "  assert(#mp.wait({first, fd}, 0) == 0)\n"
    "end\n"
    "second:send(second)\n"
    "second:close()\n"
    "first:recv():close()\n"
    "assert(first:recv() == nil and not first:send(1))\n"
    "for i = 1, 50 do\n"
    "  local r, w = mp.Pipe(false)\n"
    "  assert(w:send(r))\n" /* a cycle */
    "  if i % 2 == 0 then r:fileno() end\n"
    "end\n";

static void *work(void *arg) {
  uint64_t rng = *(uint64_t *)arg;
  uint64_t *n = arg;
  for (*n = 0; lmp_os_now() < stop_at; ++*n) {
    lua_State *L = luaL_newstate();
    must(L);
    luaL_openlibs(L);
    luaL_requiref(L, "luamp", luaopen_luamp, 0);
    lua_settop(L, 0);
    must(luaL_loadstring(L, stress_below(&rng, 2) ? script : others) == LUA_OK);
    lua_pushinteger(L, (lua_Integer)(stress_random(&rng) >> 1));
    if (lua_pcall(L, 1, 0, 0)) {
      fprintf(stderr, "%s\n", lua_tostring(L, -1));
      abort();
    }
    if (stress_below(&rng, 2)) lua_gc(L, LUA_GCCOLLECT);
    lua_close(L);
  }
  return NULL;
}

int main(int argc, char **argv) {
  stress_options o = stress_start(argc, argv);
  pthread_t *threads = calloc(o.threads, sizeof *threads);
  uint64_t *seeds = calloc(o.threads, sizeof *seeds);
  uint64_t all = 0;
  must(threads && seeds);
  stop_at = lmp_os_now() + o.seconds * LMP_SEC;
  for (unsigned i = 0; i < o.threads; i++) {
    seeds[i] = stress_random(&o.seed);
    must(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
  }
  for (unsigned i = 0; i < o.threads; i++) {
    must(pthread_join(threads[i], NULL) == 0);
    all += seeds[i];
  }
  printf("%llu states\n", (unsigned long long)all);
  free(threads);
  free(seeds);
  return 0;
}
