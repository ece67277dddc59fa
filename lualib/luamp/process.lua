-- luamp.process: process classes over the core's fork, join and signals.
-- SPDX-License-Identifier: MIT
--
-- An instance is a table: the fields that a script sets on it, and ours, under keys that are light userdata, so
-- that no name is taken: HANDLE is the core's userdata, once started; STATE is "new", "started" or "closed".
local mp, core = ...

local keys = core.keys
local HANDLE, STATE, NAME, TARGET, ARGS = keys.handle, keys.state, keys.name, keys.target, keys.args
local IDS, NUMBER, METHOD, LIMITS = keys.ids, keys.number, keys.method, keys.limits
local DAEMON, DETACHED = keys.daemon, keys.detached

local METHODS = { fork = true, spawn = true, forkserver = true }
local FIELDS = {
  target = true, args = true, name = true, daemon = true, start_method = true, detached = true,
  limits = true,
}
local SIGINT, SIGKILL, SIGTERM = 2, 9, 15
local random, randomseed = math.random, math.randomseed

local default_method = "fork"
local method_fixed = false -- a process was started
local made = 0 -- processes made by this one
local current -- the instance of this process
local parent_handle -- false: none; nil: not asked yet
local epoch -- of this process, in which the above are true

local ours = {} -- our keys
for _, key in pairs(keys) do
  ours[key] = true
end

local Process = {} -- the base class
local classes = setmetatable({}, { __mode = "k" }) -- class -> metatable of its instances

-- Checks --------------------------------------------------------------------------------------------

local function bad(level, ...)
  error(string.format(...), level + 1)
end

local function callable(f)
  if type(f) == "function" then
    return true
  end
  local mt = debug.getmetatable(f)
  return type(mt) == "table" and type(rawget(mt, "__call")) == "function"
end

local function shown(value)
  local kind = type(value)
  if kind == "string" then
    return "string '" .. value .. "'"
  end
  return value == nil and "nil" or kind .. " " .. tostring(value)
end

local function check_method(method, where, level)
  if type(method) ~= "string" or not METHODS[method] then
    bad(level + 1, "bad %s ('fork', 'spawn' or 'forkserver' expected, got %s)", where, shown(method))
  end
  if method ~= "fork" then
    bad(level + 1, "start method '%s' is not available in this version of luamp (use 'fork')", method)
  end
end

local function check_name(name, level)
  if type(name) ~= "string" then
    bad(level + 1, "bad name of a Process (string expected, got %s)", type(name))
  end
end

local function check_flag(value, key, level)
  if value ~= nil and type(value) ~= "boolean" then
    bad(level + 1, "bad field '%s' of a Process (boolean expected, got %s)", key, shown(value))
  end
  return value or false
end

local function check_timeout(timeout, what)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    bad(3, "bad argument #1 to '%s' (timeout: number expected, got %s)", what,
      type(timeout) == "number" and "nan" or type(timeout))
  end
end

-- A method's first argument; closed ones are good for nothing but closing.
local function check_self(self, what, level)
  if core.class(self) == nil then
    bad((level or 1) + 2, "bad argument #1 to '%s' (Process expected, got %s)", what, type(self))
  end
  if rawget(self, STATE) == "closed" then
    bad((level or 1) + 2, "'%s': the process is closed", what)
  end
end

local function check_started(self, what)
  check_self(self, what, 2)
  local handle = rawget(self, HANDLE)
  if not handle then
    bad(3, "'%s': the process %s has not been started", what, self.name)
  end
  return handle
end

local LIMIT_NAMES = { memory = true, cpu = true, files = true }

local function check_limits(limits)
  if limits == nil then
    return nil
  end
  if type(limits) ~= "table" then
    bad(4, "bad limits of a Process (table expected, got %s)", type(limits))
  end
  local checked = {}
  for key, value in pairs(limits) do
    if not LIMIT_NAMES[key] then
      bad(4, "unknown limit '%s' of a Process (memory, cpu or files expected)", tostring(key))
    end
    if key ~= "memory" and (math.type(value) ~= "integer" or value <= 0) then
      bad(4, "bad limit '%s' of a Process (positive integer expected, got %s)", key, shown(value))
    end
    checked[key] = value
    if key == "memory" then
      checked[key] = core.size(value)
      if not checked[key] or checked[key] <= 0 then
        bad(4, "bad limit 'memory' of a Process (a size of at least 1 expected, got %s)", shown(value))
      end
    end
  end
  return checked
end

-- Instances -----------------------------------------------------------------------------------------

local readers = {}

function readers.pid(self)
  local handle = rawget(self, HANDLE)
  return handle and core.pid(handle) or nil
end

function readers.exitcode(self)
  local handle = rawget(self, HANDLE)
  return handle and core.exitcode(handle) or nil
end

function readers.name(self)
  return rawget(self, NAME)
end

function readers.daemon(self)
  return rawget(self, DAEMON)
