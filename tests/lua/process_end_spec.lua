-- SPDX-License-Identifier: MIT
-- API.md sections 2 and 14: how processes end, and what becomes of their children.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, eventually = support.get, support.join, support.eventually

local seen = {}

-- Runs a script; the pids that it printed as "pid NAME NUMBER" are in `pids`.
local function run(text, options)
  local result = support.run(text, options)
  result.pids = {}
  for name, pid in result.out:gmatch("pid (%S+) (%d+)") do
    result.pids[name] = math.tointeger(tonumber(pid))
    seen[#seen + 1] = {pid = result.pids[name], script = result.script}
  end
  return result
end

-- A failed test leaves no process behind either.
local function clean()
  for i, process in pairs(seen) do
    if support.read(("/proc/%d/cmdline"):format(process.pid)):find(process.script, 1, true) then
      support.signal("KILL", process.pid)
    end
    seen[i] = nil
  end
  support.clean()
end

-- Lua text for the scripts: a child that says its pid, and then does something.
local tell = [[
  local function tell(name)
    print("pid " .. name .. " " .. mp.current_process().pid)
    io.flush()
  end
  local function start(options, f)
    local told = mp.Queue()
    local process = mp.Process{daemon = options.daemon, detached = options.detached, target = function()
      tell(options.name)
      told:put(true)
      f()
    end}:start()
    told:get()
    return process
  end
  local function sleep() mp.sleep(3600) end
  local function signal_self(name) os.execute("kill -s " .. name .. " $PPID") mp.sleep(3600) end
]]
tell = tell:gsub("\n", " ")

describe("an exit code", function()
  after_each(clean)

  it("is the value given to os.exit, modulo 256; true is 0, false is 1", function()
    local codes = {{0, 0}, {3, 3}, {255, 255}, {256, 0}, {257, 1}, {-1, 255}, {true, 0}, {false, 1}, {2.0, 2}}
    for _, case in ipairs(codes) do
      assert.equal(case[2], join(mp.spawn(os.exit, case[1])))
      assert.equal(case[2], join(mp.spawn(os.exit, case[1], true)))
    end
    assert.equal(0, join(mp.spawn(os.exit)))
  end)

  it("is 0 after a return and 1 after an error", function()
    assert.equal(0, join(mp.spawn(function() return 5 end)))
    assert.equal(0, join(mp.spawn(function() return false, "no" end)))
    assert.equal(1, join(mp.spawn(function() return ("x").y.z end)))
  end)

  it("is 1 after an error at any depth of descent, and the error arrives whole", function()
    local function fail() error("deep down") end
    local function descend(depth)
      local p = mp.spawn(depth > 1 and descend or fail, depth - 1)
      assert.equal(depth > 1 and 0 or 1, join(p))
      if depth > 1 then return p:result() end
      return select(3, p:result())
    end
    for depth = 1, 4 do
      local message = descend(depth)
      assert.matches("deep down", message, 1, true)
      assert.matches("stack traceback:", message, 1, true)
      assert.is_nil(message:find("descend", 1, true))
    end
  end)

  it("is minus the number of any signal that ended the process", function()
    local ready = mp.Queue()
    local signals = {TERM = 15, KILL = 9, HUP = 1, USR1 = 10, SEGV = 11, ABRT = 6, ALRM = 14}
    signals.SEGV = not support.sanitized() and signals.SEGV or nil
    for name, number in pairs(signals) do
      local p = mp.spawn(function()
        ready:put(1)
        mp.sleep(3600)
      end)
      get(ready)
      support.signal(name, p.pid)
      assert.equal(-number, join(p))
    end
  end)

  it("comes from os.exit deep inside calls, coroutines and pcall", function()
    assert.equal(5, join(mp.spawn(function()
      pcall(function()
        coroutine.wrap(function() os.exit(5) end)()
      end)
      return "not reached"
    end)))
  end)

  it("of the main script is what it would be without luamp", function()
    for _, case in ipairs{{"", 0}, {"os.exit(7)", 7}, {"os.exit(true)", 0}, {"os.exit(false)", 1},
      {"error('x')", 1}, {"os.exit(3, true)", 3}} do
      assert.equal(case[2], support.run(case[1]).status)
      assert.equal(case[2], support.run("mp.spawn(function() end) " .. case[1]).status)
    end
  end)

  it("of a child does not become the main script's", function()
    assert.equal(0, support.run("mp.spawn(os.exit, 3):join()").status)
    assert.equal(0, support.run("mp.spawn(error, 'x')").status)
  end)
end)

describe("a process that ends normally", function()
  after_each(clean)

  for how, text in pairs{["by returning"] = "", ["by os.exit"] = "os.exit(0)",
    ["by os.exit that closes the state"] = "os.exit(0, true)", ["by an error"] = "error('main failed')"} do
    it("waits for its children when it is the main one: " .. how, function()
      local result = run([[
        mp.spawn(function() mp.sleep(0.2) print("child ended") end)
        io.write("main ended\n") io.flush() ]] .. text)
      assert.equal("main ended\nchild ended\n", result.out)
      assert.equal(text:find("error") and 1 or 0, result.status)
      assert.equal(text:find("error") ~= nil, result.err:find("main failed", 1, true) ~= nil)
    end)
  end

  it("waits for its children when it is a child itself", function()
    local log = mp.Queue()
    for _, finish in ipairs{function() end, function() os.exit(0) end} do
      local p = mp.spawn(function()
        mp.spawn(function()
          mp.sleep(0.15)
          log:put("grandchild")
        end)
        finish()
      end)
      assert.equal(0, join(p))
      assert.equal(1, #log)
      get(log)
    end
  end)

  it("terminates its daemons, after its other children have ended", function()
    local result = run(tell .. [[
      local ask, answer = mp.Queue(), mp.Queue()
      start({name = "daemon", daemon = true}, function()
        for question in ask:items() do answer:put("answer to " .. question) end
      end)
      mp.spawn(function()
        mp.sleep(0.2)
        ask:put("question")
        print(answer:get(20))
      end)
    ]])
    assert.equal(0, result.status)
    assert.matches("answer to question", result.out, 1, true)
    support.gone(result.pids.daemon)
    assert.equal("", result.err)
  end)

  it("leaves no daemon behind, whichever way it ends", function()
    for _, finish in ipairs{"", "os.exit(4)", "error('x')"} do
      local result = run(tell .. "start({name = 'daemon', daemon = true}, sleep) " .. finish)
      assert.is_true(result.status < 124)
      assert.is_false(support.alive(result.pids.daemon))
    end
  end)

  it("ends its own daemons when it is a child", function()
    local told = mp.Queue()
    local p = mp.spawn(function()
      mp.Process{target = function()
        told:put(mp.current_process().pid)
        mp.sleep(3600)
      end, daemon = true}:start()
      get(told)
      told:put(mp.active_children()[1].pid)
    end)
    assert.equal(0, join(p))
    assert.is_false(support.alive(get(told)))
  end)

  it("has waited for children that were started by a daemon or wait for each other", function()
    local result = run([[
      local q = mp.Queue()
      mp.spawn(function() print("got " .. q:get()) end)
      mp.spawn(function() mp.sleep(0.1) q:put("word") end)
    ]])
    assert.equal("got word\n", result.out)
    assert.equal(0, result.status)
  end)

  it("runs to its end although nobody holds its process object any more", function()
    local q = mp.Queue()
    for i = 1, 5 do
      mp.spawn(function() q:put(i) end)
      collectgarbage()
    end
    local sum = 0
    for _ = 1, 5 do
      sum = sum + get(q)
    end
    assert.equal(15, sum)
  end)
end)

describe("a process that is killed", function()
  after_each(clean)

  it("takes its children along, daemons or not, and their children", function()
    for _, name in ipairs{"KILL", "TERM", "ABRT"} do
      local result = run(tell .. ([[
        start({name = "plain"}, sleep)
        start({name = "daemon", daemon = true}, sleep)
        local ready = mp.Queue()
        start({name = "parent"}, function()
          start({name = "grandchild"}, sleep)
          ready:put(true)
          sleep()
        end)
        ready:get()
        signal_self(%q)
      ]]):format(name))
      assert.is_true(result.status > 128)
      for _, child in ipairs{"plain", "daemon", "parent", "grandchild"} do
        support.gone(result.pids[child])
      end
    end
  end)

  it("takes children along that compute", function()
    local result = run(tell .. [[
      start({name = "busy"}, function() while true do end end)
      signal_self("KILL")
    ]])
    support.gone(result.pids.busy)
  end)

  it("takes children along that ignore SIGTERM, by SIGKILL, two seconds later", function()
    if not pcall(require, "cqueues.signal") then return pending("needs lua-cqueues") end
    local result = run(tell .. [[
      start({name = "deaf"}, function()
        local signal = require "cqueues.signal"
        signal.ignore(signal.SIGTERM)
        print("at " .. io.open("/proc/uptime"):read("n"))
        io.flush()
        mp.sleep(3600)
      end)
      local file = io.open("/proc/" .. mp.active_children()[1].pid .. "/status")
      while true do -- until it ignores signal 15
        local mask = file:seek("set") and file:read("a"):match("SigIgn:%s*(%x+)")
        if tonumber(mask, 16) & (1 << 14) ~= 0 then break end
      end
      print("killed at " .. io.open("/proc/uptime"):read("n"))
      io.flush()
      signal_self("KILL")
    ]])
    local killed = tonumber(result.out:match("killed at (%S+)"))
    support.gone(result.pids.deaf)
    assert.is_true(support.uptime() - killed >= 1.98)
  end)

  it("takes its children along when it is a child itself, and the family goes on", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      for _ = 1, 2 do
        mp.spawn(function()
          q:put(mp.current_process().pid)
          mp.sleep(3600)
        end)
      end
      mp.sleep(3600)
    end)
    local one, two = get(q), get(q)
    assert.equal(-9, join(p:kill()))
    support.gone(one)
    support.gone(two)
    q:put("fine")
    assert.equal("fine", get(q))
    assert.equal(7, mp.spawn(function() return 7 end):result())
  end)

  it("takes its children along after terminate, too", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      mp.spawn(function()
        q:put(mp.current_process().pid)
        mp.sleep(3600)
      end)
      mp.sleep(3600)
    end)
    local grandchild = get(q)
    assert.equal(-15, join(p:terminate()))
    support.gone(grandchild)
  end)

  it("leaves nothing in /dev/shm and nothing in /tmp", function()
    if not os.execute("unshare -rm sh -c 'mount -t tmpfs none /dev/shm' 2>/dev/null") then
      return pending("needs a mount namespace")
    end
    -- Its own, empty /dev/shm and /tmp, so that no other test is seen; the script comes in by stdin. A
    -- sanitizer makes the directory of its log_path as it starts: not here.
    for _, finish in ipairs{"", "signal_self('KILL')"} do
      local script = support.write('local mp = require "luamp" ' .. tell .. [[
        local q = mp.Queue()
        q:put(("x"):rep(100000))
        start({name = "child", daemon = true}, function() q:put(1) sleep() end)
      ]] .. finish)
      local pipe <close> = io.popen(([[LUA_PATH_5_4=%s LUA_CPATH_5_4=%s unshare -rm sh -c '
        mount -t tmpfs none /dev/shm && mount -t tmpfs none /tmp || exit
        unset ASAN_OPTIONS UBSAN_OPTIONS
        "$0" - 2>/dev/null
        i=0
        while [ -n "$(ls -A /dev/shm)$(ls -A /tmp)" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
        echo left: $(ls -A /dev/shm) $(ls -A /tmp) end' %s <%s]]):format(support.quote(package.path),
        support.quote(package.cpath), support.quote(support.lua), script))
      local out = pipe:read("a")
      local child = math.tointeger(tonumber(out:match("pid child (%d+)")))
      support.gone(child)
      assert.matches("left: end", out, 1, true)
    end
  end)
end)

describe("an orphan", function()
  after_each(clean)

  local HOWS = {TERM = -15, KILL = -9, USR1 = -10, HUP = -1}

  -- A process whose parent is dead: a detached one, since others end with it.
  local function orphan(target, detached)
    local q, up = mp.Queue(), mp.Queue()
    local parent = mp.spawn(function()
      q:put(mp.Process{target = target, args = {up}, detached = detached}:start())
      mp.sleep(3600)
    end)
    local child = get(q)
    assert.equal("up", get(up))
    return child, parent
  end

  local function deaf(q)
    q:put("up")
    mp.sleep(3600)
  end

  it("has the exit code that it had, for whoever waits for it", function()
    for how, code in pairs(HOWS) do
      for _, wait in ipairs{join, function(p) assert.same({p}, mp.wait({p}, support.patience)) return p.exitcode end,
        function(p) eventually("the end", function() return not p:is_alive() end) return p.exitcode end} do
        local child, parent = orphan(deaf, true)
        assert.equal(-9, join(parent:kill()))
        assert.is_true(child:is_alive())
        support.signal(how, child.pid)
        assert.equal(code, wait(child))
      end
    end
  end)

  it("has it although whoever adopted it has collected it at once", function()
    local namespace = "unshare -rpf --mount-proc sh -c '\"$@\"; exit $?' sh "
    if not os.execute(namespace .. "true 2>/dev/null") then return pending("needs a process namespace") end
    local major, minor = support.read("/proc/sys/kernel/osrelease"):match("^(%d+)%.(%d+)")
    if tonumber(major) * 1000 + tonumber(minor) < 6015 then return pending("needs Linux 6.15") end
    local wrapper = support.write("#!/bin/sh\nexec " .. namespace .. support.quote(support.lua) .. ' "$@"\n')
    os.execute("chmod +x " .. wrapper)
    assert.equal(("-10 -10 -10\n"):rep(5), support.output([[
      local up = mp.Queue()
      local function orphan()
        local q = mp.Queue()
        local parent = mp.spawn(function()
          q:put(mp.Process{target = function() up:put(1) mp.sleep(3600) end, detached = true}:start())
          mp.sleep(3600)
        end)
        local child = q:get()
        up:get()
        parent:kill():join()
        assert(child:is_alive())
        return child
      end
      local function kill(p) os.execute("kill -s USR1 " .. p.pid) return p end
      for _ = 1, 5 do
        local one, two, three = orphan(), orphan(), orphan()
        assert(kill(one):join())
        assert(mp.wait{kill(two)}[1] == two)
        kill(three)
        while three:is_alive() do mp.sleep(0.05) end
        print(one.exitcode .. " " .. two.exitcode .. " " .. three.exitcode)
      end
    ]], {exe = wrapper}))
  end)

  it("is ended by SIGTERM, and its exit code says so", function()
    for _ = 1, 5 do
      local child, parent = orphan(deaf)
      assert.is_true(child:is_alive())
      parent:kill()
      assert.equal(-15, join(child))
    end
  end)

  it("is ended within three seconds by whoever is left, when it ignores SIGTERM", function()
    if not pcall(require, "cqueues.signal") then return pending("needs lua-cqueues") end
    local child, parent = orphan(function(q)
      local signal = require "cqueues.signal"
      signal.ignore(signal.SIGTERM)
      q:put("up")
      while true do end
    end)
    assert.is_true(child:is_alive())
    parent:kill():join()
    local before = support.uptime()
    assert.equal(-9, join(child))
    assert.is_true(support.uptime() - before >= 1.9)
  end)
end)

describe("a detached child", function()
  after_each(clean)

  local script = tell .. [[
    local path = ...
    start({name = "detached", detached = true}, function()
      mp.sleep(%s)
      local file = io.open(path, "w")
      file:write("lived on")
      file:close()
      sleep()
    end)
  ]]

  it("is not waited for by a parent that ends, and lives on", function()
    local path = support.path()
    local result = run(script:format("0.3"), {args = path})
    assert.equal(0, result.status)
    assert.is_true(support.alive(result.pids.detached))
    eventually("the detached child writes", function() return support.read(path) == "lived on" end)
    support.signal("KILL", result.pids.detached)
    support.gone(result.pids.detached)
  end)

  it("lives on when its parent is killed", function()
    local path = support.path()
    local result = run(script:format("2.6") .. "signal_self('KILL')", {args = path})
    eventually("the detached child writes", function() return support.read(path) == "lived on" end)
    assert.is_true(support.alive(result.pids.detached))
    support.signal("KILL", result.pids.detached)
    support.gone(result.pids.detached)
  end)

  it("is an ordinary child otherwise", function()
    local q = mp.Queue()
    local p = mp.Process{target = function() q:put("hello") return "result" end, detached = true}:start()
    assert.equal("hello", get(q))
    assert.equal("result", p:result())
    assert.equal(0, p.exitcode)
    local other = mp.Process{target = mp.sleep, args = {3600}, detached = true}:start()
    assert.equal(other, mp.active_children()[1])
    assert.equal(-15, join(other:terminate()))
  end)
end)
