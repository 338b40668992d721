"""Several daemons with one store, a master that fails over, and a cluster whose slots move. Senders see no difference but the source."""
import random
import threading
import time
import unittest

from harness import INSTRUMENTED, wait_until
from protocol import EXCHANGES
from redis_servers import MASTER_NAME, SLOTS, SlotMove
from store_flow import BRIEF_S, BUSY, PATIENT, OutageTest, StoreTest

COLD = 1500 if INSTRUMENTED else 10000
QUERIES_A_NAME = 1.02


class Herd(StoreTest):
    def test_three_daemons_ask_the_dns_once_for_ten_thousand_cold_domains(self):
        """The same domains for all of them at once, from many senders, in an order that makes them meet."""
        server = self.start_redis()
        upstream = self.start_zone("--delay", "5")
        nodes = [self.start_node(f"node{i}", upstream, server, **PATIENT) for i in range(3)]
        for node in nodes:
            self.wait_store_up(node)
        domains = [f"d{i}.bench.test" for i in range(COLD)]
        answers, failures = [{} for _ in nodes], []

        def ask(index):
            try:
                order = list(domains)
                # Blocks of 50 in an order of its own in each, so that now one and now another is first.
                random.Random(index).shuffle(blocks := [order[i : i + 50] for i in range(0, len(order), 50)])
                if index == 0:
                    blocks = [order[i : i + 50] for i in range(0, len(order), 50)]
                for block in blocks:
                    answers[index].update(self.ask_all(nodes[index], block, depth=EXCHANGES))
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(nodes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        for domain in domains:
            first, *others = (found[domain] for found in answers)
            self.assertIn(first.verdict, ("ROUTE", "NULL_MX"))
            for other in others:
                self.assertEqual((other.verdict, other.hosts), (first.verdict, first.hosts))
        self.assertLessEqual(upstream.counter("total"), QUERIES_A_NAME * COLD, [self.store_counters(node) for node in nodes])

    def test_they_also_do_when_all_ask_for_the_same_at_the_same_moment(self):
        server = self.start_redis()
        upstream = self.start_zone("--delay", "5")
        nodes = [self.start_node(f"node{i}", upstream, server, **PATIENT) for i in range(3)]
        for node in nodes:
            self.wait_store_up(node)
        clients = [self.connect(node) for node in nodes]
        count = 300
        for i in range(count):
            for client in clients:
                client.send(f"usame-{i}.bench.test", depth=EXCHANGES)
            hosts = {(reply.verdict, tuple(sorted(reply.hosts))) for reply in (client.receive() for client in clients)}
            self.assertEqual(len(hosts), 1)
        self.assertLessEqual(upstream.counter("total"), QUERIES_A_NAME * count)

    def test_a_node_that_dies_while_the_others_wait_for_it_is_not_waited_for(self):
        server = self.start_redis()
        upstream = self.start_zone("--fault", "*=delay=1000")
        dying, waiting = (
            self.start_node(name, upstream, server, redis_lease=200, lookup_deadline=10000, query_timeout=4000)
            for name in ("dying", "waiting")
        )
        for node in (dying, waiting):
            self.wait_store_up(node)
        with dying.client() as client:
            client.send("d1.bench.test", depth=EXCHANGES)
            wait_until(lambda: server.keys("*:l:*"), "the lease is taken")
            dying.kill()
        with waiting.client() as client:
            reply, ms = client.ask_timed("d1.bench.test", depth=EXCHANGES)
        self.assertEqual((reply.verdict, reply.source), ("ROUTE", "DNS"))
        self.assertLess(ms, (200 + 1000) * BUSY + 500)
        self.assertEqual(self.store_counters(waiting)["store-leases-waited"], 1)
        self.assertLessEqual(upstream.counter("mx"), 2)


class FailOver(OutageTest):
    def test_sentinels_change_the_master_under_load(self):
        """First because somebody wishes it, then because the new one is killed."""
        first = self.start_redis("first")
        second = self.start_replica(first, "second")
        sentinels = self.start_sentinels(first)
        self.start_all(
            ",".join(sentinel.address for sentinel in sentinels), redis_topology="sentinel", redis_master=MASTER_NAME
        )
        self.go_through(
            lambda: sentinels[0]("SENTINEL", "FAILOVER", MASTER_NAME),
            lambda: wait_until(lambda: second.role() == b"master", "the fail-over", 60.0),
            0.5,
        )
        # As the sentinels will, when they next look at it; that takes them ten seconds.
        first("REPLICAOF", "127.0.0.1", second.port)
        self.wait_in_step(first)
        before = len(second.keys("mxway:1:d:*"))
        self.wait_sharing()
        wait_until(lambda: len(second.keys("mxway:1:d:*")) > before, "writes go to the new master")

        _, during, _ = self.go_through(
            second.kill, lambda: wait_until(lambda: self.master_port(sentinels[0]) == first.port, "the fail-over", 60.0), 0.0
        )
        self.assert_in_time(during, 2.0, 30.0)


class Cluster(OutageTest):
    def start_all_of(self, nodes, **options):
        self.nodes = nodes
        self.start_all(",".join(node.address for node in nodes), redis_topology="cluster", **options)

    def start_patient(self, name):
        """Another node of ours, which may take its time; nothing in memory."""
        other = self.start_node(
            name, self.upstream, ",".join(node.address for node in self.nodes), redis_topology="cluster", **PATIENT
        )
        self.wait_store_up(other)
        return other

    def test_values_are_spread_and_found_and_slots_move_under_load(self):
        """Many slots with keys of one node go to another; while one is on its way, keys on both sides of it are found."""
        self.start_all_of(self.start_cluster())
        self.share()
        for node in self.nodes:
            self.assertGreater(len(node.keys("mxway:1:d:*")), len(self.shared) // 5)
        by_slot = {}
        for domain in self.shared:
            by_slot.setdefault(self.slot_of(domain), []).append(domain)
        slots = [slot for slot in by_slot if slot < SLOTS // len(self.nodes)][:40]
        on_their_way = [domain for slot in slots for domain in by_slot[slot]]
        others = [domain for domain in self.shared if domain not in on_their_way]
        # It has a map of the slots as they were, and learns from MOVED.
        before = self.start_patient("before")
        self.assert_all_shared(before, others)
        moves = []

        def begin():
            for slot in slots:
                moves.append(SlotMove(self.nodes, slot, self.nodes[0], self.nodes[1]))
                moves[-1].move_keys(1)
            # ASK leads to those that have gone ahead.
            self.assert_all_shared(self.start_patient("meanwhile"), on_their_way)

        def end():
            for move in moves:
                move.end()

        _, during, _ = self.go_through(begin, end, BRIEF_S)
        self.assertIn("SHARED", {one.reply.source for one in during})
        self.assert_all_shared(before, on_their_way)
        self.assert_all_shared(self.start_patient("after"), on_their_way)

    def assert_all_shared(self, node, domains):
        sources = {reply.source for reply in self.ask_all(node, domains).values()}
        self.assertEqual(sources, {"SHARED"})

    def slot_of(self, domain):
        return self.nodes[0]("CLUSTER", "KEYSLOT", f"mxway:1:d:{domain}")

    def test_a_node_is_gone_and_comes_back(self):
        """The others say CLUSTERDOWN, or go on with their part of the keys."""
        self.start_all_of(self.start_cluster(cluster_require_full_coverage="no"))
        gone = self.nodes[2]
        self.go_through(gone.kill, gone.start_again, BRIEF_S)


if __name__ == "__main__":
    unittest.main()
