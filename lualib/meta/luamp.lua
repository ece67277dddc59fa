-- SPDX-License-Identifier: MIT
---@meta luamp

-- The reference of `require "luamp"`: signatures for editors (LuaCATS), and what each call does. It is
-- never run; tests/lua/meta_spec.lua compares it with what the module exports.

---Processes and queues for Lua 5.4. The module sets no global, installs no signal handler and starts
---nothing when it is required.
---
---**Family.** The main process and all processes started from it through luamp share one piece of memory,
---which is made with the first object (a Queue, a started Process, or a call of `current_process` or
---`stats`). It belongs to none of them and is gone with the last one. In a host with several Lua states, each
---that requires luamp is the main process of a family of its own.
---
---**Mistakes raise, outcomes return.** A wrong argument or a misuse raises an error that names the function.
---What can happen in a correct program is returned as `nil, code`, or `false, code` where success is
---`true`. A message may be `nil`: `get` then returns one value, not two.
---
---**Timeouts** are seconds. Absent or `nil` waits for ever, and so does `math.huge`; 0 or less does not wait;
---NaN and what is not a number raise, also when the call would not have had to wait. A call that timed out
---took at least the time given and changed nothing. Ctrl-C raises `interrupted!` out of any wait of the main
---script; no other signal shortens one.
---
---**Waiting** blocks the whole Lua state, all its coroutines included.
---
---**Death.** Any process may be killed at any instruction; the calls of the others go on as described here.
---@class luamp
---@field _VERSION string the version, such as "0.1.0"
local luamp = {}

---An outcome that is no success:
--- * `"timeout"`: the time was over, or there was none and the call would have had to wait
--- * `"closed"`: the queue is closed, or nobody holds the pipe's other end (and, to receive, nothing is left)
--- * `"toolarge"`: the message can never fit into the family's memory
--- * `"died"`: the process ended without a result
--- * `"broken"`: the bytes are no message, or one that must not or cannot be rebuilt here; the barrier is broken
--- * `"system"`: the operating system refused; a message follows
---@alias luamp.Code "timeout"|"closed"|"toolarge"|"died"|"broken"|"system"

---A number of bytes, or a text: a number and `K`, `M` or `G` (or `k`, `m`, `g`), powers of 1024, as
---`"512M"` or `"1.5G"`.
---@alias luamp.Size number|string

---@alias luamp.StartMethod "fork"|"spawn"|"forkserver"

-- Queue -----------------------------------------------------------------------------------------------

---First in, first out; any number of producers and consumers in any processes.
---
---Once a put has returned, the message is in the queue for every process, whatever becomes of the one that
---put it. Messages of one producer keep their order. A message is taken by one consumer; when that one is
---killed, what it had taken is gone with it, and nothing else.
---
---A Queue value is a handle. It can be sent in a message and reached by a child; what arrives is a handle on
---the same queue, and in one Lua state all handles on one queue are the same value. The queue lives while
---a process holds a handle or a message in flight names it; the garbage collector, and the end of a process
---in any way, let go of handles. A child holds those that its function reaches; another one that it finds
---all the same takes hold when it is used, or raises `the Queue is gone` where nobody held it any more.
---@class luamp.Queue
---@operator len: integer
local Queue = {}

---@class luamp.QueueOptions
---@field name? string shows in `tostring` and in error messages

---An empty queue, held by this process. Raises when `maxsize` is negative or no integer, for unknown
---options, and when the family has no room for a further object: it holds at most 262143, of which every
---process is one.
---@param maxsize? integer most messages in it; absent, `nil` or 0: any number (as are 2147483647 and more)
---@param options? luamp.QueueOptions
---@return luamp.Queue
---@overload fun(options: luamp.QueueOptions): luamp.Queue
function luamp.Queue(maxsize, options) end

---The same as `Queue`, which has `task_done` and `join`.
---@param maxsize? integer
---@param options? luamp.QueueOptions
---@return luamp.Queue
---@overload fun(options: luamp.QueueOptions): luamp.Queue
function luamp.JoinableQueue(maxsize, options) end

---The same as `Queue`.
---@param maxsize? integer
---@param options? luamp.QueueOptions
---@return luamp.Queue
---@overload fun(options: luamp.QueueOptions): luamp.Queue
function luamp.SimpleQueue(maxsize, options) end

---`Queue` in lower case.
---@param maxsize? integer
---@param options? luamp.QueueOptions
---@return luamp.Queue
---@overload fun(options: luamp.QueueOptions): luamp.Queue
function luamp.queue(maxsize, options) end

---`JoinableQueue` in lower case.
---@param maxsize? integer
---@param options? luamp.QueueOptions
---@return luamp.Queue
---@overload fun(options: luamp.QueueOptions): luamp.Queue
function luamp.joinable_queue(maxsize, options) end

---`SimpleQueue` in lower case.
---@param maxsize? integer
---@param options? luamp.QueueOptions
---@return luamp.Queue
---@overload fun(options: luamp.QueueOptions): luamp.Queue
function luamp.simple_queue(maxsize, options) end

---Appends a message. Waits while the queue holds `maxsize` messages, and while the family's shared memory is
---full, also when the queue is unbounded. A close during the wait ends it.
---
---Sendable are `nil`, booleans, numbers, strings, tables (any depth, cycles and shared references kept),
---luamp's objects, and functions. Everything but objects is copied. A function takes its upvalues along, and
---the globals that it names when they are the script's own; on arrival a global is set where the receiver
---has none of that name. What a `require`d module holds travels by name, and is `require`d on arrival.
---Raises, and puts nothing, for what cannot be sent, and says where it is: `cannot send a coroutine at
---message.jobs[3].co`. So it is with coroutines, open files, userdata of other libraries, C functions that no
---module holds, tables whose metatable has `__gc` or `__close` and is not registered (see `register`), and
---with a Process that was not started or is closed.
---@param message any
---@param timeout? number seconds
---@return boolean put
---@return luamp.Code? code `"timeout"`, `"closed"` or `"toolarge"` where `put` is false
function Queue:put(message, timeout) end

---`put` with timeout 0.
---@param message any
---@return boolean put
---@return luamp.Code? code
function Queue:put_nowait(message) end

---Puts the elements of a list in order. All are encoded first: when one cannot be sent it raises (`at
---list[3]`) and puts none. Consumers may see the first ones while it still waits to put the others.
---@param list any[] up to `list.n` where that is there, else up to `#list`
---@param timeout? number seconds, for all together
---@return integer count how many were put
---@return luamp.Code? code why not all: `"timeout"`, `"closed"` or `"toolarge"`
function Queue:put_many(list, timeout) end

---Takes the first message. One that cannot be rebuilt here, because a module is missing, say, raises
---`cannot rebuild a message: …`, and is consumed.
---
---A consumer that waits learns of a `close`, but not that no producer is left: as long as it holds the queue
---itself, it might be given a message.
---@param timeout? number seconds
---@return any message `nil` where there is a code; or the message `nil`, and no code
---@return luamp.Code? code `"timeout"`; or `"closed"`: closed and empty
function Queue:get(timeout) end

---`get` with timeout 0.
---@return any message
---@return luamp.Code? code
function Queue:get_nowait() end

---Waits for one message, then takes what is there, up to `max` messages. A consumer that is killed takes all
---of them along. A message that cannot be rebuilt ends the list before it, or raises when it is the first.
---@param max integer at least 1
---@param timeout? number seconds, for the first
---@return any[]? messages with their number in `n`, since there may be `nil` among them
---@return luamp.Code? code `"timeout"`; or `"closed"`: closed and empty
function Queue:get_many(max, timeout) end

---`for message in queue:items() do`: takes and waits as `get` does, until the queue is closed and empty, or
---a message is `nil`. The loop may be left by `break`; nothing is taken in advance.
---@return fun(queue: luamp.Queue): any iterator
---@return luamp.Queue queue
function Queue:items() end

---The number of messages at the moment of the call; `#queue` is the same.
---@return integer
function Queue:qsize() end

