-- luamp.pool.steer: what a pool's owner does with it as a whole: start, resize, cancel, stop, count.
-- SPDX-License-Identifier: MIT
local mp, core = ...
local crew, engine = core.crew, core.engine
local MARK = core.worker.MARK
local time = mp.time

local SOON <const> = 1 -- seconds that a terminated worker has before it is killed

-- engine.start: the state of a new pool, and its workers. Raises when one cannot be started.
function engine.start(pool)
  pool.workers, pool.numbered = {}, 0
  crew.init(pool)
  pool.place = engine.place_in(pool)
  pool.backlog = {}
  pool.feeds, pool.shown, pool.callbacks = {}, {}, {}
  pool.functions, pool.next_function = setmetatable({}, { __mode = "k" }), 1
  pool.done, pool.failed, pool.retried, pool.buried, pool.young_deaths = 0, 0, 0, 0, 0
  pool.slowest, pool.slow_from = {}, 0
  pool.timed, pool.check_at = 0, 0
  for _ = 1, pool.processes do
    crew.start(pool)
  end
end

local function put_back(pool, batches)
  for i, batch in ipairs(batches) do
    table.insert(pool.backlog, i, batch)
  end
end

-- engine.resize: more workers at once; fewer when those that go have ended what they are at.
function engine.resize(pool, n)
  pool.processes = n
  while #pool.workers < n do
    crew.start(pool)
  end
  local open = {}
  for _, worker in ipairs(pool.workers) do
    if worker.open then
      open[#open + 1] = worker
    end
  end
  table.sort(open, function(a, b)
    return a.n < b.n
  end)
  for i = 1, #open - n do
    put_back(pool, crew.take_back(pool, open[i], math.huge))
    crew.retire(open[i])
  end
  engine.fill(pool)
end

local function given_of(pool, job)
  return crew.given(pool, function(batch)
    return batch.job == job
  end)
end

-- engine.cancel: takes a job back: true; false where it has begun or is done. `force` also stops what has begun.
function engine.cancel(pool, job, force)
  if job.done or job.got > 0 and not force then
    return false
  end
  for _, batch in ipairs(given_of(pool, job)) do
    if batch.worker then -- a queue that was emptied a moment ago has others with it
      put_back(pool, crew.take_back(pool, batch.worker, math.huge))
    end
  end
  local begun = given_of(pool, job)
  if begun[1] and not force then
    engine.fill(pool)
    return false
  end
  for _, batch in ipairs(begun) do
    engine.stop(pool, batch.worker, batch, "task cancelled")
  end
  engine.give_up(pool, job, "task cancelled")
  engine.fill(pool)
  return true
end

-- engine.break_up: no call on the pool will succeed from now on, but raise `err`.
function engine.break_up(pool, err)
  pool.broken = pool.broken or { err }
  local jobs = engine.jobs(pool)
  pool.backlog, pool.feeds = {}, {}
  for _, worker in ipairs(pool.workers) do
    crew.retire(worker)
    worker.process:terminate()
  end
  for job in pairs(jobs) do
    engine.give_up(pool, job, err)
  end
end

-- engine.terminate: stops everything; does not wait.
function engine.terminate(pool)
  if pool.state == "terminated" then
    return
  end
  pool.state, pool.terminated_at = "terminated", time()
  engine.break_up(pool, "pool terminated")
  pool.results:cancel()
end

-- engine.let_go: the same for a pool that is being collected, whose handles may be gone already.
function engine.let_go(pool)
  local pids = {}
  for _, worker in ipairs(pool.workers) do
    pids[worker.pid] = true
  end
  pool.state = "terminated"
  for _, process in ipairs(mp.active_children()) do
    if pids[process.pid] then
      process:terminate()
    end
  end
end

-- What iterators have in tables is worked through, for who reads them later; functions and ranges, which may have
-- no end, are not asked for more.
local function cut_feeds(pool)
  for i = #pool.feeds, 1, -1 do
    local job = pool.feeds[i]
    job.window = nil
    if job.yielded and not job.source.whole then
      engine.stop_feeding(pool, job)
      job.cut = true
    end
  end
end

-- engine.join: waits for the workers of a pool that was closed or terminated: true, or false and "timeout".
function engine.join(pool, deadline)
  if pool.state == "closed" then
    cut_feeds(pool)
    while engine.is_busy(pool) do
      engine.step(pool, deadline)
      if time() >= deadline and engine.is_busy(pool) then
        return false, "timeout"
      end
    end
    engine.poll(pool)
    engine.settle(pool)
  end
  for i = #pool.workers, 1, -1 do
    local process = pool.workers[i].process
    local ended = false
    if pool.terminated_at then
      ended = process:join(math.min(deadline, pool.terminated_at + SOON) - time())
      if not ended and time() < deadline then
        process:kill()
      end
    end
    if not ended and not process:join(deadline - time()) then
      return false, "timeout"
    end
    table.remove(pool.workers, i)
  end
  pool.watched = nil
  return true
end

-- engine.stats: see mp.Pool.stats.
function engine.stats(pool)
  local waiting = 0
  for job in pairs(engine.jobs(pool)) do
    if not job.dropped then
      waiting = waiting + (job.source and job.source.n or job.fed) - job.got
    end
  end
  local workers, slowest = {}, {}
  for i, worker in ipairs(pool.workers) do
    local marks, now = worker.marks, time()
    local ready = marks[MARK.READY] * 1e-9
    workers[i] = {
      name = worker.name, pid = worker.pid, done = worker.done,
      startup = (ready > 0 and ready or now) - worker.began,
      waited = marks[MARK.WAITED] * 1e-9, busy = marks[MARK.WORKED] * 1e-9,
    }
  end
  for i, one in ipairs(pool.slowest) do
    slowest[i] = { seconds = one.ns * 1e-9, index = one.index, tasks = one.tasks, worker = one.worker }
  end
  return {
    done = pool.done, failed = pool.failed, waiting = waiting, retried = pool.retried, replaced = pool.buried,
    workers = workers, slowest = slowest,
  }
end
