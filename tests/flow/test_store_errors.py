"""Each error that a redis-server answers: the DNS is asked in its place, the log names it once, and it is over when it is over."""
import socketserver
import threading
import unittest

from harness import run_tool, wait_until
from protocol import ADDRESSES
from resp import RedisError
from store_flow import OutageTest


class Errors(OutageTest):
    def expect(self, code, server, begin, end, **options):
        self.start_all(server, **options)
        self.wait_sharing()
        self.share()
        begin()
        domains = self.shared[:100]
        replies, others = (self.ask_all(node, domains) for node in (self.node, self.reference))
        self.assertEqual({domain: reply.hosts for domain, reply in replies.items()},
                         {domain: reply.hosts for domain, reply in others.items()})
        with self.node.client() as client:
            for i in range(20):
                reply, ms = client.ask_timed(f"uerror-{i}.bench.test", depth=ADDRESSES)
                self.assertEqual((reply.source, reply.smtp_code in (0, 556)), ("DNS", True))
        wait_until(lambda: code in self.node.output(), f"the log says {code}")
        end()
        self.wait_sharing()
        lines = [line for line in self.node.output().splitlines() if code in line]
        # On the connection for messages as much again.
        self.assertLessEqual(len([line for line in lines if "(messages)" not in line]), 3, lines)
        self.assertLessEqual(len(lines), 6, lines)

    def test_busy(self):
        server = self.start_redis(lua_time_limit=1)
        script = self.redis_client(server)
        self.expect(
            "BUSY", server, lambda: script.send("EVAL", "while true do end", 0), lambda: server("SCRIPT", "KILL")
        )

    def test_no_permission(self):
        server = self.start_redis()
        self.expect(
            "NOPERM", server, lambda: server("ACL", "SETUSER", "default", "-get", "-set"),
            lambda: server("ACL", "SETUSER", "default", "+get", "+set"),
        )

    def test_not_authenticated(self):
        server = self.start_redis()

        def ask_for_a_password():
            server("CONFIG", "SET", "requirepass", "secret")
            with server.client() as client:
                client("AUTH", "secret")
                client("CLIENT", "KILL", "TYPE", "normal")

        def ask_for_none():
            with server.client() as client:
                client("AUTH", "secret")
                client("CONFIG", "SET", "requirepass", "")

        self.expect("NOAUTH", server, ask_for_a_password, ask_for_none)

    def test_writes_stopped_because_it_cannot_save(self):
        server = self.start_redis(dbfilename="taken")
        (self.folder / "redis.d" / "taken").mkdir()

        def begin():
            server("CONFIG", "SET", "save", "3600 1")
            server("SET", "x", "1")
            server("BGSAVE")
            wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err", "a save has failed")

        self.expect_write_error("MISCONF", server, begin, lambda: server("CONFIG", "SET", "save", ""))

    def test_loading(self):
        server = self.start_redis(key_load_delay=300, loading_process_events_interval_bytes=1024)
        with server.client() as client:
            client.many(("SET", f"other:{i}", "x" * 100) for i in range(700))

        def begin():
            server("SAVE")
            server.kill()
            server.launch_again()
            wait_until(lambda: self.code_of(server, "GET", "x") == "LOADING", "it is loading")

        self.expect("LOADING", server, begin, lambda: wait_until(lambda: not self.code_of(server, "GET", "x"), "it has loaded"))

    def code_of(self, server, *words):
        """The code of the error that a command brings, or nothing."""
        try:
            server(*words)
        except RedisError as error:
            return error.code
        except OSError:
            return "down"
        return ""

    def test_a_cluster_that_nobody_has_made(self):
        server = self.start_redis(cluster_enabled="yes")
        self.assert_told_apart("CLUSTERDOWN", server)

    def test_a_node_of_a_cluster_as_if_it_were_alone(self):
        self.assert_told_apart("MOVED", self.start_cluster()[0])

    def assert_told_apart(self, code, store):
        """A store that is of no use from the start."""
        self.start_all(store)
        traffic = self.start_traffic()
        wait_until(lambda: code in self.node.output(), f"the log says {code}")
        wait_until(lambda: len(traffic.fresh) > 100, "some answers")
        traffic.stop()
        self.check(traffic)

    def test_a_replica_without_its_master(self):
        master = self.start_redis("master")
        replica = self.start_replica(master, "replica", replica_serve_stale_data="no")
        self.start_all(replica)
        master.kill()
        self.ask_all(self.node, [f"ualone-{i}.bench.test" for i in range(20)])
        wait_until(lambda: "MASTERDOWN" in self.node.output(), "the log says MASTERDOWN")

    def test_what_a_server_says_does_not_drive_the_terminal(self):
        """Somebody who is no Redis answers with what clears the screen of whoever looks at it."""
        path = self.folder / "odd.sock"

        class Odd(socketserver.BaseRequestHandler):
            def handle(self):
                while self.request.recv(4096):
                    self.request.sendall(b"-ERR \x1b[2J\x9b31m gone\r\n")

        with socketserver.ThreadingUnixStreamServer(str(path), Odd) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            node = self.start_node("node", self.start_zone(), f"unix:{path}", redis_database=1)
            wait_until(lambda: "gone" in self.stats(node)["store"]["text"], "it is told")
            done = run_tool("stats", "--socket", node.control_path)
            server.shutdown()
        self.assertIn("gone", done.stdout)
        self.assertNotIn("\x1b", done.stdout + node.output())
        self.assertNotIn("\x9b", done.stdout + node.output())

    def expect_write_error(self, code, server, begin, end):
        """As `expect`, for an error of writes only."""
        self.start_all(server)
        self.wait_sharing()
        begin()
        replies = self.ask_all(self.node, [f"uwrite-{i}.bench.test" for i in range(50)])
        self.assertEqual({reply.source for reply in replies.values()}, {"DNS"})
        wait_until(lambda: code in self.node.output(), f"the log says {code}")
        end()
        self.wait_sharing()


if __name__ == "__main__":
    unittest.main()
