# SPDX-License-Identifier: MIT
"""Python's multiprocessing.Pool, the same work as ../luamp/pool.lua: py_pool.py WORK COUNT"""
import multiprocessing
import sys
import time

ctx = multiprocessing.get_context("fork")
now = time.perf_counter
TEXTS = [chr(96 + i) * 10240 for i in range(1, 27)]


def check(ok, message):
    if not ok:
        sys.stderr.write("VERIFICATION FAILED: %s\n" % message)
        sys.exit(1)


def result(value, unit, label=""):
    print(("RESULT %.9g %s %s" % (value, unit, label)).rstrip())


def square(x):
    return x * x


def text(x):
    return TEXTS[x % len(TEXTS)]


def timed_map(f, count, chunksize):
    with ctx.Pool(2) as pool:
        numbers = list(range(1, count + 1))
        pool.map(square, [1, 2, 3, 4], 1)
        t0 = now()
        got = pool.map(f, numbers, chunksize)
        t = now() - t0
    return got, t


def squares(count, chunksize):
    got, t = timed_map(square, count, chunksize)
    check(got == [x * x for x in range(1, count + 1)], "squares")
    result(count / t, "tasks/s")


def strings(count):
    got, t = timed_map(text, count, None)
    check(got == [text(x) for x in range(1, count + 1)], "strings")
    result(count / t, "tasks/s")


def apply(count):
    times = []
    with ctx.Pool(2) as pool:
        pool.map(square, [1, 2, 3, 4], 1)
        for i in range(count):
            t0 = now()
            y = pool.apply(square, (i,))
            times.append(now() - t0)
            check(y == i * i, "square")
    times.sort()
    result(times[count // 2] * 1e6, "us", "p50")


def create(count):
    t0 = now()
    for i in range(count):
        pool = ctx.Pool(2)
        check(pool.apply(square, (i,)) == i * i, "square")
        pool.close()
        pool.join()
    result(count / (now() - t0), "/s")


if __name__ == "__main__":
    work, n = sys.argv[1], int(sys.argv[2])
    if work == "map":
        squares(n, None)
    elif work == "chunk1":
        squares(n, 1)
    elif work == "strings":
        strings(n)
    elif work == "apply":
        apply(n)
    else:
        create(n)
