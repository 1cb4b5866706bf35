#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compiles each public header with nothing else, and twice, as C11 and as C++17 (B99):
#   header_alone.sh INCLUDE_DIR... -- HEADER...
# with the compilers in CC and CXX; without CXX, C++ is skipped.

flags=
while [ "$1" != -- ]; do
    flags="$flags -I$1"
    shift
done
shift

echo "TAP version 13"
echo "1..$(($# * 2))"
number=0
failed=0

# compile DESCRIPTION COMPILER...
compile() {
    number=$((number + 1))
    what=$1
    shift
    if printf '#include <stook/%s>\n#include <stook/%s>\ntypedef int not_empty;\n' "$header" "$header" |
        "$@" -Wall -Wextra -Wpedantic -Werror -Wundef $flags -fsyntax-only - >&2; then
        echo "ok $number - $header $what"
    else
        echo "not ok $number - $header $what"
        failed=1
    fi
}

for header; do
    compile "alone as C11" $CC -std=c11 -Wstrict-prototypes -x c
    if [ -n "$CXX" ]; then
        compile "alone as C++17" $CXX -std=c++17 -x c++
    else
        number=$((number + 1))
        echo "ok $number - $header alone as C++17 # SKIP no C++ compiler"
    fi
done
exit $failed
