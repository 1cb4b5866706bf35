# SPDX-License-Identifier: MIT
"""Draws what mapreduce.py has measured: MB/s by case and program, by gnuplot."""
import subprocess

HEAD = """set terminal svg enhanced size 1300,800 font 'sans,11' background 'white'
set output '{file}'
set logscale y
set ylabel 'MB/s'
set grid ytics
set key outside right
set datafile missing '?'
set style fill solid 0.8
set style data histograms
set xtics rotate by -35 noenhanced
"""


def draw(rows, path):
    found = {((row["bench"], row["case"]), (row["impl"], row["workers"])): row["median"]
             for row in rows if "missing" not in row}
    labels = list(dict.fromkeys(label for label, _ in found))
    impls = list(dict.fromkeys(impl for _, impl in found))
    data = "".join(f'"{" ".join(label)}" ' + " ".join(str(found.get((label, impl), "?"))
                                                      for impl in impls) + "\n"
                   for label in labels)
    plots = ", ".join(f"$data using {i + 2}:xtic(1) title '{impl} {workers}' noenhanced"
                      for i, (impl, workers) in enumerate(impls))
    subprocess.run(["gnuplot"], input=HEAD.format(file=path) + f"$data << EOD\n{data}EOD\n"
                   f"plot {plots}\n", text=True, check=True)
