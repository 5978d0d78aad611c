"""Owed: invalidations that could not be written at the server, kept to be written once it is back.

Their callers were told that they failed, and may repeat them. Whether or not they do, nobody is served for long what
somebody wanted gone: to invalidate late, or twice, is always allowed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from cenote.errors import ClearFailedError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network.link import UnreachableError

__all__ = ["Owed"]

logger = logging.getLogger("cenote")

_MOST: Final = 100
"""How many are kept; one more, and everything is cleared instead."""


class Owed:
    """The invalidations that this process owes."""

    def __init__(self) -> None:
        """Owe nothing."""
        self._lock = threading.Lock()
        self._records: list[Record] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._records)

    def add(self, record: Record) -> None:
        """Keep a record that could not be written."""
        with self._lock:
            if record not in self._records:
                self._records.append(record)
            if len(self._records) > _MOST:
                self._records = [Record(kind=RecordKind.CLEAR_ALL)]

    def done(self, record: Record) -> None:
        """Forget a record that was written after all."""
        if self._records:
            with self._lock:
                self._records = [each for each in self._records if each != record]

    def settle(self, write: Callable[[Record], object]) -> None:
        """Write what is owed, as far as the server can be reached.

        Args:
            write: Writes one record, or raises UnreachableError or ClearFailedError.
        """
        while self._records:
            record = self._records[0]
            try:
                write(record)
            except (UnreachableError, ClearFailedError):
                return
            cache = None if record.kind is RecordKind.CLEAR_ALL else record.cache or "(global)"
            text = "made up for an invalidation that failed: %s, %s"
            logger.warning(text, record.kind.value, cache or "all caches", extra={"cache": cache})
            self.done(record)

    def after_fork(self) -> None:
        """In a forked child: the parent owes them."""
        self._lock = threading.Lock()
        self._records = []
