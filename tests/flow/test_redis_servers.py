"""The redis-servers of the flow tests and the proxy before them do what those tests count on."""
import random
import socket
import time
import unittest

from proxy import Proxy
from redis_servers import MASTER_NAME, RedisTest, SlotMove, node_id, owner_of
from harness import wait_until
from resp import Redis, RedisError


class Servers(RedisTest):
    def test_one_answers_on_both_sockets_and_comes_back_empty_after_kill(self):
        server = self.start_redis()
        with Redis(server.path) as unix, Redis(server.port) as tcp:
            unix("SET", "a", "1", "PX", 60000)
            self.assertEqual(tcp("GET", "a"), b"1")
            self.assertEqual(unix.keys(), ["a"])
            self.assertEqual(tcp.many([("GET", "a"), ("INCR", "a"), ("LPUSH", "a", 1)])[:2], [b"1", 2])
            server.kill()
            with self.assertRaises(ConnectionError):
                unix("PING")
        server.start_again()
        self.assertIsNone(server("GET", "a"))

    def test_a_frozen_one_is_silent_until_it_is_thawed(self):
        server = self.start_redis()
        with Redis(server.path, 0.1) as client:
            server.freeze()
            with self.assertRaises(socket.timeout):
                client("PING")
        server.thaw()
        self.assertEqual(server("PING"), b"PONG")

    def test_a_password_is_asked_for(self):
        server = self.start_redis(requirepass="secret")
        with Redis(server.path) as client, self.assertRaises(RedisError) as caught:
            client("GET", "a")
        self.assertEqual(caught.exception.code, "NOAUTH")
        self.assertIsNone(server("GET", "a"))

    def test_a_replica_follows_and_refuses_writes(self):
        master = self.start_redis("master")
        replica = self.start_replica(master)
        master("SET", "a", "1")
        wait_until(lambda: replica("GET", "a") == b"1", "the replica has it")
        with self.assertRaises(RedisError) as caught:
            replica("SET", "a", "2")
        self.assertEqual(caught.exception.code, "READONLY")

    def test_sentinels_make_the_replica_master(self):
        master = self.start_redis("master")
        replica = self.start_replica(master)
        sentinels = self.start_sentinels(master)
        self.assertEqual(self.master_port(sentinels[0]), master.port)
        master.kill()
        wait_until(lambda: self.master_port(sentinels[0]) == replica.port, "the fail-over", 60.0)
        wait_until(lambda: replica.role() == b"master", f"the new {MASTER_NAME}", 60.0)

    def test_a_slot_moves_within_a_cluster(self):
        nodes = self.start_cluster()
        source = owner_of(nodes, "{a}1")
        destination = next(node for node in nodes if node is not source)
        source("SET", "{a}1", "x")
        source("SET", "{a}2", "y")
        move = SlotMove(nodes, source("CLUSTER", "KEYSLOT", "{a}1"), source, destination)
        self.assertEqual(move.move_keys(1), 1)
        codes = []
        for key in ("{a}1", "{a}2"):
            try:
                codes.append(source("GET", key))
            except RedisError as error:
                codes.append(error.code)
        self.assertIn("ASK", codes)
        move.end()
        with self.assertRaises(RedisError) as caught:
            source("GET", "{a}1")
        self.assertEqual(caught.exception.code, "MOVED")
        self.assertEqual((destination("GET", "{a}1"), destination("GET", "{a}2")), (b"x", b"y"))
        self.assertIs(owner_of(nodes, "{a}1"), destination)
        self.assertNotEqual(node_id(source), node_id(destination))


class Ways(RedisTest):
    def setUp(self):
        super().setUp()
        self.server = self.start_redis()
        self.proxy = Proxy(self.folder / "proxy.sock", self.server.path)
        self.addCleanup(self.proxy.stop)
        self.server("SET", "a", "x" * 100)

    def client(self, timeout_s=20.0):
        client = Redis(self.proxy.path, timeout_s)
        self.addCleanup(client.close)
        return client

    def test_all_passes_where_nothing_is_wrong(self):
        client = self.client()
        octets = bytes(random.Random(1).randrange(256) for _ in range(300000))
        client("SET", "b", octets)
        self.assertEqual(client("GET", "b"), octets)
        self.assertEqual(self.proxy.accepted, 1)

    def test_each_reply_is_held_and_not_all_those_before_it(self):
        client = self.client()
        self.proxy.delay_s = 0.1
        before = time.monotonic()
        for _ in range(5):
            client.send("PING")
            time.sleep(0.02)
        for _ in range(5):
            self.assertEqual(client.receive(), b"PONG")
        self.assertGreaterEqual(time.monotonic() - before, 0.18)
        self.assertLess(time.monotonic() - before, 0.45)

    def test_a_connection_is_cut_behind_each_octet(self):
        whole = b"$100\r\n" + b"x" * 100 + b"\r\n"
        for length in (0, 1, 5, 6, 50, len(whole) - 1):
            self.proxy.cut_after = length
            client = self.client()
            client.send("GET", "a")
            got = b""
            while data := client.socket.recv(4096):
                got += data
            self.assertEqual(got, whole[:length])
        self.assertEqual(self.proxy.cuts, 6)
        self.proxy.cut_after = None
        self.assertEqual(self.client()("GET", "a"), b"x" * 100)

    def test_octets_are_changed(self):
        self.proxy.corrupt = lambda data, before: data.replace(b"x", b"y" if before == 0 else b"z")
        client = self.client()
        self.assertEqual(client("GET", "a"), b"y" * 100)
        self.assertEqual(client("GET", "a"), b"z" * 100)

    def test_a_stalled_way_passes_nothing_and_goes_on_afterwards(self):
        client = self.client(0.1)
        self.assertEqual(client("PING"), b"PONG")
        self.proxy.stalled = True
        client.send("PING")
        with self.assertRaises(socket.timeout):
            client.socket.recv(1)
        self.proxy.stalled = False
        client.socket.settimeout(20.0)
        self.assertEqual(client.socket.recv(7), b"+PONG\r\n")

    def test_connections_are_closed_and_refused(self):
        client = self.client()
        self.assertEqual(client("PING"), b"PONG")
        self.proxy.refused = True
        self.proxy.hang_up()
        for other in (client, self.client()):
            with self.assertRaises(ConnectionError):
                other("PING")
        self.proxy.refused = False
        self.assertEqual(self.client()("PING"), b"PONG")


if __name__ == "__main__":
    unittest.main()
