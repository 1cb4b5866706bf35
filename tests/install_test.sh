#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs from a plain build, then builds programs against it as a user would (B100): by pkg-config,
# by CMake, and with the project as a subproject of Meson.
#   install_test.sh PROJECT_ROOT
# It also checks that the shared libraries show nothing but the public names.

root=$1
cc=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"

echo "TAP version 13"
echo "1..13"
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

# What CMake finds; a version of the next major one must not do.
consume_by_cmake() {
    mkdir -p "$work/cmake" && cat >"$work/cmake/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(consumer C)
find_package(stook @version@ REQUIRED)
add_executable(executor ../executor.c)
target_link_libraries(executor stook::stook)
add_executable(mapreduce ../mapreduce.c)
target_link_libraries(mapreduce stook::stook-mr)
find_package(stook 1.0 QUIET)
if(stook_FOUND)
    message(FATAL_ERROR "0.x is not 1.0")
endif()
END
    sed -i "s/@version@/$(pkg-config --modversion stook)/" "$work/cmake/CMakeLists.txt" &&
        cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$work/cmake/build" &&
        "$work/cmake/build/executor" && "$work/cmake/build/mapreduce"
}

# As a subproject: neither tests nor examples are built.
consume_by_meson() {
    mkdir -p "$work/meson/subprojects" && ln -s "$root" "$work/meson/subprojects/stook" &&
        cat >"$work/meson/meson.build" <<'END' &&
project('consumer', 'c', default_options: ['c_std=c11'])
stook = dependency('stook', fallback: 'stook')
mr = dependency('stook-mr', fallback: 'stook')
executable('executor', 'executor.c', dependencies: stook)
executable('mapreduce', 'mapreduce.c', dependencies: mr)
END
        cp "$work/executor.c" "$work/mapreduce.c" "$work/meson" &&
        PKG_CONFIG_PATH= meson setup "$work/meson/build" "$work/meson" \
            --wrap-mode=nodownload --force-fallback-for=stook,stook-mr &&
        meson compile -C "$work/meson/build" &&
        "$work/meson/build/executor" && "$work/meson/build/mapreduce" &&
        [ ! -e "$work/meson/build/subprojects/stook/tests" ]
}

# The names that a shared library shows are those of a list, which is changed on purpose only.
exports_listed() {
    nm -D --defined-only "$prefix/lib/lib$1.so" | awk '{ print $3 }' | LC_ALL=C sort |
        diff "$root/tests/exports/$1" -
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
if command -v cmake >/dev/null; then
    check "B100 consumer by CMake" consume_by_cmake
else
    number=$((number + 1))
    echo "ok $number - B100 consumer by CMake # SKIP there is no cmake"
fi
check "B100 consumer that has it as a subproject" consume_by_meson
check "libstook exports stook_* only" exports_only libstook.so stook \
    stook__fork_misused stook__fork_slowly stook__join_slowly
check "libstook-mr exports mr_* only" exports_only libstook-mr.so mr
check "libstook exports what is listed" exports_listed stook
check "libstook-mr exports what is listed" exports_listed stook-mr
exit $failed
