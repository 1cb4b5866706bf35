#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `stook` does where the system gives little: limits of address space, descriptors, file
sizes, stacks and processes, each from far too small to enough; and temporary files that cannot be
made, or fill the disk. The result is right, or a message tells what there was too little of. Called
with the path of the binary and, optionally, with words: then only tests with one of them in their
name are run. Prints TAP."""

import os
import pwd
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from hostile_support import *  # noqa: E402,F403

SPILLS = ("--memory-limit", "8M")
SPILLED = 200000  # lines: more than the limit has room for
LINES = 30000 if SANITIZER else SPILLED
EACH = (("wordcount", "--top", "5"), ("wordcount", *SPILLS), ("grep", "-c", "x"),
        ("grep", *SPILLS, "[1-5] "), ("index",), ("index", *SPILLS))


def input_file(lines=LINES):
    with open("text", "wb") as file:
        for number in range(lines):
            file.write(b"%d x\n" % (number * 2654435761 % 2**32))
    return "text"


def usual(command, *files):
    """What it prints without a limit."""
    done = run(*command, *files)
    check(done.status in (0, 1) and done.error == b"", command, done.status, done.error)
    done.want = done.digest()
    return done


def loop(command, files, limit, values, names):
    """Right, or told with one of the names; and right at last."""
    right = usual(command, *files)
    seen = set()
    for value in values:
        done = run(*command, *files, limits={limit: value})
        if done.status == right.status and not done.error:
            check(done.digest() == right.want, command, limit, value, "printed something else")
            seen.add("right")
        elif done.status == 127 and b"shared libraries" in done.error:
            continue  # it has not begun
        else:
            is_told(done, [])
            check(any(name in done.error for name in names), command, limit, value, done.error)
            seen.add("told")
        os.unlink(done.path)
    check("right" in seen, command, limit, "is never enough")
    return seen


# --- limits ---------------------------------------------------------------------------------------


@test
def little_address_space():
    if SANITIZER:
        return "SKIP sanitizers take address space themselves"
    input_file(LINES // 5)  # where threads have no arenas, each malloc() of glibc is an mmap()
    values = [3000, 3600, 5000, 9000, 12000, 15000, 18000, 22000, 27000, 35000, 50000, 80000,
              130000, 210000, 10**6]
    for command in EACH:
        seen = loop(command, ["text"], "AS", [value << 10 for value in values],
                    (b"memory", b"a thread or a lock could not be created"))
        check("told" in seen, command, "is never told")


@test
def few_descriptors():
    input_file()
    for command in EACH:
        loop(command, ["text", "text"], "NOFILE", range(4, 11),
             (b"Too many open files", b"no descriptor is left"))
    # with a reader that is told by a pipe when it is to end
    for number in range(3, 20):
        done = run("wordcount", stdin=b"x y x", limits={"NOFILE": number})
        if done.status == 0:
            check(done.read() == b"x\t2\ny\t1\n", done.read())
        elif b"shared libraries" not in done.error:
            is_told(done, [])
            check(re.search(rb"Too many open files|no descriptor is left", done.error), done.error)
    check(done.status == 0, "twenty descriptors are not enough", done.error)


@test
def small_files():
    """What is printed goes to a file, too."""
    input_file()
    for command in EACH:
        size = os.path.getsize(usual(command, "text").path)
        values = [0, 1, 100, 4096, size // 2, max(0, size - 1), size, size + 1, 64 * MIB]
        loop(command, ["text"], "FSIZE", values, (b"File too large",))


@test
def small_stacks():
    """Of the first thread; the others have more. Below 32 KiB hardly a program begins."""
    input_file()
    least = 1024 if SANITIZER else 32
    for command in EACH:
        values = [value << 10 for value in (least, 2 * least, 4 * least, 8 * least, 16 * least)]
        loop(command, ["text"], "STACK", [*values, resource.RLIM_INFINITY], (b"memory", b"thread"))


@test
def few_processes():
    """Root may start as many as it likes."""
    if SANITIZER:
        return "SKIP sanitizers start threads themselves"
    write("text", b"x y z\n" * 1000)
    os.chmod(".", 0o777)
    user = pwd.getpwnam("games")

    def as_user():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)

    if os.geteuid() != 0:
        return "SKIP how many processes there are already is not known"
    try:
        run("--version", inside=as_user)
    except (PermissionError, subprocess.SubprocessError):
        return "SKIP another user may not run the command"
    for command in COMMANDS:
        right = usual(command, "text")
        told = 0
        for number in range(1, 9):
            done = run(*command, "--workers", "4", "text", limits={"NPROC": number},
                       inside=as_user)
            if done.status == 0:
                check(done.digest() == right.want and not done.error, command, number, done.error)
            else:
                is_told(done, ["thread"])
                told += 1
        check(0 < told < 8, command, "was told", told, "times")


@test
def many_workers():
    """More than memory has room for."""
    if SANITIZER:
        return "SKIP sanitizers take address space themselves"
    write("text", b"x\n")
    for command in COMMANDS:
        fails(["cannot start the workers", "thread"], *command, "--workers", "60", "text",
              limits={"AS": 64 * MIB})


# --- temporary files ------------------------------------------------------------------------------


def spilling(directory, command=("wordcount",), **options):
    return run(*command, *SPILLS, "text", env={"TMPDIR": directory}, **options)


@test
def directories_that_cannot_have_temporary_files():
    input_file(SPILLED)
    os.mkdir("gone")
    os.rmdir("gone")
    write("file", b"")
    os.symlink("nowhere", "dangling")
    os.symlink("loop", "loop")
    for directory, reason in (("gone", "No such file"), ("file", "Not a directory"),
                              ("dangling", "No such file"), ("loop", "symbolic links"),
                              ("/proc", "/proc"), ("n" * 5000, "name too long"),
                              ("x/" * 2500, "name too long")):
        for command in (("wordcount",), ("index",)):
            done = spilling(directory, command)
            is_told(done, [reason, directory[-20:], "memory limit"])
            check(done.read() == b"", "printed", done.read()[:300])
    os.mkdir("locked")
    os.chmod("locked", 0o555)
    os.chmod(".", 0o755)

    def as_nobody():
        user = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    inside = as_nobody if os.geteuid() == 0 else None
    try:
        is_told(spilling("locked", inside=inside), ["denied", "locked"])
    except (PermissionError, subprocess.SubprocessError):
        return "SKIP nobody may not run the command"
    finally:
        os.chmod("locked", 0o755)


@test
def a_relative_or_empty_directory_is_taken():
    input_file(SPILLED)
    want = usual(("wordcount",), "text").want
    os.mkdir("there")
    for directory in ("there", ".", "./there/", ""):
        done = spilling(directory)
        check(done.status == 0 and done.digest() == want, directory, done.error)
    check(os.listdir("there") == [], "left", os.listdir("there"))


@test
def a_full_disk_is_told():
    input_file(SPILLED)
    os.mkdir("tiny")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", "tiny"],
                             stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode != 0:
        return "SKIP no file system may be mounted"
    try:
        for command in (("wordcount",), ("index",), ("grep", "x")):
            done = spilling("tiny", command)
            is_told(done, ["No space left", "memory limit"])
            check(done.read() == b"", command, "printed", done.read()[:300])
            check(os.listdir("tiny") == [], "left", os.listdir("tiny"))
            usage = os.statvfs("tiny")
            check(usage.f_bfree == usage.f_blocks, "blocks are still taken")
    finally:
        subprocess.run(["umount", "tiny"], check=True)


def spill_files(done):
    """Descriptors of the command that are open for temporary files: what they are."""
    found = []
    directory = "/proc/%d/fd" % done.process.pid
    for number in os.listdir(directory):
        try:
            path = os.readlink(os.path.join(directory, number))
            if "spill" in path:
                found.append((path, os.stat(os.path.join(directory, number))))
        except FileNotFoundError:
            pass
    return found


def spilled(done):
    """Waits for what it has written; a FIFO keeps it from an end."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if files := spill_files(done):
            return files
        check(done.process.poll() is None, "it ended")
        time.sleep(0.005)
    raise Failure("nothing was spilled")


