#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times Stook's MapReduce beside other programs, on the same data and in one run, and checks results.

usage: ./dev bench mapreduce [--quick] [--json FILE] [--plot FILE.svg] [--rounds N] [--only REGEX]

  --quick   small data and one round, to see that all works: numbers mean little
  --json    one JSON object a line into FILE in place of the table
  --plot    draws MB/s by case and program
  --rounds  runs of each program (slow ones: one)
  --only    rows whose "bench case impl workers" it is found in

Whole processes, from the page cache, output to a file; the applications tell the time of their jobs
alone, as their data is made first. All take turns, round by round. MB are of the input, 10^6 bytes;
rss_mb is the peak of the largest process, `min` the slowest run, `seq` the sequential form of the
same job (mr_map_reduce_sequential), ratios those of medians. Where stook had clearly less CPU time
than wall time x workers, a line on standard error tells.

  wordcount         stook wordcount --sort none; _sorted: by word; _quarter: with a memory limit of
                    a quarter of what the job takes without
  wc                wc -w, which only counts; seq_c: a loop and a hash table in plain C
  scale_1, _20      the same text once, and 20 times
  index, grep       stook index; stook grep, beside GNU grep -E
  the rest          examples/, of the same names; jobs: 64 at once against one after the other

Texts are made by make_corpus.py and kept in the build directory.
"""
import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "mapreduce"))
from cases import cases  # noqa: E402
from chart import draw  # noqa: E402

BUILD = Path(os.environ["STOOK_BUILD"]).resolve()
SCRATCH = BUILD / "mapreduce-bench"
CORES = len(os.sched_getaffinity(0))
TABLE = "{:11}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}"


class Missing(Exception):
    pass


class Row:
    def __init__(self, case, impl, workers):
        self.case, self.impl, self.workers = case, impl, workers
        self.reason, self.seconds, self.peak, self.busy, self.digest = None, [], 0, [], None
        self.output = None

    def name(self):
        return f"{self.case.bench} {self.case.name} {self.impl} {self.workers}"

    def command(self, names):
        words = list(self.case.impls[self.impl])
        for name, value in (names | {"workers": self.workers}).items():
            words = [word.replace("{" + name + "}", str(value)) for word in words]
        if words[0].startswith("@"):
            words[0] = str(BUILD / "examples" / words[0][1:])
        if not shutil.which(words[0]):
            raise Missing(f"{Path(words[0]).name} is not there")
        return words

    def measure(self, names):
        if self.reason or (self.seconds and self.impl in self.case.slow):
            return
        self.output = SCRATCH / f"output-{self.impl}-{self.workers}"
        try:
            self.run(self.command(names))
        except Missing as error:
            self.reason, self.seconds = str(error), []

    def run(self, command):
        report = SCRATCH / "report"
        with open(self.output, "wb") as out:
            done = subprocess.run([SCRATCH / "launch", report, *command], stdout=out,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                  start_new_session=True, env={**os.environ, "LC_ALL": "C"},
                                  cwd=SCRATCH, check=False)
        if done.returncode == 3:
            sys.exit(f"mapreduce: {self.name()}: wrong result")
        if done.returncode not in (0, 1) or done.returncode and self.case.bench != "grep":
            raise Missing(f"status {done.returncode}: {done.stderr.strip()[-200:]}")
        seconds, busy, peak = map(float, report.read_text().split())
        self.busy.append(busy / seconds)
        self.peak = max(self.peak, int(peak))
        if self.case.clock == "own":
            seconds = float(re.search(r"seconds ([0-9.e+-]+)", done.stderr).group(1))
        elif self.case.clock == "two":
            seconds = [float(word) for word in self.output.read_text().split()]
        self.seconds.append(seconds)

    def check(self, programs, expected):
        """Compares the last output with that of the first row, which is as good as any other."""
        kind = self.case.digest
        if not self.seconds or not kind or self.impl == "wc" or kind == "same" and \
                self.impl != "stook":
            return expected
        if kind == "lines":
            with open(self.output, "rb") as file:
                digest = subprocess.run([programs["seq"], "--digest"], stdin=file, check=True,
                                        capture_output=True).stdout
        else:
            with open(self.output, "rb") as file:
                digest = hashlib.file_digest(file, "md5").digest() if hasattr(
                    hashlib, "file_digest") else hashlib.md5(file.read()).digest()
        if expected is not None and digest != expected:
            sys.exit(f"mapreduce: {self.name()}: wrong result: {digest} in place of {expected}")
        return digest

    def summaries(self, size, seq):
        base = {"bench": self.case.bench, "case": self.case.name, "impl": self.impl,
                "workers": self.workers, "unit": "MB/s"}
        if self.reason:
            yield base | {"missing": self.reason}
            return
        kinds = [("", self.seconds)]
        if self.case.clock == "two":
            kinds = [("_one_by_one", [pair[0] for pair in self.seconds]),
                     ("_at_once", [pair[1] for pair in self.seconds])]
        for suffix, seconds in kinds:
            rates = [size / 1e6 / max(one, 1e-9) for one in seconds]
            yield base | {"case": base["case"] + suffix,
                          "median": round(statistics.median(rates), 3),
                          "min": round(min(rates), 3), "runs": len(rates),
                          "seq": round(seq, 3) if seq else None,
                          "seconds": round(statistics.median(seconds), 6),
                          "rss_mb": round(self.peak / 1e6, 1)}


def build_programs():
    flags = ["-O3", "-DNDEBUG", "-std=gnu11", f"-I{HERE.parent / 'include'}",
             f"-I{BUILD / 'include'}"]
    libraries = [str(BUILD / "mapreduce" / "libstook-mr.a"), str(BUILD / "lib" / "libstook.a"),
                 "-pthread"]
    for package, flag in (("zlib", "-lz"), ("libzstd", "-lzstd")):
        if not subprocess.run(["pkg-config", "--exists", package], check=False).returncode:
            libraries.append(flag)
    programs = {"stook": str(Path(os.environ["STOOK"]).resolve())}
    for name, source, more in (("seq", "seq_wordcount.c", []), ("jobs", "jobs.c", libraries),
                               ("launch", "launch.c", [])):
        programs[name] = str(SCRATCH / name)
        subprocess.run(["gcc", *flags, str(HERE / "mapreduce" / source), "-o", programs[name],
                        *more], check=True)
    return programs


def corpus(name, quick):
    """The path of a corpus, made when it is not there."""
    path = SCRATCH / (f"quick-{name}" if quick else name)
    if not path.exists():
        print(f"mapreduce: making {name}", file=sys.stderr)
        made = path.with_suffix(".part")
        words = [sys.executable, str(HERE / "make_corpus.py"), name, str(made)]
        done = subprocess.run(words + (["--quick"] if quick else []), capture_output=True,
                              text=True, check=False)
        if done.returncode:
            raise Missing(done.stderr.strip())
        made.rename(path)
    with open(path, "rb") as file:  # into the page cache
        while file.read(1 << 22):
            pass
    return path


def quarter_of(peaks, name):
    """A quarter of the memory that the job takes without a limit, with two workers."""
    return max(peaks.get(name, 32 << 20) // 4, 8 << 20)


def measure(case, rows, programs, options, peaks):
    try:
        path = corpus(case.corpus, options.quick) if case.corpus else None
    except Missing as error:
        for row in rows:
            row.reason = str(error)
        return 0
    names = {**programs, "file": path and path.name, "quarter": quarter_of(peaks, case.corpus)}
    for _ in range(options.rounds):
        for row in rows:
            row.measure(names)
    expected = None
    for row in rows:
        expected = row.check(programs, expected)
        if row.impl == "stook" and row.busy and row.case.clock == "wall" and \
                max(row.busy) < 0.7 * min(row.workers, CORES):
            print(f"mapreduce: {row.name()}: busy on {max(row.busy):.2f} cores", file=sys.stderr)
        if case.bench == "wordcount" and case.name == case.corpus and row.impl == "stook":
            peaks[case.corpus] = max(peaks.get(case.corpus, 0), row.peak)
    for file in SCRATCH.glob("output-*"):
        file.unlink()
    return case.size or path.stat().st_size * (20 if case.name == "scale_20" else 1)


def print_table(case, found):
    print(f"\n{case.bench} {case.name}")
    print(TABLE.format("impl", "workers", "MB/s", "slowest", "seconds", "peak MB", "/ stook",
                       "/ seq"))
    there = [row for row in found if "missing" not in row]
    ours = next((row["median"] for row in there if row["impl"] == "stook"), None)
    for row in sorted(there, key=lambda row: -row["median"]):
        print(TABLE.format(row["impl"], row["workers"], *(f"{number:.4g}" if number else "-" for
              number in (row["median"], row["min"], row["seconds"], row["rss_mb"],
                         row["median"] / ours if ours else None,
                         row["median"] / row["seq"] if row["seq"] else None)))
              + ("  " + row["case"] if row["case"] != case.name else ""))
    for row in found:
        if "missing" in row:
            print(f"{row['impl']:11}missing: {row['missing']}")
    sys.stdout.flush()


def rows_of(case, wanted):
    for impl in case.impls:
        for workers in ([1, 2] if impl == "stook" else [1]):
            row = Row(case, impl, workers)
            if wanted.search(row.name()):
                yield row


def main():
    parser = argparse.ArgumentParser(usage="./dev bench mapreduce [OPTION...]", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE.svg")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="REGEX")
    options = parser.parse_args()
    if options.plot and not shutil.which("gnuplot"):
        sys.exit("mapreduce: gnuplot is not installed")
    options.rounds = options.rounds or (1 if options.quick else 3)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    file = open(options.json, "w", encoding="utf-8") if options.json else None
    programs, peaks, summaries = build_programs(), {}, []
    for case in cases(options.quick):
        rows = list(rows_of(case, options.only))
        if not rows:
            continue
        if file:
            print(f"mapreduce: {case.bench} {case.name}", file=sys.stderr)
        size = measure(case, rows, programs, options, peaks)
        seq = next((size / 1e6 / statistics.median(row.seconds) for row in rows
                    if row.impl == "seq" and row.seconds), None)
        found = [summary for row in rows for summary in row.summaries(size, seq)]
        summaries += found
        if file:
            file.writelines(json.dumps(row) + "\n" for row in found)
            file.flush()
        else:
            print_table(case, found)
    if options.plot:
        draw(summaries, options.plot)


main()
