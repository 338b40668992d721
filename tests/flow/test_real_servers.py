"""mxwayd before real servers: nsd, and unbound in front of nsd."""
import unittest

from harness import FlowTest, json_lines, run_tool, wait_until
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


def exchange_text(exchange):
    text = " ".join([str(exchange.preference), exchange.host, *exchange.addresses])
    return text + (f" > {exchange.expanded}" if exchange.expanded else "")


class RealServers(FlowTest):
    def start_servers(self):
        nsd = self.start_nsd(ZONE, zones=[("short.test", SHORT)])
        return nsd, self.start_unbound(nsd)

    def check_table(self, server):
        daemon = self.start_daemon(server)
        client = self.connect(daemon)
        for attempt in ("cold", "again"):
            queries = daemon.counters()["dns-queries"]
            for domain, depth, verdict, exchanges, ttl, more in TABLE:
                with self.subTest(attempt, domain=domain, depth=depth):
                    reply = client.ask(domain, depth=depth)
                    self.assertEqual(reply.verdict, verdict, reply)
                    if exchanges is not None:
                        self.assertEqual([exchange_text(exchange) for exchange in reply.exchanges], exchanges)
                    # Another question may have made an address it shares a moment old.
                    self.assertTrue(ttl - 5 <= reply.ttl <= ttl, f"ttl {reply.ttl}, not {ttl}")
                    for name, value in more.items():
                        self.assertEqual(getattr(reply, name), value, name)
            if attempt == "again":
                self.assertEqual(daemon.counters()["dns-queries"], queries)

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


if __name__ == "__main__":
    unittest.main()
