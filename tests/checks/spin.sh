#!/bin/sh
# SPDX-License-Identifier: MIT
# sh tests/checks/spin.sh MODEL: an exhaustive search of a Spin model; no errors, nothing cut off.
# Each line "/* args: ... */" of the model is one search: words that begin with -D or -O are for the
# compiler of the verifier, the others for the verifier. Without such a line: -DSAFETY.
# With a line "/* expect: errors */" the model is a mutant, and the search must find an error.
model=$(realpath "$1")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
spin -a "$model" >spin.out 2>&1 || { cat spin.out; exit 1; }
[ -e pan.c ] || { cat spin.out; exit 1; }

grep -qE '^ *(/\*|//) *expect: errors' "$model" && wanted=some || wanted=none
sed -n 's|^ *\(/\*\)\{0,1\}\(//\)\{0,1\} *args: *\(.*\)|\3|p' "$model" | sed 's|\*/.*||' >searches
[ -s searches ] || echo -DSAFETY >searches
while read -r words; do
  for_cc= for_pan=
  for word in $words; do
    case $word in
      -D* | -O*) for_cc="$for_cc $word" ;;
      *) for_pan="$for_pan $word" ;;
    esac
  done
  # shellcheck disable=SC2086
  gcc -O2 -w $for_cc -o pan pan.c || exit 1
  # shellcheck disable=SC2086
  ./pan $for_pan >pan.out 2>&1
  status=$?
  errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.out)
  if [ $status -ne 0 ] && [ -z "$errors" ]; then
    cat pan.out
    exit 1
  elif grep -q 'max search depth too small\|out of memory\|search not completed' pan.out && [ "$wanted" = none ]; then
    cat pan.out
    echo "FAILED: the search was cut off"
    exit 1
  elif [ "$wanted" = none ] && [ "$errors" != 0 ]; then
    cat pan.out
    [ -e "$(basename "$model").trail" ] && spin -t -p -l -g "$model" -k "$(basename "$model").trail" | tail -200
    exit 1
  elif [ "$wanted" = some ] && [ "$errors" = 0 ]; then
    cat pan.out
    echo "FAILED: a mutant that the search does not catch"
    exit 1
  fi
  grep -E 'State-vector|errors:|states, stored' pan.out
done <searches
