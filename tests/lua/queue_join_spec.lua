-- SPDX-License-Identifier: MIT
-- API.md section 4: task_done and join, as Python's JoinableQueue has them.

local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local mp = require "luamp"
local support = require "support"
local get, join, raises = support.get, support.join, support.raises

local pack = table.pack

describe("task_done and join", function()
  after_each(support.clean)

  it("join returns true at once on a queue that never held anything", function()
    assert.same({true, n = 1}, pack(mp.Queue():join()))
    assert.same({true, n = 1}, pack(mp.Queue():join(0)))
  end)

  it("join times out while messages are not done, not before the time", function()
    local q = mp.Queue()
    q:put(1)
    local start = mp.time()
    assert.same({false, "timeout", n = 2}, pack(q:join(0.11)))
    assert.is_true(mp.time() - start >= 0.11)
    assert.same({false, "timeout", n = 2}, pack(q:join(0)))
    assert.same({false, "timeout", n = 2}, pack(q:join(-3)))
    assert.equal(1, #q)
    assert.equal(1, get(q))
    assert.same({false, "timeout", n = 2}, pack(q:join(0)))
    q:task_done()
    assert.same({true, n = 1}, pack(q:join()))
  end)

  it("counts each message of put_many, and of a put that went through only", function()
    local q = mp.Queue(3)
    q:put_many({1, 2, 3, 4, 5}, 0)
    q:put(6, 0)
    q:get_many(3)
    for _ = 1, 3 do
      assert.is_false((q:join(0)))
      q:task_done()
    end
    assert.is_true(q:join(0))
    raises(function() q:task_done() end, "task_done")
  end)

  it("too many task_done raise and change nothing", function()
    local q = mp.Queue{name = "jobs"}
    raises(function() q:task_done() end, "task_done", "jobs")
    q:put(1)
    get(q)
    q:task_done()
    raises(function() q:task_done() end, "task_done")
    assert.is_true(q:join(0))
    q:put(2)
    assert.is_false((q:join(0)))
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("task_done may be said by another process than the one that took", function()
    local q = mp.Queue()
    q:put(1)
    get(q)
    assert.equal(0, join(mp.spawn(function() q:task_done() end)))
    assert.is_true(q:join(0))
    assert.is_false((mp.spawn(function() return pcall(function() q:task_done() end) end):result()))
  end)

  it("join waits for four workers to be done with all", function()
    local q, done = mp.Queue(5), mp.Queue()
    for _ = 1, 4 do
      mp.spawn(function()
        for item in q:items() do
          done:put(item)
          q:task_done()
        end
      end)
    end
    for i = 1, 400 do
      q:put(i)
    end
    assert.same({true, n = 1}, pack(q:join(support.patience)))
    assert.equal(400, #done)
    q:close()
  end)

  it("join wakes every process that waits", function()
    local q, ready = mp.Queue(), mp.Queue()
    q:put(1)
    local waiters = {}
    for i = 1, 4 do
      waiters[i] = mp.spawn(function()
        ready:put(1)
        return q:join()
      end)
      get(ready)
      support.waiting(waiters[i].pid)
    end
    get(q)
    for _, p in ipairs(waiters) do
      assert.is_true(p:is_alive())
    end
    q:task_done()
    for _, p in ipairs(waiters) do
      assert.is_true(p:result(support.patience))
    end
  end)

  it("join works again after more messages", function()
    local q = mp.Queue()
    for _ = 1, 3 do
      q:put("x")
      assert.is_false((q:join(0)))
      get(q)
      q:task_done()
      assert.is_true(q:join(0))
    end
  end)

  it("join on a closed queue still waits for what was in it", function()
    local q = mp.Queue()
    q:put(1)
    q:close()
    assert.same({false, "timeout", n = 2}, pack(q:join(0)))
    get(q)
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("a message that cannot be rebuilt counts as put, and its task_done is due", function()
    assert.equal("false\tfalse\ttrue\n", support.output([[
      local q = mp.Queue()
      mp.spawn(function()
        package.preload.ghost = function() return {boo = function() end} end
        q:put(require "ghost".boo)
      end):join()
      local ok = pcall(function() return q:get() end)
      local before = q:join(0)
      q:task_done()
      print(ok, before, q:join(0))
    ]]))
  end)

  it("join goes on waiting when a worker is killed with a message in its hands", function()
    local q, taken = mp.Queue(), mp.Queue()
    q:put("x")
    local p = mp.spawn(function()
      taken:put(q:get())
      mp.sleep(3600)
    end)
    get(taken)
    join(p:kill())
    assert.same({false, "timeout", n = 2}, pack(q:join(0.05)))
    q:task_done()
    assert.is_true(q:join(0))
  end)
end)
