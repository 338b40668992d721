"""Starts and stops what a flow test needs: mxwayd, nsd, unbound, a scripted upstream.

Everything listens on 127.0.0.1 or in a temporary folder of the test, is waited for until it
answers, and is ended by its process id when the test ends. A test fails if mxwayd did not exit with 0
or if a sanitizer (or valgrind) had anything to say.

Environment: MXWAYD and MXWAY_TOOL are the programs; MXWAY_TEST_FRONTENDS the number of frontends (default:
mxwayd's); MXWAY_WRAPPER a command to run mxwayd under; MXWAY_SANITIZE says that the build is instrumented.
"""
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import dnswire
from protocol import Client
from upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]
MXWAYD = os.environ.get("MXWAYD", str(ROOT / "build/dev/daemon/mxwayd"))
MXWAY_TOOL = os.environ.get("MXWAY_TOOL", str(ROOT / "build/dev/client/mxway"))
WRAPPER = shlex.split(os.environ.get("MXWAY_WRAPPER", ""))
FRONTENDS = os.environ.get("MXWAY_TEST_FRONTENDS")
SANITIZED = bool(os.environ.get("MXWAY_SANITIZE"))
INSTRUMENTED = SANITIZED or bool(WRAPPER)
# Bounds on time are for a machine to itself; instrumented code and a busy machine get more.
PATIENCE_S = 60.0 if INSTRUMENTED else 20.0

SANITIZER_REPORT = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:|^==\d+== ", re.MULTILINE)


def wait_until(condition, what, timeout_s=PATIENCE_S):
    """Polls `condition` until it is true and returns its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.002)


def cpu_stalls_s():
    """For how many seconds since the start of the system somebody had to wait for a CPU; 0 where Linux does not tell."""
    try:
        return int(re.search(r"some .*total=(\d+)", Path("/proc/pressure/cpu").read_text()).group(1)) / 1e6
    except (OSError, AttributeError):
        return 0.0


def program(name):
    """The path of a server program, which Debian keeps out of a user's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        raise AssertionError(f"{name} is not installed; tests/run installs it")
    return path


def free_port():
    """A port of 127.0.0.1 free for UDP and TCP a moment ago."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = udp.getsockname()[1]
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                return port


class Process:
    """A child with its output in a file; killed by its id."""

    def __init__(self, arguments, log_path, **options):
        self.log_path = Path(log_path)
        self.arguments = [str(argument) for argument in arguments]
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )

    @property
    def pid(self):
        return self.child.pid

    def output(self):
        return self.log_path.read_text(errors="replace")

    def is_running(self):
        return self.child.poll() is None

    def wait(self, timeout_s=PATIENCE_S):
        return self.child.wait(timeout_s)

    def stop(self, signal_=signal.SIGTERM, timeout_s=PATIENCE_S):
        """Ends it; returns its exit status."""
        if self.is_running():
            self.child.send_signal(signal_)
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.arguments[0]} did not end in {timeout_s:.0f} s:\n{self.output()}") from None


class Daemon(Process):
    """mxwayd with a lookup socket in `folder`. Options are written as in Python: max_ttl=60.

    It reads the configuration file `config`, an empty one where None, so that this machine's is not
    read; with False it is started without -c.
    """

    def __init__(
        self, folder, *, upstreams=(), frontends=FRONTENDS, config=None, log="mxwayd.log", **options
    ):
        if config is None:
            config = Path(folder) / "empty.conf"
            config.touch()
        self.was_killed = False
        self.socket_path = str(options.pop("listen", Path(folder) / "lookup.sock"))
        if frontends is not None:
            options["frontends"] = frontends
        options["listen"] = self.socket_path
        self.control_path = str(options.setdefault("control", Path(folder) / "control.sock"))
        assignments = [f"{name.replace('_', '-')}={value}" for name, value in options.items()]
        assignments += [f"upstream={address}" for address in upstreams]
        command = [*WRAPPER, MXWAYD] + (["-c", config] if config else [])
        for assignment in assignments:
            command += ["-o", assignment]
        super().__init__(command, Path(folder) / log)

    def kill(self):
        """Ends it without a chance to clean up."""
        self.was_killed = True
        self.child.kill()
        self.child.wait()

    def wait_ready(self):
        def answers():
            if not self.is_running():
                raise AssertionError(f"mxwayd ended with {self.child.returncode}:\n{self.output()}")
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.socket_path)
                return True

        wait_until(answers, "mxwayd listens")
        return self

    def client(self):
        return Client(self.socket_path, timeout_s=PATIENCE_S)

    def counters(self):
        """Every counter by name, as SIGUSR1 makes mxwayd print them."""
        start = self.log_path.stat().st_size
        self.child.send_signal(signal.SIGUSR1)

        def printed():
            with open(self.log_path, "rb") as log:
                log.seek(start)
                text = log.read().decode(errors="replace")
            found = dict(re.findall(r"counter ([a-z0-9-]+) (\d+)\n", text))
            return found if "cache-expirations" in found else None

        return {name: int(value) for name, value in wait_until(printed, "counters").items()}

    def wait_counter(self, name, least):
        """Waits until a counter is at least `least`; returns all counters."""

        def reached():
            counters = self.counters()
            return counters if counters[name] >= least else None

        return wait_until(reached, f"counter {name} at {least}")

    def resident_bytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def dns_answers(port, name=".", type_="SOA"):
    """Whether a DNS server on 127.0.0.1 answers a question with NOERROR."""
    query = struct.pack("!6H", 1, dnswire.RD, 1, 0, 0, 0) + dnswire.pack_name(name)
    query += struct.pack("!HH", dnswire.TYPES[type_], dnswire.CLASSES["IN"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        try:
            sock.connect(("127.0.0.1", port))
            sock.send(query)
            return sock.recv(4096)[3] & 0xF == dnswire.NOERROR
        except OSError:
            return False


class DnsServer(Process):
    def __init__(self, name, arguments, folder, port):
        self.port = port
        super().__init__(arguments, Path(folder) / f"{name}.log")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def wait_ready(self):
        def answers():
            if not self.is_running():
                raise AssertionError(f"{self.arguments[0]} ended:\n{self.output()}")
            return dns_answers(self.port)

        wait_until(answers, f"{self.arguments[0]} answers", 60.0)
        return self


ROOT_HEAD = """\
$TTL 900
. {ttl} IN SOA ns.mxway.test. root.mxway.test. 1 7200 900 1209600 {minimum}
. 900 IN NS ns.mxway.test.
ns.mxway.test. 900 IN A 127.0.0.1
"""


def start_nsd(folder, root_zone, *, zones=(), soa=(3600, 900), port=None):
    """nsd, authoritative for the root with `root_zone` (absolute names) and for `zones`: pairs of a
    name and a master file, relative to it and with its own SOA and NS."""
    home = Path(folder) / "nsd"
    home.mkdir(exist_ok=True)
    (home / "root.zone").write_text(ROOT_HEAD.format(ttl=soa[0], minimum=soa[1]) + root_zone)
    files = {}
    lines = ['zone:\n  name: "."\n  zonefile: "root.zone"\n']
    for name, text in zones:
        file = files.setdefault(text, f"zone-{len(files)}")
        lines.append(f'zone:\n  name: "{name}"\n  zonefile: "{file}"\n')
    for text, file in files.items():
        (home / file).write_text(text)
    port = port or free_port()
    (home / "nsd.conf").write_text(
        f"""\
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{home}"
  database: ""
  zonelistfile: "{home}/zone.list"
  xfrdfile: "{home}/xfrd.state"
  xfrdir: "{home}"
  pidfile: "{home}/nsd.pid"
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  minimal-responses: yes
remote-control:
  control-enable: no
