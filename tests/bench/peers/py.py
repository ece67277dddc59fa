# SPDX-License-Identifier: MIT
"""Python's multiprocessing, the same work as ../luamp.

py.py ints     queue|simple|pipe COUNT
py.py records  queue|simple|pipe COUNT
py.py fan      queue|simple COUNT       (COUNT by each of four producers)
py.py pingpong queue|simple|pipe COUNT PAUSE [CORE OTHER]
py.py bulk     queue|simple|pipe|bytes COUNT SIZE MAXSIZE
py.py process  COUNT
py.py wait     pipe COUNT PIPES
"""
import math
import multiprocessing
import os
import sys
import time

ctx = multiprocessing.get_context("fork")
now = time.perf_counter
BASE = 10000000
WARMUP = 20
KINDS = 4


def check(ok, message):
    if not ok:
        sys.stderr.write("VERIFICATION FAILED: %s\n" % message)
        sys.stderr.flush()
        for p in multiprocessing.active_children():
            p.kill()
        os._exit(1)


def result(value, unit, label=""):
    print(("RESULT %.9g %s %s" % (value, unit, label)).rstrip())


class Gate:
    """Children enter and wait, open() starts them, leave() says it is done."""

    def __init__(self):
        self.ready, self.go, self.done = os.pipe(), os.pipe(), os.pipe()

    def enter(self):
        os.write(self.ready[1], b"r")
        check(os.read(self.go[0], 1) == b"g", "gate")

    def leave(self, count):
        os.write(self.done[1], b"%20d" % count)

    def open(self, n):
        for _ in range(n):
            check(os.read(self.ready[0], 1) == b"r", "a child is not ready")
        t0 = now()
        os.write(self.go[1], b"g" * n)
        return t0

    def wait(self, n):
        return sum(int(os.read(self.done[0], 20)) for _ in range(n))


def channel(kind, maxsize=0):
    """A pair put, get."""
    if kind == "queue":
        q = ctx.Queue(maxsize)
        return q.put, q.get
    if kind == "simple":
        q = ctx.SimpleQueue()
        return q.put, q.get
    r, w = ctx.Pipe(False)
    if kind == "bytes":
        return w.send_bytes, r.recv_bytes
    check(kind == "pipe", "no such kind: " + kind)
    return w.send, r.recv


def start(f, *args):
    p = ctx.Process(target=f, args=args)
    p.start()
    return p


def join(processes):
    for p in processes:
        p.join()
        check(p.exitcode == 0, "%s ended with %s" % (p.name, p.exitcode))


def ints_producer(put, gate, n):
    gate.enter()
    for i in range(1, n + 1):
        put(i)
    gate.leave(n)


