-- SPDX-License-Identifier: MIT
-- API.md sections 12 and 14: waiting for the first of several things.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

-- The number of the descriptor that this process has on `path`.
local function descriptor(path)
  local pid = mp.current_process().pid
  local command = ("for f in /proc/%d/fd/*; do test \"$(readlink $f)\" = %s && echo ${f##*/}; done"):format(pid,
    support.quote(path))
  local pipe <close> = assert(io.popen(command))
  return assert(math.tointeger(tonumber((pipe:read("l")))))
end

-- A file with a descriptor of its own; `fifo`: nothing to read until somebody writes.
local function open(fifo)
  local path = support.write("text")
  if fifo then
    os.remove(path)
    assert(os.execute("mkfifo " .. support.quote(path)))
  end
  local file = assert(io.open(path, fifo and "r+" or "r"))
  return file, descriptor(path), path
end

-- Waits, with a watchdog, and returns the positions in the list of those that are ready.
local function wait(list)
  local ready = mp.wait(list, support.patience)
  local places, from = {}, 1
  for _, x in ipairs(ready) do
    while list[from] ~= x do
      from = from + 1
      assert(from <= #list, "not in the list, or out of order")
    end
    places[#places + 1] = from
    from = from + 1
  end
  return places
end

local function sleeper()
  return mp.spawn(mp.sleep, 3600)
end

describe("wait", function()
  after_each(support.clean)

  it("returns those that are ready, in the list's order, as often as they are in it", function()
    local a, b, c = mp.Queue(), mp.Queue(), mp.Queue()
    a:put(1)
    c:put(2)
    assert.same({1, 3, 4}, wait{a, b, c, a})
    assert.same({2, 3}, wait{b, c, a})
    assert.same({c}, mp.wait({c, b}, 0))
    assert.same({}, mp.wait({b, b}, 0))
  end)

  it("takes nothing", function()
    local q = mp.Queue()
    q:put("x")
    for _ = 1, 3 do wait{q} end
    assert.equal(1, #q)
    assert.equal("x", q:get())
    assert.same({}, mp.wait({q}, 0))
  end)

  it("returns an empty array when the time is over, not earlier", function()
    local q = mp.Queue()
    local p = sleeper()
    local _, fd = open(true)
    for _, list in ipairs{{q}, {p}, {fd}, {q, p}, {q, fd, p, q}, {}} do
      local start = mp.time()
      assert.same({}, mp.wait(list, 0.06))
      assert.is_true(mp.time() - start >= 0.06)
      assert.same({}, mp.wait(list, 0))
      assert.same({}, mp.wait(list, -1))
    end
  end)

  it("answers an empty list at once", function()
    assert.same({}, mp.wait{})
    assert.same({}, mp.wait({}, nil))
  end)

  it("wakes up for a message from another process, whichever queue it comes in", function()
    local a, b, go = mp.Queue(), mp.Queue(), mp.Queue()
    mp.spawn(function()
      for i in go:items() do (i % 2 == 0 and a or b):put(i) end
    end)
    for i = 1, 200 do
      go:put(i)
      local at = wait{a, b}
      assert.same({i % 2 == 0 and 1 or 2}, at)
      assert.equal(i, (at[1] == 1 and a or b):get(0))
    end
  end)

  it("takes a queue at its end for ready", function()
    local q, r = mp.Queue(), mp.Queue()
    local p = mp.spawn(function() return #mp.wait{q, r} end)
    support.waiting(p.pid)
    q:close()
    assert.equal(1, (p:result(support.patience)))
    assert.same({1}, wait{q, r})
    r:put(1)
    r:close()
    r:get()
    assert.same({1, 2}, wait{q, r})
  end)

  it("tells that processes ended, however they did", function()
    local stay = sleeper()
    local ends = {
      mp.spawn(function() end),
      mp.spawn(os.exit, 3),
      sleeper():kill(),
      sleeper():terminate(),
    }
    for _, p in ipairs(ends) do
      assert.same({2}, wait{stay, p})
      assert.is_true(p:join(0)) -- without any delay
      assert.is_false(p:is_alive())
      assert.is_not_nil(p.exitcode)
      assert.same({1}, wait{p, stay, mp.Queue()}) -- and goes on telling
    end
  end)

  it("tells of a process that is no child of the caller", function()
    for _, how in ipairs{"kill", "terminate"} do
      local p, idle = sleeper(), mp.Queue()
      local other = mp.spawn(function()
        local ready = mp.wait({idle, p}, support.patience)
        return #ready, ready[1] == p, p:join(0), p.exitcode
      end)
      support.waiting(other.pid)
      p[how](p)
      local n, same, joined, code = other:result(support.patience)
      assert.same({1, true, true}, {n, same, joined})
      assert.equal(how == "kill" and -9 or -15, code)
    end
  end)

  it("waits for the first of many processes", function()
    local list = {}
    for i = 1, 20 do list[i] = sleeper() end
    for _ = 1, 20 do
      local at = math.random(#list)
      list[at]:kill()
      assert.same({at}, wait(list))
      table.remove(list, at)
    end
  end)

  it("waits for descriptors: messages, ends and regular files", function()
    local q = mp.Queue()
    local fifo, fd, path = open(true)
    local _, file_fd = open(false)
    assert.same({}, mp.wait({fd, q}, 0))
    assert.same({file_fd}, mp.wait({fd, file_fd, q}, 0))
    assert.same({file_fd}, mp.wait{file_fd})
    mp.spawn(function()
      local f <close> = assert(io.open(path, "w"))
      f:write("line\n")
    end)
    assert.same({2}, wait{q, fd})
    assert.equal("line", fifo:read("l"))
    assert.same({}, mp.wait({fd, q}, 0))
    q:put(1)
    assert.same({2}, wait{fd, q})
    assert.same({3, 4}, wait{fd, fd, q, file_fd})
  end)

  it("takes a descriptor whose other end is closed for ready", function()
    local path = support.path()
    os.remove(path)
    assert(os.execute("mkfifo " .. support.quote(path)))
    local writer = mp.spawn(function()
      local f = assert(io.open(path, "w"))
      mp.sleep(0.05)
      f:close()
    end)
    local _ <close> = assert(io.open(path, "r"))
    assert.same({2}, wait{mp.Queue(), descriptor(path)})
    join(writer)
  end)

  it("waits for more than a futex call could watch", function()
    local list, go = {}, mp.Queue()
    for i = 1, 500 do list[i] = mp.Queue() end
    mp.spawn(function()
      for i in go:items() do list[i]:put(i) end
    end)
    for _ = 1, 50 do
      local i = math.random(#list)
      go:put(i)
      assert.same({i}, wait(list))
      assert.equal(i, list[i]:get(0))
    end
  end)

  it("shares queues with those who get from them", function()
    local a, b, done = mp.Queue(), mp.Queue(), mp.Queue()
    for k = 1, 4 do
      mp.spawn(function()
        local n = 0
        if k <= 2 then
          for _ in a:items() do n = n + 1 end
        else
          local open_ones = {a, b}
          while #open_ones > 0 do
            local q = mp.wait(open_ones)[1]
            local v, code = q:get(0)
            if v then n = n + 1 end
            if code == "closed" then table.remove(open_ones, q == open_ones[1] and 1 or 2) end
          end
        end
        done:put(n)
      end)
    end
    for i = 1, 500 do
      a:put(i)
      b:put(i)
    end
    a:close()
    b:close()
    local sum = 0
    for _ = 1, 4 do sum = sum + get(done) end
    assert.equal(1000, sum)
  end)

  it("goes on when those who wait, or who put, are killed", function()
    local a, b = mp.Queue(), mp.Queue()
    for round = 1, 30 do
      local waiters = {}
      for i = 1, 3 do
        waiters[i] = mp.spawn(function()
          while true do
            local q = mp.wait{a, b}[1]
            q:get(0)
          end
        end)
      end
      local putter = mp.spawn(function()
        while true do
          a:put(1)
          b:put(2)
        end
      end)
      mp.sleep(0.001 * (round % 5))
      waiters[1]:kill()
      putter:kill()
      waiters[2]:kill()
      waiters[3]:kill()
      for i = 1, 3 do join(waiters[i]) end
      join(putter)
      repeat until a:get(0) == nil and b:get(0) == nil
      local last = mp.spawn(function() b:put("last") end)
      assert.same({2}, wait{a, b})
      assert.equal("last", b:get())
      join(last)
    end
  end)

  it("waits for things of all kinds at once", function()
    local q, event, sem, bounded = mp.Queue(), mp.Event(), mp.Semaphore(0), mp.BoundedSemaphore(1)
    local stay = sleeper()
    local _, fd = open(true)
    assert.is_true(bounded:acquire())
    for _, list in ipairs{{q, event, sem, bounded}, {q, event, sem, bounded, stay, fd}} do
      assert.same({}, mp.wait(list, 0.01))
      for place, ready in ipairs{
        function() q:put("x") return function() q:get() end end,
        function() event:set() return function() event:clear() end end,
        function() sem:release() return function() assert(sem:acquire(0)) end end,
        function() bounded:release() return function() assert(bounded:acquire(0)) end end,
      } do
        local p = mp.spawn(function() return mp.wait(list, support.patience)[1] == list[place] end)
        support.waiting(p.pid)
        local undo = ready()
        assert.is_true((p:result(support.patience)))
        assert.same({place}, wait(list))
        assert.same({place}, wait(list)) -- it took nothing
        undo()
        assert.same({}, mp.wait(list, 0))
      end
    end
    q:put(1)
    event:set()
    bounded:release()
    assert.same({1, 3, 4, 6}, wait{event, sem, bounded, q, stay, event})
  end)

  it("tells that permits come back from who is killed", function()
    local bounded, q, taken = mp.BoundedSemaphore(2), mp.Queue(), mp.Queue()
    local _, fd = open(true)
    for _, list in ipairs{{q, bounded}, {q, bounded, fd}} do
      local holder = mp.spawn(function()
        assert(bounded:acquire() and bounded:acquire())
        taken:put(true)
        mp.sleep(3600)
      end)
      get(taken)
      assert.same({}, mp.wait(list, 0.01))
      local p = mp.spawn(function() return mp.wait(list, support.patience)[1] == bounded end)
      support.waiting(p.pid)
      holder:kill()
      assert.is_true((p:result(support.patience)))
      assert.same({2}, wait(list))
      join(holder)
    end
  end)

  it("waits for locks, which it does not take", function()
    local lock, rlock, q = mp.Lock(), mp.RLock(), mp.Queue()
    assert.same({1, 2}, wait{lock, rlock})
    assert.is_false(lock:locked())
    rlock:acquire()
    assert.same({1}, wait{rlock, q}) -- its owner can take it again
    rlock:release()
    for _, how in ipairs{"release", "kill"} do
      local taken, go = mp.Queue(), mp.Queue()
      local holder = mp.spawn(function()
        lock:acquire()
        rlock:acquire()
        taken:put(true)
        go:get()
        rlock:release()
        lock:release()
      end)
      get(taken)
      assert.same({}, mp.wait({lock, q, rlock}, 0.01))
      local p = mp.spawn(function()
        local first = mp.wait({q, rlock}, support.patience)[1] == rlock
        return first and mp.wait({lock, q}, support.patience)[1] == lock
      end)
      support.waiting(p.pid)
      if how == "kill" then holder:kill() else go:put(true) end
      assert.is_true((p:result(support.patience)))
      join(holder)
      assert.same({1, 3}, wait{lock, q, rlock})
      local _, code = lock:acquire(0)
      assert.equal(how == "kill" and "abandoned" or nil, code)
      lock:release()
      rlock:acquire(0)
      rlock:release()
    end
  end)

  it("gives back what it uses", function()
    local q, r = mp.Queue(), mp.Queue()
    support.gives_back(20, function()
      local p = mp.spawn(function() mp.wait{q, r} end)
      mp.wait({q, r, p}, 0.001)
      p:kill()
      join(p)
      local extra = {}
      for i = 1, 50 do extra[i] = mp.Queue() end
      mp.wait(extra, 0.001)
    end)
  end)

  it("waits in coroutines, too", function()
    local q = mp.Queue()
    local p = mp.spawn(function() q:put(1) end)
    local co = coroutine.wrap(function() return wait{q} end)
    assert.same({1}, co())
    join(p)
  end)

  it("works in children that inherited a wait's leftovers", function()
    local q = mp.Queue()
    local _, fd = open(true)
    mp.wait({q, fd}, 0.001)
    local children = {}
    for i = 1, 3 do
      children[i] = mp.spawn(function() return #mp.wait{q, fd} end)
    end
    for i = 1, 3 do support.waiting(children[i].pid) end
    q:put(1)
    for i = 1, 3 do assert.equal(1, (children[i]:result(support.patience))) end
    assert.same({1}, wait{q, fd})
  end)

  it("raises for what cannot be waited for, and says where it is", function()
    local q = mp.Queue()
    local closed = mp.spawn(function() end)
    join(closed)
    closed:close()
    local fresh = mp.Process(print)
    raises(function() mp.wait() end, "wait", "table expected")
    raises(function() mp.wait(q) end, "wait", "table expected")
    raises(function() mp.wait{q, "x"} end, "wait", "list[2]", "string")
    raises(function() mp.wait{q, q, print} end, "wait", "list[3]", "function")
    raises(function() mp.wait{{}} end, "wait", "list[1]", "table")
    raises(function() mp.wait{true} end, "wait", "list[1]", "boolean")
    raises(function() mp.wait{io.stdout} end, "wait", "list[1]", "FILE*")
    raises(function() mp.wait{mp.Process} end, "wait", "list[1]", "Process class")
    raises(function() mp.wait{q, fresh} end, "wait", "list[2]", fresh.name, "not been started")
    raises(function() mp.wait{closed} end, "wait", "list[1]", "closed")
    raises(function() mp.wait{mp.current_process()} end, "wait", "list[1]", "itself")
    raises(function() mp.wait{q, 9999} end, "wait", "list[2]", "9999", "not open")
    raises(function() mp.wait{-1} end, "wait", "list[1]", "-1")
    raises(function() mp.wait{1.5} end, "wait", "list[1]", "1.5")
    raises(function() mp.wait{1 << 40} end, "wait", "list[1]", "descriptor")
    raises(function() mp.wait({q}, "soon") end, "wait", "#2", "number")
    raises(function() mp.wait({q}, 0 / 0) end, "wait", "#2", "nan")
    q:put(1)
    assert.same({1}, wait{q})
  end)
end)
