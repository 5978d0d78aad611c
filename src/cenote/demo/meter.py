"""What happened in the last second, read from the caches' own statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cenote import CacheManager

__all__ = ["CacheTick", "Meter", "Summary", "Tick", "WorkerTick", "percent_of"]


@dataclass(frozen=True, slots=True)
class CacheTick:
    """One cache's last second.

    Attributes:
        reads: How often it was asked.
        hit_rate: Percent of those that it answered by itself; None when it was not asked.
        entries: How many entries it holds.
    """

    reads: int
    hit_rate: float | None
    entries: int


@dataclass(frozen=True, slots=True)
class WorkerTick:
    """One worker's last second.

    Attributes:
        worker: Its number, from 1.
        pid: Its process; None while it has none.
        state: "warming", "busy" or "ended".
        hit_rate: Percent of its reads that its own entries answered; None without reads.
        entries: How many entries it holds.
        requests: Requests it answered since its traffic began.
    """

    worker: int
    pid: int | None
    state: str
    hit_rate: float | None
    entries: int
    requests: int


@dataclass(frozen=True, slots=True)
class Tick:
    """The last second of all caches.

    Attributes:
        second: Seconds since the traffic began.
        requests: Requests answered since then.
        hit_rate: Percent of the last second's reads that were hits; None without reads.
        saved_seconds: Load time saved since then.
        entries: How many entries there are.
        caches: Each cache's part, by name; the global cache's is "global".
        workers: Each worker's part, where there are several.
    """

    second: int
    requests: int
    hit_rate: float | None
    saved_seconds: float
    entries: int
    caches: Mapping[str, CacheTick]
    workers: Sequence[WorkerTick] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run.

    Attributes:
        seconds: How long the traffic ran.
        requests: Requests answered.
        hit_rate: Percent of all reads that were hits.
        saved_seconds: Load time saved.
        entries: How many entries there are at the end.
        clears: Clears that succeeded meanwhile.
        invalidations: Single entries invalidated meanwhile.
    """

    seconds: float
    requests: int
    hit_rate: float
    saved_seconds: float
    entries: int
    clears: int
    invalidations: int


class Meter:
    """Compares the statistics of now with those of a second ago, and of its own beginning.

    Args:
        caches: What to measure.
        alone: Whether to measure this process's part only.
    """

    def __init__(self, caches: CacheManager, *, alone: bool = False) -> None:
        self._caches = caches
        self._alone = alone
        self._first, _, self._saved = self._read()
        self._before = self._first

    def _read(self) -> tuple[dict[str, tuple[int, int]], dict[str, int], float]:
        if self._alone:
            found = {name: self._caches.find(name) for name in (None, *self._caches.services())}
            all_caches = {name or "global": cache.own_stats() for name, cache in found.items() if cache is not None}
        else:
            stats = self._caches.stats()
            all_caches = {"global": stats.global_cache, **stats.services}
        counts = {name: (cache.hits, cache.misses) for name, cache in all_caches.items()}
        sizes = {name: cache.current_size for name, cache in all_caches.items()}
        return counts, sizes, sum(cache.saved_seconds for cache in all_caches.values())

    def tick(self, second: int, requests: int) -> Tick:
        """Return what happened since the last call."""
        counts, sizes, saved = self._read()
        ticks: dict[str, CacheTick] = {}
        all_hits = all_reads = 0
        for name, (hits, misses) in counts.items():
            hits_before, misses_before = self._before.get(name, (0, 0))
            new_hits = max(0, hits - hits_before)
            reads = new_hits + max(0, misses - misses_before)
            ticks[name] = CacheTick(reads, percent_of(new_hits, reads), sizes[name])
            all_hits += new_hits
            all_reads += reads
        self._before = counts
        return Tick(second, requests, percent_of(all_hits, all_reads), saved - self._saved, sum(sizes.values()), ticks)

    def summary(self, seconds: float, requests: int, clears: int, invalidations: int) -> Summary:
        """Return what happened since the meter was made."""
        counts, sizes, saved = self._read()
        hits = sum(hits for hits, _ in counts.values()) - sum(hits for hits, _ in self._first.values())
        misses = sum(misses for _, misses in counts.values()) - sum(misses for _, misses in self._first.values())
        rate = percent_of(hits, hits + misses) or 0.0
        return Summary(
            round(seconds, 1), requests, rate, saved - self._saved, sum(sizes.values()), clears, invalidations
        )


def percent_of(part: float, whole: int) -> float | None:
    """Return a share in percent, to two decimals; None of nothing."""
    return round(100 * part / whole, 2) if whole else None
