"""Prometheus: a collector that reads a manager's figures when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cenote.errors import MissingExtraError
from cenote.telemetry.labels import GLOBAL_LABEL

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError("The Prometheus exporter", "server") from error

if TYPE_CHECKING:
    from cenote import CacheManager
    from cenote.stats import CacheStats

__all__ = ["CONTENT_TYPE", "GLOBAL_LABEL", "CenoteCollector", "exposition", "make_registry"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of the exposition."""

_COUNTERS = {
    "hits": "Reads answered from the cache",
    "misses": "Reads that found nothing to serve",
    "evictions": "Entries that left for lack of room",
    "expirations": "Entries that left because their time was over",
    "invalidations": "Entries that were cleared or invalidated",
    "loads": "Loads that yielded a value",
    "load_failures": "Loads that failed",
    "coalesced": "Reads that waited for a load already under way",
    "stale_served": "Reads answered with a stale value",
    "load_seconds": "Seconds that loads took",
}
_GAUGES = {
    "entries": ("current_size", "Entries"),
    "max_entries": ("max_size", "The most entries there may be"),
    "bytes": ("bytes", "Bytes of the entries, as the weigher counts them"),
    # An estimate by the mean load time, which may fall: no counter.
    "saved_seconds": ("saved_seconds", "Seconds of loading that hits saved"),
}


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
        stats = self._caches.stats()
        caches: dict[str, CacheStats] = {GLOBAL_LABEL: stats.global_cache, **stats.services}
        for field, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"cenote_cache_{field}", f"{text}.", labels=["cache"])
            for name, each in caches.items():
                counter.add_metric([name], getattr(each, field))
            yield counter
        for metric, (field, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"cenote_cache_{metric}", f"{text}.", labels=["cache"])
            for name, each in caches.items():
                value = getattr(each, field)
                if value is not None:
                    gauge.add_metric([name], value)
            yield gauge
        yield GaugeMetricFamily(
            "cenote_processes", "Processes that share the caches.", value=len(self._caches.processes())
        )
        yield GaugeMetricFamily(
            "cenote_enabled", "Whether caching is switched on.", value=1 if self._caches.enabled else 0
        )


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
