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

static void *work(void *arg) {
  uint64_t rng = *(uint64_t *)arg;
  uint64_t *n = arg;
  for (*n = 0; lmp_os_now() < stop_at; ++*n) {
    lua_State *L = luaL_newstate();
    must(L);
    luaL_openlibs(L);
    luaL_requiref(L, "luamp", luaopen_luamp, 0);
    lua_settop(L, 0);
    must(luaL_loadstring(L, script) == LUA_OK);
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
