"""What mxwayd answers: the examples of the routing rules, cold and from memory.

Each example begins with the numbers of the routing rules it shows (Q: the question, V: verdicts, O: order,
T: lifetimes, S: sites, 8: depth). It is asked twice: cold, with the number of upstream queries it may cost, and again, when
memory must give the same answer without a query.
"""
import ipaddress
import threading
import time
import unittest
from dataclasses import dataclass, field
from typing import Callable, Optional

import dnswire
from harness import FRONTENDS, INSTRUMENTED, FlowTest, wait_until
from protocol import ADDRESSES, EXCHANGES, KEYED, STABLE, V4, V4_FIRST, V6, V6_FIRST, frame, pack_request
from upstream import SILENT, Reply, rcode

MAX_TTL = 86400
FAILURE_TTL = 5
SERVFAIL, REFUSED = rcode(dnswire.SERVFAIL), rcode(dnswire.REFUSED)

A4 = "a.test 600 A 192.0.2.1\n"
B4 = "b.test 600 A 192.0.2.2\n"


@dataclass
class Example:
    rules: str
    name: str  # what it shows
    zone: str
    ask: str = "d.test"
    depth: int = ADDRESSES
    scripts: dict = field(default_factory=dict)  # "name type" to replies
    upstream: dict = field(default_factory=dict)  # options of the scripted upstream
    daemon: dict = field(default_factory=dict)  # options of mxwayd
    wishes: dict = field(default_factory=dict)  # fields of the request
    # Expected. None: not looked at.
    verdict: str = "ROUTE"
    smtp: Optional[str] = None  # "550 5.1.2"
    exchanges: Optional[list] = None  # "preference host STATUS address,address [> expanded]"
    ttl: Optional[int] = None
    mx_ttl: Optional[int] = None
    canonical: Optional[str] = None
    implicit: Optional[bool] = False
    truncated: bool = False
    warnings: list = field(default_factory=list)
    detail: str = ""  # how it begins
    site: Optional[str] = None
    queries: Optional[int] = None
    source: str = "DNS"
    source_again: str = "MEMORY"
    also: Optional[Callable] = None  # (test, reply, upstream), of the cold answer
    each: Optional[Callable] = None  # (test, reply), of both

    @property
    def method(self):
        words = "".join(c if c.isalnum() else "_" for c in f"{self.rules}_{self.name}")
        return f"test_{words}"


def exchange_text(exchange):
    text = f"{exchange.preference} {exchange.host} {exchange.status}"
    if exchange.addresses:
        text += " " + ",".join(sorted(exchange.addresses))
    # Where a loop leads is anybody's guess.
    return text + (f" > {exchange.expanded}" if exchange.expanded and exchange.status != "CNAME_LOOP" else "")


def many(count, line):
    return "".join(line.format(i=i) for i in range(count))


def no_query_for(name, *types):
    def check(test, _, upstream):
        for type_ in types:
            test.assertEqual(upstream.count(name, type_), 0, f"{name} {type_} was asked for")

    return check


def once_over_tcp(name, type_):
    def check(test, _, upstream):
        seen = [q.transport for q in upstream.log() if (q.name, q.type) == (name, type_)]
        test.assertEqual(seen, ["udp", "tcp"])

    return check


def again_without_opt(test, _, upstream):
    sizes = [q.edns_size for q in upstream.log() if (q.name, q.type) == ("d.test", "MX")]
    test.assertEqual(sizes, [1232, 0])


def with_edns_and_recursion(test, _, upstream):
    for query in upstream.log():
        test.assertEqual(query.edns_size, 1232)
        test.assertTrue(query.recursion_desired)


def addresses_are(*addresses):
    """Those of the only exchange, in their order."""

    def check(test, reply):
        test.assertEqual(reply.exchanges[0].addresses, list(addresses))

    return check


def versions_are(*versions):
    """The families of the addresses of the only exchange, in their order."""

    def check(test, reply):
        seen = [ipaddress.ip_address(a).version for a in reply.exchanges[0].addresses]
        test.assertEqual(seen, list(versions))

    return check


def address_counts(test, reply):
    """O5: at most 8 an exchange and 64 in all, and some of each family for everybody."""
    counts = [len(exchange.addresses) for exchange in reply.exchanges]
    test.assertEqual((sum(counts), max(counts), sorted(counts, reverse=True)), (64, 8, counts))
    for exchange in reply.exchanges:
        test.assertEqual({ipaddress.ip_address(a).version for a in exchange.addresses}, {4, 6})


def text_addresses(*texts):
    return [ipaddress.ip_address(text).packed for text in texts]


BOTH = "d.test 300 MX 10 a.test\n" + many(2, "a.test 300 A 192.0.2.{i}\na.test 300 AAAA 2001:db8::{i}\n")
BACKUP = "".join(
    f"d.test 300 MX {p} {h}.test\n{h}.test 300 A 192.0.2.{i}\n"
    for i, (p, h) in enumerate([(10, "a"), (20, "self"), (20, "b"), (30, "c")], 1)
)
GONE_BEFORE_SELF = "d.test 300 MX 10 gone.test\nd.test 300 MX 20 self.test\nself.test 300 A 192.0.2.9\n"
GMAIL = "d.test 300 MX 5 gmail-smtp-in.l.google.com\n" + "".join(
    f"d.test 300 MX {10 * i} alt{i}.gmail-smtp-in.l.google.com\n" for i in range(1, 5)
)
UNREACHABLE = [  # O6: dropped whatever is configured
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.1.2.3", "255.255.255.255",
    "::", "::1", "ff02::1", "100::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
    "2002:7f00:1::1", "2001:0:c000:201::80ff:fffe",
]  # fmt: skip
PRIVATE = [
    "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "fe80::1", "fd00::1", "::ffff:10.1.2.3",
    "64:ff9b::c0a8:1", "2002:a01:203::1",
]  # fmt: skip


def exchange_with(address):
    type_ = "AAAA" if ":" in address else "A"
    return f"d.test 300 MX 10 a.test\na.test 300 {type_} {address}\n"


def plain(address):
    """As inet_ntop prints it."""
    return str(ipaddress.ip_address(address)) if "." not in address else address


def address_ttl_is(seconds):
    def check(test, reply, _):
        test.assertEqual([exchange.ttl for exchange in reply.exchanges], [seconds] * len(reply.exchanges))

    return check


def ttl_between(least, most):
    def check(test, reply, _):
        test.assertTrue(least <= reply.ttl <= most, f"ttl is {reply.ttl}")

    return check


