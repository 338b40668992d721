"""mxway-upstream, the simulated DNS server, run by a test and asked by hand.

Environment: MXWAY_UPSTREAM is the program.
"""
import ipaddress
import os
import re
import socket
import struct

import dnswire
from harness import ROOT, Process, wait_until

MXWAY_UPSTREAM = os.environ.get("MXWAY_UPSTREAM", str(ROOT / "build/dev/bench/upstream/mxway-upstream"))


class Answer:
    """A reply taken apart; names are lower-case text, records (owner, type, ttl, value)."""

    def __init__(self, message):
        self.message = message
        self.id, self.flags, questions, *counts, additional = struct.unpack("!6H", message[:12])
        self.rcode, self.truncated = self.flags & 0xF, bool(self.flags & dnswire.TC)
        self.question, at = None, 12
        if questions:
            name, at = self._name(at)
            self.question = (name, *struct.unpack("!HH", message[at : at + 4]))
            at += 4
        sections = []
        for count in (*counts, additional):
            records = []
            for _ in range(count):
                record, at = self._record(at)
                records.append(record)
            sections.append(records)
        if at != len(message):
            raise ValueError("octets behind the message")
        self.answers, self.authority, self.additional = sections
        self.has_opt = any(record[1] == "OPT" for record in self.additional)

    def _name(self, at):
        labels, end = [], None
        for _ in range(300):
            length = self.message[at]
            if length >= 0xC0:
                end = end or at + 2
                target = struct.unpack("!H", self.message[at : at + 2])[0] & 0x3FFF
                if target >= at:
                    raise ValueError("a pointer that does not go back")
                at = target
            elif length == 0:
                return ".".join(labels) or ".", end or at + 1
            else:
                labels.append(self.message[at + 1 : at + 1 + length].decode("latin-1").lower())
                at += 1 + length
        raise ValueError("a name without an end")

    def _record(self, at):
        owner, at = self._name(at)
        number, _, ttl, length = struct.unpack("!HHIH", self.message[at : at + 10])
        at += 10
        rdata = self.message[at : at + length]
        type_ = dnswire.TYPE_NAMES.get(number, str(number))
        if type_ == "MX":
            value = f"{struct.unpack('!H', rdata[:2])[0]} {self._name(at + 2)[0]}"
        elif type_ in ("CNAME", "NS"):
            value = self._name(at)[0]
        elif type_ in ("A", "AAAA"):
            value = str(ipaddress.ip_address(rdata))
        elif type_ == "TXT":
            value = rdata[1 : 1 + rdata[0]].decode()
        else:
            value = None
        return (owner, type_, ttl, value), at + length


def build_query(name, type_, *, identity=7, edns=0, klass="IN"):
    number = dnswire.TYPES[type_] if isinstance(type_, str) else type_
    message = struct.pack("!6H", identity, dnswire.RD, 1, 0, 0, int(edns > 0)) + dnswire.pack_name(name)
    message += struct.pack("!HH", number, dnswire.CLASSES[klass])
    return message + (b"\0" + struct.pack("!HHIH", dnswire.TYPES["OPT"], edns, 0, 0) if edns else b"")


class SimulatedUpstream(Process):
    def __init__(self, folder, *arguments, log="simulated.log"):
        super().__init__([MXWAY_UPSTREAM, *arguments], folder / log)
        wait_until(lambda: "listening on" in self.output() or not self.is_running(), "mxway-upstream listens")
        self.addresses = re.findall(r"^listening on (\S+)$", self.output(), re.M)
        self.port = int(self.addresses[0].rsplit(":", 1)[1])

    @property
    def address(self):
        return self.addresses[0]

    def exchange(self, message, timeout_s=20.0, host="127.0.0.1", port=None):
        """The octets that come back over UDP, None without any."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect((host, port or self.port))
            sock.send(message)
            try:
                return sock.recv(65535)
            except TimeoutError:
                return None

    def ask(self, name, type_="MX", **options):
        return Answer(self.exchange(build_query(name, type_, **options)))

    def ask_tcp(self, *messages):
        with socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            sock.sendall(b"".join(struct.pack("!H", len(message)) + message for message in messages))
            return [Answer(read_frame(sock)) for _ in messages]

    def counter(self, name):
        found = self.ask(name + ".counter", "TXT", klass="CH").answers
        return int(found[0][3]) if found else None


def read_frame(sock):
    def read(count):
        data = b""
        while len(data) < count:
            more = sock.recv(count - len(data))
            if not more:
                raise AssertionError("the connection has ended within a message")
            data += more
        return data

    return read(struct.unpack("!H", read(2))[0])
