"""What happens behind an answer: failures in a row, clients that go away, and the story of a lookup."""
import dnswire
from harness import FlowTest, wait_until
from protocol import ADDRESSES
from upstream import SILENT, Reply, rcode

SERVFAIL = rcode(dnswire.SERVFAIL)
A4 = "a.test 600 A 192.0.2.1\n"


class Failures(FlowTest):
    """T5: RFC 9520."""

    def test_a_failure_is_remembered_and_not_asked_for_again(self):
        upstream = self.start_upstream()
        upstream.on("d.test", "MX", SERVFAIL)
        client = self.connect(self.start_daemon(upstream, query_tries=1))
        for source in ("DNS", "MEMORY", "MEMORY"):
            reply = client.ask("d.test", depth=ADDRESSES)
            self.assertEqual((reply.verdict, reply.source), ("DNS_SERVFAIL", source))
        self.assertEqual(upstream.count(), 1)

    def test_each_failure_in_a_row_is_remembered_longer_and_a_success_ends_the_row(self):
        upstream = self.start_upstream("d.test 0 MX 10 a.test\n")
        upstream.on("d.test", "MX", SERVFAIL, SERVFAIL, SERVFAIL, Reply(), SERVFAIL)
        client = self.connect(self.start_daemon(upstream, query_tries=1, failure_ttl=40))
        for expected in (40, 80, 160):
            reply = client.ask("d.test", refresh=True)
            self.assertEqual(reply.verdict, "DNS_SERVFAIL")
            self.assertAlmostEqual(reply.ttl, expected, delta=expected * 0.1 + 1)
        self.assertEqual(client.ask("d.test", refresh=True).verdict, "ROUTE")
        self.assertAlmostEqual(client.ask("d.test", refresh=True).ttl, 40, delta=5)

    def test_a_failure_never_takes_the_place_of_good_facts(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        client = self.connect(self.start_daemon(upstream, query_tries=1))
        self.assertEqual(client.ask("d.test", depth=ADDRESSES).verdict, "ROUTE")
        upstream.on("d.test", "MX", SERVFAIL)
        upstream.on("a.test", "A", SERVFAIL)
        self.assertEqual(client.ask("d.test", refresh=True, depth=ADDRESSES).verdict, "DNS_SERVFAIL")
        asked = upstream.count()
        reply = client.ask("d.test", depth=ADDRESSES)
        self.assertEqual((reply.verdict, reply.source), ("ROUTE", "MEMORY"))
        self.assertEqual(upstream.count(), asked)

    def test_too_much_to_do_is_not_charged_to_the_domain(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n", default=Reply(held=True))
        daemon = self.start_daemon(upstream, max_queries=1, max_queue=0)
        client = self.connect(daemon)
        client.send("other.test")
        upstream.wait_for("other.test", "MX")
        reply = client.ask("d.test")
        self.assertEqual((reply.verdict, reply.smtp_code, reply.enhanced_status), ("OVERLOAD", 451, "4.3.2"))
        upstream.release()
        client.receive()
        self.assertEqual(client.ask("d.test").verdict, "ROUTE")


class ClientsThatGo(FlowTest):
    def test_their_lookup_goes_on_and_fills_the_cache(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream)
        client, other = daemon.client(), self.connect(daemon)
        client.send("d.test", depth=ADDRESSES)
        upstream.wait_for("d.test", "MX")
        client.close()
        # Taken back at once: nobody waits until the answer comes.
        daemon.wait_counter("answers-late", 1)
        self.assertEqual(other.ask("d.test", cache_only=True).verdict, "NOT_CACHED")
        upstream.release()
        wait_until(
            lambda: other.ask("d.test", depth=ADDRESSES, cache_only=True).verdict == "ROUTE", "the entry fills"
        )
        self.assertEqual(upstream.count(), 3)

    def test_others_who_wait_for_the_same_are_still_answered(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n")
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream)
        patient, hasty = self.connect(daemon), daemon.client()
        patient.send("d.test")
        hasty.send("d.test")
        daemon.wait_counter("lookups-coalesced", 1)
        hasty.close()
        daemon.wait_counter("answers-late", 1)
        upstream.release()
        self.assertEqual(patient.receive().verdict, "ROUTE")
        self.assertEqual(upstream.count(), 1)


class Stories(FlowTest):
    """mxway lookup --explain."""

    def ask(self, client, domain, **options):
        reply = client.ask(domain, depth=ADDRESSES, explain=True, **options)
        return reply, "\n".join(f"{text} [{rule}]" for rule, text in reply.story)

    def assert_in_order(self, text, *pieces):
        at = 0
        for piece in pieces:
            found = text.find(piece, at)
            self.assertGreaterEqual(found, 0, f"{piece!r} is not in its place in:\n{text}")
            at = found + len(piece)

    def test_a_cold_lookup_tells_memory_then_queries_then_the_verdict(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\nd.test 300 MX 20 a.test\ne.test 300 MX 10 a.test\n" + A4)
        client = self.connect(self.start_daemon(upstream))
        reply, story = self.ask(client, "d.test")
        self.assertEqual((reply.verdict, reply.source), ("ROUTE", "DNS"))
        self.assert_in_order(
            story, "memory holds nothing about d.test", "dropped a.test at preference 20", "[V15]",
            "the MX facts live 300 s", "asked for a.test A", "the verdict is ROUTE",
        )  # fmt: skip
        self.assertEqual(reply.story[-1][0], "verdicts")  # and it ends there
        self.assertNotIn("memory knows", story)
        self.assertNotIn("memory holds of", story)
        # What of it was in memory already is told where it is used.
        _, story = self.ask(client, "e.test")
        self.assert_in_order(story, "the MX facts live 300 s", "memory holds of a.test: AAAA none", "1 A for", "the verdict")

    def test_who_joins_a_lookup_is_told_what_it_brought(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream)
        first, second = self.connect(daemon), self.connect(daemon)
        first.send("d.test", depth=ADDRESSES, explain=True)
        upstream.wait_for("d.test", "MX")
        second.send("d.test", depth=ADDRESSES, explain=True)
        daemon.wait_counter("lookups-coalesced", 1)
        upstream.release()
        story = "\n".join(text for _, text in second.receive().story)
        self.assert_in_order(story, "is being looked up already", "memory knows d.test: its MX records",
                             "memory holds of a.test: AAAA none")

    def test_a_hit_tells_what_memory_holds_and_asks_nobody(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        client = self.connect(self.start_daemon(upstream))
        client.ask("d.test", depth=ADDRESSES)
        reply, story = self.ask(client, "d.test")
        self.assertEqual(reply.source, "MEMORY")
        self.assert_in_order(story, "memory knows d.test: its MX records, learned 0 s ago, good for 300 s more")
        self.assertEqual(upstream.count(), 3)

    def test_a_failure_tells_how_often_and_when_it_is_asked_for_again(self):
        upstream = self.start_upstream()
        upstream.on("d.test", "MX", SERVFAIL)
        client = self.connect(self.start_daemon(upstream, query_tries=1))
        self.ask(client, "d.test")
        reply, story = self.ask(client, "d.test")
        self.assertEqual(reply.verdict, "DNS_SERVFAIL")
        self.assertRegex(story, r"d\.test failed with DNS_SERVFAIL, 1 times in a row; .* [456] s more \[T5 ")

    def test_nothing_is_told_to_who_does_not_ask(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        client = self.connect(self.start_daemon(upstream))
        self.assertEqual(client.ask("d.test", depth=ADDRESSES).story, [])

    def test_a_silent_server_leaves_a_story_too(self):
        upstream = self.start_upstream(default=SILENT)
        client = self.connect(self.start_daemon(upstream, query_timeout=100, query_tries=2))
        reply, story = self.ask(client, "d.test")
        self.assertEqual(reply.verdict, "DNS_TIMEOUT")
        self.assert_in_order(story, "memory holds nothing", "ends with DNS_TIMEOUT", "1 times in a row")
