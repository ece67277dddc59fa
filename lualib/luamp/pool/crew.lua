-- luamp.pool.crew: the workers of a pool, as its owner sees them: who has which task, who is alive.
-- SPDX-License-Identifier: MIT
--
-- A batch is what is sent at once: {job, first, n, kind, value, at, tries}; where the value is a list, the elements
-- from `at` on. It is given to one worker, by name: its slot in pool.slots and batch.worker say so before it is put
-- into that worker's queue. What is still in the queue was not begun, and can be taken back by whoever gets it
-- out; so tasks move from a dead or a busy worker to another. The number of a batch, new each time it is given,
-- is `count << 20 | slot`.
local mp, core = ...
local task_put, task_get = core.task_put, core.task_get
local TASK, MARK = core.worker.TASK, core.worker.MARK
local MANY <const> = TASK.MANY

local FUNCTIONS <const> = 64 -- a worker knows so many functions at once
local SLOT <const> = 20 -- bits
local MASK <const> = (1 << 20) - 1
local FIRST_DEPTH <const>, LAST_DEPTH <const> = 2, 128 -- batches that a worker has at once
local AHEAD <const> = 1e6 -- nanoseconds of work that it has at least, then

local SIGNALS <const> = {
  [2] = "Interrupt", [4] = "Illegal instruction", [6] = "Aborted", [7] = "Bus error", [8] = "Floating point exception",
  [9] = "Killed", [11] = "Segmentation fault", [13] = "Broken pipe", [15] = "Terminated",
  [24] = "CPU time limit exceeded",
}

local crew = {}

-- crew.remove: takes `x` out of the list, once, if it is there.
function crew.remove(list, x)
  for i, other in ipairs(list) do
    if other == x then
      table.remove(list, i)
      return
    end
  end
end

-- Starting ----------------------------------------------------------------------------------------

-- Starts one more worker. Raises what keeps a process from being started.
function crew.start(pool)
  pool.numbered = pool.numbered + 1
  local worker = {
    name = ("%s-%d"):format(pool.prefix, pool.numbered),
    tasks = mp.Queue(), marks = mp.Array("q", MARK.COUNT),
    n = 0, -- batches that it has
    known = {}, known_list = {}, -- functions that were sent, oldest first
    left = pool.maxtasks or math.huge, -- batches that it may still be given
    open = true, depth = FIRST_DEPTH, pace = 0, -- nanoseconds a batch takes, about
    done = 0, began = mp.time(),
  }
  worker.process = mp.Process({
    target = core.worker.work, name = worker.name, daemon = true, start_method = pool.start_method,
    args = { worker.tasks, pool.results, worker.marks, pool.initializer, pool.initargs, n = 5 },
  }):start()
  worker.pid = worker.process.pid
  table.insert(pool.workers, worker)
  pool.watched = nil
  return worker
end

-- No more tasks for it: it ends when its queue is empty.
function crew.retire(worker)
  if worker.open then
    worker.open = false
    worker.tasks:close()
  end
end

-- Giving ------------------------------------------------------------------------------------------