@test
def temporary_files_have_no_names_and_are_nobodys_business():
    """So nothing is left, however it ends; and with a umask of 0 nobody else can read them."""
    os.mkdir("spill")
    os.mkfifo("fifo")
    input_file(SPILLED)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        done = start("index", *SPILLS, "fifo", env={"TMPDIR": os.path.abspath("spill")},
                     inside=lambda: os.umask(0))
        writer = subprocess.Popen(["sh", "-c", "while cat text; do :; done > fifo"],
                                  stderr=subprocess.DEVNULL)
        try:
            files = spilled(done)
            check(os.listdir("spill") == [], "named", os.listdir("spill"))
            for path, status in files:
                check(stat.S_IMODE(status.st_mode) == 0o600, path, oct(status.st_mode))
                check(status.st_nlink == 0, path, "has a name")
        finally:
            done.process.send_signal(number)
            status = done.process.wait(TIMEOUT)
            writer.kill()
            writer.wait()
        check(status == (130 if number == signal.SIGINT else -number), "status", status)
        check(os.listdir("spill") == [], "left", os.listdir("spill"))


@test
def a_directory_that_vanishes_meanwhile_does_no_harm_or_is_told():
    """Files that are open go on; another one cannot be made."""
    os.mkdir("spill")
    os.mkfifo("fifo")
    input_file(SPILLED)
    done = start("index", *SPILLS, "fifo", env={"TMPDIR": os.path.abspath("spill")})
    with open("fifo", "wb") as fifo:
        with open("text", "rb") as file:
            shutil.copyfileobj(file, fifo)
            spilled(done)
            os.rmdir("spill")
            file.seek(0)
            try:
                shutil.copyfileobj(file, fifo)
            except BrokenPipeError:
                pass
    finish(done)
    if done.status != 0:
        is_told(done, ["spill", "No such file"])
        check(done.read() == b"", "printed", done.read()[:300])


if __name__ == "__main__":
    sys.exit(run_tests("hostile_limits", 4 * TIMEOUT))
