-- SPDX-License-Identifier: MIT
-- Rows of the table of workloads (see workloads.lua): the shared dict, beside Python's Manager().dict().

local function row(id, title, work, processes, ours, theirs)
  return {
    id = id, title = title, unit = "op/s",
    programs = {
      { "luamp Dict", { n = ours, needs = "luamp", "$LUAMP", "$HERE/luamp/dict.lua", work, "$N", processes } },
      { "python Manager", { n = theirs, needs = "python", "$PYTHON", "$HERE/peers/py_dict.py", work, "$N",
        processes } },
    },
    floors = { { "python Manager", at_least = 50 } },
  }
end

return {
  row("Dget", "reading a number of a shared dict, one process", "get", "1", 3000000, 10000),
  row("Dset", "storing a number in a shared dict, one process", "set", "1", 2000000, 10000),
  row("Dget4", "reading a number of a shared dict, four processes", "get", "4", 1000000, 5000),
  row("Dset4", "storing a number in a shared dict, four processes", "set", "4", 600000, 5000),
}
