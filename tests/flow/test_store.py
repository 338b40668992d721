"""The shared store end to end: what one node has learned another one answers; the keys and values that lie in Redis between them."""
import time
import unittest

import record_octets
from harness import run_tool, wait_until
from protocol import ADDRESSES, EXCHANGES
from redis_servers import RedisTest
from upstream import SILENT

ZONE = """\
shop.test 300 MX 10 mx.shop.test
shop.test 300 MX 20 backup.test
mx.shop.test 200 A 192.0.2.1
mx.shop.test 200 AAAA 2001:db8::1
backup.test 100 A 198.51.100.9
other.test 300 MX 10 mx.shop.test
null.test 400 MX 0 .
short.test 1 MX 10 mx.shop.test
zero.test 0 MX 10 mx.shop.test
"""
MAX_STALE_S = 86400
PREFIX = "mxway:1:"


class StoreTest(RedisTest):
    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(ZONE)
        self.server = self.start_redis()
        self.redis = self.redis_client(self.server)

    def start_node(self, name, **options):
        options.setdefault("redis", self.server.target)
        # A busy machine is not what is tested here.
        options.setdefault("redis_timeout", 1000)
        options.setdefault("redis_head_start", 1000)
        node = self.launch_daemon(
            upstreams=[self.upstream.address],
            listen=self.folder / f"{name}.sock",
            control=self.folder / f"{name}.control",
            log=f"{name}.log",
            node_name=name,
            **options,
        ).wait_ready()
        if options["redis"]:
            self.wait_up(node)
        return node

    def stats(self, node):
        return self.tool_json("stats", node)

    def tool_json(self, command, node):
        import json

        done = run_tool(command, "--json", "--socket", node.control_path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def wait_up(self, node):
        wait_until(lambda: self.stats(node)["store"]["state"] == "up", "the shared store is up")

    def ask(self, node, domain, **options):
        options.setdefault("depth", ADDRESSES)
        with node.client() as client:
            return client.ask(domain, **options)

    def wait_keys(self, *names):
        wanted = {PREFIX + name for name in names}
        wait_until(lambda: wanted <= set(self.redis.keys()), f"{names} are written")

    def counter(self, node, name):
        return node.counters()[name]


class Sharing(StoreTest):
    def test_what_one_node_learns_the_other_answers_without_the_dns(self):
        first, second = self.start_node("first"), self.start_node("second")
        learned = self.ask(first, "shop.test")
        self.assertEqual((learned.verdict, learned.source), ("ROUTE", "DNS"))
        self.wait_keys("d:shop.test", "h:mx.shop.test", "h:backup.test")
        asked = self.upstream.count()
        shared = self.ask(second, "shop.test")
        self.assertEqual((shared.verdict, shared.source), ("ROUTE", "SHARED"))
        self.assertEqual(shared.hosts, ["mx.shop.test", "backup.test"])
        self.assertEqual(sorted(shared.exchanges[0].addresses), ["192.0.2.1", "2001:db8::1"])
        self.assertEqual(self.upstream.count(), asked)
        self.assertEqual(self.ask(second, "shop.test").source, "MEMORY")
        counters = second.counters()
        self.assertEqual((counters["store-hits"], counters["store-misses"], counters["store-writes"]), (3, 0, 0))


if __name__ == "__main__":
    unittest.main()
