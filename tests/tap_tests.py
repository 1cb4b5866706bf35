# SPDX-License-Identifier: MIT
"""Tests of the command stook, each a function without arguments, called in an empty directory of
its own. A test program is called with the path of the binary (else it is $STOOK) and, optionally,
with words: then only tests with one of them in their name are run. Prints TAP."""

import os
import signal
import sys
import tempfile
import time
import traceback

STOOK = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["STOOK"])
ONLY = sys.argv[2:]

tests = []


def test(function):
    tests.append(function)
    return function


class Failure(Exception):
    pass


class Skip(Exception):
    """Its text says what there is not."""


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(w if isinstance(w, str) else repr(w)[:600] for w in what))


def hangs(_signal, _frame):
    raise Failure("the test hangs")


def outcome_of(function, seconds):
    """"ok" or "not ok", and a note or None."""
    with tempfile.TemporaryDirectory(prefix="stook-test-") as directory:
        os.chdir(directory)
        signal.alarm(int(seconds))
        try:
            return "ok", function()
        except Skip as skip:
            return "ok", f"SKIP {skip}"
        except Exception:  # a test that breaks has failed
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            return "not ok", None
        finally:
            signal.alarm(0)
            os.chdir("/")


def run_tests(suite, seconds):
    """Gives the status to exit with; a test hangs after so many seconds."""
    chosen = [t for t in tests if not ONLY or any(word in t.__name__ for word in ONLY)]
    failed = 0
    signal.signal(signal.SIGALRM, hangs)
    print("1..%d" % len(chosen))
    for number, function in enumerate(chosen, 1):
        begin = time.monotonic()
        outcome, note = outcome_of(function, seconds)
        failed += outcome != "ok"
        print("%s %d - %s/%s%s" % (outcome, number, suite, function.__name__,
                                   " # " + note if note else ""))
        print("# %.1f s" % (time.monotonic() - begin), flush=True)
    return 1 if failed or not chosen else 0
