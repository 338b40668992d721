"""The control socket, the commands of mxway that use it, and snapshots."""
import json
import os
import shutil
import socket
import stat
import subprocess
import unittest
from pathlib import Path

from harness import MXWAY_TOOL, FlowTest, run_tool, wait_until
from protocol import ADDRESSES, frame, pack_field, read_varint, unpack_fields
from upstream import Reply

EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_IOERR, EX_NOPERM = 64, 65, 69, 74, 77

ZONE = """
d.test 300 MX 10 a.test
d.test 300 MX 20 b.test
e.test 300 MX 10 a.test
e.test 300 MX 20 b.test
x.d.test 300 MX 10 c.test
notd.test 300 MX 10 c.test
f.test 300 MX 10 b.test
a.test 600 A 192.0.2.1
a.test 600 AAAA 2001:db8::1
b.test 600 A 192.0.2.2
c.test 600 A 192.0.2.3
web.test 300 A 192.0.2.4
null.test 300 MX 0 .
alias.test 300 CNAME d.test
brief.test 2 MX 10 a.test
"""


class Control:
    """A connection to the control socket, by hand."""

    def __init__(self, path, timeout_s=20.0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self._buffer = b""

    def close(self):
        self.socket.close()

    def send(self, identity, command, body=b""):
        self.socket.sendall(frame(pack_field(1, identity) + pack_field(command, body)))

    def receive(self):
        """The next reply as a dict of fields, or None at the end."""
        while True:
            try:
                length, offset = read_varint(self._buffer, 0)
                if len(self._buffer) >= offset + length:
                    body = self._buffer[offset : offset + length]
                    self._buffer = self._buffer[offset + length :]
                    return dict(unpack_fields(body))
            except IndexError:
                pass
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self._buffer += data


# Field numbers of ControlRequest; the result has the next one in ControlReply.
STATS, SHOW, PURGE, DUMP, LOAD = 2, 3, 4, 5, 6
ERROR = 2
HEADER = 36  # octets of a dump before its first record


def purged(domains, hosts):
    """What a daemon that shares nothing says of a purge."""
    return {"domains": domains, "hosts": hosts, "shared": "off", "shared_error": ""}


class ControlTest(FlowTest):
    def start(self, zone=ZONE, **options):
        self.upstream = self.start_upstream(zone)
        self.daemon = self.start_daemon(self.upstream, **options)
        self.client = self.connect(self.daemon)

    def control(self, daemon=None):
        control = Control((daemon or self.daemon).control_path)
        self.addCleanup(control.close)
        return control

    def run_command(self, *words, daemon=None, status=0, **options):
        command, *rest = words
        done = run_tool(command, "--socket", (daemon or self.daemon).control_path, *rest, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def command(self, *words, daemon=None, status=0):
        done = self.run_command(words[0], "--json", *words[1:], daemon=daemon, status=status)
        return json.loads(done.stdout)

    def warm(self, *domains, verdict="ROUTE"):
        for domain in domains:
            self.assertEqual(self.client.ask(domain, depth=ADDRESSES).verdict, verdict, domain)

    def check_from_memory(self, domain, verdict="ROUTE", client=None):
        before = self.upstream.count()
        reply = (client or self.client).ask(domain, depth=ADDRESSES)
        self.assertEqual((reply.verdict, reply.source), (verdict, "MEMORY"), domain)
        self.assertEqual(self.upstream.count(), before)
        return reply

    def check_is_asked_for(self, domain, *, mx, addresses):
        """Whether the next question costs an MX query, and so many queries for addresses."""
        before, before_mx = self.upstream.count(), self.upstream.count(domain, "MX")
        self.client.ask(domain, depth=ADDRESSES)
        asked_mx = self.upstream.count(domain, "MX") - before_mx
        self.assertEqual(asked_mx, mx, domain)
        self.assertEqual(self.upstream.count() - before - asked_mx, addresses, domain)


class Stats(ControlTest):
    def test_every_counter_is_there_with_its_meaning(self):
        self.start()
        self.warm("d.test", "e.test")
        self.warm("d.test")
        counters = self.daemon.counters()
        stats = self.command("stats")
        self.assertEqual(stats["counters"], counters)
        self.assertEqual((stats["domains"], stats["sets"], stats["hosts"]), (2, 1, 2))
        self.assertGreater(stats["bytes"], 0)
        self.assertEqual(stats["cache_size"], 64 << 20)
        text = self.run_command("stats").stdout
        for name in counters:
            self.assertRegex(text, rf"(?m)^{name} +\d+  \w")
        self.assertIn(stats["version"], text)


class Show(ControlTest):
    def test_it_tells_what_memory_holds_and_asks_nobody(self):
        self.start()
        self.warm("d.test", "e.test", "alias.test")
        before = self.upstream.count()
        shown = self.command("show", "D.Test.")
        self.assertEqual(shown["domain"], "d.test")
        self.assertEqual((shown["fact"], shown["cause"], shown["failures"]), ("mx", "", 0))
        self.assertIn(shown["left"], range(290, 301))
        self.assertEqual([e["host"] for e in shown["exchanges"]], ["a.test", "b.test"])
        self.assertEqual([e["preference"] for e in shown["exchanges"]], [10, 20])
        first, second = shown["exchanges"]
        self.assertEqual(first["v6"]["addresses"], ["2001:db8::1"])
        self.assertEqual(first["v4"]["addresses"], ["192.0.2.1"])
        self.assertIn(first["v4"]["left"], range(590, 601))
        self.assertEqual((second["v6"]["state"], second["v6"]["addresses"]), ("nodata", []))
        self.assertEqual(shown["sharing_count"], 2)
        self.assertEqual(sorted(shown["sharing"]), ["alias.test", "e.test"])
        self.assertIsNone(shown["lookup"])
        self.assertEqual(self.command("show", "alias.test")["canonical"], "d.test")
        self.assertEqual(self.upstream.count(), before)
        text = self.run_command("show", "d.test").stdout
        for piece in ("has MX records", "a.test", "2001:db8::1", "2 other domains", "e.test"):
            self.assertIn(piece, text)

    def test_every_kind_of_fact_has_its_word(self):
        self.start()
        self.upstream.on("broken.test", "MX", Reply(rcode=2))
        self.upstream.on("odd.test", "MX", Reply(records=r"odd.test 300 MX 10 bad\032name.test"))
        for domain, verdict, fact in [
            ("null.test", "NULL_MX", "null_mx"),
            ("web.test", "ROUTE", "nodata"),
            ("none.test", "NO_SUCH_DOMAIN", "nxdomain"),
            ("broken.test", "DNS_SERVFAIL", "failed"),
        ]:
            with self.subTest(domain):
                self.warm(domain, verdict=verdict)
                shown = self.command("show", domain)
                self.assertEqual(shown["fact"], fact)
                self.assertEqual(shown["cause"], verdict if fact == "failed" else "")
                self.run_command("show", domain)

    def test_a_domain_of_which_nothing_is_known_is_status_1(self):
        self.start()
        self.assertEqual(self.command("show", "d.test", status=1)["fact"], "none")
        self.assertEqual(self.upstream.count(), 0)

    def test_a_lookup_under_way_is_shown(self):
        self.start()
        self.upstream.on("d.test", "MX", Reply(held=True))
        for _ in range(3):
            self.client.send("d.test")
        self.upstream.wait_for("d.test", "MX")
        wait_until(lambda: (self.command("show", "d.test", status=1)["lookup"] or {}).get("waiting") == 3, "3 wait")
        self.upstream.release()
        self.client.receive_many(3)
        self.assertIsNone(self.command("show", "d.test")["lookup"])

    def test_what_is_no_domain_is_refused_with_the_reason(self):
        self.start()
        for text, reason in (("a b", "space"), ("a..test", "empty"), ("[192.0.2.1]", "literal"), ("\x1b[2J.test", "control")):
            done = self.run_command("show", text, status=EX_DATAERR)
            self.assertIn(reason, done.stderr)
            self.assertNotIn("\x1b", done.stderr)


class Purge(ControlTest):
    def test_a_domain_goes_with_the_addresses_of_its_exchanges(self):
        self.start()
        self.warm("d.test", "e.test", "notd.test")
        self.assertEqual(self.command("purge", "D.test", "unknown.test"), purged(1, 2))
        self.assertEqual(self.command("show", "d.test", status=1)["fact"], "none")
        self.check_is_asked_for("d.test", mx=1, addresses=4)
        self.check_from_memory("e.test")
        self.check_from_memory("notd.test")

    def test_a_domain_that_shares_the_exchanges_asks_for_their_addresses_alone(self):
        self.start()
        self.warm("d.test", "e.test")
        self.command("purge", "d.test")
        self.check_is_asked_for("e.test", mx=0, addresses=4)

    def test_a_suffix_takes_itself_and_what_is_below_it(self):
        self.start()
        self.warm("d.test", "x.d.test", "e.test", "notd.test")
        self.assertEqual(self.command("purge", "--suffix", "d.test"), purged(2, 3))
        self.check_is_asked_for("x.d.test", mx=1, addresses=2)
        self.check_from_memory("notd.test")
        self.assertEqual(self.command("purge", "--suffix", ".test")["domains"], 3)

    def test_an_exchange_takes_every_domain_that_names_it(self):
        self.start()
        self.warm("d.test", "e.test", "f.test", "x.d.test")
        self.assertEqual(self.command("purge", "--exchange", "A.test"), purged(2, 1))
        self.check_is_asked_for("d.test", mx=1, addresses=2)  # b.test was not meant
        self.check_from_memory("f.test")
        self.check_from_memory("x.d.test")

    def test_denials_and_failures_go_alone(self):
        self.start()
        self.upstream.on("broken.test", "MX", Reply(rcode=2))
        self.warm("d.test")
        self.warm("none.test", verdict="NO_SUCH_DOMAIN")
        self.warm("null.test", verdict="NULL_MX")
        self.warm("broken.test", verdict="DNS_SERVFAIL")
        self.assertEqual(self.command("purge", "--failures"), purged(1, 0))
        self.assertEqual(self.command("purge", "--negative"), purged(1, 1))
        asked = self.upstream.count("broken.test", "MX")
        self.client.ask("broken.test")
        self.assertGreater(self.upstream.count("broken.test", "MX"), asked)
        self.check_from_memory("null.test", "NULL_MX")
        self.check_is_asked_for("none.test", mx=1, addresses=0)
        self.check_is_asked_for("d.test", mx=0, addresses=1)  # that b.test has no AAAA

    def test_all_leaves_nothing(self):
        self.start()
        self.warm("d.test", "e.test", "x.d.test")
        self.assertEqual(self.command("purge", "--all"), purged(3, 3))
        stats = self.command("stats")
        self.assertEqual((stats["domains"], stats["sets"], stats["hosts"]), (0, 0, 0))
        self.check_is_asked_for("d.test", mx=1, addresses=4)

    def test_a_configured_route_is_no_memory_and_stays(self):
        config = self.folder / "routes.conf"
        config.write_text('route "r.test" = "a.test 10"\n')
        self.start(config=config)
        self.assertEqual(self.client.ask("r.test", depth=ADDRESSES).source, "OVERRIDE")
        self.assertEqual(self.command("purge", "--all"), purged(0, 1))
        self.assertEqual(self.client.ask("r.test").source, "OVERRIDE")
        self.check_is_asked_for("r.test", mx=0, addresses=2)

    def test_what_a_lookup_under_way_brings_is_delivered_and_not_kept(self):
        for words in (["d.test"], ["--suffix", "test"], ["--exchange", "a.test"], ["--all"]):
            with self.subTest(words):
                self.start()
                self.upstream.on("d.test", "MX", Reply(held=True))
                for _ in range(2):
                    self.client.send("d.test")
                self.upstream.wait_for("d.test", "MX")
                self.command("purge", *words)
                self.upstream.release()
                replies = self.client.receive_many(2).values()
                self.assertEqual({(r.verdict, r.ttl) for r in replies}, {("ROUTE", 300)})
                self.assertEqual(self.command("show", "d.test", status=1)["fact"], "none")
                self.assertEqual(self.client.ask("d.test").source, "DNS")
                self.assertEqual(self.client.ask("d.test").source, "MEMORY")
                self.upstream.stop()
                self.assertEqual(self.daemon.stop(), 0)

    def test_addresses_under_way_are_delivered_and_not_kept(self):
        self.start()
        self.warm("f.test")
        self.upstream.on("a.test", "A", Reply(held=True))
        self.client.send("d.test", depth=ADDRESSES)
        self.upstream.wait_for("a.test", "A")
        self.command("purge", "--exchange", "a.test")
        self.upstream.release()
        reply = self.client.receive()
        self.assertEqual(reply.exchanges[0].addresses, ["2001:db8::1", "192.0.2.1"])
        self.check_is_asked_for("e.test", mx=1, addresses=2)

    def test_an_order_is_followed_as_a_whole_or_not_at_all(self):
        self.start()
        self.warm("d.test")
        done = self.run_command("purge", "d.test", "a..test", status=EX_DATAERR)
        self.assertIn("a..test", done.stderr)
        self.check_from_memory("d.test")

    def test_more_names_than_fit_into_a_request_are_purged(self):
        self.start()
        self.warm("d.test", "e.test")
        names = [f"{n}.{'n' * 60}.test" for n in range(1500)]
        self.assertEqual(self.command("purge", "d.test", *names, "e.test")["domains"], 2)


class DumpAndLoad(ControlTest):
    def dump(self):
        path = self.folder / "dump"
        self.run_command("dump", path)
        return path

    def start_second(self):
        """A daemon that has nobody to ask."""
        silent = self.start_upstream()
        other = self.start_daemon(
            silent, listen=self.folder / "2.sock", control=self.folder / "2c.sock", log="2.log", query_timeout=50,
            query_tries=1,
        )
        return other, self.connect(other)

    def test_another_daemon_answers_from_what_was_dumped(self):
        self.start()
        self.warm("d.test", "e.test", "alias.test", "web.test", "x.d.test")
        self.warm("null.test", verdict="NULL_MX")
        self.warm("none.test", verdict="NO_SUCH_DOMAIN")
        expected = {d: self.client.ask(d, depth=ADDRESSES) for d in ("d.test", "alias.test", "web.test", "none.test")}
        path = self.dump()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        other, client = self.start_second()
        loaded = self.command("load", path, daemon=other)
        self.assertEqual(loaded, {"domains": 7, "hosts": 4, "expired": 0, "older": 0, "future": 0, "unused": 0, "stale": 0})
        for domain, reply in expected.items():
            with self.subTest(domain):
                again = client.ask(domain, depth=ADDRESSES)
                self.assertEqual((again.verdict, again.source), (reply.verdict, "MEMORY"))
                self.assertEqual(again.canonical, reply.canonical)
                self.assertEqual(
                    [(e.host, e.preference, sorted(e.addresses)) for e in again.exchanges],
                    [(e.host, e.preference, sorted(e.addresses)) for e in reply.exchanges],
                )
                self.assertLessEqual(again.ttl, reply.ttl + 1)
                self.assertGreater(again.ttl, reply.ttl - 30)
        self.assertEqual(self.command("load", path, daemon=other)["older"], 11)

    def test_failures_are_not_dumped(self):
        self.start()
        self.upstream.on("broken.test", "MX", Reply(rcode=2))
        self.warm("broken.test", verdict="DNS_SERVFAIL")
        other, _ = self.start_second()
        self.assertEqual(self.command("load", self.dump(), daemon=other)["domains"], 0)

    def load_after_expiry(self, **options):
        self.start(**options)
        self.warm("brief.test", "d.test")
        path = self.dump()
        shown = ("show", "--socket", self.daemon.control_path, "--json", "brief.test")
        wait_until(lambda: json.loads(run_tool(*shown).stdout)["left"] <= 0, "brief.test expires")
        self.command("purge", "--all")
        return self.command("load", path)

    def test_what_expires_in_the_file_is_loaded_for_stale_answers(self):
        loaded = self.load_after_expiry()
        self.assertEqual((loaded["domains"], loaded["stale"], loaded["expired"]), (2, 1, 0))
        self.check_is_asked_for("brief.test", mx=1, addresses=0)

    def test_what_expires_in_the_file_is_skipped_where_no_answer_may_be_stale(self):
        loaded = self.load_after_expiry(max_stale=0)
        self.assertEqual((loaded["domains"], loaded["stale"], loaded["expired"]), (1, 0, 1))

    def test_what_was_loaded_is_renewed_before_it_expires(self):
        self.start("d.test 6 MX 10 a.test\na.test 600 A 192.0.2.1\n", prefetch=50)
        self.warm("d.test")
        path = self.dump()
        self.command("purge", "--all")
        self.assertEqual(self.command("load", path)["domains"], 1)

        def is_renewed():
            reply = self.client.ask("d.test", depth=ADDRESSES)
            self.assertEqual((reply.verdict, reply.source, reply.stale), ("ROUTE", "MEMORY", False))
            return self.upstream.count("d.test", "MX") >= 2

        wait_until(is_renewed, "a refresh", 20.0)

    def test_a_dump_travels_through_pipes(self):
        self.start()
        self.warm("d.test")
        path = self.folder / "piped"
        with open(path, "wb") as out:
            subprocess.run([MXWAY_TOOL, "dump", "--socket", self.daemon.control_path], stdout=out, check=True)
            self.command("purge", "--all")
        with open(path, "rb") as data:
            subprocess.run([MXWAY_TOOL, "load", "--socket", self.daemon.control_path, "-"], stdin=data, check=True)
        self.check_from_memory("d.test")

    def test_a_broken_file_is_refused_with_the_record_and_nothing_else_breaks(self):
        self.start()
        self.warm("d.test", "e.test", "x.d.test")
        good = self.dump().read_bytes()
        broken = self.folder / "broken"
        second = HEADER + 12 + int.from_bytes(good[HEADER : HEADER + 4], "little")
        for name, data, message in [
            ("no dump", b"hello, world\n" * 1000, "no dump of mxway"),
            ("empty", b"", "cut off"),
            ("of a newer version", good[:8] + b"\x09" + good[9:], "of a newer version"),
            ("of an older version", good[:8] + b"\x01" + good[9:], "of an older version"),
            ("changed", good[: second + 20] + bytes([good[second + 20] ^ 1]) + good[second + 21 :], "record 2"),
            ("cut", good[: second + 9], "record 2: it is cut off"),
            ("without its end", good[:-21], "cut off"),
            ("with something behind", good + b"x", "follows the end"),
            ("random", os.urandom(300000), "no dump of mxway"),
            ("random behind the header", good[:HEADER] + os.urandom(300000), "record 1"),
        ]:
            with self.subTest(name):
                broken.write_bytes(data)
                done = self.run_command("load", broken, status=EX_DATAERR)
                self.assertIn(message, done.stderr)
                self.assertIn(str(broken), done.stderr)
        self.check_from_memory("d.test")
        self.assertEqual(self.command("load", self.folder / "dump")["older"], 6)

    def test_many_domains_are_dumped_and_loaded_while_lookups_are_answered(self):
        zone = "".join(f"n{n}.test 3600 MX 10 mx{n % 50}.test\n" for n in range(20000))
        self.start(zone + "".join(f"mx{n}.test 3600 A 192.0.2.{n}\n" for n in range(50)))
        for start in range(0, 20000, 1000):
            for n in range(start, start + 1000):
                self.client.send(f"n{n}.test", id=n)
            self.client.receive_many(1000)
        # A reader that takes a piece now and then: nothing waits for it, and nothing is held for it.
        slow = self.control()
        slow.send(1, DUMP)
        size = self.daemon.resident_bytes()
        self.check_is_answered("n1.test")
        path = self.dump()
        self.assertLess(self.daemon.resident_bytes() - size, 4 << 20)
        other, client = self.start_second()
        self.assertEqual(self.command("load", path, daemon=other)["domains"], 20000)
        for n in (0, 777, 19999):
            self.assertEqual(client.ask(f"n{n}.test").source, "MEMORY")
        domains, reply = 0, slow.receive()
        while not dict(unpack_fields(reply[DUMP + 1])).get(2):
            slow.send(2, DUMP)
            reply = slow.receive()
        self.assertEqual(dict(unpack_fields(reply[DUMP + 1]))[3], 20000)
        # What is purged is freed soon, though only a part at a time.
        size = self.command("stats", daemon=other)["bytes"]
        self.assertEqual(self.command("purge", "--all", daemon=other)["domains"], 20000)
        wait_until(lambda: self.command("stats", daemon=other)["bytes"] < size / 2, "the memory is free")

    def check_is_answered(self, domain):
        self.assertEqual(self.client.ask(domain).source, "MEMORY")

    def test_a_file_that_cannot_be_opened_is_named(self):
        self.start()
        self.assertIn("/none/", self.run_command("dump", "/none/dump", status=EX_IOERR).stderr)
        self.assertIn("/none/", self.run_command("load", "/none/dump", status=EX_IOERR).stderr)


class Snapshot(ControlTest):
    def test_a_daemon_that_starts_again_knows_what_it_knew(self):
        path = self.folder / "snapshot"
        self.start(snapshot_file=path, snapshot_interval=0)
        self.warm("d.test")
        self.warm("none.test", verdict="NO_SUCH_DOMAIN")
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertFalse(Path(f"{path}.new").exists())
        self.daemon = self.start_daemon(self.upstream, snapshot_file=path, snapshot_interval=0, log="2.log")
        self.client = self.connect(self.daemon)
        self.check_from_memory("d.test")
        self.check_from_memory("none.test", "NO_SUCH_DOMAIN")
        wait_until(lambda: "2 domains" in self.daemon.output(), "what is known is logged")

    def test_it_is_written_while_the_daemon_runs(self):
        path = self.folder / "snapshot"
        self.start(snapshot_file=path, snapshot_interval=1)
        self.warm("d.test")
        # Two files later one is there that was begun after the question.
        wait_until(lambda: path.exists() and b"d.test" in path.read_bytes(), "a snapshot with d.test")
        self.daemon.kill()
        self.daemon = self.start_daemon(self.upstream, snapshot_file=path, log="2.log")
        self.client = self.connect(self.daemon)
        self.check_from_memory("d.test")

    def test_a_daemon_killed_while_it_writes_leaves_the_old_file(self):
        path = self.folder / "snapshot"
        self.start(snapshot_file=path, snapshot_interval=0)
        self.warm("d.test")
        self.daemon.stop()
        old = path.read_bytes()
        # The new file is a pipe that nobody reads: the writing stops in the middle.
        os.mkfifo(f"{path}.new")
        self.daemon = self.start_daemon(self.upstream, snapshot_file=path, snapshot_interval=1, log="2.log")
        self.client = self.connect(self.daemon)
        self.warm("e.test")

        def is_writing():
            return "snapshot" in {
                (task / "comm").read_text().strip() for task in Path(f"/proc/{self.daemon.pid}/task").iterdir()
            }

        wait_until(is_writing, "the daemon writes a snapshot")
        self.check_from_memory("e.test")  # and serves meanwhile
        self.daemon.kill()
        self.assertEqual(path.read_bytes(), old)
        os.unlink(f"{path}.new")
        self.daemon = self.start_daemon(self.upstream, snapshot_file=path, log="3.log")
        self.client = self.connect(self.daemon)
        self.check_from_memory("d.test")

    def test_a_broken_one_is_logged_with_the_record_and_never_fatal(self):
        path = self.folder / "snapshot"
        self.start(snapshot_file=path, snapshot_interval=0)
        self.warm("d.test", "e.test", "x.d.test")
        self.daemon.stop()
        good = path.read_bytes()
        second = HEADER + 12 + int.from_bytes(good[HEADER : HEADER + 4], "little")
        for name, data, message in [
            ("garbage", b"\0" * 5000, "no dump"),
            ("cut", good[: second + 5], "record 2"),
            ("changed", good[: second + 15] + bytes([good[second + 15] ^ 16]) + good[second + 16 :], "record 2"),
        ]:
            with self.subTest(name):
                path.write_bytes(data)
                daemon = self.start_daemon(
                    self.upstream, snapshot_file=path, snapshot_interval=0, log=f"{name}.log"
                )
                wait_until(lambda: message in daemon.output(), "the broken record is logged")
                self.assertEqual(self.connect(daemon).ask("d.test").verdict, "ROUTE")
                self.assertEqual(daemon.stop(), 0)

    def test_a_folder_that_is_not_there_is_logged_at_the_start(self):
        self.start(snapshot_file=self.folder / "none" / "snapshot")
        wait_until(lambda: "none" in self.daemon.output(), "the missing folder is logged")
        self.warm("d.test")


class Socket(ControlTest):
    def test_only_its_owner_may_open_it_unless_configured(self):
        self.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.daemon.control_path).st_mode), 0o600)
        other = self.start_daemon(
            self.upstream, listen=self.folder / "2", control=self.folder / "2c", control_mode="0660", log="2.log"
        )
        self.assertEqual(stat.S_IMODE(os.stat(other.control_path).st_mode), 0o660)

    def test_it_is_removed_at_the_end(self):
        self.start()
        self.daemon.stop()
        self.assertFalse(os.path.exists(self.daemon.control_path))

    def test_without_one_lookups_are_answered(self):
        self.start(control="")
        self.warm("d.test")
        other = self.start_daemon(
            self.upstream, listen=self.folder / "2", control="/proc/none/c.sock", log="2.log"
        )
        wait_until(lambda: "/proc/none" in other.output(), "the socket is logged")
        self.assertEqual(self.connect(other).ask("d.test").verdict, "ROUTE")

    def test_no_daemon_and_wrong_sockets_are_told_apart(self):
        self.start()
        done = run_tool("stats", "--socket", self.folder / "none")
        self.assertEqual(done.returncode, EX_UNAVAILABLE)
        self.assertIn("is mxwayd running", done.stderr)
        done = run_tool("stats", "--socket", self.daemon.socket_path)
        self.assertEqual(done.returncode, EX_UNAVAILABLE)
        self.assertIn("control protocol", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_who_may_not_open_it_is_told_so(self):
        self.start()
        os.chmod(self.folder, 0o755)
        # Copies: the way to the build may be closed to others.
        shutil.copy(MXWAY_TOOL, self.folder / "mxway")
        for library in Path(MXWAY_TOOL).parent.glob("libmxway.so.*"):
            shutil.copy(library, self.folder / library.name)
        done = subprocess.run(
            [self.folder / "mxway", "stats", "--socket", self.daemon.control_path],
            env={**os.environ, "LD_LIBRARY_PATH": str(self.folder)},
            capture_output=True, text=True, user=65534, group=65534, extra_groups=[],
        )  # fmt: skip
        self.assertEqual(done.returncode, EX_NOPERM, done.stderr)
        self.assertIn("control-mode", done.stderr)

    def test_wrong_usage_names_the_help(self):
        for words in (["stats", "x"], ["stats", "--bad"], ["show"], ["show", "a.test", "b.test"], ["purge"],
                      ["purge", "--all", "a.test"], ["purge", "--all", "--negative"], ["purge", "--suffix"],
                      ["dump", "a", "b"], ["load", "a", "b"]):  # fmt: skip
            with self.subTest(words):
                done = run_tool(*words)
                self.assertEqual(done.returncode, EX_USAGE, done.stderr)
                self.assertIn("--help", done.stderr)

    def test_garbage_is_answered_with_a_sentence_or_the_end(self):
        self.start()
        for data in (b"\xff" * 100, frame(b"\xff\xff"), b"\x05\x08", frame(b"\x08"), frame(b"")):
            stranger = self.control()
            stranger.socket.sendall(data)
            stranger.socket.shutdown(socket.SHUT_WR)
            reply = stranger.receive()
            if reply is not None:
                self.assertIn(ERROR, reply)
                self.assertIsNone(stranger.receive())
        control = self.control()
        control.send(7, 15)  # a command of a newer protocol
        self.assertIn(b"newer", control.receive()[ERROR])
        control.send(8, PURGE, pack_field(1, 99))
        self.assertIn(b"newer", control.receive()[ERROR])
        control.send(9, STATS)
        self.assertEqual(control.receive()[1], 9)
        self.warm("d.test")

    def test_a_second_request_before_the_answer_is_refused(self):
        self.start()
        control = self.control()
        control.socket.sendall(
            frame(pack_field(1, 1) + pack_field(STATS, b"")) + frame(pack_field(1, 2) + pack_field(STATS, b""))
        )
        replies = {reply[1]: reply for reply in (control.receive(), control.receive())}
        self.assertIn(STATS + 1, replies[1])
        self.assertIn(b"under way", replies[2][ERROR])

    def test_clients_that_go_in_the_middle_leave_nothing_behind(self):
        self.start()
        self.warm("d.test", "e.test")
        for command, body in ((DUMP, b""), (LOAD, pack_field(1, b"mxwayimg")), (SHOW, pack_field(1, b"d.test")),
                              (PURGE, pack_field(1, 4))):  # fmt: skip
            control = self.control()
            control.send(1, command, body)
            control.close()
        self.assertEqual(self.command("stats")["domains"], 2)

    def test_more_clients_than_its_bound_are_turned_away(self):
        self.start()
        clients = [self.control() for _ in range(16)]
        for number, client in enumerate(clients):
            client.send(number + 1, STATS)
            self.assertEqual(client.receive()[1], number + 1)
        late = self.control()
        self.assertEqual(late.socket.recv(1), b"")
        clients[0].close()
        wait_until(lambda: run_tool("stats", "--socket", self.daemon.control_path).returncode == 0, "a place is free")


if __name__ == "__main__":
    unittest.main()