---Whether there was no message at the moment of the call.
---@return boolean
function Queue:empty() end

---Whether the queue held `maxsize` messages at the moment of the call. A put can have to wait when it does
---not: while the family's memory is full.
---@return boolean
function Queue:full() end

---Reports that one message that was taken is done with. Raises when it is called more often than messages were
---put; any process may report any message.
function Queue:task_done() end

---Waits until as many messages were reported by `task_done` as were put. What a consumer had taken and not
---reported when it was killed remains unreported: watch the consumers, or use a timeout.
---@param timeout? number seconds
---@return boolean done
---@return luamp.Code? code `"timeout"`
function Queue:join(timeout) end

---No more puts, by anyone; puts that wait return `false, "closed"`. What is in the queue can still be taken;
---after that, `get` returns `nil, "closed"` and `items` ends. Closing twice is harmless. It closes the queue,
---not the handle: all processes see it.
function Queue:close() end

---Closes the queue and drops what is in it. Dropped messages count as reported for `join`.
function Queue:cancel() end

-- Locks -----------------------------------------------------------------------------------------------

---A lock between threads of any processes. It belongs to the thread that acquired it. When that ends without
---releasing it, by any way, it is abandoned, and the next to acquire it is told. A waiter that is killed changes
---nothing. Nobody who waits is kept from it for good by others who acquire it again and again.
---@class luamp.Lock
local Lock = {}

---@class luamp.LockOptions
---@field name? string shows in `tostring` and in error messages

---A free lock.
---@param options? luamp.LockOptions
---@return luamp.Lock
function luamp.Lock(options) end

---`Lock` in lower case.
---@param options? luamp.LockOptions
---@return luamp.Lock
function luamp.lock(options) end

---Makes this thread the owner of the lock; waits until it is free. Raises `deadlock: ...` when this thread holds it
---already and there is no timeout. `"abandoned"` says that its last owner ended without releasing it:
---what the lock protects may be half-changed. That is said once; the lock is held like any other.
---@param timeout? number seconds
---@return boolean held
---@return luamp.Code|"abandoned"? code `"timeout"`, or `"abandoned"` after `true`
function Lock:acquire(timeout) end

---Releases the lock. Only its owner does: for others it raises, and names the owner.
function Lock:release() end

---Whether somebody held the lock at the moment of the call.
---@return boolean
function Lock:locked() end

---Calls `f(...)` holding the lock, and releases it when `f` returns or raises. When the lock was abandoned,
---`f` gets `"abandoned"` as a further, last argument.
---@param f function
---@param ... any its arguments
---@return any ... what `f` returns
function Lock:with(f, ...) end

---`local held <close> = lock:guard()` holds the lock until the scope is left.
---@return luamp.Guard held
function Lock:guard() end

---A Lock that its owner may acquire again.
---@class luamp.RLock
local RLock = {}

---A free lock that its owner may acquire again.
---@param options? luamp.LockOptions
---@return luamp.RLock
function luamp.RLock(options) end

---`RLock` in lower case.
---@param options? luamp.LockOptions
---@return luamp.RLock
function luamp.rlock(options) end

---Makes this thread the owner of the lock; waits until it is free. The owner may acquire it again, and has to
---release it as often. `"abandoned"` says that its last owner ended without releasing it:
---what the lock protects may be half-changed. That is said once; the lock is held like any other.
---@param timeout? number seconds
---@return boolean held
---@return luamp.Code|"abandoned"? code `"timeout"`, or `"abandoned"` after `true`
function RLock:acquire(timeout) end

---Releases the lock. Only its owner does: for others it raises, and names the owner.
function RLock:release() end

---Whether somebody held the lock at the moment of the call.
---@return boolean
function RLock:locked() end

---Calls `f(...)` holding the lock, and releases it when `f` returns or raises. When the lock was abandoned,
---`f` gets `"abandoned"` as a further, last argument.
---@param f function
---@param ... any its arguments
---@return any ... what `f` returns
function RLock:with(f, ...) end

---`local held <close> = lock:guard()` holds the lock until the scope is left.
---@return luamp.Guard held
function RLock:guard() end

---Waiting for news while a lock is let go. All its calls but those of the lock raise unless this thread holds
---the lock.
---@class luamp.Condition
local Condition = {}

---A condition bound to `lock`, which lives as long as it; by default to an RLock of its own.
---@param lock? luamp.Lock|luamp.RLock
---@param options? luamp.LockOptions
---@return luamp.Condition
---@overload fun(options: luamp.LockOptions): luamp.Condition
function luamp.Condition(lock, options) end

---`Condition` in lower case.
---@param lock? luamp.Lock|luamp.RLock
---@param options? luamp.LockOptions
---@return luamp.Condition
---@overload fun(options: luamp.LockOptions): luamp.Condition
function luamp.condition(lock, options) end

---Acquires the lock that the condition is bound to, as its own `acquire` does. `"abandoned"` says that its last owner ended without releasing it:
---what the lock protects may be half-changed. That is said once; the lock is held like any other.
---@param timeout? number seconds
---@return boolean held
---@return luamp.Code|"abandoned"? code `"timeout"`, or `"abandoned"` after `true`
function Condition:acquire(timeout) end

---Releases the lock. Only its owner does: for others it raises, and names the owner.
function Condition:release() end

---Whether somebody held the lock at the moment of the call.
---@return boolean
function Condition:locked() end

---Calls `f(...)` holding the lock, and releases it when `f` returns or raises. When the lock was abandoned,
---`f` gets `"abandoned"` as a further, last argument.
---@param f function
---@param ... any its arguments
---@return any ... what `f` returns
function Condition:with(f, ...) end

---`local held <close> = lock:guard()` holds the lock until the scope is left.
---@return luamp.Guard held
function Condition:guard() end

---Releases the lock, however often it was acquired, waits until notified, and holds it again as before, whatever it
---returns. Others may have changed what was waited for by then: look again, or use `wait_for`.
---@param timeout? number seconds
---@return boolean notified
---@return luamp.Code|"abandoned"? code `"timeout"`, or `"abandoned"` after `true`
---@return "abandoned"? abandoned after `"timeout"`: somebody ended holding the lock meanwhile
function Condition:wait(timeout) end

---Waits until `predicate()`, called with the lock held, returns a true value, or the time is over.
---@param predicate fun(): any
---@param timeout? number seconds
---@return any value what `predicate` returned last
---@return "abandoned"? abandoned somebody ended holding the lock meanwhile
function Condition:wait_for(predicate, timeout) end

---Wakes `n` of those who wait, or all if they are fewer. It is lost on nobody: when one of them is killed before
---its `wait` returns, another one is woken instead.
---@param n? integer default 1
function Condition:notify(n) end

---Wakes all who wait.
function Condition:notify_all() end
-- Value and Array -------------------------------------------------------------------------------------

---The C type of an element, by the letter that Python and `struct` know it by:
---
--- * `b` `h` `i` `l` `q` signed, `B` `H` `I` `L` `Q` unsigned integers of 1, 2, 4, 8 (a C `long`) and 8 bytes
--- * `f` `d` floats of 4 and 8 bytes
--- * `?` a boolean: one byte, 0 is false and anything else true
--- * `c` a character: a string of one byte
---
---Integer types take Lua integers in their range, and floats with an integer value. Anything else raises and
---changes nothing: a fraction, 256 into `B`, a string of digits. `f` rounds, and refuses finite numbers that
---would become infinite. In `L` and `Q` the numbers from 2^63 up are the Lua integers of the same 64 bits, so
---negative ones: `math.ult` compares and `("%x"):format` shows them as what they are. Writing a negative
---integer there, or a float from 2^63 up, gives that number; comparisons (`min`, `max`, `sort`) are unsigned.
---@alias luamp.TypeCode "b"|"B"|"h"|"H"|"i"|"I"|"l"|"L"|"q"|"Q"|"f"|"d"|"?"|"c"

---What elements are in Lua.
---@alias luamp.Element integer|number|boolean|string

