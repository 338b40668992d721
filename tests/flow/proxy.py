"""A proxy between mxwayd and a redis-server that makes the way as bad as a test wants it.

Each fault is an attribute that may be changed at any time, for the octets that come back from the server: what is asked always
arrives, unless the way is stalled.

By itself, as bench/scenarios use it: proxy.py PATH TARGET, with lines on standard input: "delay SECONDS", "stall", "flow". It prints
"ready" and ends with its input.
"""
import asyncio
import contextlib
import sys
import threading


class Proxy:
    """Listens on a Unix socket at `path`, or on a port of 127.0.0.1 of the proxy's choice where that is None, which `address`
    tells then; and passes on to the Unix socket, or the port of 127.0.0.1, `target`.

    delay_s     holds each piece of a reply as long as this, or as long as a function says that is called for each; order is kept
    cut_after   closes a connection behind so many octets of its replies
    corrupt     a function from the octets of a piece, and how many of this connection were before it, to those sent instead
    stalled     nothing passes in either direction; connections stay open, and are accepted
    refused     new connections are closed at once
    """

    def __init__(self, path, target):
        self.path, self.target, self.address = path and str(path), target, None
        self.delay_s, self.cut_after, self.corrupt = 0.0, None, None
        self.refused = False
        self.accepted = self.cuts = self.octets = 0  # connections taken and cut, octets of replies passed on
        self._tasks, self._writers = set(), set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    # ---- what a test does ----

    @property
    def stalled(self):
        return not self._flowing.is_set()

    @stalled.setter
    def stalled(self, is_stalled):
        self._call(self._flowing.clear if is_stalled else self._flowing.set)

    def hang_up(self):
        """Closes every connection there is."""
        self._call(self._close_all)

    def stop(self):
        """Ends it; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _call(self, function):
        """Runs a function in the proxy's thread, and waits for it."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (function(), done.set()))
        done.wait(10)

    # ---- its thread ----

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        self._close_all()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _listen(self):
        self._flowing = asyncio.Event()
        self._flowing.set()
        if self.path:
            self._server = await asyncio.start_unix_server(self._on_client, self.path)
            return
        self._server = await asyncio.start_server(self._on_client, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _connect(self):
        if isinstance(self.target, int):
            return asyncio.open_connection("127.0.0.1", self.target)
        return asyncio.open_unix_connection(str(self.target))

    def _close_all(self):
        for writer in list(self._writers):
            writer.transport.abort()

    async def _on_client(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader, writer):
        await self._flowing.wait()
        if self.refused:
            return
        server_reader, server_writer = await self._connect()
        self._writers.add(server_writer)
        ways = [
            asyncio.ensure_future(way)
            for way in (self._ask(reader, server_writer), self._answer(server_reader, writer))
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(server_writer)
            server_writer.close()

    async def _ask(self, reader, writer):
        while data := await reader.read(1 << 16):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader, writer):
        """Reads on while pieces are held, so that a delay is one of each piece and not of all before it."""
        queue = asyncio.Queue(1000)
        sending = asyncio.ensure_future(self._send(queue, writer))
        try:
            while data := await reader.read(1 << 16):
                delay_s = self.delay_s() if callable(self.delay_s) else self.delay_s
                await queue.put((self._loop.time() + delay_s, data))
                if sending.done():
                    return
            await queue.put(None)
            await sending
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await sending

    async def _send(self, queue, writer):
        sent = 0
        while (item := await queue.get()) is not None:
            due_s, data = item
            if due_s > self._loop.time():
                await asyncio.sleep(due_s - self._loop.time())
            await self._flowing.wait()
            if self.corrupt:
                data = self.corrupt(data, sent)
            if self.cut_after is not None and sent + len(data) >= self.cut_after:
                data = data[: max(0, self.cut_after - sent)]
                writer.write(data)
                self.octets += len(data)
                self.cuts += 1
                await writer.drain()
                writer.close()
                return
            writer.write(data)
            sent += len(data)
            self.octets += len(data)
            await writer.drain()


def main(path, target):
    proxy = Proxy(path, target)
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["delay"] and len(words) == 2:
            proxy.delay_s = float(words[1])
        elif words == ["stall"]:
            proxy.stalled = True
        elif words == ["flow"]:
            proxy.stalled = False
        else:
            sys.exit(f"'{line.strip()}' is not understood")
    proxy.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
