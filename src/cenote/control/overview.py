"""Rows: what the operator's view says of each cache."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cenote.audit import timestamp_of
from cenote.control.operator_schemas import CacheRow, LoadPercentiles, RecentModel, RefillModel, Sparkline
from cenote.errors import ClearFailedError
from cenote.stats import sum_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote import Cache, CacheManager
    from cenote.stats import CacheStats

__all__ = ["GLOBAL_NAME", "SORTS", "choose", "clearing", "machines_of", "moment", "refill_model", "row", "totals_row"]

GLOBAL_NAME = "global"
"""What the global cache is called in a search."""

_FIGURES = (
    "hits",
    "misses",
    "hit_rate",
    "miss_rate",
    "current_size",
    "max_size",
    "bytes",
    "evictions",
    "expirations",
    "invalidations",
    "loads",
    "load_failures",
    "coalesced",
    "stale_served",
    "mean_load_ms",
    "saved_seconds",
    "load_seconds",
    "efficiency",
)

SORTS = {
    "name": "",
    "hitRate": "hit_rate",
    "recentHitRate": "",
    "reads": "reads",
    "recentReads": "",
    "misses": "misses",
    "entries": "current_size",
    "bytes": "bytes",
    "evictions": "evictions",
    "savedSeconds": "saved_seconds",
    "loadSeconds": "load_seconds",
    "efficiency": "efficiency",
}
"""What caches can be sorted by, and the figure behind it."""


def moment(seconds: float) -> str:
    """Write seconds since the Unix epoch as ISO 8601 in UTC, ending in Z."""
    return timestamp_of(datetime.fromtimestamp(seconds, UTC))


def row(caches: CacheManager, name: str | None, stats: CacheStats, *, sparkline: bool) -> dict[str, Any]:
    """Say what a cache does.

    Args:
        caches: The manager.
        name: The service; None: the global cache.
        stats: Its statistics.
        sparkline: Whether to add its last ten minutes.

    Returns:
        The fields of a CacheRow.
    """
    cache = caches.find(name)
    limit = None if cache is None else cache.options.max_bytes
    return _fields(caches, name, stats, sparkline=sparkline, total=False) | {
        "max_bytes": limit,
        "clearing": clearing(caches, name),
        "refill": None if cache is None else refill_model(cache, caches.level),
    }


def clearing(caches: CacheManager, name: str | None) -> str | None:
    """Return the receipt of a clear of a cache that is under way, of those that this process was asked for."""
    for note in caches.audit.register.last(10):
        if note.state == "running" and (note.everything or note.service == name):
            return note.clear_id
    return None


def refill_model(cache: Cache, level: str) -> RefillModel | None:
    """Say how the refill of a cache goes on; None where there was none.

    Args:
        cache: The cache.
        level: What a clear of it reaches.
    """
    status = cache.refill
    if status is None:
        return None
    return RefillModel(
        clear_id=status.clear_id,
        state="running" if status.running else "over",
        rate_per_second=status.rate,
        started_at=moment(status.started),
        seconds=round(status.seconds, 3),
        max_seconds=status.max_seconds,
        admitted=status.admitted,
        waiting=status.waiting,
        timed_out=status.timed_out,
        hottest=status.hottest,
        hottest_back=status.hottest_back,
        ended_by=status.ended_by,
        scope="process" if level == "process" else "machine",
    )


def totals_row(caches: CacheManager, figures: dict[str | None, CacheStats], *, sparkline: bool) -> CacheRow:
    """Say what all caches do together."""
    return CacheRow(**_fields(caches, None, sum_of(list(figures.values())), sparkline=sparkline, total=True))


def _fields(
    caches: CacheManager, name: str | None, stats: CacheStats, *, sparkline: bool, total: bool
) -> dict[str, Any]:
    history = caches.history
    recent = history.recent(name, stats, total=total)
    seconds = max(recent.seconds, 1e-9)
    times = [
        None if each is None else round(1000 * each, 3) for each in history.load_quantiles(name, stats, total=total)
    ]
    return {
        "service_name": name,
        **{figure: getattr(stats, figure) for figure in _FIGURES},
        "recent": RecentModel(
            seconds=round(recent.seconds, 3),
            reads=recent.reads,
            hits=recent.hits,
            hit_rate=recent.hit_rate,
            reads_per_second=round(recent.reads / seconds, 3),
            loads=recent.loads,
            loads_per_second=round(recent.loads / seconds, 3),
        ),
        "load_ms": LoadPercentiles(p50=times[0], p95=times[1], p99=times[2]),
        "level": caches.level,
        "sparkline": _sparkline(caches, name, total=total) if sparkline else None,
    }


def _sparkline(caches: CacheManager, name: str | None, *, total: bool) -> Sparkline:
    series = caches.history.series(name, total=total)
    return Sparkline(
        step_seconds=series.step,
        end=moment(series.end),
        hit_rate=series.hit_rate,
        reads_per_second=series.reads_per_second,
    )


def choose(
    caches: CacheManager,
    figures: dict[str | None, CacheStats],
    *,
    search: str | None,
    names: list[str | None] | None,
    sort: str,
    descending: bool,
) -> list[str | None]:
    """Return the caches that a search and a selection leave, in order; equals come in the order of their names.

    Args:
        caches: The manager.
        figures: The statistics of every cache.
        search: Part of the name, in any case.
        names: Those to select; None: all.
        sort: One of SORTS.
        descending: Whether the greatest comes first.
    """
    wanted = None if names is None else set(names)
    part = (search or "").casefold()
    chosen = [
        name
        for name in sorted(figures, key=lambda name: name or "")
        if (wanted is None or name in wanted) and part in (GLOBAL_NAME if name is None else name).casefold()
    ]
    if sort == "name":
        return chosen[::-1] if descending else chosen
    return sorted(chosen, key=_worth(caches, figures, sort), reverse=descending)


def _worth(caches: CacheManager, figures: dict[str | None, CacheStats], sort: str) -> Callable[[str | None], float]:
    def worth(name: str | None) -> float:
        stats = figures[name]
        if sort.startswith("recent"):
            recent = caches.history.recent(name, stats)
            # What was not read has no hit rate; it comes last among the greatest.
            value = recent.reads if sort == "recentReads" else recent.hit_rate
        else:
            value = getattr(stats, SORTS[sort])
        return -1.0 if value is None else float(value)

    return worth


def machines_of(caches: CacheManager) -> list[str]:
    """Return the machines that share the caches; none while the server that knows them is away."""
    try:
        return caches.machines()
    except ClearFailedError:
        return []
