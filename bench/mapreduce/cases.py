# SPDX-License-Identifier: MIT
"""What mapreduce.py times: cases, and for each the programs that take part.

In commands, {file} is the corpus, {workers} a number, {stook}, {seq}, {jobs} programs; what begins
with @ is a program of examples/. `clock`: "wall", of the whole process; "own", what the program
prints about itself (its data is made before)."""

WORDS = r"""tr '\t\v\f\r ' '\n' <"$1" | grep -av '^$' | sort | uniq -c |
    sed 's/^ *\([0-9]*\) \(.*\)/\2\t\1/'"""
PYTHON = r"""import collections, sys
counts = collections.Counter()
with open(sys.argv[1], "rb") as file:
    for line in file:
        counts.update(line.split())
out = sys.stdout.buffer
for word, count in counts.items():
    out.write(b"%s\t%d\n" % (word, count))"""
PERL = r"""while (<>) { $count{$_}++ for split ' ' } print "$_\t$count{$_}\n" for keys %count"""
AWK = r"""BEGIN { FS = "[ \t\v\f\r]+" } { for (i = 1; i <= NF; i++) if ($i != "") count[$i]++ }
END { for (word in count) print word "\t" count[word] }"""
GREP = "[Tt]hresh(ing|er)|corn"


class Case:
    """digest: how results are compared: "lines" in any order, "bytes", or None.
    size: the bytes that MB/s are of; 0: those of the corpus. slow: impls that run once."""

    def __init__(self, bench, corpus, impls, *, name=None, digest="lines", clock="wall", size=0,
                 slow=()):
        self.bench, self.corpus, self.impls = bench, corpus, impls
        self.name = name or corpus
        self.digest, self.clock, self.size, self.slow = digest, clock, size, slow


def stook(*words):
    return ["{stook}", *words[:1], "--no-progress", "--workers", "{workers}", *words[1:]]


def application(name, *words):
    return {"stook": [f"@{name}", "--workers", "{workers}", "--time", *words],
            "seq": [f"@{name}", "--sequential", "--time", *words]}


def words(corpus, *options, name=None, peers="few"):
    impls = {"stook": stook("wordcount", "--sort", "none", *options, "{file}")}
    if peers != "none":
        impls |= {"wc": ["wc", "-w", "{file}"], "seq_c": ["{seq}", "{file}"]}
    if peers == "all":
        impls |= {"seq": ["@word_count", "--sequential", "{file}"],
                  "coreutils": ["bash", "-c", "set -o pipefail\n" + WORDS, "bash", "{file}"],
                  "mawk": ["mawk", AWK, "{file}"], "perl": ["perl", "-e", PERL, "{file}"],
                  "python": ["python3", "-c", PYTHON, "{file}"]}
    return Case("wordcount", corpus, impls, name=name,
                slow=("seq", "coreutils", "mawk", "perl", "python"))


def computed(bench, size, *options):
    return Case(bench, None, application(bench, *options), name="made", digest="bytes",
                clock="own", size=size)


def cases(quick):
    points, matrix, rows, lines = (2000, 128, 100, 10000) if quick else (100000, 1024, 1000, 10**6)
    return [
        words("english", peers="all"),
        Case("wordcount_sorted", "english", {"stook": [
            "{stook}", "wordcount", "--no-progress", "--workers", "{workers}", "{file}"]}),
        words("english", "--memory-limit", "{quarter}", name="english_quarter", peers="none"),
        words("linux500"),
        Case("wordcount_sorted", "linux500", {"stook": [
            "{stook}", "wordcount", "--no-progress", "--workers", "{workers}", "{file}"]}),
        words("linux500", "--memory-limit", "{quarter}", name="linux500_quarter", peers="none"),
        words("zipf"),
        words("distinct"),
        words("scale", name="scale_1"), words("scale", *["{file}"] * 19, name="scale_20",
                                              peers="none"),
        Case("index", "english", {"stook": stook("index", "{file}"),
                                  "seq": ["@inverted_index", "--sequential", "{file}"]},
             digest="same", slow=("seq",)),
        Case("grep", "english", {"stook": stook("grep", GREP, "{file}"),
                                 "grep": ["grep", "-aE", GREP, "{file}"]}, digest="bytes"),
        Case("top_words", "english", application("top_words", "{file}"), digest="bytes",
             clock="own", slow=("seq",)),
        Case("histogram", "pixels", application("histogram", "{file}"), digest="bytes",
             clock="own", slow=("seq",)),
        Case("linear_regression", "points", application("linear_regression", "{file}"),
             digest="bytes", clock="own", slow=("seq",)),
        Case("string_match", "keys", application("string_match", "{file}"), digest="bytes",
             clock="own", slow=("seq",)),
        computed("kmeans", points * 12, "--points", str(points), "--clusters", "100"),
        computed("matrix_multiply", matrix * matrix * 8, "--size", str(matrix)),
        computed("pca", rows * rows * 4, "--rows", str(rows), "--columns", str(rows)),
        computed("log_analysis", lines * 80, "--lines", str(lines)),
        Case("jobs", "english", {"stook": ["{jobs}", "{workers}", "64", "{file}"]}, digest=None,
             clock="two"),
    ]
