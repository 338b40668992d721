"""mxway-upstream: its zones, its faults, its counters, what harms it not, and mxwayd in front of it."""
import os
import random
import signal
import socket
import struct
import subprocess
import time
import unittest

import dnswire
from harness import INSTRUMENTED, SANITIZER_REPORT, FlowTest, json_lines, run_tool, wait_until
from simulated import MXWAY_UPSTREAM, Answer, SimulatedUpstream, build_query, read_frame

ZONE = """\
$ORIGIN test.
$TTL 300
@        SOA   ns root ( 1 7200 900 1209600 600 )
d        MX    10 a
d        MX    20 bad\\032name
a    600 A     192.0.2.1
a    600 AAAA  2001:db8::1
alias 60 CNAME d
gone     CNAME nowhere
loop     CNAME loop
*.wild   MX    10 a
text     TXT   "some \\"words\\"" more
both     MX    10 a
null     MX    0 .
bare     A     192.0.2.2
""" + "".join(f"big MX 10 host-{i}.some.long.name.test.\n" for i in range(40))


class SimulatedUpstreamTest(FlowTest):
    def start(self, *arguments, zone=None):
        if zone is not None:
            (self.folder / "test.zone").write_text(zone)
            arguments = ("--zone", self.folder / "test.zone", *arguments)
        server = SimulatedUpstream(self.folder, *arguments)
        self.addCleanup(self.end, server)
        return server

    def end(self, server):
        self.assertTrue(server.is_running(), f"mxway-upstream has ended:\n{server.output()}")
        status = server.stop()
        self.assertIsNone(SANITIZER_REPORT.search(server.output()), server.output())
        self.assertEqual(status, 0, server.output())


class Zones(SimulatedUpstreamTest):
    def test_a_master_file_is_answered(self):
        server = self.start(zone=ZONE)
        for name, type_, rcode, values in [
            ("d.test", "MX", 0, ["10 a.test", "20 bad name.test"]),
            ("D.TeSt", "MX", 0, ["10 a.test", "20 bad name.test"]),
            ("a.test", "A", 0, ["192.0.2.1"]),
            ("a.test", "AAAA", 0, ["2001:db8::1"]),
            ("alias.test", "MX", 0, ["d.test", "10 a.test", "20 bad name.test"]),
            ("alias.test", "CNAME", 0, ["d.test"]),
            ("x.y.wild.test", "MX", 0, ["10 a.test"]),
            ("null.test", "MX", 0, ["0 ."]),
            ("text.test", "TXT", 0, ['some "words"']),
            ("d.test", "A", 0, []),
            ("none.test", "A", 3, []),
            ("gone.test", "MX", 3, ["nowhere.test"]),
            ("other.example", "A", 5, []),
        ]:
            with self.subTest(name=name, type=type_):
                answer = server.ask(name, type_)
                self.assertEqual((answer.rcode, [record[3] for record in answer.answers]), (rcode, values))
                denied = rcode == 3 or (rcode == 0 and not values)
                self.assertEqual([record[:2] for record in answer.authority], [("test", "SOA")] if denied else [])
                self.assertEqual(answer.question[0], name.lower())
                self.assertFalse(answer.has_opt)

    def test_a_loop_of_aliases_ends(self):
        answer = self.start(zone=ZONE).ask("loop.test")
        self.assertEqual(answer.rcode, 0)
        self.assertLessEqual(len(answer.answers), 16)

    def test_the_question_comes_back_in_its_own_spelling(self):
        message = self.start(zone=ZONE).exchange(build_query("D.tEsT", "MX"))
        self.assertIn(b"\x01D\x04tEsT\0", message)

    def test_the_generated_zone_depends_on_the_seed_only(self):
        def answers(*arguments):
            server = SimulatedUpstream(self.folder, *arguments, log=f"{len(arguments)}-{arguments[-1:]}.log")
            try:
                names = [f"{letter}{i}.bench.test" for i in range(60) for letter in "dun"]
                return [server.ask(name, type_).message for name in names for type_ in ("MX", "A", "AAAA")]
            finally:
                server.stop()

        first = answers()
        self.assertEqual(first, answers("--seed", "1"))
        self.assertNotEqual(first, answers("--seed", "2"))

    def test_ttl_overrides(self):
        server = self.start("--ttl", "77")
        records = [record for i in range(30) for record in server.ask(f"d{i}.bench.test").answers]
        self.assertEqual({record[2] for record in records}, {77})
        self.assertEqual(server.ask("n1.bench.test").authority[0][2], 77)

    def test_ipv6_and_several_addresses(self):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError:
                self.skipTest("no IPv6 on this machine")
        server = self.start("-l", "127.0.0.1", "-l", "[::1]:0")
        self.assertEqual(len(server.addresses), 2)
        port = int(server.addresses[1].rsplit(":", 1)[1])
        message = server.exchange(build_query("d1.bench.test", "A"), host="::1", port=port)
        self.assertEqual(len(Answer(message).answers), 1)


