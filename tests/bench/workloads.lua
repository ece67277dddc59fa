-- SPDX-License-Identifier: MIT
-- The table of workloads: what runs, how many messages, which floor is demanded.
--
-- A row has programs; ours come first. A program has a command (a list; $PYTHON,
-- $LUAMP, $PEERS, $HERE, $LUA, $MODULE are filled in) and `needs`, which names what
-- must be there. `n` is the count that stands for $N: a constant that lets one run
-- take 0.3 to 1 s on a fast machine of 2025, two or three times that on an old one.
--
-- A program may print several results; a label names each (`p50`, `p99`). The first
-- program of the row is the one that the others are compared with. `floors` names
-- the program and the label that a demand is made on:
--   at_least  ours / peer, where more is better
--   at_most   ours / peer, where less is better
--   below     ours - peer in the row's unit (`base` instead of the first program)

local function ours(script, n, ...)
  return { n = n, needs = "luamp", "$LUAMP", "$HERE/luamp/" .. script .. ".lua", "$N", ... }
end

local function python(work, kind, n, ...)
  return { n = n, needs = "python", "$PYTHON", "$HERE/peers/py.py", work, kind, "$N", ... }
end

-- The row of a work of luamp/sem.lua and peers/py_sem.py.
local function sem(id, title, unit, work, n, floor)
  floor[1] = "python"
  return {
    id = id, title = title, unit = unit,
    programs = {
      { "luamp", { n = n.luamp, needs = "luamp", "$LUAMP", "$HERE/luamp/sem.lua", work, "$N" } },
      { "python", { n = n.python, needs = "python", "$PYTHON", "$HERE/peers/py_sem.py", work, "$N" } },
    },
    floors = { floor },
  }
end

local function c(program, work, n, ...)
  return { n = n, needs = program, "$PEERS/" .. program, work, "$N", ... }
end

local function cqueues(work, n, ...)
  return { n = n, needs = "cqueues", "$LUA", "$HERE/peers/cqueues.lua", work, "$N", ... }
end

