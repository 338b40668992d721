#!/usr/bin/env python3
# A room includes only rooms of its own folder and of those before it, never in a circle, and only the third parties that are its
# own. Usage: includes.py SOURCE
import pathlib
import re
import sys

# Lower ones first; the last is daemon/ itself.
FOLDERS = ("base", "rules", "cache", "dns", "redis", "store", "resolve", "serve", "control", "config", ".")

THIRD_PARTIES = {
    "confuse.h": {"conffile"},
    "idn2.h": {"name"},
    "xxhash.h": {"name", "digest", "image"},
    "ares.h": {"channel"},
    "protobuf-c/protobuf-c.h": set(),
    "mxway.pb-c.h": set(),
    "control.pb-c.h": {"control", "job", "show"},
    "ev.h": {"mailbox", "worker", "acceptor", "channel", "nameserver", "dns", "server", "snapshot", "api", "control", "node",
             "hostname", "resp", "dial", "link", "members", "sentinel", "ear", "master", "cluster", "sharing",
             "orders"},
    # Who reads replies; resp alone has to do with connections.
    "hiredis/hiredis.h": {"resp", "dial", "link", "shardmap", "sentinel", "master", "cluster", "fleet",
                          "appraise", "leases", "writebehind", "storeread", "teller", "bulletin",
                          "keyscan", "warm"},
    "hiredis/async.h": set(),
    "sodium.h": {"seal"},
    "openssl/err.h": {"link_tls"},
    "openssl/ssl.h": {"link_tls"},
    "openssl/x509v3.h": {"link_tls"},
    "jansson.h": set(),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def includes(daemon):
    """(path, line, room, what is included) of every line that includes something; a room is FOLDER/NAME."""
    for path in sorted(daemon.rglob("*.[ch]")):
        room = path.relative_to(daemon).with_suffix("").as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := INCLUDE.match(line):
                yield path, number, room, match.group(1)


def folder_of(room):
    return pathlib.PurePosixPath(room).parent.as_posix()


def judge(room, header, rooms):
    """What is wrong with an include of `header` in `room`, or None."""
    if header in THIRD_PARTIES:
        allowed = ", ".join(sorted(THIRD_PARTIES[header])) or "no room"
        return None if pathlib.PurePosixPath(room).name in THIRD_PARTIES[header] else f"{header} is for {allowed}"
    other = header[: -len(".h")]
    if other not in rooms:
        named = [one for one in rooms if pathlib.PurePosixPath(one).name == other]
        return f'{header} is "{named[0]}.h"' if named else None
    own, its = (FOLDERS.index(folder_of(one)) for one in (room, other))
    if its > own:
        return f"{room} includes {other}: {FOLDERS[its]} is not below {FOLDERS[own]}"
    return None


def find_circle(uses):
    """Rooms that include each other in a circle, or None."""
    done = set()

    def walk(room, way):
        if room in way:
            return way[way.index(room) :] + [room]
        if room in done:
            return None
        for other in sorted(uses.get(room, ())):
            if circle := walk(other, way + [room]):
                return circle
        done.add(room)
        return None

    return next((circle for room in sorted(uses) if (circle := walk(room, []))), None)


def main(source):
    daemon = pathlib.Path(source) / "daemon"
    rooms = {path.relative_to(daemon).with_suffix("").as_posix() for path in daemon.rglob("*.h")}
    wrong = [f"daemon/{room}: its folder is not in this script" for room in rooms if folder_of(room) not in FOLDERS]
    uses = {}
    for path, number, room, header in [] if wrong else includes(daemon):
        if problem := judge(room, header, rooms):
            wrong.append(f"{path}:{number}: {problem}")
        if header[: -len(".h")] in rooms - {room}:
            uses.setdefault(room, set()).add(header[: -len(".h")])
    if circle := find_circle(uses):
        wrong.append("in a circle: " + " > ".join(circle))
    for line in wrong:
        print(line)
    return 1 if wrong or not rooms else 0


sys.exit(main(sys.argv[1]))
