-- SPDX-License-Identifier: MIT
-- dict.lua get|set COUNT [PROCESSES=1]: small values under a hundred keys; COUNT by each process.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local KEYS <const> = 100
local work, count, processes = arg[1], math.tointeger(arg[2]), math.tointeger(arg[3] or 1)
local works = {}

function works.get(d, n)
  local sum = 0
  for i = 1, n do sum = sum + d[i % KEYS] end
  return sum
end

function works.set(d, n)
  for i = 1, n do d[i % KEYS] = i end
  return n
end

local d = mp.Dict()
for k = 0, KEYS - 1 do d[k] = k end
local run = works[work]
local want = count
if work == "get" then
  want = 0
  for i = 1, count do want = want + i % KEYS end
end
local t0
if processes == 1 then
  t0 = mp.time()
  common.check(run(d, count) == want, "what was read is wrong")
else
  local gate, children = common.gate(), {}
  for i = 1, processes do
    children[i] = mp.Process(function()
      gate:enter()
      gate:leave(run(d, count))
    end):start()
  end
  t0 = gate:open(processes)
  common.check(gate:wait(processes) == processes * want, "what was read is wrong")
  common.join(children)
end
local t1 = mp.time()
common.check(#d == KEYS, "%d entries", #d)
if work == "set" then
  for k = 0, KEYS - 1 do
    common.check(d[k] == count - (count - k) % KEYS, "the entry %d is %s", k, tostring(d[k]))
  end
end
common.result(processes * count / (t1 - t0), "op/s")
