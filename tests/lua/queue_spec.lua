-- SPDX-License-Identifier: MIT
-- API.md section 4: what goes into a queue comes out of it. Waiting is in queue_blocking_spec.lua, task_done
-- and join in queue_join_spec.lua.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises, sure = support.get, support.join, support.raises, support.sure

local pack = table.pack

local function through(value)
  local queue = mp.Queue()
  assert(queue:put(value))
  return get(queue)
end

describe("a queue", function()
  after_each(support.clean)

  describe("made", function()
    it("is empty and unbounded by default, and with 0 and nil", function()
      for _, q in ipairs{mp.Queue(), mp.Queue(0), mp.Queue(nil), mp.Queue(nil, {name = "jobs"})} do
        assert.same({0, 0, true, false}, {q:qsize(), #q, q:empty(), q:full()})
        for i = 1, 5000 do
          sure(q:put(i, 0) == true)
        end
        assert.same({5000, 5000, false, false}, {q:qsize(), #q, q:empty(), q:full()})
      end
    end)

    it("takes a whole float as its size", function()
      local q = mp.Queue(2.0)
      assert.equal(2, (q:put_many({1, 2, 3}, 0)))
    end)

    it("reads as what it is, with its name", function()
      assert.equal("Queue", mp.type(mp.Queue()))
      assert.matches("^Queue: 0x%x+", tostring(mp.Queue()))
      assert.matches("^Queue: 0x%x+ %(jobs%)$", tostring(mp.Queue(10, {name = "jobs"})))
      assert.matches("^Queue: 0x%x+ %(jobs%)$", tostring(mp.Queue{name = "jobs"}))
    end)

    it("is the same class under the names JoinableQueue and SimpleQueue, and in lower case", function()
      for _, name in ipairs{"JoinableQueue", "SimpleQueue", "queue", "joinable_queue", "simple_queue"} do
        local q = mp[name](1, {name = "jobs"})
        assert.equal("Queue", mp.type(q))
        assert.matches("^Queue: 0x%x+ %(jobs%)$", tostring(q))
        assert.is_true(q:put("x", 0))
        assert.is_true(q:full())
        assert.equal("x", get(q))
        q:task_done()
        assert.is_true(q:join(0))
      end
    end)

    it("has a type that nothing else has", function()
      for _, value in ipairs{1, "Queue", {}, print, io.stdout, coroutine.create(print), true} do
        assert.is_nil(mp.type(value))
      end
      assert.is_nil(mp.type(nil))
    end)
  end)

  describe("with messages", function()
    it("gives them back first in, first out", function()
      local q = mp.Queue()
      for i = 1, 3000 do
        q:put(i)
      end
      for i = 1, 3000 do
        sure(q:get() == i)
      end
      assert.is_true(q:empty())
    end)

    it("keeps its order when puts and gets alternate and sizes differ", function()
      local q, first, last = mp.Queue(), 1, 0
      for round = 1, 300 do
        for _ = 1, round % 7 + 1 do
          last = last + 1
          q:put({last, ("x"):rep(last * 37 % 3000)})
        end
        for _ = 1, round % 5 + 1 do
          local code
          local message = q:get(0)
          if message then
            assert.equal(first, message[1])
            assert.equal(first * 37 % 3000, #message[2])
            first = first + 1
          else
            code = select(2, q:get(0))
            assert.equal("timeout", code)
          end
        end
      end
      assert.equal(last - first + 1, #q)
    end)

    it("returns true from put and the one message from get", function()
      local q = mp.Queue()
      assert.same({true, n = 1}, pack(q:put("x")))
      assert.same({"x", n = 1}, pack(q:get()))
      assert.same({true, n = 1}, pack(q:put_nowait("y")))
      assert.same({"y", n = 1}, pack(q:get_nowait()))
    end)

    it("takes nil as a message, which get returns alone", function()
      local q = mp.Queue()
      assert.is_true(q:put(nil))
      assert.equal(1, #q)
      assert.same({nil, n = 1}, pack(q:get()))
      assert.same({nil, "timeout", n = 2}, pack(q:get(0)))
      q:put(nil)
      assert.same({nil, n = 1}, pack(q:get_nowait()))
    end)

    it("keeps booleans, integers and floats as they are", function()
      for _, value in ipairs{true, false, 0, 1, -1, 127, 128, -129, 1 << 31, -(1 << 31), 1 << 53,
        math.maxinteger, math.mininteger, 0.0, 1.0, -1.5, 1e308, 5e-324, 2^53, math.pi, math.huge, -math.huge} do
        local got = through(value)
        assert.equal(value, got)
        assert.equal(math.type(value), math.type(got))
      end
      assert.equal("-0.0", tostring(through(-0.0)))
      assert.equal(math.type(0.0), math.type(through(0.0)))
      local nan = 0.0 / 0.0
      assert.equal(string.pack("<d", nan), string.pack("<d", through(nan)))
      assert.equal(string.pack("<d", -nan), string.pack("<d", through(-nan)))
    end)

    it("keeps strings of any bytes and any length", function()
      local all = {}
      for byte = 0, 255 do
        all[byte + 1] = string.char(byte)
      end
      assert.equal("", through(""))
      assert.equal(table.concat(all), through(table.concat(all)))
      for _, length in ipairs{1, 7, 8, 15, 16, 23, 24, 31, 32, 39, 40, 41, 63, 64, 127, 128, 255, 256, 4095, 4096,
        4097, 65535, 65536, 1 << 20, (16 << 20) + 3} do
        local text = ("abcdefg"):rep(length // 7 + 1):sub(1, length)
        assert.is_true(through(text) == text)
      end
    end)

    it("keeps tables: array and hash part, nesting, any keys", function()
      local value = {1, "two", {3, {4}}, x = 1.5, [10] = "ten", [-1] = "minus", [1.5] = "half", [true] = "yes",
        [""] = "empty", list = {}, [math.maxinteger] = math.mininteger}
      assert.same(value, through(value))
      assert.same({}, through({}))
      assert.same({nil, nil, 3}, through({nil, nil, 3}))
      local keyed = through({[{1}] = "table key"})
      local key = next(keyed)
      assert.same({1}, key)
      assert.equal("table key", keyed[key])
    end)

    it("keeps cycles and shared references", function()
      local value = {name = "self"}
      value.me, value.list = value, {value, value}
      value[value] = "key"
      local got = through(value)
      assert.equal(got, got.me)
      assert.equal(got, got.list[1])
      assert.equal(got, got.list[2])
      assert.equal("key", got[got])
      assert.are_not.equal(value, got)
      local shared = {}
      got = through({shared, shared, {}})
      assert.equal(got[1], got[2])
      assert.are_not.equal(got[1], got[3])
    end)

    it("keeps tables nested a hundred thousand deep", function()
      local value = {}
      for _ = 1, 100000 do
        value = {value}
      end
      local got, depth = through(value), 0
      while got[1] do
        got, depth = got[1], depth + 1
      end
      assert.equal(100000, depth)
    end)

    it("keeps large tables", function()
      local value = {}
      for i = 1, 100000 do
        value[i] = i * 3
        value["k" .. i] = i
      end
      local got = through(value)
      for i = 1, 100000 do
        sure(got[i] == i * 3 and got["k" .. i] == i)
      end
    end)

    it("carries functions with their upvalues, shared ones shared", function()
      local n = 10
      local got = through({up = function() n = n + 1 return n end, read = function() return n end})
      assert.equal(11, got.up())
      assert.equal(11, got.read())
      assert.equal(10, n)
      assert.equal(string.format, through(string.format))
    end)

    it("carries light userdata within the family", function()
      local light = debug.upvalueid(through, 1)
      assert.equal("userdata", type(light))
      assert.equal(light, through(light))
      assert.is_true(mp.spawn(function(x) return x == light and through({x})[1] == light end, light):result())
    end)

    it("has a message for every process once put has returned", function()
      local there, answer = mp.Queue(), mp.Queue()
      local p = mp.spawn(function()
        there:put("x")
        answer:put(#there)
        there:put("y")
      end)
      assert.equal(1, get(answer))
      join(p)
      assert.equal(2, #there)
      assert.same({"x", n = 1}, pack(there:get(0)))
      assert.same({"y", n = 1}, pack(there:get(0)))
    end)

    it("sends what a message was at the time of the put", function()
      local q, message = mp.Queue(), {1}
      q:put(message)
      message[1] = 2
      q:put(message)
      assert.same({1}, get(q))
      assert.same({2}, get(q))
    end)
  end)

  describe("with a size", function()
    it("is full at that size, and says timeout, exactly", function()
      local q = mp.Queue(3)
      for i = 1, 3 do
        assert.same({i - 1, i - 1, i == 1, false}, {q:qsize(), #q, q:empty(), q:full()})
        assert.is_true(q:put(i, 0))
      end
      assert.same({3, 3, false, true}, {q:qsize(), #q, q:empty(), q:full()})
      assert.same({false, "timeout", n = 2}, pack(q:put(4, 0)))
      assert.same({false, "timeout", n = 2}, pack(q:put(4, -1)))
      assert.same({false, "timeout", n = 2}, pack(q:put_nowait(4)))
      assert.equal(1, get(q))
      assert.is_false(q:full())
      assert.is_true(q:put_nowait(5))
      assert.same({2, 3, 5, n = 3}, q:get_many(10))
    end)

    it("works with the size one, many times", function()
      local q = mp.Queue(1)
      for i = 1, 2000 do
        sure(q:put(i, 0) == true and q:put(i, 0) == false and q:get(0) == i)
      end
    end)
  end)

  describe("used in batches", function()
    it("puts all of a list in order and returns how many", function()
      local q = mp.Queue()
      assert.same({3, n = 1}, pack(q:put_many({"a", "b", "c"})))
      assert.same({0, n = 1}, pack(q:put_many({})))
      assert.same({3, n = 1}, pack(q:put_many({nil, 2, nil, n = 3})))
      assert.same({"a", "b", "c", nil, 2, nil, n = 6}, q:get_many(100))
    end)

    it("puts as many as fit, and says why not all", function()
      local q = mp.Queue(3)
      q:put(0)
      assert.same({2, "timeout", n = 2}, pack(q:put_many({1, 2, 3, 4}, 0)))
      assert.same({0, "timeout", n = 2}, pack(q:put_many({9}, -1)))
      assert.same({0, 1, 2, n = 3}, q:get_many(9))
      q:close()
      assert.same({0, "closed", n = 2}, pack(q:put_many({5, 6})))
    end)

    it("puts none when one cannot be sent", function()
      local q = mp.Queue()
      raises(function() q:put_many({1, 2, coroutine.create(print)}) end, "cannot send a coroutine")
      assert.equal(0, #q)
      assert.is_true(q:join(0))
    end)

    it("takes at most the number asked for, and no more than there are", function()
      local q = mp.Queue()
      q:put_many({1, 2, 3, 4, 5})
      assert.same({1, 2, n = 2}, q:get_many(2))
      assert.same({3, n = 1}, q:get_many(1))
      assert.same({4, 5, n = 2}, q:get_many(math.maxinteger))
      assert.same({nil, "timeout", n = 2}, pack(q:get_many(2, 0)))
      q:put("x")
      q:close()
      assert.same({"x", n = 1}, q:get_many(2))
      assert.same({nil, "closed", n = 2}, pack(q:get_many(2)))
    end)

    it("works with a hundred thousand messages of mixed sizes", function()
      local q, list = mp.Queue(), {}
      for i = 1, 100000 do
        list[i] = i % 10 == 0 and ("s"):rep(i % 300) or i
      end
      assert.equal(100000, (q:put_many(list)))
      local n = 0
      while n < 100000 do
        local got = q:get_many(777, 0)
        for i = 1, got.n do
          sure(got[i] == list[n + i])
        end
        n = n + got.n
      end
      assert.is_true(q:empty())
    end)
  end)

  describe("as an iterator", function()
    it("ends when closed and drained", function()
      local q, got = mp.Queue(), {}
      q:put_many({1, 2, 3})
      q:close()
      for v in q:items() do
        got[#got + 1] = v
      end
      assert.same({1, 2, 3}, got)
    end)

    it("ends at nil, which is consumed, and nothing after it is", function()
      local q, got = mp.Queue(), {}
      q:put_many({1, false, nil, 4, n = 4})
      for v in q:items() do
        got[#got + 1] = v
      end
      assert.same({1, false}, got)
      assert.equal(4, get(q))
    end)

    it("can be left by break, and takes no more than it gave", function()
      local q = mp.Queue()
      q:put_many({1, 2, 3})
      for v in q:items() do
        local keep = function() return v end
        if keep() == 2 then break end
      end
      assert.equal(3, get(q))
    end)

    it("returns no closing value", function()
      local function_and_rest = pack(mp.Queue():items())
      assert.is_true(function_and_rest.n <= 3)
    end)

    it("can be shared by two loops", function()
      local q = mp.Queue()
      q:put_many({1, 2, nil, 3, nil, n = 5})
      local sum = 0
      for v in q:items() do sum = sum + v end
      for v in q:items() do sum = sum + v end
      assert.equal(6, sum)
    end)
  end)

  describe("closed", function()
    it("takes no more puts, by anyone, and gives what is in it", function()
      local q = mp.Queue()
      q:put("left")
      join(mp.spawn(function() q:close() end))
      assert.same({false, "closed", n = 2}, pack(q:put(1)))
      assert.same({false, "closed", n = 2}, pack(q:put(1, 0)))
      assert.same({false, "closed", n = 2}, pack(q:put_nowait(1)))
      assert.same({false, "closed", n = 2}, pack(mp.spawn(function() return q:put(1) end):result()))
      assert.equal(1, #q)
      assert.equal("left", get(q))
      for _ = 1, 2 do
        assert.same({nil, "closed", n = 2}, pack(q:get()))
        assert.same({nil, "closed", n = 2}, pack(q:get(0)))
        assert.same({nil, "closed", n = 2}, pack(q:get_nowait()))
      end
      assert.same({0, true}, {q:qsize(), q:empty()})
    end)

    it("says closed, not timeout, when it was full", function()
      local q = mp.Queue(1)
      q:put(1)
      q:close()
      assert.same({false, "closed", n = 2}, pack(q:put(2, 0)))
    end)

    it("may be closed again", function()
      local q = mp.Queue()
      q:put(1)
      q:close()
      q:close()
      assert.equal(1, get(q))
    end)

    it("gives back nil messages before it says closed", function()
      local q = mp.Queue()
      q:put(nil)
      q:close()
      assert.same({nil, n = 1}, pack(q:get()))
      assert.same({nil, "closed", n = 2}, pack(q:get()))
    end)
  end)

  describe("cancelled", function()
    it("is closed, and what was in it is dropped", function()
      local q = mp.Queue()
      q:put_many({1, ("x"):rep(100000), {}})
      q:cancel()
      assert.equal(0, #q)
      assert.same({nil, "closed", n = 2}, pack(q:get()))
      assert.same({false, "closed", n = 2}, pack(q:put(1)))
      q:cancel()
      q:close()
    end)

    it("is cancelled for every process", function()
      local q = mp.Queue()
      q:put("x")
      join(mp.spawn(function() q:cancel() end))
      assert.same({nil, "closed", n = 2}, pack(q:get()))
    end)

    it("drops what was left after a close, too", function()
      local q = mp.Queue()
      q:put("x")
      q:close()
      q:cancel()
      assert.same({nil, "closed", n = 2}, pack(q:get()))
    end)
  end)

  describe("with what cannot be sent or rebuilt", function()
    it("raises in put, with the path, and changes nothing", function()
      local q = mp.Queue(2)
      q:put("first")
      raises(function() q:put({jobs = {1, 2, {co = coroutine.create(print)}}}) end,
        "cannot send a coroutine at message.jobs[3].co")
      raises(function() q:put(io.stdout) end, "cannot send")
      assert.equal(1, #q)
      assert.is_true(q:put("second", 0))
      assert.same({"first", "second", n = 2}, q:get_many(9))
      q:task_done()
      q:task_done()
      assert.is_true(q:join(0))
    end)

    it("raises in get when a module is missing there, consumes the message, and goes on", function()
      assert.equal("false\ttrue\t1\nnext\ttrue\n", support.output([[
        local q = mp.Queue()
        mp.spawn(function()
          package.preload.ghost = function() return {boo = function() return "boo" end} end
          q:put({1, require "ghost".boo})
          q:put("next")
        end):join()
        local ok, message = pcall(function() return q:get() end)
        print(ok, message:find("ghost", 1, true) ~= nil, #q)
        print(q:get(), q:empty())
      ]]))
    end)
  end)

  describe("whose producers end", function()
    it("keeps what was put by a process that returned, exited, failed or was killed", function()
      local ends = {
        function() end,
        function() os.exit(0) end,
        function() os.exit(1, true) end,
        function() os.execute("kill -KILL $PPID") mp.sleep(3600) end,
      }
      for _, finish in ipairs(ends) do
        local q = mp.Queue()
        local p = mp.spawn(function()
          for i = 1, 500 do
            q:put({i, ("y"):rep(i)})
          end
          finish()
        end)
        join(p) -- nobody has taken anything, and it does not hang
        assert.equal(500, #q)
        for i = 1, 500 do
          local message = q:get(0)
          sure(message[1] == i and #message[2] == i)
        end
      end
    end)

    it("lets a process with megabytes in the queue end", function()
      local q = mp.Queue()
      local p = mp.spawn(function()
        for i = 1, 16 do
          q:put(string.char(64 + i):rep(1 << 20))
        end
      end)
      assert.equal(0, join(p))
      for i = 1, 16 do
        assert.is_true(q:get(0) == string.char(64 + i):rep(1 << 20))
      end
    end)

    it("keeps the order of each producer", function()
      local q, producers = mp.Queue(16), {}
      for name = 1, 4 do
        producers[name] = mp.spawn(function()
          for i = 1, 1000 do
            q:put({name, i})
          end
        end)
      end
      local last = {0, 0, 0, 0}
      for _ = 1, 4000 do
        local message = get(q)
        sure(last[message[1]] + 1 == message[2])
        last[message[1]] = message[2]
      end
      assert.same({1000, 1000, 1000, 1000}, last)
      assert.is_true(q:empty())
      for _, p in ipairs(producers) do
        join(p)
      end
    end)
  end)

  describe("in full shared memory", function()
    it("waits in put like a full bounded one, and goes on when there is room", function()
      assert.equal("timeout\ttrue\ttrue\ttrue\n", support.output([[
        local q, text = mp.Queue(), ("x"):rep(1 << 20)
        local n, ok, code = 0, true
        while ok do
          ok, code = q:put(text, 0.1)
          if ok then n = n + 1 end
        end
        local intact = #q == n and n > 2
        local p = mp.spawn(function() return q:put(text) end) -- waits
        local waited = p:join(0.2) == false
        for i = 1, 3 do intact = intact and q:get(0) == text end
        print(code, intact, waited, p:result(30))
      ]], {env = {LUAMP_MEMORY = "16M"}}))
    end)

    it("says closed, instead of waiting for memory, when nobody can put any more", function()
      assert.equal("false\ttrue\tfalse\tclosed\tclosed\t5\t5\n", support.output([[
        local q, other, text = mp.Queue(), mp.Queue(), ("x"):rep(1 << 20)
        local a, b = mp.Pipe()
        while other:put(text, 0.1) do end
        local function tell(ok, code) -- a result would wait for memory, too
          os.exit(not ok and code == "closed" and 5 or 6)
        end
        local p = mp.spawn(function() b:close() tell(q:put(text)) end)
        local r = mp.spawn(function() b:close() tell(a:send(text)) end)
        local waited = p:join(0.2)
        b:close()
        q:close()
        print(waited, p:join(30), (q:put(text, 30)), select(2, q:put(text)), select(2, q:put(text, 0)),
          p.exitcode, r:join(30) and r.exitcode)
      ]], {env = {LUAMP_MEMORY = "16M"}}))
    end)

    it("refuses a message larger than the limit as toolarge, and changes nothing", function()
      assert.equal("false\ttoolarge\t1\t0\ttoolarge\nfirst\ttrue\n", support.output([[
        local q = mp.Queue()
        q:put("first")
        local ok, code = q:put(("x"):rep(64 << 20))
        local n, why = q:put_many({("x"):rep(64 << 20)})
        print(ok, code, #q, n, why)
        print(q:get(), q:put("small", 0))
      ]], {env = {LUAMP_MEMORY = "16M"}}))
    end)
  end)

  describe("in a coroutine", function()
    it("blocks and answers as elsewhere", function()
      local q, results = mp.Queue(), {}
      local p = mp.spawn(function() mp.sleep(0.05) q:put("from outside") end)
      local co = coroutine.wrap(function()
        results[1] = q:get(support.patience)
        results[2] = pack(q:get(0.01))
        coroutine.yield()
        results[3] = pcall(function() q:put(coroutine.running()) end)
      end)
      co()
      co()
      assert.same({"from outside", {nil, "timeout", n = 2}, false}, results)
      join(p)
    end)
  end)
end)
