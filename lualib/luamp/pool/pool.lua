-- luamp.pool.pool: mp.Pool, its results and iterators.
-- SPDX-License-Identifier: MIT
local mp, core = ...
local engine, source, progress = core.engine, core.source, core.progress
local TASK = core.worker.TASK
local SPREAD, TIMED = core.worker.SPREAD, core.worker.TIMED
local time, metatable_of, rawget = mp.time, debug.getmetatable, rawget

local FIELDS <const> = {
  processes = true, initializer = true, initargs = true, maxtasksperchild = true, start_method = true, name = true,
  retries = true,
}
local OPTIONS <const> = { chunksize = true, progress = true, timeout = true }
local ASYNC_OPTIONS <const> = {
  chunksize = true, progress = true, timeout = true, callback = true, error_callback = true,
}
local CALL_OPTIONS <const> = { timeout = true, callback = true, error_callback = true }
local BATCH <const> = 1e6 -- nanoseconds of work in a batch of elements of unknown number
local LARGEST <const> = 1000 -- elements of one

local Pool, Result = {}, {} -- methods
local pool_meta = { __name = "Pool", __luamp = true, __metatable = false }
local result_meta = { __name = "AsyncResult", __luamp = true, __metatable = false, __index = Result }

-- Checks ------------------------------------------------------------------------------------------

local function bad(level, ...)
  error(string.format(...), level + 1)
end

local function shown(value)
  return type(value) == "number" and tostring(value) or type(value)
end

local function check_count(value, least, where, level)
  local n = math.type(value) == "float" and math.tointeger(value) or value
  if math.type(n) ~= "integer" then
    bad(level + 1, "bad %s (integer expected, got %s)", where, shown(value))
  elseif n < least then
    bad(level + 1, "bad %s (at least %d expected, got %d)", where, least, n)
  end
  return n
end

-- The state of an open pool; `what` is the method.
local function check_self(self, what)
  if metatable_of(self) ~= pool_meta then
    bad(3, "bad argument #1 to '%s' (Pool expected, got %s)", what, type(self))
  end
  local pool = self._state
  if pool.owner ~= mp.current_process() then
    bad(3, "'%s': the pool belongs to the process that made it", what)
  end
  return pool
end

local function check_running(self, what)
  local pool = check_self(self, what)
  if pool.state ~= "running" then
    bad(3, "'%s': the pool is %s", what, pool.state)
  elseif pool.broken then
    error(pool.broken[1], 0)
  end
  return pool
end

local function check_function(f, what)
  if not core.callable(f) then
    bad(3, "bad argument #1 to '%s' (function expected, got %s)", what, type(f))
  end
end

local function check_deadline(timeout, what)
  if timeout == nil then
    return math.huge
  elseif type(timeout) ~= "number" or timeout ~= timeout then
    bad(3, "bad argument #1 to '%s' (timeout: number expected, got %s)", what,
      type(timeout) == "number" and "nan" or type(timeout))
  end
  return timeout > 0 and time() + timeout or -math.huge
end

-- The options of a call: those in the table at argument `i`, checked against `names`; a number is the chunksize.
local function check_options(options, i, names, what, into)
  if type(options) == "number" and names.chunksize then
    options = { chunksize = options }
  elseif options ~= nil and type(options) ~= "table" then
    bad(4, "bad argument #%d to '%s' (%s expected, got %s)", i, what,
      names.chunksize and "chunksize or table of options" or "table of options", type(options))
  end
  into = into or {}
  for key, value in pairs(options or {}) do
    if not names[key] then
      bad(4, "bad argument #%d to '%s' (unknown option '%s')", i, what, tostring(key))
    end
    into[key] = value
  end
  return into
end

local function check_values(options, what)
  local timeout = options.timeout
  if options.chunksize ~= nil then
    options.chunksize = check_count(options.chunksize, 1, ("chunksize of '%s'"):format(what), 4)
  end
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout or timeout <= 0) then
    bad(4, "bad timeout of '%s' (number above 0 expected, got %s)", what, shown(timeout))
  end
  for _, key in ipairs{ "callback", "error_callback" } do
    if options[key] ~= nil and not core.callable(options[key]) then
      bad(4, "bad %s of '%s' (function expected, got %s)", key, what, type(options[key]))
    end
  end
  local bar = options.progress
  if bar and bar ~= true and type(bar) ~= "string" and type(bar) ~= "function" then
    bad(4, "bad progress of '%s' (true, label or function expected, got %s)", what, type(bar))
  end
  return options
end

-- Jobs --------------------------------------------------------------------------------------------

-- A batch of an iterator's elements: so many as take a worker about a millisecond.
local function adapt(job)
  return math.max(1, math.min(LARGEST, math.floor(BATCH / (job.pace or BATCH))))
