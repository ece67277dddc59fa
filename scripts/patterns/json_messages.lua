-- SPDX-License-Identifier: MIT
-- A class that sends and receives messages as JSON text through a queue (needs lua-cjson).
--
-- A luamp queue takes tables as they are, faster and without loss: JSON makes floats of integers and
-- knows no shared references. The text form is for messages that end in a log, a file or a program
-- in another language. One process sends single messages, one sends a batch of 20, and one receives
-- for ever until the parent terminates it.

local mp = require "luamp"
local cjson = require "cjson"

local Mailbox = {}
Mailbox.__index = Mailbox

function Mailbox.new(name)
  return setmetatable({queue = mp.Queue(nil, {name = name})}, Mailbox)
end

function Mailbox:send(message)
  return self.queue:put(cjson.encode(message))
end

-- All texts go into the queue in one step, which costs about as much as one put.
function Mailbox:send_batch(messages)
  local texts = {}
  for i, message in ipairs(messages) do
    texts[i] = cjson.encode(message)
  end
  return self.queue:put_many(texts)
end

function Mailbox:receive(timeout)
  local text, code = self.queue:get(timeout)
  if text == nil then
    return nil, code -- "timeout", or "closed"
  end
  return cjson.decode(text)
end

local function sender(mailbox)
  mailbox:send({from = "sender", kind = "number", value = 42})
  mailbox:send({from = "sender", kind = "list", value = {1, 2, 3}})
  mailbox:send({from = "sender", kind = "object", value = {ok = true, name = "luamp"}})
end

local function batch_sender(mailbox)
  local batch = {}
  for i = 1, 20 do
    batch[i] = {from = "batch", kind = "number", value = i}
  end
  mailbox:send_batch(batch)
end

local function receiver(mailbox)
  -- Who is terminated does not flush its output any more, so each line is written at once.
  io.stdout:setvbuf("line")
  local seen = {sender = 0, batch = 0}
  while true do
    local message = mailbox:receive()
    seen[message.from] = seen[message.from] + 1
    local value = message.value
    if message.kind == "list" then
      value = value[1] + value[2] + value[3]
    elseif message.kind == "object" then
      value = value.name
    end
    if math.type(value) == "float" then
      value = math.tointeger(value) -- JSON made floats of the integers
    end
    print(("message %d from %s: %s %s"):format(seen[message.from], message.from, message.kind, value))
    mailbox.queue:task_done()
  end
end

-- An object travels with its fields and its metatable; the queue in it arrives as the same queue.
local mailbox = Mailbox.new("mail")
local senders = {mp.spawn(sender, mailbox), mp.spawn(batch_sender, mailbox)}
local reader = mp.Process{target = receiver, args = {mailbox}, name = "receiver"}:start()

for _, process in ipairs(senders) do
  process:join()
end
mailbox.queue:join() -- all messages were received and printed
reader:terminate():join()
print(("%s ended, exit code %d, %d messages left"):format(reader.name, reader.exitcode, #mailbox.queue))
