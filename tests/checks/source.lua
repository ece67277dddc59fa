-- SPDX-License-Identifier: MIT
-- lua5.4 tests/checks/source.lua: rules of the source tree that a compiler does not know.
-- Includes of runtime/ point one way; only lua/ and main/ see Lua; systems are told apart in os/ only;
-- every file names its licence; every C file is in a list of CMake; guards follow the path.

-- Layer -> the layers it may include besides itself. "base" is for all.
local layers = {
  base = {},
  os = {},
  arena = { "os" },
  sync = { "os", "arena" },
  channel = { "os", "arena", "sync" },
  process = { "os", "arena", "sync", "channel" },
  codec = {},
  net = { "os", "channel", "codec" },
  lua = { "os", "arena", "sync", "channel", "process", "codec", "net" },
  main = { "os", "arena", "sync", "channel", "process", "codec", "net", "lua" },
  include = {},
}
local sees_lua = { lua = true, main = true, include = true }

local failures = 0
local function complain(path, line, fmt, ...)
  failures = failures + 1
  io.stderr:write(line and string.format("%s:%d: ", path, line) or path .. ": ",
    string.format(fmt, ...), "\n")
end

local function lines_of(command)
  local list = {}
  local pipe <close> = assert(io.popen(command))
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function allowed(from, to)
  if to == from or to == "base" then return true end
  for _, name in ipairs(layers[from]) do
    if name == to then return true end
  end
  return false
end

local function check_include(path, number, layer, bracket, name)
  if bracket == "<" then
    if name:find("^lua") or name == "lauxlib.h" then
      if not sees_lua[layer] then complain(path, number, "only lua/ and main/ see <%s>", name) end
    end
    return
  end
  if name == "luamp.h" then
    if not sees_lua[layer] then complain(path, number, "luamp.h needs Lua") end
    return
  end
  local target = name:match("^(%w+)/")
  if not target or not layers[target] then
    complain(path, number, 'write "layer/file.h", not "%s"', name)
  elseif not allowed(layer, target) then
    complain(path, number, "%s/ may not include %s/", layer, target)
  end
end

local function check_c(path)
  local layer = path:match("^runtime/(%w+)/")
  if not layers[layer] then return complain(path, nil, "no such layer") end
  local number, first = 0, true
  for line in (read(path) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local bracket, name = line:match('^%s*#%s*include%s*([<"])([^>"]+)')
    if name then
      local own = path:gsub("^runtime/", ""):gsub("%.c$", ".h")
      if first and path:find("%.c$") and name ~= own then
        local header = io.open("runtime/" .. own)
        if header then
          header:close()
          complain(path, number, "a file includes its own header first")
        end
      end
      first = false
      check_include(path, number, layer, bracket, name)
    end
    local condition = line:match("^%s*#%s*(el?ifn?d?e?f?.*)")
    if condition and layer ~= "os" and condition:find("__linux__") then
      complain(path, number, "systems are told apart in os/ only")
    end
  end
  if path:find("%.h$") then
    local guard = read(path):match("\n#ifndef ([%w_]+)\n#define %1\n")
    local want = "LMP_" .. path:match("^runtime/(.*)%.h$"):upper():gsub("%W", "_")
    if layer == "include" then want = path:match("([%w_]+)%.h$"):upper() .. "_H" else want = want .. "_H" end
    if guard ~= want then complain(path, nil, "guard is %s, not %s", guard, want) end
  end
end

local cmake = read("runtime/CMakeLists.txt")
for _, path in ipairs(lines_of("find runtime -name '*.[ch]' | sort")) do
  check_c(path)
  local name = path:match("^runtime/(.*%.c)$")
  if name and not cmake:find("\n  " .. name .. "\n", 1, true) then
    complain(path, nil, "not in a list of runtime/CMakeLists.txt")
  end
end
for _, path in ipairs(lines_of("find lualib/luamp -name '*.lua'")) do
  if not cmake:find("\n  " .. path:match("^lualib/(.*)$") .. "\n", 1, true) then
    complain(path, nil, "not in LUALIB_SOURCES of runtime/CMakeLists.txt")
  end
end

local find_texts = [[find runtime lualib scripts tests cmake -type f |
  grep -E '[.](c|h|lua|sh|cmake|pml)$|CMakeLists[.]txt$' | sort]]
for _, path in ipairs(lines_of(find_texts)) do
  local text = read(path)
  if path:find("%.[ch]$") and not text:sub(1, 600):find("SPDX-License-Identifier: MIT", 1, true) then
    complain(path, nil, "no SPDX line")
  end
  if text:find("[ \t]\n") then complain(path, nil, "white space at the end of a line") end
  if text:find("\t") then complain(path, nil, "a tab") end
  if text ~= "" and not text:find("\n$") then complain(path, nil, "no newline at the end") end
end

os.exit(failures == 0)
