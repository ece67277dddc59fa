/* message_test.c: Lua value <-> message, in a Lua state with stand-ins for handles.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>

#include "codec/format.h"
#include "lua/l_handle.h"
#include "lua/l_message.h"

/* ---- a Lua state with the module `mp`, and objects that stand for handles ---- */

bool l_handle_is(lua_State *L, int idx, lmp_handle *h) {
  void *p = luaL_testudata(L, idx, "Fake");
  if (p) *h = *(lmp_handle *)p;
  return p != NULL;
}

void l_handle_push(lua_State *L, lmp_handle h) {
  lmp_handle *p = lua_newuserdatauv(L, sizeof h, 0);
  *p = h;
  luaL_setmetatable(L, "Fake");
}

static l_codec *codec_of(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "codec");
  l_codec *c = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return c;
}

static int fake_new(lua_State *L) {
  l_handle_push(L,
                (lmp_handle){(uint32_t)luaL_checkinteger(L, 1), 1 - (uint32_t)lua_toboolean(L, 2)});
  return 1;
}

static int fake_eq(lua_State *L) {
  lmp_handle a, b;
  lua_pushboolean(L, l_handle_is(L, 1, &a) && l_handle_is(L, 2, &b) && a.obj == b.obj);
  return 1;
}

static int fake_reach(lua_State *L) {
  int n = lua_gettop(L);
  lua_newtable(L);
  lua_insert(L, 1);
  l_reach(L, codec_of(L), n, 1, 1000);
  assert_int_equal(lua_gettop(L), n + 1);
  lua_settop(L, 1);
  return 1;
}

/* When a table is taken for a flat one, its bytes are these, and nothing else belongs to them. */
static void check_flat(lua_State *L, l_codec *c, const lmp_msg *m, const uint8_t *bytes) {
  uint8_t flat[L_FLAT_MAX];
  size_t n = lua_istable(L, 1) ? l_flat_encode(L, c, 1, flat) : 0;
  if (n == 0) return;
  assert_int_equal(n, m->len);
  assert_memory_equal(flat, bytes, n);
  assert_int_equal(m->nhandles, 0);
  assert_false(m->alone);
}

/* flat(v): whether it is taken for a flat table. */
static int is_flat(lua_State *L) {
  uint8_t flat[L_FLAT_MAX];
  int top = lua_gettop(L);
  lua_pushboolean(L, l_flat_encode(L, codec_of(L), 1, flat) != 0);
  assert_int_equal(lua_gettop(L), top + 1);
  return 1;
}

/* roundtrip(v): encoded as a queue does it, decoded from a copy with as many handles. */
static int roundtrip(lua_State *L) {
  l_codec *c = codec_of(L);
  size_t n, at = 0;
  luaL_checkany(L, 1);
  l_encode_begin(c);
  l_encode(L, c, 1, "message", L_HANDLES);
  const lmp_msg *m = l_encoded(c, &n);
  assert_int_equal(n, 1);
  uint8_t *bytes = lua_newuserdatauv(L, m->len, 0);
  lmp_handle *handles = lua_newuserdatauv(L, m->nhandles * sizeof *handles + 1, 0);
  m = l_encoded(c, &n);
  for (uint32_t i = 0; i < m->niov; at += m->iov[i++].len) {
    memcpy(bytes + at, m->iov[i].data, m->iov[i].len);
  }
  assert_int_equal(at, m->len);
  check_flat(L, c, m, bytes);
  if (m->nhandles) memcpy(handles, m->handles, m->nhandles * sizeof *handles);
  uint32_t nhandles = m->nhandles;
  lmp_err err = l_decode(L, c, bytes, at, handles, nhandles, L_FUNCTIONS);
  if (err) return luaL_error(L, "%s: %s", lmp_err_code(err), lua_tostring(L, -1));
  lua_pushinteger(L, (lua_Integer)nhandles);
  return 2;
}

static int module_open(lua_State *L) {
  static const luaL_Reg extra[] = {{"handle", fake_new},
                                   {"reach", fake_reach},
                                   {"roundtrip", roundtrip},
                                   {"flat", is_flat},
                                   {NULL, NULL}};
  luaL_newmetatable(L, "Fake");
  lua_pushcfunction(L, fake_eq);
  lua_setfield(L, -2, "__eq");
  l_codec_new(L);
  luaL_newlib(L, extra);
  l_message_funcs(L, -2);
  lua_insert(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "codec");
  return 1;
}

