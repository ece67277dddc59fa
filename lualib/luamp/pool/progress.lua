-- luamp.pool.progress: how far a job of a pool is, shown on standard error.
-- SPDX-License-Identifier: MIT
--
-- On a terminal all jobs of the process that are under way have a line each, drawn together, in one write. What
-- is done is left behind above them. Elsewhere there are plain lines, now and then.
local mp, core = ...

local FRAME <const> = 0.1 -- seconds between two pictures
local LINE <const> = 10 -- seconds between two plain lines, at least; and at each quarter

local shown = {} -- the bars on the screen, from above
local lines = 0 -- how many lines of the screen they take
local drawn_at = -math.huge
local drawer -- the process whose bars these are: a forked child begins with none

local progress = {}

-- Text --------------------------------------------------------------------------------------------

local function grouped(n)
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function duration(seconds)
  if seconds ~= seconds or seconds >= 360000 then
    return "--:--"
  end
  local s = math.floor(seconds + 0.5)
  if s >= 3600 then
    return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
  end
  return ("%d:%02d"):format(s // 60, s % 60)
end

local function rate_of(bar, now)
  local seconds = now - bar.began
  return seconds > 0 and bar.done / seconds or 0
end

local function rate_text(rate)
  return rate < 10 and ("%.2f/s"):format(rate) or grouped(math.floor(rate + 0.5)) .. "/s"
end

-- What stands behind the bar: how many, how fast, how long still (or how long it took).
local function figures(bar, now)
  local rate = rate_of(bar, now)
  if not bar.total then
    return ("%s %s %s"):format(grouped(bar.done), rate_text(rate), duration(now - bar.began))
  end
  local over = bar.ended or bar.done >= bar.total
  local time = over and duration(now - bar.began) or duration((bar.total - bar.done) / rate) .. " left"
  return ("%s/%s %s %s"):format(grouped(bar.done), grouped(bar.total), rate_text(rate), time)
end

local function fraction(bar)
  return bar.total and (bar.total == 0 and 1 or math.min(1, bar.done / bar.total)) or 0
end

-- One line of at most `columns` characters.
local function picture(bar, now, columns)
  local label = bar.label ~= "" and bar.label .. " " or ""
  local right = figures(bar, now)
  local line
  if bar.total then
    local share = fraction(bar)
    local percent = ("%3d%% "):format(math.floor(share * 100))
    local room = columns - #label - #percent - #right - 3
    if room >= 5 then
      local full = math.floor(share * room)
      line = ("%s%s[%s%s] %s"):format(label, percent, ("#"):rep(full), (" "):rep(room - full), right)
    else
      line = label .. percent .. right
    end
  else
    line = label .. right
  end
  return line:sub(1, math.max(columns, 1))
end

-- Drawing -----------------------------------------------------------------------------------------

-- Draws all bars anew; those that have ended stay where they are, above the others.
local function draw(now, columns)
  local text, left = {}, {}
  if lines > 1 then
    text[1] = ("\27[%dA"):format(lines - 1)
  end
  local order = {}
  for _, bar in ipairs(shown) do
    if bar.ended then
      order[#order + 1] = bar
    end
  end
  for _, bar in ipairs(shown) do
    if not bar.ended then
      order[#order + 1] = bar
      left[#left + 1] = bar
    end
  end
  for i, bar in ipairs(order) do
    -- The last column stays free: writing into it makes some terminals go on to the next line.
    text[#text + 1] = "\r\27[2K" .. picture(bar, now, columns - 1)
    if i < #order or bar.ended then
      text[#text + 1] = "\n"
    end
  end
  shown, lines, drawn_at = left, #left, now
  io.stderr:write(table.concat(text))
end

local function say(bar, now)
  bar.said_at, bar.said = now, fraction(bar)
  local label = bar.label ~= "" and bar.label .. ": " or ""
  local percent = bar.total and ("%d%% "):format(math.floor(bar.said * 100)) or ""
  io.stderr:write(label, percent, figures(bar, now), "\n")
end

-- Bars --------------------------------------------------------------------------------------------

local Bar = {}
Bar.__index = Bar

-- Shows the new count, unless it was shown a moment ago.
function Bar:update(done, now)
  self.done = done
  if self.columns then
    if now - drawn_at >= FRAME then
      draw(now, core.terminal() or self.columns)
    end
  elseif now - self.said_at >= LINE or self.total and fraction(self) - self.said >= 0.25 then
    say(self, now)
  end
end

-- The last picture: of a job that is over, or that has failed.
function Bar:finish(done)
  if self.ended then
    return
  end
  local now = mp.time()
  self.done, self.ended = done, true
  if self.columns then
    draw(now, core.terminal() or self.columns)
  elseif self.said < 1 or not self.total then
    say(self, now)
  end
end

-- A function that is called with (done, total).
local Caller = {}
Caller.__index = Caller

function Caller:update(done)
  if done ~= self.done then
    self.done = done
    local ok, err = pcall(self.f, done, self.total)
    if not ok and core.engine.is_interrupt(err) then
      error(err, 0)
    elseif not ok then
      io.stderr:write("luamp: a progress function failed: ", tostring(err), "\n")
    end
  end
end

function Caller:finish(done)
  self:update(done)
end

-- progress.new(what, total): what is true, a label or a function; total is nil where it is not known.
function progress.new(what, total)
  if type(what) == "function" then
    return setmetatable({ f = what, total = total, done = -1 }, Caller)
  end
  local now, process = mp.time(), mp.current_process()
  if drawer ~= process then
    shown, lines, drawer = {}, 0, process
  end
  local bar = setmetatable({
    label = type(what) == "string" and what or "", total = total, done = 0, began = now, said_at = now, said = 0,
    ended = false, columns = core.terminal(),
  }, Bar)
  if bar.columns then
    shown[#shown + 1] = bar
    if lines > 0 then
      io.stderr:write("\n")
    end
    lines = lines + 1
    draw(now, bar.columns)
  end
  return bar
end

core.progress = progress
