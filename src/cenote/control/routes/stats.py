"""The figures: the caches at a glance, and their statistics."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path
from pydantic.alias_generators import to_camel

from cenote.audit import timestamp_of
from cenote.control.answers import PLAIN_REFUSALS, REFUSALS
from cenote.control.plane import ControlPlane
from cenote.control.schemas import (
    CacheStatusResponse,
    CacheTotals,
    ComprehensiveCacheStatsResponse,
    ProcessModel,
    ServiceCacheStatsResponse,
)

if TYPE_CHECKING:
    from cenote.invalidation.census import Process
    from cenote.stats import CacheStats

__all__ = ["add_stats_routes", "process_model", "wire_statistics"]

_FIGURES = (
    "hits",
    "misses",
    "hit_rate",
    "miss_rate",
    "current_size",
    "max_size",
    "evictions",
    "expirations",
    "invalidations",
    "loads",
    "load_failures",
    "coalesced",
    "stale_served",
    "bytes",
    "mean_load_ms",
    "saved_seconds",
    "efficiency",
)
_WIRE_FIGURES = tuple((to_camel(name), name) for name in _FIGURES)


def add_stats_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add status and statistics.

    Args:
        router: Where to add them.
        plane: The caches.
    """
    caches = plane.caches

    @router.get("/api/system/cache/status", responses=PLAIN_REFUSALS)
    async def get_cache_status() -> CacheStatusResponse:
        """Show the caches at a glance."""

        def look() -> CacheStatusResponse:
            stats = caches.stats()
            return CacheStatusResponse(
                enabled=caches.enabled,
                backend=caches.backend,
                global_cache_size=stats.global_cache.current_size,
                service_cache_count=len(stats.services),
                total_entries=stats.total_entries,
                level=caches.level,
                processes=[process_model(each) for each in caches.processes()],
            )

        status: CacheStatusResponse = await plane.run(look, quick=plane.quick)
        return status

    @router.get("/api/system/cache/stats", responses=PLAIN_REFUSALS)
    async def get_cache_stats() -> ComprehensiveCacheStatsResponse:
        """Show the statistics of every cache."""
        stats = await plane.run(caches.stats, quick=plane.quick)
        return ComprehensiveCacheStatsResponse(
            global_cache=wire_statistics(stats.global_cache),
            service_caches={name: wire_statistics(each) for name, each in stats.services.items()},
            totals=CacheTotals(
                total_hits=stats.total_hits,
                total_misses=stats.total_misses,
                total_entries=stats.total_entries,
            ),
        )

    @router.get("/api/system/cache/stats/{service:cenote_text}", responses=REFUSALS)
    async def get_service_cache_stats(
        service: Annotated[str, Path(description="The service's name.", examples=["etherforce"])],
    ) -> ServiceCacheStatsResponse:
        """Show the statistics of one service's cache; an unknown service is answered with found=false."""
        stats = await plane.run(partial(caches.stats_of, service), quick=plane.quick)
        statistics = {} if stats is None else wire_statistics(stats)
        return ServiceCacheStatsResponse(service_name=service, found=stats is not None, statistics=statistics)


def process_model(process: Process) -> ProcessModel:
    """Turn a process that shares the caches into its wire form."""
    since = timestamp_of(datetime.fromtimestamp(process.since, UTC))
    return ProcessModel(pid=process.pid, since=since, entries=process.entries)


def wire_statistics(stats: CacheStats) -> dict[str, Any]:
    """Turn one cache's statistics into their wire form.

    Args:
        stats: The statistics.

    Returns:
        The figures by camelCase name.
    """
    return {wire: getattr(stats, name) for wire, name in _WIRE_FIGURES}
