#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has spin check park.pml: what must hold, and that each planted mistake is found.

    check_park.py
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = Path(__file__).resolve().parent / "park.pml"
SIZES = ["-DSUBMITTERS=1 -DTASKS=2", "-DSUBMITTERS=2 -DTASKS=1"]
MISTAKES = ["BUG_RECHECK", "BUG_LAST", "BUG_CLOSE"]
SAFETY = ["-DSAFETY", "-DNOCLAIM"], []


def liveness(name):
    return ["-DNFAIR=5"], ["-a", "-f", "-N", name]


def run(command, folder):
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def errors(options, how):
    """The number of errors that spin finds, and of states that it has seen."""
    compiled, arguments = how
    with tempfile.TemporaryDirectory(prefix="stook-spin-") as folder:
        for command in (
            ["spin", *options.split(), "-a", str(MODEL)],
            ["cc", "-O2", "-w", *compiled, "-o", "pan", "pan.c"],
        ):
            code, output = run(command, folder)
            if code != 0:
                sys.exit(output)
        # it ends with 0 also when it has found some, and says when it could not go deep enough
        _, output = run(["./pan", "-m1000000", *arguments], folder)
    found = re.search(r"errors: (\d+)", output)
    states = re.search(r"(\d+) states, stored", output)
    if not found or not states or "max search depth too small" in output:
        sys.exit(output)
    return int(found[1]), int(states[1])


def main():
    wrong = 0
    for size in SIZES:
        for name, how in [("safety", SAFETY)] + [(n, liveness(n)) for n in ("all_end", "all_run")]:
            count, states = errors(size, how)
            wrong += count > 0
            print(f"{size} {name}: {states} states, {count} errors", flush=True)
        for mistake in MISTAKES:
            count, states = errors(f"{size} -D{mistake}", SAFETY)
            wrong += count == 0
            print(f"{size} {mistake}: {'found' if count else 'NOT FOUND'}", flush=True)
    sys.exit(1 if wrong else 0)


main()
