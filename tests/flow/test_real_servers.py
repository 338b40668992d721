"""mxwayd before real servers: nsd, and unbound in front of nsd, validating or not."""
import socket
import struct
import subprocess
import time
import unittest

import dnswire
from harness import FlowTest, json_lines, program, run_tool, wait_until
from protocol import ADDRESSES, EXCHANGES

# 40 exchanges with names that do not compress into 1232 octets.
LARGE = [f"{chr(97 + i % 26) * 20}{i}.{chr(97 + i // 2 % 26) * 20}.example." for i in range(40)]

ZONE = (
    """\
d.test. 300 MX 20 b.test.
d.test. 300 MX 10 a.test.
a.test. 600 A 192.0.2.1
a.test. 600 AAAA 2001:db8::1
b.test. 600 A 192.0.2.2
alias.test. 120 CNAME far.example.
far.example. 300 MX 5 a.test.
dead.test. 120 CNAME none.example.
odd.test. 300 MX 10 c.test.
c.test. 60 CNAME h.example.
h.example. 300 A 192.0.2.3
empty.test. 300 TXT "no mail here"
web.test. 300 A 192.0.2.4
null.test. 300 MX 0 .
gone.test. 300 MX 10 nowhere.example.
lone.test. 300 MX 10 empty.test.
"""
    + "".join(f"large.test. 300 MX {i} {host}\n" for i, host in enumerate(LARGE[:30]))
    + "".join(f"many.test. 300 MX {i} {host}\n" for i, host in enumerate(LARGE))
)
# A zone with a negative TTL of its own.
SHORT = "@ 60 SOA ns.mxway.test. root.mxway.test. 1 7200 900 1209600 3600\n@ 60 NS ns.mxway.test.\nx 60 A 192.0.2.5\n"

# question, depth, verdict, exchanges as "preference host addresses [> expanded]", ttl, and more of the reply
TABLE = [
    ("d.test", ADDRESSES, "ROUTE", ["10 a.test 2001:db8::1 192.0.2.1", "20 b.test 192.0.2.2"], 300, {}),
    ("d.test", EXCHANGES, "ROUTE", ["10 a.test", "20 b.test"], 300, {}),
    ("alias.test", ADDRESSES, "ROUTE", ["5 a.test 2001:db8::1 192.0.2.1"], 120, {"canonical": "far.example"}),
    ("dead.test", ADDRESSES, "NO_SUCH_DOMAIN", [], 120, {"canonical": "none.example"}),
    ("odd.test", ADDRESSES, "ROUTE", ["10 c.test 192.0.2.3 > h.example"], 60, {"warnings": ["mx_is_cname"]}),
    ("none.test", ADDRESSES, "NO_SUCH_DOMAIN", [], 900, {"smtp_code": 550}),
    ("empty.test", ADDRESSES, "NO_MAIL_HOST", None, 900, {"smtp_code": 550}),
    ("web.test", ADDRESSES, "ROUTE", ["0 web.test 192.0.2.4"], 300, {"implicit": True}),
    ("web.test", EXCHANGES, "ROUTE", ["0 web.test"], 900, {"implicit": True}),
    ("null.test", ADDRESSES, "NULL_MX", [], 300, {"smtp_code": 556}),
    ("gone.test", ADDRESSES, "MX_HOSTS_NO_ADDRESS", ["10 nowhere.example"], 300, {}),
    ("lone.test", ADDRESSES, "MX_HOSTS_NO_ADDRESS", ["10 empty.test"], 300, {}),
    ("large.test", EXCHANGES, "ROUTE", [f"{i} {host[:-1]}" for i, host in enumerate(LARGE[:30])], 300, {}),
    ("many.test", EXCHANGES, "ROUTE", [f"{i} {host[:-1]}" for i, host in enumerate(LARGE[:32])], 300,
     {"truncated": True}),
    ("short.test", ADDRESSES, "NO_MAIL_HOST", None, 60, {}),
    ("x.short.test", ADDRESSES, "ROUTE", ["0 x.short.test 192.0.2.5"], 60, {"implicit": True}),
    ("none.short.test", ADDRESSES, "NO_SUCH_DOMAIN", [], 60, {}),
]  # fmt: skip

