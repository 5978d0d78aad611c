"""The wire models: camelCase in JSON, snake_case accepted in requests, unknown request fields refused."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

__all__ = [
    "AuditEventModel",
    "CacheClearRequest",
    "CacheClearResponse",
    "CacheInvalidateRequest",
    "CacheInvalidateResponse",
    "CacheStatusResponse",
    "CacheTotals",
    "ClearMachine",
    "ClearMember",
    "ComprehensiveCacheStatsResponse",
    "EntryListResponse",
    "EntryModel",
    "EntryResponse",
    "EntryWriteRequest",
    "EntryWriteResponse",
    "ErrorResponse",
    "EventListResponse",
    "HealthResponse",
    "PreviewScope",
    "ProcessModel",
    "RefillRequest",
    "ServiceCacheStatsResponse",
    "SessionRequest",
    "whole_number",
]

STATISTICS_EXAMPLE: dict[str, JsonValue] = {
    "hits": 234,
    "misses": 12,
    "hitRate": 95.12,
    "missRate": 4.88,
    "currentSize": 156,
    "maxSize": 1000,
    "evictions": 45,
}


def _check_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold half of a surrogate pair") from None
    return value


def _check_json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold half of a surrogate pair") from None
    except ValueError:
        raise ValueError("must not hold NaN or Infinity, which JSON does not have") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return value


def whole_number(value: Any) -> Any:
    """Turn 5.0 into 5."""
    # JSON knows one kind of number: 5.0 is the integer 5.
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Text = Annotated[str, AfterValidator(_check_text)]
_ShortText = Annotated[_Text, Field(min_length=1, max_length=1000)]
_Key = Annotated[_Text, Field(min_length=1)]
_Tags = Annotated[list[_ShortText], Field(max_length=1000)]


class _Request(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, allow_inf_nan=False
    )


class _Response(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class PreviewScope(_Request):
    """What a clear is of."""

    service_name: _Text | None = Field(
        default=None, description="The service's cache; null or absent: the global cache."
    )
    tags: Annotated[_Tags, Field(min_length=1)] | None = Field(
        default=None, description="Only the entries that carry one of these tags."
    )
    prefix: _ShortText | None = Field(default=None, description="Only the entries whose identifier begins so.")


class RefillRequest(_Request):
    """How loads are let through behind a clear."""

    rate_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        description="Loads a second, of all who share the caches; those of the keys that were read most come first."
    )
    max_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        default=600.0, description="Seconds after which loads are let through as always."
    )
    wait_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        default=10.0, description="Seconds that a caller waits for its load to be let through."
    )
    on_timeout: Literal["load", "error"] = Field(
        default="load", description="What becomes of a caller that waited so long: it loads all the same, or fails."
    )


class CacheClearRequest(_Request):
    """Which cache to clear, and how."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"serviceName": "etherforce"}]})

    service_name: _Text | None = Field(
        default=None, description="The service's cache; null or absent: the global cache."
    )
    mode: Literal["hard", "soft"] = Field(default="hard", description="soft: entries turn stale instead of leaving.")
    dry_run: bool = Field(default=False, description="Report what a clear would remove; remove nothing.")
    tags: Annotated[_Tags, Field(min_length=1)] | None = Field(
        default=None, description="Only the entries that carry one of these tags."
    )
    prefix: _ShortText | None = Field(default=None, description="Only the entries whose identifier begins so.")
    reason: Annotated[_Text, Field(max_length=1000)] | None = Field(
        default=None, description="Kept in the audit trail."
    )
    max_items: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=100, ge=0, le=10_000, description="How many identifiers to list."
    )
    refill: RefillRequest | None = Field(
        default=None, description="How loads behind it are let through; goes with a hard clear of whole caches."
    )
    clear_id: Annotated[str, Field(pattern="^[0-9a-f]{16,32}$")] | None = Field(
        default=None, description="The receipt, to recognise the clear's events by; one is made when absent."
    )


class ClearMember(_Response):
    """A process that shares the cache, and whether it acknowledged."""

    pid: int = Field(description="Its process number.")
    acknowledged: bool = Field(description="Whether it is known to serve nothing older.")


