-- SPDX-License-Identifier: MIT
-- Draws the Mandelbrot set with several processes, into a PNG or PPM file.
--
--     luamp scripts/mandelbrot.lua [--jobs N] [--size WxH] [--iterations N] [FILE]
--
-- The pattern: rows are the tasks of a pool, each needs its number only and returns a string of bytes; `imap` gives
-- them in order while others are being computed, so the file is written as they come.

local mp = require "luamp"

local USAGE <const> = [[
usage: mandelbrot.lua [options] [FILE]
  --jobs N         compute with N processes (default: the number of processors)
  --size WxH       pixels (default: 900x600)
  --iterations N   at most, for each pixel (default: 500)
  --help           show this text
FILE is mandelbrot.png by default; a name that ends in .ppm gets that format.]]

local LEFT <const>, RIGHT <const> = -2.25, 0.75 -- the part of the plane; its height follows from the size

local function complain(...)
  io.stderr:write("mandelbrot: ", table.concat({...}), "\n")
end

-- Computing ----------------------------------------------------------------------------------------

-- Iterations until c = x + iy is known to be outside; nil: it is not.
local function escape(x, y, most)
  local a, b = 0.0, 0.0
  local q = (x - 0.25) ^ 2 + y * y
  if q * (q + (x - 0.25)) <= y * y / 4 or (x + 1) ^ 2 + y * y <= 1 / 16 then
    return nil -- in the two largest parts
  end
  for n = 1, most do
    local aa, bb = a * a, b * b
    if aa + bb > 16 then
      return n + 1 - math.log(math.log(aa + bb) / 2, 2) -- smooth from one to the next
    end
    a, b = aa - bb + x, 2 * a * b + y
  end
end

local function colour(n)
  if not n then
    return "\0\0\0"
  end
  local t = math.max(0, math.log(n) * 0.25) % 1
  local function wave(shift)
    return math.floor(127.5 * (1 - math.cos(2 * math.pi * (t + shift))))
  end
  return string.char(wave(0.1), wave(0.2), wave(0.35))
end

-- One task: the pixels of row `y`, three bytes each.
local function make_row(width, height, iterations)
  local scale = (RIGHT - LEFT) / width
  return function(y)
    local pixels = {}
    local cy = (height / 2 - y + 0.5) * scale
    for x = 1, width do
      pixels[x] = colour(escape(LEFT + (x - 0.5) * scale, cy, iterations))
    end
    return table.concat(pixels)
  end
end

-- Writing ------------------------------------------------------------------------------------------

local function write_ppm(file, width, height, rows)
  file:write(("P6\n%d %d\n255\n"):format(width, height))
  for _, row in rows do
    file:write(row)
  end
end

local crc_table = {}
for n = 0, 255 do
  local c = n
  for _ = 1, 8 do
    c = c & 1 == 1 and 0xEDB88320 ~ (c >> 1) or c >> 1
  end
  crc_table[n] = c
end

local function crc32(text)
  local c = 0xFFFFFFFF
  for i = 1, #text do
    c = crc_table[(c ~ text:byte(i)) & 0xFF] ~ (c >> 8)
  end
  return c ~ 0xFFFFFFFF
end

local function chunk(file, kind, data)
  file:write(string.pack(">I4", #data), kind, data, string.pack(">I4", crc32(kind .. data)))
end

-- PNG (ISO/IEC 15948): the rows in zlib's format (RFC 1950), in blocks that are stored and not compressed (RFC 1951).
local function write_png(file, width, height, rows)
  local s1, s2 = 1, 0 -- Adler-32
  file:write("\137PNG\r\n\26\n")
  chunk(file, "IHDR", string.pack(">I4I4BBBBB", width, height, 8, 2, 0, 0, 0))
  for y, row in rows do
    local line = "\0" .. row -- no filter
    for i = 1, #line do
      s1 = (s1 + line:byte(i)) % 65521
      s2 = (s2 + s1) % 65521
    end
    local parts = {y == 1 and "\x78\x01" or ""}
    for at = 1, #line, 65535 do
      local part = line:sub(at, at + 65534)
      local last = y == height and at + 65535 > #line
      parts[#parts + 1] = string.pack("<BI2I2", last and 1 or 0, #part, ~#part & 0xFFFF) .. part
    end
    parts[#parts + 1] = y == height and string.pack(">I2I2", s2, s1) or ""
    chunk(file, "IDAT", table.concat(parts))
  end
  chunk(file, "IEND", "")
end

-- The command line ---------------------------------------------------------------------------------

local function usage_error(...)
  complain(...)
  io.stderr:write(USAGE, "\n")
  os.exit(2)
end

local function count(name, value)
  local n = value:match("^%d+$") and math.tointeger(tonumber(value))
  if not n or n < 1 or n > 100000 then
    usage_error(name, ": expected a whole number from 1 to 100000, got '", value, "'")
  end
  return n
end

local function parse(args)
  local options = {jobs = mp.cpu_count(), width = 900, height = 600, iterations = 500}
  local i = 1
  while i <= #args do
    local name, value = args[i]:match("^(%-%-%a+)=(.*)$")
    name = name or args[i]
    if name == "--jobs" or name == "--size" or name == "--iterations" then
      if not value then
        i = i + 1
        value = args[i] or usage_error(name, " needs a value")
      end
      if name == "--size" then
        local width, height = value:match("^(%d+)x(%d+)$")
        if not width then
          usage_error("--size: expected WIDTHxHEIGHT, got '", value, "'")
        end
        options.width, options.height = count(name, width), count(name, height)
      else
        options[name:sub(3)] = count(name, value)
      end
    elseif name == "--help" or name == "-h" then
      print(USAGE)
      os.exit(0)
    elseif name:sub(1, 1) == "-" then
      usage_error("unknown option '", args[i], "'")
    elseif options.path then
      usage_error("one FILE only")
    else
      options.path = args[i]
    end
    i = i + 1
  end
  options.path = options.path or "mandelbrot.png"
  return options
end

local options = parse(arg)
local file, message = io.open(options.path, "wb")
if not file then
  complain(message)
  os.exit(1)
end
local pool <close> = mp.Pool(options.jobs)
local row = make_row(options.width, options.height, options.iterations)
local rows = pool:imap(row, mp.range(1, options.height), {chunksize = 4, progress = "mandelbrot"})
local write = options.path:find("%.ppm$") and write_ppm or write_png
write(file, options.width, options.height, rows)
if not file:close() then
  complain(options.path, ": the disk is full")
  os.exit(1)
end
print(("%s: %d x %d"):format(options.path, options.width, options.height))