EXAMPLES = [
    # ---- from DNS to a verdict ----
    Example(
        "V1_T1", "one exchange", "d.test 300 MX 10 a.test\n" + A4,
        exchanges=["10 a.test OK 192.0.2.1"], ttl=300, mx_ttl=300, queries=3, canonical="d.test",
        also=with_edns_and_recursion,
    ),
    Example(
        "V1", "the lower preference first",
        "d.test 300 MX 20 b.test\nd.test 300 MX 10 a.test\n" + A4 + B4,
        exchanges=["10 a.test OK 192.0.2.1", "20 b.test OK 192.0.2.2"], ttl=300, queries=5,
    ),
    Example(
        "V1", "preferences are unsigned 16 bit",
        "".join(f"d.test 300 MX {p} h{p}.test\nh{p}.test 300 A 192.0.2.1\n" for p in (65535, 32768, 0, 32767)),
        exchanges=[f"{p} h{p}.test OK 192.0.2.1" for p in (0, 32767, 32768, 65535)], queries=9,
    ),
    Example(
        "V2_T4", "NXDOMAIN costs one query and lives as its SOA says", "x.test 300 A 192.0.2.9\n",
        ask="none.test", upstream={"soa": (300, 600)},
        verdict="NO_SUCH_DOMAIN", smtp="550 5.1.2", ttl=300, queries=1, canonical="none.test",
    ),
    Example(
        "V3_T4", "an implicit MX lives as long as both its denial and its address", "d.test 300 A 192.0.2.1\n",
        exchanges=["0 d.test OK 192.0.2.1"], ttl=300, mx_ttl=900, implicit=True, queries=3,
    ),
    Example(
        "V3", "an implicit MX with addresses of both families",
        "d.test 300 A 192.0.2.1\nd.test 120 AAAA 2001:db8::1\n",
        exchanges=["0 d.test OK 192.0.2.1,2001:db8::1"], ttl=120, implicit=True, queries=3,
    ),
    Example(
        "V3_T4", "a denial without an end is capped", "d.test 300 TXT x\n", depth=EXCHANGES,
        upstream={"soa": (86400, 86400)},
        exchanges=["0 d.test NOT_RESOLVED"], ttl=3600, implicit=True, queries=1,
    ),
    Example(
        "V4", "neither MX nor address", "d.test 300 TXT x\n",
        verdict="NO_MAIL_HOST", smtp="550 5.4.4", implicit=None, ttl=900, queries=3,
    ),
    Example(
        "V4", "no MX and one soft failure is transient", "d.test 300 TXT x\n",
        scripts={"d.test A": [SERVFAIL]}, verdict="NO_MAIL_HOST", smtp="451 4.4.4",
        implicit=None,
    ),
    Example(
        "V4_O4", "no MX and one family timing out leaves the other", "d.test 300 AAAA 2001:db8::1\n",
        scripts={"d.test A": [SILENT]}, daemon={"query_timeout": 100, "lookup_deadline": 2000},
        exchanges=["0 d.test OK 2001:db8::1"], implicit=True,
    ),
    Example(
        "V5_V7", "with an MX the domain's own address is never used",
        "d.test 300 MX 10 gone.test\nd.test 300 A 192.0.2.1\n",
        verdict="MX_HOSTS_NO_ADDRESS", smtp="550 5.4.4",
        exchanges=["10 gone.test NXDOMAIN"], also=no_query_for("d.test", "A", "AAAA"),
    ),
    Example(
        "V6", "one bad exchange does not spoil the route",
        "d.test 300 MX 10 gone.test\nd.test 300 MX 20 b.test\n" + B4,
        exchanges=["10 gone.test NXDOMAIN", "20 b.test OK 192.0.2.2"],
    ),
    Example(
        "V6", "an exchange without addresses is listed as such",
        "d.test 300 MX 10 empty.test\nempty.test 300 TXT x\nd.test 300 MX 20 b.test\n" + B4,
        exchanges=["10 empty.test NO_ADDRESS", "20 b.test OK 192.0.2.2"], queries=5,
    ),
    Example(
        "V6", "an exchange that fails softly is listed as such",
        "d.test 300 MX 10 s.test\nd.test 300 MX 20 b.test\n" + B4,
        scripts={"s.test A": [SERVFAIL], "s.test AAAA": [SERVFAIL]},
        exchanges=["10 s.test TEMPFAIL", "20 b.test OK 192.0.2.2"],
    ),
    Example(
        "V7", "a soft failure among the exchanges is transient",
        "d.test 300 MX 10 gone.test\nd.test 300 MX 10 s.test\n",
        scripts={"s.test A": [SERVFAIL], "s.test AAAA": [SERVFAIL]},
        verdict="MX_HOSTS_TEMPFAIL", smtp="451 4.4.3",
    ),
    Example(
        "V7", "defer-no-address makes it transient", "d.test 300 MX 10 gone.test\n",
        daemon={"defer_no_address": "yes"}, verdict="MX_HOSTS_NO_ADDRESS", smtp="451 4.4.4",
    ),
    Example(
        "V8", "null MX", "d.test 300 MX 0 .\n",
        verdict="NULL_MX", smtp="556 5.1.10", ttl=300, queries=1,
    ),
    Example(
        "V8", "null MX named twice", "d.test 300 MX 0 .\nd.test 300 MX 0 .\n", verdict="NULL_MX", queries=1,
    ),
    Example(
        "V8", "null MX with a preference", "d.test 300 MX 10 .\n",
        verdict="NULL_MX", warnings=["null_mx_nonzero_preference"], queries=1,
    ),
    Example(
        "V9", "null MX beside an exchange", "d.test 300 MX 0 .\nd.test 300 MX 10 a.test\n" + A4,
        exchanges=["10 a.test OK 192.0.2.1"], warnings=["null_mx_mixed"], queries=3,
    ),
    *(
        Example(
            "V10", f"rcode {code} is no denial", "d.test 300 A 192.0.2.1\n",
            scripts={"d.test MX": [rcode(code)]}, daemon={"query_timeout": 100},
            verdict=verdict, smtp="451 4.4.3", also=no_query_for("d.test", "A", "AAAA"),
        )
        for code, verdict in [
            (dnswire.SERVFAIL, "DNS_SERVFAIL"),
            (dnswire.REFUSED, "DNS_REFUSED"),
            (dnswire.FORMERR, "DNS_MALFORMED"),
            (dnswire.NOTIMP, "DNS_REFUSED"),
        ]
    ),
    Example(
        "V10", "notimp-as-nodata", "d.test 300 A 192.0.2.1\n",
        scripts={"d.test MX": [rcode(dnswire.NOTIMP)]}, daemon={"notimp_as_nodata": "yes"},
        exchanges=["0 d.test OK 192.0.2.1"], implicit=True,
    ),
    Example(
        "V10", "silence", "d.test 300 A 192.0.2.1\n",
        scripts={"d.test MX": [SILENT]}, daemon={"query_timeout": 50, "query_tries": 2},
        verdict="DNS_TIMEOUT", smtp="451 4.4.3", queries=2,
    ),
    Example(
        "V11", "a message that breaks off", "d.test 300 MX 10 a.test\n" + A4,
        scripts={"d.test MX": [Reply(mutate=lambda message: message[:-14])]}, daemon={"query_timeout": 100},
        verdict="DNS_MALFORMED", smtp="451 4.4.3", also=no_query_for("a.test", "A"),
    ),
    Example(
        "V11", "an exchange that is no name", "d.test 300 MX 10 bad\\032name.test\nd.test 300 MX 20 b.test\n" + B4,
        exchanges=["20 b.test OK 192.0.2.2"], warnings=["unusable_name"], queries=3,
    ),
    Example(
        "V11", "only exchanges that are no names",
        "d.test 300 MX 10 bad\\032name.test\nd.test 300 MX 20 \\195\\188.test\nd.test 300 A 192.0.2.1\n",
        verdict="MX_ALL_INVALID", smtp="550 5.4.4", warnings=["unusable_name"], queries=1,
    ),
    Example(
        "V12", "an exchange that is an address in text", "d.test 300 MX 10 192.0.2.7\n",
        exchanges=["10 192.0.2.7 OK 192.0.2.7"], warnings=["mx_is_address"], ttl=300, queries=1,
        also=address_ttl_is(300),
    ),
    Example(
        "V13", "an exchange that is an alias",
        "d.test 300 MX 10 c.test\nc.test 60 CNAME h.test\nh.test 300 A 192.0.2.1\n",
        exchanges=["10 c.test OK 192.0.2.1 > h.test"], warnings=["mx_is_cname"], ttl=60, mx_ttl=300,
    ),
    Example(
        "V13", "an exchange that is an alias whose end must be asked for",
        "d.test 300 MX 10 c.test\nc.test 300 CNAME e.test\ne.test 60 CNAME h.test\nh.test 300 A 192.0.2.1\n",
        upstream={"chase": False},
        exchanges=["10 c.test OK 192.0.2.1 > h.test"], warnings=["mx_is_cname"], ttl=60, mx_ttl=300,
    ),
    Example(
        "V13", "mx-cname reject",
        "d.test 300 MX 10 c.test\nd.test 300 MX 20 b.test\nc.test 60 CNAME h.test\nh.test 300 A 192.0.2.1\n" + B4,
        daemon={"mx_cname": "reject"},
        exchanges=["10 c.test CNAME_REJECTED > h.test", "20 b.test OK 192.0.2.2"], warnings=["mx_is_cname"],
    ),
    Example(
        "V13", "an exchange in a loop of aliases",
        "d.test 300 MX 10 c.test\nd.test 300 MX 20 b.test\nc.test 60 CNAME e.test\ne.test 60 CNAME c.test\n" + B4,
        exchanges=["10 c.test CNAME_LOOP", "20 b.test OK 192.0.2.2"], warnings=["mx_is_cname"],
    ),
    Example(
        "V14_T1", "a domain that is an alias",
        "d.test 300 CNAME e.test\ne.test 60 CNAME f.test\nf.test 120 MX 10 a.test\n" + A4,
        exchanges=["10 a.test OK 192.0.2.1"], canonical="f.test", ttl=60, mx_ttl=60, queries=3,
    ),
    Example(
        "V14", "a domain that is an alias whose end must be asked for",
        "d.test 300 CNAME e.test\ne.test 60 CNAME f.test\nf.test 120 MX 10 a.test\n" + A4,
        upstream={"chase": False},
        exchanges=["10 a.test OK 192.0.2.1"], canonical="f.test", ttl=60, queries=5,
    ),
    Example(
        "V14", "an alias of a name that does not exist", "d.test 30 CNAME gone.test\n",
        verdict="NO_SUCH_DOMAIN", ttl=30, queries=1, canonical="gone.test",
    ),
    Example(
        "V14_V3", "an alias of a name without MX", "d.test 300 CNAME e.test\ne.test 120 A 192.0.2.1\n",
        exchanges=["0 e.test OK 192.0.2.1"], canonical="e.test", implicit=True, ttl=120,
    ),
    Example(
        "V14", "an alias of itself", "d.test 300 CNAME d.test\n", verdict="CNAME_LOOP", smtp="451 4.4.4",
    ),
    Example(
        "V14", "8 aliases are followed",
        "d.test 300 CNAME c1.test\n"
        + "".join(f"c{i}.test 300 CNAME c{i + 1}.test\n" for i in range(1, 8)) + "c8.test 300 MX 10 a.test\n" + A4,
        depth=EXCHANGES, exchanges=["10 a.test NOT_RESOLVED"], canonical="c8.test",
    ),
    Example(
        "V14", "9 aliases are too many",
        "d.test 300 CNAME c1.test\n"
        + "".join(f"c{i}.test 300 CNAME c{i + 1}.test\n" for i in range(1, 9)) + "c9.test 300 MX 10 a.test\n" + A4,
        depth=EXCHANGES, verdict="CNAME_LOOP",
    ),
    Example(
        "V14", "max-cname-hops counts those asked for one by one",
        "d.test 300 CNAME c1.test\nc1.test 300 CNAME c2.test\nc2.test 300 CNAME c3.test\nc3.test 300 MX 10 a.test\n",
        depth=EXCHANGES, upstream={"chase": False}, daemon={"max_cname_hops": 2}, verdict="CNAME_LOOP", queries=3,
    ),
    Example(
        "V15", "an exchange named twice",
        "d.test 300 MX 20 a.test\nd.test 300 MX 10 b.test\nd.test 300 MX 5 A.test\n" + A4 + B4,
        exchanges=["5 a.test OK 192.0.2.1", "10 b.test OK 192.0.2.2"], warnings=["duplicate_exchange"], queries=5,
    ),
    Example(
        "V15", "two exchanges with one address",
        "d.test 300 MX 10 a.test\nd.test 300 MX 20 b.test\nb.test 300 A 192.0.2.1\n" + A4,
        exchanges=["10 a.test OK 192.0.2.1", "20 b.test OK 192.0.2.1"],
    ),
    Example(
        "V16", "at most 32 exchanges are answered and 100 read", many(150, "d.test 300 MX {i} h{i}.test\n"),
        depth=EXCHANGES, exchanges=[f"{i} h{i}.test NOT_RESOLVED" for i in range(32)], truncated=True,
        warnings=["too_many_mx"],
    ),
    Example(
        "V17", "truncated over UDP is asked again over TCP",
        "d.test 300 MX 10 a.test\nd.test 300 MX 20 b.test\n" + A4 + B4,
        scripts={"d.test MX": [Reply(truncated=True)]}, depth=EXCHANGES,
        exchanges=["10 a.test NOT_RESOLVED", "20 b.test NOT_RESOLVED"], queries=2, also=once_over_tcp("d.test", "MX"),
    ),
    Example(
        "V17", "an answer too large for UDP comes over TCP",
        many(30, "d.test 300 MX {i} exchange-number-{i}-with-a-long-name.example.test\n"), depth=EXCHANGES,
        exchanges=[f"{i} exchange-number-{i}-with-a-long-name.example.test NOT_RESOLVED" for i in range(30)],
        queries=2, also=once_over_tcp("d.test", "MX"),
    ),
    Example(
        "V17", "TCP refused after truncation", "d.test 300 MX 10 a.test\n" + A4,
        scripts={"d.test MX": [Reply(truncated=True)]}, upstream={"tcp": False}, daemon={"query_timeout": 200},
        verdict="DNS_NETWORK", smtp="451 4.4.3", also=no_query_for("a.test", "A"),
    ),
    Example(
        "V17", "FORMERR to EDNS is asked again without", "d.test 300 MX 10 a.test\n",
        upstream={"edns": "formerr"}, depth=EXCHANGES,
        exchanges=["10 a.test NOT_RESOLVED"], queries=2, also=again_without_opt,
    ),
    Example(
        "V17", "a server that knows no EDNS", "d.test 300 MX 10 a.test\n" + A4,
        upstream={"edns": "ignore"}, exchanges=["10 a.test OK 192.0.2.1"], queries=3,
    ),
    Example(
        "V18", "the additional section is not believed", "d.test 300 MX 10 a.test\n" + A4,
        scripts={"d.test MX": [Reply(records="d.test 300 MX 10 a.test", additional="a.test 300 A 203.0.113.66")]},
        exchanges=["10 a.test OK 192.0.2.1"], queries=3,
    ),
    Example(
        "V18", "records of another owner or class do not count", "",
        scripts={"d.test MX": [Reply(records="""
            d.test 300 CH MX 1 chaos.test
            e.test 300 MX 2 foreign.test
            d.test 300 TXT x
            d.test 300 MX 10 a.test""")]},
        depth=EXCHANGES, exchanges=["10 a.test NOT_RESOLVED"], queries=1,
    ),
    Example(
        "V18", "only records of another owner are no denial", "d.test 300 A 192.0.2.1\n",
        scripts={"d.test MX": [Reply(records="e.test 300 MX 10 a.test")]}, daemon={"query_timeout": 100},
        verdict="DNS_MALFORMED", also=no_query_for("d.test", "A"),
    ),
    # ---- order and selection ----
    Example(
        "O3", "stable order is that of the names and numbers",
        "".join(f"d.test 300 MX 10 {h}.test\n{h}.test 300 A 192.0.2.1\n" for h in "cab"), wishes={"order": STABLE},
        exchanges=[f"10 {h}.test OK 192.0.2.1" for h in "abc"], queries=7,
    ),
    Example(
        "O3", "addresses in stable order", "d.test 300 MX 10 a.test\n"
        + "".join(f"a.test 300 A 192.0.2.{i}\na.test 300 AAAA 2001:db8::{i}\n" for i in (3, 1, 2)),
        wishes={"order": STABLE}, queries=3,
        each=addresses_are("2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3", "192.0.2.3"),
    ),
    Example("O4", "any family, alternating", BOTH, each=versions_are(6, 4, 6, 4), queries=3),
    Example("O4", "v4 alone", BOTH, wishes={"family": V4}, each=versions_are(4, 4), queries=3),
    Example("O4", "v6 alone", BOTH, wishes={"family": V6}, each=versions_are(6, 6)),
    Example("O4", "v4 first", BOTH, wishes={"family": V4_FIRST}, each=versions_are(4, 4, 6, 6)),
    Example("O4", "v6 first", BOTH, wishes={"family": V6_FIRST}, each=versions_are(6, 6, 4, 4)),
    Example("O4", "the family of the configuration", BOTH, daemon={"family": "v4-first"}, each=versions_are(4, 4, 6, 6)),
    Example(
        "O4", "a request overrides the configured family", BOTH, daemon={"family": "v4"}, wishes={"family": V6_FIRST},
        each=versions_are(6, 6, 4, 4),
    ),
    Example(
        "O4", "an exchange without the wanted family is filtered, the others are used",
        "d.test 300 MX 10 a.test\nd.test 300 MX 20 b.test\na.test 300 AAAA 2001:db8::1\n" + B4,
        wishes={"family": V4}, exchanges=["10 a.test FILTERED", "20 b.test OK 192.0.2.2"], queries=5,
    ),
    Example(
        "O4", "the filter alone leaves nothing", "d.test 300 MX 10 a.test\n" + A4, wishes={"family": V6},
        verdict="NO_ROUTABLE_ADDRESS", smtp="451 4.4.4", detail="family_filtered", exchanges=["10 a.test FILTERED"],
        queries=3,
    ),
    Example(
        "O4", "the wanted family fails softly although the other is there",
        "d.test 300 MX 10 a.test\na.test 300 AAAA 2001:db8::1\n", scripts={"a.test A": [SERVFAIL]},
        wishes={"family": V4}, verdict="MX_HOSTS_TEMPFAIL", smtp="451 4.4.3", exchanges=["10 a.test TEMPFAIL"],
    ),
    Example(
        "O4", "a literal of the other family", "", ask="[192.0.2.1]", wishes={"family": V6}, ttl=0, queries=0,
        verdict="NO_ROUTABLE_ADDRESS", smtp="451 4.4.4", detail="family_filtered", source="LITERAL",
        source_again="LITERAL",
    ),
    Example(
        "O5", "8 addresses at most, both families among them",
        "d.test 300 MX 10 a.test\na.test 300 AAAA 2001:db8::1\n" + many(20, "a.test 300 A 192.0.2.{i}\n"),
        each=versions_are(6, *[4] * 7),
    ),
    Example(
        "O5", "the last address of a family stays at the end",
        "d.test 300 MX 10 a.test\na.test 300 AAAA 2001:db8::1\n" + many(20, "a.test 300 A 192.0.2.{i}\n"),
        wishes={"family": V4_FIRST}, each=versions_are(*[4] * 7, 6),
    ),
    Example(
        "O5_V16", "64 addresses at most, spread over 32 exchanges",
        "".join(
            f"d.test 300 MX {i} h{i}.test\n"
            + many(6, f"h{i}.test 300 A 192.0.{{i}}.{i}\nh{i}.test 300 AAAA 2001:db8:{{i}}::{i}\n")
            for i in range(33)
        ),
        truncated=True,
        each=lambda test, reply: test.assertEqual([len(e.addresses) for e in reply.exchanges], [2] * 32),
    ),
    Example(
        "O5", "the best exchange is served first",
        "".join(
            f"d.test 300 MX {i} h{i}.test\n"
            + many(6, f"h{i}.test 300 A 192.0.{{i}}.{i}\nh{i}.test 300 AAAA 2001:db8:{{i}}::{i}\n")
            for i in range(20)
        ),
        each=address_counts,
    ),
    Example(
        "V6_V16", "exchanges that cannot be used give way to one that can",
        many(40, "d.test 300 MX {i} gone{i}.test\n") + "d.test 300 MX 99 b.test\n" + B4, truncated=True,
        exchanges=[f"{i} gone{i}.test NXDOMAIN" for i in range(31)] + ["99 b.test OK 192.0.2.2"],
    ),
    *(
        Example(
            "O6", f"{address} is never answered", exchange_with(address), verdict="NO_ROUTABLE_ADDRESS",
            smtp="550 5.4.4", exchanges=["10 a.test FILTERED"], queries=3, ttl=300,
        )
        for address in UNREACHABLE
    ),
    *(
        Example("O6", f"{address} is answered", exchange_with(address), exchanges=[f"10 a.test OK {plain(address)}"])
        for address in PRIVATE[:6]
    ),
    *(
        Example(
            "O6", f"{address} is not answered with drop-private", exchange_with(address),
            daemon={"drop_private": "yes"}, verdict="NO_ROUTABLE_ADDRESS", smtp="550 5.4.4",
        )
        for address in PRIVATE
    ),
    Example(
        "O6", "localhost as an exchange", "d.test 300 MX 10 localhost\nlocalhost 300 A 127.0.0.1\n",
        verdict="NO_ROUTABLE_ADDRESS", smtp="550 5.4.4", exchanges=["10 localhost FILTERED"],
    ),
    Example(
        "O6", "what remains of an exchange is used",
        "d.test 300 MX 10 a.test\na.test 300 A 127.0.0.1\na.test 300 AAAA ::1\n" + A4,
        exchanges=["10 a.test OK 192.0.2.1"],
    ),
    Example(
        "O6", "the allow list wins", exchange_with("127.0.0.1"),
        daemon={"allow_address": "127.0.0.1, 10.0.0.0/8"}, exchanges=["10 a.test OK 127.0.0.1"],
    ),
    Example(
        "O6", "the allow list wins over drop-private", exchange_with("10.1.2.3"),
        daemon={"allow_address": "10.0.0.0/8", "drop_private": "yes"}, exchanges=["10 a.test OK 10.1.2.3"],
    ),
    Example(
        "O6", "an implicit exchange is filtered too", "d.test 300 A 127.0.0.1\n", implicit=True,
        verdict="NO_ROUTABLE_ADDRESS", smtp="550 5.4.4",
    ),
    Example(
        "O6_V12", "an address in the place of a name is filtered too", "d.test 300 MX 10 127.0.0.1\n",
        warnings=["mx_is_address"], verdict="NO_ROUTABLE_ADDRESS", queries=1,
    ),
    Example(
        "O6_V7", "a soft failure beside a filtered exchange", exchange_with("127.0.0.1") + "d.test 300 MX 20 s.test\n",
        scripts={"s.test A": [SERVFAIL], "s.test AAAA": [SERVFAIL]}, verdict="MX_HOSTS_TEMPFAIL", smtp="451 4.4.3",
    ),
    Example(
        "O6_Q3", "a literal that mail cannot go to", "", ask="[127.0.0.1]", verdict="NO_ROUTABLE_ADDRESS",
        smtp="550 5.4.4", ttl=0, queries=0, source="LITERAL", source_again="LITERAL",
    ),
    Example(
        "O7", "the own level and all behind it are left out", BACKUP, wishes={"self_names": ["Self.TEST."]},
        exchanges=["10 a.test OK 192.0.2.1"], queries=9,
    ),
    Example(
        "O7", "self by address", BACKUP, wishes={"self_addresses": text_addresses("192.0.2.2")},
        exchanges=["10 a.test OK 192.0.2.1"],
    ),
    Example(
        "O7", "self by address in mapped form", BACKUP, wishes={"self_addresses": text_addresses("::ffff:192.0.2.2")},
        exchanges=["10 a.test OK 192.0.2.1"],
    ),
    Example(
        "O7_8", "by name alone at cheap depth", BACKUP, depth=EXCHANGES, wishes={"self_names": "self.test"},
        exchanges=["10 a.test NOT_RESOLVED"], queries=1,
    ),
    Example(
        "O7", "self by the configuration", BACKUP, daemon={"self_name": "x.test, self.test"},
        exchanges=["10 a.test OK 192.0.2.1"],
    ),
    Example(
        "O7", "self by an address of the configuration", BACKUP, daemon={"self_address": "192.0.2.2"},
        exchanges=["10 a.test OK 192.0.2.1"],
    ),
    Example(
        "O7", "the best is self", "d.test 300 MX 10 self.test\nd.test 300 MX 20 b.test\n" + B4,
        wishes={"self_names": "self.test"}, verdict="LOOP_SELF_BEST", smtp="554 5.4.6", exchanges=[],
    ),
    Example(
        "O7_V13", "self by the end of an alias",
        "d.test 300 MX 10 c.test\nc.test 300 CNAME self.test\nself.test 300 A 192.0.2.1\n",
        wishes={"self_names": "self.test"}, verdict="LOOP_SELF_BEST", exchanges=[],
    ),
    Example(
        "O7_V3", "a domain without MX that is self", "d.test 300 A 192.0.2.1\n", wishes={"self_names": "d.test"},
        verdict="LOOP_SELF_BEST", implicit=True, exchanges=[],
    ),
    Example(
        "O7", "an address beyond the 8 answered is seen",
        "d.test 300 MX 10 a.test\n" + many(20, "a.test 300 A 192.0.2.{i}\n"),
        wishes={"self_addresses": text_addresses("192.0.2.19"), "order": STABLE}, verdict="LOOP_SELF_BEST",
    ),
    Example(
        "O7", "what is better than self does not exist", GONE_BEFORE_SELF, wishes={"self_names": "self.test"},
        verdict="PRIMARY_UNRESOLVED", smtp="451 4.4.4", exchanges=["10 gone.test NXDOMAIN"],
    ),
    Example(
        "O7", "what is better than self fails softly", GONE_BEFORE_SELF, wishes={"self_names": "self.test"},
        scripts={"gone.test A": [SERVFAIL], "gone.test AAAA": [SERVFAIL]},
        verdict="PRIMARY_UNRESOLVED", smtp="451 4.4.4", exchanges=["10 gone.test TEMPFAIL"],
    ),
    Example(
        "O7_Q3", "a literal that is self", "", ask="[192.0.2.1]", verdict="LOOP_SELF_BEST",
        wishes={"self_addresses": text_addresses("192.0.2.1")}, smtp="554 5.4.6", ttl=0, queries=0, source="LITERAL",
        source_again="LITERAL",
    ),
    Example(
        "O8", "primary_only", BACKUP, wishes={"primary_only": True}, exchanges=["10 a.test OK 192.0.2.1"],
    ),
    Example(
        "O8", "primary_only where the primary is gone", "d.test 300 MX 10 gone.test\nd.test 300 MX 20 b.test\n" + B4,
        wishes={"primary_only": True}, verdict="NO_ROUTABLE_ADDRESS", smtp="451 4.4.4", detail="primary_only",
        exchanges=["10 gone.test NXDOMAIN"],
    ),
    Example(
        "O8", "excluded by name and by address", BACKUP,
        wishes={"exclude": ["A.test", "192.0.2.3"], "order": STABLE},
        exchanges=["20 b.test FILTERED", "20 self.test OK 192.0.2.2", "30 c.test OK 192.0.2.4"],
    ),
    Example(
        "O8", "everything excluded", "d.test 300 MX 10 a.test\n" + A4, wishes={"exclude": "a.test"}, exchanges=[],
        verdict="NO_ROUTABLE_ADDRESS", smtp="451 4.4.4", detail="excluded",
    ),
    Example(
        "O8", "max_exchanges", BACKUP, wishes={"max_exchanges": 2, "order": STABLE},
        exchanges=["10 a.test OK 192.0.2.1", "20 b.test OK 192.0.2.3"],
    ),
    Example(
        "O8_V6", "max_exchanges prefers what can be used",
        "d.test 300 MX 10 gone.test\nd.test 300 MX 20 b.test\n" + B4,
        wishes={"max_exchanges": 1}, exchanges=["20 b.test OK 192.0.2.2"],
    ),
    # ---- the operator's choices ----
    Example(
        "V9", "null-mx-mixed strict", "d.test 300 MX 0 .\nd.test 300 MX 10 a.test\n", depth=EXCHANGES,
        daemon={"null_mx_mixed": "strict"}, verdict="NULL_MX", smtp="556 5.1.10", exchanges=[],
        warnings=["null_mx_mixed"], queries=1,
    ),
    Example(
        "V12", "mx-address reject", "d.test 300 MX 10 192.0.2.7\nd.test 300 MX 20 b.test\n" + B4,
        daemon={"mx_address": "reject"}, exchanges=["10 192.0.2.7 INVALID", "20 b.test OK 192.0.2.2"],
        warnings=["mx_is_address"], queries=3, also=no_query_for("192.0.2.7"),
    ),
    *(
        Example(
            "V12", f"mx-address reject leaves nothing at depth {depth}", "d.test 300 MX 10 192.0.2.7\n", depth=depth,
            daemon={"mx_address": "reject"}, verdict="MX_ALL_INVALID", smtp="550 5.4.4",
            exchanges=["10 192.0.2.7 INVALID"], warnings=["mx_is_address"], queries=1, ttl=300,
        )
        for depth in (EXCHANGES, ADDRESSES)
    ),
    Example(
        "V13_V7", "mx-cname reject leaves nothing",
        "d.test 300 MX 10 c.test\nc.test 60 CNAME h.test\nh.test 300 A 192.0.2.1\n", daemon={"mx_cname": "reject"},
        verdict="MX_HOSTS_NO_ADDRESS", smtp="550 5.4.4", exchanges=["10 c.test CNAME_REJECTED > h.test"],
        warnings=["mx_is_cname"],
    ),
    # ---- sites ----
    Example(
        "S2", "a site of one level", "".join(f"d.test 300 MX 1 mta{i}.am0.yahoodns.net\n" for i in (6, 5, 7)),
        depth=EXCHANGES, site="(mta5|mta6|mta7).am0.yahoodns.net",
    ),
    Example(
        "S2", "a site of several levels", GMAIL, depth=EXCHANGES,
        site="(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com",
    ),
    Example(
        "S2_V7", "a site although there is no route", "d.test 300 MX 10 gone.test\n", verdict="MX_HOSTS_NO_ADDRESS",
        site="gone.test", each=lambda test, reply: test.assertEqual(len(reply.site_id), 16),
    ),
    Example(
        "S2_V2", "no site without exchanges", "", ask="none.test", verdict="NO_SUCH_DOMAIN", site="",
        each=lambda test, reply: test.assertEqual(reply.site_id, b""),
    ),
    # ---- lifetimes ----
    Example(
        "T1", "the least TTL of a set", "d.test 300 MX 10 a.test\nd.test 100 MX 20 b.test\n", depth=EXCHANGES,
        exchanges=["10 a.test NOT_RESOLVED", "20 b.test NOT_RESOLVED"], ttl=100, mx_ttl=100,
    ),
    Example(
        "T1_T9", "addresses live on their own TTL", "d.test 3600 MX 10 a.test\na.test 60 A 192.0.2.1\n",
        exchanges=["10 a.test OK 192.0.2.1"], ttl=60, mx_ttl=3600, also=address_ttl_is(60),
    ),
    Example(
        "T2", "a TTL with its top bit set is a large number", f"d.test {2**31 + 5} MX 10 a.test\n",
        depth=EXCHANGES, ttl=MAX_TTL,
    ),
    Example("T2", "max-ttl", "d.test 3600 MX 10 a.test\n", depth=EXCHANGES, daemon={"max_ttl": 120}, ttl=120),
    Example("T2", "min-ttl", "d.test 5 MX 10 a.test\n", depth=EXCHANGES, daemon={"min_ttl": 60}, ttl=60),
    Example(
        "T2", "min-ttl does not hold for denials", "x.test 1 A 192.0.2.1\n", ask="none.test",
        upstream={"soa": (20, 20)}, daemon={"min_ttl": 60}, verdict="NO_SUCH_DOMAIN", ttl=20,
    ),
    Example(
        "T4", "max-negative-ttl", "", ask="none.test", daemon={"max_negative_ttl": 100},
        verdict="NO_SUCH_DOMAIN", ttl=100,
    ),
    Example(
        "T4", "a denial without SOA", "", scripts={"d.test MX": [rcode(dnswire.NXDOMAIN)]},
        verdict="NO_SUCH_DOMAIN", ttl=5, queries=1,
    ),
    Example(
        "T5", "a failure lives failure-ttl, within a tenth", "", scripts={"d.test MX": [SERVFAIL]},
        daemon={"failure_ttl": 40}, verdict="DNS_SERVFAIL", also=ttl_between(34, 44),
    ),
    # ---- the question ----
    Example(
        "Q3", "an IPv4 literal", "", ask="[192.0.2.1]", exchanges=["0 192.0.2.1 OK 192.0.2.1"], ttl=0, queries=0,
        source="LITERAL", source_again="LITERAL",
    ),
    Example(
        "Q3", "an IPv6 literal", "", ask="[IPv6:2001:DB8::1]", queries=0, ttl=0,
        exchanges=["0 2001:db8::1 OK 2001:db8::1"], source="LITERAL", source_again="LITERAL",
    ),
    Example(
        "Q4", "accept-bare-ip", "", ask="192.0.2.1", daemon={"accept_bare_ip": "yes"}, queries=0,
        exchanges=["0 192.0.2.1 OK 192.0.2.1"], source="LITERAL", source_again="LITERAL",
    ),
    Example(
        "Q5", "underscores and hyphens at any place", "_a.-b-.test 300 MX 10 _x.-y.test\n", ask="_a.-b-.test",
        depth=EXCHANGES, exchanges=["10 _x.-y.test NOT_RESOLVED"], queries=1,
    ),
    Example(
        "Q6", "allow-single-label", "ai 300 MX 10 a.test\n", ask="ai", daemon={"allow_single_label": "yes"},
        depth=EXCHANGES, exchanges=["10 a.test NOT_RESOLVED"], queries=1,
    ),
    *(
        Example(
            rules, f"invalid {number}", "", ask=ask, verdict="INVALID_NAME", smtp="501 5.1.2", ttl=0, queries=0,
            source="POLICY", source_again="POLICY",
        )
        for number, (rules, ask) in enumerate(
            [
                ("Q1", "example.test.."),
                ("Q2", b"b\xfccher.test"),
                ("Q2", "xn--\u00fc.test"),
                ("Q3", "[192.0.2.256]"),
                ("Q3", "[192.0.2.1"),
                ("Q3", "[2001:db8::1]"),
                ("Q3", "[IPv6:2001:db8::1::2]"),
                ("Q4", "192.0.2.1"),
                ("Q4", "2001:db8::1"),
                ("Q5", "."),
                ("Q5", "a..test"),
                ("Q5", ".a.test"),
                ("Q5", "a b.test"),
                ("Q5", "user@d.test"),
                ("Q5", b"a\0b.test"),
                ("Q5", "a\tb.test"),
                ("Q5", "a" * 64 + ".test"),
                ("Q5", ".".join(["a" * 63] * 4) + ".test"),
                ("Q6", "localhost"),
                ("Q6", "ai."),
            ]
        )
    ),
    # ---- depth ----
    Example(
        "8", "cheap depth asks for the MX alone", "d.test 300 MX 10 a.test\n" + A4, depth=EXCHANGES,
        exchanges=["10 a.test NOT_RESOLVED"], ttl=300, queries=1,
    ),
    Example(
        "8_V3", "cheap depth does not check an implicit MX", "d.test 300 TXT x\n", depth=EXCHANGES,
        exchanges=["0 d.test NOT_RESOLVED"], implicit=True, ttl=900, queries=1,
    ),
]  # fmt: skip


