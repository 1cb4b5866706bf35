#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the article's four steps and checks what they print. Arguments: the four programs in order.
Prints TAP."""
import re
import subprocess
import sys
from collections import Counter

TEXTS = ["Python is great Python rocks", "I am a fool. To weep at what I am glad of."]
results = []


def check(name, ok):
    results.append(ok)
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}", flush=True)


def run(program, text):
    done = subprocess.run([program, text], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines(), done.stderr


def first_seen(text):
    return [f"{word} {count}" for word, count in Counter(text.split()).items()]


def by_word(text):
    return [f"{word} {count}" for word, count in sorted(Counter(text.split()).items())]


def counts_fall_to_zero(lines, words):
    counts = [int(m.group(1)) for m in map(re.compile(r"Still not finalized: (\d+)$").match, lines)
              if m]
    falls = all(a >= b for a, b in zip(counts, counts[1:]))
    return bool(counts) and falls and counts[0] <= words and counts[-1] == 0, len(counts)


def phase_is_sound(lines, tag, total):
    calls = [tuple(map(int, m.groups())) for m in
             map(re.compile(rf"Operation {tag}: (\d+)/(\d+)$").match, lines) if m]
    rises = all(a[0] <= b[0] for a, b in zip(calls, calls[1:]))
    return bool(calls) and rises and calls[-1] == (total, total) and {c[1] for c in calls} == {total}


def main():
    naive, on_map, on_futures, on_mapreduce = sys.argv[1:5]
    for text in TEXTS:
        words = len(text.split())
        for step, program in (("naive", naive), ("map", on_map)):
            check(f"{step}: '{text}'", run(program, text) == (0, first_seen(text), ""))
        status, lines, errors = run(on_futures, text)
        ok, reports = counts_fall_to_zero(lines, words)
        check(f"futures: counts fall to 0: '{text}'", ok and (status, errors) == (0, ""))
        check(f"futures: result: '{text}'", lines[reports:] == first_seen(text))
        status, lines, errors = run(on_mapreduce, text)
        ok = all(phase_is_sound(lines, tag, total) for tag, total in
                 (("map", words), ("reduce", len(set(text.split())))))
        check(f"mapreduce: progress: '{text}'", ok and (status, errors) == (0, ""))
        check(f"mapreduce: result: '{text}'",
              [line for line in lines if not line.startswith("Operation")] == by_word(text))
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
