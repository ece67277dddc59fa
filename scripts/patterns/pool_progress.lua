-- SPDX-License-Identifier: MIT
-- Progress on the terminal, and what the workers did with their time.
--
-- From Python: what tqdm and mpire add there. On a terminal there is a bar with count, rate and time left for each
-- job that is under way; elsewhere a line now and then. A function gets the figures instead.

local mp = require "luamp"

local function work(x)
  mp.sleep(0.002)
  return x
end

local pool <close> = mp.Pool{processes = 2, name = "demo"}
pool:map(work, mp.range(1, 200), {chunksize = 5, progress = "two hundred naps"})

local last = {}
pool:map(work, mp.range(1, 20), {chunksize = 1, progress = function(done, total)
  last = {done, total}
end})
print(("%d of %d"):format(last[1], last[2]))

local stats = pool:stats()
print(("%d done, %d failed, %d waiting"):format(stats.done, stats.failed, stats.waiting))
for _, worker in ipairs(stats.workers) do
  print(("%s: %d tasks, %.1f ms to start, busy for %.0f ms, waited for %.0f ms"):format(
    worker.name, worker.done, worker.startup * 1e3, worker.busy * 1e3, worker.waited * 1e3))
end
local slowest = stats.slowest[1]
print(("the slowest batch: %d tasks from number %d on, %.1f ms"):format(slowest.tasks, slowest.index,
  slowest.seconds * 1e3))
