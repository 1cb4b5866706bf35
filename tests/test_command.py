#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Behaviour of the command `stook wordcount`, as a user sees it: what it prints, on which stream,
and with which status. Called as tap_tests.py says. Counts are compared with an oracle of a few
lines, `expected()`.
"""

import collections
import contextlib
import os
import pty
import random
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

sys.dont_write_bytecode = True
from tap_tests import STOOK, Failure, Skip, check, run_tests, test  # noqa: E402

TIMEOUT = 60  # seconds after which a command hangs: none should take one, but sanitizers are slow
SEED = int(os.environ.get("STOOK_SEED", str(time.time_ns() % 2**32)), 0)
CAN_READ_ANYTHING = os.geteuid() == 0


def counts(*texts):
    words = collections.Counter()
    for text in texts:
        words.update(re.findall(rb"[^ \t\n\v\f\r]+", text))
    return words


def expected(*texts, top=None, times=1):
    pairs = sorted(counts(*texts).items())
    if top is not None:
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:top]
    return b"".join(b"%s\t%d\n" % (word, count * times) for word, count in pairs)


def run(*args, stdin=b"", command="wordcount", **options):
    """stdin: bytes, which it gets through a pipe, or a file."""
    argv = [STOOK] + ([command] if command else []) + list(args)
    if isinstance(stdin, bytes):
        options["input"] = stdin
    else:
        options["stdin"] = stdin
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.run(argv, timeout=TIMEOUT, **options)


def succeeds(want, *args, **options):
    done = run(*args, **options)
    check(done.returncode == 0, "status", done.returncode, done.stderr, "of", args)
    check(done.stderr == b"", "standard error:", done.stderr)
    check(done.stdout == want, "printed", done.stdout[:300], "instead of", want[:300], "for", args)


def fails(status, names, *args, **options):
    """With this status, with a message that has one of these names, and nothing printed."""
    done = run(*args, **options)
    names = [names] if isinstance(names, (str, bytes)) else names
    names = [os.fsencode(name).lower() for name in names]
    check(done.returncode == status, "status", done.returncode, "for", args, done.stderr)
    check(any(name in done.stderr.lower() for name in names), names, "not in", done.stderr)
    check(done.stderr.endswith(b"\n"), "a message without newline:", done.stderr)
    check(not done.stdout, "printed", done.stdout)


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)
    return name


def few_open_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))


def random_text(size, seed):
    """Few letters, so that words repeat; all kinds of white space; NUL and high bytes."""
    source = random.Random(seed)
    alphabet = b"aaabbc \n\t\v\f\r\x00\x01\x1c\x85\xa0\xc3\xff" + bytes(range(256))[:: 16]
    return bytes(source.choices(alphabet, k=size))


# --- what is counted ---------------------------------------------------------------------------


@test
def counts_the_words_of_the_article():
    write("article", b"Python is great Python rocks")
    succeeds(b"Python\t2\ngreat\t1\nis\t1\nrocks\t1\n", "article")
    succeeds(b"Python\t2\ngreat\t1\n", "--top", "2", "article")


@test
def counts_as_the_oracle_in_arbitrary_bytes():
    for size in (0, 1, 2, 100, 5000, 300000):
        text = random_text(size, SEED + size)
        write("random", text)
        want = expected(text)
        succeeds(want, "random")
        for workers in "1", "2", "8":
            succeeds(want, "--workers", workers, "random")
        succeeds(want, stdin=text)


@test
def knows_all_white_space_of_the_c_locale_and_no_other():
    other = b"\x00 \x1c \x1d \x1e \x1f \x85 \xa0 \xc2\xa0 \xe3\x80\x80 \x07 \x08".split(b" ")
    text = b"a b\tc\nd\ve\ff\rg\r\nh " + b"|".join(other) + b"\n"
    write("white", text)
    want = expected(text)
    check(want.count(b"\n") == 9, "the oracle is wrong")
    succeeds(want, "white")
    succeeds(want, "white", env={**os.environ, "LC_ALL": "C.UTF-8"})


@test
def sorts_by_bytes():
    words = [b"b", b"a", b"ab", b"B", b"\xff", b"\x80", b"a\x00", b"a\x00b", b"\x01", b"zz", b"z"]
    write("order", b" ".join(words))
    succeeds(b"".join(word + b"\t1\n" for word in sorted(words)), "order")


@test
def sorts_as_asked():
    text = b"b a c b a b\n"
    succeeds(b"a\t2\nb\t3\nc\t1\n", "--sort", "key", stdin=text)
    succeeds(b"b\t3\na\t2\nc\t1\n", "--sort=count", stdin=text)
    succeeds(b"a\t1\n", "--sort", "none", stdin=b"a")
    fails(2, "--sort", "--sort", "keys", stdin=text)


@test
def empty_input_prints_nothing():
    write("empty", b"")
    write("blank", b" \n\t\v\f\r \n")
    succeeds(b"", "empty")
    succeeds(b"", "blank")
    succeeds(b"", "empty", "blank", "empty")
    succeeds(b"", "--top", "3", "empty")
    succeeds(b"")
    succeeds(b"", stdin=subprocess.DEVNULL)


@test
def a_word_never_spans_two_files():
    write("one", b"spam ham")
    write("two", b"burger egg")
    write("empty", b"")
    succeeds(expected(b"spam ham burger egg"), "one", "two")
    succeeds(expected(b"ham ham spam spam burger egg"), "one", "empty", "two", "one")
    succeeds(expected(b"burger egg ham spam in"), "two", "-", "one", stdin=b"in")


@test
def words_may_be_long():
    words = [b"x" * 3000000, b"x" * 2999999 + b"y", b"x" * 3000000, b"short"]
    text = b" ".join(words)
    write("long", text)
    succeeds(expected(text), "long")
    succeeds(expected(text), "--workers=3", stdin=text)


@test
def counts_more_files_than_may_be_open_at_once():
    texts = [random_text(100, SEED + i) for i in range(1500)]
    names = [write("many%d" % i, text) for i, text in enumerate(texts)]
    succeeds(expected(*texts), *names, preexec_fn=few_open_files)


# --- standard input and special files -------------------------------------------------------------


@test
def reads_standard_input_from_a_pipe():
    text = random_text(200000, SEED)
    succeeds(expected(text), stdin=text)
    succeeds(expected(text), "-", stdin=text)
    succeeds(expected(text), "--", "-", stdin=text)


@test
def reads_standard_input_from_a_file_where_it_stands():
    text = b"not-counted " + random_text(100000, SEED)
    write("redirected", text)
    for offset in (0, 4, 12, len(text) - 1, len(text), len(text) + 10):
        for args in ((), ("-",)):
            with open("redirected", "rb") as file:
                os.lseek(file.fileno(), offset, os.SEEK_SET)
                succeeds(expected(text[offset:]), *args, stdin=file)


@test
def reads_a_fifo():
    text = random_text(200000, SEED)
    os.mkfifo("fifo")
    writer = threading.Thread(target=write, args=("fifo", text), daemon=True)
    writer.start()
    succeeds(expected(text), "fifo")
    writer.join(TIMEOUT)


@test
def reads_process_substitutions():
    script = '"$0" wordcount <(printf "a b") <(printf "b c") /dev/null'
    done = subprocess.run(["bash", "-c", script, STOOK], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=TIMEOUT)
    check(done.stdout == b"a\t1\nb\t2\nc\t1\n" and done.returncode == 0, done)


# --- options -----------------------------------------------------------------------------------


@test
def top_gives_the_most_frequent_ties_by_word():
    text = random_text(20000, SEED)
    write("top", text)
    distinct = len(counts(text))
    for top in (1, 2, 3, 10, 100, distinct - 1, distinct, distinct + 1, 10**6):
        want = expected(text, top=top)
        succeeds(want, "--top", str(top), "top")
        succeeds(want, "--top=%d" % top, "--workers", "1", "top")


@test
def ties_are_in_byte_order():
    write("ties", b"d c b a \xff \xff b\x00 b\x00 B B B")
    succeeds(b"B\t3\nb\x00\t2\n\xff\t2\na\t1\n", "--top", "4", "ties")


@test
def options_end_at_two_dashes():
    for name in ("--top", "-x", "--", "--help"):
        write(name, b"found " + name.encode())
        succeeds(expected(b"found " + name.encode()), "--", name)
        succeeds(expected(b"found " + name.encode()), "--workers", "2", "--no-progress", "--", name)


@test
def no_progress_is_accepted():
    succeeds(b"a\t1\n", "--no-progress", stdin=b"a")


@test
def help_and_version():
    for args in (("--help",), ("wordcount", "--help")):
        done = run(*args, command=None)
        check(done.returncode == 0 and done.stderr == b"", done)
        for word in (b"wordcount", b"--workers", b"--top", b"--no-progress"):
            check(word in done.stdout or args == ("--help",), word, "not in", done.stdout)
        check(b"wordcount" in done.stdout, done.stdout)
    done = run("--version", command=None)
    check(done.returncode == 0 and done.stderr == b"", done)
    check(re.fullmatch(rb"[^\n]*\d+\.\d+\.\d+[^\n]*\n", done.stdout), done.stdout)


@test
def missing_or_unknown_subcommand():
    fails(2, ("subcommand", "command", "wordcount"), command=None)
    fails(2, "frobnicate", command="frobnicate")
    fails(2, "wordcoun", "file", command="wordcoun")
    fails(2, "--frobnicate", command="--frobnicate")


@test
def unknown_options():
    for option in ("--frobnicate", "--frobnicate=3", "-x", "--topp", "--worker-s"):
        names = (option.split("=")[0], "'%s'" % option.lstrip("-"))
        fails(2, names, option, stdin=b"a")
        fails(2, names, "--top", "1", option, "file", stdin=b"a")


@test
def an_option_without_its_value():
    fails(2, "--top", "--top")
    fails(2, "--workers", "--workers")
    fails(2, "--no-progress", "--no-progress=1", stdin=b"a")


@test
def bad_numbers():
    huge = "9999999999999999999999"
    for option in ("--top", "--workers"):
        for number in ("0", "-1", "-3", "x", "", "3x", "x3", "1.5", "00", "1 2", huge, "-" + huge,
                       "18446744073709551616", "18446744073709551617"):
            for args in ((option, number), (option + "=" + number,)):
                fails(2, number or option, *args, stdin=b"a")
                fails(2, option, *args, "no-such-file")


# --- what cannot be read or written -------------------------------------------------------------


@test
def missing_files_are_named():
    write("good", b"a b c")
    fails(1, "no-such-file", "no-such-file")
    fails(1, "no-such-file", "good", "no-such-file")
    fails(1, "no-such-file", "no-such-file", "good")
    fails(1, "no/such", "good", "-", "no/such", stdin=b"a")
    fails(1, "good/x", "good/x")


@test
def directories_are_walked_but_cannot_be_standard_input():
    os.mkdir("directory")
    directory = os.open("directory", os.O_RDONLY)
    fails(1, ("standard input", "stdin", "-", "descriptor"), stdin=directory)
    os.close(directory)


@test
def unreadable_files_are_named():
    if CAN_READ_ANYTHING:
        return "SKIP root can read them"
    write("secret", b"a")
    os.chmod("secret", 0)
    fails(1, "secret", "secret")


@test
def closed_standard_input_is_an_error():
    fails(1, ("standard input", "stdin", "-"), stdin=None, preexec_fn=lambda: os.close(0))
    write("good", b"a b c")
    succeeds(expected(b"a b c"), "good", stdin=None, preexec_fn=lambda: os.close(0))


@test
def write_errors_are_told():
    write("little", b"a b c")
    write("much", b" ".join(b"%d" % i for i in range(100000)))
    for args in (("little",), ("much",), ("--top", "2", "much")):
        with open("/dev/full", "wb") as full:
            fails(1, ("write", "writing", "output", "space"), *args, stdout=full)


@test
def limits_of_file_sizes_are_told():
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    write("much", b" ".join(b"%d" % i for i in range(2000000)))
    for args in (("much",), ("--memory-limit", "8M", "much")):
        with open("out", "wb") as out:
            fails(1, ("too large",), *args, stdout=out, preexec_fn=limit)


@test
def closed_standard_output_is_told():
    text = b" ".join(b"%d" % (i % 5000) for i in range(100000))
    write("file", text)
    for args, stdin in ((("file",), b""), ((), text), ((), open("file", "rb"))):
        done = run(*args, stdin=stdin, stdout=None, preexec_fn=lambda: os.close(1))
        check(done.returncode == 1, done)
        check(re.search(rb"(?i)writ|output", done.stderr), done.stderr)
    with open("file", "rb") as file:
        check(file.read() == text, "the input was written to")


@test
def a_closed_pipe_ends_it():
    write("much", b" ".join(b"%d" % i for i in range(200000)))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("much", stdout=writer)
    finally:
        os.close(writer)
    check(done.returncode in (1, -signal.SIGPIPE), done)


# --- Ctrl-C --------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(*args, **options):
    """A command with SIGINT as a shell would give it, and its output in a file."""
    def default_signals():
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([STOOK, "wordcount", *args], stdout=output, stderr=errors,
                                   preexec_fn=default_signals, **options)
        process.output = output
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()


def interrupt(process):
    process.send_signal(signal.SIGINT)
    try:
        status = process.wait(TIMEOUT / 3)
    except subprocess.TimeoutExpired:
        raise Failure("Ctrl-C did not end it") from None
    process.output.seek(0)
    printed = process.output.read()
    check(status == 130, "status", status)
    check(printed == b"", "printed", printed)


def fill_pipe(file):
    """More than a pipe holds, so it has been read when this returns."""
    for _ in range(64):
        file.write(b"some words " * 1000)
        file.flush()


@test
def ctrl_c_while_standard_input_is_silent():
    with started(stdin=subprocess.PIPE) as process:
        fill_pipe(process.stdin)
        interrupt(process)


@test
def ctrl_c_while_standard_input_goes_on():
    with started("-", stdin=subprocess.PIPE) as process:
        fill_pipe(process.stdin)

        def endless():
            with contextlib.suppress(OSError, ValueError):
                while True:
                    process.stdin.write(b"and more ")
                    process.stdin.flush()
                    time.sleep(0.0005)

        threading.Thread(target=endless, daemon=True).start()
        interrupt(process)


@test
def ctrl_c_while_a_fifo_is_silent():
    os.mkfifo("silent")
    with started("silent", stdin=subprocess.DEVNULL) as process:
        with open("silent", "wb") as file:
            fill_pipe(file)
            interrupt(process)
            with contextlib.suppress(BrokenPipeError):
                file.close()


def cpu_ticks(process):
    with open("/proc/%d/stat" % process.pid, "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def write_big(name):
    """16 MB that repeat themselves; gives the part and how often it is there."""
    part = b" ".join(b"word%d" % (i * i % 9973) for i in range(20000)) + b"\n"
    times = (16 << 20) // len(part)
    write(name, part * times)
    return part, times


@test
def ctrl_c_while_counting():
    write_big("big")
    files = ["big"] * 500  # 8 GB: not done before the signal
    for workers in ("1", "2"):
        with started("--workers", workers, *files, stdin=subprocess.DEVNULL) as process:
            while process.poll() is None and cpu_ticks(process) < 0.3 * os.sysconf("SC_CLK_TCK"):
                time.sleep(0.01)
            interrupt(process)


# --- progress ------------------------------------------------------------------------------------


def open_terminal():
    try:
        return pty.openpty()
    except OSError as error:
        raise Skip("no pseudo-terminal to be had") from error


def run_on_terminal(*args):
    """Its status, its output, and what it wrote to standard error, a terminal."""
    master, slave = open_terminal()
    tty.setraw(slave, termios.TCSANOW)  # so that what arrives is what was written
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([STOOK, "wordcount", *args], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=slave)
        seen = b""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            ended = process.poll() is not None
            ready, _, _ = select.select([master], [], [], 0.05)
            if ready:
                seen += os.read(master, 65536)
            elif ended:
                break
        os.close(master)
        os.close(slave)
        if process.poll() is None:
            process.kill()
        status = process.wait()
        output.seek(0)
        return status, output.read(), seen


@test
def progress_rewrites_one_line_of_a_terminal():
    part, times = write_big("big")
    status, printed, seen = run_on_terminal(*["big"] * 12)
    check(status == 0, "status", status, seen)
    check(printed == expected(part, times=12 * times), "printed", printed[:300])
    check(b"\r" in seen and len(seen.split(b"\r")) > 2, "not rewritten:", seen)
    check(seen.count(b"\n") <= 1 and b"\n" not in seen.rstrip(b"\n"), "several lines:", seen)


@test
def no_progress_is_silent_on_a_terminal():
    part, times = write_big("big")
    status, printed, seen = run_on_terminal("--no-progress", *["big"] * 4)
    check(status == 0 and seen == b"", status, seen)
    check(printed == expected(part, times=4 * times), "printed", printed[:300])


@test
def errors_reach_a_terminal():
    status, printed, seen = run_on_terminal("no-such-file")
    check(status == 1 and printed == b"", status, printed)
    check(b"no-such-file" in seen and seen.endswith(b"\n"), seen)


if __name__ == "__main__":
    print("# STOOK_SEED=%d" % SEED)
    sys.exit(run_tests("command", 2 * TIMEOUT))
