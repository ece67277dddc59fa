-- luamp.pool.watch: the owner's side of a pool: results are taken, deaths and time-outs seen to.
-- SPDX-License-Identifier: MIT
local mp, core = ...
local crew, engine = core.crew, core.engine
local RESULT, TASK, MARK = core.worker.RESULT, core.worker.TASK, core.worker.MARK
local task_get, time, wait = core.task_get, mp.time, mp.wait
local fail = engine.fail

local SPIN <const> = 0.002 -- seconds that are waited for results alone, before everything is watched
local CHECK <const> = 0.05 -- seconds between two looks at the workers while results keep coming
local FULL <const> = 0.01 -- seconds until the next try when the shared memory is full
local LOOKS <const> = mp.cpu_count() > 1 and 100 or 0 -- at the results of a call, before it is waited for
local POLL <const> = 1000 -- results that are dealt with in a call that does not wait
local YOUNG_DEATHS <const> = 5 -- workers in a row that die before they are ready
local SLOWEST <const> = 5

-- Deaths ------------------------------------------------------------------------------------------

-- Elements from..to of a batch as a batch of their own.
local function part(batch, from, to, tries)
  local job, n = batch.job, to - from + 1
  local value, kind = batch.value, batch.kind
  local at = kind & 15 == TASK.MANY and (batch.at or 1) + from - 1 or nil
  if kind & 15 == TASK.RANGE then
    value = { value[1] + (from - 1) * value[2], value[2] }
  end
  return { job = job, first = batch.first + from - 1, n = n, kind = kind, value = value, at = at, tries = tries }
end

-- Elements from..to were begun by a worker that died of `why`.
local function lost(pool, batch, from, to, why)
  if batch.tries < pool.retries then
    pool.retried = pool.retried + to - from + 1
    table.insert(pool.backlog, 1, part(batch, from, to, batch.tries + 1))
  else
    fail(pool, batch.job, batch.first + from - 1, to - from + 1, why)
  end
end

local function after_death(pool, batch, item, worker)
  if batch.job.dropped then
    return
  end
  local why = crew.death_of(worker)
  local stop = worker.stopped
  if stop and stop.seq == batch.seq then -- it was us
    local at = item > 0 and item or 1
    if at > 1 then
      fail(pool, batch.job, batch.first, at - 1, why .. ", stopped by the pool")
    end
    fail(pool, batch.job, batch.first + at - 1, 1, stop.why)
    item = at
  elseif item == 0 and not worker.cause and not batch.suspect then
    -- In the moment before its first element. A batch that kills as it is rebuilt does so again.
    batch.suspect = true
    table.insert(pool.backlog, 1, batch)
    return
  else
    if item == 0 then -- not rebuilt: the whole of it
      item = batch.n
    end
    lost(pool, batch, 1, math.min(item, batch.n), why)
  end
  if item < batch.n then
    table.insert(pool.backlog, 1, part(batch, item + 1, batch.n, batch.tries))
  end
end

local function start_missing(pool)
  while not pool.broken and #pool.workers < pool.processes do
    if pool.state == "terminated" or pool.state == "closed" and not engine.is_busy(pool) then
      return
    end
    local ok, err = pcall(crew.start, pool)
    if not ok then
      if #pool.workers == 0 or engine.is_interrupt(err) then
        error(err, 0)
      end
      return -- later
    end
  end
end

local function bury(pool, worker)
  local waiting, begun, item = crew.bury(pool, worker)
  local young = worker.marks[MARK.READY] == 0
  pool.young_deaths = young and pool.young_deaths + 1 or 0
  pool.buried = pool.buried + 1
  if pool.hot == worker then
    pool.hot = nil
  end
  for i = #waiting, 1, -1 do
    table.insert(pool.backlog, 1, waiting[i])
  end
  if begun then
    after_death(pool, begun, item, worker)
  end
  if pool.young_deaths >= YOUNG_DEATHS and not pool.broken then
    engine.break_up(pool, crew.death_of(worker) .. (pool.initializer and " (in the initializer)" or " (as it started)"))
  end
