-- SPDX-License-Identifier: MIT
-- Rows of the table of workloads (see workloads.lua): pools of two workers, beside Python's.

local function row(id, title, unit, work, ours, theirs, floor)
  floor[1] = "python Pool"
  return {
    id = id, title = title, unit = unit,
    programs = {
      { "luamp Pool", { n = ours, needs = "luamp", "$LUAMP", "$HERE/luamp/pool.lua", work, "$N" } },
      { "python Pool", { n = theirs, needs = "python", "$PYTHON", "$HERE/peers/py_pool.py", work, "$N" } },
    },
    floors = { floor },
  }
end

local function words(work, n)
  return { n = n, needs = "luamp", "$LUAMP", "$HERE/luamp/words.lua", work, "$N", "$PEERS/words" }
end

return {
  {
    id = "Pwords", title = "the words of 200 MB of text, two workers", unit = "s",
    programs = {
      { "luamp wordcount.lua", words("pool", 200) },
      { "luamp, serial", words("serial", 200) },
      { "python Pool", { n = 200, needs = "python", "$PYTHON", "$HERE/peers/py_words.py", "$N", "$PEERS/words" } },
    },
    floors = {
      { "luamp, serial", at_most = 1 / 1.8, text = "1/1.8" },
      { "python Pool", at_most = 1, text = "1" },
    },
  },
  row("Pchunk1", "map of tiny tasks, one at a time", "tasks/s", "chunk1", 100000, 20000, { at_least = 15 }),
  row("Pmap", "map of 100,000 tiny tasks, default chunks", "tasks/s", "map", 100000, 100000, { at_least = 1.4 }),
  row("P10k", "map of 10,000 tasks that return 10 KB each", "tasks/s", "strings", 10000, 10000, { at_least = 1.3 }),
  row("Papply", "apply, one call after the other", "us", "apply", 20000, 5000,
    { label = "p50", at_most = 1 / 10, text = "1/10" }),
  row("Pcreate", "a pool is made, does one task, and is closed", "/s", "create", 200, 30, { at_least = 5 }),
}
