"""The way to the upstream servers: silent, lame, slow, forging and stalling ones, and a network that comes and goes."""
import itertools
import os
import shutil
import subprocess
import sys
import unittest

import dnswire
from harness import INSTRUMENTED, MXWAYD, WRAPPER, FlowTest, wait_until
from protocol import Client
from upstream import SILENT, Reply, rcode

ZONE = "".join(f"d{i}.test 300 MX 10 a.test\n" for i in range(400)) + "a.test 600 A 192.0.2.1\n"
REFUSED = rcode(dnswire.REFUSED)
SLOW_MACHINE = 10 if INSTRUMENTED else 1


def other_case(message):
    """The same reply, with the letters of its question in lower case: what a forger sends who guesses the id."""
    end = message.index(b"\0", 12)
    return message[:12] + message[12:end].lower() + message[end:]


class BadServers(FlowTest):
    def ask_all(self, client, names):
        """Verdicts of lookups one after the other, and what each took in ms."""
        replies = [client.ask_timed(name) for name in names]
        self.assertEqual({reply.verdict for reply, _ in replies}, {"ROUTE"})
        return [took_ms for _, took_ms in replies]

    def test_one_silent_server_of_two_is_hardly_noticed(self):
        silent, good = self.start_upstream(default=SILENT), self.start_upstream(ZONE)
        client = self.connect(self.start_daemon(silent, good))
        took_ms = sorted(self.ask_all(client, [f"d{i}.test" for i in range(110)])[10:])
        self.assertLess(took_ms[98], 150 * SLOW_MACHINE)
        self.assertEqual(good.count(), 110)
        self.assertLess(silent.count(), 20)

    def test_even_the_first_lookup_does_not_wait_for_a_silent_server(self):
        silent, good = self.start_upstream(default=SILENT), self.start_upstream(ZONE)
        daemon = self.start_daemon(silent, good)
        reply, took_ms = self.connect(daemon).ask_timed("d1.test")
        self.assertEqual(reply.verdict, "ROUTE")
        self.assertLess(took_ms, 400 * SLOW_MACHINE)
        self.assertEqual(daemon.counters()["dns-hedges"], 1)

    def test_one_gone_server_of_three_costs_nothing(self):
        gone, good, spare = self.start_upstream(), self.start_upstream(ZONE), self.start_upstream(ZONE)
        gone.stop()
        client = self.connect(self.start_daemon(gone, good, spare))
        took_ms = sorted(self.ask_all(client, [f"d{i}.test" for i in range(60)]))
        self.assertLess(took_ms[54], 100 * SLOW_MACHINE)

    def test_a_lame_server_is_not_asked_for_ever(self):
        lame, good = self.start_upstream(default=REFUSED), self.start_upstream(ZONE)
        daemon = self.start_daemon(lame, good)
        self.ask_all(self.connect(daemon), [f"d{i}.test" for i in range(60)])
        self.assertLess(lame.count(), 20)
        self.assertGreaterEqual(daemon.counters()["dns-demotions"], 1)

    def test_a_slow_server_is_helped_out_but_not_doubled(self):
        slow = self.start_upstream(ZONE, default=Reply(delay_s=0.06))
        spare = self.start_upstream(ZONE, default=Reply(delay_s=0.06))
        daemon = self.start_daemon(slow, spare)
        self.ask_all(self.connect(daemon), [f"d{i}.test" for i in range(40)])
        # Late by its own usual measure it is not: hedges stay within the ten that are lent at first and a tenth.
        self.assertLessEqual(spare.count(), 14)

    def test_servfail_of_one_and_silence_of_the_other_is_servfail(self):
        failing, silent = self.start_upstream(default=rcode(dnswire.SERVFAIL)), self.start_upstream(default=SILENT)
        client = self.connect(self.start_daemon(failing, silent, query_timeout=100))
        self.assertEqual(client.ask("d1.test").verdict, "DNS_SERVFAIL")

    def test_a_dead_server_is_used_again_once_it_is_back(self):
        first, second = self.start_upstream(ZONE, default=SILENT), self.start_upstream(ZONE)
        daemon = self.start_daemon(first, second, query_timeout=100)
        client = self.connect(daemon)
        names = (f"x{i}.test" for i in itertools.count())  # Denials will do.
        while daemon.counters()["dns-demotions"] == 0:
            client.ask(next(names))
        first.default = Reply()
        wait_until(
            lambda: client.ask(next(names)) and first.count() > 10 and daemon.output().count("answers again") > 0,
            "the first server is asked again", 15.0,
        )  # fmt: skip


