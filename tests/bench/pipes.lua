-- SPDX-License-Identifier: MIT
-- Rows of the table of workloads (see workloads.lua): pipes.

local function ours(work, n, ...)
  return { n = n, needs = "luamp", "$LUAMP", "$HERE/luamp/pipe.lua", work, "$N", ... }
end

local function python(work, kind, n, ...)
  return { n = n, needs = "python", "$PYTHON", "$HERE/peers/py.py", work, kind, "$N", ... }
end

local function c(work, n, ...)
  return { n = n, needs = "pipe", "$PEERS/pipe", work, "$N", ... }
end

local function cqueues(work, n, ...)
  return { n = n, needs = "cqueues", "$LUA", "$HERE/peers/cqueues.lua", work, "$N", ... }
end

local function two_cores(command)
  table.move({ "$CORE", "$OTHER" }, 1, 2, #command + 1, command)
  command.also = "two_cores"
  return command
end

local function strings(id, title, size, n)
  return {
    id = id, title = title, unit = "MB/s",
    programs = {
      { "luamp Pipe", ours("bulk", n.luamp, size) },
      { "luamp Pipe, send_bytes", ours("bulk", n.luamp, size, "bytes") },
      { "python Pipe", python("bulk", "pipe", n.python, size, "0") },
      { "python Pipe, send_bytes", python("bulk", "bytes", n.bytes, size, "0") },
      { "cqueues socket pair", cqueues("bulk", n.cqueues, size) },
      { "pipe, C", c("bulk", n.c, size) },
    },
    floors = { { "python Pipe", at_least = 3 } },
  }
end

return {
  {
    id = "Pping", title = "pipe ping-pong, each end on a core", unit = "us",
    programs = {
      { "luamp Pipe", two_cores(ours("pingpong", 100000)) },
      { "python Pipe", two_cores(python("pingpong", "pipe", 20000, "0")) },
      { "pipe, C", two_cores(c("pingpong", 50000, "0")) },
    },
    floors = { { "python Pipe", label = "p50", at_most = 0.1, text = "1/10" } },
  },
  strings("P64K", "pipe, strings of 64 KiB", "65536",
    { luamp = 50000, python = 15000, bytes = 40000, cqueues = 50000, c = 60000 }),
  strings("P16M", "pipe, strings of 16 MiB", "16777216",
    { luamp = 100, python = 50, bytes = 60, cqueues = 80, c = 120 }),
}
