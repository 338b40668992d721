"""A scripted upstream: a DNS server on loopback that does what no real one does on request.

It answers from a zone in the test (as a recursive server would: CNAME chains followed,
NXDOMAIN and NODATA with an SOA), unless `on()` says otherwise for a name and a type.
Every query is logged, so that a test can say how many a lookup may cost.
"""
import heapq
import itertools
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import dnswire
from dnswire import NOERROR, NXDOMAIN, TC, Record, build_reply, canonical, parse_query, parse_records


@dataclass(frozen=True)
class Reply:
    """What to do with one query. The default is the answer from the zone."""

    records: Optional[str] = None  # the answer section as text; None: from the zone
    authority: Optional[str] = None
    additional: str = ""
    rcode: Optional[int] = None  # with nothing in the sections but what is given here
    delay_s: float = 0.0
    held: bool = False  # until Upstream.release()
    silent: bool = False
    truncated: bool = False  # TC set and one record at most; over TCP it is ignored
    mutate: Optional[Callable[[bytes], bytes]] = None  # the message to what is sent
    copies: int = 1
    question: Optional[bytes] = None  # another question section
    hang_up: bool = False  # TCP: close instead of answering

    def is_scripted(self):
        return self.records is not None or self.rcode is not None or self.authority is not None


FROM_ZONE = Reply()
SILENT = Reply(silent=True)


def rcode(number):
    return Reply(rcode=number)