# ---- what a zone may hold and hardly any does ----

L63 = "l" * 63
LONGEST = ".".join([L63, L63, L63, "n" * 56, "test"])  # 253 octets
A1 = "192.0.2.1"


def chain(prefix, hops):
    """An alias of an alias of ... of a name with an MX."""
    links = "".join(f"{prefix}{i}.test. 300 CNAME {prefix}{i + 1}.test.\n" for i in range(hops))
    return links + f"{prefix}{hops}.test. 300 MX 10 mx.test.\n"


ODD_ZONE = (
    f"""\
mx.test. 300 A {A1}
null-twice.test. 300 MX 0 .
null-twice.test. 300 MX 10 .
null-late.test. 300 MX 20 .
null-mixed.test. 300 MX 0 .
null-mixed.test. 300 MX 20 mx.test.
null-mixed.test. 300 A 192.0.2.66
of-alias.test. 300 MX 10 alias-of-mx.test.
alias-of-mx.test. 100 CNAME mx.test.
of-dead-alias.test. 300 MX 10 dead-alias.test.
dead-alias.test. 300 CNAME nowhere.example.
loop-a.test. 300 CNAME loop-b.test.
loop-b.test. 300 CNAME loop-a.test.
of-far-alias.test. 300 MX 10 far0.test.
{"".join(f"far{i}.test. 300 CNAME far{i + 1}.test.{chr(10)}" for i in range(8))}\
far8.test. 300 A {A1}
of-itself.test. 300 MX 10 of-itself.test.
of-itself.test. 300 A {A1}
address.test. 300 MX 10 192.0.2.7.
address6.test. 300 MX 10 2001:db8::7.
address-and-name.test. 300 MX 10 192.0.2.7.
address-and-name.test. 300 MX 20 mx.test.
_a._b.test. 300 MX 10 _mx.-host-.test.
_mx.-host-.test. 300 A {A1}
*.wild.test. 300 MX 10 mx.test.
web.wild.test. 300 A {A1}
x.empty-inside.wild.test. 300 TXT x
*.tree.test. 300 CNAME alias-of-mx.test.
a.between.test. 300 MX 10 mx.test.
cut.test. 300 NS nowhere.example.
dname.test. 300 DNAME dname-target.test.
in.dname-target.test. 300 MX 10 mx.test.
xn--bcher-kva.test. 300 MX 10 xn--mx-wka.test.
xn--mx-wka.test. 300 A {A1}
{LONGEST}. 300 MX 10 {LONGEST}.
{LONGEST}. 300 A {A1}
space.test. 300 MX 10 bad\\032name.test.
space.test. 300 MX 20 mx.test.
spaces.test. 300 MX 10 bad\\032name.test.
spaces.test. 300 MX 20 bad\\.name.test.
spaces.test. 300 MX 30 \\195\\188.test.
spaces.test. 300 A 192.0.2.66
to-space.test. 300 CNAME bad\\032name.test.
bad\\032name.test. 300 MX 10 mx.test.
eternal.test. 2147483647 MX 10 mx.test.
case.test. 300 MX 20 B.Test.
case.test. 300 MX 10 b.TEST.
b.test. 300 AAAA 2001:db8::b
at.test. 300 MX 0 a\\@b.test.
"""
    + chain("eight", 8)
    + chain("nine", 9)
    + "".join(f"wide.test. 300 MX 10 {chr(97 + i % 26) * 30}{i}.example.\n" for i in range(150))
)

