"""The wire models of clears seen by an operator: previews, progress and recovery."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cenote.control.operator_schemas import HotKey, MachineModel
from cenote.control.schemas import PreviewScope, RefillRequest, whole_number

__all__ = [
    "ClearListResponse",
    "ClearMemberModel",
    "ClearModel",
    "ClearPreviewRequest",
    "ClearPreviewResponse",
    "CostModel",
    "CurvePoint",
    "Prediction",
    "RecoveryModel",
    "RecoveryResponse",
]


class _Response(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ClearPreviewRequest(PreviewScope):
    """A clear that is only thought about."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"serviceName": "etherforce"}]})

    everything: bool = Field(default=False, alias="all", description="All caches; leave serviceName out.")
    mode: Literal["hard", "soft"] = Field(default="hard", description="soft: entries turn stale instead of leaving.")
    refill: RefillRequest | None = Field(default=None, description="How the refill would be paced.")
    max_items: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=20, ge=0, le=1000, description="How many identifiers, and keys that are read often, to list."
    )


class CostModel(_Response):
    """What a clear will cost."""

    reload_seconds: float | None = Field(description="Seconds of loading that callers pay again within the horizon.")
    reloads: float | None = Field(description="Loads that these are.")
    entry_seconds: float | None = Field(description="Seconds that loading all that is held takes.")
    horizon_seconds: float = Field(description="Seconds that the forecast looks ahead.")
    callers_wait: str = Field(
        description='Which callers wait for these loads: "all", "first" (one of each entry) or "none".'
    )


class CurvePoint(_Response):
    """The hit rate of one step."""

    seconds: float = Field(description="When the step ends, in seconds since the clear.")
    hit_rate: float | None = Field(description="Percent; null where nothing was read.")


class Prediction(_Response):
    """How the hit rate is expected to come back."""

    hit_rate_before: float = Field(description="Percent of the reads served in the last minute.")
    seconds_to90: float | None = Field(
        alias="secondsTo90", description="Until the hit rate is 90 percent of that; null: not within the horizon."
    )
    seconds_to95: float | None = Field(alias="secondsTo95", description="Until it is 95 percent of that.")
    curve: list[CurvePoint] = Field(description="The hit rate, step by step.")
    peak_loads_per_second: float = Field(description="The most loads in a second.")
    confidence: str = Field(description='"good", "fair" or "poor".')
    basis: str = Field(description="What it rests on, in one sentence.")


class ClearPreviewResponse(_Response):
    """What a clear would take, and cost."""

    service_name: str | None = Field(description="The service; null: the global cache, or all.")
    everything: bool = Field(alias="all", description="Whether it is of all caches.")
    mode: str = Field(description='"hard" or "soft".')
    entries: int = Field(description="How many entries would go, or turn stale.")
    entries_exact: bool = Field(description="Whether that is exact, and not an estimate.")
    bytes: int | None = Field(description="Their bytes, as weighers count them, or as they are in a file.")
    items: list[str] = Field(description="Identifiers of some: chosen at random, or the first of a shared store.")
    hottest: list[HotKey] = Field(description="Keys that are read most often, estimated.")
    level: str = Field(description='What the clear would reach: "process", "machine" or "network".')
    processes: int = Field(description="How many processes share the caches.")
    members: list[MachineModel] = Field(description="The machines that share the caches.")
    cost: CostModel = Field(description="What it costs.")
    prediction: Prediction | None = Field(
        description="How the hit rate comes back; null where too little was measured."
    )
    basis: str = Field(description="What cost and prediction rest on, or why they are not known, in one sentence.")
    sampled: int = Field(description="How many entries were looked at.")
    took_ms: float = Field(description="Milliseconds that the preview took.")
    message: str = Field(description="One sentence for people.")


class ClearMemberModel(_Response):
    """A machine that a clear is for."""

    name: str = Field(description="What it is called.")
    acknowledged: bool = Field(description="Whether it said that it serves nothing older.")
    after_ms: float | None = Field(description="Milliseconds from the clear's begin until then.")
    lapsed: bool = Field(description="Whether it said nothing until its lease had ended.")


class ClearModel(_Response):
    """One clear, while it goes on and afterwards."""

    clear_id: str = Field(description="Its receipt.")
    service_name: str | None = Field(description="The service; null: the global cache, or all.")
    everything: bool = Field(alias="all", description="Whether it is of all caches.")
    mode: str = Field(description='"hard" or "soft".')
    scope: str | None = Field(description="What it is restricted to, in words.")
    state: str = Field(description='"running", "done" or "failed".')
    started_at: str = Field(description="When it began: ISO 8601, UTC, ending in Z.")
    ended_at: str | None = Field(description="When it ended.")
    duration_ms: float | None = Field(description="Milliseconds that it took.")
    level: str = Field(description='The guarantee reached; "none" while it runs.')
    entries: int | None = Field(description="How many entries went.")
    actor: str | None = Field(description="Who did it.")
    reason: str | None = Field(description="Why.")
    message: str = Field(description="One sentence for people.")
    members: list[ClearMemberModel] = Field(description="The machines that learned of it, with level network.")


class ClearListResponse(_Response):
    """The last clears."""

    clears: list[ClearModel] = Field(description="The newest first.")


class RecoveryModel(_Response):
    """How the hit rate came back."""

    seconds: float = Field(description="How long it has been watched.")
    curve: list[CurvePoint] = Field(description="The hit rate, step by step.")
    reload_seconds: float = Field(description="Seconds of loading beyond those of the minute before.")
    reloads: int = Field(description="Loads that these are.")
    seconds_to90: float | None = Field(alias="secondsTo90", description="When it was back at 90 percent; or null.")
    seconds_to95: float | None = Field(alias="secondsTo95", description="When it was back at 95 percent; or null.")
    stale_served: int = Field(description="Reads that were served something stale.")
    over: bool = Field(description="Whether the watch has ended.")


class RecoveryResponse(_Response):
    """What was expected of a clear, and what came."""

    clear: ClearModel = Field(description="The clear.")
    hit_rate_before: float | None = Field(description="Percent of the reads served in the minute before.")
    predicted: Prediction | None = Field(description="What was expected.")
    predicted_reload_seconds: float | None = Field(description="Seconds of loading that were expected.")
    predicted_reloads: float | None = Field(description="Loads that were expected.")
    actual: RecoveryModel = Field(description="What came.")