static int state_open(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "luamp", module_open, 0);
  lua_setglobal(L, "mp");
  return 0;
}

static lua_State *state_new(void) {
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  lua_pushcfunction(L, state_open);
  assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_OK);
  return L;
}

static const char prelude[] =
    "function same(a, b, seen)\n"
    "  seen = seen or {}\n"
    "  if type(a) ~= 'table' then\n"
    "    return type(a) == type(b) and math.type(a) == math.type(b) and\n"
    "      (a == b or a ~= a and b ~= b)\n"
    "  end\n"
    "  if seen[a] then return seen[a] == b end\n"
    "  seen[a] = b\n"
    "  for k, v in pairs(a) do if not same(v, b[k], seen) then return false end end\n"
    "  for k in pairs(b) do if a[k] == nil then return false end end\n"
    "  return true\n"
    "end\n"
    "all = {functions = true}\n"
    "function copy(v) return mp.decode(mp.encode(v), all) end\n"
    "function failure(v) local ok, e = pcall(mp.encode, v); assert(not ok); return e end\n"
    "function check(v, want) local e = failure(v); assert(e == want, e) end\n";

static void run_in(lua_State *L, const char *script) {
  if (luaL_dostring(L, prelude) || luaL_dostring(L, script)) {
    fail_msg("%s", lua_tostring(L, -1));
  }
}

static void run(const char *script) {
  lua_State *L = state_new();
  run_in(L, script);
  assert_int_equal(lua_gettop(L), 0);
  lua_close(L);
}

/* ---- plain data ---- */

static void test_scalars_arrive_as_they_were(void **state) {
  (void)state;
  run("local list = {0, 1, -1, 127, 128, -128, -129, 32767, 32768, -32768, -32769, 2^31, 1 << 31,\n"
      "  (1 << 31) - 1, -(1 << 31), -(1 << 31) - 1, math.maxinteger, math.mininteger, 1.5, 1/0, "
      "-1/0,\n"
      "  0/0, 1e308, 5e-324, '', 'a', '\\0', true, false}\n"
      "for n = 60, 70 do list[#list + 1] = ('x'):rep(n) end\n"
      "for _, n in ipairs {255, 256, 4095, 4096, 4097, 70000} do list[#list + 1] = ('x'):rep(n) "
      "end\n"
      "for _, v in ipairs(list) do assert(same(v, copy(v)), tostring(v)) end\n"
      "assert(copy(nil) == nil and select('#', mp.decode(mp.encode(nil))) == 1)\n"
      "assert(1 / copy(-0.0) == -1/0)\n"
      "local nan = string.unpack('<d', '\\1\\2\\3\\4\\5\\6\\xf8\\x7f')\n"
      "assert(string.pack('<d', copy(nan)) == string.pack('<d', nan))\n"
      "assert(#mp.encode(5) == 2 and #mp.encode(-5) == 3 and #mp.encode('abc') == 5)\n"
      "assert(same(list, copy(list)))");
}

static void test_tables_keep_their_shape(void **state) {
  (void)state;
  run("local t = {1, 2, 3, a = 1, [1.5] = 2, [true] = 3, [-1] = 4, [10^6] = 5, n = {{}, {x = "
      "{}}}}\n"
      "assert(same(t, copy(t)))\n"
      "for _, h in ipairs {{1, nil, 3}, {1, nil, nil, nil, 5}, table.pack(nil, nil, 3)} do\n"
      "  assert(same(h, copy(h)) and #h == #copy(h))\n"
      "end\n"
      "local p = {} for i = 0, 40 do p[1 << i] = i end\n"
      "assert(same(p, copy(p)))\n"
      "local r = {} for i = 100, 1, -1 do r[i] = i end\n"
      "assert(same(r, copy(r)))\n"
      "for n = 1, 70 do local t = {} for i = 1, n do t['k' .. i] = i; t[i] = i end\n"
      "  assert(same(t, copy(t))) end\n"
      "local k = {} local v = copy {[k] = k} local a, b = next(v) assert(a == b)");
}

