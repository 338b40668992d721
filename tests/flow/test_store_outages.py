"""A redis-server that goes away, falls silent or refuses, under load: senders see no difference but the source."""
import time
import unittest

from harness import wait_until
from store_flow import BRIEF_S, OUTAGE_S, PATIENT, OutageTest


class Gone(OutageTest):
    def test_down_at_the_start_and_there_later(self):
        server = self.start_redis()
        server.kill()
        self.start_all(server)
        traffic = self.start_traffic()
        time.sleep(BRIEF_S)
        away = self.store_counters(self.node)
        server.start_again()
        self.wait_sharing()
        traffic.stop()
        self.check(traffic)
        self.assert_in_time(traffic.fresh, 2.0, 15.0)
        self.assertEqual((away["store-hits"], away["store-timeouts"]), (0, 0))

    def test_killed_and_back_under_load(self):
        server = self.start_redis()
        self.start_all(server)
        _, during, after = self.go_through(server.kill, server.start_again, BRIEF_S)
        self.assertNotIn("SHARED", {one.reply.source for one in during[5:]})
        self.assert_in_time(during, 2.0, 30.0)
        self.assertGreater(len(after), 0)

    def test_killed_and_back_again_and_again(self):
        server = self.start_redis()
        self.start_all(server)
        traffic = self.start_traffic()
        for _ in range(4):
            server.kill()
            time.sleep(0.1)
            server.start_again()
            time.sleep(0.2)
        self.wait_sharing()
        traffic.stop()
        self.check(traffic)


class Silent(OutageTest):
    def test_silent_from_the_start(self):
        """It takes connections and says nothing."""
        server = self.start_redis()
        server.freeze()
        self.start_all(server)
        traffic = self.start_traffic()
        wait_until(lambda: len(traffic.fresh) > 50, "some answers")
        self.assertEqual(self.stats(self.node)["store"]["state"], "down")
        server.thaw()
        self.wait_sharing()
        traffic.stop()
        self.check(traffic)
        self.assert_in_time(traffic.fresh, 2.0, 15.0)

    def test_frozen_for_a_while(self):
        """The DNS takes longer than a read may: so it is told apart whether reads end by themselves."""
        server = self.start_redis()
        self.start_all(server, zone=("--delay", "40"))
        before = self.store_counters(self.node)
        _, during, _ = self.go_through(server.freeze, server.thaw)
        now = self.store_counters(self.node)
        self.assertNotIn("SHARED", {one.reply.source for one in during[5:]})
        self.assertGreater(now["store-timeouts"], before["store-timeouts"])
        # A breaker: three failures, then a probe now and then; most reads are not begun, and wait for nothing.
        self.assertLess(now["store-timeouts"] - before["store-timeouts"], 20 + OUTAGE_S)
        self.assertGreater(now["store-away"] - before["store-away"], len(during) // 2)
        self.assert_in_time(during, 2.0, 15.0)


class Refusing(OutageTest):
    """It answers, but writes or reads are refused."""

    def test_a_replica_that_takes_no_writes_is_read_from(self):
        master = self.start_redis("master")
        replica = self.start_replica(master)
        self.start_all(master)
        reader = self.start_node("reader", self.upstream, replica, **PATIENT)
        self.share()
        self.wait_in_step(replica)
        wait_until(lambda: replica("DBSIZE") == master("DBSIZE"), "the replica has all")
        replies = self.ask_all(reader, self.shared[:200])
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})
        own = [f"uown-{i}.bench.test" for i in range(50)]
        self.assertEqual({reply.source for reply in self.ask_all(reader, own).values()}, {"DNS"})
        self.assertIn("READONLY", reader.output())
        self.assertLessEqual(reader.output().count("READONLY"), 2)
        replies = self.ask_all(reader, self.shared[200:400])
        self.assertEqual({reply.source for reply in replies.values()}, {"SHARED"})

    def test_master_and_replica_change_roles_under_load(self):
        first = self.start_redis("first")
        second = self.start_replica(first, "second")
        self.start_all(first)

        def turn(master, replica):
            with master.client() as client:
                client("REPLICAOF", "NO", "ONE")
            replica("REPLICAOF", "127.0.0.1", master.port)

        self.go_through(lambda: turn(second, first), lambda: turn(first, second), BRIEF_S)

    def test_out_of_memory_without_eviction(self):
        server = self.start_redis(maxmemory_policy="noeviction")
        self.start_all(server)
        _, during, _ = self.go_through(
            lambda: server("CONFIG", "SET", "maxmemory", 1), lambda: server("CONFIG", "SET", "maxmemory", 0), BRIEF_S
        )
        self.assertIn("OOM", self.node.output())
        # What was there is still read.
        self.assertIn("SHARED", {one.reply.source for one in during})

    def test_evicting_all_the_time(self):
        server = self.start_redis(maxmemory_policy="allkeys-lru")
        self.start_all(server)
        self.share()
        used = int(server.info("memory")["used_memory"])
        server("CONFIG", "SET", "maxmemory", used)
        traffic = self.start_traffic()
        for i in range(10):
            self.ask_all(self.writer, [f"upress-{i}-{j}.bench.test" for j in range(300)])
        self.assertGreater(int(server.info("stats")["evicted_keys"]), 100)
        self.wait_sharing()
        traffic.stop()
        self.check(traffic)


if __name__ == "__main__":
    unittest.main()
