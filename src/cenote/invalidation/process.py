"""The log of one process: its threads and tasks share the memory, so the swap of the State is the clear."""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

from cenote import locks
from cenote.errors import ClosedError, ReentrantError
from cenote.invalidation.log import InvalidationLog, Record

__all__ = ["ProcessLog"]

KEPT_RECORDS: Final = 1024


class ProcessLog(InvalidationLog):
    """An invalidation log in memory."""

    level = "process"
    shares_keys = False

    def __init__(self, kept: int = KEPT_RECORDS) -> None:
        """Make an empty log.

        Args:
            kept: How many records ``since`` can go back.
        """
        self.incarnation = secrets.token_hex(16)
        self._lock = locks.make_lock()
        self._head = 0
        self._records: deque[Record] = deque(maxlen=kept)
        self._closed = False

    @property
    def head(self) -> int:
        """The sequence of the last record."""
        if self._closed:
            raise ClosedError("the invalidation log is closed")
        return self._head

    def append(self, record: Record) -> int:
        """Add a record and return its sequence."""
        if locks.owned(self._lock):
            raise ReentrantError("an invalidation")
        with self._lock:
            if self._closed:
                raise ClosedError("the invalidation log is closed")
            sequence = self._head + 1
            self._records.append(record.at(sequence))
            self._head = sequence
            return sequence

    def since(self, sequence: int) -> list[Record] | None:
        """Return the records after a sequence, or None when some are no longer kept."""
        with self._lock:
            if self._closed:
                raise ClosedError("the invalidation log is closed")
            missing = self._head - sequence
            if missing <= 0:
                return []
            if missing > len(self._records):
                return None
            return list(self._records)[-missing:]

    def after_fork(self) -> None:
        """Replace the lock in a forked child: its holder may not exist there."""
        self._lock = locks.make_lock()

    def close(self) -> None:
        """Close the log."""
        with self._lock:
            self._closed = True
            self._records.clear()
