-- SPDX-License-Identifier: MIT
-- API.md sections 10 and 14: Dict and Namespace, in one process and between several.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises, sure = support.get, support.join, support.raises, support.sure

local LONG <const> = ("long "):rep(4000)

local function entries(d)
  local t, n = {}, 0
  for k, v in pairs(d) do
    assert(t[k] == nil, "an entry came twice")
    t[k], n = v, n + 1
  end
  return t, n
end

describe("a Dict", function()
  after_each(support.clean)

  it("stores, reads, counts and deletes", function()
    local d = mp.Dict()
    assert.equal(0, #d)
    assert.is_nil(d.x)
    d.x = 1
    d["y"] = "two"
    d:set("z", {3})
    assert.same({1, "two", {3}, 3}, {d.x, d:get("y"), d.z, #d})
    d.x = 4
    assert.same({4, 3}, {d.x, #d})
    d.x = nil
    d:set("y", nil)
    d:set("never", nil)
    assert.same({z = {3}}, (entries(d)))
    assert.equal("Dict", mp.type(d))
    assert.matches("^Dict: 0x%x+ %(jobs%)$", tostring(mp.dict{name = "jobs"}))
  end)

  it("takes every scalar as a key, and tells them apart", function()
    local d = mp.Dict()
    local keys = {1, 0, -1, 127, 128, -129, 70000, math.maxinteger, math.mininteger, 1.5, -0.25, math.huge, -math.huge,
      2^53 + 0.0, 2.0^70, true, false, "", "1", "true", "a\0b", LONG, LONG .. "x", ("k"):rep(200), ("k"):rep(201)}
    for i, k in ipairs(keys) do d[k] = i end
    assert.equal(#keys, #d)
    for i, k in ipairs(keys) do assert.equal(i, d[k]) end
    local all = entries(d)
    for i, k in ipairs(keys) do assert.equal(i, all[k]) end
    local listed = {}
    for _, k in ipairs(d:keys()) do listed[k] = true end
    for _, k in ipairs(keys) do assert.is_true(listed[k]) end
    for _, k in ipairs(keys) do d[k] = nil end
    assert.equal(0, #d)
  end)

  it("has one key for a float and the integer that it equals", function()
    local d = mp.Dict()
    d[1.0] = "one"
    d[-0.0] = "zero"
    assert.same({"one", "zero"}, {d[1], d[0]})
    assert.equal("integer", math.type(d:keys()[1]))
    d[0] = nil
    assert.is_nil(d[-0.0])
    assert.equal("integer", math.type(next((entries(d)))))
  end)

  it("refuses other keys, naming them, and changes nothing", function()
    local d = mp.Dict()
    for _, k in ipairs{{}, print, d, coroutine.create(print)} do
      raises(function() d[k] = 1 end, "key", type(k))
      raises(function() local _ = d[k] end, "key", type(k))
      for _, name in ipairs{"get", "set", "add", "incr", "pop", "update"} do
        raises(function() d[name](d, k, name == "update" and print or 1) end, "key", type(k))
      end
    end
    raises(function() d[nil] = 1 end, "key", "nil")
    raises(function() d[0/0] = 1 end, "nan")
    raises(function() d:get() end, "key")
    assert.equal(0, #d)
  end)

  it("keeps every sendable value, and refuses the others at the sender", function()
    local d = mp.Dict()
    local n = 0
    local q = mp.Queue()
    local values = {true, false, 0, -7, 1 << 40, 0.1, math.huge, "", "text", LONG, LONG:rep(20), {},
      {1, {2, x = LONG}}, q}
    for i, v in ipairs(values) do d[i] = v end
    for i, v in ipairs(values) do
      if v == q then assert.equal(q, d[i]) else assert.same(v, d[i]) end
    end
    d.f = function() n = n + 1 return n end
    assert.same({1, 1}, {d.f(), d.f()}) -- each read gives a copy
    d.nan = 0/0
    sure(d.nan ~= d.nan)
    raises(function() d.co = {co = coroutine.create(print)} end, "coroutine", "value.co")
    assert.is_nil(d.co)
    local t = {1}
    d.t = t
    t[1] = 2
    assert.equal(1, d.t[1])
  end)

  it("lets methods win over entries, which get and set still reach", function()
    local d = mp.Dict()
    d.get = "entry"
    d:set("update", 5)
    assert.equal("function", type(d.get))
    assert.same({"entry", 5}, {d:get("get"), d:get("update")})
    assert.equal(2, #d)
    d.get = nil
    assert.is_nil(d:get("get"))
  end)

  it("has get and pop with a default, add, incr, clear", function()
    local d = mp.Dict()
    assert.same({5, "x"}, {d:get("k", 5), d:pop("k", "x")})
    assert.is_nil(d:pop("k"))
    assert.is_true(d:add("k", 1))
    assert.is_false(d:add("k", 2))
    assert.equal(1, d:pop("k", 7))
    d.no = false
    assert.is_false(d:get("no", true))
    assert.is_false(d:pop("no", true))
    assert.same({1, 3, 3.5}, {d:incr("n", 1), d:incr("n", 2), d:incr("n", 0.5)})
    assert.same({11, -1, 0}, {d:incr("m", 1, 10), d:incr("o", -1), d:incr("o")})
    d.big = math.maxinteger
    assert.equal(math.mininteger, d:incr("big", 1))
    assert.equal("float", math.type(d:incr("f", 1.0)))
    d.s = "5"
    raises(function() d:incr("s", 1) end, "not a number", "s")
    d.l = LONG
    raises(function() d:incr("l", 1) end, "not a number")
    raises(function() d:incr("n", "1") end, "number")
    raises(function() d:incr("n", 1, {}) end, "number")
    raises(function() d:add("n", nil) end, "nil")
    assert.equal("5", d.s)
    d:clear()
    assert.same({0, {}}, {#d, d:keys()})
  end)

  it("is cleared at one moment, whoever is killed", function()
    local d, seen = mp.Dict(), {}
    for round = 1, 12 do
      for i = 1, 4000 do d[i] = i % 100 == 0 and LONG or i end
      local go = mp.Event()
      local p = mp.spawn(function()
        go:set()
        d:clear()
      end)
      go:wait()
      mp.sleep(round * 0.0002)
      p:kill():join()
      local n = #d
      local walked = 0
      for _ in pairs(d) do walked = walked + 1 end
      seen[n] = (seen[n] or 0) + 1
      assert.equal(n, walked)
      assert.is_true(n == 0 or n == 4000, n)
    end
    d:clear()
    support.gives_back(5, function()
      for i = 1, 300 do d[i] = i % 50 == 0 and LONG or {i, d} end
      d:clear()
      d.x = 1
      assert.same({1, {"x"}}, {#d, d:keys()})
      d:clear()
    end)
  end)

  it("lets pairs go on while it is cleared", function()
    local d, stop = mp.Dict(), mp.Event()
    local p = mp.spawn(function()
      while not stop:is_set() do
        for i = 1, 100 do d[i] = i end
        d:clear()
      end
    end)
    for _ = 1, 300 do
      local met = {}
      for k, v in pairs(d) do
        assert.is_nil(met[k])
        met[k] = true
        assert.equal(k, v)
      end
    end
    stop:set()
    assert.equal(0, join(p))
    assert.equal(0, #d)
  end)

  it("replaces what equals the old value", function()
    local d = mp.Dict()
    d.x = 1
    assert.is_false(d:replace("x", 2, 3))
    assert.is_true(d:replace("x", 1.0, "s"))
    assert.is_false(d:replace("x", "t", 1))
    assert.is_true(d:replace("x", "s", {1, {2}}))
    assert.is_false(d:replace("x", {1, {3}}, 1))
    assert.is_true(d:replace("x", {1, {2}}, LONG))
    assert.is_false(d:replace("x", LONG .. "x", 1))
    assert.is_true(d:replace("x", LONG, {LONG, d}))
    assert.is_false(d:replace("x", {LONG, mp.Dict()}, 1))
    assert.is_true(d:replace("x", {LONG, d}, false))
    assert.is_true(d:replace("x", false, d))
    assert.is_false(d:replace("x", mp.Dict(), 1))
    assert.is_true(d:replace("x", d, nil)) -- deletes
    assert.equal(0, #d)
    assert.is_false(d:replace("x", 1, 2))
    assert.is_true(d:replace("x", nil, 0/0)) -- adds
    assert.is_false(d:replace("x", nil, 1))
    assert.is_false(d:replace("x", 0/0, 1))
    d.i = math.maxinteger
    assert.is_false(d:replace("i", 2.0^63, 1))
    raises(function() d:replace("x", 1) end, "value expected")
    raises(function() d:replace("x", 1, coroutine.create(print)) end, "new")
  end)

  it("updates by a function, also other keys within it", function()
    local d, other = mp.Dict(), mp.Dict()
    assert.equal(1, d:update("n", function(old, ...) return (old or 0) + select("#", ...) end, nil))
    assert.equal(5, d:update("n", function(old, a, b) return old + a + b end, 1, 3))
    assert.equal(LONG, d:update("n", function(old)
      d.other, other.n = old, old
      sure(d.n == 5 and #d == 2)
      return d:update("nested", function() return LONG end)
    end))
    assert.same({5, 5, LONG}, {d.other, other.n, d.nested})
    assert.is_nil(d:update("n", function() end))
    assert.is_nil(d:update("never", function() return nil end))
    assert.same({2, 1}, {#d, #other})
  end)

  it("leaves everything as it was when the function of an update raises", function()
    local d = mp.Dict()
    d.n = 1
    raises(function() d:update("n", function() error("on purpose") end) end, "on purpose")
    raises(function() d:update("n", function() return coroutine.create(print) end) end, "coroutine")
    raises(function() d:update("n", function() coroutine.yield() end) end, "yield")
    raises(function() d:update("n", 5) end, "function expected")
    raises(function() d:update("n") end, "function expected", "no value")
    local value = {}
    assert.same({false, value}, {pcall(d.update, d, "n", function() error(value) end)})
    assert.equal(1, d.n)
    d.n = 2 -- nobody holds it
    assert.equal(2, d.n)
  end)

  it("calls it a deadlock when an update changes its own key", function()
    local d = mp.Dict()
    d.n = 1
    for _, change in ipairs{
      function() d.n = 2 end, function() d:pop("n") end, function() d:incr("n", 1) end, function() d:clear() end,
      function() d:add("n", 1) end, function() d:replace("n", 1, 2) end,
      function() d:update("n", function() return 1 end) end, function() d:replace("n", LONG, 2) end,
    } do
      raises(function() d:update("n", change) end, "deadlock")
      assert.equal(1, d.n)
    end
  end)

  it("can be walked while it changes", function()
    local d = mp.Dict()
    for i = 1, 300 do d[i] = i end
    local seen = {}
    local come = 1000
    for k, v in pairs(d) do
      sure(not seen[k])
      seen[k] = v
      if k <= 300 then
        for _ = 1, 10 do d[come], come = true, come + 1 end
      end
      if k > 300 or k % 3 == 0 then d[k] = nil end
    end
    for i = 1, 300 do assert.equal(i, seen[i]) end
    for k in pairs(d) do
      if k then break end
    end
    for _ in pairs(mp.Dict()) do error("nothing is there") end
  end)

  it("is one for all processes", function()
    local d = mp.Dict()
    d.parent = "here"
    local p = mp.spawn(function(handle)
      handle.child = {handle, d.parent}
      return handle == d
    end, d)
    assert.is_true(p:result())
    assert.same({d, "here"}, d.child)
    local q = mp.Queue()
    q:put{mp.Dict()}
    local e = get(q)[1]
    e.inside = d
    assert.equal(d, e.inside)
  end)

  it("loses no change of many processes", function()
    local d = mp.Dict()
    d.account1, d.account2 = 1000, 1000
    local p = {}
    for i = 1, 4 do
      p[i] = mp.spawn(function()
        for n = 1, 500 do
          d:incr("incr", 1)
          d:update("update", function(old) return (old or 0) + 1 end)
          repeat
            local old = d:get("replace")
          until d:replace("replace", old, (old or 0) + 1)
          d[i .. ":" .. n] = n
          d:update("account1", function(a)
            d:incr("account2", n % 7 - 3)
            return a - (n % 7 - 3)
          end)
        end
      end)
    end
    for i = 1, 4 do assert.equal(0, join(p[i])) end
    assert.same({2000, 2000, 2000}, {d.incr and d:get("incr"), d:get("update"), d:get("replace")})
    assert.equal(2000, d.account1 + d.account2)
    assert.equal(2005, #d)
  end)

  it("shows the old value while an update runs, and makes other writers wait", function()
    local d, q, go = mp.Dict(), mp.Queue(), mp.Queue()
    d.n = 1
    local p = mp.spawn(function()
      d:update("n", function(old)
        q:put("held")
        go:get()
        return old + 1
      end)
    end)
    assert.equal("held", get(q))
    assert.equal(1, d.n)
    d.other = 1
    local writer = mp.spawn(function()
      q:put("writes")
      return d:incr("n", 10)
    end)
    assert.equal("writes", get(q))
    support.waiting(writer.pid)
    assert.equal(1, d.n)
    go:put(true)
    assert.equal(12, writer:result())
    assert.equal(0, join(p))
  end)

  it("is free again when the one who updates is killed", function()
    local d, q = mp.Dict(), mp.Queue()
    d.n = 1
    for i = 1, 5 do
      local p = mp.spawn(function()
        d:update("n", function()
          q:put("held")
          mp.sleep(1000)
        end)
      end)
      assert.equal("held", get(q))
      local waiters = {}
      for k = 1, 2 do waiters[k] = mp.spawn(function() return d:incr("n", 1) end) end
      for k = 1, 2 do support.waiting(waiters[k].pid) end
      p:kill()
      for k = 1, 2 do assert.equal(0, join(waiters[k])) end
      assert.equal(1 + 2 * i, d.n)
    end
  end)

  it("lets go of a key when its holder calls os.exit", function()
    local d = mp.Dict()
    local p = mp.spawn(function() d:update("n", function() os.exit(3) end) end)
    assert.equal(3, join(p))
    d.n = 1
    assert.equal(1, d.n)
  end)

  it("waits for memory, and says what can never fit", function()
    assert.equal("false\ttoolarge\nfalse\ttimeout\n2097152\t1\t2\n", support.output([[
      local d, q = mp.Dict(), mp.Queue()
      local ok, message = pcall(d.set, d, "x", ("x"):rep(5 << 20))
      print(ok, message:match("toolarge"))
      d.small = 1
      q:put(("x"):rep(3 << 20))
      local p = mp.spawn(function() d.large = ("y"):rep(2 << 20) return #d.large end)
      print(p:join(0.1))
      q:cancel()
      print(p:result(), d.small, #d)
    ]], {env = {LUAMP_MEMORY = "4M"}}))
  end)

  it("gives its memory back", function()
    support.gives_back(50, function()
      local d = mp.Dict()
      for i = 1, 200 do d[i] = i % 20 == 0 and LONG or {i} end
      d.me, d.queue = d, mp.Queue()
      local v = d.me
      for i = 1, 150 do d[i] = nil end
      sure(v == d)
    end)
    local d = mp.Dict()
    support.gives_back(20, function()
      for i = 1, 500 do d[i] = i % 50 == 0 and LONG or i end
      for i = 1, 500 do d:update(i, function() return i % 70 == 0 and LONG or nil end) end
      d:clear()
    end)
  end)
end)

describe("a Namespace", function()
  after_each(support.clean)

  it("has fields of any name", function()
    local ns = mp.Namespace{name = "settings"}
    assert.equal("Namespace", mp.type(ns))
    assert.matches("%(settings%)$", tostring(ns))
    ns.get, ns.x = 1, {2}
    assert.is_nil(ns.set)
    assert.same({get = 1, x = {2}}, (entries(ns)))
    ns.x = nil
    assert.is_nil(ns.x)
    assert.equal(0, join(mp.spawn(function() ns.child = ns.get + 1 end)))
    assert.equal(2, ns.child)
    assert.is_true(mp.namespace() ~= nil)
  end)
end)

describe("a Manager", function()
  it("makes what luamp has, under the names of Python's", function()
    local manager <close> = mp.Manager()
    local d = manager.dict{x = 1, [2] = "b"}
    assert.same({x = 1, [2] = "b"}, (entries(d)))
    assert.same({1, "b"}, manager:list{1, "b"}:table())
    assert.equal("Dict", mp.type(manager:dict()))
    assert.equal("Queue", mp.type(manager.Queue(3)))
    assert.is_true(manager:Queue(1):put(1))
    for _, name in ipairs{"Queue", "JoinableQueue", "Lock", "RLock", "Namespace"} do
      if mp[name] then assert.equal(mp.type(mp[name]()), mp.type(manager[name]())) end
    end
    raises(function() manager.dict(5) end, "table expected", "number")
    raises(function() manager.list("x") end, "table expected", "string")
    assert.matches("%(cache%)$", tostring(manager.dict({x = 1}, {name = "cache"})))
    assert.matches("%(jobs%)$", tostring(manager:list({1}, {name = "jobs"})))
    assert.matches("%(none%)$", tostring(manager.list(nil, {name = "none"})))
    for _, what in ipairs{"dict", "list"} do
      raises(function() manager[what]({}, {size = 3}) end, what, "#2", "unknown option", "size")
      raises(function() manager[what]({}, {name = 3}) end, what, "#2", "name", "number")
      raises(function() manager[what]({}, 3) end, what, "#2", "table expected", "number")
    end
    manager.shutdown()
    assert.equal(mp.Manager, mp.manager)
  end)
end)

describe("constructors", function()
  it("refuse unknown options", function()
    for _, name in ipairs{"Dict", "List", "Namespace"} do
      raises(function() mp[name]{size = 3} end, "size")
      raises(function() mp[name]{name = 3} end, "name")
      raises(function() mp[name](3) end, "table expected")
    end
  end)
end)
