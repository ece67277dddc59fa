-- SPDX-License-Identifier: MIT
-- Value and Array: types, ranges, atomics, bulk operations, and their life.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises = support.raises

local INTEGERS = {
  b = {-128, 127}, B = {0, 255}, h = {-32768, 32767}, H = {0, 65535},
  i = {-2147483648, 2147483647}, I = {0, 4294967295},
  l = {math.mininteger, math.maxinteger}, q = {math.mininteger, math.maxinteger},
}
local SIZES = {b = 1, B = 1, h = 2, H = 2, i = 4, I = 4, l = 8, L = 8, q = 8, Q = 8, f = 4, d = 8,
  ["?"] = 1, c = 1}
local ZEROS = {["?"] = false, c = "\0"}

describe("Value", function()
  after_each(support.clean)

  it("begins with zero or what it is given", function()
    for code in pairs(SIZES) do
      local zero = ZEROS[code]
      if zero == nil then zero = 0 end
      assert.equal(zero, mp.Value(code).value)
      assert.equal(zero, mp.Value(code, nil).value)
    end
    assert.equal(42, mp.Value("i", 42).value)
    assert.equal(2.5, mp.Value("d", 2.5).value)
    assert.equal(true, mp.Value("?", true).value)
    assert.equal("x", mp.Value("c", "x").value)
    assert.equal("float", math.type(mp.Value("f", 1).value))
    assert.equal("integer", math.type(mp.Value("q", 1.0).value))
  end)

  it("has its names", function()
    assert.equal("Value", mp.type(mp.Value("i")))
    assert.matches("^Value: 0x%x+ %(hits%)$", tostring(mp.Value("i", 1, {name = "hits"})))
    assert.matches("^Value: 0x%x+ %(hits%)$", tostring(mp.value("i", {name = "hits"})))
    assert.equal("Value", mp.type(mp.RawValue("i")))
    assert.equal("Value", mp.type(mp.raw_value("i")))
  end)

  it("takes the whole range of its type and nothing beyond", function()
    for code, range in pairs(INTEGERS) do
      local v = mp.Value(code)
      for _, x in ipairs(range) do
        v.value = x
        assert.equal(x, v.value)
        v.value = x + 0.0 == x and math.tointeger(x + 0.0) and x + 0.0 or x
        assert.equal(x, v.value)
      end
      v.value = 1
      if SIZES[code] < 8 then
        for _, x in ipairs{range[1] - 1, range[2] + 1, 2.0 ^ 40, -2.0 ^ 40, math.maxinteger} do
          raises(function() v.value = x end, "value", "does not fit", code)
        end
      else
        raises(function() v.value = 2.0 ^ 63 end, "value", "does not fit", code)
      end
      for _, x in ipairs{0.5, -1.5, 0 / 0, math.huge, -math.huge, "1", true, {}, "x"} do
        raises(function() v.value = x end, "value")
        raises(function() v:exchange(x) end, "exchange")
        raises(function() v:compare_exchange(1, x) end, "compare_exchange")
        raises(function() v:compare_exchange(x, 1) end, "compare_exchange")
        if type(x) ~= "table" then -- which would be options
          raises(function() local _ = mp.Value(code, x) end, "Value")
        end
      end
      assert.equal(1, v.value)
    end
  end)

  it("shows unsigned 64-bit numbers as Lua integers of the same bits", function()
    for _, code in ipairs{"L", "Q"} do
      local v = mp.Value(code, math.maxinteger)
      assert.equal(math.mininteger, v:add(1))
      v.value = -1
      assert.equal(-1, v.value)
      v.value = 2.0 ^ 63
      assert.equal(math.mininteger, v.value)
      v.value = 1.8446744073709550e19
      assert.is_true(math.ult(math.maxinteger, v.value))
      for _, x in ipairs{2.0 ^ 64, -2.0 ^ 63 * 2, 0.5} do
        raises(function() v.value = x end)
      end
    end
  end)

  it("rounds to 'f', keeps 'd' and special floats", function()
    local f, d = mp.Value("f"), mp.Value("d")
    f.value, d.value = 0.1, 0.1
    assert.equal(string.unpack("f", string.pack("f", 0.1)), f.value)
    assert.equal(0.1, d.value)
    for _, v in ipairs{f, d} do
      for _, x in ipairs{math.huge, -math.huge} do
        v.value = x
        assert.equal(x, v.value)
      end
      v.value = 0 / 0
      assert.is_true(v.value ~= v.value)
      v.value = -0.0
      assert.equal(-math.huge, 1 / v.value)
      raises(function() v.value = "1.5" end, "number expected, got string")
    end
    raises(function() f.value = 1e300 end, "1e+300 does not fit into 'f'")
    d.value = 1e300
  end)

  it("wants booleans and characters for '?' and 'c'", function()
    local b, c = mp.Value("?"), mp.Value("c")
    raises(function() b.value = 1 end, "boolean expected, got number")
    raises(function() b.value = nil end, "boolean expected, got nil")
    raises(function() c.value = 65 end, "one byte expected, got number")
    raises(function() c.value = "" end, "one byte", "0 bytes")
    raises(function() c.value = "ab" end, "one byte", "2 bytes")
    raises(function() b:add(1) end, "add", "?")
    raises(function() c:add(1) end, "add", "c")
    c.value = "\255"
    assert.equal("\255", c.value)
    assert.same({true, "\255"}, {c:compare_exchange("\255", "a")})
    assert.equal("a", c:exchange("\0"))
    assert.same({false, false}, {b:compare_exchange(true, true)})
    assert.is_false(b:exchange(true))
  end)

  it("adds and wraps as the type does", function()
    local v = mp.Value("B", 250)
    assert.equal(4, v:add(10))
    assert.equal(250, v:add(-10))
    assert.equal(249, v:add(1023))
    v = mp.Value("b", 127)
    assert.equal(-128, v:add(1))
    v = mp.Value("q", math.maxinteger)
    assert.equal(math.mininteger, v:add(1))
    v = mp.Value("d", 0.5)
    assert.equal(2.0, v:add(1.5))
    raises(function() mp.Value("i"):add(0.5) end, "add", "0.5")
    raises(function() mp.Value("i"):add("1") end, "number expected, got string")
    raises(function() mp.Value("i"):add() end, "number expected")
    raises(function() mp.Value("d"):add("1") end, "number expected")
    assert.equal(3, mp.Value("i", 1):add(2.0))
  end)

  it("exchanges and compares", function()
    local v = mp.Value("i", 3)
    assert.equal(3, v:exchange(4))
    assert.same({false, 4}, {v:compare_exchange(3, 5)})
    assert.same({true, 4}, {v:compare_exchange(4, 5)})
    assert.equal(5, v.value)
    local f = mp.Value("d", 0 / 0)
    assert.is_true((f:compare_exchange(0 / 0, -0.0)))
    assert.is_true((f:compare_exchange(0.0, 1.0)))
  end)

  it("has no other fields", function()
    local v = mp.Value("i")
    raises(function() v.valeu = 1 end, "valeu")
    raises(function() v[1] = 1 end, "1")
    assert.is_nil(v.valeu)
    assert.is_nil(v[1])
    raises(function() v.add(1, 1) end, "Value expected")
    raises(function() v.add(mp.Queue(), 1) end, "Value expected")
    raises(function() return #v end)
    assert.is_false(getmetatable(v))
  end)

  it("refuses what is no type code and what is no option", function()
    for _, code in ipairs{"x", "", "ii", "u", "\0"} do
      raises(function() local _ = mp.Value(code) end, "Value", "unknown type code")
    end
    raises(function() local _ = mp.Value() end, "string expected")
    raises(function() local _ = mp.Value(1) end, "string expected, got number")
    raises(function() local _ = mp.Value("i", 1, {nam = "x"}) end, "unknown option 'nam'")
    raises(function() local _ = mp.Value("i", {lock = false}) end, "unknown option 'lock'")
  end)

  it("is the same in all processes, and adds up", function()
    local v, f = mp.Value("q"), mp.Value("d")
    local processes = {}
    for k = 1, 8 do
      processes[k] = mp.spawn(function()
        for _ = 1, 20000 do
          v:add(1)
          f:add(0.5)
        end
      end)
    end
    for _, p in ipairs(processes) do
      assert.equal(0, support.join(p))
    end
    assert.equal(160000, v.value)
    assert.equal(80000.0, f.value)
  end)
end)

describe("Array", function()
  after_each(support.clean)

  it("is made of zeros, a table, or bytes", function()
    assert.equal(0, #mp.Array("d", 0))
    local a = mp.Array("i", 5)
    assert.equal(5, #a)
    assert.same({0, 0, 0, 0, 0}, a:table())
    assert.same({1, 2, 3}, mp.Array("h", {1, 2.0, 3}):table())
    assert.same({}, mp.Array("h", {}):table())
    assert.same({"h", "e", "y"}, mp.Array("c", "hey"):table())
    assert.same({1, 256}, mp.Array("H", string.pack("HH", 1, 256)):table())
    assert.same({true, false}, mp.Array("?", {true, false}):table())
    assert.equal(3, #mp.Array("d", 3.0))
    assert.equal("Array", mp.type(mp.RawArray("d", 1)))
    assert.equal("Array", mp.type(mp.raw_array("d", 1)))
    assert.matches("%(grid%)$", tostring(mp.array("d", 1, {name = "grid"})))
  end)

  it("refuses what it cannot be made of", function()
    raises(function() local _ = mp.Array("i", -1) end, "Array", "-1")
    raises(function() local _ = mp.Array("i", 1.5) end, "Array")
    raises(function() local _ = mp.Array("i") end, "length, table or string expected")
    raises(function() local _ = mp.Array("i", true) end, "length, table or string expected")
    raises(function() local _ = mp.Array("i", "abc") end, "3 bytes")
    raises(function() local _ = mp.Array("B", {1, 256}) end, "element 2", "256 does not fit into 'B' (0 to 255)")
    raises(function() local _ = mp.Array("B", {1, "2"}) end, "element 2", "number expected, got string")
    raises(function() local _ = mp.Array("z", 1) end, "unknown type code 'z'")
    raises(function() local _ = mp.Array("z", 1, {size = 1}) end, "z")
    raises(function() local _ = mp.Array("d", 1, {size = 1}) end, "unknown option 'size'")
    for _, n in ipairs{1 << 50, math.maxinteger} do
      raises(function() local _ = mp.Array("d", n) end, "cannot make an Array",
        "larger than the family's shared memory")
    end
  end)

  it("gives and takes elements by index", function()
    for code, size in pairs(SIZES) do
      for _, n in ipairs{1, 7, 320 // size, 320 // size + 1, 5000} do
        local a = mp.Array(code, n)
        local x, y = 1, 0
        if code == "?" then x, y = true, false elseif code == "c" then x, y = "x", "\0" end
        a[1], a[n] = x, x
        support.sure(a[1] == x and a[n] == x and (n < 3 or a[2] == y))
        a[1.0] = y
        support.sure(a[1] == y and (n == 1 or a[n + 0.0] == x))
        support.sure(#a == n)
      end
    end
  end)

  it("raises outside, and changes nothing", function()
    local a = mp.Array("B", {1, 2, 3})
    for _, i in ipairs{0, 4, -1, math.maxinteger, math.mininteger, 1.5, 0 / 0, 2.0 ^ 63} do
      raises(function() return a[i] end, "out of range (1 to 3)")
      raises(function() a[i] = 1 end, "out of range (1 to 3)")
      raises(function() a:add(i, 1) end, "add")
      raises(function() a:exchange(i, 1) end, "exchange")
      raises(function() a:compare_exchange(i, 1, 1) end, "compare_exchange")
    end
    for _, x in ipairs{256, -1, 0.5, "1", true, {}} do
      raises(function() a[1] = x end, "element 1")
      raises(function() a:fill(x) end, "fill")
      raises(function() a:exchange(1, x) end, "exchange")
      raises(function() a:set({1, x}) end, "set", "element 2")
    end
    raises(function() a[2] = nil end, "element 2", "number expected, got nil")
    raises(function() a.x = 1 end, "'x'")
    raises(function() a[{}] = 1 end, "field")
    assert.is_nil(a.x)
    assert.is_nil(a[true])
    raises(function() return mp.Array("d", 0)[1] end, "empty")
    assert.same({1, 2, 3}, a:table())
  end)

  it("changes elements in one step", function()
    local a = mp.Array("i", {10, 20})
    assert.equal(15, a:add(1, 5))
    assert.equal(20, a:exchange(2, 7))
    assert.same({true, 7}, {a:compare_exchange(2, 7, 8)})
    assert.same({false, 8}, {a:compare_exchange(2, 7, 9)})
    assert.same({15, 8}, a:table())
  end)

  it("is walked in order, also with break", function()
    local a = mp.Array("d", {1, 2, 3, 4})
    local seen = {}
    for i, x in ipairs(a) do
      seen[i] = x
    end
    assert.same({1, 2, 3, 4}, seen)
    for i in ipairs(mp.Array("d", 0)) do
      error("no element " .. i)
    end
    for _, x in ipairs(a) do
      if x == 2 then break end
    end
    local function collect(...)
      local list = {}
      for x in a:iter(...) do
        list[#list + 1] = x
        if x == 99 then break end
      end
      return list
    end
    assert.same({1, 2, 3, 4}, collect())
    assert.same({2, 3, 4}, collect(2))
    assert.same({2, 3}, collect(2, 3))
    assert.same({}, collect(3, 2))
    assert.same({}, collect(5))
    raises(function() a:iter(6) end, "iter", "6")
    raises(function() a:iter(0) end, "iter", "0")
    raises(function() a:iter(1, 5) end, "iter", "5")
    local flags = mp.Array("?", {false, true, false})
    local n = 0
    for _ in flags:iter() do n = n + 1 end
    for _ in ipairs(flags) do n = n + 1 end
    assert.equal(6, n)
    assert.same({1, 2, 3, 4}, {table.unpack(a)})
    -- Only the iterator of ipairs may look one element too far.
    raises(function() return select(2, ipairs(a)) and a[5] end, "out of range")
  end)

  it("fills ranges", function()
    local a = mp.Array("h", 6)
    a:fill(7)
    a:fill(1, 5)
    a:fill(2, 2, 3)
    a:fill(9, 4, 3)
    a:fill(9, 7)
    assert.same({7, 2, 2, 7, 1, 1}, a:table())
    raises(function() a:fill(1, 0) end, "fill", "index 0")
    raises(function() a:fill(1, 8) end, "fill", "index 8")
    raises(function() a:fill(1, 1, 7) end, "fill", "index 7")
    raises(function() a:fill() end, "fill")
    assert.same({7, 2, 2, 7, 1, 1}, a:table())
  end)

  it("becomes tables and arguments", function()
    local a = mp.Array("c", "lua5.4")
    assert.equal("lua5.4", table.concat(a:table()))
    assert.equal("5.4", table.concat(a:table(4)))
    assert.equal("ua", table.concat(a:table(2, 3)))
    assert.same({}, a:table(4, 3))
    assert.same({"l", "u", "a", "5", ".", "4"}, {a:unpack()})
    assert.same({"5", "."}, {a:unpack(4, 5)})
    assert.equal(0, select("#", a:unpack(7)))
    raises(function() a:table(0) end, "table")
    raises(function() return a:unpack(1, 7) end, "unpack")
    raises(function() return mp.Array("b", 10000000):unpack() end, "too many results")
  end)

  it("is set from tables, wholly or not at all", function()
    local a = mp.Array("i", 700)
    local list = {}
    for i = 1, 700 do list[i] = i end
    a:set(list)
    for i = 1, 700 do support.sure(a[i] == i) end
    list[700] = 2 ^ 31
    for i = 1, 699 do list[i] = -i end
    raises(function() a:set(list) end, "set", "element 700")
    for i = 1, 700 do support.sure(a[i] == i) end
    a:set({-1, -2}, 699)
    assert.same({698, -1, -2}, a:table(698))
    a:set({}, 701)
    raises(function() a:set({1, 2}, 700) end, "set", "2 elements from index 700 on are out of range (1 to 700)")
    raises(function() a:set({1}, 0) end, "set")
    raises(function() a:set({}, 702) end, "set")
    raises(function() a:set("x") end, "table expected")
    -- Raw: what a metamethod would say is not asked.
    local strange = setmetatable({5}, {__index = function() error("asked") end, __len = function() error("asked") end})
    a:set(strange)
    assert.equal(5, a[1])
  end)

  it("copies within itself and from others", function()
    local a = mp.Array("d", {1, 2, 3, 4, 5})
    a:copy(a, 1, 4, 2)
    assert.same({1, 1, 2, 3, 4}, a:table())
    a:copy(a, 2, 5)
    assert.same({1, 2, 3, 4, 4}, a:table())
    local b = mp.Array("d", 7)
    b:copy(a)
    b:copy(a, 5, 5, 7)
    b:copy(a, 6, 5, 8)
    assert.same({1, 2, 3, 4, 4, 0, 4}, b:table())
    raises(function() a:copy(b) end, "copy", "7 elements from index 1 on are out of range (1 to 5)")
    raises(function() a:copy(b, 1, 5, 2) end, "copy")
    raises(function() a:copy(b, 0) end, "copy")
    raises(function() a:copy(b, 1, 8) end, "copy")
    raises(function() a:copy(mp.Array("f", 1)) end, "Array of 'd' expected, got one of 'f'")
    raises(function() a:copy({1}) end, "Array expected")
    assert.same({1, 2, 3, 4, 4}, a:table())
    mp.Array("l", 1):copy(mp.Array("q", 1))
  end)

  it("has its bytes as a string", function()
    local a = mp.Array("i", {1, -2})
    assert.equal(string.pack("i4i4", 1, -2), a:string())
    a:setstring(string.pack("i4", 77), 2)
    assert.same({1, 77}, a:table())
    a:setstring("", 3)
    raises(function() a:setstring("abc") end, "3 bytes")
    raises(function() a:setstring(string.pack("i4", 1), 3) end, "setstring")
    raises(function() a:setstring(string.pack("i4", 1), 0) end, "setstring")
    raises(function() a:setstring(12) end, "string expected")
    assert.same({1, 77}, a:table())
    assert.equal("", mp.Array("d", 0):string())
  end)

  it("sums, finds the least, the greatest and the first", function()
    local a = mp.Array("b", {5, -3, 100, 100})
    assert.same({202, -3, 100}, {a:sum(), a:min(), a:max()})
    assert.same({3, 4}, {a:find(100), a:find(100.0, 4)})
    assert.is_nil(a:find(1))
    assert.is_nil(a:find(1000))
    assert.is_nil(a:find(0.5))
    assert.is_nil(a:find(100, 5))
    raises(function() a:find(100, 6) end, "find")
    raises(function() a:find(100, 0) end, "find")
    raises(function() a:find("x") end, "number expected")
    raises(function() a:find() end, "find")
    local empty = mp.Array("d", 0)
    assert.same({0.0}, {empty:sum(), empty:min(), empty:max(), empty:find(1)})
    assert.equal("float", math.type(empty:sum()))
    local q = mp.Array("Q", {-1, 1, 5})
    assert.same({5, 1, -1}, {q:sum(), q:min(), q:max()})
    local nan = 0 / 0
    local d = mp.Array("d", {nan, 2.5, -nan, -1, math.huge})
    assert.is_true(d:sum() ~= d:sum())
    assert.same({-1.0, math.huge, 1, 3}, {d:min(), d:max(), d:find(nan), d:find(nan, 2)})
    assert.is_true(mp.Array("d", {nan}):min() ~= mp.Array("d", {nan}):min())
    local f = mp.Array("f", {0.1})
    assert.equal(1, f:find(0.1))
    local flags = mp.Array("?", {false, true, true})
    assert.same({2, 2, 1}, {flags:sum(), flags:find(true), flags:find(false)})
    raises(function() flags:min() end, "?")
    local text = mp.Array("c", "mississippi")
    assert.same({"i", "s", 3}, {text:min(), text:max(), text:find("s")})
    raises(function() text:sum() end, "c")
  end)

  it("sorts", function()
    for code, size in pairs(SIZES) do
      if not ZEROS[code] and code ~= "?" then
        local n = 3000
        local a = mp.Array(code, n)
        for i = 1, n do
          local x = math.random(0, 127)
          if size == 8 then x = math.random(0) >> 2 end
          if (code == code:lower()) and math.random(2) == 1 then x = -x end
          a[i] = x
        end
        local list = a:table()
        table.sort(list)
        a:sort()
        for i = 1, n do support.sure(a[i] == list[i]) end
      end
    end
    local text = mp.Array("c", "hello")
    text:sort()
    assert.equal("ehllo", text:string())
    local flags = mp.Array("?", {true, false, true})
    flags:sort()
    assert.same({false, true, true}, flags:table())
    local nan = 0 / 0
    local d = mp.Array("d", {nan, 1, -0.0, -nan, 0.0, -math.huge})
    d:sort()
    assert.equal("-inf -0.0 0.0 1.0", ("%s %s %s %s"):format(d:unpack(1, 4)))
    assert.is_true(d[5] ~= d[5] and d[6] ~= d[6])
  end)

  it("travels: as argument, upvalue and message", function()
    local a, v, q = mp.Array("d", 1000), mp.Value("i"), mp.Queue()
    local p = mp.spawn(function(b)
      b[1] = 1.5
      a[2] = 2.5
      q:put({array = b, value = v})
      local got = q:get()
      return got.array == b, #b, got.value.value
    end, a)
    assert.same({true, 1000, 0}, {p:result()})
    assert.same({1.5, 2.5}, a:table(1, 2))
    local b = mp.Array("i", {1, 2, 3})
    q:put(b)
    assert.equal(b, q:get()) -- one value for one object
    q:put(mp.Array("i", {4, 5, 6}))
    collectgarbage()
    assert.same({4, 5, 6}, q:get():table())
  end)

  it("gives its memory back", function()
    support.gives_back(300, function()
      local a = mp.Array("d", 10000)
      a:fill(1)
      local _ = {mp.Value("i", 3), mp.Array("c", "short")}
    end)
    support.gives_back(3, function()
      local a = mp.Array("d", 100000)
      local p = mp.spawn(function() a:fill(1) mp.sleep(100) end)
      support.eventually("it is filled", function() return a[100000] == 1 end)
      p:kill()
      support.join(p)
    end)
  end)

  it("is as large as memory allows, again and again", function()
    local half = mp.stats().limit // 8 // 3
    if half > 20000000 then half = 20000000 end -- touching more takes too long
    for _ = 1, 4 do
      local a = mp.Array("d", half)
      a[half] = 1
    end
  end)

  it("works in coroutines, and in finalisers up to the end", function()
    local out = support.output[[
      local a, v = mp.Array("i", {1, 2, 3}), mp.Value("i", 4)
      local p = mp.spawn(function() return 1 end) -- a child that reaches neither
      assert(p:result() == 1)
      local co = coroutine.wrap(function() a[1] = 10 coroutine.yield(v:add(1)) end)
      assert(co() == 5)
      setmetatable({}, {__gc = function() pcall(function() return a[1] + #a + v.value end) end})
      print(a[1])
    ]]
    assert.equal("10\n", out)
  end)
end)

describe("The lock of a Value or an Array", function()
  after_each(support.clean)

  it("is one RLock for all processes", function()
    for _, x in ipairs{mp.Value("i", 0, {name = "total"}), mp.Array("i", 3, {name = "total"})} do
      local lock = x:get_lock()
      assert.equal("RLock", mp.type(lock))
      assert.matches("%(total%)$", tostring(lock))
      assert.equal(lock, x:get_lock())
      assert.is_true(lock:acquire())
      assert.is_true(lock:acquire())
      local p = mp.spawn(function() return x:get_lock():acquire(0) end)
      assert.same({false, "timeout"}, {p:result()})
      lock:release()
      lock:release()
      p = mp.spawn(function() return x:get_lock() == lock, (x:get_lock():acquire(0)) end)
      assert.same({true, true}, {p:result()})
    end
    assert.not_equal(mp.Value("i"):get_lock(), mp.Value("i"):get_lock())
  end)

  it("is held during with, which passes on arguments, results and errors", function()
    local v, a = mp.Value("i", 1), mp.Array("i", {1, 2})
    assert.same({v, 5, nil, 7}, {v:with(function(x, five, none, seven)
      assert(v:get_lock():locked())
      return x, five, none, seven
    end, 5, nil, 7)})
    assert.same({3}, {a:with(function(x) return x[1] + x[2] end)})
    raises(function() v:with(function() error("oops") end) end, "oops")
    assert.is_false(v:get_lock():locked())
    raises(function() v:with() end, "with")
    raises(function() v:with(5) end, "with")
    raises(function() v.with(a, print) end, "Value expected")
    raises(function() a.get_lock(v) end, "Array expected")
  end)

  it("makes several steps one", function()
    local v, processes = mp.Value("i"), {}
    for k = 1, 4 do
      processes[k] = mp.spawn(function()
        for _ = 1, 2000 do
          v:with(function(x) x.value = x.value + 1 end)
        end
      end)
    end
    for _, p in ipairs(processes) do
      assert.equal(0, support.join(p))
    end
    assert.equal(8000, v.value)
  end)

  it("is abandoned by a killed owner, and said to be", function()
    local v, q = mp.Value("i"), mp.Queue()
    local p = mp.spawn(function()
      v:with(function() q:put("held") mp.sleep(100) end)
    end)
    assert.equal("held", support.get(q))
    p:kill()
    support.join(p)
    assert.same({v, "x", "abandoned"}, {v:with(function(...) return ... end, "x")})
    assert.same({v, "x"}, {v:with(function(...) return ... end, "x")})
  end)

  it("stays while the array does, and goes with it", function()
    local q = mp.Queue()
    local function once()
      local a = mp.Array("i", 100)
      local lock = a:get_lock()
      assert(lock:acquire())
      lock = nil -- luacheck: ignore 311
      collectgarbage()
      mp.stats()
      assert(a:get_lock():locked())
      a:get_lock():release()
      q:put(a)
      a = nil -- luacheck: ignore 311
      collectgarbage()
      mp.stats()
      assert(q:get():get_lock():acquire(0))
    end
    support.gives_back(30, once)
  end)
end)

describe("Killed adders", function()
  after_each(support.clean)

  it("tear nothing and lose nothing that they had added", function()
    local a, done = mp.Array("q", 4), mp.Value("q")
    local kills = tonumber(os.getenv("LUAMP_KILLS")) or 12
    for round = 1, kills do
      local workers = {}
      for k = 1, 3 do
        workers[k] = mp.spawn(function()
          while true do
            for i = 1, 4 do a:add(i, 1) end
            done:add(1)
            local _ = mp.Array("d", 100)
          end
        end)
      end
      local from = done.value
      support.eventually("they add", function() return done.value > from + 100 end)
      for _, p in ipairs(workers) do
        p:kill()
        support.join(p)
      end
      for i = 1, 4 do
        support.sure(a[i] >= done.value and a[i] <= done.value + 3 * round)
      end
    end
  end)
end)
