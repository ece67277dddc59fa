-- SPDX-License-Identifier: MIT
-- Three processes wait for one event.
--
-- From Python: Event as in multiprocessing. Here `set` wakes every process that waits, also when the event
-- is cleared at once, and it never waits for them, so that one that was killed holds nobody up.

local mp = require "luamp"

local start = mp.Event{name = "start"}
local ready = mp.Queue()

local function runner(number)
  ready:put(number)
  assert(start:wait()) -- start:wait(0.5) returns false, "timeout" when nothing happens
  return ("runner %d is off"):format(number)
end

local runners = {}
for i = 1, 3 do
  runners[i] = mp.spawn(runner, i)
end
for _ = 1, 3 do
  ready:get()
end
print(("set: %s"):format(start:is_set()))
start:set()
for _, process in ipairs(runners) do
  print((process:result()))
end

start:clear()
print(start:wait(0.01))