class Upstream:
    """edns: "echo" (reply with OPT), "ignore" (reply without), "formerr" (FORMERR to a query with OPT)."""

    def __init__(self, zone="", *, soa=(3600, 900), default=FROM_ZONE, edns="echo", tcp=True, chase=True):
        self.soa_ttl, self.soa_minimum = soa
        self.default = default
        self.edns = edns
        self.chase = chase
        self._records = {}
        self._names = set()
        self._scripts = {}
        self._log = []
        self._held = []
        self._changed = threading.Condition()
        self._timers = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._stopping = False
        self._bind(tcp)
        self.add(zone)
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._thread.start()

    # ---- programming ----

    def add(self, text):
        """Adds records to the zone."""
        with self._changed:
            for record in parse_records(text):
                self._records.setdefault((record.name, record.type), []).append(record)
                parts = record.name.split(".")
                self._names.update(".".join(parts[i:]) for i in range(len(parts)))

    def clear(self):
        """Forgets the zone and every script, not the log."""
        with self._changed:
            self._records.clear()
            self._names.clear()
            self._scripts.clear()

    def on(self, name, type_, *replies, tcp: Optional[Reply] = None):
        """Answers queries for `name` and `type_` with `replies` in turn, the last one for ever;
        over TCP with `tcp` where given."""
        with self._changed:
            self._scripts[(canonical(name), type_)] = (list(replies), tcp)

    def release(self):
        """Sends every held reply and holds none any more."""
        with self._changed:
            due, self._held = self._held, None
        for send in due or []:
            self._call_in(0, send)

    # ---- asking what happened ----

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def log(self):
        with self._changed:
            return list(self._log)

    def count(self, name=None, type_=None):
        name = canonical(name) if name else None
        return sum(1 for q in self.log() if name in (None, q.name) and type_ in (None, q.type))

    def wait_for(self, name, type_, count=1, timeout_s=10.0):
        """Waits until `count` queries for a name and a type have come."""
        wanted = canonical(name)

        def arrived():
            return sum(1 for q in self._log if (q.name, q.type) == (wanted, type_)) >= count

        with self._changed:
            if not self._changed.wait_for(arrived, timeout_s):
                raise AssertionError(f"no {count} queries for {name} {type_} in {timeout_s} s: {self._log}")

    def stop(self):
        """Ends it: nothing listens on its port any more. A second call does nothing."""
        if self._stopping:
            return
        self._stopping = True
        self._wake()
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._tcp.close()
        self._wake_out.close()
        self._selector.close()

    # ---- sockets ----

    def _bind(self, tcp):
        for _ in range(100):
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._udp.bind(("127.0.0.1", 0))
            self.port = self._udp.getsockname()[1]
            # Bound either way: without TCP nobody else's server may sit on the port.
            self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self._tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self._udp.close()
                self._tcp.close()
        else:
            raise AssertionError("no free port for UDP and TCP")
        if tcp:
            self._tcp.listen(64)
        for sock, handler in ((self._udp, self._on_udp), (self._wake_in, self._on_wake)):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, handler)
        if tcp:
            self._tcp.setblocking(False)
            self._selector.register(self._tcp, selectors.EVENT_READ, self._on_accept)

    def _run(self):
        while not self._stopping:
            with self._changed:
                due_s = self._timers[0][0] if self._timers else None
            timeout = None if due_s is None else max(0.0, due_s - time.monotonic())
            for key, _ in self._selector.select(timeout):
                key.data(key.fileobj)
            while True:
                with self._changed:
                    if not self._timers or self._timers[0][0] > time.monotonic():
                        break
                    _, _, function = heapq.heappop(self._timers)
                function()

    def _wake(self):
        try:
            self._wake_out.send(b"x")
        except OSError:
            pass

    def _on_wake(self, sock):
        sock.recv(4096)

    def _call_in(self, delay_s, function):
        with self._changed:
            heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), function))
        self._wake()

    def _on_udp(self, sock):
        while True:
            try:
                data, address = sock.recvfrom(65535)
            except BlockingIOError:
                return

            def send(message, address=address):
                try:
                    sock.sendto(message, address)
                except OSError:
                    pass  # The asker has closed its socket.

            self._on_message(data, "udp", address[1], send, lambda: None)

    def _on_accept(self, sock):
        connection, address = sock.accept()
        connection.setblocking(False)
        buffer = bytearray()
        self._selector.register(
            connection, selectors.EVENT_READ, lambda c: self._on_stream(c, buffer, address[1])
        )

    def _on_stream(self, connection, buffer, port):
        try:
            data = connection.recv(65535)
        except OSError:
            data = b""
        if not data:
            self._hang_up(connection)
            return
        buffer += data
        while len(buffer) >= 2:
            (length,) = struct.unpack("!H", buffer[:2])
            if len(buffer) < 2 + length:
                return
            message = bytes(buffer[2 : 2 + length])
            del buffer[: 2 + length]

            def send(reply):
                try:
                    connection.setblocking(True)
                    connection.sendall(struct.pack("!H", len(reply)) + reply)
                    connection.setblocking(False)
                except OSError:
                    pass

            self._on_message(message, "tcp", port, send, lambda: self._hang_up(connection))

    def _hang_up(self, connection):
        try:
            self._selector.unregister(connection)
        except (KeyError, ValueError):
            return  # Closed already, for another query on it.
        connection.close()

    # ---- answering ----

    def _on_message(self, data, transport, port, send, hang_up):
        try:
            query = parse_query(data, transport, port)
        except (ValueError, IndexError, struct.error):
            return
        with self._changed:
            self._log.append(query)
            reply = self._script_for(query)
            self._changed.notify_all()
        if reply.hang_up:
            hang_up()
            return
        if reply.silent:
            return
        message = self._build(query, reply)

        def deliver():
            for _ in range(reply.copies):
                send(message)

        if reply.held:
            with self._changed:
                if self._held is not None:
                    self._held.append(deliver)
                    return
        if reply.delay_s:
            self._call_in(reply.delay_s, deliver)
        else:
            deliver()

    def _script_for(self, query):
        replies, tcp = self._scripts.get((query.name, query.type), ([self.default], None))
        if query.transport == "tcp" and tcp:
            return tcp
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def _build(self, query, reply):
        if self.edns == "formerr" and query.edns_size:
            return build_reply(query, rcode=dnswire.FORMERR)
        if reply.is_scripted():
            code = reply.rcode or NOERROR
            answers, authority = parse_records(reply.records or ""), parse_records(reply.authority or "")
        else:
            code, answers, authority = self._from_zone(query)
        flags, opt = 0, bool(query.edns_size) and self.edns == "echo"
        additional = parse_records(reply.additional)
        if reply.truncated and query.transport == "udp":
            flags, answers, authority = TC, answers[:1], []

        def build():
            return build_reply(
                query, rcode=code, flags=flags, answers=answers, authority=authority,
                additional=additional, opt=opt, question=reply.question,
            )

        message = build()
        if query.transport == "udp" and len(message) > max(512, query.edns_size):
            flags, answers, authority, additional = TC, [], [], []
            message = build()
        return reply.mutate(message) if reply.mutate else message

    def _from_zone(self, query):
        """What a recursive server would say: rcode, answer and authority section."""
        answers: list[Record] = []
        name, seen = query.name, set()
        while True:
            found: Sequence[Record] = self._records.get((name, query.type), [])
            if found:
                return NOERROR, answers + list(found), []
            alias = self._records.get((name, "CNAME"), [])
            if not alias or name in seen:
                break
            seen.add(name)
            answers += alias
            name = canonical(alias[0].value)
            if not self.chase:
                return NOERROR, answers, []
        if alias:
            return NOERROR, answers, []  # A loop: what there is of the chain.
        code = NOERROR if name in self._names else NXDOMAIN
        zone = name.rsplit(".", 1)[-1]
        soa = Record(zone, self.soa_ttl, "SOA", f"ns.{zone} root.{zone} 1 7200 900 1209600 {self.soa_minimum}")
        return code, answers, [soa]
