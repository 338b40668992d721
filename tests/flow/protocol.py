"""The lookup protocol by hand, so that a test can also send what no library would.

The field numbers and enumerations are those of proto/mxway.proto.
"""
import socket
import time
from dataclasses import dataclass, field

VERDICTS = (
    "UNSPECIFIED ROUTE NULL_MX NO_SUCH_DOMAIN NO_MAIL_HOST MX_HOSTS_NO_ADDRESS MX_HOSTS_TEMPFAIL "
    "MX_ALL_INVALID NO_ROUTABLE_ADDRESS LOOP_SELF_BEST PRIMARY_UNRESOLVED INVALID_NAME DNS_SERVFAIL "
    "DNS_REFUSED DNS_TIMEOUT DNS_NETWORK DNS_MALFORMED CNAME_LOOP OVERLOAD SHUTDOWN DEADLINE NOT_CACHED "
    "BAD_REQUEST REJECTED"
).split()
SOURCES = "UNSPECIFIED MEMORY SHARED DNS LITERAL OVERRIDE POLICY".split()
WARNINGS = (
    "unspecified null_mx_nonzero_preference null_mx_mixed mx_is_address mx_is_cname duplicate_exchange "
    "unusable_name too_many_mx"
).split()
STATUSES = "NOT_RESOLVED OK NXDOMAIN NO_ADDRESS TEMPFAIL CNAME_REJECTED CNAME_LOOP FILTERED INVALID".split()

EXCHANGES, ADDRESSES, SECURITY = range(3)  # depth

# Field numbers of LookupRequest and whether the value is a number.
REQUEST_FIELDS = {
    "id": 1, "domain": 2, "depth": 3, "timeout_ms": 4, "order": 5, "order_key": 6, "family": 7, "self_names": 8,
    "self_addresses": 9, "exclude": 10, "primary_only": 11, "max_exchanges": 12, "no_stale": 13, "refresh": 14,
    "cache_only": 15,
}  # fmt: skip


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def pack_field(number, value):
    """A field with an integer (wire type 0) or octets (wire type 2)."""
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def pack_request(**fields):
    """The body of a LookupRequest; a list packs a repeated field."""
    body = b""
    for name, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            body += pack_field(REQUEST_FIELDS[name], item)
    return body


def frame(body):
    return varint(len(body)) + body


def read_varint(data, offset):
    number = shift = 0
    while True:
        octet = data[offset]
        offset += 1
        number |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return number, offset


def unpack_fields(data):
    """(field number, value) in order: integers for wire type 0, octets for wire type 2."""
    offset = 0
    while offset < len(data):
        key, offset = read_varint(data, offset)
        if key & 7 == 0:
            value, offset = read_varint(data, offset)
        elif key & 7 == 2:
            length, offset = read_varint(data, offset)
            value, offset = data[offset : offset + length], offset + length
            if len(value) != length:
                raise ValueError("a field runs over the end of its message")
        else:
            raise ValueError(f"wire type {key & 7} in a reply")
        yield key >> 3, value


def unpack_numbers(value):
    """A repeated number: packed octets, or one value by itself."""
    if isinstance(value, int):
        return [value]
    numbers, offset = [], 0
    while offset < len(value):
        number, offset = read_varint(value, offset)
        numbers.append(number)
    return numbers


@dataclass
class Exchange:
    preference: int = 0
    host: str = ""
    expanded: str = ""
    status: str = "NOT_RESOLVED"
    addresses: list = field(default_factory=list)  # text
    ttl: int = 0


def address_text(octets):
    return socket.inet_ntop({4: socket.AF_INET, 16: socket.AF_INET6}[len(octets)], octets)


def unpack_exchange(data):
    exchange = Exchange()
    for number, value in unpack_fields(data):
        if number == 1:
            exchange.preference = value
        elif number == 2:
            exchange.host = value.decode("ascii")
        elif number == 3:
            exchange.expanded = value.decode("ascii")
        elif number == 4:
            exchange.status = STATUSES[value]
        elif number == 5:
            exchange.addresses.append(address_text(value))
        elif number == 6:
            exchange.ttl = value
    return exchange


