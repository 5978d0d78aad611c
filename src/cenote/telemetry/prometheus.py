"""Prometheus: a collector that reads a manager's figures when it is scraped."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import MissingExtraError
from cenote.meters import BOUNDS, Durations
from cenote.stats import CacheStats, sum_of
from cenote.telemetry.families import CACHE_FIGURES, CACHE_LOADS, COMMON, NETWORK, Family
from cenote.telemetry.figures import figures_of
from cenote.telemetry.labels import GLOBAL_LABEL

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError("The Prometheus exporter", "server") from error

if TYPE_CHECKING:
    from cenote import CacheManager
    from cenote.invalidation.log import Standing
    from cenote.meters import Meters

__all__ = [
    "CONTENT_TYPE",
    "GLOBAL_LABEL",
    "MOST_CACHES",
    "OTHER_LABEL",
    "CenoteCollector",
    "exposition",
    "make_registry",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of the exposition."""

MOST_CACHES: Final = 1000
"""How many caches have a label of their own; what all others did is added up."""

OTHER_LABEL: Final = "(other)"
"""The ``cache`` label of all others; no service can be called so."""

_labelled: weakref.WeakKeyDictionary[CacheManager, dict[str, None]] = weakref.WeakKeyDictionary()
"""The caches of each manager that have a label: whoever has one keeps it, or the sum of the others could fall."""


class CenoteCollector(Collector):
    """Yields the figures of one manager's caches, one ``cache`` label each.

    Args:
        caches: The manager.
    """

    def __init__(self, caches: CacheManager) -> None:
        self._caches = caches

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not read the caches."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, read from one look at the statistics."""
        caches = self._caches
        labelled = _bounded(caches, figures_of(caches))
        for family in CACHE_FIGURES:
            yield _numbers(family, ((name, getattr(each, family.figure)) for name, each in labelled.items()))
        loads = HistogramMetricFamily(CACHE_LOADS.name, CACHE_LOADS.text, labels=CACHE_LOADS.labels)
        for name, each in labelled.items():
            times = each.load_times
            loads.add_metric([name], _buckets(times.BOUNDS, times.counts), each.load_seconds)
        yield loads
        # Behind the statistics, which had every process report.
        meters = caches.meters()
        yield _number(COMMON["processes"], len(caches.processes()))
        yield _number(COMMON["enabled"], int(caches.enabled))
        yield _clears(meters, caches.level)
        standing = caches.standing()
        if standing is not None:
            yield from _network(standing, meters)


def _bounded(caches: CacheManager, stats: Mapping[str, CacheStats]) -> dict[str, CacheStats]:
    """Return the figures by label: as many as may have one of their own, and all others together."""
    known = _labelled.setdefault(caches, {})
    for name in stats:
        if len(known) >= MOST_CACHES:
            break
        known.setdefault(name)
    found = {name: each for name, each in stats.items() if name in known}
    others = [each for name, each in stats.items() if name not in known]
    return {**found, OTHER_LABEL: sum_of(others)} if others else found


def _numbers(family: Family, values: Iterable[tuple[str, float | None]]) -> Metric:
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric: Any = made(family.name, family.text, labels=family.labels)
    for label, value in values:
        if value is not None:
            metric.add_metric([label], value)
    return metric  # type: ignore[no-any-return]


def _number(family: Family, value: float) -> Metric:
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return made(family.name, family.text, value=value)


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    uppers = [*map(str, bounds), "+Inf"]
    return list(zip(uppers, accumulate(counts), strict=True))


def _clears(meters: Meters, own: str) -> Metric:
    """Show clears by level and result: those that there were, and what may come, which begins with 0."""
    family = COMMON["clears"]
    metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
    for kind, durations in meters.clears.items():
        if durations.total or kind == (own, "success"):
            metric.add_metric(kind, _buckets(BOUNDS, durations.counts), durations.seconds)
    return metric


def _histogram(family: Family, durations: Durations) -> Metric:
    return HistogramMetricFamily(family.name, family.text, _buckets(BOUNDS, durations.counts), durations.seconds)


def _network(standing: Standing, meters: Meters) -> Iterator[Metric]:
    yield _number(NETWORK["held"], int(standing.lease > 0))
    yield _number(NETWORK["lease"], standing.lease)
    # Left out where the agent has not said yet how many: a counter that shows 0 in between seems to have begun anew.
    if standing.renewals or standing.failures:
        yield _number(NETWORK["renewals"], standing.renewals)
        yield _number(NETWORK["failures"], standing.failures)
    if standing.members is not None:
        yield _number(NETWORK["members"], standing.members)
    yield _histogram(NETWORK["waits"], meters.waits)
    for name in ("lapsed", "calls", "call_failures", "breakers", "owed"):
        yield _number(NETWORK[name], getattr(meters, name))


def make_registry(caches: CacheManager) -> CollectorRegistry:
    """Make a registry that holds one manager's figures and nothing else.

    Args:
        caches: The manager.

    Returns:
        The registry; to add the figures to another one, register a CenoteCollector there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CenoteCollector(caches))
    return registry


def exposition(caches: CacheManager) -> bytes:
    """Write the figures in the text format.

    Args:
        caches: The manager.

    Returns:
        The text, to be sent as CONTENT_TYPE.
    """
    return generate_latest(make_registry(caches))