end

local function default_size(pool, job)
  local n = job.source.n
  if job.timeout then
    return 1 -- a task that is stopped takes no other along
  elseif not n then
    return adapt
  end
  return math.max(1, -(-n // (4 * pool.processes)))
end

-- A job over the elements of a list, for the method called `what`.
local function list_job(pool, f, list, options, what, spread)
  check_function(f, what)
  local from = source.new(list)
  if not from then
    bad(3, "bad argument #2 to '%s' (table, Array, range or iterator function expected, got %s)", what,
      mp.type(list) or type(list))
  end
  if spread then
    local problem
    from, problem = source.spread(from, what)
    if not from then
      bad(3, "%s", problem)
    end
  end
  local job = {
    f = f, source = from, single = spread and TASK.APPLY or TASK.ONE,
    flags = (spread and SPREAD or 0) | (options.timeout and TIMED or 0), timeout = options.timeout,
    callback = options.callback, error_callback = options.error_callback,
  }
  job.size = options.chunksize or default_size(pool, job)
  job.adapts = job.size == adapt
  if options.progress then
    job.progress = progress.new(options.progress, from.n)
  end
  return job
end

-- What became of a job that is done: true and the list of results (a call's has `n`), or false and the error.
local function outcome(job)
  if job.failure then
    return false, job.failure[1]
  elseif job.errors then
    local first = math.huge
    for i in pairs(job.errors) do
      first = math.min(first, i)
    end
    return false, job.errors[first][1]
  end
  return true, job.pack or job.results
end

local function results_of(job)
  local ok, value = outcome(job)
  if not ok then
    error(value, 0)
  elseif job.packs then
    return table.unpack(value, 1, value.n)
  end
  return value
end

function core.pool_callback(job)
  local ok, value = outcome(job)
  local f = ok and job.callback or not ok and job.error_callback
  if not f then
    return
  elseif ok and job.packs then
    f(table.unpack(value, 1, value.n))
  else
    f(value)
  end
end

local function check_call(f, args, what)
  check_function(f, what)
  if args ~= nil and type(args) ~= "table" then
    bad(3, "bad argument #2 to '%s' (table of arguments expected, got %s)", what, type(args))
  end
  return args or {}
end

-- Results -----------------------------------------------------------------------------------------

local function new_result(self, job)
  return setmetatable({ _pool = self, _job = job }, result_meta)
end

local function check_result(self, what)
  if metatable_of(self) ~= result_meta then
    bad(3, "bad argument #1 to '%s' (AsyncResult expected, got %s)", what, type(self))
  end
  local pool = self._pool._state
  if pool.owner ~= mp.current_process() then
    bad(3, "'%s': the result belongs to the process that asked for it", what)
  end
  return pool, self._job
end

function Result:get(timeout)
  local pool, job = check_result(self, "get")
  if not engine.finish(pool, job, check_deadline(timeout, "get")) then
    return nil, "timeout"
  end
  return results_of(job)
end

function Result:wait(timeout)
  local pool, job = check_result(self, "wait")
  if not engine.finish(pool, job, check_deadline(timeout, "wait")) then
    return false, "timeout"
  end
  return true
end

function Result:ready()
  local pool, job = check_result(self, "ready")
  if not job.done then
    engine.poll(pool)
  end
  return job.done
end

function Result:successful()
  local pool, job = check_result(self, "successful")
  engine.poll(pool)
  if not job.done then
    bad(2, "'successful': the result is not ready")
  end
  return (outcome(job))
end

function Result:cancel(force)
  local pool, job = check_result(self, "cancel")
  engine.poll(pool)
  return engine.cancel(pool, job, force)
end

function result_meta:__tostring()
  return ("AsyncResult: %s"):format(core.address(self))
end

-- Iterators ---------------------------------------------------------------------------------------

-- The element `at` of an iterator's job, if it is there: true, index, value.
local function yield(job, at)
  local err = job.errors and job.errors[at]
  local value = job.results[at]
  if not err and value == nil then
    return false
  end
  job.yielded = job.yielded + 1
  if err then
    job.errors[at] = nil
    error(err[1], 0)
  end
  job.results[at] = nil
  if value == engine.NIL then
    value = nil
  end
  return true, at, value
end

local function window_of(pool)
  return function(job)
    local size = type(job.size) == "number" and job.size or LARGEST
    local depth = pool.hot and pool.hot.depth or 2
    return 2 * size * pool.processes * depth
  end
end

local abandon_meta = {
  __gc = function(watch)
    watch.job.abandoned = true
  end,
}

local function iterate(self, pool, job, next_index)
  local watch = setmetatable({ job = job }, abandon_meta) -- collected with the iterator
  return function()
    job = watch.job
    if pool.owner ~= mp.current_process() then
      bad(2, "the iterator belongs to the process that made it")
    end
    while true do
      if not job.exhausted and job.fed - job.got <= 2 * pool.processes then
        engine.fill(pool)
      end
      local at = next_index()
      if at then
        local there, index, value = yield(job, at)
        if there then
          return index, value
        end
      end
      if job.done and job.failure then
        error(job.failure[1], 0)
      elseif job.exhausted and job.yielded >= job.fed then
        if job.cut then
          error("the pool was closed before the input of this iterator was at its end", 0)
        end
        return nil
      end
      engine.step(self._state, math.huge)
    end
  end
end

local function iterator(self, pool, job)
  job.yielded = 0
  job.window = window_of(pool)
  engine.submit(pool, job)
  if not job.order then
    return iterate(self, pool, job, function()
      return job.yielded + 1
    end)
  end
  local read = 0 -- of job.order, which is emptied as it is read
  return iterate(self, pool, job, function()
    local at = job.order[read + 1]
    if at then
      job.order[read + 1] = nil
      read = read + 1
    end
    return at
  end)
end

-- Pool: tasks -------------------------------------------------------------------------------------

function Pool:apply(f, args)
  local pool = check_running(self, "apply")
  args = check_call(f, args, "apply")
  local job = engine.call(pool, { f = f }, args)
  engine.finish(pool, job, math.huge)
  return results_of(job)
end

function Pool:apply_async(f, args, options)
  local pool = check_running(self, "apply_async")
  args = check_call(f, args, "apply_async")
  options = check_values(check_options(options, 3, CALL_OPTIONS, "apply_async"), "apply_async")
  local job = {
    f = f, timeout = options.timeout, callback = options.callback, error_callback = options.error_callback,
  }
  return new_result(self, engine.call(pool, job, args, true))
end

local function mapper(what, spread)
  return function(self, f, list, options)
    local pool = check_running(self, what)
    options = check_values(check_options(options, 3, OPTIONS, what), what)
    local job = engine.submit(pool, list_job(pool, f, list, options, what, spread))
    engine.finish(pool, job, math.huge)
    return results_of(job)
  end
end

local function async_mapper(what, spread)
  return function(self, f, list, chunksize, options)
    local pool = check_running(self, what)
    local all = check_options(chunksize, 3, ASYNC_OPTIONS, what)
    all = check_values(check_options(options, 4, ASYNC_OPTIONS, what, all), what)
    local job = list_job(pool, f, list, all, what, spread)
    engine.submit(pool, job, job.source.n ~= nil)
    return new_result(self, job)
  end
end

Pool.map = mapper("map", false)
Pool.starmap = mapper("starmap", true)
Pool.map_async = async_mapper("map_async", false)
Pool.starmap_async = async_mapper("starmap_async", true)

local function iterating(what, unordered)
  return function(self, f, list, options)
    local pool = check_running(self, what)
    options = check_values(check_options(options, 3, OPTIONS, what), what)
    options.chunksize = options.chunksize or 1
    local job = list_job(pool, f, list, options, what, false)
    job.order = unordered and { last = 0 } or nil
    return iterator(self, pool, job)
  end
end

Pool.imap = iterating("imap", false)
Pool.imap_unordered = iterating("imap_unordered", true)

-- Pool: its own life ------------------------------------------------------------------------------

function Pool:workers()
  local pool = check_self(self, "workers")
  local list = {}
  for i, worker in ipairs(pool.workers) do
    list[i] = worker.process
  end
  return list
end

function Pool:stats()
  local pool = check_self(self, "stats")
  engine.poll(pool)
  return engine.stats(pool)
end

function Pool:resize(n)
  local pool = check_running(self, "resize")
  n = check_count(n, 1, "argument #1 to 'resize'", 2)
  engine.resize(pool, n)
end

function Pool:close()
  local pool = check_self(self, "close")
  if pool.state == "running" then
    pool.state = "closed"
    engine.poll(pool)
    engine.settle(pool)
  end
end

function Pool:terminate()
  engine.terminate(check_self(self, "terminate"))
end

function Pool:join(timeout)
  local pool = check_self(self, "join")
  if pool.state == "running" then
    bad(2, "'join': the pool is still running (close or terminate it first)")
  end
  return engine.join(pool, check_deadline(timeout, "join"))
end

function pool_meta:__close()
  local pool = self._state
  if pool.owner == mp.current_process() then
    engine.terminate(pool)
    engine.join(pool, math.huge)
  end
end

-- Raises nothing and waits for nothing.
function pool_meta:__gc()
  local pool = rawget(self, "_state")
  local mine, process = pcall(mp.current_process)
  if mine and pool.owner == process and pool.state ~= "terminated" then
    pcall(engine.let_go, pool)
  end
end

function pool_meta:__tostring()
  local name = self._state.name
  return ("Pool: %s%s"):format(core.address(self), name and " (" .. name .. ")" or "")
end

function pool_meta:__index(key)
  if key == "processes" then
    return rawget(self, "_state").processes
  end
  return Pool[key]
end

function pool_meta:__newindex(key)
  bad(2, "cannot set the field '%s' of a Pool", tostring(key))
end

-- Making ------------------------------------------------------------------------------------------

local function check_fields(n, fields)
  if type(n) == "table" then
    n, fields = nil, n
  elseif fields ~= nil and type(fields) ~= "table" then
    bad(4, "bad argument #2 to 'Pool' (table expected, got %s)", type(fields))
  end
  local all = {}
  for key, value in pairs(fields or {}) do
    if not FIELDS[key] then
      bad(4, "unknown field '%s' of a Pool", tostring(key))
    end
    all[key] = value
  end
  if n ~= nil then
    all.processes = check_count(n, 1, "argument #1 to 'Pool'", 3)
  elseif all.processes ~= nil then
    all.processes = check_count(all.processes, 1, "field 'processes' of a Pool", 3)
  end
  return all
end

local function check_other_fields(all)
  if all.initializer ~= nil and not core.callable(all.initializer) then
    bad(4, "bad field 'initializer' of a Pool (function expected, got %s)", type(all.initializer))
  end
  for key, kind in pairs{ initargs = "table", name = "string" } do
    if all[key] ~= nil and type(all[key]) ~= kind then
      bad(4, "bad field '%s' of a Pool (%s expected, got %s)", key, kind, type(all[key]))
    end
  end
  if all.maxtasksperchild ~= nil then
    all.maxtasksperchild = check_count(all.maxtasksperchild, 1, "field 'maxtasksperchild' of a Pool", 3)
  end
  all.retries = check_count(all.retries or 0, 0, "field 'retries' of a Pool", 3)
  if all.start_method ~= nil then
    core.check_method(all.start_method, "field 'start_method' of a Pool", 3)
  end
  return all
end

function mp.Pool(n, fields)
  local all = check_other_fields(check_fields(n, fields))
  local pool = {
    processes = all.processes or mp.cpu_count(), initializer = all.initializer, initargs = all.initargs or {},
    maxtasks = all.maxtasksperchild, retries = all.retries, start_method = all.start_method, name = all.name,
    prefix = all.name and all.name .. "-worker" or "PoolWorker",
    state = "running", owner = mp.current_process(),
    results = mp.Queue(), marks = mp.Array("q", core.worker.MARK.COUNT),
  }
  local self = setmetatable({ _state = pool }, pool_meta)
  local ok, err = pcall(engine.start, pool)
  if not ok then -- nobody is left behind
    pool_meta.__close(self)
    error(err, 2)
  end
  return self
end

mp.pool = mp.Pool

-- mp.wait of lists with results in them ---------------------------------------------------------------

-- The results in the list that are ready; and what else is to be waited for.
local function sort_out(list)
  local ready, others, pools, any = {}, {}, {}, false
  for i, x in ipairs(list) do
    if metatable_of(x) == result_meta then
      local pool, job = check_result(x, "wait")
      if not job.done then
        engine.poll(pool)
      end
      ready[i] = job.done
      any = any or job.done
      pools[pool] = true
    else
      others[#others + 1] = x
    end
  end
  return ready, others, pools, any
end

-- What is ready: results that are done, and those of `found`, in the order of the list.
local function merge(list, ready, found)
  local is_found, all = {}, {}
  for _, x in ipairs(found) do
    is_found[x] = true
  end
  for i, x in ipairs(list) do
    if ready[i] or is_found[x] then
      all[#all + 1] = x
    end
  end
  return all
end

core.set_wait(function(list, timeout)
  local deadline = timeout and time() + timeout or math.huge
  for i, x in ipairs(list) do
    if metatable_of(x) == pool_meta then
      error(("bad argument #1 to 'wait' (list[%d]: cannot wait for a Pool value)"):format(i), 2)
    end
  end
  while true do
    local ready, others, pools, any = sort_out(list)
    local left = deadline - time()
    if any or left <= 0 then
      return merge(list, ready, mp.wait(others, 0))
    end
    local all = table.move(others, 1, #others, 1, {})
    local alarm = deadline
    for pool in pairs(pools) do
      alarm = math.min(alarm, engine.alarm(pool))
      for _, x in ipairs(engine.watched(pool)) do
        all[#all + 1] = x
      end
    end
    mp.wait(all, alarm - time())
    local found = mp.wait(others, 0)
    if found[1] then
      return merge(list, (sort_out(list)), found)
    end
  end
end)
