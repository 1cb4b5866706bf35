#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times `stook wordcount` beside coreutils, on one file and in one run.

usage: ./dev bench wordcount [--runs N] [--workers N,N...] [FILE]

Whole processes, reading FILE from the page cache, output to a file: medians of the wall clock, peak
memory of the largest single process. The output of every run of stook is compared, byte for byte,
with that of the pipeline, which is run once. FILE defaults to the English text of make_corpus.py.
"""
import argparse
import filecmp
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PIPELINE = r"""tr '\t\v\f\r ' '\n' <"$1" | grep -av '^$' | sort | uniq -c |
    sed 's/^ *\([0-9]*\) \(.*\)/\2\t\1/'"""


class Row:
    def __init__(self, name, command):
        self.name, self.command = name, command
        self.seconds, self.peak = [], 0

    def run(self, output):
        environment = {**os.environ, "LC_ALL": "C"}
        with open(output, "wb") as out:
            start = time.monotonic()
            process = subprocess.Popen(self.command, stdout=out, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            self.seconds.append(time.monotonic() - start)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"wordcount: {self.name} ended with status {process.returncode}")
        self.peak = max(self.peak, usage.ru_maxrss * 1024)


def main():
    parser = argparse.ArgumentParser(usage="./dev bench wordcount [OPTION...] [FILE]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("file", nargs="?")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        text = options.file or str(Path(scratch, "english"))
        if not options.file:
            maker = Path(__file__).with_name("make_corpus.py")
            subprocess.run([sys.executable, maker, "english", text], check=True)
        measure(options, text, Path(scratch))


def measure(options, text, scratch):
    size = os.path.getsize(text)
    expected, counted = scratch / "expected", scratch / "counted"
    coreutils = Row("sort | uniq -c", ["bash", "-c", "set -o pipefail\n" + PIPELINE, "bash", text])
    words = Row("wc -w", ["wc", "-w", text])
    stooks = [Row(f"stook, {n} workers",
                  [os.environ["STOOK"], "wordcount", "--no-progress", "--workers", n, text])
              for n in options.workers.split(",")]
    coreutils.run(expected)
    for _ in range(options.runs):
        words.run(counted)
        for row in stooks:
            row.run(counted)
            if not filecmp.cmp(expected, counted, shallow=False):
                sys.exit(f"wordcount: the output of {row.name} differs from that of coreutils")
    with open(expected, "rb") as file:
        distinct = sum(1 for _ in file)
    print(f"{size} bytes, {distinct} distinct words; output equal to that of coreutils")
    print(f"{'':20}{'seconds':>10}{'min':>10}{'MB/s':>10}{'peak MB':>10}{'runs':>6}")
    for row in [coreutils, words, *stooks]:
        median = statistics.median(row.seconds)
        print(f"{row.name:20}{median:10.2f}{min(row.seconds):10.2f}{size / 1e6 / median:10.0f}"
              f"{row.peak / 1e6:10.0f}{len(row.seconds):6}")


main()
