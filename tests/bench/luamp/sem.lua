-- SPDX-License-Identifier: MIT
-- sem.lua WORK COUNT: is_set (of an event), semaphore and bounded (acquire and release by one process),
-- barrier (rounds of two processes).
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local work, count = arg[1], math.tointeger(arg[2])

local function is_set()
  local event, set = mp.Event(), 0
  event:set()
  local t0 = mp.time()
  for _ = 1, count do
    if event:is_set() then set = set + 1 end
  end
  local t1 = mp.time()
  common.check(set == count, "it was set %d times", set)
  common.result(count / (t1 - t0), "/s")
end

local function permits(class)
  local semaphore = class(2)
  local t0 = mp.time()
  for _ = 1, count do
    semaphore:acquire()
    semaphore:release()
  end
  local t1 = mp.time()
  common.check(semaphore:value() == 2, "%d permits are left", semaphore:value())
  common.result(count / (t1 - t0), "/s")
end

local function party(barrier, gate, n)
  local last = 0
  gate:enter()
  for _ = 1, n do
    if barrier:wait() == 2 then last = last + 1 end
  end
  gate:leave(last)
end

local function barrier()
  local b, gate = mp.Barrier(2), common.gate()
  local other = mp.Process(party, b, gate, count):start()
  local last = 0
  local t0 = gate:open(1)
  for _ = 1, count do
    if b:wait() == 2 then last = last + 1 end
  end
  last = last + gate:wait(1)
  local t1 = mp.time()
  common.check(last == count, "%d rounds, not %d", last, count)
  common.join { other }
  common.result((t1 - t0) / count * 1e6, "us")
end

local works = {
  is_set = is_set,
  semaphore = function() permits(mp.Semaphore) end,
  bounded = function() permits(mp.BoundedSemaphore) end,
  barrier = barrier,
}
works[work]()