end

-- Results -----------------------------------------------------------------------------------------

local function note_slow(pool, batch, worker, took)
  local slowest = pool.slowest
  if #slowest == SLOWEST and took <= slowest[SLOWEST].ns then
    return
  end
  local at = #slowest + 1
  while at > 1 and slowest[at - 1].ns < took do
    at = at - 1
  end
  table.insert(slowest, at, { ns = took, index = batch.first, tasks = batch.n, worker = worker.name })
  slowest[SLOWEST + 1] = nil
end

-- Deals with one message of a worker.
local function receive(pool, seq, status, took, value, problem)
  if status == RESULT.INITIALIZER then
    return engine.break_up(pool, problem or value)
  end
  local batch = crew.batch(pool, seq)
  if not batch then
    return -- given up meanwhile
  end
  local worker = batch.worker
  if status == RESULT.UNDECODED then
    worker.cause = "it could not decode a task: " .. tostring(problem or value)
    return -- it ends, and is buried
  end
  crew.forget(pool, batch)
  if status == RESULT.UNKNOWN then
    crew.unknown(worker, batch.job.id)
    table.insert(pool.backlog, 1, batch)
    return engine.refill(pool, worker)
  end
  crew.paced(worker, took)
  if batch.job.adapts then
    local each = took / batch.n
    batch.job.pace = batch.job.pace and batch.job.pace * 0.75 + each * 0.25 or each
  end
  worker.done = worker.done + batch.n
  pool.hot, pool.young_deaths = worker, 0
  if took > pool.slow_from then
    note_slow(pool, batch, worker, took)
    pool.slow_from = #pool.slowest == SLOWEST and pool.slowest[SLOWEST].ns or 0
  end
  if problem then
    fail(pool, batch.job, batch.first, batch.n, "the result could not be decoded: " .. problem)
  else
    engine.deliver(pool, batch, status, value)
  end
  if worker.n * 2 <= worker.depth then -- a worker that sleeps is woken for many, not for each
    engine.refill(pool, worker)
  end
end

-- Takes one message; false: none came within `seconds`.
local function take(pool, seconds)
  local ok, seq, status, took, value, problem = pcall(task_get, pool.results, seconds, pool.marks, pool.place)
  if ok then
    if seq then
      receive(pool, seq, status, took, value, problem)
    end
    return seq ~= nil
  end
  -- A signal, or no memory for the message that was taken, which is marked.
  local batch = crew.batch(pool, pool.marks[MARK.SEQ])
  if batch then
    crew.forget(pool, batch)
    fail(pool, batch.job, batch.first, batch.n, "the result could not be decoded: " .. tostring(seq))
    if not engine.is_interrupt(seq) then
      return true
    end
  end
  error(seq, 0)
end

-- Time --------------------------------------------------------------------------------------------

-- Stops a worker that is at `batch`: true, unless it has gone on meanwhile.
function engine.stop(pool, worker, batch, why)
  for i, other in ipairs(crew.take_back(pool, worker, math.huge)) do
    table.insert(pool.backlog, i, other)
  end
  -- Nothing that it could begin before the kill is left in its queue.
  if worker.marks[MARK.SEQ] ~= batch.seq or batch.worker ~= worker then
    return false
  end
  worker.stopped = { seq = batch.seq, why = why }
  worker.open = false
  worker.process:kill()
  return true
end

-- Stops who is over the time of a task; returns when to look again.
local function check_times(pool, now)
  local alarm = math.huge
  local timed = crew.given(pool, function(batch)
    return batch.job.timeout and not batch.worker.stopped
  end)
  for _, batch in ipairs(timed) do
    local worker, timeout = batch.worker, batch.job.timeout
    local left = math.max(0.005, timeout / 4) -- it was not begun
    if worker and worker.marks[MARK.SEQ] == batch.seq then -- the number first: the time is not that of one before
      left = worker.marks[MARK.SINCE] * 1e-9 + timeout - now
    end
    if worker and left <= 0 then
      local why = ("task timed out after %s s (worker '%s' (pid %d) was stopped)"):format(
        timeout, worker.name, worker.pid)
      engine.stop(pool, worker, batch, why)
      alarm = now
    else
      alarm = math.min(alarm, now + left)
    end
  end
  return alarm
