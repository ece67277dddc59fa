-- SPDX-License-Identifier: MIT
-- API.md section 2: one process, from its making to its end, and what a child may rely on.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises, eventually = support.get, support.join, support.raises, support.eventually

local pack, unpack = table.pack, table.unpack

-- Targets.
local function echo(...) return ... end
local function count(...) return select("#", ...) end
local function wait_for(queue) return queue:get() end
local function sleep_on() mp.sleep(3600) end

describe("a process", function()
  after_each(support.clean)

  describe("made and started", function()
    it("runs its target with the arguments", function()
      local p = mp.Process{target = echo, args = {1, "two", {3}}}:start()
      assert.same({1, "two", {3}, n = 3}, pack(p:result()))
    end)

    it("counts args.n when present, for nils", function()
      assert.equal(5, mp.Process{target = count, args = {nil, 2, n = 5}}:start():result())
      assert.equal(0, mp.Process{target = count, args = {}}:start():result())
      assert.equal(0, mp.Process{target = count}:start():result())
    end)

    it("has a short form, with all arguments, nils included", function()
      local p = mp.Process(count, nil, 2, nil)
      assert.is_nil(p.pid)
      assert.equal(3, p:start():result())
    end)

    it("is started at once by spawn", function()
      local p = mp.spawn(count, 1, nil, nil)
      assert.equal("number", type(p.pid))
      assert.equal(3, p:result())
    end)

    it("may have any callable target", function()
      local callable = setmetatable({}, {__call = function(_, x) return x + 1 end})
      assert.equal(42, mp.Process{target = callable, args = {41}}:start():result())
      assert.equal("table: ", mp.Process{target = string.format, args = {"%s: ", "table"}}:start():result())
    end)

    it("has the upvalues of its function, and changes them for itself only", function()
      local seen = {n = 1}
      local p = mp.spawn(function()
        seen.n = seen.n + 1
        return seen.n
      end)
      assert.equal(2, p:result())
      assert.equal(1, seen.n)
    end)

    it("returns itself from start, and raises on a second start, which changes nothing", function()
      local go = mp.Queue()
      local p = mp.Process(wait_for, go)
      assert.equal(p, p:start())
      local pid = p.pid
      raises(function() p:start() end, "start", p.name)
      assert.is_true(p:is_alive())
      assert.equal(pid, p.pid)
      go:put("fine")
      assert.equal("fine", p:result())
      raises(function() p:start() end, "start")
    end)

    it("is alive from its start to its end", function()
      local go = mp.Queue()
      local p = mp.Process(wait_for, go)
      assert.is_false(p:is_alive())
      p:start()
      assert.is_true(p:is_alive())
      go:put(1)
      join(p)
      assert.is_false(p:is_alive())
    end)

    it("has a pid and an exit code only when there is one", function()
      local go = mp.Queue()
      local p = mp.Process(wait_for, go)
      assert.is_nil(p.pid)
      assert.is_nil(p.exitcode)
      p:start()
      assert.equal("integer", math.type(p.pid))
      assert.is_nil(p.exitcode)
      go:put(1)
      join(p)
      assert.equal(0, p.exitcode)
      assert.equal("integer", math.type(p.exitcode))
    end)

    it("has the pid that the system gave it", function()
      local p = mp.spawn(function()
        local file <close> = io.open("/proc/self/stat")
        return math.tointeger(file:read("n")), mp.current_process().pid
      end)
      local pid, own = p:result()
      assert.equal(p.pid, pid)
      assert.equal(p.pid, own)
    end)

    it("knows its start method", function()
      local p = mp.spawn(echo)
      assert.equal("fork", p.start_method)
      assert.equal("fork", mp.Process{target = echo, start_method = "fork"}:start().start_method)
      join(p)
    end)

    it("reads as what it is", function()
      local p = mp.Process{target = echo, name = "worker"}
      assert.equal("Process", mp.type(p))
      assert.matches("^Process: 0x%x+ %(worker%)$", tostring(p))
      assert.matches("^Process: 0x%x+ %(MainProcess%)$", tostring(mp.current_process()))
    end)

    it("can be made with the lower-case name, too", function()
      assert.equal(7, mp.process(echo, 7):start():result())
    end)
  end)

  describe("waited for", function()
    it("lets join return true, as often as one asks", function()
      local p = mp.spawn(echo)
      assert.same({true, n = 1}, pack(p:join()))
      assert.same({true, n = 1}, pack(p:join(5)))
      assert.same({true, n = 1}, pack(p:join(0)))
    end)

    it("lets join return false and timeout, not before the time", function()
      local p = mp.spawn(sleep_on)
      local start = mp.time()
      assert.same({false, "timeout", n = 2}, pack(p:join(0.15)))
      assert.is_true(mp.time() - start >= 0.15)
      assert.same({false, "timeout", n = 2}, pack(p:join(0)))
      assert.same({false, "timeout", n = 2}, pack(p:join(-1)))
      assert.is_true(p:is_alive())
    end)

    it("joins with nil and math.huge as long as it takes", function()
      assert.is_true(mp.spawn(mp.sleep, 0.05):join(nil))
      assert.is_true(mp.spawn(mp.sleep, 0.05):join(math.huge))
    end)

    it("lets join wait its time whatever signals come", function()
      local p = mp.spawn(sleep_on)
      local joiner = mp.spawn(function()
        local start = mp.time()
        local ended, code = p:join(0.5)
        return mp.time() - start >= 0.5, ended, code
      end)
      for _, signal in ipairs{"STOP", "CONT", "CHLD", "WINCH", "STOP", "CONT"} do
        support.signal(signal, joiner.pid)
      end
      assert.same({true, false, "timeout", n = 3}, pack(joiner:result()))
    end)

    it("raises when joined before its start, or by itself", function()
      raises(function() mp.Process(echo):join() end, "join", "start")
      local p = mp.spawn(function()
        return pcall(function() mp.current_process():join() end)
      end)
      local ok, message = p:result()
      assert.is_false(ok)
      assert.matches("join", message)
      raises(function() mp.current_process():join() end, "join")
    end)

    it("can be joined, and asked, by every process that holds the handle", function()
      local go, handles = mp.Queue(), mp.Queue()
      local p = mp.spawn(function() go:get() os.exit(7) end)
      local watchers = {}
      for i = 1, 3 do
        watchers[i] = mp.spawn(function()
          local other = handles:get()
          local before, code = other:is_alive(), other.exitcode
          local timed, why = other:join(0)
          go:put("looked")
          return before, code, timed, why, other:join(), other:is_alive(), other.exitcode, other.pid, other.name
        end)
        handles:put(p)
        -- p ends after the first look; the others find it ended or see it end.
        local result = pack(watchers[i]:result())
        if i == 1 then
          assert.same({true, nil, false, "timeout", n = 4}, pack(unpack(result, 1, 4)))
        end
        assert.same({true, false, 7, p.pid, p.name}, {unpack(result, 5, 9)})
      end
      assert.equal(7, join(p))
    end)
  end)

  describe("asked for its result", function()
    it("gives all values that the target returned, nils included", function()
      assert.same({nil, 2, nil, n = 3}, pack(mp.spawn(echo, nil, 2, nil):result()))
      assert.same({n = 0}, pack(mp.spawn(echo):result()))
      assert.same({nil, n = 1}, pack(mp.spawn(echo, nil):result()))
    end)

    it("gives it any number of times, to any holder", function()
      local p = mp.spawn(echo, {1, 2})
      for _ = 1, 3 do
        assert.same({1, 2}, p:result())
      end
      local other = mp.spawn(function(q)
        local first, second = q:result(), q:result()
        return first[2] + second[2]
      end, p)
      assert.equal(4, other:result())
      assert.same({1, 2}, p:result())
    end)

    it("gives large results without being read first", function()
      local p = mp.spawn(string.rep, "x", 1 << 22)
      join(p)
      assert.equal(1 << 22, #p:result())
    end)

    it("times out, not before the time, and can be asked again", function()
      local go = mp.Queue()
      local p = mp.spawn(wait_for, go)
      local start = mp.time()
      assert.same({nil, "timeout", n = 2}, pack(p:result(0.12)))
      assert.is_true(mp.time() - start >= 0.12)
      assert.same({nil, "timeout", n = 2}, pack(p:result(0)))
      go:put("late")
      assert.equal("late", p:result(support.patience))
    end)

    it("says died, with the remote traceback, where the target raised", function()
      local function deep_inside() error("the milk is sour") end
      local p = mp.spawn(function() deep_inside() end)
      for _ = 1, 2 do
        local result = pack(p:result())
        assert.equal(3, result.n)
        assert.is_nil(result[1])
        assert.equal("died", result[2])
        assert.matches("the milk is sour", result[3], 1, true)
        assert.matches("stack traceback:", result[3], 1, true)
        assert.matches("deep_inside", result[3], 1, true)
        assert.matches("process_spec.lua", result[3], 1, true)
      end
      assert.equal(1, p.exitcode)
    end)

    it("says died where it was killed", function()
      local p = mp.spawn(sleep_on):kill()
      local result, code, message = p:result()
      assert.is_nil(result)
      assert.equal("died", code)
      assert.matches("9", message)
    end)

    it("says died after os.exit, whatever the status", function()
      for _, status in ipairs{0, 3} do
        local result = pack(mp.spawn(os.exit, status):result())
        assert.is_nil(result[1])
        assert.equal("died", result[2])
        assert.equal("string", type(result[3]))
      end
    end)

    it("counts a result that cannot be sent as an error of the target", function()
      local p = mp.spawn(function() return {jobs = {1, coroutine.create(print)}} end)
      local result, code, message = p:result()
      assert.is_nil(result)
      assert.equal("died", code)
      assert.matches("cannot send a coroutine", message, 1, true)
      assert.matches("jobs[2]", message, 1, true)
      assert.equal(1, p.exitcode)
    end)

    it("raises before the start", function()
      raises(function() mp.Process(echo):result() end, "result", "start")
    end)
  end)

  describe("ended from outside", function()
    it("has minus the signal's number as its exit code", function()
      assert.equal(-15, join(mp.spawn(sleep_on):terminate()))
      assert.equal(-9, join(mp.spawn(sleep_on):kill()))
    end)

    it("ends with -2 after an uncaught interruption", function()
      local ready = mp.Queue()
      local p = mp.spawn(function() ready:put(1) mp.Queue():get() end)
      get(ready)
      assert.equal(-2, join(p:interrupt()))
    end)

    it("returns itself, also when it has ended already", function()
      local p = mp.spawn(sleep_on)
      for _, method in ipairs{"terminate", "kill", "interrupt"} do
        assert.equal(p, p[method](p))
      end
      join(p)
      local code = p.exitcode
      for _, method in ipairs{"terminate", "kill", "interrupt"} do
        assert.equal(p, p[method](p))
      end
      assert.equal(code, p.exitcode)
    end)

    it("raises before the start", function()
      local p = mp.Process(echo, 5)
      raises(function() p:terminate() end, "terminate", "start")
      raises(function() p:kill() end, "kill", "start")
      raises(function() p:interrupt() end, "interrupt", "start")
      assert.equal(5, p:start():result())
    end)

    it("is ended by any holder", function()
      local p = mp.spawn(sleep_on)
      assert.equal(-15, mp.spawn(function() return p:terminate():join() and p.exitcode end):result())
      assert.equal(-15, join(p))
    end)
  end)

  describe("closed", function()
    it("is forgotten: every other call raises, closing again does not", function()
      local p = mp.spawn(echo)
      join(p)
      p:close()
      p:close()
      for _, method in ipairs{"start", "join", "is_alive", "terminate", "kill", "interrupt", "result"} do
        raises(function()
          local _ = p[method](p)
        end, "closed")
      end
    end)

    it("raises while it lives, and goes on living", function()
      local go = mp.Queue()
      local p = mp.spawn(wait_for, go)
      raises(function() p:close() end, "close", p.name)
      go:put("alive")
      assert.equal("alive", p:result())
    end)

    it("is harmless before the start, which is then impossible", function()
      local p = mp.Process(echo)
      p:close()
      raises(function() p:start() end, "closed")
    end)
  end)

  describe("named", function()
    it("has its own name, or the next default: all that were made count, named ones too", function()
      assert.equal("Process-1\ttwo\tProcess-3\tProcess-4\tProcess-5\n", support.output([[
        local f = function() end
        print(mp.Process(f).name, mp.Process{target = f, name = "two"}.name, mp.Process{target = f}.name,
          mp.spawn(f).name, mp.Process(f).name)
      ]]))
    end)

    it("is not counted when it could not be made", function()
      assert.equal("Process-1\n", support.output([[
        for _, bad in ipairs{5, {target = 5}, {name = 5}, {unknown = 1}, {limits = {memory = "x"}}, "x"} do
          assert(not pcall(mp.Process, bad))
        end
        print(mp.Process(print).name)
      ]]))
    end)

    it("gives its children names after its own number, as Python does", function()
      assert.equal("Process-1:1 Process-1:2\tProcess-2:1\tProcess-3:1:1\tProcess-4\n", support.output([[
        local f = function() end
        local function names(n)
          local list = {}
          for i = 1, n do list[i] = mp.Process(f).name end
          return table.concat(list, " ")
        end
        local one = mp.spawn(names, 2):result()
        local two = mp.Process{target = names, args = {1}, name = "second"}:start():result()
        local three = mp.spawn(function() return mp.spawn(names, 1):result() end):result()
        print(one, two, three, mp.Process(f).name)
      ]]))
    end)

    it("may be renamed, and made a daemon, until its start", function()
      local p = mp.Process(function() return mp.current_process().name, mp.current_process().daemon end)
      assert.is_false(p.daemon)
      p.name, p.daemon = "late", true
      p:start()
      assert.same({"late", true, n = 2}, pack(p:result()))
      assert.equal("late", p.name)
      raises(function() p.name = "later" end, "name")
      raises(function() p.daemon = false end, "daemon")
      assert.equal("late", p.name)
      assert.is_true(p.daemon)
    end)
  end)

  describe("in its family", function()
    it("is MainProcess without a parent at the top", function()
      assert.equal("MainProcess\tnil\ttrue\n", support.output([[
        local main = mp.current_process()
        local file = io.open("/proc/self/stat")
        print(main.name, mp.parent_process(), main.pid == file:read("n"))
      ]]))
      assert.is_true(mp.current_process():is_alive())
    end)

    it("knows itself and its parent", function()
      local main = mp.current_process().pid
      local p = mp.Process{target = function()
        local me, parent = mp.current_process(), mp.parent_process()
        return me.name, me:is_alive(), parent.pid, parent.name, parent:is_alive(), pack(parent:join(0))
      end, name = "me"}:start()
      local result = pack(p:result())
      assert.same({"me", true, main, "MainProcess", true}, {unpack(result, 1, 5)})
      assert.same({false, "timeout", n = 2}, result[6])
    end)

    it("is told of its parent's death by is_alive and join", function()
      local report = mp.Queue()
      local orphan = mp.Queue()
      local middle = mp.spawn(function()
        local child = mp.Process{target = function()
          local parent = mp.parent_process()
          report:put(parent:is_alive())
          report:put(parent:join())
          report:put(parent:is_alive())
        end, detached = true}:start()
        orphan:put(child.pid)
        mp.sleep(3600)
      end)
      assert.is_true(get(report))
      local pid = get(orphan)
      middle:kill()
      assert.is_true(get(report))
      assert.is_false(get(report))
      support.gone(pid)
    end)

    it("is listed among the active children while it lives", function()
      assert.same({}, mp.active_children())
      local go = mp.Queue()
      local unstarted = mp.Process(echo)
      local a, b = mp.spawn(wait_for, go), mp.spawn(sleep_on)
      local listed = {}
      for _, child in ipairs(mp.active_children()) do
        listed[child.pid] = child
      end
      assert.equal(a, listed[a.pid])
      assert.equal(b, listed[b.pid])
      assert.equal(2, #mp.active_children())
      join(b:kill())
      assert.equal(1, #mp.active_children())
      go:put(1)
      join(a)
      assert.same({}, mp.active_children())
      assert.is_false(unstarted:is_alive())
    end)

    it("has no active children of its parent", function()
      local sibling = mp.spawn(sleep_on)
      assert.equal(0, mp.spawn(function() return #mp.active_children() end):result())
      assert.is_true(sibling:is_alive())
    end)

    it("may have children and grandchildren of its own, as a daemon too", function()
      local p = mp.Process{target = function()
        return mp.spawn(function()
          return 1 + mp.Process{target = echo, args = {1}, daemon = true}:start():result()
        end):result() + 1
      end, daemon = true}:start()
      assert.equal(3, p:result())
    end)

    it("leaves no zombie when joined, and none that ended unseen after a look", function()
      local p = mp.spawn(echo)
      join(p)
      assert.equal("", support.read(("/proc/%d/stat"):format(p.pid)))
      local pid = mp.spawn(echo).pid
      eventually("the child is reaped", function()
        mp.active_children()
        return support.read(("/proc/%d/stat"):format(pid)) == ""
      end)
    end)

    it("comes back with the right exit code, a hundred at once", function()
      local all = {}
      for i = 1, 100 do
        all[i] = mp.spawn(os.exit, i)
      end
      for i = 1, 100 do
        assert.equal(i, join(all[i]))
      end
    end)
  end)

  describe("with its surroundings", function()
    it("reads end-of-file from standard input, and takes nothing of its parent's", function()
      assert.equal("first nil second third\n", support.output([[
        io.write(io.read("l"), " ")
        io.write(tostring(mp.spawn(function() return io.read("l") end):result()), " ")
        print(io.read("l") .. " " .. io.read("l"))
      ]], {stdin = "first\nsecond\nthird\n"}))
    end)

    it("prints whole: what was buffered before, in the child, and after, each once", function()
      assert.equal("before child 1 child 2 child 3 after\n", support.output([[
        io.write("before ")
        mp.spawn(function() io.write("child 1 ") end):join()
        mp.spawn(function() io.write("child 2 ") os.exit(0) end):join()
        mp.spawn(function() io.write("child 3 ") os.exit(true, true) end):join()
        print("after")
      ]]))
    end)

    it("prints what it had when it failed", function()
      local run = support.run([[
        io.write("before ")
        mp.spawn(function() io.write("child ") error("oops") end):join()
        print("after")
      ]])
      assert.equal("before child after\n", run.out)
    end)

    it("flushes files that it opened, and does not write its parent's a second time", function()
      local path = support.path()
      assert.equal("parent child end", support.output(([[
        local path = %q
        local file = io.open(path, "w")
        file:write("parent ")
        mp.spawn(function()
          local mine = io.open(path, "a")
          mine:write("child ")
        end):join()
        file:seek("end")
        file:write("end")
        file:close()
        io.write(io.open(path):read("a"))
      ]]):format(path)))
    end)

    it("draws other random numbers than its parent and its siblings", function()
      local function draw() return math.random(0) end
      local seen, numbers = {}, {draw()}
      for i = 1, 5 do
        numbers[i + 1] = mp.spawn(draw):result()
      end
      numbers[#numbers + 1] = draw()
      for _, number in ipairs(numbers) do
        assert.is_nil(seen[number])
        seen[number] = true
      end
    end)

    it("draws the same random numbers in every run after math.randomseed", function()
      local script = [[
        math.randomseed(42)
        local function draw() return math.random(0) end
        print(mp.spawn(draw):result(), mp.spawn(draw):result(), draw(), mp.spawn(function()
          return mp.spawn(draw):result()
        end):result())
      ]]
      local one = support.output(script)
      assert.equal(one, support.output(script))
      local seen = {}
      for number in one:gmatch("%S+") do
        assert.is_nil(seen[number])
        seen[number] = true
      end
    end)

    it("prints one headed traceback when its target fails", function()
      local run = support.run([[
        local function deep_inside() error("the milk is sour") end
        local p = mp.spawn(function() deep_inside() end)
        p:join()
        print(p.pid, p.exitcode)
      ]])
      local pid = run.out:match("^(%d+)\t1\n$")
      assert.is_string(pid)
      assert.matches(("luamp: process 'Process-1' (pid %s) failed:\n"):format(pid), run.err, 1, true)
      assert.matches("the milk is sour", run.err, 1, true)
      assert.matches("stack traceback:", run.err, 1, true)
      assert.matches("deep_inside", run.err, 1, true)
      assert.equal(1, select(2, run.err:gsub("failed:", "")))
    end)

    it("fails cleanly with an error that is no string", function()
      local run = support.run([[
        for _, value in ipairs{false, 42, setmetatable({}, {__tostring = function() return "odd" end})} do
          local p = mp.spawn(function() error(value) end)
          local result, code, message = p:result()
          print(result, code, type(message), p.exitcode)
        end
        local p = mp.spawn(function() error() end)
        print(p:join(), p.exitcode)
      ]])
      assert.equal(("nil\tdied\tstring\t1\n"):rep(3) .. "true\t1\n", run.out)
      assert.equal(4, select(2, run.err:gsub("failed:", "")))
    end)

    it("does not see the end of the main script's coroutine or its pcall", function()
      assert.equal("one\ntwo\n", support.output([[
        local co = coroutine.wrap(function()
          local ok, value = pcall(function() return mp.spawn(function() return "one" end):result() end)
          print(ok and value)
        end)
        co()
        print("two")
      ]]))
    end)

    it("does not disturb the waiting of os.execute and io.popen, nor they it", function()
      local p = mp.spawn(sleep_on)
      local ended = mp.spawn(echo, 1)
      assert.same({true, "exit", 0, n = 3}, pack(os.execute("true")))
      assert.same({nil, "exit", 3, n = 3}, pack(os.execute("exit 3")))
      local pipe = io.popen("echo hello; exit 4")
      assert.equal("hello", pipe:read("l"))
      assert.equal(1, ended:result())
      assert.is_true(p:is_alive())
      assert.same({nil, "exit", 4, n = 3}, pack(pipe:close()))
      assert.equal(-15, join(p:terminate()))
    end)
  end)
end)

describe("the start methods", function()
  after_each(support.clean)

  it("are fork, spawn and forkserver", function()
    local methods = mp.start_methods()
    table.sort(methods)
    assert.same({"fork", "forkserver", "spawn"}, methods)
  end)

  it("default to fork", function()
    assert.equal("fork\n", support.output('print(mp.get_start_method())'))
  end)

  it("may be set twice before a process was started, then no more", function()
    assert.equal("fork\nfalse\nfork\n", support.output([[
      mp.set_start_method("fork")
      mp.set_start_method("fork")
      print(mp.get_start_method())
      mp.spawn(function() end):join()
      local ok, message = pcall(function() mp.set_start_method("fork") end)
      print(ok)
      assert(message:find("set_start_method", 1, true), message)
      print(mp.get_start_method())
    ]]))
  end)

  it("refuse an unknown one by name", function()
    raises(function() mp.set_start_method("teleport") end, "set_start_method", "teleport")
    raises(function() mp.Process{target = print, start_method = "teleport"} end, "start_method", "teleport")
    assert.equal("fork", mp.get_start_method())
  end)

  it("name the other two when a process with threads asks for fork", function()
    local found = pcall(require, "cqueues.thread")
    if not found then
      return pending("needs lua-cqueues")
    end
    local run = support.run([[
      local thread = require "cqueues.thread"
      local t, socket = thread.start(function(socket) socket:read("*l") end)
      local ok, message = pcall(function() mp.spawn(print) end)
      print(ok, message:find("spawn", 1, true) ~= nil, message:find("forkserver", 1, true) ~= nil)
      print(#mp.active_children())
      socket:write("end\n")
      t:join()
    ]])
    assert.equal("false\ttrue\ttrue\n0\n", run.out)
  end)
end)

describe("cpu_count", function()
  it("is the number of processors that this process may use", function()
    local count_text = io.popen("nproc"):read("l")
    assert.equal("integer", math.type(mp.cpu_count()))
    assert.is_true(mp.cpu_count() >= 1 and mp.cpu_count() <= tonumber(count_text))
    local script = support.write('print(require "luamp".cpu_count())')
    local one = io.popen(("LUA_CPATH_5_4=%s LUA_PATH_5_4=%s taskset -c 0 %s %s"):format(support.quote(package.cpath),
      support.quote(package.path), support.quote(support.lua), script)):read("l")
    support.clean()
    assert.equal("1", one)
  end)
end)
