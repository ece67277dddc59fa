-- SPDX-License-Identifier: MIT
-- wait.lua COUNT QUEUES: a number goes out over one queue and comes back over one of QUEUES others,
-- which its sender waits for all at once; the next when it is back.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local WARMUP <const> = 20
local count, width = math.tointeger(arg[1]), math.tointeger(arg[2])

local function answer(ping, list, gate, n)
  gate:enter()
  for _ = 1, n do
    local i = ping:get()
    list[i * 37 % #list + 1]:put(i)
  end
  gate:leave(n)
end

local ping, gate, list = mp.Queue(), common.gate(), {}
for i = 1, width do list[i] = mp.Queue() end
local partner = mp.Process(answer, ping, list, gate, count + WARMUP):start()
gate:open(1)
local now, wait = mp.time, mp.wait
local times = {}
for i = 1, count + WARMUP do
  local t = now()
  ping:put(i)
  local ready = wait(list)
  local v = ready[1]:get(0)
  t = now() - t
  if v ~= i or #ready ~= 1 or ready[1] ~= list[i * 37 % width + 1] then
    common.check(false, "got %s of %d ready, not %d", v, #ready, i)
  end
  if i > WARMUP then times[i - WARMUP] = t end
end
common.check(gate:wait(1) == count + WARMUP, "the partner's count is wrong")
common.check(#wait(list, 0) == 0, "a queue is not empty")
common.join { partner }
common.percentiles(times)
