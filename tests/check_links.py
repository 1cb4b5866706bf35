#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that links within the project lead somewhere, and that the tests that are named exist:

    check_links.py PROJECT_ROOT
"""
import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
NAMED = re.compile(r"`((?:test|stress|model)_\w+\.\w+)`(?:: (`\w+`(?:, `\w+`)*))?")
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


def check_tests(root, path):
    """Tests are named as `FILE`, or as `FILE`: `NAME`, `NAME`."""
    text = path.read_text()
    for match in NAMED.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        file = next((root / "tests").rglob(match.group(1)), None)
        if not file:
            findings.append(f"{path.relative_to(root)}:{line}: there is no {match.group(1)}")
            continue
        for name in re.findall(r"\w+", match.group(2) or ""):
            if not re.search(rf"\b{name}\b", file.read_text()):
                findings.append(f"{path.relative_to(root)}:{line}: {file.name} has no {name}")


def main():
    root = Path(sys.argv[1]).resolve()
    for path in sorted(root.rglob("*.md")):
        if not path.relative_to(root).parts[0].startswith((".", "build")):
            check(root, path)
            check_tests(root, path)
    print("\n".join(findings))
    sys.exit(1 if findings else 0)


main()
