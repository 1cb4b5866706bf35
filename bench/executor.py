#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times Stook's executor beside others, on the same kernels and in one run, and checks all results.

usage: ./dev bench executor [--quick] [--json FILE] [--plot FILE.svg] [--rounds N] [--only REGEX]

  --quick   small sizes and one round, to see that all works: numbers mean little
  --json    one JSON object a line into FILE in place of the table
  --plot    draws nanoseconds per task by executor, and the cost by the number of tasks
  --rounds  processes for each number
  --only    cases and executors whose "bench case impl workers" it is found in

Each number comes from processes of its own (programs in executor/, protocol in executor/harness.h),
which time the sequential form (`seq`) just before. All executors take turns, round by round, so that
a change of the machine's speed hits them alike; each process has a session, and so a share of the
CPU, of its own. Median and minimum are over all runs of all processes; ratios are taken within a
process. Where a process that computes had clearly less CPU time than wall time x workers (as far as
there are cores), a line on standard error tells: the machine had other things to do, or the executor
let cores idle.

An `impl` that is not there, or cannot do a case, has a row with `missing` and the reason. What is
measured:
  stook      forks inline, static library; fib_shared and `future`: shared library, real calls
  tbb        oneTBB: parallel_invoke, task_group, algorithms, task_arena::enqueue
  gomp       OpenMP tasks of gcc; libomp: of clang
  glib       GThreadPool, which has tasks from outside only
  java, go   ForkJoinPool; goroutines, whose producers from outside are such too, on the workers.
             Their `seq` is the sequential form in that language
  seq        plain C. CASE: the compiler may inline the recursion into itself; CASE_call: one real
             call for each fork, which is also what `seq` is for executors in C and C++
fork_join, future: a task for each fork, no cut-off; stook and seq grow larger trees of the same kind
than peers, whose tasks take so much longer (`size`). submit: all tasks submitted from outside the pool
and awaited, each with a future, or (tbb, glib) a 32-bit word; bulk: 1000 at a time. pending: memory
of a task that waits in the queue, its future or word included. latency: ping, a task submits a child
and waits, and may run it itself; handoff, an outside thread submits and waits; parked, the same
after a millisecond of rest (seq: two threads that hand a word to and fro, spinning, and by futex);
storm, a thousand tasks of a microsecond for a pool that sleeps. MB/s: more is better, and `min` is
the slowest run.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).with_name("executor")))
from cases import CASES, IMPLS, lacks  # noqa: E402
from draw import draw  # noqa: E402
from programs import build  # noqa: E402

WRONG_RESULT, CANNOT = 3, 4  # of harness.h
TABLE = "{:8}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>8}"
CORES = len(os.sched_getaffinity(0))


class Missing(Exception):
    pass


class Row:
    """What one impl does in one case with a number of workers."""

    def __init__(self, case, impl, workers, quick):
        self.case, self.impl, self.workers = case, impl, workers
        self.size = case.size(impl, quick)
        self.reason = lacks(impl, case)
        self.samples = []

    def program(self):
        return self.case.program if self.impl == "stook" else self.impl

    def measure(self, programs, quick):
        if self.reason:
            return
        try:
            self.samples.append(run(programs[self.program()], self, quick))
        except Missing as error:
            if self.impl in ("stook", "seq"):
                sys.exit(f"executor: {self.name()}: {error}")
            self.reason, self.samples = str(error), []

    def name(self):
        return f"{self.case.bench} {self.case.name} {self.impl} {self.workers}"

    def median_of(self, key):
        numbers = [sample[key] for sample in self.samples if sample[key] is not None]
        return statistics.median(numbers) if numbers else None

    def cores(self):
        return self.median_of("cores") if self.case.is_busy else None

    def summary(self):
        row = {"bench": self.case.bench, "case": self.case.name, "impl": self.impl,
               "workers": self.workers, "unit": self.case.unit}
        if self.reason:
            return row | {"missing": self.reason}
        values = [value for sample in self.samples for value in sample["values"]]
        ratios = [self.case.slower(statistics.median(sample["values"]), sample["seq"])
                  for sample in self.samples if sample["seq"]]
        row |= {"median": statistics.median(values), "min": min(values), "runs": len(values),
                "seq": self.median_of("seq"), "size": self.size,
                "ratio": statistics.median(ratios) if ratios else None, "cores": self.cores()}
        for key in ("p99", "submit"):
            if self.median_of(key) is not None:
                row[key] = self.median_of(key)
        return {key: float(f"{value:.5g}") if isinstance(value, float) else value
                for key, value in row.items()}


