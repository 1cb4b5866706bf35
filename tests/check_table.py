#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every public function stands in the table of failures of tests/README.md, and no other does."""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
declared = set()
for header in sorted((root / "include" / "stook").glob("*.h")):
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    for declaration in re.findall(r"^STOOK_API\b[^;]*;", text, flags=re.MULTILINE):
        name = re.search(r"\b((?:stook|mr)_\w+)\(", declaration).group(1)
        if not name.startswith("stook__"):
            declared.add(name)
section = (root / "tests" / "README.md").read_text().split("## What can fail", 1)[1].split("\n## ")[0]
named = set(re.findall(r"`((?:stook|mr)_\w+)`", section))
findings = [f"{name} is not in the table" for name in sorted(declared - named)]
findings += [f"{name} is no public function" for name in sorted(named - declared)]
print("\n".join(findings + [f"{len(declared)} functions, {len(findings)} findings"]))
sys.exit(1 if findings or not declared else 0)