static void test_shared_references_and_cycles(void **state) {
  (void)state;
  run("local c = {} c.c = c c.list = {c, {c}}\n"
      "local d = copy(c) assert(d.c == d and d.list[1] == d and d.list[2][1] == d)\n"
      "local s = {} d = copy {s, s, {s}} assert(d[1] == d[2] and d[3][1] == d[1])\n"
      "local b = ('b'):rep(10000) d = copy {b, b, {b}, s, x = b, y = s}\n"
      "assert(d[1] == b and d[2] == b and d[3][1] == b and d.x == b and d.y == d[4])\n"
      "assert(#mp.encode {b, b, b, b} < 10100)");
}

static void test_any_depth(void **state) {
  (void)state;
  run("local deep, p = {}, nil p = deep for i = 1, 300000 do p[1] = {}; p = p[1] end p.x = deep\n"
      "local d = copy(deep) local q, n = d, 0 while q[1] do q = q[1] n = n + 1 end\n"
      "assert(n == 300000 and q.x == d)\n"
      "local list for i = 1, 100000 do list = {v = i, next = list} end\n"
      "d = copy(list) for i = 100000, 1, -1 do assert(d.v == i); d = d.next end\n"
      "local f = function() return 0 end\n"
      "for i = 1, 2000 do local g = f; f = function() return g end end\n"
      "d = copy(f) n = 0 while d() ~= 0 do d = d() n = n + 1 end assert(n == 2000)\n"
      "local m = {} for i = 1, 5000 do m = setmetatable({}, m) end\n"
      "d = copy(m) n = 0 while getmetatable(d) do d = getmetatable(d) n = n + 1 end assert(n == "
      "5000)\n"
      "local key = {} for i = 1, 5000 do key = {[key] = true} end\n"
      "d = copy(key) n = 0 while next(d) do d = next(d) n = n + 1 end assert(n == 5000)");
}

/* ---- functions ---- */

static void test_functions_with_upvalues(void **state) {
  (void)state;
  run("local n = 5 local function inc() n = n + 1 return n end local function get() return n end\n"
      "local f = copy {inc, get} assert(f[1]() == 6 and f[2]() == 6 and n == 5)\n"
      "local function fact(i) return i == 0 and 1 or i * fact(i - 1) end\n"
      "assert(copy(fact)(10) == 3628800)\n"
      "local even, odd\n"
      "function even(i) return i == 0 or odd(i - 1) end function odd(i) return i > 0 and even(i - "
      "1) end\n"
      "assert(copy(even)(10) == true)\n"
      "local u, v = nil, false local w = copy(function() return u, v end)\n"
      "local a, b = w() assert(a == nil and b == false)\n"
      "assert(copy(function() return _ENV end)() == _G and copy(_G) == _G and copy({_G})[1] == "
      "_G)\n"
      "local same_f = copy {get, get} assert(same_f[1] == same_f[2])");
}

static void test_globals_travel_with_functions(void **state) {
  (void)state;
  run("function helper(x) return x * factor end factor = 3 assigned = coroutine.create(print)\n"
      "local s = mp.encode(function(x) assigned = nil return helper(x) + #string.rep('a', 2) end)\n"
      "helper, factor, assigned = nil\n"
      "local f = mp.decode(s, all) assert(f(2) == 8 and factor == 3)\n"
      "factor = 10 mp.decode(s, all) assert(factor == 10)\n"
      "local src = {'return function() local t = {'}\n"
      "for i = 1, 300 do src[#src + 1] = \"'c\" .. i .. \"',\" end\n"
      "src[#src + 1] = '} return far(1), _G.via, (function() return inner end)(), '\n"
      "src[#src + 1] = ('l'):rep(50) .. ' end'\n"
      "function far(x) return x end via = 2 inner = 3 _G[('l'):rep(50)] = 4\n"
      "s = mp.encode(load(table.concat(src))())\n"
      "far, via, inner = nil _G[('l'):rep(50)] = nil\n"
      "local a, b, c, d = mp.decode(s, all)() assert(a == 1 and b == 2 and c == 3 and d == 4)\n"
      "local G = _G upg = 5 obj = {m = function() return 6 end}\n"
      "s = mp.encode(function() local H = G return H.upg + G.obj:m() end) upg, obj = nil\n"
      "assert(mp.decode(s, all)() == 11)\n"
      "secret = coroutine.create(print)\n"
      "mp.encode(function() local _ENV = {} return secret end)\n"
      "check(function() return secret end, \"cannot send a coroutine at message (global "
      "'secret')\")");
}

