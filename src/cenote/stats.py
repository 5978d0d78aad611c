"""Statistics: what a cache counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from cenote.loadtimes import BUCKETS, NO_LOADS, LoadTimes, bucket_of

__all__ = ["CacheStats", "Counts", "ManagerStats", "sum_of"]


class Counts:
    """The counters of one cache that are changed under its write lock; hits are counted where they happen."""

    __slots__ = (
        "coalesced",
        "evictions",
        "expirations",
        "invalidations",
        "load_failures",
        "load_times",
        "loads",
        "stale_served",
    )

    def __init__(self) -> None:
        self.coalesced = 0
        self.evictions = 0
        self.expirations = 0
        self.invalidations = 0
        self.load_failures = 0
        self.load_times = [0] * BUCKETS
        self.loads = 0
        self.stale_served = 0

    def count_load(self, seconds: float) -> None:
        """Count a load that yielded a value."""
        self.loads += 1
        self.load_times[bucket_of(seconds)] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """The statistics of one cache since it was made; a clear does not reset them.

    Attributes:
        hits: Reads that were served from the cache, stale ones included.
        misses: Reads that were not, those included that waited for another caller's load.
        current_size: Live entries now.
        max_size: Most entries held; None when there is no limit.
        evictions: Entries that left to make room.
        expirations: Entries that left because they had ended.
        invalidations: Entries that left, or turned stale, because somebody said so.
        loads: Loads that yielded a value.
        load_failures: Loads that raised.
        coalesced: Reads that waited for another caller's load of the same key.
        stale_served: Hits that served a stale value.
        bytes: Bytes held, as the weigher counts them; None without a weigher.
        load_seconds: Seconds that the loads took together.
        saved_seconds: Hits valued at the mean load time that their function, or the callers' keys, had until then.
        load_times: How long loads took, in buckets.
    """

    hits: int = 0
    misses: int = 0
    current_size: int = 0
    max_size: int | None = None
    evictions: int = 0
    expirations: int = 0
    invalidations: int = 0
    loads: int = 0
    load_failures: int = 0
    coalesced: int = 0
    stale_served: int = 0
    bytes: int | None = None
    load_seconds: float = 0.0
    saved_seconds: float = 0.0
    load_times: LoadTimes = NO_LOADS

    @property
    def reads(self) -> int:
        """Hits and misses together."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float:
        """Hits in percent of reads, to two decimals; 0 when nothing was read."""
        return _percent(self.hits, self.hits + self.misses)

    @property
    def miss_rate(self) -> float:
        """Misses in percent of reads, to two decimals; 0 when nothing was read."""
        return round(100 - self.hit_rate, 2) if self.hits + self.misses else 0.0

    @property
    def mean_load_ms(self) -> float:
        """Mean milliseconds of a load."""
        return round(1000 * self.load_seconds / self.loads, 3) if self.loads else 0.0

    @property
    def efficiency(self) -> float:
        """Percent of load time that the cache saved, to two decimals."""
        return _percent(self.saved_seconds, self.saved_seconds + self.load_seconds)


_ADDED: Final = tuple(
    field.name for field in fields(CacheStats) if field.name not in {"max_size", "bytes", "load_times"}
)


def sum_of(all_stats: Sequence[CacheStats]) -> CacheStats:
    """Return the figures of several caches together; the limit is None where one of them has none."""
    if len(all_stats) == 1:
        return all_stats[0]
    sums: dict[str, Any] = {name: sum(getattr(each, name) for each in all_stats) for name in _ADDED}
    limits = [each.max_size for each in all_stats if each.max_size is not None]
    weights = [each.bytes for each in all_stats if each.bytes is not None]
    times = [each.load_times.counts for each in all_stats]
    return CacheStats(
        **sums,
        max_size=sum(limits) if limits and len(limits) == len(all_stats) else None,
        bytes=sum(weights) if weights else None,
        load_times=LoadTimes(tuple(map(sum, zip(*times, strict=True)))) if times else NO_LOADS,
    )


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


@dataclass(frozen=True, slots=True)
class ManagerStats:
    """The statistics of all caches of a manager.

    Attributes:
        global_cache: The global cache's.
        services: The services', by name, sorted.
    """

    global_cache: CacheStats
    services: Mapping[str, CacheStats]

    @property
    def total_hits(self) -> int:
        """Hits of all caches."""
        return sum(stats.hits for stats in self._all())

    @property
    def total_misses(self) -> int:
        """Misses of all caches."""
        return sum(stats.misses for stats in self._all())

    @property
    def total_entries(self) -> int:
        """Live entries of all caches."""
        return sum(stats.current_size for stats in self._all())

    def _all(self) -> list[CacheStats]:
        return [self.global_cache, *self.services.values()]
