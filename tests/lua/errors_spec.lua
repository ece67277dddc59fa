-- SPDX-License-Identifier: MIT
-- Mistakes raise: one error each, which names the function, the argument and the value; and nothing changes.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

local nan = 0 / 0

describe("the message of a wrong argument", function()
  it("names what was called, under the name that it was called by", function()
    for _, name in ipairs{"Queue", "queue", "JoinableQueue", "SimpleQueue", "Lock", "lock", "RLock", "Condition",
      "Semaphore", "bounded_semaphore", "Barrier", "Event", "Pipe"} do
      local _, message = pcall(mp[name], -1)
      assert.matches("#1 to 'luamp." .. name .. "'", message, 1, true)
    end
  end)

  it("names a method that was not called as one", function()
    local q, lock = mp.Queue(), mp.Lock()
    for name, f in pairs{["Queue:put"] = function() q.put(q, 1, 0 / 0) end} do
      assert.matches("'put'", select(2, pcall(f)), 1, true, name)
    end
    assert.matches("#3 to 'luamp.methods.Queue:put'", select(2, pcall(q.put, q, 1, 0 / 0)), 1, true)
    assert.matches("#2 to 'luamp.methods.Lock:acquire'", select(2, pcall(lock.acquire, lock, "x")), 1, true)
    assert.matches("'luamp.methods.Dict:incr'", select(2, pcall(mp.Dict().incr, mp.Dict())), 1, true)
    assert.matches("'luamp.methods.Condition:wait'", select(2, pcall(mp.Condition().wait, 5)), 1, true)
    assert.equal(7, mp.spawn(q.put, q, 7):join() and q:get())
  end)
end)

