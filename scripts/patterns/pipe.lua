-- SPDX-License-Identifier: MIT
-- A pipe between two processes: a conversation in both directions, and its end.
--
-- From Python: `Pipe()` gives two connections here, too, with `send`, `recv` and `poll`. There is no
-- EOFError to catch: `recv` returns nil and "closed", and `items` ends, when nobody holds the other end
-- any more. As in Python, a parent closes the end that it has given to a child.

local mp = require "luamp"

-- The child answers every question until there are no more.
local function answer(connection)
  local answered = 0
  for question in connection:items() do
    if question.bytes then
      connection:send_bytes(question.text:upper()) -- as they are, without encoding
    else
      connection:send({text = question.text, length = #question.text})
    end
    answered = answered + 1
  end
  return answered
end

local mine, yours = mp.Pipe()
local child = mp.spawn(answer, yours)
yours:close() -- the child holds that end now, and nobody else

for _, text in ipairs{"hello", "", "two words"} do
  mine:send({text = text})
  local reply = mine:recv()
  print(("%q has %d letters"):format(reply.text, reply.length))
end

mine:send({text = "raw", bytes = true})
print("raw bytes: " .. mine:recv_bytes())

print("waiting for what never comes: ", mine:recv(0.01))
mine:close() -- the end of the stream for the child
print(("the child answered %d questions"):format(child:result()))
