#!/bin/sh
# libmxway.so defines no symbol but mxway_*; exit 77 without the library. Usage: exports.sh LIBRARY
set -u
library=$1
if [ ! -e "$library" ]; then
  echo "SKIPPED: there is no $library"
  exit 77
fi

symbols=$(nm -D --defined-only "$library" | awk '{ print $NF }')
if ! echo "$symbols" | grep -q '^mxway_'; then
  echo "$library exports nothing"
  exit 1
fi
foreign=$(echo "$symbols" | grep -v '^mxway_')
if [ -n "$foreign" ]; then
  echo "$library exports what is not its own:"
  echo "$foreign"
  exit 1
fi
