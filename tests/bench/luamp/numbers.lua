-- SPDX-License-Identifier: MIT
-- numbers.lua COUNT add|lock|with   a counter, COUNT times by each of four processes
-- numbers.lua COUNT elements        reads and writes elements
-- numbers.lua COUNT bulk            calls on a million elements; the median of COUNT
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local count, work = math.tointeger(arg[1]), arg[2]
local MILLION <const> = 1000000

local counters = {}

function counters.add(v, _, n)
  for _ = 1, n do v:add(1) end
end

function counters.lock(v, lock, n)
  for _ = 1, n do
    lock:acquire()
    v.value = v.value + 1
    lock:release()
  end
end

local function increment(v) v.value = v.value + 1 end

counters["with"] = function(v, _, n)
  for _ = 1, n do v:with(increment) end
end

local function counter()
  local v, lock, gate = mp.Value("q"), mp.Lock(), common.gate()
  local processes = {}
  for k = 1, 4 do
    processes[k] = mp.spawn(function()
      gate:enter()
      counters[work](v, lock, count)
      gate:leave(count)
    end)
  end
  local t0 = gate:open(4)
  gate:wait(4)
  local t1 = mp.time()
  common.join(processes)
  common.check(v.value == 4 * count, "%d counted", v.value)
  common.result(4 * count / (t1 - t0), "/s")
end

local function elements()
  local a = mp.Array("i", 1000)
  local t0 = mp.time()
  for i = 1, count do
    local j = i % 1000 + 1
    a[j] = a[j] + 1
  end
  local t1 = mp.time()
  common.check(a:sum() == count, "the sum is %d", a:sum())
  common.result(count / (t1 - t0), "/s")
end

local function median(label, f)
  local times = {}
  for i = 1, count do
    collectgarbage()
    local t0 = mp.time()
    f()
    times[i] = mp.time() - t0
  end
  table.sort(times)
  common.result(times[(count + 1) // 2] * 1e6, "us", label)
end

local function bulk()
  local a, b = mp.Array("d", MILLION), mp.Array("d", MILLION)
  local list = {}
  for i = 1, MILLION do list[i] = i * 0.5 end
  median("set", function() a:set(list) end)
  common.check(a[MILLION] == MILLION * 0.5, "set")
  local sum
  median("sum", function() sum = a:sum() end)
  common.check(sum == MILLION * (MILLION + 1) / 4, "the sum is %g", sum)
  median("copy", function() b:copy(a) end)
  common.check(b:string() == a:string(), "copy")
  local got
  median("table", function() got = nil; got = b:table() end)
  for i = 1, MILLION do
    if got[i] ~= list[i] then common.check(false, "element %d is %s", i, got[i]) end
  end
  median("fill", function() b:fill(1.5) end)
  common.check(b:sum() == 1.5 * MILLION, "fill")
end

if counters[work] then
  counter()
elseif work == "elements" then
  elements()
else
  bulk()
end
