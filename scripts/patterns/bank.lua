-- SPDX-License-Identifier: MIT
-- Transfers between accounts by many processes, with a lock for each account: the total is conserved.
--
-- From Python: the same. Both locks of a transfer are taken in the order of the accounts, so no two processes
-- wait for each other. An account is a queue that holds one message, its balance.

local mp = require "luamp"

local ACCOUNTS, TELLERS, TRANSFERS = 8, 6, 300
local START = 1000

local accounts = {}
for i = 1, ACCOUNTS do
  accounts[i] = {lock = mp.Lock{name = "account " .. i}, balance = mp.Queue()}
  accounts[i].balance:put(START)
end

local function change(account, amount)
  account.balance:put(account.balance:get() + amount)
end

local function transfer(from, to, amount)
  local first, second = accounts[math.min(from, to)], accounts[math.max(from, to)]
  first.lock:with(function()
    second.lock:with(function()
      change(accounts[from], -amount)
      change(accounts[to], amount)
    end)
  end)
end

local function teller()
  for _ = 1, TRANSFERS do
    local from = math.random(ACCOUNTS)
    local to = (from + math.random(ACCOUNTS - 1) - 1) % ACCOUNTS + 1 -- another one
    transfer(from, to, math.random(50))
  end
end

local function total()
  local sum, held = 0, {}
  for i, account in ipairs(accounts) do -- all of them: between two transfers
    account.lock:acquire()
    held[i] = account.balance:get()
    sum = sum + held[i]
  end
  for i, account in ipairs(accounts) do
    account.balance:put(held[i])
    account.lock:release()
  end
  return sum
end

local tellers = {}
for i = 1, TELLERS do
  tellers[i] = mp.spawn(teller)
end
for _ = 1, 20 do
  assert(total() == ACCOUNTS * START) -- also while they are at work
end
for _, process in ipairs(tellers) do
  process:join()
  assert(process.exitcode == 0)
end
print(("%d transfers, total %d"):format(TELLERS * TRANSFERS, total()))
