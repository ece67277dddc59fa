-- SPDX-License-Identifier: MIT
-- API.md section 11: how pools end, and what becomes of their workers.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local raises = support.raises

local function square(x) return x * x end

local function pids_of(pool)
  local pids = {}
  for i, p in ipairs(pool:workers()) do
    pids[i] = p.pid
  end
  return pids
end

local function all_gone(pids)
  for _, pid in ipairs(pids) do
    support.gone(pid)
  end
end

describe("a pool that is closed", function()
  after_each(support.clean)

  it("does what it has, then its workers end", function()
    local pool = mp.Pool(2)
    local pids = pids_of(pool)
    local r = pool:map_async(square, mp.range(1, 1000), 1)
    local it = pool:imap(square, {1, 2, 3, 4, 5})
    pool:close()
    assert.is_true(pool:join())
    all_gone(pids)
    assert.are.equal(1000, #r:get())
    local last
    for i, x in it do
      support.sure(x == i * i)
      last = i
    end
    assert.are.equal(5, last)
    assert.are.same({}, pool:workers())
  end)

  it("has a join with a time-out", function()
    local pool <close> = mp.Pool(1)
    local go = mp.Event()
    local r = pool:apply_async(function() go:wait() return 1 end)
    pool:close()
    assert.are.same({false, "timeout"}, {pool:join(0.01)})
    assert.are.same({false, "timeout"}, {pool:join(0)})
    go:set()
    assert.is_true(pool:join())
    assert.are.equal(1, r:get())
  end)

  it("ends also when its workers are killed meanwhile", function()
    for _ = 1, 10 do
      local pool = mp.Pool{processes = 3, retries = 5}
      local r = pool:map_async(square, mp.range(1, 100), 1)
      pool:close()
      for _, p in ipairs(pool:workers()) do
        p:kill()
      end
      assert.is_true(pool:join())
      assert.are.equal(100, #r:get())
      assert.are.equal(10000, r:get()[100])
    end
  end)

  it("lets idle workers go without a join", function()
    local pool = mp.Pool(2)
    local pids = pids_of(pool)
    pool:map(square, {1, 2, 3})
    pool:close()
    all_gone(pids)
  end)

  it("cuts an iterator over a function short, and says so", function()
    local pool = mp.Pool(1)
    local i = 0
    local next_of = pool:imap(square, function() i = i + 1 return i end)
    pool:close()
    assert.is_true(pool:join())
    raises(function()
      while next_of() do end
    end, "closed before")
  end)
end)

describe("a pool that is terminated", function()
  after_each(support.clean)

  it("ends at once, with ten thousand tasks waiting", function()
    local pool = mp.Pool(2)
    local pids = pids_of(pool)
    local r = pool:map_async(mp.sleep, mp.range(3601, 13600), 1)
    local list = {}
    for k = 1, 100 do
      list[k] = pool:apply_async(mp.sleep, {3600})
    end
    local it = pool:imap(mp.sleep, {3600, 3600})
    pool:terminate()
    pool:terminate()
    assert.is_true(pool:join())
    all_gone(pids)
    raises(function() r:get() end, "pool terminated")
    assert.is_true(r:ready())
    assert.is_false(r:successful())
    raises(function() list[100]:get() end, "pool terminated")
    raises(function() it() end, "pool terminated")
  end)

  it("may be so from a callback", function()
    local pool = mp.Pool(2)
    local r = pool:apply_async(square, {1}, {callback = function() pool:terminate() end})
    r:wait()
    assert.are.equal(1, r:get())
    assert.is_true(pool:join())
  end)

  it("is so when its scope is left", function()
    local pids, r
    do
      local pool <close> = mp.Pool(2)
      pids = pids_of(pool)
      r = pool:apply_async(mp.sleep, {3600})
    end
    for _, pid in ipairs(pids) do
      assert.is_false(support.alive(pid))
    end
    raises(function() r:get() end, "pool terminated")
  end)

  it("is so when it is collected", function()
    local pids
    do
      local pool = mp.Pool(2)
      pids = pids_of(pool)
      pool:apply_async(mp.sleep, {3600})
    end
    collectgarbage()
    collectgarbage()
    all_gone(pids)
  end)

  it("is not collected while one of its results is there", function()
    local r = mp.Pool(2):apply_async(function() mp.sleep(0.05) return 5 end)
    collectgarbage()
    collectgarbage()
    assert.are.equal(5, r:get())
  end)
end)

describe("the end of the owner", function()
  after_each(support.clean)

  local script = [[
    local pool = mp.Pool(3)
    local pids = {}
    for i, p in ipairs(pool:workers()) do pids[i] = p.pid end
    print(table.concat(pids, " "))
    io.flush()
    pool:map_async(mp.sleep, {3600, 3600, 3600, 3600}, 1)
  ]]

  local function pids_in(text)
    local pids = {}
    for pid in text:gmatch("%d+") do
      pids[#pids + 1] = math.tointeger(tonumber(pid))
    end
    assert.are.equal(3, #pids)
    return pids
  end

  it("ends the workers: by return, error, exit", function()
    for _, how in ipairs{"", "error('x')", "os.exit(0)", "os.exit(0, true)"} do
      all_gone(pids_in(support.run(script .. how).out))
    end
  end)

  it("ends the workers: by a kill", function()
    local running = support.start(script .. " mp.sleep(3600)")
    local pids = pids_in(running.line())
    support.signal("KILL", running.pid)
    running.finish()
    all_gone(pids)
  end)

  it("ends the workers: by Ctrl-C, with one message", function()
    for _, call in ipairs{
      "pool:map(mp.sleep, {3600, 3600, 3600, 3600}, 1)", "pool:apply(mp.sleep, {3600})",
      "for _ in pool:imap(mp.sleep, mp.range(3600, 3700)) do end",
      "pool:map(function(x) for i = 1, 1e9 do x = x + 1 end end, mp.range(1, 100))",
    } do
      local running = support.start(script:gsub("pool:map_async.-\n", "") .. call)
      local pids = pids_in(running.line())
      for _, pid in ipairs(call:find("1e9") and {} or pids) do
        support.waiting(pid)
      end
      support.waiting(running.pid)
      running.signal("INT")
      local status, rest, err = running.finish()
      assert.are.equal("", rest)
      local _, count = err:gsub("interrupted!", "")
      assert.are.equal(1, count)
      assert.is_true(status == 130 or status == 1) -- luamp's, lua5.4's
      all_gone(pids)
    end
  end)
end)
