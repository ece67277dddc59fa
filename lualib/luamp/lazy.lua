-- luamp.lazy: what is loaded when it is first used; most programs make no pools.
-- SPDX-License-Identifier: MIT
local mp, core = ...

function mp.Pool(...)
  core.load("luamp.pool.") -- replaces this function
  return mp.Pool(...)
end

mp.pool = mp.Pool
