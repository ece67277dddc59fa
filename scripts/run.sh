#!/bin/sh
# SPDX-License-Identifier: MIT
# sh scripts/run.sh [SCRIPT [ARGS]]: builds luamp if need be, installs what that takes, and runs the
# script with it; without a script, counts the words of texts that every Debian machine has.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build/release

fail() {
  echo "luamp: $1" >&2
  exit 1
}

if [ $# -eq 0 ]; then
  set -- "$top/scripts/wordcount.lua" /usr/share/common-licenses/*
  for file in /usr/share/doc/*/copyright; do
    if [ -f "$file" ] && [ -r "$file" ]; then set -- "$@" "$file"; fi
  done
fi

# A script that reads JSON needs the module for it.
extra=
if [ -f "$1" ] && grep -q 'require *(\{0,1\}"cjson"' "$1" &&
  ! ls /usr/lib/*/lua/5.4/cjson.so /usr/local/lib/lua/5.4/cjson.so >/dev/null 2>&1; then
  extra=lua-cjson
fi

# Two runs at once build one after the other.
mkdir -p "$top/build"
exec 9>"$top/build/lock"
flock 9
if [ -n "$extra" ] || [ ! -e "$build/build.ninja" ] || ! ninja -C "$build" --quiet luamp >"$build/run.log" 2>&1; then
  sh "$top/scripts/deps.sh" build $extra
  if [ ! -e "$build/build.ninja" ]; then
    echo "luamp: building for the first time" >&2
    (cd "$top" && cmake --preset release -DLUAMP_TESTS=OFF >build/run.log 2>&1) || {
      cat "$top/build/run.log" >&2
      fail "cmake failed"
    }
  fi
  ninja -C "$build" --quiet luamp >&2 || fail "the build failed"
fi
exec 9>&-

exec "$build/luamp" "$@"
