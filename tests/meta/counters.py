#!/usr/bin/env python3
# The counters of daemon/base/stats.h are those of the manual, with the same texts. Usage: counters.py SOURCE
import pathlib
import re
import sys

ROW = re.compile(r'X\(([A-Z_]+),\s*"([a-z-]+)",\s*"([^"]*)"\)')
SECTION = re.compile(r"^# COUNTERS$(.*?)^# ", re.M | re.S)
ENTRY = re.compile(r"^\*([a-z-]+)\*\n\t(.*)$", re.M)


def main(source):
    source = pathlib.Path(source)
    rows = ROW.findall((source / "daemon/base/stats.h").read_text())
    table = [(name, text) for _, name, text in rows]
    section = SECTION.search((source / "daemon/mxwayd.8.scd").read_text())
    manual = ENTRY.findall(section.group(1)) if section else []
    wrong = [f"counter {name} ({text}) is missing in the manual" for name, text in table if (name, text) not in manual]
    wrong += [f"the manual's {name} ({text}) is no counter" for name, text in manual if (name, text) not in table]
    wrong += [f"{name} is not {id} in small letters" for id, name, _ in rows if id.lower().replace("_", "-") != name]
    if not wrong and manual != table:
        wrong.append("the manual has the counters in another order")
    for line in wrong:
        print(line)
    return 1 if wrong or not table else 0


sys.exit(main(sys.argv[1]))
