-- SPDX-License-Identifier: MIT
-- scripts/wordcount.lua: totals equal to a serial run, clear errors, and no hang when a worker dies.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local support = require "support"

local file <close> = assert(io.open(here .. "/../../scripts/wordcount.lua"))
local script = file:read("a")

local function run(args, text, options)
  options = options or {}
  options.bare, options.args = true, args
  return support.run(text or script, options)
end

-- The script with ranges and blocks so small that every border is crossed.
local function shrunk(smallest, largest, block)
  local text = script
  for name, value in pairs{["1 << 17, 1 << 25"] = smallest .. ", " .. largest, ["= 1 << 20"] = "= " .. block} do
    local start, stop = text:find(name, 1, true)
    assert(start, name)
    text = text:sub(1, start - 1) .. value .. text:sub(stop + 1)
  end
  return text
end

local function serial(text)
  local counts, words = {}, 0
  for word in text:lower():gmatch("[%w\128-\255]+") do
    counts[word] = (counts[word] or 0) + 1
    words = words + 1
  end
  return counts, words
end

local function sample(size)
  math.randomseed(size)
  local words = {"the", "The", "of", "naïve", "x", "end.", "a-b", "élan", "--", "42", "it's", "\n", "\t\t", "zebra"}
  local text = {}
  for i = 1, size do
    text[i] = words[math.random(#words)]
  end
  return table.concat(text, " ")
end

describe("wordcount", function()
  after_each(support.clean)

  it("counts the words of several files, most frequent first", function()
    local one, two = support.write("b a a, c\nA b"), support.write("a")
    local result = run(("--jobs 2 %s %s"):format(one, two))
    assert.equal(0, result.status)
    assert.equal("", result.err)
    assert.matches("^ *4  a\n *2  b\n *1  c\n *7  words, 3 different, in 2 files of 13 bytes\n$", result.out)
  end)

  it("counts as a serial run does, wherever the ranges are cut", function()
    local paths, texts = {}, {sample(2000), "", "one", ("long"):rep(500), " x", "x ", "héé"}
    for i, text in ipairs(texts) do
      paths[i] = support.write(text)
    end
    local _, words = serial(table.concat(texts, "\n"))
    for _, sizes in ipairs{{7, 9, 5}, {64, 64, 1}, {500, 700, 4096}} do
      local result = run("--jobs 3 --check --top 0 " .. table.concat(paths, " "), shrunk(table.unpack(sizes)))
      assert.equal(0, result.status)
      assert.matches(("^ *%d  words, "):format(words), result.out)
      assert.matches("check: a serial run counts the same", result.out, 1, true)
    end
  end)

  it("shows as many words as asked for", function()
    local path = support.write("a a a b b c")
    assert.equal(2, select(2, run("--top 1 " .. path).out:gsub("\n", "")))
    assert.equal(1, select(2, run("--top=0 " .. path).out:gsub("\n", "")))
    assert.equal(4, select(2, run("--top 99 " .. path).out:gsub("\n", "")))
  end)

  it("reports what cannot be read, counts the rest, and says so by status 1", function()
    local path = support.write("a b c")
    local result = run(("/nonexistent/file %s /tmp"):format(path))
    assert.equal(1, result.status)
    assert.matches(" 3  words, 3 different, in 1 file of 5 bytes", result.out, 1, true)
    assert.equal("wordcount: /nonexistent/file: No such file or directory\nwordcount: /tmp: Is a directory\n",
      result.err)
    result = run("/nonexistent/file")
    assert.equal(1, result.status)
    assert.matches("0  words", result.out, 1, true)
  end)

  it("says what is wrong with its options, and ends with status 2", function()
    local cases = {
      ["--jobs 0 x"] = "--jobs: expected a whole number from 1, got '0'",
      ["--jobs"] = "--jobs needs a number",
      ["--jobs=many x"] = "got 'many'",
      ["--top -1 x"] = "got '-1'",
      ["--frobnicate x"] = "unknown option '--frobnicate'",
      [""] = "no files given",
    }
    for args, message in pairs(cases) do
      local result = run(args)
      assert.equal(2, result.status)
      assert.equal("", result.out)
      assert.matches(message, result.err, 1, true)
      assert.matches("usage:", result.err, 1, true)
    end
    assert.equal(0, run("--help").status)
  end)

  it("shows progress on a large input only, on stderr", function()
    local path = support.write(sample(20000):rep(260)) -- more than 16 MB
    local result = run("--jobs 2 --check --top 0 " .. path)
    assert.equal(0, result.status)
    assert.matches("wordcount: 100%% (%d+)/%1 ", result.err)
    assert.not_matches("%%", result.out)
    assert.matches("check: a serial run", result.out, 1, true)
  end)

  -- A worker that meets the word kills itself: each time, or as long as a file can be removed.
  local function deadly(condition)
    local text, found = script:gsub("local function count_task%(task%)\n", function(line)
      return line .. "  if " .. condition .. ' then os.execute("kill -KILL $PPID") end\n'
    end)
    assert.equal(1, found)
    return (text:gsub("1 << 17, 1 << 25", "50, 60"))
  end

  it("counts a range again whose worker died", function()
    local path, mark = support.write(sample(200)), support.write("")
    local result = run("--jobs 3 --top 0 --check " .. path, deadly(("os.remove(%q)"):format(mark)))
    assert.equal(0, result.status)
    assert.equal("", result.err)
    assert.matches("check: a serial run counts the same", result.out, 1, true)
  end)

  it("reports a range that no worker survives, instead of waiting for it", function()
    local result = run("--jobs 3 --top 0 " .. support.write(sample(200)), deadly("task.first == 0"))
    assert.equal(1, result.status)
    assert.equal("", result.out)
    assert.matches("wordcount: worker 'PoolWorker%-%d+' %(pid %d+%) died: killed by signal 9", result.err)
    assert.matches("no result", result.err, 1, true)
  end)
end)
