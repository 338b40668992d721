"""What the flow tests of the shared store have in common: nodes of a cluster, senders that go on asking, and what they must see.

A sender must see no difference between a node whose redis-server is in trouble and one that never heard of Redis: so each question is
put to both at the same moment, and the answers are compared field by field, and by the time they took.

MXWAY_TEST_OUTAGE_S is how long an outage lasts (2 seconds).
"""
import dataclasses
import itertools
import json
import os
import select
import threading
import time

from harness import INSTRUMENTED, cpu_stalls_s, run_tool, wait_until
from protocol import ADDRESSES, STABLE
from redis_servers import RedisTest
from simulated import SimulatedUpstream

OUTAGE_S = float(os.environ.get("MXWAY_TEST_OUTAGE_S", 2))
# In an outage of this length the pauses of the breaker stay short, and the test does.
BRIEF_S = 1.0 if OUTAGE_S < 10.0 else OUTAGE_S
TTL_S = 3600
# A store that is back is found at the next probe: every second at first, every ten after a long outage, give or take.
RETURN_S = 30.0
# For what is not about time: a busy machine is not to decide who answers.
PATIENT = {"redis_timeout": 1000, "redis_head_start": 1000, "redis_lease": 1000}
# What a busy machine adds to one answer of a hundred; who waits for Redis without a bound waits longer.
LATEST_MS = 5000.0 if INSTRUMENTED else 2000.0
BUSY = 8.0 if INSTRUMENTED else 1.0
# However busy it is: what is bounded stays bounded.
BUSIEST = 10.0


@dataclasses.dataclass
class Asked:
    """One question, put to the node with a store and to the one without."""

    domain: str
    at_s: float
    reply: object = None
    ms: float = 0.0
    other: object = None
    other_ms: float = 0.0

    @property
    def excess_ms(self):
        return self.ms - self.other_ms


def told(reply):
    """What a sender is told, but for the source and what depends on the moment."""
    fields = dataclasses.asdict(reply)
    for name in ("id", "source", "ttl", "mx_ttl", "age", "story"):
        fields.pop(name)
    for exchange in fields["exchanges"]:
        exchange.pop("ttl")
        exchange["addresses"].sort()
    return fields


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


class Pair:
    """A connection to each of two nodes."""

    def __init__(self, node, reference):
        self.clients = (node.client(), reference.client())

    def close(self):
        for client in self.clients:
            client.close()

    def ask(self, domain, **options):
        asked = Asked(domain, time.monotonic())
        waiting = {}
        for index, client in enumerate(self.clients):
            client.send(domain, depth=ADDRESSES, order=STABLE, **options)
            waiting[client.socket] = (index, client)
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [], 30.0)
            if not ready:
                raise AssertionError(f"no answer about {domain} in 30 s")
            for sock in ready:
                index, client = waiting.pop(sock)
                reply, ms = client.receive(), (time.monotonic() - asked.at_s) * 1000.0
                if index == 0:
                    asked.reply, asked.ms = reply, ms
                else:
                    asked.other, asked.other_ms = reply, ms
        return asked


class Traffic:
    """Senders in threads of their own: one asks for what is known, one for what is not. `fresh` gives the names of the latter."""

    def __init__(self, node, reference, known, fresh, pause_s):
        self.known, self.fresh = [], []  # of Asked
        self._pause_s = pause_s
        self._began_s, self._stalls_s = time.monotonic(), cpu_stalls_s()
        self.busy = 1.0  # by how much others on the machine drew it out, from 1 on; once it is stopped
        self._stopping = threading.Event()
        self._failures = []
        self._threads = [
            threading.Thread(target=self._run, args=(Pair(node, reference), names, asked), daemon=True)
            for names, asked in ((itertools.cycle(known), self.known), (fresh, self.fresh))
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, pair, names, asked):
        try:
            for domain in names:
                asked.append(pair.ask(domain))
                if self._stopping.wait(self._pause_s):
                    break
        except Exception as error:  # pylint: disable=broad-except
            self._failures.append(error)
        finally:
            pair.close()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        stalled = (cpu_stalls_s() - self._stalls_s) / (time.monotonic() - self._began_s)
        self.busy = 1.0 / max(1.0 - stalled, 1.0 / BUSIEST)
        if self._failures:
            raise AssertionError(f"a sender failed: {self._failures[0]!r}") from self._failures[0]


