-- SPDX-License-Identifier: MIT
-- pingpong.lua COUNT [PAUSE [CORE OTHER]]: a number goes out over one queue and comes
-- back over another. With PAUSE (seconds) the caller sleeps before each ping, so that
-- its partner is asleep, too. With CORE and OTHER each end is pinned to a core.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local WARMUP <const> = 20
local count = math.tointeger(arg[1])
local pause = tonumber(arg[2] or 0)

local function echo(ping, pong, gate, n)
  gate:enter()
  for _ = 1, n do pong:put(ping:get()) end
  gate:leave(n)
end

local ping, pong, gate = mp.Queue(), mp.Queue(), common.gate()
local partner = mp.Process(echo, ping, pong, gate, count + WARMUP):start()
if arg[4] then
  for _, pin in ipairs { { arg[3], mp.current_process().pid }, { arg[4], partner.pid } } do
    common.check(os.execute(string.format("taskset -cp %s %d >/dev/null", pin[1], pin[2])),
      "taskset")
  end
end
gate:open(1)
local now, sleep = mp.time, mp.sleep
local times = {}
for i = 1 - WARMUP, count do
  if pause > 0 then sleep(pause) end
  local t = now()
  ping:put(i)
  local v = pong:get()
  t = now() - t
  if v ~= i then common.check(false, "got %s, not %d", v, i) end
  if i > 0 then times[i] = t end
end
common.check(gate:wait(1) == count + WARMUP, "the partner's count is wrong")
common.check(ping:empty() and pong:empty(), "a queue is not empty")
common.join { partner }
common.percentiles(times)
