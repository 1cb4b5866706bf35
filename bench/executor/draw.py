# SPDX-License-Identifier: MIT
"""Draws what executor.py has measured: four panels in one SVG file, by gnuplot."""
import subprocess
import sys
from cases import IMPLS

HEAD = """set terminal svg enhanced size 1300,950 font 'sans,11' background 'white'
set output '{file}'
set multiplot layout 2,2
set logscale y
set grid ytics
set key outside right
set datafile missing '?'
set style fill solid 0.8
"""


def colour(impl):
    return f"linetype {IMPLS.index(impl) + 1}"


def block(name, lines):
    return f"${name} << EOD\n" + "".join(line + "\n" for line in lines) + "EOD\n"


def label(row):
    return ("future " if row["bench"] == "future" else "") + row["case"]


def bars(name, title, rows, workers):
    """Nanoseconds per task: a cluster for each case, a colour for each impl."""
    medians = {(label(row), row["impl"]): row["median"] for row in rows
               if row["workers"] == workers and row["unit"] == "ns/task"
               and row["bench"] in ("fork_join", "future", "submit")
               and not row["case"].endswith("_call")}
    if not medians:
        return ""
    labels = list(dict.fromkeys(of for of, _ in medians))
    impls = [impl for impl in IMPLS if any(by == impl for _, by in medians)]
    lines = [f'"{of}" ' + " ".join(str(medians.get((of, impl), "?")) for impl in impls)
             for of in labels]
    plots = [f"${name} using {i + 2}:xtic(1) {colour(impl)} title '{impl}'"
             for i, impl in enumerate(impls)]
    return (block(name, lines) + f"set title '{title}'\nset ylabel 'ns/task'\n"
            "set style data histograms\nset xtics rotate by -35 noenhanced\n"
            "plot " + ", ".join(plots) + "\n")


def curves(name, title, rows, unit):
    """The cost of a task by the number of tasks: a line for each impl and kind of case."""
    series = {}
    for row in rows:
        if row["bench"] == "growth" and row["unit"] == unit:
            kind, _, tasks = row["case"].rpartition("_")
            series.setdefault((row["impl"], kind), []).append((float(tasks), row["median"]))
    if not series:
        return ""
    text, plots = "", []
    for i, ((impl, kind), points) in enumerate(series.items()):
        text += block(f"{name}{i}", (f"{tasks} {cost}" for tasks, cost in sorted(points)))
        plots.append(f"${name}{i} using 1:2 with linespoints {colour(impl)} "
                     f"dashtype {2 if kind == 'skynet' else 1} title '{impl} {kind}' noenhanced")
    return (text + f"set title '{title}'\nset ylabel '{unit}'\nset logscale x\n"
            "set xtics norotate enhanced autofreq\nset format x '10^{%T}'\n"
            "plot " + ", ".join(plots) + "\n")


def draw(rows, file):
    rows = [row for row in rows if "missing" not in row]
    most = max((row["workers"] for row in rows if row["bench"] in ("fork_join", "submit")),
               default=1)
    quoted = file.replace("'", "''")
    script = (HEAD.format(file=quoted)
              + bars("one", "a task, 1 worker", rows, 1)
              + bars("all", f"a task, {most} workers", rows, most)
              + curves("time", "time by number of tasks", rows, "ns/task")
              + curves("memory", "memory by number of pending tasks", rows, "bytes/task")
              + "unset multiplot\n")
    try:
        subprocess.run(["gnuplot"], input=script, text=True, check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"executor: gnuplot ended with status {error.returncode}")