ODD_TABLE = [
    ("null-twice.test", ADDRESSES, "NULL_MX", [], 300, {"smtp_code": 556, "warnings": []}),
    ("null-late.test", ADDRESSES, "NULL_MX", [], 300, {"warnings": ["null_mx_nonzero_preference"]}),
    ("null-mixed.test", ADDRESSES, "ROUTE", [f"20 mx.test {A1}"], 300, {"warnings": ["null_mx_mixed"]}),
    ("of-alias.test", ADDRESSES, "ROUTE", [f"10 alias-of-mx.test {A1} > mx.test"], 100, {"warnings": ["mx_is_cname"]}),
    ("of-dead-alias.test", ADDRESSES, "MX_HOSTS_NO_ADDRESS", ["10 dead-alias.test > nowhere.example"], 300,
     {"smtp_code": 550}),
    ("of-far-alias.test", ADDRESSES, "ROUTE", [f"10 far0.test {A1} > far8.test"], 300, {"warnings": ["mx_is_cname"]}),
    ("of-itself.test", ADDRESSES, "ROUTE", [f"10 of-itself.test {A1}"], 300, {"implicit": False}),
    ("address.test", ADDRESSES, "ROUTE", ["10 192.0.2.7 192.0.2.7"], 300, {"warnings": ["mx_is_address"]}),
    ("address6.test", ADDRESSES, "ROUTE", ["10 2001:db8::7 2001:db8::7"], 300, {"warnings": ["mx_is_address"]}),
    ("address-and-name.test", ADDRESSES, "ROUTE", ["10 192.0.2.7 192.0.2.7", f"20 mx.test {A1}"], 300, {}),
    ("_a._b.test", ADDRESSES, "ROUTE", [f"10 _mx.-host-.test {A1}"], 300, {}),
    ("any.wild.test", ADDRESSES, "ROUTE", [f"10 mx.test {A1}"], 300, {"canonical": "any.wild.test"}),
    ("far.down.below.wild.test", ADDRESSES, "ROUTE", [f"10 mx.test {A1}"], 300, {}),
    ("*.wild.test", ADDRESSES, "ROUTE", [f"10 mx.test {A1}"], 300, {}),
    ("web.wild.test", ADDRESSES, "ROUTE", [f"0 web.wild.test {A1}"], 300, {"implicit": True}),
    # RFC 4592 section 2.2.2: a name that exists, be it empty, is not a wildcard's.
    ("empty-inside.wild.test", ADDRESSES, "NO_MAIL_HOST", None, 900, {}),
    ("y.empty-inside.wild.test", ADDRESSES, "NO_SUCH_DOMAIN", [], 900, {}),
    ("wild.test", ADDRESSES, "NO_MAIL_HOST", None, 900, {"smtp_code": 550}),
    ("leaf.tree.test", ADDRESSES, "ROUTE", [f"0 mx.test {A1}"], 100, {"canonical": "mx.test", "implicit": True}),
    ("between.test", ADDRESSES, "NO_MAIL_HOST", None, 900, {}),
    ("b.between.test", ADDRESSES, "NO_SUCH_DOMAIN", [], 900, {}),
    ("in.dname.test", ADDRESSES, "ROUTE", [f"10 mx.test {A1}"], 300, {"canonical": "in.dname-target.test"}),
    ("out.dname.test", ADDRESSES, "NO_SUCH_DOMAIN", [], 300, {"canonical": "out.dname-target.test"}),
    ("b\u00fccher.test", ADDRESSES, "ROUTE", [f"10 xn--mx-wka.test {A1}"], 300, {"canonical": "xn--bcher-kva.test"}),
    ("XN--BCHER-KVA.TEST.", ADDRESSES, "ROUTE", [f"10 xn--mx-wka.test {A1}"], 300, {}),
    (LONGEST, ADDRESSES, "ROUTE", [f"10 {LONGEST} {A1}"], 300, {"canonical": LONGEST}),
    (LONGEST[1:], ADDRESSES, "NO_SUCH_DOMAIN", [], 900, {}),
    ("space.test", ADDRESSES, "ROUTE", [f"20 mx.test {A1}"], 300, {"warnings": ["unusable_name"]}),
    ("spaces.test", ADDRESSES, "MX_ALL_INVALID", [], 300, {"smtp_code": 550, "warnings": ["unusable_name"]}),
    ("to-space.test", ADDRESSES, "DNS_MALFORMED", [], None, {"smtp_code": 451}),
    ("bad name.test", ADDRESSES, "INVALID_NAME", [], 0, {}),
    ("bad\\032name.test", ADDRESSES, "INVALID_NAME", [], 0, {}),
    ("eternal.test", EXCHANGES, "ROUTE", ["10 mx.test"], 86400, {}),
    ("at.test", ADDRESSES, "MX_HOSTS_NO_ADDRESS", ["0 a@b.test"], 300, {}),
    ("case.test", ADDRESSES, "ROUTE", ["10 b.test 2001:db8::b"], 300, {"warnings": ["duplicate_exchange"]}),
    ("eight0.test", ADDRESSES, "ROUTE", [f"10 mx.test {A1}"], 300, {"canonical": "eight8.test"}),
    ("nine0.test", ADDRESSES, "CNAME_LOOP", [], None, {"smtp_code": 451}),
]  # fmt: skip


