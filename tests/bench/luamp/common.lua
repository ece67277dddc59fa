-- SPDX-License-Identifier: MIT
-- What every luamp benchmark needs: the start gate, the result line and the
-- failed check. A benchmark's processes call `gate:enter()` when they are ready;
-- `gate:open()` starts the clock.
local mp = require "luamp"

local common = {}

local Gate = {}
Gate.__index = Gate

function common.gate()
  return setmetatable({ ready = mp.Queue(), go = mp.Queue(), done = mp.Queue() }, Gate)
end

-- In a child: says that it is ready, waits for the start.
function Gate:enter()
  self.ready:put("ready")
  common.check(self.go:get() == "go", "the gate opened with something else")
end

-- In a child: reports how many messages it has put.
function Gate:leave(count)
  self.done:put(count)
end

-- In the main process: waits for `n` children, starts them, returns the time.
function Gate:open(n)
  for _ = 1, n do
    common.check(self.ready:get() == "ready", "a child is not ready")
  end
  local t0 = mp.time()
  for _ = 1, n do self.go:put("go") end
  return t0
end

-- In the main process: waits until `n` children have left, returns the sum of
-- their counts.
function Gate:wait(n)
  local sum = 0
  for _ = 1, n do sum = sum + self.done:get() end
  return sum
end

function common.check(ok, ...)
  if not ok then
    io.stderr:write("VERIFICATION FAILED: ", string.format(...), "\n")
    for _, p in ipairs(mp.active_children()) do p:kill() end
    os.exit(1)
  end
end

-- Joins every process and checks that it ended well.
function common.join(processes)
  for _, p in ipairs(processes) do
    common.check(p:join(), "join did not return true")
    common.check(p.exitcode == 0, "%s ended with %s", p.name, p.exitcode)
  end
end

function common.result(value, unit, label)
  print(string.format("RESULT %.9g %s%s", value, unit, label and " " .. label or ""))
end

-- Prints the 50th and the 99th percentile of a list of seconds.
function common.percentiles(times)
  table.sort(times)
  common.result(times[math.ceil(#times * 0.50)] * 1e6, "us", "p50")
  common.result(times[math.ceil(#times * 0.99)] * 1e6, "us", "p99")
end

return common
