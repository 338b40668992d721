"""mxway-bench against the real servers that it compares: mxwayd, nsd, unbound, redis-server and its own null.

Environment: MXWAY_BENCH is the program.
"""
import csv
import io
import json
import os
import signal
import subprocess
import threading
import unittest

from harness import PATIENCE_S, ROOT, FlowTest, Process, free_port, program, wait_until

MXWAY_BENCH = os.environ.get("MXWAY_BENCH", str(ROOT / "build/dev/bench/mxway-bench"))

NAMES = [f"d{i}.test" for i in range(40)]
ZONE = "".join(
    f"{name}. 3600 IN MX 20 b{i % 4}.test.\n{name}. 3600 IN MX 10 a{i % 4}.test.\n" for i, name in enumerate(NAMES)
) + "".join(f"{host}{i}.test. 3600 IN A 192.0.2.{i + 1}\n" for i in range(4) for host in "ab")
EXPECTED = "".join(f"{name}\tROUTE 10 a{i % 4}.test 20 b{i % 4}.test\n" for i, name in enumerate(NAMES))


def bench(*arguments, timeout_s=PATIENCE_S):
    return subprocess.run(
        [MXWAY_BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=timeout_s, check=False
    )


class Bench(FlowTest):
    def setUp(self):
        super().setUp()
        self.names = self.folder / "names"
        self.names.write_text("".join(f"{name}\n" for name in NAMES))
        self.expected = self.folder / "expected"
        self.expected.write_text(EXPECTED)

    def start_servers(self):
        nsd = self.start_nsd(ZONE)
        return nsd, self.start_daemon(nsd)

    def start_redis(self):
        path = self.folder / "r.sock"
        redis = Process(
            [program("redis-server"), "--port", 0, "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir",
             self.folder],
            self.folder / "redis.log",
        )
        self.addCleanup(redis.stop)
        wait_until(path.exists, "redis-server listens")
        return path

    def test_every_target_is_asked_and_gives_the_right_routes(self):
        nsd, daemon = self.start_servers()
        unbound = self.start_unbound(nsd)
        targets = [
            f"mxway:{daemon.socket_path}", f"mxway:{daemon.socket_path},depth=addresses", f"dns:{nsd.address}",
            f"dns:{nsd.address},tcp", f"dns:{unbound.address},full", f"redis:{self.start_redis()}", "null",
        ]
        for target in targets:
            with self.subTest(target=target.split(":")[0]):
                checks = [] if target.startswith(("redis", "null")) else ["--verify", self.expected]
                done = bench("-s", target, "-d", self.names, "-n", 3, "-c", 2, "-q", 8, "-o", "json", *checks)
                self.assertEqual(done.returncode, 0, done.stderr)
                [run] = json.loads(done.stdout)["targets"][0]["runs"]
                self.assertEqual((run["completed"], run["timeouts"], run["errors"]), (3 * len(NAMES), 0, 0))
                if checks:
                    self.assertEqual((run["verified"], run["wrong"]), (3 * len(NAMES), 0))

    def test_a_wrong_answer_fails_the_run_and_is_shown(self):
        _, daemon = self.start_servers()
        self.expected.write_text(EXPECTED.replace("10 a0.test", "10 elsewhere.test"))
        done = bench("-s", f"mxway:{daemon.socket_path}", "-d", self.names, "--verify", self.expected)
        self.assertEqual(done.returncode, 1)
        self.assertIn("d0.test", done.stdout + done.stderr)
        self.assertIn("elsewhere.test", done.stdout + done.stderr)

    def test_targets_are_compared_and_conditions_set_the_exit_status(self):
        _, daemon = self.start_servers()
        both = ("-s", f"mxway:{daemon.socket_path},name=ours", "-s", "null", "-d", self.names, "-l", 0.3, "--runs", 2)
        good = bench(*both, "-o", "csv", "--assert", "rate>1,loss<=0%,errors<1")
        self.assertEqual(good.returncode, 0, good.stderr)
        rows = list(csv.DictReader(io.StringIO(good.stdout)))
        self.assertEqual(len(rows), 4)
        page = self.folder / "page.html"
        named = json.loads(bench(*both, "-o", "json", "--html", page).stdout)
        self.assertEqual([target["name"] for target in named["targets"]], ["ours", ""])
        self.assertIn("<h1>Lookups compared: ours and null</h1>", page.read_text())
        bad = bench(*both, "--assert", "rate>1000000000")
        self.assertEqual(bad.returncode, 1)
        self.assertIn("wanted", bad.stdout + bad.stderr)
        self.assertIn("Ratios", bad.stdout)

    def test_a_null_server_answers_as_much_as_the_mxway_target_before_it(self):
        _, daemon = self.start_servers()
        short, long = f"mxway:{daemon.socket_path}", f"mxway:{daemon.socket_path},depth=addresses"
        targets = [part for target in (short, "null", long, "null", "null,reply=900") for part in ("-s", target)]
        done = bench(*targets, "-d", self.names, "-n", 3, "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        octets = [target["runs"][0]["reply_bytes"] / target["runs"][0]["completed"]
                  for target in json.loads(done.stdout)["targets"]]
        self.assertGreater(octets[2], octets[0] + 20)
        for null, expected in ((1, octets[0]), (3, octets[2]), (4, 900)):
            self.assertAlmostEqual(octets[null], expected, delta=3)

    def test_a_server_that_dies_leaves_partial_results(self):
        _, daemon = self.start_servers()
        command = [MXWAY_BENCH, "-s", f"mxway:{daemon.socket_path}", "-d", self.names, "-l", "60", "-q", "4"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watchdog = threading.Timer(3 * PATIENCE_S, child.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        daemon.wait_counter("requests", 1000)
        daemon.kill()
        output, errors = child.communicate()
        self.assertEqual(child.returncode, 1, errors)
        self.assertIn("completed", output)
        self.assertIn(str(daemon.socket_path), output + errors)

    def test_an_interrupt_still_prints_what_was_measured(self):
        _, daemon = self.start_servers()
        command = [MXWAY_BENCH, "-s", f"mxway:{daemon.socket_path}", "-d", self.names, "-l", "60"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watchdog = threading.Timer(3 * PATIENCE_S, child.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        daemon.wait_counter("requests", 1000)
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate()
        self.assertEqual(child.returncode, 130, errors)
        self.assertIn("completed", output)

    def test_what_cannot_be_measured_is_named(self):
        empty = self.folder / "empty"
        empty.write_text("# nothing\n\n")
        broken = self.folder / "broken"
        broken.write_text("good.test\nbad.test NOTYPE\n")
        closed = f"127.0.0.1:{free_port()}"
        rows = [
            (("-s", f"mxway:{self.folder}/none.sock", "-d", self.names), 1, "none.sock"),
            (("-s", f"dns:{closed},tcp", "-d", self.names), 1, closed),
            (("-s", "null", "-d", empty), None, "empty"),
            (("-s", "null", "-d", broken), None, "broken:2"),
            (("-s", "null", "-d", self.folder / "absent"), None, "absent"),
            (("-s", "what:ever", "-d", self.names), 64, "what"),
            (("-s", "null", "--gen", "zipf:n=0"), 64, "n"),
            (("-s", "null", "-d", self.names, "--assert", "p98<1ms"), 64, "p98"),
            (("--bogus",), 64, "bogus"),
        ]
        for arguments, status, name in rows:
            with self.subTest(name):
                done = bench(*arguments)
                self.assertIn(done.returncode, (1, 64) if status is None else (status,), done.stderr)
                self.assertIn(name, done.stderr)


if __name__ == "__main__":
    unittest.main()