class Sizes(SimulatedUpstreamTest):
    def test_what_does_not_fit_is_truncated_and_whole_over_tcp(self):
        server = self.start(zone=ZONE)
        small = server.ask("big.test")
        self.assertEqual((small.truncated, small.answers, small.has_opt), (True, [], False))
        middle = server.ask("big.test", edns=600)
        self.assertEqual((middle.truncated, middle.answers, middle.has_opt), (True, [], True))
        self.assertLessEqual(len(middle.message), 600)
        large = server.ask("big.test", edns=4096)
        self.assertEqual((large.truncated, len(large.answers), large.has_opt), (False, 40, True))
        (whole,) = server.ask_tcp(build_query("big.test", "MX"))
        self.assertEqual((whole.truncated, len(whole.answers)), (False, 40))
        self.assertEqual(server.counter("tcp"), 1)

    def test_one_connection_carries_many_queries(self):
        server = self.start(zone=ZONE)
        answers = server.ask_tcp(*(build_query("a.test", "A", identity=i) for i in range(500)))
        self.assertEqual([answer.id for answer in answers], list(range(500)))


class Faults(SimulatedUpstreamTest):
    def test_codes(self):
        rules = {"servfail": 2, "refused": 5, "notimp": 4, "formerr": 1}
        arguments = [part for name in rules for part in ("--fault", f"{name}.bench.test={name}")]
        server = self.start(*arguments)
        for name, code in rules.items():
            answer = server.ask(f"{name}.bench.test", edns=1232)
            self.assertEqual((answer.rcode, answer.answers), (code, []))
        self.assertEqual(server.ask("d1.bench.test").rcode, 0)

    def test_a_rule_is_for_its_names_and_its_type(self):
        server = self.start("--fault", "D*.bench.test/A=servfail", "--fault", "d1.bench.test=none")
        self.assertEqual(server.ask("d5.bench.test", "A").rcode, 2)
        self.assertEqual(server.ask("d5.bench.test", "MX").rcode, 0)
        self.assertEqual(server.ask("d1.bench.test", "A").rcode, 0)
        self.assertEqual(server.ask("ns.bench.test", "A").rcode, 0)

    def test_tc_is_for_udp_only(self):
        server = self.start("--fault", "d.test=tc", zone=ZONE)
        answer = server.ask("d.test", edns=1232)
        self.assertEqual((answer.truncated, answer.answers), (True, []))
        (whole,) = server.ask_tcp(build_query("d.test", "MX"))
        self.assertEqual((whole.truncated, len(whole.answers)), (False, 2))

    def test_broken_messages(self):
        server = self.start(
            "--fault", "garbage.test=garbage", "--fault", "d.test=truncate", "--fault", "both.test=wrong-id",
            "--fault", "null.test=wrong-question", zone=ZONE,
        )
        garbage = server.exchange(build_query("garbage.test", "MX", identity=0x1234))
        self.assertEqual((garbage[:2], garbage[2] & 0x80), (b"\x12\x34", 0x80))
        self.assertRaises((ValueError, IndexError, struct.error), Answer, garbage)
        self.assertRaises((ValueError, IndexError, struct.error), Answer, server.exchange(build_query("d.test", "MX")))
        self.assertNotEqual(server.ask("both.test", identity=5).id, 5)
        self.assertNotEqual(server.ask("null.test").question[0], "null.test")

    def test_no_edns_is_formerr_until_asked_without(self):
        server = self.start("--fault", "*=no-edns", zone=ZONE)
        refused = server.ask("d.test", edns=1232)
        self.assertEqual((refused.rcode, refused.has_opt), (1, False))
        self.assertEqual(len(server.ask("d.test").answers), 2)

    def test_silence_and_loss(self):
        server = self.start("--fault", "a.test=silent", "--fault", "d.test=loss=0.5", "--seed", "3", zone=ZONE)
        self.assertIsNone(server.exchange(build_query("a.test", "A"), timeout_s=0.3))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", server.port))
            sock.settimeout(0.5)
            for identity in range(200):
                sock.send(build_query("d.test", "MX", identity=identity))
            answered = []
            try:
                while True:
                    answered.append(Answer(sock.recv(4096)).id)
            except TimeoutError:
                pass
        self.assertTrue(60 < len(answered) < 140, len(answered))
        self.assertEqual(server.counter("lost"), 200 - len(answered))
        self.assertEqual(server.counter("d.test.mx"), 200)

    def test_a_delay_delays_nobody_else(self):
        server = self.start("--fault", "d.test=delay=400", "--fault", "both.test=delay=exp:5", zone=ZONE)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", server.port))
            sock.settimeout(20)
            start = time.monotonic()
            sock.send(build_query("d.test", "MX", identity=1))
            sock.send(build_query("a.test", "A", identity=2))
            self.assertEqual(Answer(sock.recv(4096)).id, 2)
            self.assertEqual(Answer(sock.recv(4096)).id, 1)
            self.assertGreaterEqual(time.monotonic() - start, 0.4)
        self.assertEqual(len(server.ask("both.test").answers), 1)
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            for name, identity in (("d.test", 3), ("null.test", 4)):
                message = build_query(name, "MX", identity=identity)
                sock.sendall(struct.pack("!H", len(message)) + message)
            self.assertEqual([Answer(read_frame(sock)).id for _ in range(2)], [4, 3])

    def test_a_connection_that_has_gone_gets_no_late_answer(self):
        server = self.start("--delay", "200", zone=ZONE)
        message = build_query("d.test", "MX")
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
                sock.sendall(struct.pack("!H", len(message)) + message)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.3)
        self.assertEqual(len(server.ask("d.test").answers), 2)


