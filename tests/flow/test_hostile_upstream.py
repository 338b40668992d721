"""What a broken or hostile upstream server replies: a soft failure by its cause, never a route and never a denial.

Every name asked for has an address of its own, so that an implicit MX made out of a failure would be a route.
"""
import random
import struct
import unittest

import dnswire
from harness import INSTRUMENTED, FlowTest
from protocol import ADDRESSES
from upstream import SILENT, Reply, rcode

SOA = "test 300 SOA ns.test root.test 1 2 3 4 300"
MX = "{name} 300 MX 10 mx.test"
# What c-ares takes for no reply to its query it goes on waiting for.
MALFORMED = {"DNS_MALFORMED"}
NO_REPLY = {"DNS_TIMEOUT", "DNS_MALFORMED"}
RCODES = {1: "DNS_MALFORMED", 2: "DNS_SERVFAIL", 4: "DNS_REFUSED", 5: "DNS_REFUSED"} | {
    code: "DNS_SERVFAIL" for code in range(6, 16)
}


def with_flags(set_=0, clear=0):
    def mutate(message):
        (flags,) = struct.unpack("!H", message[2:4])
        return message[:2] + struct.pack("!H", flags & ~clear | set_) + message[4:]

    return mutate


def with_count(section, count):
    """section: 0 the question, 1 the answer, 2 the authority, 3 the additional section."""
    return lambda message: message[: 4 + 2 * section] + struct.pack("!H", count) + message[6 + 2 * section :]


def with_extended_rcode(upper):
    """The upper eight bits of the rcode, which are in the OPT record (RFC 6891 section 6.1.3)."""
    return lambda message: message[:-6] + bytes([upper]) + message[-5:]


def cut_at(length):
    """Cut to `length` octets; by one at least, so that a query without EDNS, whose reply is shorter, fares no better."""
    return lambda message: message[: min(length, len(message) - 1)]


def question_end(message):
    return dnswire.unpack_name(message, 12)[1] + 4


def with_question(name=None, type_=None, class_=None):
    """Another name, type or class in the question section."""

    def mutate(message):
        end = question_end(message)
        old_type, old_class = struct.unpack("!HH", message[end - 4 : end])
        question = dnswire.pack_name(name) if name else message[12 : end - 4]
        return message[:12] + question + struct.pack("!HH", type_ or old_type, class_ or old_class) + message[end:]

    return mutate


def with_rdata(rdata, longer=0):
    """The rdata of the first record of the answer section, and a length that is wrong by `longer`."""

    def mutate(message):
        at = dnswire.unpack_name(message, question_end(message))[1] + 8
        (length,) = struct.unpack("!H", message[at : at + 2])
        return message[:at] + struct.pack("!H", len(rdata) + longer) + rdata + message[at + 2 + length :]

    return mutate


