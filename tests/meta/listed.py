#!/usr/bin/env python3
# Each unit test and each flow test is one that ctest knows, each guard too, and each fuzz target is built and run: a file that
# nobody has put into CMake tests nothing. Usage: listed.py SOURCE BUILD
import pathlib
import re
import sys

# folder, pattern of files, what is before the name in the file's and in ctest's
TESTS = (
    ("unit", "test_*.c", "test_", "unit."),
    ("flow", "test_*.py", "test_", "flow."),
    ("meta", "*.*", "", "meta."),
)
NO_TESTS = {"CMakeLists.txt"}
# What fuzz targets are built from, run by and measured by.
FUZZ_LISTS = ("tests/fuzz/CMakeLists.txt", "tests/run", "tests/fuzz/coverage")


def known_to_ctest(build):
    """The names of all tests, as CMake has written them for ctest: add_test([=[unit.name]=] ...) or add_test(unit.name ...)."""
    files = (build / "tests").rglob("CTestTestfile.cmake")
    return {name for file in files for name in re.findall(r"^add_test\(\s*(?:\[=*\[)?\"?([\w.]+)", file.read_text(), re.MULTILINE)}


def words_of(path):
    """The words of a script, without its comments."""
    return set(re.findall(r"\w+", re.sub(r"(^|\s)#.*", "", path.read_text())))


def unlisted(source, build):
    known = known_to_ctest(build)
    for folder, pattern, before, label in TESTS:
        for path in (source / "tests" / folder).glob(pattern):
            if path.name not in NO_TESTS and label + path.stem[len(before) :] not in known:
                yield f"tests/{folder}/{path.name} is not in CMake: no test {label}{path.stem[len(before):]}"
    for name in FUZZ_LISTS:
        words = words_of(source / name)
        for path in (source / "tests/fuzz").glob("fuzz_*.c"):
            if not {path.stem, path.stem[len("fuzz_") :]} & words:
                yield f"tests/fuzz/{path.name} is not in {name}"


def main(source, build):
    wrong = sorted(unlisted(pathlib.Path(source), pathlib.Path(build)))
    print("\n".join(wrong))
    return 1 if wrong else 0


sys.exit(main(*sys.argv[1:]))
