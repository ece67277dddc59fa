-- SPDX-License-Identifier: MIT
-- API.md section 9: Lock, RLock and Condition, in one process and in many.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

local pack = table.pack
local kinds = {Lock = mp.Lock, RLock = mp.RLock, Condition = mp.Condition}

-- A process that acquired the lock and stays until it is killed.
local function holder(lock, name)
  local ready = mp.Queue()
  local p = mp.Process{name = name, args = {lock, ready}, target = function(l, q)
    l:acquire()
    q:put(true)
    mp.sleep(1000)
  end}
  p:start()
  get(ready)
  return p
end

-- A process that says on `ready` that it begins, and then calls f; returned once it sleeps.
local function waiter(f, ...)
  local ready = mp.Queue()
  local p = mp.spawn(function(...)
    ready:put(true)
    return f(...)
  end, ...)
  get(ready)
  support.waiting(p.pid)
  return p
end

local function kill(p)
  p:kill()
  join(p)
end

local function result(p)
  local got = pack(p:result(support.patience))
  assert(got[2] ~= "died" and got.n > 0, got[3])
  return got
end

for kind, make in pairs(kinds) do
  describe("a " .. kind, function()
    after_each(support.clean)

    it("has a name, a type, and a constructor in lower case", function()
      local lock = make{name = "log"}
      assert.matches("^" .. kind .. ": 0x%x+ %(log%)$", tostring(lock))
      assert.equal(kind, mp.type(lock))
      assert.equal(kind, mp.type(mp[kind:lower()]()))
      raises(function() make{names = "log"} end, "unknown option 'names'")
      raises(function() make(mp.Queue()) end, "bad argument #1")
      raises(function() make(5) end, "bad argument #1")
    end)

    it("is acquired and released", function()
      local lock = make()
      assert.is_false(lock:locked())
      assert.same({true, n = 1}, pack(lock:acquire()))
      assert.is_true(lock:locked())
      assert.equal(0, select("#", lock:release()))
      assert.is_false(lock:locked())
      for _, timeout in ipairs{0, -1, 0.5, math.huge} do
        assert.is_true(lock:acquire(timeout))
        lock:release()
      end
      raises(function() lock:acquire("soon") end, "bad argument #1 to 'acquire'", "number expected")
      raises(function() lock:acquire(0 / 0) end, "bad argument #1 to 'acquire'")
      raises(function() lock.acquire(mp.Queue()) end, "bad argument #1", "Queue")
      raises(function() lock.acquire() end, "bad argument #1")
      assert.is_false(lock:locked())
    end)

    it("is released by its owner only, who is named", function()
      local lock = make{name = "log"}
      raises(function() lock:release() end, "release", "(log)", "nobody holds it")
      local p = holder(lock, "Bob")
      raises(function() lock:release() end, "release", "'Bob'", tostring(p.pid))
      assert.same({false, "timeout"}, {lock:acquire(0)})
      local start = mp.time()
      assert.same({false, "timeout"}, {lock:acquire(0.05)})
      assert.is_true(mp.time() - start >= 0.05)
    end)

    it("that its owner left is abandoned, and that is said once", function()
      for _, how in ipairs{"kill", "exit", "return"} do
        local lock = make()
        local p = mp.spawn(function()
          lock:acquire()
          lock:locked()
          if how == "kill" then mp.current_process():kill() end
          if how == "exit" then os.exit(0) end
        end)
        join(p)
        assert.same({true, "abandoned"}, {lock:acquire(support.patience)})
        lock:release()
        assert.same({true, n = 1}, pack(lock:acquire()))
        lock:release()
      end
    end)

    it("tells who sleeps on it of its owner's death", function()
      local lock = make()
      local owner = holder(lock)
      local p = waiter(function() return lock:acquire() end)
      owner:kill()
      assert.same({true, "abandoned", n = 2}, result(p))
    end)

    it("is not abandoned by a waiter that is killed", function()
      local lock = make()
      lock:acquire()
      for _ = 1, 3 do
        kill(waiter(function() lock:acquire() end))
      end
      lock:release()
      assert.same({true, n = 1}, pack(lock:acquire()))
      lock:release()
    end)

    it("is held while `with` runs, whatever happens in it", function()
      local lock = make()
      local function f(...) return lock:locked(), ... end
      assert.same({true, 1, nil, 3, n = 4}, pack(lock:with(f, 1, nil, 3)))
      assert.is_false(lock:locked())
      local mark = {}
      local ok, err = pcall(lock.with, lock, function() error(mark) end)
      assert.is_false(ok)
      assert.equal(mark, err)
      assert.is_false(lock:locked())
      raises(function() lock:with() end, "bad argument #1 to 'with'")
      raises(function() lock:with(5) end, "bad argument #1 to 'with'", "number")
      assert.is_false(lock:locked())
      lock:with(function() lock:release() end)
      assert.is_false(lock:locked())
    end)

    it("is held by a guard until it is closed", function()
      local lock = make()
      do
        local held <close> = lock:guard()
        assert.is_true(lock:locked())
        assert.is_false(held.abandoned)
        assert.is_nil(held.something)
      end
      assert.is_false(lock:locked())
      pcall(function()
        local _ <close> = lock:guard()
        error("out")
      end)
      assert.is_false(lock:locked())
    end)

    it("passes on to `with` and `guard` that it was abandoned", function()
      local lock = make()
      kill(holder(lock))
      assert.same({1, "abandoned", n = 2}, pack(lock:with(function(...) return ... end, 1)))
      kill(holder(lock))
      do
        local held <close> = lock:guard()
        assert.is_true(held.abandoned)
      end
    end)

    it("is not held by the child of its holder", function()
      local lock = make()
      lock:acquire()
      local p = mp.spawn(function()
        local ok = pcall(lock.release, lock)
        return ok, lock:locked(), lock:acquire(0)
      end)
      assert.same({false, true, false, "timeout", n = 4}, result(p))
      lock:release()
    end)

    it("travels", function()
      local lock, q = make(), mp.Queue()
      local p = mp.spawn(function()
        local l = q:get()
        l:acquire()
        return mp.type(l)
      end)
      q:put(lock)
      assert.equal(kind, result(p)[1])
      join(p)
      assert.same({true, "abandoned"}, {lock:acquire()})
      lock:release()
    end)

    it("gives its memory back", function()
      support.gives_back(200, function()
        local lock = make{name = "a name that needs a block of its own"}
        local q = mp.Queue()
        lock:acquire()
        q:put(lock)
      end)
    end)

    it("excludes all others", function()
      local lock, q = make(), mp.Queue()
      q:put(0)
      local ps = {}
      for i = 1, 4 do
        ps[i] = mp.spawn(function()
          for _ = 1, 300 do
            lock:acquire()
            support.sure(q:qsize() == 1)
            q:put(q:get() + 1)
            lock:release()
          end
        end)
      end
      for i = 1, 4 do support.sure(join(ps[i]) == 0) end
      assert.equal(1200, q:get(0))
    end)
  end)
