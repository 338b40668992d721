"""A client of Redis by hand (RESP2), so that tests need no package and can plant any octets."""
import socket
import time


class RedisError(Exception):
    """An error reply: its text begins with a code, such as READONLY."""

    @property
    def code(self):
        return str(self).split(" ", 1)[0]


def pack_command(*words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        octets = word if isinstance(word, (bytes, bytearray)) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(octets), octets))
    return b"".join(out)


class Redis:
    """One connection to a redis-server: `target` is the path of a Unix socket or a port of 127.0.0.1. Every wait has a bound."""

    def __init__(self, target, timeout_s=20.0):
        if isinstance(target, int):
            self.socket = socket.create_connection(("127.0.0.1", target), timeout_s)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_s)
            try:
                self.socket.connect(str(target))
            except OSError:
                self.socket.close()
                raise
        self._file = self.socket.makefile("rb")

    def close(self):
        self._file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        self.socket.sendall(pack_command(*words))

    def receive(self):
        """The next reply: int, bytes, None, a list, or a RedisError (not raised)."""
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, text = line[:1], line[1:-2]
        if kind == b"+":
            return text
        if kind == b"-":
            return RedisError(text.decode(errors="replace"))
        if kind == b":":
            return int(text)
        if kind == b"$":
            length = int(text)
            return None if length < 0 else self._file.read(length + 2)[:-2]
        if kind == b"*":
            count = int(text)
            return None if count < 0 else [self.receive() for _ in range(count)]
        raise ConnectionError(f"no reply of Redis: {line[:60]!r}")

    def __call__(self, *words):
        """The reply to one command; raises an error reply."""
        self.send(*words)
        reply = self.receive()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def many(self, commands):
        """The replies to many commands, pipelined; error replies are among them."""
        commands, replies = list(commands), []
        for start in range(0, len(commands), 500):
            part = commands[start : start + 500]
            self.socket.sendall(b"".join(pack_command(*words) for words in part))
            replies += [self.receive() for _ in part]
        return replies

    def info(self, section):
        """A section of INFO as a dict of texts."""
        lines = self("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def keys(self, pattern="*"):
        """The keys like a pattern, sorted; SCAN, so that the server is not held up."""
        found, cursor = set(), b"0"
        while True:
            cursor, some = self("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(some)
            if cursor == b"0":
                return sorted(key.decode() for key in found)

    def seconds_of(self, *words):
        """How long a command takes."""
        before = time.monotonic()
        self(*words)
        return time.monotonic() - before