end

function readers.start_method(self)
  return rawget(self, METHOD) or default_method
end

local function assign(self, key, value)
  if key == "name" or key == "daemon" then
    if rawget(self, STATE) ~= "new" then
      bad(2, "the %s of a Process can be assigned before it is started only", key)
    end
    if key == "name" then
      check_name(value, 2)
    else
      value = check_flag(value, key, 2)
    end
    rawset(self, key == "name" and NAME or DAEMON, value)
  elseif readers[key] then
    bad(2, "the %s of a Process cannot be assigned", key)
  else
    rawset(self, key, value)
  end
end

local function make_metatable(class)
  return {
    __luamp_class = class,
    __name = "Process",
    __metatable = false,
    __newindex = assign,
    __index = function(self, key)
      local read = readers[key]
      if read then
        return read(self)
      end
      return class[key]
    end,
    __tostring = function(self)
      return string.format("Process: %s (%s)", core.address(self), tostring(rawget(self, NAME)))
    end,
  }
end

local construct

-- The metatable of a class's instances, or nil. A class that came with a message is new here.
local function instances_of(class)
  local mt = classes[class]
  if not mt and type(class) == "table" then
    local meta = getmetatable(class)
    if type(meta) == "table" and rawequal(rawget(meta, "__call"), construct) then
      mt = make_metatable(class)
      classes[class] = mt
    end
  end
  return mt
end

local function blank(class)
  -- With room for all: what start() sets must not fail once the process runs.
  return setmetatable({
    [STATE] = "new", [DAEMON] = false, [DETACHED] = false, [HANDLE] = false, [METHOD] = false,
    [NUMBER] = nil, [IDS] = nil, [NAME] = nil, [TARGET] = nil, [ARGS] = nil, [LIMITS] = nil,
  }, instances_of(class))
end

-- After a fork by others, what was known is the parent's.
local function refresh()
  local now = core.epoch()
  if now ~= epoch and epoch ~= nil then
    current, parent_handle, made, method_fixed = nil, nil, 0, false
  end
  epoch = now
end

local function number(self)
  refresh()
  made = made + 1
  local ids = current and rawget(current, IDS)
  rawset(self, NUMBER, made)
  rawset(self, IDS, ids and ids .. ":" .. made or tostring(made))
  if rawget(self, NAME) == nil then
    rawset(self, NAME, "Process-" .. rawget(self, IDS))
  end
end

local function set_target(self, target, args)
  if target ~= nil and not callable(target) then
    bad(4, "bad target of a Process (function expected, got %s)", type(target))
  end
  if args ~= nil and type(args) ~= "table" then
    bad(4, "bad args of a Process (table expected, got %s)", type(args))
  end
  local n = args and rawget(args, "n")
  if n ~= nil and (math.type(n) ~= "integer" or n < 0) then
    bad(4, "bad field 'n' in the args of a Process (a count expected, got %s)", shown(n))
  end
  rawset(self, TARGET, target)
  rawset(self, ARGS, args)
end

local function from_options(self, options)
  for key in pairs(options) do
    if not FIELDS[key] then
      bad(4, "unknown field '%s' of a Process", tostring(key))
    end
  end
  set_target(self, options.target, options.args)
  if options.name ~= nil then
    check_name(options.name, 3)
    rawset(self, NAME, options.name)
  end
  if options.start_method ~= nil then
    check_method(options.start_method, "field 'start_method' of a Process", 3)
    rawset(self, METHOD, options.start_method)
  end
  rawset(self, DAEMON, check_flag(options.daemon, "daemon", 3))
  rawset(self, DETACHED, check_flag(options.detached, "detached", 3))
  rawset(self, LIMITS, check_limits(options.limits))
end

function construct(class, ...)
  local self = blank(class)
  if class.init then
    number(self) -- init may ask for the name
    class.init(self, ...)
    return self
  end
  local first = ...
  if type(first) == "table" and not callable(first) then
    from_options(self, first)
  elseif select("#", ...) > 0 then
    if not callable(first) then
      bad(3, "bad argument #1 to 'Process' (function or table expected, got %s)", type(first))
    end
    set_target(self, first, select("#", ...) > 1 and table.pack(select(2, ...)) or nil)
  end
  number(self)
  return self
end

local function new_class(parent)
  local class = {}
  classes[class] = make_metatable(class)
  return setmetatable(class, { __index = parent, __call = construct, __name = "Process class" })
end

classes[Process] = make_metatable(Process)
setmetatable(Process, { __call = construct, __name = "Process class" })

function Process:extend(name)
  if not instances_of(self) then
    bad(2, "bad argument #1 to 'extend' (Process class expected, got %s; call it with ':')", type(self))
  end
  if name ~= nil and type(name) ~= "string" then
    bad(2, "bad argument #1 to 'extend' (string expected, got %s)", type(name))
  end
  local class = new_class(self)
  class.class_name = name
  return class
