-- SPDX-License-Identifier: MIT
-- records.lua COUNT: records {id, name, x}, one producer, one consumer. The name
-- is one of 64 strings of 16 bytes.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local count = math.tointeger(arg[1])
local names = {}
for k = 0, 63 do names[k] = string.format("customer-%07d", k) end

local function produce(q, gate, n)
  gate:enter()
  for i = 1, n do
    q:put { id = i, name = names[i & 63], x = i * 0.5 }
  end
  gate:leave(n)
end

local q, gate = mp.Queue(), common.gate()
local producer = mp.Process(produce, q, gate, count):start()
local t0 = gate:open(1)
local sum = 0.0
for i = 1, count do
  local r = q:get()
  if r.id ~= i or r.name ~= names[i & 63] then
    common.check(false, "got record %s %s at %d", r.id, r.name, i)
  end
  sum = sum + r.x
end
local put = gate:wait(1)
local t1 = mp.time()
common.check(put == count, "%d put, not %d", put, count)
common.check(sum == 0.5 * (count * (count + 1) // 2), "the sum is %g", sum)
common.join { producer }
common.result(count / (t1 - t0), "msg/s")