def exchange_text(exchange):
    text = " ".join([str(exchange.preference), exchange.host, *exchange.addresses])
    return text + (f" > {exchange.expanded}" if exchange.expanded else "")


class RealServersTest(FlowTest):
    def start_daemon_of(self, server, **options):
        """A daemon of this server's own, beside those of other servers."""
        name = f"{server.port}"
        return self.start_daemon(server, listen=self.folder / f"{name}.sock", log=f"{name}.log", **options)

    def check_table(self, server, table=TABLE):
        daemon = self.start_daemon(server, failure_ttl=100)
        client = self.connect(daemon)
        for attempt in ("cold", "again"):
            queries = daemon.counters()["dns-queries"]
            for domain, depth, verdict, exchanges, ttl, more in table:
                with self.subTest(attempt, domain=domain, depth=depth):
                    reply = client.ask(domain, depth=depth)
                    self.assertEqual(reply.verdict, verdict, reply)
                    if exchanges is not None:
                        self.assertEqual([exchange_text(exchange) for exchange in reply.exchanges], exchanges)
                    # Another question may have made an address it shares a moment old.
                    if ttl is not None:
                        self.assertTrue(ttl - 5 <= reply.ttl <= ttl, f"ttl {reply.ttl}, not {ttl}")
                    for name, value in more.items():
                        self.assertEqual(getattr(reply, name), value, name)
            if attempt == "again":
                self.assertEqual(daemon.counters()["dns-queries"], queries)


class RealServers(RealServersTest):
    def start_servers(self):
        nsd = self.start_nsd(ZONE, zones=[("short.test", SHORT)])
        return nsd, self.start_unbound(nsd)

    def test_nsd_itself(self):
        nsd = self.start_nsd(ZONE, zones=[("short.test", SHORT)])
        self.check_table(nsd)

    def test_unbound_before_nsd(self):
        _, unbound = self.start_servers()
        self.check_table(unbound)

    def test_a_server_that_goes_down_and_comes_back(self):
        nsd = self.start_nsd(ZONE)
        client = self.connect(self.start_daemon(nsd, query_timeout=200, failure_ttl=1))
        self.assertEqual(client.ask("d.test").verdict, "ROUTE")
        nsd.stop()
        # Memory goes on answering; what is not in it fails softly.
        self.assertEqual(client.ask("d.test").source, "MEMORY")
        reply = client.ask("null.test")
        self.assertEqual((reply.verdict, reply.smtp_code), ("DNS_NETWORK", 451))
        self.start_nsd(ZONE, port=nsd.port)
        wait_until(lambda: client.ask("null.test").verdict == "NULL_MX", "the failure is forgotten")

    def test_the_second_server_answers_while_the_first_is_down(self):
        nsd, unbound = self.start_servers()
        client = self.connect(self.start_daemon(nsd, unbound, query_timeout=500))
        self.assertEqual(client.ask("d.test").verdict, "ROUTE")
        # unbound keeps in its own memory what is asked through it before nsd goes.
        direct = self.connect(self.start_daemon(unbound, log="direct.log", listen=self.folder / "direct.sock"))
        self.assertEqual(direct.ask("far.example").verdict, "ROUTE")
        nsd.stop()
        self.assertEqual(client.ask("far.example").verdict, "ROUTE")

    def test_the_tool_shows_the_same(self):
        nsd = self.start_nsd(ZONE)
        daemon = self.start_daemon(nsd)
        result = run_tool("lookup", "--socket", daemon.socket_path, "--json", "d.test", "none.test")
        by_domain = {line["domain"]: line for line in json_lines(result.stdout)}
        self.assertEqual(result.returncode, 1)
        self.assertEqual([e["host"] for e in by_domain["d.test"]["exchanges"]], ["a.test", "b.test"])
        self.assertEqual(by_domain["none.test"]["class"], "permanent")