class Counters(SimulatedUpstreamTest):
    def test_counters_are_read_by_queries_that_are_not_counted(self):
        server = self.start(zone=ZONE)
        for name, type_ in [("d.test", "MX"), ("D.test", "MX"), ("d.test", "A"), ("a.test", "A"), ("a.test", 99)]:
            server.ask(name, type_)
        for counter, value in [
            ("total", 5), ("udp", 5), ("tcp", 0), ("mx", 2), ("a", 2), ("other", 1), ("d.test.mx", 2),
            ("d.test.a", 1), ("d.test.total", 3), ("d.test.aaaa", 0), ("none.test.total", 0), ("pairs", 4),
        ]:
            self.assertEqual(server.counter(counter), value, counter)
        self.assertIsNone(server.counter("nonsense"))
        self.assertIsNone(server.counter("d.test.nonsense"))
        self.assertEqual(server.counter("reset"), 0)
        self.assertEqual([server.counter("total"), server.counter("d.test.mx")], [0, 0])

    def test_many_names_are_counted_one_by_one(self):
        server = self.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", server.port))
            sock.settimeout(20)
            for i in range(10000):
                sock.send(build_query(f"d{i}.bench.test", "MX"))
                sock.recv(4096)
        self.assertEqual(server.counter("pairs"), 10000)
        self.assertEqual({server.counter(f"d{i}.bench.test.mx") for i in range(0, 10000, 100)}, {1})

    def test_a_signal_and_the_end_print_all(self):
        server = self.start("--fault", "d*=servfail")
        server.ask("d1.bench.test")
        os.kill(server.pid, signal.SIGUSR1)
        wait_until(lambda: "fault d*=servfail 1\n" in server.output(), "counters")
        self.assertIn("counter total 1\n", server.output())
        server.ask("d2.bench.test", "A")
        self.assertEqual(server.stop(), 0)
        self.assertIn("counter total 2\n", server.output())
        self.assertIn("fault d*=servfail 2\n", server.output())
        server.is_running = lambda: True  # It was to end.


