"""Answers whose time is over (RFC 8767): served while the DNS fails or is late, refused on request, replaced ahead of their end."""
import json
import unittest

import dnswire
from harness import INSTRUMENTED, FlowTest, run_tool, wait_until
from protocol import ADDRESSES
from upstream import SILENT, Reply, rcode

ZONE = "d.test 1 MX 10 a.test\na.test 1 A 192.0.2.1\n"
QUERY_TIMEOUT = 1000 if INSTRUMENTED else 200
STALE_TTL = 30


class StaleTest(FlowTest):
    def start(self, **options):
        self.upstream = self.start_upstream(ZONE)
        self.daemon = self.start_daemon(self.upstream, prefetch=0, query_timeout=QUERY_TIMEOUT, query_tries=1, **options)
        self.client = self.connect(self.daemon)
        self.assertEqual(self.ask().verdict, "ROUTE")

    def ask(self, domain="d.test", **options):
        return self.client.ask(domain, depth=ADDRESSES, **options)

    def fail_with(self, reply):
        self.upstream.clear()
        self.upstream.default = reply

    def expect_stale(self):
        """The first answer all of which has expired while the DNS fails; nothing in between is a failure."""

        def is_stale():
            reply = self.ask()
            self.assertEqual((reply.verdict, reply.hosts), ("ROUTE", ["a.test"]))
            return reply.stale and reply.ttl == STALE_TTL and reply

        return wait_until(is_stale, "a stale answer")


class Failing(StaleTest):
    def assert_stale_after(self, failure, *verdicts):
        self.start()
        self.fail_with(failure)
        stale = self.expect_stale()
        self.assertEqual((stale.ttl, stale.mx_ttl, stale.smtp_code), (STALE_TTL, STALE_TTL, 0))
        self.assertEqual(stale.exchanges[0].addresses, ["192.0.2.1"])
        refused = self.ask(no_stale=True)
        self.assertEqual((refused.smtp_code, refused.hosts, refused.stale), (451, [], False))
        self.assertIn(refused.verdict, verdicts)

    def test_after_servfail_the_expired_route_is_answered(self):
        self.assert_stale_after(rcode(dnswire.SERVFAIL), "DNS_SERVFAIL")

    def test_after_refused_the_expired_route_is_answered(self):
        self.assert_stale_after(rcode(dnswire.REFUSED), "DNS_REFUSED")

    def test_after_silence_the_expired_route_is_answered(self):
        self.assert_stale_after(SILENT, "DNS_TIMEOUT")

    def test_after_garbage_the_expired_route_is_answered(self):
        garbage = Reply(records="d.test 1 MX 10 a.test", mutate=lambda message: message[:-1])
        self.assert_stale_after(garbage, "DNS_MALFORMED", "DNS_TIMEOUT")

    def test_nobody_asks_again_and_again_while_the_dns_fails(self):
        self.start()
        self.fail_with(rcode(dnswire.SERVFAIL))
        self.expect_stale()
        asked = self.upstream.count("d.test", "MX")
        for _ in range(200):
            reply = self.ask()
            self.assertEqual((reply.stale, reply.source), (True, "MEMORY"))
        self.assertEqual(self.upstream.count("d.test", "MX"), asked)

    def test_a_server_that_is_gone_is_not_noticed(self):
        self.start()
        self.upstream.stop()
        self.expect_stale()

    def test_a_denial_is_believed_at_once(self):
        self.start()
        self.upstream.clear()
        wait_until(lambda: self.ask().verdict == "NO_SUCH_DOMAIN", "the denial")

    def test_once_answered_stale_nobody_waits_for_the_dns_again(self):
        """Not for the family of which the exchange has no address either, nor for a domain that is its own exchange."""
        self.start(max_negative_ttl=1, stale_after=600)
        self.upstream.add("i.test 1 A 192.0.2.3\n")
        self.assertTrue(self.ask("i.test").implicit)
        self.upstream.clear()
        self.upstream.default = SILENT
        for domain in ("d.test", "i.test"):
            wait_until(lambda: self.ask(domain).ttl == STALE_TTL, "a stale answer")
            for _ in range(20):
                reply = self.ask(domain)
                self.assertEqual((reply.verdict, reply.stale, reply.source), ("ROUTE", True, "MEMORY"))
        self.assertEqual(self.daemon.counters()["lookups-coalesced"], 0)

    def test_without_max_stale_a_failure_is_a_failure(self):
        self.start(max_stale=0)
        self.fail_with(rcode(dnswire.SERVFAIL))
        wait_until(lambda: self.ask().verdict != "ROUTE", "the failure")
        self.assertEqual(self.ask().verdict, "DNS_SERVFAIL")

    def test_denials_and_failures_are_not_answered_stale(self):
        self.start(max_negative_ttl=1)
        self.assertEqual(self.ask("none.test").verdict, "NO_SUCH_DOMAIN")
        self.fail_with(rcode(dnswire.SERVFAIL))
        wait_until(lambda: self.ask("none.test").verdict == "DNS_SERVFAIL", "the failure")

    def test_explain_tells_of_it(self):
        self.start()
        self.fail_with(rcode(dnswire.SERVFAIL))
        self.expect_stale()
        story = self.ask(explain=True).story
        self.assertIn("T6", [rule[:2] for rule, _ in story], story)


