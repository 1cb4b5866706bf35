#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the texts that the benchmarks read, from Debian packages.

usage: make_corpus.py NAME FILE

  linux     every regular file without a NUL byte of the package linux-source-6.1, in byte order of
            its path, a newline after each: about 1.2 GB
  english   the dictionary of the package dict-gcide six times, about 240 MB; control bytes other
            than tab and newline are spaces, so that every tool has the same white space
"""
import gzip
import os
import subprocess
import sys
import tempfile

LINUX = "/usr/src/linux-source-6.1.tar.xz"
ENGLISH = "/usr/share/dictd/gcide.dict.dz"


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


def main():
    makers = {"linux": linux, "english": english}
    if len(sys.argv) != 3 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    with open(sys.argv[2], "wb") as out:
        makers[sys.argv[1]](out)


main()
