"""What lies in the shared store is not trusted: spoiled, foreign and untimely values are misses, and senders see right answers.

The values are genuine ones, written by a node whose DNS server says something else about every name: what is
answered from one of them shows.
"""
import time
import unittest

from harness import INSTRUMENTED, wait_until
from record_octets import Spoiler, is_whole, moved, times, with_times
from store_flow import PATIENT, StoreTest, told

MANY = 2000 if INSTRUMENTED else 10000
HUGE = 100 << 20
REFUSALS = [
    f"store-{reason}" for reason in ("too-long", "no-record", "unknown-version", "corrupt", "wrong-name", "impossible", "skewed", "expired")
]


class PoisonTest(StoreTest):
    """A redis-server with genuine values of another DNS server, by key in `values`."""

    def plant(self, domains, **options):
        self.server = self.start_redis()
        self.redis = self.redis_client(self.server)
        elsewhere = self.start_zone("--seed", 2, name="elsewhere")
        writer = self.start_node("writer", elsewhere, self.server, redis_max_writes=100000, **PATIENT, **options)
        self.wait_store_up(writer)
        self.ask_all(writer, domains)
        wanted = {f"mxway:1:d:{domain}" for domain in domains}
        self.wait_for_keys(wanted)
        writer.stop()
        keys = [key for key in self.redis.keys() if ":1:d:" in key or ":1:h:" in key]
        self.values = dict(zip(keys, self.redis.many(("GET", key) for key in keys)))
        self.assertEqual([key for key, value in self.values.items() if not is_whole(value)], [])

    def start_here(self, **options):
        self.upstream = self.start_zone("--seed", 1)
        self.reference = self.start_node("reference", self.upstream)
        self.node = self.start_node("node", self.upstream, self.server, **PATIENT, **options)
        self.wait_store_up(self.node)

    def ask_here(self, domains, **options):
        """Asks both nodes; returns the replies of the one with a store, and those of the other, by domain."""
        return self.ask_all(self.node, domains, **options), self.ask_all(self.reference, domains)

    def assert_nothing_shared(self, domains):
        replies, others = self.ask_here(domains)
        for domain, reply in replies.items():
            if reply.source != "DNS" or told(reply) != told(others[domain]):
                key = f"mxway:1:d:{domain}"
                self.assertEqual((reply.source, told(reply)), ("DNS", told(others[domain])), self.spoiled.get(key))


class Spoiled(PoisonTest):
    def setUp(self):
        super().setUp()
        self.spoiled = {}  # key to the way in which it was spoiled

    def test_whole_values_are_served_so_that_the_others_prove_something(self):
        domains = [f"d{i}.bench.test" for i in range(50)]
        self.plant(domains)
        self.start_here()
        replies, others = self.ask_here(domains)
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})
        same = [domain for domain in domains if told(replies[domain]) == told(others[domain])]
        self.assertLess(len(same), 5)

    def test_none_of_ten_thousand_spoiled_values_is_served(self):
        domains = [f"d{i}.bench.test" for i in range(MANY)]
        self.plant(domains)
        by_kind = {kind: [key for key in self.values if f":1:{kind}:" in key] for kind in "dh"}
        spoiler = Spoiler(1)
        commands = []
        for kind, keys in by_kind.items():
            other_kind = by_kind["h" if kind == "d" else "d"]
            for i, key in enumerate(keys):
                way = spoiler.ways[i % len(spoiler.ways)]
                other, foreign = self.values[keys[i - 1]], self.values[other_kind[i % len(other_kind)]]
                self.spoiled[key] = way.__name__
                commands += spoiler.spoil(way, key, self.values[key], other, foreign)
        errors = [reply for reply in self.redis.many(commands) if isinstance(reply, Exception)]
        self.assertEqual(errors, [])
        self.start_here(redis_mode="ro")
        before = self.store_counters(self.node)
        self.assert_nothing_shared(domains)
        now = self.store_counters(self.node)
        found = {name: now[name] - before[name] for name in now}
        self.assertEqual((found["store-hits"], found["store-stale"]), (0, 0), found)
        refused = sum(found[name] for name in REFUSALS)
        # Those of domains, and of the hosts that both DNS servers know.
        self.assertGreaterEqual(refused, MANY, found)
        for name in REFUSALS:
            self.assertGreater(found[name], 0, found)


class Huge(PoisonTest):
    def test_a_string_of_a_hundred_mebibytes_is_not_taken_in(self):
        domains = [f"d{i}.bench.test" for i in range(40)]
        self.plant(domains)
        huge = domains[0]
        self.redis("SETRANGE", f"mxway:1:d:{huge}", HUGE - 1, "x")
        self.start_here()
        before = self.node.resident_bytes()
        self.spoiled = {f"mxway:1:d:{huge}": "huge"}
        started_s = time.monotonic()
        self.assert_nothing_shared([huge])
        self.assertLess(time.monotonic() - started_s, 2.0)
        self.assertLess(self.node.resident_bytes() - before, 4 << 20)
        self.assertIn("a reply of more than 1 MiB came", self.node.output())
        self.wait_store_up(self.node)
        replies, _ = self.ask_here(domains[1:])
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})


class Clocks(PoisonTest):
    def shift(self, name, ms):
        key = f"mxway:1:d:{name}"
        self.redis("SET", key, moved(self.values[key], ms), "PX", 3600000)

    def setUp(self):
        super().setUp()
        self.domains = [f"d{i}.bench.test" for i in range(4)]
        self.plant(self.domains)

    def ask(self, domain):
        replies, others = self.ask_here([domain])
        return replies[domain], others[domain]

    def test_values_of_a_clock_that_is_far_ahead_are_refused_and_a_little_is_borne(self):
        ahead, little, _, _ = self.domains
        self.shift(ahead, 70000)
        self.shift(little, 30000)
        self.start_here()
        reply, other = self.ask(ahead)
        self.assertEqual((reply.source, told(reply)), ("DNS", told(other)))
        self.assertEqual(self.store_counters(self.node)["store-skewed"], 1)
        reply, _ = self.ask(little)
        self.assertEqual(reply.source, "SHARED")
        self.assertLessEqual(reply.ttl, 3600)

    def test_values_of_a_clock_behind_live_as_much_shorter(self):
        behind, expired, gone, _ = self.domains
        self.shift(behind, -1800000)
        self.shift(expired, -3700000)
        value = self.values[f"mxway:1:d:{gone}"]
        created, expires, stale_until = times(value)
        back = stale_until - created + 60000
        self.redis("SET", f"mxway:1:d:{gone}", with_times(value, created - back, expires - back, stale_until - back), "PX", 3600000)
        self.start_here()
        reply, _ = self.ask(behind)
        self.assertEqual(reply.source, "SHARED")
        self.assertLessEqual(reply.mx_ttl, 1800)
        for domain in (expired, gone):
            reply, other = self.ask(domain)
            self.assertEqual((reply.source, told(reply)), ("DNS", told(other)), domain)


if __name__ == "__main__":
    unittest.main()
