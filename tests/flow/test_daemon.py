"""mxwayd as a process: its arguments, its socket file, its signals, and the tool's exit codes."""
import contextlib
import os
import signal
import socket
import stat
import time
import unittest
from pathlib import Path

from harness import INSTRUMENTED, FlowTest, json_lines, run_mxwayd, run_tool, wait_until
from protocol import frame, pack_request
from upstream import SILENT, Reply

EX_USAGE, EX_UNAVAILABLE, EX_OSERR, EX_CONFIG, EX_TEMPFAIL = 64, 69, 71, 78, 75
ZONE = "d.test 300 MX 10 a.test\na.test 300 A 192.0.2.1\n"


class Arguments(FlowTest):
    def config(self, text):
        path = self.folder / "mxwayd.conf"
        path.write_text(text)
        return path

    def test_help_and_version_go_to_standard_output(self):
        result = run_mxwayd("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("-o", "--print-config", "listen-mode", "cache-size", "upstream", "64MiB"):
            self.assertIn(word, result.stdout)
        self.assertRegex(run_mxwayd("--version").stdout, r"^mxwayd \d+\.\d+\.\d+\n$")

    def test_t_checks_and_says_so(self):
        good = self.config('listen = "/tmp/l.sock"\nmax-ttl = 3600\nupstream = {"127.0.0.1:5300", "[::1]:53"}\n')
        result = run_mxwayd("-t", "-c", good)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(run_mxwayd("-t", "-c", self.folder / "absent.conf").returncode, EX_CONFIG)
        self.assertFalse(Path("/tmp/l.sock").exists())

    def test_print_config_is_a_file_that_gives_the_same_config(self):
        first = run_mxwayd(
            "-c", self.config(""), "-o", "max-ttl=3600", "-o", "upstream=127.0.0.1:5300,[::1]:54", "-o",
            "mx-cname=reject", "-o", "listen-mode=0600", "-o", "cache-size=2MiB", "--print-config",
        )  # fmt: skip
        self.assertEqual(first.returncode, 0, first.stderr)
        for line in ("max-ttl", "3600", "127.0.0.1:5300", "[::1]:54", "reject", "0600"):
            self.assertIn(line, first.stdout)
        again = run_mxwayd("-c", self.config(first.stdout), "--print-config")
        self.assertEqual(again.stdout, first.stdout)

    def test_the_command_line_comes_over_the_file(self):
        path = self.config("max-ttl = 3600\nmin-ttl = 60\n")
        printed = run_mxwayd("-c", path, "-o", "max-ttl=7200", "--print-config").stdout
        self.assertRegex(printed, r"(?m)^max-ttl\s*=\s*7200$")
        self.assertRegex(printed, r"(?m)^min-ttl\s*=\s*60$")

    def test_a_wrong_file_is_refused_with_file_line_option_and_what_was_expected(self):
        for name, text, line, option, expected in [
            ("a word for a number", "listen = \"/tmp/x\"\n\nmax-ttl = soon\n", 3, "max-ttl", "60"),
            ("over the range", "max-ttl = 604801\n", 1, "max-ttl", "604800"),
            ("under the range", "# a comment\nmax-cname-hops = 0\n", 2, "max-cname-hops", "16"),
            ("another word", "mx-cname = ignore\n", 1, "mx-cname", "follow"),
            ("no such option", "\n\n\nmax-tl = 60\n", 4, "max-tl", "max-ttl"),
            ("no server", "upstream = {\"dns.example\"}\n", 1, "upstream", "ADDRESS"),
            ("no size", "cache-size = \"64 parsec\"\n", 1, "cache-size", "MiB"),
        ]:
            with self.subTest(name):
                path = self.config(text)
                result = run_mxwayd("-t", "-c", path)
                self.assertEqual(result.returncode, EX_CONFIG, result.stderr)
                for word in (f"{path}:{line}", option, expected):
                    self.assertIn(word, result.stderr)

    def test_a_wrong_assignment_is_refused_with_option_and_what_was_expected(self):
        for assignment, expected in [
            ("max-ttl=soon", "60"),
            ("max-ttl=", "60"),
            ("frontends=0", "64"),
            ("frontends=-1", "64"),
            ("mx-cname=ignore", "follow"),
            ("log-level=loud", "debug"),
            ("listen-mode=0888", "777"),
            ("listen=" + "x" * 200, "107"),
            ("upstream=127.0.0.1:99999", "PORT"),
            ("max-tl=60", "max-ttl"),
        ]:
            with self.subTest(assignment):
                result = run_mxwayd("-t", "-c", self.config(""), "-o", assignment)
                self.assertEqual(result.returncode, EX_CONFIG, result.stderr)
                self.assertIn("-o", result.stderr)
                for word in (assignment.split("=")[0], expected):
                    self.assertIn(word, result.stderr)

    def test_options_that_contradict_each_other_are_refused(self):
        for options in (["min-ttl=3600", "max-ttl=60"], ["query-timeout=900", "lookup-deadline=800"]):
            arguments = [word for option in options for word in ("-o", option)]
            result = run_mxwayd("-t", "-c", self.config(""), *arguments)
            self.assertEqual(result.returncode, EX_CONFIG, result.stderr)
            for option in options:
                self.assertIn(option.split("=")[0], result.stderr)

    def test_wrong_usage_exits_64_and_names_the_help(self):
        for arguments in (["--no-such-flag"], ["-o"], ["-o", "no-value"], ["-o", "=5"], ["-c"], ["extra"]):
            with self.subTest(arguments):
                result = run_mxwayd(*arguments)
                self.assertEqual(result.returncode, EX_USAGE, result.stderr)
                self.assertIn("--help", result.stderr)
                self.assertTrue(all(line.startswith("mxwayd: ") for line in result.stderr.splitlines()), result.stderr)

    def test_a_broken_file_keeps_the_daemon_from_starting(self):
        path = self.config("max-ttl = soon\n")
        result = run_mxwayd("-c", path, "-o", f"listen={self.folder}/l.sock")
        self.assertEqual(result.returncode, EX_CONFIG)
        self.assertFalse((self.folder / "l.sock").exists())


class SocketFile(FlowTest):
    def test_runs_without_a_configuration_file(self):
        if Path("/etc/mxway/mxwayd.conf").exists():
            self.skipTest("this machine has a configuration file")
        listen = self.folder / "l.sock"
        daemon = self.start_daemon(listen=listen, config=False)
        self.assertEqual(self.connect(daemon).ask("[192.0.2.1]").source, "LITERAL")
        self.assertIn(str(listen), daemon.output())
        # No upstream given: those of the machine's resolv.conf, which nobody asks here.
        servers = ["127.0.0.1"]
        with contextlib.suppress(FileNotFoundError):
            words = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
            servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"] or servers
        self.assertIn(servers[0].split("%")[0], daemon.output())

    def test_its_mode_is_listen_mode_whatever_the_umask(self):
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        for mode in ("0666", "0600", "0660"):
            path = self.folder / f"{mode}.sock"
            self.start_daemon(listen=path, listen_mode=mode, log=f"{mode}.log")
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), int(mode, 8))

    def test_a_stale_one_is_replaced(self):
        path = self.folder / "lookup.sock"
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(path))
        dead.close()
        daemon = self.start_daemon(self.start_upstream(ZONE))
        self.assertEqual(self.connect(daemon).ask("d.test").verdict, "ROUTE")

    def test_one_left_by_a_killed_daemon_is_replaced(self):
        upstream = self.start_upstream(ZONE)
        first = self.start_daemon(upstream)
        first.kill()
        self.assertTrue(Path(first.socket_path).exists())
        second = self.start_daemon(upstream, log="second.log")
        self.assertEqual(self.connect(second).ask("d.test").verdict, "ROUTE")

    def test_a_live_one_is_refused_and_stays_alive(self):
        upstream = self.start_upstream(ZONE)
        daemon = self.start_daemon(upstream)
        second = self.launch_daemon(log="second.log", upstreams=[upstream.address])
        self.assertEqual(second.wait(), EX_UNAVAILABLE)
        self.assertIn(daemon.socket_path, second.output())
        self.assertEqual(self.connect(daemon).ask("d.test").verdict, "ROUTE")

    def test_a_path_that_is_no_socket_is_refused_and_kept(self):
        path = self.folder / "precious"
        path.write_text("data")
        daemon = self.launch_daemon(listen=path)
        self.assertEqual(daemon.wait(), EX_OSERR)
        self.assertIn(str(path), daemon.output())
        self.assertIn("socket", daemon.output())
        self.assertEqual(path.read_text(), "data")

    def test_the_folder_of_the_socket_is_made_but_not_its_parents(self):
        daemon = self.start_daemon(listen=self.folder / "new" / "l.sock")
        self.assertEqual(self.connect(daemon).ask("[192.0.2.1]").verdict, "ROUTE")
        daemon = self.launch_daemon(listen=self.folder / "no" / "such" / "l.sock", log="no.log")
        self.assertEqual(daemon.wait(), EX_OSERR)
        self.assertIn(str(self.folder / "no" / "such"), daemon.output())

    def test_two_frontends_both_serve(self):
        daemon = self.start_daemon(self.start_upstream(ZONE), frontends=2)
        clients = [self.connect(daemon) for _ in range(20)]
        for client in clients:
            client.send("d.test")
        self.assertEqual({client.receive().verdict for client in clients}, {"ROUTE"})
        threads = len(os.listdir(f"/proc/{daemon.pid}/task"))
        self.assertGreaterEqual(threads, 4)  # Two frontends, the resolver, main.


