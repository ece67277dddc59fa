-- SPDX-License-Identifier: MIT
-- What becomes of tasks that fail: errors, values that cannot be sent, workers that die.
--
-- From Python: an error comes with the traceback of the worker; an error object (a table) arrives as a table. A
-- worker that is killed makes its own task fail, and no other, and is replaced; there Pool waits for ever for its
-- result. With `retries` the task is tried again.

local mp = require "luamp"

local function first_line(text)
  return tostring(text):match("^[^\n]+")
end

local pool <close> = mp.Pool(2)

-- An error, with the traceback of the worker.
local ok, err = pcall(pool.apply, pool, function() error("the milk is sour", 0) end)
print(ok, first_line(err), err:find("remote traceback", 1, true) ~= nil)

-- An error object.
ok, err = pcall(pool.apply, pool, error, {{code = 404}})
print(ok, err.code)

-- Each failure where its turn comes; the iteration goes on.
local next_result = pool:imap(function(x) return 10 // (x - 3) end, mp.range(1, 5))
for i = 1, 5 do
  local good, index, value = pcall(next_result)
  print(i, good, good and value or first_line(index):match("attempt.*"))
  assert(not good or index == i)
end

-- What cannot be sent is named, with its place.
print(select(2, pcall(pool.apply, pool, print, {{jobs = {coroutine.create(print)}}})))

-- A worker that dies.
local function die()
  mp.current_process():kill()
  mp.sleep(60)
end
ok, err = pcall(pool.apply, pool, die)
print(ok, (err:gsub("pid %d+", "pid ...")))
print("the pool goes on", pool:apply(math.max, {1, 2}))

-- The same with a second try.
local tries = mp.Value("i")
local patient <close> = mp.Pool{processes = 2, retries = 1}
print("second try", patient:apply(function()
  if tries:add(1) == 1 then
    die()
  end
  return "done"
end))
