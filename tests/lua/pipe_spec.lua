-- SPDX-License-Identifier: MIT
-- API.md section 5: pipes and their connections, in one process and between several.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local join, raises, sure = support.join, support.raises, support.sure

local pack = table.pack

-- What recv (or another call) returns, without hanging where nothing comes.
local function recv(c)
  return pack(c:recv(support.patience))
end

local function at_end(c)
  local got = recv(c)
  return got.n == 2 and got[1] == nil and got[2] == "closed"
end

describe("a pipe", function()
  after_each(support.clean)

  describe("made", function()
    it("has two ends that send and receive", function()
      local a, b = mp.Pipe()
      for _, c in ipairs{a, b} do
        assert.equal("Connection", mp.type(c))
        assert.same({false, true, true}, {c.closed, c.readable, c.writable})
      end
      assert.is_true(a:send("there"))
      assert.is_true(b:send("back"))
      assert.same({"there", n = 1}, recv(b))
      assert.same({"back", n = 1}, recv(a))
    end)

    it("has one end that receives and one that sends, when not duplex", function()
      local r, w = mp.Pipe(false)
      assert.same({true, false, false, true}, {r.readable, r.writable, w.readable, w.writable})
      assert.is_true(w:send(1))
      assert.same({1, n = 1}, recv(r))
      raises(function() r:send(1) end, "'send'", "only receives")
      raises(function() r:send_bytes("x") end, "'send_bytes'", "only receives")
      raises(function() w:recv() end, "'recv'", "only sends")
      raises(function() w:recv_bytes() end, "'recv_bytes'", "only sends")
      raises(function() w:poll() end, "'poll'", "only sends")
      raises(function() w:items() end, "'items'", "only sends")
    end)

    it("takes true, nil and a name, and nothing else", function()
      for _, make in ipairs{mp.Pipe, mp.pipe} do
        local a, b = make(nil, {name = "talk"})
        assert.matches("^Connection: 0x%x+ %(talk%)$", tostring(a))
        assert.matches("^Connection: 0x%x+ %(talk%)$", tostring(b))
        assert.is_true(select(2, make{name = "talk"}).writable)
        assert.is_true(make(true).writable)
      end
      raises(function() mp.Pipe(1) end, "boolean expected")
      raises(function() mp.Pipe(true, {nam = "x"}) end, "unknown option 'nam'")
      raises(function() mp.Pipe(true, {name = 1}) end, "name", "string expected")
    end)
  end)

  describe("with messages", function()
    it("carries what a queue carries, in order", function()
      local a, b = mp.Pipe()
      local cyclic = {}
      cyclic.self = cyclic
      for i = 1, 3000 do
        sure(a:send(i))
      end
      a:send{1, {2.5, "x"}, k = true}
      a:send(cyclic)
      a:send(nil)
      a:send(function() return 42 end)
      for i = 1, 3000 do
        sure(b:recv() == i)
      end
      assert.same({1, {2.5, "x"}, k = true}, b:recv())
      local got = b:recv()
      assert.equal(got, got.self)
      assert.same({n = 1}, recv(b))
      assert.equal(42, b:recv()())
      raises(function() a:send{co = coroutine.create(print)} end, "cannot send a coroutine at message.co")
      raises(function() a:send() end, "value expected")
      assert.is_false(b:poll())
    end)

    it("carries raw bytes, all of them or a part", function()
      local a, b = mp.Pipe()
      local every = {}
      for i = 0, 255 do
        every[#every + 1] = string.char(i)
      end
      every = table.concat(every)
      local large = every:rep(20000)
      for _, s in ipairs{every, "", "\0", "\0\0", "\xA1", large} do
        assert.is_true(a:send_bytes(s))
        assert.is_true(b:poll())
        assert.is_true(b:recv_bytes() == s)
      end
      assert.is_false(b:poll())
      for _, r in ipairs{{2}, {2, 3}, {-2}, {1, -2}, {0}, {5, 2}, {-100, 100}, {7}, {1, 0}, {2, nil}} do
        a:send_bytes("hello", r[1], r[2])
        assert.equal(("hello"):sub(r[1], r[2] or -1), b:recv_bytes())
      end
      raises(function() a:send_bytes() end, "string expected")
      raises(function() a:send_bytes("x", {}) end, "number expected")
    end)

    it("keeps the places of empty, raw and encoded ones", function()
      local a, b = mp.Pipe()
      a:send(1)
      a:send_bytes("")
      a:send(2)
      assert.equal(1, b:recv())
      assert.equal("", b:recv_bytes())
      assert.equal(2, b:recv())
    end)

    it("gives the other kind of message for what it is", function()
      local a, b = mp.Pipe()
      a:send{1, "two"}
      assert.same({1, "two"}, mp.decode(b:recv_bytes()))
      a:send_bytes(mp.encode{1, "two"})
      assert.same({1, "two"}, b:recv())
      for _, s in ipairs{"", "junk", "\0", mp.encode(function() end)} do
        a:send_bytes(s)
        local got = recv(b)
        assert.same({nil, "broken", 3}, {got[1], got[2], got.n})
        assert.equal("string", type(got[3]))
      end
      a:send_bytes("junk")
      raises(function() for _ in b:items() do error("no") end end, "cannot rebuild")
      a:send("goes on")
      assert.equal("goes on", b:recv())
    end)

    it("ends a connection that got more bytes than it was ready for", function()
      local a, b = mp.Pipe()
      a:send_bytes("12345")
      a:send_bytes("12345")
      assert.equal("12345", b:recv_bytes(5))
      assert.same({nil, "toolarge", n = 2}, pack(b:recv_bytes(4)))
      assert.same({false, true, false}, {b.readable, b.writable, b.closed})
      raises(function() b:recv() end, "'recv'", "cannot be read from")
      raises(function() b:recv_bytes() end, "cannot be read from")
      raises(function() b:poll() end, "cannot be read from")
      assert.same({false, "closed", n = 2}, pack(a:send(1)))
      assert.is_true(b:send("the other way"))
      assert.equal("the other way", a:recv())
      raises(function() a:recv_bytes(-1) end, "recv_bytes", "negative")
      b:send_bytes("")
      assert.equal("", a:recv_bytes(0))
    end)

    it("waits as long as it is told", function()
      local a, b = mp.Pipe()
      for _, call in ipairs{function(t) return b:recv(t) end, function(t) return b:recv_bytes(nil, t) end} do
        assert.same({nil, "timeout", n = 2}, pack(call(0)))
        local from = mp.time()
        assert.same({nil, "timeout", n = 2}, pack(call(0.03)))
        assert.is_true(mp.time() - from >= 0.03)
        raises(function() call("x") end, "number expected")
      end
      local from = mp.time()
      assert.is_false(b:poll(0.03))
      assert.is_true(mp.time() - from >= 0.03)
      assert.is_false(b:poll(nil))
      a:send(1)
      assert.is_true(b:poll(math.huge))
      raises(function() a:send(1, 0 / 0) end, "nan")
      raises(function() a:send_bytes("x", 1, 1, "y") end, "number expected")
    end)

    it("waits for memory, and gives up in time", function()
      local result = support.output([[
        local mp = require "luamp"
        mp.configure{memory = "4M"}
        local a, b = mp.Pipe()
        local s = ("x"):rep(300000)
        local n = 0
        while true do
          local ok, code = a:send_bytes(s, 1, -1, 0.01)
          if not ok then assert(code == "timeout") break end
          n = n + 1
        end
        assert(n >= 5)
        local ok, code = a:send_bytes(("x"):rep(10000000), 1, -1, 0.01)
        assert(ok == false and code == "toolarge")
        local p = mp.spawn(function()
          mp.sleep(0.05)
          for _ = 1, 4 do b:recv_bytes() end
        end)
        assert(a:send_bytes(s)) -- as soon as there is room
        assert(p:join(30) and p.exitcode == 0)
        b:close()
        print(a:send_bytes("x"))
      ]])
      assert.matches("false%s+closed", result)
    end)
  end)

  describe("closed", function()
    it("cannot be used, twice is harmless", function()
      local a, b = mp.Pipe()
      a:close()
      a:close()
      assert.same({true, false, false}, {a.closed, a.readable, a.writable})
      assert.matches("%(closed%)$", tostring(a))
      assert.equal("Connection", mp.type(a))
      for _, name in ipairs{"send", "recv", "poll", "send_bytes", "recv_bytes", "items"} do
        raises(function() a[name](a, "x") end, "closed")
      end
      raises(function() b:send(a) end, "message")
      assert.is_true(at_end(b))
    end)

    it("leaves what was sent to be received, then ends", function()
      local a, b = mp.Pipe()
      a:send(1)
      a:send_bytes("2")
      a:close()
      assert.same({false, "closed", n = 2}, pack(b:send(1)))
      assert.same({false, "closed", n = 2}, pack(b:send_bytes("")))
      assert.is_true(b:poll())
      assert.equal(1, b:recv())
      assert.equal("2", b:recv_bytes())
      assert.is_true(b:poll())
      assert.is_true(at_end(b))
      assert.same({nil, "closed", n = 2}, pack(b:recv_bytes()))
    end)

    it("by leaving a scope and by the collector", function()
      local a, b = mp.Pipe()
      do
        local c <close> = a
        c:send(1)
      end
      assert.is_true(a.closed)
      assert.equal(1, b:recv())
      assert.is_true(at_end(b))
      a, b = mp.Pipe()
      assert.is_true(a.readable)
      a = nil
      collectgarbage()
      assert.is_nil(a)
      assert.is_true(at_end(b))
    end)

    it("ends the loop over its items", function()
      local a, b = mp.Pipe()
      for i = 1, 5 do
        a:send(i)
      end
      a:close()
      local sum = 0
      for item in b:items() do
        sum = sum + item
      end
      assert.equal(15, sum)
      a, b = mp.Pipe()
      a:send(1)
      a:send(nil)
      a:send(2)
      for item in b:items() do
        assert.equal(1, item)
      end
      assert.equal(2, b:recv())
      a:send(3)
      a:send(4)
      for item in b:items() do
        if item == 3 then break end
      end
      assert.equal(4, b:recv())
    end)
  end)

  describe("between processes", function()
    it("ends for the parent when the child has ended, and for the child when the parent has closed", function()
      local a, b = mp.Pipe()
      local p = mp.spawn(function(c)
        local sum = 0
        for n in c:items() do
          sum = sum + n
        end
        c:send(sum)
      end, b)
      b:close()
      for i = 1, 100 do
        a:send(i)
      end
      a:send(nil)
      assert.equal(5050, recv(a)[1])
      assert.is_true(at_end(a))
      assert.equal(0, join(p))

      a, b = mp.Pipe()
      p = mp.spawn(function(c) return select(2, c:recv()) end, b) -- it inherited a, and does not hold it
      b:close()
      a:close()
      assert.equal("closed", p:result(support.patience))
    end)

    it("ends when the other side is killed", function()
      local a, b = mp.Pipe()
      local p = mp.spawn(function() b:send("up") mp.sleep(1000) end)
      b:close()
      assert.equal("up", recv(a)[1])
      p:kill()
      assert.is_true(at_end(a))
      assert.same({false, "closed", n = 2}, pack(a:send(1)))
      join(p)
    end)

    it("ends for a child whose parent is killed", function()
      local out = mp.Queue()
      local parent = mp.spawn(function()
        local a, b = mp.Pipe()
        local child = mp.Process{args = {out, b}, detached = true, target = function(o, c)
          o:put("up")
          o:put((select(2, c:recv())))
        end}
        child:start()
        b:close()
        mp.sleep(1000)
        a:close()
      end)
      assert.equal("up", support.get(out))
      parent:kill()
      assert.equal("closed", support.get(out))
      join(parent)
    end)

    it("stays open while one of several holds the other end", function()
      local a, b = mp.Pipe()
      local go = mp.Queue()
      local function work(c, i)
        go:get()
        c:send(i)
      end
      local ps = {}
      for i = 1, 3 do
        ps[i] = mp.spawn(work, b, i)
      end
      b:close()
      local seen = 0
      for _ = 1, 3 do
        assert.same({nil, "timeout", n = 2}, pack(a:recv(0)))
        go:put(1)
        seen = seen + recv(a)[1]
      end
      assert.equal(6, seen)
      assert.is_true(at_end(a))
      for _, p in ipairs(ps) do
        join(p)
      end
    end)

    it("gives each message to one of several receivers, from several senders, whole", function()
      local a, b = mp.Pipe()
      local function receive(c)
        local list = {}
        for m in c:items() do
          list[#list + 1] = m
        end
        return list
      end
      local function send(c, from)
        for i = from, from + 499 do
          c:send(i % 50 == 0 and ("%d"):format(i):rep(500, ",") or i)
        end
      end
      local rs, ss = {}, {}
      for i = 1, 3 do
        rs[i] = mp.spawn(receive, b)
        ss[i] = mp.spawn(send, a, i * 1000)
      end
      a:close()
      b:close()
      local seen, n = {}, 0
      for _, p in ipairs(ss) do
        assert.equal(0, join(p))
      end
      for _, p in ipairs(rs) do
        for _, m in ipairs(p:result(support.patience)) do
          local id = math.tointeger(m) or math.tointeger(m:match("^%d+"))
          sure(not seen[id])
          seen[id], n = true, n + 1
        end
      end
      assert.equal(1500, n)
    end)
  end)

  describe("in flight", function()
    it("stays open in a queue, and ends with the last that had it", function()
      local q = mp.Queue()
      local a, b = mp.Pipe()
      q:put{reply = b}
      b:close()
      assert.same({nil, "timeout", n = 2}, pack(a:recv(0)))
      local p = mp.spawn(function() support.get(q).reply:send("answer") end)
      assert.equal("answer", recv(a)[1])
      assert.is_true(at_end(a))
      join(p)
    end)

    it("ends with the queue that carried it", function()
      for _, drop in ipairs{"cancel", "collect"} do
        local q = mp.Queue()
        local a, b = mp.Pipe()
        q:put(b)
        b:close()
        assert.is_false(a:poll())
        if drop == "cancel" then q:cancel() end
        q = nil
        collectgarbage()
        assert.is_nil(q)
        assert.is_true(at_end(a))
      end
    end)

    it("ends when who had taken it is killed", function()
      local q = mp.Queue()
      local a, b = mp.Pipe()
      local p = mp.spawn(function()
        local c = q:get()
        c:send("got it")
        mp.sleep(1000)
      end)
      q:put(b)
      b:close()
      assert.equal("got it", recv(a)[1])
      p:kill()
      assert.is_true(at_end(a))
      join(p)
    end)

    it("goes through its own pipe, either way", function()
      local a, b = mp.Pipe()
      a:send(a)
      a:close()
      local again = b:recv()
      b:send("hello")
      assert.equal("hello", again:recv())
      again:close()
      assert.is_true(at_end(b))
      a, b = mp.Pipe()
      b:send(a) -- to itself: nobody can ever take it
      a:close()
      assert.is_true(at_end(b))
    end)

    it("goes through another pipe, and back", function()
      local a, b = mp.Pipe()
      local p = mp.spawn(function(c)
        for channel in c:items() do
          channel:send("served")
          channel:close()
        end
      end, b)
      b:close()
      for _ = 1, 200 do
        local mine, yours = mp.Pipe()
        a:send(yours)
        yours:close()
        sure(mine:recv(support.patience) == "served")
        sure(at_end(mine))
        mine:close()
      end
      a:close()
      assert.equal(0, join(p))
    end)

    it("is the same value where it is known, and another handle otherwise", function()
      local q = mp.Queue()
      local a, b = mp.Pipe()
      q:put(a)
      assert.equal(a, q:get())
      q:put(a)
      a:close()
      local c = q:get()
      assert.not_equal(a, c)
      assert.same({true, false}, {a.closed, c.closed})
      b:send(1)
      assert.equal(1, c:recv())
    end)
  end)

  it("gives back all that it took", function()
    local function objects()
      collectgarbage()
      collectgarbage()
      local stats = mp.stats()
      return stats.objects, stats.memory
    end
    local n, memory = objects()
    for i = 1, 5000 do
      local a, b = mp.Pipe(i % 3 > 0)
      b:send{i, ("x"):rep(i % 2000)}
      if i % 7 == 0 then b:send(b) end
      if i % 2 == 0 then a:close() end
      b:close()
    end
    local now, used = objects()
    assert.equal(n, now)
    assert.equal(memory, used)
  end)
end)
