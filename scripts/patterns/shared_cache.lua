-- SPDX-License-Identifier: MIT
-- A dict that several processes share, as a cache of results that are expensive to compute.
--
-- From Python: Manager().dict(), without a manager. There is no server process that every access has to ask;
-- `update` does what there takes a lock around two accesses: while its function runs, that key is held, so no
-- two processes compute the same result, and all other keys are free. Should a process be killed in the
-- middle, its key has its old value, and the next one computes it.

local mp = require "luamp"

local WORKERS, NUMBERS = 4, 200

-- The length of the Collatz sequence of n, in pieces that all processes share.
local function length(cache, computed, n)
  if n == 1 then
    return 1
  end
  return cache:get(n) or cache:update(n, function(known)
    if known then
      return known -- another process was faster
    end
    computed:incr("times", 1)
    return 1 + length(cache, computed, n % 2 == 0 and n // 2 or 3 * n + 1) -- takes other keys of the same dict
  end)
end

local cache, computed = mp.Dict{name = "cache"}, mp.Dict()
local workers = {}
for i = 1, WORKERS do
  workers[i] = mp.spawn(function()
    for n = 1, NUMBERS do
      length(cache, computed, n)
    end
  end)
end
for _, worker in ipairs(workers) do
  worker:join()
end

local longest, most = 1, 1
for n, steps in pairs(cache) do -- other processes may change it meanwhile
  if n <= NUMBERS and steps > most then
    longest, most = n, steps
  end
end
print(("of the first %d numbers %d takes the most steps: %d"):format(NUMBERS, longest, most))
print(("results in the cache: %d, computed: %d"):format(#cache, computed.times))
