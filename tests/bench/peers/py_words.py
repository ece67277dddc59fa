# SPDX-License-Identifier: MIT
"""The word count of scripts/wordcount.lua with Python's multiprocessing.Pool: py_words.py MEGABYTES FILE
FILE was made by ../luamp/words.lua."""
import collections
import multiprocessing
import os
import re
import sys
import time

WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")
BLOCK = 1 << 20


def count_range(task):
    path, first, last = task
    counts = collections.Counter()
    with open(path, "rb") as file:
        if first > 0:
            file.seek(first - 1)
            file.readline()
        at = file.tell() if first > 0 else 0
        while at < last:
            text = file.read(min(BLOCK, last - at)) + file.readline()
            at = file.tell()
            counts.update(WORD.findall(text.lower()))
    return counts


if __name__ == "__main__":
    path = sys.argv[2]
    with open(path + ".count") as file:
        expected = int(file.read())
    t0 = time.perf_counter()
    size = os.path.getsize(path)
    step = max(1 << 17, min(1 << 25, size // 8))
    tasks = [(path, at, min(at + step, size)) for at in range(0, size, step)]
    total = collections.Counter()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for counts in pool.imap_unordered(count_range, tasks):
            total.update(counts)
    words = sum(total.values())
    t = time.perf_counter() - t0
    if words != expected:
        sys.stderr.write("VERIFICATION FAILED: %d words instead of %d\n" % (words, expected))
        sys.exit(1)
    print("RESULT %.9g s" % t)
