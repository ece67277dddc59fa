-- SPDX-License-Identifier: MIT
-- A condition and one notify: a worker waits until there is something to do.
--
-- From Python: as multiprocessing.Condition. The predicate is looked at with the lock held, so no news gets
-- lost between looking and waiting.

local mp = require "luamp"

local condition = mp.Condition() -- with a lock of its own
local jobs = mp.Queue()

local function worker()
  local done = 0
  while true do
    local job = condition:with(function()
      condition:wait_for(function() return not jobs:empty() end)
      return jobs:get()
    end)
    if job == "stop" then
      return done
    end
    done = done + job
  end
end

local process = mp.spawn(worker)
for _, job in ipairs{1, 2, 3, 4, "stop"} do
  condition:with(function()
    jobs:put(job)
    condition:notify()
  end)
end
print("the worker did " .. process:result())
