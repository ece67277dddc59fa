-- SPDX-License-Identifier: MIT
-- lua5.4 tests/checks/script.lua SCRIPT EXPECT COMMAND...: runs COMMAND SCRIPT and expects success.
-- EXPECT is tests/scripts/NAME.expect, which may be missing: one Lua pattern a line, each of which
-- must be found in what the script printed (standard output and error). Next to it, NAME.args may
-- hold arguments of the script, as for the shell.
local script, expect = arg[1], arg[2]

local function slurp(path)
  local file <close> = io.open(path)
  return file and file:read("a")
end

local command = table.concat(arg, " ", 3) .. " " .. script
local args = slurp((expect:gsub("%.expect$", ".args")))
if args then command = command .. " " .. args:gsub("%s+$", "") end

local pipe = assert(io.popen(command .. " 2>&1"))
local output = pipe:read("a")
local ok, how, code = pipe:close()
io.write(output)
local failed = false
if not ok then
  io.write(string.format("FAILED: %s %s: %s\n", how, code, command))
  failed = true
end
for pattern in (slurp(expect) or ""):gmatch("[^\n]+") do
  if not output:find(pattern) then
    io.write("FAILED: not in the output: ", pattern, "\n")
    failed = true
  end
end
os.exit(not failed)
