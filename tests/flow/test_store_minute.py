"""A redis-server that is stopped for a whole minute under load: senders see no difference but the source, and memory does not grow."""
import re
import unittest
from pathlib import Path

from harness import INSTRUMENTED
from store_flow import OutageTest

MINUTE_S = 60.0
GROWTH_MOST_KIB = 8 * 1024


def resident_kib(node):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{node.child.pid}/status").read_text()).group(1))


class Minute(OutageTest):
    """Slow senders: the other tests of this machine are to have their time, too."""

    pause_s = 0.03

    def test_stopped_for_a_minute(self):
        """The DNS takes longer than a read may: so it is told apart whether reads end by themselves."""
        server = self.start_redis()
        self.start_all(server, zone=("--delay", "40"))
        self.sizes = []

        def freeze():
            server.freeze()
            self.sizes.append(resident_kib(self.node))

        def thaw():
            self.sizes.append(resident_kib(self.node))
            self.waiting = self.stats(self.node)["store"]["writes_queued"]
            self.state = self.stats(self.node)["store"]["state"]
            server.thaw()

        before = self.store_counters(self.node)
        _, during, after = self.go_through(freeze, thaw, MINUTE_S)
        now = self.store_counters(self.node)
        self.assertGreater(len(during), 100)
        self.assertNotIn("SHARED", {one.reply.source for one in during[5:]})
        self.assert_in_time(during, 2.0, 15.0)
        self.assertEqual(self.state, "down")
        # A breaker: three failures, then probes that are ever rarer.
        self.assertLess(now["store-timeouts"] - before["store-timeouts"], 20)
        # What was learned meanwhile waits, is written when it can be, and does not take much memory.
        self.assertGreater(self.waiting, len(during) // 2)
        self.wait_written(self.node)
        self.assertGreater(len(after), 0)
        if not INSTRUMENTED:
            self.assertLess(self.sizes[1] - self.sizes[0], GROWTH_MOST_KIB, self.sizes)


if __name__ == "__main__":
    unittest.main()
