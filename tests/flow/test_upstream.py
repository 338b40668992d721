"""The scripted upstream and the servers of the harness do what the other tests rely on."""
import socket
import struct
import unittest

import dnswire
from harness import FlowTest, dns_answers
from upstream import SILENT, Reply, rcode

ZONE = """
d.test 300 MX 10 a.test
d.test 300 MX 20 bad\\032name.test
a.test 600 A 192.0.2.1
a.test 600 AAAA 2001:db8::1
alias.test 60 CNAME d.test
"""


def query(name, type_, edns=False):
    message = struct.pack("!6H", 7, dnswire.RD, 1, 0, 0, int(edns)) + dnswire.pack_name(name)
    message += struct.pack("!HH", dnswire.TYPES[type_], 1)
    return message + (b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if edns else b"")


class ScriptedUpstream(FlowTest):
    def ask(self, upstream, name, type_, **options):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(query(name, type_, **options), ("127.0.0.1", upstream.port))
            return sock.recv(65535)

    def header(self, message):
        """rcode, TC, and the counts of answer, authority and additional records."""
        _, flags, _, *counts = struct.unpack("!6H", message[:12])
        return flags & 0xF, bool(flags & dnswire.TC), *counts

    def test_the_zone_answers_as_a_recursive_server(self):
        upstream = self.start_upstream(ZONE)
        for name, type_, expected in [
            ("d.test", "MX", (0, False, 2, 0, 0)),
            ("D.Test", "MX", (0, False, 2, 0, 0)),
            ("alias.test", "MX", (0, False, 3, 0, 0)),
            ("d.test", "A", (0, False, 0, 1, 0)),
            ("test", "A", (0, False, 0, 1, 0)),
            ("none.test", "A", (3, False, 0, 1, 0)),
        ]:
            with self.subTest(name=name, type=type_):
                self.assertEqual(self.header(self.ask(upstream, name, type_)), expected)
        self.assertEqual(upstream.count("d.test", "MX"), 2)
        self.assertEqual(upstream.count(), 6)

    def test_octets_that_are_no_host_name_go_out_as_they_are(self):
        upstream = self.start_upstream(ZONE)
        self.assertIn(b"\x08bad name\x04test\0", self.ask(upstream, "d.test", "MX"))

    def test_a_script_comes_before_the_zone_and_its_last_reply_stays(self):
        upstream = self.start_upstream(ZONE)
        upstream.on("d.test", "MX", rcode(dnswire.SERVFAIL), Reply(truncated=True))
        codes = [self.header(self.ask(upstream, "d.test", "MX"))[:3] for _ in range(3)]
        self.assertEqual(codes, [(2, False, 0), (0, True, 1), (0, True, 1)])

    def test_a_reply_over_the_size_the_asker_takes_is_truncated(self):
        upstream = self.start_upstream("".join(f"big.test 300 MX 10 host-{i}.example.test\n" for i in range(20)))
        self.assertEqual(self.header(self.ask(upstream, "big.test", "MX")), (0, True, 0, 0, 0))
        self.assertEqual(self.header(self.ask(upstream, "big.test", "MX", edns=True))[:3], (0, False, 20))

    def test_edns_can_be_refused(self):
        upstream = self.start_upstream(ZONE, edns="formerr")
        self.assertEqual(self.header(self.ask(upstream, "d.test", "MX", edns=True))[0], dnswire.FORMERR)
        self.assertEqual(self.header(self.ask(upstream, "d.test", "MX"))[0], dnswire.NOERROR)
        self.assertEqual([q.edns_size for q in upstream.log()], [1232, 0])

    def test_silence_and_holding_are_logged(self):
        upstream = self.start_upstream(ZONE)
        upstream.on("d.test", "MX", SILENT)
        upstream.on("a.test", "A", Reply(held=True))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(query("d.test", "MX"), ("127.0.0.1", upstream.port))
            sock.sendto(query("a.test", "A"), ("127.0.0.1", upstream.port))
            upstream.wait_for("d.test", "MX")
            upstream.wait_for("a.test", "A")
            sock.setblocking(False)
            with self.assertRaises(BlockingIOError):
                sock.recv(512)
            sock.settimeout(5)
            upstream.release()
            self.assertEqual(self.header(sock.recv(512))[:3], (0, False, 1))

    def test_tcp_serves_the_same_zone(self):
        upstream = self.start_upstream(ZONE)
        with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as sock:
            message = query("d.test", "MX")
            sock.sendall(struct.pack("!H", len(message)) + message)
            (length,) = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))
            self.assertEqual(self.header(sock.recv(length, socket.MSG_WAITALL))[:3], (0, False, 2))
        with self.assertRaises(ConnectionRefusedError):
            refusing = self.start_upstream(ZONE, tcp=False)
            socket.create_connection(("127.0.0.1", refusing.port), timeout=5)


class RealServers(FlowTest):
    def test_nsd_and_unbound_behind_it_answer_any_name(self):
        nsd = self.start_nsd(
            "d.test. 300 MX 10 a.test.\n",
            zones=[("own.test", "@ 60 SOA ns. root. 1 2 3 4 60\n@ 60 NS ns.\n")],
        )
        unbound = self.start_unbound(nsd)
        for server in (nsd, unbound):
            self.assertTrue(dns_answers(server.port, "d.test", "MX"))
            self.assertTrue(dns_answers(server.port, "own.test", "MX"))
            self.assertFalse(dns_answers(server.port, "none.test", "MX"))


if __name__ == "__main__":
    unittest.main()
