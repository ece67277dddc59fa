-- SPDX-License-Identifier: MIT
-- Counts the words of text files with several processes.
--
--     luamp scripts/wordcount.lua [--jobs N] [--top N] [--check] [--serial] FILE...
--
-- The pattern: the parent cuts the files into byte ranges, and a pool of workers counts one range after the
-- other. What travels is small: a range there, a table of counts back, which the parent adds up as they come.
-- A file of any size keeps all processors busy, and the text itself never travels: the workers read it. When
-- a worker dies the pool has its range counted again by another one.
--
-- A word is a run of letters, digits and bytes above 127 (so UTF-8 words stay whole); capitals A to Z
-- count as small letters.

local mp = require "luamp"

local WORD <const> = "[%w\128-\255]+"
local NOT_WORD <const> = "[^%w\128-\255]"
local BLOCK <const> = 1 << 20 -- bytes read at once
local SMALLEST_RANGE <const>, LARGEST_RANGE <const> = 1 << 17, 1 << 25
local RETRIES <const> = 2
local SMALL <const> = 16 << 20 -- no progress is shown for less than this many bytes

local USAGE <const> = [[
usage: wordcount.lua [options] FILE...
  --jobs N   count with N processes (default: the number of processors)
  --top N    show the N most frequent words (default: 20)
  --check    count again in this process alone, and compare
  --serial   count in this process alone
  --help     show this text]]

local function complain(...)
  io.stderr:write("wordcount: ", table.concat({...}), "\n")
end

-- Counting -----------------------------------------------------------------------------------------

local is_word = {} -- by byte
for byte = 0, 255 do
  is_word[byte] = string.char(byte):find(WORD) ~= nil
end

-- Text is cut where there is white space first, which is quick; what stands there more than once ("the", "end.") is
-- taken apart into words once.
local function count_pieces(text, pieces)
  for piece in text:gmatch("%S+") do
    pieces[piece] = (pieces[piece] or 0) + 1
  end
end

local function count_words(pieces, counts)
  for piece, count in pairs(pieces) do
    for word in piece:lower():gmatch(WORD) do
      counts[word] = (counts[word] or 0) + count
    end
  end
end

