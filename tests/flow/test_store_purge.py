"""Purges reach every node of a cluster: what one is told to forget, all forget, and what Redis holds of it is not believed."""
import json
import os
import time

from harness import INSTRUMENTED, run_tool, wait_until
from protocol import ADDRESSES
from proxy import Proxy
from redis_servers import MASTER_NAME, RedisTest, owner_of

PREFIX = "mxway:1:"
LIST, CHANNEL = f"{PREFIX}purges", f"{PREFIX}purge"
MAC_KEY = "00112233445566778899aabbccddeeff" * 2
ZONE = """\
shop.test 3600 MX 10 mx.shop.test
mx.shop.test 3600 A 192.0.2.1
sub.shop.test 3600 MX 10 mx.other.test
other.test 3600 MX 10 mx.other.test
mx.other.test 3600 A 192.0.2.2
third.test 3600 MX 10 mx.third.test
mx.third.test 3600 A 192.0.2.3
"""
DOMAINS = ("shop.test", "sub.shop.test", "other.test", "third.test", "gone.test")
# A node that has lost its connection comes back after a moment.
RETURN_S = 30.0


class PurgeTest(RedisTest):
    """Nodes before one scripted DNS server, with budgets that a busy machine does not exceed."""

    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(ZONE)
        self.server = self.start_redis()

    def launch_node(self, name, **options):
        options.setdefault("redis", self.server.target)
        return self.launch_daemon(
            upstreams=[self.upstream.address],
            listen=self.folder / f"{name}.sock",
            control=self.folder / f"{name}.control",
            log=f"{name}.log",
            node_name=name,
            redis_timeout=1000,
            redis_head_start=1000,
            **options,
        ).wait_ready()

    def start_node(self, name, **options):
        """A node that has read the list of purges."""
        node = self.launch_node(name, **options)
        wait_until(lambda: self.generation(node), f"{name} follows")
        return node

    def start_pair(self, **options):
        return self.start_node("first", **options), self.start_node("second", **options)

    def store_of(self, node):
        done = run_tool("stats", "--json", "--socket", node.control_path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["store"]

    def generation(self, node):
        return self.store_of(node)["purges_followed"]

    def purge(self, node, *words, status=0):
        done = run_tool("purge", "--json", *words, "--socket", node.control_path)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return json.loads(done.stdout)

    def ask(self, node, *domains):
        """The sources of the answers."""
        with node.client() as client:
            return [client.ask(domain, depth=ADDRESSES).source for domain in domains]

    def fill(self, *nodes):
        for node in nodes:
            self.ask(node, *DOMAINS)
            self.assertEqual(self.ask(node, *DOMAINS), ["MEMORY"] * len(DOMAINS))
            wait_until(lambda node=node: self.store_of(node)["writes_queued"] == 0, "all is written")

    def count(self, node, name):
        return node.counters()[f"store-{name}"]

    def remembered(self, node):
        """The domains that memory holds."""
        with node.client() as client:
            return {domain for domain in DOMAINS if client.ask(domain, cache_only=True).verdict != "NOT_CACHED"}

    def wait_remembered(self, node, *domains, timeout_s=RETURN_S):
        wait_until(lambda: self.remembered(node) == set(domains), f"it remembers {domains}", timeout_s)

    def wait_level(self, *nodes):
        wait_until(lambda: len({self.generation(node) for node in nodes}) == 1, "all know the same purges", RETURN_S)


class Told(PurgeTest):
    """A purge of each kind empties the other's memory of the same, and of nothing else."""

    def expect(self, words, kept):
        first, second = self.start_pair()
        self.fill(first, second)
        told = self.purge(first, *words)
        self.assertEqual((told["shared"], told["shared_error"]), ("told", ""))
        self.wait_remembered(second, *kept)
        self.wait_level(first, second)
        self.assertEqual(self.remembered(first), set(kept))
        self.assertEqual((self.count(first, "purges-told"), self.count(first, "purges-heard")), (1, 0))
        self.assertEqual((self.count(second, "purges-told"), self.count(second, "purges-heard")), (0, 1))
        return first, second

    def test_a_domain(self):
        first, second = self.expect(("shop.test",), DOMAINS[1:])
        self.assertEqual(self.ask(first, "shop.test"), ["DNS"])
        self.assertEqual(self.ask(second, "other.test"), ["MEMORY"])

    def test_several_domains_are_one_notice(self):
        self.expect(("shop.test", "third.test", "gone.test"), DOMAINS[1:3])

    def test_a_suffix(self):
        self.expect(("--suffix", "shop.test"), DOMAINS[2:])

    def test_an_exchange(self):
        self.expect(("--exchange", "mx.other.test"), ("shop.test", "third.test", "gone.test"))

    def test_denials(self):
        self.expect(("--negative",), DOMAINS[:4])

    def test_failures(self):
        self.expect(("--failures",), DOMAINS)

    def test_everything(self):
        self.expect(("--all",), ())

    def test_a_thousand_domains(self):
        first, second = self.start_pair()
        self.fill(first, second)
        names = [f"d{i}.{'x' * 40}.test" for i in range(1000)]
        self.assertEqual(self.purge(first, *names, "shop.test")["shared"], "told")
        self.wait_remembered(second, *DOMAINS[1:])
        self.assertLess(self.count(first, "purges-told"), 100)

    def test_people_are_told_that_others_have_been(self):
        first, _ = self.start_pair()
        done = run_tool("purge", "--all", "--socket", first.control_path)
        self.assertEqual((done.returncode, done.stdout.splitlines()[1]), (0, "the other daemons of the cluster have been told"))
        last = self.server("XREVRANGE", LIST, "+", "-", "COUNT", "1")[0][0].decode()
        wait_until(lambda: self.generation(first) == last, "it has followed its own")
        done = run_tool("stats", "--socket", first.control_path)
        self.assertIn(f"\npurges of the cluster: followed up to {last}; 0 notices wait to be told\n", done.stdout)


class Values(PurgeTest):
    """What Redis holds from before a purge is not used."""

    def expect(self, words, asked, source="DNS", purged=1):
        first, writer = self.start_node("first"), self.start_node("writer")
        self.fill(writer)
        self.purge(first, *words)
        self.wait_level(first, writer)
        fresh = self.start_node("fresh")
        for reader in (first, fresh):
            before = self.count(reader, "purged")
            with reader.client() as client:
                self.assertEqual(client.ask(asked).source, source)
            self.assertEqual(self.count(reader, "purged") - before, purged if reader is first else self.count(reader, "purged") - before)
            # What it has learned is good for those behind it.
            wait_until(lambda reader=reader: self.store_of(reader)["writes_queued"] == 0, "it is written")
            source, purged = "SHARED", 0
        self.assertEqual(self.count(fresh, "purged"), 0)

    def test_below_a_suffix(self):
        self.expect(("--suffix", "test"), "shop.test")

    def test_that_lead_to_an_exchange(self):
        self.expect(("--exchange", "mx.shop.test"), "shop.test")

    def test_denials(self):
        self.expect(("--negative",), "gone.test")

    def test_everything(self):
        self.expect(("--all",), "third.test")

    def test_others_are_used_as_ever(self):
        self.expect(("--suffix", "shop.test"), "third.test", source="SHARED", purged=0)

    def test_a_value_that_was_on_its_way(self):
        """Written back after the purge has deleted it, as by a node that had not heard yet."""
        first, second = self.start_pair()
        self.fill(first)
        old = self.server("GET", f"{PREFIX}d:shop.test")
        self.purge(first, "shop.test")
        self.wait_level(first, second)
        wait_until(lambda: self.server("GET", f"{PREFIX}d:shop.test") is None, "it is deleted")
        self.server("SET", f"{PREFIX}d:shop.test", old)
        with second.client() as client:
            self.assertEqual(client.ask("shop.test").source, "DNS")
        self.assertEqual(self.count(second, "purged"), 1)


class Missed(PurgeTest):
    """What is told while a node has no connection it does when it has one again."""

    def start_behind_proxy(self, **options):
        self.proxy = Proxy(self.folder / "proxy.sock", self.server.path)
        self.addCleanup(self.proxy.stop)
        return self.start_node("second", redis=f"unix:{self.proxy.path}", **options)

    def cut_off(self):
        self.proxy.refused = True
        self.proxy.hang_up()

    def test_a_purge_is_caught_up_with(self):
        first, second = self.start_node("first"), self.start_behind_proxy()
        self.fill(first, second)
        self.cut_off()
        self.purge(first, "--suffix", "shop.test")
        self.purge(first, "third.test")
        self.assertEqual(self.remembered(second), set(DOMAINS))
        self.proxy.refused = False
        self.wait_remembered(second, "other.test", "gone.test")
        self.assertEqual((self.count(second, "purges-heard"), self.count(second, "purges-missed")), (2, 0))

    def test_where_more_are_missed_than_are_kept_all_is_purged(self):
        first, second = self.start_node("first"), self.start_behind_proxy()
        self.fill(first, second)
        self.cut_off()
        for i in range(300):
            self.purge(first, "--suffix", f"s{i}.example")
        self.proxy.refused = False
        self.wait_remembered(second)
        self.assertEqual(self.count(second, "purges-missed"), 1)
        self.assertEqual(self.remembered(first), set(DOMAINS))

    def test_connections_that_were_killed(self):
        first, second = self.start_pair()
        self.fill(first, second)
        self.server("CLIENT", "KILL", "TYPE", "pubsub")
        self.purge(first, "--suffix", "shop.test")
        self.wait_remembered(second, "other.test", "third.test", "gone.test")

    def test_a_list_that_was_deleted(self):
        first, second = self.start_pair()
        self.fill(first, second)
        self.server("DEL", LIST)
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))
        self.wait_level(first, second)
        self.assertEqual([self.count(node, "purges-missed") for node in (first, second)], [0, 0])

    def test_a_purge_of_which_nothing_is_left_but_that_others_know(self):
        """While a node is cut off others purge, and then the list is lost."""
        first, second = self.start_node("first"), self.start_behind_proxy()
        self.fill(first, second)
        self.cut_off()
        self.purge(first, "--suffix", "shop.test")
        self.server("DEL", LIST)
        self.purge(first, "third.test")
        self.proxy.refused = False
        self.wait_remembered(second)
        self.assertEqual(self.count(second, "purges-missed"), 1)
        self.assertEqual(self.remembered(first), {"other.test", "gone.test"})

    def test_a_snapshot_is_purged_of_what_was_missed_since(self):
        snapshot = self.folder / "snapshot"
        first, second = self.start_node("first"), self.start_node("second", snapshot_file=snapshot)
        self.fill(first, second)
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))
        self.fill(second)
        self.assertEqual(second.stop(), 0)
        self.purge(first, "--suffix", "shop.test")
        again = self.start_node("second", snapshot_file=snapshot)
        self.wait_remembered(again, "other.test", "third.test", "gone.test")
        self.assertEqual(self.count(again, "purges-missed"), 0)


