-- luamp.pool.worker: what a worker process of a pool does.
-- SPDX-License-Identifier: MIT
--
-- Tasks come through a queue of the worker's own, so no idle worker holds anything that another one waits for.
-- Each is marked as begun, in shared memory, before anything of it is rebuilt or run (l_pool.c), and its result
-- is put before the next one is taken: of a worker that died, one task at most is in doubt.
local mp, core = ...
local task_get, task_put, task_run, task_check = core.task_get, core.task_put, core.task_run, core.task_check
local task_clear, task_numbers = core.task_clear, core.task_numbers

-- What a message from the owner is; its third number is `function << 32 | items`.
local TASK <const> = {
  APPLY = 0, -- a list of arguments, `n` set
  ONE = 1, -- an element
  MANY = 2, -- a list of elements
  RANGE = 3, -- {first, step}: elements by rule
  FUNCTION = 4, -- the function itself
  FORGET = 5, -- it is not needed any more
  CALL = 6, -- the one argument of a call
}
local LOOKS <const> = mp.cpu_count() > 1 and 100 or 0 -- at an empty queue, before sleeping
local KEPT <const> = 1 << 16 -- elements of a list that is kept for the next batch, at most
local SPREAD <const>, TIMED <const> = 16, 32 -- added to the kind: elements are lists of arguments; time each one

-- What a message to the owner is; its third number is the nanoseconds that the task took.
local RESULT <const> = {
  VALUE = 0, -- the one result
  LIST = 1, -- the first results of all elements
  MIXED = 2, -- {out, errors}
  PACK = 3, -- all results of a call, `n` set
  ERROR = 4, -- the one error
  UNDECODED = 5, -- why the task could not be rebuilt
  INITIALIZER = 6, -- the error that the initializer raised
  UNKNOWN = 7, -- its function was taken back by the owner
}

-- Marks, by their numbers from 1 on; the first five are the core's.
local MARK <const> = { SEQ = 1, ITEM = 2, SINCE = 3, WAITED = 4, WORKED = 5, READY = 6, COUNT = 8 }

local TOO_LARGE <const> = "the result is too large for the family's shared memory"

-- Errors ------------------------------------------------------------------------------------------