def ints(kind, count):
    put, get = channel(kind)
    gate = Gate()
    p = start(ints_producer, put, gate, count)
    t0 = gate.open(1)
    total = 0
    for i in range(1, count + 1):
        v = get()
        if v != i:
            check(False, "got %r, not %d" % (v, i))
        total += v
    done = gate.wait(1)
    t1 = now()
    check(done == count, "%d put" % done)
    check(total == count * (count + 1) // 2, "the sum is %d" % total)
    join([p])
    result(count / (t1 - t0), "msg/s")


NAMES = ["customer-%07d" % k for k in range(64)]


def records_producer(put, gate, n):
    names = NAMES
    gate.enter()
    for i in range(1, n + 1):
        put({"id": i, "name": names[i & 63], "x": i * 0.5})
    gate.leave(n)


def records(kind, count):
    put, get = channel(kind)
    gate = Gate()
    names = NAMES
    p = start(records_producer, put, gate, count)
    t0 = gate.open(1)
    total = 0.0
    for i in range(1, count + 1):
        r = get()
        if r["id"] != i or r["name"] != names[i & 63]:
            check(False, "got %r at %d" % (r, i))
        total += r["x"]
    done = gate.wait(1)
    t1 = now()
    check(done == count, "%d put" % done)
    check(total == 0.5 * (count * (count + 1) // 2), "the sum is %g" % total)
    join([p])
    result(count / (t1 - t0), "msg/s")


def fan_producer(put, gate, k, n):
    gate.enter()
    for v in range(k * BASE + 1, k * BASE + n + 1):
        put(v)
    gate.leave(n)


def fan_consumer(get, gate, report):
    last, total, got = [0] * 5, 0, 0
    gate.enter()
    while True:
        v = get()
        if v is None:
            break
        k = v // BASE
        i = v % BASE
        if i <= last[k]:
            check(False, "producer %d: %d after %d" % (k, i, last[k]))
        last[k] = i
        total += i
        got += 1
    os.write(report, b"%20d%20d" % (got, total))


def fan(kind, count):
    put, get = channel(kind)
    gate = Gate()
    r, w = os.pipe()
    ps = [start(fan_consumer, get, gate, w) for _ in range(4)]
    ps += [start(fan_producer, put, gate, k, count) for k in range(1, 5)]
    t0 = gate.open(8)
    done = gate.wait(4)
    # A producer's feeder thread may still hold messages: a sentinel put now could
    # overtake them. Only the end of the producers says that all are in.
    join(ps[4:])
    for _ in range(4):
        put(None)
    got = total = 0
    for _ in range(4):
        line = os.read(r, 40)
        got += int(line[:20])
        total += int(line[20:])
    t1 = now()
    check(done == 4 * count, "%d put" % done)
    check(got == 4 * count, "%d received" % got)
    check(total == 4 * (count * (count + 1) // 2), "the sum is %d" % total)
    join(ps[:4])
    result(4 * count / (t1 - t0), "msg/s")


def echo(get, put, gate, n):
    gate.enter()
    for _ in range(n):
        put(get())
    gate.leave(n)


def pingpong(kind, count, pause, cores):
    ping_put, ping_get = channel(kind)
    pong_put, pong_get = channel(kind)
    gate = Gate()
    if cores:  # before either end has a feeder thread
        os.sched_setaffinity(0, {int(cores[1])})
    p = start(echo, ping_get, pong_put, gate, count + WARMUP)
    if cores:
        os.sched_setaffinity(0, {int(cores[0])})
    gate.open(1)
    times = []
    for i in range(1 - WARMUP, count + 1):
        if pause > 0:
            time.sleep(pause)
        t = now()
        ping_put(i)
        v = pong_get()
        t = now() - t
        if v != i:
            check(False, "got %r, not %d" % (v, i))
        if i > 0:
            times.append(t)
    check(gate.wait(1) == count + WARMUP, "the partner's count is wrong")
    join([p])
    times.sort()
    result(times[math.ceil(count * 0.50) - 1] * 1e6, "us", "p50")
    result(times[math.ceil(count * 0.99) - 1] * 1e6, "us", "p99")


def answer(get, puts, gate, n):
    gate.enter()
    for _ in range(n):
        i = get()
        puts[i * 37 % len(puts)](i)
    gate.leave(n)


def wait(kind, count, width):
    from multiprocessing.connection import wait as wait_any
    check(kind == "pipe", "no such kind: " + kind)
    ping_put, ping_get = channel(kind)
    pipes = [ctx.Pipe(False) for _ in range(width)]
    ends = [r for r, _ in pipes]
    gate = Gate()
    p = start(answer, ping_get, [w.send for _, w in pipes], gate, count + WARMUP)
    gate.open(1)
    times = []
    for i in range(1, count + WARMUP + 1):
        t = now()
        ping_put(i)
        ready = wait_any(ends)
        v = ready[0].recv()
        t = now() - t
        if v != i or len(ready) != 1 or ready[0] is not ends[i * 37 % width]:
            check(False, "got %r of %d ready, not %d" % (v, len(ready), i))
        if i > WARMUP:
            times.append(t)
    check(gate.wait(1) == count + WARMUP, "the partner's count is wrong")
    join([p])
    times.sort()
    result(times[math.ceil(count * 0.50) - 1] * 1e6, "us", "p50")
    result(times[math.ceil(count * 0.99) - 1] * 1e6, "us", "p99")


def bulk_producer(put, gate, n, strings):
    gate.enter()
    for i in range(1, n + 1):
        put(strings[i % KINDS])
    gate.leave(n)


def bulk(kind, count, size, maxsize):
    put, get = channel(kind, maxsize)
    gate = Gate()
    cycle = bytes(range(251)) * (size // 251 + 2)
    strings = [cycle[k:k + size] for k in range(KINDS)]
    p = start(bulk_producer, put, gate, count, strings)
    middle = size // 2
    t0 = gate.open(1)
    s = b""
    for i in range(1, count + 1):
        s = get()
        k = i % KINDS
        if (len(s) != size or s[0] != k or s[middle] != (middle + k) % 251
                or s[-1] != (size - 1 + k) % 251):
            check(False, "string %d is not the one that was put" % i)
    done = gate.wait(1)
    t1 = now()
    check(done == count, "%d put" % done)
    check(s == strings[count % KINDS], "the last string differs")
    join([p])
    result(count * size / (t1 - t0) / 1e6, "MB/s")


def lock(kind, count):
    l = ctx.RLock() if kind == "RLock" else ctx.Lock()
    t0 = now()
    for _ in range(count):
        l.acquire()
        l.release()
    t1 = now()
    check(l.acquire(False), "the lock is still held")
    result(count / (t1 - t0), "/s")


def condition_answer(c, gate, n):
    c.acquire()
    gate.enter()
    for _ in range(n):
        if not c.wait():
            check(False, "wait was not notified")
        c.notify()
    c.release()
    gate.leave(n)


def condition(count, cores):
    c = ctx.Condition()
    gate = Gate()
    if cores:
        os.sched_setaffinity(0, {int(cores[1])})
    p = start(condition_answer, c, gate, count + WARMUP)
    if cores:
        os.sched_setaffinity(0, {int(cores[0])})
    gate.open(1)
    c.acquire()
    times = []
    for i in range(1 - WARMUP, count + 1):
        t = now()
        c.notify()
        if not c.wait(10):
            check(False, "no answer to notify %d" % i)
        t = now() - t
        if i > 0:
            times.append(t)
    c.release()
    check(gate.wait(1) == count + WARMUP, "the partner's count is wrong")
    join([p])
    times.sort()
    result(times[math.ceil(count * 0.50) - 1] * 1e6, "us", "p50")
    result(times[math.ceil(count * 0.99) - 1] * 1e6, "us", "p99")


def nothing():
    pass


def process(count):
    probe = start(sys.exit, 7)
    probe.join()
    check(probe.exitcode == 7, "the child did not run")
    t0 = now()
    for _ in range(count):
        p = ctx.Process(target=nothing)
        p.start()
        p.join()
        if p.exitcode != 0:
            check(False, "exit code %r" % p.exitcode)
    t1 = now()
    check(not multiprocessing.active_children(), "children are left")
    result(count / (t1 - t0), "/s")


def main(work, *args):
    if work == "ints":
        ints(args[0], int(args[1]))
    elif work == "records":
        records(args[0], int(args[1]))
    elif work == "fan":
        fan(args[0], int(args[1]))
    elif work == "pingpong":
        pingpong(args[0], int(args[1]), float(args[2]), args[3:])
    elif work == "bulk":
        bulk(args[0], int(args[1]), int(args[2]), int(args[3]))
    elif work == "wait":
        wait(args[0], int(args[1]), int(args[2]))
    elif work == "lock":
        lock(args[0], int(args[1]))
    elif work == "condition":
        condition(int(args[0]), args[1:])
    elif work == "process":
        process(int(args[0]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