class StoreTest(RedisTest):
    """Nodes of one cluster before a simulated DNS server whose answers live TTL_S."""

    def start_zone(self, *arguments, name="upstream"):
        upstream = SimulatedUpstream(self.folder, "--ttl", TTL_S, *arguments, log=f"{name}.log")
        self.addCleanup(upstream.stop)
        return upstream

    def start_node(self, name, upstream, store=None, **options):
        """A mxwayd; `store` is what it shares: anything with a `target`, or None."""
        if store is not None:
            options.setdefault("redis", getattr(store, "target", store))
            options.setdefault("node_name", name)
        return self.start_daemon(
            upstream, listen=self.folder / f"{name}.sock", control=self.folder / f"{name}.control", log=f"{name}.log", **options
        )

    def stats(self, node):
        """What `mxway stats` says."""
        done = run_tool("stats", "--json", "--socket", node.control_path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def store_counters(self, node):
        """The counters of the shared store, by name."""
        return {name: value for name, value in node.counters().items() if name.startswith("store-")}

    def wait_store_up(self, node):
        wait_until(lambda: self.stats(node)["store"]["state"] == "up", "the store is up", RETURN_S)

    def wait_written(self, node):
        """Until nothing that a node has learned waits to be written."""
        wait_until(lambda: self.stats(node)["store"]["writes_queued"] == 0, "all is written")

    def wait_for_keys(self, wanted, server=None, database=0):
        """Until the writes behind have brought these keys."""
        with (server or self.server).client() as client:
            names = sorted(wanted)
            client("SELECT", database)
            wait_until(lambda: all(client.many(("EXISTS", name) for name in names)), "all is written")

    def ask_all(self, node, domains, **options):
        """Asks a node for many domains, 200 at a time; returns the replies by domain."""
        options.setdefault("depth", ADDRESSES)
        replies = {}
        with node.client() as client:
            names = iter(domains)
            while part := list(itertools.islice(names, 200)):
                for i, domain in enumerate(part):
                    client.send(domain, id=i, order=STABLE, **options)
                for i, reply in client.receive_many(len(part)).items():
                    replies[part[i]] = reply
        return replies

    # ---- what a sender must see ----

    def assert_shares(self, target, server, database=0, **options):
        """What one node learns comes to `server`, which is read from, and another node answers it."""
        upstream = self.start_zone()
        first, second = (self.start_node(name, upstream, target, **PATIENT, **options) for name in ("first", "second"))
        for node in (first, second):
            self.wait_store_up(node)
        with first.client() as client:
            reply = client.ask("d1.bench.test", depth=ADDRESSES)
        self.assertEqual(reply.source, "DNS")
        keys = {"mxway:1:d:d1.bench.test"} | {f"mxway:1:h:{host}" for host in reply.hosts}
        self.wait_for_keys(keys, server, database)
        with second.client() as client:
            self.assertEqual(client.ask("d1.bench.test", depth=ADDRESSES).source, "SHARED")

    def assert_same(self, asked):
        """The answers of both nodes: only the source differs, and lives are not longer than they may be."""
        self.assertGreater(len(asked), 0)
        for one in asked:
            if told(one.reply) != told(one.other):
                self.assertEqual(told(one.reply), told(one.other), one.domain)
            self.assertLessEqual(one.reply.ttl, max(one.other.ttl, TTL_S), one.domain)
            self.assertFalse(one.reply.stale, one.domain)

    def assert_in_time(self, asked, typical_ms, nearly_all_ms):
        """No answer later than without a store: not by more than so much for half of them, and for 95 of 100. How unsteady the
        other one's times are, which has nothing to wait for but the DNS, says how busy the machine is; and so does Linux."""
        busy = BUSY * self.traffic.busy
        excess, others = [one.excess_ms for one in asked], [one.other_ms for one in asked]
        unsteady_ms = quantile(others, 0.95) - quantile(others, 0.5)
        self.assertLessEqual(quantile(excess, 0.5), typical_ms * busy + unsteady_ms)
        self.assertLessEqual(quantile(excess, 0.95), nearly_all_ms * busy + 3 * unsteady_ms)
        latest = max(asked, key=lambda one: one.excess_ms)
        self.assertLessEqual(latest.excess_ms, LATEST_MS, latest)


class OutageTest(StoreTest):
    """A node under load, one without a store beside it, and another one that fills the store."""

    pause_s = 0.004  # of a sender, from an answer to its next question

    def start_all(self, store, zone=(), **options):
        self.upstream = self.start_zone(*zone)
        self.writer = self.start_node("writer", self.upstream, store, **options)
        self.node = self.start_node("node", self.upstream, store, **options)
        self.reference = self.start_node("reference", self.upstream)
        self._numbers = itertools.count()
        known = [f"d{i}.bench.test" for i in range(200)]
        for node in (self.node, self.reference):
            self.ask_all(node, known)
        self.known = known
        self.shared = [f"d{i}.bench.test" for i in range(1000, 1500 + int(60 * OUTAGE_S))]

    def share(self):
        """Lets the other node write what the load asks for now and then."""
        self.ask_all(self.writer, self.shared)
        self.wait_written(self.writer)

    def start_traffic(self):
        """Of eight names that are not known two are known to the store, as long as there are any, and one does not exist."""
        shared = iter(self.shared)

        def fresh():
            for i in itertools.count():
                if i % 8 in (3, 7):
                    yield next(shared, f"uload-{i}.bench.test")
                else:
                    yield f"none-{i}.bench.test" if i % 8 == 5 else f"uload-{i}.bench.test"

        self.traffic = Traffic(self.node, self.reference, self.known, fresh(), self.pause_s)
        self.addCleanup(self.traffic.stop)
        return self.traffic

    def is_sharing(self):
        """Whether what the other node learns now reaches this one."""
        domain = f"ushared-{next(self._numbers)}.bench.test"
        with self.writer.client() as client:
            self.assertEqual(client.ask(domain, depth=ADDRESSES).source, "DNS")
        time.sleep(0.05)
        with self.node.client() as client:
            return client.ask(domain, depth=ADDRESSES).source == "SHARED"

    def wait_sharing(self, timeout_s=RETURN_S):
        wait_until(self.is_sharing, "what one node learns reaches the other", timeout_s)

    def go_through(self, begin, end, seconds=OUTAGE_S):
        """Load before, during and after an outage; returns what was asked before, during and after."""
        self.wait_sharing()
        self.share()
        traffic = self.start_traffic()
        wait_until(lambda: any(one.reply.source == "SHARED" for one in traffic.fresh), "an answer from the store")
        begun_s = time.monotonic()
        begin()
        time.sleep(seconds)
        end()
        ended_s = time.monotonic()
        self.wait_sharing()
        time.sleep(0.3)
        traffic.stop()
        self.check(traffic)
        asked = traffic.fresh
        return (
            [one for one in asked if one.at_s < begun_s],
            [one for one in asked if begun_s <= one.at_s < ended_s],
            [one for one in asked if ended_s <= one.at_s],
        )

    def check(self, traffic):
        self.assert_same(traffic.known)
        self.assert_same(traffic.fresh)
        self.assertEqual({one.reply.source for one in traffic.known}, {"MEMORY"})
        self.assertLessEqual({one.reply.source for one in traffic.fresh}, {"DNS", "SHARED", "MEMORY"})
        self.assert_in_time(traffic.known, 1.0, 15.0)
        self.assert_in_time(traffic.fresh, 12.0, 60.0)
