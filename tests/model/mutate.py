#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Weakens the memory orders of lib/, one at a time, and tells which model notices.

    mutate.py [--include FOLDER]... [--quick] [-j N] [MUTANT or LABEL or PREFIX...]
    mutate.py --wrap

A mutant is a label of the ledger in lib/README.md and what is left of its order: DQ.take/none has
no fence, FU.finish/acq is a read-modify-write that does not release. Each is tried with the
programs that PROGRAMS names for it, until one fails. --quick: those in KNOWN, with the model that
sees them; it is an error if it does not. FOLDER: where config.h and stook/version.h are. --wrap
prints the linker's options. Nothing in the tree is changed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIB = ROOT / "lib"
CHECKER = ["explorer", "model_memory", "model_order", "model_system", "model_tsan"]

PROGRAMS = {
    "AC": ["model_group"],
    "BD": ["model_tied"],
    "BL": ["model_tied"],
    "CT": ["model_group", "model_tied"],
    "DQ": ["model_deque"],
    "EV": ["model_future"],
    "EX": ["model_shutdown", "model_tied"],
    "FJ": ["model_fork_join"],
    "FN": ["model_deque", "model_park"],
    "FU": ["model_future", "model_worker", "model_tied", "model_park"],
    "IB": ["model_inbox"],
    "IJ": ["model_inbox", "model_shutdown"],
    "LN": ["model_fork_join"],
    "PK": ["model_park", "model_shutdown"],
    "SL": ["model_park", "model_shutdown"],
    "ST": ["model_worker"],
    "TK": ["model_tied"],
    "TM": ["model_tied"],
    "WH": ["model_group"],
    "WS": ["model_group"],
}

# seen within moments: mutant -> program and model
KNOWN = {
    "AC.pushed/none": "model_group:each",
    "AC.push/rlx": "model_group:each",
    "BL.ring/rlx": "model_tied:told",
    "DQ.announce/none": "model_deque:full_fences",
    "DQ.enter/none": "model_deque:counted",
    "DQ.grow/rlx": "model_deque:grow",
    "DQ.lower/rlx": "model_deque:publish",
    "DQ.publish/rlx": "model_deque:grow",
    "DQ.ring/rlx": "model_deque:grow",
    "DQ.steal/rlx": "model_deque:publish",
    "DQ.take/none": "model_deque:race",
    "DQ.thief/none": "model_deque:race",
    "DQ.thieves/rlx": "model_deque:counted",
    "FJ.done/rlx": "model_fork_join:stolen",
    "FU.both/rlx": "model_worker:look",
    "FU.finish/rel": "model_future:rest",
    "FU.lone/rlx": "model_worker:leave",
    "FU.still/rlx": "model_worker:own",
    "FU.unlock/rlx": "model_future:claim",
    "FU.unref/rel": "model_future:wait",
    "IB.join/rlx": "model_inbox:pop",
    "IB.last/acq": "model_inbox:pop",
    "IB.link/rlx": "model_inbox:pop",
    "IB.look/rlx": "model_inbox:nowhere",
    "IB.post/acq": "model_inbox:pop",
    "LN.leap/rlx": "model_fork_join:unrelated",
    "LN.who/rlx": "model_fork_join:two",
    "PK.grow/none": "model_park:grow",
    "SL.leave/rlx": "model_park:submitters",
    "ST.shared/rlx": "model_worker:cancelled",
    "TK.look/rlx": "model_tied:flag",
    "TK.unref/rel": "model_tied:token",
    "TM.tell/rlx": "model_tied:told",
    "WH.part/rel": "model_group:when_all",
    "WS.gone/rlx": "model_group:any",
}

# of the sources that use a header, those that matter to a program; others: all
NEEDS = {"model_deque": {"deque", "model_deque"}}

REACH = 3  # as in check_order.py
LABEL = re.compile(r"/\*\s*order\s+([A-Z]+\.[a-z0-9_]+)\s+(\w+)(?:(?!\*/).)*\*/", re.S)
CALL = re.compile(r"\ba_(?:\w+_(rlx|acq|rel|acqrel|sc)|fence_light|fence_heavy)\(")
LESS = {"acq": ["rlx"], "rel": ["rlx"], "acqrel": ["acq", "rel"], "sc": ["acqrel", "rlx"]}
MORE_WRAPPERS = """
#define a_fence_none() ((void)0)
#define a_sub_acq(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acquire)
#define a_sub_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define a_xchg_rlx(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
"""


def wrap_options():
    names = re.findall(r"\b__wrap_(\w+)\(", (HERE / "model_system.c").read_text())
    return "-Wl," + ",".join(f"--wrap={name}" for name in names)


def without_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def find_mutants():
    """Gives {mutant: [(path, line, call, weaker call)]}."""
    found = {}
    for path in sorted(LIB.glob("*.[ch]")):
        text = path.read_text()
        labels = [(m[1], m[2], text.count("\n", 0, m.end())) for m in LABEL.finditer(text)]
        for number, line in enumerate(without_comments(text).split("\n")):
            if line.startswith("#define"):
                continue
            for call in CALL.finditer(line):
                near = [
                    (label, order)
                    for label, order, last in labels
                    if number - REACH <= last <= number and call[1] in (None, order)
                ]
                if not near or near[-1][1] == "rlx":
                    continue
                label, order = near[-1]
                is_fence = call[0].startswith("a_fence")
                for left in ["none"] if is_fence else LESS[order]:
                    start = call[0][: -len(order) - 1]
                    weaker = "a_fence_none(" if is_fence else f"{start}{left}("
                    found.setdefault(f"{label}/{left}", []).append((path, number, call[0], weaker))
    return found


