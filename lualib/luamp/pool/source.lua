-- luamp.pool.source: where the elements of a pool's job come from.
-- SPDX-License-Identifier: MIT
--
-- A source has `n`, the count of its elements (nil: not known), and take(self, first, job): the next elements,
-- from number `first` on -> count, kind, value of a batch, and where in that list it begins. A count of 0 is the
-- end; `problem` holds what an iterator raised there, boxed; `whole` tells that all elements are there already,
-- `pulls` that a function of the script's is called.
local mp, core = ...
local TASK = core.worker.TASK

local source = {}

-- A taker for lists of a known length: slice(list, first, n) -> kind, value, place.
local function taker(slice)
  return function(self, first, job)
    local n, list = math.min(job.size, self.n - first + 1), self.list
    if n == 1 then
      return 1, job.single, list[first]
    elseif n < 1 then
      return 0
    end
    return n, slice(list, first, n)
  end
end

local take_table = taker(function(list, first)
  return TASK.MANY, list, first
end)

local take_array = taker(function(list, first, n)
  return TASK.MANY, list:table(first, first + n - 1)
end)

local take_range = taker(function(list, first)
  return TASK.RANGE, { list[first], list.step }
end)

local function pull(self)
  local ok, value = pcall(self.list)
  if not ok and core.engine.is_interrupt(value) then
    error(value, 0)
  elseif not ok then
    self.problem, value = { value }, nil
  end
  return value
end

local function take_iterator(self, _, job)
  if self.over then
    return 0
  end
  local items, n, size = {}, 0, job.size
  if type(size) == "function" then
    size = size(job)
  end
  while n < size do
    local value = pull(self)
    if value == nil then
      self.over = true
      break
    end
    n = n + 1
    items[n] = value
  end
  if n == 1 then
    return 1, job.single, items[1]
  end
  return n, TASK.MANY, items
end

local function length(list)
  local n = rawget(list, "n")
  return math.type(n) == "integer" and n >= 0 and n or #list
end

-- source.new(list): nil for what is none.
function source.new(list)
  local type_name = mp.type(list)
  if type_name == "Array" then
    return { list = list, n = #list, whole = true, take = take_array }
  elseif type_name == "Range" then
    return { list = list, n = #list, take = take_range }
  elseif type_name == "List" then
    list = list:table()
    return { list = list, n = #list, whole = true, take = take_table }
  elseif type_name ~= nil then
    return nil
  elseif type(list) == "table" and not core.callable(list) then
    return { list = list, n = length(list), whole = true, take = take_table }
  elseif core.callable(list) then
    return { list = list, pulls = true, take = take_iterator }
  end
end

local function bad_element(i, what, got)
  return ("bad element list[%d] of '%s' (table of arguments expected, got %s)"):format(i, what, type(got))
end

-- source.spread: the same where each element must be a list of arguments, for the function called `what`. nil and
-- a message: one is not; an iterator's are looked at when their turn comes.
function source.spread(s, what)
  local list = s.list
  if s.n then
    for i = 1, s.n do
      if type(list[i]) ~= "table" then
        return nil, bad_element(i, what, list[i])
      end
    end
    return s
  end
  local i = 0
  function s.list()
    local value = list()
    i = i + 1
    if value ~= nil and type(value) ~= "table" then
      error(bad_element(i, what, value), 0)
    end
    return value
  end
  return s
end

core.source = source
