#!/usr/bin/env python3
# Each room has its unit test and its header, and each unit test its room. Usage: rooms.py SOURCE
import pathlib
import sys

# These two are tested as a running daemon.
WITHOUT_TEST = {"main", "node"}
# The folders whose files a unit test may be of, and what its name puts before theirs.
TESTED = {"daemon": "", "proto": "", "client": "", "bench": "bench_", "bench/upstream": "upstream_"}
# libmxway, and the targets of the benchmark, are tested as a whole; the room fleet also with each topology.
WHOLES = {"client", "bench_targets", "fleet_calls", "fleet_sentinel", "fleet_cluster"}


def main(source):
    source = pathlib.Path(source)
    rooms = {path.stem for path in (source / "daemon").glob("*.c")}
    tests = {path.stem[len("test_") :] for path in (source / "tests/unit").glob("test_*.c")}
    known = {before + path.stem for folder, before in TESTED.items() for path in (source / folder).glob("*.[ch]")}
    wrong = [f"daemon/{room}.c has no tests/unit/test_{room}.c" for room in rooms - tests - WITHOUT_TEST]
    wrong += [f"tests/unit/test_{test}.c tests no room" for test in tests - known - WHOLES]
    wrong += [f"daemon/{room}.c has no daemon/{room}.h" for room in rooms - {"main"} if not (source / f"daemon/{room}.h").exists()]
    for line in sorted(wrong):
        print(line)
    return 1 if wrong or not rooms else 0


sys.exit(main(sys.argv[1]))
