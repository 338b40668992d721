"""TLS to redis-servers: alone, behind sentinels, as a cluster; who is not who they should be is told nothing."""
import re
import unittest

from harness import run_mxwayd, run_tool, wait_until
from redis_servers import MASTER_NAME, Certificates, SlotMove
from store_flow import BRIEF_S, PATIENT, OutageTest, StoreTest


class TlsTest(StoreTest):
    def setUp(self):
        super().setUp()
        self.certificates = Certificates(self.folder)
        self.refused = 0  # nodes
        self.tls = {"redis_tls": "yes", "redis_tls_ca": self.certificates.ca}

    def start_tls(self, name="redis", **options):
        return self.start_redis(name, **self.certificates.of_server(**options))


class Connect(TlsTest):
    def test_values_go_there_and_come_back(self):
        server = self.start_tls()
        server("CONFIG", "SET", "port", 0)  # nothing but TLS
        self.assert_shares(server.address, server, **self.tls)

    def test_tls_1_2_will_do(self):
        server = self.start_tls(tls_protocols="TLSv1.2")
        self.assert_shares(server.address, server, **self.tls)

    def test_a_password_and_a_purge_that_reaches_the_others(self):
        server = self.start_tls(requirepass="secret")
        password = self.folder / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        options = {**self.tls, **PATIENT, "redis_password_file": password}
        upstream = self.start_zone()
        first, second = (self.start_node(name, upstream, server.address, **options) for name in ("first", "second"))
        for node in (first, second):
            wait_until(lambda node=node: self.stats(node)["store"]["purges_followed"], "it follows")
        self.ask_all(first, ["d1.bench.test"])
        self.wait_written(first)
        self.wait_for_keys({"mxway:1:d:d1.bench.test"}, server)
        for source in ("SHARED", "MEMORY"):
            self.assertEqual(self.ask_all(second, ["d1.bench.test"])["d1.bench.test"].source, source)
        done = run_tool("purge", "d1.bench.test", "--socket", first.control_path)
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_until(
            lambda: self.ask_all(second, ["d1.bench.test"])["d1.bench.test"].source == "DNS", "the other one has heard of it"
        )

    def test_a_server_that_wants_a_certificate_is_shown_ours(self):
        server = self.start_tls(tls_auth_clients="yes")
        ours = self.certificates.sign("client")
        self.assert_shares(
            server.address, server, **self.tls, redis_tls_cert=ours, redis_tls_key=ours.with_suffix(".key")
        )
        self.assert_refused(server, "certificate required", **self.tls)

    def test_the_name_may_be_another_than_the_address(self):
        server = self.start_tls(cert=self.certificates.sign("named", "DNS:redis.test"))
        self.assert_shares(server.address, server, **self.tls, redis_tls_name="redis.test")
        self.assert_refused(server, "certificate verify failed: IP address mismatch", **self.tls)
        self.assert_refused(server, "certificate verify failed: hostname mismatch", **self.tls, redis_tls_name="other.test")

    def assert_refused(self, server, reason, **options):
        """The DNS answers, the log says why once, and nothing was said to the server."""
        server("CONFIG", "RESETSTAT")
        password = self.folder / "password"
        password.write_text("not for everybody\n")
        password.chmod(0o600)
        self.refused += 1
        node = self.start_node(f"refused{self.refused}", self.start_zone(), server.address, redis_password_file=password, **options)
        self.assertEqual(self.ask_all(node, ["d1.bench.test"])["d1.bench.test"].source, "DNS")
        wait_until(lambda: "trying again" in node.output(), "it has failed")
        self.assertRegex(node.output(), reason)
        self.assertEqual(self.stats(node)["store"]["state"], "down")
        self.assertLessEqual(len(re.findall(reason, node.output())), 2, node.output())
        self.assertNotIn("cmdstat_auth", server.info("commandstats"))
        node.stop()

    def test_a_server_that_our_ca_does_not_know_is_refused(self):
        server = self.start_tls()
        stranger = Certificates(self.folder, "stranger")
        self.assert_refused(server, "certificate verify failed", redis_tls="yes", redis_tls_ca=stranger.ca)
        self.assert_refused(server, "certificate verify failed", redis_tls="yes")

    def test_one_that_speaks_tls_and_one_that_does_not(self):
        server = self.start_tls()
        self.assert_refused(server, "the server closed the connection|Connection reset by peer")
        plain = self.start_redis("plain")
        self.assert_refused(plain, "TLS: the server does not speak it on this port|the server did not answer TLS", **self.tls)

    def test_files_are_read_before_the_start(self):
        ours = self.certificates.sign("client")
        cases = (
            (["redis-tls-ca=/nonexistent"], "redis-tls-ca: /nonexistent: No such file or directory"),
            ([f"redis-tls-cert={ours}"], "redis-tls-key"),
            ([f"redis-tls-cert={ours}", f"redis-tls-key={self.certificates.ca.with_suffix('.key')}"], "key values mismatch"),
        )
        for options, reason in cases:
            words = [word for option in ["redis=127.0.0.1", "redis-tls=yes", *options] for word in ("-o", option)]
            done = run_mxwayd("-t", *words)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(reason, done.stderr)


class Outage(TlsTest, OutageTest):
    """As without TLS: senders see no difference but the source."""

    def test_killed_and_back_under_load(self):
        server = self.start_tls()
        self.start_all(server.address, **self.tls)
        _, during, _ = self.go_through(server.kill, server.start_again, BRIEF_S)
        self.assertNotIn("SHARED", {one.reply.source for one in during[5:]})
        self.assert_in_time(during, 2.0, 30.0)

    def test_frozen_for_a_while(self):
        server = self.start_tls()
        self.start_all(server.address, **self.tls)
        _, during, _ = self.go_through(server.freeze, server.thaw)
        self.assert_in_time(during, 2.0, 15.0)

    def test_silent_from_the_start(self):
        """It takes connections, and no handshake comes of it."""
        server = self.start_tls()
        server.freeze()
        self.start_all(server.address, **self.tls)
        traffic = self.start_traffic()
        wait_until(lambda: len(traffic.fresh) > 50, "some answers")
        server.thaw()
        self.wait_sharing()
        traffic.stop()
        self.check(traffic)

    def test_sentinels_change_the_master(self):
        first = self.start_tls("first")
        second = self.start_replica(first, "second", **self.certificates.of_server())
        sentinels = self.start_sentinels(first, certificates=self.certificates)
        self.start_all(
            ",".join(sentinel.address for sentinel in sentinels),
            redis_topology="sentinel", redis_master=MASTER_NAME, **self.tls,
        )  # fmt: skip
        self.go_through(
            lambda: sentinels[0]("SENTINEL", "FAILOVER", MASTER_NAME),
            lambda: wait_until(lambda: second.role() == b"master", "the fail-over", 60.0),
            0.5,
        )

    def test_slots_of_a_cluster_move(self):
        nodes = self.start_cluster(certificates=self.certificates)
        self.start_all(",".join(node.address for node in nodes), redis_topology="cluster", **self.tls)
        moves = []

        def begin():
            slots = {nodes[0]("CLUSTER", "KEYSLOT", key) for key in nodes[0].keys("mxway:1:d:*")}
            for slot in sorted(slots)[:20]:
                moves.append(SlotMove(nodes, slot, nodes[0], nodes[1]))
                moves[-1].move_keys(1)

        _, during, after = self.go_through(begin, lambda: [move.end() for move in moves], BRIEF_S)
        self.assertGreater(len(moves), 5)
        for asked in (during, after):
            self.assertIn("SHARED", {one.reply.source for one in asked})


if __name__ == "__main__":
    unittest.main()