static void test_replaced_standard_globals_are_the_scripts_own(void **state) {
  (void)state;
  run("local tostring0 = tostring\n"
      "function tostring() return 'mine' end local s = mp.encode(function() return tostring(1) "
      "end)\n"
      "tostring = nil local f = mp.decode(s, all) assert(f() == 'mine')\n"
      "tostring = tostring0\n"
      "s = mp.encode(function() return tostring(1), math.pi, _VERSION end)\n"
      "assert(mp.decode(s, all)() == '1' and not s:find('\\xD1\\x84math', 1, true))");
}

static void test_environments_in_front_of_the_globals(void **state) {
  (void)state;
  run("local thread = coroutine.create(print)\n"
      "local env = setmetatable({}, {__index = function(_, k) return thread and _G[k] end})\n"
      "function helper(x) return x * 2 end\n"
      "local s = mp.encode(load('return function(x) return helper(x) end', 'c', 't', env)())\n"
      "helper = nil assert(mp.decode(s, all)(4) == 8)\n"
      "env = setmetatable({k = 7}, {__index = _G}) function helper2() return 1 end\n"
      "s = mp.encode(load('return function() return helper2() + k end', 'c', 't', env)())\n"
      "helper2 = nil assert(mp.decode(s, all)() == 8)\n"
      "s = mp.encode(load('return function() return x end', 'c', 't', {x = 9})())\n"
      "x = nil assert(mp.decode(s, all)() == 9)");
}

/* ---- names and metatables ---- */

static void test_what_modules_hold_travels_by_name(void **state) {
  (void)state;
  run("for _, f in ipairs {print, string.format, require, io.write, mp.encode} do\n"
      "  assert(copy(f) == f)\n"
      "end\n"
      "assert(copy(string) == string and mp.decode(mp.encode {string})[1] == string)\n"
      "local t = {} package.preload.mm = function()\n"
      "  return {f = function() return t end, a = {b = {c = {}}}, name = 'mm'} end\n"
      "local mm = require 'mm' local s = mp.encode {mm, mm.f, mm.a.b, mm.a.b.c}\n"
      "local d = mp.decode(s, all) assert(d[1] == mm and d[2] == mm.f and d[3] == mm.a.b)\n"
      "assert(d[4] == mm.a.b.c)\n"
      "local v = setmetatable({}, mm.a) assert(getmetatable(copy(v)) == mm.a)\n"
      "mm.a.b = nil assert(copy {mm.a}[1] == mm.a)\n"
      "package.loaded.mm = nil\n"
      "assert(copy(mm) ~= mm) local ok, code, why = mp.decode(s) assert(ok == nil and code == "
      "'broken')\n"
      "assert(why == \"module 'mm' is not loaded here\" and not package.loaded.mm)\n"
      "assert(mp.decode(s, all)[1] == require 'mm')\n"
      "package.loaded.mm, package.preload.mm = nil\n"
      "ok, code, why = mp.decode(s, all)\n"
      "assert(ok == nil and code == 'broken' and why:find \"cannot load module 'mm'\")\n"
      "package.loaded.mm = {} ok, code, why = mp.decode(s, all)\n"
      "assert(why == \"module 'mm' holds no 'f' here\", why)\n"
      "package.loaded.mm = nil\n"
      "function string.trim() end assert(copy(string.trim) ~= string.trim)");
}