---One number in shared memory.
---
---Reading and writing `value` are single steps: no process ever sees half a number, and who sees one also sees what
---its writer had written before. But `v.value = v.value + 1` is two steps: use `add`, which is one, and needs no
---lock.
---@class luamp.Value
---@field value luamp.Element
local Value = {}

---@class luamp.ValueOptions
---@field name? string shows in `tostring` and in error messages

---A number of the given type. Raises for an unknown code, for what the type does not hold, and where the
---family's memory is full.
---@param code luamp.TypeCode
---@param initial? luamp.Element by default 0, `false`, `"\0"`
---@param options? luamp.ValueOptions
---@return luamp.Value
---@overload fun(code: luamp.TypeCode, options: luamp.ValueOptions): luamp.Value
function luamp.Value(code, initial, options) end

---The same as `Value`.
---@param code luamp.TypeCode
---@param initial? luamp.Element
---@param options? luamp.ValueOptions
---@return luamp.Value
function luamp.RawValue(code, initial, options) end

---`Value` in lower case.
---@param code luamp.TypeCode
---@param initial? luamp.Element
---@param options? luamp.ValueOptions
---@return luamp.Value
function luamp.value(code, initial, options) end

---`RawValue` in lower case.
---@param code luamp.TypeCode
---@param initial? luamp.Element
---@param options? luamp.ValueOptions
---@return luamp.Value
function luamp.raw_value(code, initial, options) end

---Adds in one step, whatever other processes do. An integer type wraps as the C type does. Raises for `?` and `c`.
---@param n number any integer where the type is one
---@return number new the value after the addition
function Value:add(n) end

---Stores `x` in one step.
---@param x luamp.Element
---@return luamp.Element old what was there
function Value:exchange(x) end

---Stores `new` if the value equals `expected`, in one step. Here NaN equals NaN, so that a loop that tries again
---with the value seen comes to its end.
---@param expected luamp.Element
---@param new luamp.Element
---@return boolean stored
---@return luamp.Element seen what was there before
function Value:compare_exchange(expected, new) end

---The object's own RLock, for what takes more than one step; the same one in all processes. Nothing else takes it:
---single steps and bulk operations go on while somebody holds it.
---@return luamp.RLock
function Value:get_lock() end

---Calls `f(x, …)`, where `x` is this object, holding its RLock, as `RLock:with` does.
---@param f function
---@param ... any its further arguments
---@return any ... what `f` returns
function Value:with(f, ...) end

---Elements of one C type in shared memory, `a[1]` to `a[#a]`.
---
---Single elements are read, written, added to and exchanged as a Value is: in one step, without a lock. Another
---index raises; `ipairs(a)` works. The other methods do many elements at once, at the speed of memory. They look
---at all their arguments first and then either do all or raise and change nothing; but others may see them half
---done, each element whole, and when the process is killed in one it stays half done.
---
---An Array that `SharedMemory:array` makes is a view: its elements are in the block. Everything else is the same.
---@class luamp.Array
---@operator len: integer
---@field [integer] luamp.Element
local Array = {}

---Zeros, or a copy. A table is read raw, up to its border; a string gives the elements' bytes in the machine's
---order, and for `c` its characters. Raises for an unknown code, for elements that do not fit, and where the
---family's memory has no room for so many, now (`full`) or ever (`larger than the family's shared memory`).
---@param code luamp.TypeCode
---@param content integer|luamp.Element[]|string a length (0 is one), the elements, or their bytes
---@param options? luamp.ValueOptions
---@return luamp.Array
function luamp.Array(code, content, options) end

---The same as `Array`.
---@param code luamp.TypeCode
---@param content integer|luamp.Element[]|string
---@param options? luamp.ValueOptions
---@return luamp.Array
function luamp.RawArray(code, content, options) end

---`Array` in lower case.
---@param code luamp.TypeCode
---@param content integer|luamp.Element[]|string
---@param options? luamp.ValueOptions
---@return luamp.Array
function luamp.array(code, content, options) end

---`RawArray` in lower case.
---@param code luamp.TypeCode
---@param content integer|luamp.Element[]|string
---@param options? luamp.ValueOptions
---@return luamp.Array
function luamp.raw_array(code, content, options) end

---Adds to an element in one step, as `Value:add` does.
---@param i integer
---@param n number
---@return number new
function Array:add(i, n) end

---Stores an element in one step.
---@param i integer
---@param x luamp.Element
---@return luamp.Element old
function Array:exchange(i, x) end

---Stores `new` if element `i` equals `expected`, in one step, as `Value:compare_exchange` does.
---@param i integer
---@param expected luamp.Element
---@param new luamp.Element
---@return boolean stored
---@return luamp.Element seen
function Array:compare_exchange(i, expected, new) end

---Stores `x` in the elements `i` to `j`.
---@param x luamp.Element
---@param i? integer by default 1
---@param j? integer by default `#a`; less than `i`: no element
function Array:fill(x, i, j) end

---The elements `i` to `j` as a table.
---@param i? integer
---@param j? integer
---@return luamp.Element[]
function Array:table(i, j) end

---Stores the elements of a table, all of which must fit. The table is read raw: no metamethod runs.
---@param t luamp.Element[] up to its border (`rawlen`)
---@param start? integer where the first goes, by default 1
function Array:set(t, start) end

---The elements `i` to `j`, as `table.unpack` returns them.
---@param i? integer
---@param j? integer
---@return luamp.Element ...
function Array:unpack(i, j) end

---Copies elements of an Array of the same type, which may be this one: overlapping ranges are copied as if
---through a buffer.
---@param from luamp.Array
---@param i? integer first element of `from`, by default 1
---@param j? integer last element of `from`, by default its last
---@param to? integer where the first goes, by default 1
function Array:copy(from, i, j, to) end

---All elements' bytes, in the machine's order; of an Array of `c` its text.
---@return string
function Array:string() end

---Stores bytes, in the machine's order; they must be whole elements.
---@param s string
---@param start? integer element at which they begin, by default 1
function Array:setstring(s, start) end

---The sum. Integers are added exactly and wrap at 64 bits as Lua's do; booleans count what is `true`. Floats are
---added as doubles in several partial sums, always the same ones, which is more exact than one after the other;
---with a NaN the sum is NaN. Raises for `c`.
---@return number
function Array:sum() end

---The least element; `nil` if there is none. NaNs count only where there is nothing else. Raises for `?`.
---@return luamp.Element?
function Array:min() end

---The greatest element; `nil` if there is none. NaNs count only where there is nothing else. Raises for `?`.
---@return luamp.Element?
function Array:max() end

---The first index from `i` on with an element that is what `a[i] = x` would have stored; NaN is found, too. A number
---that the type does not hold is nowhere.
---@param x luamp.Element
---@param i? integer by default 1
---@return integer?
function Array:find(x, i) end

---Sorts ascending; -0.0 comes before 0.0, NaNs come last (and lose their sign), `false` before `true`. It is done on a
---copy: what others write meanwhile is overwritten.
function Array:sort() end

---An iterator over the elements `i` to `j`: `for x in a:iter() do`. `ipairs(a)` gives the indices, too.
---@param i? integer
---@param j? integer
---@return fun(): luamp.Element?
function Array:iter(i, j) end

---The object's own RLock, for what takes more than one step; the same one in all processes. Nothing else takes it:
---single steps and bulk operations go on while somebody holds it.
---@return luamp.RLock
function Array:get_lock() end

---Calls `f(x, …)`, where `x` is this object, holding its RLock, as `RLock:with` does.
---@param f function
---@param ... any its further arguments
---@return any ... what `f` returns
function Array:with(f, ...) end

-- SharedMemory ----------------------------------------------------------------------------------------

