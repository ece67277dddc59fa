-- luamp.range: a sequence of numbers as a value, for loops and for pools.
-- SPDX-License-Identifier: MIT
local mp = ...
local math_type, tointeger = math.type, math.tointeger

-- One for the Lua state, however often the module is opened in it: ranges travel by value, with this as their type.
local registry = debug.getregistry()
local metatable = registry["luamp.Range"] or {}
registry["luamp.Range"] = metatable
metatable.__name, metatable.__luamp = "Range", false

local function check(value, i)
  if type(value) ~= "number" or value ~= value then
    local got = value ~= value and "nan" or type(value)
    error(("bad argument #%d to 'range' (number expected, got %s)"):format(i, got), 3)
  end
end

-- The limit as an integer, as the numeric for takes it.
local function clip(limit, step)
  if math.type(limit) == "integer" then
    return limit
  end
  local whole = math.tointeger(step > 0 and math.floor(limit) or math.ceil(limit))
  return whole or (limit > 0 and math.maxinteger or math.mininteger)
end

local function count(first, last, step)
  if step > 0 and first > last or step < 0 and first < last then
    return 0
  end
  local n = (last - first) // step
  if math.type(n) == "integer" and (last - first < 0) == (step > 0) then -- the difference is no integer
    n = (last + 0.0 - first) // step
  end
  local whole = math.tointeger(n)
  if not whole or whole == math.maxinteger then
    error(("bad arguments to 'range' (too many numbers from %s to %s)"):format(first, last), 3)
  end
  return whole + 1
end

function mp.range(first, last, step)
  step = step == nil and 1 or step
  check(first, 1)
  check(last, 2)
  check(step, 3)
  if step == 0 then
    error("bad argument #3 to 'range' (step is zero)", 2)
  end
  if math.type(first) == "integer" and math.type(step) == "integer" then
    last = clip(last, step)
  else
    first, step = first + 0.0, step + 0.0
  end
  return setmetatable({ first = first, last = last, step = step, n = count(first, last, step) }, metatable)
end

local function at(self, i)
  return self.first + (i - 1) * self.step
end

function metatable:__index(i)
  i = math_type(i) == "integer" and i or tointeger(i)
  return i and i >= 1 and i <= self.n and at(self, i) or nil
end

function metatable:__newindex()
  error("a Range cannot be changed", 2)
end

function metatable:__len()
  return self.n
end

-- for x in mp.range(a, b) do
function metatable:__call(_, x)
  if x == nil then
    return self[1]
  end
  return self[math.floor((x - self.first) / self.step + 0.5) + 2] -- x is the one before
end

function metatable:__tostring()
  return ("Range: %s, %s, %s"):format(self.first, self.last, self.step)
end

function metatable.__eq(a, b)
  return a.n == b.n and a[1] == b[1] and a[a.n] == b[b.n]
end

mp.register("luamp.Range", metatable)
