# SPDX-License-Identifier: MIT
"""Python's semaphores, events and barriers, the same work as ../luamp/sem.lua.

py_sem.py is_set|semaphore|bounded|barrier COUNT
"""
import sys

sys.dont_write_bytecode = True
from py import Gate, check, ctx, join, now, result, start


def is_set(count):
    event = ctx.Event()
    event.set()
    f = event.is_set
    total = 0
    t0 = now()
    for _ in range(count):
        if f():
            total += 1
    t1 = now()
    check(total == count, "it was set %d times" % total)
    result(count / (t1 - t0), "/s")


def permits(semaphore, count):
    acquire, release = semaphore.acquire, semaphore.release
    t0 = now()
    for _ in range(count):
        acquire()
        release()
    t1 = now()
    check(semaphore.get_value() == 2, "permits are missing")
    result(count / (t1 - t0), "/s")


def rounds(barrier, n):
    last = 0
    for _ in range(n):
        if barrier.wait() == 0:
            last += 1
    return last


def party(barrier, gate, n):
    gate.enter()
    gate.leave(rounds(barrier, n))


def barrier(count):
    b, gate = ctx.Barrier(2), Gate()
    p = start(party, b, gate, count)
    t0 = gate.open(1)
    last = rounds(b, count)
    last += gate.wait(1)
    t1 = now()
    check(last == count, "%d rounds" % last)
    join([p])
    result((t1 - t0) / count * 1e6, "us")


work, n = sys.argv[1], int(sys.argv[2])
if work == "is_set":
    is_set(n)
elif work == "semaphore":
    permits(ctx.Semaphore(2), n)
elif work == "bounded":
    permits(ctx.BoundedSemaphore(2), n)
else:
    check(work == "barrier", "no such work: " + work)
    barrier(n)
