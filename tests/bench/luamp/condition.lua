-- SPDX-License-Identifier: MIT
-- condition.lua COUNT [CORE OTHER]: two processes notify each other in turn; each round is two notifies and two
-- waits. With CORE and OTHER each end is pinned to a core.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local WARMUP <const> = 20
local count = math.tointeger(arg[1])

local function answer(condition, gate, n)
  condition:acquire()
  gate:enter() -- holding the lock: the caller cannot notify before this waits
  for _ = 1, n do
    if not condition:wait() then common.check(false, "wait was not notified") end
    condition:notify()
  end
  condition:release()
  gate:leave(n)
end

local condition, gate = mp.Condition(), common.gate()
local partner = mp.Process(answer, condition, gate, count + WARMUP):start()
if arg[3] then
  for _, pin in ipairs { { arg[2], mp.current_process().pid }, { arg[3], partner.pid } } do
    common.check(os.execute(string.format("taskset -cp %s %d >/dev/null", pin[1], pin[2])), "taskset")
  end
end
gate:open(1)
condition:acquire()
local now = mp.time
local times = {}
for i = 1 - WARMUP, count do
  local t = now()
  condition:notify()
  if not condition:wait(10) then common.check(false, "no answer to notify %d", i) end
  t = now() - t
  if i > 0 then times[i] = t end
end
condition:release()
common.check(gate:wait(1) == count + WARMUP, "the partner's count is wrong")
common.join { partner }
common.percentiles(times)
