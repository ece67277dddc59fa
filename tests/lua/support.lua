-- SPDX-License-Identifier: MIT
-- Helpers of the specs: child scripts, polling with a watchdog, and checks of error messages.
--
-- No test here asserts an upper bound of time, and none sleeps to let something happen: what must become
-- true is polled for, and `patience` only turns a hang into a failure.

local mp = require "luamp"

local support = {patience = tonumber(os.getenv("LUAMP_PATIENCE")) or 30}

-- The interpreter that runs this, and the luamp executable (nil when neither LUAMP_EXE names it nor it is
-- what runs this).
local function interpreter()
  local first = 0
  while arg and arg[first - 1] do
    first = first - 1
  end
  return os.getenv("LUAMP_LUA") or (first < 0 and arg[first]) or "lua5.4"
end

support.lua = interpreter()

local function executable()
  local path = os.getenv("LUAMP_EXE") or (support.lua:match("luamp[^/]*$") and support.lua)
  local file <close> = path and io.open(path)
  return file and path or nil
end

support.luamp = executable()

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

support.quote = quote

-- Files -------------------------------------------------------------------------------------------

local scratch, made = {}, 0

-- A new path, removed by support.clean.
function support.path()
  local directory = os.getenv("TMPDIR") -- the test runner's, which it removes whatever happens
  made = made + 1
  local path = directory and ("%s/spec-%d-%d"):format(directory, mp.current_process().pid, made) or os.tmpname()
  scratch[#scratch + 1] = path
  return path
end

function support.write(text)
  local path = support.path()
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
  return path
end

function support.read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read("a") or ""
end

-- Waiting -----------------------------------------------------------------------------------------

-- Polls until predicate() is true, and returns what it returned.
function support.eventually(what, predicate)
  local give_up = mp.time() + support.patience
  while true do
    local value = predicate()
    if value then
      return value
    end
    if mp.time() > give_up then
      error("this never came true: " .. what, 2)
    end
    mp.sleep(0.003)
  end
end

-- The next message of a queue; fails instead of hanging.
function support.get(queue)
  local got = table.pack(queue:get(support.patience))
  if got.n ~= 1 then
    error(("no message: get returned %s, %s"):format(got[1], got[2]), 2)
  end
  return got[1]
end

-- Waits for the end of a process; fails instead of hanging. Returns the exit code.
function support.join(process)
  local ended, code = process:join(support.patience)
  if ended ~= true or code ~= nil then
    error(("%s did not end: join returned %s, %s"):format(tostring(process), ended, code), 2)
  end
  return process.exitcode
end

-- Like assert.is_true, for the inside of long loops.
function support.sure(condition)
  if not condition then
    error("this should be true", 2)
  end
end

-- Errors ------------------------------------------------------------------------------------------

-- Calls f, which must raise a string that contains all the given pieces (plain text, any case).
function support.raises(f, ...)
  local ok, message = pcall(f)
  if ok then
    error("no error was raised", 2)
  end
  if type(message) ~= "string" then
    error("the error is not a string: " .. tostring(message), 2)
  end
  for _, piece in ipairs{...} do
    if not message:lower():find(tostring(piece):lower(), 1, true) then
      error(("the error does not say '%s': %s"):format(piece, message), 2)
    end
  end
  return message
end

-- Child scripts -----------------------------------------------------------------------------------

-- The environment that lets a script find what this process found.
local function environment(options)
  local words = {
    "LUA_PATH_5_4=" .. quote(package.path),
    "LUA_CPATH_5_4=" .. quote(package.cpath),
  }
  for name, value in pairs(options.env or {}) do
    words[#words + 1] = name .. "=" .. quote(value)
  end
  return "env -u LUAMP_MEMORY -u LUAMP_LOG -u LUA_INIT -u LUA_INIT_5_4 " .. table.concat(words, " ") .. " "
end

local prelude = 'local mp = require "luamp" '

-- Runs a script (in which `mp` is luamp) to its end. Returns {status, out, err}; `out` and `err` are what
-- was written by the time the script's main process was gone. A status over 128 means a signal; 124 is
-- the watchdog. Options: exe, args (shell text), env (table), stdin (text), bare (no `mp`).
function support.run(text, options)
  options = options or {}
  local script = support.write((options.bare and "" or prelude) .. text)
  local out, err = support.path(), support.path()
  local stdin = options.stdin and support.write(options.stdin) or "/dev/null"
  local command = ("%stimeout -k 5 %d %s %s %s %s <%s >%s 2>%s"):format(environment(options), support.patience * 2,
    quote(options.exe or support.lua), options.options or "", script, options.args or "", stdin, out, err)
  local _, _, status = os.execute(command)
  return {status = status, out = support.read(out), err = support.read(err), script = script}
end

-- Runs a script that must succeed, and returns its standard output.
function support.output(text, options)
  local run = support.run(text, options)
  if run.status ~= 0 then
    error(("status %d, output:\n%s\nerrors:\n%s"):format(run.status, run.out, run.err), 2)
  end
  return run.out
end

-- Starts a script as the leader of a session of its own, and returns an object to deal with it:
-- `line()` reads a line that it wrote, `signal(name)` signals its process group, `finish()` waits for the
-- end of the main process and returns status, rest of the output, errors; the status is a number, or
-- minus a signal's number.
function support.start(text, options)
  options = options or {}
  local script = support.write(prelude .. "print(mp.current_process().pid) io.flush() " .. text)
  local err = support.path()
  local file = assert(io.popen(("exec %ssetsid -w %s %s </dev/null 2>%s"):format(
    environment(options), quote(options.exe or support.lua), script, err)))
  local running = {pid = assert(math.tointeger(tonumber(file:read("l"))), "the script did not start")}

  function running.line()
    return file:read("l")
  end

  function running.signal(name)
    os.execute(("kill -s %s -- -%d 2>/dev/null"):format(name, running.pid))
  end

  function running.finish()
    local pid = running.pid
    local ended = pcall(support.eventually, "the script ends", function() return not support.alive(pid) end)
    -- A survivor holds the pipe open: the rest is read when the session is empty, or was emptied by force.
    local left = {}
    if not pcall(support.eventually, "all processes end", function()
      left = support.session(pid)
      return #left == 0
    end) then
      running.signal("KILL")
    end
    local rest = file:read("a")
    local _, kind, status = file:close()
    if not ended or #left > 0 then
      error(("process %d or its children (%s) did not end; stderr:\n%s"):format(pid, table.concat(left, " "),
        support.read(err)), 2)
    end
    return kind == "signal" and -status or status, rest, support.read(err)
  end

  return running
end

-- Processes ---------------------------------------------------------------------------------------

local function stat(text)
  local state, rest = text:match("^%d+ %(.*%) (%a) (.*)$")
  return state, rest and math.tointeger(tonumber(rest:match("^%-?%d+ %-?%d+ (%-?%d+)")))
end

-- Whether a process exists and is not just waiting to be reaped.
function support.alive(pid)
  local state = stat(support.read(("/proc/%d/stat"):format(pid)))
  return state ~= nil and state ~= "Z" and state ~= "X"
end

-- The pids of the live processes of a session.
function support.session(leader)
  local pids = {}
  local list <close> = io.popen("cat /proc/[0-9]*/stat 2>/dev/null")
  for line in list:lines() do
    local state, session = stat(line)
    if session == leader and state ~= "Z" and state ~= "X" then
      pids[#pids + 1] = line:match("^%d+")
    end
  end
  return pids
end

function support.gone(pid)
  support.eventually(("process %d is gone"):format(pid), function() return not support.alive(pid) end)
end

function support.signal(name, pid)
  os.execute(("kill -s %s %d 2>/dev/null"):format(name, pid))
end

-- Whether this runs with a sanitizer, which reserves terabytes and catches SIGSEGV.
function support.sanitized()
  return tonumber(support.read("/proc/self/status"):match("VmSize:%s*(%d+)")) > 1 << 30 -- KiB
end

-- Seconds since the machine started, for times taken in different processes.
function support.uptime()
  return tonumber(support.read("/proc/uptime"):match("^%S+"))
end

-- Polls until a process sleeps in the kernel, as one that waits for luamp does.
function support.waiting(pid)
  support.eventually(("process %d waits"):format(pid), function()
    return stat(support.read(("/proc/%d/stat"):format(pid))) == "S"
  end)
end

-- Memory ------------------------------------------------------------------------------------------

-- What the family uses once all garbage of this process is collected.
function support.stats()
  collectgarbage()
  collectgarbage()
  return mp.stats()
end

-- Does something once to warm up, then `times` more, and fails unless memory and objects come back.
function support.gives_back(times, f)
  f()
  local before = support.stats()
  for _ = 1, times do
    f()
  end
  local after
  if not pcall(support.eventually, "", function()
    after = support.stats()
    return after.objects <= before.objects and after.memory <= before.memory
  end) then
    error(("not given back: objects %d -> %d, memory %d -> %d"):format(before.objects, after.objects,
      before.memory, after.memory), 2)
  end
end

-- For after_each: no process and no file of a test stays for the next one.
function support.clean()
  for _, process in ipairs(mp.active_children()) do
    process:kill()
    process:join()
  end
  for i, path in ipairs(scratch) do
    os.remove(path)
    scratch[i] = nil
  end
end

return support