class Forgers(FlowTest):
    NAME = "a-name-with-so-many-letters-that-chance-will-not-spell-it.test"

    def start(self, **options):
        upstream = self.start_upstream(f"{self.NAME} 300 MX 10 a.test\n")
        daemon = self.start_daemon(upstream, **options)
        return upstream, daemon, self.connect(daemon)

    def test_a_guessed_id_without_the_letters_is_not_believed(self):
        upstream, daemon, client = self.start()
        forged = Reply(records=f"{self.NAME} 300 MX 1 evil.test", mutate=other_case)
        upstream.on(self.NAME, "MX", forged, tcp=Reply())
        reply = client.ask(self.NAME)
        self.assertEqual((reply.verdict, reply.hosts), ("ROUTE", ["a.test"]))
        self.assertEqual(daemon.counters()["dns-forged"], 1)
        self.assertEqual([query.transport for query in upstream.log()], ["udp", "tcp"])

    def test_a_guessed_id_with_another_question_is_not_believed(self):
        upstream, _, client = self.start(query_timeout=200)
        question = dnswire.pack_name("other.test") + b"\0\x0f\0\1"
        upstream.on(self.NAME, "MX", Reply(records=f"{self.NAME} 300 MX 1 evil.test", question=question), Reply())
        self.assertEqual(client.ask(self.NAME).hosts, ["a.test"])

    def test_where_tcp_is_shut_a_forged_reply_is_a_failure(self):
        upstream = self.start_upstream(f"{self.NAME} 300 MX 10 a.test\n", tcp=False)
        upstream.on(self.NAME, "MX", Reply(records=f"{self.NAME} 300 MX 1 evil.test", mutate=other_case))
        client = self.connect(self.start_daemon(upstream, query_timeout=200))
        reply = client.ask(self.NAME)
        self.assertEqual((reply.smtp_code, reply.hosts), (451, []))

    def test_a_server_that_keeps_no_case_is_served_all_the_same(self):
        upstream = self.start_upstream(
            "".join(f"d{i}.with-some-more-letters.test 300 MX 10 a.test\n" for i in range(20)),
            default=Reply(mutate=other_case),
        )
        daemon = self.start_daemon(upstream)
        client = self.connect(daemon)
        for number in range(20):
            self.assertEqual(client.ask(f"d{number}.with-some-more-letters.test").verdict, "ROUTE")
        # Found out by the first, which is asked for once more over TCP.
        self.assertEqual(upstream.count(), 21)

    def test_letters_can_be_left_alone(self):
        upstream, daemon, client = self.start(query_case="plain")
        upstream.default = Reply(mutate=other_case)
        self.assertEqual(client.ask(self.NAME).verdict, "ROUTE")
        self.assertEqual((upstream.count(), daemon.counters()["dns-forged"]), (1, 0))

    def test_source_ports_change_under_load(self):
        upstream = self.start_upstream("".join(f"d{i}.test 300 MX 10 a.test\n" for i in range(2000)))
        client = self.connect(self.start_daemon(upstream))
        for start in range(0, 2000, 500):
            for number in range(start, start + 500):
                client.send(f"d{number}.test")
            client.receive_many(500)
        self.assertGreaterEqual(len({query.port for query in upstream.log()}), 2000 // 256)


class Tcp(FlowTest):
    def test_a_stall_after_truncation_is_a_failure_within_bounds(self):
        upstream = self.start_upstream(ZONE)
        upstream.on("d1.test", "MX", Reply(truncated=True), tcp=SILENT)
        client = self.connect(self.start_daemon(upstream, query_timeout=150, query_tries=1))
        reply, took_ms = client.ask_timed("d1.test")
        self.assertIn(reply.verdict, ("DNS_TIMEOUT", "DNS_NETWORK"))
        self.assertLess(took_ms, 1500 * SLOW_MACHINE)

    def test_a_refusal_after_truncation_is_the_network(self):
        upstream = self.start_upstream(ZONE, tcp=False)
        upstream.on("d1.test", "MX", Reply(truncated=True))
        client = self.connect(self.start_daemon(upstream, query_timeout=150))
        reply = client.ask("d1.test")
        self.assertEqual((reply.verdict, reply.hosts), ("DNS_NETWORK", []))

    def test_another_server_helps_where_one_stalls(self):
        stalling, good = self.start_upstream(ZONE), self.start_upstream(ZONE)
        stalling.on("d1.test", "MX", Reply(truncated=True), tcp=SILENT)
        client = self.connect(self.start_daemon(stalling, good))
        reply, took_ms = client.ask_timed("d1.test")
        self.assertEqual(reply.verdict, "ROUTE")
        self.assertLess(took_ms, 700 * SLOW_MACHINE)

    def test_a_broken_reply_is_asked_for_again_over_tcp(self):
        upstream = self.start_upstream(ZONE)
        upstream.on("d1.test", "MX", Reply(mutate=lambda m: m[:-3]), tcp=Reply())
        client = self.connect(self.start_daemon(upstream))
        self.assertEqual(client.ask("d1.test").verdict, "ROUTE")
        self.assertEqual([query.transport for query in upstream.log()], ["udp", "tcp"])

    def test_what_is_broken_over_tcp_too_is_malformed(self):
        upstream = self.start_upstream(ZONE)
        broken = Reply(mutate=lambda m: m[:-3])
        upstream.on("d1.test", "MX", broken, tcp=broken)
        reply = self.connect(self.start_daemon(upstream)).ask("d1.test")
        self.assertEqual((reply.verdict, reply.smtp_code), ("DNS_MALFORMED", 451))
        self.assertEqual(upstream.count(), 2)


class ResolvConf(FlowTest):
    def start(self, text):
        self.path = self.folder / "resolv.conf"
        self.path.write_text(text)
        daemon = self.start_daemon(resolv_conf=self.path)
        return daemon, self.connect(daemon)

    def replace(self, text):
        """As most programs do it: another file takes the place of the old one."""
        new = self.folder / "resolv.conf.new"
        new.write_text(text)
        new.rename(self.path)

    def test_a_change_is_taken_up_while_it_runs(self):
        daemon, client = self.start("nameserver 127.0.0.2\n")
        self.replace("search example.test\nnameserver 127.0.0.3\nnameserver ::1\n")
        wait_until(lambda: "upstream server 2 of 2 is [::1]:53" in daemon.output(), "the new servers are logged")
        self.assertIn("upstream server 1 of 2 is 127.0.0.3:53", daemon.output())
        self.replace("# nothing\n")
        wait_until(lambda: "names no server that can be used" in daemon.output(), "an empty one is refused")
        self.assertTrue(daemon.is_running())

    def test_a_configured_upstream_does_not_follow_it(self):
        upstream = self.start_upstream(ZONE)
        path = self.folder / "resolv.conf"
        path.write_text("nameserver 127.0.0.2\n")
        daemon = self.start_daemon(upstream, resolv_conf=path)
        path.write_text("nameserver 127.0.0.3\n")
        self.assertEqual(self.connect(daemon).ask("d1.test").verdict, "ROUTE")
        self.assertNotIn("has changed", daemon.output())


CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1

# Runs in a network of its own, whose loopback is down until a line comes on standard input.
IN_A_NETWORK_OF_ITS_OWN = """
import ctypes, fcntl, socket, struct, subprocess, sys
if ctypes.CDLL(None, use_errno=True).unshare({clone}) != 0:
    sys.exit(77)
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
print("started", flush=True)
for line in sys.stdin:
    if line.strip() == "up":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, {siocsifflags}, struct.pack("16sH14x", b"lo", {iff_up}))
        print("up", flush=True)
child.terminate()
sys.exit(child.wait())
""".format(clone=CLONE_NEWNET, siocsifflags=SIOCSIFFLAGS, iff_up=IFF_UP)


class Network(FlowTest):
    """ENETUNREACH, and what comes after."""

    def test_without_a_network_lookups_fail_at_once_and_work_when_it_is_back(self):
        upstream_program = os.environ.get("MXWAY_UPSTREAM")
        if not upstream_program or not shutil.which("sh"):
            self.skipTest("no simulated upstream")
        socket_path = self.folder / "lookup.sock"
        command = (
            f"{upstream_program} -l 127.0.0.1:5353 & server=$!; "
            f"{' '.join(WRAPPER)} {MXWAYD} -c /dev/null -o listen={socket_path} -o upstream=127.0.0.1:5353 & "
            "daemon=$!; trap 'kill $daemon $server' TERM; wait $daemon"
        )
        inside = subprocess.Popen(
            [sys.executable, "-c", IN_A_NETWORK_OF_ITS_OWN, "sh", "-c", command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            if inside.stdout.readline().strip() != "started":
                raise unittest.SkipTest("a network of its own is not permitted here")
            wait_until(socket_path.exists, "mxwayd listens")
            client = wait_until(lambda: self.try_to_connect(socket_path), "mxwayd accepts")
            reply, took_ms = client.ask_timed("d0.bench.test")
            self.assertEqual((reply.verdict, reply.smtp_code, reply.enhanced_status), ("DNS_NETWORK", 451, "4.4.3"))
            self.assertLess(took_ms, 1000 * SLOW_MACHINE)
            self.assertLessEqual(reply.ttl, 1)  # Not the domain's fault: soon asked for again.
            inside.stdin.write("up\n")
            inside.stdin.flush()
            self.assertEqual(inside.stdout.readline().strip(), "up")
            wait_until(lambda: client.ask("d0.bench.test").verdict in ("ROUTE", "NO_SUCH_DOMAIN"), "it works again", 10.0)
            client.close()
        finally:
            inside.stdin.close()
            inside.wait(20)
            inside.stdout.close()

    @staticmethod
    def try_to_connect(path):
        try:
            return Client(str(path), timeout_s=20.0)
        except OSError:
            return None


if __name__ == "__main__":
    unittest.main()
