#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does `executor.py` still build, run, and write what its users read? Numbers are not looked at.
Arguments: executor.py, the build directory. Prints TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ONLY = (r"fork_join fib glib 1|(fork_join fib|future fib|submit single|latency handoff|loop sum|"
        r"idle idle|oversubscribe single|growth pending_1e4) (stook|seq) [128]$")
BENCHES = {"fork_join", "future", "submit", "latency", "loop", "idle", "oversubscribe", "growth"}
UNITS = {"ns/task", "us", "bytes/task", "ms_cpu", "MB/s"}
results = []


def check(name, ok):
    results.append(ok)
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}", flush=True)


def is_number(value):
    return isinstance(value, (int, float)) and value >= 0


def is_sound(row):
    if row["unit"] not in UNITS or not isinstance(row["workers"], int):
        return False
    if "missing" in row:
        return row["impl"] == "glib" and bool(row["missing"])
    return (all(is_number(row[key]) for key in ("median", "min", "runs")) and row["runs"] > 0
            and row["min"] <= row["median"] and (row["seq"] is None or is_number(row["seq"])))


def main():
    script, build = sys.argv[1:3]
    if not shutil.which("gcc"):
        print("1..0 # SKIP no gcc")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "rows")
        file.write_text("what was there before\n", encoding="utf-8")
        done = subprocess.run([sys.executable, script, "--quick", "--only", ONLY, "--json", file],
                              env={**os.environ, "STOOK_BUILD": build}, capture_output=True,
                              text=True, timeout=100)
        lines = file.read_text(encoding="utf-8").splitlines()
    print("".join(f"# {line}\n" for line in done.stderr.splitlines()), end="")
    check("ends with status 0", done.returncode == 0)
    check("the file was truncated", lines[:1] != ["what was there before"])
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    check("every line is an object", len(rows) == len(lines))
    check("every bench is there", {row["bench"] for row in rows if row["impl"] == "stook"} == BENCHES)
    check("rows are sound", bool(rows) and all(map(is_sound, rows)))
    keys = [(row["bench"], row["case"], row["impl"], row["workers"]) for row in rows]
    check("a row for each bench, case, impl and workers", len(set(keys)) == len(keys))
    check("who cannot do a case has a row", ("fork_join", "fib", "glib", 1) in keys)
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