def replies_to_mx():
    """(what it is, the reply with "{name}" for the name asked, the verdicts it may have)"""
    good = {"records": MX}
    yield "silence", SILENT, {"DNS_TIMEOUT"}
    for code, verdict in RCODES.items():
        yield f"rcode {code}", rcode(code), {verdict}
        yield f"rcode {code} with records", Reply(records=MX, authority=SOA, rcode=code), {verdict}
        yield f"rcode {code} without a question", Reply(
            rcode=code, mutate=lambda message: message[:4] + bytes(8)
        ), {verdict, "DNS_TIMEOUT"}
    for upper in (1, 2, 128, 255):
        for lower in (0, 3):
            yield f"rcode {upper * 16 + lower}", Reply(
                rcode=lower, authority=SOA, mutate=with_extended_rcode(upper)
            ), {"DNS_SERVFAIL"}
    for name, mutate, verdicts in [
        ("a query", with_flags(clear=dnswire.QR), NO_REPLY),
        *((f"opcode {code}", with_flags(set_=code << 11), MALFORMED) for code in (1, 2, 4, 5, 15)),
        ("no question", with_count(0, 0), NO_REPLY),
        ("two questions", with_count(0, 2), NO_REPLY),
        ("another name", with_question(name="other.test"), NO_REPLY),
        ("the name of its parent", with_question(name="test"), NO_REPLY),
        ("another type", with_question(type_=dnswire.TYPES["A"]), NO_REPLY),
        ("type ANY", with_question(type_=255), NO_REPLY),
        ("class CH", with_question(class_=3), NO_REPLY),
        *((f"a count too many in section {i}", with_count(i, 2), MALFORMED) for i in (1, 2, 3)),
        *((f"65535 records in section {i}", with_count(i, 65535), MALFORMED) for i in (1, 2, 3)),
        ("no rdata", with_rdata(b""), MALFORMED),
        ("a preference alone", with_rdata(b"\0\n"), MALFORMED),
        ("a host cut off", with_rdata(b"\0\n\2mx"), MALFORMED),
        ("a host and more", with_rdata(b"\0\n\2mx\0x"), MALFORMED),
        ("rdata that says it is longer", with_rdata(b"\0\n\2mx\0", 1), MALFORMED),
        ("rdata that says it is shorter", with_rdata(b"\0\n\2mx\0", -1), MALFORMED),
        ("rdata longer than the message", with_rdata(b"\0\n\2mx\0", 60000), MALFORMED),
        ("a pointer to itself", with_rdata(b"\0\n\xc0\x30"), MALFORMED),
        ("a pointer forward", with_rdata(b"\0\n\xff\xff"), MALFORMED),
        ("a pointer into the header", with_rdata(b"\0\n\xc0\x02"), MALFORMED),
        ("a label of an unknown kind", with_rdata(b"\0\n\x41" + bytes(0x42)), MALFORMED),
        ("a host of 256 octets", with_rdata(b"\0\n" + (b"\x3f" + b"x" * 63) * 4 + b"\0"), MALFORMED),
    ]:
        yield name, Reply(**good, mutate=mutate), verdicts
    for name, records, authority in [
        ("another owner", "other.test 300 MX 10 mx.test", SOA),
        ("another owner of another type", "other.test 300 A 192.0.2.1", SOA),
        ("an alias of another name", "other.test 300 CNAME mx.test", SOA),
        ("a lone DNAME", "test 300 DNAME example", None),
        ("records beside the end of the chain", "{name} 300 CNAME e.test\n" + MX, None),
        ("an alias with two targets", "{name} 300 CNAME e.test\n{name} 300 CNAME f.test", None),
        ("an alias of the root", "{name} 300 CNAME .", None),
        ("an alias of no host name", "{name} 300 CNAME bad\\032name.test", None),
    ]:
        yield name, Reply(records=records, authority=authority), MALFORMED
    yield "NXDOMAIN beside the records", Reply(records=MX, rcode=3), MALFORMED
    yield "a referral down", Reply(records="", authority="{name} 300 NS ns.test"), {"DNS_REFUSED"}
    yield "a referral to the root", Reply(records="", authority=". 300 NS ns.test"), {"DNS_REFUSED"}
    yield "an alias of itself", Reply(records="{name} 300 CNAME {name}"), {"CNAME_LOOP"}


def filled(reply, name):
    """The reply for a name."""

    def fill(text):
        return text.replace("{name}", name) if text is not None else None

    return Reply(**{**vars(reply), "records": fill(reply.records), "authority": fill(reply.authority)})


