"""Values of the shared store as octets: what a test has to know to spoil them (the format is in daemon/store/record.h)."""
import ctypes
import ctypes.util
import random
import struct
from functools import lru_cache

MAGIC, VERSION_AT, KIND_AT, GENERATION_AT, TIMES_AT = b"mxwv", 4, 5, 7, 15
CHECKSUM_SIZE = 8


@lru_cache(maxsize=None)
def library():
    """The library that mxwayd is built with."""
    found = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
    found.XXH3_64bits.restype = ctypes.c_uint64
    return found


def checksum(octets):
    """XXH3-64."""
    return library().XXH3_64bits(ctypes.c_char_p(bytes(octets)), ctypes.c_size_t(len(octets)))


def signed(octets):
    """A value with the right checksum for what is before it."""
    body = bytes(octets[:-CHECKSUM_SIZE])
    return body + struct.pack("<Q", checksum(body))


def is_whole(value):
    return value[:4] == MAGIC and signed(value) == value


def times(value):
    """(created, expires, stale until) in Unix ms."""
    return struct.unpack_from("<3q", value, TIMES_AT)


def with_times(value, created, expires, stale_until):
    octets = bytearray(value)
    struct.pack_into("<3q", octets, TIMES_AT, created, expires, stale_until)
    return signed(octets)


def moved(value, ms):
    """The value as it would have been written by a node whose clock is so much ahead."""
    return with_times(value, *(moment + ms for moment in times(value)))


def with_octet(value, at, octet):
    octets = bytearray(value)
    octets[at] = octet
    return signed(octets)


class Spoiler:
    """Ways to spoil the value of one key, chosen at random from a seed: commands of Redis that leave what no node may believe."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self.ways = (
            self.flip_a_bit, self.flip_bits, self.cut_off, self.add_octets, self.change_a_run, self.make_a_list, self.make_a_hash,
            self.make_a_set, self.make_a_sorted_set, self.take_another, self.take_another_kind, self.change_version,
            self.change_kind, self.write_noise, self.write_text, self.write_nothing, self.write_much, self.put_ahead, self.put_behind,
            self.turn_times,
        )

    def spoil(self, way, key, value, other, other_kind):
        """Commands that spoil `value` under `key`; `other` is the value of another key, `other_kind` one of the other kind."""
        result = way(key, value, other, other_kind)
        if isinstance(result, (bytes, bytearray)):
            if bytes(result) == value:
                raise AssertionError(f"{way.__name__} changed nothing")
            return [("SET", key, result, "PX", 3600000)]
        return [("DEL", key), result]

    def flip_a_bit(self, key, value, *_):
        octets = bytearray(value)
        octets[self._random.randrange(len(octets))] ^= 1 << self._random.randrange(8)
        return octets

    def flip_bits(self, key, value, *_):
        octets = bytearray(value)
        for at in self._random.sample(range(len(octets)), self._random.randint(2, 9)):
            octets[at] ^= 1 << self._random.randrange(8)
        return octets

    def cut_off(self, key, value, *_):
        return value[: self._random.randrange(len(value))]

    def add_octets(self, key, value, *_):
        return value + self._random.randbytes(self._random.randint(1, 100))

    def change_a_run(self, key, value, *_):
        start = self._random.randrange(len(value) - 1)
        length = min(len(value) - start, self._random.randint(2, 40))
        octets = bytearray(value)
        octets[start : start + length] = bytes(octet ^ 0x55 for octet in octets[start : start + length])
        return octets

    def make_a_list(self, key, value, *_):
        return ("RPUSH", key, value)

    def make_a_hash(self, key, value, *_):
        return ("HSET", key, "value", value)

    def make_a_set(self, key, value, *_):
        return ("SADD", key, value)

    def make_a_sorted_set(self, key, value, *_):
        return ("ZADD", key, 1, value)

    def take_another(self, key, value, other, other_kind):
        return other

    def take_another_kind(self, key, value, other, other_kind):
        return other_kind

    def change_version(self, key, value, *_):
        return with_octet(value, VERSION_AT, self._random.choice([0, 2, 3, 255]))

    def change_kind(self, key, value, *_):
        return with_octet(value, KIND_AT, ord("D") + ord("H") - value[KIND_AT])

    def write_noise(self, key, value, *_):
        return value[:4] + self._random.randbytes(self._random.randint(1, 4092))

    def write_text(self, key, value, *_):
        return self._random.choice([b"1", b"OK", b"-READONLY no\r\n", b"$5\r\nhello\r\n", b"*-1\r\n", b"{}", b"\0", b"mxwv", b"mxwv\1D"])

    def write_nothing(self, key, value, *_):
        return b""

    def write_much(self, key, value, *_):
        return signed(value[:-CHECKSUM_SIZE] + b"\0" * self._random.randint(4096, 20000) + b"\0" * CHECKSUM_SIZE)

    def put_ahead(self, key, value, *_):
        return moved(value, self._random.randint(70000, 10**9))

    def put_behind(self, key, value, *_):
        """Beyond the time in which it may be answered stale."""
        return moved(value, -(times(value)[2] - times(value)[0]) - self._random.randint(1000, 10**9))

    def turn_times(self, key, value, *_):
        """Good for a stale answer until before it expires: a right checksum, and nothing that could have been written."""
        created, expires, _ = times(value)
        return with_times(value, created, expires, expires - 1)
