-- SPDX-License-Identifier: MIT
-- API.md section 9: Semaphore and BoundedSemaphore.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises, join, get = support.raises, support.join, support.get

local pack = table.pack

for _, class in ipairs{"Semaphore", "BoundedSemaphore"} do
  local new = mp[class]

  describe(class, function()
    after_each(support.clean)

    it("starts with one permit, or as many as are asked for", function()
      assert.equal(1, new():value())
      assert.equal(1, new(nil):value())
      assert.equal(5, new(5):value())
      assert.equal(0, new(0):value())
      assert.equal(3, new(3.0):value())
      assert.is_true(new(0):locked())
      assert.is_false(new(1):locked())
    end)

    it("has a name, a type and a constructor in lower case", function()
      assert.matches("^" .. class .. ": .* %(slots%)$", tostring(new(2, {name = "slots"})))
      assert.matches("%(gate%)$", tostring(new{name = "gate"}))
      assert.equal(class, mp.type(new()))
      assert.equal(class, mp.type(mp[class:gsub("(%l)(%u)", "%1_%2"):lower()]()))
    end)

    it("acquire takes until none is left, then times out", function()
      local s = new(2)
      assert.same({true, n = 1}, pack(s:acquire()))
      assert.same({true, n = 1}, pack(s:acquire(0)))
      assert.same({false, "timeout", n = 2}, pack(s:acquire(0)))
      assert.same({false, "timeout", n = 2}, pack(s:acquire(-1)))
      local start = mp.time()
      assert.same({false, "timeout", n = 2}, pack(s:acquire(0.06)))
      assert.is_true(mp.time() - start >= 0.06)
      assert.same({n = 0}, pack(s:release()))
      assert.equal(1, s:value())
      assert.is_true(s:acquire(math.huge))
    end)

    it("a release wakes one who waits", function()
      local s, told = new(1), mp.Queue()
      s:acquire()
      local waiters = {}
      for i = 1, 3 do
        waiters[i] = mp.spawn(function()
          s:acquire()
          told:put(i)
          mp.sleep(3600)
        end)
        support.waiting(waiters[i].pid)
      end
      s:release()
      local first = get(told)
      assert.is_true(told:empty())
      assert.equal(0, s:value())
      s:release() -- of a bounded one: the waiter's permit, from here
      assert.is_true(get(told) ~= first)
      s:release()
      get(told)
    end)

    it("with runs a function and releases, also when it raises", function()
      local s = new(1)
      local function f(...) return s:value(), ... end
      assert.same({0, "a", nil, "c", nil, n = 5}, pack(s:with(f, "a", nil, "c", nil)))
      assert.equal(1, s:value())
      assert.same({n = 0}, pack(s:with(function() end)))
      local object = {}
      local ok, raised = pcall(s.with, s, function() error(object) end)
      assert.is_true(not ok and raised == object)
      assert.equal(1, s:value())
      assert.equal(7, s:with(setmetatable({}, {__call = function(_, x) return x end}), 7))
    end)

    it("guard releases at the end of a scope, once", function()
      local s = new(1)
      do
        local held <close> = s:guard()
        assert.equal(0, s:value())
        assert.is_false(held.abandoned)
        assert.is_nil(held.something)
      end
      assert.equal(1, s:value())
      pcall(function()
        local held <close> = s:guard()
        error(held)
      end)
      assert.equal(1, s:value())
      local held = s:guard()
      local close = debug.getmetatable(held).__close
      close(held)
      close(held)
      assert.equal(1, s:value())
    end)

    it("raises for bad arguments", function()
      raises(function() new(-1) end, "#1", "-1")
      raises(function() new(1.5) end, "#1")
      raises(function() new("many") end, "#1", "number")
      raises(function() new(1 << 40) end, "#1", "at most")
      raises(function() new(1, {nme = "x"}) end, "nme")
      raises(function() new(1, {name = 5}) end, "name")
      raises(function() new(1, 2) end, "table")
      local s = new()
      raises(function() s:acquire("soon") end, "acquire", "number")
      raises(function() s:acquire(0 / 0) end, "acquire", "nan")
      raises(function() s:with() end, "with", "function")
      raises(function() s:with({}) end, "with", "function")
      raises(function() s.release(mp.Queue()) end, "release", "Semaphore", "Queue")
      raises(function() s.value() end, "value")
      assert.equal(1, s:value())
    end)

    it("travels", function()
      local s, q = new(1), mp.Queue()
      local p = mp.spawn(function() return get(q):acquire(0) end)
      q:put(s)
      assert.is_true(p:result(support.patience))
    end)

    it("keeps no more than its permits busy at a time", function()
      local s, log = new(2), mp.Queue()
      local workers = {}
      for i = 1, 5 do
        workers[i] = mp.spawn(function()
          for _ = 1, 40 do
            s:acquire()
            log:put(1)
            log:put(-1)
            s:release()
          end
        end)
      end
      for _, p in ipairs(workers) do assert.equal(0, join(p)) end
      local busy, most = 0, 0
      for _ = 1, #log do
        busy = busy + get(log)
        most = math.max(most, busy)
      end
      assert.equal(0, busy)
      assert.is_true(most <= 2 and most >= 1)
      assert.equal(2, s:value())
    end)

    it("gives back its memory", function()
      support.gives_back(300, function()
        local s = new(class == "BoundedSemaphore" and 200 or 3, {name = ("a long name "):rep(5)})
        s:acquire()
      end)
    end)

    it("Ctrl-C ends a wait", function()
      local run = support.start(([[
        local s = mp.%s(0)
        print("waiting") io.flush()
        s:acquire()
      ]]):format(class))
      run.line()
      support.waiting(run.pid)
      run.signal("INT")
      assert.is_true((run.finish()) ~= 0)
    end)
  end)