---A named block of memory of the system, for programs outside the family: a C program that calls `shm_open`, or
---Python's `multiprocessing.shared_memory`, which finds it by the same name and the other way round.
---
---The name is the one that Python uses: without the slash with which C programs begin it (one is taken off where it
---is given).
---
---The process that made a block takes its name away at its normal end, and does not with `keep = true`; one that a
---signal ends leaves it: SIGKILL, and SIGTERM and SIGINT, too (`terminate`, `interrupt`, Ctrl-C in a child), as luamp installs no
---handlers of signals. Children do not, nor does `close`, nor the collector. Who has the block open goes on using it
---when the name is gone. Handles travel as all do: on arrival the block is opened by its name, and where that is gone by
---then, using the handle raises.
---
---Of Python before 3.13 one should know that a process that only *opens* a block unlinks it at its end, too, and says
---so on stderr; `resource_tracker.unregister(shm._name, "shared_memory")` keeps it from that, as
---`track=False` does later. A block that another program shrinks under its users ends them by SIGBUS, as every mapped
---file does.
---@class luamp.SharedMemory
---@field name string
---@field size integer bytes; of one that was opened: as many as the maker asked for
local SharedMemory = {}

---@class luamp.SharedMemoryOptions
---@field name? string of the block to open, or to make; absent: a new one is made up, like Python's
---@field size? luamp.Size of the block to make; at least 1
---@field create? boolean make it; by default, if there is a `size`
---@field keep? boolean its name stays when this process ends

---Makes a block of zeros (`{size = …}`) that only this user may open, or opens one (`"name"`). All of a new block is
---there at once: where the system is short of it, that is an error here and no crash later. Raises for
---names with a slash in them and for sizes below 1.
---@param options string|luamp.SharedMemoryOptions
---@return luamp.SharedMemory? block `nil` where one to make exists, one to open does not, or the system refuses
---@return "system"? code
---@return string? message
function luamp.SharedMemory(options) end

---`SharedMemory` in lower case.
---@param options string|luamp.SharedMemoryOptions
---@return luamp.SharedMemory?
---@return "system"? code
---@return string? message
function luamp.shared_memory(options) end

---Bytes of the block. What is not all inside the block raises, here and below.
---@param offset? integer from 0, which is the default
---@param n? integer by default all to the end
---@return string
function SharedMemory:read(offset, n) end

---Copies a string into the block.
---@param offset integer from 0
---@param s string
function SharedMemory:write(offset, s) end

---Writes values in a format of `string.pack`; alignments count from `offset`.
---@param fmt string
---@param offset integer from 0
---@param ... any
---@return integer next the offset behind them
function SharedMemory:pack(fmt, offset, ...) end

---Reads values in a format of `string.pack`.
---@param fmt string
---@param offset? integer from 0, which is the default
---@return any ... the values, and last the offset behind them
function SharedMemory:unpack(fmt, offset) end

---A view of (a part of) the block, with the methods of Array. It keeps the memory mapped, also when the SharedMemory
---is closed.
---@param code luamp.TypeCode
---@param offset? integer from 0, which is the default; a multiple of the element's size
---@param n? integer elements; by default as many as there is room for
---@return luamp.Array
function SharedMemory:array(code, offset, n) end

---Lets go of the block, which stays there; views that were made go on. Closing twice is harmless; afterwards only
---`name`, `size` and `unlink` can be used. Leaving the scope of a `<close>` variable does this, too.
function SharedMemory:close() end

---Takes the name away; the memory is given back when nobody has it open any more. Works on a closed one, too.
---@return true? done `nil` where there is none of that name
---@return "system"? code
---@return string? message
function SharedMemory:unlink() end
-- Pipe ------------------------------------------------------------------------------------------------

---One end of a pipe: sends messages to, and receives them from, those who hold the other end.
---
---Messages keep their boundaries and their order. Several processes may send, and several receive, on one end;
---each message goes to one of them, whole. A pipe holds as many messages as the family's memory does; then
---`send` waits. What was sent is in the pipe, whatever becomes of the sender.
---
---**The end.** When no process holds the other end, and no message that can still be received names it, that is
---the end of the stream: what was sent can be received, then `recv` returns `nil, "closed"`, and `send` returns
---`false, "closed"` at once. A child holds the ends that its function reaches and no others, under `fork`, too; so a
---parent that has started a child with one end closes its own handle on that end, and keeps the other.
---
---A Connection value is a handle: each is closed by itself, by `close`, at the end of its scope when it was
---declared `<close>`, by the garbage collector, or with its process. It can be sent in a message, also through its
---own pipe; an end in a message that nobody can receive any more is gone. In one Lua state all open handles on one
---end are the same value. Using a closed one raises.
---@class luamp.Connection
---@field closed boolean whether this handle was closed
---@field readable boolean whether it receives
---@field writable boolean whether it sends
local Connection = {}

---@class luamp.PipeOptions
---@field name? string of both ends; shows in `tostring` and in error messages

---Two connected ends. Not duplex, the first only receives and the second only sends; the other way round raises.
---@param duplex? boolean default true
---@param options? luamp.PipeOptions
---@return luamp.Connection first
---@return luamp.Connection second
---@overload fun(options: luamp.PipeOptions): luamp.Connection, luamp.Connection
function luamp.Pipe(duplex, options) end

---`Pipe` in lower case.
---@param duplex? boolean
---@param options? luamp.PipeOptions
---@return luamp.Connection first
---@return luamp.Connection second
---@overload fun(options: luamp.PipeOptions): luamp.Connection, luamp.Connection
function luamp.pipe(duplex, options) end

---Sends a message: any value that a queue takes. Waits while the family's shared memory is full.
---@param message any
---@param timeout? number seconds
---@return boolean sent
---@return luamp.Code? code `"closed"`: nobody holds the other end; `"timeout"`; `"toolarge"`
function Connection:send(message, timeout) end

---Receives the first message. One that cannot be rebuilt here raises `cannot rebuild a message: …`, and is
---consumed. Of a message that `send_bytes` sent it returns what `luamp.decode` makes of its bytes.
---@param timeout? number seconds
---@return any message `nil` where there is a code; or the message `nil`, and no code
---@return luamp.Code? code `"closed"`: the end of the stream; `"timeout"`; `"broken"`: raw bytes that are no message
---@return string? text what is broken
function Connection:recv(timeout) end

---Whether `recv` would not have to wait: there is a message, or the stream has ended. Takes nothing.
---@param timeout? number seconds to wait for that; default 0
---@return boolean
function Connection:poll(timeout) end

---Sends a string as it is, or the part of it that `s:sub(i, j)` is. The empty string is a message, too.
---@param s string
---@param i? integer default 1
---@param j? integer default -1
---@param timeout? number seconds
---@return boolean sent
---@return luamp.Code? code as of `send`
function Connection:send_bytes(s, i, j, timeout) end

---Receives the first message as bytes: what `send_bytes` sent; or the encoded form of what `send` sent, which
---`luamp.decode` takes unless luamp's objects are in it, which are let go.
---
---A message longer than `maxlength` ends this direction for everybody: it and all that follows is dropped,
---`readable` is false, further calls that receive raise, and the other end's `send` returns `false, "closed"`.
---@param maxlength? integer
---@param timeout? number seconds
---@return string? bytes
---@return luamp.Code? code `"closed"`, `"timeout"` or `"toolarge"`
function Connection:recv_bytes(maxlength, timeout) end

---`for message in connection:items() do`: receives as `recv` does, until the end of the stream or a `nil`
---message. Raw bytes that are no message raise. The loop may be left by `break`.
---@return fun(connection: luamp.Connection): any iterator
---@return luamp.Connection connection
function Connection:items() end

---A descriptor for the event loop of a host (epoll, libuv, cqueues): readable when `recv` would not block. Only to be
---waited for: never read from it, nor close it. It belongs to this handle, is the same at every call, and is
---closed with it; take it out of the loop before. It shows what is so after each call that receives through this
---handle; when another process or handle has taken the message, it may stay readable until the next one. So
---receive with timeout 0 when it is readable. Raises for an end that only sends, and when there are no descriptors.
---@return integer fd
function Connection:fileno() end

