-- SPDX-License-Identifier: MIT
-- lock.lua COUNT [KIND]: acquires and releases a Lock (or an RLock) that nobody else wants.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local count = math.tointeger(arg[1])
local lock = mp[arg[2] or "Lock"]()
local t0 = mp.time()
for _ = 1, count do
  lock:acquire()
  lock:release()
end
local t = mp.time() - t0
common.check(not lock:locked(), "the lock is still held")
common.result(count / t, "/s")