class Signals(FlowTest):
    def stop_with_lookups_outstanding(self, signal_):
        upstream = self.start_upstream(ZONE, default=SILENT)
        daemon = self.start_daemon(upstream, lookup_deadline=30000, query_timeout=20000)
        client = self.connect(daemon)
        for number in range(20):
            client.send(f"d{number}.test")
        daemon.wait_counter("misses", 20)
        before_s = time.monotonic()
        daemon.child.send_signal(signal_)
        answers = []
        while (reply := client.receive()) is not None:
            answers.append((reply.id, reply.verdict, reply.smtp_code))
        self.assertEqual(daemon.wait(), 0, daemon.output())
        self.assertLess(time.monotonic() - before_s, 5.0)
        self.assertEqual(sorted(answers), [(identity, "SHUTDOWN", 451) for identity in range(1, 21)])
        self.assertFalse(Path(daemon.socket_path).exists())

    def test_sigterm_ends_it_and_every_lookup(self):
        self.stop_with_lookups_outstanding(signal.SIGTERM)

    def test_sigint_ends_it_and_every_lookup(self):
        self.stop_with_lookups_outstanding(signal.SIGINT)

    def test_answers_already_made_are_delivered_on_the_way_out(self):
        upstream = self.start_upstream(ZONE)
        daemon = self.start_daemon(upstream)
        client = self.connect(daemon)
        client.ask("d.test")
        for _ in range(200):
            client.send("d.test")
        daemon.wait_counter("hits", 200)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(len(client.receive_many(200)), 200)
        self.assertIsNone(client.receive())

    def test_a_client_that_does_not_read_does_not_hold_it_up(self):
        upstream = self.start_upstream("".join(f"big.test 300 MX 10 exchange-{i}.example.test\n" for i in range(30)))
        daemon = self.start_daemon(upstream)
        deaf = self.connect(daemon)
        self.connect(daemon).ask("big.test")
        deaf.socket.setblocking(False)
        burst = frame(pack_request(id=1, domain="big.test")) * 3000
        try:
            while True:
                deaf.socket.send(burst)
        except BlockingIOError:
            pass
        before_s = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - before_s, 5.0)

    def test_sigpipe_sighup_and_sigusr1_do_not_end_it(self):
        daemon = self.start_daemon(self.start_upstream(ZONE))
        daemon.child.send_signal(signal.SIGPIPE)
        daemon.child.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP" in daemon.output(), "a line about it")
        counters = daemon.counters()
        self.assertEqual(counters["requests"], 0)
        client = self.connect(daemon)
        client.ask("d.test")
        client.ask("d.test")
        counters = daemon.counters()
        self.assertEqual((counters["requests"], counters["hits"], counters["misses"]), (2, 1, 1))
        self.assertEqual((counters["dns-queries"], counters["dns-answers"]), (1, 1))

    def test_messages_begin_with_the_level_that_journald_reads(self):
        daemon = self.start_daemon(self.start_upstream(ZONE))
        daemon.stop()
        lines = [line for line in daemon.output().splitlines() if not line.startswith("==")]
        self.assertTrue(lines)
        for line in lines:
            self.assertRegex(line, r"^<[3-7]>")


