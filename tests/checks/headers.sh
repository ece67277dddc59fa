#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/headers.sh: every header compiles alone, so none depends on the order of includes.
cd "$(dirname "$0")/../.." || exit 1
status=0
for header in $(find runtime -name '*.h' | sort); do
  # shellcheck disable=SC2046
  gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Iruntime -Iruntime/include \
    $(pkg-config --cflags lua5.4) -include "$header" -x c /dev/null || status=1
done
exit $status