class BadInput(SimulatedUpstreamTest):
    def test_garbage_does_no_harm(self):
        server = self.start(zone=ZONE)
        rng = random.Random(20240607)
        good = build_query("d.test", "MX", edns=1232)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", server.port))
            for _ in range(500 if INSTRUMENTED else 3000):
                message = bytearray(good if rng.random() < 0.7 else rng.randbytes(rng.randrange(0, 600)))
                for _ in range(rng.randrange(0, 6)):
                    if message:
                        message[rng.randrange(len(message))] = rng.randrange(256)
                sock.send(bytes(message[: rng.randrange(len(message) + 1)] if rng.random() < 0.3 else message))
            sock.send(bytes(60000))
        self.assertEqual(len(server.ask("d.test").answers), 2)
        self.assertGreater(server.counter("malformed"), 0)

    def test_what_is_no_query_gets_the_right_code_or_none(self):
        server = self.start(zone=ZONE)
        query = build_query("d.test", "MX")
        self.assertIsNone(server.exchange(query[:11], timeout_s=0.2))
        self.assertIsNone(server.exchange(query[:2] + b"\x81\x80" + query[4:], timeout_s=0.2))
        for message, code in [
            (query[:2] + b"\x28\x00" + query[4:], 4),  # opcode UPDATE
            (query[:4] + b"\0\2" + query[6:], 1),
            (query + b"x", 1),
            (query[:12] + b"\xc0\x0c" + query[-4:], 1),
            (query[:-2] + b"\0\4", 5),  # class HESIOD
            (query[:-4] + b"\0\xff\0\1", 4),  # type ANY
        ]:
            self.assertEqual(server.exchange(message)[3] & 0xF, code)

    def test_half_messages_over_tcp_do_no_harm(self):
        server = self.start(zone=ZONE)
        message = build_query("d.test", "MX")
        frame = struct.pack("!H", len(message)) + message
        rng = random.Random(1)
        held = []
        self.addCleanup(lambda: [sock.close() for sock in held])
        for i in range(60):
            sock = socket.create_connection(("127.0.0.1", server.port), 20)
            sock.sendall((frame * 3 + rng.randbytes(30))[: rng.randrange(1, len(frame) * 3)])
            held.append(sock)
            if i % 2:
                held.pop().close()
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            for octet in frame:
                sock.sendall(bytes([octet]))
            self.assertEqual(len(Answer(read_frame(sock)).answers), 2)
            sock.sendall(frame * 2 + frame[:5])
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual([len(Answer(read_frame(sock)).answers) for _ in range(2)], [2, 2])
            self.assertEqual(sock.recv(1), b"")

    def test_replies_that_nobody_reads_do_not_stop_the_others(self):
        server = self.start(zone=ZONE)
        message = build_query("big.test", "MX")
        frame = struct.pack("!H", len(message)) + message
        with socket.create_connection(("127.0.0.1", server.port)) as greedy:
            greedy.settimeout(0.5)
            try:
                while True:
                    greedy.sendall(frame * 1000)
            except TimeoutError:
                pass
            self.assertEqual(len(server.ask("d.test").answers), 2)

    def test_wrong_usage_is_explained(self):
        (self.folder / "bad.zone").write_text("a.test. A 192.0.2.1\nb.test. A nowhere\n")
        for arguments, status, sentence in [
            (["-l", "192.0.2.1:5300"], 64, "192.0.2.1:5300 is no loopback address"),
            (["-l", "0.0.0.0"], 64, "is no loopback address"),
            (["-l", "somewhere"], 64, "-l 'somewhere'"),
            (["--seed", "x"], 64, "--seed 'x'"),
            (["--sets", "0"], 64, "from 1 to 1000000"),
            (["--fault", "a.test"], 64, "'a.test' is no rule"),
            (["--fault", "a.test/PTR=silent"], 64, "'PTR' is no type"),
            (["--fault", "=silent"], 64, "without a pattern"),
            (["--fault", "*=burn"], 64, "'burn' is no fault"),
            (["--delay", "9-3"], 64, "'9-3' is no delay"),
            (["--loss", "2"], 64, "'2' is no share"),
            (["--nonsense"], 64, "mxway-upstream: unrecognized option"),
            (["words"], 64, "belong to no option"),
            (["--zone", str(self.folder / "bad.zone")], 66, "bad.zone:2: 'nowhere' is no IPv4 address"),
            (["--zone", str(self.folder / "no.zone")], 66, "No such file"),
            (["-l", "192.0.2.1:5300", "--any-address"], 69, "cannot listen on 192.0.2.1:5300"),
        ]:
            with self.subTest(arguments=arguments):
                done = subprocess.run([MXWAY_UPSTREAM, *arguments], capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(sentence, done.stderr)
                self.assertNotIn(MXWAY_UPSTREAM, done.stderr)

    def test_help_has_examples(self):
        done = subprocess.run([MXWAY_UPSTREAM, "--help"], capture_output=True, text=True, timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Examples:", done.stdout)


class WithTheDaemon(SimulatedUpstreamTest):
    def lookup(self, daemon, *domains):
        done = run_tool("lookup", "--socket", daemon.socket_path, "--json", "-", stdin="\n".join(domains) + "\n")
        return {found["domain"]: found for found in json_lines(done.stdout)}

    def test_routes_of_a_master_file(self):
        server = self.start("--fault", "slow.test=silent", zone=ZONE)
        routes = self.lookup(self.start_daemon(server), "both.test", "null.test", "bare.test", "none.test", "alias.test")
        self.assertEqual({name: found["verdict"] for name, found in routes.items()}, {
            "both.test": "ROUTE", "null.test": "NULL_MX", "bare.test": "ROUTE", "none.test": "NO_SUCH_DOMAIN",
            "alias.test": "ROUTE",
        })
        (exchange,) = routes["both.test"]["exchanges"]
        self.assertEqual((exchange["host"], sorted(exchange["addresses"])), ("a.test", ["192.0.2.1", "2001:db8::1"]))
        self.assertTrue(routes["bare.test"]["implicit"])

    def test_routes_of_the_generated_zone_are_what_the_zone_says(self):
        server = self.start()
        domains = [f"d{i}.bench.test" for i in range(300)] + [f"n{i}.bench.test" for i in range(10)]
        for domain, route in self.lookup(self.start_daemon(server), *domains).items():
            answer = server.ask(domain, edns=1232)
            values = sorted(record[3] for record in answer.answers)
            if answer.rcode == dnswire.NXDOMAIN:
                self.assertEqual(route["verdict"], "NO_SUCH_DOMAIN")
            elif values == ["0 ."]:
                self.assertEqual(route["verdict"], "NULL_MX")
            else:
                found = sorted(f"{item['preference']} {item['host']}" for item in route["exchanges"])
                self.assertEqual(found, values or [f"0 {domain}"])
                self.assertEqual({item["status"] for item in route["exchanges"]}, {"OK"})

    def test_faults_become_verdicts(self):
        # Garbage has another question as well: it is not taken for a reply at all.
        kinds = {
            "servfail": "DNS_SERVFAIL", "refused": "DNS_REFUSED", "silent": "DNS_TIMEOUT", "garbage": "DNS_TIMEOUT",
            "truncate": "DNS_MALFORMED", "wrong-id": "DNS_TIMEOUT", "tc": "ROUTE", "no-edns": "ROUTE",
        }
        zone = ZONE + "".join(f"{kind} MX 10 a\n" for kind in kinds)
        rules = [part for kind in kinds for part in ("--fault", f"{kind}.test/MX={kind}")]
        server = self.start(*rules, zone=zone)
        daemon = self.start_daemon(server, query_timeout=200, query_tries=2)
        routes = self.lookup(daemon, *(f"{kind}.test" for kind in kinds))
        self.assertEqual({name: found["verdict"] for name, found in routes.items()},
                         {f"{kind}.test": verdict for kind, verdict in kinds.items()})

    def test_a_second_lookup_asks_nothing(self):
        server = self.start(zone=ZONE)
        daemon = self.start_daemon(server)
        self.lookup(daemon, "both.test")
        before = server.counter("total")
        self.assertEqual(before, 3)
        self.lookup(daemon, "both.test", "BOTH.test.")
        self.assertEqual(server.counter("total"), before)


if __name__ == "__main__":
    unittest.main()