class OddZones(RealServersTest):
    def check_wide(self, server):
        """Over TCP, and in another order each time where a server rotates sets."""
        client = self.connect(self.start_daemon_of(server))
        hosts = {f"{chr(97 + i % 26) * 30}{i}.example" for i in range(150)}
        for source in ("DNS", "MEMORY"):
            reply = client.ask("wide.test")
            self.assertEqual((reply.verdict, reply.source, reply.truncated), ("ROUTE", source, True))
            self.assertEqual(reply.warnings, ["too_many_mx"])
            self.assertEqual(len(set(reply.hosts)), 32)
            self.assertLessEqual(set(reply.hosts), hosts)

    def test_nsd_itself(self):
        loop = ("loop-a.test", ADDRESSES, "CNAME_LOOP", [], None, {"smtp_code": 451})
        self.check_table(self.start_nsd(ODD_ZONE), [*ODD_TABLE, loop])

    def test_unbound_before_nsd(self):
        loop = ("loop-a.test", ADDRESSES, "DNS_SERVFAIL", [], None, {"smtp_code": 451})  # as unbound says it
        self.check_table(self.start_unbound(self.start_nsd(ODD_ZONE)), [*ODD_TABLE, loop])

    def test_150_exchanges_come_over_tcp_and_32_are_answered(self):
        nsd = self.start_nsd(ODD_ZONE)
        for server in (nsd, self.start_unbound(nsd)):
            with self.subTest(server.arguments[0]):
                self.check_wide(server)

    def test_a_referral_is_no_denial(self):
        nsd = self.start_nsd(ODD_ZONE)
        unbound = self.start_unbound(nsd)
        # nsd says who would know; unbound finds that nobody does.
        for server, verdict in ((nsd, "DNS_REFUSED"), (unbound, "DNS_SERVFAIL")):
            client = self.connect(self.start_daemon_of(server))
            for domain in ("cut.test", "x.cut.test"):
                with self.subTest(server.arguments[0], domain=domain):
                    reply = client.ask(domain, depth=ADDRESSES)
                    self.assertEqual((reply.verdict, reply.smtp_code, reply.hosts), (verdict, 451, []))

    def test_a_zone_that_did_not_load_is_a_failure_not_a_denial(self):
        nsd = self.start_nsd(ODD_ZONE, zones=[("broken.test", "@ 60 SOA this is no SOA\n")])
        unbound = self.start_unbound(nsd)
        for server in (nsd, unbound):
            client = self.connect(self.start_daemon_of(server))
            with self.subTest(server.arguments[0]):
                self.assertEqual(client.ask("x.broken.test", depth=ADDRESSES).verdict, "DNS_SERVFAIL")

    def test_ttl_zero_is_asked_for_every_time(self):
        nsd = self.start_nsd("zero.test. 0 MX 10 mx.test.\nmx.test. 0 A 192.0.2.1\n")
        for server in (nsd, self.start_unbound(nsd)):
            daemon = self.start_daemon_of(server)
            client = self.connect(daemon)
            with self.subTest(server.arguments[0]):
                for _ in range(3):
                    reply = client.ask("zero.test", depth=ADDRESSES)
                    self.assertEqual((reply.verdict, reply.source, reply.ttl), ("ROUTE", "DNS", 0))
                    self.assertEqual(reply.exchanges[0].addresses, ["192.0.2.1"])
                # MX and A each time, and AAAA, whose denial lives, once.
                self.assertEqual(daemon.counters()["dns-queries"], 7)


SIGNED = """\
@ 300 SOA ns.mxway.test. root.mxway.test. 1 7200 900 1209600 300
@ 300 NS ns.mxway.test.
@ 300 MX 10 mx
mx 300 A 192.0.2.1
"""


