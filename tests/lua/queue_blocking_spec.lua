-- SPDX-License-Identifier: MIT
-- API.md sections 1 and 4: queues that make their callers wait, in one process and in many.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join = support.get, support.join

local pack = table.pack

-- Starts a process that says on `ready` that it begins, then calls f; returns it once it sleeps.
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

local function result(p)
  local got = pack(p:result(support.patience))
  assert(got[2] ~= "died" and got.n > 0, got[3])
  return got
end

-- Calls f, which must take at least `seconds`; returns what f returned.
local function takes(seconds, f)
  local start = mp.time()
  local got = pack(f())
  assert.is_true(mp.time() - start >= seconds)
  return got
end

describe("a waiting queue", function()
  after_each(support.clean)

  describe("get", function()
    it("waits for a message from another process", function()
      local q = mp.Queue()
      local p = waiter(function() return q:get() end)
      q:put("here")
      assert.same({"here", n = 1}, result(p))
    end)

    it("wakes up for a nil message, too", function()
      local q = mp.Queue()
      local p = waiter(function() return select("#", q:get()) end)
      q:put(nil)
      assert.same({1, n = 1}, result(p))
    end)

    it("waits for ever with nil and with math.huge", function()
      local q = mp.Queue()
      for _, timeout in ipairs{"nil", math.huge} do
        local p = waiter(function() return q:get(timeout ~= "nil" and timeout or nil) end)
        assert.is_false(p:join(0.05))
        q:put("x")
        assert.same({"x", n = 1}, result(p))
      end
    end)

    it("times out not before the time, integer or float, and leaves the queue as it was", function()
      local q = mp.Queue()
      assert.same({nil, "timeout", n = 2}, takes(0.1, function() return q:get(0.1) end))
      assert.same({nil, "timeout", n = 2}, takes(1, function() return q:get(1) end))
      assert.same({nil, "timeout", n = 2}, takes(0.0301, function() return q:get_many(5, 0.0301) end))
      assert.same({nil, "timeout", n = 2}, pack(q:get(1e-9)))
      q:put("still good")
      assert.equal("still good", q:get(0))
    end)

    it("does not wait with 0 or less, and takes what is there", function()
      local q = mp.Queue()
      for _, timeout in ipairs{0, 0.0, -1, -0.5, -math.huge, math.mininteger} do
        assert.same({nil, "timeout", n = 2}, pack(q:get(timeout)))
        q:put("x")
        assert.same({"x", n = 1}, pack(q:get(timeout)))
      end
    end)

    it("accepts huge timeouts", function()
      local q = mp.Queue()
      for _, timeout in ipairs{1e300, math.maxinteger, 1e18, 1 << 40} do
        local p = waiter(function() return q:get(timeout) end)
        q:put("x")
        assert.same({"x", n = 1}, result(p))
      end
    end)

    it("gives a message that comes in time, and no timeout with it", function()
      local q = mp.Queue()
      local p = waiter(function() return q:get(support.patience) end)
      q:put("in time")
      assert.same({"in time", n = 1}, result(p))
    end)

    it("is told of a close, by every waiter", function()
      local q, waiters = mp.Queue(), {}
      for i = 1, 4 do
        waiters[i] = waiter(function() return q:get() end)
      end
      waiters[5] = waiter(function() return q:get_many(3) end)
      waiters[6] = waiter(function() return q:get(support.patience) end)
      q:close()
      for _, p in ipairs(waiters) do
        assert.same({nil, "closed", n = 2}, result(p))
      end
    end)

    it("is told of a cancel, and ends a loop over items", function()
      local q = mp.Queue()
      local a = waiter(function() return q:get() end)
      local b = waiter(function()
        local n = 0
        for _ in q:items() do n = n + 1 end
        return n == 0 and "ended"
      end)
      q:cancel()
      assert.same({nil, "closed", n = 2}, result(a))
      assert.same({"ended", n = 1}, result(b))
    end)

    it("of many waits for one, then takes what is there", function()
      local q = mp.Queue()
      local p = waiter(function() return q:get_many(10) end)
      assert.is_false(p:join(0))
      q:put_many({1, 2, 3})
      local first = result(p)[1]
      assert.is_true(first.n >= 1 and first[1] == 1)
      local rest = #q > 0 and q:get_many(10) or {n = 0}
      assert.equal(3, first.n + rest.n)
    end)

    it("wakes one waiter for each message", function()
      local q, got = mp.Queue(), mp.Queue()
      for _ = 1, 5 do
        waiter(function() got:put(q:get()) end)
      end
      q:put(1)
      assert.equal(1, get(got))
      q:put_many({2, 3, 4, 5})
      local sum = 0
      for _ = 2, 5 do
        sum = sum + get(got)
      end
      assert.equal(14, sum)
      assert.is_true(q:empty() and got:empty())
    end)
  end)

  describe("put", function()
    it("waits while the queue is full", function()
      local q = mp.Queue(1)
      q:put("first")
      local p = waiter(function() return q:put("second") end)
      assert.is_false(p:join(0.05))
      assert.equal(1, #q)
      assert.equal("first", get(q))
      assert.same({true, n = 1}, result(p))
      assert.equal("second", get(q))
    end)

    it("times out not before the time, and leaves the queue as it was", function()
      local q = mp.Queue(1)
      q:put("first")
      assert.same({false, "timeout", n = 2}, takes(0.12, function() return q:put("second", 0.12) end))
      assert.same({0, "timeout", n = 2}, takes(0.05, function() return q:put_many({1, 2}, 0.05) end))
      assert.same({"first", n = 1}, q:get_many(9))
      q:task_done()
      assert.is_true(q:join(0))
    end)

    it("of many waits for room for all of them, and keeps their order", function()
      local q, list = mp.Queue(2), {}
      for i = 1, 50 do
        list[i] = i
      end
      local p = waiter(function() return q:put_many(list) end)
      for i = 1, 50 do
        assert.equal(i, get(q))
      end
      assert.same({50, n = 1}, result(p))
    end)

    it("of many says how many went in when the time is up", function()
      local q = mp.Queue(2)
      local got = takes(0.06, function() return q:put_many({1, 2, 3}, 0.06) end)
      assert.same({2, "timeout", n = 2}, got)
    end)

    it("is told of a close: the message was not put", function()
      local q = mp.Queue(1)
      q:put("first")
      local a = waiter(function() return q:put("second") end)
      local b = waiter(function() return q:put("third", support.patience) end)
      local c = waiter(function() return q:put_many({"fourth"}) end)
      q:close()
      assert.same({false, "closed", n = 2}, result(a))
      assert.same({false, "closed", n = 2}, result(b))
      assert.same({0, "closed", n = 2}, result(c))
      assert.equal("first", get(q))
      assert.same({nil, "closed", n = 2}, pack(q:get()))
    end)

    it("is told of a cancel", function()
      local q = mp.Queue(1)
      q:put("first")
      local p = waiter(function() return q:put("second") end)
      q:cancel()
      assert.same({false, "closed", n = 2}, result(p))
      assert.same({nil, "closed", n = 2}, pack(q:get()))
    end)

    it("of several waiters goes on for each place that becomes free", function()
      local q, putters = mp.Queue(1), {}
      q:put(0)
      for i = 1, 5 do
        putters[i] = waiter(function() return q:put(i) end)
      end
      local sum = 0
      for _ = 0, 5 do
        sum = sum + get(q)
      end
      assert.equal(15, sum)
      for i = 1, 5 do
        assert.same({true, n = 1}, result(putters[i]))
      end
    end)
  end)

  it("is not cut short by signals that do not end the process", function()
    local q = mp.Queue()
    local p = waiter(function()
      local start = mp.time()
      local value, code = q:get(0.6)
      return mp.time() - start >= 0.6, value, code
    end)
    for _, signal in ipairs{"STOP", "CONT", "WINCH", "CHLD", "URG", "STOP", "CONT"} do
      support.signal(signal, p.pid)
    end
    assert.same({true, nil, "timeout", n = 3}, result(p))
    local other = waiter(function() return q:get() end)
    for _, signal in ipairs{"STOP", "CONT", "CHLD"} do
      support.signal(signal, other.pid)
    end
    q:put("after signals")
    assert.same({"after signals", n = 1}, result(other))
  end)

  describe("whose users are killed", function()
    it("gives the message of a killed waiter to the next", function()
      local q = mp.Queue()
      for _ = 1, 20 do
        local victim = waiter(function() return q:get() end)
        local heir = waiter(function() return q:get() end)
        victim:kill()
        q:put("x")
        -- The victim may have taken it before it died: then a second one is for the heir.
        join(victim)
        if not heir:join(0.2) then
          q:put("y")
        end
        assert.matches("^[xy]$", result(heir)[1])
        assert.is_true(q:empty())
      end
    end)

    it("gives the place of a killed putter to the next, with its message never half there", function()
      local q = mp.Queue(1)
      q:put(0)
      local victim = waiter(function() return q:put("victim") end)
      local heir = waiter(function() return q:put("heir") end)
      join(victim:kill())
      assert.equal(0, get(q))
      assert.equal("heir", get(q))
      assert.same({true, n = 1}, result(heir))
      assert.is_true(q:empty())
    end)

    it("is neither blocked nor damaged by producers and consumers killed at work", function()
      local q = mp.Queue(8)
      for round = 1, 12 do
        local producer = mp.spawn(function()
          for i = 1, math.huge do
            q:put({round, i, ("p"):rep(i % 200)})
          end
        end)
        local consumer = mp.spawn(function()
          for message in q:items() do
            assert(#message[3] == message[2] % 200)
          end
        end)
        assert.is_false(consumer:join(0.01 * (round % 4)))
        producer:kill()
        consumer:kill()
        join(producer)
        join(consumer)
        local last
        local message = q:get(0)
        while message do
          assert.equal(message[2] % 200, #message[3])
          assert.is_true(message[1] == round and (not last or message[2] == last + 1))
          last = message[2]
          message = q:get(0)
        end
        assert.same({0, true, false}, {#q, q:empty(), q:full()})
      end
    end)
  end)

  describe("with many processes", function()
    it("delivers each message once: four producers, four consumers", function()
      local q, out, each = mp.Queue(10), mp.Queue(), 1500
      local producers, consumers = {}, {}
      for p = 1, 4 do
        producers[p] = mp.spawn(function()
          for i = 1, each do
            q:put((p - 1) * each + i)
          end
        end)
        consumers[p] = mp.spawn(function()
          local mine = {}
          for v in q:items() do
            mine[#mine + 1] = v
          end
          out:put(mine)
        end)
      end
      for _, p in ipairs(producers) do
        join(p)
      end
      q:close()
      local seen, total = {}, 0
      for _ = 1, 4 do
        for _, v in ipairs(get(out)) do
          assert(not seen[v], "seen twice")
          seen[v], total = true, total + 1
        end
      end
      assert.equal(4 * each, total)
    end)

    it("delivers each message once when all use batches", function()
      local q, out = mp.Queue(64), mp.Queue()
      local producers = {}
      for p = 1, 3 do
        producers[p] = mp.spawn(function()
          for batch = 1, 40 do
            local list = {}
            for i = 1, 100 do
              list[i] = p * 10000 + batch * 100 + i
            end
            q:put_many(list)
          end
        end)
        mp.spawn(function()
          local n, sum = 0, 0
          while true do
            local list = q:get_many(37)
            if not list then break end
            for i = 1, list.n do
              n, sum = n + 1, sum + list[i]
            end
          end
          out:put({n, sum})
        end)
      end
      for _, p in ipairs(producers) do
        join(p)
      end
      q:close()
      local n, sum, expected = 0, 0, 0
      for p = 1, 3 do
        local one = get(out)
        n, sum = n + one[1], sum + one[2]
        for batch = 1, 40 do
          expected = expected + 100 * (p * 10000 + batch * 100) + 5050
        end
      end
      assert.same({12000, expected}, {n, sum})
    end)

    it("serves two hundred at once", function()
      local q, answers, all = mp.Queue(), mp.Queue(), {}
      for i = 1, 200 do
        all[i] = mp.spawn(function() answers:put(q:get() * 2) end)
      end
      for i = 1, 200 do
        q:put(i)
      end
      local sum = 0
      for _ = 1, 200 do
        sum = sum + get(answers)
      end
      assert.equal(200 * 201, sum)
      for _, p in ipairs(all) do
        assert.equal(0, join(p))
      end
    end)

    it("plays ping-pong over two queues", function()
      local ping, pong = mp.Queue(), mp.Queue()
      local p = mp.spawn(function()
        for v in ping:items() do
          pong:put(v + 1)
        end
      end)
      local v = 0
      for _ = 1, 3000 do
        ping:put(v)
        v = get(pong)
      end
      assert.equal(3000, v)
      ping:close()
      assert.equal(0, join(p))
    end)
  end)
end)