local function one_core(command)
  local t = { "taskset", "-c", "$CORE", n = command.n, needs = command.needs, also = "taskset" }
  return table.move(command, 1, #command, #t + 1, t)
end

local KIB64 <const> = "65536"
local MIB16 <const> = "16777216"

-- Each end on a core of its own: the programs pin themselves.
local function two_cores(command)
  table.move({ "$CORE", "$OTHER" }, 1, 2, #command + 1, command)
  command.also = "two_cores"
  return command
end

local function free(command) return command end

local function pingpong(pause, wrap, n)
  local programs = {
    { "luamp, two queues", wrap(ours("pingpong", n.luamp, pause)) },
    { "python Queue", wrap(python("pingpong", "queue", n.queue, pause)) },
    { "python SimpleQueue", wrap(python("pingpong", "simple", n.simple, pause)) },
    { "python Pipe", wrap(python("pingpong", "pipe", n.pipe, pause)) },
    { "ZeroMQ ipc, C", wrap(c("zmq", "pingpong", n.zmq, pause)) },
    { "pipe, C", wrap(c("pipe", "pingpong", n.c, pause)) },
  }
  if n.cqueues then -- two threads of one process: taskset cannot split them
    table.insert(programs, 5,
      { "cqueues socket pair", wrap(cqueues("pingpong", n.cqueues, pause)) })
  end
  if n.spin then
    table.insert(programs, { "shared memory, spinning, C", wrap(c("spin", "pingpong", n.spin, pause)) })
  end
  return programs
end

return {
  {
    id = "W1", title = "small integers, 1 -> 1, put/get", unit = "msg/s",
    programs = {
      { "luamp Queue()", ours("ints", 2000000) },
      { "luamp Queue(1000)", ours("ints", 2000000, "1000") },
      { "python Queue", python("ints", "queue", 200000) },
      { "python SimpleQueue", python("ints", "simple", 200000) },
      { "python Pipe", python("ints", "pipe", 250000) },
      { "cqueues socket pair", cqueues("ints", 1500000) },
      { "ZeroMQ ipc, C", c("zmq", "ints", 1500000) },
      { "pipe, C", c("pipe", "ints", 3000000) },
    },
    floors = {
      { "python Queue", at_least = 20 },
      { "ZeroMQ ipc, C", at_least = 1 },
    },
  },
  {
    id = "W1x100", title = "small integers, 1 -> 1, put_many/get_many by 100", unit = "msg/s",
    programs = {
      { "luamp by 100", ours("ints_many", 10000000, "100") },
      { "python Queue, one by one", python("ints", "queue", 200000) },
      { "pipe, C, 100 per write", c("pipe", "ints", 100000000, "100") },
    },
    floors = { { "python Queue, one by one", at_least = 60 } },
  },
  {
    id = "W2", title = "record {id, name, x}, 1 -> 1", unit = "msg/s",
    programs = {
      { "luamp Queue()", ours("records", 700000) },
      { "python Queue", python("records", "queue", 150000) },
      { "python SimpleQueue", python("records", "simple", 150000) },
      { "python Pipe", python("records", "pipe", 200000) },
      { "cqueues socket pair", cqueues("records", 1200000) },
      { "ZeroMQ ipc, C struct", c("zmq", "records", 1200000) },
      { "pipe, C struct", c("pipe", "records", 3000000) },
    },
    floors = { { "python Queue", at_least = 7 } },
  },
  {
    id = "W3", title = "small integers, 4 -> 4, put/get", unit = "msg/s",
    programs = {
      { "luamp Queue()", ours("fan", 400000) },
      { "python Queue", python("fan", "queue", 50000) },
      { "python SimpleQueue", python("fan", "simple", 50000) },
      { "ZeroMQ ipc, C, 4x4 sockets", c("zmq", "fan", 1200000) },
    },
    floors = { { "python Queue", at_least = 18 } },
  },
  {
    id = "W4free", title = "ping-pong round trip, where the scheduler puts the two", unit = "us",
    programs = pingpong("0", free, {
      luamp = 200000, queue = 10000, simple = 25000, pipe = 25000,
      cqueues = 50000, zmq = 20000, c = 150000,
    }),
    floors = {}, -- whether both ends have a core is the scheduler's choice here; W4split says
  },
  {
    id = "W4split", title = "ping-pong round trip, each end on its own core", unit = "us",
    programs = pingpong("0", two_cores, {
      luamp = 200000, queue = 10000, simple = 25000, pipe = 25000,
      zmq = 30000, c = 100000, spin = 2000000,
    }),
    floors = { { "python Queue", label = "p50", at_most = 1 / 20, text = "1/20" } },
  },
  {
    id = "W4sleep", title = "ping-pong round trip, 2 ms of sleep before each ping", unit = "us",
    programs = pingpong("0.002", free, {
      luamp = 200, queue = 200, simple = 200, pipe = 200,
      cqueues = 200, zmq = 200, c = 200,
    }),
    floors = { { "python Queue", label = "p50", at_most = 1 / 3, text = "1/3" } },
  },
  {
    id = "W4one", title = "ping-pong round trip, all on one core (taskset)", unit = "us",
    programs = pingpong("0", one_core, {
      luamp = 100000, queue = 10000, simple = 25000, pipe = 25000,
      cqueues = 50000, zmq = 30000, c = 200000,
    }),
    floors = { { "python Queue", label = "p50", at_most = 1 / 3, text = "1/3" } },
  },
  {
    id = "W5k", title = "strings of 64 KiB, 1 -> 1, at most 64 in the queue", unit = "MB/s",
    programs = {
      { "luamp Queue(64)", ours("bulk", 50000, KIB64, "64") },
      { "python Queue(64)", python("bulk", "queue", 20000, KIB64, "64") },
      { "python SimpleQueue", python("bulk", "simple", 15000, KIB64, "0") },
      { "python Pipe", python("bulk", "pipe", 15000, KIB64, "0") },
      { "python Pipe, send_bytes", python("bulk", "bytes", 40000, KIB64, "0") },
      { "cqueues socket pair", cqueues("bulk", 50000, KIB64) },
      { "ZeroMQ ipc, C", c("zmq", "bulk", 30000, KIB64) },
      { "pipe, C", c("pipe", "bulk", 60000, KIB64) },
    },
    floors = { { "python Queue(64)", at_least = 5 } },
  },
  {
    id = "W5M", title = "strings of 16 MiB, 1 -> 1, at most 2 in the queue", unit = "MB/s",
    programs = {
      { "luamp Queue(2)", ours("bulk", 100, MIB16, "2") },
      { "python Queue(2)", python("bulk", "queue", 50, MIB16, "2") },
      { "python SimpleQueue", python("bulk", "simple", 50, MIB16, "0") },
      { "python Pipe", python("bulk", "pipe", 50, MIB16, "0") },
      { "python Pipe, send_bytes", python("bulk", "bytes", 60, MIB16, "0") },
      { "cqueues socket pair", cqueues("bulk", 80, MIB16) },
      { "ZeroMQ ipc, C", c("zmq", "bulk", 100, MIB16) },
      { "pipe, C", c("pipe", "bulk", 120, MIB16) },
    },
    floors = { { "python Queue(2)", at_least = 3 } },
  },
  {
    id = "W6", title = "start and join of a process that does nothing, fork", unit = "/s",
    programs = {
      { "luamp Process", ours("process", 3000) },
      { "python Process, fork", { "$PYTHON", "$HERE/peers/py.py", "process", "$N",
        n = 800, needs = "python" } },
      { "fork + _exit + waitpid, C", { "$PEERS/fork", "$N", n = 10000, needs = "fork" } },
    },
    floors = { { "python Process, fork", at_least = 6 } },
  },
  sem("Yevent", "is_set of an Event", "/s", "is_set", { luamp = 10000000, python = 600000 }, { at_least = 5 }),
  sem("Ysem", "acquire and release of a Semaphore, nobody else", "/s", "semaphore",
    { luamp = 4000000, python = 2000000 }, { at_least = 1 }),
  sem("Ybounded", "acquire and release of a BoundedSemaphore, nobody else", "/s", "bounded",
    { luamp = 4000000, python = 2000000 }, { at_least = 1 }),
  sem("Ybarrier", "a round of a Barrier of two", "us", "barrier", { luamp = 200000, python = 10000 },
    { at_most = 1 / 5, text = "1/5" }),
  {
    id = "Wait", title = "round trip by way of one of 100 queues, all waited for at once", unit = "us",
    programs = {
      { "luamp mp.wait", ours("wait", 50000, "100") },
      { "python wait, pipes", python("wait", "pipe", 1000, "100") },
      { "poll, pipes, C", { "$PEERS/poll", "$N", "100", n = 50000, needs = "poll" } },
    },
    floors = { { "poll, pipes, C", label = "p50", at_most = 3, text = "3" } },
  },
  {
    id = "Lock", title = "acquire and release of a lock that nobody else wants", unit = "/s",
    programs = {
      { "luamp Lock", ours("lock", 5000000) },
      { "luamp RLock", ours("lock", 5000000, "RLock") },
      { "python Lock", python("lock", "Lock", 3000000) },
      { "python RLock", python("lock", "RLock", 3000000) },
    },
    floors = { { "python Lock", at_least = 1 } },
  },
  {
    id = "Cond", title = "two processes notify each other in turn, each on its own core", unit = "us",
    programs = {
      { "luamp Condition", two_cores(ours("condition", 50000)) },
      { "python Condition", two_cores({ "$PYTHON", "$HERE/peers/py.py", "condition", "$N",
        n = 10000, needs = "python" }) },
    },
    floors = { { "python Condition", label = "p50", at_most = 1 / 5, text = "1/5" } },
  },
  {
    id = "S1", title = "a program that starts and ends (one after the other, in turn)", unit = "ms",
    programs = {
      { "start", { "$PEERS/spawn", "$N",
        "--", "lua5.4_-e_''", "$LUA", "-e", "",
        "--", "luamp_-e_''", "$LUAMP", "-e", "",
        "--", "luamp_-e_'require\"luamp\"'", "$LUAMP", "-e", "require 'luamp'",
        "--", "lua5.4_-e_'require\"luamp\"'", "LUA_CPATH=$MODULE", "$LUA", "-e", "require 'luamp'",
        n = 100, needs = "spawn" } },
      { "python3 -c ''", { "$PEERS/spawn", "$N", "--", "", "$PYTHON", "-c", "",
        n = 15, needs = "spawn", also = "python" } },
      { "python3 -c 'import multiprocessing'", { "$PEERS/spawn", "$N",
        "--", "", "$PYTHON", "-c", "import multiprocessing",
        n = 15, needs = "spawn", also = "python" } },
    },
    floors = {
      { "start", label = "luamp -e 'require\"luamp\"'", base = "lua5.4 -e ''", below = 3 },
      { "start", label = "lua5.4 -e 'require\"luamp\"'", base = "lua5.4 -e ''", below = 3 },
    },
  },
}
