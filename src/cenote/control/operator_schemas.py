"""The wire models of the operator's view: what all caches do, and what one did lately."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cenote.control.schemas import AuditEventModel, ProcessModel

__all__ = [
    "CacheDetailResponse",
    "CacheHistoryResponse",
    "CacheOverviewResponse",
    "CacheRow",
    "ExplainResponse",
    "HotKey",
    "LastMiss",
    "LoadPercentiles",
    "MachineModel",
    "RecentModel",
    "RefillModel",
    "RefillStopResponse",
    "SeriesModel",
    "SessionResponse",
    "Sparkline",
]


class _Response(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class RecentModel(_Response):
    """What a cache did in the last minute, or since the history began."""

    seconds: float = Field(description="Seconds that this covers.")
    reads: int = Field(description="Hits and misses.")
    hits: int = Field(description="Reads that were served.")
    hit_rate: float | None = Field(description="Percent; null when nothing was read.")
    reads_per_second: float = Field(description="Reads a second.")
    loads: int = Field(description="Loads that yielded a value.")
    loads_per_second: float = Field(description="Loads a second.")


class LoadPercentiles(_Response):
    """Load times of the last five to ten minutes, in milliseconds; null where nothing was loaded."""

    p50: float | None = Field(description="The median.")
    p95: float | None = Field(description="What 95 percent of the loads stayed within.")
    p99: float | None = Field(description="What 99 percent stayed within.")


class Sparkline(_Response):
    """The last ten minutes; one item for each step, the oldest first, null where nothing was measured."""

    step_seconds: float = Field(description="Seconds from one point to the next.")
    end: str = Field(description="When the last step ended: ISO 8601, UTC, ending in Z.")
    hit_rate: list[float | None] = Field(description="Percent; null where nothing was read too.")
    reads_per_second: list[float | None] = Field(description="Reads a second.")


class RefillModel(_Response):
    """How loads are let through behind a paced clear."""

    clear_id: str = Field(description="The receipt of the clear.")
    state: str = Field(description='"running" or "over".')
    rate_per_second: float = Field(description="Loads a second, of all who share the cache together.")
    started_at: str = Field(description="When it began: ISO 8601, UTC, ending in Z.")
    seconds: float = Field(description="Seconds since then.")
    max_seconds: float = Field(description="Seconds after which it ends.")
    admitted: int = Field(description="Loads that were let through.")
    waiting: int = Field(description="Loads that wait.")
    timed_out: int = Field(description="Loads that waited too long.")
    hottest: int = Field(description="How many keys are on the list of those that were read most.")
    hottest_back: int = Field(description="How many of these were let through.")
    ended_by: str | None = Field(
        description='"hottestBack", "maxSeconds", "cleared", "stopped" or "switchedOff"; null while it goes on.'
    )
    scope: str = Field(description='Whose figures these are: "process", or "machine", the sums over its processes.')


class RefillStopResponse(_Response):
    """What became of a refill."""

    success: bool = Field(description="Whether any loads were held back.")
    refill: RefillModel | None = Field(description="The refill; null where there was none, and for all.")


class CacheRow(_Response):
    """One cache at a glance, over all processes that share it."""

    service_name: str | None = Field(description="The service; null: the global cache, or the sum of all.")
    hits: int = Field(description="Reads that were served.")
    misses: int = Field(description="Reads that were not.")
    hit_rate: float = Field(description="Hits in percent of reads.")
    miss_rate: float = Field(description="Misses in percent of reads.")
    current_size: int = Field(description="Live entries.")
    max_size: int | None = Field(description="Most entries held; null: no limit.")
    bytes: int | None = Field(description="Bytes held, as the weigher counts them.")
    max_bytes: int | None = Field(default=None, description="Most bytes held; null: no limit.")
    evictions: int = Field(description="Entries that left to make room.")
    expirations: int = Field(description="Entries that left because they had ended.")
    invalidations: int = Field(description="Entries that were cleared or invalidated.")
    loads: int = Field(description="Loads that yielded a value.")
    load_failures: int = Field(description="Loads that raised.")
    coalesced: int = Field(description="Reads that waited for another caller's load.")
    stale_served: int = Field(description="Hits that served a stale value.")
    mean_load_ms: float = Field(description="Mean milliseconds of a load.")
    saved_seconds: float = Field(description="Seconds of loading that hits saved.")
    load_seconds: float = Field(description="Seconds that loads took.")
    efficiency: float = Field(description="Percent of load time that the cache saved.")
    recent: RecentModel = Field(description="The last minute.")
    load_ms: LoadPercentiles = Field(description="Load times lately.")
    level: str = Field(description='What a clear reaches: "process", "machine" or "network".')
    clearing: str | None = Field(default=None, description="The receipt of a clear that is under way.")
    refill: RefillModel | None = Field(default=None, description="The refill behind the last paced clear.")
    sparkline: Sparkline | None = Field(default=None, description="The last ten minutes.")


class MachineModel(_Response):
    """A machine that shares the caches."""

    name: str = Field(description="What it is called.")


class CacheOverviewResponse(_Response):
    """All caches at a glance."""

    timestamp: str = Field(description="Now: ISO 8601, UTC, ending in Z.")
    enabled: bool = Field(description="Whether caching is switched on.")
    backend: str = Field(description='Where entries live: "memory", "lmdb" or "redis".')
    level: str = Field(description='What a clear reaches: "process", "machine" or "network".')
    uptime_seconds: float = Field(description="Seconds since the answering process made its caches.")
    processes: list[ProcessModel] = Field(description="The processes that share the caches.")
    members: list[MachineModel] = Field(description="The machines that share the caches; empty below level network.")
    history_since: str = Field(description="Since when the answering process keeps a history.")
    totals: CacheRow = Field(description="All caches together.")
    matching: int = Field(description="How many caches the search and the names left.")
    offset: int = Field(description="How many of them come before this page.")
    caches: list[CacheRow] = Field(description="This page of them.")


class SeriesModel(_Response):
    """What a cache did, point by point, the oldest first; null where nothing was measured."""

    reads_per_second: list[float | None] = Field(description="Hits and misses a second.")
    hit_rate: list[float | None] = Field(description="Percent of the reads; null where there were none too.")
    loads_per_second: list[float | None] = Field(description="Loads that yielded a value.")
    load_failures_per_second: list[float | None] = Field(description="Loads that raised.")
    coalesced_per_second: list[float | None] = Field(description="Reads that waited for another caller's load.")
    stale_served_per_second: list[float | None] = Field(description="Reads that were served a stale value.")
    evictions_per_second: list[float | None] = Field(description="Entries that left to make room.")
    entries: list[float | None] = Field(description="Live entries at the end of each step.")
    load_p50_ms: list[float | None] = Field(alias="loadP50Ms", description="The median of the load times.")
    load_p95_ms: list[float | None] = Field(alias="loadP95Ms", description="What 95 percent stayed within.")
    load_p99_ms: list[float | None] = Field(alias="loadP99Ms", description="What 99 percent stayed within.")


class CacheHistoryResponse(_Response):
    """What one cache, or all together, did lately."""

    service_name: str | None = Field(description="The service; null: the global cache, or all.")
    range: str = Field(description='"10m" or "24h".')
    step_seconds: float = Field(description="Seconds from one point to the next.")
    end: str = Field(description="When the last step ended: ISO 8601, UTC, ending in Z.")
    since: str = Field(description="Since when the answering process keeps a history.")
    points: int = Field(description="How many points each series has.")
    series: SeriesModel = Field(description="The series.")
    load_times_of: str = Field(description='Whose loads are timed: "process" or "machine".')


class HotKey(_Response):
    """A key that is read often."""

    key: str = Field(description="Its identifier.")
    reads: int = Field(description="Reads since the measurement began, roughly.")
    reads_per_second: float = Field(description="Reads a second, estimated.")
    load_seconds: float = Field(description="Seconds that its last load took.")


class CacheDetailResponse(CacheRow):
    """One cache in detail."""

    enabled: bool = Field(description="Whether it is switched on.")
    options: dict[str, Any] = Field(description="Its options, by camelCase name; functions and types by their name.")
    functions: list[str] = Field(description="The names of its memoized functions, sorted.")
    last_clear: AuditEventModel | None = Field(description="Its last clear, of those the answering process did.")
    top_keys: list[HotKey] = Field(default_factory=list, description="Keys that are read often, estimated.")


class LastMiss(_Response):
    """Why the last lookup of a key found nothing."""

    why: str = Field(
        description='"neverLoaded", "expired", "evicted", "cleared", "invalidated", "notStored", "loadFailed" or '
        '"unknown".'
    )
    sentence: str = Field(description="The same in one sentence.")
    at: str | None = Field(default=None, description="When the entry went, where that is known.")
    clear_id: str | None = Field(default=None, description="The receipt of the clear, where it was one.")


class ExplainResponse(_Response):
    """What is known of one key."""

    key: str = Field(description="Its identifier.")
    service_name: str | None = Field(description="The service; null: the global cache.")
    state: str = Field(description='"fresh", "stale" or "missing".')
    reason: str = Field(description="Why it is in that state, in one sentence.")
    born_at: str | None = Field(default=None, description="When its load began.")
    age: float | None = Field(default=None, description="Seconds since its load began.")
    expires_in: float | None = Field(default=None, description="Seconds until it turns stale; null: never.")
    hard_end_in: float | None = Field(default=None, description="Seconds until it cannot be served; null: never.")
    tags: list[str] = Field(description="Its tags, sorted.")
    load_seconds: float | None = Field(default=None, description="Seconds that its load took.")
    size: int | None = Field(default=None, description="Its bytes as the weigher counts them.")
    reads: int = Field(default=0, description="How often it was read, as far as the eviction policy counts.")
    birth: int | None = Field(default=None, description="The log sequence that was applied when its load began.")
    loading: bool = Field(description="Whether a load for it is under way.")
    error: str | None = Field(default=None, description="The remembered failure, where it stands for one.")
    last_miss: LastMiss = Field(description="Why the key is missing, or why its last load was needed.")
    cleared_by: AuditEventModel | None = Field(
        default=None, description="The last clear or invalidation that covered it, of those the answering process did."
    )


class SessionResponse(_Response):
    """Who the caller is."""

    role: str | None = Field(description='"operator", "viewer", or null where that is not known.')
    required: bool = Field(description="Whether a token is needed; if not, everybody served is an operator.")
    viewers: bool = Field(description="Whether there is a token for viewers.")
    actor: str | None = Field(default=None, description="What the audit trail calls the caller.")
    expires_at: str | None = Field(default=None, description="When the session of this browser ends.")