---Closes this handle. Others on the same end stay open, in this process's children and elsewhere. Twice is
---harmless.
function Connection:close() end

-- Dict, Namespace, List, Manager ------------------------------------------------------------------------

---A hash table in shared memory that any number of processes read and change.
---
---`d[k]` reads, `d[k] = v` stores, `d[k] = nil` deletes, `#d` counts the entries (exactly, at a moment during the
---call), and `for k, v in pairs(d)` walks: entries that are there throughout come exactly once, whatever is
---stored and deleted meanwhile; others come once or not at all. Fields with the names of methods are the methods; `get` and
---`set` reach entries of those names, too.
---
---**Keys** are strings, integers, floats and booleans. A float with an integer value is that integer, as in a table; `nil`,
---NaN and everything else raise.
---
---**Values** are all that a Queue takes. A value is copied in when it is stored, and out when it is read: changing a
---table that was read changes nothing in the dict. Store it again, or use `update`.
---
---**Each call is one step**: it happens as a whole or, when its process is killed, not at all. Readers never wait for long.
---While memory is full, a store waits as a `put` does; what can never fit raises `toolarge`. A store also waits while an
---`update` of that key runs in another process or thread. When that one is killed, the key has its old value and is free.
---
---A Dict value is a handle, as a Queue is, and travels and ends as one; a Dict may hold itself.
---@class luamp.Dict
---@field [string|number|boolean] any
---@operator len: integer
local Dict = {}

---@class luamp.DictOptions
---@field name? string shows in `tostring` and in error messages

---An empty dict.
---@param options? luamp.DictOptions
---@return luamp.Dict
function luamp.Dict(options) end

---`Dict` in lower case.
---@param options? luamp.DictOptions
---@return luamp.Dict
function luamp.dict(options) end

---The value of a key, or `default` where there is none.
---@param key string|number|boolean
---@param default? any
---@return any value
function Dict:get(key, default) end

---Stores a value; `nil` deletes the entry.
---@param key string|number|boolean
---@param value any
function Dict:set(key, value) end

---Stores a value if there is none.
---@param key string|number|boolean
---@param value any not `nil`
---@return boolean stored
function Dict:add(key, value) end

---Adds to a number, as Lua adds; where there is none, to `initial`. Raises when the value is not a number.
---@param key string|number|boolean
---@param n? number 1 when absent
---@param initial? number 0 when absent
---@return number sum what was stored
function Dict:incr(key, n, initial) end

---Stores `new` if the value equals `old`; `nil` means no entry, in both places. Numbers are equal as they are in
---Lua; other values when they are of the same content: tables, too, but two tables with several fields that were
---filled in different orders may count as different.
---@param key string|number|boolean
---@param old any
---@param new any
---@return boolean replaced
function Dict:replace(key, old, new) end

---Deletes an entry and returns its value, or `default` where there was none.
---@param key string|number|boolean
---@param default? any
---@return any value
function Dict:pop(key, default) end

---Stores and returns the first result of `f(old, …)`; `nil` deletes the entry. While `f` runs, the key is held: all others
---see the old value, and those who want to change it wait. When `f` raises, nothing is changed and the error goes on.
---
---`f` may read and change everything else, other keys of the dict included; two that update each other's keys may
---wait for each other for ever. Changing its own key raises `deadlock`. It must not yield.
---@param key string|number|boolean
---@param f fun(old: any, ...: any): any
---@param ... any
---@return any new
function Dict:update(key, f, ...) end

---The keys, as a list. Keys that are there throughout the call are in it once.
---@return (string|number|boolean)[]
function Dict:keys() end

---Deletes all entries at one moment, also for whoever looks meanwhile and when the caller is killed. Waits while another
---thread is in an `update`; within one of its own it raises `deadlock`.
function Dict:clear() end

---A Dict for fields: `ns.field = value`, `ns.field`, `pairs(ns)`. It has no methods, so any name can be a field.
---@class luamp.Namespace
---@field [string|number|boolean] any
local Namespace = {}

---An empty namespace.
---@param options? luamp.DictOptions
---@return luamp.Namespace
function luamp.Namespace(options) end

---`Namespace` in lower case.
---@param options? luamp.DictOptions
---@return luamp.Namespace
function luamp.namespace(options) end

---A list in shared memory. `l[i]` is `nil` where there is no element; `l[i] = v` changes one or, behind the last one,
---appends; `l[#l] = nil` takes the last one off. There are no holes: `nil` elsewhere, and places beyond, raise. `ipairs(l)` and
---`pairs(l)` go from the first to the last, as it is when they come there. Values are as in a Dict. Each call
---is one step, `table` excepted.
---@class luamp.List
---@field [integer] any
---@operator len: integer
local List = {}

---An empty list.
---@param options? luamp.DictOptions
---@return luamp.List
function luamp.List(options) end

---`List` in lower case.
---@param options? luamp.DictOptions
---@return luamp.List
function luamp.list(options) end

---Appends an element.
---@param value any not `nil`
function List:append(value) end

---Inserts an element at `i`; those from there on move up, which takes time in proportion. Raises unless 1 <= `i` <= `#l + 1`.
---@param i integer
---@param value any not `nil`
function List:insert(i, value) end

---Takes the element at `i`, or the last one, out of the list; those behind it move down. `nil` when there is none at
---`#l + 1`, or none at all; raises for other places.
---@param i? integer
---@return any value
function List:pop(i) end

---The elements from `i` to `j` as a table, as they are at one moment.
---@param i? integer 1 when absent
---@param j? integer the length when absent
---@return any[]
function List:table(i, j) end

---@class luamp.Manager
---@field dict fun(content?: table, options?: luamp.DictOptions): luamp.Dict a Dict with a copy of the table's entries
---@field list fun(content?: any[], options?: luamp.DictOptions): luamp.List a List with a copy of the table's elements
---@field Namespace fun(options?: luamp.DictOptions): luamp.Namespace
---@field Queue fun(maxsize?: integer): luamp.Queue
---@field shutdown fun() does nothing

---A table with `dict`, `list` and the constructors of this module under their names, for scripts that know them from
---Python's `Manager`. It starts no server: the objects are those of `luamp.Dict` and so on.
---@return luamp.Manager
function luamp.Manager() end

---`Manager` in lower case.
---@return luamp.Manager
function luamp.manager() end

-- Process ---------------------------------------------------------------------------------------------

---A process: to be started by this one, or known from elsewhere.
---
---The object is a table. The fields that a script sets on it before `start` are there in the child; what the
---child changes stays in the child. Names that begin with an underscore are luamp's. The object can be sent:
---any process of the family may wait for it, signal it and ask for its result. What arrives is a plain Process,
---without the fields and the class, unless the receiver has the object already, as after a fork; then it is
---that very value. Dropping the object ends nothing.
---
---**In the child** standard input is at its end, SIGINT and SIGTERM have their default effect, and
---`math.random` has a sequence of its own, which is the same in every run after `math.randomseed(n)` in the
---parent. What the parent had in its output buffers is written before the fork; what the child leaves in its
---own is written when it ends by itself, and lost when a signal ends it. An error in the target is printed on
---standard error with its traceback and makes the exit code 1.
---
---**The end.** A process that returns, fails or calls `os.exit` first waits for its children that are no
---daemons, then sends SIGTERM to its daemons, and SIGKILL two seconds later. When it is ended by a signal, its
---children get SIGTERM at once. Those that it does not end get SIGKILL two seconds later, from any process of the
---family that waits or sleeps in a call of luamp, themselves included. Detached children are left alone in
---both cases (a Ctrl-C at the terminal reaches them, as it does all processes in the foreground).
---@class luamp.Process
---The process id; `nil` until it is started. Cannot be assigned.
---@field pid integer?
---May be assigned until it is started. `Process-3` is the third made by the main process, named ones counted,
---`Process-3:1` the first made by that one.
---@field name string
---May be assigned until it is started. What it means is said under the end of a process. A daemon may have
---children.
---@field daemon boolean
---`nil` until it has ended. 0, or the value given to `os.exit` (modulo 256; `true` is 0, `false` is 1), 1 after an
---error, or minus the number of the signal that ended it; -9 also where nobody could learn how it ended.
---Cannot be assigned.
---@field exitcode integer?
---How it was, or will be, started. Cannot be assigned.
---@field start_method luamp.StartMethod
local Process = {}

