-- SPDX-License-Identifier: MIT
-- A connection's fileno in the event loops of others: libuv by lua-luv, and lua-cqueues.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local join, raises = support.join, support.raises

local uv = require "luv"
local cqueues = require "cqueues"

-- Sends `n` messages a little apart, then one large one, and ends.
local function talk(c, n)
  for i = 1, n do
    c:send(i)
    if i % 10 == 0 then mp.sleep(0.002) end
  end
  c:send_bytes(("x"):rep(100000))
end

-- Receives what is there; true at the end of the stream.
local function drain(c, got, most)
  for _ = 1, most do
    if #got == 100 then
      local bytes, code = c:recv_bytes(nil, 0)
      if code then return code == "closed" end
      got[#got + 1] = #bytes
    else
      local value, code = c:recv(0)
      if code then return code == "closed" end
      got[#got + 1] = value
    end
  end
  return false
end

local function complete(got)
  assert.equal(101, #got)
  for i = 1, 100 do
    assert.equal(i, got[i])
  end
  assert.equal(100000, got[101])
end

describe("a connection's descriptor", function()
  after_each(support.clean)

  it("is readable exactly when recv would not block", function()
    local a, b = mp.Pipe()
    local fd = a:fileno()
    assert.equal(fd, a:fileno())
    local function readable()
      return #mp.wait({fd}, 0) == 1
    end
    assert.is_false(readable())
    b:send(1)
    b:send(2)
    assert.is_true(readable())
    assert.is_true(readable())
    a:recv()
    assert.is_true(readable())
    a:recv()
    assert.is_false(readable())
    assert.equal("timeout", select(2, a:recv(0)))
    assert.is_false(readable())
    b:send_bytes("")
    assert.is_true(readable())
    a:recv_bytes()
    assert.is_false(readable())
    b:close()
    assert.is_true(readable())
    assert.equal("closed", select(2, a:recv()))
    assert.is_true(readable())
    a:close()
    raises(function() a:fileno() end, "closed")
  end)

  it("is there for what was sent before it, and raises where nothing is received", function()
    local r, w = mp.Pipe(false)
    w:send(1)
    assert.equal(1, #mp.wait({r:fileno()}, 0))
    raises(function() w:fileno() end, "'fileno'", "only sends")
  end)

  it("is a child's own after a fork", function()
    local a, b = mp.Pipe()
    local fd = a:fileno()
    local p = mp.spawn(function()
      local mine = a:fileno()
      assert(#mp.wait({mine}, support.patience) == 1)
      return (a:recv(0))
    end)
    b:send("for the child")
    assert.equal("for the child", p:result(support.patience))
    b:send("for the parent")
    assert.equal(1, #mp.wait({fd}, support.patience))
    assert.equal("for the parent", a:recv(0))
  end)

  it("leaves no descriptor and no bell behind", function()
    for _ = 1, 3000 do
      local a, b = mp.Pipe()
      b:send(1)
      support.sure(#mp.wait({a:fileno()}, 0) == 1)
      a:close()
      b:close()
    end
  end)

  for _, most in ipairs{1, math.huge} do
    it("works in libuv's loop, taking " .. most .. " at a time", function()
      local a, b = mp.Pipe()
      local got, ended = {}, false
      local p = mp.spawn(talk, b, 100)
      b:close()
      local poll = uv.new_poll(a:fileno())
      local timer = uv.new_timer()
      local function stop(over)
        ended = over
        poll:stop()
        poll:close()
        timer:close()
      end
      timer:start(math.floor(support.patience * 1000), 0, function() stop(false) end)
      poll:start("r", function()
        if drain(a, got, most) then stop(true) end
      end)
      uv.run()
      assert.is_true(ended)
      complete(got)
      assert.equal(0, join(p))
    end)

    it("works in cqueues' loop, taking " .. most .. " at a time", function()
      local a, b = mp.Pipe()
      local got = {}
      local p = mp.spawn(talk, b, 100)
      b:close()
      local loop = cqueues.new()
      loop:wrap(function()
        local ready = {pollfd = a:fileno(), events = "r"}
        repeat
          assert(cqueues.poll(ready, support.patience) == ready)
        until drain(a, got, most)
      end)
      assert(loop:loop())
      complete(got)
      assert.equal(0, join(p))
    end)
  end
end)
