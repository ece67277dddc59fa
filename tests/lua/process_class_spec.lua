-- SPDX-License-Identifier: MIT
-- API.md section 2: process classes, made with extend.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

local pack = table.pack

describe("a process class", function()
  after_each(support.clean)

  it("builds objects by init and runs their run", function()
    local Adder = mp.Process:extend("Adder")
    function Adder:init(a, b) self.a, self.b = a, b end
    function Adder:run() return self.a + self.b end
    local p = Adder(20, 22)
    assert.is_nil(p.pid)
    assert.is_false(p:is_alive())
    assert.equal(p, p:start())
    assert.equal(42, p:result())
    assert.equal(0, p.exitcode)
  end)

  it("gives init all arguments, nils included", function()
    local Class = mp.Process:extend("Class")
    function Class:init(...) self.n = select("#", ...) end
    function Class:run() return self.n end
    assert.equal(4, Class(nil, 1, nil, nil):start():result())
    assert.equal(0, Class():start():result())
  end)

  it("makes objects that are a Process, with a name of their own or a default one", function()
    local Class = mp.Process:extend("Class")
    function Class:init(name) if name then self.name = name end end
    function Class.run() end
    local named, plain = Class("tim"), Class()
    assert.equal("Process", mp.type(named))
    assert.equal("tim", named.name)
    assert.matches("0x%x+ %(tim%)$", tostring(named))
    assert.matches("^Process%-%d+$", plain.name)
    plain.daemon = true
    assert.is_true(plain.daemon)
    assert.is_false(named.daemon)
  end)

  it("has all methods of a process", function()
    local Sleeper = mp.Process:extend("Sleeper")
    function Sleeper.run() mp.sleep(3600) end
    local p = Sleeper()
    raises(function() p:join() end, "join")
    p:start()
    raises(function() p:start() end, "start")
    assert.is_true(p:is_alive())
    assert.same({false, "timeout", n = 2}, pack(p:join(0)))
    assert.same({nil, "timeout", n = 2}, pack(p:result(0)))
    assert.equal(p, mp.active_children()[1])
    assert.equal(-15, join(p:terminate()))
    assert.equal("died", select(2, p:result()))
    p:close()
    raises(function() p:is_alive() end, "closed")
  end)

  it("is built as a Process is when it has no init", function()
    local Logged = mp.Process:extend("Logged")
    function Logged:run() return "logged", mp.Process.run(self) end
    local p = Logged{target = math.max, args = {3, 9}, name = "log"}
    assert.equal("log", p.name)
    assert.same({"logged", 9, n = 2}, pack(p:start():result()))
    assert.same({"logged", 5, n = 2}, pack(Logged(math.max, 5, 4):start():result()))
    raises(function() Logged{target = print, colour = "red"} end, "colour")
  end)

  it("shows the child the fields that were set before the start, and keeps the child's to itself", function()
    local Class = mp.Process:extend("Class")
    function Class:init() self.list = {1} end
    function Class:run()
      self.list[#self.list + 1] = self.extra
      self.made_here = true
      return self.list
    end
    local p = Class()
    p.extra = "set later"
    assert.same({1, "set later"}, p:start():result())
    assert.same({1}, p.list)
    assert.is_nil(p.made_here)
  end)

  it("is current_process in the child, with its methods and fields", function()
    local Class = mp.Process:extend("Class")
    function Class:init() self.mark = "me" end
    function Class.greet() return "hello" end
    function Class.run()
      local me = mp.current_process()
      return me.mark, me.greet(), me.pid
    end
    local p = Class():start()
    assert.same({"me", "hello", p.pid, n = 3}, pack(p:result()))
  end)

  it("inherits over several generations, and overrides", function()
    local Base = mp.Process:extend("Base")
    function Base:init(x) self.x = x end
    function Base:run() return self:describe() end
    function Base:describe() return "base " .. self.x end
    local Middle = Base:extend("Middle")
    local Leaf = Middle:extend("Leaf")
    function Leaf:init(x, y)
      Middle.init(self, x)
      self.y = y
    end
    function Leaf:describe() return Base.describe(self) .. " leaf " .. self.y end
    assert.equal("base 1", Base(1):start():result())
    assert.equal("base 2", Middle(2):start():result())
    assert.equal("base 3 leaf 4", Leaf(3, 4):start():result())
  end)

  it("keeps two classes and two objects apart", function()
    local One, Two = mp.Process:extend("One"), mp.Process:extend("Two")
    function One:init(x) self.x = x end
    function One:run() return "one", self.x end
    function Two.run() return "two" end
    local a, b = One("a"):start(), One("b"):start()
    assert.same({"one", "a", n = 2}, pack(a:result()))
    assert.same({"one", "b", n = 2}, pack(b:result()))
    assert.equal("two", Two():start():result())
    assert.is_nil(mp.Process.x)
    assert.equal(7, mp.Process(math.max, 7):start():result())
  end)

  it("takes handles in its fields along", function()
    local Producer = mp.Process:extend("Producer")
    function Producer:init(queue) self.out = {queue = queue} end
    function Producer:run()
      for i = 1, 3 do self.out.queue:put(i) end
    end
    local queue = mp.Queue()
    local p = Producer(queue):start()
    assert.same({1, 2, 3}, {get(queue), get(queue), get(queue)})
    join(p)
  end)

  it("prints a headed traceback when run fails, and exits with 1", function()
    local run = support.run([[
      local Class = mp.Process:extend("Class")
      function Class:init() self.name = "faulty" end
      function Class:run() error("broken run") end
      local p = Class():start()
      p:join()
      print(p.exitcode, (select(2, p:result())))
    ]])
    assert.equal("1\tdied\n", run.out)
    assert.matches("luamp: process 'faulty' %(pid %d+%) failed:\n", run.err)
    assert.matches("broken run", run.err, 1, true)
    assert.matches("stack traceback:", run.err, 1, true)
  end)

  it("raises from the constructor what init raises, and starts nothing", function()
    local Class = mp.Process:extend("Class")
    function Class.init(_, n) if type(n) ~= "number" then error("n must be a number") end end
    raises(function() Class("x") end, "n must be a number")
    assert.same({}, mp.active_children())
  end)

  it("travels with a function that names it, and is a class there", function()
    local out = support.output([[
      Base = mp.Process:extend("Base")
      function Base:init(x) self.x = x end
      function Base:run() return self:answer() end
      function Base:answer() return self.x end
      local Leaf = Base:extend("Leaf")
      function Leaf:answer() return Base.answer(self) * 2 end
      local q = mp.Queue()
      q:put(function(x)
        local More = Leaf:extend("More")
        function More:answer() return Leaf.answer(self) + 1 end
        return More(x):start():result(), Base(x):start():result(), mp.type(Leaf(x)), Leaf(x).name
      end)
      local f = q:get()
      print(f(20))
      print(mp.spawn(function() q:put(f) return q:get()(1) end):result())
    ]])
    assert.equal("41\t20\tProcess\tProcess-4\n3\t1\tProcess\tProcess-5:4\n", out)
  end)

  it("leaves every name but its own to the script's fields", function()
    local Class = mp.Process:extend("Class")
    local names = {"handle", "state", "name", "target", "args", "ids", "number", "daemon", "detached", "method",
      "limits"}
    function Class:init()
      for _, name in ipairs(names) do
        self["_" .. name] = "idle"
      end
      self.state, self.handle, self.args, self.target = 1, 2, 3, 4
    end
    function Class:run()
      local seen = {}
      for _, name in ipairs(names) do
        seen[#seen + 1] = self["_" .. name]
      end
      return table.concat(seen, " "), self.state + self.handle + self.args + self.target
    end
    local p = Class()
    raises(function() mp.Queue():put(p) end, "was not started")
    raises(function() mp.wait{p} end, "has not been started")
    assert.same({p}, mp.wait{p:start()})
    assert.same({("idle "):rep(#names):sub(1, -2), 10, n = 2}, pack(p:result()))
    assert.equal("idle", p._handle)
    assert.equal(0, join(p))
    p:close()
    raises(function() mp.wait{p} end, "is closed")
  end)

  it("travels to another process as a handle, and can be joined there", function()
    local Class = mp.Process:extend("Class")
    function Class.run() return "answer" end
    local queue = mp.Queue()
    local p = Class():start()
    queue:put(p)
    assert.same({"answer", true, n = 2}, pack(mp.spawn(function()
      local other = queue:get()
      return other:result(), other:join()
    end):result()))
    assert.equal("answer", p:result())
  end)
end)
