-- SPDX-License-Identifier: MIT
-- The squares of 0 to 9, by four worker processes.
--
-- From Python: `with Pool(4) as pool: pool.map(f, range(10))`. Here `f` may be any function, also a local one or a
-- closure: it is sent to each worker once. There is no `if __name__ == "__main__"`. Ranges are inclusive.

local mp = require "luamp"

local function square(x)
  return x * x
end

local pool <close> = mp.Pool(4) -- ended with the scope
local squares = pool:map(square, mp.range(0, 9))
print(table.concat(squares, " "))
