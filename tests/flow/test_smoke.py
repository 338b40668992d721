"""One short walk through everything: what is run under valgrind, where the other tests would take too long."""
import unittest

from harness import FlowTest
from protocol import ADDRESSES, frame, varint
from upstream import SILENT, Reply

ZONE = """
d.test 300 MX 10 a.test
d.test 300 MX 20 b.test
a.test 600 A 192.0.2.1
a.test 600 AAAA 2001:db8::1
b.test 60 CNAME c.test
c.test 600 A 192.0.2.2
alias.test 300 CNAME d.test
brief.test 0 MX 10 a.test
web.test 300 A 192.0.2.3
null.test 300 MX 0 .
loop.test 300 CNAME loop.test
"""


class Smoke(FlowTest):
    def test_a_walk_through_the_daemon(self):
        upstream = self.start_upstream(ZONE)
        upstream.on("broken.test", "MX", Reply(rcode=2))
        upstream.on("mangled.test", "MX", Reply(records="mangled.test 300 MX 10 a.test", mutate=lambda m: m[:-20]))
        upstream.on("large.test", "MX", Reply(records="large.test 300 MX 10 a.test", truncated=True))
        upstream.on("silent.test", "MX", SILENT)
        daemon = self.start_daemon(upstream, query_timeout=500, query_tries=2)
        client = self.connect(daemon)
        for _ in range(3):
            for domain, verdict in [
                ("d.test", "ROUTE"),
                ("alias.test", "ROUTE"),
                ("brief.test", "ROUTE"),
                ("web.test", "ROUTE"),
                ("large.test", "ROUTE"),
                ("[192.0.2.9]", "ROUTE"),
                ("null.test", "NULL_MX"),
                ("none.test", "NO_SUCH_DOMAIN"),
                ("loop.test", "CNAME_LOOP"),
                ("broken.test", "DNS_SERVFAIL"),
                ("mangled.test", "DNS_MALFORMED"),
                ("not a name", "INVALID_NAME"),
            ]:
                with self.subTest(domain):
                    self.assertEqual(client.ask(domain, depth=ADDRESSES).verdict, verdict)
                    client.ask(domain)
        self.assertEqual(client.ask("silent.test", timeout_ms=100).verdict, "DEADLINE")
        self.assertEqual(client.ask("d.test", refresh=True).verdict, "ROUTE")
        for number in range(200):
            client.send(f"n{number}.test", id=number)
        self.assertEqual({r.verdict for r in client.receive_many(200).values()}, {"NO_SUCH_DOMAIN"})
        for data in (frame(b"\xff\xff"), frame(b""), varint(2**40), b"\x05\x08"):
            stranger = self.connect(daemon)
            stranger.send_bytes(data)
        self.assertEqual(client.ask("d.test").verdict, "ROUTE")
        # It ends with a lookup outstanding.
        upstream.on("late.test", "MX", SILENT)
        client.send("late.test")
        upstream.wait_for("late.test", "MX")
        self.assertEqual(daemon.stop(), 0, daemon.output())


if __name__ == "__main__":
    unittest.main()
