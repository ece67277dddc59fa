-- SPDX-License-Identifier: MIT
-- API.md sections 1 and 14: handles travel, objects live as long as somebody holds them, and all memory comes
-- back.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, gives_back = support.get, support.join, support.gives_back

describe("a handle", function()
  after_each(support.clean)

  describe("travels", function()
    it("as an argument, an upvalue, and inside tables of either", function()
      local q = mp.Queue()
      local deep = {x = {y = {q}}}
      local function put(queue, word) queue:put(word) end
      join(mp.spawn(put, q, "argument"))
      join(mp.spawn(function() put(q, "upvalue") end))
      join(mp.spawn(function(t) put(t.x.y[1], "in an argument") end, deep))
      join(mp.spawn(function() put(deep.x.y[1], "in an upvalue") end))
      assert.same({"argument", "upvalue", "in an argument", "in an upvalue", n = 4}, q:get_many(9))
    end)

    it("through a queue, and is the same object on arrival", function()
      local q, carrier = mp.Queue{name = "cargo"}, mp.Queue()
      carrier:put(q)
      local got = get(carrier)
      assert.equal(q, got)
      assert.equal("Queue", mp.type(got))
      assert.matches("(cargo)", tostring(got), 1, true)
      got:put("one")
      assert.equal("one", get(q))
    end)

    it("in a table, several times, as keys and as values", function()
      local a, b, carrier = mp.Queue(), mp.Queue(), mp.Queue()
      carrier:put({first = a, again = a, list = {b, a, b}, [a] = "key"})
      local got = get(carrier)
      assert.equal(a, got.first)
      assert.equal(got.first, got.again)
      assert.equal(got.list[1], got.list[3])
      assert.equal(b, got.list[1])
      assert.are_not.equal(got.first, got.list[1])
      assert.equal("key", got[got.first])
    end)

    it("to a process that was there before the object", function()
      local carrier, back = mp.Queue(), mp.Queue()
      local p = mp.spawn(function()
        for _ = 1, 3 do
          local q = get(carrier)
          q:put("found it")
          back:put(true)
        end
      end)
      for _ = 1, 3 do
        local fresh = mp.Queue()
        carrier:put(fresh)
        get(back)
        assert.equal("found it", get(fresh))
      end
      join(p)
    end)

    it("through several hops", function()
      local hops, n = {}, 5
      for i = 1, n + 1 do
        hops[i] = mp.Queue()
      end
      for i = 1, n do
        mp.spawn(function()
          local parcel = get(hops[i])
          parcel.stamps = parcel.stamps + 1
          hops[i + 1]:put(parcel)
        end)
      end
      local q = mp.Queue()
      hops[1]:put({stamps = 0, queue = q})
      local parcel = get(hops[n + 1])
      assert.equal(n, parcel.stamps)
      assert.equal(q, parcel.queue)
    end)

    it("from a child to its parent and siblings, and outlives its maker", function()
      local carrier = mp.Queue()
      join(mp.spawn(function()
        local mine = mp.Queue{name = "made in the child"}
        mine:put_many({1, 2, 3})
        carrier:put(mine)
      end))
      local q = get(carrier)
      assert.matches("made in the child", tostring(q), 1, true)
      assert.equal(1, get(q))
      assert.equal(2, mp.spawn(function() return q:get() end):result())
      assert.equal(3, get(q))
    end)

    it("and outlives a maker that was killed", function()
      local carrier = mp.Queue()
      local p = mp.spawn(function()
        local mine = mp.Queue()
        mine:put("inheritance")
        carrier:put(mine)
        mp.sleep(3600)
      end)
      support.eventually("the child has put", function() return #carrier == 1 end)
      join(p:kill())
      local q = get(carrier)
      assert.equal("inheritance", get(q))
      q:put("more")
      assert.equal("more", get(q))
    end)

    it("inside a queue that is itself in a queue, and so on", function()
      local outer = mp.Queue()
      local function nest(depth)
        local q = mp.Queue()
        q:put(depth == 0 and "kernel" or nest(depth - 1))
        return q
      end
      outer:put(nest(20))
      collectgarbage()
      local value, depth = get(outer), 0
      while mp.type(value) == "Queue" do
        value, depth = get(value), depth + 1
      end
      assert.same({"kernel", 21}, {value, depth})
    end)

    it("into itself", function()
      local q = mp.Queue()
      q:put(q)
      q:put({q, q})
      assert.equal(q, get(q))
      assert.equal(q, get(q)[2])
      assert.is_true(q:empty())
    end)

    it("as a function's upvalue in a message", function()
      local q, carrier = mp.Queue(), mp.Queue()
      carrier:put(function(x) return q:put(x) end)
      assert.is_true(get(carrier)("through a closure"))
      assert.equal("through a closure", get(q))
    end)

    it("as the result of a process", function()
      local q = mp.Queue()
      q:put("mine")
      assert.equal(q, mp.spawn(function() return q end):result())
      local made = mp.spawn(function()
        local inner = mp.Queue()
        inner:put("its own")
        return {inner}
      end):result()
      assert.equal("its own", get(made[1]))
    end)

    it("of a process as well", function()
      local carrier = mp.Queue()
      local p = mp.spawn(math.max, 3, 9)
      carrier:put({worker = p})
      local got = get(carrier).worker
      assert.equal(p, got)
      assert.equal("Process", mp.type(got))
      assert.equal(p.pid, got.pid)
      assert.equal(p.name, got.name)
      assert.equal(9, got:result())
    end)
  end)

  describe("gives all memory back", function()
    it("when a queue is dropped, with messages in it", function()
      gives_back(200, function()
        local q = mp.Queue()
        q:put_many({1, "two", {3}, ("x"):rep(5000)})
      end)
    end)

    it("when messages are taken, of every size", function()
      local q = mp.Queue()
      gives_back(10, function()
        for shift = 0, 22 do
          q:put(("x"):rep(1 << shift))
        end
        for _ = 0, 22 do
          get(q)
        end
      end)
    end)

    it("when a queue is cancelled while it is held", function()
      local held = {}
      local one = mp.Queue()
      one:put(("x"):rep(1 << 22))
      local before = support.stats().memory
      one:cancel()
      assert.is_true(support.stats().memory <= before - (1 << 22))
      held[1] = one
    end)

    it("when a put times out or cannot be sent", function()
      local q = mp.Queue(1)
      q:put(1)
      gives_back(20, function()
        q:put(("x"):rep(1 << 20), 0)
        pcall(q.put, q, {("x"):rep(1 << 20), coroutine.create(print)})
      end)
    end)

    it("when handles were in messages that nobody took", function()
      gives_back(50, function()
        local outer = mp.Queue()
        for _ = 1, 5 do
          local inner = mp.Queue()
          inner:put({outer_name = "x", deep = {mp.Queue()}})
          outer:put({inner})
        end
      end)
    end)

    it("when a queue holds itself, or two hold each other", function()
      gives_back(20, function()
        local q = mp.Queue()
        q:put(q)
        local a, b = mp.Queue(), mp.Queue()
        a:put({b})
        b:put({a, ("x"):rep(10000)})
      end)
    end)

    it("when a child that held and made objects returns, exits or is killed", function()
      local ready = mp.Queue()
      for _, finish in ipairs{function() end, function() os.exit(0) end, function() mp.sleep(3600) end} do
        gives_back(5, function()
          local q = mp.Queue()
          local p = mp.spawn(function()
            local mine = mp.Queue()
            mine:put({q, ("x"):rep(100000)})
            q:put({mine})
            ready:put(1)
            finish()
          end)
          get(ready)
          if not p:join(0.01) then p:kill() end
          join(p)
          p:close()
        end)
      end
    end)

    it("when process objects are dropped without a close", function()
      gives_back(20, function()
        join(mp.spawn(string.rep, "x", 10000))
        mp.Process(print)
      end)
    end)

    it("when a received handle is dropped last", function()
      local carrier = mp.Queue()
      gives_back(20, function()
        do
          local q = mp.Queue()
          q:put(("y"):rep(100000))
          carrier:put(q)
        end
        collectgarbage()
        assert.equal(100000, #get(get(carrier)))
      end)
    end)

    it("but not while a message names the object", function()
      local carrier = mp.Queue()
      do
        local q = mp.Queue()
        q:put("safe")
        carrier:put(q)
      end
      for _ = 1, 3 do
        support.stats()
      end
      local pressure = {}
      for i = 1, 50 do
        pressure[i] = mp.Queue()
      end
      assert.equal("safe", get(get(carrier)))
    end)

    it("but not while another process holds it", function()
      local go, ready = mp.Queue(), mp.Queue()
      local p
      do
        local q = mp.Queue()
        q:put("kept")
        p = mp.spawn(function()
          ready:put(1)
          get(go)
          return q:get(0)
        end)
      end
      get(ready)
      support.stats()
      go:put(1)
      assert.equal("kept", p:result())
    end)
  end)

  describe("inherited by fork, but not reached by the child's function", function()
    it("does not keep the object alive", function()
      assert.equal("true\ttrue\n", support.output([[
        local go = mp.Queue()
        hidden = mp.Queue()
        hidden:put(("x"):rep(1 << 20))
        local function settled()
          collectgarbage() collectgarbage()
          return mp.stats()
        end
        local p = mp.spawn(function() return go:get() end)
        local before = settled()
        hidden = nil
        local after = settled()
        print(after.objects == before.objects - 1, after.memory <= before.memory - (1 << 20))
        go:put(1)
        p:join()
      ]]))
    end)

    it("keeps it alive when the function reaches it: by upvalue, argument, or a global it names", function()
      for _, how in ipairs{"local kept = hidden f = function() go:get() return kept:get(0) end",
        "f = function(t) go:get() return t[1]:get(0) end arguments = {hidden}",
        "named = hidden f = function() go:get() return named:get(0) end"} do
        assert.equal("kept\n", support.output([[
          go = mp.Queue()
          hidden = mp.Queue()
          hidden:put("kept")
          arguments = {}
          ]] .. how .. [[
          local p = mp.spawn(f, arguments)
          hidden, named, arguments, f = nil, nil, nil, nil
          collectgarbage() collectgarbage()
          go:put(1)
          print(p:result(30))
          os.exit(0)
        ]]))
      end
    end)

    it("takes hold again when it is used and the object still lives", function()
      assert.equal("there\tnil\n", support.output([[
        local ready = mp.Queue()
        local go = mp.Queue()
        hidden = mp.Queue()
        hidden:put("there")
        local p = mp.spawn(function()
          local q = load("return hidden")()
          ready:put(q:qsize())
          go:get()
          return (q:get(0)), q:get(0)
        end)
        assert(ready:get(30) == 1)
        hidden = nil -- the child holds it now
        collectgarbage() collectgarbage()
        go:put(1)
        local first, second = p:result(30)
        print(first, second)
      ]]))
    end)

    it("raises that it is gone when the object has ended", function()
      assert.equal("false\ttrue\n", support.output([[
        local go = mp.Queue()
        hidden = mp.Queue{name = "secret"}
        local p = mp.spawn(function()
          go:get()
          return pcall(function() return load("return hidden")():qsize() end)
        end)
        hidden = nil
        collectgarbage() collectgarbage()
        go:put(1)
        local ok, message = p:result(30)
        print(ok, message:find("is gone", 1, true) ~= nil)
      ]]))
    end)
  end)

  it("of an upvalue of the parent does not reach the siblings' objects by accident", function()
    -- A queue made after the first child was started is unknown to it, until it is sent.
    local first_word = mp.Queue()
    local p = mp.spawn(function()
      local q = get(first_word)
      q:put("hello")
      return #q
    end)
    local late = mp.Queue()
    first_word:put(late)
    assert.equal(1, p:result())
    assert.equal("hello", get(late))
  end)
end)
