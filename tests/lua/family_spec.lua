-- SPDX-License-Identifier: MIT
-- API.md sections 1, 12 and 14: what concerns the whole family: time, memory limit, statistics, log, Ctrl-C, and
-- that luamp leaves its host alone.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

local MB <const> = 1 << 20

local function count(text, piece)
  local n, from = 0, 1
  while true do
    local _, stop = text:find(piece, from, true)
    if not stop then return n end
    n, from = n + 1, stop + 1
  end
end

describe("time", function()
  after_each(support.clean)

  it("is a float of seconds that never goes back", function()
    assert.equal("float", math.type(mp.time()))
    local last = mp.time()
    for _ = 1, 10000 do
      local now = mp.time()
      assert.is_true(now >= last)
      last = now
    end
  end)

  it("is the monotonic clock, the same in every process", function()
    local before = mp.time()
    local inside = mp.spawn(mp.time):result()
    assert.is_true(before <= inside and inside <= mp.time())
  end)

  it("is in seconds", function()
    local uptime, time = support.uptime(), mp.time()
    mp.sleep(0.3)
    local passed = mp.time() - time
    assert.is_true(passed >= 0.3)
    assert.is_true(math.abs((support.uptime() - uptime) - passed) <= 0.1 + passed / 2)
  end)
end)

describe("sleep", function()
  after_each(support.clean)

  it("takes at least the time given, integer or float", function()
    for _, seconds in ipairs{0.05, 0.001, 0.123, 1} do
      local start = mp.time()
      mp.sleep(seconds)
      assert.is_true(mp.time() - start >= seconds)
    end
  end)

  it("does not wait with 0 or less", function()
    mp.sleep(0)
    mp.sleep(-5)
    mp.sleep(-math.huge)
  end)

  it("sleeps for ever with math.huge, until the process is ended", function()
    local p = mp.spawn(mp.sleep, math.huge)
    assert.is_false((p:join(0.1)))
    assert.equal(-15, join(p:terminate()))
  end)

  it("is not cut short by signals that do not end the process", function()
    local ready = mp.Queue()
    local p = mp.spawn(function()
      local start = mp.time()
      ready:put(1)
      mp.sleep(0.5)
      return mp.time() - start >= 0.5
    end)
    get(ready)
    for _, signal in ipairs{"STOP", "CONT", "CHLD", "WINCH", "STOP", "CONT"} do
      support.signal(signal, p.pid)
    end
    assert.is_true(p:result())
  end)

  it("refuses what is no time, naming it", function()
    raises(function() mp.sleep("soon") end, "sleep", "#1", "string")
    raises(function() mp.sleep(0 / 0) end, "sleep", "#1", "nan")
    raises(function() mp.sleep({}) end, "sleep", "#1", "table")
  end)
end)

