#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that links within the project lead somewhere: check_links.py PROJECT_ROOT"""
import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
findings = []


def prose(path):
    """The text with the code in it blanked out, its lines kept."""
    text = FENCE.sub(lambda match: "\n" * match.group().count("\n"), path.read_text())
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check(root, path):
    text = prose(path)
    for match in LINK.finditer(text):
        target, _, anchor = match.group(1).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (path.parent / target).resolve() if target else path
        line = text.count("\n", 0, match.start()) + 1
        if not file.exists() or not file.is_relative_to(root):
            findings.append(f"{path.relative_to(root)}:{line}: there is no {target}")
        elif anchor and anchor not in anchors(file):
            findings.append(f"{path.relative_to(root)}:{line}: {target} has no heading {anchor}")


def main():
    root = Path(sys.argv[1]).resolve()
    for path in sorted(root.rglob("*.md")):
        if not path.relative_to(root).parts[0].startswith((".", "build")):
            check(root, path)
    print("\n".join(findings))
    sys.exit(1 if findings else 0)


main()
