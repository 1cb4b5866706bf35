#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every atomic operation says why it has its order.

    check_order.py PROJECT_ROOT

In each folder below, the wrappers of <stdatomic.h> are in one file, and each call of a wrapper bears
a label, which ends at most REACH lines above it:

    /* order DQ.publish rel -> DQ.take, DQ.steal: slot[b] is written before bottom shows it */
    /* order ST.ran rlx: statistic; no decision reads it */

An order other than rlx names its partners: `->` whom it releases to, `<-` whom it acquires from,
`<->` the other side of a store-load pair. The table "| label | order | pairs with | prevents |" in
the folder's README.md has a row for each label, which says the same.
"""
import re
import sys
from pathlib import Path

# folder, the file with the wrappers, their prefix
FOLDERS = [("lib", "atomics.h", "a_"), ("mapreduce", "mr_platform.h", "mr_a_")]
REACH = 3
ORDERS = {"rlx", "acq", "rel", "acqrel", "sc"}
# what the partner behind an arrow may be
PARTNER_ORDERS = {
    "->": {"acq", "acqrel", "sc"},
    "<-": {"rel", "acqrel", "sc"},
    "<->": {"sc"},
}
ARROWS_OF = {
    "rlx": set(),
    "acq": {"<-"},
    "rel": {"->"},
    "acqrel": {"->", "<-"},
    "sc": {"->", "<-", "<->"},
}

NAME = r"[A-Z]+\.[a-z0-9_]+"
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
LABEL = re.compile(rf"order\s+({NAME})\s+(\w+)\s*([^:]*):\s*(.*)", re.S)
ARROW = re.compile(rf"(<->|->|<-)\s*({NAME}(?:\s*,\s*{NAME})*)")

findings = []


def find(path, line, message):
    findings.append(f"{path}:{line}: {message}")


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Label:
    def __init__(self, path, first, last, match):
        self.path, self.line, self.last = path, first, last
        self.name, self.order, partners, self.reason = match.groups()
        self.partners = []
        for arrow, names in ARROW.findall(partners):
            self.partners += [(arrow, name) for name in re.findall(NAME, names)]
        rest = ARROW.sub("", partners).strip(" \n*,;")
        if rest:
            find(path, first, f"{self.name}: cannot read '{rest}' between the order and the colon")

    def check(self, orders):
        def complain(message):
            find(self.path, self.line, f"{self.name}: {message}")

        if self.order not in ORDERS:
            complain(f"'{self.order}' is no order")
            return
        if not self.reason.strip(" \n*"):
            complain("gives no reason")
        if self.order != "rlx" and not self.partners:
            complain(f"{self.order} needs a partner")
        for arrow, name in self.partners:
            if arrow not in ARROWS_OF[self.order]:
                complain(f"an {self.order} operation has no '{arrow}'")
            if name not in orders:
                complain(f"its partner {name} does not exist")
            elif not orders[name] & PARTNER_ORDERS[arrow]:
                complain(f"'{arrow} {name}', but that is {', '.join(sorted(orders[name]))}")


def read_source(path, text, prefix):
    """Gives the labels of a file, and complains about its calls."""
    labels = []
    code = list(text)
    for match in COMMENT_OR_TEXT.finditer(text):
        for i in range(*match.span()):
            if code[i] != "\n":
                code[i] = " "
        label = LABEL.match(match.group()[2:-2].strip())
        if match.group().startswith("/*") and label:
            first, last = line_of(text, match.start()), line_of(text, match.end())
            labels.append(Label(path, first, last, label))
        elif re.match(r"/\*\s*order\s+[A-Z]+\.", match.group()):
            find(path, line_of(text, match.start()), "a label without a colon and a reason")
    code = "".join(code)

    for match in re.finditer(r"\bmemory_order\w*|\bvolatile\b(?! sig_atomic_t)|\batomic_\w+(?=\s*\()", code):
        if not match.group().startswith("atomic_init"):
            find(path, line_of(code, match.start()), f"'{match.group()}' outside of the wrappers")

    used = set()
    for match in re.finditer(rf"(?<!#define )\b{prefix}(\w+)\s*\(", code):
        line, operation = line_of(code, match.start()), match.group(1)
        if operation == "init":
            continue
        near = [label for label in labels if line - REACH <= label.last <= line]
        order = operation.rsplit("_", 1)[-1]
        if order in ORDERS:
            near = [label for label in near if label.order == order]
        if not near:
            find(path, line, f"{prefix}{operation} has no label of its order at most {REACH} lines above")
        used.update(near)
    for label in labels:
        if label not in used:
            find(path, label.line, f"{label.name} labels nothing")
    return labels


def read_ledger(path):
    """Gives {label: (line, orders, partners)} from the table."""
    rows = {}
    inside = False
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        cells = [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        if cells[:3] == ["label", "order", "pairs with"]:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and re.fullmatch(NAME, cells[0]) and len(cells) == 4:
            if cells[0] in rows:
                find(path, number, f"{cells[0]} has a row already, in line {rows[cells[0]][0]}")
            rows[cells[0]] = (
                number,
                set(re.findall(r"\w+", cells[1])),
                set(re.findall(NAME, cells[2])),
            )
        elif inside and not re.fullmatch(r"[-:]+", cells[0]):
            find(path, number, "cannot read this row")
    return rows


def check_folder(root, folder, wrappers, prefix):
    labels = []
    for path in sorted((root / folder).rglob("*.[ch]")):
        if path.name != wrappers:
            labels += read_source(path.relative_to(root), path.read_text(), prefix)
    orders, partners = {}, {}
    for label in labels:
        orders.setdefault(label.name, set()).add(label.order)
        partners.setdefault(label.name, set()).update(name for _, name in label.partners)
    for label in labels:
        label.check(orders)

    ledger = root / folder / "README.md"
    rows = read_ledger(ledger)
    for label in {label.name: label for label in reversed(labels)}.values():
        if label.name not in rows:
            find(label.path, label.line, f"{label.name} is not in {folder}/README.md")
    for name, (number, row_orders, row_partners) in rows.items():
        where = (ledger.relative_to(root), number)
        if name not in orders:
            find(*where, f"{name} labels nothing in {folder}/")
            continue
        if row_orders != orders[name]:
            find(*where, f"{name} is {', '.join(sorted(orders[name]))} in the code")
        if row_partners != partners[name]:
            in_code = ", ".join(sorted(partners[name])) or "nothing"
            find(*where, f"{name} pairs with {in_code} in the code")
    return len(labels)


def main():
    root = Path(sys.argv[1]).resolve()
    count = sum(check_folder(root, *folder) for folder in FOLDERS)
    for finding in findings:
        print(finding)
    print(f"{count} labels, {len(findings)} findings")
    sys.exit(1 if findings or count == 0 else 0)


main()
