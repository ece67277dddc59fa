-- SPDX-License-Identifier: MIT
-- cqueues.lua WORK COUNT ...: lua-cqueues, two threads (each with a Lua state of its
-- own) over a socket pair. It has no queue of values: messages are framed by hand
-- with string.pack. Sockets are fully buffered, which is their fastest mode.
--
--   ints COUNT | records COUNT | pingpong COUNT PAUSE | bulk COUNT SIZE
local cqueues = require "cqueues"
local thread = require "cqueues.thread"

local WARMUP <const> = 20
local work, count = arg[1], math.tointeger(arg[2])

local function check(ok, ...)
  if not ok then
    io.stderr:write("VERIFICATION FAILED: ", string.format(...), "\n")
    os.exit(1)
  end
end

local function result(value, unit, label)
  print(string.format("RESULT %.9g %s%s", value, unit, label and " " .. label or ""))
end

-- What the other thread runs. It has no upvalues: it is sent as bytecode.
local function partner(con, job, n, extra)
  con:setmode("bf", "bf")
  con:write("ready"):flush()
  assert(con:read(2) == "go")
  local pack = string.pack
  if job == "ints" then
    for i = 1, n do con:write(pack("<i8", i)) end
  elseif job == "records" then
    local names = {}
    for k = 0, 63 do names[k] = string.format("customer-%07d", k) end
    for i = 1, n do con:write(pack("<i8c16d", i, names[i & 63], i * 0.5)) end
  elseif job == "pingpong" then
    for _ = 1, n do con:write(con:read(8)):flush() end
  elseif job == "bulk" then
    local cycle = {}
    for j = 0, 250 do cycle[j + 1] = string.char(j) end
    cycle = table.concat(cycle):rep(extra // 251 + 2)
    local strings = {}
    for k = 0, 3 do strings[k] = cycle:sub(k + 1, k + extra) end
    for i = 1, n do con:write(strings[i % 4]) end
  end
  con:write(pack("<i8", n)):flush()
  con:read(1) -- until the other end closes
end

local function open(n, extra)
  local t, con = thread.start(function(con, source, ...)
    load(source, "partner", "b")(con, ...)
  end, string.dump(partner), work, n, extra)
  con:setmode("bf", "bf")
  check(con:read(5) == "ready", "the partner is not ready")
  local t0 = cqueues.monotime()
  con:write("go"):flush()
  return con, t0, t
end

local function close(con, t, n)
  local put = string.unpack("<i8", con:read(8))
  local t1 = cqueues.monotime()
  check(put == n, "%d put, not %d", put, n)
  con:close()
  check(t:join(), "the partner failed")
  return t1
end

local unpack = string.unpack

if work == "ints" then
  local con, t0, t = open(count)
  local sum = 0
  for i = 1, count do
    local v = unpack("<i8", con:read(8))
    if v ~= i then check(false, "got %d, not %d", v, i) end
    sum = sum + v
  end
  local t1 = close(con, t, count)
  check(sum == count * (count + 1) // 2, "the sum is %d", sum)
  result(count / (t1 - t0), "msg/s")
elseif work == "records" then
  local names = {}
  for k = 0, 63 do names[k] = string.format("customer-%07d", k) end
  local con, t0, t = open(count)
  local sum = 0.0
  for i = 1, count do
    local id, name, x = unpack("<i8c16d", con:read(32))
    local r = { id = id, name = name, x = x }
    if r.id ~= i or r.name ~= names[i & 63] then check(false, "got %s at %d", r.id, i) end
    sum = sum + r.x
  end
  local t1 = close(con, t, count)
  check(sum == 0.5 * (count * (count + 1) // 2), "the sum is %g", sum)
  result(count / (t1 - t0), "msg/s")
elseif work == "pingpong" then
  local pause = tonumber(arg[3])
  local con, _, t = open(count + WARMUP)
  local now, pack = cqueues.monotime, string.pack
  local times = {}
  for i = 1 - WARMUP, count do
    if pause > 0 then cqueues.sleep(pause) end
    local t0 = now()
    con:write(pack("<i8", i)):flush()
    local v = unpack("<i8", con:read(8))
    local t1 = now()
    if v ~= i then check(false, "got %d, not %d", v, i) end
    if i > 0 then times[i] = t1 - t0 end
  end
  close(con, t, count + WARMUP)
  table.sort(times)
  result(times[math.ceil(count * 0.50)] * 1e6, "us", "p50")
  result(times[math.ceil(count * 0.99)] * 1e6, "us", "p99")
elseif work == "bulk" then
  local size = math.tointeger(arg[3])
  local con, t0, t = open(count, size)
  local byte, middle = string.byte, size // 2
  local s
  for i = 1, count do
    s = con:read(size)
    local k = i % 4
    if #s ~= size or byte(s) ~= k or byte(s, middle + 1) ~= (middle + k) % 251
      or byte(s, size) ~= (size - 1 + k) % 251 then
      check(false, "string %d is not the one that was put", i)
    end
  end
  local t1 = close(con, t, count)
  for j = 1, size, 4099 do
    check(byte(s, j) == (j - 1 + count % 4) % 251, "the last string differs at %d", j)
  end
  result(count * size / (t1 - t0) / 1e6, "MB/s")
else
  check(false, "no such work: %s", work)
end