"""
        + "".join(lines)
    )
    server = DnsServer("nsd", [program("nsd"), "-d", "-c", home / "nsd.conf"], folder, port)
    return server


def start_unbound(folder, stub_address, trust_anchors=()):
    """unbound, iterating from a root that is the server at `stub_address`, and validating below the
    `trust_anchors`: files with a DS or DNSKEY record."""
    home = Path(folder) / "unbound"
    home.mkdir(exist_ok=True)
    port = free_port()
    (home / "unbound.conf").write_text(
        f"""\
server:
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.0/8 allow
  num-threads: 1
  do-daemonize: no
  do-ip6: no
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: "{home}/unbound.pid"
  use-syslog: no
  module-config: "{"validator iterator" if trust_anchors else "iterator"}"
  qname-minimisation: no
  local-zone: "test." nodefault
  local-zone: "invalid." nodefault
{"".join(f'  trust-anchor-file: "{file}"' + chr(10) for file in trust_anchors)}\
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: {stub_address.replace(":", "@")}
"""
    )
    return DnsServer("unbound", [program("unbound"), "-d", "-c", home / "unbound.conf"], folder, port)


class FlowTest(unittest.TestCase):
    """A test with a temporary folder whose servers end with it."""

    maxDiff = None

    def setUp(self):
        # Short, because the path of a Unix socket holds 107 octets at most.
        self.folder = Path(tempfile.mkdtemp(prefix="mxway-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start_upstream(self, zone="", **options):
        upstream = Upstream(zone, **options)
        self.addCleanup(upstream.stop)
        return upstream

    def start_daemon(self, *upstreams, **options):
        """A ready mxwayd asking `upstreams` (anything with an address), checked when the test ends."""
        daemon = self.launch_daemon(upstreams=[upstream.address for upstream in upstreams], **options)
        return daemon.wait_ready()

    def launch_daemon(self, **options):
        daemon = Daemon(self.folder, **options)
        self.addCleanup(self._end_daemon, daemon)
        return daemon

    def start_nsd(self, root_zone, **options):
        server = start_nsd(self.folder, root_zone, **options)
        self.addCleanup(server.stop)
        return server.wait_ready()

    def start_unbound(self, stub, **options):
        server = start_unbound(self.folder, stub.address, **options)
        self.addCleanup(server.stop)
        return server.wait_ready()

    def connect(self, daemon):
        client = daemon.client()
        self.addCleanup(client.close)
        return client

    def _end_daemon(self, daemon):
        was_running = daemon.is_running()
        status = daemon.stop()
        output = daemon.output()
        report = SANITIZER_REPORT.search(output)
        if report:
            self.fail(f"report of a checker:\n{output[report.start():][:20000]}")
        if daemon.was_killed:
            return
        if was_running:
            self.assertEqual(status, 0, f"mxwayd ended with {status} on SIGTERM:\n{output[-4000:]}")
        else:
            self.assertGreaterEqual(status, 0, f"mxwayd was killed by signal {-status}:\n{output[-4000:]}")


def run_tool(*arguments, stdin="", timeout_s=120.0):
    """Runs the mxway tool; returns the completed process with text output."""
    return subprocess.run(
        [MXWAY_TOOL, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=timeout_s
    )


def run_mxwayd(*arguments, timeout_s=PATIENCE_S, **options):
    """Runs mxwayd to its end, as for -t; returns the completed process with text output."""
    return subprocess.run(
        [*WRAPPER, MXWAYD, *map(str, arguments)], capture_output=True, text=True, timeout=timeout_s, **options
    )


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]
