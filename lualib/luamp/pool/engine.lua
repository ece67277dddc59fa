-- luamp.pool.engine: the owner's side of a pool: jobs become batches, batches go to workers, results come back.
-- SPDX-License-Identifier: MIT
--
-- There is no thread: all of this happens in calls of the owner on the pool or its results, each of which goes on
-- by engine.step until it has what it wants. Workers have several batches each, so they go on meanwhile.
--   E1 A batch is in one place: in pool.backlog, with one worker (pool.slots), or delivered.
--   E2 job.got counts the elements that have a result or an error; each gets one, once.
--   E3 What happens to a batch whose worker died: what was not begun is given to another worker; what was is
--      tried again, `retries` times, and fails then.
local _, core = ...
local crew = core.crew
local RESULT, TASK = core.worker.RESULT, core.worker.TASK

local AHEAD <const> = 1024 -- batches of a job that nobody waits for, with each worker
local STEAL <const> = 1e5 -- nanoseconds of waiting work that are worth taking back

local VALUE <const> = RESULT.VALUE

local engine = { NIL = {} } -- NIL: a result that is nil, where it must be told from one that is not there

-- Ctrl-C must not end as the error of a task.
function engine.is_interrupt(err)
  return type(err) == "string" and err:find("interrupted!", 1, true) ~= nil
end

-- Delivering --------------------------------------------------------------------------------------

local function complete(pool, job)
  job.done, pool.news = true, true
  if job.timeout then
    pool.timed = pool.timed - 1
  end
  if job.progress then
    crew.remove(pool.shown, job)
    job.progress:finish(job.got)
  end
  if job.callback or job.error_callback then
    table.insert(pool.callbacks, job)
  end
end

local function got(pool, job, count)
  job.got, pool.news = job.got + count, true
  if job.exhausted and job.got >= job.fed and not job.done then
    complete(pool, job)
  end
end

-- Notes in which order elements get their results; the list is emptied from the front by who reads it.
local function note_order(job, at)
  local order = job.order
  if order then
    order.last = order.last + 1
    order[order.last] = at
  end
end

-- An error for `count` elements from `first` on.
function engine.fail(pool, job, first, count, err)
  job.errors = job.errors or {}
  for i = first, first + count - 1 do
    job.errors[i] = { err } -- boxed: nil may be raised, too
    note_order(job, i)
  end
  pool.failed = pool.failed + count
  got(pool, job, count)
end

-- The result or the error of each element of a batch. An iterator's job takes note of results that are nil.
local function put_results(job, first, n, out, errors)
  local results, failed = job.results, 0
  for i = 1, n do
    local at = first + i - 1
    if errors and errors[i] then
      job.errors[at], failed = errors[i], failed + 1
    elseif out[i] == nil and job.yielded then
      results[at] = engine.NIL
    else
      results[at] = out[i]
    end
    note_order(job, at)
  end
  return failed
end

function engine.deliver(pool, batch, status, value)
  local job, first, n, failed = batch.job, batch.first, batch.n, 0
  if status == VALUE and not job.packs and not job.yielded then
    job.results[first] = value
  elseif status >= RESULT.ERROR then
    return engine.fail(pool, job, first, n, value)
  elseif job.packs then
    job.pack = status == RESULT.PACK and value or { value, n = 1 }
  elseif status == RESULT.LIST and not job.yielded then
    if value ~= job.results then
      table.move(value, 1, n, first, job.results)
    end
  elseif status == RESULT.LIST then
    put_results(job, first, n, value)
  elseif status == RESULT.MIXED then
    job.errors = job.errors or {}
    failed = put_results(job, first, n, value[1], value[2])
  else
    put_results(job, first, 1, status == RESULT.PACK and value or { value })
  end
  pool.failed, pool.done = pool.failed + failed, pool.done + n - failed
  return got(pool, job, n)
end

-- Where the results of a batch go, if they are a long list: at once into their places.
function engine.place_in(pool)
  return function(seq, status)
    local batch = status == RESULT.LIST and crew.batch(pool, seq)
    if batch and not batch.job.yielded then
      return batch.job.results, batch.first, batch.n
    end
  end
