#!/usr/bin/env python3
# Each room has its unit test, its header and its place in the table of the README, and each unit test its room.
# Usage: rooms.py SOURCE
import pathlib
import re
import sys

# These two are tested as a running daemon.
WITHOUT_TEST = {"main", "node"}
# The folders beside daemon/ whose files a unit test may be of, and what its name puts before theirs.
TESTED = {"proto": "", "client": "", "bench": "bench_", "bench/upstream": "upstream_"}
# libmxway, and the targets of the benchmark, are tested as a whole; the room fleet also with each topology.
WHOLES = {"client", "bench_targets", "fleet_calls", "fleet_sentinel", "fleet_cluster"}


def main(source):
    source = pathlib.Path(source)
    paths = {path.stem: path.with_suffix("") for path in sorted((source / "daemon").rglob("*.c"))}
    rooms = set(paths)
    tests = {path.stem[len("test_") :] for path in (source / "tests/unit").glob("test_*.c")}
    known = {before + path.stem for folder, before in TESTED.items() for path in (source / folder).glob("*.[ch]")} | rooms
    wrong = [f"{path} and {paths[path.stem]} have one name" for path in (source / "daemon").rglob("*.c") if path.with_suffix("") != paths[path.stem]]
    wrong += [f"{paths[room]}.c has no tests/unit/test_{room}.c" for room in rooms - tests - WITHOUT_TEST]
    wrong += [f"tests/unit/test_{test}.c tests no room" for test in tests - known - WHOLES]
    wrong += [f"{paths[room]}.c has no header" for room in rooms - {"main"} if not paths[room].with_suffix(".h").exists()]
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\|(.*)\|$", (source / "README.md").read_text(), re.MULTILINE))
    wrong += [
        f"the README does not name {path.name} in its row of {path.parent.name}"
        for path in paths.values()
        if f"`{path.name}`" not in rows.get(path.parent.name, "")
    ]
    for line in sorted(wrong):
        print(line)
    return 1 if wrong or not rooms else 0


sys.exit(main(sys.argv[1]))
