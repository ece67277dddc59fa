-- SPDX-License-Identifier: MIT
-- luamp tests/crash/chaos_pool.lua KILLS [SEED]: workers of pools are killed at random moments during maps, KILLS
-- times with retries and as often without.
--
-- With retries every result is right and in order. Without, exactly the tasks fail that a killed worker had begun;
-- each error names worker, pid and signal; no task runs twice. `began` counts the runs of each task.
local mp = require "luamp"

local kills, seed = math.tointeger(arg[1]), math.tointeger(arg[2] or os.time())
local TASKS <const>, WORKERS <const>, RETRIES <const> = 400, 3, 3
local PATIENCE <const> = 60 -- seconds in which a map is over, or else something hangs
math.randomseed(seed)
print(("chaos_pool: %d kills, seed %d"):format(kills, seed))

local began = mp.Array("i", TASKS)
local killed = mp.Value("i")

local function fail(...)
  io.stderr:write("chaos_pool: ", string.format(...), "\n")
  os.exit(1)
end

-- Kills one of the last list of workers that it got, now and then.
local function killer(lists)
  local list = lists:get()
  while list do
    list = lists:get(math.random() * 0.006) or list
    if list == "stop" then
      return
    end
    local victim = list[math.random(#list)]
    if victim:is_alive() then
      victim:kill()
      killed:add(1)
    end
  end
end

local function task(i)
  began:add(i, 1)
  local x = i
  for _ = 1, 200 + i % 7 * 300 do
    x = x * 3 % 1000003
  end
  return i % 50 == 0 and ("%d"):format(i):rep(20000) or i * 2
end

local function right(i, value)
  return value == (i % 50 == 0 and ("%d"):format(i):rep(20000) or i * 2)
end

local function check_time(started)
  if mp.time() - started > PATIENCE then
    fail("a map of %d tasks took %.1f s", TASKS, mp.time() - started)
  end
end

-- A map with retries. A task that died with its worker each of RETRIES + 1 times may fail.
local function with_retries(pool, chunk)
  local started, given_up = mp.time(), 0
  local r = pool:map_async(task, mp.range(1, TASKS), chunk)
  while not r:wait(PATIENCE) do
    check_time(started)
  end
  local ok, list = pcall(r.get, r)
  if ok then
    for i = 1, TASKS do
      if not right(i, list[i]) then
        fail("result %d is %s", i, tostring(list[i]):sub(1, 50))
      end
    end
    return given_up
  end
  local most = 0
  for i = 1, TASKS do
    most = math.max(most, began[i])
  end
  if most <= RETRIES or not list:find("killed by signal 9", 1, true) then
    fail("with retries: %s (no task was begun more than %d times)", list, most)
  end
  return 1
end

local function without_retries(pool, chunk)
  local started, failed, at = mp.time(), 0, 0
  local next_of = pool:imap(task, mp.range(1, TASKS), chunk)
  while true do
    local ok, i, value = pcall(next_of)
    check_time(started)
    at = at + 1
    if ok and i == nil then
      break
    elseif ok then
      if i ~= at or not right(i, value) then
        fail("result %d at %d is %s", i, at, tostring(value):sub(1, 50))
      end
    else
      failed = failed + 1
      if not i:find("^worker 'PoolWorker%-%d+' %(pid %d+%) died: killed by signal 9 %(Killed%)$") then
        fail("task %d: %s", at, i)
      end
    end
    if at <= TASKS and began[at] ~= 1 and (ok or began[at] > 1) then
      fail("task %d was begun %d times", at, began[at])
    end
  end
  if at ~= TASKS + 1 then
    fail("%d tasks instead of %d", at - 1, TASKS)
  end
  return failed
end

local function rounds(what, retries, round)
  local lists = mp.Queue()
  local process = mp.spawn(killer, lists)
  local pool = mp.Pool{processes = WORKERS, retries = retries}
  local before, maps, failed = killed.value, 0, 0
  while killed.value - before < kills do
    lists:put(pool:workers())
    began:fill(0)
    failed = failed + round(pool, ({1, 1, 3, 10})[maps % 4 + 1])
    maps = maps + 1
  end
  lists:put("stop")
  process:join()
  local total = pool:map(function(x) return x end, mp.range(1, 100))
  if #total ~= 100 then
    fail("the pool is broken")
  end
  print(("%s: %d kills in %d maps of %d tasks, %d failed, %d tried again, %d workers replaced"):format(what,
    killed.value - before, maps, TASKS, failed, pool:stats().retried, pool:stats().replaced))
  pool:close()
  if not pool:join(PATIENCE) then
    fail("the workers do not end")
  end
end

local before = mp.stats()
rounds("with retries", RETRIES, with_retries)
rounds("without", 0, without_retries)
collectgarbage()
collectgarbage()
local after = mp.stats()
if after.processes ~= 1 then
  fail("%d processes are left", after.processes)
end
print(("memory %d -> %d, objects %d -> %d"):format(before.memory, after.memory, before.objects, after.objects))
