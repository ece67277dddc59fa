-- SPDX-License-Identifier: MIT
-- The same job three times: a child counts to N, and the parent hears of it. By a queue, by a pipe, by a shared
-- value; and what each costs.
--
--   Queue         any number of processes on both sides; every message arrives, once, in order
--   Pipe          two ends; an end knows when nobody is left on the other one
--   Value, Array  no messages: the newest number, for whoever looks; what was there before is gone
--
-- From Python: the same three, and the same reasons to choose. What costs there 5 to 20 microseconds a message
-- costs less than one here, so a queue is seldom too slow; a shared value remains the cheapest way to publish
-- progress or to count.

local mp = require "luamp"

local N = 50000

-- Runs count(...) in a child and hear(...) here; returns the time from the child's start signal to the end of both.
local function time(count, hear, ...)
  local go = mp.Event()
  local child = mp.spawn(function(...)
    go:wait()
    count(...)
  end, ...)
  local t = mp.time()
  go:set()
  local last = hear(...)
  child:join()
  t = mp.time() - t
  assert(child.exitcode == 0 and last == N)
  return t
end

local function by_queue(queue)
  for i = 1, N do queue:put(i) end
end
local function hear_queue(queue)
  local last
  repeat last = queue:get() until last == N
  return last
end

local function by_pipe(_, out)
  for i = 1, N do out:send(i) end
end
local function hear_pipe(from)
  local last
  repeat last = from:recv() until last == N
  return last
end

local function by_value(value)
  for _ = 1, N do value:add(1) end
end
local function hear_value(value) -- looks now and then; it will not see every number
  while value.value < N do mp.sleep(0.0001) end
  return value.value
end

local results = {
  {"Queue", time(by_queue, hear_queue, mp.Queue())},
  {"Pipe", time(by_pipe, hear_pipe, mp.Pipe(false))},
  {"Value", time(by_value, hear_value, mp.Value("q"))},
}

print(("%-10s %12s %16s"):format("by", "seconds", "microseconds each"))
for _, r in ipairs(results) do
  print(("%-10s %12.4f %16.3f"):format(r[1], r[2], r[2] / N * 1e6))
end
