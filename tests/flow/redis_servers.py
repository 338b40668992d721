"""Starts and stops real redis-servers for a flow test: alone, with replicas, with sentinels, as a cluster.

Each listens on a Unix socket in the test's folder and on a port of 127.0.0.1, keeps nothing on disk, and is ended by its
process id.
"""
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
from functools import lru_cache
from pathlib import Path

from harness import INSTRUMENTED, FlowTest, Process, program, wait_until
from resp import Redis, RedisError

MASTER_NAME = "mxway"
SLOTS = 16384
# Long enough for a busy machine not to be taken for a dead server, short enough for a test.
NODE_TIMEOUT_MS = 2000
DOWN_AFTER_MS = 1500 if INSTRUMENTED else 1000


@lru_cache(maxsize=None)
def redis_version():
    """(7, 0) of the installed redis-server."""
    text = subprocess.run([program("redis-server"), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.search(r"v=(\d+)\.(\d+)", text).groups())


def redis_port():
    """A free port of 127.0.0.1 whose neighbour for the cluster's bus, 10000 higher, is free too; below those that systems
    give to connections."""
    for _ in range(1000):
        port = random.randrange(12000, 32000)
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10000))
            return port
    raise AssertionError("no free port for a redis-server")


class Certificates:
    """A CA and what it has signed, made in `folder` by openssl: for servers of 127.0.0.1 and redis.test, and for clients."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = Path(folder), name
        self.ca = self.folder / f"{name}.pem"
        subject = ["-subj", f"/CN={name} of a test", "-days", "2"]
        self._make(self.ca, "req", "-x509", *subject, "-addext", "basicConstraints=critical,CA:TRUE")

    def _make(self, cert, *words):
        """A key of RSA, so that a conversation has the same number of octets each time."""
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", cert.with_suffix(".key")]
        done = subprocess.run(["openssl", *words, *key, "-out", cert], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"openssl {words[0]}: {done.stderr}")
        os.chmod(cert.with_suffix(".key"), 0o600)

    def sign(self, name, names="IP:127.0.0.1,DNS:redis.test"):
        """The path of a certificate; its key is beside it, with the suffix .key."""
        cert, request, extensions = (self.folder / f"{self.name}-{name}{suffix}" for suffix in (".pem", ".csr", ".ext"))
        self._make(request, "req", "-subj", f"/CN={name}")
        extensions.write_text(f"subjectAltName={names}\n")
        words = ["-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca.with_suffix(".key"), "-CAcreateserial"]
        subprocess.run(
            ["openssl", "x509", *words, "-days", "2", "-extfile", extensions, "-out", cert], capture_output=True, check=True
        )
        return cert

    def of_server(self, cert=None, **options):
        """What a redis-server has to be started with; it wants no certificate of clients, and its peers speak TLS too."""
        cert = cert or self.sign("server")
        return {
            "tls_port": redis_port(), "tls_cert_file": cert, "tls_key_file": cert.with_suffix(".key"),
            "tls_ca_cert_file": self.ca, "tls_auth_clients": "no", "tls_replication": "yes", **options,
        }  # fmt: skip


class RedisServer(Process):
    """redis-server with `options` as in its configuration file, written as in Python: maxmemory_policy="noeviction"."""

    def __init__(self, folder, name="redis", *, sentinel=False, lines=(), port=None, **options):
        self.folder, self.name, self.is_sentinel = Path(folder), name, sentinel
        self.path, self.port = str(self.folder / f"{name}.sock"), port or redis_port()
        self.tls_port = options.get("tls_port")
        self.home = self.folder / f"{name}.d"
        self.home.mkdir(exist_ok=True)
        settings = {"bind": "127.0.0.1", "port": self.port, "unixsocket": self.path, "dir": self.home, "daemonize": "no"}
        if not sentinel:
            settings.update({"save": '""', "appendonly": "no", "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1})
            if redis_version() >= (7, 0):
                settings.update({"enable-debug-command": "yes", "repl-diskless-sync": "yes"})
        settings.update({key.replace("_", "-"): value for key, value in options.items()})
        self._text = "".join(f"{key} {value}\n" for key, value in settings.items()) + "".join(f"{line}\n" for line in lines)
        self.password = options.get("requirepass")
        self.was_stopped = False
        self._start()

    def _start(self):
        # Anew each time: sentinels and CONFIG REWRITE write into the file.
        config = self.home / "redis.conf"
        config.write_text(self._text)
        command = [program("redis-server"), config] + (["--sentinel"] if self.is_sentinel else [])
        super().__init__(command, self.folder / f"{self.name}.log")

    @property
    def address(self):
        return f"127.0.0.1:{self.peer_port}"

    @property
    def peer_port(self):
        """The port that others, and redis-servers too, are to use."""
        return self.tls_port or self.port

    @property
    def target(self):
        """As an option of mxwayd."""
        return f"unix:{self.path}"

    def client(self):
        client = Redis(self.path)
        if self.password:
            client("AUTH", self.password)
        return client

    def __call__(self, *words):
        """One command on a connection of its own."""
        with self.client() as client:
            return client(*words)

    def role(self):
        """b"master" or b"slave"; None where that is just changing: a sentinel then has all connections of clients closed."""
        try:
            return self("ROLE")[0]
        except ConnectionError:
            return None

    def info(self, section):
        with self.client() as client:
            return client.info(section)

    def keys(self, pattern="*"):
        with self.client() as client:
            return client.keys(pattern)

    def answers(self):
        """Whether it answers PING; an error is an answer too."""
        if not self.is_running():
            raise AssertionError(f"{self.name} ended:\n{self.output()[-4000:]}")
        try:
            with Redis(self.path, 1.0) as client:
                client("PING")
        except RedisError:
            pass
        except OSError:
            return False
        return True

    def wait_ready(self):
        wait_until(self.answers, f"{self.name} answers", 60.0)
        return self

    def kill(self):
        """kill -9. Its socket's file stays, as after a crash."""
        self.child.kill()
        self.child.wait()

    def start_again(self):
        """With the same sockets, and without what it held, unless it was saved."""
        self.launch_again()
        return self.wait_ready()

    def launch_again(self):
        self._start()

    def freeze(self):
        """SIGSTOP: silent, with its connections open."""
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self, *arguments, **options):
        if self.is_running():
            self.thaw()
        return super().stop(*arguments, **options)


