#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Corpora of the harnesses: a file for each, a line in hexadecimal for each input.

    corpus.py unpack NAME.hex DIRECTORY    writes a file for each input, as libFuzzer wants them
    corpus.py add NAME.hex FILE...         appends inputs that are not there yet
"""

import hashlib
import pathlib
import sys


def inputs(path):
    lines = pathlib.Path(path).read_text().split("\n")[:-1]
    return [bytes.fromhex(line) for line in lines if not line.startswith("#")]


def unpack(path, directory):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for data in inputs(path):
        (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)


def add(path, *names):
    known = set(inputs(path))
    with open(path, "a") as out:
        for data in sorted({pathlib.Path(name).read_bytes() for name in names} - known):
            out.write(data.hex() + "\n")


if __name__ == "__main__":
    {"unpack": unpack, "add": add}[sys.argv[1]](*sys.argv[2:])