end

-- Job and pool at their ends ----------------------------------------------------------------------

-- Nothing more is fed to the workers of a job.
function engine.stop_feeding(pool, job)
  job.exhausted = true
  crew.remove(pool.feeds, job)
end

-- The jobs that are not done: by E1 each has something in one of these places.
function engine.jobs(pool)
  local jobs = {}
  for _, job in ipairs(pool.feeds) do
    jobs[job] = true
  end
  for _, batch in ipairs(pool.backlog) do
    jobs[batch.job] = true
  end
  for _, batch in ipairs(pool.slots) do
    if batch then
      jobs[batch.job] = true
    end
  end
  return jobs
end

-- What is still to come of a job will not: `err` for all of it. Its batches are dropped.
function engine.give_up(pool, job, err)
  if job.done then
    return
  end
  engine.stop_feeding(pool, job)
  local with = crew.given(pool, function(batch)
    return batch.job == job
  end)
  for _, batch in ipairs(with) do
    crew.forget(pool, batch)
  end
  job.dropped = true -- what is in the backlog
  job.failure = { err }
  complete(pool, job)
end

-- Feeding -----------------------------------------------------------------------------------------

-- The next batch of a job, or nil: there is none, now or ever (job.exhausted).
local function next_of(pool, job)
  local source, first = job.source, job.fed + 1
  local n, kind, value, at = source:take(first, job)
  if n == 0 then
    job.exhausted = true
    if source.problem then
      job.fed = first
      engine.fail(pool, job, first, 1, source.problem[1])
    else
      got(pool, job, 0)
    end
    return nil
  end
  job.fed = first + n - 1
  job.exhausted = job.fed == source.n
  return { job = job, first = first, n = n, kind = kind | job.flags, value = value, at = at, tries = 0 }
end

-- The same where a function of the script's is called, which may use the pool.
local function pull_of(pool, job)
  job.feeding = true
  local ok, batch = pcall(next_of, pool, job)
  job.feeding = false
  if not ok then
    error(batch, 0)
  end
  return batch
end

local function may_feed(job)
  return not job.exhausted and not job.feeding and (not job.window or job.fed - job.yielded < job.window(job))
end

-- The batch that is to be given out next.
local function next_batch(pool)
  while pool.backlog[1] do
    local batch = table.remove(pool.backlog, 1)
    if not batch.job.dropped then
      return batch
    end
  end
  local feeds = pool.feeds
  for i = 1, #feeds do
    local job = feeds[i]
    if job and may_feed(job) then
      local batch
      if job.source.pulls then
        batch = pull_of(pool, job)
      else
        batch = next_of(pool, job)
      end
      if job.exhausted then
        engine.stop_feeding(pool, job)
      end
      if batch then
        return batch
      elseif job.exhausted then
        return next_batch(pool)
      end
    end
  end
end

-- A batch could not be encoded: whose fault is it?
local function unsendable(pool, batch, err)
  local job = batch.job
  local ok, why = pcall(core.task_check, job.f, "function")
  if not ok or (batch.kind & 15) == TASK.RANGE then
    return engine.fail(pool, job, batch.first, batch.n, ok and err or why)
  elseif batch.n == 1 and (batch.kind & 15) ~= TASK.MANY then
    local root = not job.packs and ("list[%d]"):format(batch.first) or batch.kind == TASK.CALL and "args[1]" or "args"
    ok, why = pcall(core.task_check, batch.value, root)
    return engine.fail(pool, job, batch.first, 1, ok and err or why)
  end
  for i = batch.n, 1, -1 do -- element by element: those that can be sent are
    local single = {
      job = job, first = batch.first + i - 1, n = 1, kind = job.single, value = batch.value[(batch.at or 1) + i - 1],
      tries = batch.tries,
    }
    table.insert(pool.backlog, 1, single)
  end
end

