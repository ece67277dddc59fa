# SPDX-License-Identifier: MIT
"""Python's side of the rows on numbers in shared memory.

numbers.py COUNT value                    a counter under its lock, COUNT times by each of four
numbers.py COUNT elements Array|RawArray  reads and writes elements
"""
import multiprocessing
import sys
import time

ctx = multiprocessing.get_context("fork")


def check(ok, message):
    if not ok:
        sys.exit("VERIFICATION FAILED: %s" % message)


def count_value(v, ready, n):
    ready.wait()
    for _ in range(n):
        with v.get_lock():
            v.value += 1


def value(n):
    v = ctx.Value("q")
    ready = ctx.Barrier(5)
    processes = [ctx.Process(target=count_value, args=(v, ready, n)) for _ in range(4)]
    for p in processes:
        p.start()
    ready.wait()
    t0 = time.perf_counter()
    for p in processes:
        p.join()
    t1 = time.perf_counter()
    check(all(p.exitcode == 0 for p in processes), "exit codes")
    check(v.value == 4 * n, "%d counted" % v.value)
    print("RESULT %.9g /s" % (4 * n / (t1 - t0)))


def elements(n, kind):
    a = getattr(ctx, kind)("i", 1000)
    t0 = time.perf_counter()
    for i in range(n):
        j = i % 1000
        a[j] = a[j] + 1
    t1 = time.perf_counter()
    check(sum(a) == n, "the sum")
    print("RESULT %.9g /s" % (n / (t1 - t0)))


count, work = int(sys.argv[1]), sys.argv[2]
if work == "value":
    value(count)
else:
    elements(count, sys.argv[3])
