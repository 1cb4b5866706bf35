#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the texts that the benchmarks read, from Debian packages.

usage: make_corpus.py NAME FILE [--quick]

  linux     every regular file without a NUL byte of the package linux-source-6.1, in byte order of
            its path, a newline after each: about 1.2 GB
  linux500  the first 500 MB of that
  english   the dictionary of the package dict-gcide six times, about 240 MB; control bytes other
            than tab and newline are spaces, so that every tool has the same white space
  scale     the first 100 MB of that
  zipf      300 MB of words of a vocabulary of a million, the n-th with a share of 1/n
  distinct  256 MB of words that all differ
  pixels    400 MB, and points, 504 MB: any bytes
  keys      100 MB of words, one a line, some of them those that string_match.c looks for
  --quick   a hundredth of that, at most; without a package
"""
import gzip
import itertools
import os
import random
import subprocess
import sys
import tempfile

LINUX = "/usr/src/linux-source-6.1.tar.xz"
ENGLISH = "/usr/share/dictd/gcide.dict.dz"
KEYS = [b"Helloworld", b"howareyou", b"ferrari", b"whotheman"]  # of string_match.c


def need(path, package):
    if not os.path.exists(path):
        sys.exit(f"make_corpus: {path} is missing: apt-get install {package}")


def files_below(top):
    """Paths of regular files, in byte order of the path relative to top."""
    top = os.fsencode(top)
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append(path)
    return sorted(found, key=lambda path: os.path.relpath(path, top))


def linux(out):
    need(LINUX, "linux-source-6.1")
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(out.name))) as top:
        subprocess.run(["tar", "-xJf", LINUX, "-C", top], check=True)
        for path in files_below(top):
            with open(path, "rb") as file:
                text = file.read()
            if b"\0" not in text:
                out.write(text)
                out.write(b"\n")


def english(out):
    need(ENGLISH, "dict-gcide")
    spaces = bytes(b if b >= 32 or b in b"\t\n" else 32 for b in range(256))
    with gzip.open(ENGLISH, "rb") as file:
        text = file.read().translate(spaces)
    for _ in range(6):
        out.write(text)


def first_of(maker, size):
    """The first bytes of what a maker makes."""
    def make(out):
        with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(out.name))) as whole:
            maker(Named(whole, out.name))
            whole.seek(0)
            while size > out.tell() and (some := whole.read(min(1 << 22, size - out.tell()))):
                out.write(some)
    return make


class Named:
    """A file that is written, under another name."""

    def __init__(self, file, name):
        self.write, self.tell, self.name = file.write, file.tell, name


def letters(number):
    """A word for a number: different for each."""
    word = b""
    while number >= 0:
        number, letter = divmod(number, 26)
        word, number = word + bytes([97 + letter]), number - 1
    return word


def write_words(out, size, words):
    """So many bytes of words, ten in a line."""
    block = []
    for word in words:
        block.append(word)
        if len(block) == 10000:
            out.write(b"\n".join(b" ".join(block[i:i + 10]) for i in range(0, 10000, 10)) + b"\n")
            block.clear()
            if out.tell() >= size:
                return


def zipf(size):
    def words():
        chance = random.Random(1)
        vocabulary = [letters(i) for i in range(10**6 if size > 10**7 else 10**4)]
        weights = list(itertools.accumulate(1 / n for n in range(1, len(vocabulary) + 1)))
        while True:
            yield from chance.choices(vocabulary, cum_weights=weights, k=10000)
    return lambda out: write_words(out, size, words())


def distinct(size):
    # an odd factor makes all of the numbers differ, and their order look like none
    return lambda out: write_words(
        out, size, (b"%08x" % (i * 0x9e3779b1 & 0xffffffff) for i in itertools.count()))


def noise(size):
    def make(out):
        chance = random.Random(2)
        for _ in range(size // 10**6):
            out.write(chance.randbytes(10**6))
    return make


def keys(size):
    def make(out):
        chance = random.Random(3)
        vocabulary = [letters(i) for i in range(5000)] + KEYS
        while out.tell() < size:
            out.write(b"\n".join(chance.choices(vocabulary, k=10000)) + b"\n")
    return make


def main():
    quick = sys.argv[3:] == ["--quick"]
    mega = 10**4 if quick else 10**6
    text = zipf(240 * mega) if quick else english
    makers = {"linux": linux, "linux500": text if quick else first_of(linux, 500 * mega),
              "english": text, "scale": first_of(text, 100 * mega), "zipf": zipf(300 * mega),
              "distinct": distinct(256 * mega), "keys": keys(100 * mega),
              "pixels": noise(399 * 10**6 if not quick else 3 * 10**6),
              "points": noise(504 * 10**6 if not quick else 4 * 10**6)}
    if len(sys.argv) not in (3, 4) or (len(sys.argv) == 4 and not quick) or \
            sys.argv[1] not in makers:
        sys.exit(__doc__)
    with open(sys.argv[2], "wb") as out:
        makers[sys.argv[1]](out)


main()
