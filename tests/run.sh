#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/run.sh [--soak] [CTEST OPTIONS]: installs what the tests need, builds luamp with two
# compilers and three sanitizers, every warning an error, and runs all tests. The options go to ctest:
# sh tests/run.sh -R queue. With --soak, the long runs instead of the quick ones.
# The last line counts: "N passed, N failed". The status is 0 when none failed and at least one ran.
set -u
cd "$(dirname "$0")/.." || exit 1

soak=
if [ "${1-}" = --soak ]; then
  soak=yes
  shift
fi

passed=0
failed=0
skipped=0
failures=
sh scripts/deps.sh tests || {
  echo "0 passed, 1 failed"
  exit 1
}

attribute() { # attribute NAME FILE: of the testsuite element
  sed -n "s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1
}

build() { # one at a time, also with scripts/run.sh
  exec 9>build/lock
  flock 9
  cmake --preset "$1" -DLUAMP_TESTS=ON -DLUAMP_WERROR=ON && ninja -C "build/$1" -k 0
  set -- $?
  exec 9>&-
  return "$1"
}

for preset in release clang asan tsan; do
  build=build/$preset
  mkdir -p "$build"
  echo "== $preset"
  if ! build "$preset" >"$build/build.log" 2>&1 </dev/null; then
    grep -Ev '^(\[[0-9]+/[0-9]+\] |-- |Preset CMake|  [A-Z_]+=|$)' "$build/build.log" | tail -n 100
    echo "the build of preset $preset failed; its log is $build/build.log"
    failed=$((failed + 1))
    failures="$failures $preset:build"
    continue
  fi
  if [ -n "$soak" ]; then set -- -L '^soak$' "$@"; else set -- -LE '^soak$' "$@"; fi
  rm -f "$build/results.xml"
  ctest --test-dir "$build" -j 2 --output-on-failure --output-junit results.xml "$@" </dev/null ||
    [ -e "$build/results.xml" ] || failed=$((failed + 1))
  shift 2
  [ -e "$build/results.xml" ] || continue
  sed -n '/<testsuite /,/>/p' "$build/results.xml" | tr '\n' ' ' >"$build/results.head"
  tests=$(attribute tests "$build/results.head")
  bad=$(attribute failures "$build/results.head")
  off=$(($(attribute skipped "$build/results.head") + $(attribute disabled "$build/results.head")))
  passed=$((passed + tests - bad - off))
  failed=$((failed + bad))
  skipped=$((skipped + off))
  for name in $(sed -n 's/.*<testcase name="\([^"]*\)".*status="fail".*/\1/p' "$build/results.xml"); do
    failures="$failures $preset:$name"
  done
done

echo
[ -z "$failures" ] || echo "failed:$failures"
[ "$skipped" -eq 0 ] || echo "$skipped did not run"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
