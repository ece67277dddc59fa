-- SPDX-License-Identifier: MIT
-- A lock whose owner is killed.
--
-- From Python: there the others would wait for ever. Here the next one to acquire the lock gets it, and is
-- told that its last owner did not release it: what the lock protects may be half-changed, so it is
-- put right first.

local mp = require "luamp"

-- The data: two queues that together always hold ten coins.
local left, right = mp.Queue(), mp.Queue()
for coin = 1, 10 do
  left:put(coin)
end

local lock = mp.Lock{name = "coins"}

local function move(n, die_after)
  lock:with(function()
    for i = 1, n do
      left:get()
      if i == die_after then
        mp.current_process():kill() -- one coin is in neither queue
      end
      right:put(i)
    end
  end)
end

local victim = mp.spawn(move, 5, 3)
victim:join()
print("the owner ended with " .. victim.exitcode)

local held, news = lock:acquire()
print("acquired:", held, news)
if news == "abandoned" then
  local missing = 10 - #left - #right
  for _ = 1, missing do
    left:put("a new coin")
  end
  print(("put right: %d coin was missing"):format(missing))
end
lock:release()

print("acquired again:", lock:acquire())
print(#left + #right .. " coins")
lock:release()
