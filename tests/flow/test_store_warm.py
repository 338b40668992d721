"""Warm starts: what Redis holds is in the memory of a node that has just started, at the rate that is set, and nothing else is."""
import re
import time
import unittest

from harness import INSTRUMENTED, wait_until
from record_octets import Spoiler, times, with_times
from redis_servers import MASTER_NAME
from store_flow import PATIENT, StoreTest, told
from test_store_values import PoisonTest

MANY = 1000 if INSTRUMENTED else 5000
HOSTS = MANY // 10
FAST = 20000
ROUNDS_OF_WRITING = 6
READS_OF_SCAN = 20  # what a SCAN counts as
ENDED = r"^(\d+) of (\d+) values in (\d+\.\d) s, (\d+) refused$"
BEGINS = "warm start: reads what redis holds of mxway:1:d:*"


class WarmTest(StoreTest):
    def start_zone_of_many(self):
        """nsd with MANY domains at HOSTS hosts."""
        zone = "".join(f"d{i}.test. 3600 IN MX 10 mx{i % HOSTS}.hosts.test.\n" for i in range(MANY))
        zone += "".join(f"mx{i}.hosts.test. 3600 IN A 192.0.2.{1 + i % 250}\n" for i in range(HOSTS))
        self.domains = [f"d{i}.test" for i in range(MANY)]
        return self.start_nsd(zone)

    def has_all_servers(self, node, servers, options):
        store, is_cluster = self.stats(node)["store"], options.get("redis_topology") == "cluster"
        return store["servers_up"] == store["servers"] >= (len(servers) if is_cluster else 1)

    def fill(self, upstream, store, domains, servers, **options):
        """One node learns all of it and has written it; the replies by domain."""
        writer = self.start_node("writer", upstream, store, **PATIENT, **options)
        self.wait_store_up(writer)
        wait_until(lambda: self.has_all_servers(writer, servers, options), "all servers are up")
        replies = self.ask_all(writer, domains)
        self.assertEqual({reply.verdict for reply in replies.values()} - {"ROUTE", "NULL_MX"}, set())
        self.wait_written(writer)
        hosts = {host for reply in replies.values() for host in reply.hosts}
        for _ in range(ROUNDS_OF_WRITING):  # a write is not tried again: one may be lost on a busy machine
            try:
                wait_until(lambda: self.count_keys(servers) >= len(domains) + len(hosts), "all is in Redis", 10.0)
                break
            except AssertionError:
                self.ask_all(writer, domains, refresh=True)
        wait_until(lambda: self.count_keys(servers) >= len(domains) + len(hosts), "all is in Redis")
        writer.stop()
        return replies

    def count_keys(self, servers):
        return sum(len([key for key in server.keys() if ":1:d:" in key or ":1:h:" in key]) for server in servers)

    def warm_text(self, node):
        return self.stats(node)["store"]["warm_start"]

    def wait_warm(self, node, timeout_s=60.0):
        """Until the warm start is over: values loaded, values found, values refused."""
        found = wait_until(lambda: re.match(ENDED, self.warm_text(node)), "the warm start is over", timeout_s)
        return int(found[1]), int(found[2]), int(found[4])

    def commands(self, server):
        """How often a server was told what, by command."""
        info = server.info("commandstats")
        return {name[len("cmdstat_"):]: int(re.match(r"calls=(\d+)", value)[1]) for name, value in info.items() if name.startswith("cmdstat_")}

    def forget_commands(self, server):
        server("CONFIG", "RESETSTAT")

    def assert_all_from_memory(self, node, expected):
        for domain, reply in self.ask_all(node, expected).items():
            if reply.source != "MEMORY" or told(reply) != told(expected[domain]):
                self.assertEqual((reply.source, told(reply)), ("MEMORY", told(expected[domain])), domain)