class Away(PurgeTest):
    """Without Redis the local part works, the answer says so, and the rest follows."""

    def test_it_is_told_when_redis_is_back(self):
        first, second = self.start_pair()
        self.fill(first, second)
        self.server.kill()
        wait_until(lambda: self.store_of(first)["state"] == "down", "it is seen to be down", RETURN_S)
        told = self.purge(first, "--suffix", "shop.test", status=75)
        self.assertEqual((told["domains"], told["shared"]), (2, "later"))
        self.assertTrue(told["shared_error"].startswith("down: "), told)
        self.assertEqual(self.remembered(first), {"other.test", "third.test", "gone.test"})
        done = run_tool("purge", "third.test", "--socket", first.control_path)
        self.assertEqual(done.returncode, 75)
        self.assertIn("the other daemons of the cluster will be told later: down: ", done.stdout)
        self.assertEqual(self.store_of(first)["purges_untold"], 2)
        self.assertGreater(self.count(first, "purges-untold"), 0)
        self.assertEqual(self.remembered(second), set(DOMAINS))
        self.server.start_again()
        wait_until(lambda: self.count(first, "purges-told") == 2, "they are told", RETURN_S)
        # It has forgotten its list, too; but the nodes know what they have followed.
        self.wait_remembered(second, "other.test", "gone.test")
        self.assertEqual([self.count(node, "purges-missed") for node in (first, second)], [0, 0])

    def test_a_server_that_is_started_again_is_no_reason_to_purge(self):
        first, second = self.start_pair()
        self.fill(first, second)
        self.purge(first, "--failures")
        self.wait_level(first, second)
        before = self.generation(first)
        self.server.kill()
        self.server.start_again()
        wait_until(lambda: min(self.generation(node) for node in (first, second)) > before, "they go on", 2 * RETURN_S)
        for node in (first, second):
            self.assertEqual(self.remembered(node), set(DOMAINS))
            self.assertEqual(self.count(node, "purges-missed"), 0)

    def test_a_server_that_hangs_is_waited_for_a_second(self):
        first, second = self.start_pair()
        self.fill(first, second)
        self.server.freeze()
        begun_s = time.monotonic()
        told = self.purge(first, "third.test", status=75)
        took_s = time.monotonic() - begun_s
        self.server.thaw()
        self.assertEqual(told["shared"], "later")
        self.assertLess(took_s, 30.0 if INSTRUMENTED else 5.0)
        wait_until(lambda: "third.test" not in self.remembered(second), "it is heard", RETURN_S)
        self.assertEqual(self.count(second, "purges-missed"), 0)

    def test_a_node_that_only_reads_tells_nobody(self):
        first, second = self.start_node("first"), self.start_node("second", redis_mode="ro")
        self.fill(first, second)
        told = self.purge(second, "third.test", status=1)
        self.assertEqual(told["shared"], "read-only")
        self.assertNotIn("third.test", self.remembered(second))
        self.purge(first, "other.test")
        self.wait_remembered(second, "shop.test", "sub.shop.test", "gone.test")
        self.assertIn("third.test", self.remembered(first))

    def test_without_a_store_nobody_is_told(self):
        node = self.launch_node("alone", redis="")
        self.assertEqual(self.purge(node, "--all"), {"domains": 0, "hosts": 0, "shared": "off", "shared_error": ""})


