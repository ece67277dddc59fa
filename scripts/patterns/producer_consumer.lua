-- SPDX-License-Identifier: MIT
-- A producer and a consumer with a queue between them.
--
-- From Python: Process and Queue as in multiprocessing, with three differences. There is no
-- `if __name__ == "__main__"`; `nil` is a message like any other, so it can say "that was all"; and
-- a process that has put its items may end at once, because an item is in the queue as soon as
-- `put` returns (no feeder thread, no join_thread).

local mp = require "luamp"

local ITEMS = 1000

local function produce(queue, n)
  for i = 1, n do
    queue:put({id = i, square = i * i}) -- waits while the queue is full
  end
  queue:put(nil)
end

local function consume(queue)
  local count, sum = 0, 0
  for item in queue:items() do -- ends at the nil, or when the queue is closed and empty
    count = count + 1
    assert(item.id == count, "the messages of one producer keep their order")
    sum = sum + item.square
  end
  return count, sum -- Process:result() brings this to the parent
end

local queue = mp.Queue(100, {name = "items"})
local producer = mp.spawn(produce, queue, ITEMS)
local consumer = mp.spawn(consume, queue)

local count, sum = consumer:result() -- waits; nil, "died", message when it failed
producer:join()

print(("consumed %d items, sum of squares %d"):format(count, sum))
print(("exit codes: producer %d, consumer %d"):format(producer.exitcode, consumer.exitcode))