class RoutingExamples(FlowTest):
    """One test method for each of EXAMPLES, added below."""

    def check_reply(self, example, reply, slack_s=0):
        self.assertEqual(reply.verdict, example.verdict, reply)
        if example.verdict == "ROUTE":
            self.assertEqual((reply.smtp_code, reply.enhanced_status), (0, ""))
        if example.smtp is not None:
            self.assertEqual(f"{reply.smtp_code} {reply.enhanced_status}", example.smtp)
        if example.exchanges is not None:
            self.assertEqual([exchange_text(exchange) for exchange in reply.exchanges], example.exchanges)
        for name in ("ttl", "mx_ttl"):
            expected = getattr(example, name)
            if expected is not None:
                value = getattr(reply, name)
                self.assertTrue(
                    expected - slack_s <= value <= expected, f"{name} is {value}, not {expected} (-{slack_s})"
                )
        if example.canonical is not None:
            self.assertEqual(reply.canonical, example.canonical)
        if example.implicit is not None:
            self.assertEqual(reply.implicit, example.implicit)
        self.assertEqual(reply.warnings, sorted(example.warnings))
        self.assertFalse(reply.stale)
        self.assertEqual(reply.truncated, example.truncated)
        self.assertTrue(reply.detail.startswith(example.detail), reply.detail)
        if example.verdict != "INVALID_NAME":
            self.assertEqual(bool(reply.detail), bool(example.detail), reply.detail)
        if example.site is not None:
            self.assertEqual(reply.site_name, example.site)
        if example.each:
            example.each(self, reply)

    def run_example(self, example):
        upstream = self.start_upstream(example.zone, **example.upstream)
        for question, replies in example.scripts.items():
            upstream.on(*question.split(), *replies)
        daemon = self.start_daemon(upstream, **example.daemon)
        client = self.connect(daemon)
        before_s = time.monotonic()
        with self.subTest("cold"):
            reply = client.ask(example.ask, depth=example.depth, **example.wishes)
            # The facts may be a moment old already: they live from the first of several queries.
            self.check_reply(example, reply, slack_s=1)
            self.assertEqual(reply.source, example.source)
            if example.queries is not None:
                self.assertEqual(upstream.count(), example.queries, upstream.log())
            if example.also:
                example.also(self, reply, upstream)
        asked = upstream.count()
        with self.subTest("again"):
            reply = client.ask(example.ask, depth=example.depth, **example.wishes)
            self.check_reply(example, reply, slack_s=2 + int(time.monotonic() - before_s))
            self.assertEqual(reply.source, example.source_again)
            self.assertEqual(upstream.count(), asked, upstream.log()[asked:])


