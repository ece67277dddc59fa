-- SPDX-License-Identifier: MIT
-- Five workers, of which two work at a time.
--
-- From Python: a Semaphore as in multiprocessing; `semaphore:with(f)` and `<close>` do what `with
-- semaphore:` does there. A BoundedSemaphore also knows who holds its permits: those of a worker that
-- is killed come back, where Python's semaphore would be one short for ever.

local mp = require "luamp"

local slots = mp.BoundedSemaphore(2, {name = "slots"})
local log = mp.Queue()

local function work(number)
  local _ <close> = slots:guard() -- waits for a slot; gives it back at the end of the function
  log:put({number, 1})
  mp.sleep(0.02)
  log:put({number, -1})
end

local workers = {}
for i = 1, 5 do
  workers[i] = mp.spawn(work, i)
end
for _, worker in ipairs(workers) do
  worker:join()
end

local busy, most = 0, 0
for _ = 1, #log do
  local number, change = table.unpack(log:get())
  busy = busy + change
  most = math.max(most, busy)
  print(("worker %d %s, %d at work"):format(number, change > 0 and "begins" or "ends", busy))
end
print(("at most %d of %d worked at a time"):format(most, #workers))

-- A worker that is killed does not keep its slot.
local victim = mp.spawn(function()
  slots:acquire()
  mp.sleep(3600)
end)
while slots:value() == 2 do
  mp.sleep(0.001)
end
victim:kill()
slots:acquire()
slots:acquire() -- the one that it held
print("after a kill, both slots could be taken")
