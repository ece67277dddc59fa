-- SPDX-License-Identifier: MIT
-- The life of a process: made, started, waited for, ended in one way or another.
--
-- From Python: the same names. `start`, `terminate` and `kill` return the process, so calls can be
-- chained; `join` says whether the process has ended; `result` brings what the function returned, or
-- why it did not.

local mp = require "luamp"

local function show(label, process)
  print(("%s: alive %s, exit code %s"):format(label, process:is_alive(), process.exitcode))
end

-- A process that waits for a word from its parent.
local go = mp.Queue()
local waiter = mp.Process{target = function() return "the word was " .. go:get() end, name = "waiter"}
show("made", waiter)

waiter:start()
show("started", waiter)

local ended, why = waiter:join(0.05) -- seconds
print(("join with a timeout: %s, %s"):format(ended, why))

go:put("go")
waiter:join() -- as long as it takes
show("ended", waiter)
print("result: " .. waiter:result())
waiter:close() -- forgets it now; otherwise the garbage collector does

-- Ended from outside: the exit code is minus the number of the signal.
local function sleep()
  mp.sleep(3600)
end

local terminated = mp.spawn(sleep):terminate()
terminated:join()
show("terminated", terminated)

local killed = mp.spawn(sleep):kill()
killed:join()
show("killed", killed)

-- Ended by itself, with a status.
local left = mp.spawn(function() os.exit(3) end)
left:join()
show("left with os.exit(3)", left)

-- Failed: the traceback goes to stderr, and travels with the result.
local failed = mp.spawn(function() error("nothing works today") end)
local result, code, message = failed:result()
show("failed", failed)
print(("result: %s, %s, %s"):format(result, code, message:match("nothing works today")))