@dataclass
class LookupReply:
    id: int = 0
    verdict: str = "UNSPECIFIED"
    ttl: int = 0
    mx_ttl: int = 0
    age: int = 0
    source: str = "UNSPECIFIED"
    stale: bool = False
    canonical: str = ""
    implicit: bool = False
    truncated: bool = False
    warnings: list = field(default_factory=list)
    exchanges: list = field(default_factory=list)
    smtp_code: int = 0
    enhanced_status: str = ""
    site_id: bytes = b""
    site_name: str = ""
    detail: str = ""
    authenticated: bool = False

    @property
    def hosts(self):
        return [exchange.host for exchange in self.exchanges]

    @property
    def temporary(self):
        return 400 <= self.smtp_code < 500


def unpack_reply(data):
    reply = LookupReply()
    numbers = {1: "id", 3: "ttl", 4: "mx_ttl", 5: "age", 13: "smtp_code"}
    flags = {7: "stale", 9: "implicit", 10: "truncated", 18: "authenticated"}
    texts = {8: "canonical", 14: "enhanced_status", 16: "site_name", 17: "detail"}
    for number, value in unpack_fields(data):
        if number in numbers:
            setattr(reply, numbers[number], value)
        elif number in flags:
            setattr(reply, flags[number], bool(value))
        elif number in texts:
            setattr(reply, texts[number], value.decode())
        elif number == 2:
            reply.verdict = VERDICTS[value]
        elif number == 6:
            reply.source = SOURCES[value]
        elif number == 11:
            reply.warnings += [WARNINGS[item] for item in unpack_numbers(value)]
        elif number == 12:
            reply.exchanges.append(unpack_exchange(value))
        elif number == 15:
            reply.site_id = value
        else:
            raise ValueError(f"field {number} in a reply")
    reply.warnings.sort()
    return reply


class Client:
    """One connection to the lookup socket. Every wait has a bound."""

    def __init__(self, path, timeout_s=20.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self._buffer = bytearray()
        self._next_id = 1

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, domain, **options):
        """Puts a question; returns its id."""
        identity = options.pop("id", None)
        if identity is None:
            identity = self._next_id
            self._next_id += 1
        self.send_bytes(frame(pack_request(id=identity, domain=domain, **options)))
        return identity

    def receive(self):
        """The next reply, or None where the daemon has closed the connection."""
        while True:
            reply = self._take()
            if reply is not None:
                return reply
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                if self._buffer:
                    raise AssertionError("the daemon closed within a frame")
                return None
            self._buffer += data

    def _take(self):
        try:
            length, offset = read_varint(self._buffer, 0)
        except IndexError:
            return None
        if len(self._buffer) < offset + length:
            return None
        body = bytes(self._buffer[offset : offset + length])
        del self._buffer[: offset + length]
        return unpack_reply(body)

    def receive_many(self, count):
        """The next `count` replies by id."""
        replies = {}
        for _ in range(count):
            reply = self.receive()
            if reply is None:
                raise AssertionError(f"connection closed after {len(replies)} of {count} replies")
            if reply.id in replies:
                raise AssertionError(f"two replies with id {reply.id}")
            replies[reply.id] = reply
        return replies

    def ask(self, domain, **options):
        identity = self.send(domain, **options)
        reply = self.receive()
        if reply is None:
            raise AssertionError("the daemon closed the connection")
        if reply.id != identity:
            raise AssertionError(f"asked with id {identity}, answered with {reply.id}")
        return reply

    def ask_timed(self, domain, **options):
        """The reply and the milliseconds it took."""
        before = time.monotonic()
        reply = self.ask(domain, **options)
        return reply, (time.monotonic() - before) * 1000.0
