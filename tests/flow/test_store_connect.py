"""Every way to a redis-server that can be configured: values go there, and come back."""
import os
import socket
import unittest

from harness import run_mxwayd
from protocol import ADDRESSES
from store_flow import StoreTest


class Connect(StoreTest):
    def secret(self, text, name="secret"):
        """A file with a password, which nobody else may read."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def test_by_unix_socket(self):
        server = self.start_redis()
        self.assert_shares(server.target, server)

    def test_by_address_and_port(self):
        server = self.start_redis()
        self.assert_shares(server.address, server)

    def test_by_name_and_port(self):
        try:
            socket.getaddrinfo("localhost", None, socket.AF_INET)
        except OSError:
            self.skipTest("this machine does not know localhost")
        server = self.start_redis()
        self.assert_shares(f"localhost:{server.port}", server)

    def test_a_name_that_nobody_knows_harms_nothing(self):
        upstream = self.start_zone()
        node = self.start_node("node", upstream, "no-such-host.invalid:6379")
        with node.client() as client:
            for i in range(50):
                self.assertEqual(client.ask(f"d{i}.bench.test", depth=ADDRESSES).source, "DNS")
        self.assertEqual(self.stats(node)["store"]["state"], "down")

    def test_with_a_password(self):
        server = self.start_redis(requirepass="very-secret")
        self.assert_shares(server.address, server, redis_password_file=self.secret("very-secret\n"))

    def test_with_a_user_who_may_do_only_what_is_needed(self):
        server = self.start_redis()
        server("ACL", "SETUSER", "mx", "on", ">pass", "~mxway:*", "&mxway:*", "+@read", "+@write", "+@connection", "+@pubsub")
        self.assert_shares(server.address, server, redis_user="mx", redis_password_file=self.secret("pass"))

    def test_with_a_wrong_password_the_dns_is_asked_and_the_log_says_why(self):
        server = self.start_redis(requirepass="right")
        node = self.start_node("node", self.start_zone(), server, redis_password_file=self.secret("wrong"))
        with node.client() as client:
            self.assertEqual(client.ask("d1.bench.test", depth=ADDRESSES).source, "DNS")
        self.assertEqual(self.stats(node)["store"]["state"], "down")
        self.assertRegex(node.output(), "WRONGPASS|NOAUTH")
        self.assertNotIn("wrong", node.output().lower().replace("wrongpass", ""))

    def test_a_password_that_others_can_read_is_refused(self):
        path = self.secret("open")
        os.chmod(path, 0o644)
        done = run_mxwayd("-t", "-o", "redis=unix:/tmp/none.sock", "-o", f"redis-password-file={path}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(str(path), done.stderr)

    def test_in_another_database(self):
        server = self.start_redis()
        self.assert_shares(server.target, server, database=3, redis_database=3)

    def test_reads_go_to_the_replica_and_writes_to_the_master(self):
        master = self.start_redis("master")
        replica = self.start_replica(master)
        self.assert_shares(master.target, replica, redis_read=replica.target)
        calls = [server.info("commandstats") for server in (master, replica)]
        self.assertNotIn("cmdstat_get", calls[0])
        self.assertIn("cmdstat_get", calls[1])
        self.assertIn("cmdstat_set", calls[0])


if __name__ == "__main__":
    unittest.main()
