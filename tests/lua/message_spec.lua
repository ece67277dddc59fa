-- SPDX-License-Identifier: MIT
-- API.md section 3: mp.encode, mp.decode, mp.register.
-- luacheck: globals spec_helper spec_co
local mp = require "luamp"

local functions = {functions = true}

local function copy(v)
  return mp.decode(mp.encode(v), functions)
end

local function failure(v)
  local ok, message = pcall(mp.encode, v)
  assert.is_false(ok)
  return message
end

describe("messages of plain data", function()
  it("keep integers, floats and their difference", function()
    for _, v in ipairs {0, -1, 127, 128, -129, 65536, math.maxinteger, math.mininteger, 1.0, 0.1, 1/0,
                        -1/0, 2^53} do
      local w = copy(v)
      assert.are.equal(v, w)
      assert.are.equal(math.type(v), math.type(w))
    end
    assert.are.equal(-1/0, 1 / copy(-0.0))
    local nan = copy(0/0)
    assert.is_true(nan ~= nan)
  end)

  it("keep nil, booleans and strings of any bytes and length", function()
    assert.are.equal(1, select("#", mp.decode(mp.encode(nil))))
    assert.is_nil(copy(nil))
    assert.is_true(copy(true))
    assert.is_false(copy(false))
    for _, n in ipairs {0, 1, 40, 63, 64, 255, 256, 4095, 4096, 2^20 // 1 | 0} do
      local s = ("\0\xff\n"):rep(n // 3 + 1):sub(1, n)
      assert.is_true(copy(s) == s)
    end
  end)

  it("keep tables: array and hash parts, holes, keys of any kind", function()
    local t = {1, 2, nil, 4, x = {y = {}}, [1.5] = "f", [true] = "b", [-3] = "i"}
    assert.are.same(t, copy(t))
    assert.are.equal(#t, #copy(t))
    local key, value = next(copy {[{1}] = {2}})
    assert.are.same({{1}, {2}}, {key, value})
  end)

  it("keep cycles and shared references", function()
    local t = {}
    t.self, t.list = t, {t, {t}}
    local u = copy(t)
    assert.is_true(u.self == u and u.list[1] == u and u.list[2][1] == u)
  end)

  it("reach any depth", function()
    local list
    for i = 1, 200000 do
      list = {i, list}
    end
    local u = copy(list)
    for i = 200000, 1, -1 do
      if u[1] ~= i then
        error("lost at " .. i)
      end
      u = u[2]
    end
  end)
end)

describe("functions in messages", function()
  it("bring their upvalues, shared among themselves", function()
    local n = 1
    local both = copy {function() n = n + 1 return n end, function() return n end}
    assert.are.equal(2, both[1]())
    assert.are.equal(2, both[2]())
    assert.are.equal(1, n)
  end)

  it("may be recursive", function()
    local function fact(i)
      return i == 0 and 1 or i * fact(i - 1)
    end
    assert.are.equal(3628800, copy(fact)(10))
  end)

  it("bring the script's globals, which never overwrite", function()
    _G.spec_helper = function(x) return x * _G.spec_factor end
    _G.spec_factor = 3
    local s = mp.encode(function(x) return spec_helper(x) + #string.rep("a", 2) end)
    _G.spec_helper, _G.spec_factor = nil, nil
    local f = mp.decode(s, functions)
    assert.are.equal(8, f(2))
    _G.spec_factor = 10
    mp.decode(s, functions)
    assert.are.equal(32, f(3))
    _G.spec_helper, _G.spec_factor = nil, nil
  end)

  it("are refused by decode unless asked for", function()
    for _, f in ipairs {function() end, print, string.rep} do
      local v, code, message = mp.decode(mp.encode {f})
      assert.is_nil(v)
      assert.are.equal("broken", code)
      assert.are.equal("functions are not accepted here", message)
    end
  end)

  it("travel by name when a module holds them", function()
    for _, f in ipairs {print, require, string.format, mp.encode, table.concat} do
      assert.are.equal(f, copy(f))
    end
    assert.are.equal(string, copy(string))
    assert.are.equal(mp, copy {mp}[1])
    package.preload.spec_module = function()
      return {f = function() return "f" end, sub = {t = {}}}
    end
    local m = require "spec_module"
    local s = mp.encode {m.f, m.sub.t}
    local d = mp.decode(s, functions)
    assert.is_true(d[1] == m.f and d[2] == m.sub.t)
    package.loaded.spec_module = nil
    local v, code, message = mp.decode(s)
    assert.is_nil(v)
    assert.are.equal("broken", code)
    assert.is_nil(package.loaded.spec_module)
    assert.truthy(message)
    assert.is_true(mp.decode(s, functions)[1] == require("spec_module").f)
    package.loaded.spec_module, package.preload.spec_module = nil, nil
    v, code, message = mp.decode(s, functions)
    assert.is_nil(v)
    assert.are.equal("broken", code)
    assert.truthy(message:find("spec_module", 1, true))
  end)
end)

describe("metatables in messages", function()
  it("travel by value, once", function()
    local Class = {}
    Class.__index = Class
    function Class.name() return "Class" end
    local d = copy {setmetatable({}, Class), setmetatable({}, Class)}
    assert.are.equal("Class", d[1].name())
    assert.is_true(getmetatable(d[1]) == getmetatable(d[2]))
  end)

  it("travel by name when registered", function()
    local Class = {__gc = function() end}
    local v = setmetatable({}, Class)
    assert.truthy(failure({v}):find("mp.register", 1, true))
    mp.register("spec.Class", Class)
    mp.register("spec.Class", Class)
    assert.has_error(function() mp.register("spec.Class", {}) end)
    assert.is_true(getmetatable(mp.decode(mp.encode(v))) == Class)
    for _, args in ipairs {{}, {1, {}}, {"x"}, {"x", 1}, {"", {}}} do
      assert.is_false(pcall(mp.register, table.unpack(args)))
    end
  end)

  it("are not consulted", function()
    local v = setmetatable({1, a = 2}, {__index = error, __pairs = error, __len = error, __metatable = 1})
    local w = copy(v)
    assert.are.equal(1, rawget(w, 1))
    assert.are.equal(2, rawget(w, "a"))
  end)
end)

describe("what cannot be sent", function()
  local co = coroutine.create(print)

  it("is named with the path to it", function()
    assert.are.equal("cannot send a coroutine at message.jobs[3].co", failure {jobs = {1, 2, {co = co}}})
    assert.are.equal('cannot send a coroutine at message["a b"][1.5]', failure {["a b"] = {[1.5] = co}})
    assert.are.equal("cannot send a coroutine at message.f (upvalue 'co')",
      failure {f = function() return co end})
    _G.spec_co = co
    assert.are.equal("cannot send a coroutine at message.f (global 'spec_co')",
      failure {f = function() return spec_co end})
    _G.spec_co = nil
    assert.are.equal("cannot send a coroutine at message.t (a key)", failure {t = {[co] = 1}})
    assert.truthy(failure {io.stdout}:find("open file (FILE*) at message[1]", 1, true))
    assert.truthy(failure {string.gmatch("a", "b")}:find("C function", 1, true))
    assert.truthy(failure {mp.Queue()}:find("at message[1]", 1, true))
  end)
end)

describe("decode", function()
  it("checks its arguments", function()
    assert.has_error(function() mp.decode() end)
    assert.has_error(function() mp.decode(5) end)
    assert.has_error(function() mp.decode("", {unknown = true}) end)
    assert.has_error(function() mp.encode() end)
  end)

  it("survives bytes that nobody made", function()
    local s = mp.encode {1, 2.5, "x", {a = {b = 1}}, n = {}, big = ("x"):rep(5000)}
    for i = 0, #s - 1 do
      assert.are.equal("broken", select(2, mp.decode(s:sub(1, i))))
    end
    math.randomseed(1)
    for _ = 1, 20000 do
      local i = math.random(#s)
      mp.decode(s:sub(1, i - 1) .. string.char(math.random(0, 255)) .. s:sub(i + 1))
    end
  end)
end)
