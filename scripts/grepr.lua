-- SPDX-License-Identifier: MIT
-- Searches files, and directories with all that is below them, for lines that match a Lua pattern, with several
-- processes.
--
--     luamp scripts/grepr.lua [--jobs N] [--ignore-case] [--files] PATTERN PATH...
--
-- The pattern: `imap` over the names of the files, which come from an iterator, so that the search begins while
-- directories are still being read; results come in order of the names, whoever was faster. As with grep, the status
-- is 0 when there was a match, 1 when there was none, 2 when something could not be read.

local mp = require "luamp"

local USAGE <const> = [[
usage: grepr.lua [options] PATTERN PATH...
  --jobs N        search with N processes (default: the number of processors)
  --ignore-case   capitals match small letters (A to Z)
  --files         print the names of files with a match only
  --help          show this text]]

local BINARY <const> = 4096 -- a file with a zero byte in so many first ones is no text
local BATCH <const> = 16 -- files in one task: most are small

local function complain(...)
  io.stderr:write("grepr: ", table.concat({...}), "\n")
end

-- Searching: in the workers ------------------------------------------------------------------------

-- A function that returns what is to be printed for a file (nil: nothing), or nil and a message.
local function make_search(pattern, ignore_case, files_only)
  return function(path)
    local file <close>, message = io.open(path, "rb")
    if not file then
      return {problem = message}
    end
    local head, problem = file:read(BINARY)
    if problem then
      return {problem = path .. ": " .. problem}
    elseif not head or head:find("\0", 1, true) then
      return nil
    end
    file:seek("set", 0)
    local found, number = {}, 0
    for line in file:lines() do
      number = number + 1
      if (ignore_case and line:lower() or line):find(pattern) then
        if files_only then
          return {text = path}
        end
        found[#found + 1] = ("%s:%d:%s"):format(path, number, line)
      end
    end
    return found[1] and {text = table.concat(found, "\n")}
  end
end

-- The files: in the owner ----------------------------------------------------------------------------

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- An iterator over the names of the files below the paths, in order of the names.
local function files_below(paths)
  local words = {}
  for i, path in ipairs(paths) do
    words[i] = quote(path:sub(1, 1) == "-" and "./" .. path or path)
  end
  local list = io.popen("find " .. table.concat(words, " ") .. " -type f -print0 2>/dev/null | LC_ALL=C sort -z")
  local held = ""
  return function()
    while true do
      local name, rest = held:match("^([^\0]+)\0(.*)$")
      if name then
        held = rest
        return name
      end
      local more = list and list:read(512)
      if not more then
        return nil
      end
      held = held .. more
    end
  end
end

-- Pattern letters become small, but for those after a %, which mean something.
local function lower_pattern(pattern)
  return (pattern:gsub("(%%?)(.)", function(percent, letter)
    return percent == "" and letter:lower() or percent .. letter
  end))
end

-- The command line ---------------------------------------------------------------------------------

local function usage_error(...)
  complain(...)
  io.stderr:write(USAGE, "\n")
  os.exit(2)
end

local function parse(args)
  local options = {jobs = mp.cpu_count(), paths = {}}
  local i, plain = 1, false
  while i <= #args do
    local word = args[i]
    if not plain and (word == "--jobs" or word:find("^%-%-jobs=")) then
      local value = word:match("=(.*)$")
      if not value then
        i = i + 1
        value = args[i] or usage_error("--jobs needs a number")
      end
      options.jobs = value:match("^%d+$") and math.tointeger(tonumber(value)) or 0
      if options.jobs < 1 then
        usage_error("--jobs: expected a whole number from 1, got '", value, "'")
      end
    elseif not plain and (word == "--ignore-case" or word == "-i") then
      options.ignore_case = true
    elseif not plain and (word == "--files" or word == "-l") then
      options.files = true
    elseif not plain and (word == "--help" or word == "-h") then
      print(USAGE)
      os.exit(0)
    elseif not plain and word == "--" then
      plain = true
    elseif not plain and word:find("^%-.") then
      usage_error("unknown option '", word, "'")
    elseif not options.pattern then
      options.pattern = word
    else
      options.paths[#options.paths + 1] = word
    end
    i = i + 1
  end
  if not options.pattern then
    usage_error("no pattern given")
  elseif #options.paths == 0 then
    usage_error("no paths given")
  end
  local ok, message = pcall(string.find, "", options.pattern)
  if not ok then
    usage_error("bad pattern '", options.pattern, "': ", message)
  end
  return options
end

local function main(args)
  local options = parse(args)
  local status, failed = 1, false
  local paths = {}
  for _, path in ipairs(options.paths) do
    local file <close>, message = io.open(path, "rb")
    if file then
      paths[#paths + 1] = path
    else
      complain(message)
      failed = true
    end
  end
  if #paths == 0 then
    return 2
  end
  local pattern = options.ignore_case and lower_pattern(options.pattern) or options.pattern
  local search = make_search(pattern, options.ignore_case, options.files)
  local pool <close> = mp.Pool{processes = options.jobs, retries = 1}
  local next_result = pool:imap(search, files_below(paths), BATCH)
  while true do
    local ok, number, result = pcall(next_result)
    if not ok then -- one file; the others are searched all the same
      complain(tostring(number):match("^[^\n]+"))
      failed = true
    elseif not number then
      return failed and 2 or status
    elseif result and result.problem then
      complain(result.problem)
      failed = true
    elseif result then
      print(result.text)
      status = 0
    end
  end
end

os.exit(main(arg), true)
