"""Several daemons with one store, a master that fails over, and a cluster whose slots move. Senders see no difference but the source."""
import random
import threading
import time
import unittest

from harness import INSTRUMENTED, wait_until
from protocol import EXCHANGES
from redis_servers import MASTER_NAME, SLOTS, SlotMove, owner_of
from store_flow import OUTAGE_S, PATIENT, OutageTest, StoreTest

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


class FailOver(OutageTest):
    def test_sentinels_make_a_replica_master_under_load(self):
        master = self.start_redis("master")
        replica = self.start_replica(master)
        sentinels = self.start_sentinels(master)
        self.start_all(
            ",".join(sentinel.address for sentinel in sentinels), redis_topology="sentinel", redis_master=MASTER_NAME
        )

        def wait_for_the_other():
            wait_until(lambda: self.master_port(sentinels[0]) == replica.port, "the fail-over", 60.0)

        _, during, _ = self.go_through(master.kill, wait_for_the_other, 0.0)
        self.assert_in_time(during, 2.0, 30.0)
        self.assertGreater(len(replica.keys("mxway:1:d:*")), 0)

    def test_a_planned_fail_over_under_load(self):
        master = self.start_redis("master")
        replica = self.start_replica(master)
        sentinels = self.start_sentinels(master)
        self.start_all(
            ",".join(sentinel.address for sentinel in sentinels), redis_topology="sentinel", redis_master=MASTER_NAME
        )
        self.go_through(
            lambda: sentinels[0]("SENTINEL", "FAILOVER", MASTER_NAME),
            lambda: wait_until(lambda: replica("ROLE")[0] == b"master", "the fail-over", 60.0),
            0.5,
        )
        wait_until(lambda: master("ROLE")[0] == b"slave", "the old master follows", 60.0)
        before = len(replica.keys("mxway:1:d:*"))
        self.wait_sharing()
        wait_until(lambda: len(replica.keys("mxway:1:d:*")) > before, "writes go to the new master")


class Cluster(OutageTest):
    def start_all_of(self, nodes, **options):
        self.nodes = nodes
        self.start_all(",".join(node.address for node in nodes), redis_topology="cluster", **options)

    def test_values_are_spread_and_found(self):
        self.start_all_of(self.start_cluster(), **PATIENT)
        self.wait_sharing()
        self.share()
        for node in self.nodes:
            self.assertGreater(len(node.keys("mxway:1:d:*")), len(self.shared) // 5)
        replies = self.ask_all(self.node, self.shared)
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})

    def test_slots_move_under_load(self):
        """Half of the slots with keys of one node go to another; while one is on its way, keys on both sides of it are found."""
        self.start_all_of(self.start_cluster())
        self.share()
        source, destination = self.nodes[0], self.nodes[1]
        with source.client() as client:
            filled = [slot for slot in range(SLOTS // 3) if client("CLUSTER", "COUNTKEYSINSLOT", slot) > 0]
        self.assertGreater(len(filled), 20)
        moves = []

        def begin():
            for slot in filled[:40]:
                moves.append(SlotMove(self.nodes, slot, source, destination))
                moves[-1].move_keys(1)

        def end():
            for move in moves:
                move.end()

        _, during, _ = self.go_through(begin, end, min(1.0, OUTAGE_S))
        self.assertIn("SHARED", {one.reply.source for one in during})
        moved = [domain for domain in self.shared if self.slot_of(domain) in set(filled[:40])]
        self.assertGreater(len(moved), 0)
        other = self.start_node(
            "other", self.upstream, ",".join(node.address for node in self.nodes), redis_topology="cluster", **PATIENT
        )
        self.wait_store_up(other)
        replies = self.ask_all(other, moved)
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})

    def slot_of(self, domain):
        return self.nodes[0]("CLUSTER", "KEYSLOT", f"mxway:1:d:{domain}")

    def test_a_node_is_gone_and_comes_back(self):
        """The others say CLUSTERDOWN, or go on with their part of the keys."""
        self.start_all_of(self.start_cluster(cluster_require_full_coverage="no"))
        gone = self.nodes[2]
        self.go_through(gone.kill, gone.start_again, min(1.5, OUTAGE_S))


if __name__ == "__main__":
    unittest.main()