-- Sends the worker a function; true, or false and a code.
local function teach(worker, seq, id, f)
  local list = worker.known_list
  if #list >= FUNCTIONS then
    local sent, code = task_put(worker.tasks, seq, TASK.FORGET, list[1], nil, 0)
    if not sent then
      return false, code
    end
    worker.known[table.remove(list, 1)] = nil
  end
  local sent, code = task_put(worker.tasks, seq, TASK.FUNCTION, id, f, 0, "function")
  if sent then
    worker.known[id] = true
    list[#list + 1] = id
  end
  return sent, code
end

-- crew.init: no batch is given to anybody.
function crew.init(pool)
  pool.slots, pool.given = {}, 0
  pool.free, pool.nfree = {}, 0 -- slots
  pool.count = 0
end

-- crew.batch: the batch of that number, unless it is with nobody any more.
function crew.batch(pool, seq)
  local batch = pool.slots[seq & MASK]
  return batch and batch.seq == seq and batch or nil
end

local function new_seq(pool, batch)
  local slot
  if pool.nfree > 0 then
    slot = pool.free[pool.nfree]
    pool.nfree = pool.nfree - 1
  else
    slot = #pool.slots + 1
  end
  pool.slots[slot] = batch
  pool.count = pool.count + 1
  return pool.count << SLOT | slot
end

-- crew.give: true; false and a code when it was not sent; raises when it cannot be, and then it is still the
-- worker's: crew.forget.
function crew.give(pool, worker, batch)
  local seq = new_seq(pool, batch)
  batch.seq, batch.worker = seq, worker
  worker.n, pool.given = worker.n + 1, pool.given + 1
  worker.left = worker.left - 1
  local job = batch.job
  local id = job.id
  local sent, code = true, nil
  if not worker.known[id] then
    sent, code = teach(worker, seq, id, job.f)
  end
  if sent then
    local at = batch.kind & 15 == MANY and (batch.at or 1) or nil
    sent, code = task_put(worker.tasks, seq, batch.kind, id << 32 | batch.n, batch.value, 0, job.root, at, batch.n)
  end
  if not sent then
    crew.forget(pool, batch)
    worker.left = worker.left + 1
  elseif worker.left <= 0 then
    crew.retire(worker)
  end
  return sent, code
end

-- The batch is with its worker no longer.
function crew.forget(pool, batch)
  local worker = batch.worker
  if worker then
    local slot, nfree = batch.seq & MASK, pool.nfree + 1
    pool.slots[slot] = false
    pool.free[nfree], pool.nfree = slot, nfree
    worker.n, pool.given = worker.n - 1, pool.given - 1
    batch.worker = nil
  end
end

-- crew.given: the batches that are with workers and for which `which` is true.
function crew.given(pool, which)
  local list = {}
  for _, batch in ipairs(pool.slots) do
    if batch and which(batch) then
      list[#list + 1] = batch
    end
  end
  return list
end

-- Learns from a result how fast the worker is, and so how much it should have at once.
function crew.paced(worker, took)
  local pace = worker.pace
  pace = pace == 0 and took or pace + (took - pace) * 0.125
  worker.pace = pace
  local depth = FIRST_DEPTH + AHEAD // (pace + 1)
  worker.depth = depth < LAST_DEPTH and depth or LAST_DEPTH
end

-- Taking back -------------------------------------------------------------------------------------

-- The worker will not know, or does not know, a function that it was sent.
function crew.unknown(worker, id)
  worker.known[id] = nil
  crew.remove(worker.known_list, id)
end

-- Takes up to `most` batches that the worker has not begun back out of its queue, oldest first. A function between
-- them is lost to those behind it, which the worker may be taking at this moment: it sends these back itself.
function crew.take_back(pool, worker, most)
  local list = {}
  while #list < most do
    local seq, kind, extra = task_get(worker.tasks, 0)
    if not seq then
      break
    end
    local batch = crew.batch(pool, seq)
    if kind == TASK.FUNCTION then
      crew.unknown(worker, extra)
    elseif batch and kind ~= TASK.FORGET then
      crew.forget(pool, batch)
      worker.left = worker.left + 1
      list[#list + 1] = batch
    end
  end
  return list
end

-- The worker that can best do without some of its batches; nil: none has any that are worth the trouble.
function crew.busiest(pool, least)
  local best, most = nil, least
  for _, worker in ipairs(pool.workers) do
    local waits = (worker.n - 1) * math.max(worker.pace, worker.n > 1 and 1 or 0)
    if worker.n > 1 and (worker.pace == 0 or waits > most) then
      best, most = worker, waits
    end
  end
  return best
end

-- Death -------------------------------------------------------------------------------------------

-- How the worker, which is dead, ended, for people.
function crew.death_of(worker)
  local code, how = worker.process.exitcode, worker.cause
  if not how and code and code < 0 then
    local name = SIGNALS[-code]
    how = ("killed by signal %d%s"):format(-code, name and " (" .. name .. ")" or "")
  elseif not how then -- else it said so itself
    how = code and ("exited with status %d"):format(code) or "how is not known"
  end
  return ("worker '%s' (pid %d) died: %s"):format(worker.name, worker.pid, how)
end

-- Removes a worker that is dead. Returns what it had: the batches that it had not begun, the one that it had (nil:
-- none), and the element that it was at (0: before the first).
function crew.bury(pool, worker)
  crew.remove(pool.workers, worker)
  pool.watched = nil
  local seq, begun = worker.marks[MARK.SEQ], nil
  local left = crew.take_back(pool, worker, math.huge)
  local taken = crew.given(pool, function(batch) -- and no result came
    return batch.worker == worker
  end)
  table.move(taken, 1, #taken, #left + 1, left)
  local waiting = {}
  for _, batch in ipairs(left) do
    crew.forget(pool, batch)
    if batch.seq == seq then -- also where its function was all that was taken
      begun = batch
    else
      waiting[#waiting + 1] = batch
    end
  end
  table.sort(waiting, function(a, b)
    return a.seq < b.seq
  end)
  return waiting, begun, worker.marks[MARK.ITEM]
end

core.crew = crew