end

describe("a Lock", function()
  after_each(support.clean)

  it("that one holds is not waited for", function()
    local lock = mp.Lock{name = "log"}
    lock:acquire()
    raises(function() lock:acquire() end, "deadlock: ", "(log)")
    raises(function() lock:acquire(math.huge) end, "deadlock: ")
    raises(function() lock:with(print) end, "deadlock: ")
    assert.same({false, "timeout"}, {lock:acquire(0)})
    assert.same({false, "timeout"}, {lock:acquire(0.02)})
    lock:release()
    assert.is_false(lock:locked())
  end)

  it("that the main process holds at its end is abandoned", function()
    local run = support.run([[
      local lock = mp.Lock()
      lock:acquire()
      mp.spawn(function() print(lock:acquire()) end)
    ]])
    assert.same({0, "true\tabandoned\n", ""}, {run.status, run.out, run.err})
  end)

  it("is served without starvation", function()
    local lock, go, counts = mp.Lock(), mp.Queue(), mp.Queue()
    for _ = 1, 4 do
      mp.spawn(function()
        go:get()
        local stop, n = mp.time() + 1.5, 0
        while mp.time() < stop do
          for _ = 1, 20 do
            lock:acquire()
            lock:release()
            n = n + 1
          end
        end
        counts:put(n)
      end)
    end
    go:put_many{1, 2, 3, 4}
    local least, most = math.huge, 0
    for _ = 1, 4 do
      local n = get(counts)
      least, most = math.min(least, n), math.max(most, n)
    end
    assert.is_true(least * 10 >= most, ("%d and %d"):format(least, most))
  end)
end)