-- The traceback without what the worker itself has on the stack.
local function remote_traceback()
  local kept = {}
  for line in debug.traceback("", 3):gmatch("[^\n]+") do
    if line:find("luamp.pool.worker:", 1, true) then
      break
    end
    kept[#kept + 1] = line
  end
  while kept[#kept] and kept[#kept]:find("^%s*%[C%]: in") do
    kept[#kept] = nil
  end
  return table.concat(kept, "\n")
end

-- A message handler: strings get the traceback, other values stay as they are.
local function make_handler(name, pid)
  local format <const> = "%s\nremote traceback (worker '%s', pid %d):\n%s"
  return function(raised)
    if type(raised) ~= "string" then
      return raised
    end
    local trace = remote_traceback():gsub("^%s*stack traceback:\n?", "")
    return format:format(raised, name, pid, trace)
  end
end

-- Running -----------------------------------------------------------------------------------------

-- The worker's own state: {results, marks, handler}.

-- As task_put: true | false, code; and false, nil, message where the value cannot be sent. With `n` the first `n`
-- elements of a list are.
local function send(worker, seq, status, value, n)
  local ok, sent, code = pcall(task_put, worker.results, seq, status, worker.marks, value, nil, "result", n and 1, n)
  if not ok then
    return false, nil, sent
  end
  return sent, code
end

-- What an error that cannot be sent becomes.
local function described(why, err)
  local ok, text = pcall(tostring, err)
  return ("%s (the error was: %s)"):format(why, ok and text or type(err))
end

-- Sends a result, or the error that it cannot be sent, or could never fit.
local function send_safely(worker, seq, status, value)
  local sent, code, why = send(worker, seq, status, value)
  if sent or code == "closed" then
    return -- or the pool is gone
  end
  why = why or TOO_LARGE
  send(worker, seq, RESULT.ERROR, status == RESULT.ERROR and described(why, value) or why)
end

local function send_call(worker, seq, ok, first, ...)
  if not ok then
    send_safely(worker, seq, RESULT.ERROR, first)
  elseif select("#", ...) == 0 then
    send_safely(worker, seq, RESULT.VALUE, first)
  else
    send_safely(worker, seq, RESULT.PACK, table.pack(first, ...))
  end
end

-- xpcall of a function without results gives just `true`.
local function count_results(...)
  return select("#", ...) == 1 and ... == true, ...
end

local function finish_call(worker, seq, none, ...)
  if none then
    return send_safely(worker, seq, RESULT.PACK, { n = 0 })
  end
  return send_call(worker, seq, ...)
end

local function run_call(worker, seq, f, ...)
  worker.marks[MARK.ITEM] = 1
  return finish_call(worker, seq, count_results(xpcall(f, worker.handler, ...)))
end

local function run_one(worker, seq, f, item)
  worker.marks[MARK.ITEM] = 1
  local ok, value = xpcall(f, worker.handler, item)
  return send_call(worker, seq, ok, value)
end

-- Finds the results that cannot be sent, and makes errors of them.
local function check_all(out, errors, n)
  for i = 1, n do
    local ok, why = pcall(task_check, out[i], "result")
    if not ok then
      out[i], errors[i] = nil, { why }
    end
    local raised = errors[i]
    if raised then
      ok, why = pcall(task_check, raised[1], "error")
      if not ok then
        raised[1] = described(why, raised[1])
      end
    end
  end
end

-- Makes an error of the largest result; false when there is none.
local function drop_largest(out, errors, n)
  local largest, most = nil, 0
  for i = 1, n do
    local size = out[i] ~= nil and task_check(out[i], "result") or 0
    if size > most then
      largest, most = i, size
    end
  end
  if largest then
    out[largest], errors[largest] = nil, { TOO_LARGE }
  end
  return largest ~= nil
end

-- The results take the places of the elements.
local function run_many(worker, seq, f, items, n, flags)
  local marks, out, errors = worker.marks, items, nil
  local first = 1
  while first <= n do
    local ok, raised = xpcall(task_run, worker.handler, f, items, out, first, n, marks, flags)
    if ok then
      break
    end
    errors = errors or {}
    first = marks[MARK.ITEM]
    errors[first] = { raised } -- boxed: nil may be raised, too
    out[first] = nil
    first = first + 1
  end
  local sent, code, why
  if not errors then
    sent, code, why = send(worker, seq, RESULT.LIST, out, n)
  else
    out = table.move(out, 1, n, 1, {})
    sent, code, why = send(worker, seq, RESULT.MIXED, { out, errors })
  end
  if why then
    errors, out = errors or {}, table.move(out, 1, n, 1, {})
    check_all(out, errors, n)
    sent, code, why = send(worker, seq, RESULT.MIXED, { out, errors })
  end
  while code == "toolarge" do
    errors, out = errors or {}, table.move(out, 1, n, 1, {})
    if not drop_largest(out, errors, n) then
      break -- it is the errors
    end
    sent, code, why = send(worker, seq, RESULT.MIXED, { out, errors })
  end
  if not sent and code ~= "closed" then
    send(worker, seq, RESULT.ERROR, why or TOO_LARGE)
  end
end

local function run_task(worker, seq, f, kind, value, n)
  local flags = kind >> 4 -- as task_run has them
  kind = kind & 15
  if kind == TASK.ONE then
    return run_one(worker, seq, f, value)
  elseif kind == TASK.CALL then
    return run_call(worker, seq, f, value)
  elseif kind == TASK.APPLY then
    return run_call(worker, seq, f, table.unpack(value, 1, value.n))
  elseif kind == TASK.RANGE then
    value = task_numbers(value[1], value[2], n)
  end
  return run_many(worker, seq, f, value, n, flags)
end

-- The life of a worker ----------------------------------------------------------------------------

-- The next message, as task_get gives it. After a task it is looked for a few times first: where one short call
-- follows the other, a sleep between them would take longer than both.
local function next_task(tasks, marks, place, looks)
  for _ = 1, looks do
    local seq, kind, extra, value, problem = task_get(tasks, 0, marks, place)
    if seq or kind == "closed" then
      return seq, kind, extra, value, problem
    end
  end
  return task_get(tasks, nil, marks, place)
end

local function serve(worker, tasks)
  local looks = 0
  local marks, functions = worker.marks, {}
  local list = {} -- for the elements of one batch after the other: fresh memory is slow

  local function place(_, kind, extra)
    local n = extra & 0xffffffff
    if kind & 15 == TASK.MANY and n <= KEPT then
      return list, 1, n
    end
  end

  while true do
    -- Only memory that is out is raised; the message is marked as begun then.
    local ok, seq, kind, extra, value, problem = pcall(next_task, tasks, marks, place, looks)
    if not ok then
      send(worker, marks[MARK.SEQ], RESULT.UNDECODED, tostring(seq))
      return
    elseif not seq then
      return -- closed
    elseif problem then
      send(worker, seq, RESULT.UNDECODED, problem)
      return
    elseif kind == TASK.FUNCTION then
      functions[extra] = value
    elseif kind == TASK.FORGET then
      functions[extra] = nil
    elseif functions[extra >> 32] == nil then
      send(worker, seq, RESULT.UNKNOWN, nil)
    else
      run_task(worker, seq, functions[extra >> 32], kind, value, extra & 0xffffffff)
      looks = LOOKS
      if value == list then
        task_clear(list, extra & 0xffffffff)
      end
    end
  end
end

-- What a worker process runs.
local function work(tasks, results, marks, initializer, initargs)
  local process = mp.current_process()
  local worker = { results = results, marks = marks, handler = make_handler(process.name, process.pid) }
  if initializer then
    local ok, raised = xpcall(initializer, worker.handler, table.unpack(initargs, 1, initargs.n))
    if not ok then
      marks[MARK.SINCE] = math.floor(mp.time() * 1e9)
      send_safely(worker, 0, RESULT.INITIALIZER, raised)
      return
    end
  end
  marks[MARK.READY] = math.floor(mp.time() * 1e9)
  serve(worker, tasks)
end

-- By name: what it reaches is looked for no further, and need not travel.
core.methods["Pool:work"] = work

core.worker = { work = work, TASK = TASK, RESULT = RESULT, MARK = MARK, SPREAD = SPREAD, TIMED = TIMED }