def _add_examples():
    for example in EXAMPLES:
        if hasattr(RoutingExamples, example.method):
            raise AssertionError(f"two examples named {example.method}")
        setattr(RoutingExamples, example.method, lambda self, example=example: self.run_example(example))


_add_examples()


class Names(FlowTest):
    """Q1, Q2: one entry for every spelling."""

    def test_spellings_of_one_name_share_one_entry(self):
        upstream = self.start_upstream("example.test 300 MX 10 a.test\n")
        client = self.connect(self.start_daemon(upstream))
        for spelling in ["EXAMPLE.test", "example.test", "example.test.", "eXample.TEST."]:
            reply = client.ask(spelling)
            self.assertEqual((reply.verdict, reply.canonical), ("ROUTE", "example.test"))
        self.assertEqual(upstream.count(), 1)

    def test_unicode_and_a_label_share_one_entry(self):
        upstream = self.start_upstream("xn--bcher-kva.test 300 MX 10 a.test\nxn--fa-hia.test 300 MX 10 b.test\n")
        client = self.connect(self.start_daemon(upstream))
        for spelling in ["b\u00fccher.test", "xn--bcher-kva.test", "B\u00dcCHER.test", "XN--BCHER-KVA.Test."]:
            reply = client.ask(spelling)
            self.assertEqual((reply.verdict, reply.canonical), ("ROUTE", "xn--bcher-kva.test"))
        self.assertEqual(upstream.count(), 1)
        # Non-transitional: the sharp s stays one letter.
        self.assertEqual(client.ask("fa\u00df.test").hosts, ["b.test"])

    def test_no_search_list_is_ever_used(self):
        upstream = self.start_upstream()
        client = self.connect(self.start_daemon(upstream))
        self.assertEqual(client.ask("none.test").verdict, "NO_SUCH_DOMAIN")
        self.assertEqual([query.name for query in upstream.log()], ["none.test"])