class Late(StaleTest):
    def test_who_waits_too_long_gets_the_expired_route_and_the_lookup_goes_on(self):
        self.start(stale_after=50)
        self.upstream.on("d.test", "MX", Reply(held=True))
        self.expect_stale()
        self.upstream.add("b.test 300 A 192.0.2.2\n")
        self.upstream.on("d.test", "MX", Reply(records="d.test 300 MX 10 b.test"))
        self.upstream.release()
        wait_until(lambda: self.ask().hosts == ["b.test"], "the new route")


class AfterARestart(StaleTest):
    """What had expired when the daemon ended, and when it started again from its snapshot."""

    def start_again(self, log="2.log", **options):
        self.path = self.folder / "snapshot"
        if not self.path.exists():
            self.start(snapshot_file=self.path, snapshot_interval=0, max_negative_ttl=1, **options)
            self.assertEqual(self.ask("none.test").verdict, "NO_SUCH_DOMAIN")
            self.wait_until_expired("d.test", self.daemon)
            self.assertEqual(self.daemon.stop(), 0)
        self.daemon = self.start_daemon(
            self.upstream, prefetch=0, query_timeout=QUERY_TIMEOUT, query_tries=1, snapshot_file=self.path,
            snapshot_interval=0, log=log, **options,
        )
        self.client = self.connect(self.daemon)

    def wait_until_expired(self, domain, daemon):
        def shown():
            shown = json.loads(run_tool("show", "--socket", daemon.control_path, "--json", domain).stdout)
            lives = [shown["left"], *(e[family]["left"] for e in shown["exchanges"] for family in ("v4", "v6"))]
            return all(left <= 0 for left in lives)

        wait_until(shown, f"all of {domain} has expired")

    def test_it_is_answered_stale_while_the_dns_fails(self):
        self.start_again()
        self.fail_with(rcode(dnswire.SERVFAIL))
        reply = self.ask()
        self.assertEqual((reply.verdict, reply.stale, reply.ttl), ("ROUTE", True, STALE_TTL))
        self.assertEqual((reply.hosts, reply.exchanges[0].addresses), (["a.test"], ["192.0.2.1"]))
        self.assertEqual(self.ask(no_stale=True).verdict, "DNS_SERVFAIL")
        self.assertEqual(self.ask("none.test").verdict, "DNS_SERVFAIL")

    def test_it_is_answered_stale_where_the_servers_are_gone(self):
        self.start_again()
        self.upstream.stop()
        reply = self.ask()
        self.assertEqual((reply.verdict, reply.stale, reply.hosts), ("ROUTE", True, ["a.test"]))
        self.assertEqual(reply.exchanges[0].addresses, ["192.0.2.1"])

    def test_it_is_answered_stale_after_one_more_restart_in_the_outage(self):
        self.start_again()
        self.fail_with(rcode(dnswire.SERVFAIL))
        self.assertTrue(self.ask().stale)
        self.assertEqual(self.daemon.stop(), 0)
        self.start_again(log="3.log")
        self.assertEqual((self.ask().verdict, self.ask().stale), ("ROUTE", True))

    def test_it_is_asked_for_anew_while_the_dns_answers(self):
        self.start_again()
        asked = self.upstream.count()
        reply = self.ask()
        self.assertEqual((reply.verdict, reply.stale, reply.source), ("ROUTE", False, "DNS"))
        self.assertEqual(self.upstream.count() - asked, 3)

    def test_without_max_stale_it_is_not_kept(self):
        self.start_again(max_stale=0)
        self.fail_with(rcode(dnswire.SERVFAIL))
        self.assertEqual(self.ask().verdict, "DNS_SERVFAIL")


class Ahead(FlowTest):
    def test_hits_in_the_last_part_of_a_life_renew_it_and_nobody_waits(self):
        upstream = self.start_upstream("d.test 2 MX 10 a.test\n")
        daemon = self.start_daemon(upstream, prefetch=50)
        client = self.connect(daemon)
        self.assertEqual(client.ask("d.test").source, "DNS")

        def is_renewed():
            reply = client.ask("d.test")
            self.assertEqual((reply.verdict, reply.source, reply.stale), ("ROUTE", "MEMORY", False))
            return daemon.counters()["refreshes"] >= 2

        wait_until(is_renewed, "two refreshes", 20.0)
        self.assertLessEqual(upstream.count(), 4)


if __name__ == "__main__":
    unittest.main()
