# SPDX-License-Identifier: MIT
"""What the tests of hostile input share: running the command with its output in files, so that no
pipe fills up and nothing of it is kept in this process, whose size the peak of a child includes."""

import fcntl
import hashlib
import os
import resource
import signal
import subprocess
import tempfile
import time

from tap_tests import *  # noqa: F401,F403

SCALE = float(os.environ.get("STOOK_STRESS_SCALE", "1"))
COMMANDS = (("wordcount",), ("grep", "x"), ("index",))
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def sanitizer():
    """The one that the command was built with, or None."""
    with open(STOOK, "rb") as file:
        code = file.read()
    return next((name for name in ("asan", "tsan", "msan") if b"__%s_init" % name.encode() in code),
                None)


SANITIZER = sanitizer()
TIMEOUT = 300 if SANITIZER else 60  # seconds after which a command hangs


class Done:
    """status, error, peak (bytes), seconds, and the output, which stays in a file."""

    def read(self):
        with open(self.path, "rb") as file:
            return file.read()

    def digest(self):
        return digest(self.path)


def digest(path):
    seen = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(MIB):
            seen.update(part)
    return seen.hexdigest()


def digest_of(parts):
    seen = hashlib.sha256()
    for part in parts:
        seen.update(part)
    return seen.hexdigest()


def prepare(limits, more):
    def inside():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for name, value in (limits or {}).items():
            resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
        if more:
            more()
    return inside


def start(*args, stdin=subprocess.DEVNULL, stdout=None, limits=None, inside=None, env=None):
    """limits: of resources, by name; inside: called in the child. stdout: else to a file."""
    done = Done()
    done.args = args
    number, done.path = tempfile.mkstemp(prefix="output-", dir=".")
    reader, errors = os.pipe()  # which no limit of file sizes concerns
    fcntl.fcntl(errors, fcntl.F_SETPIPE_SZ, MIB)
    done.errors = open(reader, "rb")
    environment = {**os.environ, **env} if env else None
    done.begin = time.monotonic()
    done.process = subprocess.Popen([STOOK, *args], stdin=stdin, env=environment,
                                    stdout=number if stdout is None else stdout,
                                    stderr=errors, preexec_fn=prepare(limits, inside))
    os.close(number)
    os.close(errors)
    return done


def finish(done, timeout=TIMEOUT):
    process = done.process
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - done.begin > timeout:
            process.kill()
            os.wait4(process.pid, 0)
            process.returncode = -signal.SIGKILL
            raise Failure("%r hangs" % (done.args,))
        time.sleep(0.002)
    done.status = process.returncode = os.waitstatus_to_exitcode(status)
    done.seconds = time.monotonic() - done.begin
    done.peak = usage.ru_maxrss << 10
    done.error = done.errors.read()
    done.errors.close()
    check(done.status >= 0, done.args, "was killed by", -done.status, done.error)
    check(b"Sanitizer" not in done.error and b"runtime error" not in done.error, done.error[:4000])
    return done


def run(*args, stdin=subprocess.DEVNULL, **options):
    if isinstance(stdin, bytes):
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.flush()
            reader = subprocess.Popen(["cat"], stdin=file.seek(0) or file, stdout=subprocess.PIPE)
            with reader.stdout:
                done = start(*args, stdin=reader.stdout, **options)
            try:
                return finish(done)
            finally:
                reader.kill()
                reader.wait()
    return finish(start(*args, stdin=stdin, **options))


def succeeds(want, *args, status=0, **options):
    """want: the output, or None if the caller looks at it."""
    done = run(*args, **options)
    check(done.status == status, "status", done.status, done.error, "of", args)
    check(done.error == b"", args, "complains:", done.error)
    if want is not None:
        got = done.read()
        check(got == want, args, "printed", got[:300], "instead of", want[:300])
    return done


def trouble(command):
    return 2 if command == "grep" else 1


def is_told(done, names, status=None):
    """With this status, or that of trouble; and all names in one message of a line or more."""
    want = trouble(done.args[0]) if status is None else status
    check(done.status == want, "status", done.status, "of", done.args, done.error)
    check(done.error.startswith(b"stook: ") and done.error.endswith(b"\n"), done.error)
    for name in names:
        check(os.fsencode(name).lower() in done.error.lower(), name, "not in", done.error)
    return done


def fails(names, *args, status=None, **options):
    """As is_told(), and nothing is printed."""
    done = is_told(run(*args, **options), names, status)
    check(os.path.getsize(done.path) == 0, args, "printed", done.read()[:300])
    return done


def write(name, *parts):
    with open(name, "wb") as file:
        for part in parts:
            file.write(part)
    return name


def repeat(name, part, times, end=b""):
    with open(name, "wb") as file:
        for _ in range(times):
            file.write(part)
        file.write(end)
    return name