class HostileUpstream(FlowTest):
    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream("good.test 300 MX 10 mx.test\nmx.test 300 A 192.0.2.9\n")
        self.daemon = self.start_daemon(
            self.upstream, query_timeout=3000 if INSTRUMENTED else 500, query_tries=2, lookup_deadline=30000
        )
        self.client = self.connect(self.daemon)

    def ask_all(self, names):
        """Asks for all at once; the replies by name."""
        ids = {self.client.send(name, depth=ADDRESSES): name for name in names}
        return {ids[identity]: reply for identity, reply in self.client.receive_many(len(ids)).items()}

    def assert_good_is_answered(self):
        reply = self.client.ask("good.test", depth=ADDRESSES, refresh=True)
        self.assertEqual((reply.verdict, reply.hosts, reply.source), ("ROUTE", ["mx.test"], "DNS"))

    def assert_soft_failure(self, reply, verdicts):
        self.assertIn(reply.verdict, verdicts, reply)
        self.assertEqual((reply.smtp_code, reply.enhanced_status[0]), (451, "4"))
        self.assertEqual((reply.hosts, reply.implicit), ([], False))

    def ask_script(self, cases):
        """Asks for a name of its own with each of `cases` as the reply to MX, and for good.test in the end."""
        cases = {f"n{i}.test": case for i, case in enumerate(cases)}
        for name, (_, reply, _) in cases.items():
            self.upstream.add(f"{name} 300 A 192.0.2.1\n")
            self.upstream.on(name, "MX", filled(reply, name))
        replies = self.ask_all(cases)
        for name, (what, _, verdicts) in cases.items():
            with self.subTest(what):
                self.assert_soft_failure(replies[name], verdicts)
                self.assertEqual(self.upstream.count(name, "A") + self.upstream.count(name, "AAAA"), 0)
        self.assert_good_is_answered()

    def test_every_reply_to_mx_that_is_no_answer_fails_softly_by_its_cause(self):
        self.ask_script(replies_to_mx())

    def test_an_answer_cut_at_any_length_is_no_answer(self):
        def cut(length):
            return Reply(records=MX + "\n" + MX, authority=SOA, mutate=cut_at(length))

        # The message has at least 152 octets. Below the end of the question c-ares drops it.
        self.ask_script((f"{length} octets", cut(length), NO_REPLY) for length in range(152))

    def test_a_denial_cut_at_any_length_is_no_denial(self):
        def cut(code, length):
            return Reply(rcode=code, authority=SOA, mutate=cut_at(length))

        self.ask_script(
            (f"rcode {code}, {length} octets", cut(code, length), NO_REPLY)
            for code in (dnswire.NOERROR, dnswire.NXDOMAIN)
            for length in range(12, 92)
        )

    def test_addresses_that_fail_softly_are_no_denial_either(self):
        cases = {f"n{i}.test": case for i, case in enumerate(replies_to_mx())}
        for name, (_, reply, _) in cases.items():
            self.upstream.add(f"{name} 300 TXT x\nd.{name} 300 MX 10 {name}\n")
            for type_ in ("A", "AAAA"):
                script = filled(reply, name)
                if script.records is not None:
                    script = Reply(**{**vars(script), "records": self.as_address(script.records, type_)})
                self.upstream.on(name, type_, script)
        implicit = self.ask_all(cases)
        explicit = self.ask_all(f"d.{name}" for name in cases)
        for name, (what, _, verdicts) in cases.items():
            with self.subTest(what):
                self.assertEqual(implicit[name].verdict, "NO_MAIL_HOST", implicit[name])
                self.assertEqual((implicit[name].smtp_code, implicit[name].enhanced_status), (451, "4.4.4"))
                self.assertEqual(explicit[f"d.{name}"].verdict, "MX_HOSTS_TEMPFAIL", explicit[f"d.{name}"])
                status = "CNAME_LOOP" if verdicts == {"CNAME_LOOP"} else "TEMPFAIL"
                self.assertEqual([e.status for e in explicit[f"d.{name}"].exchanges], [status])
        self.assert_good_is_answered()

    def test_a_denial_by_the_zone_of_an_alias_is_none_of_its_target(self):
        self.upstream.add("e.example 300 MX 10 mx.test\ne.example 300 A 192.0.2.1\n")
        self.upstream.on("d.test", "MX", Reply(records="d.test 300 CNAME e.example", authority=SOA))
        reply = self.client.ask("d.test", depth=ADDRESSES)
        self.assertEqual((reply.verdict, reply.hosts, reply.canonical), ("ROUTE", ["mx.test"], "e.example"))
        self.assertFalse(reply.implicit)

    @staticmethod
    def as_address(records, type_):
        address = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}[type_]
        return records.replace("MX 10 mx.test", f"{type_} {address}").replace("A 192.0.2.1", "TXT x")

    def test_garbage_over_tcp_is_a_failure_not_a_route(self):
        noise = random.Random(5)
        cases = []
        for i in range(40):
            garbage = noise.randbytes(noise.randrange(0, 300))
            tcp = Reply(mutate=lambda message, garbage=garbage: message[:2] + garbage)
            cases.append((f"n{i}.test", tcp if i % 2 else Reply(hang_up=True)))
        for name, tcp in cases:
            self.upstream.add(f"{name} 300 MX 10 mx.test\n")
            self.upstream.on(name, "MX", Reply(truncated=True), tcp=tcp)
        for name, reply in self.ask_all(name for name, _ in cases).items():
            with self.subTest(name):
                self.assert_soft_failure(reply, {"DNS_NETWORK", "DNS_TIMEOUT", "DNS_MALFORMED"})
        self.assert_good_is_answered()

    def test_noise_in_replies_is_survived(self):
        noise = random.Random(7)  # The same noise in every run.

        def mutate(message):
            changed = bytearray(message)
            for _ in range(noise.randrange(1, 6)):
                # The id and the question stay, or c-ares would keep it all from us.
                at = noise.choice([2, 3, *range(6, 12), *range(question_end(message), len(message))])
                changed[at] = noise.choice([0, 0xC0, 0xFF, noise.randrange(256)])
            return bytes(changed[: len(changed) - noise.randrange(0, 2) * noise.randrange(0, 30)])

        names = [f"n{i}.test" for i in range(600)]
        for name in names:
            self.upstream.add(f"{name} 300 CNAME c.{name}\nc.{name} 300 MX 10 mx.{name}\nmx.{name} 300 A 192.0.2.1\n")
            for type_ in ("MX", "A", "AAAA"):
                for owner in (name, f"mx.{name}"):
                    self.upstream.on(owner, type_, Reply(mutate=mutate))
        for start in range(0, len(names), 100):
            replies = self.ask_all(names[start : start + 100])
            self.assertNotIn("UNSPECIFIED", {reply.verdict for reply in replies.values()})
            self.assert_good_is_answered()
        self.assertGreater(self.daemon.counters()["dns-malformed"], 100)


if __name__ == "__main__":
    unittest.main()