class Hostile(PurgeTest):
    """Whoever can write to Redis."""

    def test_messages_on_the_channel_say_nothing(self):
        first, second = self.start_pair()
        self.fill(first, second)
        for message in (b"", b"1", b"A", os.urandom(5000), b"x" * 300000):
            self.server("PUBLISH", CHANNEL, message)
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))

    def test_rubbish_in_the_list_is_counted(self):
        first, second = self.start_pair()
        self.fill(first, second)
        for words in (("n", b""), ("n", os.urandom(200)), ("n", b"mxwp\1\0A"), ("n", b"x" * 9000), ("m", b"1"), ("n", "1", "n", "2")):
            self.server("XADD", LIST, "*", *words)
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))
        for node in (first, second):
            wait_until(lambda node=node: self.count(node, "purges-refused") == 6, "all are refused")

    def test_an_entry_that_nobody_can_read_does_not_stop_the_others(self):
        """More than a reply may have: the list is begun anew."""
        first, second = self.start_pair()
        self.fill(first, second)
        self.server("XADD", LIST, "*", "n", b"x" * (2 << 20))
        self.server("PUBLISH", CHANNEL, "1")
        wait_until(lambda: int(self.server("MEMORY", "USAGE", LIST) or 0) < 1 << 20, "it is gone", RETURN_S)
        self.assertIn(f"deleting {LIST}", first.output() + second.output())
        wait_until(lambda: self.purge_reaches(first, second), "purges go on", RETURN_S)

    def purge_reaches(self, first, second):
        before = second.counters()["store-purges-heard"]
        run_tool("purge", "shop.test", "--socket", first.control_path)
        return wait_until(lambda: second.counters()["store-purges-heard"] > before, "it is heard", 5.0)

    def test_another_type_under_the_key(self):
        first, _ = self.start_pair()
        self.fill(first)
        self.server("SET", LIST, "rubbish")
        told = self.purge(first, "third.test", status=75)
        self.assertEqual(told["shared"], "later")
        self.assertIn("WRONGTYPE", told["shared_error"])
        self.assertNotIn("third.test", self.remembered(first))
        self.server("DEL", LIST)
        wait_until(lambda: self.count(first, "purges-told") == 1, "it is told", RETURN_S)

    def test_a_number_at_the_end_of_all_numbers(self):
        first, second = self.start_pair()
        self.fill(first, second)
        self.server("XADD", LIST, "18446744073709551615-18446744073709551615", "n", "1")
        self.assertEqual(self.purge(first, "third.test", status=75)["shared"], "later")
        wait_until(lambda: self.count(first, "purges-told") == 1, "it is told", RETURN_S)
        wait_until(lambda: "third.test" not in self.remembered(second), "it is heard", RETURN_S)
        self.wait_level(first, second)

    def test_with_a_key_only_sealed_notices_are_followed(self):
        keys = self.folder / "mac-keys"
        keys.write_text(MAC_KEY + "\n")
        keys.chmod(0o600)
        stranger = self.start_node("stranger")
        first, second = self.start_pair(redis_mac_key_file=keys)
        self.fill(first, second)
        self.purge(stranger, "--all")
        wait_until(lambda: self.count(second, "purges-refused") >= 1, "it is refused")
        self.wait_level(first, second)
        self.assertEqual(self.remembered(second), set(DOMAINS))
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))

    def test_what_was_sealed_for_a_value_is_no_notice(self):
        keys = self.folder / "mac-keys"
        keys.write_text(MAC_KEY + "\n")
        keys.chmod(0o600)
        first, second = self.start_pair(redis_mac_key_file=keys)
        self.fill(first, second)
        self.server("XADD", LIST, "*", "n", self.server("GET", f"{PREFIX}d:shop.test"))
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))
        self.assertEqual(self.count(second, "purges-refused"), 1)
        # A list of another prefix has seals of its own.
        entry = self.server("XREVRANGE", LIST, "+", "-", "COUNT", "1")[0][1][1]
        self.server("XADD", "mail:1:purges", "*", "n", entry)
        apart = self.start_node("apart", redis_mac_key_file=keys, redis_prefix="mail")
        self.assertEqual(self.count(apart, "purges-refused"), 1)