class Order(FlowTest):
    """O1, O2: equal preference is shuffled for every answer."""

    LOOKUPS = 600

    def first_hosts(self, zone, count):
        upstream = self.start_upstream(zone)
        client = self.connect(self.start_daemon(upstream))
        client.ask("d.test", depth=ADDRESSES)
        first = {}
        for start in range(0, count, 100):
            identities = [client.send("d.test", depth=ADDRESSES) for _ in range(100)]
            for reply in client.receive_many(len(identities)).values():
                first[reply.hosts[0]] = first.get(reply.hosts[0], 0) + 1
        self.assertEqual(sum(first.values()), count)
        return first

    # Bounds of more than 5 standard deviations: a false alarm in less than one of a million runs.

    def test_a_two_way_tie_is_spread_evenly(self):
        first = self.first_hosts("d.test 300 MX 10 a.test\nd.test 300 MX 10 b.test\n" + A4 + B4, self.LOOKUPS)
        for host in ("a.test", "b.test"):  # 300 expected, deviation 12.2
            self.assertTrue(235 <= first[host] <= 365, first)

    def test_a_three_way_tie_is_spread_evenly(self):
        zone = "".join(f"d.test 300 MX 10 {h}.test\n{h}.test 300 A 192.0.2.1\n" for h in "abc")
        first = self.first_hosts(zone, self.LOOKUPS)
        for host in ("a.test", "b.test", "c.test"):  # 200 expected, deviation 11.5
            self.assertTrue(138 <= first[host] <= 262, first)

    def test_the_spread_is_by_exchange_not_by_address(self):
        zone = "d.test 300 MX 10 a.test\nd.test 300 MX 10 b.test\n" + B4
        first = self.first_hosts(zone + many(8, "a.test 300 A 192.0.2.1{i}\n"), 2000)
        self.assertTrue(880 <= first["a.test"] <= 1120, first)  # 1000 expected, deviation 22.4

    def test_levels_stay_apart(self):
        zone = "".join(f"d.test 300 MX {p} {h}.test\n" for p, h in ((20, "c"), (10, "a"), (20, "d"), (10, "b")))
        upstream = self.start_upstream(zone)
        client = self.connect(self.start_daemon(upstream))
        seen = set()
        for _ in range(200):
            reply = client.ask("d.test")
            self.assertEqual([exchange.preference for exchange in reply.exchanges], [10, 10, 20, 20])
            self.assertEqual({h[0] for h in reply.hosts[:2]}, {"a", "b"})
            seen.add("".join(host[0] for host in reply.hosts))
        self.assertEqual(seen, {"abcd", "abdc", "bacd", "badc"})

    def test_a_level_that_does_not_fit_is_cut_after_the_shuffle(self):
        upstream = self.start_upstream(many(40, "d.test 300 MX 10 h{i}.test\n"))
        client = self.connect(self.start_daemon(upstream))
        seen = set()
        for _ in range(60):
            reply = client.ask("d.test")
            self.assertEqual((len(set(reply.hosts)), reply.truncated), (32, True))
            seen |= set(reply.hosts)
        # A given host is left out 60 times in a row with probability 0.2^60.
        self.assertEqual(len(seen), 40)

    def test_addresses_of_an_exchange_alternate_and_change(self):
        zone = "d.test 300 MX 10 a.test\n" + many(3, "a.test 300 A 192.0.2.{i}\na.test 300 AAAA 2001:db8::{i}\n")
        client = self.connect(self.start_daemon(self.start_upstream(zone)))
        first = set()
        for _ in range(200):
            addresses = client.ask("d.test", depth=ADDRESSES).exchanges[0].addresses
            self.assertEqual([ipaddress.ip_address(a).version for a in addresses], [6, 4] * 3)
            self.assertEqual(len(set(addresses)), 6)
            first.add(addresses[0])
        self.assertEqual(len(first), 3)


