-- SPDX-License-Identifier: MIT
-- lualib/meta/luamp.lua declares what the module exports: nothing is missing on either side. And what README.md
-- shows as Lua runs.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"

local META = here .. "/../../lualib/meta/luamp.lua"
local README = here .. "/../../README.md"

-- Reading -----------------------------------------------------------------------------------------

-- The names in a parameter list.
local function words(list)
  local names = {}
  for name in list:gmatch("[%w_.]+") do
    names[#names + 1] = name
  end
  return names
end

-- What the text declares: declared[owner][name] = {kind =, doc = lines above it, params = names}. The owners are
-- "luamp" and the classes, such as "Queue"; the fields and operators of a class are in declared["luamp.Queue"].
local function parse(text)
  local declared = {luamp = {}, Queue = {}, Connection = {}, Process = {}}
  local doc, class = {}, nil

  local function declare(owner, name, kind, params)
    local entries = declared[owner] or {}
    assert(not entries[name], owner .. " declares " .. name .. " twice")
    entries[name] = {kind = kind, doc = doc, params = params}
    declared[owner] = entries
  end

  for line in (text .. "\n"):gmatch("(.-)\n") do
    class = line:match("^%-%-%-@class ([%w_.]+)") or class
    local field = line:match("^%-%-%-@field ([%w_]+)")
    local operator = line:match("^%-%-%-@operator (%w+)")
    if field then declare(class, field, "field") end
    if operator then declare(class, "__" .. operator, "operator") end

    local owner, name, params = line:match("^function ([%w_]+)[.:]([%w_]+)%((.-)%) end$")
    local variable = line:match("^luamp%.([%w_]+) = ")
    if owner then
      declare(owner, name, "function", words(params))
    elseif variable then
      declare("luamp", variable, "table")
    end

    if line:find("^%-%-%-") then
      doc[#doc + 1] = line
    else
      doc, class = {}, nil
    end
  end
  for name, entry in pairs(declared["luamp"]) do
    assert(entry.kind == "field" or entry.doc[1], "no text above " .. name)
  end
  return declared
end

-- An object of each class whose methods are in its metatable, and the fields that some have.
local objects = {
  Queue = mp.Queue(), Semaphore = mp.Semaphore(), BoundedSemaphore = mp.BoundedSemaphore(), Event = mp.Event(),
  Barrier = mp.Barrier(1), Connection = mp.Pipe(), Lock = mp.Lock(), RLock = mp.RLock(), Condition = mp.Condition(),
  Value = mp.Value("i"), Array = mp.Array("i", 1), SharedMemory = assert(mp.SharedMemory{size = 1}),
  Dict = mp.Dict(), Namespace = mp.Namespace(), List = mp.List(), Range = mp.range(1, 2),
}
do
  local pool <close> = mp.Pool(1)
  objects.Pool, objects.AsyncResult = pool, pool:apply_async(print)
end
local fields = {
  Connection = {"closed", "readable", "writable"}, Barrier = {"parties", "n_waiting", "broken"},
  Value = {"value"}, SharedMemory = {"name", "size"}, Pool = {"processes"},
}

-- The table of an object's methods, also where __index is a function that has it as an upvalue. A Namespace has none.
local function methods(object)
  local index = debug.getmetatable(object).__index
  if type(index) == "table" then return index end
  for i = 1, math.huge do
    local name, value = debug.getupvalue(index, i)
    if not name then return {} end
    if type(value) == "table" then return value end
  end
end

-- What there really is, of the same shape: exported[owner][name] = kind.
local function look()
  local exported = {luamp = {}, Process = {}, ["luamp.Process"] = {}}
  for name, value in pairs(mp) do
    exported.luamp[name] = type(value) == "string" and "field" or type(value)
  end
  local process = mp.Process(print)
  for class, object in pairs(objects) do
    exported[class], exported["luamp." .. class] = {}, {}
    for name, value in pairs(methods(object)) do
      exported[class][name] = type(value)
    end
    for _, name in ipairs(fields[class] or {}) do
      exported["luamp." .. class][name] = object[name] ~= nil and "field" or nil
    end
  end
  for name, value in pairs(mp.Process) do
    exported.Process[name] = type(value)
  end
  -- Of the metamethods those that a script writes as an operator.
  local silent = {__gc = true, __pairs = true, __index = true, __newindex = true, __name = true, __metatable = true,
    __tostring = true, __luamp_class = true, __luamp = true, __close = true, __eq = true}
  local function operators(class, object)
    for name in pairs(debug.getmetatable(object)) do
      if not silent[name] then exported["luamp." .. class][name] = "operator" end
    end
  end
  for class, object in pairs(objects) do operators(class, object) end
  operators("Process", process)
  -- The fields of a Process that are computed when they are read.
  local index = debug.getmetatable(process).__index
  for i = 1, math.huge do
    local name, value = debug.getupvalue(index, i)
    assert(name, "__index of a Process has no upvalue 'readers' any more: adapt this test")
    if name == "readers" then
      for field in pairs(value) do
        exported["luamp.Process"][field] = "field"
      end
      break
    end
  end
  return exported
end

-- Comparing ---------------------------------------------------------------------------------------

-- Everything that only one side has, or that is of another kind there; sorted.
local function differences(declared, exported)
  local list = {}
  for owner, entries in pairs(exported) do
    local known = declared[owner] or {}
    for name, kind in pairs(entries) do
      if not known[name] then
        list[#list + 1] = ("%s.%s is not declared"):format(owner, name)
      elseif known[name].kind ~= kind then
        list[#list + 1] = ("%s.%s is a %s, declared as a %s"):format(owner, name, kind, known[name].kind)
      end
    end
    for name in pairs(known) do
      if not entries[name] then
        list[#list + 1] = ("%s.%s is declared and does not exist"):format(owner, name)
      end
    end
  end
  table.sort(list)
  return list
end

local function copy(exported)
  local all = {}
  for owner, entries in pairs(exported) do
    all[owner] = {}
    for name, kind in pairs(entries) do
      all[owner][name] = kind
    end
  end
  return all
end

-- The lines of a text without those that declare a name.
local function without(text, owner, name)
  local lines, removed = {}, 0
  local here_class
  for line in text:gmatch("([^\n]*)\n") do
    here_class = line:match("^%-%-%-@class ([%w_.]+)") or (line:find("^%-%-%-") and here_class) or nil
    local function_owner, function_name = line:match("^function ([%w_]+)[.:]([%w_]+)%(")
    local gone = (function_owner == owner and function_name == name)
      or (owner == "luamp" and line:match("^luamp%.([%w_]+) = ") == name)
      or (here_class == owner and (line:match("^%-%-%-@field ([%w_]+)") == name
        or "__" .. (line:match("^%-%-%-@operator (%w+)") or "") == name))
    if gone then removed = removed + 1 else lines[#lines + 1] = line end
  end
  assert(removed == 1, ("%s.%s was removed %d times"):format(owner, name, removed))
  return table.concat(lines, "\n") .. "\n"
end

describe("lualib/meta/luamp.lua", function()
  local text = support.read(META)
  local declared, exported = parse(text), look()

  it("is Lua that does nothing but return the module", function()
    local module = assert(load(text, "=meta", "t", {}))()
    assert.equal("function", type(module.Queue))
  end)

  it("begins with ---@meta", function()
    assert.matches("^%-%- SPDX[^\n]*\n%-%-%-@meta luamp\n", text)
  end)

  it("declares what the module exports, no less and no more", function()
    assert.same({}, differences(declared, exported))
    -- The comparison is not one of nothing with nothing.
    assert.truthy(exported.luamp.Queue and exported.Queue.put and exported.Process.start)
    assert.truthy(exported["luamp.Queue"].__len and exported["luamp.Process"].exitcode)
  end)

  it("would not pass with any one declaration less", function()
    for owner, entries in pairs(exported) do
      for name in pairs(entries) do
        assert.same({("%s.%s is not declared"):format(owner, name)},
          differences(parse(without(text, owner, name)), exported))
      end
    end
  end)

  it("would not pass with any one export less", function()
    for owner, entries in pairs(exported) do
      for name in pairs(entries) do
        local less = copy(exported)
        less[owner][name] = nil
        assert.same({("%s.%s is declared and does not exist"):format(owner, name)}, differences(declared, less))
      end
    end
  end)

  it("describes every function, and annotates its parameters in order", function()
    local owners = {"luamp", "Process"}
    for class in pairs(objects) do owners[#owners + 1] = class end
    for _, owner in ipairs(owners) do
      for name, entry in pairs(declared[owner] or {}) do
        local where = owner .. "." .. name
        local params, prose = {}, false
        for _, line in ipairs(entry.doc) do
          params[#params + 1] = line:match("^%-%-%-@param ([%w_.]+)%??%s")
          prose = prose or line:find("^%-%-%-[^@%s]") ~= nil
        end
        assert(prose or entry.kind == "field", where .. " has no description")
        if entry.kind == "function" then
          assert.same({where, entry.params}, {where, params})
        end
      end
    end
  end)

  it("has no type that it does not define", function()
    local known = {["luamp"] = true}
    for name in text:gmatch("%-%-%-@class ([%w_.]+)") do known[name] = true end
    for name in text:gmatch("%-%-%-@alias ([%w_.]+)") do known[name] = true end
    for line in text:gmatch("[^\n]+") do
      if line:find("^%-%-%-@") and not line:find("^%-%-%-@meta") then
        for name in line:gmatch("luamp%.%u[%w_]*") do
          assert(known[name], "unknown type " .. name .. " in: " .. line)
        end
      end
    end
  end)

  it("declares options that the functions know", function()
    local calls = {
      ["luamp.QueueOptions"] = function(options) local _ = mp.Queue(nil, options) end,
      ["luamp.DictOptions"] = mp.Dict,
      ["luamp.LockOptions"] = function(options) local _ = {mp.Lock(options), mp.RLock(options)} end,
      ["luamp.ValueOptions"] = function(options) local _ = mp.Value("i", options) end,
      ["luamp.SharedMemoryOptions"] = function(options) local _ = mp.SharedMemory(options) end,
      ["luamp.SyncOptions"] = function(options) local _ = {mp.Semaphore(1, options), mp.Event(options)} end,
      ["luamp.ProcessOptions"] = function(options) local _ = mp.Process(options) end,
      ["luamp.Limits"] = function(limits) local _ = mp.Process{limits = limits} end,
      ["luamp.DecodeOptions"] = function(options) mp.decode("", options) end,
      ["luamp.Configuration"] = mp.configure,
    }
    for class, call in pairs(calls) do
      local known = declared[class]
      assert(next(known), class)
      for name in pairs(known) do
        local ok, message = pcall(call, {[name] = {}}) -- a value that is wrong for most
        assert(ok or not message:find("unknown"), class .. "." .. name .. ": " .. tostring(message))
      end
      assert.is_false((pcall(call, {no_such_option = 1})))
    end
  end)

  it("declares the figures of stats", function()
    local names = {}
    for name in pairs(declared["luamp.Stats"]) do names[name] = true end
    for name in pairs(mp.stats()) do
      assert(names[name], name)
      names[name] = nil
    end
    assert.is_nil(next(names))
  end)
end)

describe("README.md", function()
  after_each(support.clean)

  local number = 0
  for block in support.read(README):gmatch("\n```lua\n(.-)```\n") do
    number = number + 1
    it(("shows Lua that runs: block %d"):format(number), function()
      -- What a line is commented with is what it prints.
      local expected = {}
      for shown in block:gmatch("%-%-> ([^\n]*)") do
        expected[#expected + 1] = shown
      end
      local run = support.run(block, {bare = true})
      assert.same({0, ""}, {run.status, run.err})
      if expected[1] then
        assert.equal(table.concat(expected, "\n") .. "\n", (run.out:gsub("\t", " ")))
      end
    end)
  end

  it("shows some", function()
    assert.truthy(number >= 2)
  end)
end)
