"""The shared store end to end: what one node has learned another one answers; the keys and values that lie in Redis between them."""
import json
import re
import subprocess
import time
import unittest

import record_octets
from harness import program, run_mxwayd, run_tool, wait_until
from protocol import ADDRESSES, EXCHANGES
from redis_servers import RedisTest
from resp import RedisError
from upstream import SILENT

MAX_STALE_MS = 86400 * 1000
PREFIX = "mxway:1:"
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


class StoreTest(RedisTest):
    """Nodes before one scripted DNS server, with budgets that a busy machine does not exceed."""

    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(ZONE)
        self.server = self.start_redis()
        self.redis = self.redis_client(self.server)

    def start_node(self, name, **options):
        options.setdefault("redis", self.server.target)
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
        if options["redis"] and options.get("redis_mode") != "off":
            wait_until(lambda: self.store_of(node)["state"] == "up", "the shared store is up")
        return node

    def tool(self, node, *arguments):
        done = run_tool(*arguments, "--socket", node.control_path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def store_of(self, node):
        return json.loads(self.tool(node, "stats", "--json"))["store"]

    def ask(self, node, domain, **options):
        options.setdefault("depth", ADDRESSES)
        with node.client() as client:
            return client.ask(domain, **options)

    def learn(self, node, *domains, **options):
        """Has a node ask the DNS."""
        for domain in domains:
            self.assertEqual(self.ask(node, domain, **options).source, "DNS", domain)

    def wait_keys(self, *names):
        wanted = {PREFIX + name for name in names}
        wait_until(lambda: wanted <= set(self.redis.keys()), f"{names} are written")

    def values(self):
        """The keys of facts, and their values."""
        return {key: self.redis("GET", key) for key in self.redis.keys() if f"{PREFIX}l:" not in key and key != f"{PREFIX}purges"}

    def counters(self, node):
        return {name[len("store-"):]: value for name, value in node.counters().items() if name.startswith("store-") and value}


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
        self.assertLessEqual(shared.ttl, 100)
        self.assertEqual(self.upstream.count(), asked)
        self.assertEqual(self.ask(second, "shop.test").source, "MEMORY")
        self.assertEqual(self.counters(first), {"misses": 3, "leases-won": 3, "writes": 3})
        self.assertEqual(self.counters(second), {"hits": 3})

    def test_a_node_that_has_restarted_knows_what_it_knew(self):
        node = self.start_node("first")
        self.learn(node, "shop.test", "null.test")
        self.wait_keys("d:shop.test", "d:null.test", "h:mx.shop.test", "h:backup.test")
        self.assertEqual(node.stop(), 0)
        again = self.start_node("first")
        asked = self.upstream.count()
        for domain, verdict in (("shop.test", "ROUTE"), ("null.test", "NULL_MX")):
            reply = self.ask(again, domain)
            self.assertEqual((reply.verdict, reply.source), (verdict, "SHARED"))
        self.assertEqual(self.upstream.count(), asked)

    def test_denials_are_shared_and_failures_are_not(self):
        self.upstream.on("broken.test", "MX", SILENT)
        first, second = self.start_node("first", query_timeout=50, query_tries=1), self.start_node("second")
        self.assertEqual(self.ask(first, "gone.test").verdict, "NO_SUCH_DOMAIN")
        self.assertEqual(self.ask(first, "broken.test").verdict, "DNS_TIMEOUT")
        self.wait_keys("d:gone.test")
        reply = self.ask(second, "gone.test")
        self.assertEqual((reply.verdict, reply.source), ("NO_SUCH_DOMAIN", "SHARED"))
        self.assertNotIn(f"{PREFIX}d:broken.test", self.values())
        # What nobody will bring is waited for by nobody.
        wait_until(lambda: f"{PREFIX}l:d:broken.test" not in self.redis.keys(), "the lease is given back")

    def test_a_ttl_of_zero_is_for_one_answer(self):
        node = self.start_node("first")
        for _ in range(3):
            self.learn(node, "zero.test", depth=EXCHANGES)
        self.learn(node, "shop.test", depth=EXCHANGES)
        self.wait_keys("d:shop.test")
        self.assertEqual(list(self.values()), [f"{PREFIX}d:shop.test"])

    def test_the_same_is_not_written_again(self):
        node = self.start_node("first")
        self.learn(node, "shop.test", depth=EXCHANGES)
        self.wait_keys("d:shop.test")
        before = self.values()
        for _ in range(3):
            self.learn(node, "shop.test", depth=EXCHANGES, refresh=True)
        node.wait_counter("store-writes-same", 3)
        self.assertEqual(self.values(), before)
        self.upstream.clear()
        self.upstream.add("shop.test 300 MX 10 backup.test")
        self.learn(node, "shop.test", depth=EXCHANGES, refresh=True)
        node.wait_counter("store-writes", 2)
        self.assertNotEqual(self.values(), before)

    def test_where_another_node_asks_the_dns_it_is_waited_for(self):
        """The lease is another's; its answer comes while this node waits."""
        node = self.start_node("first", redis_lease=1000)
        other = self.start_node("other", redis_lease=1000)
        self.redis("SET", f"{PREFIX}l:d:shop.test", "other", "PX", 60000)
        with node.client() as client:
            client.send("shop.test", depth=EXCHANGES)
            node.wait_counter("store-leases-lost", 1)
            asked = self.upstream.count("shop.test")
            self.assertEqual(asked, 0)
            self.learn(other, "shop.test", depth=EXCHANGES, refresh=True)
            self.assertEqual(client.receive().source, "SHARED")
        self.assertEqual(self.upstream.count("shop.test"), 1)
        self.assertNotIn("leases-waited", self.counters(node))

    def test_who_waits_in_vain_asks_the_dns_itself(self):
        node = self.start_node("first", redis_lease=50)
        self.redis("SET", f"{PREFIX}l:d:shop.test", "nobody", "PX", 60000)
        start = time.monotonic()
        self.learn(node, "shop.test", depth=EXCHANGES)
        self.assertGreaterEqual(time.monotonic() - start, 0.04)
        self.assertEqual(self.counters(node)["leases-waited"], 1)


class Keys(StoreTest):
    def test_keys_can_be_read_and_end_by_themselves(self):
        node = self.start_node("first")
        self.ask(node, "ShOp.Test.")
        self.ask(node, "gone.test")
        self.wait_keys("d:shop.test", "d:gone.test", "h:mx.shop.test", "h:backup.test")
        command = [program("redis-cli"), "-s", self.server.path]
        listed = subprocess.run([*command, "--scan", "--pattern", f"{PREFIX}[dh]:*"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(
            sorted(listed.split()), [f"{PREFIX}d:gone.test", f"{PREFIX}d:shop.test", f"{PREFIX}h:backup.test", f"{PREFIX}h:mx.shop.test"]
        )
        for name, seconds, stale_ms in (("d:shop.test", 300, MAX_STALE_MS), ("d:gone.test", 900, 0), ("h:mx.shop.test", 200, MAX_STALE_MS)):
            most = seconds * 1000 + stale_ms
            life = int(subprocess.run([*command, "PTTL", PREFIX + name], capture_output=True, text=True, check=True).stdout)
            self.assertLessEqual(life, most, name)
            self.assertGreaterEqual(life, most * 0.95 - 60000, name)

    def test_values_say_what_they_are(self):
        now_ms = time.time() * 1000
        self.learn(self.start_node("first"), "shop.test", depth=EXCHANGES)
        self.wait_keys("d:shop.test")
        value = self.values()[f"{PREFIX}d:shop.test"]
        self.assertTrue(record_octets.is_whole(value))
        self.assertIn(b"\x05first", value)
        self.assertIn(b"\x09shop.test", value)
        created, expires, stale_until = record_octets.times(value)
        self.assertLess(abs(created - now_ms), 30000)
        self.assertEqual((expires - created, stale_until - expires), (300000, MAX_STALE_MS))

    def test_a_life_of_a_second_at_least(self):
        self.learn(self.start_node("first", max_stale=0), "short.test", depth=EXCHANGES)
        self.wait_keys("d:short.test")
        life = self.redis("PTTL", f"{PREFIX}d:short.test")
        self.assertLessEqual(life, 1000)
        self.assertGreater(life, 0)
        wait_until(lambda: not self.values(), "it has ended")

    def test_prefix_and_cluster_keep_clusters_apart(self):
        first = self.start_node("first", redis_prefix="mail", redis_cluster_name="east")
        second = self.start_node("second", redis_prefix="mail", redis_cluster_name="west")
        self.learn(first, "shop.test", depth=EXCHANGES)
        wait_until(lambda: "mail:east:1:d:shop.test" in self.redis.keys(), "it is written")
        self.learn(second, "shop.test", depth=EXCHANGES)

    def test_a_node_that_only_reads_writes_nothing(self):
        reader = self.start_node("reader", redis_mode="ro")
        self.learn(reader, "other.test", depth=EXCHANGES)
        writer = self.start_node("writer")
        self.learn(writer, "shop.test", depth=EXCHANGES)
        self.wait_keys("d:shop.test")
        self.assertEqual(self.ask(reader, "shop.test", depth=EXCHANGES).source, "SHARED")
        self.assertEqual(run_tool("purge", "shop.test", "--socket", reader.control_path).returncode, 1)
        self.assertEqual(list(self.values()), [f"{PREFIX}d:shop.test"])


class Refused(StoreTest):
    """Values that nobody may believe: each is a miss with a counter of its own, and replaced by what the DNS says."""

    def expect_refused(self, counter, plant, **options):
        writer = self.start_node("writer", **options)
        self.learn(writer, "shop.test", "other.test", depth=EXCHANGES)
        self.wait_keys("d:shop.test", "d:other.test")
        key = f"{PREFIX}d:shop.test"
        good = self.redis("GET", key)
        plant(key, good)
        reader = self.start_node("reader", **options)
        reply = self.ask(reader, "shop.test", depth=EXCHANGES)
        self.assertEqual((reply.verdict, reply.source, reply.hosts), ("ROUTE", "DNS", ["mx.shop.test", "backup.test"]))
        counters = self.counters(reader)
        self.assertEqual((counters.get(counter), counters.get("misses"), counters.get("hits")), (1, 1, None), counters)
        wait_until(lambda: self.good(key), "a good value in its place")
        self.assertEqual(self.ask(self.start_node("third", **options), "shop.test", depth=EXCHANGES).source, "SHARED")

    def good(self, key):
        try:
            return record_octets.is_whole(self.redis("GET", key))
        except RedisError:
            return False

    def set(self, change):
        """Plants what `change` makes of the good value, as redis-cli would."""

        def plant(key, good):
            done = subprocess.run([program("redis-cli"), "-s", self.server.path, "-x", "SET", key], input=change(good), capture_output=True, check=True)
            self.assertEqual(done.stdout.strip(), b"OK")

        return plant

    def test_rubbish(self):
        self.expect_refused("no-record", self.set(lambda good: b"rubbish"))

    def test_nothing(self):
        self.expect_refused("no-record", self.set(lambda good: b""))

    def test_a_list(self):
        def plant(key, good):
            self.redis("DEL", key)
            self.redis("RPUSH", key, good)

        self.expect_refused("no-record", plant)

    def test_a_changed_octet(self):
        self.expect_refused("corrupt", self.set(lambda good: good[:60] + bytes([good[60] ^ 1]) + good[61:]))

    def test_cut_off(self):
        self.expect_refused("corrupt", self.set(lambda good: good[:-1]))

    def test_another_version(self):
        self.expect_refused("unknown-version", self.set(lambda good: record_octets.with_octet(good, record_octets.VERSION_AT, 2)))

    def test_the_value_of_another_domain(self):
        self.expect_refused("wrong-name", lambda key, good: self.redis("SET", key, self.redis("GET", f"{PREFIX}d:other.test")))

    def test_too_long(self):
        self.expect_refused("too-long", self.set(lambda good: good + bytes(4097)))

    def test_of_the_future(self):
        self.expect_refused("skewed", self.set(lambda good: record_octets.moved(good, 120000)))

    def test_too_old(self):
        self.expect_refused("expired", self.set(lambda good: record_octets.moved(good, -2 * MAX_STALE_MS)))

    def test_impossible(self):
        def turn(good):
            created, expires, stale_until = record_octets.times(good)
            return record_octets.with_times(good, expires, created, stale_until)

        self.expect_refused("impossible", self.set(turn))

    def test_without_a_mac(self):
        keys = self.folder / "mac-keys"
        keys.write_text("00112233445566778899aabbccddeeff" * 2 + "\n")
        keys.chmod(0o600)

        def unseal(good):
            # By who can write but has no key: the same facts, not sealed.
            return record_octets.signed(good[:6] + b"\0" + good[7:-40] + good[-8:])

        self.expect_refused("bad-mac", self.set(unseal), redis_mac_key_file=keys)

    def test_sealed_for_another_key(self):
        keys = self.folder / "mac-keys"
        keys.write_text("00112233445566778899aabbccddeeff" * 2 + "\n")
        keys.chmod(0o600)
        self.expect_refused(
            "bad-mac", lambda key, good: self.redis("SET", key, self.redis("GET", f"{PREFIX}d:other.test")), redis_mac_key_file=keys
        )


class Purging(StoreTest):
    def test_a_purged_domain_is_gone_from_the_store_with_its_exchanges(self):
        first, second = self.start_node("first"), self.start_node("second")
        self.learn(first, "shop.test")
        self.learn(first, "null.test")
        self.wait_keys("d:shop.test", "d:null.test", "h:mx.shop.test", "h:backup.test")
        self.tool(first, "purge", "shop.test")
        wait_until(lambda: list(self.values()) == [f"{PREFIX}d:null.test"], "the others are gone")
        self.assertEqual(self.ask(second, "shop.test").source, "DNS")
        self.assertEqual(self.ask(second, "null.test").source, "SHARED")


class Looking(StoreTest):
    def test_stats_without_a_store(self):
        node = self.start_node("alone", redis="")
        self.assertEqual(self.store_of(node), {"state": "off"})
        self.assertIn("\nshared store: off\n", self.tool(node, "stats"))
        self.learn(node, "shop.test")
        self.assertEqual(self.counters(node), {})

    def test_mode_off_is_no_store(self):
        node = self.start_node("alone", redis_mode="off")
        self.assertEqual(self.store_of(node), {"state": "off"})
        self.learn(node, "shop.test")
        self.assertEqual(self.redis.keys(), [])
        self.assertNotRegex(self.redis("CLIENT", "LIST").decode(), r"(?s)id=.*id=")

    def test_stats_of_a_store(self):
        node = self.start_node("first")
        self.learn(node, "shop.test")
        node.wait_counter("store-writes", 3)
        store = self.store_of(node)
        self.assertEqual((store["state"], store["breaker"], store["servers"], store["servers_up"]), ("up", "closed", 1, 1))
        self.assertEqual((store["reads"], store["writes_queued"]), (0, 0))
        self.assertGreater(store["latency_us"], 0)
        self.assertRegex(self.tool(node, "stats"), r"\nshared store: up, 1 of 1 servers, \d+ us; breaker closed; 0 reads under way, 0 writes waiting")

    def test_while_the_store_is_away_writes_wait_and_lookups_do_not(self):
        node = self.start_node("first")
        self.server.kill()
        wait_until(lambda: self.store_of(node)["state"] == "down", "it is known to be away")
        self.learn(node, "shop.test")
        store = self.store_of(node)
        self.assertEqual((store["breaker"], store["servers_up"], store["writes_queued"]), ("open", 0, 3))
        self.assertGreater(store["bytes_queued"], 300)
        self.assertIn("shared store: down: ", self.tool(node, "stats"))
        self.assertGreaterEqual(self.counters(node)["away"], 1)
        self.server.start_again()
        self.redis = self.redis_client(self.server)
        self.wait_keys("d:shop.test", "h:mx.shop.test", "h:backup.test")

    def test_the_story_of_an_answer_names_the_store(self):
        first, second = self.start_node("first"), self.start_node("second")
        self.learn(first, "shop.test")
        self.wait_keys("d:shop.test", "h:mx.shop.test", "h:backup.test")
        self.assertIn("the shared store knows shop.test: first learned it", self.story(second, "shop.test"))

    def test_the_story_of_an_answer_says_why_a_value_is_not_used(self):
        self.redis("SET", f"{PREFIX}d:shop.test", "rubbish")
        self.redis("LPUSH", f"{PREFIX}d:null.test", "a list")
        node = self.start_node("node")
        for domain in ("shop.test", "null.test"):
            self.assertIn(
                f"the shared store has nothing of use about {domain}: its value is none of mxway [C4]", self.story(node, domain)
            )

    def story(self, node, domain):
        """What `mxway lookup --explain` tells, on one line."""
        return re.sub(r"\s+", " ", run_tool("lookup", "--explain", "--socket", node.socket_path, domain).stdout)


class Starting(StoreTest):
    def test_a_key_file_that_cannot_be_used_is_a_reason_not_to_start(self):
        keys = self.folder / "mac-keys"
        for text, mode in (("nonsense\n", 0o600), ("00" * 32 + "\n", 0o644)):
            keys.write_text(text)
            keys.chmod(mode)
            done = run_mxwayd(
                "-c", "/dev/null", "-o", f"listen={self.folder}/l.sock", "-o", "control=", "-o", f"redis={self.server.target}",
                "-o", f"redis-mac-key-file={keys}",
            )
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn("redis-mac-key-file", done.stderr)


if __name__ == "__main__":
    unittest.main()
