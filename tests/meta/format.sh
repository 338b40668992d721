#!/bin/sh
# All C code is as clang-format 14 leaves it; exit 77 without that version. Usage: format.sh SOURCE
set -u
cd "$1" || exit 1

formatter=
for candidate in clang-format-14 clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q 'version 14\.'; then
    formatter=$candidate
    break
  fi
done
if [ -z "$formatter" ]; then
  echo "SKIPPED: there is no clang-format 14 here"
  exit 77
fi

folders=
for folder in daemon proto client include tests bench; do
  if [ -d "$folder" ]; then
    folders="$folders $folder"
  fi
done
# shellcheck disable=SC2086 # a list of plain words
find $folders -name '*.[ch]' -print0 | xargs -0 "$formatter" --dry-run -Werror
