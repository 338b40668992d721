"""Routes that the operator configures, and the names of special use (ROUTING Q7).

What is configured is answered before the cache and the DNS: each test counts the upstream queries.
"""
import time
import unittest

from harness import FlowTest, run_mxwayd
from protocol import ADDRESSES, EXCHANGES

EX_CONFIG = 78
# What the DNS says of the names that are routed elsewhere, and of the relays.
ZONE = """
example.test 300 MX 10 public.test
public.test 300 A 192.0.2.99
relay1.test 300 A 192.0.2.1
relay2.test 120 AAAA 2001:db8::2
relay2.test 300 A 192.0.2.2
alias.test 300 CNAME relay1.test
x.local 300 MX 10 relay1.test
d.test 300 MX 10 mail.local
mail.local 300 A 192.0.2.7
"""


def shown(reply):
    """The exchanges as "preference host[:port] STATUS address,address"."""
    lines = []
    for exchange in reply.exchanges:
        port = f":{exchange.port}" if exchange.port else ""
        addresses = " " + ",".join(sorted(exchange.addresses)) if exchange.addresses else ""
        lines.append(f"{exchange.preference} {exchange.host}{port} {exchange.status}{addresses}")
    return lines


class OverrideTest(FlowTest):
    def start(self, *routes, zone=ZONE, **options):
        """A daemon with `routes` (pairs of a pattern and its value) in its file, and its scripted upstream."""
        config = self.folder / "mxwayd.conf"
        config.write_text("".join(f'route "{pattern}" = "{value}"\n' for pattern, value in routes))
        self.upstream = self.start_upstream(zone)
        self.daemon = self.start_daemon(self.upstream, config=config, **options)
        self.client = self.connect(self.daemon)

    def expect(self, domain, exchanges, *, queries, verdict="ROUTE", source="OVERRIDE", depth=ADDRESSES, **options):
        """Asks, and compares the answer and the queries it cost. Returns the reply."""
        before = self.upstream.count()
        reply = self.client.ask(domain, depth=depth, **options)
        self.assertEqual((reply.verdict, reply.source), (verdict, source))
        self.assertEqual(shown(reply), exchanges)
        self.assertEqual(self.upstream.count() - before, queries)
        return reply

    def assert_no_mx_query(self):
        self.assertEqual([query.name for query in self.upstream.log() if query.type == "MX"], [])


