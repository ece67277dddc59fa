-- SPDX-License-Identifier: MIT
-- A producer and a consumer that never ends by itself: the parent terminates it.
--
-- From Python: terminating a process that uses a queue is safe here. Python warns that it may corrupt
-- the queue or leave its lock taken for ever; a luamp queue goes on whatever happens to its users,
-- and only the message that the victim had already taken goes with it.

local mp = require "luamp"

local ITEMS = 50

local function produce(queue)
  for i = 1, ITEMS do
    queue:put("item " .. i)
  end
end

local function consume(queue)
  while true do
    local item = queue:get()
    assert(type(item) == "string")
    queue:task_done() -- counted by queue:join()
  end
end

local queue = mp.Queue()
local producer = mp.spawn(produce, queue)
local consumer = mp.spawn(consume, queue)

producer:join()
queue:join() -- every item that was put has been dealt with
print(("%d items done, consumer alive: %s"):format(ITEMS, consumer:is_alive()))

consumer:terminate():join() -- SIGTERM, while it waits inside get()
print(("consumer ended, exit code %d"):format(consumer.exitcode)) -- minus the signal's number

-- The queue is as good as new: nothing is lost and nobody hangs.
queue:put("one more")
print("the queue still works: " .. queue:get())
