-- SPDX-License-Identifier: MIT
-- A process class of one's own.
--
-- From Python: instead of `class Worker(Process)` with `__init__` and `run`, a class is made with
-- `extend` and gets `init` and `run`. `super().__init__()` is not needed. Fields set before `start` are
-- there in the child; what the child changes stays in the child, so answers go through a queue, or
-- are returned from `run` and fetched with `result`.

local mp = require "luamp"

local Worker = mp.Process:extend("Worker")

function Worker:init(name, jobs, results)
  self.name = name
  self.jobs = jobs
  self.results = results
  self.done = 0
end

function Worker:run()
  for text in self.jobs:items() do
    self:handle(text)
  end
  return self.done
end

function Worker:handle(text)
  self.done = self.done + 1
  self.results:put({text = text, length = #text})
end

-- A class can be extended, too.
local Shouter = Worker:extend("Shouter")

function Shouter:handle(text)
  Worker.handle(self, text:upper() .. "!")
end

local jobs, results = mp.Queue(), mp.Queue()
local workers = {Worker("plain-1", jobs, results), Worker("plain-2", jobs, results), Shouter("loud", jobs, results)}
for _, worker in ipairs(workers) do
  worker:start()
end

local words = {"one", "two", "three", "four", "five", "six"}
jobs:put_many(words)
jobs:close() -- no more jobs: every `items` loop ends once the queue is empty

local done = 0
for _, worker in ipairs(workers) do
  done = done + worker:result() -- what `run` returned; the objects here were not changed
  assert(worker.done == 0 and worker.exitcode == 0)
end

local letters = 0
for _ = 1, #words do
  local answer = results:get()
  letters = letters + #answer.text:match("%a+")
end
print(("%d jobs done, %d letters"):format(done, letters))
print("names: " .. workers[1].name .. ", " .. workers[2].name .. ", " .. workers[3].name)
