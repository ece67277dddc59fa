-- SPDX-License-Identifier: MIT
-- Tasks are taken back, stopped, and limited in time.
--
-- From Python: there a task cannot be taken back, and one that runs cannot be stopped but with the whole pool. Here
-- `cancel()` takes back what has not begun, `cancel(true)` also stops what has, and `timeout` is a task's own limit.
-- The worker of a task that is stopped is killed and replaced; the others do not notice.

local mp = require "luamp"

local pool <close> = mp.Pool(1)
local begun = mp.Event()

local running = pool:apply_async(function()
  begun:set()
  mp.sleep(3600)
end)
local waiting = pool:apply_async(math.max, {1, 2})
local other = pool:apply_async(math.max, {3, 4})
begun:wait()

print("taken back", waiting:cancel(), select(2, pcall(waiting.get, waiting)))
print("has begun", running:cancel())
print("stopped", running:cancel(true), select(2, pcall(running.get, running)))
print("the next one", other:get())

local slow = pool:apply_async(mp.sleep, {3600}, {timeout = 0.1})
local ok, message = pcall(slow.get, slow)
print(ok, (message:gsub("pid %d+", "pid ...")))

-- Of a map, each element has its time; what others need does not count.
local results = pool:imap(function(x)
  mp.sleep(x)
  return x
end, {0, 3600, 0.01}, {timeout = 0.2})
for i = 1, 3 do
  print(i, (pcall(results)))
end
