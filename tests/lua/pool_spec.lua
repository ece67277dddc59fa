-- SPDX-License-Identifier: MIT
-- API.md section 11: what a pool does when nothing goes wrong, and its errors for bad input.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises = support.raises

local function square(x) return x * x end

local function numbers(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

local function squares(n)
  local list = {}
  for i = 1, n do
    list[i] = i * i
  end
  return list
end

-- Calls f with a pool that is ended afterwards.
local function with_pool(fields, f)
  local pool <close> = mp.Pool(fields)
  return f(pool)
end

describe("a range", function()
  it("counts as the numeric for does", function()
    local cases = {
      {1, 5}, {1, 0}, {5, 1, -1}, {1, 10, 3}, {10, 1, -4}, {0, 1, 0.25}, {1.0, 3}, {1, 3.7}, {-2, 2, 2}, {3, 3},
    }
    for _, c in ipairs(cases) do
      local want, got = {}, {}
      for x = c[1], c[2], c[3] or 1 do
        want[#want + 1] = x
      end
      for x in mp.range(c[1], c[2], c[3]) do
        got[#got + 1] = x
      end
      local range = mp.range(c[1], c[2], c[3])
      assert.are.same(want, got)
      assert.are.equal(#want, #range)
      for i, x in ipairs(want) do
        assert.are.equal(math.type(x), math.type(range[i]))
        assert.are.equal(x, range[i])
      end
      assert.is_nil(range[#want + 1])
      assert.is_nil(range[0])
    end
  end)

  it("may go on for ever", function()
    local n = 0
    for x in mp.range(1, math.huge) do
      n = x
      if x == 10 then
        break
      end
    end
    assert.are.equal(10, n)
    assert.are.equal(math.maxinteger, #mp.range(1, math.huge))
  end)

  it("is a value that travels", function()
    local range = mp.range(2, 8, 2)
    local q = mp.Queue()
    q:put(range)
    local got = support.get(q)
    assert.are.equal("Range", mp.type(got))
    assert.are.equal(range, got)
    assert.are.equal("Range: 2, 8, 2", tostring(got))
    assert.are_not.equal(range, mp.range(2, 9))
  end)

  it("says what is wrong with its arguments", function()
    raises(function() mp.range("a", 2) end, "#1", "range", "number expected, got string")
    raises(function() mp.range(1) end, "#2", "range", "got nil")
    raises(function() mp.range(1, 2, 0) end, "#3", "step is zero")
    raises(function() mp.range(0/0, 2) end, "#1", "nan")
    raises(function() mp.range(math.mininteger, math.maxinteger) end, "too many")
    raises(function() mp.range(1, 2)[1] = 5 end, "cannot be changed")
  end)
end)

describe("a pool", function()
  after_each(support.clean)

  it("calls a function in a worker and returns all its results", function()
    with_pool({processes = 2}, function(pool)
      assert.are.same({7, 12, nil, "x", n = 4}, table.pack(pool:apply(function(a, b)
        return a + b, a * b, nil, "x"
      end, {3, 4})))
      assert.are.same({n = 0}, table.pack(pool:apply(function() end)))
      assert.are.same({nil, n = 1}, table.pack(pool:apply(function() return nil end)))
      assert.are.same({true, n = 1}, table.pack(pool:apply(function() return true end)))
      assert.are.same({false, n = 1}, table.pack(pool:apply(function() return false end)))
      assert.are.equal(3, pool:apply(select, {"#", nil, nil, nil, n = 4}))
      assert.are_not.equal(mp.current_process().pid, pool:apply(function() return mp.current_process().pid end))
    end)
  end)

  it("maps in order, with every chunk size", function()
    with_pool({processes = 3}, function(pool)
      for _, n in ipairs{0, 1, 2, 3, 7, 100, 1000} do
        for _, chunk in ipairs{false, 1, 2, 3, 99, 5000} do
          assert.are.same(squares(n), pool:map(square, numbers(n), chunk or nil))
        end
      end
      assert.are.same(squares(100), pool:map(square, numbers(100), {chunksize = 7}))
    end)
  end)

  it("maps a million tiny tasks", function()
    with_pool({processes = 2}, function(pool)
      local n = support.sanitized() and 100000 or 1000000
      for _, list in ipairs{numbers(n), mp.range(1, n)} do
        local got = pool:map(square, list)
        assert.are.equal(n, #got)
        for i = 1, n do
          support.sure(got[i] == i * i)
        end
      end
    end)
  end)

  it("maps over Arrays, ranges, Lists and iterators", function()
    with_pool({processes = 2}, function(pool)
      assert.are.same(squares(50), pool:map(square, mp.Array("i", numbers(50))))
      assert.are.same(squares(50), pool:map(square, mp.range(1, 50)))
      assert.are.same(squares(50), pool:map(square, mp.range(1, 50), 1))
      assert.are.same({0.25, 1.0, 2.25}, pool:map(square, mp.range(0.5, 1.5, 0.5)))
      assert.are.same({}, pool:map(square, mp.range(1, 0)))
      local list = mp.List()
      list:append(3)
      list:append(4)
      assert.are.same({9, 16}, pool:map(square, list))
      local i = 0
      assert.are.same(squares(2000), pool:map(square, function()
        i = i + 1
        return i <= 2000 and i or nil
      end))
      assert.are.same({"A", "B", "C"}, pool:map(string.upper, ("a b c"):gmatch("%a")))
      assert.are.same({}, pool:map(square, function() end))
    end)
  end)

  it("keeps nil and false as results and as elements", function()
    with_pool({processes = 2}, function(pool)
      for _, chunk in ipairs{1, 3} do
        local got = pool:map(function(x) if x % 2 == 0 then return x end end, numbers(6), chunk)
        assert.are.same({nil, 2, nil, 4, nil, 6}, got)
        assert.are.same({false, false}, pool:map(function() return false end, numbers(2), chunk))
        assert.are.same({"nil", "number", "nil"}, pool:map(type, {nil, 1, nil, n = 3}, chunk))
      end
      local seen = {}
      for i, x in pool:imap(function(v) if v > 1 then return v end end, numbers(3), 2) do
        seen[#seen + 1] = i .. "=" .. tostring(x)
      end
      assert.are.same({"1=nil", "2=2", "3=3"}, seen)
    end)
  end)

  it("passes lists of arguments with starmap", function()
    with_pool({processes = 2}, function(pool)
      local args = {{1, 2}, {3}, {}, {4, nil, 6, n = 3}}
      local function count(...) return select("#", ...) end
      for _, chunk in ipairs{1, 2, 9} do
        assert.are.same({2, 1, 0, 3}, pool:starmap(count, args, chunk))
      end
      assert.are.same({3, 7}, pool:starmap_async(function(a, b) return a + b end, {{1, 2}, {3, 4}}):get())
      raises(function() pool:starmap(count, {{1}, 2}) end, "list[2]", "starmap", "table of arguments", "number")
      local i = 0
      raises(function()
        pool:starmap(count, function()
          i = i + 1
          return i < 3 and {i} or 5
        end)
      end, "list[3]", "starmap")
    end)
  end)

  it("sends closures, with their upvalues, once to each worker", function()
    with_pool({processes = 1}, function(pool)
      local count = 0
      local function counter() -- its upvalue lives on in the worker
        count = count + 1
        return count
      end
      assert.are.same({1, 2, 3}, pool:map(counter, {1, 2, 3}, 1))
      assert.are.equal(4, pool:apply(counter))
      assert.are.equal(0, count)
      -- Many functions: the worker forgets old ones, and gets them anew.
      for round = 1, 2 do
        local list = {}
        for i = 1, 150 do
          list[i] = pool:apply_async(function() return i * round end)
        end
        for i = 1, 150 do
          assert.are.equal(i * round, list[i]:get())
        end
      end
      assert.are.equal(5, pool:apply(setmetatable({}, {__call = function(_, x) return x end}), {5}))
    end)
  end)

  it("iterates over results, in order or as they come", function()
    with_pool({processes = 3}, function(pool)
      for _, chunk in ipairs{1, 4} do
        local want = 0
        for i, x in pool:imap(square, mp.range(1, 500), chunk) do
          want = want + 1
          support.sure(i == want and x == i * i)
        end
        assert.are.equal(500, want)
        local seen, n = {}, 0
        for i, x in pool:imap_unordered(square, numbers(500), {chunksize = chunk}) do
          support.sure(not seen[i] and x == i * i)
          seen[i], n = true, n + 1
        end
        assert.are.equal(500, n)
      end
      for _ in pool:imap(square, {}) do
        error("there is nothing")
      end
    end)
  end)

  it("works through an endless input, and can be left", function()
    with_pool({processes = 2}, function(pool)
      local pulled = 0
      local function endless()
        pulled = pulled + 1
        return pulled
      end
      local n = 0
      for i, x in pool:imap(square, endless) do
        support.sure(x == i * i)
        n = i
        if i == 3000 then
          break
        end
      end
      assert.are.equal(3000, n)
      support.sure(pulled < 3000 + 2000)
      assert.are.equal(25, pool:apply(square, {5}))
      for _, x in pool:imap_unordered(square, mp.range(1, math.huge)) do
        if x > 100 then
          break
        end
      end
      pool:close()
      assert.is_true(pool:join())
    end)
  end)

  it("forgets iterators that nobody has any more", function()
    with_pool({processes = 2}, function(pool)
      for _ = 1, 200 do
        for i in pool:imap(square, mp.range(1, math.huge)) do
          if i == 3 then
            break
          end
        end
      end
      support.eventually("they are forgotten", function()
        collectgarbage()
        pool:apply(square, {1})
        return pool:stats().waiting == 0
      end)
    end)
  end)

  it("works through an endless input in constant memory", function()
    local seconds <const> = tonumber(os.getenv("LUAMP_SECONDS")) or 1
    local function rss() -- a sanitizer keeps what was freed for a while
      return support.sanitized() and 0 or tonumber(support.read("/proc/self/statm"):match("^%d+ (%d+)")) * 4096
    end
    with_pool({processes = 2}, function(pool)
      local i, n, most, first = 0, 0, 0, nil
      local begun = mp.time()
      local warm, next_look = begun + seconds / 4, 0
      for _, x in pool:imap(function(v) return v:rep(10) end, function()
        i = i + 1
        return ("%d"):format(i)
      end) do
        n = n + 1
        support.sure(x:sub(1, #tostring(n)) == tostring(n))
        local now = mp.time()
        if now > warm and now > next_look then
          next_look = now + 0.05
          collectgarbage()
          first = first or { rss = rss(), memory = mp.stats().memory }
          most = math.max(most, rss() - first.rss, mp.stats().memory - first.memory)
        end
        if now > begun + seconds then
          break
        end
      end
      support.sure(most < 8 << 20 and i - n < 2000)
      io.write(("[%d in %g s, %d bytes more] "):format(n, seconds, most))
    end)
  end)

  it("gives results later", function()
    with_pool({processes = 2, name = "mine"}, function(pool)
      local go = mp.Event()
      local r = pool:apply_async(function(a) go:wait() return a, 2 end, {1})
      assert.are.equal("AsyncResult", mp.type(r))
      assert.is_false(r:ready())
      raises(function() r:successful() end, "successful", "not ready")
      assert.are.same({nil, "timeout"}, {r:get(0.01)})
      assert.are.same({false, "timeout"}, {r:wait(0)})
      go:set()
      assert.is_true(r:wait())
      assert.is_true(r:ready())
      assert.is_true(r:successful())
      assert.are.same({1, 2}, {r:get()})
      assert.are.same({1, 2}, {r:get()})
      local m = pool:map_async(square, numbers(100), 3)
      assert.are.same(squares(100), m:get())
      local empty = pool:map_async(square, {})
      assert.is_true(empty:ready())
      assert.are.same({}, empty:get())
      assert.is_truthy(tostring(pool):find("^Pool: 0x%x+ %(mine%)$"))
      assert.are.equal("Pool", mp.type(pool))
      assert.are.equal(2, pool.processes)
      assert.is_truthy(pool:workers()[1].name:find("^mine%-worker%-%d+$"))
      assert.are.equal("Process", mp.type(pool:workers()[1]))
    end)
  end)

  it("calls back in its owner, each callback once", function()
    with_pool({processes = 2}, function(pool)
      local called = {}
      local function note(...)
        called[#called + 1] = table.concat({...}, ",")
      end
      local me = mp.current_process().pid
      local r = pool:apply_async(function() return 1, 2 end, nil, {callback = function(...)
        assert(mp.current_process().pid == me)
        note(...)
      end, error_callback = note})
      r:wait()
      r:get()
      pool:apply(square, {1})
      assert.are.same({"1,2"}, called)
      called = {}
      pool:map_async(square, {1, 2, 3}, nil, {callback = function(list) note(#list, list[3]) end}):wait()
      pool:map_async(square, {}, {callback = function(list) note(#list) end}):wait()
      assert.are.same({"3,9", "0"}, called)
      called = {}
      local function note_error(e)
        note((e:match("^%a")))
      end
      pool:apply_async(error, {"x", 0}, {callback = note, error_callback = note_error}):wait()
      assert.are.same({"x"}, called)
      -- One that uses the pool.
      local inner
      pool:apply_async(square, {3}, {callback = function(v) inner = pool:apply(square, {v}) end}):wait()
      assert.are.equal(81, inner)
    end)
  end)

  it("is one of what mp.wait waits for", function()
    with_pool({processes = 2}, function(pool)
      local go, q = mp.Event(), mp.Queue()
      local slow = pool:apply_async(function() go:wait() return 1 end)
      assert.are.same({}, mp.wait({slow, q}, 0.01))
      local fast = pool:apply_async(square, {2})
      assert.is_true(mp.wait({slow, q, fast})[1] == fast)
      q:put(1)
      local ready = mp.wait({slow, q, fast})
      assert.are.equal(2, #ready)
      assert.is_true(ready[1] == q and ready[2] == fast)
      support.get(q)
      go:set()
      assert.is_true(mp.wait({slow})[1] == slow)
      raises(function() mp.wait({pool}) end, "list[1]", "Pool")
    end)
  end)

  it("has an initializer, whose state the tasks find", function()
    local function initializer(...)
      rawset(_G, "pool_state", table.pack(...))
    end
    with_pool({processes = 2, initializer = initializer, initargs = {1, nil, n = 2}}, function(pool)
      for _ = 1, 4 do
        assert.are.same({1, nil, n = 2}, pool:apply(function() return rawget(_G, "pool_state") end))
      end
      assert.is_nil(rawget(_G, "pool_state"))
    end)
  end)

  it("replaces workers that have done their number of tasks", function()
    with_pool({processes = 2, maxtasksperchild = 3}, function(pool)
      local pids, most = {}, 0
      for _, pid in ipairs(pool:map(function() return mp.current_process().pid end, numbers(30), 1)) do
        pids[pid] = (pids[pid] or 0) + 1
        most = math.max(most, pids[pid])
      end
      assert.are.equal(3, most)
      pool:close()
      assert.is_true(pool:join())
    end)
  end)

  it("changes its size", function()
    with_pool({processes = 1}, function(pool)
      pool:resize(4)
      assert.are.equal(4, pool.processes)
      assert.are.equal(4, #pool:workers())
      assert.are.same(squares(50), pool:map(square, numbers(50), 1))
      pool:resize(2)
      assert.are.same(squares(50), pool:map(square, numbers(50), 1))
      support.eventually("two workers are left", function()
        pool:apply(square, {1})
        return #pool:workers() == 2
      end)
      raises(function() pool:resize(0) end, "resize", "at least 1", "0")
    end)
  end)

  it("counts and times what it does", function()
    with_pool({processes = 2}, function(pool)
      pool:map(function(x) mp.sleep(x == 3 and 0.05 or 0) end, numbers(20), 1)
      pcall(pool.apply, pool, error, {"x"})
      local s = pool:stats()
      assert.are.equal(20, s.done)
      assert.are.equal(1, s.failed)
      assert.are.equal(0, s.waiting)
      assert.are.equal(2, #s.workers)
      local busy = 0
      for _, w in ipairs(s.workers) do
        busy = busy + w.busy
        assert.is_true(w.startup > 0 and w.waited > 0 and w.pid > 0)
      end
      assert.is_true(busy >= 0.05)
      assert.are.equal(3, s.slowest[1].index)
      assert.is_true(s.slowest[1].seconds >= 0.05 and #s.slowest == 5)
    end)
  end)

  it("works inside tasks, and in children", function()
    with_pool({processes = 2}, function(pool)
      local sums = pool:map(function(n)
        local inner <close> = mp.Pool(2)
        local sum = 0
        for _, x in ipairs(inner:map(function(x) return x * n end, {1, 2, 3})) do
          sum = sum + x
        end
        return sum
      end, {1, 2, 3})
      assert.are.same({6, 12, 18}, sums)
      local p = mp.spawn(function()
        local own <close> = mp.Pool(2)
        return own:map(square, {1, 2, 3}), pcall(pool.apply, pool, square, {1})
      end)
      local list, ok, message = p:result()
      assert.are.same({1, 4, 9}, list)
      assert.is_false(ok)
      assert.is_truthy(message:find("belongs to the process", 1, true))
    end)
  end)

  it("gives everything back", function()
    support.gives_back(10, function()
      local pool <close> = mp.Pool(2)
      pool:map(square, numbers(100))
      pool:apply_async(square, {2})
      for i in pool:imap(square, numbers(100)) do
        if i == 5 then
          break
        end
      end
    end)
  end)

  it("shows progress by a function, and by lines", function()
    with_pool({processes = 2}, function(pool)
      local calls = {}
      pool:map(square, numbers(50), {chunksize = 1, progress = function(done, total)
        calls[#calls + 1] = {done, total}
      end})
      assert.are.same({50, 50}, calls[#calls])
      local err = support.run([[
        local pool <close> = mp.Pool(2)
        pool:map(function(x) return x end, mp.range(1, 1000), {progress = "squares"})
        for _ in pool:imap(tostring, ("a b"):gmatch("%a"), {progress = true}) do end
      ]]).err
      assert.is_truthy(err:find("squares: 100%% 1,000/1,000 "))
      assert.is_truthy(err:find("\n2 [%d.,]+/s 0:00\n$"))
      assert.is_nil(err:find("\27", 1, true))
    end)
  end)

  it("draws bars on a terminal, those of several pools one above the other", function()
    local script = support.write([[
      local mp = require "luamp"
      local one <close> = mp.Pool(1)
      local two <close> = mp.Pool(1)
      local go = mp.Event()
      local function wait(x) go:wait() return x end
      local a = one:map_async(wait, mp.range(1, 3), 1, {progress = "first"})
      local b = two:map_async(wait, mp.range(1, 2), 1, {progress = "second"})
      a:wait(0.3)
      b:wait(0.3)
      go:set()
      b:wait()
      a:wait()
      print("done")
    ]])
    local out = support.path()
    os.execute(("LUA_CPATH_5_4=%s script -qec 'stty cols 60 rows 20; %s %s' /dev/null >%s </dev/null"):format(
      support.quote(package.cpath), support.lua, script, out))
    local text = support.read(out)
    -- What is left on the screen, by the few movements that are used.
    local screen, row = {""}, 1
    for move, rest in (text:gsub("\r\n", "\n") .. "\r"):gmatch("([\r\n\27]?%[?%d*[AK]?)([^\r\n\27]*)") do
      if move == "\n" then
        row = row + 1
        screen[row] = screen[row] or ""
      elseif move:find("A$") then
        row = row - tonumber(move:match("%d+"))
      elseif move == "\r" or move:find("K$") then
        screen[row] = ""
      else
        rest = move .. rest
      end
      screen[row] = screen[row] .. rest
      support.sure(#screen[row] < 60)
    end
    local last = table.concat(screen, "\n")
    assert.is_truthy(last:find("second 100%% %[#+%] 2/2 [%d.]+/s %d+:%d%d\nfirst 100%% %[#+%] 3/3 .-\ndone"))
    assert.is_truthy(text:find("\27[1A", 1, true))
  end)
end)

describe("bad input to a pool", function()
  after_each(support.clean)

  it("is named, and leaves no worker", function()
    raises(function() mp.Pool(0) end, "#1", "Pool", "at least 1", "0")
    raises(function() mp.Pool(1.5) end, "#1", "Pool", "integer expected, got 1.5")
    raises(function() mp.Pool("x") end, "#1", "Pool", "string")
    raises(function() mp.Pool{processes = -1} end, "processes", "at least 1", "-1")
    raises(function() mp.Pool{process = 1} end, "unknown field 'process'")
    raises(function() mp.Pool{initializer = 5} end, "initializer", "function expected, got number")
    raises(function() mp.Pool{initargs = 5} end, "initargs", "table expected, got number")
    raises(function() mp.Pool{maxtasksperchild = 0} end, "maxtasksperchild", "at least 1")
    raises(function() mp.Pool{retries = -1} end, "retries", "at least 0")
    raises(function() mp.Pool{name = 5} end, "name", "string expected, got number")
    raises(function() mp.Pool{start_method = "thread"} end, "start_method", "thread")
    assert.are.same({}, mp.active_children())
  end)

  it("is named by each call, which changes nothing", function()
    with_pool({processes = 1}, function(pool)
      raises(function() pool:map(nil, {}) end, "#1", "map", "function expected, got nil")
      raises(function() pool:map(square) end, "#2", "map", "got nil")
      raises(function() pool:map(square, 5) end, "#2", "map", "number")
      raises(function() pool:map(square, mp.Queue()) end, "#2", "map", "Queue")
      raises(function() pool:map(square, {1}, 0) end, "chunksize", "map", "at least 1", "0")
      raises(function() pool:map(square, {1}, -3) end, "chunksize", "-3")
      raises(function() pool:imap(square, {1}, 1.5) end, "chunksize", "imap", "1.5")
      raises(function() pool:map(square, {1}, "x") end, "#3", "map", "string")
      raises(function() pool:map(square, {1}, {chunk = 1}) end, "#3", "map", "chunk")
      raises(function() pool:map(square, {1}, {callback = print}) end, "map", "callback")
      raises(function() pool:map(square, {1}, {progress = 5}) end, "progress", "map", "number")
      raises(function() pool:map(square, {1}, {timeout = 0}) end, "timeout", "map", "0")
      raises(function() pool:apply(5) end, "#1", "apply", "number")
      raises(function() pool:apply(print, 5) end, "#2", "apply", "number")
      raises(function() pool:apply_async(print, {}, {callback = 5}) end, "callback", "apply_async", "number")
      raises(function() pool:apply_async(print, {}, 5) end, "#3", "apply_async", "number")
      local r = pool:apply_async(square, {3})
      raises(function() r:get("x") end, "#1", "get", "string")
      raises(function() r:get(0/0) end, "#1", "get", "nan")
      raises(function() pool.join(5) end, "#1", "join", "Pool expected, got number")
      raises(function() r.get(pool) end, "AsyncResult expected")
      raises(function() pool.x = 1 end, "cannot set", "x")
      raises(function() pool:join() end, "join", "still running")
      raises(function() mp.encode(pool) end, "Pool")
      raises(function() mp.Queue():put({r}) end, "AsyncResult", "message[1]")
      assert.are.equal(9, r:get())
      pool:close()
      pool:close()
      raises(function() pool:apply(square, {1}) end, "apply", "closed")
      raises(function() pool:imap(square, {1}) end, "imap", "closed")
      assert.is_true(pool:join())
      assert.is_true(pool:join())
      pool:terminate()
      raises(function() pool:map(square, {1}) end, "map", "terminated")
    end)
  end)

  it("may be an iterator that raises: what came before it is done", function()
    with_pool({processes = 2}, function(pool)
      local function failing(n, what)
        local i = 0
        return function()
          i = i + 1
          if i > n then
            error(what, 0)
          end
          return i
        end
      end
      raises(function() pool:map(square, failing(3, "no more")) end, "no more")
      for _, chunk in ipairs{1, 2, 4} do
        local seen = 0
        local next_of = pool:imap(square, failing(5, "no more"), chunk)
        for _ = 1, 5 do
          local i, x = next_of()
          support.sure(x == i * i)
          seen = i
        end
        assert.are.equal(5, seen)
        raises(function() next_of() end, "no more")
        assert.is_nil(next_of())
      end
      raises(function() pool:map_async(square, failing(0, "at once")):get() end, "at once")
      assert.are.same(squares(5), pool:map(square, numbers(5)))
    end)
  end)
end)
