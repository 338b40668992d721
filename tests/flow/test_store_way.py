"""A bad way to the redis-server: late, cut off at every octet, with changed octets, stalled. Senders see no difference but the source."""
import os
import random
import unittest

from harness import INSTRUMENTED, wait_until
from protocol import EXCHANGES, STABLE
from proxy import Proxy
from redis_servers import Certificates
from store_flow import BRIEF_S, PATIENT, OutageTest, StoreTest, told

# Every octet of a conversation is cut at, and every third changed.
STEP = int(os.environ.get("MXWAY_TEST_STEP", 7 if INSTRUMENTED else 1))


class WayTest(OutageTest):
    def start_way(self, **options):
        server = self.start_redis()
        self.proxy = Proxy(self.folder / "proxy.sock", server.path)
        self.addCleanup(self.proxy.stop)
        self.start_all(f"unix:{self.proxy.path}", **options)

    def set_delay(self, delay_s):
        self.proxy.delay_s = delay_s


class Late(WayTest):
    def test_every_reply_50_ms_late(self):
        self.start_way()
        before = self.store_counters(self.node)
        _, during, _ = self.go_through(lambda: self.set_delay(0.05), lambda: self.set_delay(0.0), BRIEF_S)
        self.assertGreater(self.store_counters(self.node)["store-timeouts"], before["store-timeouts"])
        self.assertNotIn("SHARED", {one.reply.source for one in during[5:]})
        self.assert_in_time(during, 2.0, 45.0)

    def test_late_now_and_then_no_answer_goes_to_another_question(self):
        """Replies come in order, each up to 45 ms late: some within their budget, some when the next question waits."""
        self.start_way()
        chance = random.Random(1)
        self.go_through(lambda: self.set_delay(lambda: chance.random() * 0.045), lambda: self.set_delay(0.0), BRIEF_S)

    def test_what_is_late_within_its_budget_is_waited_for(self):
        self.start_way(**PATIENT)
        self.share()
        self.proxy.delay_s = 0.1
        replies = self.ask_all(self.node, self.shared[:100])
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})

    def test_stalled_both_ways(self):
        self.start_way()

        def stall(is_stalled):
            self.proxy.stalled = is_stalled

        _, during, _ = self.go_through(lambda: stall(True), lambda: stall(False), BRIEF_S)
        self.assert_in_time(during, 2.0, 30.0)


class Broken(StoreTest):
    """A node of its own for each octet, because one that has failed waits before it tries again."""

    step = STEP

    def setUp(self):
        super().setUp()
        self.upstream = self.start_zone()
        self.start_way()
        self.domains = [f"d{i}.bench.test" for i in range(30)]
        writer = self.start_node("writer", self.upstream, self.server)
        self.wait_store_up(writer)
        self.truth = {domain: told(reply) for domain, reply in self.ask_all(writer, self.domains, depth=EXCHANGES).items()}
        self.wait_for_keys({f"mxway:1:d:{domain}" for domain in self.domains})
        writer.stop()
        self.addCleanup(self.proxy.stop)

    def start_way(self):
        self.server = self.start_redis()
        self.proxy = Proxy(self.folder / "proxy.sock", self.server.path)
        self.options = {"redis": f"unix:{self.proxy.path}"}

    def one_node(self, is_over):
        """A new node asks until the fault has happened; returns the sources of its answers."""
        self.proxy.octets = 0
        node = self.start_node("node", self.upstream, redis_mode="ro", node_name="node", **self.options)
        self.sources = sources = []
        # Questions before the store is used go to the DNS, and to no purpose here.
        wait_until(lambda: is_over() or self.stats(node)["store"]["state"] == "up", "the store is up, or not to be")
        with node.client() as client:
            for domain in self.domains:
                reply = client.ask(domain, depth=EXCHANGES, order=STABLE)
                self.assertEqual(told(reply), self.truth[domain])
                sources.append(reply.source)
                if is_over():
                    break
        node.stop()
        return sources

    def conversation(self):
        """The octets of the replies on the way to the first answer from the store."""
        self.assertIn("SHARED", self.one_node(lambda: "SHARED" in self.sources))
        return self.proxy.octets

    def test_cut_behind_every_octet(self):
        sources = []
        for length in range(0, self.conversation(), self.step):
            self.proxy.cut_after, self.proxy.cuts = length, 0
            with self.subTest(octets=length):
                sources += self.one_node(lambda: self.proxy.cuts > 0)
                self.assertGreater(self.proxy.cuts, 0)
        self.assertIn("DNS", sources)

    def test_every_octet_changed(self):
        sources = []
        for place in range(0, self.conversation(), 3 * self.step):
            changed = []

            def change(data, before, place=place, changed=changed):
                if not before <= place < before + len(data):
                    return data
                changed.append(place)
                octets = bytearray(data)
                octets[place - before] ^= 1 << place % 8
                return bytes(octets)

            self.proxy.corrupt = change
            with self.subTest(octet=place):
                sources += self.one_node(lambda changed=changed: changed)
                self.assertTrue(changed)
        self.assertIn("DNS", sources)


class BrokenTls(Broken):
    """The same over TLS: thousands of octets of the handshake, of which some are enough."""

    step = 101 * STEP

    def start_way(self):
        certificates = Certificates(self.folder)
        self.server = self.start_redis(**certificates.of_server())
        self.proxy = Proxy(None, self.server.tls_port)
        self.options = {"redis": self.proxy.address, "redis_tls": "yes", "redis_tls_ca": certificates.ca}


if __name__ == "__main__":
    unittest.main()
