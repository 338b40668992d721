"""What strangers send: each is answered or cut off, a counter moves, and nobody else notices."""
import random
import socket
import struct
import threading
import time
import unittest

from harness import INSTRUMENTED, SANITIZED, FlowTest, wait_until
from protocol import ADDRESSES, Client, frame, pack_field, pack_request, varint
from upstream import Reply

ZONE = "d.test 300 MX 10 a.test\n"
REQUEST_MAX = 64 * 1024
OUTSTANDING_MAX = 1024


class HostileTest(FlowTest):
    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(ZONE)
        self.daemon = self.start_daemon(self.upstream)
        self.bystander = self.connect(self.daemon)
        self.assert_served()

    def assert_served(self, within_ms=None):
        """A client that was there before, and a new one, are answered."""
        reply, took_ms = self.bystander.ask_timed("d.test")
        self.assertEqual((reply.verdict, reply.hosts), ("ROUTE", ["a.test"]))
        if within_ms is not None:
            self.assertLess(took_ms, within_ms)
        with self.daemon.client() as client:
            self.assertEqual(client.ask("d.test").verdict, "ROUTE")


class Framing(HostileTest):
    def test_where_framing_is_lost_the_connection_is_closed(self):
        for name, data in [
            ("a length over the bound", varint(REQUEST_MAX + 1)),
            ("a length over the bound, with a body", varint(REQUEST_MAX + 1) + b"x" * 100),
            ("a length of 4 GiB", varint(2**32 - 1)),
            ("a varint that does not end", b"\xff" * 5),
            ("a varint of 64 bits", varint(2**64 - 1)),
            ("a good request, then a broken length", frame(pack_request(id=1, domain="d.test")) + b"\xff" * 8),
        ]:
            with self.subTest(name):
                before = self.daemon.counters()["connections-broken"]
                client = self.connect(self.daemon)
                client.send_bytes(data)
                replies = []
                while (reply := client.receive()) is not None:
                    replies.append(reply.verdict)
                self.assertIn(replies, ([], ["ROUTE"]))
                self.assertEqual(self.daemon.counters()["connections-broken"], before + 1)
                self.assert_served()

    def test_the_largest_request_is_still_a_request(self):
        # An unknown field fills the frame up to its last octet.
        body = pack_request(id=5, domain="d.test")
        body += varint(100 << 3 | 2) + varint(REQUEST_MAX - len(body) - 5) + b"x" * (REQUEST_MAX - len(body) - 5)
        self.assertEqual(len(body), REQUEST_MAX)
        client = self.connect(self.daemon)
        client.send_bytes(frame(body))
        reply = client.receive()
        self.assertEqual((reply.id, reply.verdict), (5, "ROUTE"))

    def test_half_a_frame_is_waited_for_and_forgotten_with_its_connection(self):
        whole = frame(pack_request(id=9, domain="d.test"))
        for cut in range(len(whole)):
            client = self.daemon.client()
            client.send_bytes(whole[:cut])
            client.close()
        client = self.connect(self.daemon)
        client.send_bytes(whole[:7])
        self.assert_served()
        client.send_bytes(whole[7:])
        self.assertEqual(client.receive().id, 9)

    def test_octet_by_octet_is_slow_but_right(self):
        client = self.connect(self.daemon)
        for identity in (1, 2):
            for octet in frame(pack_request(id=identity, domain="d.test")):
                client.send_bytes(bytes([octet]))
                self.bystander.ask("d.test")
            reply = client.receive()
            self.assertEqual((reply.id, reply.verdict), (identity, "ROUTE"))

    def test_half_closed_connections_get_their_answers(self):
        client = self.connect(self.daemon)
        for identity in range(1, 51):
            client.send("d.test", id=identity)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(set(client.receive_many(50)), set(range(1, 51)))
        self.assertIsNone(client.receive())

    def test_noise_harms_nobody(self):
        noise = random.Random(2)  # The same noise in every run.
        for _ in range(200):
            client = self.daemon.client()
            try:
                client.send_bytes(noise.randbytes(noise.randrange(1, 3000)))
            except OSError:
                pass  # Already cut off.
            client.close()
        self.assert_served()

    def test_noise_in_good_frames_is_answered_or_cut_off(self):
        noise = random.Random(3)
        before = self.daemon.counters()
        client, closed = self.connect(self.daemon), 0
        for _ in range(300):
            client.send_bytes(frame(noise.randbytes(noise.randrange(0, 60))))
            if client.receive() is None:
                closed += 1
                client = self.connect(self.daemon)
        after = self.daemon.counters()
        self.assertEqual(after["connections-broken"] - before["connections-broken"], closed)
        self.assertGreater(after["requests-bad"], before["requests-bad"])
        self.assert_served()


