-- SPDX-License-Identifier: MIT
-- One process draws random numbers and sends them to another through a one-way pipe; both say who they are. The
-- producer closes its end when it is done, and the consumer's loop ends.
--
-- From Python: `Pipe(False)` returns the receiving end first, as there. A child's random numbers differ
-- from its parent's and its siblings', without a call of `seed` in the child.

local mp = require "luamp"

local function produce(writer, count)
  print(("producer: pid %d"):format(mp.current_process().pid))
  for _ = 1, count do
    writer:send(math.random(1, 100))
  end
  writer:close() -- the end of this process would do the same
end

local function consume(reader)
  print(("consumer: pid %d"):format(mp.current_process().pid))
  local count, least, most = 0, math.huge, -math.huge
  for number in reader:items() do
    count, least, most = count + 1, math.min(least, number), math.max(most, number)
  end
  assert(1 <= least and most <= 100)
  return count
end

local reader, writer = mp.Pipe(false)
local producer = mp.spawn(produce, writer, 10)
local consumer = mp.spawn(consume, reader)
reader:close()
writer:close() -- or the consumer would wait for what the parent might send

producer:join()
print(("received %d numbers between 1 and 100"):format(consumer:result()))