end

-- In the child --------------------------------------------------------------------------------------

-- Another sequence than the parent's and the siblings', yet the same in every run after a seed.
local function reseed(self)
  local a, b = random(0), random(0)
  randomseed(a ~ (rawget(self, NUMBER) * 0x9E3779B97F4A7C15), b)
end

-- What the core runs in the child; its results are the process's result.
local function child_main(self, handle)
  parent_handle = nil
  rawset(self, HANDLE, handle)
  rawset(self, STATE, "started")
  current, made, method_fixed, epoch = self, 0, false, core.epoch()
  reseed(self)
  return self:run()
end

-- Methods -------------------------------------------------------------------------------------------

-- What the child may reach: all fields of the instance, and the script's classes. An instance that was
-- started is a handle, so it is taken apart here.
local function reach_of(self)
  local reach = {}
  local class = core.class(self)
  while class ~= Process do
    reach[#reach + 1] = class
    class = getmetatable(class).__index
  end
  for key, value in next, self do
    if type(value) ~= "string" and type(value) ~= "boolean" then
      reach[#reach + 1] = value
    end
    if type(key) ~= "string" and not ours[key] then
      reach[#reach + 1] = key
    end
  end
  return reach
end

function Process:start()
  check_self(self, "start")
  if rawget(self, STATE) ~= "new" then
    bad(2, "'start': the process %s has already been started", self.name)
  end
  local method = self.start_method
  check_method(method, "start method in 'start'", 2)
  method_fixed = true
  rawset(self, METHOD, method)
  local failed = core.fork(rawget(self, NAME), rawget(self, DAEMON), rawget(self, DETACHED), rawget(self, LIMITS),
    core.any_handle() and reach_of(self), child_main, self) -- sets HANDLE and STATE
  if failed then
    bad(2, "'start': %s", failed)
  end
  return self
end

function Process:run()
  local target, args = rawget(self, TARGET), rawget(self, ARGS)
  if target == nil then
    return
  end
  if args == nil then
    return target()
  end
  return target(table.unpack(args, 1, rawget(args, "n") or #args))
end

function Process:join(timeout)
  local handle = check_started(self, "join")
  if core.is_self(handle) then
    bad(2, "'join': a process cannot wait for itself")
  end
  check_timeout(timeout, "join")
  return core.join(handle, timeout)
end

function Process:is_alive()
  check_self(self, "is_alive")
  local handle = rawget(self, HANDLE)
  return handle and core.is_alive(handle) or false
end

function Process:result(timeout)
  local handle = check_started(self, "result")
  if core.is_self(handle) then
    bad(2, "'result': a process cannot wait for itself")
  end
  check_timeout(timeout, "result")
  return core.result(handle, timeout)
end

local function signaller(name, signal)
  return function(self)
    core.signal(check_started(self, name), signal)
    return self
  end
end

Process.terminate = signaller("terminate", SIGTERM)
Process.kill = signaller("kill", SIGKILL)
Process.interrupt = signaller("interrupt", SIGINT)

function Process:close()
  if core.class(self) == nil then
    bad(2, "bad argument #1 to 'close' (Process expected, got %s)", type(self))
  end
  local handle = rawget(self, HANDLE)
  if handle and core.is_alive(handle) then
    bad(2, "'close': the process %s is still running", self.name)
  end
  if handle then
    core.close(handle)
  end
  for key in next, self do
    if key ~= NAME then
      rawset(self, key, nil)
    end
  end
  rawset(self, STATE, "closed")
end

-- The module ----------------------------------------------------------------------------------------

local function wrap(handle)
  local self = setmetatable({ [STATE] = "started", [HANDLE] = handle }, classes[Process])
  local name, daemon = core.describe(handle)
  rawset(self, NAME, name)
  rawset(self, DAEMON, daemon)
  return self
end

core.set_wrap(wrap)
core.callable, core.check_method = callable, check_method
-- A class travels by value, what makes its instances by this name.
core.methods["Process:new"] = construct

mp.Process = Process
mp.process = Process

function mp.spawn(f, ...)
  if not callable(f) then
    bad(2, "bad argument #1 to 'spawn' (function expected, got %s)", type(f))
  end
  return Process(f, ...):start()
end

function mp.current_process()
  refresh()
  if not current then
    current = core.self()
  end
  return current
end

function mp.parent_process()
  refresh()
  if parent_handle == nil then
    parent_handle = core.parent() or false
  end
  return parent_handle or nil
end

function mp.active_children()
  return core.children()
end

function mp.start_methods()
  return { "fork", "spawn", "forkserver" }
end

function mp.get_start_method()
  return default_method
end

function mp.set_start_method(method)
  check_method(method, "argument #1 to 'set_start_method'", 2)
  if method_fixed then
    bad(2, "'set_start_method': a process has already been started")
  end
  default_method = method
end
