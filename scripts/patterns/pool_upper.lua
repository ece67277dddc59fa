-- SPDX-License-Identifier: MIT
-- Five strings are upper-cased by three workers, each in a call of its own that does not wait.
--
-- From Python: `apply_async` gives an AsyncResult there, too; `get` waits for it. When the worker is killed
-- meanwhile, `get` raises an error that names it instead of waiting for ever.

local mp = require "luamp"

local words = {"alpha", "beta", "gamma", "delta", "epsilon"}

local function upper(word)
  return word:upper(), mp.current_process().name
end

local pool = mp.Pool(3)
local results = {}
for i, word in ipairs(words) do
  results[i] = pool:apply_async(upper, {word})
end
pool:close() -- no more tasks; those that there are will be done

for i, result in ipairs(results) do
  local text, worker = result:get(60)
  print(("%s -> %s (%s)"):format(words[i], text, worker))
end
pool:join()
