-- SPDX-License-Identifier: MIT
-- Waiting for whatever comes first: answers in two queues, the end of a process, a line in a pipe.
--
-- From Python: this is multiprocessing.connection.wait, and it takes queues as well (in Python, only
-- connections, sockets and the sentinels of processes). It returns all that are ready, in the order of
-- the list, and takes nothing: get() does that.

local mp = require "luamp"

local news, weather = mp.Queue(), mp.Queue()

local function report(queue, text)
  mp.sleep(0.05)
  queue:put(text)
end

mp.spawn(report, weather, "it rains")
local clock = mp.spawn(mp.sleep, 0.3)

-- Nobody puts anything into `news`: the message in `weather` comes first.
for _, queue in ipairs(mp.wait{news, weather, clock}) do
  print("weather: " .. (queue == weather and queue:get() or "?"))
end

-- With a timeout the array may be empty.
print("ready within a hundredth of a second: " .. #mp.wait({news, weather}, 0.01))

-- A process is ready when it has ended, however it did; join() then returns at once.
mp.wait{news, clock}
print("the clock stopped: " .. tostring(clock:join(0)))

-- The workers of a group, in the order in which they finish.
local workers, finished = {}, {}
for i, seconds in ipairs{0.3, 0.1, 0.2} do
  workers[i] = mp.Process{target = mp.sleep, args = {seconds}, name = "worker-" .. i}:start()
end
while #workers > 0 do
  for _, worker in ipairs(mp.wait(workers)) do
    finished[#finished + 1] = worker.name
    for i, other in ipairs(workers) do
      if other == worker then
        table.remove(workers, i)
      end
    end
  end
end
print("finished: " .. table.concat(finished, ", "))

-- A number is a file descriptor, of a socket or a pipe of some other library. Number 0 is standard
-- input; a child's is always at its end, which counts as ready, as it does for poll(2).
local reader = mp.spawn(function()
  local ready = mp.wait{news, 0}
  return #ready, ready[1], io.read()
end)
print("standard input of a child:", reader:result())