def run(program, row, quick):
    if program.missing:
        raise Missing(program.missing)
    case = row.case
    runs = case.runs if case.runs else 2 if quick else 3
    command = [*program.command(row.workers), case.run_by(row.impl), row.workers, row.size, runs,
               30 if quick else 300]
    limit = 15 if quick else 40
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=limit,
                              start_new_session=True, env={**os.environ, "LC_ALL": "C"})
    except subprocess.TimeoutExpired:
        raise Missing(f"no result within {limit} seconds") from None
    except OSError as error:
        raise Missing(str(error)) from None
    if done.returncode == WRONG_RESULT:
        sys.exit(f"executor: {row.name()}: {done.stderr.strip() or 'wrong result'}")
    if done.returncode == CANNOT:
        raise Missing(done.stdout.strip())
    if done.returncode:
        said = done.stderr.strip().splitlines() or [""]
        raise Missing(f"ended with status {done.returncode}: {said[-1]}")
    return json.loads(done.stdout)


def rows_of(case, wanted, quick):
    for workers in case.workers(CORES):
        for impl in IMPLS:
            if impl in case.only and (impl != "seq" or case.has_seq and workers == 1):
                row = Row(case, impl, workers, quick)
                if wanted.search(row.name()):
                    yield row


def check_results(rows, results):
    """All must find the same, also those that checked themselves against a form of their own."""
    for row in rows:
        for sample in row.samples:
            first, result = results.setdefault((row.case.run, row.size), (row, sample["result"]))
            if sample["result"] != result:
                sys.exit(f"executor: {row.name()}: wrong result {sample['result']}: "
                         f"{result} in {first.name()}")


def warn_of_idle_cores(rows):
    for row in rows:
        wanted = min(row.workers, CORES)
        if row.samples and row.cores() is not None and row.cores() < 0.9 * wanted:
            print(f"executor: {row.name()}: busy on {row.cores():.2f} of {wanted} cores",
                  file=sys.stderr)


def number(value):
    return "-" if value is None else f"{value:.4g}"


def print_table(case, summaries):
    """Ratios: how many times slower (or larger) than Stook, and than the sequential form."""
    print(f"\n{case.bench} {case.name}, {case.unit}")
    print(TABLE.format("impl", "workers", "median", "min", "p99", "x stook", "x seq", "cores"))
    for workers in sorted({row["workers"] for row in summaries}):
        rows = [row for row in summaries if row["workers"] == workers and "missing" not in row]
        rows.sort(key=lambda row: case.slower(row["median"], 1))
        ours = next((row["median"] for row in rows if row["impl"] == "stook"), None)
        for row in rows:
            ratio = case.slower(row["median"], ours) if ours and row["median"] else None
            numbers = (row["median"], row["min"], row.get("p99"), ratio, row["ratio"], row["cores"])
            print(TABLE.format(row["impl"], workers, *map(number, numbers)))
    for impl, reason in {row["impl"]: row["missing"] for row in summaries
                         if "missing" in row}.items():
        print(f"{impl:8}missing: {reason}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(usage="./dev bench executor [OPTION...]",
                                     allow_abbrev=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE.svg")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="REGEX")
    options = parser.parse_args()
    if options.plot and not shutil.which("gnuplot"):
        sys.exit("executor: gnuplot is not installed")
    rounds = options.rounds or (1 if options.quick else 3)
    file = open(options.json, "w", encoding="utf-8") if options.json else None
    chosen = [(case, rows) for case in CASES if not (options.quick and case.is_long)
              for rows in [list(rows_of(case, options.only, options.quick))] if rows]
    programs = build({row.program() for _, rows in chosen for row in rows if not row.reason})
    results, summaries = {}, []
    for case, rows in chosen:
        if file:
            print(f"executor: {case.bench} {case.name}", file=sys.stderr)
        for _ in range(rounds):
            for row in rows:
                row.measure(programs, options.quick)
        check_results(rows, results)
        warn_of_idle_cores(rows)
        found = [row.summary() for row in rows]
        summaries += found
        if file:
            file.writelines(json.dumps(row) + "\n" for row in found)
            file.flush()
        else:
            print_table(case, found)
    if options.plot:
        draw(summaries, options.plot)


main()