---@class luamp.Limits resource limits of a child, and of the processes it starts
---@field memory? luamp.Size of its own data; allocations beyond fail. The shared memory does not count
---@field cpu? integer seconds of processor time; then SIGXCPU ends it (exit code -24)
---@field files? integer open files

---@class luamp.ProcessOptions
---@field target? fun(...: any): any what `run` calls; anything that can be called. Absent: `run` does nothing
---@field args? any[] its arguments, up to `args.n` where that is there, else up to `#args`
---@field name? string
---@field daemon? boolean
---@field start_method? luamp.StartMethod only "fork" is available in this version; the others raise
---@field detached? boolean neither waited for nor ended with its parent
---@field limits? luamp.Limits

---The class of processes. `Process(f, …)` makes a process for `f(…)`, `Process{…}` one from options; neither
---starts it. Raises for what cannot be called, for unknown fields, and for fields of a wrong type.
---@class luamp.ProcessClass : luamp.Process
---@overload fun(options: luamp.ProcessOptions): luamp.Process
---@overload fun(target: function, ...: any): luamp.Process
luamp.Process = {}

---`Process` in lower case.
luamp.process = luamp.Process

---A class of processes: `local Worker = luamp.Process:extend("Worker")`. `Worker(…)` makes a process and calls
---`init(self, …)` on it where the class has an `init`; else it takes what `Process` takes. A class can be
---extended, too. Objects of all classes are a "Process" for `luamp.type`.
---@param name? string kept as `class_name`
---@return luamp.ProcessClass
function Process:extend(name) end

---Starts the process, by `fork`: the child has a copy of the whole Lua state. Raises when it was started before
---or is closed; when this process has several threads (only the thread that forks would be in the child);
---when the family has 512 processes; and when the system refuses.
---
---When the thread that started it ends, the kernel sends SIGTERM to a child that is not detached.
---@return luamp.Process self
function Process:start() end

---What the child runs: calls the target with its arguments and returns what it returns. To be overridden in a
---class; what it returns is the result.
---@return any ...
function Process:run() end

---Waits for the end of the process, in any process that has the object. Raises before `start`, and on oneself.
---@param timeout? number seconds
---@return boolean ended
---@return luamp.Code? code `"timeout"`
function Process:join(timeout) end

---Whether it was started and has not ended.
---@return boolean
function Process:is_alive() end

---Waits for the end, then returns what `run` returned, any number of times, in any process that has the object.
---Where there is no result: `nil, "died", message`, with the traceback of the error, how the process was
---killed, or its status when it called `os.exit`. A result that cannot be sent counts as an error of the
---target. Raises before `start`, on oneself, and when the result cannot be rebuilt here.
---@param timeout? number seconds
---@return any ... the results; or `nil`
---@return luamp.Code? code `"died"` or `"timeout"`
---@return string? message
function Process:result(timeout) end

---Sends SIGTERM. On a process that has ended it does nothing; before `start` it raises.
---@return luamp.Process self
function Process:terminate() end

---Sends SIGKILL, as `terminate` does SIGTERM.
---@return luamp.Process self
function Process:kill() end

---Sends SIGINT, as `terminate` does SIGTERM.
---@return luamp.Process self
function Process:interrupt() end

---Forgets an ended process and frees what it held, its result included; the collector would do so later. Raises
---while the process runs. Harmless on one that was never started or is closed already. Afterwards only the
---name is left, and every other call that concerns the process raises.
function Process:close() end

---Makes a process and starts it: `luamp.Process(f, …):start()`.
---@param f function or anything else that can be called
---@param ... any its arguments
---@return luamp.Process
function luamp.spawn(f, ...) end

---The process that calls. The main one is named `MainProcess`.
---@return luamp.Process
function luamp.current_process() end

---The process that started this one, or `nil` in the main process. Its `is_alive`, `join` and `exitcode` work.
---@return luamp.Process?
function luamp.parent_process() end

---The children of this process that have not ended, daemons and detached ones included, oldest first. A child
---whose object the script has dropped comes as a plain Process.
---@return luamp.Process[]
function luamp.active_children() end

---The names of all start methods. In this version only "fork" is available; asking for one of the others
---raises an error that says so.
---@return luamp.StartMethod[]
function luamp.start_methods() end

---The start method of processes that name none.
---@return luamp.StartMethod
function luamp.get_start_method() end

---Sets the start method of processes that name none. Raises once this process has started another.
---@param method luamp.StartMethod only "fork" in this version
function luamp.set_start_method(method) end

---The number of processors that this process may use: affinity and the quota of its cgroup are counted; at
---least 1.
---@return integer
function luamp.cpu_count() end

-- Semaphore, Event, Barrier ----------------------------------------------------------------------------

---@class luamp.SyncOptions
---@field name? string shows in `tostring` and in error messages

---What `guard` returns: releases at the end of the scope that it is a `<close>` variable of.
---@class luamp.Guard
---@field abandoned boolean the last holder ended without releasing; always `false` for a semaphore

---A number of permits. `acquire` takes one, and waits while there is none; `release` adds one, by any process,
---also one that never took any. So it counts signals and not holders: what a process that is killed had taken
---does not come back. For that there is `BoundedSemaphore`.
---
---Like a Queue, a Semaphore value is a handle: it can be sent and reached by children, and what arrives is a
---handle on the same semaphore. So it is with an Event and with a Barrier.
---@class luamp.Semaphore
local Semaphore = {}

---A semaphore with `n` permits. Raises when `n` is negative, no integer, or more than 2147483647.
---@param n? integer absent: 1
---@param options? luamp.SyncOptions
---@return luamp.Semaphore
---@overload fun(options: luamp.SyncOptions): luamp.Semaphore
function luamp.Semaphore(n, options) end

---`Semaphore` in lower case.
---@param n? integer
---@param options? luamp.SyncOptions
---@return luamp.Semaphore
---@overload fun(options: luamp.SyncOptions): luamp.Semaphore
function luamp.semaphore(n, options) end

---Takes a permit; waits while there is none.
---@param timeout? number seconds
---@return boolean acquired
---@return luamp.Code? code `"timeout"`
function Semaphore:acquire(timeout) end

---Adds a permit and wakes one who waits. Raises, and adds none, at the greatest value.
function Semaphore:release() end

---Takes a permit, calls `f(...)`, and releases when that returns or raises.
---@param f function
---@param ... any
---@return any ... what `f` returned
function Semaphore:with(f, ...) end

---Takes a permit, and releases it at the end of the scope: `local held <close> = semaphore:guard()`.
---@return luamp.Guard
function Semaphore:guard() end

---Permits that are there.
---@return integer
function Semaphore:value() end

---Whether there is none.
---@return boolean
function Semaphore:locked() end

---A fixed number of permits, which threads hold. Those of a process that is killed, or ends, come back, each
---exactly once. Its calls are those of a Semaphore, except that `release` frees a permit of the calling thread
---or, where that has none, one of another's, and raises when all are free.
---@class luamp.BoundedSemaphore
local BoundedSemaphore = {}

---A semaphore of `n` permits that are all free. Raises when `n` is negative, no integer, or more than 65536.
---@param n? integer absent: 1
---@param options? luamp.SyncOptions
---@return luamp.BoundedSemaphore
---@overload fun(options: luamp.SyncOptions): luamp.BoundedSemaphore
function luamp.BoundedSemaphore(n, options) end

---`BoundedSemaphore` in lower case.
---@param n? integer
---@param options? luamp.SyncOptions
---@return luamp.BoundedSemaphore
---@overload fun(options: luamp.SyncOptions): luamp.BoundedSemaphore
function luamp.bounded_semaphore(n, options) end

