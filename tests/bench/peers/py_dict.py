# SPDX-License-Identifier: MIT
"""Python's Manager().dict(), the same work as ../luamp/dict.lua: py_dict.py get|set COUNT [PROCESSES=1]"""
import multiprocessing
import sys
import time

KEYS = 100
ctx = multiprocessing.get_context("fork")


def check(ok, message):
    if not ok:
        sys.exit("VERIFICATION FAILED: " + message)


def get(d, n):
    total = 0
    for i in range(1, n + 1):
        total += d[i % KEYS]
    return total


def put(d, n):
    for i in range(1, n + 1):
        d[i % KEYS] = i
    return n


def child(run, d, n, ready, go, done):
    d.get(0)  # connects
    ready.put(1)
    go.get()
    done.put(run(d, n))


def main(work, count, processes=1):
    count, processes = int(count), int(processes)
    run = {"get": get, "set": put}[work]
    want = sum(i % KEYS for i in range(1, count + 1)) if work == "get" else count
    with ctx.Manager() as manager:
        d = manager.dict({k: k for k in range(KEYS)})
        if processes == 1:
            t0 = time.perf_counter()
            check(run(d, count) == want, "what was read is wrong")
        else:
            ready, go, done = ctx.SimpleQueue(), ctx.SimpleQueue(), ctx.SimpleQueue()
            children = [ctx.Process(target=child, args=(run, d, count, ready, go, done)) for _ in range(processes)]
            for p in children:
                p.start()
            for _ in children:
                ready.get()
            t0 = time.perf_counter()
            for _ in children:
                go.put(1)
            check(sum(done.get() for _ in children) == processes * want, "what was read is wrong")
            for p in children:
                p.join()
        t1 = time.perf_counter()
        check(len(d) == KEYS, "entries")
        if work == "set":
            check(all(d[k] == count - (count - k) % KEYS for k in range(KEYS)), "an entry is wrong")
    print("RESULT %.9g op/s" % (processes * count / (t1 - t0)))


main(*sys.argv[1:])
