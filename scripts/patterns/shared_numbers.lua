-- SPDX-License-Identifier: MIT
-- Numbers that several processes read and write at once: Value and Array.
--
-- From Python: the same type codes, and the same classes under the names RawValue and RawArray. What
-- differs: single accesses never need a lock here, `v.value += 1` of Python's lock is `v:add(1)`, one
-- step; indices begin with 1; a number that does not fit raises instead of being cut off; and an Array has
-- methods for many elements at once, which are much faster than a loop.

local mp = require "luamp"

local WORKERS, SIZE = 4, 100000

local tried = mp.Value("q") -- 64-bit integer, 0
local largest = mp.Value("d", -math.huge)
local cells = mp.Array("d", SIZE)

-- Each worker fills its part of the array. No two write to the same element, so there is nothing to lock.
local function work(part)
  local first = (part - 1) * SIZE // WORKERS + 1
  local last = part * SIZE // WORKERS
  for i = first, last do
    cells[i] = math.sin(i) * i
  end
  tried:add(last - first + 1)

  -- Larger than what is there? One step by itself: try again while somebody else was faster.
  local mine = cells:table(first, last)
  table.sort(mine)
  local best, seen, done = mine[#mine], largest.value, false
  while best > seen and not done do
    done, seen = largest:compare_exchange(seen, best)
  end
end

local workers = {}
for part = 1, WORKERS do
  workers[part] = mp.spawn(work, part)
end
for _, worker in ipairs(workers) do
  worker:join()
  assert(worker.exitcode == 0)
end

print(("%d of %d cells filled"):format(tried.value, #cells))
print(("the largest is %.1f at %d"):format(largest.value, cells:find(largest.value)))
assert(largest.value == cells:max())

-- Several steps that belong together: with the object's own lock.
local balance = mp.Array("q", {100, 0})
local function transfer(accounts, amount)
  if accounts[1] >= amount then
    accounts:add(1, -amount)
    accounts:add(2, amount)
  end
end
for i = 1, WORKERS do
  workers[i] = mp.spawn(function()
    for _ = 1, 1000 do
      balance:with(transfer, 7)
    end
  end)
end
for _, worker in ipairs(workers) do
  worker:join()
end
print(("balance %d and %d"):format(balance:unpack()))

-- What does not fit raises, and changes nothing.
local bytes = mp.Array("B", 4)
print(pcall(function() bytes[1] = 256 end))
print(pcall(function() bytes[5] = 1 end))
