#!/usr/bin/env python3
# No call of a function that overruns, wraps or guesses. Usage: banned.py SOURCE
import pathlib
import re
import sys

BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "strtok", "atoi", "atol", "gets", "rand", "srand", "alloca", "strncpy")
FOLDERS = ("daemon", "proto", "client", "include", "tests", "bench")

CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_of(text):
    """`text` with comments and literals blanked, line by line as before."""
    return NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def main(source):
    wrong = 0
    for folder in FOLDERS:
        for path in sorted((pathlib.Path(source) / folder).rglob("*.[ch]")):
            for number, line in enumerate(code_of(path.read_text()).splitlines(), 1):
                for match in CALL.finditer(line):
                    print(f"{path}:{number}: {match.group(1)}() is banned")
                    wrong = 1
    return wrong


sys.exit(main(sys.argv[1]))
