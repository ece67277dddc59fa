#!/bin/sh
# SPDX-License-Identifier: MIT
# sh scripts/deps.sh build|tests [PACKAGE...]: installs the Debian packages that are missing for a
# build, or for all the tests, and the further ones named. Says what it installs; asks nothing.
set -eu

packages="gcc libc6-dev cmake ninja-build pkg-config liblua5.4-dev"
case ${1-} in
  build) ;;
  tests)
    packages="$packages g++ binutils lua5.4 libedit2 libcmocka-dev lua-busted lua-check lua-cjson
      lua-luv lua-cqueues
      clang libclang-rt-14-dev clang-tidy clang-format cppcheck valgrind make spin python3"
    ;;
  *)
    echo "usage: sh scripts/deps.sh build|tests [PACKAGE...]" >&2
    exit 2
    ;;
esac
shift
packages="$packages $*"

if ! command -v dpkg-query >/dev/null; then
  echo "deps.sh: this is not a Debian system; needed are, by their Debian names:" $packages >&2
  exit 0
fi

missing=
# shellcheck disable=SC2086
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null || true)
for package in $packages; do
  case "
$installed
" in
    *"
installed $package
"*) ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

echo "luamp: installing with apt-get:$missing" >&2
if [ "$(id -u)" -eq 0 ]; then
  sudo=
elif command -v sudo >/dev/null; then
  sudo=sudo
else
  echo "luamp: these packages are missing, and there is neither root nor sudo to install them:" >&2
  echo "  apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
# shellcheck disable=SC2086
{
  $sudo apt-get -qq update &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing
} >&2 </dev/null || {
  echo "luamp: apt-get could not install:$missing" >&2
  exit 1
}
