-- SPDX-License-Identifier: MIT
-- Many objects, many processes, much memory: nothing grows, and limits are met cleanly. With LUAMP_SOAK set
-- the queue holds 2 GiB, else an eighth of that; and there are a million objects of each kind.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"

local GB <const> = 1 << 30
local scale = os.getenv("LUAMP_SOAK") and 1 or 8

local function status(field)
  return tonumber(support.read("/proc/self/status"):match(field .. ":%s*(%d+)"))
end

-- One or two may come and go with the test's own files; a leak would be thousands.
local function same_descriptors(before, after)
  assert.is_true(math.abs(after - before) <= 2, ("%d descriptors, %d before"):format(after, before))
end

local function descriptors()
  collectgarbage()
  local list <close> = io.popen("ls /proc/$PPID/fd | wc -l")
  return list:read("n")
end

describe("what is made and dropped leaves nothing behind:", function()
  local slow = support.sanitized() or os.getenv("LUAMP_VALGRIND")

  it("a million queues", function()
    local count = slow and 20000 or 1000000
    local function make(n)
      for _ = 1, n do mp.Queue():put(true) end
      collectgarbage()
    end
    make(count // 10)
    local before, rss, fds = support.stats(), status("VmRSS"), descriptors()
    make(count)
    local after = support.stats()
    assert.is_true(after.memory <= before.memory)
    assert.is_true(after.objects <= before.objects)
    same_descriptors(fds, descriptors())
    if not slow then
      assert.is_true(status("VmRSS") < rss + 4096, "resident memory grew") -- KiB
    end
  end)

  -- Of each kind a million with LUAMP_SOAK, else some thousand.
  local kinds = {
    Lock = function()
      local l = mp.Lock()
      l:acquire()
      l:release()
    end,
    RLock = function() mp.RLock{name = "a name of more than twenty bytes"}:with(function() end) end,
    Condition = function()
      local c = mp.Condition(mp.Lock())
      c:acquire()
      c:notify()
      c:release()
    end,
    Semaphore = function() mp.Semaphore(3):acquire() end,
    BoundedSemaphore = function() mp.BoundedSemaphore(100):acquire() end,
    Event = function() mp.Event():set() end,
    Barrier = function() mp.Barrier(1):wait() end,
    Value = function() mp.Value("q", 1):add(1) end,
    Array = function() mp.Array("d", 100):get_lock() end,
    Pipe = function()
      local a, b = mp.Pipe()
      a:send(b)
      b:send(1)
    end,
    Dict = function()
      local d = mp.Dict()
      d.x, d[1] = d, {1}
    end,
    List = function()
      local l = mp.List()
      l:append(l)
      l:append(1)
    end,
    Namespace = function() mp.Namespace().x = 1 end,
  }
  local few = { -- those that the system has to do with
    SharedMemory = function()
      local s = mp.SharedMemory{size = 100}
      s:array("c", 0, 5):fill("x")
      s:unlink()
    end,
    fileno = function()
      local a, b = mp.Pipe()
      a:fileno()
      b:send(1)
    end,
  }
  for kind, make in pairs(few) do kinds[kind] = make end
  for kind, make in pairs(kinds) do
    it("many of " .. kind, function()
      local count = few[kind] and 20000 or 1000000
      if slow or scale > 1 then count = count // (slow and 1000 or 100) end
      local function run(n)
        for _ = 1, n do make() end
        collectgarbage()
        collectgarbage()
      end
      run(count // 10 + 100)
      support.stats()
      local before, rss, fds = support.stats(), status("VmRSS"), descriptors()
      run(count)
      local after = support.stats()
      assert.is_true(after.memory <= before.memory)
      assert.is_true(after.objects <= before.objects)
      same_descriptors(fds, descriptors())
      if not slow then
        assert.is_true(status("VmRSS") < rss + 4096, "resident memory grew") -- KiB
      end
    end)
  end

  it("ten thousand processes", function()
    local count = slow and 300 or 10000
    local function run(n)
      for i = 1, n do
        local p = mp.spawn(function() return i end)
        assert(p:join())
        assert(p.exitcode == 0)
        assert(p:result() == i)
      end
      collectgarbage()
      collectgarbage()
    end
    run(100)
    local before, rss, fds = support.stats(), status("VmRSS"), descriptors()
    run(count)
    local after = support.stats()
    assert.is_true(after.memory <= before.memory)
    assert.is_true(after.objects <= before.objects)
    assert.is_true(after.processes <= before.processes)
    same_descriptors(fds, descriptors())
    assert.equal(0, #mp.active_children())
    if not slow then
      assert.is_true(status("VmRSS") < rss + 4096, "resident memory grew") -- KiB
    end
  end)
end)

describe("eight processes", function()
  after_each(support.clean)

  it("add to one Value without its lock, and the sum is exact", function()
    local count = (support.sanitized() and 2000 or 1000000) // scale
    local v, a, f, go = mp.Value("q"), mp.Array("Q", 3), mp.Value("d"), mp.Event()
    local processes = {}
    for i = 1, 8 do
      processes[i] = mp.spawn(function()
        go:wait()
        for _ = 1, count do
          v:add(1)
          a:add(2, i)
          f:add(0.5)
        end
      end)
    end
    go:set()
    for _, p in ipairs(processes) do assert.equal(0, support.join(p)) end
    assert.same({8 * count, 36 * count, 4.0 * count}, {v.value, a[2], f.value})
    assert.same({0, 0}, {a[1], a[3]})
  end)

  it("never read half of a 64-bit value that another writes", function()
    local count = (support.sanitized() and 2000 or 1000000) // scale
    local v, f, a = mp.Value("Q"), mp.Value("d"), mp.Array("q", 9)
    local whole, part = 0x0123456789abcdef, 2.0 ^ 40 + 2.0 ^ -10
    local processes = {}
    for i = 1, 4 do
      processes[i] = mp.spawn(function()
        local x, y = i % 2 == 0 and whole or ~whole, i % 2 == 0 and part or -part
        for _ = 1, count do
          v.value, f.value, a[5] = x, y, x
        end
      end)
      processes[i + 4] = mp.spawn(function()
        for _ = 1, count do
          local x, y, z = v.value, f.value, a[5]
          if not ((x == 0 or x == whole or x == ~whole) and (z == 0 or z == whole or z == ~whole)
            and (y == 0 or y == part or y == -part)) then
            error(("torn: %x %a %x"):format(x, y, z))
          end
        end
      end)
    end
    for _, p in ipairs(processes) do assert.equal(0, support.join(p)) end
  end)
end)

describe("two hundred processes", function()
  it("work on one queue at once", function()
    local jobs, results = mp.Queue(), mp.Queue()
    local here_they_are, go = mp.Queue(), mp.Queue()
    local processes = {}
    for i = 1, 200 do
      processes[i] = mp.spawn(function()
        here_they_are:put(i)
        go:get()
        local sum, n = 0, 0
        for v in jobs:items() do
          sum, n = sum + v, n + 1
        end
        results:put{sum = sum, n = n}
      end)
    end
    for _ = 1, 200 do assert(here_they_are:get(support.patience)) end
    assert.equal(201, mp.stats().processes)
    for _ = 1, 200 do go:put(true) end
    for v = 1, 20000 do jobs:put(v) end
    jobs:close()
    local sum, n = 0, 0
    for _ = 1, 200 do
      local r = assert(results:get(support.patience))
      sum, n = sum + r.sum, n + r.n
    end
    assert.equal(20000, n)
    assert.equal(20000 * 20001 // 2, sum)
    for _, p in ipairs(processes) do
      assert(p:join(support.patience))
      assert.equal(0, p.exitcode)
    end
  end)
end)

describe("a queue", function()
  it("holds half of the memory limit, meets the limit cleanly, and goes on", function()
    local out = support.output(([[
      mp.configure{memory = %d}
      local q, MB = mp.Queue(), 1 << 20
      local text = ("0123456789abcdef"):rep(MB // 16)
      local half = %d // MB
      for i = 1, half do assert(q:put(i .. ":" .. text)) end
      print("half", q:qsize() == half, mp.stats().memory >= half * MB)
      local n = half
      while true do
        local ok, code = q:put((n + 1) .. ":" .. text, 0)
        if not ok then print("full", code, n > half + half // 3) break end
        n = n + 1
      end
      local t = mp.time()
      print("timed", select(2, q:put("x" .. text, 0.05)), mp.time() - t >= 0.05)
      local p = mp.spawn(function() return q:put("last:" .. text) end)
      mp.sleep(0.01)
      for i = 1, n do
        local s = q:get()
        if s ~= i .. ":" .. text then print("wrong message", i) break end
      end
      print("blocked put", p:result(), q:get() == "last:" .. text)
      q = nil
      p = nil
      collectgarbage()
      print("empty", mp.stats().memory < MB)
    ]]):format(4 * GB // scale, 2 * GB // scale))
    assert.equal("half\ttrue\ttrue\nfull\ttimeout\ttrue\ntimed\ttimeout\ttrue\n" ..
      "blocked put\ttrue\ttrue\nempty\ttrue\n", out)
  end)
end)

describe("shared memory files", function()
  local function without_shm(how)
    return ("unshare -m sh -c '%s && exec %s -e \"%s\"' 2>&1"):format(how, support.lua, [[
      local mp = require [=[luamp]=]
      local q = mp.Queue()
      local p = mp.spawn(function() q:put(42) end)
      p:join()
      print(q:get(), p.exitcode)]])
  end

  it("are not needed: it works with /dev/shm unmounted, and read-only, and puts nothing there", function()
    local before = support.read("/proc/self/mounts"):find("/dev/shm", 1, true)
    local possible <close> = io.popen("unshare -m true 2>&1")
    if possible:read("a") ~= "" then return pending("needs the right to unshare") end
    for _, how in ipairs{"umount -l /dev/shm", "mount -o remount,bind,ro /dev/shm"} do
      if before then
        local run <close> = io.popen(without_shm(how))
        assert.equal("42\t0\n", run:read("a"))
      end
    end
    local list <close> = io.popen("ls -A /dev/shm 2>/dev/null | grep -i luamp")
    assert.equal("", list:read("a"))
  end)
end)