class Requests(HostileTest):
    def assert_bad(self, body, identity):
        before = self.daemon.counters()["requests-bad"]
        client = self.connect(self.daemon)
        client.send_bytes(frame(body))
        reply = client.receive()
        self.assertIsNotNone(reply, "the connection was closed")
        self.assertEqual((reply.id, reply.verdict, reply.smtp_code), (identity, "BAD_REQUEST", 501), reply)
        self.assertTrue(reply.detail)
        # The connection stays.
        self.assertEqual(client.ask("d.test").verdict, "ROUTE")
        self.assertEqual(self.daemon.counters()["requests-bad"], before + 1)

    def test_malformed_messages_are_answered_with_the_id_that_could_be_read(self):
        head = pack_field(1, 7)
        for name, tail in [
            ("a field runs over the end", varint(2 << 3 | 2) + varint(50) + b"d.test"),
            ("a key without a value", varint(2 << 3 | 2)),
            ("a varint breaks off", varint(3 << 3) + b"\xff"),
            ("a wire type that does not exist", bytes([2 << 3 | 7])),
            ("a group that never ends", bytes([15 << 3 | 3])),
            ("field number 0", b"\x02\x01x"),
        ]:
            with self.subTest(name):
                self.assert_bad(head + tail, 7)

    def test_a_request_without_a_domain_has_no_name(self):
        for name, body, identity in [("an empty frame", b"", 0), ("an id alone", pack_request(id=8), 8)]:
            with self.subTest(name):
                client = self.connect(self.daemon)
                client.send_bytes(frame(body))
                reply = client.receive()
                self.assertEqual((reply.id, reply.verdict, reply.smtp_code), (identity, "INVALID_NAME", 501))

    def test_what_is_not_known_or_makes_no_sense_is_refused_not_ignored(self):
        for name, options in [
            ("security depth", {"depth": 2}),
            ("an unknown depth", {"depth": 77}),
            ("a key", {"order_key": b"k"}),
            ("an unknown family", {"family": 99}),
            ("an unknown order", {"order": 3}),
            ("a keyed order without a key", {"order": 2}),
            ("a name of the sender that is none", {"self_names": ["mx.test", "my..test"]}),
            ("an address of the sender of 5 octets", {"self_addresses": [b"\x7f\0\0\1\1"]}),
            ("something to exclude that is none", {"exclude": ["a b"]}),
            ("too many names", {"exclude": [f"h{i}.test" for i in range(65)]}),
            ("too long a key", {"order": 2, "order_key": b"k" * 5000}),
        ]:
            with self.subTest(name):
                self.assert_bad(pack_request(id=11, domain="d.test", **options), 11)

    def test_no_stale_refuses_no_fresh_route(self):
        self.assertEqual(self.bystander.ask("d.test", no_stale=True).verdict, "ROUTE")

    def test_unknown_fields_are_ignored(self):
        unknown = [
            pack_field(99, 12345),
            pack_field(1000, b"text"),
            varint(101 << 3 | 1) + b"8 octets",
            varint(102 << 3 | 5) + b"four",
        ]
        for number, extra in enumerate(unknown):
            for body in (extra + pack_request(id=4, domain="d.test"), pack_request(id=4, domain="d.test") + extra):
                with self.subTest(number):
                    client = self.connect(self.daemon)
                    client.send_bytes(frame(body))
                    reply = client.receive()
                    self.assertEqual((reply.id, reply.verdict), (4, "ROUTE"))

    def test_the_last_of_a_repeated_field_counts(self):
        client = self.connect(self.daemon)
        client.send_bytes(frame(pack_request(id=1, domain="no.such.test") + pack_request(id=2, domain="d.test")))
        reply = client.receive()
        self.assertEqual((reply.id, reply.verdict), (2, "ROUTE"))

    def test_every_id_comes_back(self):
        for identity in (0, 1, 2**31, 2**32 + 1, 2**63, 2**64 - 1):
            self.assertEqual(self.bystander.ask("d.test", id=identity).id, identity)

    def test_octets_that_are_in_no_name_are_an_invalid_name(self):
        before = self.daemon.counters()["requests-invalid-name"]
        names = [b"a\0b.test", b"\0", b"\xff\xfe.test", b"d.test\0", b"a b.test", b"d.test\n", b"a\x7f.test", b"@.test"]
        names += [b"x" * 60000, b"." * 300, b"a." * 30000]
        for name in names:
            with self.subTest(name[:20]):
                reply = self.bystander.ask(name, id=77)
                self.assertEqual((reply.id, reply.verdict, reply.smtp_code), (77, "INVALID_NAME", 501))
                self.assertTrue(reply.detail)
        self.assertEqual(self.daemon.counters()["requests-invalid-name"], before + len(names))
        self.assertEqual(self.upstream.count(), 1)