class ClearMachine(_Response):
    """A machine that shares the cache, and whether it acknowledged."""

    name: str = Field(description="What it is called.")
    acknowledged: bool = Field(description="Whether it said that it serves nothing older; else its lease has ended.")


class CacheClearResponse(_Response):
    """What a clear did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "success",
                    "message": "Successfully cleared cache for service: etherforce",
                    "clearedItems": ["cache_key_1", "cache_key_2"],
                    "timestamp": "2025-02-01T10:30:00Z",
                    "success": True,
                    "entriesCleared": 234,
                }
            ]
        }
    )

    status: str = Field(description='"success" or "error".')
    message: str = Field(description="One sentence for people.")
    cleared_items: list[str] = Field(description="Identifiers of cleared entries, at most maxItems.")
    timestamp: str = Field(description="ISO 8601, UTC, ending in Z.")
    success: bool | None = Field(default=None, description='The same as status == "success".')
    entries_cleared: int | None = Field(default=None, description="How many live entries went.")
    count_exact: bool | None = Field(
        default=None,
        description="Whether entriesCleared is exact; false: it is an estimate, and of a dry run the least.",
    )
    level: str | None = Field(
        default=None,
        description='The guarantee reached: "process", "machine" or "network"; "none": nothing was cleared.',
    )
    clear_id: str | None = Field(default=None, description="The receipt, also in the audit trail.")
    items_truncated: bool | None = Field(default=None, description="Whether more entries went than are listed.")
    duration_ms: float | None = Field(default=None, description="Milliseconds that the clear took.")
    members: list[ClearMember | ClearMachine] | None = Field(
        default=None,
        description="The processes, or with level network the machines, that share the cache, and whether each "
        "acknowledged.",
    )
    cost: float | None = Field(
        default=None,
        description="Seconds that loading these entries again will take, by their measured loads; or null.",
    )


class ProcessModel(_Response):
    """A process that shares the caches."""

    pid: int = Field(description="Its process number.")
    since: str = Field(description="When it attached: ISO 8601, UTC, ending in Z.")
    entries: int = Field(description="Live entries in its memory.")


class CacheStatusResponse(_Response):
    """The caches at a glance."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "enabled": True,
                    "backend": "memory",
                    "globalCacheSize": 156,
                    "serviceCacheCount": 8,
                    "totalEntries": 1423,
                }
            ]
        }
    )

    enabled: bool = Field(description="Whether caching is switched on.")
    backend: str = Field(description='Where entries live: "memory", "lmdb" or "redis".')
    global_cache_size: int = Field(description="Entries of the global cache.")
    service_cache_count: int = Field(description="How many services have a cache.")
    total_entries: int = Field(description="Entries of all caches, in all processes.")
    level: str | None = Field(
        default=None, description='The guarantee that a clear reaches: "process", "machine" or "network".'
    )
    processes: list[ProcessModel] | None = Field(
        default=None, description="The processes that share the caches, the longest attached first."
    )


class CacheTotals(_Response):
    """Sums over all caches."""

    total_hits: int
    total_misses: int
    total_entries: int


class ComprehensiveCacheStatsResponse(_Response):
    """The statistics of every cache."""

    global_cache: dict[str, Any] = Field(description="Statistics of the global cache.", examples=[STATISTICS_EXAMPLE])
    service_caches: dict[str, dict[str, Any]] = Field(
        description="Statistics by service.", examples=[{"etherforce": STATISTICS_EXAMPLE}]
    )
    totals: CacheTotals = Field(description="Sums over all caches.")


class ServiceCacheStatsResponse(_Response):
    """The statistics of one service's cache."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"serviceName": "etherforce", "found": True, "statistics": STATISTICS_EXAMPLE}]}
    )

    service_name: str = Field(description="The service asked for.")
    found: bool = Field(description="Whether it has a cache.")
    statistics: dict[str, Any] = Field(description="Its statistics; empty when there is no such cache.")


class CacheInvalidateRequest(_Request):
    """Which entry to remove."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"key": "workflow:123:result", "serviceName": "workflow"}]}
    )

    key: _Key = Field(description="The entry's identifier.")
    service_name: _Text | None = Field(default=None, description="Its service; null or absent: the global cache.")


