-- SPDX-License-Identifier: MIT
-- bulk.lua COUNT SIZE MAXSIZE: strings of SIZE bytes, one producer, one consumer,
-- over a queue of MAXSIZE. Four strings take turns; of each that arrives the
-- length and three bytes are compared, of the last all.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local KINDS <const> = 4
local count = math.tointeger(arg[1])
local size = math.tointeger(arg[2])
local maxsize = math.tointeger(arg[3])

-- Byte j (from 0) of string k is (j + k) % 251.
local cycle = {}
for j = 0, 250 do cycle[j + 1] = string.char(j) end
cycle = table.concat(cycle):rep(size // 251 + 2)
local strings = {}
for k = 0, KINDS - 1 do strings[k] = cycle:sub(k + 1, k + size) end
cycle = nil -- luacheck: ignore (frees it)

local function produce(q, gate, n)
  gate:enter()
  for i = 1, n do q:put(strings[i % KINDS]) end
  gate:leave(n)
end

local q, gate = mp.Queue(maxsize), common.gate()
local producer = mp.Process(produce, q, gate, count):start()
local byte, middle = string.byte, size // 2
local t0 = gate:open(1)
local s
for i = 1, count do
  s = q:get()
  local k = i % KINDS
  if #s ~= size or byte(s) ~= k or byte(s, middle + 1) ~= (middle + k) % 251
    or byte(s, size) ~= (size - 1 + k) % 251 then
    common.check(false, "string %d is not the one that was put", i)
  end
end
local put = gate:wait(1)
local t1 = mp.time()
common.check(put == count, "%d put, not %d", put, count)
common.check(s == strings[count % KINDS], "the last string differs")
common.join { producer }
common.result(count * size / (t1 - t0) / 1e6, "MB/s")
