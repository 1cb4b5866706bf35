#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints how many tests passed and failed: summary.py TESTLOG_JSON

Each line of a test that speaks TAP counts; a program that does not is one test. A program that ended
badly though no line of it tells why (a crash, a timeout) is one failure more. Skipped ones count for
nothing."""
import json
import re
import sys

PLAN = re.compile(r"^1\.\.\d+", re.M)
LINE = re.compile(r"^(not )?ok\b(?!.*# *SKIP)", re.M | re.I)


def count(test):
    good = test["result"] == "OK"
    if test["result"] == "SKIP":
        return 0, 0
    if not PLAN.search(test["stdout"]):
        return int(good), int(not good)
    lines = LINE.findall(test["stdout"])
    failed = sum(1 for line in lines if line)
    return len(lines) - failed, failed if good or failed else 1


def main():
    with open(sys.argv[1]) as log:
        counts = [count(json.loads(line)) for line in log]
    print(sum(passed for passed, _ in counts), sum(failed for _, failed in counts))


main()