class Callers(FlowTest):
    """O3, O7, O8, S1: one entry for everybody, an answer for each."""

    def test_callers_with_different_wishes_share_one_entry(self):
        upstream = self.start_upstream(BACKUP)
        client = self.connect(self.start_daemon(upstream))
        client.ask("d.test", depth=ADDRESSES)
        asked = upstream.count()
        for wishes, verdict, hosts in [
            ({}, "ROUTE", None),
            ({"self_names": "self.test"}, "ROUTE", ["a.test"]),
            ({"self_names": "a.test"}, "LOOP_SELF_BEST", []),
            ({"order": STABLE}, "ROUTE", ["a.test", "b.test", "self.test", "c.test"]),
            ({"exclude": "a.test", "primary_only": True, "order": STABLE}, "ROUTE", ["b.test", "self.test"]),
            ({"family": V6}, "NO_ROUTABLE_ADDRESS", None),
            ({}, "ROUTE", None),
        ]:
            with self.subTest(wishes):
                reply = client.ask("d.test", depth=ADDRESSES, **wishes)
                self.assertEqual((reply.verdict, reply.source), (verdict, "MEMORY"))
                if hosts is not None:
                    self.assertEqual(reply.hosts, hosts)
        self.assertEqual(upstream.count(), asked)

    def test_callers_with_different_wishes_wait_for_one_query(self):
        upstream = self.start_upstream(BACKUP)
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream)
        client = self.connect(daemon)
        plain_id = client.send("d.test")
        self_id = client.send("d.test", self_names="self.test")
        loop_id = client.send("d.test", self_names="a.test")
        daemon.wait_counter("lookups-coalesced", 2)
        upstream.release()
        replies = client.receive_many(3)
        self.assertEqual(len(replies[plain_id].hosts), 4)
        self.assertEqual(replies[self_id].hosts, ["a.test"])
        self.assertEqual(replies[loop_id].verdict, "LOOP_SELF_BEST")
        self.assertEqual(upstream.count(), 1)

    def test_a_key_keeps_its_exchange_on_every_node(self):
        hosts = "".join(f"d.test 300 MX 10 {h}.test\n" for h in "abcdef")
        without_b = "".join(f"d.test 300 MX 10 {h}.test\n" for h in "acdef")
        orders = []
        for number, zone in enumerate((hosts, hosts, without_b)):
            daemon = self.start_daemon(
                self.start_upstream(zone), log=f"node{number}.log", listen=self.folder / f"node{number}.sock"
            )
            client = self.connect(daemon)
            orders.append([client.ask("d.test", order=KEYED, order_key=f"sender-{i}").hosts for i in range(60)])
        first, second, reduced = orders
        self.assertEqual(first, second)
        self.assertEqual({order[0] for order in first}, {f"{h}.test" for h in "abcdef"})
        for before, after in zip(first, reduced):
            self.assertEqual(after, [host for host in before if host != "b.test"])

    def test_a_key_keeps_its_address(self):
        zone = "d.test 300 MX 10 a.test\n" + many(5, "a.test 300 A 192.0.2.{i}\n")
        client = self.connect(self.start_daemon(self.start_upstream(zone)))
        first = set()
        for number in range(40):
            orders = [
                client.ask("d.test", depth=ADDRESSES, order=KEYED, order_key=f"k{number}").exchanges[0].addresses
                for _ in range(2)
            ]
            self.assertEqual(orders[0], orders[1])
            first.add(orders[0][0])
        self.assertEqual(len(first), 5)

    def test_domains_of_one_site_have_one_id(self):
        upstream = self.start_upstream(
            "one.test 300 MX 10 a.test\none.test 300 MX 20 b.test\n"
            "same.test 300 MX 7 B.test\nsame.test 300 MX 5 A.test\n"
            "flat.test 300 MX 10 a.test\nflat.test 300 MX 10 b.test\n"
            "explicit.test 300 MX 0 implicit.test\nimplicit.test 300 A 192.0.2.1\n"
        )
        client = self.connect(self.start_daemon(upstream))
        sites = {name: client.ask(f"{name}.test") for name in ("one", "same", "flat", "explicit", "implicit")}
        self.assertEqual(sites["one"].site_id, sites["same"].site_id)
        self.assertNotEqual(sites["one"].site_id, sites["flat"].site_id)
        # They go the same way by another right (S1): the implicit flag is part of the site.
        self.assertEqual(sites["explicit"].hosts, sites["implicit"].hosts)
        self.assertNotEqual(sites["explicit"].site_id, sites["implicit"].site_id)
        self.assertEqual((sites["explicit"].implicit, sites["implicit"].implicit), (False, True))
        self.assertEqual({len(reply.site_id) for reply in sites.values()}, {16})

    def test_a_site_does_not_depend_on_who_asks(self):
        client = self.connect(self.start_daemon(self.start_upstream(BACKUP)))
        replies = [client.ask("d.test", **wishes) for wishes in ({}, {"self_names": "a.test"}, {"exclude": "a.test"})]
        self.assertEqual({reply.site_id for reply in replies}, {replies[0].site_id})
        self.assertEqual({reply.site_name for reply in replies}, {"(a|b|self|c).test"})

    def test_what_cannot_be_a_wish_is_refused(self):
        client = self.connect(self.start_daemon(self.start_upstream(BACKUP)))
        for wishes, detail in [
            ({"self_names": "a b.test"}, "self_names"),
            ({"self_addresses": b"abc"}, "self_addresses"),
            ({"exclude": ""}, "exclude"),
            ({"exclude": ["a.test"] * 65}, "exclude"),
            ({"exclude": [("x" * 60 + ".") * 4 + f"t{i}" for i in range(17)]}, "exclude"),
            ({"order": KEYED}, "order_key"),
            ({"order": STABLE, "order_key": "k"}, "order_key"),
            ({"order": KEYED, "order_key": b"k" * 4097}, "order_key"),
        ]:
            with self.subTest(detail):
                reply = client.ask("d.test", **wishes)
                self.assertEqual((reply.verdict, reply.smtp_code), ("BAD_REQUEST", 501))
                self.assertTrue(reply.detail.startswith(f"{detail}: "), reply.detail)
        self.assertEqual(client.ask("d.test", exclude=["a.test"] * 64).verdict, "ROUTE")


