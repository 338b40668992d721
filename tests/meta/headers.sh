#!/bin/sh
# Each header compiles alone. Usage: headers.sh SOURCE [BUILD] (BUILD/proto holds the generated header)
set -u
source=$1
build=${2:-}
compiler=${CC:-cc}
wrong=0

# $1: the header, the rest: options of the compiler
compiles() {
  header=$1
  shift
  if ! "$compiler" -fsyntax-only -x c -Wall -Wextra -Werror -DCARES_NO_DEPRECATED -I"$source/daemon" \
    -I"$source/proto" -I"$source/client" -I"$source/include" -I"$source/tests/unit" -I"$source/bench" -I"$source/bench/upstream" \
    ${build:+-I"$build/proto"} -I/usr/include/libev "$@" "$header"; then
    echo "$header does not compile alone ($*)"
    wrong=1
  fi
}

for header in "$source"/daemon/*.h "$source"/daemon/*/*.h "$source"/proto/*.h "$source"/client/*.h "$source"/tests/unit/*.h \
  "$source"/bench/*.h "$source"/bench/upstream/*.h; do
  if [ -e "$header" ]; then
    compiles "$header" -std=gnu11 -D_GNU_SOURCE
  fi
done
# What is installed is compiled by strangers, with the compilers of strangers.
for header in "$source"/include/mxway/*.h; do
  compiles "$header" -std=c99 -pedantic-errors
  if command -v c++ >/dev/null; then
    c++ -fsyntax-only -x c++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror "$header" || wrong=1
  fi
done
exit $wrong
