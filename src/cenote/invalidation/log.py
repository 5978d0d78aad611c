"""The port of invalidation logs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from cenote.invalidation.census import Census
from cenote.invalidation.claims import Claims
from cenote.meters import Meters

__all__ = [
    "DEADLINE",
    "LAPSED",
    "InvalidationLog",
    "Listener",
    "Members",
    "News",
    "Record",
    "RecordKind",
    "Seen",
    "Standing",
    "deadline_of",
]

DEADLINE: Final = 7
"""Which item of a leased log's ``word`` is the deadline, as the bits of a double."""

LAPSED: Final[Sequence[float]] = (0.0,)
"""The deadline where there is no lease."""

_ALONE: Final[AbstractContextManager[Any]] = nullcontext()


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


class News(NamedTuple):
    """What a cache has to obey.

    Attributes:
        head: The sequence that it has obeyed afterwards.
        records: What concerns it, in order; None when that is not known any more, and it must forget everything.
    """

    head: int
    records: list[Record] | None


class Seen(NamedTuple):
    """What a read without a lease was told by the server after it had begun.

    Attributes:
        word: That of the log that was asked about.
        head: The sequence that a State must have obeyed to be current; None when the server is out of reach.
    """

    word: Sequence[int]
    head: int | None


class Standing(NamedTuple):
    """How one machine stands with the others that share a log.

    Attributes:
        lease: Seconds that its lease still lasts; 0 without one.
        renewals: How often its lease was renewed; 0 for a moment while another file takes the place of the agent's.
        failures: How often that failed.
        members: How many machines share the log; None while the server cannot be asked.
    """

    lease: float
    renewals: int
    failures: int
    members: int | None


class Members(NamedTuple):
    """The machines that learned of an invalidation.

    Attributes:
        acknowledged: Those that said so.
        lapsed: Those that did not in time, and can serve nothing from before any more.
    """

    acknowledged: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()


def deadline_of(word: Sequence[int] | None) -> Sequence[float]:
    """Return what shows, as item 0, until when a head may be relied on, in seconds of the lease clock.

    It is made of the head's own memory, so that a State never pairs one file's head with another's lease.
    """
    if isinstance(word, memoryview) and len(word) > DEADLINE:
        return word[DEADLINE:].cast("B").cast("d")
    return LAPSED


class Listener(Protocol):
    """Whose caches obey a log: a cache manager."""

    def obey_all(self) -> None:
        """Have every cache obey what was written."""

    def report(self) -> None:
        """Publish the figures of every cache."""

    def rejoin(self) -> bool:
        """Take part again and forget everything, because the log was lost; return whether that was possible."""

    def tend(self) -> bool:
        """Do a little of what a shared store needs; return whether there is more to do."""


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

    leased: bool = False
    """Whether ``word`` may be relied on only until a moment of the lease clock, which ``deadline_of`` it shows."""

    census: Census | None = None
    """The figures of all who share it; None for one process."""

    claims: Claims | None = None
    """Who loads what, among all who share it; None for one process."""

    @property
    def word(self) -> Sequence[int] | None:
        """What a read compares with its State's ``applied``, as item 0, where somebody outside the process may append.

        None where the swap of the State is the clear, and there is nothing to compare.
        """
        return None

    @property
    def connected(self) -> bool:
        """Whether records of others reach this process; while they do not, nothing may be served or stored."""
        return True

    @property
    def counting(self) -> Census | None:
        """The census, while this process takes part in it; it may although no records reach it."""
        return self.census if self.connected else None

    def verify(self) -> Seen | None:
        """Ask, where there is no lease, up to which sequence a State must have obeyed to be current.

        Returns:
            The sequence, which is under the head now; None when nobody can say.
        """
        return None  # who has no lease to lose needs not ask

    def is_doubtful(self, word: Sequence[int]) -> bool:  # noqa: ARG002  # the same
        """Whether copies may be served though nobody can say whether they are valid.

        Args:
            word: That of the State which holds them; the server was found out of reach.
        """
        return False

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

    def news(self, cache: str | None, sequence: int) -> News:
        """Return what concerns a cache since a sequence.

        Args:
            cache: The service's name; None is the global cache.
            sequence: What it has obeyed.

        Raises:
            ClosedError: The log was closed.
        """
        records = self.since(sequence)
        if records is None:
            return News(self.head, None)
        head = records[-1].sequence if records else sequence
        return News(head, [each for each in records if each.kind is RecordKind.CLEAR_ALL or each.cache == cache])

    def floor(self, cache: str | None, *, soft: bool) -> int:  # noqa: ARG002  # nothing outlives a log in memory
        """Return the sequence of the last whole clear of a cache, hard or soft, everything's included; 0 for none."""
        return 0

    def known_caches(self) -> Sequence[str]:
        """Return the names of the services that anybody who shares the log has made a cache of, as far as it knows."""
        return ()

    def exclusive(self, action: str) -> AbstractContextManager[Any]:  # noqa: ARG002  # for logs with a lock
        """Return what keeps all others from appending, to be used in a ``with`` statement.

        It is entered before a cache's own lock is taken, never inside one.

        Args:
            action: What is done, for the error.

        Raises:
            ClearFailedError: It is not to be had in time (when entered), or this thread is inside already.
        """
        return _ALONE

    def confirm(self, sequence: int) -> None:  # noqa: B027  # where the swap is the clear there is nothing to wait for
        """Wait until an invalidation holds everywhere in this log's reach.

        Args:
            sequence: What ``append`` returned.

        Raises:
            ClearFailedError: It may not; ``level`` says how far it reached.
        """

    @property
    def members(self) -> Members:
        """The machines that learned of what this thread wrote last; none where the log is one machine's."""
        return Members()

    def measure(self, meters: Meters) -> None:  # noqa: B027  # a log in memory has nothing to tell
        """Write into the meters of this process what the log counted."""

    def standing(self) -> Standing | None:
        """Return how this machine stands with the others; None where the log is one machine's."""
        return None

    def listening(self, listener: Callable[[str], None] | None) -> AbstractContextManager[Any]:  # noqa: ARG002  # where there are machines
        """Return what has a function hear of every machine that learns of what this thread writes, as it does so."""
        return _ALONE

    def machines(self) -> Sequence[str]:
        """Return the names of the machines that share the log, sorted; none where it is one machine's.

        Raises:
            ClearFailedError: The server cannot be asked.
        """
        return ()

    def attend(self, listener: Listener) -> None:  # noqa: B027  # a log in memory has nothing to tell
        """Keep a manager's caches abreast while nobody reads them; called once they can be used, and after a fork."""

    def rejoin(self, forget: Callable[[], None]) -> bool:  # noqa: ARG002  # a log in memory cannot be lost
        """Take part again, after what is shared was lost or replaced, or in a forked child.

        Args:
            forget: Called when what was cached until now must be forgotten.

        Returns:
            Whether records of others reach this process now.
        """
        return True

    def hold(self) -> None:  # noqa: B027  # a log without locks has nothing to do
        """Keep threads from changing the log while the process forks."""

    def release(self) -> None:  # noqa: B027  # the same
        """Let them go on."""

    def after_fork(self) -> None:  # noqa: B027  # a log without locks has nothing to do
        """Replace, in a forked child, locks whose holders may not exist there."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the log holds; a second call does nothing."""