class Builder:
    def __init__(self, includes):
        self.folder = Path(tempfile.mkdtemp(prefix="stook-model-"))
        self.includes = includes
        self.compiler = os.environ.get("CC", "gcc").split()
        programs = (p for p in HERE.glob("model_*.c") if "int main(" in p.read_text())
        self.programs = sorted(path.stem for path in programs)
        self.sources = sorted(p for p in LIB.glob("*.c") if p.stem != "platform_portable")

    def run(self, *command):
        command = [str(word) for word in command]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(" ".join(command) + "\n" + done.stdout)

    def compile(self, source, out, lib, is_checked):
        flags = ["-std=gnu11", "-O3", "-g", "-w", "-fno-pie", "-MMD"]
        flags += ["-UNDEBUG", "-U_FORTIFY_SOURCE"]
        if is_checked:
            flags += ["-fsanitize=thread", "-include", HERE / "model_config.h"]
        folders = [HERE, lib, ROOT / "include", *self.includes]
        flags += [f"-I{folder}" for folder in folders]
        self.run(*self.compiler, *flags, "-c", source, "-o", out)

    def build_all(self, workers):
        jobs = [(HERE / f"{name}.c", False) for name in CHECKER]
        jobs += [(HERE / f"{name}.c", True) for name in self.programs]
        jobs += [(path, True) for path in self.sources]

        def build(job):
            self.compile(job[0], self.folder / f"{job[0].stem}.o", LIB, job[1])

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(build, jobs))

    def link(self, program, folder, fresh):
        """`fresh`: the objects that are in that folder."""
        names = CHECKER + [program] + [path.stem for path in self.sources]
        objects = [(folder if name in fresh else self.folder) / f"{name}.o" for name in names]
        self.run(*self.compiler, "-no-pie", *objects, wrap_options(), "-o", folder / program)

    def make(self, mutant, places, programs):
        """Gives the folder with the objects that differ, and their names."""
        folder = self.folder / mutant.replace("/", "-")
        lib = folder / "lib"
        lib.mkdir(parents=True)
        for path in LIB.glob("*.h"):
            text = path.read_text()
            if path.name == "atomics.h":
                text = text.replace("\n#endif", MORE_WRAPPERS + "\n#endif", 1)
            (lib / path.name).write_text(text)
        changed = set()
        for path in {place[0] for place in places}:
            lines = path.read_text().split("\n")
            for _, number, call, weaker in (p for p in places if p[0] == path):
                lines[number] = lines[number].replace(call, weaker, 1)
            (lib / path.name).write_text("\n".join(lines))
            if path.suffix == ".c":
                changed.add(path.stem)
            else:
                depends = self.folder.glob("*.d")
                changed |= {d.stem for d in depends if f"/{path.name}" in d.read_text()}
        needs = [NEEDS.get(program.split(":")[0]) for program in programs]
        if all(needs):
            changed &= set.union(*needs)
        changed -= {"platform_portable"}
        for name in changed:
            # a source finds the headers beside it first: it must be in the copy
            copy = lib / f"{name}.c"
            if not copy.exists():
                path = next(p / copy.name for p in (LIB, HERE) if (p / copy.name).exists())
                copy.write_text(path.read_text())
            self.compile(copy, folder / f"{name}.o", lib, True)
        return folder, changed


def try_mutant(builder, mutant, places, programs):
    """Gives (what sees it or None, seconds)."""
    folder, changed = builder.make(mutant, places, programs)
    start = time.time()
    for program in programs:
        name, *models = program.split(":")
        builder.link(name, folder, changed)
        start = time.time()
        done = subprocess.run(
            [folder / name, *models], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        (folder / f"{name}.log").write_text(done.stdout)
        if done.returncode == 1:
            last = done.stdout.strip().split("\n")[-2:]
            return f"{name} {': '.join(last[0].split(': ')[:3])}", time.time() - start
        if done.returncode != 0:
            return f"{name} ended with {done.returncode}", time.time() - start
    return None, time.time() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--wrap", action="store_true")
    parser.add_argument("-j", type=int, default=1)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.wrap:
        print(wrap_options())
        return

    mutants = find_mutants()
    names = args.names or (list(KNOWN) if args.quick else list(mutants))
    wanted = [m for m in mutants if any(m == n or m.startswith((n + "/", n + ".")) for n in names)]
    builder = Builder([Path(folder).resolve() for folder in args.include])
    builder.build_all(args.j)

    def one(mutant):
        programs = PROGRAMS.get(mutant.split(".")[0], [])
        if args.program:
            programs = args.program
        elif args.quick:
            programs = [KNOWN[mutant]]
        seen, seconds = try_mutant(builder, mutant, mutants[mutant], programs)
        print(f"{mutant}: {seen or 'not seen'} ({seconds:.1f} s)", flush=True)
        return seen is not None

    with ThreadPoolExecutor(args.j) as pool:
        results = list(pool.map(one, wanted))
    shutil.rmtree(builder.folder)
    print(f"{sum(results)} of {len(results)} mutants are seen")
    if args.quick and (not all(results) or len(results) < len(KNOWN)):
        sys.exit(1)


if __name__ == "__main__":
    main()
