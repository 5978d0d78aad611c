"""History: what caches did lately, in steps of ten seconds, and over a day in steps of five minutes.

It is made of the statistics alone, which somebody looks at from time to time: reads and loads know nothing of it. What
it holds is bounded: at most 20 KB for each cache that was used since the history began, less than a kilobyte else.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from cenote import locks
from cenote.clock import Clock
from cenote.stats import CacheStats, sum_of

__all__ = ["COARSE_POINTS", "COARSE_SECONDS", "POINTS", "STEP_SECONDS", "History", "Recent", "Series", "Span"]

STEP_SECONDS: Final = 10.0
"""Seconds from one sample to the next."""

POINTS: Final = 60
"""How many fine samples are kept: those of ten minutes."""

COARSE_SECONDS: Final = 300.0
"""Seconds that a coarse point covers."""

COARSE_POINTS: Final = 288
"""How many coarse points are kept: those of a day."""

Span = Literal["10m", "24h"]

_STEPS: Final = round(COARSE_SECONDS / STEP_SECONDS)
_RECENT_STEPS: Final = 6
_NAN: Final = float("nan")
_COUNTED: Final = ("hits", "misses", "loads", "load_failures", "coalesced", "stale_served", "evictions")
_WIDTH: Final = len(_COUNTED) + 6
_SECONDS: Final = len(_COUNTED)
_ENTRIES: Final = _SECONDS + 1
_P50: Final = _SECONDS + 2
_LOAD_SECONDS: Final = _SECONDS + 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What a cache did in the last minute, or since the history began.

    Attributes:
        seconds: What it covers.
        reads: Reads.
        hits: Those of them that were served.
        loads: Loads that yielded a value.
        load_seconds: What these took together.
    """

    seconds: float = 0.0
    reads: int = 0
    hits: int = 0
    loads: int = 0
    load_seconds: float = 0.0

    @property
    def hit_rate(self) -> float | None:
        """Hits in percent of reads; None when nothing was read."""
        return round(100 * self.hits / self.reads, 2) if self.reads else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The history of one cache; every list has one item for each point, the oldest first.

    Attributes:
        step: Seconds from one point to the next.
        end: When the last one ended, in seconds since the Unix epoch.
        reads_per_second: None where nothing was measured, as everywhere.
        hit_rate: Percent of the reads; None where there were none too.
        loads_per_second: Loads that yielded a value.
        load_failures_per_second: Loads that raised.
        coalesced_per_second: Reads that waited for another caller's load.
        stale_served_per_second: Reads that were served a stale value.
        evictions_per_second: Entries that left to make room.
        entries: Live entries at the end of each step.
        load_p50: The median of the load times, in seconds; None where nothing was loaded too.
        load_p95: What 95 percent of the loads stayed within.
        load_p99: What 99 percent stayed within.
    """

    step: float
    end: float
    reads_per_second: list[float | None]
    hit_rate: list[float | None]
    loads_per_second: list[float | None]
    load_failures_per_second: list[float | None]
    coalesced_per_second: list[float | None]
    stale_served_per_second: list[float | None]
    evictions_per_second: list[float | None]
    entries: list[float | None]
    load_p50: list[float | None]
    load_p95: list[float | None]
    load_p99: list[float | None]


class _Ring:
    """The last points of one cache; a place for each, taken once there is something to put into it."""

    __slots__ = ("_points", "_rows")

    def __init__(self, points: int) -> None:
        self._points = points
        self._rows: array[float] | None = None

    def put(self, tick: int, row: list[float] | None) -> None:
        if self._rows is None:
            if row is None:
                return
            self._rows = array("f", [_NAN]) * (_WIDTH * self._points)
        at = tick % self._points * _WIDTH
        self._rows[at : at + _WIDTH] = array("f", row or [_NAN] * _WIDTH)

    def get(self, tick: int) -> array[float] | None:
        if self._rows is None or tick < 0:
            return None
        at = tick % self._points * _WIDTH
        row = self._rows[at : at + _WIDTH]
        return None if row[0] != row[0] else row  # not a number


@dataclass(slots=True)
class _Track:
    """One cache: what was seen of it last, and the points made of that."""

    last: CacheStats
    last_coarse: CacheStats
    before_coarse: CacheStats
    seen_at: float
    coarse_at: float
    fine: _Ring = field(default_factory=lambda: _Ring(POINTS))
    coarse: _Ring = field(default_factory=lambda: _Ring(COARSE_POINTS))
    used: bool = False


class History:
    """The history of the caches of one manager; any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        """Make an empty history, which begins with the first sample.

        Args:
            clock: Where time comes from.
        """
        self._clock = clock
        self._lock = locks.make_lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew; also what a forked child does, where counts start from nothing."""
        self._lock = locks.make_lock()
        self._tracks: dict[str | None, _Track] = {}
        self._total: _Track | None = None
        self._begun = self._clock.monotonic()
        self._tick = 0
        self._started = False
        self.since = self._clock.time()
        """When it began, in seconds since the Unix epoch."""

    @property
    def due(self) -> float:
        """Seconds until the next sample is to be taken."""
        if not self._started:
            return 0.0
        return max(0.0, self._begun + (self._tick + 1) * STEP_SECONDS - self._clock.monotonic())

    def sample(self, stats: Mapping[str | None, CacheStats]) -> None:
        """Take a sample: what every cache has counted until now; the first one is what the history begins with.

        Args:
            stats: The statistics by service; None is the global cache. What is not there any more is forgotten.
        """
        now = self._clock.monotonic()
        with self._lock:
            if not self._started:
                self._started, self._begun, self.since = True, now, self._clock.time()
                self._tracks = {name: self._track(each) for name, each in stats.items()}
                self._total = self._track(sum_of(list(stats.values())))
                return
            if now < self._begun + (self._tick + 1) * STEP_SECONDS:
                return  # somebody else was faster
            tick = max(self._tick + 1, int((now - self._begun) / STEP_SECONDS))
            skipped = range(max(self._tick + 1, tick - POINTS), tick)
            coarse = tick // _STEPS > self._tick // _STEPS
            self._tick = tick
            for name in self._tracks.keys() - stats.keys():
                del self._tracks[name]
            for name, each in stats.items():
                track = self._tracks.get(name)
                if track is None:
                    track = self._tracks[name] = self._track(CacheStats())
                self._advance(track, each, now, tick, skipped, coarse=coarse)
            assert self._total is not None  # noqa: S101  # made with the first sample
            self._advance(self._total, sum_of(list(stats.values())), now, tick, skipped, coarse=coarse)

    def _track(self, stats: CacheStats) -> _Track:
        now = self._clock.monotonic()
        # A cache that is made later counts from nothing, and from the last sample on.
        since = max(self._begun, now - STEP_SECONDS) if self._tick else self._begun
        return _Track(stats, stats, stats, since, since)

    @staticmethod
    def _advance(track: _Track, stats: CacheStats, now: float, tick: int, skipped: range, *, coarse: bool) -> None:
        track.used = track.used or bool(stats.reads or stats.loads or stats.current_size)
        for each in skipped:
            track.fine.put(each, None)
        track.fine.put(tick, _row(stats, track.last, now - track.seen_at) if track.used else None)
        track.last, track.seen_at = stats, now
        if coarse:
            row = _row(stats, track.last_coarse, now - track.coarse_at) if track.used else None
            track.coarse.put(tick // _STEPS, row)
            track.before_coarse, track.last_coarse, track.coarse_at = track.last_coarse, stats, now

    def series(self, name: str | None, span: Span = "10m", *, total: bool = False) -> Series:
        """Return the history of a cache.

        Args:
            name: The service; None is the global cache.
            span: Ten minutes in steps of ten seconds, or a day in steps of five minutes.
            total: Whether to add up all caches instead.
        """
        with self._lock:
            fine = span == "10m"
            tick = self._tick if fine else self._tick // _STEPS
            points = min(tick, POINTS if fine else COARSE_POINTS)
            track = self._total if total else self._tracks.get(name)
            ring = None if track is None else track.fine if fine else track.coarse
            rows = [None if ring is None else ring.get(each) for each in range(tick - points + 1, tick + 1)]
            step = STEP_SECONDS if fine else COARSE_SECONDS
            return _series(rows, step, self.since + tick * step)

    def recent(self, name: str | None, stats: CacheStats, *, total: bool = False) -> Recent:
        """Say what a cache did in the last minute.

        Args:
            name: The service; None is the global cache.
            stats: Its statistics now.
            total: Whether they are those of all caches together.
        """
        with self._lock:
            track = self._total if total else self._tracks.get(name)
            last, seen_at = (CacheStats(), self._begun) if track is None else (track.last, track.seen_at)
            rows = [] if track is None else [track.fine.get(self._tick - back) for back in range(_RECENT_STEPS)]
            measured = [row for row in rows if row is not None]
            hits = max(0, stats.hits - last.hits) + round(sum(row[0] for row in measured))
            misses = max(0, stats.misses - last.misses) + round(sum(row[1] for row in measured))
            return Recent(
                seconds=max(0.0, self._clock.monotonic() - seen_at) + sum(row[_SECONDS] for row in measured),
                reads=hits + misses,
                hits=hits,
                loads=max(0, stats.loads - last.loads) + round(sum(row[2] for row in measured)),
                load_seconds=max(0.0, stats.load_seconds - last.load_seconds)
                + sum(row[_LOAD_SECONDS] for row in measured),
            )

    def last_reads(self, name: str | None) -> float:
        """Return how often a cache was read in the last step; 0 where that is not known."""
        with self._lock:
            track = self._tracks.get(name)
            row = None if track is None else track.fine.get(self._tick)
            return 0.0 if row is None else row[0] + row[1]

    def load_quantiles(self, name: str | None, stats: CacheStats, *, total: bool = False) -> list[float | None]:
        """Return median, 95 and 99 percent of the load times of the last five to ten minutes, in seconds."""
        with self._lock:
            track = self._total if total else self._tracks.get(name)
            before = CacheStats() if track is None else track.before_coarse
        lately = stats.load_times - before.load_times
        return [lately.quantile(share) for share in (0.5, 0.95, 0.99)]


def _row(stats: CacheStats, last: CacheStats, seconds: float) -> list[float]:
    """Return the numbers of one point."""
    counted = [float(max(0, getattr(stats, name) - getattr(last, name))) for name in _COUNTED]
    times: list[float | None] = [None] * 3
    if stats.loads > last.loads:
        lately = stats.load_times - last.load_times
        times = [lately.quantile(share) for share in (0.5, 0.95, 0.99)]
    return [
        *counted,
        seconds,
        float(stats.current_size),
        *(_NAN if each is None else each for each in times),
        max(0.0, stats.load_seconds - last.load_seconds),
    ]


def _series(rows: list[array[float] | None], step: float, end: float) -> Series:
    def rates(*columns: int) -> list[float | None]:
        return [
            None if row is None else round(sum(row[each] for each in columns) / max(row[_SECONDS], 1e-9), 3)
            for row in rows
        ]

    def plain(column: int) -> list[float | None]:
        return [None if row is None or row[column] != row[column] else row[column] for row in rows]  # NaN

    names = [name for name in _COUNTED if name not in {"hits", "misses"}]
    return Series(
        step=step,
        end=end,
        reads_per_second=rates(0, 1),
        hit_rate=[
            None if row is None or not row[0] + row[1] else round(100 * row[0] / (row[0] + row[1]), 2) for row in rows
        ],
        entries=plain(_ENTRIES),
        load_p50=plain(_P50),
        load_p95=plain(_P50 + 1),
        load_p99=plain(_P50 + 2),
        **{f"{name}_per_second": rates(_COUNTED.index(name)) for name in names},
    )
