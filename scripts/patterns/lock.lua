-- SPDX-License-Identifier: MIT
-- A lock around a critical section.
--
-- From Python: `with lock:` is lock:with(f, ...), which releases the lock also when f raises, or a guard
-- that holds it to the end of a block. Unlike multiprocessing.Lock a lock has an owner: nobody else
-- releases it, and acquiring it twice is an error instead of a hang.

local mp = require "luamp"

local WORKERS, LINES = 4, 25
local path = os.tmpname()

-- Two writes that belong together; without the lock other lines would come between them.
local function append(worker, i)
  local file <close> = assert(io.open(path, "a"))
  file:setvbuf("no")
  file:write(("begin %d %d\n"):format(worker, i))
  file:write(("end %d %d\n"):format(worker, i))
end

local function work(lock, worker)
  for i = 1, LINES do
    if i % 3 == 0 then
      lock:acquire()
      append(worker, i)
      lock:release()
    elseif i % 3 == 1 then
      lock:with(append, worker, i)
    else
      local _ <close> = lock:guard()
      append(worker, i)
    end
  end
end

local lock = mp.Lock{name = "file"}
local workers = {}
for worker = 1, WORKERS do
  workers[worker] = mp.spawn(work, lock, worker)
end
for _, process in ipairs(workers) do
  process:join()
  assert(process.exitcode == 0)
end

local pairs_of_lines, open = 0, nil
for line in io.lines(path) do
  local what, which = line:match("^(%l+) (.*)$")
  if what == "begin" then
    assert(not open, "a line came between two that belong together")
    open = which
  else
    assert(open == which, "a line came between two that belong together")
    open, pairs_of_lines = nil, pairs_of_lines + 1
  end
end
os.remove(path)
print(("%d pairs of lines, none torn apart"):format(pairs_of_lines))
