-- SPDX-License-Identifier: MIT
-- A named block of shared memory: luamp writes, a Python program reads, and answers in the same block.
--
-- From Python: SharedMemory is the same thing as multiprocessing.shared_memory.SharedMemory, block for block.
-- Each side finds the other's by its name. Here the maker unlinks it at its end; there is no tracker process.
--
-- Before Python 3.13 its tracker unlinks also what a program only opened, at that program's end; the call of
-- `unregister` below keeps it from that.

local mp = require "luamp"

local READER = [[
import struct, sys
from multiprocessing import resource_tracker, shared_memory

block = shared_memory.SharedMemory(sys.argv[1])
resource_tracker.unregister(block._name, "shared_memory")
count, = struct.unpack_from("<q", block.buf, 0)
numbers = block.buf[8:8 + 8 * count].cast("d")
print("Python: %d numbers, the sum is %g" % (count, sum(numbers)), flush=True)
for i in range(count):
    numbers[i] *= 10
numbers.release()
block.close()
]]

local python = "/usr/bin/python3"
local file = io.open(python)
if not file then
  print("there is no " .. python)
  return
end
file:close()

local COUNT = 5
local shm = assert(mp.SharedMemory{size = 8 + 8 * COUNT}) -- nil, "system", message where it cannot be had
shm:pack("<i8", 0, COUNT) -- offsets from 0; the formats of string.pack
local numbers = shm:array("d", 8) -- the rest as an Array
numbers:set{1, 2, 3, 4, 5.5}

local script = os.tmpname()
local out <close> = assert(io.open(script, "w"))
out:write(READER)
out:close()
io.stdout:flush()
assert(os.execute(("%s %s %s"):format(python, script, shm.name)))
os.remove(script)

print("luamp:  " .. table.concat(numbers:table(), " "))

-- Handles travel to other processes of the family like all others.
local reader = mp.spawn(function() return shm.size, numbers:max() end)
print("child: ", reader:result())

assert(shm:unlink()) -- at the end of the program it would happen by itself
print("opening it now:", select(2, mp.SharedMemory(shm.name)))
