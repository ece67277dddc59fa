-- SPDX-License-Identifier: MIT
-- API.md sections 2 and 14: resource limits of a child.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

local MB <const> = 1 << 20

-- Sanitizers reserve terabytes, which a memory limit counts.
local sanitized = support.sanitized

local function allocate(megabytes)
  return #("x"):rep(megabytes * MB)
end

local function limited(limits, f, ...)
  return mp.Process{target = f, args = table.pack(...), limits = limits}:start()
end

describe("the limits of a process", function()
  after_each(support.clean)

  describe("memory", function()
    it("makes the child fail as Lua does when memory is out, not its parent", function()
      if sanitized() then return pending("not under sanitizers") end
      for _, memory in ipairs{"128M", 128 * MB, "131072K"} do
        local p = limited({memory = memory}, allocate, 512)
        local value, code, message = p:result()
        assert.is_nil(value)
        assert.equal("died", code)
        assert.matches("not enough memory", message, 1, true)
        assert.equal(1, p.exitcode)
      end
      assert.equal(512 * MB, allocate(512))
      collectgarbage() -- the next children copy what is here
    end)

    it("leaves the child what it may have", function()
      if sanitized() then return pending("not under sanitizers") end
      assert.equal(16 * MB, limited({memory = "256M"}, allocate, 16):result())
      assert.equal(100 * MB, limited({memory = "1G"}, allocate, 100):result())
    end)

    it("can be caught, and the child goes on", function()
      if sanitized() then return pending("not under sanitizers") end
      local p = limited({memory = "128M"}, function()
        local ok, message = pcall(allocate, 512)
        return ok, message, "alive"
      end)
      assert.same({false, "not enough memory", "alive"}, {p:result()})
    end)

    it("does not count the shared memory", function()
      if sanitized() then return pending("not under sanitizers") end
      local q = mp.Queue()
      local text = ("x"):rep(8 * MB)
      local p = limited({memory = "128M"}, function()
        for _ = 1, 40 do -- 320 MB, all of it in the queue
          q:put(text)
        end
        return "put"
      end)
      assert.equal("put", p:result())
      assert.equal(40, #q)
      assert.is_true(get(q) == text)
      q:cancel()
    end)
  end)

  describe("cpu", function()
    it("ends a child that computes too long with SIGXCPU", function()
      local p = limited({cpu = 1}, function() while true do end end)
      assert.equal(-24, join(p))
      assert.equal("died", select(2, p:result()))
    end)

    it("does not count waiting", function()
      assert.equal("slept", limited({cpu = 1}, function() mp.sleep(1.3) return "slept" end):result())
    end)
  end)

  describe("files", function()
    it("stops the child at that many open files", function()
      local p = limited({files = 40}, function()
        local open = {}
        for i = 1, 100 do
          local file, message = io.open("/dev/null")
          if not file then
            return i, message
          end
          open[i] = file
        end
      end)
      local n, message = p:result()
      assert.is_true(n > 1 and n <= 41)
      assert.matches("Too many open files", message, 1, true)
    end)

    it("leaves queues working", function()
      local q = mp.Queue()
      local p = limited({files = 10}, function() q:put(get(q) + 1) end)
      q:put(1)
      assert.equal(0, join(p))
      assert.equal(2, get(q))
    end)
  end)

  it("hold for the grandchildren, and not for the parent's other children", function()
    local function files()
      local open = {}
      for i = 1, 100 do
        open[i] = io.open("/dev/null")
        if not open[i] then return i end
      end
      return 101
    end
    local p = limited({files = 40}, function() return mp.spawn(files):result() end)
    assert.is_true(p:result() <= 41)
    assert.equal(101, mp.spawn(files):result())
    assert.equal(101, limited({}, files):result())
  end)

  it("can be combined", function()
    local p = limited({cpu = 60, files = 64, memory = "4G"}, function() return "fine" end)
    assert.equal("fine", p:result())
  end)

  it("refuse what is no limit, by name and value, and make no process", function()
    local function with(limits)
      return function() mp.Process{target = print, limits = limits}:start() end
    end
    raises(with{disk = 1}, "disk")
    raises(with{memory = "lots"}, "memory", "lots")
    raises(with{memory = -1}, "memory", "-1")
    raises(with{memory = 0.5}, "memory", "0.5")
    raises(with{memory = {}}, "memory", "table")
    raises(with{memory = "12X"}, "memory", "12X")
    raises(with{memory = ""}, "memory")
    raises(with{cpu = -1}, "cpu", "-1")
    raises(with{cpu = "soon"}, "cpu")
    raises(with{cpu = 0 / 0}, "cpu", "nan")
    raises(with{files = -5}, "files", "-5")
    raises(with{files = 1.5}, "files", "1.5")
    raises(with{files = true}, "files")
    raises(with(42), "limits", "number")
    raises(with("512M"), "limits", "string")
    raises(with{files = "3"}, "files", "got string '3'")
    assert.same({}, mp.active_children())
  end)

  it("are refused at the line of the caller", function()
    local source = debug.getinfo(1, "S").short_src
    for _, limits in ipairs{{memory = "lots"}, {files = "3"}, {disk = 1}} do
      local line = debug.getinfo(1, "l").currentline + 1
      local message = raises(function() mp.Process{target = print, limits = limits} end, "Process")
      assert.equal(("%s:%d: "):format(source, line), message:match("^.-:%d+: "))
    end
  end)
end)
