-- SPDX-License-Identifier: MIT
-- bench.lua: runs every program of workloads.lua in alternation and prints one table
-- of medians, spreads, ratios and floors. Started by run.sh, which has built the C
-- peers and passes their directory; see README.md.
local here = arg[0]:gsub("/?[^/]*$", "")
if here == "" then here = "." end
local rows = dofile(here .. "/workloads.lua")
for _, file in ipairs { "/numbers.lua", "/pipes.lua", "/dicts.lua", "/pools.lua" } do
  for _, row in ipairs(dofile(here .. file)) do rows[#rows + 1] = row end
end

local options = { timeout = 120 }

local USAGE <const> = [[
usage: sh tests/bench/run.sh [--rounds N] [--quick] [--only W1,W4] [--luamp PATH]
                             [--module PATH] [--python PATH] [--timeout S] [--list]
  --rounds N     runs of each program (default 5, with --quick 1)
  --quick        a tenth of the messages: does everything work?
  --only IDS     rows whose id begins with one of IDS
  --luamp PATH   the executable (default build/release/luamp, or the first of build/*)
  --module PATH  luamp.so for stock lua5.4 (default: beside the executable)
  --python PATH  the Python to compare with (default: the faster of those found)
  --timeout S    seconds until a program counts as hanging (default 120)
  --list         lists the rows and ends]]

local function usage(...)
  io.stderr:write("bench: ", string.format(...), "\n", USAGE, "\n")
  os.exit(2)
end

-- Shell -----------------------------------------------------------------------

local function quote(s)
  if s:find("^[%w_./:=,+%-]+$") then return s end
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function quote_all(list)
  local t = {}
  for i, s in ipairs(list) do t[i] = quote(s) end
  return table.concat(t, " ")
end

-- Runs a shell command, returns its trimmed output, or nil if it failed.
local function capture(command)
  local f <close> = assert(io.popen(command .. " 2>/dev/null"))
  local text = f:read("a"):gsub("%s+$", "")
  return f:close() and text or nil
end

local function executable(path)
  return os.execute("test -f " .. quote(path) .. " -a -x " .. quote(path)) == true
end

-- Options ---------------------------------------------------------------------

local function parse_options()
  local i = 1
  local function value()
    i = i + 1
    return arg[i] or usage("%s needs a value", arg[i - 1])
  end
  while arg[i] do
    local o = arg[i]
    if o == "--rounds" then
      options.rounds = math.tointeger(tonumber(value()))
      if not options.rounds or options.rounds < 1 then usage("--rounds needs a number") end
    elseif o == "--timeout" then
      options.timeout = tonumber(value()) or usage("--timeout needs a number")
    elseif o == "--quick" then
      options.quick = true
    elseif o == "--list" then
      options.list = true
    elseif o == "--only" then
      options.only = {}
      for id in value():gmatch("[^, ]+") do table.insert(options.only, id) end
    elseif o == "--luamp" or o == "--module" or o == "--python" or o == "--peers" then
      options[o:sub(3)] = value()
    elseif o == "--help" or o == "-h" then
      print(USAGE)
      os.exit(0)
    else
      usage("no such option: %s", o)
    end
    i = i + 1
  end
  options.rounds = options.rounds or (options.quick and 1 or 5)
end

local function selected(row)
  if not options.only then return true end
  for _, id in ipairs(options.only) do
    if row.id:sub(1, #id) == id then return true end
  end
  return false
end

-- What is installed -------------------------------------------------------------

local root = capture("cd " .. quote(here) .. "/../.. && pwd") or here .. "/../.."
local vars = { HERE = here }
local have = {}    -- what programs need → true
local missing = {} -- what programs need → why it is not there

local function find_luamp()
  local path = options.luamp
  if path then
    if not executable(path) then usage("no executable %s", path) end
  else
    local r = quote(root)
    path = capture("for f in " .. r .. "/build/release/luamp " .. r .. "/build/*/luamp; do "
      .. "if test -f $f -a -x $f; then echo $f; exit; fi; done; exit 1")
  end
  if not path then
    missing.luamp = "no build/*/luamp (build it, or give --luamp PATH)"
    return
  end
  vars.LUAMP = capture("realpath " .. quote(path)) or path
  have.luamp = true
  local module = options.module or vars.LUAMP:gsub("[^/]*$", "") .. "luamp.so"
  if capture("test -r " .. quote(module)) then
    vars.MODULE = capture("realpath " .. quote(module))
    have.module = true
  elseif options.module then
    usage("no file %s", module)
  else
    missing.module = "no luamp.so beside " .. vars.LUAMP
  end
end

local function median(list)
  local t = table.move(list, 1, #list, 1, {})
  table.sort(t)
  local m = #t // 2
  return #t % 2 == 1 and t[m + 1] or (t[m] + t[m + 1]) / 2
end

-- The Pythons on the machine, and of several the one whose Queue is fastest.
local function find_python()
  local found, seen = {}, {}
  for _, name in ipairs(options.python and { options.python } or { "python3", "/usr/bin/python3" }) do
    local answer = capture(quote(name) .. " -c 'import sys, platform, multiprocessing.synchronize;"
      .. " print(platform.python_version(), sys.executable)'")
    local version, path = (answer or ""):match("^(%S+) (/.+)$")
    local real = path and capture("realpath " .. quote(path))
    if real and not seen[real] then
      seen[real] = true
      found[#found + 1] = { path = path, version = version, rates = {} }
    end
  end
  if #found == 0 then
    if options.python then usage("%s is no Python with multiprocessing", options.python) end
    missing.python = "no python3 with multiprocessing"
    return "none"
  end
  for _ = 1, #found > 1 and 3 or 0 do
    for _, p in ipairs(found) do
      local text = capture(quote_all { p.path, here .. "/peers/py.py", "ints", "queue", "50000" })
      p.rates[#p.rates + 1] = tonumber(text and text:match("RESULT (%S+)")) or 0
    end
  end
  if #found > 1 then
    table.sort(found, function(a, b) return median(a.rates) > median(b.rates) end)
  end
  vars.PYTHON, have.python = found[1].path, true
  local text = found[1].version .. " " .. found[1].path
  for i = 2, #found do
    text = text .. string.format(" (%s %s is at %.2f of its Queue's rate)", found[i].version,
      found[i].path, median(found[i].rates) / median(found[1].rates))
  end
  return text
end

local function find_peers()
  vars.PEERS = options.peers or here .. "/peers"
  for _, name in ipairs { "pipe", "zmq", "spin", "fork", "spawn", "poll", "plain" } do
    if executable(vars.PEERS .. "/" .. name) then
      have[name] = true
    else
      missing[name] = name == "zmq" and "no libzmq to build with (libzmq3-dev)"
        or name == "plain" and "no Lua to build with (liblua5.4-dev)" or "not built"
    end
  end
  vars.LUA = capture("command -v lua5.4")
  if vars.LUA and capture(vars.LUA .. " -e 'require \"cqueues\"'") then
    have.cqueues = true
  else
    missing.cqueues = "no lua-cqueues for lua5.4"
  end
  local affinity = capture("taskset -cp $$")
  local cores = {}
  for first, last in ((affinity or ""):match(": (.*)$") or ""):gmatch("(%d+)%-?(%d*)") do
    for k = tonumber(first), tonumber(last) or tonumber(first) do cores[#cores + 1] = k end
  end
  vars.CORE, vars.OTHER = cores[1] and tostring(cores[1]), cores[2] and tostring(cores[2])
  have.taskset, have.two_cores = vars.CORE ~= nil, vars.OTHER ~= nil
  missing.taskset, missing.two_cores = "no taskset", "no second core, or no taskset"
end

-- One run -----------------------------------------------------------------------

-- Fills in a command's variables, in groups between "--": a group that needs what
-- is not there is left out.
local function expand(command)
  local n = options.quick and math.max(command.n // 10, 5) or command.n
  local group = {}
  local groups = { group }
  for _, word in ipairs(command) do
    if word == "--" then
      group = {}
      groups[#groups + 1] = group
    end
    local filled = word:gsub("%$(%u+)", function(name)
      if name == "N" then return tostring(n) end
      if not vars[name] then group.incomplete = true end
      return vars[name]
    end)
    group[#group + 1] = filled
  end
  local t = {}
  for _, g in ipairs(groups) do
    if not g.incomplete then table.move(g, 1, #g, #t + 1, t) end
  end
  return t
end

local failures = {}

-- Runs a program once: its results as {label = value}, or nil if it failed.
local function run(row, program)
  local command = quote_all(expand(program[2]))
  local errors = os.tmpname()
  local f <close> = assert(io.popen(string.format("timeout -k 5 %g %s 2>%s </dev/null", options.timeout,
    command, errors)))
  local results, n = {}, 0
  for line in f:lines() do
    local value, unit, label = line:match("^RESULT (%S+) (%S+) ?(.*)$")
    if value and unit == row.unit then
      results[label:gsub("_", " ")] = tonumber(value)
      n = n + 1
    end
  end
  local ok, _, code = f:close()
  local message = ""
  local e = io.open(errors)
  if e then
    message = e:read("a")
    e:close()
  end
  os.remove(errors)
  if ok and n > 0 then return results end
  if code == 124 or code == 137 then message = message .. "no end within " .. options.timeout .. " s\n" end
  if ok then message = message .. "no RESULT in " .. row.unit .. "\n" end
  failures[#failures + 1] = string.format("%s %s (status %s)\n    %s\n    %s", row.id, program[1],
    code, command, message:gsub("%s+$", ""):gsub("\n", "\n    "))
  return nil
end

-- The table ---------------------------------------------------------------------

local function human(x)
  local suffix = ""
  if x >= 1e6 then
    x, suffix = x / 1e6, "M"
  elseif x >= 1e4 then
    x, suffix = x / 1e3, "k"
  end
  local digits = x >= 100 and 0 or x >= 10 and 1 or 2
  return string.format("%." .. digits .. "f%s", x, suffix)
end

local function ratio_text(x)
  if x >= 100 then return string.format("%.0f", x) end
  if x >= 10 then return string.format("%.1f", x) end
  return string.format(x >= 1 and "%.2f" or "%.3f", x)
end

local FORMAT <const> = "%-8s %-36s %8s %18s  %-6s %8s %16s  %s"

local function print_line(...)
  print((string.format(FORMAT, ...):gsub("%s+$", "")))
end

local demands = { met = 0, total = 0, open = {} }

local function judge(row, what, ok)
  demands.total = demands.total + 1
  if ok then
    demands.met = demands.met + 1
    return "met"
  end
  table.insert(demands.open, row.id .. " " .. what)
  return "NOT MET"
end

local function spread(list, text)
  return text(math.min(table.unpack(list))) .. " .. " .. text(math.max(table.unpack(list)))
end

-- The floor demanded of `series`, judged: a text for the last column.
local function floor_text(row, series, ours, all)
  for _, floor in ipairs(row.floors or {}) do
    if floor[1] == series.program and (floor.label or "") == series.label then
      if floor.below then
        local base
        for _, s in ipairs(all) do
          if s.label == floor.base then base = s end
        end
        if not base then return "" end
        local difference = median(series.values) - median(base.values)
        return string.format("%+.2f %s  (< %g %s)  %s", difference, row.unit, floor.below,
          row.unit, judge(row, series.label, difference < floor.below))
      end
      if not ours or ours == series then return "" end
      local ratio = median(ours.values) / median(series.values)
      if floor.at_least then
        return string.format(">= %g  %s", floor.at_least,
          judge(row, "against " .. series.program, ratio >= floor.at_least))
      end
      return string.format("<= %s  %s", floor.text,
        judge(row, "against " .. series.program, ratio <= floor.at_most))
    end
  end
  return ""
end

local function report(row, all)
  local first = {} -- label → the series of ours that the others are compared with
  for _, s in ipairs(all) do
    if s.program == row.programs[1][1] and not first[s.label] then first[s.label] = s end
  end
  for _, s in ipairs(all) do
    local ours = first[s.label]
    local ratio, ratios = "", {}
    if ours and ours ~= s and row.id ~= "S1" then
      ratio = ratio_text(median(ours.values) / median(s.values))
      for round, v in pairs(s.by_round) do
        if ours.by_round[round] then table.insert(ratios, ours.by_round[round] / v) end
      end
    end
    local name = row.id == "S1" and s.label ~= "" and s.label
      or s.program .. (s.label ~= "" and " " .. s.label or "")
    print_line(row.id, name, human(median(s.values)), spread(s.values, human), row.unit, ratio,
      #ratios > 0 and spread(ratios, ratio_text) or "", floor_text(row, s, ours, all))
  end
end

-- Runs a row's programs in alternation, every second round backwards, and prints it.
local function measure(row)
  local programs = {}
  print()
  print(row.id .. "  " .. row.title)
  for _, program in ipairs(row.programs) do
    local command = program[2]
    local lacks = not have[command.needs] and command.needs
      or command.also and not have[command.also] and command.also
    if lacks then
      print_line(row.id, program[1], "skipped: " .. missing[lacks], "", "", "", "", "")
    else
      programs[#programs + 1] = program
    end
  end
  local all, index = {}, {}
  local failed = {}
  for round = 1, options.rounds do
    for k = 1, #programs do
      local program = programs[round % 2 == 1 and k or #programs + 1 - k]
      if os.getenv("BENCH_TTY") then
        io.stderr:write(string.format("\r\27[K%s round %d of %d: %s", row.id, round,
          options.rounds, program[1]))
      end
      local results = not failed[program] and run(row, program)
      if not results then failed[program] = true end
      for label, value in pairs(results or {}) do
        local key = program[1] .. "\0" .. label
        local s = index[key]
        if not s then
          s = { program = program[1], label = label, values = {}, by_round = {} }
          index[key] = s
          all[#all + 1] = s
        end
        table.insert(s.values, value)
        s.by_round[round] = value
      end
    end
  end
  if os.getenv("BENCH_TTY") then io.stderr:write("\r\27[K") end
  -- In the order of the row; labels in the order of the alphabet, S1's of its command.
  local place = {}
  for i, program in ipairs(row.programs) do
    place[program[1]] = i * 100
    for j, word in ipairs(program[2]) do
      place[program[1] .. "\0" .. word:gsub("_", " ")] = i * 100 + j
    end
  end
  local function key(s) return place[s.program .. "\0" .. s.label] or place[s.program] end
  table.sort(all, function(a, b)
    if key(a) ~= key(b) then return key(a) < key(b) end
    return a.label < b.label
  end)
  report(row, all)
  for _, program in ipairs(programs) do
    if failed[program] then print_line(row.id, program[1], "FAILED", "", "", "", "", "") end
  end
end

-- Main ----------------------------------------------------------------------------

parse_options()
if options.list then
  for _, row in ipairs(rows) do print(string.format("%-8s %s", row.id, row.title)) end
  os.exit(0)
end
io.stdout:setvbuf("line")
local known = false
for _, row in ipairs(rows) do known = known or selected(row) end
if not known then usage("--only names no row") end

find_luamp()
find_peers()
local python = find_python()
print("machine: " .. (capture("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1") or "?")
  .. ", " .. (capture("nproc") or "?") .. " cores, Linux " .. (capture("uname -r") or "?")
  .. ", load " .. (capture("cut -d ' ' -f 1-3 /proc/loadavg") or "?"))
print("luamp:   " .. (vars.LUAMP or "skipped: " .. missing.luamp))
if not have.module and have.luamp then print("module:  skipped: " .. missing.module) end
print("python:  " .. python)
print("rounds:  " .. options.rounds .. (options.quick and ", quick: figures mean little" or ""))
for _, word in ipairs { "debug", "asan", "tsan" } do
  if vars.LUAMP and vars.LUAMP:find(word, 1, true) then
    print("warning: " .. vars.LUAMP .. " does not look like a release build")
    break
  end
end
print()
print_line("workload", "program", "median", "min .. max", "unit", "ours/it", "by round", "floor")
for _, row in ipairs(rows) do
  if selected(row) then measure(row) end
end
print()
if demands.total > 0 then
  print(string.format("floors: %d of %d met%s", demands.met, demands.total,
    #demands.open > 0 and "; not met: " .. table.concat(demands.open, ", ") or ""))
end
print("load at the end: " .. (capture("cut -d ' ' -f 1-3 /proc/loadavg") or "?"))
if #failures > 0 then
  print()
  for _, text in ipairs(failures) do print("VERIFICATION FAILED: " .. text) end
  os.exit(1)
end
