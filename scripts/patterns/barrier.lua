-- SPDX-License-Identifier: MIT
-- Three processes work in rounds; none begins a round before all have ended the one before.
--
-- From Python: Barrier as in multiprocessing, but `wait` returns 1 to the number of parties, and what is
-- an exception there is an outcome here: `nil, "broken"`. A party that is killed while others wait breaks
-- the barrier at once, where Python's would wait for ever.

local mp = require "luamp"

local ROUNDS, PARTIES = 4, 3

local results = mp.Queue()
local totals = mp.Queue()

-- Runs in the last process to come, before any is let go: all of this round's results are there.
local function add_up()
  local sum = 0
  for _ = 1, PARTIES do
    sum = sum + results:get()
  end
  totals:put(sum)
end

local barrier = mp.Barrier(PARTIES, add_up, {name = "rounds"})

local function party(number)
  for round = 1, ROUNDS do
    results:put(number * round)
    assert(barrier:wait())
  end
end

local parties = {}
for i = 1, PARTIES do
  parties[i] = mp.spawn(party, i)
end
for _, process in ipairs(parties) do
  process:join()
end
for round = 1, ROUNDS do
  print(("round %d: %d"):format(round, totals:get()))
end

-- One of two parties is killed while it waits: the other is told.
local pair = mp.Barrier(2)
local victim = mp.spawn(function() pair:wait() end)
while pair.n_waiting == 0 do
  mp.sleep(0.001)
end
victim:kill()
victim:join()
print(pair:wait())
pair:reset()
print(("broken: %s"):format(pair.broken))
