#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `stook` does with input that nobody writes by hand: lines of 100 MB, keys that were crafted,
arbitrary bytes, compressed files that expand a thousandfold or are broken. Called with the path of
the binary and, optionally, with words: then only tests with one of them in their name are run.
Prints TAP. $STOOK_STRESS_SCALE makes the large inputs larger, or smaller."""

import collections
import gzip
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import time
import zlib

sys.dont_write_bytecode = True
from hostile_support import *  # noqa: E402,F403

SEED = int(os.environ.get("STOOK_SEED", str(time.time_ns() % 2**32)), 0)
HUGE = max(1, int((10 if SANITIZER else 100) * SCALE))  # megabytes
LIMIT = "16M"


def words_of(text):
    return re.finditer(rb"[^ \t\n\v\f\r]+", text)


def counts_of(text):
    counts = collections.Counter(word.group() for word in words_of(text))
    return b"".join(b"%s\t%d\n" % pair for pair in sorted(counts.items()))


def index_of(name, text):
    places = {}
    for found in words_of(text):
        places.setdefault(found.group(), []).append(b"%s:%d" % (name, found.start()))
    return b"".join(b"%s\t%s\n" % (word, b",".join(places[word])) for word in sorted(places))


def lines_of(text, literal):
    """As grep prints them: also the last one has a newline."""
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return b"".join(line + b"\n" for line in lines if literal in line)


def with_and_without_limit(check_one):
    for options in ((), ("--memory-limit", LIMIT)):
        check_one(options)


def is_bounded(done, most):
    if not SANITIZER:
        check(done.peak < most, done.args, "took", done.peak >> 20, "MiB")


# --- a line of 100 MB -----------------------------------------------------------------------------


@test
def one_word_of_100_mb():
    repeat("word", b"x" * 10**6, HUGE)

    def printed(before, after):
        return digest_of(itertools.chain([before], (b"x" * 10**6 for _ in range(HUGE)), [after]))

    def check_one(options):
        done = succeeds(None, "wordcount", *options, "word")
        check(done.digest() == printed(b"", b"\t1\n"), "wordcount printed something else")
        is_bounded(done, 6 * HUGE * 10**6 + 60 * MIB)
        done = succeeds(None, "index", *options, "word")
        check(done.digest() == printed(b"", b"\tword:0\n"), "index printed something else")
        done = succeeds(None, "grep", *options, "x", "word")
        check(done.digest() == printed(b"", b"\n"), "grep printed something else")
        succeeds(b"", "grep", *options, "y", "word", status=1)
        succeeds(b"1\n", "grep", *options, "-c", "^x*$", "word")

    with_and_without_limit(check_one)


@test
def one_line_of_100_mb():
    part = b"word " * 200000
    repeat("line", part, HUGE)

    def check_one(options):
        done = succeeds(b"word\t%d\n" % (200000 * HUGE), "wordcount", *options, "line")
        is_bounded(done, 100 * MIB)
        succeeds(b"1\n", "grep", *options, "-c", "word", "line")
        done = succeeds(None, "grep", *options, "wor*d", "line")
        want = digest_of(itertools.chain((part for _ in range(HUGE)), [b"\n"]))
        check(done.digest() == want, "grep printed something else")
        done = succeeds(None, "index", *options, "line")
        want = digest_of(itertools.chain(
            [b"word\tline:0"], (b",line:%d" % (5 * i) for i in range(1, 200000 * HUGE)), [b"\n"]))
        check(done.digest() == want, "index printed something else")

    with_and_without_limit(check_one)


@test
def blanks_of_100_mb():
    repeat("blanks", b" " * 10**6, HUGE)

    def check_one(options):
        is_bounded(succeeds(b"", "wordcount", *options, "blanks"), 100 * MIB)
        is_bounded(succeeds(b"", "index", *options, "blanks"), 100 * MIB)
        succeeds(b"1\n", "grep", *options, "-c", " ", "blanks")
        succeeds(b"0\n", "grep", *options, "-c", "x", "blanks", status=1)

    with_and_without_limit(check_one)


@test
def a_line_beyond_the_offsets_of_regexec():
    if SCALE < 10:
        return "SKIP takes 9 GB of memory: STOOK_STRESS_SCALE=10"
    with open("line", "wb") as file:
        file.write(b"xy")
        file.truncate((1 << 31) + 999)
    fails(["more than 2147483647 bytes", "'line'"], "grep", "-c", "x+y", "line")
    succeeds(b"1\n", "grep", "-c", "xy", "line")


# --- keys that were crafted -----------------------------------------------------------------------


@test
def words_of_equal_hashes():
    """The first 8 bytes make mr_hash() forget the others (see test_mr_keys.c)."""
    crafted = b"\x03\xed\x92\xd1\x32\x4a\xb5\xd1"
    count = max(1000, int((10**5 if SANITIZER else 10**6) * SCALE))
    with open("crafted", "wb") as file:
        for number in range(count):
            file.write(b"%s%08x\n" % (crafted, number * 2654435761 % 2**32))
    want = digest_of(b"%s%08x\t1\n" % (crafted, number)
                     for number in sorted(n * 2654435761 % 2**32 for n in range(count)))
    for options in ((), ("--memory-limit", LIMIT), ("--workers", "8")):
        done = succeeds(None, "wordcount", *options, "crafted")
        check(done.digest() == want, "wordcount", options, "printed something else")
    succeeds(b"%d\n" % count, "grep", "-c", "^", "crafted")
    done = succeeds(None, "index", "--memory-limit", LIMIT, "crafted")
    with open(done.path, "rb") as file:
        check(sum(1 for _ in file) == count, "index printed something else")


# --- arbitrary bytes ------------------------------------------------------------------------------


def hostile_texts():
    chance = random.Random(SEED)
    every = bytes(range(256))
    yield "every", every
    yield "every256", bytes(chance.choices(every, k=1 << 18))
    yield "nul", b"\0" * 100000 + b"x\0x\n\0\n"
    yield "carriage", b"one\rtwo x\r\rthree\r" * 5000
    yield "dos", b"one\r\ntwo x\r\n" * 5000
    yield "utf16", "héllo wörld x\n".encode("utf-16") * 3000
    yield "utf32", "\U0001f33e x y\n".encode("utf-32") * 3000
    yield "invalid", b"\xc3(x \xa0\xa1 \xe2\x28\xa1 \xf8\xa1\xa1\xa1\xa1 \xed\xa0\x80 \xc0\n" * 999
    yield "bom", b"\xef\xbb\xbfx\n"
    yield "newlines", b"\n" * 100000
    yield "ff", b"\xff" * 100000 + b" x"
    yield "nearly-gzip", b"\x1f\x8b\x07x \x1f\x8b\x08x\n" * 100
    yield "nearly-zstd", b"(\xb5/\xfcx (\xb5/\xfd\n" * 100
    yield "tiny-magic", b"\x1f\x8b"


@test
def arbitrary_bytes_are_counted_found_and_indexed():
    for name, text in hostile_texts():
        write(name, text)
        for options in ((), ("--workers", "3"), ("--memory-limit", "8M")):
            succeeds(counts_of(text), "wordcount", *options, name)
            succeeds(index_of(name.encode(), text), "index", *options, name)
            for literal in (b"x", b"\xa0"):
                want = lines_of(text, literal)
                succeeds(want, "grep", *options, literal, name, status=0 if want else 1)
        succeeds(counts_of(text), "wordcount", stdin=text)


# --- compressed -----------------------------------------------------------------------------------


def bomb(name, part, times):
    """Members of 16 MiB, which take 16 KiB."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = b"".join(squeeze.compress(part) for _ in range(16)) + squeeze.flush()
    repeat(name, member, max(1, times // 16))
    return max(1, times // 16) * 16


@test
def a_gzip_bomb_takes_no_more_than_its_limit():
    times = max(1, int((20 if SANITIZER else 256) * SCALE))  # MiB
    times = bomb("words.gz", b"a " * (MIB // 2), times)
    for options in ((), ("--memory-limit", LIMIT)):
        done = succeeds(b"a\t%d\n" % (times * MIB // 2), "wordcount", *options, "words.gz")
        is_bounded(done, 80 * MIB)
    bomb("lines.gz", b"\n" * 1023 + b"a", 1024 * times)
    done = succeeds(b"%d\n" % (times * 1024), "grep", "--memory-limit", LIMIT, "-c", "a",
                    "lines.gz")
    is_bounded(done, 80 * MIB)


@test
def a_zstd_bomb_takes_no_more_than_its_limit():
    if not shutil.which("zstd"):
        return "SKIP no zstd"
    times = max(1, int((20 if SANITIZER else 256) * SCALE))
    repeat("words", b"a " * (MIB // 2), times)
    subprocess.run(["zstd", "-q", "words", "-o", "words.zst"], check=True)
    subprocess.run(["zstd", "-q", "--long=31", "words", "-o", "long.zst"], check=True)
    os.unlink("words")
    is_bounded(succeeds(b"a\t%d\n" % (times * MIB // 2), "wordcount", "--memory-limit", LIMIT,
                        "words.zst"), 80 * MIB)
    done = run("wordcount", "--memory-limit", LIMIT, "long.zst")
    if done.status == 0:
        check(done.read() == b"a\t%d\n" % (times * MIB // 2), "printed something else")
    else:
        is_told(done, ["long.zst", "memory"])
    is_bounded(done, 200 * MIB)


def broken(original, chance):
    """Truncated everywhere in its head and tail, and with one byte changed."""
    size = len(original)
    for cut in [*range(1, 24), *(size - i for i in range(1, 12)), *chance.sample(range(size), 5)]:
        yield "cut to %d" % cut, original[:cut]
    for _ in range(20):
        at = chance.randrange(size)
        yield "byte %d" % at, original[:at] + bytes([original[at] ^ 1 << chance.randrange(8)]) + \
            original[at + 1:]


def check_broken(name, original, text):
    """Told with file and offset; or right, where the change is to bytes that mean nothing."""
    plain = counts_of(text)
    for what, changed in broken(original, random.Random(SEED)):
        write(name, changed)
        done = run("wordcount", name)
        if done.status != 0:
            is_told(done, [name, " offset ", "truncated" if what.startswith("cut") else ""])
            check(os.path.getsize(done.path) == 0, what, "printed", done.read()[:300])
        else:
            # no compressed file any more: its magic is gone
            check(done.read() in (plain, counts_of(changed)), name, what, "is counted as it is not")
    middle = len(original) // 2
    write(name, original[:middle], b"\xff" * 99, original[middle + 99:])
    fails([name, "offset", "corrupt"], "wordcount", name)
    write(name, original[:-5])
    for command in COMMANDS:
        fails([name, "offset"], *command, name)


@test
def broken_gzip_is_told_with_its_place():
    text = b" ".join(b"%x" % (i * i) for i in range(20000))
    check_broken("some.gz", gzip.compress(text), text)


@test
def broken_zstd_is_told_with_its_place():
    if not shutil.which("zstd"):
        return "SKIP no zstd"
    text = b" ".join(b"%x" % (i * i) for i in range(20000))
    original = subprocess.run(["zstd", "-q", "--check", "-c"], input=text, check=True,
                              stdout=subprocess.PIPE).stdout
    check_broken("some.zst", original, text)


@test
def gzip_in_gzip_is_decompressed_once():
    inner = gzip.compress(b"a b c")
    write("nested.gz", gzip.compress(inner))
    succeeds(counts_of(inner), "wordcount", "nested.gz")


@test
def members_follow_each_other_and_rubbish_is_told():
    member = gzip.compress(b"a b ")
    write("two.gz", member, member, gzip.compress(b""), member)
    succeeds(b"a\t3\nb\t3\n", "wordcount", "two.gz")
    for rubbish in (b"x", b"rubbish", b"\x1f\x8b\x08", b"\x1f", b"\x00" * 999 + b"x"):
        write("rubbish.gz", member, rubbish)
        fails(["rubbish.gz", "offset"], "wordcount", "rubbish.gz")


if __name__ == "__main__":
    print("# STOOK_SEED=%d" % SEED)
    sys.exit(run_tests("hostile", 4 * TIMEOUT))