class Topologies(PurgeTest):
    def test_behind_sentinels_whatever_server_is_the_master(self):
        replica = self.start_replica(self.server)
        sentinels = self.start_sentinels(self.server)
        options = {"redis_topology": "sentinel", "redis_master": MASTER_NAME, "redis": ",".join(one.address for one in sentinels)}
        first, second = self.start_pair(**options)
        self.fill(first, second)
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))
        wait_until(lambda: replica("XLEN", LIST) == self.server("XLEN", LIST), "the replica has the list", 60.0)
        self.server.kill()
        wait_until(lambda: self.master_port(sentinels[0]) == replica.port, "the fail-over", 60.0)
        wait_until(lambda: self.store_of(first)["state"] == "up", "the new master is found", 60.0)
        done = run_tool("purge", "--suffix", "shop.test", "--socket", first.control_path)
        self.assertIn(done.returncode, (0, 75))
        self.wait_remembered(second, "other.test", "gone.test", timeout_s=60.0)
        self.assertEqual([self.count(node, "purges-missed") for node in (first, second)], [0, 0])

    def test_in_a_cluster_whatever_node_has_the_list(self):
        servers = self.start_cluster()
        options = {"redis_topology": "cluster", "redis": ",".join(server.address for server in servers)}
        first, second = self.start_pair(**options)
        self.fill(first, second)
        self.purge(first, "third.test")
        self.wait_remembered(second, *(set(DOMAINS) - {"third.test"}))
        self.purge(second, "--suffix", "shop.test")
        self.wait_remembered(first, "other.test", "gone.test")
        self.assertGreaterEqual(owner_of(servers, LIST)("XLEN", LIST), 3)
