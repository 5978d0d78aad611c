"""The census of one machine, kept in the shared file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from cenote.invalidation.census import Census, Process
from cenote.invalidation.machine.bell import ring
from cenote.invalidation.machine.layout import Counter, Word
from cenote.invalidation.machine.membership import Membership
from cenote.loadtimes import BUCKETS, LoadTimes
from cenote.meters import Meters
from cenote.stats import CacheStats

__all__ = ["MachineCensus"]

ANSWER_SECONDS: Final = 0.25
"""How long to wait for other processes' figures; who does not answer is counted by what it reported last."""

_NAP: Final = 0.0002

_COUNTED: Final = {
    Counter.HITS: "hits",
    Counter.MISSES: "misses",
    Counter.EVICTIONS: "evictions",
    Counter.EXPIRATIONS: "expirations",
    Counter.INVALIDATIONS: "invalidations",
    Counter.LOADS: "loads",
    Counter.LOAD_FAILURES: "load_failures",
    Counter.COALESCED: "coalesced",
    Counter.STALE_SERVED: "stale_served",
}
_TIMED: Final = {Counter.LOAD_NANOSECONDS: "load_seconds", Counter.SAVED_NANOSECONDS: "saved_seconds"}


class MachineCensus(Census):
    """What processes write into their places and read in those of others."""

    def __init__(self, joined: Callable[[], Membership]) -> None:
        """Keep the census of a log.

        Args:
            joined: Returns the membership in force.
        """
        self._joined = joined

    def report(self, cache: str | None, stats: CacheStats) -> None:
        """Publish this process's own figures of a cache."""
        joined = self._joined()
        counters = joined.place.counters(joined.services.number(cache))
        for counter, name in _COUNTED.items():
            counters[counter] = getattr(stats, name)
        for counter, name in _TIMED.items():
            counters[counter] = int(getattr(stats, name) * 1e9)
        for bucket, count in enumerate(stats.load_times.counts, Counter.LOAD_TIMES):
            counters[bucket] = count
        counters[Counter.BYTES] = stats.bytes or 0
        counters[Counter.LIMIT] = stats.max_size or 0

    def report_refill(self, cache: str | None, tally: int) -> None:
        """Publish how the refill of a cache goes on in this process."""
        joined = self._joined()
        joined.place.counters(joined.services.number(cache))[Counter.REFILL] = tally

    def refills_elsewhere(self, cache: str | None) -> list[int]:
        """Return what the other processes last published of their refills behind the last clear of a cache."""
        joined = self._joined()
        number = joined.services.number(cache)
        floor = joined.services.floor(number, soft=False)
        told = [joined.processes.refill(place, number, floor) for place in self._others(joined)]
        return [tally for tally in told if tally]

    def measure(self, meters: Meters) -> None:
        """Publish the meters of this process."""
        self._joined().place.measured(meters.words())

    def meters(self) -> Meters:
        """Return the meters of all processes."""
        joined = self._joined()
        with joined.file.lock:
            return Meters.of(joined.processes.meters())

    def gauge(self, cache: str | None) -> memoryview:
        """Return where this process publishes how many live entries of a cache it holds."""
        joined = self._joined()
        counters = joined.place.counters(joined.services.number(cache))
        # Whoever reads them in the other order never takes old entries for those after a clear.
        return counters[Counter.ENTRIES : Counter.CLEARED + 1]

    def note_removed(self, sequence: int, entries: int) -> None:
        """Publish how many entries a record of somebody else removed in this process."""
        self._joined().place.removed(sequence, entries)

    def entries_elsewhere(self, cache: str | None) -> int:
        """Return how many live entries other processes hold."""
        joined = self._joined()
        number = joined.services.number(cache)
        floor = joined.services.floor(number, soft=False)
        return sum(joined.processes.held(place, number, floor) for place in self._others(joined))

    def removed_elsewhere(self, sequence: int) -> int:
        """Wait a moment for the others to obey a record, and return how many entries it removed there."""
        joined = self._joined()
        processes = joined.processes
        others = self._others(joined)
        self._wait(joined, others, lambda place: processes.applied(place) >= sequence)
        return sum(processes.removed(place, sequence) for place in others)

    @property
    def calls(self) -> int:
        """How often everybody was asked to report."""
        return self._joined().file.words[Word.CENSUS]

    def call(self) -> None:
        """Have everybody report, and wait a moment until they have."""
        joined = self._joined()
        with joined.file.lock:
            census = joined.file.words[Word.CENSUS] + 1
            joined.file.words[Word.CENSUS] = census
        self._wait(joined, self._others(joined), lambda place: joined.processes.census_of(place) >= census)

    def total(self, cache: str | None, own: CacheStats) -> CacheStats:
        """Return the figures of a cache over all processes."""
        joined = self._joined()
        number = joined.services.number(cache)
        with joined.file.lock:
            sums = joined.processes.sums(number)
            floor = joined.services.floor(number, soft=False)
            others = self._others(joined)
            entries = sum(joined.processes.held(place, number, floor) for place in others)
            size = sum(joined.processes.weight(place, number, floor) for place in others)
            limit = max((joined.processes.limit(place, number) for place in others), default=0)
        summed: dict[str, Any] = {name: sums[counter] for counter, name in _COUNTED.items()}
        summed |= {name: sums[counter] / 1e9 for counter, name in _TIMED.items()}
        return replace(
            own,
            **summed,
            load_times=LoadTimes.of(sums[Counter.LOAD_TIMES : Counter.LOAD_TIMES + BUCKETS]),
            current_size=own.current_size + entries,
            # Who does not use the cache knows neither its limit nor its weigher.
            max_size=own.max_size or limit or None,
            bytes=None if own.bytes is None and not size else (own.bytes or 0) + size,
        )

    @property
    def first(self) -> bool:
        """Whether no living process has an earlier place."""
        joined = self._joined()
        return joined.processes.living()[:1] == [joined.place.number]

    def processes(self) -> list[Process]:
        """Return the processes that run, the longest attached first."""
        return sorted(self._joined().processes.running(), key=_by_age)

    @staticmethod
    def _others(joined: Membership) -> list[int]:
        return [place for place in joined.processes.living() if place != joined.place.number]

    @staticmethod
    def _wait(joined: Membership, places: list[int], done: Callable[[int], bool]) -> None:
        waiting = [place for place in places if not done(place)]
        for place in waiting:
            ring(joined.file.path, place)
        end = time.monotonic() + ANSWER_SECONDS
        while waiting and time.monotonic() < end:
            time.sleep(_NAP)
            waiting = [place for place in waiting if not done(place)]


def _by_age(process: Process) -> float:
    return process.since
