"""Fetching: values, asked for beside the log that says whether they count."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import redis

from cenote.errors import StoreError
from cenote.invalidation.network.line import Line
from cenote.invalidation.network.wire import Started, Wire, packed

__all__ = ["Fetching", "UnreachableError"]


class UnreachableError(StoreError):
    """The server does not answer, or answers that it cannot do what was asked."""

    logged = True


class Fetching:
    """The part of a link that reads values."""

    answer: float
    calls: int
    _counting: threading.RLock
    _rest_until: float
    _wire: Wire

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._questions: dict[str, bytes] = {}

    @abstractmethod
    def ask(self, request: bytes, answers: int, started: Started | None = None) -> tuple[list[Any], bytes]:
        """Send commands and return their answers; see ``Link.ask``."""

    @abstractmethod
    def call(self, action: Callable[[Any], Any]) -> Any:
        """Do something with the server; see ``Link.call``."""

    def fetch(self, keys: Sequence[bytes], log: str) -> tuple[list[bytes | None], bytes | None]:
        """Return values, and the incarnation of the log beside them, or None where that log was made elsewhere.

        A connection ends with the process that it leads to. So whose memory answers is asked once for a connection, and
        a server that was restarted with what it had, or replaced, is told from the one that the log was made at.

        Raises:
            UnreachableError: The server is out of reach, or refuses.
        """
        (values, told), run_id = self.ask(self._request(keys, log), 2)
        return values, _believed(told, run_id)

    def line(self, loop: asyncio.AbstractEventLoop) -> Line | None:
        """Return a connection on which an event loop, which is running, asks by itself; None if there is none."""
        return None if self._rest_until else self._wire.line(loop, self.answer, self._silent)

    def fetch_on(
        self,
        line: Line,
        keys: Sequence[bytes],
        log: str,
        done: Callable[[tuple[list[bytes | None], bytes | None] | None], None],
    ) -> bool:
        """Do what ``fetch`` does, in the line's event loop, which does not wait.

        Args:
            line: What ``line`` returned.
            keys: The keys.
            log: The log.
            done: Called with what ``fetch`` returns; with None where that should be asked.

        Returns:
            Whether it was asked; ``done`` is not called otherwise.
        """

        def came(replies: list[list[bytes | None]] | None) -> None:
            done(None if replies is None else (replies[0], _believed(replies[1], line.run_id)))

        if self._rest_until or not line.ask(self._request(keys, log), (len(keys), 2), came):
            return False
        with self._counting:
            self.calls += 1
        return True

    def _silent(self) -> None:
        """Take note that the server did not answer an event loop in time."""

        def silence(_: Any) -> None:
            raise redis.exceptions.TimeoutError("it does not answer in time")

        with contextlib.suppress(UnreachableError):
            self.call(silence)

    def _request(self, keys: Sequence[bytes], log: str) -> bytes:
        """Return the bytes of both commands of ``fetch``: what redis-py makes of them too, but takes longer for."""
        question = self._questions.get(log)
        if question is None:
            question = self._questions[log] = packed([b"HMGET", log.encode(), b"inc", b"id"])
        # The values go first: an incarnation that begins behind them is seen, and they are not served.
        return packed([b"MGET", *keys]) + question


def _believed(told: Sequence[bytes | None], run_id: bytes) -> bytes | None:
    """Return the incarnation of a log, if it was made in the memory that answers."""
    incarnation, identity = told
    return incarnation if identity is not None and identity.startswith(run_id) else None