class CacheInvalidateResponse(_Response):
    """Whether the entry was there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "key": "workflow:123:result", "found": True}]}
    )

    success: bool = Field(description="Whether the entry is certainly gone.")
    key: str = Field(description="The identifier asked for.")
    found: bool = Field(description="Whether it was there.")


class EntryModel(_Response):
    """What is known of one entry, without its value."""

    key: str = Field(description="Its identifier.")
    state: str = Field(description='"fresh" or "stale".')
    age: float | None = Field(default=None, description="Seconds since its load began.")
    expires_in: float | None = Field(default=None, description="Seconds until it turns stale; null: never.")
    hard_end_in: float | None = Field(default=None, description="Seconds until it cannot be served; null: never.")
    tags: list[str] = Field(description="Its tags, sorted.")
    load_seconds: float | None = Field(default=None, description="Seconds that its load took.")
    size: int | None = Field(default=None, description="Its bytes as the weigher counts them.")
    reads: int = Field(default=0, description="How often it was read, as far as the eviction policy counts.")


class EntryListResponse(_Response):
    """One page of entries."""

    entries: list[EntryModel] = Field(description="The entries, in the order of identifiers.")
    cursor: str | None = Field(default=None, description="Send it to get the next page; null on the last one.")


class EntryResponse(EntryModel):
    """One entry with its value."""

    service_name: str | None = Field(default=None, description="Its service; null: the global cache.")
    value: Any = Field(default=None, description="Its value, when JSON can hold it; else null.")
    value_type: str = Field(description="The Python type of its value.")
    is_json: bool = Field(description="Whether value is the value; false: JSON cannot hold it.")


class EntryWriteRequest(_Request):
    """A value to cache."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"value": {"title": "Dune"}, "ttl": 60, "tags": ["book:1"]}]}
    )

    value: Annotated[Any, AfterValidator(_check_json)] = Field(description="Any JSON value, null included.")
    ttl: Annotated[float, Field(gt=0, le=3_155_760_000)] | None = Field(
        default=None, description="Seconds that it lives; null: for ever; absent: as the cache is set up."
    )
    tags: _Tags = Field(default_factory=list, description="Tags to invalidate it by.")


class EntryWriteResponse(_Response):
    """What became of a value."""

    success: bool = Field(description="Whether the entry can be read now; false where the cache is switched off.")
    key: str = Field(description="Its identifier.")
    service_name: str | None = Field(default=None, description="Its service; null: the global cache.")


class AuditEventModel(_Response):
    """One line of the audit trail."""

    id: int = Field(description="Its number; grows by one.")
    timestamp: str = Field(description="ISO 8601, UTC, ending in Z.")
    action: str = Field(description='"clear", "clear_all", "invalidate" or "switch".')
    service_name: str | None = Field(default=None, description="The service; null: the global cache, or all of them.")
    mode: str | None = Field(default=None, description='"hard" or "soft".')
    status: str = Field(description='"success" or "error".')
    entries: int = Field(description="How many entries went.")
    duration_ms: float = Field(description="Milliseconds that it took.")
    level: str | None = Field(default=None, description="The guarantee reached.")
    reason: str | None = Field(default=None, description="What the caller gave as reason.")
    actor: str | None = Field(default=None, description="Who or what did it.")
    clear_id: str | None = Field(default=None, description="The receipt of a clear.")
    key: str | None = Field(default=None, description="The identifier of an invalidated entry.")
    tags: list[str] = Field(default_factory=list, description="The tags that a clear was restricted to.")
    prefix: str | None = Field(default=None, description="The prefix that a clear was restricted to.")
    message: str = Field(default="", description="One sentence for people.")


class EventListResponse(_Response):
    """A part of the audit trail."""

    events: list[AuditEventModel] = Field(description="The events, oldest first.")
    last_id: int = Field(description="Ask with after=lastId for what comes next.")


class SessionRequest(_Request):
    """A token to sign in with."""

    token: Annotated[_Text, Field(min_length=1, max_length=4096)] = Field(description="The token.")


class HealthResponse(_Response):
    """Whether the server lives, or is ready."""

    status: str = Field(description='"ok", or "closed" once the caches were closed.')


class ErrorResponse(_Response):
    """Why a request was refused."""

    detail: str = Field(description="One sentence that says what to do.")
