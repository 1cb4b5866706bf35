#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the applications of examples/ and compares what they print with what Python makes of the
same data, for 1 and 2 workers and for --sequential. Arguments: the programs. Prints TAP."""
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

WAYS = (["--workers", "1"], ["--workers", "2"], ["--sequential"])
results = []


def check(name, ok):
    results.append(ok)
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}", flush=True)


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=120,
                          env=os.environ | {"LC_ALL": "C"})
    return done.returncode, done.stdout, done.stderr.decode()


def check_output(program, arguments, expected, what, ways=WAYS):
    """expected: lines as text, or bytes."""
    if not isinstance(expected, bytes):
        expected = "".join(line + "\n" for line in expected).encode()
    for way in ways:
        got = run(program, *way, *arguments)
        check(f"{what} {' '.join(way)}", got == (0, expected, ""))
        if got != (0, expected, ""):
            print(f"# got {got[0]} {got[1][:300]!r} {got[2][:300]!r} not {expected[:300]!r}")


def check_fails(program, arguments, status, message, what):
    got = run(program, *arguments)
    ok = got[:2] == (status, b"") and re.search(message, got[2]) is not None
    check(f"{what} is told", ok)
    if not ok:
        print(f"# got {got[0]} {got[1][:300]!r} {got[2][:300]!r}")


def check_usage(program, name, takes_files, *valid):
    """What all of them do with arguments; valid: what is not wrong."""
    status, out, errors = run(program, "--help")
    check(f"{name} --help", (status, errors) == (0, "") and b"--sequential" in out
          and out.startswith(b"usage: " + name.encode()))
    check_fails(program, ["--bogus", *valid], 2, r": unknown option '--bogus'\nusage: ",
                f"{name}: unknown option")
    for number in ("0", "-1", "x", "2x", "", "99999999999999999999"):
        check_fails(program, ["--workers", number, *valid], 2, "whole number",
                    f"{name}: '{number}' workers")
    check_fails(program, ["--workers", "5000", *valid], 2, "more than", f"{name}: too many workers")
    check_fails(program, [*valid, "--workers"], 2, "--workers needs",
                f"{name}: lack of an argument")
    check_fails(program, ["--memory-limit", "1", *valid], 1, "STOOK_INVALID: .*memory_limit",
                f"{name}: little memory")
    if takes_files:
        check_fails(program, valid[:-1], 2, "missing FILE\nusage: ", f"{name}: lack of files")
        check_fails(program, [*valid[:-1], "no/such"], 1, "STOOK_IO: .*no/such.*No such file",
                    f"{name}: missing file")
    else:
        check_fails(program, [*valid, "surplus"], 2, "too many arguments: 'surplus'",
                    f"{name}: surplus argument")
    status, _, errors = run(program, "--time", *valid)
    is_time = re.fullmatch(r"seconds \d+\.\d{6}\n", errors) is not None
    check(f"{name} --time", status == 0 and is_time)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, *valid], stdout=full, stderr=subprocess.DEVNULL)
    check(f"{name}: full disk", done.returncode == 1)


# --- the numbers of files -------------------------------------------------------------------------


def test_histogram(program, folder):
    names = ("red", "green", "blue")
    files = [folder / name for name in ("a.rgb", "b.rgb", "empty")]
    rng = random.Random(1)
    files[0].write_bytes(b"\x1f\x8b\x08" + rng.randbytes(3 * 700_000 - 3))
    files[1].write_bytes(bytes([255, 0, 7]) * 5 + bytes([1, 2, 3]))
    files[2].write_bytes(b"")
    counts = [Counter() for _ in names]
    for file in files:
        pixels = file.read_bytes()
        for channel in range(3):
            counts[channel].update(pixels[channel::3])
    expected = [f"{name} {value} {count[value]}" for name, count in zip(names, counts)
                for value in sorted(count)]
    check_output(program, files, expected, "histogram")
    check_output(program, files[2:], [], "histogram of nothing")
    (folder / "rest").write_bytes(b"12345")
    check_fails(program, [folder / "rest"], 1, "less than a record at the end of .*rest.* 3",
                "histogram: part of a pixel")
    check_usage(program, "histogram", True, files[1])


def line_through(points):
    n, xs, ys = len(points), [p[0] for p in points], [p[1] for p in points]
    x, y = sum(xs), sum(ys)
    xx, yy, xy = (sum(a * b for a, b in zip(*pair)) for pair in ((xs, xs), (ys, ys), (xs, ys)))
    lines = [f"{name} {value}" for name, value in
             (("points", n), ("x", x), ("y", y), ("xx", xx), ("yy", yy), ("xy", xy))]
    spread_x, spread_y, together = n * xx - x * x, n * yy - y * y, n * xy - x * y
    if spread_x:
        slope = together / spread_x
        lines.append(f"y = {slope:.6f} * x + {(y - slope * x) / n:.6f}")
        if spread_y:
            lines.append(f"r2 {together * together / (spread_x * spread_y):.6f}")
    return lines


def test_linear_regression(program, folder):
    rng = random.Random(2)
    near = [(x, min(255, max(0, 20 + x * 3 // 4 + rng.randrange(9)))) for x in
            (rng.randrange(256) for _ in range(600_000))]
    cases = {
        "near a line": near,
        "all the greatest": [(255, 255)] * 100_001,
        "level": [(x, 9) for x in range(100)],
        "nothing": [],
    }
    for name, points in cases.items():
        file = folder / name
        file.write_bytes(bytes(number for point in points for number in point))
        check_output(program, [file], line_through(points), f"linear_regression {name}")
    (folder / "more").write_bytes(bytes([1, 2, 3, 4]))
    check_output(program, [folder / "near a line", folder / "more"],
                 line_through(near + [(1, 2), (3, 4)]), "linear_regression of two files")
    check_usage(program, "linear_regression", True, folder / "level")


# --- numbers that the programs make themselves ----------------------------------------------------


class Numbers:
    """The pseudo-random numbers of app.c, splitmix64."""

    def __init__(self, seed=1):
        self.state = seed

    def next(self, below):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        return (z ^ z >> 31) % below


def clustered(points, clusters, most_iterations):
    numbers = Numbers()
    points = [[numbers.next(1000) for _ in range(3)] for _ in range(points)]
    centres = [[numbers.next(1000) for _ in range(3)] for _ in range(clusters)]
    iterations, moved = 0, True
    while moved and iterations < most_iterations:
        members = [[] for _ in centres]
        for point in points:
            distances = [sum((a - b) ** 2 for a, b in zip(point, centre)) for centre in centres]
            members[distances.index(min(distances))].append(point)
        means = [[sum(axis) // len(own) for axis in zip(*own)] if own else centre
                 for own, centre in zip(members, centres)]
        moved, centres, iterations = means != centres, means, iterations + 1
    return [f"iterations {iterations}"] + [" ".join(map(str, [*centre, len(own)]))
                                           for centre, own in zip(centres, members)]


def test_kmeans(program, folder):
    for points, clusters, most in ((3000, 12, 1000), (20000, 3, 2), (7, 40, 1000), (1, 1, 1)):
        arguments = ["--points", points, "--clusters", clusters, "--iterations", most]
        check_output(program, arguments, clustered(points, clusters, most),
                     f"kmeans of {points} points in {clusters}")
    check_fails(program, ["--points", "x"], 2, "--points: 'x' is not a whole number",
                "kmeans: bad number")
    check_usage(program, "kmeans", False, "--points", "100", "--iterations", "2")


def test_matrix_multiply(program, folder):
    for size in (1, 2, 17, 100):
        numbers = Numbers()
        left = [[numbers.next(100) for _ in range(size)] for _ in range(size)]
        right = [[numbers.next(100) for _ in range(size)] for _ in range(size)]
        columns = list(zip(*right))
        product = [[sum(a * b for a, b in zip(row, column)) for column in columns] for row in left]
        check_output(program, ["--size", size], [
            f"sum {sum(map(sum, product))}",
            f"trace {sum(row[i] for i, row in enumerate(product))}",
            " ".join(["first", *map(str, product[0][:8])]),
        ], f"matrix_multiply of size {size}")
    check_fails(program, ["--size", 1 << 63], 1, "out of memory", "matrix_multiply: huge size")
    check_usage(program, "matrix_multiply", False, "--size", "20")


def test_pca(program, folder):
    for rows, columns in ((1, 2), (40, 30), (2, 40_000), (100, 100)):
        numbers = Numbers()
        matrix = [[numbers.next(1000) for _ in range(columns)] for _ in range(rows)]
        sums = [sum(row) for row in matrix]
        covariances = [[columns * sum(x * y for x, y in zip(matrix[i], matrix[j]))
                        - sums[i] * sums[j] for j in range(i, rows)] for i in range(rows)]
        first = [total / float(columns * (columns - 1)) for total in covariances[0][:5]]
        check_output(program, ["--rows", rows, "--columns", columns], [
            " ".join(["means", *(f"{total / columns:.6f}" for total in sums[:5])]),
            " ".join(["covariances", *(f"{number:.6f}" for number in first)]),
            f"covariances in all {sum(map(sum, covariances)) % (1 << 64)}",
        ], f"pca of {rows} rows and {columns} columns")
    check_fails(program, ["--columns", 1], 2, "need 2 at least", "pca: one column")
    check_usage(program, "pca", False, "--rows", "20")


# --- texts ----------------------------------------------------------------------------------------


def make_text(folder, name, size, seed, vocabulary):
    """Words of the vocabulary, between white space of all kinds."""
    rng = random.Random(seed)
    spaces = (b" ", b" ", b" \t", b"\n", b"\r\n", b"\v\f")
    text = b"".join(rng.choice(vocabulary) + rng.choice(spaces) for _ in range(size))
    (folder / name).write_bytes(text)
    return text


def test_string_match(program, folder):
    keys = [b"Helloworld", b"howareyou", b"ferrari", b"whotheman"]
    near = [b"helloworld", b"howareyou?", b"ferrar", b"ferrari\0", b"x" * 32, b"y" * 33, b"z" * 999]
    words = make_text(folder, "words", 100_000, 3, keys + near).split()
    check_output(program, [folder / "words"],
                 [f"{key.decode()} {words.count(key)}" for key in keys], "string_match")
    (folder / "tail").write_bytes(b"Helloworld\nferrari")
    (folder / "none").write_bytes(b"")
    check_output(program, [folder / "tail", folder / "none"],
                 ["Helloworld 1", "howareyou 0", "ferrari 1", "whotheman 0"],
                 "string_match of two files")
    check_usage(program, "string_match", True, folder / "tail")


VOCABULARY = [b"a", b"the", b"stook", b"Stook", b"\xc3\xa4\xff", b"sixteen.letters.", b"w" * 40,
              b"0", *(b"word%d" % i for i in range(3000))]


def test_inverted_index(program, folder):
    texts = {folder / name: make_text(folder, name, size, size, VOCABULARY)
             for name, size in (("large", 150_000), ("small", 1000), ("one", 1), ("none", 0))}
    places = {}
    for file, text in texts.items():
        for match in re.finditer(rb"[^ \t\n\v\f\r]+", text):
            places.setdefault(match.group(), []).append(b"%s:%d" % (bytes(file), match.start()))
    expected = b"".join(word + b"\t" + b" ".join(where) + b"\n" for word, where in
                        sorted(places.items()))
    check_output(program, texts, expected, "inverted_index")
    check_output(program, ["--count", *texts], [str(len(places))], "inverted_index --count")
    check_output(program, ["--memory-limit", 8 << 20, *texts], expected,
                 "inverted_index within 8 MB", WAYS[:2])
    (folder / "tail").write_bytes(b"b a b")
    check_output(program, [folder / "tail"],
                 [f"a\t{folder}/tail:2", f"b\t{folder}/tail:0 {folder}/tail:4"],
                 "inverted_index of three words")
    check_usage(program, "inverted_index", True, folder / "tail")


def test_distributed_grep(program, folder):
    files = [folder / name for name in ("large", "small", "none")]
    make_text(folder, "large", 200_000, 4, VOCABULARY)
    (folder / "small").write_bytes(b"\nthe word1\r\nstook\n\nno newline: word12 the")
    (folder / "none").write_bytes(b"")

    def grep(*arguments):
        return subprocess.run(["grep", "-a", "-E", *arguments], capture_output=True,
                              env=os.environ | {"LC_ALL": "C"}).stdout

    for pattern in ("the", "no such word", "word1[12] ", "^(a|stook) ", "", "$", "word12 the$",
                    "\xff", "a.c|word(7|8)+", "newline"):
        check_output(program, ["--pattern", pattern, *files], grep("-e", pattern, *files),
                     f"distributed_grep '{pattern}'")
        check_output(program, ["--count", "--pattern", pattern, *files],
                     grep("-c", "-e", pattern, *files), f"distributed_grep --count '{pattern}'")
    check_output(program, ["--pattern", "the", files[1]], grep("the", files[1]),
                 "distributed_grep in one file")
    check_fails(program, ["--pattern", "a(", files[1]], 2, r"--pattern: .*: 'a\('",
                "distributed_grep: bad expression")
    check_fails(program, [files[1]], 2, "missing --pattern",
                "distributed_grep: lack of an expression")
    check_usage(program, "distributed_grep", True, "--pattern", "e", files[1])


def counted_words(program, folder):
    texts = [make_text(folder, name, size, size, VOCABULARY)
             for name, size in (("large", 150_000), ("small", 1000), ("none", 0))]
    return [folder / name for name in ("large", "small", "none")], Counter(b" ".join(texts).split())


def count_lines(pairs):
    return b"".join(b"%s\t%d\n" % pair for pair in pairs)


def test_word_count(program, folder):
    files, counts = counted_words(program, folder)
    check_output(program, files, count_lines(sorted(counts.items())), "word_count")
    check_output(program, ["--count", *files], [str(len(counts))], "word_count --count")
    check_output(program, ["--memory-limit", 8 << 20, *files], count_lines(sorted(counts.items())),
                 "word_count within 8 MB")
    check_output(program, files[2:], b"", "word_count of nothing")
    check_usage(program, "word_count", True, files[1])


def test_top_words(program, folder):
    files, counts = counted_words(program, folder)
    by_count = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    for top in (1, 10, 1000, 10 ** 6):
        check_output(program, ["--top", top, *files], count_lines(by_count[:top]),
                     f"top_words {top}")
    check_output(program, files, count_lines(by_count[:10]), "top_words")
    check_fails(program, ["--top", "0", files[1]], 2, "--top: '0' is not", "top_words: none")
    check_usage(program, "top_words", True, files[1])


def by_country(users, *logs):
    countries = dict(line.split() for line in users.splitlines())
    sums = {}
    for line in b"".join(logs).splitlines():
        _, user, _, _, status, size = line.split()
        record = sums.setdefault(countries.get(user, b"-").decode(), [set(), 0, 0, 0])
        record[0].add(user)
        record[1] += 1
        record[2] += int(status) >= 400
        record[3] += int(size)
    return [f"{country} {len(names)} {requests} {errors} {size}" for
            country, (names, requests, errors, size) in sorted(sums.items())]


def test_log_analysis(program, folder):
    made = ["--lines", "30000", "--users", "20000"]
    check("log_analysis --write", run(program, *made, "--write", folder) == (0, b"", ""))
    files = [folder / "users", folder / "log"]
    texts = [file.read_bytes() for file in files]
    check("log_analysis: as many lines", texts[1].count(b"\n") == 30000)
    expected = by_country(*texts)
    check_output(program, made, expected, "log_analysis of its own log")
    check_output(program, files, expected, "log_analysis of files")
    check_output(program, [*files, files[1]], by_country(*texts, texts[1]),
                 "log_analysis of two logs")
    (folder / "bad").write_bytes(b"1.2.3.4 user1 0 / 200 9\n1.2.3.4 user1 0 / 200\n")
    (folder / "long").write_bytes(b"user1 DE\nuser2 Germany_\n")
    (folder / "empty").write_bytes(b"")
    check_output(program, [folder / "empty", folder / "empty"], [], "log_analysis of nothing")
    check_fails(program, [files[0], folder / "bad"], 1,
                "STOOK_TASK_FAILED: .* at offset 24 of .*bad", "log_analysis: bad line")
    (folder / "surplus").write_bytes(b"user1 DE\nuser2 DE FR\n")
    check_fails(program, [folder / "surplus", files[1]], 1, "at offset 9 of .*surplus",
                "log_analysis: surplus field")
    check_fails(program, [folder / "long", files[1]], 1, "at offset 9 of .*long",
                "log_analysis: long country")
    check_fails(program, files[:1], 2, "missing FILE", "log_analysis: one file")
    check_fails(program, [*made, "--write", folder / "no"], 1,
                "cannot write .*no/users: No such file", "log_analysis: missing directory")
    check_fails(program, ["--write", folder], 2, "--write needs --lines", "log_analysis: no lines")
    check_fails(program, [*made, "file"], 2, "too many", "log_analysis: both")
    check_usage(program, "log_analysis", True, files[0], files[1])


def main():
    for program in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            globals()["test_" + os.path.basename(program)](os.path.abspath(program), Path(folder))
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