class Validation(RealServersTest):
    """unbound with a trust anchor for signed.test and for forged.test, a record of which was changed."""

    def sign(self, zone):
        """The text of `zone` signed, and the file of its trust anchor."""
        home = self.folder / zone
        home.mkdir()

        def run(*arguments):
            return subprocess.run(arguments, cwd=home, check=True, capture_output=True, text=True).stdout.strip()

        def day(offset_s):
            return time.strftime("%Y%m%d", time.gmtime(time.time() + offset_s))

        keygen = (program("ldns-keygen"), "-r", "/dev/urandom", "-a", "ECDSAP256SHA256")
        key_signing, zone_signing = run(*keygen, "-k", zone), run(*keygen, zone)
        (home / "zone").write_text(f"$ORIGIN {zone}.\n" + SIGNED)
        week_s = 7 * 86400
        run(program("ldns-signzone"), "-i", day(-week_s), "-e", day(week_s), "-f", "signed", "zone",
            zone_signing, key_signing)  # fmt: skip
        return (home / "signed").read_text(), home / f"{key_signing}.ds"

    def setUp(self):
        super().setUp()
        signed, signed_anchor = self.sign("signed.test")
        forged, forged_anchor = self.sign("forged.test")
        self.assertIn("MX\t10 ", forged)
        forged = forged.replace("MX\t10 ", "MX\t5 ")
        zones = [("signed.test", signed), ("forged.test", forged), ("plain.test", SIGNED)]
        self.unbound = self.start_unbound(
            self.start_nsd("", zones=zones), trust_anchors=(signed_anchor, forged_anchor)
        )

    def ask_unbound(self, name):
        """rcode and whether the AD bit is set, for a query with that bit (RFC 6840 section 5.7)."""
        query = struct.pack("!6H", 1, dnswire.RD | dnswire.AD, 1, 0, 0, 0) + dnswire.pack_name(name)
        query += struct.pack("!HH", dnswire.TYPES["MX"], dnswire.CLASSES["IN"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.sendto(query, ("127.0.0.1", self.unbound.port))
            (flags,) = struct.unpack("!H", sock.recv(65535)[2:4])
        return flags & 0xF, bool(flags & dnswire.AD)

    def test_unbound_says_which_names_it_has_validated(self):
        self.assertEqual(self.ask_unbound("signed.test"), (dnswire.NOERROR, True))
        self.assertEqual(self.ask_unbound("none.signed.test"), (dnswire.NXDOMAIN, True))
        self.assertEqual(self.ask_unbound("plain.test"), (dnswire.NOERROR, False))
        self.assertEqual(self.ask_unbound("forged.test"), (dnswire.SERVFAIL, False))

    def test_what_unbound_has_validated_is_authenticated(self):
        client = self.connect(self.start_daemon(self.unbound))
        for domain, authenticated in [
            ("signed.test", True), ("none.signed.test", True), ("plain.test", False), ("forged.test", False)
        ]:  # fmt: skip
            for source in ("DNS", "MEMORY"):
                with self.subTest(domain=domain, source=source):
                    reply = client.ask(domain, depth=ADDRESSES)
                    self.assertEqual((reply.source, reply.authenticated), (source, authenticated))

    def test_a_bogus_zone_is_a_failure_never_a_route(self):
        client = self.connect(self.start_daemon(self.unbound))
        for source in ("DNS", "MEMORY"):
            reply = client.ask("forged.test", depth=ADDRESSES)
            self.assertEqual((reply.verdict, reply.smtp_code, reply.hosts), ("DNS_SERVFAIL", 451, []))
            self.assertEqual(reply.source, source)
        for domain in ("signed.test", "plain.test"):
            reply = client.ask(domain, depth=ADDRESSES)
            self.assertEqual((reply.verdict, reply.hosts), ("ROUTE", [f"mx.{domain}"]))
        self.assertEqual(client.ask("none.signed.test").verdict, "NO_SUCH_DOMAIN")


if __name__ == "__main__":
    unittest.main()
