-- SPDX-License-Identifier: MIT
-- A condition and notify_all: many processes wait until a number has been reached.
--
-- From Python: wait_for with a predicate, and notify_all after every change that may make it true for some.
-- What the predicate looks at lies in shared objects: here a queue whose length is the number.

local mp = require "luamp"

local WAITERS = 4
local lock = mp.RLock()
local condition = mp.Condition(lock)
local steps, reached = mp.Queue(), mp.Queue()

local function waiter(goal)
  local _ <close> = lock:guard() -- the condition's lock
  condition:wait_for(function() return steps:qsize() >= goal end)
  reached:put({goal = goal, steps = steps:qsize()})
end

local waiters = {}
for i = 1, WAITERS do
  waiters[i] = mp.spawn(waiter, i * 2)
end
for step = 1, WAITERS * 2 do
  condition:acquire()
  steps:put(step)
  condition:notify_all()
  condition:release()
end
for _, process in ipairs(waiters) do
  process:join()
end

local all = reached:get_many(WAITERS)
for _, r in ipairs(all) do
  assert(r.steps >= r.goal)
end
print(("%d processes saw their goal reached"):format(all.n))