describe("a mistake", function()
  after_each(support.clean)

  describe("with what a method is called on, or with a function", function()
    it("names the method of an object that is closed", function()
      local a, b = mp.Pipe()
      b:close()
      raises(function() b:recv() end, "recv", "the Connection is closed")
      raises(function() return b:poll() end, "poll", "the Connection is closed")
      local s = mp.SharedMemory{size = 8}
      s:close()
      raises(function() s:write(0, "x") end, "write", "the SharedMemory is closed")
      s:unlink()
      a:close()
    end)

    it("names the method that the type of the elements does not have", function()
      local v, c = mp.Value("?"), mp.Array("c", 3)
      local a = mp.Array("?", 3)
      raises(function() v:add(1) end, "add", "cannot add to an element of type '?'")
      raises(function() a:add(1, 1) end, "add", "cannot add to an element of type '?'")
      raises(function() c:sum() end, "sum", "characters")
      raises(function() a:min() end, "min", "order")
      raises(function() a:max() end, "max", "order")
      raises(function() return mp.Array("b", 10000000):unpack() end, "unpack", "too many results")
    end)

    it("names the argument that cannot be called", function()
      local c, d = mp.Condition(), mp.Dict()
      c:acquire()
      d.k = 1
      for _, bad in ipairs{5, "print", {}, true} do
        raises(function() c:wait_for(bad) end, "wait_for", "#1", "function expected", type(bad))
        raises(function() d:update("k", bad) end, "update", "#2", "function expected", type(bad))
        raises(function() c:with(bad) end, "with", "#1", "function expected", type(bad))
      end
      raises(function() c:wait_for() end, "wait_for", "#1", "function expected")
      raises(function() d:update("k", nil) end, "update", "#2", "function expected", "nil")
      assert.equal(1, d.k)
      d.k = 2
      local callable = setmetatable({}, {__call = function() return true end})
      assert.is_true(c:wait_for(callable))
      assert.is_true(d:update("k", callable))
      c:release()
    end)

    it("does not cut a name with a zero byte", function()
      assert.matches("%(a%zb%)$", tostring(mp.Lock{name = "a\0b"}))
    end)
  end)

  describe("with a timeout", function()
    local q = mp.Queue(1)
    local full = mp.Queue(1)
    full:put("kept")
    local p = mp.Process{target = mp.sleep, args = {3600}}

    -- Every call that takes a timeout, its name, and the position of the timeout.
    local calls = {
      {"put", 2, function(t) full:put(1, t) end},
      {"get", 1, function(t) q:get(t) end},
      {"put_many", 2, function(t) full:put_many({1}, t) end},
      {"get_many", 2, function(t) q:get_many(1, t) end},
      {"join", 1, function(t) full:join(t) end},
      {"sleep", 1, function(t) mp.sleep(t) end},
    }
    for _, call in ipairs(calls) do
      local name, position, f = call[1], call[2], call[3]
      it(("of %s names it: NaN, a string, a table, a boolean"):format(name), function()
        raises(function() f(nan) end, name, "#" .. position, "nan")
        raises(function() f("soon") end, name, "#" .. position, "number", "string")
        raises(function() f({}) end, name, "#" .. position, "number", "table")
        raises(function() f(true) end, name, "#" .. position, "number", "boolean")
        assert.equal(0, #q)
        assert.equal(1, #full)
      end)
    end

    it("of a process's join and result names it", function()
      p:start()
      for _, name in ipairs{"join", "result"} do
        local method = p[name]
        assert.is_function(method)
        raises(function() p[name](p, nan) end, "nan")
        raises(function() p[name](p, "soon") end, "number", "string")
      end
      raises(function() p:join("soon") end, "join", "#1")
      raises(function() p:result("soon") end, "result", "#1")
      assert.is_true(p:is_alive())
      assert.equal(-9, join(p:kill()))
    end)

    it("is found even when the call would not have to wait", function()
      local ready = mp.Queue()
      ready:put(1)
      raises(function() ready:get(nan) end, "get", "nan")
      raises(function() ready:get("soon") end, "get", "string")
      assert.equal(1, #ready)
      raises(function() ready:put(2, nan) end, "put", "nan")
      assert.equal(1, #ready)
      assert.equal(1, get(ready))
    end)
  end)

  describe("with a queue", function()
    it("in its size names it", function()
      raises(function() local _ = mp.Queue(-1) end, "Queue", "#1", "-1")
      raises(function() local _ = mp.Queue(math.mininteger) end, "Queue", "#1")
      raises(function() local _ = mp.Queue(1.5) end, "Queue", "#1")
      raises(function() local _ = mp.Queue(nan) end, "Queue", "#1")
      raises(function() local _ = mp.Queue("many") end, "Queue", "#1", "string")
      raises(function() local _ = mp.Queue(true) end, "Queue", "#1", "boolean")
    end)

    it("in its options names the option", function()
      raises(function() local _ = mp.Queue(1, {nmae = "x"}) end, "Queue", "nmae")
      raises(function() local _ = mp.Queue{maxsize = 5, colour = "red"} end, "Queue")
      raises(function() local _ = mp.Queue(1, {name = 42}) end, "Queue", "name", "number")
      raises(function() local _ = mp.Queue(1, "jobs") end, "Queue", "#2", "string")
    end)

    it("makes no object", function()
      local before = support.stats().objects
      pcall(mp.Queue, -1)
      pcall(mp.Queue, 1, {nmae = "x"})
      pcall(mp.Queue, 1, {name = {}})
      assert.equal(before, support.stats().objects)
    end)

    it("in the arguments of its methods names them", function()
      local q = mp.Queue()
      raises(function() q:put() end, "put", "#1")
      raises(function() q:put_nowait() end, "put_nowait", "#1")
      raises(function() q:put_many() end, "put_many", "#1", "table")
      raises(function() q:put_many("list") end, "put_many", "#1", "string")
      raises(function() q:put_many({1, n = -1}) end, "put_many", "n")
      raises(function() q:put_many({1, n = "many"}) end, "put_many", "n")
      raises(function() q:get_many() end, "get_many", "#1", "number")
      raises(function() q:get_many(0) end, "get_many", "#1", "0")
      raises(function() q:get_many(-7) end, "get_many", "#1", "-7")
      raises(function() q:get_many(1.5) end, "get_many", "#1")
      raises(function() q:get_many("all") end, "get_many", "#1", "string")
      assert.equal(0, #q)
      assert.is_true(q:join(0))
    end)

    it("in calling a method on something else names what was expected", function()
      local q = mp.Queue()
      for _, name in ipairs{"put", "get", "put_many", "get_many", "items", "qsize", "empty", "full", "task_done",
        "join", "close", "cancel", "put_nowait", "get_nowait"} do
        local method = q[name]
        raises(function() method({}, 1) end, "Queue", "table")
        raises(function() method() end, "Queue")
        raises(function() method(io.stdout, 1) end, "Queue")
        raises(function() method(mp.Process(print), 1) end, "Queue")
      end
    end)

    it("in using a field it does not have", function()
      local q = mp.Queue()
      assert.is_nil(q.no_such_method)
      raises(function() q.field = 1 end)
      raises(function() q:putt(1) end, "putt")
    end)

    it("does not get at its metatable", function()
      assert.is_not_table(getmetatable(mp.Queue()))
    end)
  end)

  describe("with a message", function()
    it("names what cannot be sent, and where it is", function()
      local q = mp.Queue()
      local co = coroutine.create(print)
      local file = io.tmpfile()
      raises(function() q:put(co) end, "cannot send a coroutine at message")
      raises(function() q:put({co}) end, "cannot send a coroutine at message[1]")
      raises(function() q:put({jobs = {1, 2, {co = co}}}) end, "cannot send a coroutine at message.jobs[3].co")
      raises(function() q:put({["odd key"] = co}) end, "cannot send a coroutine at message", "odd key")
      raises(function() q:put({p = mp.Process(print)}) end, "cannot send a Process that was not started at message.p")
      raises(function() q:put({file = file}) end, "cannot send", "message.file")
      raises(function() q:put({[co] = 1}) end, "cannot send a coroutine")
      raises(function() q:put(setmetatable({}, {__gc = function() end})) end, "__gc", "register")
      raises(function() q:put({x = setmetatable({}, {__close = function() end})}) end, "__close", "message.x")
      raises(function() q:put(string.gmatch("x", "x")) end, "cannot send", "message")
      raises(function() q:put_many({1, {co}}) end, "cannot send a coroutine")
      raises(function() q:put_nowait({co}) end, "cannot send a coroutine at message[1]")
      assert.same({0, true}, {#q, q:empty()})
      assert.is_true(q:join(0))
      file:close()
    end)

    it("in an upvalue of a function names the way to it", function()
      local q = mp.Queue()
      local hidden = coroutine.create(print)
      raises(function() q:put({f = function() return hidden end}) end, "cannot send a coroutine", "message.f", "hidden")
      assert.equal(0, #q)
    end)

    it("gives nothing away of the memory", function()
      local q = mp.Queue()
      support.gives_back(100, function()
        pcall(q.put, q, {("x"):rep(100000), mp.Queue(), coroutine.create(print)})
      end)
    end)

    it("does not spoil the next one", function()
      local q = mp.Queue()
      for i = 1, 50 do
        pcall(q.put, q, {i, ("x"):rep(i * 100), {coroutine.create(print)}})
        q:put({i})
      end
      for i = 1, 50 do
        assert.same({i}, get(q))
      end
    end)
  end)

  describe("with decode", function()
    it("returns broken for bytes that encode did not make", function()
      local made = mp.encode({1, "two", {three = 3.5}, string.rep("x", 300)})
      assert.same({1, "two", {three = 3.5}, string.rep("x", 300)}, mp.decode(made))
      for length = 0, #made - 1 do
        local value, code, message = mp.decode(made:sub(1, length))
        assert.is_nil(value)
        assert.equal("broken", code)
        assert.equal("string", type(message))
      end
      math.randomseed(7)
      for _ = 1, 3000 do
        local bytes = {}
        for i = 1, math.random(0, 40) do
          bytes[i] = string.char(math.random(0, 255))
        end
        local got = table.pack(mp.decode(table.concat(bytes)))
        assert.is_true(got.n == 1 or (got[1] == nil and got[2] == "broken" and type(got[3]) == "string"))
      end
      for i = 1, #made do
        local bad = made:sub(1, i - 1) .. string.char((made:byte(i) + 128) % 256) .. made:sub(i + 1)
        local got = table.pack(mp.decode(bad))
        assert.is_true(got.n == 1 or got[2] == "broken")
      end
      assert.equal("broken", select(2, mp.decode(made .. "\0")))
    end)

    it("returns broken for functions, unless they are asked for", function()
      local made = mp.encode({function() return 42 end})
      local value, code, message = mp.decode(made)
      assert.is_nil(value)
      assert.equal("broken", code)
      assert.matches("function", message)
      assert.equal(42, mp.decode(made, {functions = true})[1]())
    end)

    it("raises for what is no string, and for unknown options", function()
      raises(function() mp.decode() end, "decode", "#1", "string")
      raises(function() mp.decode({}) end, "decode", "#1", "table")
      raises(function() mp.decode("", {fuctions = true}) end, "decode", "fuctions")
      raises(function() mp.encode() end, "encode", "#1")
    end)

    it("raises in encode for a handle, and for what cannot be sent", function()
      raises(function() mp.encode({q = mp.Queue()}) end, "q")
      raises(function() mp.encode({coroutine.create(print)}) end, "cannot send a coroutine", "[1]")
    end)
  end)

  describe("with a process", function()
    it("in its target names it", function()
      raises(function() local _ = mp.Process(42) end, "Process", "#1", "number")
      raises(function() local _ = mp.Process("f") end, "Process", "#1", "string")
      raises(function() local _ = mp.Process{target = 42} end, "Process", "target", "number")
      raises(function() local _ = mp.Process{target = {}} end, "Process", "target", "table")
      raises(function() local _ = mp.Process{target = "f"} end, "Process", "target", "string")
      raises(function() mp.spawn(42) end, "spawn", "#1", "number")
      raises(function() mp.spawn() end, "spawn", "#1")
      assert.same({}, mp.active_children())
    end)

    it("in its fields names the field and the type", function()
      local function with(field, value)
        return function() local _ = mp.Process{target = print, [field] = value} end
      end
      raises(with("agrs", {}), "Process", "agrs")
      raises(with("args", 42), "Process", "args", "number")
      raises(with("name", 42), "Process", "name", "number")
      raises(with("name", {}), "Process", "name", "table")
      raises(with("daemon", "yes"), "Process", "daemon", "string")
      raises(with("detached", 1), "Process", "detached", "number")
      raises(with("start_method", 1), "Process", "start_method", "number")
      raises(with("start_method", "teleport"), "Process", "start_method", "teleport")
      raises(with("limits", "512M"), "Process", "limits", "string")
      raises(with(1, print), "Process")
    end)

    it("in the number of its arguments names n", function()
      raises(function() local _ = mp.Process{target = print, args = {1, n = -1}} end, "n")
      raises(function() local _ = mp.Process{target = print, args = {1, n = "two"}} end, "n")
      raises(function() local _ = mp.Process{target = print, args = {1, n = 1.5}} end, "n")
    end)

    it("in what is assigned to its fields names the field", function()
      local p = mp.Process(print)
      local name = p.name
      raises(function() p.name = 42 end, "name", "number")
      raises(function() p.name = nil end, "name", "nil")
      raises(function() p.daemon = "yes" end, "daemon", "string")
      assert.equal(name, p.name)
      assert.is_false(p.daemon)
    end)

    it("in calling a method on something else names what was expected", function()
      local p = mp.Process(print)
      for _, name in ipairs{"start", "join", "is_alive", "terminate", "kill", "interrupt", "result", "close"} do
        local method = p[name]
        raises(function() method({}) end, "Process")
        raises(function() method() end, "Process")
        raises(function() method(mp.Queue()) end, "Process")
        raises(function() method(42) end, "Process")
      end
    end)

    it("in calling a method of the class", function()
      raises(function() mp.Process:start() end, "Process")
      raises(function() mp.Process:join() end, "Process")
    end)

    it("in extend names the argument", function()
      raises(function() mp.Process:extend(42) end, "extend", "number")
      raises(function() mp.Process.extend() end, "extend")
    end)

    it("before its start leaves it ready to start", function()
      local p = mp.Process(function() return "fine" end)
      pcall(p.join, p)
      pcall(p.result, p)
      pcall(p.terminate, p)
      pcall(p.kill, p)
      pcall(p.interrupt, p)
      assert.is_nil(p.pid)
      assert.equal("fine", p:start():result())
    end)

    it("with a start method that is not there yet says so, and starts nothing", function()
      for _, method in ipairs{"spawn", "forkserver"} do
        local ok, p = pcall(function()
          return mp.Process{target = function() return 7 end, start_method = method}:start()
        end)
        if ok then
          assert.equal(7, p:result()) -- it has come
        else
          assert.matches(method, p, 1, true)
        end
      end
      support.clean()
    end)
  end)

  describe("in the module's functions", function()
    it("names the function", function()
      raises(function() mp.set_start_method(42) end, "set_start_method", "#1")
      raises(function() mp.set_start_method() end, "set_start_method", "#1")
      raises(function() mp.type() end, "type", "#1")
      raises(function() mp.register() end, "register", "#1")
      raises(function() mp.register("x") end, "register", "#2", "table")
      raises(function() mp.register(42, {}) end, "register", "#1")
      raises(function() mp.configure(42) end, "configure", "#1", "number")
      assert.is_nil(mp.no_such_function)
    end)

    it("registers no second table under a name, and the same one again without harm", function()
      local mt = {__gc = function() end}
      mp.register("errors_spec.thing", mt)
      mp.register("errors_spec.thing", mt)
      raises(function() mp.register("errors_spec.thing", {}) end, "register", "errors_spec.thing")
      local q = mp.Queue()
      q:put(setmetatable({1}, mt))
      local got = get(q)
      assert.equal(mt, getmetatable(got))
      assert.equal(1, got[1])
    end)
  end)

  describe("on the command line", function()
    it("a script that is missing or cut off gives one error and status 1", function()
      if not support.luamp then return pending("needs the luamp executable") end
      local missing = support.run("", {exe = support.luamp, options = "/nonexistent/script.lua", bare = true})
      assert.equal(1, missing.status)
      assert.matches("/nonexistent/script.lua", missing.err, 1, true)
      local cut = support.run("mp.spawn(function() print('no')", {exe = support.luamp})
      assert.equal(1, cut.status)
      assert.equal("", cut.out)
      assert.matches("'end' expected", cut.err, 1, true)
    end)
  end)
end)