class Routes(OverrideTest):
    def test_a_route_costs_its_addresses_and_never_an_mx_query(self):
        self.start(("example.test", "relay2.test 20, relay1.test 10"))
        route = ["10 relay1.test OK 192.0.2.1", "20 relay2.test OK 192.0.2.2,2001:db8::2"]
        reply = self.expect("Example.TEST.", route, queries=4)
        self.assertEqual((reply.ttl, reply.mx_ttl, reply.age), (60, 60, 0))
        self.assertEqual((reply.canonical, reply.implicit, reply.warnings), ("example.test", False, []))
        self.expect("example.test", route, queries=0)
        self.expect("example.test", route, queries=0, cache_only=True)
        self.expect("example.test", route, queries=4, refresh=True)
        self.assert_no_mx_query()

    def test_depth_exchanges_costs_nothing(self):
        self.start(("example.test", "relay1.test"))
        self.expect("example.test", ["10 relay1.test NOT_RESOLVED"], queries=0, depth=EXCHANGES)
        self.expect("example.test", ["10 relay1.test NOT_RESOLVED"], queries=0, depth=EXCHANGES, refresh=True)

    def test_cache_only_without_addresses_is_not_cached(self):
        self.start(("example.test", "relay1.test"))
        self.expect("example.test", [], queries=0, verdict="NOT_CACHED", source="POLICY", cache_only=True)

    def test_the_exact_name_wins_and_then_the_longest_suffix(self):
        self.start(
            ("*.example.test", "[192.0.2.10]"),
            ("*.b.example.test", "[192.0.2.20]"),
            ("c.b.example.test", "[192.0.2.30]"),
        )
        for domain, address in [
            ("a.example.test", "192.0.2.10"),
            ("b.example.test", "192.0.2.10"),
            ("x.b.example.test", "192.0.2.20"),
            ("x.c.b.example.test", "192.0.2.20"),
            ("C.B.example.test.", "192.0.2.30"),
        ]:
            with self.subTest(domain):
                reply = self.expect(domain, [f"10 {address} OK {address}"], queries=0)
                self.assertEqual(reply.canonical, domain.lower().rstrip("."))
        self.expect("example.test", ["10 public.test OK 192.0.2.99"], queries=3, source="DNS")
        self.expect("notexample.test", [], queries=1, verdict="NO_SUCH_DOMAIN", source="DNS")

    def test_an_exchange_has_a_port(self):
        self.start(
            ("example.test", "relay1.test:2525 10, [192.0.2.5]:26 20, [IPv6:2001:db8::5]:27 30, relay2.test:25 40"),
            ("other.test", "relay1.test:2526"),
            ("third.test", "relay1.test:2525 10, relay1.test:2526 20"),
        )
        self.expect(
            "example.test",
            [
                "10 relay1.test:2525 OK 192.0.2.1",
                "20 192.0.2.5:26 OK 192.0.2.5",
                "30 2001:db8::5:27 OK 2001:db8::5",
                "40 relay2.test OK 192.0.2.2,2001:db8::2",
            ],
            queries=4,
        )
        self.expect("other.test", ["10 relay1.test:2526 OK 192.0.2.1"], queries=0)
        self.expect(
            "third.test", ["10 relay1.test:2525 OK 192.0.2.1", "20 relay1.test:2526 OK 192.0.2.1"], queries=0
        )
        self.expect("third.test", ["10 relay1.test:2525 NOT_RESOLVED", "20 relay1.test:2526 NOT_RESOLVED"],
                    queries=0, depth=EXCHANGES)  # fmt: skip

    def test_equal_preferences_are_shuffled(self):
        self.start(("example.test", "relay1.test, relay2.test"))
        firsts = {self.client.ask("example.test").hosts[0] for _ in range(100)}
        self.assertEqual(firsts, {"relay1.test", "relay2.test"})

    def test_a_route_rejects_with_its_text(self):
        self.start(("example.test", "reject no mail to competitors, please"), ("*.example.test", "reject"))
        reply = self.expect("example.test", [], queries=0, verdict="REJECTED")
        self.assertEqual((reply.smtp_code, reply.enhanced_status), (550, "5.7.1"))
        self.assertEqual((reply.detail, reply.ttl), ("no mail to competitors, please", 60))
        reply = self.expect("a.example.test", [], queries=0, verdict="REJECTED", refresh=True)
        self.assertEqual((reply.detail, reply.canonical), ("", "a.example.test"))

    def test_an_exchange_without_address_is_not_replaced_by_the_dns_route(self):
        self.start(("example.test", "gone.test"))
        reply = self.expect("example.test", ["10 gone.test NXDOMAIN"], queries=2, verdict="MX_HOSTS_NO_ADDRESS")
        self.assertEqual(reply.smtp_code, 550)
        self.expect("example.test", ["10 gone.test NXDOMAIN"], queries=0, verdict="MX_HOSTS_NO_ADDRESS")

    def test_the_operator_may_name_an_alias(self):
        self.start(("example.test", "alias.test"), mx_cname="reject")
        reply = self.expect("example.test", ["10 alias.test OK 192.0.2.1"], queries=2)
        self.assertEqual((reply.exchanges[0].expanded, reply.warnings), ("relay1.test", []))

    def test_routes_are_not_followed(self):
        self.start(("example.test", "relay1.test"), ("relay1.test", "relay2.test"), ("relay2.test", "relay2.test:26"))
        self.expect("example.test", ["10 relay1.test OK 192.0.2.1"], queries=2)
        self.expect("relay1.test", ["10 relay2.test OK 192.0.2.2,2001:db8::2"], queries=2)
        self.expect("relay2.test", ["10 relay2.test:26 OK 192.0.2.2,2001:db8::2"], queries=0)

    def test_addresses_live_as_the_dns_says_and_the_route_a_minute(self):
        self.start(("example.test", "relay1.test"), zone="relay1.test 20 A 192.0.2.1\n")
        reply = self.expect("example.test", ["10 relay1.test OK 192.0.2.1"], queries=2)
        self.assertEqual((reply.ttl, reply.mx_ttl, reply.exchanges[0].ttl), (20, 60, 20))

    def test_names_of_a_route_are_converted(self):
        self.start(("*.Bücher.test", "RELAY1.test."))
        self.expect("x.bÜcher.test", ["10 relay1.test OK 192.0.2.1"], queries=2)
        self.expect("x.xn--bcher-kva.test", ["10 relay1.test OK 192.0.2.1"], queries=0)

    def test_the_command_line_comes_over_the_file(self):
        config = self.folder / "routes.conf"
        config.write_text("route example.test = relay1.test\nroute other.test = relay1.test\n")
        result = run_mxwayd(
            "-c", config, "-o", "route example.test=relay2.test 5", "-o", "route *.test=reject", "--print-config"
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        routes = [line for line in result.stdout.splitlines() if line.startswith("route ")]
        self.assertEqual(
            routes,
            [
                'route "example.test" = "relay2.test 5"',
                'route "other.test" = "relay1.test 10"',
                'route "*.test" = "reject"',
            ],
        )
        again = self.folder / "again.conf"
        again.write_text(result.stdout)
        self.assertEqual(run_mxwayd("-c", again, "--print-config").stdout, result.stdout)


class Expiry(OverrideTest):
    def test_a_route_that_ends_soon_shortens_the_answer(self):
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 45))
        self.start(("example.test", f"[192.0.2.1], expires {end}"), ("*.example.test", f"reject x, expires {end}"))
        reply = self.expect("example.test", ["10 192.0.2.1 OK 192.0.2.1"], queries=0)
        self.assertLessEqual(reply.ttl, 45)
        self.assertEqual(reply.ttl, reply.mx_ttl)
        self.assertLessEqual(self.expect("a.example.test", [], queries=0, verdict="REJECTED").ttl, 45)

    def test_an_expired_route_is_said_in_the_log_and_passed_over(self):
        self.start(
            ("example.test", "relay1.test, expires 2020-01-01"),
            ("a.b.test", "[192.0.2.1], expires 2020-02-29T23:59:59Z"),
            ("*.b.test", "[192.0.2.2], expires 2099-12-31"),
        )
        self.expect("example.test", ["10 public.test OK 192.0.2.99"], queries=3, source="DNS")
        self.expect("a.b.test", ["10 192.0.2.2 OK 192.0.2.2"], queries=0)
        log = self.daemon.output()
        self.assertIn("route example.test has expired", log)
        self.assertIn("route a.b.test has expired", log)
        self.assertNotIn("*.b.test", log)

    def test_t_warns_of_an_expired_route(self):
        path = self.folder / "mxwayd.conf"
        path.write_text('route "a.test" = "b.test, expires 2020-01-01"\nroute "*.c.test" = "b.test, expires 2099-12-31"\n')
        result = run_mxwayd("-t", "-c", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("route a.test has expired", result.stderr)
        self.assertNotIn("c.test", result.stderr)


class Errors(FlowTest):
    def test_a_wrong_route_is_refused_with_file_and_line(self):
        for name, text, line, expected in [
            ("no exchange", 'route "a.test" = ""\n', 1, "EXCHANGE[:PORT] [PREFERENCE]"),
            ("no preference", '\nroute "a.test" = "b.test ten"\n', 2, "0 to 65535"),
            ("no port", 'route "a.test" = "b.test:smtp"\n', 1, "1 to 65535"),
            ("no pattern", 'route = "b.test"\n', 1, 'NAME "KEY" = "VALUE"'),
            ("a bare address", 'route "a.test" = "192.0.2.1"\n', 1, "in brackets"),
            ("a star inside", '# x\n\nroute "a.*.test" = "b.test"\n', 3, "*.DOMAIN"),
            ("no date", 'route "a.test" = "b.test, expires soon"\n', 1, "2026-12-31"),
            ("twice", 'route "a.test" = "b.test"\nroute "A.test." = "c.test"\n', 2, "has a route already"),
            ("an exchange twice", 'route "a.test" = "b.test 1, b.test 2"\n', 1, "twice"),
            ("not closed", 'route "a.test" = "b.test\n', 1, "not closed"),
            ("33 exchanges", 'route "a.test" = "%s"\n' % ", ".join(f"h{i}.test" for i in range(33)), 1, "at most 32"),
        ]:
            with self.subTest(name):
                path = self.folder / "mxwayd.conf"
                path.write_text(text)
                result = run_mxwayd("-t", "-c", path)
                self.assertEqual(result.returncode, EX_CONFIG, result.stderr)
                self.assertIn(f"{path}:{line}: ", result.stderr)
                self.assertIn(expected, result.stderr)

    def test_a_wrong_route_of_the_command_line_is_refused(self):
        for assignment, expected in [
            ("route a.test=b.test:0", "1 to 65535"),
            ("route=b.test", "route PATTERN=VALUE"),
            ("route a b=c.test", "a space"),
        ]:
            with self.subTest(assignment):
                result = run_mxwayd("-t", "-c", "/dev/null", "-o", assignment)
                self.assertEqual(result.returncode, EX_CONFIG, result.stderr)
                self.assertIn(f"-o {assignment}: ", result.stderr)
                self.assertIn(expected, result.stderr)

    def test_ten_thousand_routes_are_checked_and_one_more_is_refused(self):
        path = self.folder / "mxwayd.conf"
        lines = [f'route "d{i}.test" = "relay.test:{i % 100 + 1} 10"\n' for i in range(10001)]
        path.write_text("".join(lines[:-1]))
        self.assertEqual(run_mxwayd("-t", "-c", path).returncode, 0)
        path.write_text("".join(lines))
        result = run_mxwayd("-t", "-c", path)
        self.assertEqual(result.returncode, EX_CONFIG)
        self.assertIn(f"{path}:10001: route: one route too many: expected at most 10000", result.stderr)


class SpecialUse(OverrideTest):
    def test_special_use_names_are_no_domains_and_nobody_is_asked(self):
        self.start(max_negative_ttl=1234, allow_single_label="yes")
        for domain in ("x.invalid", "a.b.localhost", "X.Onion.", "x.alt", "x.LOCAL", "local", "localhost"):
            with self.subTest(domain):
                reply = self.expect(
                    domain, [], queries=0, verdict="NO_SUCH_DOMAIN", source="POLICY", refresh=True
                )
                self.assertEqual((reply.smtp_code, reply.enhanced_status), (550, "5.1.2"))
                self.assertEqual((reply.ttl, reply.mx_ttl, reply.age), (1234, 1234, 0))
                self.assertEqual(reply.canonical, domain.lower().rstrip("."))
        self.assertEqual(self.daemon.counters()["requests-special-use"], 7)

    def test_other_names_are_asked_for(self):
        self.start(zone="")
        for domain in ("x.test", "local.example", "x.notlocal", "x.example", "x.home.arpa"):
            with self.subTest(domain):
                self.expect(domain, [], queries=1, verdict="NO_SUCH_DOMAIN", source="DNS")

    def test_special_use_names_are_asked_for_where_that_is_wanted(self):
        self.start(special_use="resolve")
        self.expect("x.local", ["10 relay1.test OK 192.0.2.1"], queries=3, source="DNS")

    def test_an_exchange_of_special_use_is_asked_for(self):
        self.start()
        self.expect("d.test", ["10 mail.local OK 192.0.2.7"], queries=3, source="DNS")

    def test_a_route_may_be_for_special_use_names(self):
        self.start(("*.local", "relay1.test"))
        self.expect("office.local", ["10 relay1.test OK 192.0.2.1"], queries=2)
        self.expect("local.invalid", [], queries=0, verdict="NO_SUCH_DOMAIN", source="POLICY")


if __name__ == "__main__":
    unittest.main()
