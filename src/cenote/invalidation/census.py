"""The port of censuses: what the processes that share caches tell each other about themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from cenote.meters import Meters
from cenote.stats import CacheStats

__all__ = ["Census", "Gauge", "Process"]


class Gauge(Protocol):
    """Numbers that other processes see."""

    def __setitem__(self, index: int, number: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Process:
    """A process that shares the caches.

    Attributes:
        pid: Its process number.
        since: When it attached, in seconds since the Unix epoch.
        entries: Live entries in its memory.
    """

    pid: int
    since: float
    entries: int


class Census(ABC):
    """The figures of all processes that share a log.

    They are exact while nothing runs. A process that is killed loses what it counted since its last report.
    """

    @abstractmethod
    def report(self, cache: str | None, stats: CacheStats) -> None:
        """Publish this process's own figures of a cache."""

    @abstractmethod
    def measure(self, meters: Meters) -> None:
        """Publish the meters of this process."""

    @abstractmethod
    def meters(self) -> Meters:
        """Return the meters of all processes, those that ended included."""

    @abstractmethod
    def report_refill(self, cache: str | None, tally: int) -> None:
        """Publish how the refill of a cache goes on in this process, as ``packed_tally`` says it."""

    @abstractmethod
    def refills_elsewhere(self, cache: str | None) -> list[int]:
        """Return what the other processes last published of their refills behind the last clear of a cache."""

    @abstractmethod
    def gauge(self, cache: str | None) -> Gauge:
        """Return where this process publishes how many live entries of a cache it holds.

        Item 0 is their number, written first; item 1 is the sequence of the last whole hard clear that it has obeyed.
        """

    @abstractmethod
    def note_removed(self, sequence: int, entries: int) -> None:
        """Publish how many entries a record of somebody else removed in this process."""

    @abstractmethod
    def entries_elsewhere(self, cache: str | None) -> int:
        """Return how many live entries other processes hold, without those that a clear made old already."""

    @abstractmethod
    def removed_elsewhere(self, sequence: int) -> int:
        """Wait a moment for the others to obey a record, and return how many entries it removed there."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """How often everybody was asked to report."""

    @abstractmethod
    def call(self) -> None:
        """Have everybody report, and wait a moment until they have."""

    @abstractmethod
    def total(self, cache: str | None, own: CacheStats) -> CacheStats:
        """Return the figures of a cache over all processes, those that ended included.

        Args:
            cache: The cache.
            own: What this process has reported, with what no sum can tell: the limit.
        """

    @property
    @abstractmethod
    def first(self) -> bool:
        """Whether this is the one process that does what needs to be done once for all."""

    @abstractmethod
    def processes(self) -> list[Process]:
        """Return the processes that run, this one included, the longest attached first."""