end

-- Looks after workers, time-outs and progress; returns when to look again at the latest.
local function look(pool, now)
  pool.check_at = now + CHECK
  for i = #pool.workers, 1, -1 do
    local worker = pool.workers[i]
    if worker and not worker.process:is_alive() then
      while take(pool, 0) do end -- what it put before
      if pool.workers[i] == worker then
        bury(pool, worker)
      end
    end
  end
  start_missing(pool)
  engine.fill(pool)
  for _, worker in ipairs(pool.workers) do
    if worker.n == 0 then
      engine.rebalance(pool, worker)
    end
  end
  engine.settle(pool)
  local alarm = pool.timed > 0 and check_times(pool, now) or math.huge
  for i = #pool.feeds, 1, -1 do
    local job = pool.feeds[i]
    if job and job.abandoned then -- its iterator was collected
      engine.stop_feeding(pool, job)
    end
  end
  for _, job in ipairs(pool.shown) do
    job.progress:update(job.got, now)
    alarm = math.min(alarm, now + 0.2)
  end
  return pool.full and math.min(alarm, now + FULL) or alarm
end

local function run_callbacks(pool)
  while pool.callbacks[1] do
    local job = table.remove(pool.callbacks, 1)
    local ok, err = pcall(core.pool_callback, job)
    if engine.is_interrupt(err) and not ok then
      error(err, 0)
    elseif not ok then
      io.stderr:write("luamp: a callback of a pool failed: ", tostring(err), "\n")
    end
  end
end

-- Going on ----------------------------------------------------------------------------------------

-- engine.watched: what is to be waited for together with other things; engine.alarm: looks after everything, and
-- tells until when to wait at the latest.
local function watched(pool)
  if not pool.watched then
    local list = { pool.results }
    for _, worker in ipairs(pool.workers) do
      list[#list + 1] = worker.process
    end
    pool.watched = list
  end
  return pool.watched
end
engine.watched = watched

function engine.alarm(pool)
  return look(pool, time())
end

-- Takes what is there, until the job (if one is given) is done.
local function take_all(pool, job, most)
  for _ = 1, most do
    if job and job.done or not take(pool, 0) then
      break
    end
  end
  local now = time()
  if now >= pool.check_at then
    look(pool, now)
  end
  if pool.callbacks[1] then
    run_callbacks(pool)
  end
end

-- engine.step: does what there is to do, waiting for it until `deadline`; false when there was nothing. Comes back
-- soon when `job` is done.
function engine.step(pool, deadline, job)
  if take(pool, deadline == math.huge and SPIN or math.min(SPIN, deadline - time())) then
    take_all(pool, job, 64)
    return true
  end
  pool.news = false
  local alarm = look(pool, time())
  run_callbacks(pool)
  local now = time()
  if pool.news or now >= deadline then -- what is waited for may be there
    return pool.news
  end
  if not pool.workers[1] and not engine.is_busy(pool) then
    return false -- nothing will come
  end
  wait(watched(pool), math.min(deadline, alarm) - now)
  return true
end

-- engine.poll: the same without waiting, for what is there, as far as that is not too much.
function engine.poll(pool)
  take_all(pool, nil, POLL)
end

-- engine.finish: goes on until the job is done: true; false: not by the deadline.
function engine.finish(pool, job, deadline)
  -- A short call is over sooner than a sleep would be.
  for _ = 1, job.packs and LOOKS or 0 do
    if job.done then
      break
    elseif take(pool, 0) then
      take_all(pool, job, 64)
    end
  end
  while not job.done do
    if not engine.step(pool, deadline, job) and not job.done and time() >= deadline then
      return false
    end
  end
  if pool.callbacks[1] then
    run_callbacks(pool)
  end
  return true
end