static void test_metatables(void **state) {
  (void)state;
  run("local C = {} C.__index = C function C.hi() return 'hi' end\n"
      "local d = copy {setmetatable({}, C), setmetatable({1}, C)}\n"
      "assert(d[1].hi() == 'hi' and getmetatable(d[1]) == getmetatable(d[2]) and d[2][1] == 1)\n"
      "mp.register('C', C) mp.register('C', C) assert(not pcall(mp.register, 'C', {}))\n"
      "assert(not pcall(mp.register, '', {}) and not pcall(mp.register, 1, {}))\n"
      "assert(not pcall(mp.register, 'x') and not pcall(mp.register, 'x', 'y'))\n"
      "d = mp.decode(mp.encode {setmetatable({}, C), setmetatable({}, C), C})\n"
      "assert(getmetatable(d[1]) == C and getmetatable(d[2]) == C and d[3] == C)\n"
      "local G = {__gc = function() end}\n"
      "check({x = setmetatable({}, G)}, 'cannot send a table whose metatable has __gc or __close "
      "'\n"
      "  .. '(register the metatable with mp.register) at message.x')\n"
      "mp.register('G', G) d = mp.decode(mp.encode {setmetatable({}, G), setmetatable({}, G)})\n"
      "assert(getmetatable(d[2]) == G)\n"
      "local p = setmetatable({}, {__index = error, __newindex = error, __pairs = error, __len = "
      "error})\n"
      "local q = copy(p) assert(getmetatable(q).__len == error)\n"
      "assert(getmetatable(mp.decode(mp.encode(setmetatable({}, {__mode = 'k'})))).__mode == 'k')\n"
      "local prot = setmetatable({5}, {__metatable = false}) assert(copy(prot)[1] == 5)");
}

/* ---- failing ---- */

static void test_errors_name_the_path(void **state) {
  (void)state;
  run("local co = coroutine.create(print)\n"
      "check({jobs = {1, 2, {co = co}}}, 'cannot send a coroutine at message.jobs[3].co')\n"
      "check({['a b'] = {[1.5] = io.stdout}}, 'cannot send an open file (FILE*) at message[\"a "
      "b\"][1.5]')\n"
      "check({['end'] = {['q\"\\n'] = {[true] = co}}},\n"
      "  'cannot send a coroutine at message[\"end\"][\"q\\\\\"\\\\x0a\"][true]')\n"
      "check({f = function() return co end}, \"cannot send a coroutine at message.f (upvalue "
      "'co')\")\n"
      "gco = co check({f = function() return gco end},\n"
      "  \"cannot send a coroutine at message.f (global 'gco')\")\n"
      "check({t = {[co] = 1}}, 'cannot send a coroutine at message.t (a key)')\n"
      "check({a = setmetatable({}, {__index = {co}})},\n"
      "  'cannot send a coroutine at message.a (metatable).__index[1]')\n"
      "check(co, 'cannot send a coroutine at message')\n"
      "check({string.gmatch('a', 'b')}, 'cannot send a C function that no module holds at "
      "message[1]')\n"
      "check({mp.handle(1)}, 'cannot send a Fake outside the family at message[1]')\n"
      "local ok, e = pcall(mp.roundtrip, {x = mp.handle(0, true)})\n"
      "assert(not ok and e == 'cannot send a closed Fake at message.x')\n"
      "local t = {io.stdout} for i = 1, 1000 do t = {n = t} end assert(#failure(t) < 300)\n"
      "assert(failure(t):find('more steps', 1, true))\n"
      "local big = {} for i = 1, 1000 do big[i] = {i} end big[700].x = co\n"
      "check(big, 'cannot send a coroutine at message[700].x')");
}

static void test_decode_options_and_results(void **state) {
  (void)state;
  run("local v, code, why = mp.decode('') assert(v == nil and code == 'broken' and type(why) == "
      "'string')\n"
      "assert(not pcall(mp.decode, 5) and not pcall(mp.decode, '', {x = 1}))\n"
      "assert(not pcall(mp.decode, '', 5) and not pcall(mp.encode))\n"
      "assert(select('#', mp.decode(mp.encode(nil))) == 1)\n"
      "for _, f in ipairs {print, function() end, string.rep, require} do\n"
      "  v, code, why = mp.decode(mp.encode {f})\n"
      "  assert(v == nil and code == 'broken' and why == 'functions are not accepted here')\n"
      "end\n"
      "v, code, why = mp.decode(mp.encode {_G}) assert(v == nil and code == 'broken')\n"
      "assert(mp.decode(mp.encode(debug.upvalueid(same, 1))) == debug.upvalueid(same, 1))");
}