class Warm(WarmTest):
    def test_a_new_node_answers_all_from_memory_without_redis_and_dns(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        expected = self.fill(upstream, server, self.domains, [server])
        self.forget_commands(server)
        node = self.start_node("node", upstream, server, redis_warm_start=FAST)
        loaded, found, refused = self.wait_warm(node)
        self.assertEqual((loaded, found, refused), (MANY + HOSTS, MANY + HOSTS, 0))
        commands = self.commands(server)
        self.assertEqual(commands["get"], MANY + HOSTS)
        self.assertEqual(set(commands) & {"set", "del", "eval", "keys"}, set())
        server.kill()
        upstream.stop()
        self.assert_all_from_memory(node, expected)
        counters = node.counters()
        self.assertEqual((counters["store-hits"], counters["dns-queries"], counters["cache-evictions"]), (0, 0, 0))
        self.assertEqual(counters["warm-loaded"], MANY + HOSTS)
        output = node.output()
        self.assertEqual((output.count(BEGINS), len(re.findall(r"warm start: \d+ of \d+ values in [\d.]+ s, 0 refused", output))), (1, 1))

    def test_without_the_option_nothing_is_scanned(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        self.fill(upstream, server, self.domains[:100], [server])
        self.forget_commands(server)
        node = self.start_node("node", upstream, server, **PATIENT)
        self.wait_store_up(node)
        time.sleep(0.5)
        self.assertEqual(set(self.commands(server)) & {"scan", "get", "keys", "mget"}, set())
        self.assertEqual(self.warm_text(node), "")
        self.assertEqual(self.ask_all(node, ["d1.test"])["d1.test"].source, "SHARED")

    def test_clients_are_served_while_it_goes_on(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        expected = self.fill(upstream, server, self.domains, [server])
        node = self.start_node("node", upstream, server, redis_warm_start=500, **PATIENT)
        wait_until(lambda: node.counters()["warm-loaded"] > 0, "it has begun")
        replies = self.ask_all(node, expected)
        self.assertLessEqual({reply.source for reply in replies.values()}, {"SHARED", "MEMORY"})
        self.assertEqual([domain for domain in expected if told(replies[domain]) != told(expected[domain])], [])

    def test_the_rate_is_kept(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        self.fill(upstream, server, self.domains[:900], [server])
        rate = 200
        self.forget_commands(server)
        begun_s = time.monotonic()
        node = self.start_node("node", upstream, server, redis_warm_start=rate)
        wait_until(lambda: node.counters()["warm-loaded"] > 0, "it has begun")
        while True:
            commands = self.commands(server)
            count, elapsed_s = commands.get("get", 0) + READS_OF_SCAN * commands.get("scan", 0), time.monotonic() - begun_s
            self.assertLessEqual(count, rate * (elapsed_s + 0.02) + READS_OF_SCAN)
            if elapsed_s > 3.0:
                break
            time.sleep(0.02)
        if not INSTRUMENTED:
            self.assertGreaterEqual(count, rate * elapsed_s / 2)
        self.assertRegex(self.warm_text(node), r"^\d+ of \d+ values so far, 0 refused$")

    def test_it_ends_with_the_daemon_in_the_midst_of_it(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        self.fill(upstream, server, self.domains[:600], [server])
        for least in (0, 1, 100, 400):
            node = self.start_node("node", upstream, server, redis_warm_start=1000)
            wait_until(lambda: node.counters()["warm-loaded"] >= least, "it has begun")
            self.assertEqual(node.stop(), 0)

    def test_what_a_snapshot_has_brought_is_not_asked_for(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        expected = self.fill(upstream, server, self.domains[:500], [server])
        options = {"redis_warm_start": FAST, "snapshot_file": self.folder / "snapshot"}
        node = self.start_node("node", upstream, server, **options)
        self.wait_warm(node)
        node.stop()
        self.forget_commands(server)
        node = self.start_node("node", upstream, server, **options)
        loaded, found, _ = self.wait_warm(node)
        self.assertEqual((loaded, found, self.commands(server).get("get", 0)), (0, 500, 0))
        self.assertEqual(node.counters()["warm-known"], 500)
        self.assert_all_from_memory(node, expected)


class Outages(WarmTest):
    def test_it_waits_for_a_redis_that_is_away_at_the_start(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        expected = self.fill(upstream, server, self.domains[:500], [server])
        server.freeze()
        node = self.start_node("node", upstream, server, redis_warm_start=FAST)
        time.sleep(2.0)
        self.assertEqual(self.warm_text(node), "waits for the shared store")
        server.thaw()
        loaded, found, _ = self.wait_warm(node)
        self.assertEqual((loaded, found), (550, 550) if HOSTS == 50 else (found, 500 + min(500, HOSTS)))
        self.assert_all_from_memory(node, expected)

    def test_it_goes_on_after_an_outage_in_the_midst_of_it(self):
        upstream, server = self.start_zone_of_many(), self.start_redis()
        expected = self.fill(upstream, server, self.domains[:900], [server])
        node = self.start_node("node", upstream, server, redis_warm_start=400)
        wait_until(lambda: node.counters()["warm-loaded"] > 100, "it has begun")
        server.freeze()
        wait_until(lambda: self.stats(node)["store"]["state"] == "down", "the breaker is open")
        time.sleep(1.0)
        server.thaw()
        loaded, found, _ = self.wait_warm(node)
        self.assertEqual(loaded, found)
        self.assert_all_from_memory(node, expected)


class Topologies(WarmTest):
    def test_every_master_of_a_cluster_is_read(self):
        nodes = self.start_cluster()
        target, options = ",".join(node.address for node in nodes), {"redis_topology": "cluster"}
        upstream = self.start_zone_of_many()
        expected = self.fill(upstream, target, self.domains, nodes, **options)
        node = self.start_node("node", upstream, target, redis_warm_start=FAST, **options)
        loaded, found, refused = self.wait_warm(node)
        self.assertEqual((loaded, found, refused), (MANY + HOSTS, MANY + HOSTS, 0))
        for server in nodes:
            server.kill()
        upstream.stop()
        self.assert_all_from_memory(node, expected)

    def test_a_master_that_is_gone_is_left_and_the_others_are_read(self):
        # Longer than the test: those that are left go on to name the one that is gone.
        nodes = self.start_cluster(cluster_require_full_coverage="no", cluster_node_timeout=600000)
        target, options = ",".join(node.address for node in nodes), {"redis_topology": "cluster"}
        upstream = self.start_zone_of_many()
        self.fill(upstream, target, self.domains[:600], nodes, **options)
        held = len([key for key in nodes[2].keys() if ":1:d:" in key])
        nodes[2].kill()
        node = self.start_node("node", upstream, target, redis_warm_start=FAST, **options)
        _, found, refused = self.wait_warm(node, 120.0)
        self.assertEqual(refused, 0)
        counters = node.counters()
        self.assertGreaterEqual(counters["warm-loaded"], 600 - held)
        self.assertRegex(node.output(), "redis: the keys of [^ ]+ are not looked through any further: it is away")
        self.assertEqual(found, sum(value for name, value in counters.items() if name.startswith("warm-") and name != "warm-found"))

    def test_the_new_master_is_read_after_a_fail_over_in_the_midst_of_it(self):
        master = self.start_redis("master")
        self.start_replica(master)
        sentinels = self.start_sentinels(master)
        target = ",".join(sentinel.address for sentinel in sentinels)
        options = {"redis_topology": "sentinel", "redis_master": MASTER_NAME}
        upstream = self.start_zone_of_many()
        expected = self.fill(upstream, target, self.domains[:900], [master], **options)
        node = self.start_node("node", upstream, target, redis_warm_start=300, **options)
        wait_until(lambda: node.counters()["warm-loaded"] > 100, "it has begun")
        master.kill()
        self.wait_warm(node, 120.0)
        upstream.stop()
        self.assert_all_from_memory(node, expected)


class Spoiled(PoisonTest, WarmTest):
    def test_spoiled_values_are_not_taken_into_memory(self):
        domains = [f"d{i}.bench.test" for i in range(MANY // 5)]
        self.plant(domains)
        spoiler, commands = Spoiler(1), []
        keys = [key for key in self.values if ":1:d:" in key]
        host = next(value for key, value in self.values.items() if ":1:h:" in key)
        for i, key in enumerate(keys):
            way = spoiler.ways[i % len(spoiler.ways)]
            commands += spoiler.spoil(way, key, self.values[key], self.values[keys[i - 1]], host)
        self.assertEqual([reply for reply in self.redis.many(commands) if isinstance(reply, Exception)], [])
        for key in ("mxway:1:d:two words", "mxway:1:d:", "mxway:1:d:UPPER.test", "mxway:1:d:" + 300 * "a"):
            self.redis("SET", key, self.values[keys[0]])
        self.start_here(redis_mode="ro", redis_warm_start=FAST)
        loaded, found, refused = self.wait_warm(self.node)
        self.assertEqual(loaded, 0)
        self.assertGreaterEqual(found, len(keys) + 4)
        self.assertGreaterEqual(refused, len(keys) * 9 // 10)
        self.assertEqual(self.stats(self.node)["domains"], 0)
        self.assertEqual(self.redis.many(("EXISTS", key) for key in keys), [1] * len(keys))

    def test_expired_values_are_left_and_the_others_taken(self):
        domains = [f"d{i}.bench.test" for i in range(100)]
        self.plant(domains)
        for domain in domains[:50]:
            key = f"mxway:1:d:{domain}"
            created, expires, stale_until = times(self.values[key])
            back = expires - created + 60000
            self.redis("SET", key, with_times(self.values[key], created - back, expires - back, stale_until - back), "PX", 3600000)
        self.start_here(redis_warm_start=FAST)
        self.wait_warm(self.node)
        self.assertEqual(self.node.counters()["warm-expired"], 50)
        replies, others = self.ask_here(domains)
        for domain in domains[:50]:
            self.assertEqual((replies[domain].source, replies[domain].hosts), ("DNS", others[domain].hosts), domain)
        self.assertEqual({replies[domain].source for domain in domains[50:]}, {"MEMORY"})

    def test_one_string_of_a_hundred_mebibytes_does_not_end_it(self):
        domains = [f"d{i}.bench.test" for i in range(300)]
        self.plant(domains)
        self.redis("SETRANGE", "mxway:1:d:d7.bench.test", (100 << 20) - 1, "x")
        self.start_here(redis_warm_start=2000)
        before = self.node.resident_bytes()
        self.wait_warm(self.node, 120.0)
        self.assertLess(self.node.resident_bytes() - before, (64 if INSTRUMENTED else 8) << 20)
        counters = self.node.counters()
        self.assertEqual(counters["warm-failed"], 1)
        self.assertEqual(counters["warm-loaded"], counters["warm-found"] - 1)


if __name__ == "__main__":
    unittest.main()
