#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/format.sh [--fix]: the C files against .clang-format.
cd "$(dirname "$0")/../.." || exit 1
files=$(find runtime tests -name '*.[ch]' | sort)
# shellcheck disable=SC2086
if [ "${1-}" = --fix ]; then exec clang-format -i --style=file $files; fi
# shellcheck disable=SC2086
bad=$(clang-format --dry-run --style=file $files 2>&1 | sed -n 's/:[0-9]*:[0-9]*: warning:.*violations.*//p' | uniq -c)
[ -n "$bad" ] || exit 0
echo "places that clang-format would change; sh tests/checks/format.sh --fix does it:"
echo "$bad"
exit 1
