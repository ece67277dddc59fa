#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/install.sh BUILD_DIR VERSION: installs into a scratch prefix and uses what is there.
set -eu
build=$1
version=$2
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
prefix=$dir/prefix

cmake --install "$build" --prefix "$prefix" >"$dir/log" || { cat "$dir/log"; exit 1; }
libdir=$(dirname "$(find "$prefix" -name libluamp.a)")
for file in include/luamp.h lib/lua/5.4/luamp.so bin/luamp share/man/man1/luamp.1 \
  share/luamp/meta/luamp.lua share/doc/luamp/LICENSE; do
  [ -e "$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
if grep -rIl "$build" "$prefix"; then
  echo "the files above name the build directory"
  exit 1
fi

# An installed tree may be moved.
mv "$prefix" "$dir/moved"
libdir=$dir/moved${libdir#"$prefix"}
prefix=$dir/moved
export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion luamp)" = "$version" ]

# shellcheck disable=SC2046
gcc -std=c99 -pedantic -Wall -Wextra -Werror -o "$dir/shared" "$here/install/host.c" \
  $(pkg-config --cflags --libs luamp)
LD_LIBRARY_PATH=$libdir "$dir/shared"
# shellcheck disable=SC2046
g++ -x c++ -Wall -Wextra -Werror -o "$dir/cplusplus" "$here/install/host.c" -x none \
  $(pkg-config --cflags --libs luamp)
LD_LIBRARY_PATH=$libdir "$dir/cplusplus"
mv "$libdir/libluamp.so" "$dir/" # so that the linker finds the static library only
# shellcheck disable=SC2046
gcc -o "$dir/static" "$here/install/host.c" $(pkg-config --static --cflags --libs luamp)
mv "$dir/libluamp.so" "$libdir/"
"$dir/static"

cmake -S "$here/install" -B "$dir/host" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$version" \
  >"$dir/log" 2>&1 && cmake --build "$dir/host" >>"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
"$dir/host/host_shared"
"$dir/host/host_static"

LUA_CPATH="$prefix/lib/lua/5.4/?.so" lua5.4 -e 'require "luamp"'
"$prefix/bin/luamp" -e 'require "luamp"'
