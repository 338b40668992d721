#!/usr/bin/env python3
# No committed file names a place that exists on one machine only, or a package host. Usage: words.py SOURCE
import pathlib
import re
import subprocess
import sys

# In pieces, so that this file does not hold what it looks for.
PLACES = ("/" + "work/",)
HOSTS = ("deb.debian" + ".org", "security.debian" + ".org", "archive.ubuntu" + ".com", "security.ubuntu" + ".com",
         "pypi" + ".org", "registry.npmjs" + ".org")

FOUND = re.compile("|".join([r"(?<![\w.])" + re.escape(place) for place in PLACES] + [re.escape(host) for host in HOSTS]))


def committed(source):
    listed = subprocess.run(["git", "-C", source, "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return None
    return [pathlib.Path(source) / name for name in listed.stdout.split("\0") if name]


def main(source):
    files = committed(source)
    if files is None:
        print("SKIPPED: this is no git checkout")
        return 77
    wrong = 0
    for path in files:
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if FOUND.search(line):
                print(f"{path}:{number}: {line.strip()}")
                wrong = 1
    return wrong


sys.exit(main(sys.argv[1]))
