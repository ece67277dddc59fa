-- tests/main/compare.lua: luamp against lua5.4, one command line at a time.
-- SPDX-License-Identifier: MIT
--
-- usage: lua5.4 tests/main/compare.lua path/to/luamp [pattern of case names]
--
-- Both programs are started as `lua` (symbolic links in two directories), so messages that begin
-- with the program's name are equal without help. A case of the first table passes when standard
-- output, standard error and the status are those of lua5.4; a case whose reference does nothing
-- visible is an error of the test. The second table holds what only luamp has, the third sessions
-- at a terminal (through script(1)). Prints TAP, exits with 1 after any failure.

local luamp = assert(arg[1], "usage: compare.lua path/to/luamp [pattern]")
local wanted = arg[2] or ""
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local cases = require "compare_cases"
local sessions = require "compare_sessions"

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("\n$", ""))
end

local function write_file(name, text)
  local file <close> = assert(io.open(name, "wb"))
  assert(file:write(text))
end

local function read_file(name)
  local file <close> = io.open(name, "rb")
  return file and file:read("a") or ""
end

local temp = output_of("mktemp -d")
assert(temp ~= "", "no temporary directory")

local programs = {
  reference = output_of("command -v lua5.4"),
  luamp = luamp:find("/", 1, true) and output_of("realpath " .. quote(luamp)) or luamp,
}

-- A sanitizer reserves so much address space that memory cannot be limited.
local function is_sanitized(program)
  local image = read_file(program)
  return image:find("__asan_init", 1, true) or image:find("__tsan_init", 1, true)
end

local sanitized = is_sanitized(programs.luamp)

local function prepare()
  for side, program in pairs(programs) do
    assert(os.execute(("mkdir -p %s/%s %s/work/folder"):format(temp, side, temp)))
    assert(os.execute(("ln -s %s %s/%s/lua"):format(quote(program), temp, side)))
  end
  for name, text in pairs(cases.files) do write_file(temp .. "/work/" .. name, text) end
end

-- The shell command that runs `side` for a case, in the fixture directory and a bare environment.
local function command_for(side, case)
  local words = {"cd", temp .. "/work", "&& exec env", "-i",
    "HOME=" .. temp, "TERM=dumb", quote(("PATH=%s/%s:/usr/bin:/bin"):format(temp, side))}
  for _, name in ipairs {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"} do
    if os.getenv(name) then words[#words + 1] = quote(name .. "=" .. os.getenv(name)) end
  end
  for name, value in pairs(case.env or {}) do words[#words + 1] = quote(name .. "=" .. value) end
  words[#words + 1] = case.program or "lua"
  for _, word in ipairs(case) do words[#words + 1] = quote(word) end
  return table.concat(words, " ")
end

-- What differs in every run or by intent: addresses, how many frames a stack of a million slots
-- has room for, and the lines about luamp's own options.
local function normal(text)
  text = text:gsub("0x%x+", "ADDRESS"):gsub("skipping %d+ levels", "skipping levels")
  return (text:gsub("  %-%-%a[^\n]*\n", ""))
end

local function run(side, case)
  local out, err, input = temp .. "/out", temp .. "/err", temp .. "/in"
  write_file(input, case.stdin or "")
  local full = ("%s <%s >%s 2>%s"):format(command_for(side, case), input, out, err)
  local _, how, code = os.execute("timeout 20 sh -c " .. quote(full))
  return {out = read_file(out), err = read_file(err), status = how .. " " .. code}
end

local count, failures = 0, 0

local function report(name, problem)
  count = count + 1
  if not problem then
    print(("ok %d - %s"):format(count, name))
    return
  end
  failures = failures + 1
  print(("not ok %d - %s"):format(count, name))
  print("# " .. problem:gsub("\n", "\n# "))
end

local function difference(want, got)
  for _, what in ipairs {"status", "out", "err"} do
    if want[what] ~= got[what] then
      return ("%s: lua5.4 gave %q\n%s: luamp gave  %q"):format(what, want[what], what, got[what])
    end
  end
end

local function compare(case)
  local want, got = run("reference", case), run("luamp", case)
  if want.out == "" and want.err == "" and want.status == "exit 0" then
    return "lua5.4 shows nothing: this case cannot fail"
  elseif want.status == "exit 127" or want.status == "exit 124" then
    return "lua5.4 was not found or did not end: " .. want.err
  end
  for _, what in ipairs {"out", "err"} do
    want[what], got[what] = normal(want[what]), normal(got[what])
  end
  return difference(want, got)
end

-- `out` and `err` are whole texts, or patterns when they begin with "^".
local function matches(text, want)
  if want:sub(1, 1) == "^" then return text:find(want) ~= nil end
  return text == want
end

local function expect(case)
  local got = run("luamp", case)
  for _, what in ipairs {"status", "out", "err"} do
    local want = case.expect[what] or (what == "status" and "exit 0" or "")
    if not matches(got[what], want) then
      return ("%s: expected %q\n%s: luamp gave %q"):format(what, want, what, got[what])
    end
  end
end

-- A session: pairs of what to wait for and what to type then; ends with the wanted status.
local function converse(side, session)
  local log = temp .. "/log"
  os.remove(log)
  local inner = command_for(side, session)
  local pipe = assert(io.popen(("exec timeout 30 script -qefc %s %s >/dev/null 2>&1")
    :format(quote(inner), log), "w"))
  pipe:setvbuf("no")
  local from, problem = 1, nil
  for _, step in ipairs(session.steps) do
    local last
    for _ = 1, 500 do
      _, last = read_file(log):find(step[1], from)
      if last then break end
      os.execute("sleep 0.02")
    end
    if not last then
      problem = ("waited for %q, saw %q"):format(step[1], read_file(log):sub(from))
      break
    end
    from = last + 1
    if step[2] then
      os.execute("sleep 0.02") -- the prompt is out, the terminal is not yet set
      pipe:write(step[2])
    end
  end
  local _, how, code = pipe:close()
  local status = how .. " " .. code
  if not problem and status ~= session.status then
    problem = ("expected %s, got %s; saw %q"):format(session.status, status, read_file(log))
  end
  return problem
end

prepare()
for _, case in ipairs(cases.same) do
  local runs = not (sanitized and case.limited)
  if runs and case.name:find(wanted) then report(case.name, compare(case)) end
end
for _, case in ipairs(cases.own) do
  if case.name:find(wanted) then report("luamp: " .. case.name, expect(case)) end
end
for _, session in ipairs(sessions) do
  if session.name:find(wanted) then
    if not session.own then
      local problem = converse("reference", session)
      report("terminal, lua5.4: " .. session.name, problem)
    end
    report("terminal: " .. session.name, converse("luamp", session))
  end
end
print(("1..%d"):format(count))
os.execute("rm -rf " .. quote(temp))
if failures > 0 then
  print(("# %d of %d failed"):format(failures, count))
  os.exit(1)
end
