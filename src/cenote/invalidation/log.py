"""The port of invalidation logs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum

__all__ = ["InvalidationLog", "Record", "RecordKind"]


class RecordKind(Enum):
    """What a record makes old."""

    CLEAR = "clear"
    CLEAR_ALL = "clear_all"
    KEY = "key"
    TAGS = "tags"
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One invalidation.

    Attributes:
        kind: What it makes old.
        cache: The service's name; None is the global cache. Without meaning for CLEAR_ALL.
        covered: The key, the tags or the prefix.
        soft: Whether entries only turn stale.
        sequence: Its place in the log; 0 until it is appended.
    """

    kind: RecordKind
    cache: str | None = None
    covered: tuple[str, ...] = ()
    soft: bool = False
    sequence: int = 0

    def at(self, sequence: int) -> Record:
        """Return this record with its place in the log."""
        return replace(self, sequence=sequence)


class InvalidationLog(ABC):
    """An append-only sequence of invalidations, shared by everybody that its reach names.

    Sequences start at 1 and grow by one with each record; ``head`` is the last. Every method may be called from any
    thread. After ``close`` every method but ``close`` raises ClosedError.
    """

    level: str
    """The guarantee that a clear over this log reaches: "process", "machine" or "network"."""

    incarnation: str
    """128 random bits in hexadecimal, made when the log was; sequences of two incarnations cannot be compared."""

    shares_keys: bool
    """Whether somebody outside this process must learn of single keys; if not, sets and deletes are not recorded."""

    @property
    @abstractmethod
    def head(self) -> int:
        """The sequence of the last record; 0 when there is none."""

    @abstractmethod
    def append(self, record: Record) -> int:
        """Add a record.

        Returns:
            Its sequence. Whoever reads ``head`` afterwards reads this or more.

        Raises:
            ClosedError: The log was closed.
            ClearFailedError: It could not be written; nothing may be taken for cleared.
        """

    @abstractmethod
    def since(self, sequence: int) -> list[Record] | None:
        """Return the records after a sequence, in order.

        Returns:
            The records; an empty list when there is none; None when some of them are no longer kept, and then the
            reader must forget everything.
        """

    def after_fork(self) -> None:  # noqa: B027  # a log without locks has nothing to do
        """Replace, in a forked child, locks whose holders may not exist there."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the log holds; a second call does nothing."""