class Tool(FlowTest):
    ZONE = (
        ZONE
        + "null.test 300 MX 0 .\n"
        + "two.test 300 MX 10 a.test\ntwo.test 300 MX 20 b.test\nb.test 300 AAAA 2001:db8::1\n"
    )
    KEYS = (
        "domain canonical verdict class smtp_code enhanced_status ttl mx_ttl age source stale implicit truncated authenticated "
        "site_id site_name warnings exchanges"
    ).split()

    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(self.ZONE)
        self.upstream.on("broken.test", "MX", Reply(rcode=2))
        self.daemon = self.start_daemon(self.upstream, query_timeout=200)

    def lookup(self, *arguments, **options):
        return run_tool("lookup", "--socket", self.daemon.socket_path, *arguments, **options)

    def test_exit_codes_say_the_worst_class(self):
        for domains, status in [
            (["d.test"], 0),
            (["d.test", "null.test"], 1),
            (["none.test"], 1),
            (["broken.test"], EX_TEMPFAIL),
            (["d.test", "null.test", "broken.test"], EX_TEMPFAIL),
        ]:
            with self.subTest(domains):
                result = self.lookup(*domains)
                self.assertEqual(result.returncode, status, result.stdout + result.stderr)

    def test_json_has_exactly_the_documented_keys(self):
        result = self.lookup("--json", "Two.TEST")
        (line,) = json_lines(result.stdout)
        self.assertEqual(list(line), self.KEYS)
        self.assertEqual((line["domain"], line["canonical"], line["verdict"], line["class"]),
                         ("Two.TEST", "two.test", "ROUTE", "ok"))  # fmt: skip
        first, second = line["exchanges"]
        self.assertEqual(list(first), "preference host expanded status ttl addresses".split())
        self.assertEqual((first["host"], first["addresses"]), ("a.test", ["192.0.2.1"]))
        self.assertEqual((second["host"], second["addresses"]), ("b.test", ["2001:db8::1"]))

    def test_the_table_names_what_a_person_wants(self):
        result = self.lookup("two.test", "null.test")
        for word in ("two.test", "a.test", "192.0.2.1", "2001:db8::1", "null.test", "NULL_MX"):
            self.assertIn(word, result.stdout)

    def test_names_come_from_standard_input(self):
        names = [f"n{number}.test" for number in range(3000)]
        result = self.lookup("-", "--json", "--depth", "exchanges", stdin="".join(f"{name}\n" for name in names))
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(sorted(line["domain"] for line in json_lines(result.stdout)), sorted(names))

    def test_depth_exchanges_asks_for_no_addresses(self):
        self.lookup("--depth", "exchanges", "two.test")
        self.assertEqual([(query.name, query.type) for query in self.upstream.log()], [("two.test", "MX")])

    def test_cache_only_and_refresh_reach_the_daemon(self):
        result = self.lookup("--cache-only", "--json", "d.test")
        self.assertEqual((result.returncode, json_lines(result.stdout)[0]["verdict"]), (EX_TEMPFAIL, "NOT_CACHED"))
        for _ in range(2):
            self.lookup("--refresh", "--depth", "exchanges", "d.test")
        self.assertEqual(self.upstream.count("d.test", "MX"), 2)

    def test_without_a_daemon_it_says_where_it_looked(self):
        result = run_tool("lookup", "--socket", self.folder / "none.sock", "d.test")
        self.assertEqual(result.returncode, EX_UNAVAILABLE)
        self.assertIn(str(self.folder / "none.sock"), result.stderr)

    def test_wrong_usage_exits_64(self):
        for arguments in ([], ["lookup"], ["lookup", "--depth", "deep", "d.test"], ["lookup", "--nope"], ["dig"]):
            with self.subTest(arguments):
                self.assertEqual(run_tool(*arguments).returncode, EX_USAGE)

    def test_a_timeout_of_ones_own_is_kept(self):
        self.upstream.on("silent.test", "MX", SILENT)
        before_s = time.monotonic()
        result = self.lookup("--timeout", "150", "--json", "silent.test")
        self.assertEqual(json_lines(result.stdout)[0]["verdict"], "DEADLINE")
        self.assertLess(time.monotonic() - before_s, 5.0 if INSTRUMENTED else 1.0)


if __name__ == "__main__":
    unittest.main()