end

describe("Semaphore", function()
  after_each(support.clean)

  it("may be released more often than acquired, up to its greatest value", function()
    local s = mp.Semaphore(0)
    for i = 1, 5 do
      s:release()
      assert.equal(i, s:value())
    end
    local full = mp.Semaphore(2147483647)
    raises(function() full:release() end, "release", "2147483647")
    assert.equal(2147483647, full:value())
  end)

  it("does not give back what the dead took", function()
    local s = mp.Semaphore(3)
    local p = mp.spawn(function()
      s:acquire()
      mp.sleep(3600)
    end)
    support.eventually("it is taken", function() return s:value() == 2 end)
    join(p:kill())
    mp.stats()
    assert.equal(2, s:value())
  end)
end)

describe("BoundedSemaphore", function()
  after_each(support.clean)

  it("raises when it is released too often, and is as before", function()
    local s = mp.BoundedSemaphore(2, {name = "slots"})
    raises(function() s:release() end, "release", "slots", "2")
    s:acquire()
    s:release()
    raises(function() s:release() end, "release")
    assert.equal(2, s:value())
    raises(function() mp.BoundedSemaphore(0):release() end, "release")
  end)

  it("takes back the permits of a process that is killed, exactly", function()
    local s = mp.BoundedSemaphore(100)
    s:acquire()
    for _ = 1, 3 do
      local p = mp.spawn(function()
        for _ = 1, 99 do s:acquire() end
        mp.sleep(3600)
      end)
      support.eventually("all are taken", function() return s:value() == 0 end)
      p:kill()
      for _ = 1, 99 do assert.is_true(s:acquire(support.patience)) end
      assert.is_false((s:acquire(0)))
      for _ = 1, 99 do s:release() end
      assert.equal(99, s:value())
      join(p)
    end
  end)

  it("takes back the permits of a process that ends", function()
    local s = mp.BoundedSemaphore(3)
    join(mp.spawn(function()
      s:acquire()
      s:acquire()
    end))
    support.eventually("both are back", function()
      mp.stats()
      return s:value() == 3
    end)
    join(mp.spawn(function()
      local _ <close> = s:guard()
      os.exit(0, true)
    end))
    support.eventually("it is back", function()
      mp.stats()
      return s:value() == 3
    end)
  end)

  it("a permit may be released by another process", function()
    local s = mp.BoundedSemaphore(2)
    s:acquire()
    s:acquire()
    assert.equal(0, join(mp.spawn(function() s:release() end)))
    assert.equal(1, s:value())
    s:release()
    raises(function() s:release() end, "release")
  end)

  it("a waiter that is killed does not take a permit along", function()
    local s = mp.BoundedSemaphore(1)
    s:acquire()
    local p = mp.spawn(function() s:acquire() end)
    support.waiting(p.pid)
    s:release()
    p:kill()
    assert.is_true(s:acquire(support.patience))
    join(p)
  end)

  it("holds many permits", function()
    local s = mp.BoundedSemaphore(65536)
    for _ = 1, 1000 do s:acquire() end
    assert.equal(64536, s:value())
    for _ = 1, 1000 do s:release() end
    assert.equal(65536, s:value())
  end)
end)
