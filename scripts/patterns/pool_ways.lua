-- SPDX-License-Identifier: MIT
-- apply, map and imap side by side; results by an iterator; closing and joining.
--
-- From Python: `imap` gives pairs of index and result here, so that a result may be `nil`. Its input may have no
-- end: elements are taken as workers need them. After an error the iterator can be called on.

local mp = require "luamp"

local function cube(x)
  return x * x * x
end

local pool = mp.Pool(2)

-- One call; waits for its results, as many as there are.
print("apply", pool:apply(math.modf, {3.5}))

-- All results at once, in order.
print("map", table.concat(pool:map(cube, {1, 2, 3, 4, 5}), " "))

-- Lists of arguments.
print("starmap", table.concat(pool:starmap(math.max, {{1, 5}, {7, 2, 3}}), " "))

-- One after the other, in order, while others are still being worked on.
for i, result in pool:imap(cube, mp.range(1, math.huge)) do
  io.write(i == 1 and "imap\t" or " ", result)
  if i == 5 then
    break -- an input without end: the rest is never asked for
  end
end
print()

-- In the order in which they are done.
local sum = 0
for _, result in pool:imap_unordered(cube, mp.range(1, 100), {chunksize = 10}) do
  sum = sum + result
end
print("imap_unordered", sum)

pool:close()
print("joined", pool:join())
