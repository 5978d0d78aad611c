"""The wire: requests in the protocol's own bytes, over connections that are kept at hand.

To pack a request, and to take a connection from redis-py's pool and give it back, costs more than all else that a
process does for an answer; so both are done here. Connecting, logging in and reading answers stay redis-py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from cenote.invalidation.network.connecting import MOST_CONNECTIONS
from cenote.invalidation.network.line import Line, suits

__all__ = ["Started", "Wire", "packed"]


class Started(NamedTuple):
    """A request that was sent, and whose answer was not asked for yet.

    Attributes:
        connection: The connection that it was sent on.
        idle: Those that were idle then.
        until: When its answer is late, in monotonic seconds.
    """

    connection: Any
    idle: list[Any]
    until: float


class Wire:
    """The connections to one server that are idle, for any number of threads."""

    def __init__(self, pool: Any) -> None:
        """Connect nothing yet.

        Args:
            pool: Where connections come from. Those that are idle here are in use as far as it knows.
        """
        self._pool = pool
        self._idle: list[Any] = []
        self._lines: set[Line] = set()
        self._scripts: dict[str, bytes] = {}

    def ask(
        self, request: Callable[[], bytes], answers: int, started: Started | None = None
    ) -> tuple[list[Any], bytes]:
        """Send commands and return their answers, and the ``run_id`` of the process that gave them.

        Args:
            request: Makes the bytes, anew each time that they are sent: a connection may break behind a request.
            answers: How many answers there will be.
            started: What ``start`` returned for them, if they were sent already.

        Raises:
            redis.exceptions.RedisError: The server is out of reach, or refuses one of them.
        """
        with contextlib.suppress(IndexError, redis.exceptions.ConnectionError):
            if started is not None:
                return self._read(started.connection, started.idle, answers, started.until)
            return self._exchange(self._idle.pop(), request(), answers)
        # None is idle, or the server was restarted since: the pool tries those that it hands out.
        return self._exchange(self._pool.get_connection(), request(), answers)

    def start(self, request: bytes, patience: float) -> Started | None:
        """Send a request before its answer is asked for, where a connection is idle: so several wires answer at once.

        Args:
            request: The bytes.
            patience: Seconds within which the answer should be there.

        Returns:
            What ``ask`` or ``drop`` must be given; None where ``ask`` has to send the request itself.
        """
        idle = self._idle
        try:
            connection = idle.pop()
        except IndexError:
            return None
        try:
            connection.send_packed_command([request])
        except (redis.exceptions.RedisError, OSError):
            self._end(connection)
            return None
        return Started(connection, idle, time.monotonic() + patience)

    def drop(self, started: Started) -> None:
        """Ask for no answer any more."""
        self._end(started.connection)

    def _exchange(self, connection: Any, request: bytes, answers: int) -> tuple[list[Any], bytes]:
        idle = self._idle
        try:
            connection.send_packed_command([request])
        except BaseException:
            self._end(connection)
            raise
        return self._read(connection, idle, answers)

    def _read(
        self, connection: Any, idle: list[Any], answers: int, until: float | None = None
    ) -> tuple[list[Any], bytes]:
        run_id: bytes = connection.run_id
        try:
            if until is not None:
                _refuse_late(connection, until)
            found = [connection.read_response() for _ in range(answers)]
        except redis.exceptions.ResponseError:
            if answers == 1:
                self._keep(connection, idle)
            else:
                self._end(connection)  # another answer may follow
            raise
        except BaseException:
            # An answer that is still to come must not be taken for the next one's.
            self._end(connection)
            raise
        self._keep(connection, idle)
        return found, run_id

    def _keep(self, connection: Any, idle: list[Any]) -> None:
        if idle is not self._idle:
            self._end(connection)  # since then it was found out anew where the server is
        elif self._pool.max_connections < MOST_CONNECTIONS:
            self._pool.release(connection)  # others may be waiting for it
        else:
            idle.append(connection)

    def _end(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)

    def run(
        self,
        script: str,
        parts: Callable[[], Sequence[bytes]],
        behind: bytes = b"",
        started: Started | None = None,
    ) -> list[Any]:
        """Run a script, and a command right behind it on the same connection; return the answers.

        Args:
            script: The script; it is sent as a whole only when the server does not have it.
            parts: Makes how many keys there are, these, and the arguments, anew each time that they are sent.
            behind: The command, packed; none if it is empty.
            started: What ``start`` returned for what ``by_digest`` makes of it, if that was sent already.
        """
        answers = 2 if behind else 1
        try:
            return self.ask(lambda: self.by_digest(script, parts()) + behind, answers, started)[0]
        except redis.exceptions.NoScriptError:
            return self.ask(lambda: packed([b"EVAL", script.encode(), *parts()]) + behind, answers)[0]

    def by_digest(self, script: str, parts: Sequence[bytes]) -> bytes:
        """Return the command that runs a script which the server has already."""
        digest = self._scripts.get(script)
        if digest is None:
            digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
            self._scripts[script] = digest
        return packed([b"EVALSHA", digest, *parts])

    def line(self, loop: asyncio.AbstractEventLoop, patience: float, late: Callable[[], None]) -> Line | None:
        """Give an idle connection to an event loop, which is running; return None where that cannot be.

        Args:
            loop: The event loop.
            patience: Seconds that an answer may take.
            late: Called when one takes longer.
        """
        idle = self._idle
        try:
            connection = idle.pop()
        except IndexError:
            return None

        def over(line: Line, *, whole: bool) -> None:
            self._lines.discard(line)
            self._keep(connection, idle) if whole else self._end(connection)

        try:
            line = Line(loop, connection, patience=patience, late=late, over=over) if suits(connection) else None
        except (RuntimeError, OSError):
            line = None
        if line is None:
            self._keep(connection, idle)
            return None
        self._lines.add(line)
        if idle is not self._idle:
            line.end()  # since then it was found out anew where the server is
            return None
        return line

    def hang_up(self) -> None:
        """End all connections that nobody uses just now; those that are in use end with their use, or fail."""
        idle, self._idle = self._idle, []
        for line in list(self._lines):
            line.hang_up()
        while idle:
            with contextlib.suppress(IndexError):  # somebody has taken the last one meanwhile
                self._end(idle.pop())
        self._pool.disconnect(inuse_connections=False)


def _refuse_late(connection: Any, until: float) -> None:
    """Raise redis-py's TimeoutError where nothing was answered in time: meanwhile others may have been waited for."""
    if time.monotonic() > until and not connection.can_read():
        raise redis.exceptions.TimeoutError("it does not answer in time")


def packed(parts: Sequence[bytes]) -> bytes:
    """Return a command as the protocol has it."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))
