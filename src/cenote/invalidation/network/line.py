"""The line: a connection on which an event loop itself sends and reads, so that no thread is woken for its tasks.

It carries reads of values alone, and is an ordinary connection of the wire before and after. Whatever is out of the
ordinary, be it an error, a cut, or silence, ends it, and what was asked is left to those who can wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import hiredis

__all__ = ["Line", "suits"]

LARGEST_REQUEST: Final = 16_384
"""Bytes of a request that an idle connection certainly takes at once; a larger one is sent by a thread."""

_AT_ONCE: Final = 1 << 18
_MORE: Final = object()

Values = list[bytes | None]


class _Asked(NamedTuple):
    counts: Sequence[int]
    done: Callable[[list[Values] | None], None]


def suits(connection: Any) -> bool:
    """Whether a connection, of redis-py, can be a line: its bytes are those of the protocol."""
    sock = _socket_of(connection)
    return isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)


def _socket_of(connection: Any) -> Any:
    return connection._sock  # noqa: SLF001  # redis-py shows it to nobody


class Line:
    """One connection of one event loop; its thread alone uses it, but for ``hang_up``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Any,
        *,
        patience: float,
        late: Callable[[], None],
        over: Callable[..., None],
    ) -> None:
        """Take a connection over that is idle, and that ``suits``.

        Args:
            loop: The event loop, which is running.
            connection: The connection, of redis-py.
            patience: Seconds for which the server may be silent.
            late: Called when it is silent for longer.
            over: Called at the end with this line and, as ``whole``, whether its connection can be used on.

        Raises:
            RuntimeError: The event loop cannot do that.
            OSError: There are too many open files.
        """
        self.connection = connection
        self.run_id: bytes = connection.run_id
        self.open = True
        self._ending = threading.Lock()
        self._loop = loop
        # A file of its own: whoever closes the connection takes no number away that the loop still waits for.
        self._socket: socket.socket = _socket_of(connection).dup()
        self._socket.settimeout(0)
        self._patience = patience
        self._late = late
        self._over = over
        self._asked: deque[_Asked] = deque()
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._replies: list[Values] = []
        self._until = 0.0
        """When the server is out of reach if it says nothing before, in seconds of the loop."""
        self._timer: asyncio.TimerHandle | None = None
        try:
            loop.add_reader(self._socket, self._read)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, request: bytes, counts: Sequence[int], done: Callable[[list[Values] | None], None]) -> bool:
        """Send commands whose replies are lists of values.

        Args:
            request: The commands, packed.
            counts: How many values each reply has.
            done: Called with the replies; with None when the line has ended before they were there.

        Returns:
            Whether that was sent; ``done`` is not called otherwise.
        """
        if not self.open or len(request) > LARGEST_REQUEST or len(self._asked) > 1:
            return False
        try:
            sent = self._socket.send(request)
        except OSError:
            sent = -1
        if sent != len(request):
            self.end()  # who sends the rest would wait
            return False
        if not self._asked:
            self._until = self._loop.time() + self._patience
        self._asked.append(_Asked(counts, done))
        if self._timer is None:
            self._timer = self._loop.call_at(self._until, self._look)
        return True

    def _read(self) -> None:
        try:
            data = self._socket.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        self._until = self._loop.time() + self._patience
        self._reader.feed(data)
        while (reply := self._next_reply()) is not _MORE:
            counts = self._asked[0].counts if self._asked else ()
            replies = self._replies
            if type(reply) is not list or len(replies) == len(counts) or len(reply) != counts[len(replies)]:
                self.end()  # that is not what was asked for
                return
            replies.append(reply)
            if len(replies) == len(counts):
                self._replies = []
                self._asked.popleft().done(replies)

    def _next_reply(self) -> Any:
        try:
            return self._reader.gets()
        except hiredis.HiredisError:
            return None

    def _look(self) -> None:
        """End the line if the server is silent for too long."""
        self._timer = None
        if self._asked and self.open:
            self._read()  # what came while something else kept the loop busy
        if not self._asked or not self.open:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
            return
        self._late()
        self.end()

    def hang_up(self) -> None:
        """Have the line end soon; any thread may call this."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the loop, if that is running
        if self._loop.is_closed():
            self.end()

    def end(self, *, whole: bool = False) -> None:
        """End the line, and tell those who wait for answers.

        Args:
            whole: Whether the connection can be used on; not if an answer is still to come.
        """
        if not self._ending.acquire(blocking=False):
            return  # once is enough: the connection may be another thread's by now
        self.open = False
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._timer is not None:
            self._timer.cancel()
        asked, self._asked = self._asked, deque()
        self._over(self, whole=whole and not asked and not self._reader.has_data())
        for each in asked:
            each.done(None)
