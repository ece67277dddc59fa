-- SPDX-License-Identifier: MIT
-- API.md section 11: errors, exits, kills and lack of memory at each stage of a task. Each ends in a clear error of
-- exactly the tasks concerned, and the pool goes on.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises, eventually = support.raises, support.eventually

local function square(x) return x * x end

local function kill_me()
  mp.current_process():kill()
  mp.sleep(60)
end

-- Calls f with a pool that is ended afterwards; it must still work then.
local function with_pool(fields, f)
  local pool <close> = mp.Pool(fields)
  f(pool)
  assert.are.same({1, 4, 9}, pool:map(square, {1, 2, 3}))
  eventually("all workers are there", function()
    pool:apply(square, {1})
    return #pool:workers() == pool.processes
  end)
end

-- The results and the errors of an imap.
local function collect(next_of, n)
  local results, errors = {}, {}
  for at = 1, n do
    local ok, i, x = pcall(next_of)
    if ok then
      support.sure(i == at)
      results[at] = x
    else
      errors[at] = i
    end
  end
  assert.is_nil(next_of())
  return results, errors
end

local has_died = "^worker 'PoolWorker%-%d+' %(pid %d+%) died: "

describe("an error in a task", function()
  after_each(support.clean)

  it("arrives as the value that was raised; strings with the remote traceback", function()
    with_pool({processes = 2}, function(pool)
      local message = raises(function()
        pool:apply(function(x)
          local t = x
          error("bad " .. t)
        end, {"day"})
      end, "pool_failure_spec.lua:", "bad day", "remote traceback (worker 'PoolWorker-")
      assert.is_nil(message:find("luamp.pool", 1, true))
      local ok, err = pcall(pool.apply, pool, error, {{code = 5, inner = {1}}})
      assert.is_false(ok)
      assert.are.same({code = 5, inner = {1}}, err)
      for _, value in ipairs{42, true, false} do
        assert.are.same({false, value}, {pcall(pool.apply, pool, error, {value})})
      end
      assert.are.same({false, nil}, {pcall(pool.apply, pool, error)})
      local r = pool:apply_async(error, {"x"})
      r:wait()
      assert.is_false(r:successful())
      raises(function() r:get() end, "x")
    end)
  end)

  it("is the first by position for map; all others run", function()
    with_pool({processes = 2}, function(pool)
      for _, chunk in ipairs{1, 3, 10} do
        local ran = mp.Value("i")
        local message = raises(function()
          pool:map(function(x)
            ran:add(1)
            if x == 7 or x == 4 then
              error("at " .. x, 0)
            end
            return x
          end, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, chunk)
        end, "at 4")
        assert.is_nil(message:find("at 7", 1, true))
        assert.are.equal(10, ran.value)
      end
    end)
  end)

  it("is raised by imap where its turn comes, and the iteration goes on", function()
    with_pool({processes = 2}, function(pool)
      for _, chunk in ipairs{1, 2, 5, 20} do
        local results, errors = collect(pool:imap(function(x)
          if x % 3 == 0 then
            error({x = x})
          end
          return x
        end, mp.range(1, 10), chunk), 10)
        assert.are.same({1, 2, nil, 4, 5, nil, 7, 8, nil, 10}, results)
        assert.are.same({[3] = {x = 3}, [6] = {x = 6}, [9] = {x = 9}}, errors)
      end
      local seen, failed = {}, 0
      local next_of = pool:imap_unordered(function(x) return x // (x - 3) end, mp.range(1, 6))
      for _ = 1, 6 do
        local ok, i = pcall(next_of)
        if ok then
          seen[i] = true
        else
          failed = failed + 1
        end
      end
      assert.are.same({true, true, nil, true, true, true}, seen)
      assert.are.equal(1, failed)
      assert.is_nil(next_of())
    end)
  end)

  it("comes with its first cause when it cannot be sent itself", function()
    with_pool({processes = 1}, function(pool)
      for _, chunk in ipairs{1, 2} do
        local _, errors = collect(pool:imap(function(x)
          if x == 2 then
            error(setmetatable({co = coroutine.create(print)}, {__tostring = function() return "my error" end}))
          end
          return x
        end, {1, 2, 3}, chunk), 3)
        assert.is_truthy(errors[2]:find("cannot send a coroutine at .*%.co.*my error"))
      end
    end)
  end)
end)

describe("what cannot be sent", function()
  after_each(support.clean)

  it("fails its own task only, naming the path", function()
    with_pool({processes = 2}, function(pool)
      local co = coroutine.create(print)
      raises(function() pool:apply(print, {1, {x = co}}) end, "cannot send a coroutine at args[2].x")
      raises(function() pool:apply(function() return co end) end, "cannot send a coroutine at function", "co")
      raises(function() pool:map(function() return co end, {1, 2, 3}, 2) end, "function", "co")
      for _, chunk in ipairs{1, 2, 9} do
        local results, errors = collect(pool:imap(type, {1, {co}, "x", co, 5}, chunk), 5)
        assert.are.same({"number", nil, "string", nil, "number"}, results)
        assert.is_truthy(errors[2]:find("at list[2][1]", 1, true))
        assert.is_truthy(errors[4]:find("at list[4]", 1, true))
      end
      local r = pool:apply_async(print, {co})
      r:wait()
      assert.is_false(r:successful())
    end)
  end)

  it("as a result fails its own task only", function()
    with_pool({processes = 2}, function(pool)
      for _, chunk in ipairs{1, 3, 9} do
        local results, errors = collect(pool:imap(function(x)
          return x ~= 3 and x or {deep = {io.stdout}}
        end, {1, 2, 3, 4, 5}, chunk), 5)
        assert.are.same({1, 2, nil, 4, 5}, results)
        assert.is_truthy(errors[3]:find("cannot send an open file .* at result%.deep%[1%]"))
      end
      raises(function() pool:apply(function() return 1, coroutine.create(print) end) end, "result[2]")
    end)
  end)
end)

describe("what is too large", function()
  after_each(support.clean)

  it("fails its own task only, and a full memory is waited for", function()
    local run = support.run([[
      local pool <close> = mp.Pool(2)
      local huge, big = ("z"):rep(20 << 20), ("x"):rep(300000)
      print(pcall(pool.apply, pool, function(s) return #s end, {huge}))
      print(pcall(pool.apply, pool, string.rep, {"z", 20 << 20}))
      local next_of = pool:imap(function(i) return i == 3 and ("z"):rep(20 << 20) or i end, mp.range(1, 6), 3)
      for i = 1, 6 do
        print(i, pcall(next_of))
      end
      local args = {}
      for i = 1, 150 do
        args[i] = big .. i
      end
      local list = pool:map(function(s) return s end, args, 1)
      local later = pool:map_async(function(s) return s end, args, 3):get()
      for i = 1, 150 do
        assert(list[i] == args[i] and later[i] == args[i])
      end
      print("done")
    ]], {env = {LUAMP_MEMORY = "16M"}})
    assert.are.equal("", run.err)
    assert.are.equal([[
false the task is too large for the family's shared memory
false the result is too large for the family's shared memory
1 true 1 1
2 true 2 2
3 false the result is too large for the family's shared memory
4 true 4 4
5 true 5 5
6 true 6 6
done
]], (run.out:gsub("\t", " ")))
  end)
end)

describe("what cannot be rebuilt", function()
  after_each(support.clean)

  local name <const> = "pool_spec_module"

  -- A value that travels by the name of a module.
  local function module_value()
    package.loaded[name] = {type = {__index = {}}}
    return setmetatable({}, package.loaded[name].type)
  end

  it("by a worker fails the task, with the reason; the worker is replaced", function()
    local value = module_value()
    with_pool({processes = 2, initializer = function() package.loaded[name] = nil end}, function(pool)
      for _, chunk in ipairs{1, 2} do
        local results, errors = collect(pool:imap(type, {1, 2, value, 4, 5}, chunk), 5)
        assert.is_truthy(errors[3]:find(has_died .. "it could not decode a task: .*" .. name))
        assert.are.equal("number", results[1])
        assert.are.equal("number", results[5])
      end
      -- The function itself.
      raises(function() pool:apply(function() return value end) end, "could not decode a task", name)
    end)
    package.loaded[name] = nil
  end)

  it("because the worker dies of it fails the task", function()
    local value = module_value()
    for _, how in ipairs{kill_me, function() os.exit(5) end} do
      local function prepare()
        package.loaded[name] = nil
        package.preload[name] = how
      end
      with_pool({processes = 2, initializer = prepare}, function(pool)
        for _, chunk in ipairs{1, 2} do
          local results, errors = collect(pool:imap(type, {1, 2, value, 4, 5}, chunk), 5)
          assert.is_truthy(errors[3]:find(has_died .. "%a+ %a+ %a+ [95]"))
          assert.are.equal("number", results[2])
          assert.are.equal("number", results[5])
        end
      end)
    end
    package.loaded[name] = nil
  end)

  it("by the owner fails the task, with the reason", function()
    with_pool({processes = 2}, function(pool)
      for _, chunk in ipairs{1, 2} do
        local results, errors = collect(pool:imap(function(x)
          if x == 3 then
            package.loaded[name] = package.loaded[name] or {type = {}}
            return setmetatable({}, package.loaded[name].type)
          end
          return x
        end, {1, 2, 3, 4, 5}, chunk), 5)
        assert.is_truthy(errors[3]:find("the result could not be decoded: .*" .. name))
        assert.are.equal(2, results[2])
        assert.are.equal(5, results[5])
      end
    end)
  end)
end)

describe("a worker that dies", function()
  after_each(support.clean)

  it("fails the task that it was at, and no other", function()
    with_pool({processes = 2}, function(pool)
      for _, how in ipairs{kill_me, function() os.exit(3) end} do
        for _, chunk in ipairs{1, 2, 5, 10} do
          local results, errors = collect(pool:imap(function(x)
            return x == 5 and how() or x
          end, mp.range(1, 10), chunk), 10)
          assert.is_truthy(errors[5]:find(has_died))
          for i = 1, 10 do -- elements before it in the same batch had begun, too
            local first = (4 // chunk) * chunk + 1
            support.sure(i >= first and i <= 5 and errors[i] or results[i] == i)
          end
        end
      end
    end)
  end)

  it("is named, with pid and reason", function()
    with_pool({processes = 1, name = "p"}, function(pool)
      local pid = pool:workers()[1].pid
      local message = raises(function() pool:apply(kill_me) end)
      assert.are.equal(("worker 'p-worker-1' (pid %d) died: killed by signal 9 (Killed)"):format(pid), message)
      pid = pool:workers()[1].pid
      message = raises(function() pool:apply(os.exit, {7}) end)
      assert.are.equal(("worker 'p-worker-2' (pid %d) died: exited with status 7"):format(pid), message)
      raises(function() pool:apply(os.exit, {true}) end, "died: exited with status 0")
    end)
  end)

  it("while idle is replaced, and nobody notices", function()
    with_pool({processes = 2}, function(pool)
      for _ = 1, 10 do
        for _, p in ipairs(pool:workers()) do
          p:kill()
        end
        assert.are.same({1, 4, 9}, pool:map(square, {1, 2, 3}, 1))
      end
      assert.are.equal(0, pool:stats().failed)
    end)
  end)

  it("has its tasks tried again", function()
    with_pool({processes = 2, retries = 2}, function(pool)
      local tries = mp.Value("i")
      local function third_time(x)
        if x == 2 and tries:add(1) < 3 then
          kill_me()
        end
        return x
      end
      for _, chunk in ipairs{1, 2, 4} do
        tries.value = 0
        assert.are.same({1, 2, 3, 4}, pool:map(third_time, {1, 2, 3, 4}, chunk))
        assert.are.equal(3, tries.value)
      end
      raises(function() pool:apply(kill_me) end, "died: killed by signal 9")
    end)
  end)

  it("with a large result in flight loses no other", function()
    with_pool({processes = 3, retries = 3}, function(pool)
      local big = ("x"):rep(1 << 20)
      local stop = mp.Event()
      local pids = mp.Queue()
      local killer = mp.spawn(function()
        while not stop:is_set() do
          local pid = pids:get(0.01)
          if pid then
            mp.sleep(math.random() * 0.004)
            os.execute("kill -9 " .. pid .. " 2>/dev/null")
          end
        end
      end)
      for _ = 1, 10 do
        pids:put(pool:workers()[1].pid)
        local list = pool:map(function(x) return x .. big end, mp.range(1, 12), 1)
        for i = 1, 12 do
          support.sure(#list[i] == #big + #tostring(i) and list[i]:sub(1, #tostring(i)) == tostring(i))
        end
      end
      stop:set()
      killer:join()
    end)
  end)

  it("by lack of memory fails its task, wherever it runs out", function()
    if support.sanitized() then
      return -- has its own way of running out
    end
    -- Each worker gets 64 MiB beyond what it has.
    local function limit()
      local kib = tonumber(support.read("/proc/self/status"):match("VmSize:%s*(%d+)"))
      os.execute(("prlimit --pid $PPID --as=%d"):format((kib << 10) + (64 << 20)))
    end
    local size <const> = 100 << 20
    with_pool({processes = 2, initializer = limit}, function(pool)
      for _, chunk in ipairs{1, 3} do
        local results, errors = collect(pool:imap(function(x) -- run
          return x == 2 and #("x"):rep(size) or x
        end, {1, 2, 3}, chunk), 3)
        assert.are.same({1, nil, 3}, results)
        assert.is_truthy(errors[2]:find("not enough memory"))
        -- Rebuilding a task: the whole batch is concerned.
        results, errors = collect(pool:imap(function(x) return #x end, {"a", ("x"):rep(size), "b", "c"}, chunk), 4)
        assert.is_truthy(errors[2]:find("not enough memory") and errors[2]:find(has_died))
        assert.are.equal(1, results[4])
        assert.are.equal(chunk == 1 and 1 or nil, results[1])
      end
    end)
  end)
end)

describe("an initializer", function()
  after_each(support.clean)

  it("that raises is told by every call; workers are not started again and again", function()
    local started = mp.Value("i")
    local pool <close> = mp.Pool{processes = 2, initializer = function()
      started:add(1)
      error("no database")
    end}
    raises(function() pool:apply(square, {1}) end, "no database", "remote traceback")
    raises(function() pool:map(square, {1}) end, "no database")
    raises(function() pool:apply_async(square, {1}) end, "no database")
    assert.is_true(started.value <= 2)
    pool:close()
    assert.is_true(pool:join())
    assert.are.same({}, pool:workers())
  end)

  it("that raises a table tells it as one, also to who waits already", function()
    local go = mp.Event()
    local pool <close> = mp.Pool{processes = 1, initializer = function()
      go:wait()
      error({code = 7})
    end}
    local r = pool:apply_async(square, {1})
    local m = pool:imap(square, {1, 2})
    go:set()
    local ok, err = pcall(r.get, r)
    assert.are.same({false, {code = 7}}, {ok, err})
    ok, err = pcall(m)
    assert.are.same({false, {code = 7}}, {ok, err})
  end)

  it("in which the worker dies each time ends the pool", function()
    for _, how in ipairs{function() os.exit(4) end, kill_me} do
      local started = mp.Value("i")
      local pool <close> = mp.Pool{processes = 2, initializer = function()
        started:add(1)
        how()
      end}
      raises(function() pool:apply(square, {1}) end, "died: ", "initializer")
      raises(function() pool:map(square, {1}) end, "died: ", "initializer")
      assert.is_true(started.value < 20)
    end
  end)

  it("in which a worker dies once does no harm", function()
    local first = mp.Value("i")
    with_pool({processes = 2, initializer = function()
      if first:add(1) == 1 then
        kill_me()
      end
    end}, function(pool)
      assert.are.same({1, 4, 9}, pool:map(square, {1, 2, 3}, 1))
    end)
  end)
end)

describe("a callback", function()
  after_each(support.clean)

  it("that raises is a warning, and nothing more", function()
    local run = support.run([[
      local pool <close> = mp.Pool(2)
      local r = pool:apply_async(function() return 5 end, {}, {callback = function() error("my callback") end})
      print(r:get())
      r = pool:apply_async(error, {"x"}, {error_callback = function() error("my other") end})
      print((pcall(r.get, r)))
      print(pool:map(function(x) return x end, {1, 2}, {progress = function() error("my progress") end})[2])
    ]])
    assert.are.equal("5\nfalse\n2\n", run.out)
    assert.are.equal(0, run.status)
    for _, what in ipairs{"my callback", "my other", "my progress"} do
      assert.is_truthy(run.err:find(what, 1, true))
    end
  end)
end)

describe("a task that takes too long", function()
  after_each(support.clean)

  it("is stopped; its worker is replaced", function()
    with_pool({processes = 2}, function(pool)
      local pids = {}
      for i, p in ipairs(pool:workers()) do
        pids[i] = p.pid
      end
      local r = pool:apply_async(mp.sleep, {60}, {timeout = 0.05})
      local spin = pool:apply_async(function() while true do end end, nil, {timeout = 0.05})
      local others = pool:map_async(square, {1, 2, 3, 4, 5}, 1)
      raises(function() r:get() end, "timed out after 0.05 s", "PoolWorker-")
      raises(function() spin:get() end, "timed out after 0.05 s")
      assert.are.same({1, 4, 9, 16, 25}, others:get())
      for _, pid in ipairs(pids) do
        support.gone(pid)
      end
    end)
  end)

  it("takes no other of its job along", function()
    with_pool({processes = 2}, function(pool)
      local function slow(x)
        if x == 3 then
          mp.sleep(60)
        end
        return x
      end
      local r = pool:map_async(slow, {1, 2, 3, 4, 5, 6}, {timeout = 0.1})
      raises(function() r:get() end, "timed out")
      local results, errors = collect(pool:imap(slow, {1, 2, 3, 4, 5, 6}, {timeout = 0.1}), 6)
      assert.are.same({1, 2, nil, 4, 5, 6}, results)
      assert.is_truthy(errors[3]:find("timed out"))
      -- In a batch, time is taken for each element.
      local function nap(x)
        mp.sleep(0.06)
        return x
      end
      assert.are.same({1, 2, 3, 4}, pool:map(nap, {1, 2, 3, 4}, {timeout = 30, chunksize = 4}))
    end)
  end)
end)

describe("a cancelled task", function()
  after_each(support.clean)

  it("does not run if it has not begun", function()
    with_pool({processes = 1}, function(pool)
      local go, begun, ran = mp.Event(), mp.Event(), mp.Value("i")
      local first = pool:apply_async(function() begun:set() go:wait() return "first" end)
      local list = {}
      for i = 1, 20 do
        list[i] = pool:apply_async(function() return ran:add(1) end)
      end
      begun:wait()
      assert.is_false(first:cancel())
      for i = 2, 20, 2 do
        assert.is_true(list[i]:cancel())
        assert.is_false(list[i]:cancel())
      end
      go:set()
      assert.are.equal("first", first:get())
      for i = 1, 20 do
        if i % 2 == 0 then
          raises(function() list[i]:get() end, "cancelled")
        else
          assert.are.equal((i + 1) // 2, list[i]:get())
        end
      end
      assert.are.equal(10, ran.value)
      assert.is_false(first:cancel())
      assert.is_false(first:cancel(true))
    end)
  end)

  it("is stopped where that is asked for", function()
    with_pool({processes = 2}, function(pool)
      local begun = mp.Event()
      local r = pool:apply_async(function() begun:set() mp.sleep(60) end)
      begun:wait()
      assert.is_false(r:cancel())
      assert.is_true(r:cancel(true))
      raises(function() r:get() end, "cancelled")
      local m = pool:map_async(mp.sleep, {60, 60, 60, 60}, 1)
      assert.is_true(m:cancel(true))
      raises(function() m:get() end, "cancelled")
    end)
  end)
end)