---Takes a permit; waits while there is none.
---@param timeout? number seconds
---@return boolean acquired
---@return luamp.Code? code `"timeout"`
function BoundedSemaphore:acquire(timeout) end

---Frees a permit and wakes one who waits. Raises, and changes nothing, when all are free.
function BoundedSemaphore:release() end

---Takes a permit, calls `f(...)`, and releases when that returns or raises.
---@param f function
---@param ... any
---@return any ... what `f` returned
function BoundedSemaphore:with(f, ...) end

---Takes a permit, and releases it at the end of the scope: `local held <close> = semaphore:guard()`.
---@return luamp.Guard
function BoundedSemaphore:guard() end

---Permits that are free.
---@return integer
function BoundedSemaphore:value() end

---Whether none is free.
---@return boolean
function BoundedSemaphore:locked() end

---A flag that processes wait for. All who wait while it is set go on, also when it is cleared at once.
---@class luamp.Event
local Event = {}

---An event that is not set.
---@param options? luamp.SyncOptions
---@return luamp.Event
function luamp.Event(options) end

---`Event` in lower case.
---@param options? luamp.SyncOptions
---@return luamp.Event
function luamp.event(options) end

---Sets it and wakes all who wait.
function Event:set() end

---It is not set any more.
function Event:clear() end

---Whether it is set.
---@return boolean
function Event:is_set() end

---Waits until it is set.
---@param timeout? number seconds
---@return boolean set
---@return luamp.Code? code `"timeout"`
function Event:wait(timeout) end

---Parties wait for each other, round after round: nobody goes on before all have come.
---
---A barrier breaks when a party's timeout is over, when the action raises, when a party dies while it waits or
---runs the action (the others know in less than a tenth of a second), and by `abort`. All who wait then, or
---come later, get `nil, "broken"`, until `reset`. The death of a party that was let go breaks nothing.
---@class luamp.Barrier
---@field parties integer
---@field n_waiting integer how many have come in this round; 0 while it is broken
---@field broken boolean
local Barrier = {}

---A barrier of 1 to 1024 parties. In each round the last to come runs `action()` before any is let go; an error
---in it is raised there and breaks the barrier. The action goes with the barrier: it is copied when the barrier
---is made, and must be sendable. Where the barrier was made, and in children by `fork`, it is the function
---itself that runs.
---@param parties integer
---@param action? function
---@param timeout? number seconds, for each `wait` that gives none
---@param options? luamp.SyncOptions
---@return luamp.Barrier
---@overload fun(parties: integer, options: luamp.SyncOptions): luamp.Barrier
---@overload fun(parties: integer, action: function, options: luamp.SyncOptions): luamp.Barrier
function luamp.Barrier(parties, action, timeout, options) end

---`Barrier` in lower case.
---@param parties integer
---@param action? function
---@param timeout? number
---@param options? luamp.SyncOptions
---@return luamp.Barrier
---@overload fun(parties: integer, options: luamp.SyncOptions): luamp.Barrier
---@overload fun(parties: integer, action: function, options: luamp.SyncOptions): luamp.Barrier
function luamp.barrier(parties, action, timeout, options) end

---Comes to the barrier and waits until all parties have. Returns 1 to `parties`, in the order of arrival, each
---once in a round. When the time is over the barrier is broken, for all.
---@param timeout? number seconds; absent: that of the constructor
---@return integer? index
---@return luamp.Code? code `"broken"`
function Barrier:wait(timeout) end

---Makes it whole again; parties that wait get `nil, "broken"`.
function Barrier:reset() end

---Breaks it.
function Barrier:abort() end

-- Messages --------------------------------------------------------------------------------------------

---The bytes of a message. Raises for what a queue would not take, and for luamp's objects: they mean nothing
---outside the family.
---@param value any
---@return string bytes
function luamp.encode(value) end

---@class luamp.DecodeOptions
---@field functions? boolean accept functions, and `require` modules that are named; both may do what any script can

---The value of bytes that `encode` made. Any other bytes are safe, too: they give `nil, "broken", message`, or some
---value. No function comes from them unless it was asked for; functions are then `broken`, and so are modules that
---are not loaded here (or, with functions, cannot be). A table that a loaded module holds is that very table.
---Raises when `bytes` is no string, and for unknown options.
---@param bytes string
---@param options? luamp.DecodeOptions
---@return any value
---@return luamp.Code? code `"broken"`
---@return string? message
function luamp.decode(bytes, options) end

---Lets tables with this metatable travel with their type: the receiver gives them the metatable that it has
---registered under the name itself. Other metatables travel by value, and those with `__gc` or `__close` not at
---all. Registering the same pair again is harmless; another table under the name raises. Of several names for
---one table all are understood, and the first is sent.
---@param name string 1 to 65535 bytes
---@param metatable table
function luamp.register(name, metatable) end

-- Pool ------------------------------------------------------------------------------------------------

---Worker processes that run functions.
---
---**Tasks.** A function is sent to a worker when that one first needs it, and lives there until the worker ends (a
---worker keeps 64 functions; older ones are sent again): what its upvalues become in the owner later is not seen by
---the workers, and what they become in a worker stays there. Arguments and results travel with each task. Tasks
---are sent in batches of `chunksize` elements; what a worker has not begun can go to another one.
---
---**Death.** A worker that dies (killed, `os.exit`, unable to rebuild a task) is replaced. The tasks that it had begun
---fail with `worker 'PoolWorker-3' (pid 4242) died: killed by signal 9 (Killed)`, or are tried again `retries` times;
---of a batch these are the elements up to the one that it was at. Others do not notice. It is noticed in the
---owner's next call, or at once by one that waits.
---
---**Errors** of a task are raised by the call that asks for its result: the value that was raised; strings with the
---remote traceback appended.
---
---**The owner** is the process that made the pool. All work on its side is done in its calls on the pool and its
---results: in between, workers go on with what they have (up to 1024 batches each of what was asked for by
---`apply_async` and `map_async`). A pool and its results do not travel. Several coroutines may use one.
---
---A pool that is collected (its results and iterators keep it), that goes out of a scope (`local pool <close>`), or
---whose owner ends in any way, ends its workers.
---@class luamp.Pool
---@field processes integer how many workers it shall have
local Pool = {}

---@class luamp.PoolOptions
---@field processes? integer workers, at least 1; default `cpu_count()`
---@field initializer? function called in each worker at its start. When it raises, the pool is of no use any more: its
---pending and later calls raise that error
---@field initargs? table its arguments; `n` counts when present
---@field maxtasksperchild? integer batches after which a worker is replaced (a task of `apply` is one)
---@field start_method? luamp.StartMethod
---@field name? string shows in `tostring` and begins the workers' names: `NAME-worker-1`; default `PoolWorker-1`
---@field retries? integer how often a task is tried again whose worker died; default 0

---@class luamp.CallOptions
---@field callback? fun(...) called with the results, in the owner's next call on the pool or its results, once. An error
---in it is a warning on standard error
---@field error_callback? fun(err: any) the same, where there is an error
---@field timeout? number seconds that a task may run; then its worker is killed and replaced, and the task fails

---@class luamp.MapOptions
---@field chunksize? integer elements in a batch, at least 1. Default: a quarter of a worker's share; 1 for `imap` and with a
---`timeout`; about a millisecond's work where the number of elements is not known
---@field progress? true|string|fun(done: integer, total: integer?) a bar on standard error with this label, plain lines
---where that is no terminal; or a function, called now and then and at the end
---@field timeout? number seconds that each element may take

---@class luamp.AsyncMapOptions : luamp.MapOptions
---@field callback? fun(results: any[])
---@field error_callback? fun(err: any)

---What elements are taken from: a table (of `#list` elements, or `list.n`), an Array, a List, a range, or a function
---that returns the next element at each call and `nil` at the end.
---@alias luamp.Elements table|luamp.Array|luamp.List|luamp.Range|fun(): any