class Floods(HostileTest):
    def test_a_client_that_never_reads_costs_bounded_memory(self):
        zone = "".join(f"big.test 300 MX 10 exchange-{i}-of-a-long-list.example.test\n" for i in range(30))
        self.upstream.add(zone)
        self.bystander.ask("big.test")
        self.bystander.ask("d.test", depth=ADDRESSES)
        before = self.daemon.resident_bytes()
        burst = frame(pack_request(id=1, domain="big.test")) * 2000
        deaf = [self.connect(self.daemon) for _ in range(4)]
        sent = [0] * len(deaf)
        for client in deaf:
            client.socket.setblocking(False)
        # Sends until nothing more is taken from any of them, for 300 ms.
        progress_s = time.monotonic()
        while time.monotonic() - progress_s < 0.3 and sum(sent) < 400 << 20:
            for index, client in enumerate(deaf):
                try:
                    # A short send breaks a frame: what is left goes first the next time.
                    start = sent[index] % len(burst)
                    sent[index] += client.socket.send(burst[start:])
                    progress_s = time.monotonic()
                except BlockingIOError:
                    pass
        self.assertLess(sum(sent), 400 << 20, "the daemon goes on reading")
        self.assert_served(within_ms=2000.0 if INSTRUMENTED else 200.0)
        # AddressSanitizer keeps freed memory for a while.
        bound = (200 << 20) if SANITIZED else (20 << 20)
        self.assertLess(self.daemon.resident_bytes() - before, bound)
        self.assertGreaterEqual(self.daemon.counters()["connections-paused"], len(deaf))
        for client in deaf:
            client.close()
        self.assert_served()

    def test_a_client_that_reads_late_gets_everything(self):
        count = 20_000
        client = self.connect(self.daemon)
        sender = threading.Thread(
            target=lambda: client.send_bytes(b"".join(frame(pack_request(id=i, domain="d.test")) for i in range(count)))
        )
        sender.start()
        self.daemon.wait_counter("connections-paused", 1)
        replies = client.receive_many(count)
        sender.join()
        self.assertEqual({reply.verdict for reply in replies.values()}, {"ROUTE"})

    def test_more_misses_than_may_be_outstanding_are_all_answered(self):
        self.upstream.add("".join(f"n{i}.test 300 MX 10 a.test\n" for i in range(3 * OUTSTANDING_MAX)))
        client = self.connect(self.daemon)
        sender = threading.Thread(
            target=lambda: [client.send(f"n{i}.test", id=i) for i in range(3 * OUTSTANDING_MAX)]
        )
        sender.start()
        replies = client.receive_many(3 * OUTSTANDING_MAX)
        sender.join()
        self.assertEqual({reply.verdict for reply in replies.values()}, {"ROUTE"})

    def test_a_thousand_connections_opened_and_dropped(self):
        before = self.daemon.counters()["connections"]
        for number in range(1000):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.connect(self.daemon.socket_path)
            if number % 2:
                sock.send(frame(pack_request(id=1, domain="d.test")))
            if number % 3 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.assert_served()
        self.assertGreaterEqual(self.daemon.wait_counter("connections", before + 1000)["connections"], before + 1000)

    def test_answers_for_clients_that_are_gone_are_dropped(self):
        self.upstream.on("late.test", "MX", Reply(records="late.test 300 MX 10 a.test", held=True))
        clients = [self.daemon.client() for _ in range(50)]
        for client in clients:
            client.send("late.test")
        self.daemon.wait_counter("misses", 50)
        for client in clients:
            client.close()
        self.assert_served()
        self.upstream.release()
        wait_until(
            lambda: self.bystander.ask("late.test", cache_only=True).verdict == "ROUTE", "the lookup ends all the same"
        )
        self.assertEqual(self.daemon.wait_counter("answers-late", 50)["answers-late"], 50)

    def test_over_max_connections_new_clients_are_turned_away(self):
        daemon = self.start_daemon(
            self.upstream, max_connections=3, listen=self.folder / "few.sock", log="few.log"
        )
        clients = [self.connect(daemon) for _ in range(3)]
        for client in clients:
            self.assertEqual(client.ask("d.test").verdict, "ROUTE")
        refused = Client(daemon.socket_path)
        self.addCleanup(refused.close)
        self.assertIsNone(refused.receive())
        self.assertGreaterEqual(daemon.counters()["connections-refused"], 1)
        clients.pop().close()

        def accepted():
            with Client(daemon.socket_path) as client:
                try:
                    return client.ask("d.test").verdict == "ROUTE"
                except (AssertionError, OSError):
                    return False

        wait_until(accepted, "room for a client again")
        for client in clients:
            self.assertEqual(client.ask("d.test").verdict, "ROUTE")


if __name__ == "__main__":
    unittest.main()
