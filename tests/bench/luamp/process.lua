-- SPDX-License-Identifier: MIT
-- process.lua COUNT: starts and joins a process that does nothing, COUNT times.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local count = math.tointeger(arg[1])
mp.set_start_method("fork")

local function nothing() end

-- Not timed: a child that really runs.
local probe = mp.Process(function() os.exit(7) end):start()
probe:join()
common.check(probe.exitcode == 7, "the child did not run: %s", probe.exitcode)

local t0 = mp.time()
for _ = 1, count do
  local p = mp.Process(nothing):start()
  p:join()
  if p.exitcode ~= 0 then common.check(false, "exit code %s", p.exitcode) end
end
local t1 = mp.time()
common.check(#mp.active_children() == 0, "children are left")
common.result(count / (t1 - t0), "/s")
