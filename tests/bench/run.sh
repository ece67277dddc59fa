#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the C peers and runs the benchmarks: sh tests/bench/run.sh --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

if ! command -v lua5.4 >/dev/null; then
  echo "bench: lua5.4 is not installed (apt-get install lua5.4)" >&2
  exit 2
fi
unset LUA_INIT LUA_INIT_5_4 LUA_PATH LUA_PATH_5_4 LUA_CPATH LUA_CPATH_5_4 LUAMP_LOG LUAMP_MEMORY
[ -t 2 ] && export BENCH_TTY=1

peers=$(mktemp -d)
trap 'rm -rf "$peers"' EXIT
trap 'exit 130' INT TERM

build() { # NAME [LIBRARY]
  name=$1
  shift
  "$cc" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$peers/$name" \
    "$here/peers/$name.c" "$@" -lm || exit 2
}

case " $* " in
*" --help "* | *" -h "* | *" --list "*) cc= ;;
*)
  cc=${CC:-cc}
  if command -v "$cc" >/dev/null; then
    build pipe
    build fork
    build spin
    build spawn
    build poll
    if pkg-config --exists lua5.4 2>/dev/null; then
      # shellcheck disable=SC2046 # several words
      build plain $(pkg-config --cflags --libs lua5.4)
    fi
    if echo '#include <zmq.h>' | "$cc" -E - >/dev/null 2>&1; then build zmq -lzmq; fi
  else
    echo "bench: no C compiler: the C peers are skipped" >&2
  fi
  ;;
esac

lua5.4 "$here/bench.lua" --peers "$peers" "$@"
