"""Forty thousand real mail domains, and the odd ones, from nsd through mxwayd and the tool.

MXWAY_DATA is a folder with mail-domains.tsv and mail-oddities.tsv, which are not part of the project.
Without them this test is skipped, aloud.
"""
import os
import re
import sys
import time
import unicodedata
import unittest
from collections import Counter
from pathlib import Path

from harness import PATIENCE_S, ROOT, FlowTest, json_lines, run_tool

DATA = Path(os.environ.get("MXWAY_DATA") or ROOT.parent / "shared" / "data")
TOOL_TIMEOUT_S = 10 * PATIENCE_S

# What the routing rules can say of a domain that exists or not, at depth exchanges.
DOCUMENTED = {"ROUTE", "NULL_MX", "NO_SUCH_DOMAIN", "MX_ALL_INVALID"}


def setUpModule():
    absent = [name for name in ("mail-domains.tsv", "mail-oddities.tsv") if not (DATA / name).exists()]
    if absent:
        message = f"SKIPPED: real mail domains are absent: no {' and '.join(absent)} in {DATA}"
        print(message, file=sys.stderr)
        raise unittest.SkipTest(message)


def rows(name):
    with open(DATA / name, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                yield line.rstrip("\n").split("\t")


def a_label(name):
    """U-labels to A-labels: the names of the data are lower case already."""
    labels = []
    for label in unicodedata.normalize("NFC", name).split("."):
        labels.append(label if label.isascii() else "xn--" + label.encode("punycode").decode())
    return ".".join(labels)


def quoted(name):
    """A name for a master file, absolute: octets that mean something there are escaped."""
    return re.sub(r"([^A-Za-z0-9._\\*:/~-])", lambda m: f"\\{ord(m[1]):03d}", name.rstrip(".")) + "."


def levels(exchanges):
    """(preference, sorted hosts) of each level, in the order given."""
    found = []
    for preference, host in exchanges:
        if not found or found[-1][0] != preference:
            found.append((preference, []))
        found[-1][1].append(host)
    return [(preference, tuple(sorted(hosts))) for preference, hosts in found]


def levels_of_answer(answer):
    return levels((exchange["preference"], exchange["host"]) for exchange in answer["exchanges"])


class Domain:
    """A row of mail-domains.tsv."""

    def __init__(self, row):
        self.name, self.kind, ttl, negative_ttl, records = row[:5]
        self.key = a_label(self.name)
        self.ttl = int(ttl if ttl != "-" else negative_ttl)
        self.records = []
        if records != "-":
            self.records = [(int(p), h) for p, h in (record.split(" ", 1) for record in records.split(";"))]

    def zone_lines(self):
        if self.kind == "nodata":
            return f'{quoted(self.key)} {self.ttl} TXT "no mail"\n'
        return "".join(f"{quoted(self.key)} {self.ttl} MX {p} {quoted(host)}\n" for p, host in self.records)

    def expected(self):
        """(verdict, implicit, levels)"""
        if "." not in self.name:
            return "INVALID_NAME", False, []  # Q6
        if self.kind == "nxdomain":
            return "NO_SUCH_DOMAIN", False, []
        if self.kind == "nullmx":
            return "NULL_MX", False, []
        if self.kind == "nodata":
            return "ROUTE", True, [(0, (self.key,))]
        best = {}  # V15: a host named twice counts at its lowest preference.
        for preference, host in self.records:
            host = host.lower().rstrip(".")
            if "\\" in host:
                continue  # V11: an octet that is in no host name.
            best[host] = min(preference, best.get(host, preference))
        return "ROUTE", False, levels(sorted((preference, host) for host, preference in best.items()))


NEGATIVE_ROOT_S = 900
MAX_NEGATIVE_S = 3600  # mxwayd's default


class MailDomains(FlowTest):
    def serve(self, domains):
        """nsd with every domain; one without MX is a zone of its own where it can be, for its negative TTL.
        Gives `lives`: how long each answer holds."""
        parents = {".".join(d.key.split(".")[i:]) for d in domains for i in range(1, d.key.count(".") + 1)}
        zones, root, self.lives = [], [], {}
        for domain in domains:
            self.lives[domain.name] = NEGATIVE_ROOT_S if domain.kind in ("nodata", "nxdomain") else domain.ttl
            if domain.kind == "nodata" and domain.key not in parents:
                self.lives[domain.name] = min(domain.ttl, MAX_NEGATIVE_S)
                head = f"@ {domain.ttl} SOA ns.mxway.test. root.mxway.test. 1 2 3 4 {domain.ttl}\n"
                zones.append((domain.key, head + "@ 900 NS ns.mxway.test.\n"))
            else:
                root.append(domain.zone_lines())
        return self.start_nsd("".join(root), zones=zones, soa=(NEGATIVE_ROOT_S, NEGATIVE_ROOT_S))

    def ask_all(self, daemon, names, depth="exchanges"):
        result = run_tool(
            "lookup", "-", "--depth", depth, "--json", "--socket", daemon.socket_path,
            stdin="".join(f"{name}\n" for name in names), timeout_s=TOOL_TIMEOUT_S,
        )  # fmt: skip
        self.assertIn(result.returncode, (0, 1, 75), result.stderr)
        answers = json_lines(result.stdout)
        counts = Counter(answer["domain"] for answer in answers)
        self.assertEqual([name for name, count in counts.items() if count > 1], [], "answered more than once")
        missing = set(names) - set(counts)
        self.assertEqual((len(missing), sorted(missing)[:20]), (0, []), "not answered")
        self.assertEqual(len(answers), len(names))
        return {answer["domain"]: answer for answer in answers}

    def test_every_domain_twice(self):
        domains = [Domain(row) for row in rows("mail-domains.tsv")]
        self.assertGreater(len(domains), 40_000)
        names = [domain.name for domain in domains]
        # The single-label row is no name without allow-single-label: see expected().
        daemon = self.start_daemon(self.serve(domains))
        start_s = time.monotonic()
        first = self.ask_all(daemon, names)
        middle = daemon.counters()
        second = self.ask_all(daemon, names)
        elapsed_s = time.monotonic() - start_s
        end = daemon.counters()
        print(f"{len(domains)} domains twice in {elapsed_s:.1f} s, {end['dns-queries']} queries", file=sys.stderr)

        for attempt, answers in (("first", first), ("second", second)):
            wrong = []
            for domain in domains:
                answer = answers[domain.name]
                got = answer["verdict"], answer["implicit"], levels_of_answer(answer)
                if got != domain.expected():
                    wrong.append((domain.name, got, domain.expected()))
            self.assertEqual((len(wrong), wrong[:10]), (0, []), f"wrong in the {attempt} pass")

        self.check_lifetimes(domains, first)
        self.assertEqual(end["cache-evictions"], 0)
        # What could have expired between its first answer and the end may have been asked for again.
        expirable = {name for name, life_s in self.lives.items() if life_s <= elapsed_s}
        again = [d.name for d in domains if second[d.name]["source"] == "DNS" and d.name not in expirable]
        self.assertEqual(again[:10], [], "asked for again though not expired")
        self.assertLessEqual(end["dns-queries"] - middle["dns-queries"], 3 * len(expirable))
        self.assertLessEqual(end["misses"] - middle["misses"], len(expirable))

    def check_lifetimes(self, domains, answers):
        wrong = []
        for domain in domains:
            answer = answers[domain.name]
            if answer["source"] == "DNS" and answer["mx_ttl"] != self.lives[domain.name]:
                wrong.append((domain.name, answer["mx_ttl"], self.lives[domain.name]))
        self.assertEqual((len(wrong), wrong[:10]), (0, []), "wrong lifetimes")

    def test_oddities(self):
        """Every row has a documented verdict, and never an implicit MX where MX records existed."""
        table = [(row[0], row[1], *(column.split(",") if column != "-" else [] for column in row[2:4]))
                 for row in rows("mail-oddities.tsv")]  # fmt: skip
        self.assertGreater(len(table), 1000)
        lines, aliases = [], {}
        for domain, _, hosts, _ in table:
            for index, host in enumerate(hosts):
                lines.append(f"{quoted(a_label(domain))} 300 MX {10 * (index + 1)} {quoted(host)}\n")
            if not hosts:
                lines.append(f'{quoted(a_label(domain))} 300 TXT "nothing"\n')
        with_mx = {a_label(domain) for domain, _, hosts, _ in table if hosts}
        for _, _, _, cnames in table:
            aliases.update(cname.split(">", 1) for cname in cnames)
        targets = set()
        for alias, target in sorted(aliases.items()):
            # A name with MX records cannot be an alias in a real zone.
            if alias not in with_mx:
                lines.append(f"{quoted(alias)} 300 CNAME {quoted(target)}\n")
                targets.add(target)
        lines += [f"{quoted(target)} 300 A 192.0.2.1\n" for target in sorted(targets - set(aliases))]
        daemon = self.start_daemon(self.start_nsd("".join(dict.fromkeys(lines))))
        names = [domain for domain, *_ in table]

        for attempt in ("first", "second"):
            answers = self.ask_all(daemon, names)
            for domain, kind, hosts, _ in table:
                with self.subTest(attempt, domain=domain, kind=kind):
                    self.check_oddity(answers[domain], kind, hosts)
        answers = self.ask_all(daemon, names, depth="addresses")
        for domain, kind, hosts, cnames in table:
            with self.subTest("addresses", domain=domain, kind=kind):
                answer = answers[domain]
                self.assertNotIn(answer["verdict"], ("DNS_MALFORMED", "BAD_REQUEST", "INVALID_NAME", "SHUTDOWN"))
                self.assertEqual(answer["implicit"], not hosts)
                expected = {a: t for a, t in (c.split(">", 1) for c in cnames) if t in targets and a not in with_mx}
                expanded = {e["host"]: e["expanded"] for e in answer["exchanges"] if e["expanded"]}
                for alias, target in expected.items():
                    if target not in aliases:
                        self.assertEqual(expanded.get(alias), target)
                        self.assertIn("mx_is_cname", answer["warnings"])
        self.assertTrue(daemon.is_running())

    def check_oddity(self, answer, kind, hosts):
        self.assertIn(answer["verdict"], DOCUMENTED)
        self.assertEqual(answer["implicit"], not hosts)
        if kind == "null-mx":
            self.assertEqual(answer["verdict"], "NULL_MX")
            return
        if not hosts:
            self.assertEqual((answer["verdict"], answer["exchanges"][0]["preference"]), ("ROUTE", 0))
            return
        named = [host.lower().rstrip(".") for host in hosts]
        usable = list(dict.fromkeys(host for host in named if "\\" not in host))
        self.assertEqual(answer["verdict"], "ROUTE" if usable else "MX_ALL_INVALID")
        self.assertEqual([exchange["host"] for exchange in answer["exchanges"]], usable)
        warnings = set(answer["warnings"])
        self.assertEqual("unusable_name" in warnings, len(usable) < len(set(named)))
        self.assertEqual("duplicate_exchange" in warnings, len(set(named)) < len(named))


if __name__ == "__main__":
    unittest.main()
