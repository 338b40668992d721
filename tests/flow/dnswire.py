"""DNS messages by hand: enough of RFC 1035 and RFC 6891 to play an upstream server.

Names are master-file text without the trailing dot; "." or "" is the root, and
`\\ddd` or `\\c` stands for an octet that cannot be written as itself.
"""
import ipaddress
import struct
from dataclasses import dataclass

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "DNAME": 39, "OPT": 41}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
CLASSES = {"IN": 1, "CH": 3}

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
QR, AA, TC, RD, RA, AD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020


def labels(name):
    """The labels of a name in master-file text, as bytes."""
    found, label, index = [], bytearray(), 0
    raw = name.encode("latin-1")
    while index < len(raw):
        octet = raw[index : index + 1]
        if octet == b"\\" and raw[index + 1 : index + 4].isdigit():
            label.append(int(raw[index + 1 : index + 4]))
            index += 4
            continue
        if octet == b"\\":
            index += 1
            octet = raw[index : index + 1]
        elif octet == b".":
            if label:
                found.append(bytes(label))
            label = bytearray()
            index += 1
            continue
        label += octet
        index += 1
    if label:
        found.append(bytes(label))
    return found


def canonical(name):
    return name.rstrip(".").lower() or "."


def pack_name(name):
    return b"".join(bytes([len(label)]) + label for label in labels(name)) + b"\0"


def unpack_name(message, offset):
    """The lower-case name at `offset` of an uncompressed question, and the offset behind it."""
    found = []
    while message[offset]:
        length = message[offset]
        if length > 63:
            raise ValueError("compressed name in a question")
        found.append(message[offset + 1 : offset + 1 + length].decode("latin-1").lower())
        offset += 1 + length
    return ".".join(found) or ".", offset + 1


@dataclass(frozen=True)
class Record:
    name: str
    ttl: int
    type: str
    value: str
    klass: str = "IN"

    def rdata(self):
        if self.type in ("A", "AAAA"):
            return ipaddress.ip_address(self.value).packed
        if self.type in ("CNAME", "DNAME", "NS"):
            return pack_name(self.value)
        if self.type == "MX":
            preference, host = self.value.split(" ", 1)
            return struct.pack("!H", int(preference)) + pack_name(host)
        if self.type == "SOA":
            mname, rname, *numbers = self.value.split()
            return pack_name(mname) + pack_name(rname) + struct.pack("!5I", *map(int, numbers))
        if self.type == "TXT":
            text = self.value.encode()
            return bytes([len(text)]) + text
        raise ValueError(f"no rdata for type {self.type}")

    def pack(self):
        rdata = self.rdata()
        return (
            pack_name(self.name)
            + struct.pack("!HHIH", TYPES[self.type], CLASSES[self.klass], self.ttl, len(rdata))
            + rdata
        )


def parse_records(text):
    """Records from lines `name ttl [class] type value`; blank lines and `;` lines are left out."""
    records = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith(";"):
            continue
        name, ttl, rest = line.split(None, 2)
        first, remainder = rest.split(None, 1)
        klass = "IN"
        if first in CLASSES:
            klass, (first, remainder) = first, remainder.split(None, 1)
        records.append(Record(canonical(name), int(ttl), first, remainder.strip(), klass))
    return records


@dataclass(frozen=True)
class Query:
    """A question as an upstream server saw it."""

    id: int
    name: str
    type: str
    transport: str  # "udp" or "tcp"
    edns_size: int  # 0 without an OPT record
    port: int  # of the asker
    question: bytes  # name, type and class as they came
    recursion_desired: bool


def parse_query(message, transport, port):
    identity, flags, questions, _, _, additional = struct.unpack("!6H", message[:12])
    if flags & QR or questions != 1:
        raise ValueError("not a query of one question")
    name, end = unpack_name(message, 12)
    (qtype,) = struct.unpack("!H", message[end : end + 2])
    edns_size = 0
    if additional:
        # The only additional record a query of ours carries: an OPT, owned by the root.
        _, rtype, edns_size = struct.unpack("!BHH", message[end + 4 : end + 9])
        if rtype != TYPES["OPT"]:
            raise ValueError("an additional record that is no OPT")
    return Query(
        identity,
        name,
        TYPE_NAMES.get(qtype, str(qtype)),
        transport,
        edns_size,
        port,
        message[12 : end + 4],
        bool(flags & RD),
    )


def build_reply(query, *, rcode=NOERROR, flags=0, answers=(), authority=(), additional=(), opt=False, question=None):
    """A whole reply message to `query`."""
    extra = [record.pack() for record in additional]
    if opt:
        extra.append(b"\0" + struct.pack("!HHIH", TYPES["OPT"], 1232, 0, 0))
    header = struct.pack(
        "!6H", query.id, QR | RD | RA | flags | rcode, 1, len(answers), len(authority), len(extra)
    )
    body = b"".join(record.pack() for record in [*answers, *authority])
    return header + (question or query.question) + body + b"".join(extra)
