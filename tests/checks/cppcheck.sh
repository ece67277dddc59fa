#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/cppcheck.sh BUILD_DIR: cppcheck on the library and the executable.
cd "$(dirname "$0")/../.." || exit 1
cache=$1/cppcheck
mkdir -p "$cache"
# missingInclude*: system headers are not read, cppcheck brings its own knowledge of them.
# unusedFunction and style are not enabled: the compiler and clang-tidy do that better.
# nullPointerRedundantCheck etc. stay on; a false alarm is silenced in the line, with its reason.
exec cppcheck --quiet --enable=warning,performance,portability --std=c11 --platform=unix64 \
  --library=posix --library=gnu --inline-suppr --error-exitcode=1 -j 2 --cppcheck-build-dir="$cache" \
  --suppress=missingInclude --suppress=missingIncludeSystem \
  -D__x86_64__=1 -D__linux__=1 -D__GNUC__=12 -D_GNU_SOURCE=1 -DNDEBUG=1 -Iruntime -Iruntime/include runtime
