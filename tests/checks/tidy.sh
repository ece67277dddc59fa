#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/tidy.sh BUILD_DIR: clang-tidy on every C file of the compile database there.
# A file that passed is not looked at again until it, a header or .clang-tidy changed.
cd "$(dirname "$0")/../.." || exit 1
build=$1
cache=$build/tidy
mkdir -p "$cache"
common=$({ cat .clang-tidy; find runtime tests -name '*.h' -print0 | sort -z | xargs -0 cat; } | sha256sum)
sed -n 's/^ *"file": "\(.*\)",*$/\1/p' "$build/compile_commands.json" | sort -u |
  grep -v "^$(pwd)/build/" | while read -r file; do
    key=$({ echo "$common $file"; cat "$file"; } | sha256sum | cut -c 1-40)
    [ -e "$cache/$key" ] || printf '%s %s\n' "$cache/$key" "$file"
  done | BUILD="$build" xargs -r -P 2 -L 1 sh -c '
    # "warnings generated" counts what was suppressed in system headers.
    if clang-tidy --quiet -p "$BUILD" "$1" >"$0.out" 2>&1; then
      mv "$0.out" "$0"
    else
      grep -v "warnings\? generated" "$0.out"
      rm -f "$0.out"
      exit 1
    fi'
