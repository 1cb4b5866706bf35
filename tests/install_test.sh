#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs from a plain build, then builds programs against it as a user would, by pkg-config (B100):
#   install_test.sh PROJECT_ROOT
# It also checks that the shared libraries show nothing but the public names.

root=$1
cc=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"

echo "TAP version 13"
echo "1..9"
number=0
failed=0

# check DESCRIPTION COMMAND...
check() {
    number=$((number + 1))
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        echo "ok $number - $what"
    else
        cat "$work/log" >&2
        echo "not ok $number - $what"
        failed=1
    fi
}

install_all() {
    meson setup "$work/build" "$root" --prefix "$prefix" --libdir lib -Dtests=disabled &&
        meson install -C "$work/build"
}

# consume PROGRAM PACKAGE [--static]
consume() {
    flags=$(pkg-config --cflags --libs $3 "$2") &&
        $cc -std=c11 -Wall -Wextra -Werror "$work/$1.c" -o "$work/$1" $flags ${3:+-static} &&
        "$work/$1"
}

# A shared program, as opposed to a static one, must have used the shared libraries.
links_shared() {
    ldd "$work/$1" | grep "libstook[a-z-]*\.so\.[0-9]* => $prefix"
}

version_agrees() {
    [ "$(pkg-config --modversion stook)" = "$(pkg-config --modversion stook-mr)" ] &&
        "$prefix/bin/stook" --version | grep -F "$(pkg-config --modversion stook)"
}

# exports_only LIBRARY PREFIX [NAME...]: no other names; none with the __ of what is internal but
# NAMEs, which inline functions of the headers call
exports_only() {
    library=$1
    prefix_of_names=$2
    shift 2
    nm -D --defined-only "$prefix/lib/$library" | awk '{ print $3 }' >"$work/names"
    printf '%s\n' "$@" >"$work/called_inline"
    grep -q "^${prefix_of_names}_" "$work/names" &&
        ! grep -v "^${prefix_of_names}_[a-z]" "$work/names" | grep -vxFf "$work/called_inline"
}

cat >"$work/executor.c" <<'END'
#include <stook/stook.h>
#include <string.h>

static int set(void *arg, void **ret_value)
{
    *ret_value = arg;
    return 0;
}

int main(void)
{
    stook_executor *executor;
    stook_future *future;
    int ok;
    if (stook_executor_create(NULL, &executor) != STOOK_OK ||
        stook_executor_submit(executor, set, NULL, &future) != STOOK_OK) {
        return 1;
    }
    ok = stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK;
    stook_future_release(future);
    stook_executor_destroy(executor);
    return ok && strcmp(stook_version(), STOOK_VERSION) == 0 ? 0 : 1;
}
END
cat >"$work/mapreduce.c" <<'END'
#include <stook/mapreduce.h>
#include <stook/stook.h>

int main(void)
{
    stook_executor *executor;
    if (stook_executor_create(NULL, &executor) != STOOK_OK) {
        return 1;
    }
    stook_executor_destroy(executor);
    return mr_hash(mr_slice_str("a")) != mr_hash(mr_slice_str("b")) ? 0 : 1;
}
END

check "B100 installs from a plain build" install_all
check "B100 consumer of stook, shared" consume executor stook
check "B100 it uses the shared library" links_shared executor
check "B100 consumer of stook-mr, shared" consume mapreduce stook-mr
check "B100 consumer of stook, static" consume executor stook --static
check "B100 consumer of stook-mr, static" consume mapreduce stook-mr --static
check "the command, the libraries and the files of pkg-config are of one version" version_agrees
check "libstook exports stook_* only" exports_only libstook.so stook \
    stook__fork_misused stook__fork_slowly stook__join_slowly
check "libstook-mr exports mr_* only" exports_only libstook-mr.so mr
exit $failed
