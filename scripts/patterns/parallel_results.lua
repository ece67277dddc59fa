-- SPDX-License-Identifier: MIT
-- Data is processed in parallel; the results are collected through a queue after join.
--
-- From Python: there this order hangs as soon as the results are larger than a pipe's 64 KiB, because
-- a process cannot end before somebody has read what it put. Here `join` first, `get` afterwards is
-- fine: what was put is in shared memory and needs nobody to carry it.

local mp = require "luamp"

local LIMIT, WORKERS = 200000, 4

-- The primes from `first` to `last`, by trial division.
local function primes(first, last)
  local found = {}
  for n = math.max(first, 2), last do
    local prime = true
    for d = 2, math.floor(math.sqrt(n)) do
      if n % d == 0 then
        prime = false
        break
      end
    end
    if prime then
      found[#found + 1] = n
    end
  end
  return found
end

local function work(results, part, first, last)
  results:put({part = part, primes = primes(first, last)})
end

local results = mp.Queue()
local workers, share = {}, LIMIT // WORKERS
for part = 1, WORKERS do
  workers[part] = mp.spawn(work, results, part, (part - 1) * share + 1, part * share)
end

for _, worker in ipairs(workers) do
  worker:join()
  assert(worker.exitcode == 0)
end

-- The parts come in the order in which the workers were done: put them in their places.
local parts = {}
for _ = 1, WORKERS do
  local message = results:get(0) -- nobody is left to put: it is there now, or never
  parts[message.part] = message.primes
end

local count, largest = 0, nil
for part = 1, WORKERS do
  count = count + #parts[part]
  largest = parts[part][#parts[part]]
  print(("part %d: %d primes"):format(part, #parts[part]))
end
print(("%d primes up to %d, the largest is %d"):format(count, LIMIT, largest))
