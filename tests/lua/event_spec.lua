-- SPDX-License-Identifier: MIT
-- API.md section 9: Event.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises, join = support.raises, support.join

local pack = table.pack

describe("Event", function()
  after_each(support.clean)

  it("is set and cleared, by anyone, any number of times", function()
    local e = mp.Event()
    assert.is_false(e:is_set())
    assert.same({n = 0}, pack(e:set()))
    assert.is_true(e:is_set())
    e:set()
    assert.is_true(e:is_set())
    assert.same({n = 0}, pack(e:clear()))
    assert.is_false(e:is_set())
    e:clear()
    assert.is_false(e:is_set())
    assert.equal(0, join(mp.spawn(function() e:set() end)))
    assert.is_true(e:is_set())
  end)

  it("has a name, a type and a constructor in lower case", function()
    assert.matches("^Event: .* %(go%)$", tostring(mp.Event{name = "go"}))
    assert.equal("Event", mp.type(mp.event()))
    assert.equal("Event", mp.type(mp.event()))
  end)

  it("wait returns at once when it is set, and times out when not", function()
    local e = mp.Event()
    assert.same({false, "timeout", n = 2}, pack(e:wait(0)))
    assert.same({false, "timeout", n = 2}, pack(e:wait(-1)))
    local start = mp.time()
    assert.same({false, "timeout", n = 2}, pack(e:wait(0.06)))
    assert.is_true(mp.time() - start >= 0.06)
    e:set()
    assert.same({true, n = 1}, pack(e:wait()))
    assert.same({true, n = 1}, pack(e:wait(0)))
    e:clear()
    assert.is_false((e:wait(0)))
  end)

  it("set wakes all who wait, also when it is cleared at once", function()
    local e = mp.Event()
    for _ = 1, 5 do
      local waiters = {}
      for i = 1, 4 do
        waiters[i] = mp.spawn(function() return e:wait() end)
        support.waiting(waiters[i].pid)
      end
      for _, p in ipairs(waiters) do assert.is_true(p:is_alive()) end
      e:set()
      e:clear()
      for _, p in ipairs(waiters) do assert.same({true, n = 1}, pack(p:result(support.patience))) end
    end
  end)

  it("a waiter that is killed does not matter to anyone", function()
    local e = mp.Event()
    local first = mp.spawn(function() e:wait() end)
    local second = mp.spawn(function() return e:wait() end)
    support.waiting(first.pid)
    support.waiting(second.pid)
    join(first:kill())
    e:set()
    assert.is_true(second:result(support.patience))
  end)

  it("travels", function()
    local e, q = mp.Event(), mp.Queue()
    local p = mp.spawn(function() support.get(q):set() end)
    q:put(e)
    assert.is_true(e:wait(support.patience))
    join(p)
  end)

  it("raises for bad arguments", function()
    local e = mp.Event()
    raises(function() mp.Event(1) end, "Event", "table")
    raises(function() mp.Event{nme = 1} end, "Event", "nme")
    raises(function() e:wait("x") end, "wait", "number")
    raises(function() e:wait(0 / 0) end, "wait", "nan")
    raises(function() e.set(mp.Queue()) end, "set", "Event", "Queue")
    raises(function() e.is_set() end, "is_set", "Event")
    assert.is_false(e:is_set())
  end)

  it("gives back its memory", function()
    support.gives_back(1000, function()
      mp.Event{name = ("a long name "):rep(5)}:set()
    end)
  end)

  it("Ctrl-C ends a wait", function()
    local run = support.start([[
      local e = mp.Event()
      print("waiting") io.flush()
      e:wait()
    ]])
    run.line()
    support.waiting(run.pid)
    run.signal("INT")
    assert.is_true((run.finish()) ~= 0)
  end)
end)
