-- SPDX-License-Identifier: MIT
-- SharedMemory: named blocks, alone, between processes, and with Python's multiprocessing.shared_memory.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises = support.raises

local made = 0
local function new_name()
  made = made + 1
  return ("luamp-spec-%d-%d"):format(mp.current_process().pid, made)
end

local function exists(name)
  local file <close> = io.open("/dev/shm/" .. name)
  return file ~= nil
end

-- Debian's Python; the one on the PATH may be built without shared memory.
local PYTHON = "/usr/bin/python3"

-- Runs Python; returns its output, and what it said on stderr.
local function python(text, ...)
  local script, err = support.write(text), support.path()
  local words = {}
  for i, word in ipairs{...} do
    words[i] = support.quote(word)
  end
  local pipe = assert(io.popen(("timeout -k 5 %d %s %s %s 2>%s"):format(support.patience * 2, PYTHON, script,
    table.concat(words, " "), err)))
  local out = pipe:read("a")
  local ok = pipe:close()
  if not ok then error("Python failed:\n" .. support.read(err), 2) end
  return out, support.read(err)
end

describe("SharedMemory", function()
  local blocks = {}
  local function create(options)
    local shm = assert(mp.SharedMemory(options))
    blocks[#blocks + 1] = shm
    return shm
  end

  after_each(function()
    support.clean()
    for i, shm in ipairs(blocks) do
      shm:unlink()
      blocks[i] = nil
    end
  end)

  it("is made, found and taken away by name", function()
    local name = new_name()
    local shm = create{name = name, size = 100, create = true}
    assert.same({name, 100, "SharedMemory"}, {shm.name, shm.size, mp.type(shm)})
    assert.matches("^SharedMemory: 0x%x+ %(" .. name:gsub("%-", "%%-") .. "%)$", tostring(shm))
    assert.equal(("\0"):rep(100), shm:read())
    local again = assert(mp.SharedMemory(name))
    assert.equal(100, again.size)
    again:write(3, "hello")
    assert.equal("hello", shm:read(3, 5))
    local third = assert(mp.SharedMemory{name = "/" .. name})
    assert.same({name, "hello"}, {third.name, third:read(3, 5)})
    assert.equal("system", select(2, mp.SharedMemory{name = name, size = 5}))
    local _, code, message = mp.SharedMemory{name = name, size = 5, create = true}
    assert.equal("system", code)
    assert.matches("File exists", message)
    assert.is_true(again:unlink())
    assert.is_false(exists(name))
    local gone, why, text = shm:unlink()
    assert.same({"system", true}, {why, gone == nil and text:find("No such file") ~= nil})
    assert.equal("hello", shm:read(3, 5)) -- the memory is still there
    _, code, message = mp.SharedMemory(name)
    assert.equal("system", code)
    assert.matches("open shared memory '" .. name:gsub("%-", "%%-") .. "': No such file", message)
  end)

  it("makes up a name like Python's", function()
    local one, two = create{size = 1}, create{size = "4K"}
    assert.matches("^psm_%x%x%x%x%x%x%x%x$", one.name)
    assert.equal(4096, two.size)
    assert.not_equal(one.name, two.name)
  end)

  it("refuses nonsense", function()
    for _, size in ipairs{1.5, 0.1, "0.0001K", "1.0005K"} do
      raises(function() mp.SharedMemory{size = size} end, "SharedMemory", "size", "whole bytes", tostring(size))
    end
    local some = mp.SharedMemory{size = "1.5K"}
    assert.equal(1536, some.size)
    some:unlink()
    raises(function() local _ = mp.SharedMemory() end, "SharedMemory", "name or table of options")
    raises(function() local _ = mp.SharedMemory(5) end, "SharedMemory")
    raises(function() local _ = mp.SharedMemory{} end, "name", "size")
    raises(function() local _ = mp.SharedMemory{create = true} end, "size is needed")
    raises(function() local _ = mp.SharedMemory{create = true, size = 0} end, "at least 1")
    raises(function() local _ = mp.SharedMemory{size = -1} end, "size", "-1")
    raises(function() local _ = mp.SharedMemory{size = "x"} end, "size", "x")
    raises(function() local _ = mp.SharedMemory{size = 1, name = 5} end, "name")
    raises(function() local _ = mp.SharedMemory{size = 1, keep = 5} end, "keep")
    raises(function() local _ = mp.SharedMemory{size = 1, lock = 5} end, "unknown option 'lock'")
    for _, name in ipairs{"", "/", "a/b", "//a", "a\0b"} do
      raises(function() local _ = mp.SharedMemory(name) end, "name")
      raises(function() local _ = mp.SharedMemory{name = name, size = 1} end, "name")
    end
    local _, code, message = mp.SharedMemory(("x"):rep(256))
    assert.equal("system", code)
    assert.matches("name too long", message)
    _, code = mp.SharedMemory{size = 1 << 60}
    assert.equal("system", code)
    _, code = mp.SharedMemory{name = ".", size = 5}
    assert.equal("system", code)
  end)

  it("reads and writes within its bounds", function()
    local shm = create{size = 10}
    shm:write(0, "0123456789")
    shm:write(10, "")
    assert.same({"0123456789", "789", "34"}, {shm:read(), shm:read(7), shm:read(3, 2)})
    assert.same({"", ""}, {shm:read(10), shm:read(2, 0)})
    for _, at in ipairs{-1, 11, math.maxinteger, math.mininteger} do
      raises(function() shm:read(at) end, "read", at, "10 bytes")
      raises(function() shm:write(at, "x") end, "write", at)
      raises(function() shm:pack("b", at, 1) end, "pack", at)
      raises(function() shm:unpack("b", at) end, "unpack", at)
      raises(function() shm:array("b", at) end, "array", at)
    end
    raises(function() shm:read(5, 6) end, "read", "6 bytes at offset 5 are outside the block of 10 bytes")
    raises(function() shm:read(5, -1) end, "read", "-1")
    raises(function() shm:read(5, math.maxinteger) end, "read")
    raises(function() shm:write(9, "xy") end, "write", "2 bytes at offset 9")
    raises(function() shm:write(0, 5) end, "string expected")
    raises(function() shm:write("x") end, "write")
    raises(function() shm:pack("i8", 3, 1) end, "pack", "8 bytes at offset 3")
    raises(function() shm:pack("i8", 0, "x") end, "number expected")
    raises(function() shm:pack("%", 0) end, "invalid format")
    raises(function() shm:unpack("%", 0) end, "invalid format")
    raises(function() shm:unpack("i8", 3) end, "unpack", "8 bytes at offset 3")
    raises(function() shm:unpack("z", 0) end, "unfinished string")
    raises(function() shm.size = 5 end, "size")
    assert.equal("0123456789", shm:read())
  end)

  it("packs and unpacks as string.pack does", function()
    local shm = create{size = 100000}
    local next_one = shm:pack("<i4 d s2 z !8 i8", 16, -5, 2.5, "abc", "zero", 77)
    assert.same({-5, 2.5, "abc", "zero", 77, next_one}, {shm:unpack("<i4 d s2 z !8 i8", 16)})
    assert.equal(16 + #string.pack("<i4 d s2 z !8 i8", -5, 2.5, "abc", "zero", 77), next_one)
    assert.same({0}, {shm:unpack("")})
    local long = ("long"):rep(20000)
    shm:pack("s4", 100, long)
    assert.same({long, 80104}, {shm:unpack("s4", 100)})
    shm:pack("z", 99999 - #"end", "end")
    assert.same({"end", 100000}, {shm:unpack("z", 99996)})
  end)

  it("has views, which stay when it is closed", function()
    local shm = create{size = 41}
    local a = shm:array("i", 8, 3)
    assert.same({3, "Array"}, {#a, mp.type(a)})
    a:set({1, 2, 3})
    assert.same({1, 2, 3, 20}, {shm:unpack("i4i4i4", 8)})
    assert.equal(8, #shm:array("i", 8))
    assert.equal(41, #shm:array("B"))
    assert.equal(0, #shm:array("d", 40, 0))
    raises(function() shm:array("i", 6) end, "multiple", "6")
    raises(function() shm:array("i", 8, 9) end, "9 elements at offset 8 are outside")
    raises(function() shm:array("i", 8, -1) end, "-1")
    raises(function() shm:array("i", 8, math.maxinteger) end, "outside")
    raises(function() shm:array("x") end, "type code")
    raises(function() return a[4] end, "out of range")
    shm:close()
    collectgarbage()
    assert.equal(9, a:add(3, 6))
    assert.equal(9, assert(mp.SharedMemory(shm.name)):unpack("i4", 16))
  end)

  it("cannot be used when it is closed", function()
    local name = new_name()
    local shm = create{size = 10, name = name}
    shm:close()
    shm:close()
    for _, call in ipairs{"read", "write", "pack", "unpack", "array"} do
      raises(function() return shm[call](shm, 0, "b", 0) end, "closed")
    end
    assert.same({name, 10}, {shm.name, shm.size})
    assert.is_true(exists(name))
    do
      local again <close> = assert(mp.SharedMemory(name))
      again:write(0, "x")
      shm = again
    end
    raises(function() return shm:read() end, "closed")
    raises(function() mp.Queue():put(shm) end, "closed")
    assert.is_true(shm:unlink())
  end)

  it("travels, and so do its views", function()
    local shm, q = create{size = 64}, mp.Queue()
    local view = shm:array("q", 8, 2)
    local p = mp.spawn(function()
      view[1] = 5 -- as upvalues
      shm:write(0, "up")
      local m = q:get() -- in a message
      m.view[2] = m.view[1] + 1
      m.shm:write(2, "get")
      return m.shm.name, m.shm.size, #m.view, mp.type(m.view)
    end)
    q:put({shm = shm, view = view})
    assert.same({shm.name, 64, 2, "Array"}, {p:result()})
    assert.same({5, 6}, view:table())
    assert.equal("upget", shm:read(0, 5))
    -- What only a message names is opened by its name on arrival.
    q:put(shm:array("q", 8, 2))
    q:put(shm)
    local name = shm.name
    shm:close()
    shm, view = nil, nil -- luacheck: ignore 331
    collectgarbage()
    assert.same({5, 6}, q:get():table())
    shm = q:get()
    assert.same({name, "upget"}, {shm.name, shm:read(0, 5)})
    -- And where the name is gone, or means another block, it cannot be.
    q:put(shm)
    q:put(shm:array("q", 8, 2))
    shm:unlink()
    shm:close()
    shm = nil
    collectgarbage()
    local other = create{size = 64, name = name}
    local lost = q:get()
    raises(function() lost:read() end, "'" .. name .. "' is gone")
    local view_of_lost = q:get()
    raises(function() return view_of_lost[1] end, "gone")
    raises(function() return view_of_lost:sum() end, "gone")
    assert.equal(("\0"):rep(5), other:read(0, 5))
  end)

  it("gives back the objects that stand for it", function()
    support.gives_back(50, function()
      local shm = assert(mp.SharedMemory{size = 10000})
      local a, b = shm:array("d"), shm:array("c", 5)
      shm:unlink()
      shm:close()
      a:fill(1)
      assert(b[1])
    end)
  end)

  local function names_left(text)
    local out = support.output(text)
    local left = {}
    for name in out:gmatch("[^\n]+") do
      left[#left + 1] = exists(name)
      os.remove("/dev/shm/" .. name)
    end
    return left
  end

  it("ends with the process that made it, however that ends by itself", function()
    assert.same({false, true}, names_left[[
      print(mp.SharedMemory{size = 10}.name)
      print(mp.SharedMemory{size = 10, keep = true}.name)
    ]])
    assert.same({false}, names_left[[
      local shm = mp.SharedMemory{size = 10}
      print(shm.name)
      shm:close()
      io.stdout:flush()
      os.exit(0)
    ]])
    assert.same({false}, names_left[[
      local shm = mp.SharedMemory{size = 10}
      print(shm.name)
      os.exit(0, true)
    ]])
    local name = new_name()
    local run = support.run(([[local shm = mp.SharedMemory{size = 10, name = %q} error("oops")]]):format(name))
    assert.same({1, false}, {run.status, exists(name)})
  end)

  it("ends with a child that made it, and not with one that did not", function()
    local p = mp.spawn(function() return mp.SharedMemory{size = 10}.name end)
    local name = p:result()
    support.join(p)
    assert.is_false(exists(name))
    p = mp.spawn(function()
      local shm = mp.SharedMemory{size = 10}
      local user = mp.spawn(function() shm:write(0, "x") end)
      user:join()
      local after = exists(shm.name)
      local other = assert(mp.SharedMemory(shm.name))
      os.exit(after and other:read(0, 1) == "x" and 0 or 1)
    end)
    assert.equal(0, support.join(p))
    local shm = create{size = 10}
    assert.equal(0, support.join(mp.spawn(function() shm:close() end)))
    assert.equal(0, support.join(mp.spawn(function() assert(mp.SharedMemory(shm.name)):read() end)))
    assert.is_true(exists(shm.name))
  end)

  it("stays when its maker is killed", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      q:put(mp.SharedMemory{size = 10}.name)
      mp.sleep(100)
    end)
    local name = support.get(q)
    p:kill()
    support.join(p)
    assert.is_true(exists(name))
    assert.is_true(assert(mp.SharedMemory(name)):unlink())
  end)

  it("leaves alone a block that got its name later", function()
    local name = new_name()
    local run = support.run(([[
      local shm = mp.SharedMemory{size = 10, name = %q}
      os.remove("/dev/shm/%s")
      assert(io.open("/dev/shm/%s", "w")):write("another"):close()
    ]]):format(name, name, name))
    assert.same({0, ""}, {run.status, run.err})
    assert.equal("another", support.read("/dev/shm/" .. name))
    os.remove("/dev/shm/" .. name)
  end)

  describe("and Python", function()
    it("Python finds ours", function()
      local shm = create{size = 5000}
      shm:pack("<i4 d", 0, -7, 2.5)
      shm:array("H", 16, 3):set({1, 2, 65535})
      local out, err = python([[
import sys, struct
from multiprocessing import shared_memory, resource_tracker
shm = shared_memory.SharedMemory(sys.argv[1])
resource_tracker.unregister(shm._name, "shared_memory")
print(shm.name, shm.size, *struct.unpack_from("<id", shm.buf, 0), *memoryview(shm.buf)[16:22].cast("H"))
shm.buf[4999] = 42
struct.pack_into("<q", shm.buf, 24, -3)
shm.close()
]], shm.name)
      assert.equal(("%s 5000 -7 2.5 1 2 65535\n"):format(shm.name), out)
      assert.equal("", err)
      assert.same({42, -3}, {shm:read(4999, 1):byte(), (shm:unpack("<i8", 24))})
      assert.is_true(exists(shm.name))
    end)

    it("we find Python's, and it takes away its own", function()
      local name = new_name()
      local script = support.write([[
import sys
from multiprocessing import shared_memory
shm = shared_memory.SharedMemory(sys.argv[1], create=True, size=6000)
shm.buf[:5] = b"hello"
print(shm.size, flush=True)
sys.stdin.readline()
print(bytes(shm.buf[5990:6000]).decode(), flush=True)
shm.close()
shm.unlink()
]])
      local fifo = support.path()
      os.execute(("rm -f %s && mkfifo %s"):format(support.quote(fifo), support.quote(fifo)))
      local pipe = assert(io.popen(("%s %s %s <%s"):format(PYTHON, script, name, support.quote(fifo))))
      local input = assert(io.open(fifo, "w"))
      assert.equal("6000", pipe:read("l"))
      local shm = assert(mp.SharedMemory(name))
      assert.same({6000, "hello"}, {shm.size, shm:read(0, 5)})
      local a = shm:array("c", 5990)
      a:setstring("from luamp")
      input:write("go\n"):close()
      assert.equal("from luamp", a:string())
      assert.equal("from luamp", pipe:read("l"))
      pipe:close()
      assert.is_false(exists(name))
      assert.equal("hello", shm:read(0, 5)) -- our mapping outlives the name
      assert.equal("system", select(2, shm:unlink()))
    end)

    it("Python refuses to make what we made, and sees it unlinked", function()
      local shm = create{size = 10}
      local out = python([[
import sys
from multiprocessing import shared_memory
try:
    shared_memory.SharedMemory(sys.argv[1], create=True, size=10)
except FileExistsError:
    print("exists")
]], shm.name)
      assert.equal("exists\n", out)
      shm:unlink()
      out = python([[
import sys
from multiprocessing import shared_memory
try:
    shared_memory.SharedMemory(sys.argv[1])
except FileNotFoundError:
    print("gone")
]], shm.name)
      assert.equal("gone\n", out)
    end)

    it("Python's tracker takes away what it only opened; we go on and end quietly", function()
      local run = support.run([[
        local shm = assert(mp.SharedMemory{size = 10})
        local script = ...
        assert(os.execute(("]] .. PYTHON .. [[ %s %s 2>/dev/null"):format(script, shm.name)))
        shm:write(0, "still")
        print(shm:read(0, 5))
      ]], {args = support.write[[
import sys
from multiprocessing import shared_memory
shm = shared_memory.SharedMemory(sys.argv[1])
]]})
      assert.same({0, "still\n", ""}, {run.status, run.out, run.err})
    end)
  end)
end)
