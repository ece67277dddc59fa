-- SPDX-License-Identifier: MIT
-- pipe.lua pingpong COUNT [CORE OTHER]: a number goes out and comes back over one pipe.
-- pipe.lua bulk COUNT SIZE [bytes]: strings of SIZE bytes, one producer, one consumer; with `bytes` as raw bytes.
-- The strings take turns; of each that arrives the length and three bytes are compared, of the last all.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local function pingpong(count, core, other)
  local warmup <const> = 20
  local mine, yours = mp.Pipe()
  local gate = common.gate()
  local partner = mp.Process(function(n)
    gate:enter()
    for _ = 1, n do yours:send(yours:recv()) end
    gate:leave(n)
  end, count + warmup):start()
  yours:close()
  if other then
    for _, pin in ipairs { { core, mp.current_process().pid }, { other, partner.pid } } do
      common.check(os.execute(string.format("taskset -cp %s %d >/dev/null", pin[1], pin[2])), "taskset")
    end
  end
  gate:open(1)
  local now = mp.time
  local times = {}
  for i = 1 - warmup, count do
    local t = now()
    mine:send(i)
    local v = mine:recv()
    t = now() - t
    if v ~= i then common.check(false, "got %s, not %d", v, i) end
    if i > 0 then times[i] = t end
  end
  common.check(gate:wait(1) == count + warmup, "the partner's count is wrong")
  common.check(select(2, mine:recv()) == "closed", "the stream has not ended")
  common.join { partner }
  common.percentiles(times)
end

local function bulk(count, size, raw)
  local kinds <const> = 4
  local cycle = {}
  for j = 0, 250 do cycle[j + 1] = string.char(j) end -- byte j (from 0) of string k is (j + k) % 251
  cycle = table.concat(cycle):rep(size // 251 + 2)
  local strings = {}
  for k = 0, kinds - 1 do strings[k] = cycle:sub(k + 1, k + size) end
  local r, w = mp.Pipe(false)
  local send, recv = raw and w.send_bytes or w.send, raw and r.recv_bytes or r.recv
  local gate = common.gate()
  local producer = mp.Process(function()
    gate:enter()
    for i = 1, count do send(w, strings[i % kinds]) end
    gate:leave(count)
  end):start()
  w:close()
  local byte, middle = string.byte, size // 2
  local t0 = gate:open(1)
  local s
  for i = 1, count do
    s = recv(r)
    local k = i % kinds
    if #s ~= size or byte(s) ~= k or byte(s, middle + 1) ~= (middle + k) % 251
      or byte(s, size) ~= (size - 1 + k) % 251 then
      common.check(false, "string %d is not the one that was sent", i)
    end
  end
  local t1 = mp.time()
  common.check(gate:wait(1) == count, "not all were sent")
  common.check(s == strings[count % kinds], "the last string differs")
  common.check(select(2, r:recv()) == "closed", "the stream has not ended")
  common.join { producer }
  common.result(count * size / (t1 - t0) / 1e6, "MB/s")
end

local count = math.tointeger(arg[2])
if arg[1] == "pingpong" then
  pingpong(count, arg[3], arg[4])
else
  bulk(count, math.tointeger(arg[3]), arg[4] == "bytes")
end
