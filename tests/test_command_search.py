#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Behaviour of `stook grep` and `stook index`, and of directories and compressed files as arguments,
beside GNU grep and oracles of a few lines. Called with the path of the binary. Prints TAP."""
import gzip
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

STOOK = os.path.abspath(sys.argv[1])
SEED = int(os.environ.get("STOOK_SEED", str(time.time_ns() % 2**32)), 0)
results = []


def check(name, ok, *what):
    results.append(bool(ok))
    if not ok:
        print("# " + " ".join(repr(word)[:400] for word in what))
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}", flush=True)


def run(*words, stdin=b"", program=(STOOK,)):
    done = subprocess.run([*program, *words], input=stdin, capture_output=True, timeout=120,
                          env={**os.environ, "LC_ALL": "C"}, check=False)
    return done.returncode, done.stdout, done.stderr


def write(name, text):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "wb") as file:
        file.write(text)


def grep(*words, stdin=b""):
    return run(*words, stdin=stdin, program=("grep", "-aE"))


def is_grep(name, *words, stdin=b""):
    """Does stook find, print and answer what grep does?"""
    for workers in "1", "3":
        ours = run("grep", "--workers", workers, *words, stdin=stdin)
        theirs = grep(*words, stdin=stdin)
        check(f"grep: {name}, {workers} workers", ours[:2] == theirs[:2] and not ours[2],
              ours, theirs)


def index_of(texts):
    places = {}
    for name, text in texts:
        for found in re.finditer(rb"[^ \t\n\v\f\r]+", text):
            places.setdefault(found.group(), []).append(b"%s:%d" % (name.encode(), found.start()))
    return b"".join(b"%s\t%s\n" % (word, b",".join(places[word])) for word in sorted(places))


def random_text(chance, lines):
    words = [b"threshing", b"corn", b"sheaf", b"stook", b"a.b", b"", b"\xff\xfe"]
    text = [b" ".join(chance.choices(words, k=chance.randrange(8))) for _ in range(lines)]
    text[lines // 2] += b"x" * 300
    return b"\n".join(text)


def test_grep(texts):
    names = [name for name, _ in texts]
    is_grep("a word", "corn", names[0])
    is_grep("several files", "corn|sheaf", *names)
    is_grep("counts", "-c", "corn", *names)
    is_grep("count of one", "-c", "s.o+k$", names[1])
    for pattern in ("^$", "^corn", "stook$", "a\\.b", "x{300}", "co*rn", "thresh(ing|er)", "(a|b)?",
                    "zzz*", "[^a-z ]", "stook.*corn", "z+*", "z+?", "stookz?+", "x+*$"):
        is_grep(pattern, pattern, *names)
    is_grep("nothing", "nowhere", *names)
    is_grep("nothing to count", "-c", "nowhere", *names)
    is_grep("standard input", "corn", stdin=texts[0][1])
    is_grep("standard input by name", "corn", "-", names[0], stdin=texts[1][1])
    # several splits; few matches, as ThreadSanitizer makes memmem() look at all that is behind
    write("large", b"".join(b"%d sheaves of corn\n" % i if i % 9999 == 0 else b"%d sheaves\n" % i
                            for i in range(250000)))
    is_grep("a large file", "corn", "large")
    is_grep("counts in a large file", "-c", "9 sheaves of corn", "large", names[0])
    is_grep("an expression with a dash", "--", "-x", names[0], stdin=b"")
    write("nul", b"corn\0corn\nno\0ne\n\0corn")
    is_grep("behind a NUL byte", "[n]e$", "nul")
    write("empty", b"")
    is_grep("an empty file", "a", "empty")
    status, out, said = run("grep", "(corn", names[0])
    check("grep: a broken expression is told", status == 2 and not out and b"(corn" in said, said)
    status, out, said = run("grep", "corn", "missing")
    check("grep: a missing file is told", status == 2 and not out and b"missing" in said, said)
    status, out, said = run("grep")
    check("grep: a missing expression is told", status == 2 and not out and said, said)
    status, out, said = run("grep", "--colour", "corn")
    check("grep: an unknown option is told", status == 2 and not out and b"colour" in said, said)
    status, out, _ = run("grep", "--help")
    check("grep: help", status == 0 and out.startswith(b"usage: stook grep"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([STOOK, "grep", "corn", names[0]], stdout=full, check=False,
                              stderr=subprocess.PIPE)
    check("grep: a full disk is told", done.returncode == 2 and b"No space left" in done.stderr)


def test_index(texts):
    names = [name for name, _ in texts]
    expected = index_of(texts)
    for options in (["--workers", "1"], ["--workers", "3"], ["--memory-limit", "8M"]):
        status, out, said = run("index", *options, *names)
        check(f"index: {' '.join(options)}", (status, out, said) == (0, expected, b""), said)
    text = b" one  two one\n\n"
    check("index: standard input", run("index", stdin=text) == (0, index_of([("-", text)]), b""))
    check("index: nothing", run("index", "empty") == (0, b"", b""))
    status, out, said = run("index", "missing")
    check("index: a missing file is told", status == 1 and not out and b"missing" in said, said)
    status, out, said = run("index", "--memory-limit", "1K", names[0])
    check("index: a limit that is too small is told", status == 2 and b"1K" in said, said)
    status, out, _ = run("index", "--help")
    check("index: help", status == 0 and out.startswith(b"usage: stook index"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([STOOK, "index", names[0]], stdout=full, check=False,
                              stderr=subprocess.PIPE)
    check("index: a full disk is told", done.returncode == 1 and b"No space left" in done.stderr)


def test_inputs(texts):
    text = texts[0][1]
    write("tree/b", text)
    write("tree/a/z", texts[1][1])
    write("tree/a/y", b"")
    write("tree/c.gz", gzip.compress(text))
    os.symlink("b", "tree/link")
    walked = [("tree/a/y", b""), ("tree/a/z", texts[1][1]), ("tree/b", text), ("tree/c.gz", text)]
    status, out, said = run("index", "tree")
    check("a directory is walked in byte order", (status, out) == (0, index_of(walked)), said)
    status, out, _ = run("grep", "-c", "corn", "tree")
    lines = [b"%s:%d" % (name.encode(), sum(b"corn" in line for line in one.split(b"\n")))
             for name, one in walked]
    check("grep counts in a directory", out.splitlines() == lines, out, lines)
    plain = run("wordcount", "tree/b", "tree/b")
    check("wordcount reads gzip", run("wordcount", "tree/b", "tree/c.gz") == plain)
    check("wordcount reads gzip from a pipe",
          run("wordcount", "-", "tree/b", stdin=gzip.compress(text)) == plain)
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-q", "tree/b", "-o", "tree/d.zst"], check=True)
        check("wordcount reads zstd", run("wordcount", "tree/b", "tree/d.zst") == plain)
    write("broken.gz", gzip.compress(text)[:-20])
    for command in (["wordcount"], ["grep", "corn"], ["index"]):
        status, out, said = run(*command, "broken.gz")
        check(f"{command[0]}: a broken file is told", status and not out and b"broken.gz" in said,
              status, said)


def main():
    print(f"# STOOK_SEED={SEED}")
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        texts = [("first", random_text(chance, 2000) + b"\n"), ("second", random_text(chance, 300)),
                 ("third", b"corn")]
        for name, text in texts:
            write(name, text)
        write("empty", b"")
        test_grep(texts)
        test_index(texts)
        test_inputs(texts)
        os.chdir("/")
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
