#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `stook` does with files that are none: FIFOs without an end or a writer, devices, outputs
that are full, closed or left by their reader; with trees that have loops, odd names and no bottom;
and with odd arguments. Called with the path of the binary and, optionally, with words: then only
tests with one of them in their name are run. Prints TAP."""

import contextlib
import os
import pwd
import signal
import stat
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from hostile_support import *  # noqa: E402,F403

SPILLS = ("--memory-limit", "8M")


# --- FIFOs ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def endless_writer(name, part):
    """Writes into a FIFO until it is killed, or nobody reads."""
    script = 'while printf %s "$2$2$2$2$2$2$2$2"; do :; done > "$1"'
    writer = subprocess.Popen(["sh", "-c", script, "sh", name, 100 * part],
                              stderr=subprocess.DEVNULL)
    try:
        yield writer
    finally:
        writer.kill()
        writer.wait()


def busy(done, seconds=0.2):
    """Until it has used some time of a processor."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end and done.process.poll() is None:
        with open("/proc/%d/stat" % done.process.pid, "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
        if int(fields[11]) + int(fields[12]) >= seconds * os.sysconf("SC_CLK_TCK"):
            return
        time.sleep(0.01)
    raise Failure("it does not work")


def wait_dead(done, number, timeout=TIMEOUT / 3):
    """Sends a signal; gives the status. A death by SIGTERM is none by a crash."""
    sent = time.monotonic()
    done.process.send_signal(number)
    try:
        status = done.process.wait(timeout)
    except subprocess.TimeoutExpired:
        done.process.kill()
        done.process.wait()
        raise Failure("%r goes on %.0f s after a signal" % (done.args, time.monotonic() - sent))
    done.errors.close()
    check(os.path.getsize(done.path) == 0, done.args, "printed something")
    return status


@test
def signals_end_it_while_a_fifo_goes_on():
    os.mkfifo("endless")
    os.mkdir("spill")
    for command in (("wordcount",), ("grep", "-c", "x"), ("index",)):
        for number, want in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
            with endless_writer("endless", "x yy zzz\n"):
                done = start(*command, *SPILLS, "endless", env={"TMPDIR": os.path.abspath("spill")})
                busy(done)
                status = wait_dead(done, number)
            check(status == want, command, "status", status, "after signal", number)
            check(os.listdir("spill") == [], "left", os.listdir("spill"))


@test
def signals_end_it_while_nobody_writes_into_a_fifo():
    os.mkfifo("silent")
    for command in COMMANDS:
        for number, want in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
            done = start(*command, "silent")
            time.sleep(0.05)  # not for correctness: it may as well not have begun
            wait_until_it_catches(done)
            status = wait_dead(done, number)
            check(status == want, command, "status", status, "after signal", number)


def wait_until_it_catches(done):
    """Until SIGINT has a handler: else it ends the process as it does any."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        with open("/proc/%d/status" % done.process.pid) as file:
            caught = next(line for line in file if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) & 1 << signal.SIGINT - 1:
            return
        time.sleep(0.005)


@test
def ctrl_c_ends_it_in_the_middle_of_a_line():
    """For some expressions regexec() of glibc takes time that grows with the square of a line, and
    cannot be interrupted."""
    repeat("line", b"word " * 200000, 20)
    done = start("grep", "wo.*rd$", "line")
    busy(done, 1)
    status = wait_dead(done, signal.SIGINT)
    check(status == 130, "status", status)


@test
def a_fifo_whose_writer_leaves_early_has_ended():
    os.mkfifo("early")
    for text in (b"", b"x", b"x y", b"x y\n", b"x" * 100000):
        writer = threading.Thread(target=write, args=("early", text), daemon=True)
        writer.start()
        words = text.split()
        want = b"".join(b"%s\t1\n" % word for word in words)
        succeeds(want, "wordcount", "early")
        writer.join(TIMEOUT)


@test
def a_gzip_fifo_whose_writer_leaves_early_is_told():
    import gzip
    os.mkfifo("early.gz")
    text = gzip.compress(b"x y z " * 1000)
    for command in COMMANDS:
        writer = threading.Thread(target=write, args=("early.gz", text[:-9]), daemon=True)
        writer.start()
        fails(["early.gz", "offset"], *command, "early.gz")
        writer.join(TIMEOUT)


# --- devices --------------------------------------------------------------------------------------


@test
def endless_devices_are_limited_or_ended():
    """/dev/zero is one record without end: it grows until there is no memory, which is told."""
    if SANITIZER:
        return "SKIP not with sanitizers, which take address space themselves"
    for command in COMMANDS:
        for limit in ((), SPILLS):
            fails(["/dev/zero", "memory"], *command, *limit, "/dev/zero", limits={"AS": GIB})
    for command in COMMANDS:
        done = start(*command, *SPILLS, "/dev/urandom", limits={"AS": GIB})
        busy(done)
        status = wait_dead(done, signal.SIGINT)
        check(status == 130, command, "status", status)


@test
def devices_and_sockets_are_read_or_told():
    succeeds(b"", "wordcount", "/dev/null", "/dev/null")
    import socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for command in COMMANDS:
            fails(["cannot open 'socket'"], *command, "socket")


# --- outputs --------------------------------------------------------------------------------------


@test
def a_full_device_is_told():
    write("little", b"x\n")
    repeat("much", b"x " + b"".join(b"%d x\n" % i for i in range(50000)), 1)
    for command in (*COMMANDS, ("grep", "-c", "x")):
        for limit in ((), SPILLS):
            for name in ("little", "much"):
                with open("/dev/full", "wb") as full:
                    is_told(run(*command, *limit, name, stdout=full), ["No space left"])
    for args in (("--help",), ("--version",), ("wordcount", "--help"), ("grep", "--help")):
        with open("/dev/full", "wb") as full:
            is_told(run(*args, stdout=full), ["No space left"], status=1)


@test
def a_closed_output_is_told_and_nothing_is_overwritten():
    text = b"x y z\n" * 20000
    write("file", text)
    for command in (*COMMANDS, ("grep", "-c", "x")):
        for closed in ((1,), (0, 1), (0, 1, 2)):
            done = run(*command, "file", inside=lambda: [os.close(number) for number in closed])
            check(done.status == trouble(command[0]), command, closed, "status", done.status)
            if 2 not in closed:
                is_told(done, [])
    with open("file", "rb") as file:
        check(file.read() == text, "the input was written to")


@test
def closed_standard_error_is_not_written_into_files():
    """The message of a trouble must not go where descriptor 2 happens to be by then."""
    text = b"x y z\n" * 20000
    write("file", text)
    for command in COMMANDS:
        done = run(*command, "file", "missing", inside=lambda: os.close(2))
        check(done.status == trouble(command[0]) and done.read() == b"", command, done.status)
        done = run(*command, "file", inside=lambda: os.close(2))
        check(done.status == 0, command, done.status)
    with open("file", "rb") as file:
        check(file.read() == text, "the input was written to")


@test
def a_reader_that_goes_away_ends_it():
    write("much", b"".join(b"%d x\n" % i for i in range(500000)))
    for command in COMMANDS:
        for disposition in (signal.SIG_DFL, signal.SIG_IGN):
            for taken in (0, 1, 70000):
                reader, writer = os.pipe()
                done = start(*command, "much", stdout=writer,
                             inside=lambda: signal.signal(signal.SIGPIPE, disposition))
                os.close(writer)
                left = taken
                while left > 0 and (part := os.read(reader, left)):
                    left -= len(part)
                os.close(reader)
                if disposition == signal.SIG_DFL:
                    status = done.process.wait(TIMEOUT)
                    check(status == -signal.SIGPIPE, command, taken, "status", status)
                else:
                    is_told(finish(done), ["Broken pipe"])


# --- trees ----------------------------------------------------------------------------------------


@test
def loops_and_dangling_links_are_passed_over():
    os.makedirs("tree/a/b")
    write("tree/a/file", b"x y")
    os.symlink("..", "tree/a/up")
    os.symlink("../..", "tree/a/b/top")
    os.symlink("nowhere", "tree/dangling")
    os.symlink("self", "tree/self")
    os.mkfifo("tree/fifo")
    succeeds(b"x\t1\ny\t1\n", "wordcount", "tree")
    succeeds(b"x\ttree/a/file:0\ny\ttree/a/file:2\n", "index", "tree")
    succeeds(b"x y\n", "grep", "x", "tree")
    for command in COMMANDS:
        fails(["tree/dangling", "No such file"], *command, "tree/dangling")
        fails(["tree/self", "symbolic links"], *command, "tree/self")
        fails(["No such file"], *command, "")


def as_nobody():
    """Root reads everything."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)


@test
def what_cannot_be_read_is_named():
    os.chmod(".", 0o777)
    os.mkdir("tree")
    write("tree/good", b"x")
    write("tree/secret", b"x")
    os.chmod("tree/secret", 0)
    os.mkdir("locked")
    write("locked/file", b"x")
    os.makedirs("outer/locked")
    os.chmod("outer/locked", 0)
    os.chmod("locked", 0)
    os.mkdir("names-only")
    write("names-only/file", b"x")
    os.chmod("names-only", 0o444)
    try:
        done = run("--version", inside=as_nobody)
    except (PermissionError, subprocess.SubprocessError):
        return "SKIP nobody may not run the command"
    check(done.status == 0, "--version", done.error)
    for command in COMMANDS:
        for path, named in (("tree", "tree/secret"), ("tree/secret", "tree/secret"),
                            ("locked", "locked"), ("locked/file", "locked/file"),
                            ("outer", "outer/locked"), ("names-only", "names-only")):
            fails([named, "denied"], *command, path, inside=as_nobody)
    for name in ("locked", "outer/locked", "names-only"):
        os.chmod(name, 0o700)


@test
def odd_names_are_printed_as_they_are():
    names = [b"new\nline", b"tab\tname", b"\xff\xfe", b"-", b"--top", b"-x", b" ", b"quote'",
             b"%s%n", b"\x1b[31m", b"a" * 255]
    os.mkdir("d")
    for name in names:
        write(b"d/" + name, b"x\n")
    paths = [b"d/" + name for name in sorted(names)]
    succeeds(b"x\t%d\n" % len(names), "wordcount", "d")
    succeeds(b"".join(path + b":x\n" for path in paths), "grep", "x", "d")
    succeeds(b"x\t" + b",".join(path + b":0" for path in paths) + b"\n", "index", "d")
    os.chdir("d")
    succeeds(b"x\t1\n", "wordcount", "--", "--top")
    succeeds(b"x\t1\n", "wordcount", "--", b"-x")
    succeeds(b"", "wordcount", "--", "-")
    succeeds(b"x\t1\n", "wordcount", "--", "./-")
    os.chdir("..")
    for name in (b"no\nfile", b"no\xff", b"%s%n%s", b"x" * 255, b"x" * 300, b"x/" * 3000):
        for command in COMMANDS:
            is_told(run(*command, name), [])


def make_deep(depth, name):
    """Deeper than a path may be long; stands there afterwards."""
    for _ in range(depth):
        os.mkdir(name)
        os.chdir(name)


def leave_deep(depth, name):
    with contextlib.suppress(FileNotFoundError):
        os.unlink("file")
    for _ in range(depth):
        os.chdir("..")
        os.rmdir(name)


@test
def a_tree_deeper_than_path_max_is_told():
    name = "n" * 200
    for depth in (19, 60):
        top = os.getcwd()
        make_deep(depth, name)
        write("file", b"x")
        deepest = os.open(".", os.O_RDONLY)
        os.chdir(top)
        try:
            for command in COMMANDS:
                if depth < 20:
                    succeeds(None, *command, name)
                else:
                    fails([name[:50], "name too long"], *command, name)
        finally:
            os.fchdir(deepest)
            os.close(deepest)
            leave_deep(depth, name)


@test
def ten_thousand_empty_files():
    count = 1000 if SANITIZER else 10000
    os.mkdir("many")
    for number in range(count):
        write("many/%05d" % number)
    succeeds(b"", "wordcount", "many", limits={"NOFILE": 40})
    succeeds(b"", "index", "many", limits={"NOFILE": 40})
    succeeds(b"", "grep", "x", "many", status=1, limits={"NOFILE": 40})
    want = b"".join(b"many/%05d:0\n" % number for number in range(count))
    succeeds(want, "grep", "-c", "x", "many", status=1)


# --- arguments ------------------------------------------------------------------------------------


@test
def odd_limits_are_refused_or_taken():
    write("file", b"x y x")
    for size in ("0", "1", "1K", "4095K", "12X", "-1", "-8M", "", " ", "8 M", "8MM", "8m ", "M",
                 "+8M", "0x800000", "1e9", "8M\n", "18446744073709551616", "18014398509481984K",
                 "17592186044416M", "17179869184G", "9" * 30, "-18446744073709543424"):
        for command in COMMANDS:
            for args in (("--memory-limit", size), ("--memory-limit=" + size,)):
                fails(["memory-limit", size.strip()], *command, *args, "file", status=2)
    for size in ("8M", "8388608", "1G", "17179869183G", "18446744073709551615", "00008M"):
        succeeds(b"x\t2\ny\t1\n", "wordcount", "--memory-limit", size, "file")
        succeeds(b"x y x\n", "grep", "--memory-limit", size, "x", "file")


@test
def odd_tops_and_workers_are_refused_or_taken():
    write("file", b"x y x")
    for top in ("18446744073709551614", "9223372036854775808", "9223372036854775807", "4294967296"):
        succeeds(b"x\t2\ny\t1\n", "wordcount", "--top", top, "file")
        succeeds(b"x\t2\ny\t1\n", "wordcount", "--top", top, *SPILLS, "file")
    for top in ("18446744073709551615", "18446744073709551616", "1" * 400):
        fails(["--top"], "wordcount", "--top", top, "file", status=2)
    for workers in ("4294967297", "18446744073709551617", "1000000"):
        for command in COMMANDS:
            fails(["--workers"], *command, "--workers", workers, "file", status=2)


if __name__ == "__main__":
    sys.exit(run_tests("hostile_files", 4 * TIMEOUT))
