-- SPDX-License-Identifier: MIT
-- pool.lua WORK COUNT: a pool of two workers.
--   map       x * x of 1..COUNT, default chunks        chunk1   the same, one task at a time
--   strings   COUNT tasks that return 10 KB each       apply    COUNT calls, one after the other
--   create    COUNT pools made, used once, and closed
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local work, count = arg[1], math.tointeger(arg[2])
local LETTERS <const> = 26

local function square(x) return x * x end

local texts = {}
for i = 1, LETTERS do texts[i] = string.char(96 + i):rep(10240) end
local function text(x) return texts[x % #texts + 1] end

local function timed(f)
  local t0 = mp.time()
  f()
  return mp.time() - t0
end

local function check_squares(list)
  common.check(#list == count, "%d results instead of %d", #list, count)
  for i = 1, count do
    if list[i] ~= i * i then common.check(false, "the square of %d is %s", i, list[i]) end
  end
end

local works = {}

local function numbers()
  local list = {}
  for i = 1, count do list[i] = i end
  return list
end

local function map(chunksize)
  local pool <close> = mp.Pool(2)
  local list, squares = numbers(), nil
  pool:map(square, { 1, 2, 3, 4 }, 1) -- both workers are up
  local t = timed(function() squares = pool:map(square, list, chunksize) end)
  check_squares(squares)
  common.result(count / t, "tasks/s")
end

function works.map() map(nil) end
function works.chunk1() map(1) end

function works.strings()
  local pool <close> = mp.Pool(2)
  local list, got = numbers(), nil
  pool:map(square, { 1, 2, 3, 4 }, 1)
  local t = timed(function() got = pool:map(text, list) end)
  common.check(#got == count, "%d results", #got)
  for i = 1, count do
    if got[i] ~= texts[i % LETTERS + 1] then common.check(false, "result %d is wrong", i) end
  end
  common.result(count / t, "tasks/s")
end

function works.apply()
  local pool <close> = mp.Pool(2)
  local times = {}
  pool:map(square, { 1, 2, 3, 4 }, 1)
  for i = 1, count do
    local t0 = mp.time()
    local y = pool:apply(square, { i })
    times[i] = mp.time() - t0
    if y ~= i * i then common.check(false, "the square of %d is %s", i, y) end
  end
  table.sort(times)
  common.result(times[count // 2 + 1] * 1e6, "us", "p50")
end

function works.create()
  local t = timed(function()
    for i = 1, count do
      local pool = mp.Pool(2)
      local y = pool:apply(square, { i })
      if y ~= i * i then common.check(false, "the square of %d is %s", i, y) end
      pool:close()
      pool:join()
    end
  end)
  common.check(#mp.active_children() == 0, "workers are left")
  common.result(count / t, "/s")
end

works[work]()
