"""A TCP proxy before a server, with the faults of a network."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

PATIENCE = 20.0
WAYS = ("requests", "replies")


class Trap:
    """What ends connections in the middle of a reply or of a request, or keeps a request back.

    ``sprung`` is set when it has caught all that it is to catch, ``answered`` when a request that was kept back was.
    """

    def __init__(self, pattern, way, count=0, times=1, *, then_hold=False):
        self.pattern, self.way, self.count, self.left, self.then_hold = pattern, way, count, times, then_hold
        self.sprung, self.answered = threading.Event(), threading.Event()
        self.gate, self.back = asyncio.Event(), asyncio.Event()


class Connection:
    """One client's connection, and the bytes of replies that it may still carry."""

    def __init__(self, accepted):
        self.accepted = accepted
        self.begun = False
        self.client = self.server = self.task = None
        self.trap, self.left = None, 0

    def abort(self):
        """End both halves at once; what was not yet sent is lost."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()
        if not self.begun:
            self.accepted.close()
        self.task.cancel()


class Proxy:
    """A port of 127.0.0.1 behind which a server is reached, through a thread of its own.

    Each method has taken effect when it returns.
    """

    def __init__(self, target):
        """Begin to forward to ``target``, whatever has a ``port``; another one may be put there at any time."""
        self.target = target
        self.delay = 0.0
        """Seconds by which all bytes are late, each way."""
        self.heard = 0
        """How many connections were accepted, and how often something came through one from its client."""
        self.amended = {}
        """What stands in replies, and what is put in its place, which must be as long."""
        self._trap = None
        self._connections = set()
        self._listening = False
        self._socket = self._bound(0)
        self.port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._gates = {way: asyncio.Event() for way in WAYS}
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.flow()
        self.heal()

    @property
    def url(self):
        """What a manager connects to."""
        return f"redis://127.0.0.1:{self.port}/0"

    # Faults

    def switch(self, target):
        """Lead to another server: all connections end, and new ones are that one's."""

        def act():
            self.target = target
            return self._abort_all()

        self._do(act)

    def drop(self):
        """End all connections; new ones are accepted."""
        self._do(self._abort_all)

    def cut(self):
        """End all connections and refuse new ones, until ``heal``."""
        self._do(self._cut)

    def heal(self):
        """Accept connections again, and catch nothing more."""
        self._set(None)
        self._do(self._listen)

    def hold(self, *ways):
        """Forward nothing more of "requests", "replies" or both, and yet accept connections, until ``flow``."""
        self._do(lambda: [self._gates[way].clear() for way in ways or WAYS])

    def flow(self):
        """Forward again, beginning with what was held back."""
        self._do(lambda: [self._gates[way].set() for way in WAYS])

    def cut_at(self, pattern, count, way="replies", *, times=1, then_hold=False):
        """End the connection of each request that holds a pattern in the middle, and return the trap.

        Args:
            pattern: Bytes of the request.
            count: How many bytes of its reply still arrive, or of the request itself. 0 replies: the server obeys, its
                answer is lost.
            way: "replies" or "requests".
            times: How many connections to end so.
            then_hold: Whether to forward no requests afterwards, until ``flow``: whoever sends again is kept waiting.
        """
        return self._set(Trap(pattern, way, count, times, then_hold=then_hold))

    def keep_back(self, pattern):
        """Keep the next request that holds a pattern from the server until ``deliver``, and return the trap.

        It arrives then whether or not its sender still waits, as from a host that sends again what was lost.
        """
        return self._set(Trap(pattern, "late"))

    def deliver(self, trap):
        """Let what was kept back go on, and wait until the server has answered it."""
        self.release(trap)
        assert trap.answered.wait(PATIENCE)

    def release(self, trap):
        """Let what was kept back go on."""
        self._do(trap.gate.set)

    def _set(self, trap):
        self._do(lambda: setattr(self, "_trap", trap))
        return trap

    def close(self):
        """End everything."""
        if not self._loop.is_closed():
            self.cut()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()
            self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.close()

    # In its thread

    def _do(self, act):
        async def acting():
            done = act()
            if asyncio.iscoroutine(done):
                await done

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result(PATIENCE)

    @staticmethod
    def _bound(port):
        """Return a socket that keeps the port; until it listens, connections are refused."""
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", port))
        found.setblocking(False)
        return found

    def _listen(self):
        if not self._listening:
            self._listening = True
            self._socket.listen()
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self):
        with contextlib.suppress(BlockingIOError):
            accepted, _ = self._socket.accept()
            accepted.setblocking(False)
            self.heard += 1
            connection = Connection(accepted)
            self._connections.add(connection)
            connection.task = self._loop.create_task(self._serve(connection))

    async def _cut(self):
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = self._bound(self.port)
        await self._abort_all()

    async def _abort_all(self):
        ended = list(self._connections)
        for connection in ended:
            connection.abort()
        await asyncio.gather(*(connection.task for connection in ended), return_exceptions=True)
        self._connections.difference_update(ended)
        for _ in range(3):
            await asyncio.sleep(0)  # lets the transports say goodbye

    async def _serve(self, connection):
        connection.begun = True
        pumps = []
        try:
            from_client, connection.client = await asyncio.open_connection(sock=connection.accepted)
            from_server, connection.server = await asyncio.open_connection("127.0.0.1", self.target.port)
            pumps = [
                asyncio.ensure_future(self._pump(connection, from_client, connection.server, "requests")),
                asyncio.ensure_future(self._pump(connection, from_server, connection.client, "replies")),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            for writer in (connection.client, connection.server):
                if writer is not None:
                    writer.close()  # after what it has still to send
            self._connections.discard(connection)

    async def _pump(self, connection, reader, writer, way):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                self.heard += way == "requests"
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._gates[way].wait()
                if way == "requests":
                    await self._look(connection, data)
                elif connection.trap is not None and connection.trap.way == "late":
                    connection.trap.back.set()
                    connection.trap.answered.set()
                if way == "replies":
                    for said, instead in self.amended.items():
                        data = data.replace(said, instead)
                keep = self._kept(connection, data, way)
                writer.write(data if keep is None else data[:keep])
                if keep is not None:
                    return
                await writer.drain()
                if way == "requests" and connection.trap is not None and connection.trap.way == "late":
                    await connection.trap.back.wait()  # its sender has hung up, which is not to be passed on before

    async def _look(self, connection, data):
        """See whether a request is one to be caught."""
        trap = self._trap
        if trap is None or not trap.left or trap.pattern not in data:
            return
        trap.left -= 1
        connection.trap, connection.left = trap, trap.count
        if trap.way == "late":
            trap.sprung.set()
            await trap.gate.wait()

    def _kept(self, connection, data, way):
        """Return how many of these bytes are the connection's last ones; None when it goes on."""
        trap = connection.trap
        if trap is None or trap.way != way:
            return None
        if len(data) <= connection.left and way == "replies":
            connection.left -= len(data)
            return None
        if not trap.left:
            if trap.then_hold:
                self._gates["requests"].clear()
            trap.sprung.set()
        return min(connection.left, len(data))
