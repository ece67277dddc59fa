-- SPDX-License-Identifier: MIT
-- fan.lua COUNT [PRODUCERS [CONSUMERS]]: small integers, COUNT by each of four
-- producers, to four consumers, over one queue. When all producers have finished,
-- one nil per consumer ends it.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local BASE <const> = 10000000 -- number of the producer * BASE + i
local count = math.tointeger(arg[1])
local producers = math.tointeger(arg[2] or 4)
local consumers = math.tointeger(arg[3] or 4)

local function produce(q, gate, k, n)
  gate:enter()
  for v = k * BASE + 1, k * BASE + n do q:put(v) end
  gate:leave(n)
end

local function consume(q, gate, results)
  local last, sum, got = {}, 0, 0
  for k = 1, producers do last[k] = 0 end
  gate:enter()
  for v in q:items() do
    local k, i = v // BASE, v % BASE
    if i <= last[k] then common.check(false, "producer %d: %d after %d", k, i, last[k]) end
    last[k] = i
    sum = sum + i
    got = got + 1
  end
  results:put { got = got, sum = sum }
end

common.check(count < BASE, "COUNT must be under %d", BASE)
local q, results, gate = mp.Queue(), mp.Queue(), common.gate()
local processes = {}
for _ = 1, consumers do
  processes[#processes + 1] = mp.Process(consume, q, gate, results):start()
end
for k = 1, producers do
  processes[#processes + 1] = mp.Process(produce, q, gate, k, count):start()
end
local t0 = gate:open(producers + consumers)
local put = gate:wait(producers)
for _ = 1, consumers do q:put(nil) end
local got, sum = 0, 0
for _ = 1, consumers do
  local r = results:get()
  got, sum = got + r.got, sum + r.sum
end
local t1 = mp.time()
common.check(put == count * producers, "%d put", put)
common.check(got == count * producers, "%d of %d received", got, count * producers)
common.check(sum == producers * (count * (count + 1) // 2), "the sum is %d", sum)
common.check(q:empty(), "the queue is not empty")
common.join(processes)
common.result(count * producers / (t1 - t0), "msg/s")
