/* SPDX-License-Identifier: MIT */
/* plain.c: plain COUNT: loops over a million doubles in shared memory, and between that memory and a Lua
 * table, as one writes them first: no checks of what is in the table, nothing but the loop. Medians of
 * COUNT. */
#include <lauxlib.h>
#include <lua.h>
#include <sys/mman.h>

#include "peer.h"

enum { MILLION = 1000000 };

static double *a, *b;
static lua_State *L;
static volatile double result;

static void do_set(void) {
  for (int i = 0; i < MILLION; i++) {
    lua_rawgeti(L, 1, i + 1);
    a[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
}

static void do_sum(void) {
  double sum = 0;
  for (int i = 0; i < MILLION; i++) sum += a[i];
  result = sum;
}

static void do_copy(void) {
  for (int i = 0; i < MILLION; i++) b[i] = a[i];
}

static void do_table(void) {
  lua_settop(L, 1);
  lua_createtable(L, MILLION, 0);
  for (int i = 0; i < MILLION; i++) {
    lua_pushnumber(L, b[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static void do_fill(void) {
  for (int i = 0; i < MILLION; i++) b[i] = 1.5;
}

static void median(const char *label, void (*f)(void), int64_t count) {
  double *times = allocate((size_t)count * sizeof *times);
  for (int64_t i = 0; i < count; i++) {
    lua_gc(L, LUA_GCCOLLECT, 0);
    double t0 = now();
    f();
    times[i] = now() - t0;
  }
  qsort(times, (size_t)count, sizeof *times, compare_doubles);
  printf("RESULT %.9g us %s\n", times[(count - 1) / 2] * 1e6, label);
  free(times);
}

static double *shared(void) {
  void *p = mmap(NULL, MILLION * sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
  if (p == MAP_FAILED) fail("mmap");
  return p;
}

int main(int argc, char **argv) {
  int64_t count = count_of(argc > 1 ? argv[1] : "");
  a = shared();
  b = shared();
  L = luaL_newstate();
  lua_createtable(L, MILLION, 0);
  for (int i = 1; i <= MILLION; i++) {
    lua_pushnumber(L, i * 0.5);
    lua_rawseti(L, 1, i);
  }
  median("set", do_set, count);
  median("sum", do_sum, count);
  if (result != MILLION * (MILLION + 1.0) / 4) fail("the sum is %g", result);
  median("copy", do_copy, count);
  median("table", do_table, count);
  for (int i = 0; i < MILLION; i++) {
    lua_rawgeti(L, 2, i + 1);
    if (lua_tonumber(L, -1) != (i + 1) * 0.5) fail("element %d", i);
    lua_pop(L, 1);
  }
  median("fill", do_fill, count);
  return 0;
}
