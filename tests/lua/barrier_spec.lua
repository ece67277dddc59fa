-- SPDX-License-Identifier: MIT
-- API.md section 9: Barrier.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises, join, get = support.raises, support.join, support.get

local pack = table.pack

-- A party in a process of its own; result() is what wait returned.
local function party(b, timeout)
  return mp.spawn(function() return b:wait(timeout) end)
end

local function waiting(b, n)
  support.eventually(n .. " parties wait", function() return b.n_waiting == n end)
end

local function broken(process)
  assert.same({nil, "broken", n = 2}, pack(process:result(support.patience)))
end

-- Who waits finds the death itself: the one who kills does not look after the dead, which joining and
-- stats would do. Prints how long that took; there is no upper bound but the test's own.
local function felt(what, rounds, once)
  local times = {}
  for i = 1, rounds do times[i] = once() end
  table.sort(times)
  print(("%s: felt after %.1f ms (median), %.1f ms (at most)"):format(what, times[(rounds + 1) // 2] * 1e3,
    times[rounds] * 1e3))
end

local function kill_quietly(process)
  os.execute("kill -9 " .. process.pid)
  return mp.time()
end

describe("a death is felt by who waits", function()
  after_each(support.clean)

  it("at a Barrier", function()
    felt("barrier", 9, function()
      local b, told = mp.Barrier(3), mp.Array("d", 1)
      local other = mp.spawn(function()
        local ok, code = b:wait()
        assert(ok == nil and code == "broken")
        told[1] = mp.time()
      end)
      local victim = party(b)
      waiting(b, 2)
      local killed = kill_quietly(victim)
      while told[1] == 0 do os.execute("sleep 0.001") end
      join(victim)
      join(other)
      return told[1] - killed
    end)
  end)

  it("at a Condition: of who held the lock", function()
    felt("condition, lock", 9, function()
      local c, up, told = mp.Condition(), mp.Value("i"), mp.Array("d", 1)
      local victim = mp.spawn(function()
        c:acquire()
        up:add(1)
        mp.sleep(3600)
      end)
      support.eventually("it holds the lock", function() return up.value == 1 end)
      local other = mp.spawn(function()
        up:add(1)
        assert(select(2, c:acquire()) == "abandoned")
        told[1] = mp.time()
      end)
      support.eventually("the other one waits", function() return up.value == 2 end)
      local killed = kill_quietly(victim)
      while told[1] == 0 do os.execute("sleep 0.001") end
      join(victim)
      join(other)
      return told[1] - killed
    end)
  end)

  it("at a Condition: of who had been notified", function()
    felt("condition, notify", 9, function()
      local c, n, token, told = mp.Condition(), mp.Value("i"), mp.Value("i"), mp.Array("d", 1)
      local waiters = {}
      for i = 1, 2 do
        waiters[i] = mp.spawn(function()
          c:acquire()
          n:add(1)
          while token.value == 0 do c:wait() end
          token.value = 0
          told[1] = mp.time()
          c:release()
        end)
        support.eventually("it waits", function() return n.value == i and not c:locked() end)
      end
      c:acquire()
      token.value = 1
      c:notify() -- one of them, which does not get the lock
      os.execute("kill -9 " .. waiters[1].pid)
      local killed = mp.time()
      c:release()
      while told[1] == 0 do os.execute("sleep 0.001") end
      for _, p in ipairs(waiters) do join(p) end
      return told[1] - killed
    end)
  end)
end)

describe("Barrier", function()
  after_each(support.clean)

  it("gives each party a number in each round, once", function()
    for _, parties in ipairs{1, 2, 3, 5} do
      local b, seen, processes = mp.Barrier(parties), mp.Queue(), {}
      for i = 1, parties do
        processes[i] = mp.spawn(function()
          for round = 1, 30 do seen:put({round, b:wait()}) end
        end)
      end
      for _, p in ipairs(processes) do assert.equal(0, join(p)) end
      local rounds = {}
      for _ = 1, #seen do
        local round, index = table.unpack(get(seen))
        rounds[round] = rounds[round] or {}
        assert.is_nil(rounds[round][index])
        rounds[round][index] = true
      end
      for round = 1, 30 do
        assert.equal(parties, #rounds[round])
      end
      assert.is_false(b.broken)
      assert.equal(0, b.n_waiting)
    end
  end)

  it("lets nobody go before all have come", function()
    local b, log = mp.Barrier(3), mp.Queue()
    local processes = {}
    for i = 1, 3 do
      processes[i] = mp.spawn(function()
        for round = 1, 100 do
          log:put(round)
          b:wait()
        end
      end)
    end
    for _, p in ipairs(processes) do assert.equal(0, join(p)) end
    for i = 0, 299 do
      assert.equal(i // 3 + 1, get(log))
    end
  end)

  it("has fields, a name, a type and a constructor in lower case", function()
    local b = mp.Barrier(2, nil, nil, {name = "gate"})
    assert.matches("^Barrier: .* %(gate%)$", tostring(b))
    assert.matches("%(a%)$", tostring(mp.Barrier(2, {name = "a"})))
    assert.matches("%(b%)$", tostring(mp.Barrier(2, print, {name = "b"})))
    assert.matches("%(c%)$", tostring(mp.Barrier(2, print, 5, {name = "c"})))
    assert.equal("Barrier", mp.type(b))
    assert.equal("Barrier", mp.type(mp.barrier(2)))
    assert.same({2, 0, false}, {b.parties, b.n_waiting, b.broken})
    assert.is_nil(b.something)
    raises(function() b.parties = 3 end, "index")
    local p = party(b)
    waiting(b, 1)
    assert.equal(2, b:wait())
    assert.equal(1, p:result(support.patience))
  end)

  it("the last to come runs the action before any is let go", function()
    local ran = mp.Queue()
    local b
    b = mp.Barrier(3, function() ran:put(mp.current_process().pid) end)
    local processes = {}
    for i = 1, 2 do
      processes[i] = mp.spawn(function()
        local last = {}
        for round = 1, 20 do
          last[round] = b:wait() == 3
          assert(#ran >= round)
        end
        return last
      end)
    end
    local mine = {}
    for round = 1, 20 do
      mine[round] = b:wait() == 3
      assert.is_true(#ran >= round)
    end
    local lists = {[mp.current_process().pid] = mine}
    for _, p in ipairs(processes) do lists[p.pid] = p:result(support.patience) end
    for round = 1, 20 do
      assert.is_true(lists[get(ran)][round])
    end
    assert.is_true(ran:empty())
  end)

  it("the action goes along in a message", function()
    local q, ran = mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      local b = get(q)
      return b:wait(), b:wait()
    end)
    do
      local word = "ran"
      q:put(mp.Barrier(1, function() ran:put(word) end))
    end
    collectgarbage()
    assert.same({1, 1, n = 2}, pack(p:result(support.patience)))
    assert.same({"ran", "ran"}, {get(ran), get(ran)})
  end)

  it("keeps what only its action names", function()
    local q = mp.Queue()
    do
      local inner = mp.Queue()
      q:put(mp.Barrier(1, function() inner:put(1) return #inner end))
    end
    for _ = 1, 3 do
      support.stats()
    end
    local b = get(q)
    assert.equal(1, b:wait())
    assert.equal(1, b:wait())
  end)

  it("an error in the action is raised there and breaks it for all", function()
    local b = mp.Barrier(2, function() error("no luck") end)
    local p = party(b)
    waiting(b, 1)
    raises(function() b:wait() end, "no luck")
    broken(p)
    assert.is_true(b.broken)
    assert.same({nil, "broken", n = 2}, pack(b:wait()))
    local object = {}
    local ok, raised = pcall(function() mp.Barrier(1, function() error(object) end):wait() end)
    assert.is_true(not ok and raised == object)
  end)

  it("breaks when a party's time is over", function()
    local b = mp.Barrier(3)
    local p = party(b)
    waiting(b, 1)
    local start = mp.time()
    assert.same({nil, "broken", n = 2}, pack(b:wait(0.06)))
    assert.is_true(mp.time() - start >= 0.06)
    broken(p)
    assert.is_true(b.broken)
    assert.equal(0, b.n_waiting)
    assert.same({nil, "broken", n = 2}, pack(b:wait(0)))
    b:reset()
    assert.same({nil, "broken", n = 2}, pack(b:wait(0)))
  end)

  it("has a timeout of its own", function()
    local b = mp.Barrier(2, nil, 0.05)
    local start = mp.time()
    assert.same({nil, "broken", n = 2}, pack(b:wait()))
    assert.is_true(mp.time() - start >= 0.05)
    b:reset()
    local p = party(b, math.huge)
    waiting(b, 1)
    mp.sleep(0.1) -- longer than the constructor's timeout
    assert.equal(2, b:wait())
    assert.equal(1, p:result(support.patience))
    assert.same({nil, "broken", n = 2}, pack(mp.Barrier(2, nil, 0):wait()))
  end)

  it("abort breaks it, reset makes it whole", function()
    local b = mp.Barrier(2)
    local p = party(b)
    waiting(b, 1)
    b:abort()
    broken(p)
    assert.is_true(b.broken)
    b:abort()
    b:reset()
    assert.is_false(b.broken)
    p = party(b)
    waiting(b, 1)
    assert.equal(2, b:wait())
    assert.equal(1, p:result(support.patience))
  end)

  it("reset lets those who wait find it broken", function()
    local b = mp.Barrier(3)
    local p, q = party(b), party(b)
    waiting(b, 2)
    b:reset()
    broken(p)
    broken(q)
    assert.is_false(b.broken)
    b:reset()
    p, q = party(b), party(b)
    assert.is_number(b:wait(support.patience))
    assert.is_number(p:result(support.patience))
    assert.is_number(q:result(support.patience))
  end)

  it("breaks when a party dies that waits", function()
    local b = mp.Barrier(3)
    local first, second = party(b), party(b)
    waiting(b, 2)
    first:kill()
    broken(second)
    assert.is_true(b.broken)
    b:reset()
    join(first)
    first, second = party(b), party(b)
    assert.is_number(b:wait(support.patience))
    assert.is_number(first:result(support.patience))
    assert.is_number(second:result(support.patience))
  end)

  it("breaks when the party dies that runs the action", function()
    local running = mp.Queue()
    local b = mp.Barrier(2, function()
      running:put(mp.current_process().name)
      mp.sleep(3600)
    end)
    local first = party(b)
    waiting(b, 1)
    local second = party(b)
    assert.equal(second.name, get(running))
    assert.equal(2, b.n_waiting)
    second:kill()
    broken(first)
  end)

  it("breaks when a party ends in the action", function()
    local b = mp.Barrier(2, function() os.exit(3) end)
    local first = party(b)
    waiting(b, 1)
    assert.equal(3, join(party(b)))
    broken(first)
  end)

  it("does not break by the death of who was let go", function()
    local b, gone = mp.Barrier(2), mp.Queue()
    for _ = 1, 10 do
      local p = mp.spawn(function()
        b:wait()
        gone:put(1)
        mp.sleep(3600)
      end)
      assert.is_number(b:wait(support.patience))
      get(gone)
      join(p:kill())
      mp.stats()
      assert.is_false(b.broken)
    end
  end)

  it("serves more processes than parties", function()
    local b, count = mp.Barrier(2), mp.Queue()
    local processes, helped = {}, 0
    for i = 1, 4 do
      processes[i] = mp.spawn(function()
        for _ = 1, 50 do
          if b:wait() == 2 then count:put(1) end
        end
      end)
    end
    -- Any two make a round; one may be left over in the end, so help it out.
    support.eventually("all rounds are over", function()
      local alive = 0
      for _, p in ipairs(processes) do alive = alive + (p:is_alive() and 1 or 0) end
      if alive == 1 and b.n_waiting == 1 then
        if b:wait() == 2 then count:put(1) end
        helped = helped + 1
      end
      return alive == 0
    end)
    assert.is_false(b.broken)
    assert.equal(4 * 50 + helped, 2 * #count)
  end)

  it("has many parties", function()
    local b = mp.Barrier(40)
    local processes = {}
    for i = 1, 39 do processes[i] = party(b) end
    local seen = {[b:wait(support.patience)] = true}
    for _, p in ipairs(processes) do seen[p:result(support.patience)] = true end
    assert.equal(40, #seen)
  end)

  it("raises for bad arguments", function()
    raises(function() mp.Barrier() end, "Barrier", "#1")
    raises(function() mp.Barrier(0) end, "Barrier", "#1", "0")
    raises(function() mp.Barrier(-1) end, "Barrier", "#1", "-1")
    raises(function() mp.Barrier(1025) end, "Barrier", "#1", "1025")
    raises(function() mp.Barrier(1.5) end, "Barrier", "#1")
    raises(function() mp.Barrier(2, 5) end, "Barrier", "#2", "function")
    raises(function() mp.Barrier(2, nil, "x") end, "Barrier", "#3", "number")
    raises(function() mp.Barrier(2, nil, 0 / 0) end, "Barrier", "#3", "nan")
    raises(function() mp.Barrier(2, {nme = 1}) end, "Barrier", "nme")
    raises(function() mp.Barrier(2, nil, nil, {name = 1}) end, "Barrier", "name")
    raises(function() mp.Barrier(2, coroutine.wrap(print)) end, "cannot send", "action")
    local b = mp.Barrier(2)
    raises(function() b:wait("x") end, "wait", "number")
    raises(function() b.wait(mp.Queue()) end, "wait", "Barrier", "Queue")
    assert.equal(0, b.n_waiting)
  end)

  it("gives back its memory", function()
    local q = mp.Queue()
    support.gives_back(300, function()
      local b = mp.Barrier(1, function() return q end)
      b:wait()
      mp.Barrier(30):abort()
    end)
  end)

  it("Ctrl-C ends a wait and breaks it", function()
    local run = support.start([[
      local b = mp.Barrier(2)
      print("waiting") io.flush()
      local ok = pcall(b.wait, b)
      print(ok, b.broken)
    ]])
    assert.equal("waiting", run.line())
    support.waiting(run.pid)
    run.signal("INT")
    local _, rest = run.finish()
    if rest ~= "" then assert.equal("false\ttrue\n", rest) end -- stock Lua resets its handler, luamp ends
  end)
end)
