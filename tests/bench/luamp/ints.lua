-- SPDX-License-Identifier: MIT
-- ints.lua COUNT [MAXSIZE]: small integers, one producer, one consumer.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local count = math.tointeger(arg[1])
local maxsize = math.tointeger(arg[2] or 0)

local function produce(q, gate, n)
  gate:enter()
  for i = 1, n do q:put(i) end
  gate:leave(n)
end

local q, gate = mp.Queue(maxsize), common.gate()
local producer = mp.Process(produce, q, gate, count):start()
local t0 = gate:open(1)
local sum = 0
for i = 1, count do
  local v = q:get()
  if v ~= i then common.check(false, "got %s, not %d", v, i) end
  sum = sum + v
end
local put = gate:wait(1)
local t1 = mp.time()
common.check(put == count, "%d put, not %d", put, count)
common.check(sum == count * (count + 1) // 2, "the sum is %d", sum)
common.check(q:empty(), "the queue is not empty")
common.join { producer }
common.result(count / (t1 - t0), "msg/s")
