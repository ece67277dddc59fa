-- SPDX-License-Identifier: MIT
-- words.lua pool|serial MEGABYTES FILE: counts the words of so much text, which is made where it is not there yet, by
-- scripts/wordcount.lua with two workers or in one process. The count is verified.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local mp = require "luamp"
local common = require "common"

local work, size, path = arg[1], math.tointeger(arg[2]) << 20, arg[3]

-- Words as often as in real text: the n-th most frequent about 1 / n times as often as the first.
local function make_text()
  local file <close> = assert(io.open(path, "wb"))
  local state, words, written = 1, 0, 0
  while written < size do
    local line = {}
    for i = 1, 12 do
      state = state * 6364136223846793005 + 1442695040888963407
      local n = math.floor(math.exp((state >> 40) / (1 << 24) * 11)) -- up to 60,000
      line[i] = ("%s%x"):format(n % 2 == 0 and "word" or "te", n * 2654435761 & 0xfffffff)
    end
    local text = table.concat(line, " ") .. ".\n"
    file:write(text)
    words, written = words + 12, written + #text
  end
  local count <close> = assert(io.open(path .. ".count", "w"))
  count:write(words)
end

local function expected()
  local count <close> = io.open(path .. ".count")
  return count and count:read("n")
end

local function count()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  local script = arg[0]:gsub("[^/]*$", "") .. "../../../scripts/wordcount.lua"
  local how = work == "pool" and "--jobs 2" or "--serial"
  local command = ("'%s' '%s' %s --top 0 '%s' 2>/dev/null"):format(arg[first], script, how, path)
  local output <close> = assert(io.popen(command))
  return tonumber(output:read("a"):match("(%d+)  words"))
end

if not expected() then make_text() end
local t0 = mp.time()
local words = count()
local t = mp.time() - t0
common.check(words == expected(), "%s words instead of %s", words, expected())
common.result(t, "s")
