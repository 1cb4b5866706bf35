# SPDX-License-Identifier: MIT
"""What executor.py measures, and who cannot do what."""

IMPLS = ("stook", "tbb", "gomp", "libomp", "glib", "java", "go", "seq")

# Most peers take a hundred times longer for a task: where a size is a pair, the second is for all of
# them. What they find is compared among them, and stook's with seq's.
OURS = ("stook", "seq")

KIND = {run: kind for kind, runs in {
    "fork": ("fib", "nqueens", "uts", "skynet", "matmul"),
    "future": ("future_fib",),
    "outside": ("single", "two_producers", "pending", "handoff", "parked", "storm"),
    "bulk": ("bulk", "two_producers_bulk"),
    "ping": ("ping",),
    "sum": ("sum",),
    "sort": ("sort",),
    "idle": ("idle",),
}.items() for run in runs}

BLOCKS = "a worker that waits blocks its thread"
NO_BULK = "no bulk submission"
NO_FUTURES = "no futures"
OPENMP = {"future": NO_FUTURES, "outside": "no way in for tasks from outside a team",
          "bulk": "no way in for tasks from outside a team", "sort": "no sort"}
LACKS = {
    "tbb": {"future": NO_FUTURES, "bulk": NO_BULK},
    "gomp": OPENMP,
    "libomp": OPENMP,
    "glib": {"fork": BLOCKS, "future": BLOCKS, "ping": BLOCKS, "bulk": NO_BULK, "sum": "no loops",
             "sort": "no parallel sort"},
    "go": {"bulk": NO_BULK, "sort": "no parallel sort"},
}


class Case:
    """full, quick: the size for all, or a pair, for OURS and for the others.
    run: the case's name for the programs. program: which one of Stook's. runs: at least."""

    def __init__(self, bench, name, unit, full, quick, *, run=None, program="stook", runs=None,
                 workers=None, has_seq=False, is_long=False, only=IMPLS):
        self.bench, self.name, self.unit = bench, name, unit
        self.full, self.quick = full, quick
        self.run = run or name
        self.program, self.runs = program, runs
        self.wanted_workers, self.has_seq, self.is_long, self.only = workers, has_seq, is_long, only
        # computes all the time, so that its CPU time tells which cores it had
        self.is_busy = KIND[self.run] in ("fork", "future", "sum", "sort")

    def size(self, impl, quick):
        sizes = self.quick if quick else self.full
        if isinstance(sizes, int):
            return sizes
        return sizes[impl not in OURS]

    def workers(self, cores):
        return self.wanted_workers(cores) if self.wanted_workers else sorted({1, 2, cores})

    def run_by(self, impl):
        return self.name if impl == "seq" else self.run

    def slower(self, value, other):
        """How many times slower, or larger, the value is than the other."""
        if self.unit == "MB/s":
            value, other = other, value
        return value / other if other else float("inf")


def lacks(impl, case):
    """Why the impl cannot do the case; or None."""
    return LACKS.get(impl, {}).get(KIND[case.run])


def most(cores):
    return [max(2, cores)]


def crowds(cores):
    return sorted({max(2, cores), 8, 64})


def trees(**differs):
    return [
        Case("fork_join", "fib", "ns/task", (36, 28), (30, 21), **differs),
        Case("fork_join", "nqueens", "ns/task", (13, 11), (11, 9), **differs),
        Case("fork_join", "uts", "ns/task", (10, 7), (8, 5), **differs),
        Case("fork_join", "skynet", "ns/task", 6, (6, 4), **differs),
        Case("fork_join", "matmul", "ns/task", 512, 128, **differs),
    ]


def called(case):
    """The sequential form with real calls, which only seq has."""
    return Case("fork_join", case.name + "_call", case.unit, case.full, case.quick, run=case.run,
                workers=lambda cores: [1], has_seq=True, only=("seq",))


def growth(power):
    return [
        Case("growth", f"single_1e{power}", "ns/task", 10**power, 10**power, run="single",
             runs=2, workers=most, is_long=power > 5, only=of_growth(power)),
        Case("growth", f"pending_1e{power}", "bytes/task", 10**power, 10**power, run="pending",
             workers=lambda cores: [1], is_long=power > 5, only=of_growth(power)),
        Case("growth", f"skynet_1e{power}", "ns/task", power, power, run="skynet", runs=2,
             workers=most, is_long=power > 5, only=of_growth(power)),
    ]


def of_growth(power):
    """Ten million tasks take others minutes, and gigabytes."""
    return IMPLS if power < 7 else ("stook",)


FORK_JOIN = trees(has_seq=True)

CASES = [
    *FORK_JOIN,
    *(called(case) for case in FORK_JOIN),
    Case("fork_join", "fib_shared", "ns/task", 36, 28, run="fib", program="stook_shared",
         only=("stook",)),
    Case("future", "fib", "ns/task", (30, 25), (24, 20), run="future_fib",
         program="stook_shared"),
    Case("submit", "single", "ns/task", 500_000, 50_000),
    Case("submit", "bulk", "ns/task", 500_000, 50_000),
    Case("submit", "two_producers", "ns/task", 500_000, 50_000),
    Case("submit", "two_producers_bulk", "ns/task", 500_000, 50_000),
    Case("submit", "pending", "bytes/task", 1_000_000, 100_000),
    Case("latency", "ping", "us", 5000, 500),
    Case("latency", "handoff", "us", 20_000, 1000, has_seq=True),
    Case("latency", "parked", "us", 300, 50, has_seq=True),
    Case("latency", "storm", "us", 1000, 1000, runs=20),
    Case("loop", "sum", "MB/s", 100_000_000, 5_000_000, has_seq=True),
    Case("loop", "sort", "MB/s", 2_000_000, 100_000, has_seq=True),
    Case("idle", "idle", "ms_cpu", 2000, 300, workers=most),
    Case("oversubscribe", "fib", "ns/task", (34, 24), (27, 18), workers=crowds),
    Case("oversubscribe", "nqueens", "ns/task", (12, 9), (10, 8), workers=crowds),
    Case("oversubscribe", "single", "ns/task", 200_000, 20_000, workers=crowds),
    *(case for power in (4, 5, 6, 7) for case in growth(power)),
]
