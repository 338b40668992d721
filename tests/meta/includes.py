#!/usr/bin/env python3
# A room includes only rooms of lower levels, and only the third parties that are its own. Usage: includes.py SOURCE
import pathlib
import re
import sys

# Lower rows first; rooms of the first row may include each other.
LEVELS = (
    ("error", "log", "stats", "address", "conffile", "clock", "random", "mailbox", "worker", "qsbr", "heap", "table",
     "arena", "queue", "slots", "blocks", "listen", "story", "request", "digest", "frame", "wire", "dueline", "outbox", "acceptor",
     "breaker", "rediserror", "hostname", "link_target", "secret", "link_tls", "namelist"),
    ("name", "verdict", "ttl", "reach", "site", "seal", "backlog", "resp", "shardmap"),
    ("facts", "wishes", "dial", "forgotten"),
    ("judge", "ordering", "setting", "dnsmsg", "intern", "entries", "octets", "link"),
    ("override", "cache", "channel", "route", "health", "dnsquery", "dnsqueue", "dnsstory", "image",
     "members", "sentinel", "ear", "notice"),
    ("options", "reply", "demands", "nameserver", "server", "pinned", "explain", "load", "dump", "question", "record",
     "master", "cluster", "followed"),
    ("dns", "config", "express", "fleet", "appraise", "seen", "purged"),
    ("chase", "resolvconf", "snapshot", "leases", "keyscan", "teller"),
    ("learn", "writebehind", "storeread"),
    ("store",),
    ("fetch", "bulletin"),
    ("hosts", "mx"),
    ("stale",),
    ("flight",),
    ("resolver",),
    ("miss", "purge", "show", "warm"),
    ("api", "job", "orders", "sharing"),
    ("control",),
    ("node",),
    ("main",),
)

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


def level_of(room):
    for level, rooms in enumerate(LEVELS):
        if room in rooms:
            return level
    return None


def judge(room, header):
    """What is wrong with an include of `header` in `room`, or None."""
    if header in THIRD_PARTIES:
        allowed = ", ".join(sorted(THIRD_PARTIES[header])) or "no room"
        return None if room in THIRD_PARTIES[header] else f"{header} is for {allowed}"
    if "/" in header or not header.endswith(".h"):
        return None
    other = header[: -len(".h")]
    own, its = level_of(room), level_of(other)
    if own is None:
        return f"room {room} has no level: give it one in this script"
    if its is None or other == room or its < own or own == its == 0:
        return None
    return f"{room} (level {own}) includes {other} (level {its})"


def main(source):
    daemon = pathlib.Path(source) / "daemon"
    rooms = {path.stem for path in daemon.glob("*.h")}
    wrong = []
    for path in sorted(daemon.glob("*.[ch]")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            header = match.group(1)
            problem = judge(path.stem, header)
            if problem is None and header[:-2] in rooms and level_of(header[:-2]) is None:
                problem = f"room {header[:-2]} has no level: give it one in this script"
            if problem:
                wrong.append(f"{path}:{number}: {problem}")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1]))