---Makes a pool and starts its workers. Raises for bad fields, and when a process cannot be started; then none is left.
---@param processes? integer
---@param options? luamp.PoolOptions
---@return luamp.Pool
---@overload fun(options: luamp.PoolOptions): luamp.Pool
function luamp.Pool(processes, options) end

---`Pool` in lower case.
---@param processes? integer
---@param options? luamp.PoolOptions
---@return luamp.Pool
---@overload fun(options: luamp.PoolOptions): luamp.Pool
function luamp.pool(processes, options) end

---Calls `f(table.unpack(args))` in a worker, waits, and returns all its results, or raises its error. Like all calls
---that give work to a pool it raises once the pool was closed or terminated.
---@param f function any function, or a table that can be called
---@param args? table its arguments; `n` counts when present
---@return any ...
function Pool:apply(f, args) end

---The same without waiting.
---@param f function
---@param args? table
---@param options? luamp.CallOptions
---@return luamp.AsyncResult
function Pool:apply_async(f, args, options) end

---Calls `f` with each element, and returns the first result of each, in order. All are run, also when some fail; then
---the error of the first of these, by position, is raised; an error of the iterator that gives the elements counts as
---that of the element it should have given.
---@param f fun(element: any): any
---@param list luamp.Elements
---@param options? integer|luamp.MapOptions a number is the chunksize
---@return any[]
function Pool:map(f, list, options) end

---The same without waiting.
---@param f fun(element: any): any
---@param list luamp.Elements
---@param chunksize? integer|luamp.AsyncMapOptions
---@param options? luamp.AsyncMapOptions
---@return luamp.AsyncResult of that array
function Pool:map_async(f, list, chunksize, options) end

---`map` over elements that are lists of arguments (`n` counts when present).
---@param f function
---@param list luamp.Elements
---@param options? integer|luamp.MapOptions
---@return any[]
function Pool:starmap(f, list, options) end

---The same without waiting.
---@param f function
---@param list luamp.Elements
---@param chunksize? integer|luamp.AsyncMapOptions
---@param options? luamp.AsyncMapOptions
---@return luamp.AsyncResult
function Pool:starmap_async(f, list, chunksize, options) end

---An iterator over `index, first result`, in order. Elements are taken from `list` as workers need them, and not far
---ahead of the loop: an endless input needs no more memory than a short one. Where a task failed the iterator raises
---its error, and can be called again for the next. An iterator over a function or a range that is not at its end when
---the pool is joined raises that.
---@param f fun(element: any): any
---@param list luamp.Elements
---@param options? integer|luamp.MapOptions
---@return fun(): integer?, any
function Pool:imap(f, list, options) end

---The same in the order in which results come.
---@param f fun(element: any): any
---@param list luamp.Elements
---@param options? integer|luamp.MapOptions
---@return fun(): integer?, any
function Pool:imap_unordered(f, list, options) end

---Takes no more tasks. The workers end when they have done what there is; that needs a `join`, or further calls on
---results, while there is more than they were given. Harmless when repeated.
function Pool:close() end

---Ends the workers now (SIGTERM, and SIGKILL after a second in `join`). What has no result yet fails with
---`pool terminated`. Does not wait.
function Pool:terminate() end

---Waits until a pool that was closed has done all its tasks, and for the end of the workers. Raises when the pool is
---still running.
---@param timeout? number
---@return boolean ended
---@return "timeout"? code
function Pool:join(timeout) end

---The processes of the workers.
---@return luamp.Process[]
function Pool:workers() end

---Changes the number of workers: new ones are started now, others go when they have done the task that they are at.
---@param n integer at least 1
function Pool:resize(n) end

---@class luamp.PoolStats
---@field done integer tasks that returned
---@field failed integer tasks that failed
---@field waiting integer tasks that have no result yet, begun or not
---@field retried integer tasks that were tried again
---@field replaced integer workers that ended and were seen to
---@field workers luamp.WorkerStats[] those that there are
---@field slowest luamp.SlowTask[] the five batches that took longest, the longest first

---@class luamp.WorkerStats times are in seconds
---@field name string
---@field pid integer
---@field done integer tasks
---@field startup number from the start of the process until its initializer had returned
---@field waited number for tasks
---@field busy number with tasks

---@class luamp.SlowTask
---@field seconds number
---@field index integer of its first element
---@field tasks integer elements
---@field worker string

---What the pool has done so far.
---@return luamp.PoolStats
function Pool:stats() end

---What became of an asynchronous call. It keeps its pool alive.
---@class luamp.AsyncResult
local AsyncResult = {}

---Waits for the results and returns them; raises the task's error. Any number of times.
---@param timeout? number
---@return any ... or `nil, "timeout"`
function AsyncResult:get(timeout) end

---Waits until there is a result or an error.
---@param timeout? number
---@return boolean ready
---@return "timeout"? code
function AsyncResult:wait(timeout) end

---Whether there is a result or an error.
---@return boolean
function AsyncResult:ready() end

---Whether there is no error. Raises before it is ready.
---@return boolean
function AsyncResult:successful() end

---Takes a task back that has not begun, or a map of which nothing has: it fails with `task cancelled`. With `force` also
---what has begun: the workers that are at it are killed and replaced.
---@param force? boolean
---@return boolean cancelled
function AsyncResult:cancel(force) end

---The numbers of `for i = first, last, step`, as a value: to loop over (`for i in mp.range(1, 3) do`), to index, and as
---the list of a pool's call, where it takes no memory. It travels by value, and cannot be changed.
---@class luamp.Range
---@operator len: integer
---@operator call(any): number
---@field [integer] number
local Range = {}

---Makes one. Raises for what is no number, a step of 0, and more numbers than an integer counts.
---@param first number
---@param last number inclusive; may be infinite
---@param step? number default 1; 0 raises
---@return luamp.Range
function luamp.range(first, last, step) end

-- Waiting for several things --------------------------------------------------------------------------

---Waits until something in the list is ready, and returns what is, in the list's order; an empty array when the
---time is over. Ready: a queue from which `get` would return at once (also at its end), a process that ended, an
---event that is set, a semaphore with a permit, a lock that the caller could take, the AsyncResult of a pool that is
---ready, a descriptor (a number) from which one could read, its end and errors included. The same thing may be in the list several times. Takes
---nothing: who else waits for the same things may be faster afterwards. An empty list is answered at once, or when
---the time is over if there is one. Raises for anything else in the list, for a process that was not started or is
---the caller itself, for a closed object, and for a descriptor that is not open.
---@generic T
---@param list T[]
---@param timeout? number
---@return T[] ready
function luamp.wait(list, timeout) end

-- Time, limits, figures -------------------------------------------------------------------------------

---Sleeps at least so long; not at all for 0 and less. Raises when `seconds` is absent or no number, or NaN.
---@param seconds number
function luamp.sleep(seconds) end

---Seconds on the monotonic clock, which all processes of a machine share; only differences mean something.
---@return number seconds
function luamp.time() end

---What luamp calls a value: `"Queue"`, `"Connection"`, `"Process"` (objects of all process classes, not the classes), or `nil`
---for everything else. Raises without an argument.
---@param value any
---@return string? type
function luamp.type(value) end

---@class luamp.Configuration
---The limit of the family's shared memory, at least 1 MiB; rounded down to whole 64 KiB. Default: the environment
---variable `LUAMP_MEMORY`, else half of what the machine has, or its cgroup where that is less. Where the limits
---of the process on address space or file size do not allow so much, it is halved until it fits.
---@field memory? luamp.Size

---Sets limits. Raises for unknown options and bad values, which then change nothing; and, for `memory`, once the
---family has its memory.
---@param options luamp.Configuration
function luamp.configure(options) end

---@class luamp.Stats
---@field memory integer bytes of the shared memory in use
---@field limit integer bytes of it that there may be
---@field processes integer live processes of the family
---@field objects integer queues and processes that somebody holds or a message names, this process included

---Figures of the family.
---@return luamp.Stats
function luamp.stats() end

return luamp