-- The rest of a word that began in `held` (pieces of text) and goes on in the file from here.
local function read_rest(file, held)
  repeat
    local text = file:read(4096)
    local stop = text and text:find(NOT_WORD)
    held[#held + 1] = stop and text:sub(1, stop - 1) or text
  until stop or not text
end

-- read_range counts the pieces with the words that *begin* at the byte offsets first <= offset < last of a
-- file: a word across a border belongs to the range of its first letter, so that ranges can be cut anywhere
-- and each word is counted once. Returns true, or nil and a message.
local function read_range(path, first, last, pieces)
  local file <close>, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local skip = false -- inside a word that began before the range?
  if first > 0 then
    file:seek("set", first - 1)
    local before = file:read(1)
    skip = before ~= nil and is_word[before:byte()]
  end
  local held, left = {}, last - first -- held: parts of a word whose end was not read yet
  while left > 0 do
    local text, problem = file:read(math.min(BLOCK, left)) -- `left` may be infinite
    if not text then
      if problem then
        return nil, path .. ": " .. problem
      end
      break
    end
    left = left - #text
    if skip then
      local stop = text:find(NOT_WORD)
      skip = not stop
      text = stop and text:sub(stop) or ""
    end
    local stop = #text
    while stop > 0 and is_word[text:byte(stop)] do
      stop = stop - 1
    end
    if stop > 0 then
      held[#held + 1] = text:sub(1, stop)
      count_pieces(table.concat(held), pieces)
      held = {}
    end
    held[#held + 1] = text:sub(stop + 1)
  end
  if #table.concat(held) > 0 then
    read_rest(file, held)
    count_pieces(table.concat(held), pieces)
  end
  return true
end

local function count_range(path, first, last, counts)
  local pieces = {}
  local ok, message = read_range(path, first, last, pieces)
  count_words(pieces, counts)
  return ok, message
end

-- What a worker does: the counts of one range, and what kept it from counting all of it.
local function count_task(task)
  local counts = {}
  local ok, message = count_range(task.path, task.first, task.last, counts)
  return {counts = counts, problem = not ok and message or nil}
end

-- The parent ---------------------------------------------------------------------------------------

-- Returns how many bytes there are to count in a file; nil and a message when it cannot be read.
local function measure(path)
  local file <close>, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local size = file:seek("end")
  if not size or not file:seek("set", 0) then
    return nil, path .. ": not a regular file"
  end
  local _, problem = file:read(0) -- a directory can be opened, but not read
  if problem then
    return nil, path .. ": " .. problem
  end
  return size
end

-- Cuts the files into tasks: several for each process, so that the last ones end at about the same time.
local function make_tasks(files, total, jobs)
  local range = math.max(SMALLEST_RANGE, math.min(LARGEST_RANGE, total // (jobs * 4)))
  local tasks = {}
  for _, file in ipairs(files) do
    if file.size == 0 then -- empty, or one of those in /proc that do not know their size
      tasks[#tasks + 1] = {path = file.path, first = 0, last = math.huge}
    end
    for first = 0, file.size - 1, range do
      tasks[#tasks + 1] = {path = file.path, first = first, last = math.min(first + range, file.size)}
    end
  end
  return tasks
end

local function add_up(counts, more)
  for word, count in pairs(more) do
    counts[word] = (counts[word] or 0) + count
  end
end

-- Returns the table of counts, or nil when a part of it is lost.
local function count_parallel(files, total, jobs, report)
  local tasks = make_tasks(files, total, jobs)
  local pool <close> = mp.Pool{processes = math.max(1, math.min(jobs, #tasks)), retries = RETRIES}
  local counts, complete = {}, true
  local next_result = pool:imap_unordered(count_task, tasks, {progress = total >= SMALL and "wordcount"})
  while true do
    -- An error belongs to one range: the others are counted all the same.
    local ok, number, result = pcall(next_result)
    if not ok then
      complain(number)
      complete = false
    elseif not number then
      return complete and counts or nil
    else
      add_up(counts, result.counts)
      if result.problem then
        report(result.problem)
      end
    end
  end
end

local function count_serial(files)
  local counts = {}
  for _, file in ipairs(files) do
    count_range(file.path, 0, math.huge, counts)
  end
  return counts
end

-- Results ------------------------------------------------------------------------------------------

local function more_frequent(a, b)
  if a.count ~= b.count then
    return a.count > b.count
  end
  return a.word < b.word
end

-- The `n` most frequent words, without sorting all of them.
local function most_frequent(counts, n)
  local best = {}
  local function cut()
    table.sort(best, more_frequent)
    for i = #best, n + 1, -1 do
      best[i] = nil
    end
  end
  for word, count in pairs(counts) do
    best[#best + 1] = {word = word, count = count}
    if #best >= 2 * n + 1000 then
      cut()
    end
  end
  cut()
  return best
end

local function sum(counts)
  local words, different = 0, 0
  for _, count in pairs(counts) do
    words, different = words + count, different + 1
  end
  return words, different
end

local function show(counts, top, files, total)
  for _, entry in ipairs(most_frequent(counts, top)) do
    print(("%10d  %s"):format(entry.count, entry.word))
  end
  local words, different = sum(counts)
  print(("%10d  words, %d different, in %d %s of %d bytes"):format(
    words, different, #files, #files == 1 and "file" or "files", total))
end

-- Compares two tables of counts; returns true, or false and one difference.
local function compare(a, b)
  for _, pair in ipairs{{a, b}, {b, a}} do
    for word in pairs(pair[1]) do
      if a[word] ~= b[word] then
        return false, ("'%s' was counted %d times, in a serial run %d times"):format(word, a[word] or 0, b[word] or 0)
      end
    end
  end
  return true
end

-- The command line ---------------------------------------------------------------------------------

local function usage_error(...)
  complain(...)
  io.stderr:write(USAGE, "\n")
  os.exit(2)
end

local function parse(args)
  local options = {jobs = mp.cpu_count(), top = 20, check = false, paths = {}}
  local least = {["--jobs"] = 1, ["--top"] = 0}
  local i = 1
  while i <= #args do
    local name, value = args[i]:match("^(%-%-%a+)=(.*)$")
    name = name or args[i]
    if least[name] then
      if not value then
        i = i + 1
        value = args[i] or usage_error(name, " needs a number")
      end
      local number = value:match("^%d+$") and math.tointeger(tonumber(value))
      if not number or number < least[name] then
        usage_error(name, ": expected a whole number from ", least[name], ", got '", value, "'")
      end
      options[name:sub(3)] = number
    elseif args[i] == "--check" or args[i] == "--serial" then
      options[args[i]:sub(3)] = true
    elseif args[i] == "--help" or args[i] == "-h" then
      print(USAGE)
      os.exit(0)
    elseif args[i] == "--" then
      table.move(args, i + 1, #args, #options.paths + 1, options.paths)
      break
    elseif args[i]:sub(1, 1) == "-" then
      usage_error("unknown option '", args[i], "'")
    else
      options.paths[#options.paths + 1] = args[i]
    end
    i = i + 1
  end
  if #options.paths == 0 then
    usage_error("no files given")
  end
  return options
end

local function main(...)
  local options = parse({...})
  local status = 0
  local told = {}
  local function report(problem) -- once, though every range of a file may have met it
    status = 1
    if not told[problem] then
      told[problem] = true
      complain(problem)
    end
  end

  -- As wc does it: a file that cannot be read is reported, the others are counted, the status is 1.
  local files, total = {}, 0
  for _, path in ipairs(options.paths) do
    local size, problem = measure(path)
    if size then
      files[#files + 1] = {path = path, size = size}
      total = total + size
    else
      report(problem)
    end
  end

  local counts = options.serial and count_serial(files) or count_parallel(files, total, options.jobs, report)
  if not counts then
    complain("no result: a part of it could not be counted")
    return 1
  end
  show(counts, options.top, files, total)
  if options.check then
    local equal, difference = compare(counts, count_serial(files))
    if not equal then
      report("check failed: " .. difference)
    else
      print("check: a serial run counts the same")
    end
  end
  return status
end

os.exit(main(...))
