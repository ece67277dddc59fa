-- luamp.manager: the constructors under the names that they have in Python's managers.
-- SPDX-License-Identifier: MIT
--
-- All objects of luamp are shared, so there is nothing to manage: no server is started, nothing ends with the table.
local mp = ...

-- Classes that a manager has, as far as this version has them.
local NAMES = {
  "Namespace", "Queue", "JoinableQueue", "SimpleQueue", "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition",
  "Event", "Barrier", "Value", "Array", "Pool",
}

local function first_content(what, content)
  if content ~= nil and type(content) ~= "table" then
    error(("bad argument #1 to '%s' (table expected, got %s)"):format(what, type(content)), 3)
  end
  return content or {}
end

-- The options of an object with first content: those of the constructor, but as the second argument.
local function options(what, opts)
  if opts ~= nil and type(opts) ~= "table" then
    error(("bad argument #2 to '%s' (table expected, got %s)"):format(what, type(opts)), 3)
  end
  for key, value in pairs(opts or {}) do
    if key ~= "name" then
      error(("bad argument #2 to '%s' (unknown option '%s')"):format(what, tostring(key)), 3)
    elseif type(value) ~= "string" then
      error(("bad argument #2 to '%s' (name: string expected, got %s)"):format(what, type(value)), 3)
    end
  end
  return opts
end

local function dict(content, opts)
  content = first_content("dict", content)
  local d = mp.Dict(options("dict", opts))
  for key, value in pairs(content) do
    d:set(key, value)
  end
  return d
end

local function list(content, opts)
  content = first_content("list", content)
  local l = mp.List(options("list", opts))
  for _, value in ipairs(content) do
    l:append(value)
  end
  return l
end

local function nothing() end

local metatable = { __name = "Manager", __close = nothing, __metatable = false }

function mp.Manager()
  local manager = setmetatable({}, metatable)

  -- manager.dict() and manager:dict() are the same.
  local function add(name, make)
    manager[name] = function(first, ...)
      if rawequal(first, manager) then
        return make(...)
      end
      return make(first, ...)
    end
  end

  add("dict", dict)
  add("list", list)
  for _, name in ipairs(NAMES) do
    if mp[name] then
      add(name, mp[name])
    end
  end
  manager.shutdown = nothing
  return manager
end

mp.manager = mp.Manager