static void test_damaged_bytes_are_refused(void **state) {
  (void)state;
  run("local s = mp.encode {1, 2.5, 'x', {a = {b = 1}}, n = {}, big = ('x'):rep(5000),\n"
      "  f = function() return 1 end}\n"
      "for i = 0, #s - 1 do assert(select(2, mp.decode(s:sub(1, i), all)) == 'broken') end\n"
      "assert(select(2, mp.decode(s .. '\\0')) == 'broken')\n"
      "local function broken(b) local v, code = mp.decode('\\xA1' .. b) return v == nil and code "
      "== 'broken' end\n"
      "assert(broken '\\xE0\\x02\\0\\x81a\\1\\x81a\\2\\xCC')       -- a key twice\n"
      "assert(broken '\\xE0\\x01\\0\\xC0\\1\\xCC')                 -- a nil key\n"
      "assert(broken '\\xE0\\x01\\0\\xC7\\0\\0\\0\\0\\0\\0\\xf8\\x7f\\1\\xCC') -- a NaN key\n"
      "assert(broken '\\xE0\\x01\\1\\5\\1\\6\\xCC')                -- an index twice\n"
      "assert(broken '\\xE0\\x01\\0\\1\\xC0\\xCC')                 -- a nil value\n"
      "assert(broken '\\xE0\\0\\xff\\xff\\xff\\xff\\x0f')          -- more elements than bytes\n"
      "assert(broken '\\xE0\\x3c\\0') assert(broken '\\xE0\\xff\\0')\n"
      "assert(broken(('\\xE0\\0\\1'):rep(1000)))                   -- deeper than any encoder "
      "writes\n"
      "assert(broken '\\xCE\\0' and broken '\\xCD\\1' and broken '\\xCD\\xff')\n"
      "assert(broken '\\xE4' and broken '\\xE4\\x81a' and broken '\\xD1\\x81a\\1')\n"
      "assert(broken '\\xD4\\x81a' and broken '\\xD2\\x81a\\0' and broken '\\xFF')\n"
      "assert(broken '\\xE2\\0\\0\\xE0\\1\\0\\x84__gc\\1\\xCC')     -- finalisers for sale\n"
      "assert(broken '\\xD0\\1\\0\\0\\0\\0\\0\\0\\0\\2\\0\\0\\0\\0\\0\\0\\0')");
}

static void test_failed_messages_leave_the_others(void **state) {
  lua_State *L = state_new();
  l_codec *c = codec_of(L);
  size_t n;
  (void)state;
  run_in(L,
         "big = ('x'):rep(9000) good = {big, mp.handle(3), 'end'} bad = {big, mp.handle(4), "
         "io.stdout}\n"
         "function enc(v) return pcall(encode, v) end");
  l_encode_begin(c);
  lua_getglobal(L, "good");
  lua_getglobal(L, "bad");
  l_encode(L, c, 1, "message", L_HANDLES);
  l_encode(L, c, 1, "message", L_HANDLES);
  const lmp_msg *m = l_encoded(c, &n);
  assert_int_equal(n, 2);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(m[i].niov, 3);
    assert_int_equal(m[i].nhandles, 1);
    assert_int_equal(m[i].handles[0].obj, 3);
    assert_int_equal(m[i].iov[1].len, 9000);
    assert_int_equal(m[i].len, m[i].iov[0].len + 9000 + m[i].iov[2].len);
    assert_int_equal(*(const uint8_t *)m[i].iov[0].data, LMP_FORMAT_VERSION);
  }
  lua_settop(L, 0);
  run_in(L,
         "for i = 1, 3 do assert(not pcall(mp.roundtrip, bad)) assert(mp.roundtrip(good)[1] == "
         "big) end\n"
         "assert(select(2, mp.roundtrip {mp.handle(3), mp.handle(3), mp.handle(4)}) == 2)\n"
         "local h = {} for i = 1, 1000 do h[i] = mp.handle(i // 2 + 1) end\n"
         "local d, n = mp.roundtrip(h) assert(n == 501 and d[1000] == h[1000] and d[7] == h[7])");
  lua_close(L);
}

