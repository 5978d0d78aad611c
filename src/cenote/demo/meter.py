"""What happened in the last second, read from the caches' own statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cenote import CacheManager
from cenote.demo.counting import CountingCodec
from cenote.stats import CacheStats

__all__ = ["CacheTick", "Meter", "Summary", "Tick", "WorkerTick", "percent_of"]


@dataclass(frozen=True, slots=True)
class CacheTick:
    """One cache's last second.

    Attributes:
        reads: How often it was asked.
        hit_rate: Percent of those that it answered by itself; None when it was not asked.
        entries: How many entries it holds.
        hits: How many reads it answered by itself.
        loads: How many values were loaded.
    """

    reads: int
    hit_rate: float | None
    entries: int
    hits: int
    loads: int


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
        near_hits: Reads that its own memory answered.
        fetched: Values that it found in the store that it shares with others.
        loads: Values that it loaded.
    """

    worker: int
    pid: int | None
    state: str
    hit_rate: float | None
    entries: int
    requests: int
    near_hits: int = 0
    fetched: int = 0
    loads: int = 0


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
        fetched: How many values came from a store that others share.
    """

    second: int
    requests: int
    hit_rate: float | None
    saved_seconds: float
    entries: int
    caches: Mapping[str, CacheTick]
    workers: Sequence[WorkerTick] = ()
    fetched: int = 0


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


_NOTHING: Final = CacheStats()


class Meter:
    """Compares the statistics of now with those of a second ago, and of its own beginning.

    Args:
        caches: What to measure.
        alone: Whether to measure this process's part only.
        codec: Counts what comes from a store that others share.
    """

    def __init__(self, caches: CacheManager, *, alone: bool = False, codec: CountingCodec | None = None) -> None:
        self._caches = caches
        self._alone = alone
        self._codec = codec
        self._first = self._before = self._read()
        self._fetched = self._decoded()

    def _decoded(self) -> int:
        return 0 if self._codec is None else self._codec.decoded

    def _read(self) -> dict[str, CacheStats]:
        if self._alone:
            found = {name: self._caches.find(name) for name in (None, *self._caches.services())}
            return {name or "global": cache.own_stats() for name, cache in found.items() if cache is not None}
        stats = self._caches.stats()
        return {"global": stats.global_cache, **stats.services}

    def tick(self, second: int, requests: int) -> Tick:
        """Return what happened since the last call."""
        now, decoded = self._read(), self._decoded()
        ticks: dict[str, CacheTick] = {}
        for name, stats in now.items():
            before = self._before.get(name, _NOTHING)
            hits = max(0, stats.hits - before.hits)
            reads = hits + max(0, stats.misses - before.misses)
            loads = max(0, stats.loads - before.loads)
            ticks[name] = CacheTick(reads, percent_of(hits, reads), stats.current_size, hits, loads)
        tick = Tick(
            second,
            requests,
            percent_of(sum(each.hits for each in ticks.values()), sum(each.reads for each in ticks.values())),
            self._saved(now),
            sum(each.entries for each in ticks.values()),
            ticks,
            fetched=decoded - self._fetched,
        )
        self._before, self._fetched = now, decoded
        return tick

    def _saved(self, now: Mapping[str, CacheStats]) -> float:
        saved = [sum(stats.saved_seconds for stats in each.values()) for each in (now, self._first)]
        return saved[0] - saved[1]

    def summary(self, seconds: float, requests: int, clears: int, invalidations: int) -> Summary:
        """Return what happened since the meter was made."""
        now = self._read()
        hits, misses = (
            sum(getattr(stats, name) for stats in now.values())
            - sum(getattr(stats, name) for stats in self._first.values())
            for name in ("hits", "misses")
        )
        rate = percent_of(hits, hits + misses) or 0.0
        entries = sum(stats.current_size for stats in now.values())
        return Summary(round(seconds, 1), requests, rate, self._saved(now), entries, clears, invalidations)


def percent_of(part: float, whole: int) -> float | None:
    """Return a share in percent, to two decimals; None of nothing."""
    return round(100 * part / whole, 2) if whole else None
