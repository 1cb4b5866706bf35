#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what of lib/ and of mapreduce/ the tests have run: coverage.py [-v] GCOVR_JSON

Fails when it is less than 95 % of the lines or 85 % of the branches of either. With -v, each line
that has not run is printed, and each that has gone one way only."""
import json
import pathlib
import sys

LINES, BRANCHES = 95, 85


def percent(part, whole):
    return 100 * part / whole if whole else 100


class Count:
    def __init__(self):
        self.lines = self.lines_run = self.branches = self.branches_run = 0

    def add(self, line):
        branches = line["branches"]
        self.lines += 1
        self.lines_run += line["count"] > 0
        self.branches += len(branches)
        self.branches_run += sum(branch["count"] > 0 for branch in branches)

    def is_enough(self):
        return (self.lines > 0 and percent(self.lines_run, self.lines) >= LINES
                and percent(self.branches_run, self.branches) >= BRANCHES)

    def row(self, name):
        lines = percent(self.lines_run, self.lines)
        branches = percent(self.branches_run, self.branches)
        return (f"{name:32}{self.lines_run:6} of {self.lines:5}{lines:7.1f} %"
                f"{self.branches_run:6} of {self.branches:5}{branches:7.1f} %")


def missed(root, path, lines):
    text = (root / path).read_text().splitlines()
    for line in lines:
        ways = [branch["count"] > 0 for branch in line["branches"]]
        if line["count"] == 0:
            yield line["line_number"], "not run", text
        elif not all(ways):
            yield line["line_number"], f"{sum(ways)} of {len(ways)} ways", text


def main():
    verbose = "-v" in sys.argv
    root = pathlib.Path(__file__).resolve().parent.parent
    report = json.loads(pathlib.Path(sys.argv[-1]).read_text())
    good = True
    for folder in "lib", "mapreduce":
        total = Count()
        print(f"{folder + '/':32}{'lines':>15}{'branches':>24}")
        for file in report["files"]:
            if not file["file"].startswith(folder + "/"):
                continue
            lines = [line for line in file["lines"] if not line["gcovr/noncode"]]
            count = Count()
            for line in lines:
                count.add(line)
                total.add(line)
            print(count.row(file["file"][len(folder) + 1:]))
            if verbose:
                for number, what, text in missed(root, file["file"], lines):
                    print(f"    {number:4} {what:12} {text[number - 1].strip()}")
        print(total.row(f"all of {folder}/"))
        good = good and total.is_enough()
    print(f"at least {LINES} % of the lines and {BRANCHES} % of the branches of each: "
          + ("yes" if good else "no"))
    sys.exit(0 if good else 1)


main()