static void test_functions_refused_and_fresh_globals(void **state) {
  lua_State *L = state_new();
  l_codec *c = codec_of(L);
  size_t n;
  (void)state;
  run_in(L, "x = 1 function f() return x end");
  lua_getglobal(L, "f");
  l_encode_begin(c);
  l_encode(L, c, 1, "message", 0);
  const lmp_msg *m = l_encoded(c, &n);
  lua_pushlstring(L, m->iov[0].data, m->len);
  run_in(L, "x = 2");
  assert_int_equal(l_decode(L, c, lua_tostring(L, 2), lua_rawlen(L, 2), NULL, 0, L_FUNCTIONS),
                   LMP_OK);
  run_in(L, "assert(x == 2)");
  assert_int_equal(
      l_decode(L, c, lua_tostring(L, 2), lua_rawlen(L, 2), NULL, 0, L_FUNCTIONS | L_FRESH), LMP_OK);
  run_in(L, "assert(x == 1)");
  l_codec_registry(L, c);
  assert_true(lua_istable(L, -1));
  lua_close(L);
}

/* ---- reach ---- */

static void test_reach_finds_the_handles_of_a_function(void **state) {
  (void)state;
  run("local function set(...) local r, n = {}, 0\n"
      "  for _, h in ipairs(mp.reach(...)) do r[h] = true n = n + 1 end return r, n end\n"
      "local a, b, c, d, e, f, g = mp.handle(1), mp.handle(2), mp.handle(3), mp.handle(4),\n"
      "  mp.handle(5), mp.handle(6), mp.handle(7)\n"
      "G, unrelated = d, mp.handle(99)\n"
      "package.preload.m = function() return {get = function() return e end} end\n"
      "M = require 'm'\n"
      "local co = coroutine.wrap(function() local x = f coroutine.yield() return x end) co()\n"
      "local function fn() return b, setmetatable({}, {}), G, M.get(), co, io.stdout, _G end\n"
      "local r, n = set({a, {a}}, setmetatable({}, {__index = {c}}), fn, {[g] = 1}, mp.handle(0, "
      "true))\n"
      "assert(r[a] and r[b] and r[c] and r[d] and r[e] and r[f] and r[g] and n == 7, n)\n"
      "assert(#mp.reach(function() return mp, package, string end) == 0)\n"
      "assert(#mp.reach() == 0 and #mp.reach(1, 'x', nil) == 0)");
}

/* ---- the state of the codec ---- */

static void test_finalisers_may_encode_while_encoding(void **state) {
  (void)state;
  run("local live = true local function again()\n"
      "  return setmetatable({}, {__gc = function()\n"
      "    if not live then return end runs = (runs or 0) + 1\n"
      "    local v = mp.decode(mp.encode {nested = {1, 2, ('y'):rep(5000)}})\n"
      "    assert(v.nested[2] == 2) mp.decode(mp.encode('s')) again() end}) end\n"
      "for i = 1, 5 do again() end\n"
      "collectgarbage('incremental', 20, 1000)\n"
      "local deep = {} for i = 1, 300 do deep = {deep, ('z'):rep(4500)} end\n"
      "for i = 1, 20 do\n"
      "  local d = copy {deep, function() return deep end} local n = 0 local p = d[1]\n"
      "  while p[1] do assert(#p[2] == 4500) p = p[1] n = n + 1 end assert(n == 300)\n"
      "  assert(d[2]() == d[1])\n"
      "end live = false assert(runs > 20, runs)");
}

typedef struct budget {
  long left;
  size_t used;
} budget;

static void *limited(void *ud, void *p, size_t old, size_t size) {
  budget *b = ud;
  if (!p) old = 0;
  if (size == 0) {
    b->used -= old;
    free(p);
    return NULL;
  }
  if (size > old && b->left >= 0 && b->left-- == 0) {
    b->left = 0;
    return NULL;
  }
  void *q = realloc(p, size);
  if (q) b->used += size - old;
  return q;
}