-- Gives the batch to the worker; false: not now.
local function give(pool, worker, batch)
  local ok, sent, code = pcall(crew.give, pool, worker, batch)
  if not ok then
    crew.forget(pool, batch)
    worker.left = worker.left + 1
    if engine.is_interrupt(sent) then
      table.insert(pool.backlog, 1, batch)
      error(sent, 0)
    end
    unsendable(pool, batch, sent)
  elseif code == "toolarge" then
    engine.fail(pool, batch.job, batch.first, batch.n, "the task is too large for the family's shared memory")
  elseif not sent then
    table.insert(pool.backlog, 1, batch)
    pool.full = true
    return false
  end
  return true
end

-- The open worker with the least to do, if that is less than its depth (or `limit`).
local function idlest(pool, limit)
  local hot = pool.hot
  if hot and hot.n == 0 and hot.open then
    return hot
  end
  local best
  for _, worker in ipairs(pool.workers) do
    if worker.open and worker.n < (limit or worker.depth) and (not best or worker.n < best.n) then
      best = worker
      if best.n == 0 then
        break
      end
    end
  end
  return best
end

-- Idle workers get what others have waiting.
function engine.rebalance(pool, idle)
  local busy = crew.busiest(pool, STEAL)
  if not busy or busy == idle or not idle.open then
    return
  end
  for _, batch in ipairs(crew.take_back(pool, busy, busy.n // 2)) do
    give(pool, idle, batch)
  end
end

-- Gives out what can be given out.
function engine.fill(pool, limit)
  pool.full = false
  while not pool.broken do
    local worker = idlest(pool, limit)
    local batch = worker and next_batch(pool)
    if not batch or not give(pool, worker, batch) then
      return
    end
  end
end

-- The same for one worker, from which a result came.
function engine.refill(pool, worker)
  while worker.open and worker.n < worker.depth do
    local batch = next_batch(pool)
    if not batch then
      if worker.n == 0 and pool.given > 0 then
        engine.rebalance(pool, worker)
      end
      return
    elseif not give(pool, worker, batch) then
      return
    end
  end
end

-- Jobs --------------------------------------------------------------------------------------------

local function begin(pool, job)
  local id = pool.functions[job.f]
  if not id then
    id = pool.next_function
    pool.next_function = id + 1
    pool.functions[job.f] = id
  end
  job.id, job.fed, job.got, job.done = id, 0, 0, false
  if job.timeout then
    pool.timed = pool.timed + 1
  end
  if job.progress then
    table.insert(pool.shown, job)
  end
end

-- engine.submit: takes on a job: {f, source, single, flags, yielded = 0 for an iterator's, order = {last = 0} where
-- results come as they may, window, timeout, progress, callbacks}. With `ahead`, nobody may look after it for a
-- while: workers get many batches.
function engine.submit(pool, job, ahead)
  begin(pool, job)
  job.results = core.task_list(not job.yielded and job.source.n or 0)
  job.root = "list"
  job.exhausted = job.source.n == 0
  if job.exhausted then
    got(pool, job, 0)
  else
    table.insert(pool.feeds, job)
    engine.fill(pool, ahead and AHEAD or nil)
  end
  return job
end

-- engine.call: the same for one call of job.f, with a list of arguments; all its results become job.pack.
function engine.call(pool, job, args, ahead)
  begin(pool, job)
  job.packs, job.root, job.fed, job.exhausted = true, "args", 1, true
  local batch = { job = job, first = 1, n = 1, kind = TASK.APPLY, value = args, tries = 0 }
  if args.n == nil and #args == 1 then
    batch.kind, batch.value = TASK.CALL, args[1]
  end
  local worker = not pool.backlog[1] and not pool.feeds[1] and idlest(pool, ahead and AHEAD)
  if worker then
    give(pool, worker, batch)
  else
    table.insert(pool.backlog, batch)
    engine.fill(pool, ahead and AHEAD)
  end
  return job
end

-- engine.is_busy: there are tasks that have no result yet, and will get one without another call.
function engine.is_busy(pool)
  return pool.backlog[1] ~= nil or pool.given > 0 or pool.feeds[1] ~= nil
end

-- A closed pool that has nothing more to do lets its workers go.
function engine.settle(pool)
  if pool.state == "closed" and not engine.is_busy(pool) then
    for _, worker in ipairs(pool.workers) do
      crew.retire(worker)
    end
  end
end

core.engine = engine
