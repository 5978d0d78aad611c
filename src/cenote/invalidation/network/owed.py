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
        self._lock, self._settling = threading.Lock(), threading.Lock()
        self._records: dict[Record, int] = {}
        """The records, each with the number of its last addition."""
        self._added = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._records)

    def add(self, record: Record) -> None:
        """Keep a record that could not be written."""
        with self._lock:
            self._added += 1
            self._records[record] = self._added
            if len(self._records) > _MOST:
                self._records = {Record(kind=RecordKind.CLEAR_ALL): self._added}

    def mark(self) -> int:
        """Return a number that tells what is owed already from what is added later."""
        return self._added

    def done(self, record: Record, mark: int) -> None:
        """Forget a record that was written after all.

        Args:
            record: The record.
            mark: What ``mark`` returned before it was written: what was asked for since is still owed.
        """
        if self._records:
            with self._lock:
                if self._records.get(record, mark + 1) <= mark:
                    del self._records[record]

    def settle(self, write: Callable[[Record], object]) -> None:
        """Write what is owed now, as far as the server can be reached; one thread at a time does, others need not.

        Args:
            write: Writes one record, or raises UnreachableError or ClearFailedError.
        """
        if not self._records or not self._settling.acquire(blocking=False):
            return
        try:
            with self._lock:
                owed = list(self._records)
            for record in owed:
                if record not in self._records:
                    continue  # it was repeated meanwhile, and written
                mark = self.mark()
                try:
                    write(record)
                except (UnreachableError, ClearFailedError):
                    return
                cache = None if record.kind is RecordKind.CLEAR_ALL else record.cache or "(global)"
                text = "made up for an invalidation that failed: %s, %s"
                logger.warning(text, record.kind.value, cache or "all caches", extra={"cache": cache})
                self.done(record, mark)
        finally:
            self._settling.release()

    def after_fork(self) -> None:
        """In a forked child: the parent owes them."""
        self._lock, self._settling = threading.Lock(), threading.Lock()
        self._records = {}
