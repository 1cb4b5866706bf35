#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles and runs the programs in a document.

    readme_snippets.py DOCUMENT COMPILER... -- FLAGS_AND_LIBRARIES...

A program is a fence of ```c below a line `<!-- compile -->`. If the next fence is below a line
`<!-- output -->`, the program must print exactly that.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FENCE = re.compile(r"<!-- (compile|output) -->\n```\w*\n(.*?)^```$", re.S | re.M)


def run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def failure(source, output, compiler, link):
    """What is wrong with a program, or None."""
    with tempfile.TemporaryDirectory() as folder:
        path, program = Path(folder, "snippet.c"), Path(folder, "snippet")
        path.write_text(source)
        warnings = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        build = run([*compiler, *warnings, str(path), "-o", str(program), *link])
        if build.returncode:
            return build.stderr
        ran = run([str(program)])
        if ran.returncode:
            return f"exit status {ran.returncode}\n{ran.stderr}"
        if output is not None and ran.stdout != output:
            return f"it printed:\n{ran.stdout}"
    return None


def main():
    document, rest = Path(sys.argv[1]), sys.argv[2:]
    compiler, link = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    fences = FENCE.findall(document.read_text())
    programs = []
    for kind, text in fences:
        if kind == "compile":
            programs.append([text, None])
        elif programs:
            programs[-1][1] = text
    print(f"TAP version 13\n1..{len(programs)}")
    failed = 0
    for number, (source, output) in enumerate(programs, 1):
        message = failure(source, output, compiler, link)
        if message:
            print(message, file=sys.stderr)
            failed += 1
        print(f"{'not ' if message else ''}ok {number} - program {number} of {document.name}")
    if not programs:
        sys.exit(f"{document.name} has no program")
    sys.exit(1 if failed else 0)


main()