class RedisTest(FlowTest):
    """A test with redis-servers, which end with it."""

    def start_redis(self, name="redis", **options):
        return self.launch_redis(name, **options).wait_ready()

    def launch_redis(self, name="redis", **options):
        server = RedisServer(self.folder, name, **options)
        self.addCleanup(self._end, server)
        return server

    def _end(self, server):
        if server.is_running():
            server.thaw()
            server.kill()

    def redis_client(self, server):
        client = server.client()
        self.addCleanup(client.close)
        return client

    # ---- replicas ----

    def start_replica(self, master, name="replica", **options):
        """A replica of `master`, in step with it."""
        replica = self.launch_redis(name, replicaof=f"127.0.0.1 {master.peer_port}", **options).wait_ready()
        self.wait_in_step(replica)
        return replica

    def wait_in_step(self, replica):
        wait_until(lambda: replica.info("replication").get("master_link_status") == "up", f"{replica.name} in step", 60.0)

    # ---- sentinels ----

    def start_sentinels(self, master, count=3, quorum=2, certificates=None, **options):
        """Sentinels that watch `master` as MASTER_NAME, know of its replicas and of each other; over TLS where there are
        certificates."""
        watch = (
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master.peer_port} {quorum}",
            f"sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER_NAME} 1500",
            f"sentinel parallel-syncs {MASTER_NAME} 2",
        )
        sentinels = [
            self.launch_redis(
                f"sentinel{i}", sentinel=True, lines=watch, **options, **(certificates.of_server() if certificates else {})
            )
            for i in range(count)
        ]
        for sentinel in sentinels:
            sentinel.wait_ready()
            with sentinel.client() as client:

                def knows_all(client=client):
                    fields = client("SENTINEL", "MASTER", MASTER_NAME)
                    found = dict(zip(fields[::2], fields[1::2]))
                    return int(found[b"num-other-sentinels"]) == count - 1 and int(found[b"num-slaves"]) > 0

                wait_until(knows_all, f"{sentinel.name} knows the others", 60.0)
        return sentinels

    def master_port(self, sentinel):
        """The port of the master as a sentinel has it."""
        return int(sentinel("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)[1])

    # ---- a cluster ----

    def start_cluster(self, count=3, certificates=None, **options):
        """Masters that share the slots evenly, all of which say that the cluster is well; over TLS where there are certificates."""
        options = {"cluster_enabled": "yes", "cluster_node_timeout": NODE_TIMEOUT_MS, **options}
        nodes = [
            self.launch_redis(
                f"node{i}", **options, **(certificates.of_server(tls_cluster="yes") if certificates else {})
            )
            for i in range(count)
        ]
        for i, node in enumerate(nodes):
            node.wait_ready()
            first, last = i * SLOTS // count, (i + 1) * SLOTS // count
            with node.client() as client:
                client("CLUSTER", "ADDSLOTS", *range(first, last))
                client("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
                if i > 0:
                    client("CLUSTER", "MEET", "127.0.0.1", nodes[0].peer_port)
        self.wait_cluster(nodes)
        return nodes

    def wait_cluster(self, nodes):
        for node in nodes:
            with node.client() as client:

                def is_well(client=client):
                    text = client("CLUSTER", "INFO").decode()
                    return "cluster_state:ok" in text and f"cluster_known_nodes:{len(nodes)}" in text

                wait_until(is_well, f"{node.name} says that the cluster is well", 60.0)


def node_id(node):
    return node("CLUSTER", "MYID").decode()


def owner_of(nodes, key):
    """The node that has the slot of a key, as the first node that runs says."""
    node = next(node for node in nodes if node.is_running())
    slot = node("CLUSTER", "KEYSLOT", key)
    for first, last, master, *_ in node("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next(node for node in nodes if master[1] in (node.port, node.tls_port))
    raise AssertionError(f"nobody has slot {slot}")


class SlotMove:
    """A slot on its way from one node to another: begun, its keys moved some at a time, ended.

    In between, `source` answers ASK for the keys that are gone, afterwards MOVED.
    """

    def __init__(self, nodes, slot, source, destination):
        self.nodes, self.slot, self.source, self.destination = nodes, slot, source, destination
        self.destination("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
        self.source("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(destination))

    def move_keys(self, most=1000):
        """Moves at most so many keys; returns how many."""
        with self.source.client() as client:
            keys = client("CLUSTER", "GETKEYSINSLOT", self.slot, most)
            if keys:
                client("MIGRATE", "127.0.0.1", self.destination.peer_port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end(self):
        while self.move_keys():
            pass
        owner = node_id(self.destination)
        for node in [self.destination, self.source, *self.nodes]:
            if node.is_running():
                node("CLUSTER", "SETSLOT", self.slot, "NODE", owner)
