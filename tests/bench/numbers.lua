-- SPDX-License-Identifier: MIT
-- Rows of the table of workloads (see workloads.lua): numbers in shared memory.

local function ours(n, ...)
  return { n = n, needs = "luamp", "$LUAMP", "$HERE/luamp/numbers.lua", "$N", ... }
end

local function python(n, ...)
  return { n = n, needs = "python", "$PYTHON", "$HERE/peers/numbers.py", "$N", ... }
end

return {
  {
    id = "Nadd", title = "one counter, four processes", unit = "/s",
    programs = {
      { "luamp v:add(1)", ours(2000000, "add") },
      { "luamp Lock, v.value + 1", ours(300000, "lock") },
      { "luamp v:with(f)", ours(100000, "with") },
      { "python Value, its lock", python(100000, "value") },
    },
    floors = { { "python Value, its lock", at_least = 15 } },
  },
  {
    id = "Nlock", title = "one counter under a lock, four processes", unit = "/s",
    programs = {
      { "luamp Lock, v.value + 1", ours(300000, "lock") },
      { "python Value, its lock", python(100000, "value") },
    },
    floors = { { "python Value, its lock", at_least = 2 } },
  },
  {
    id = "Nelem", title = "a[i] = a[i] + 1, round and round 1000 elements", unit = "/s",
    programs = {
      { "luamp Array", ours(5000000, "elements") },
      { "python Array", python(500000, "elements", "Array") },
      { "python RawArray", python(2000000, "elements", "RawArray") },
    },
    floors = {
      { "python Array", at_least = 10 },
      { "python RawArray", at_least = 1 },
    },
  },
  {
    id = "Nbulk", title = "a million doubles at once", unit = "us",
    programs = {
      { "luamp Array", ours(20, "bulk") },
      { "plain loops, C", { "$PEERS/plain", "$N", n = 20, needs = "plain" } },
    },
    floors = {
      { "plain loops, C", label = "fill", at_most = 2, text = "2" },
      { "plain loops, C", label = "sum", at_most = 2, text = "2" },
      { "plain loops, C", label = "copy", at_most = 2, text = "2" },
      { "plain loops, C", label = "set", at_most = 2, text = "2" },
      { "plain loops, C", label = "table", at_most = 2, text = "2" },
    },
  },
}
