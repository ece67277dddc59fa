-- SPDX-License-Identifier: MIT
-- Workers that prepare something expensive once, by an initializer, and use it in every task.
--
-- From Python: `initializer` and `initargs` are the same. What the initializer sets are globals of the worker; the
-- owner's stay as they are. When an initializer raises, every call on the pool raises that error: Python starts
-- workers again and again then, and waits for ever.

local mp = require "luamp"
-- luacheck: globals sieve

local function prepare(limit)
  sieve = {} -- a global of the worker
  for n = 2, limit do
    sieve[n] = true
  end
  for n = 2, limit do
    if sieve[n] then
      for multiple = n * n, limit, n do
        sieve[multiple] = false
      end
    end
  end
end

local function is_prime(n)
  return sieve[n]
end

local pool <close> = mp.Pool{processes = 2, initializer = prepare, initargs = {1000}}
local primes = {}
for n, prime in pool:imap(is_prime, mp.range(2, 1000), 100) do
  if prime then
    primes[#primes + 1] = n + 1 -- the first element is 2
  end
end
print(#primes .. " primes, the last is " .. primes[#primes])
print("the owner has no sieve: " .. tostring(sieve))

local useless <close> = mp.Pool{processes = 2, initializer = function() error("no database", 0) end}
local ok, message = pcall(useless.apply, useless, is_prime, {7})
print(ok, message:match("^[^\n]+"))