describe("an RLock", function()
  after_each(support.clean)

  it("is acquired again by its owner, and released as often", function()
    local lock = mp.RLock()
    for _ = 1, 3 do assert.is_true(lock:acquire()) end
    local p = mp.spawn(function() return lock:acquire(0) end)
    assert.same({false, "timeout", n = 2}, result(p))
    lock:with(function() end)
    for _ = 1, 3 do
      assert.is_true(lock:locked())
      lock:release()
    end
    assert.is_false(lock:locked())
    raises(function() lock:release() end, "nobody holds it")
  end)

  it("is abandoned at once, however deep its owner was in it", function()
    local lock = mp.RLock()
    join(mp.spawn(function()
      lock:acquire()
      lock:acquire()
    end))
    assert.same({true, "abandoned"}, {lock:acquire()})
    lock:release()
    assert.is_false(lock:locked())
  end)
end)

describe("a Condition", function()
  after_each(support.clean)

  -- n processes that wait on c; each says on q that it was woken. Returned when all of them wait.
  local function waiters(c, n, q, ...)
    local entered, ps = mp.Queue(), {}
    for i = 1, n do
      ps[i] = mp.spawn(function(...)
        c:acquire()
        entered:put(i)
        local woken = pack(c:wait(...))
        c:release()
        q:put(i)
        return table.unpack(woken, 1, woken.n)
      end, ...)
    end
    for _ = 1, n do get(entered) end
    c:acquire() -- all that entered have let go of it: they wait
    c:release()
    return ps
  end

  it("is bound to a Lock or an RLock, or to an RLock of its own", function()
    for _, make in ipairs{mp.Lock, mp.RLock} do
      local lock = make()
      local c = mp.Condition(lock, {name = "news"})
      assert.matches("%(news%)$", tostring(c))
      c:acquire()
      assert.is_true(lock:locked())
      lock:release()
      assert.is_false(c:locked())
    end
    local own = mp.Condition()
    own:acquire()
    own:acquire()
    own:release()
    assert.is_true(own:locked())
    own:release()
    raises(function() mp.Condition(mp.Queue()) end, "bad argument #1 to 'Condition'", "Lock")
    raises(function() mp.Condition(own) end, "bad argument #1", "Lock")
    raises(function() mp.Condition(mp.Lock(), 5) end, "bad argument #2")
  end)

  it("keeps its lock", function()
    local c = mp.Condition(mp.Lock{name = "kept"})
    for _ = 1, 50 do
      local _ = mp.Condition(mp.Lock())
    end
    support.stats()
    c:acquire()
    raises(function() c:acquire() end, "deadlock")
    c:release()
  end)

  it("wants its lock held", function()
    local c = mp.Condition()
    raises(function() c:wait() end, "wait", "nobody holds it")
    raises(function() c:wait_for(print) end, "wait_for", "nobody holds it")
    raises(function() c:notify() end, "notify", "nobody holds it")
    raises(function() c:notify_all() end, "notify_all", "nobody holds it")
    holder(c, "Eve")
    raises(function() c:wait() end, "'Eve'")
    raises(function() c:notify() end, "'Eve'")
  end)

  it("times out, and holds the lock again", function()
    local c = mp.Condition()
    c:acquire()
    c:acquire()
    local start = mp.time()
    assert.same({false, "timeout", n = 2}, pack(c:wait(0.05)))
    assert.is_true(mp.time() - start >= 0.05)
    assert.same({false, "timeout"}, {c:wait(0)})
    c:release()
    assert.is_true(c:locked())
    c:release()
    assert.is_false(c:locked())
  end)

  it("lets go of the lock however deep it is held", function()
    local c = mp.Condition()
    c:acquire()
    c:acquire()
    mp.spawn(function() c:with(function() c:notify() end) end)
    assert.is_true(c:wait(support.patience))
    c:release()
    assert.is_true(c:locked())
    c:release()
    assert.is_false(c:locked())
  end)

  it("notifies as many as asked", function()
    local c, q = mp.Condition(), mp.Queue()
    local ps = waiters(c, 4, q)
    c:with(function() c:notify(0) end)
    c:with(function() c:notify() end)
    get(q)
    c:with(function() c:notify(2) end)
    get(q)
    get(q)
    assert.same({nil, "timeout"}, {q:get(0.05)})
    c:with(function() c:notify(5) end)
    get(q)
    for _, p in ipairs(ps) do assert.same({true, n = 1}, result(p)) end
    raises(function() c:with(function() c:notify(-1) end) end, "bad argument #1 to 'notify'", "-1")
    c:with(function() c:notify_all() end) -- nobody there
  end)

  it("notifies all", function()
    local c, q = mp.Condition(mp.Lock()), mp.Queue()
    local ps = waiters(c, 5, q)
    c:with(function() c:notify_all() end)
    for _ = 1, 5 do get(q) end
    for _, p in ipairs(ps) do assert.same({true, n = 1}, result(p)) end
  end)

  it("does not keep a notify for later", function()
    local c = mp.Condition()
    c:acquire()
    c:notify()
    c:notify_all()
    assert.same({false, "timeout"}, {c:wait(0.02)})
    c:release()
  end)

  it("notifies another one in the place of one that is killed", function()
    for round = 1, 6 do
      local c, q = mp.Condition(), mp.Queue()
      local ps = waiters(c, 2, q)
      c:acquire()
      c:notify() -- one of them: it waits for the lock now
      ps[round % 2 + 1]:kill()
      c:release()
      join(ps[round % 2 + 1])
      mp.stats() -- looks after the dead
      assert.equal(2 - round % 2, get(q))
      join(ps[2 - round % 2])
    end
  end)

  it("takes no notice of waiters that are dead", function()
    local c, q = mp.Condition(), mp.Queue()
    local ps = waiters(c, 3, q)
    kill(ps[1])
    kill(ps[2])
    c:with(function() c:notify() end)
    assert.equal(3, get(q))
    join(ps[3])
  end)

  it("says when the lock was abandoned meanwhile", function()
    local c, q = mp.Condition(), mp.Queue()
    local ps = waiters(c, 1, q)
    mp.spawn(function()
      c:acquire()
      c:notify()
      mp.current_process():kill()
    end)
    assert.same({true, "abandoned", n = 2}, result(ps[1]))
    c:acquire()
    local owner = mp.spawn(function() c:acquire() end)
    assert.same({false, "timeout", "abandoned"}, {(function()
      local got
      repeat got = pack(c:wait(0.05)) until got[3]
      return table.unpack(got)
    end)()})
    c:release()
    join(owner)
  end)

  it("waits for a predicate", function()
    local c, q = mp.Condition(), mp.Queue()
    c:acquire()
    assert.equal("at once", c:wait_for(function() return "at once" end))
    local calls = 0
    assert.is_false(c:wait_for(function()
      calls = calls + 1
      return false
    end, 0.02))
    assert.equal(2, calls)
    mp.spawn(function()
      for i = 1, 3 do
        c:with(function()
          q:put(i)
          c:notify_all()
        end)
      end
    end)
    assert.equal(3, c:wait_for(function() return q:qsize() == 3 and 3 end, support.patience))
    raises(function() c:wait_for(function() error("in the predicate") end) end, "in the predicate")
    raises(function() c:wait_for() end, "bad argument #1 to 'wait_for'")
    assert.is_true(c:locked())
    c:release()
  end)

  it("carries a ball between two processes", function()
    local c, q = mp.Condition(), mp.Queue()
    q:put(0)
    local function play(me)
      for _ = 1, 500 do
        c:acquire()
        local ball
        c:wait_for(function()
          ball = q:get(0)
          if ball % 2 ~= me then q:put(ball) end
          return ball % 2 == me
        end)
        q:put(ball + 1)
        c:notify()
        c:release()
      end
    end
    local p = mp.spawn(play, 1)
    play(0)
    assert.equal(0, join(p))
    assert.equal(1000, q:get(0))
  end)
end)
