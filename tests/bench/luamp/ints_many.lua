-- SPDX-License-Identifier: MIT
-- ints_many.lua COUNT [BATCH]: small integers, one producer with put_many, one
-- consumer with get_many. COUNT is rounded up to whole batches.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local batch = math.tointeger(arg[2] or 100)
local count = (math.tointeger(arg[1]) + batch - 1) // batch * batch

local function produce(q, gate, n, size)
  local list, put = {}, 0
  gate:enter()
  for base = 0, n - size, size do
    for j = 1, size do list[j] = base + j end
    put = put + q:put_many(list)
  end
  gate:leave(put)
end

local q, gate = mp.Queue(), common.gate()
local producer = mp.Process(produce, q, gate, count, batch):start()
local t0 = gate:open(1)
local sum, last = 0, 0
while last < count do
  local list = q:get_many(batch)
  if list.n < 1 or list.n > batch then common.check(false, "%d at once", list.n) end
  for j = 1, list.n do
    local v = list[j]
    last = last + 1
    if v ~= last then common.check(false, "got %s, not %d", v, last) end
    sum = sum + v
  end
end
local put = gate:wait(1)
local t1 = mp.time()
common.check(put == count, "%d put, not %d", put, count)
common.check(sum == count * (count + 1) // 2, "the sum is %d", sum)
common.check(q:empty(), "the queue is not empty")
common.join { producer }
common.result(count / (t1 - t0), "msg/s")