describe("the memory limit", function()
  after_each(support.clean)

  it("is set by configure, as a number or as text with powers of 1024", function()
    for text, bytes in pairs{["33554432"] = 32 * MB, ["'32M'"] = 32 * MB, ["'65536K'"] = 64 * MB,
      ["'1G'"] = 1024 * MB, ["'33554432'"] = 32 * MB} do
      assert.equal(bytes .. "\n", support.output(("mp.configure{memory = %s} print(mp.stats().limit)"):format(text)))
    end
  end)

  it("is had as it was set, or not at all; only the default is as much as fits", function()
    if support.sanitized() then return pending("sanitizers need the address space") end
    local wrapper = support.write('#!/bin/sh\nulimit -v "$ADDRESSES"\nexec ' ..
      support.quote(support.lua) .. ' "$@"\n')
    os.execute("chmod +x " .. wrapper)
    local function run(text, kib, memory)
      return support.run(text .. " print(mp.stats().limit)", {exe = wrapper, env =
        {ADDRESSES = kib, LUAMP_MEMORY = memory}})
    end
    local fits = run("", 800000)
    assert.equal(0, fits.status, fits.err)
    assert.is_true(tonumber(fits.out) > MB)
    local configured = run("mp.configure{memory = '900M'}", 800000)
    assert.matches("cannot have a memory limit of 943718400 bytes (configure)", configured.err, 1, true)
    assert.equal("", configured.out)
    assert.matches("memory limit of 943718400 bytes (LUAMP_MEMORY)", run("", 800000, "900M").err, 1, true)
    assert.matches("may not map as much", run("", 100000).err, 1, true)
    for _, huge in ipairs{"99999G", "4000000000G"} do
      assert.matches("cannot have a memory limit", run("", "unlimited", huge).err, 1, true)
    end
  end)

  it("is set by LUAMP_MEMORY, and configure goes before that", function()
    local env = {env = {LUAMP_MEMORY = "48M"}}
    assert.equal(48 * MB .. "\n", support.output("print(mp.stats().limit)", env))
    assert.equal(32 * MB .. "\n", support.output("mp.configure{memory = '32M'} print(mp.stats().limit)", env))
  end)

  it("is set by the executable's --memory", function()
    if not support.luamp then return pending("needs the luamp executable") end
    for _, option in ipairs{"--memory=40M", "--memory=41943040"} do
      assert.equal(40 * MB .. "\n", support.output("print(mp.stats().limit)",
        {exe = support.luamp, options = option}))
    end
  end)

  it("is by default half of the machine's memory, or less", function()
    local kilobytes = tonumber(support.read("/proc/meminfo"):match("MemTotal:%s*(%d+)"))
    local limit = tonumber(support.output("print(mp.stats().limit)"))
    assert.is_true(limit > 0 and limit <= kilobytes * 1024 // 2 + MB)
  end)

  it("holds: what is put in stays below it", function()
    assert.equal("true\ttimeout\n", support.output([[
      mp.configure{memory = "24M"}
      local q, code, ok = mp.Queue(), nil, true
      while ok do ok, code = q:put(("x"):rep(1 << 18), 0) end
      print(mp.stats().memory <= mp.stats().limit and mp.stats().memory >= (12 << 20), code)
    ]]))
  end)

  it("cannot be set after the first object, and stays as it was", function()
    assert.equal("false\ttrue\ttrue\n", support.output([[
      local q = mp.Queue()
      local limit = mp.stats().limit
      local ok, message = pcall(function() mp.configure{memory = "64M"} end)
      print(ok, message:find("configure", 1, true) ~= nil, limit == mp.stats().limit)
    ]]))
  end)

  it("refuses what is no size, naming option and value, and is not changed", function()
    for value, shown in pairs{["'lots'"] = "lots", ["-1"] = "-1", ["'12X'"] = "12X", ["''"] = "memory",
      ["0.5"] = "0.5", ["true"] = "boolean", ["{}"] = "table", ["'-5M'"] = "-5M", ["0/0"] = "nan",
      ["'1M M'"] = "1M M", ["'99999999999999999999G'"] = "99999999999999999999G"} do
      local out = support.output(([[
        local ok, message = pcall(function() mp.configure{memory = %s} end)
        print(ok, message)
        mp.configure{memory = "32M"}
        print(mp.stats().limit)
      ]]):format(value))
      assert.matches("^false\t", out)
      assert.matches("configure", out, 1, true)
      assert.matches("memory", out, 1, true)
      assert.matches(shown:lower(), out:lower(), 1, true)
      assert.matches("\n33554432\n$", out)
    end
  end)

  it("too small to start gives one clear error, wherever it comes from", function()
    local small = support.run("mp.configure{memory = '4K'} mp.Queue():put(1)")
    assert.equal(1, small.status)
    assert.matches("memory", small.err, 1, true)
    assert.equal(1, count(small.err, "stack traceback"))
    small = support.run("mp.Queue():put(1)", {env = {LUAMP_MEMORY = "4K"}})
    assert.equal(1, small.status)
    assert.matches("memory", small.err, 1, true)
    if support.luamp then
      small = support.run("mp.Queue():put(1)", {exe = support.luamp, options = "--memory=4K"})
      assert.equal(1, small.status)
      assert.matches("memory", small.err, 1, true)
    end
  end)

  it("that is no size in LUAMP_MEMORY gives one clear error with the value", function()
    for _, value in ipairs{"lots", "-3", "M", "1Q"} do
      local run = support.run("mp.Queue():put(1)", {env = {LUAMP_MEMORY = value}})
      assert.equal(1, run.status)
      assert.matches("LUAMP_MEMORY", run.err, 1, true)
      assert.matches(value, run.err, 1, true)
    end
  end)
end)

describe("configure", function()
  after_each(support.clean)

  it("refuses unknown options and what is no table", function()
    raises(function() mp.configure{memroy = "1G"} end, "configure", "memroy")
    raises(function() mp.configure("1G") end, "configure", "#1", "table")
    raises(function() mp.configure(nil) end, "configure", "#1", "table")
  end)

  it("with nothing to change changes nothing", function()
    mp.Queue():put(1)
    local limit = mp.stats().limit
    mp.configure{}
    assert.equal(limit, mp.stats().limit)
  end)
end)

describe("stats", function()
  after_each(support.clean)

  it("are four integers: memory, limit, processes, objects", function()
    local stats = mp.stats()
    for _, field in ipairs{"memory", "limit", "processes", "objects"} do
      assert.equal("integer", math.type(stats[field]))
      stats[field] = nil
    end
    assert.is_nil(next(stats))
  end)

  it("count the objects", function()
    local before = support.stats().objects
    local queues = {mp.Queue(), mp.Queue(), mp.Queue()}
    assert.equal(before + 3, mp.stats().objects)
    assert.is_true(mp.spawn(function()
      local mine = mp.Queue()
      return mine and mp.stats().objects
    end):result() >= before + 4)
    assert.equal(3, #queues)
  end)

  it("count the processes, this one too", function()
    assert.equal("1\t3\t1\n", support.output([[
      local before = mp.stats().processes
      local a, b = mp.spawn(mp.sleep, 3600), mp.spawn(mp.sleep, 3600)
      local during = mp.stats().processes
      a:kill():join()
      b:terminate():join()
      print(before, during, mp.stats().processes)
    ]]))
  end)

  it("count the bytes in use, in every process", function()
    local q = mp.Queue()
    local before = support.stats().memory
    q:put(("x"):rep(4 * MB))
    local stats = mp.stats()
    assert.is_true(stats.memory >= before + 4 * MB and stats.memory < before + 8 * MB)
    assert.is_true(stats.memory <= stats.limit)
    assert.is_true(mp.spawn(function() return mp.stats().memory end):result() >= before + 4 * MB)
    get(q)
    assert.is_true(support.stats().memory < before + MB)
  end)
end)

describe("the log", function()
  it("says nothing by default", function()
    assert.equal("", support.run("mp.spawn(function() mp.Queue():put(1) end):join()").err)
    assert.equal("", support.run("mp.Queue()", {env = {LUAMP_LOG = "", LUAMP_MEMORY = ""}}).err)
  end)

  it("raises for a level that there is not", function()
    local run = support.run("mp.Queue()", {env = {LUAMP_LOG = "infos"}})
    assert.equal(1, run.status)
    assert.matches("LUAMP_LOG: 'info' or 'debug' expected, got 'infos'", run.err, 1, true)
  end)

  it("tells on stderr, with LUAMP_LOG=info, of starts and exits, with name and pid", function()
    local run = support.run([[
      local p = mp.Process{target = function() os.exit(3) end, name = "worker-x"}:start()
      p:join()
      print(p.pid)
    ]], {env = {LUAMP_LOG = "info"}})
    local pid = run.out:match("^%d+")
    assert.equal(0, run.status)
    assert.equal(pid .. "\n", run.out)
    local lines = 0
    for line in run.err:gmatch("[^\n]+") do
      if line:find("worker-x", 1, true) and line:find(pid, 1, true) then lines = lines + 1 end
    end
    assert.is_true(lines >= 2)
  end)

  it("tells of recoveries after a kill", function()
    local run = support.run([[
      local q, there = mp.Queue(), mp.Event()
      local p = mp.Process{target = function() there:set() q:get() end, name = "victim-x"}:start()
      there:wait() -- one that never came into the family leaves nothing to repair
      p:kill()
      p:join()
      q:put(1)
      print(p.pid)
    ]], {env = {LUAMP_LOG = "debug"}})
    local pid = run.out:match("^%d+")
    assert.matches("was ended by signal 9", run.err, 1, true)
    assert.equal(1, count(run.err, ("found process 'victim-x' (pid %s) dead; repaired what it left"):format(pid)))
  end)

  it("tells of no recovery after an ordinary end", function()
    local run = support.run("mp.spawn(os.exit, 3):join() mp.spawn(error, 'x'):join() mp.spawn(print):join()",
      {env = {LUAMP_LOG = "info"}})
    assert.equal(0, count(run.err, "repaired"))
  end)

  it("tells of the recovery of a process that is no child, too", function()
    local run = support.run([[
      local q = mp.Queue()
      local p = mp.spawn(function()
        q:put(mp.Process{target = mp.sleep, args = {3600}, name = "victim-y", detached = true}:start())
        mp.sleep(3600)
      end)
      local other = q:get()
      p:kill():join()
      other:kill():join()
      print(other.pid)
    ]], {env = {LUAMP_LOG = "info"}})
    assert.equal(1, count(run.err, ("found process 'victim-y' (pid %s) dead"):format(run.out:match("^%d+"))))
  end)

  it("tells at least as much with debug as with info", function()
    local script = "mp.spawn(function() end):join()"
    local info = support.run(script, {env = {LUAMP_LOG = "info"}}).err
    local debug_log = support.run(script, {env = {LUAMP_LOG = "debug"}}).err
    assert.is_true(count(debug_log, "\n") >= count(info, "\n") and count(info, "\n") > 0)
  end)
end)

describe("Ctrl-C", function()
  after_each(support.clean)

  -- Under lua5.4 the message is lua5.4's, and the status is its 1; under luamp the status is 130.
  local function interrupted(text, exe)
    local running = support.start(text, {exe = exe})
    assert.equal("ready", running.line())
    for pid in running.line():gmatch("%d+") do
      support.waiting(math.tointeger(tonumber(pid)))
    end
    support.waiting(running.pid)
    running.signal("INT")
    local status, out, err = running.finish()
    assert.equal(1, count(err, "interrupted!"))
    assert.equal(0, count(err, "failed:"))
    assert.equal("", out)
    assert.same({}, support.session(running.pid))
    return status, err
  end

  local scripts = {
    ["that wait for a queue"] = [[
      local q, a = mp.Queue(), nil
      a = {mp.spawn(function() q:get() print("not reached") end), mp.spawn(function() q:get(3600) end)}
      io.write("ready\n", a[1].pid, " ", a[2].pid, "\n") io.flush()
      q:get()
    ]],
    ["that sleep, while the main script joins them"] = [[
      local p = mp.spawn(mp.sleep, 3600)
      io.write("ready\n", p.pid, "\n") io.flush()
      p:join()
    ]],
    ["that wait for several things, as it does"] = [[
      local q, r = mp.Queue(), mp.Queue()
      local p = mp.spawn(function() mp.wait{q, r} print("not reached") end)
      io.write("ready\n", p.pid, "\n") io.flush()
      mp.wait({q, p, r}, 3600)
    ]],
    ["that have children of their own, and daemons"] = [[
      local q = mp.Queue()
      local p = mp.spawn(function()
        local one, two = mp.spawn(mp.sleep, 3600), mp.Process{target = mp.sleep, args = {3600}, daemon = true}:start()
        q:put({one.pid, two.pid})
        one:join()
      end)
      local pids = q:get()
      io.write("ready\n", p.pid, " ", pids[1], " ", pids[2], "\n") io.flush()
      mp.sleep(3600)
    ]],
    ["that are waited for at the end of the script"] = [[
      local p = mp.spawn(mp.sleep, 3600)
      io.write("ready\n", p.pid, "\n") io.flush()
    ]],
    ["of which there are none"] = [[
      io.write("ready\n\n") io.flush()
      mp.Queue():get()
    ]],
  }

  for what, text in pairs(scripts) do
    it("ends the script with one message and status 130, and children " .. what, function()
      if not support.luamp then return pending("needs the luamp executable") end
      local status = interrupted(text, support.luamp)
      assert.equal(130, status)
    end)
  end

  it("ends a script under this interpreter, too, with one message", function()
    for _, what in ipairs{"that wait for a queue", "that sleep, while the main script joins them",
      "that have children of their own, and daemons"} do
      local status = interrupted(scripts[what])
      assert.is_true(status ~= 0)
    end
  end)

  it("ends children that compute", function()
    local running = support.start([[
      local q = mp.Queue()
      mp.spawn(function() q:put(1) while true do end end)
      q:get()
      print("ready") io.flush()
      mp.sleep(3600)
    ]], {exe = support.luamp})
    assert.equal("ready", running.line())
    support.waiting(running.pid)
    running.signal("INT")
    local _, _, err = running.finish()
    assert.equal(1, count(err, "interrupted!"))
  end)

  it("ends children that ignore it, by force", function()
    if not support.luamp then return pending("needs the luamp executable") end
    if not pcall(require, "cqueues.signal") then return pending("needs lua-cqueues") end
    local running = support.start([[
      local q = mp.Queue()
      mp.spawn(function()
        local signal = require "cqueues.signal"
        signal.ignore(signal.SIGINT, signal.SIGTERM)
        q:put(1)
        mp.sleep(3600)
      end)
      q:get()
      print("ready") io.flush()
      mp.sleep(3600)
    ]], {exe = support.luamp})
    assert.equal("ready", running.line())
    support.waiting(running.pid)
    running.signal("INT")
    local status, _, err = running.finish()
    assert.equal(130, status)
    assert.equal(1, count(err, "interrupted!"))
  end)
end)

describe("require", function()
  after_each(support.clean)

  it("sets no global and changes no library", function()
    assert.equal("same\n", support.output([[
      local before = {}
      local function look(t, prefix, seen)
        for k, v in pairs(t) do
          before[prefix .. tostring(k)] = v
          if type(v) == "table" and not seen[v] and v ~= package.loaded and v ~= package.preload then
            seen[v] = true
            look(v, prefix .. tostring(k) .. ".", seen)
          end
        end
      end
      look(_G, "", {[_G] = true})
      local old = before
      require "luamp"
      before = {}
      look(_G, "", {[_G] = true})
      for k, v in pairs(old) do assert(before[k] == v, k) end
      for k, v in pairs(before) do assert(old[k] == v, k) end
      print("same")
    ]], {bare = true}))
  end)

  it("starts nothing and opens nothing", function()
    assert.equal("0\ttrue\n", support.output([[
      -- The shell counts when it is told to: before that we may not have closed its end of the pipe.
      local function files()
        local stat, name = io.open("/proc/self/stat"), os.tmpname()
        local pid = stat:read("n")
        stat:close()
        local shell = io.popen("read go; ls /proc/" .. pid .. "/fd | wc -l >" .. name, "w")
        shell:write("go\n")
        shell:close()
        local counted = io.open(name)
        local n = counted:read("n")
        counted:close()
        os.remove(name)
        return n
      end
      files()
      collectgarbage() collectgarbage()
      local before = files()
      collectgarbage() collectgarbage()
      local mp = require "luamp"
      local after = files()
      print(#mp.active_children(), before == after)
    ]], {bare = true}))
  end)

  it("installs no signal handler, nor does anything that comes after it", function()
    assert.equal("same\n", support.output([[
      local function masks()
        local text = io.open("/proc/self/status"):read("a")
        return text:match("SigBlk:%s*%x+"), text:match("SigIgn:%s*%x+"), text:match("SigCgt:%s*%x+")
      end
      local before = table.concat({masks()}, " ")
      local mp = require "luamp"
      assert(before == table.concat({masks()}, " "))
      local q = mp.Queue()
      mp.spawn(function() q:put(1) end):join()
      q:get()
      assert(before == table.concat({masks()}, " "))
      print("same")
    ]], {bare = true}))
  end)

  it("leaves the children of others alone", function()
    assert.equal("hello\ttrue\texit\t0\n", support.output([[
      local other = io.popen("sleep 0.1; echo hello")
      for _ = 1, 5 do mp.spawn(function() end):join() end
      mp.active_children()
      print(other:read("l"), other:close())
    ]]))
  end)

  it("leaves the buffering of standard output as it was", function()
    assert.equal("", support.run([[
      io.write("a line in a buffer\n")
      local q = mp.Queue()
      q:put(1)
      q:get()
      os.execute("kill -KILL $PPID")
    ]]).out)
  end)
end)

describe("/dev/shm", function()
  after_each(support.clean)

  local script = [[
    local q = mp.Queue()
    local p = mp.spawn(function() q:put(("x"):rep(1 << 20)) return "fine" end)
    print(#q:get(), p:result())
  ]]

  for what, mount in pairs{
    ["missing"] = "mount -t tmpfs none /mnt && touch /mnt/null && mount --bind /dev/null /mnt/null"
      .. " && mount --move /mnt /dev",
    ["tiny"] = "mount -t tmpfs -o size=4k none /dev/shm",
    ["read-only"] = "mount -t tmpfs -o ro none /dev/shm",
  } do
    it("is not needed: it works where it is " .. what, function()
      if not os.execute("unshare -rm sh -c 'mount -t tmpfs none /dev/shm' 2>/dev/null") then
        return pending("needs a mount namespace")
      end
      local wrapper = support.write(("#!/bin/sh\nexec unshare -rm sh -c '%s && exec \"$@\"' sh %s \"$@\"\n"):format(
        mount, support.quote(support.lua)))
      os.execute("chmod +x " .. wrapper)
      assert.equal("1048576\tfine\n", support.output(script, {exe = wrapper}))
    end)
  end
end)

describe("lower case", function()
  after_each(support.clean)

  it("works for every constructor", function()
    for upper, lower in pairs{Process = "process", Queue = "queue", JoinableQueue = "joinable_queue",
      SimpleQueue = "simple_queue"} do
      assert.is_not_nil(mp[upper])
      assert.is_not_nil(mp[lower])
    end
    assert.equal("Queue", mp.type(mp.queue(3)))
    assert.equal("Process", mp.type(mp.process(print)))
    assert.equal("Process", mp.type(mp.process:extend("Small")(print)))
  end)
end)
