#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the benchmarks still build, run, and write what their users read? Numbers are not looked at.
Arguments: the folder bench, the build directory, the command stook. Prints TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXECUTOR = (r"fork_join fib glib 1|(fork_join fib|future fib|submit single|latency handoff|"
            r"loop sum|idle idle|oversubscribe single|growth pending_1e4) (stook|seq) [128]$")
EXECUTOR_BENCHES = {"fork_join", "future", "submit", "latency", "loop", "idle", "oversubscribe",
                    "growth"}
MAPREDUCE = (r"wordcount (english|english_quarter|distinct) (stook|wc|seq_c|seq)|wordcount_sorted|"
             r"index|grep|(histogram|kmeans|log_analysis|jobs) .* 1$")
MAPREDUCE_BENCHES = {"wordcount", "wordcount_sorted", "index", "grep", "histogram", "kmeans",
                     "log_analysis", "jobs"}
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
        return row["impl"] != "stook" and bool(row["missing"])
    return (all(is_number(row[key]) for key in ("median", "min", "runs")) and row["runs"] > 0
            and row["min"] <= row["median"] and (row["seq"] is None or is_number(row["seq"])))


def run(script, environment, *options):
    return subprocess.run([sys.executable, script, "--quick", *options], capture_output=True,
                          env={**os.environ, **environment}, text=True, timeout=100, check=False)


def rows_of(name, script, environment, only, benches):
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "rows")
        file.write_text("what was there before\n", encoding="utf-8")
        done = run(script, environment, "--only", only, "--json", file)
        lines = file.read_text(encoding="utf-8").splitlines()
    print("".join(f"# {line}\n" for line in done.stderr.splitlines()), end="")
    check(f"{name}: ends with status 0", done.returncode == 0)
    check(f"{name}: the file was truncated", lines[:1] != ["what was there before"])
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    check(f"{name}: every line is an object", len(rows) == len(lines))
    check(f"{name}: every bench is there",
          {row["bench"] for row in rows if row["impl"] == "stook"} == benches)
    check(f"{name}: rows are sound", bool(rows) and all(map(is_sound, rows)))
    keys = [(row["bench"], row["case"], row["impl"], row["workers"]) for row in rows]
    check(f"{name}: a row for each bench, case, impl and workers", len(set(keys)) == len(keys))
    return keys


def check_wrong_results(script, environment):
    """A command that counts wrong ends the benchmark with status 1."""
    with tempfile.TemporaryDirectory() as scratch:
        liar = Path(scratch, "stook")
        liar.write_text("#!/bin/sh\necho 'word\t1'\n", encoding="utf-8")
        liar.chmod(0o755)
        done = run(script, {**environment, "STOOK": str(liar)}, "--only",
                   "wordcount english (stook|seq_c)")
    check("mapreduce: a wrong result ends with status 1",
          done.returncode == 1 and "wrong result" in done.stderr)


def main():
    bench, build, stook = sys.argv[1:4]
    if not shutil.which("gcc"):
        print("1..0 # SKIP no gcc")
        return 0
    environment = {"STOOK_BUILD": build, "STOOK": stook}
    keys = rows_of("executor", Path(bench, "executor.py"), environment, EXECUTOR, EXECUTOR_BENCHES)
    check("executor: who cannot do a case has a row", ("fork_join", "fib", "glib", 1) in keys)
    script = Path(bench, "mapreduce.py")
    rows_of("mapreduce", script, environment, MAPREDUCE, MAPREDUCE_BENCHES)
    check_wrong_results(script, environment)
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