class Lifetimes(FlowTest):
    """T1, T3, T9: what expires when. Real seconds pass here, as few as there can be."""

    def test_ttl_runs_down_and_age_up(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n")
        client = self.connect(self.start_daemon(upstream))
        cold = client.ask("d.test")
        self.assertEqual((cold.age, cold.source), (0, "DNS"))

        def a_second_later():
            reply = client.ask("d.test")
            return reply if reply.age >= 1 else None

        later = wait_until(a_second_later, "an age of a second")
        self.assertEqual(later.source, "MEMORY")
        self.assertIn(later.ttl + later.age, (299, 300))
        self.assertEqual(later.mx_ttl, later.ttl)
        self.assertEqual(upstream.count(), 1)

    def test_an_expired_address_is_asked_for_without_its_mx(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\na.test 1 A 192.0.2.1\n")
        client = self.connect(self.start_daemon(upstream))
        client.ask("d.test", depth=ADDRESSES)

        def asked_again():
            self.assertEqual(client.ask("d.test", depth=ADDRESSES).verdict, "ROUTE")
            return upstream.count("a.test", "A") >= 2

        wait_until(asked_again, "a second query for the address")
        self.assertEqual((upstream.count("d.test", "MX"), upstream.count("a.test", "AAAA")), (1, 1))

    def test_an_expired_domain_is_asked_for_again(self):
        upstream = self.start_upstream("d.test 1 MX 10 a.test\n")
        client = self.connect(self.start_daemon(upstream, prefetch=0))
        before_s = time.monotonic()
        client.ask("d.test")
        wait_until(lambda: client.ask("d.test").source == "DNS", "a second query")
        self.assertGreaterEqual(time.monotonic() - before_s, 1.0)
        self.assertEqual(upstream.count(), 2)

    def test_domains_share_the_addresses_of_an_exchange(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\ne.test 300 MX 20 a.test\n" + A4)
        client = self.connect(self.start_daemon(upstream))
        client.ask("d.test", depth=ADDRESSES)
        reply = client.ask("e.test", depth=ADDRESSES)
        self.assertEqual([exchange_text(e) for e in reply.exchanges], ["20 a.test OK 192.0.2.1"])
        self.assertEqual(upstream.count(), 4)

    def test_depth_can_grow_from_cached_exchanges(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        client = self.connect(self.start_daemon(upstream))
        client.ask("d.test", depth=EXCHANGES)
        self.assertEqual(client.ask("d.test", depth=ADDRESSES).exchanges[0].addresses, ["192.0.2.1"])
        self.assertEqual((upstream.count("d.test", "MX"), upstream.count()), (1, 3))

    def test_ttl_zero_serves_everyone_waiting_and_is_forgotten(self):
        upstream = self.start_upstream("d.test 0 MX 10 a.test\n")
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream)
        clients = [self.connect(daemon) for _ in range(100)]
        for client in clients:
            client.send("d.test")
        daemon.wait_counter("lookups-coalesced", 99)
        upstream.release()
        for client in clients:
            reply = client.receive()
            self.assertEqual((reply.verdict, reply.hosts, reply.ttl), ("ROUTE", ["a.test"], 0))
        self.assertEqual(upstream.count(), 1)
        self.assertEqual(clients[0].ask("d.test").verdict, "ROUTE")
        self.assertEqual(upstream.count(), 2)

    def test_refresh_asks_again_and_cache_only_never(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n")
        client = self.connect(self.start_daemon(upstream))
        reply = client.ask("d.test", cache_only=True)
        self.assertEqual((reply.verdict, reply.smtp_code, upstream.count()), ("NOT_CACHED", 451, 0))
        client.ask("d.test")
        upstream.clear()
        upstream.add("d.test 300 MX 10 b.test\n")
        self.assertEqual(client.ask("d.test", cache_only=True).hosts, ["a.test"])
        self.assertEqual(upstream.count(), 1)
        reply = client.ask("d.test", refresh=True)
        self.assertEqual((reply.hosts, reply.source, upstream.count()), (["b.test"], "DNS", 2))
        self.assertEqual((client.ask("d.test").hosts, upstream.count()), (["b.test"], 2))


class Waiting(FlowTest):
    """T8, L1: concurrent questions, deadlines, and hits beside misses."""

    def test_ten_thousand_cold_requests_cost_three_queries(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n" + A4)
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream, lookup_deadline=60000, query_timeout=60000)
        clients = [self.connect(daemon) for _ in range(10)]
        burst = b"".join(frame(pack_request(id=i, domain="d.test", depth=ADDRESSES)) for i in range(1, 1001))
        for client in clients:
            client.send_bytes(burst)
        daemon.wait_counter("misses", 10_000)
        upstream.release()
        for client in clients:
            replies = client.receive_many(1000)
            self.assertEqual({reply.verdict for reply in replies.values()}, {"ROUTE"})
            self.assertEqual({tuple(r.exchanges[0].addresses) for r in replies.values()}, {("192.0.2.1",)})
        asked = sorted((query.name, query.type) for query in upstream.log())
        self.assertEqual(asked, [("a.test", "A"), ("a.test", "AAAA"), ("d.test", "MX")])

    def test_a_short_deadline_is_kept_and_the_entry_fills_later(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n")
        upstream.on("d.test", "MX", Reply(held=True))
        daemon = self.start_daemon(upstream)
        client = self.connect(daemon)
        reply, took_ms = client.ask_timed("d.test", timeout_ms=200)
        self.assertEqual((reply.verdict, reply.smtp_code), ("DEADLINE", 451))
        self.assertGreaterEqual(took_ms, 199.0)
        self.assertLess(took_ms, 1500.0 if INSTRUMENTED else 260.0)
        upstream.release()
        wait_until(lambda: client.ask("d.test", cache_only=True).verdict == "ROUTE", "the entry fills")
        self.assertEqual(upstream.count(), 1)
        self.assertEqual(daemon.counters()["lookups-deadline"], 1)

    def test_each_waiter_keeps_its_own_deadline(self):
        upstream = self.start_upstream("d.test 300 MX 10 a.test\n")
        upstream.on("d.test", "MX", Reply(held=True))
        client = self.connect(self.start_daemon(upstream))
        patient = client.send("d.test")
        hasty = client.send("d.test", timeout_ms=50)
        reply = client.receive()
        self.assertEqual((reply.id, reply.verdict), (hasty, "DEADLINE"))
        upstream.release()
        reply = client.receive()
        self.assertEqual((reply.id, reply.verdict), (patient, "ROUTE"))
        self.assertEqual(upstream.count(), 1)

    def test_the_daemons_deadline_ends_every_lookup(self):
        upstream = self.start_upstream(default=SILENT)
        client = self.connect(self.start_daemon(upstream, lookup_deadline=300, query_timeout=200, query_tries=10))
        reply, took_ms = client.ask_timed("d.test")
        self.assertTrue(reply.temporary, reply)
        self.assertIn(reply.verdict, ("DNS_TIMEOUT", "DEADLINE"))
        self.assertLess(took_ms, 3000.0 if INSTRUMENTED else 600.0)

    def test_a_hit_never_waits_behind_a_miss(self):
        upstream = self.start_upstream("hit.test 300 MX 10 a.test\n", default=Reply())
        upstream.on("silent.test", "MX", SILENT)
        client = self.connect(self.start_daemon(upstream))
        client.ask("hit.test")
        body = b"".join(
            frame(pack_request(id=identity, domain=domain))
            for identity, domain in ((1, "silent.test"), (2, "hit.test"), (3, "hit.test"))
        )
        before_s = time.monotonic()
        client.send_bytes(body)
        replies = [client.receive() for _ in range(2)]
        took_ms = (time.monotonic() - before_s) * 1000.0
        self.assertEqual(sorted(reply.id for reply in replies), [2, 3])
        self.assertEqual({reply.source for reply in replies}, {"MEMORY"})
        self.assertLess(took_ms, 700.0)  # Less than one try of the silent name.

    def test_misses_do_not_wait_for_each_other(self):
        upstream = self.start_upstream("quick.test 300 MX 10 a.test\n")
        upstream.on("slow.test", "MX", SILENT)
        client = self.connect(self.start_daemon(upstream))
        client.send("slow.test")
        quick = client.send("quick.test")
        self.assertEqual(client.receive().id, quick)

    def test_no_more_queries_are_under_way_than_allowed(self):
        upstream = self.start_upstream(many(50, "d{i}.test 300 MX 10 a.test\n"), default=Reply(held=True))
        daemon = self.start_daemon(upstream, max_queries=5, lookup_deadline=60000, query_timeout=60000)
        client = self.connect(daemon)
        for number in range(50):
            client.send(f"d{number}.test")
        daemon.wait_counter("misses", 50)
        wait_until(lambda: upstream.count() >= 5, "five queries")
        self.assertEqual(daemon.counters()["dns-queries"], 5)
        upstream.release()
        self.assertEqual({reply.verdict for reply in client.receive_many(50).values()}, {"ROUTE"})
        self.assertEqual(upstream.count(), 50)

    def test_over_the_queue_bound_a_lookup_is_refused_at_once(self):
        upstream = self.start_upstream(default=SILENT)
        daemon = self.start_daemon(upstream, max_queries=2, max_queue=2, lookup_deadline=2000)
        client = self.connect(daemon)
        for number in range(40):
            client.send(f"d{number}.test")
        refused = client.receive()
        self.assertEqual((refused.verdict, refused.smtp_code), ("OVERLOAD", 451))
        self.assertLessEqual(upstream.count(), 4)


class Memory(FlowTest):
    def test_a_small_cache_evicts_and_stays_right(self):
        count = 8000
        zone = many(count, "domain-{i}.test 3600 MX 10 exchange-{i}.a-rather-long-name-for-an-exchange.test\n")
        upstream = self.start_upstream(zone)
        daemon = self.start_daemon(upstream, cache_size="1MiB")
        client = self.connect(daemon)
        wrong = []
        for start in range(0, count, 500):
            asked = {client.send(f"domain-{i}.test"): i for i in range(start, start + 500)}
            for identity, reply in client.receive_many(len(asked)).items():
                host = f"exchange-{asked[identity]}.a-rather-long-name-for-an-exchange.test"
                if (reply.verdict, reply.hosts) != ("ROUTE", [host]):
                    wrong.append(reply)
        self.assertEqual(wrong, [])
        counters = daemon.counters()
        self.assertEqual(counters["dns-queries"], count)
        self.assertGreater(counters["cache-evictions"], count // 4)
        self.assertLess(counters["cache-evictions"], count)
        # What came last is still there.
        self.assertEqual(client.ask(f"domain-{count - 1}.test").source, "MEMORY")

    def test_what_is_asked_for_often_outlives_what_is_asked_for_once(self):
        upstream = self.start_upstream(
            "often.test 3600 MX 10 a.test\n" + many(8000, "once-{i}.test 3600 MX 10 exchange-{i}.example.test\n")
        )
        daemon = self.start_daemon(upstream, cache_size="1MiB")
        client = self.connect(daemon)
        client.ask("often.test")
        for start in range(0, 8000, 100):
            for number in range(start, start + 100):
                client.send(f"once-{number}.test")
            client.send("often.test")
            client.receive_many(101)
        self.assertGreater(daemon.counters()["cache-evictions"], 1000)
        self.assertEqual(upstream.count("often.test"), 1)


class Upstreams(FlowTest):
    """Several servers, bad servers, and replies that are none."""

    ZONE = "d.test 300 MX 10 a.test\n"

    def test_the_next_server_is_asked_where_one_does_not_help(self):
        for name, bad in [("silent", SILENT), ("SERVFAIL", SERVFAIL), ("REFUSED", REFUSED)]:
            with self.subTest(name):
                first, second = self.start_upstream(default=bad), self.start_upstream(self.ZONE)
                daemon = self.start_daemon(
                    first, second, query_timeout=150, log=f"{name}.log", listen=self.folder / f"{name}.sock"
                )
                reply = self.connect(daemon).ask("d.test")
                self.assertEqual((reply.verdict, reply.hosts), ("ROUTE", ["a.test"]))
                self.assertEqual(second.count(), 1)

    def test_a_server_that_is_gone_is_passed_over(self):
        gone, second = self.start_upstream(), self.start_upstream(self.ZONE)
        gone.stop()
        client = self.connect(self.start_daemon(gone, second, query_timeout=300))
        self.assertEqual(client.ask("d.test").hosts, ["a.test"])

    def test_without_any_server_the_network_is_to_blame(self):
        gone = self.start_upstream()
        gone.stop()
        client = self.connect(self.start_daemon(gone, query_timeout=100))
        reply = client.ask("d.test")
        self.assertEqual((reply.verdict, reply.smtp_code), ("DNS_NETWORK", 451))

    def test_a_lost_query_is_sent_again(self):
        upstream = self.start_upstream(self.ZONE)
        upstream.on("d.test", "MX", SILENT, Reply())
        client = self.connect(self.start_daemon(upstream, query_timeout=100))
        self.assertEqual((client.ask("d.test").verdict, upstream.count()), ("ROUTE", 2))

    def test_replies_to_another_question_are_not_believed(self):
        other = dnswire.pack_name("e.test") + b"\0\x0f\0\1"
        for name, bad in [
            ("another question", Reply(records="d.test 300 MX 1 evil.test", question=other)),
            ("another id", Reply(mutate=lambda m: bytes([m[0] ^ 0xFF]) + m[1:])),
            ("a query, no reply", Reply(mutate=lambda m: m[:2] + bytes([m[2] & 0x7F]) + m[3:])),
            ("noise", Reply(mutate=lambda m: m[:2] + b"\xff" * 40)),
            ("a few octets", Reply(mutate=lambda m: m[:5])),
            ("nothing", Reply(mutate=lambda m: b"")),
        ]:
            with self.subTest(name):
                word = name.replace(" ", "-").replace(",", "")
                upstream = self.start_upstream(self.ZONE)
                # The right answer follows, so that a daemon that goes on waiting gets it.
                upstream.on("d.test", "MX", bad, Reply())
                daemon = self.start_daemon(
                    upstream, query_timeout=100, log=f"{word}.log", listen=self.folder / f"{word}.sock"
                )
                client = self.connect(daemon)
                reply = client.ask("d.test")
                self.assertNotIn("evil.test", reply.hosts)
                self.assertIn(reply.verdict, ("ROUTE", "DNS_MALFORMED", "DNS_TIMEOUT"))
                self.assertTrue(daemon.is_running())

    def test_a_reply_sent_three_times_is_one_answer(self):
        upstream = self.start_upstream(self.ZONE, default=Reply(copies=3))
        daemon = self.start_daemon(upstream)
        client = self.connect(daemon)
        for number in range(20):
            upstream.add(f"d{number}.test 300 MX 10 a{number}.test\n")
            self.assertEqual(client.ask(f"d{number}.test").hosts, [f"a{number}.test"])
        self.assertEqual(upstream.count(), 20)

    def test_tcp_that_hangs_up_is_a_failure_not_a_route(self):
        upstream = self.start_upstream(self.ZONE)
        upstream.on("d.test", "MX", Reply(truncated=True), tcp=Reply(hang_up=True))
        client = self.connect(self.start_daemon(upstream, query_timeout=150))
        reply = client.ask("d.test")
        self.assertTrue(reply.verdict.startswith("DNS_") and reply.temporary, reply)

    def test_source_port_and_id_change_from_query_to_query(self):
        upstream = self.start_upstream("".join(f"d{i}.test 300 MX 10 a.test\n" for i in range(60)))
        client = self.connect(self.start_daemon(upstream))
        for number in range(60):
            client.ask(f"d{number}.test")
        identities = [query.id for query in upstream.log()]
        # 60 draws of 65536: three pairs by chance happen in less than one of 10^6 runs.
        self.assertGreaterEqual(len(set(identities)), 58)
        steps = {b - a for a, b in zip(identities, identities[1:])}
        self.assertGreater(len(steps), 50)


class Frontends(FlowTest):
    def test_every_frontend_answers_from_the_same_memory(self):
        upstream = self.start_upstream("".join(f"d{i}.test 300 MX 10 a{i}.test\n" for i in range(50)))
        daemon = self.start_daemon(upstream, frontends=FRONTENDS or 4)
        wrong = []

        def work():
            with daemon.client() as client:
                for number in list(range(50)) * 4:
                    reply = client.ask(f"d{number}.test")
                    if reply.hosts != [f"a{number}.test"]:
                        wrong.append(reply)

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(wrong, [])
        self.assertEqual(upstream.count(), 50)


if __name__ == "__main__":
    unittest.main()
