/* oom_pipe_test.c: pipes when Lua's memory is out, at every allocation.
 * SPDX-License-Identifier: MIT */
#include "oom.h"

static void test_pipes(void **state) {
  (void)state;
  sweep(
      "local a, b = mp.Pipe{name = 'a name of more than twenty bytes'}\n"
      "assert(tostring(b):find('more than') and mp.type(a) == 'Connection' and a ~= b)\n"
      "assert(a.readable and a.writable and not a.closed)\n"
      "assert(a:send(1) and a:send{long, {q}, b} and b:send('short'))\n"
      "assert(b:poll() and b:recv() == 1)\n"
      "local r = b:recv()\n"
      "assert(r[1] == long and r[2][1] == q and r[3] == b and a:recv() == 'short')\n"
      "assert(not b:poll() and select(2, b:recv(0)) == 'timeout')\n"
      "b:close()\n"
      "assert(b.closed and select(2, a:recv()) == 'closed' and select(2, a:send(1)) == 'closed')");
  sweep(
      "local r <const>, w = mp.Pipe(false)\n"
      "assert(not pcall(r.send, r, 1) and not pcall(w.recv, w))\n"
      "for i = 1, 5 do assert(w:send{i, long}) end\n"
      "w:close()\n"
      "local n = 0\n"
      "for m in r:items() do n = n + m[1] end\n"
      "assert(n == 15 and r:poll() and not r:recv())");
}

static void test_bytes_through_pipes(void **state) {
  (void)state;
  sweep(
      "local a <close>, b = mp.Pipe()\n"
      "assert(a:send_bytes(long) and a:send_bytes(long, 6, 9) and a:send_bytes('', 1, 0))\n"
      "assert(b:recv_bytes() == long and b:recv_bytes(4) == 'long' and b:recv_bytes() == '')\n"
      "assert(a:send_bytes(mp.encode{long}) and b:recv()[1] == long)\n"
      "assert(a:send(long) and mp.decode(b:recv_bytes()) == long)\n"
      "assert(a:send_bytes('rubbish') and select(2, b:recv()) == 'broken')\n"
      "assert(a:send_bytes(long) and select(2, b:recv_bytes(10)) == 'toolarge')\n"
      "assert(not b.readable and select(2, a:send(1)) == 'closed' and b:send(long))\n"
      "assert(a:recv() == long)");
}

static void test_descriptors_of_pipes(void **state) {
  (void)state;
  sweep(
      "local a, b = mp.Pipe()\n"
      "local fd = b:fileno()\n"
      "assert(fd == b:fileno() and #mp.wait({fd}, 0) == 0)\n"
      "assert(a:send(long) and #mp.wait({fd}, 0) == 1 and #mp.wait({b, a, fd}) == 2)\n"
      "assert(b:recv() == long and #mp.wait({fd}, 0) == 0)\n"
      "a:fileno()\n"
      "assert(q:put(b))\n" /* the descriptor stays with this handle */
      "assert(q:get() == b)\n"
      "a:close()\n"
      "assert(#mp.wait({fd}) == 1 and not b:recv())");
}

/* A send that fails has sent nothing; what is left of the script's messages goes with its ends. */
static void test_sends_that_fail(void **state) {
  (void)state;
  sweep(
      "local a, b = mp.Pipe()\n"
      "for i = 1, 10 do\n"
      "  local ok, sent = pcall(a.send, a, {i, long})\n"
      "  assert(b:poll() == (ok and sent), 'a message was lost or is left')\n"
      "  if not ok then error(sent, 0) end\n"
      "  assert(b:recv()[1] == i and not b:poll())\n"
      "end");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pipes),
      cmocka_unit_test(test_bytes_through_pipes),
      cmocka_unit_test(test_descriptors_of_pipes),
      cmocka_unit_test(test_sends_that_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
