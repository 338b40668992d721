#!/usr/bin/env python3
# The options of mxwayd are those of its manual and of its sample configuration. Usage: options.py SOURCE MXWAYD
import pathlib
import re
import subprocess
import sys
import tempfile

OPTION = re.compile(r"^([a-z][a-z-]*) = (.*)$", re.M)
IN_MANUAL = re.compile(r"^\*([a-z][a-z-]*)\* = (?:(?!^\*).*\n)*?\tDefault: \*(.*)\*\.$", re.M)


def run(mxwayd, *arguments):
    done = subprocess.run([mxwayd, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"mxwayd {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
        sys.exit(1)
    return done.stdout


def compare(what, found, expected):
    wrong = [f"{what}: {name} is missing" for name in expected if name not in found]
    wrong += [f"{what}: {name} is no option" for name in found if name not in expected]
    wrong += [
        f"{what}: the default of {name} is {expected[name]}, not {found[name]}"
        for name in found
        if name in expected and found[name] != expected[name]
    ]
    return wrong


def check_sample(sample, printed, mxwayd):
    wrong = []
    if not sample.read_text().endswith("\n\n" + OPTION.sub(r"#\1 = \2", printed)):
        wrong.append(f"{sample}: is not what mxwayd -c /dev/null --print-config prints, with # before each name")
    run(mxwayd, "-t", "-c", str(sample))
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as bare:
        bare.write(re.sub(r"^#(?=[a-z])", "", sample.read_text(), flags=re.M))
        bare.flush()
        if run(mxwayd, "-c", bare.name, "--print-config") != printed:
            wrong.append(f"{sample}: without its # it does not set the defaults")
    return wrong


def main(source, mxwayd):
    source = pathlib.Path(source)
    printed = run(mxwayd, "-c", "/dev/null", "--print-config")
    expected = {name: value.strip('"') for name, value in OPTION.findall(printed)}
    manual = (source / "daemon/mxwayd.8.scd").read_text()
    sample = source / "deploy/mxwayd.conf"
    in_sample = {
        name: value.strip('"') for name, value in re.findall(r"^#([a-z][a-z-]*) = (.*)$", sample.read_text(), re.M)
    }
    in_manual = {name: value.strip('"') for name, value in IN_MANUAL.findall(manual)}
    wrong = compare("manual", in_manual, expected)
    wrong += compare("sample", in_sample, expected)
    wrong += check_sample(sample, printed, mxwayd)
    help_text = run(mxwayd, "--help")
    wrong += [f"--help: {name} is missing" for name in expected if f"\n  {name}: " not in help_text]
    for line in wrong:
        print(line)
    return 1 if wrong or not expected else 0


sys.exit(main(*sys.argv[1:3]))
