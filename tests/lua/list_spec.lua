-- SPDX-License-Identifier: MIT
-- API.md section 10: List.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local join, raises, sure = support.join, support.raises, support.sure

local LONG <const> = ("long "):rep(4000)

describe("a List", function()
  after_each(support.clean)

  it("does what a table does with table.insert and table.remove", function()
    local l, t = mp.List(), {}
    math.randomseed(7)
    for step = 1, 3000 do
      local event = math.random(step % 1000 < 600 and 5 or 8)
      local i = math.random(#t + 1)
      if event <= 2 then
        l:insert(i, step)
        table.insert(t, i, step)
      elseif event == 3 then
        l:append(step)
        t[#t + 1] = step
      elseif event == 4 then
        l[i] = step
        t[i] = step
      elseif event % 2 == 1 then
        assert.equal(table.remove(t), l:pop())
      elseif #t > 0 then
        assert.equal(table.remove(t, i), (l:pop(i)))
      end
      sure(#l == #t and l[i] == t[i] and l[#t] == t[#t] and l[#t + 1] == nil)
      if step % 250 == 0 then assert.same(t, l:table()) end
    end
  end)

  it("reads like a table, also out of range", function()
    local l = mp.list{name = "results"}
    assert.equal("List", mp.type(l))
    assert.matches("%(results%)$", tostring(l))
    for i = 1, 5 do l[i] = i * i end
    assert.same({1, 4, 9, 16, 25}, l:table())
    assert.same({4, 9}, l:table(2, 3))
    assert.same({16, 25}, l:table(4, 100))
    assert.same({}, l:table(4, 3))
    assert.same({}, {l[0], l[-1], l[6], l[1 << 40], l[math.mininteger], l[1.5], l.field})
    assert.equal(4, l[2.0])
    for _, walk in ipairs{ipairs, pairs} do
      local t = {}
      for i, v in walk(l) do t[i] = v end
      assert.same(l:table(), t)
      for i in walk(l) do
        if i == 2 then break end
      end
    end
  end)

  it("has no holes", function()
    local l = mp.List()
    l:append(1)
    l:append(2)
    raises(function() l[1] = nil end, "pop")
    raises(function() l[4] = 1 end, "4", "bounds")
    raises(function() l[0] = 1 end, "0", "bounds")
    raises(function() l[1.5] = 1 end, "integer", "1.5")
    raises(function() l.x = 1 end, "integer", "x")
    raises(function() l:insert(4, 1) end, "4", "bounds")
    raises(function() l:insert(1, nil) end, "nil")
    raises(function() l:insert(1.5, 1) end, "integer")
    raises(function() l:append(nil) end, "nil")
    raises(function() l:append(coroutine.create(print)) end, "coroutine")
    raises(function() l:pop(4) end, "4", "bounds")
    raises(function() l:pop(0) end, "0", "bounds")
    assert.is_nil(l:pop(3))
    assert.same({1, 2}, l:table())
    l[2] = nil
    l[3] = nil
    l[1] = nil
    assert.equal(0, #l)
    assert.is_nil(l:pop())
  end)

  it("holds every sendable value", function()
    local l = mp.List()
    local values = {true, false, 0.5, "", LONG, {1, {LONG}}, mp.Queue(), l}
    for i, v in ipairs(values) do l:insert(1, v) sure(#l == i) end
    for i = #values, 1, -1 do
      local v = l[1]
      assert.same(values[i], v)
      assert.same(v, l:pop(1))
    end
  end)

  it("is one for all processes", function()
    local l = mp.List()
    local p = {}
    for i = 1, 4 do
      p[i] = mp.spawn(function()
        for n = 1, 500 do
          l:append(i * 1000 + n)
          if n % 5 == 0 then l:insert(1, "front") end
          if n % 5 == 0 then sure(l:pop(1) ~= nil) end
        end
      end)
    end
    for i = 1, 4 do assert.equal(0, join(p[i])) end
    assert.equal(2000, #l)
  end)

  it("gives a table as it is at one moment", function()
    local l, stop = mp.List(), mp.Event()
    for i = 1, 1000 do l:append(i % 300 == 0 and {i, LONG, l} or i) end
    local p = mp.spawn(function()
      while not stop:is_set() do
        l:insert(1, 0)
        l:pop(1)
      end
    end)
    for _ = 1, 100 do
      local t = l:table()
      local first = t[1] == 0 and 1 or 0
      sure(#t == 1000 + first)
      for i = 1, 1000 do
        local v = t[i + first]
        sure((type(v) == "table" and v[1] or v) == i)
      end
      t = l:table(500, 600)
      sure(#t == 101 and (t[101] == 600 or t[101] == 599 or t[101][1] == 600))
    end
    stop:set()
    assert.equal(0, join(p))
    support.gives_back(3, function()
      local q = mp.spawn(function()
        for _ = 1, 300 do
          l:insert(1, {0, l})
          l:pop(1)
        end
      end)
      for _ = 1, 3 do l:table() end
      assert.equal(0, join(q))
    end)
  end)

  it("gives its memory back", function()
    support.gives_back(30, function()
      local l = mp.List()
      for i = 1, 300 do l:append(i % 20 == 0 and LONG or {i}) end
      l:append{l, mp.Queue()}
      for _ = 1, 150 do l:pop(1) end
    end)
    local l = mp.List()
    support.gives_back(20, function()
      for i = 1, 300 do l:append(i % 20 == 0 and LONG or {i}) end
      while #l > 0 do l:pop() end
    end)
  end)
end)
