#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/symbols.sh BUILD_DIR: what the libraries export, and what they need.
build=$1
status=0
complain() {
  status=1
  printf '%s:\n%s\n' "$1" "$2"
}

for lib in libluamp.so.0 luamp.so; do
  names=$(nm -D --defined-only "$build/$lib" | awk '{ print $3 }')
  bad=$(echo "$names" | grep -Ev '^(luamp_|luaopen_luamp)')
  [ -z "$bad" ] || complain "$lib exports" "$bad"
  # A second Lua in the process would be fatal: the program brings the only one.
  bad=$(readelf -d "$build/$lib" | grep NEEDED | grep lua)
  [ -z "$bad" ] || complain "$lib is linked with" "$bad"
  echo "$names" | grep -qx luaopen_luamp || complain "$lib does not export" luaopen_luamp
done

# The static library cannot hide its internals; their prefixes keep them apart from the host's names.
bad=$(nm -g --defined-only "$build/libluamp.a" | awk 'NF == 3 { print $3 }' |
  grep -Ev '^(luamp_|luaopen_luamp|lmp_|l_|DW\.ref\.)')
[ -z "$bad" ] || complain "libluamp.a defines names without a prefix" "$bad"

if [ -e "$build/luamp" ]; then
  names=$(nm -D --defined-only "$build/luamp" | awk '{ print $3 }')
  bad=$(echo "$names" | grep -E '^(lmp|l)_')
  [ -z "$bad" ] || complain "luamp exports internals" "$bad"
  # C modules that scripts load take their Lua from the executable.
  for name in $(nm -D --defined-only "$(pkg-config --variable=libdir lua5.4)/liblua5.4.so.0" |
    awk '$2 == "T" { sub("@.*", "", $3); print $3 }' | grep '^lua'); do
    echo "$names" | grep -qx "$name" || complain "luamp does not export" "$name"
  done
fi
exit $status