static void test_out_of_memory_at_every_allocation(void **state) {
  budget b = {-1, 0};
  lua_State *L = lua_newstate(limited, &b);
  bool done = false;
  (void)state;
  lua_pushcfunction(L, state_open);
  assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_OK);
  run_in(L,
         "gv = {1} local C = {} C.__index = C mp.register('C', C) local u = {}\n"
         "rich = {1, 2.5, 'x', ('b'):rep(5000), {a = {b = u}}, u, setmetatable({}, C), string,\n"
         "  function() return u, gv, print end, mp.handle(1), setmetatable({}, {__index = {}})}\n"
         "for i = 1, 100 do rich = {rich, i} end\n"
         "function go() local d = mp.roundtrip(rich) for i = 1, 100 do d = d[1] end\n"
         "  assert(d[5].a.b == d[6] and d[9]() == d[6]) end\n"
         "function bad() mp.encode {rich, io.stdout} end go()");
  for (long n = 0; !done; n++) {
    assert_true(n < 100000);
    lua_gc(L, LUA_GCCOLLECT);
    lua_getglobal(L, "go");
    b.left = n;
    done = lua_pcall(L, 0, 0, 0) == LUA_OK;
    b.left = -1;
    if (!done) assert_non_null(strstr(lua_tostring(L, -1), "not enough memory"));
    lua_settop(L, 0);
    if (n % 16 == 0) run_in(L, "go() assert(not pcall(bad))");
  }
  run_in(L, "go()");
  lua_close(L);
  assert_int_equal(b.used, 0);
}

static int open_codec(lua_State *L) {
  l_codec_new(L);
  return 0;
}

static void test_flat_tables(void **state) {
  (void)state;
  run("local yes = {{}, {id = 1, name = 'sixteen bytes 16', x = 1.5}, {[-7] = true, [0] = false, "
      "[2.5] = 'x'},"
      "  {[true] = 1, [false] = 2}, {min = math.mininteger, max = math.maxinteger, inf = 1/0},"
      "  {text = ('x'):rep(400)}, {['\\0k'] = ('y'):rep(200), z = ''}}"
      "for i, t in ipairs(yes) do assert(mp.flat(t), i) assert(same(t, (mp.roundtrip(t)))) end "
      "local many = {} for i = 1, 300 do many['k' .. i] = i end "
      "mod = {a = 1} package.loaded.mod = mod "
      "local no = {{1, 2}, {a = {}}, {a = print}, {[mp.handle(1)] = 1}, setmetatable({a = 1}, {}), "
      "many, mod, _G,"
      "  {text = ('x'):rep(1000)}, {[('k'):rep(1000)] = 1}, {f = function() end}, {c = "
      "coroutine.create(print)}}"
      "for i, t in ipairs(no) do assert(not mp.flat(t), i) end "
      "assert(same(many, copy(many))) assert(rawequal(mp.roundtrip(mod), mod)) "
      "assert(rawequal(mp.roundtrip(_G), _G)) "
      "for n = 380, 460 do local t = {text = ('x'):rep(n), k = n} mp.roundtrip(t) mp.flat(t) end "
      "local late = {x = 1} assert(mp.flat(late)) package.loaded.late = late assert(not "
      "mp.flat(late)) "
      "package.loaded.late = nil assert(mp.flat(late))");
}

static void test_out_of_memory_while_opening(void **state) {
  (void)state;
  for (long n = 0, done = 0; !done; n++) {
    budget b = {-1, 0};
    lua_State *L = lua_newstate(limited, &b);
    lua_pushcfunction(L, open_codec);
    b.left = n;
    done = lua_pcall(L, 0, 0, 0) == LUA_OK;
    b.left = -1;
    lua_close(L);
    assert_int_equal(b.used, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars_arrive_as_they_were),
      cmocka_unit_test(test_tables_keep_their_shape),
      cmocka_unit_test(test_shared_references_and_cycles),
      cmocka_unit_test(test_any_depth),
      cmocka_unit_test(test_functions_with_upvalues),
      cmocka_unit_test(test_globals_travel_with_functions),
      cmocka_unit_test(test_replaced_standard_globals_are_the_scripts_own),
      cmocka_unit_test(test_environments_in_front_of_the_globals),
      cmocka_unit_test(test_what_modules_hold_travels_by_name),
      cmocka_unit_test(test_metatables),
      cmocka_unit_test(test_errors_name_the_path),
      cmocka_unit_test(test_decode_options_and_results),
      cmocka_unit_test(test_damaged_bytes_are_refused),
      cmocka_unit_test(test_failed_messages_leave_the_others),
      cmocka_unit_test(test_functions_refused_and_fresh_globals),
      cmocka_unit_test(test_reach_finds_the_handles_of_a_function),
      cmocka_unit_test(test_finalisers_may_encode_while_encoding),
      cmocka_unit_test(test_out_of_memory_at_every_allocation),
      cmocka_unit_test(test_flat_tables),
      cmocka_unit_test(test_out_of_memory_while_opening),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
