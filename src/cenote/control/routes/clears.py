"""Clears seen by an operator: what one would cost, how it goes on, and how the hit rate comes back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException

from cenote.control.answers import BODY_REFUSALS, REFUSALS, invalid
from cenote.control.clear_schemas import (
    ClearListResponse,
    ClearMemberModel,
    ClearModel,
    ClearPreviewRequest,
    ClearPreviewResponse,
    CostModel,
    CurvePoint,
    Prediction,
    RecoveryModel,
    RecoveryResponse,
)
from cenote.control.operator_schemas import HotKey, MachineModel
from cenote.control.overview import machines_of, moment
from cenote.control.schemas import ErrorResponse
from cenote.rereads import HORIZON

if TYPE_CHECKING:
    from cenote.control.plane import ControlPlane
    from cenote.forecast import Forecast
    from cenote.previewing import HotKey as SeenKey
    from cenote.register import ClearNote, MemberNote

__all__ = ["add_clears_routes", "clear_model", "hot_model", "member_model", "prediction"]

_NO_SERVICE: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "No such service"}}
_NO_CLEAR: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "No such clear is known"}}


def add_clears_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add preview, the list of clears, and recovery.

    Args:
        router: Where to add them.
        plane: The caches.
    """
    caches = plane.caches

    @router.post("/api/system/cache/clear/preview", responses={**BODY_REFUSALS, **_NO_SERVICE})
    async def preview_clear(body: ClearPreviewRequest) -> ClearPreviewResponse:
        """Say what a clear would take and what it would cost; nothing is cleared."""
        if body.everything and (body.service_name is not None or body.tags is not None or body.prefix is not None):
            raise invalid(("body", "all"), "all is of all caches as a whole: leave serviceName, tags and prefix out")
        preview: ClearPreviewResponse = await plane.run(partial(_preview, plane, body), quick=False)
        return preview

    @router.get("/api/system/cache/clears", responses=REFUSALS)
    async def list_clears(
        limit: Annotated[int, Query(ge=1, le=100, description="How many clears at most.")] = 20,
    ) -> ClearListResponse:
        """Show the clears under way and the last ones, of those that the process which answers was asked for."""
        return ClearListResponse(clears=[clear_model(note) for note in caches.audit.register.last(limit)])

    @router.get("/api/system/cache/clears/{clear_id}", responses={**REFUSALS, **_NO_CLEAR})
    async def get_clear(clear_id: Annotated[str, Path(description="The receipt.")]) -> ClearModel:
        """Show one clear."""
        return clear_model(_find(plane, clear_id))

    @router.get("/api/system/cache/recovery", responses={**REFUSALS, **_NO_CLEAR})
    async def get_recovery(
        clear_id: Annotated[str, Query(alias="clearId", description="The receipt of the clear.")],
    ) -> RecoveryResponse:
        """Show how the hit rate came back behind a clear, beside what was expected."""
        recovery: RecoveryResponse = await plane.run(partial(_recovery, plane, clear_id), quick=False)
        return recovery


def _find(plane: ControlPlane, clear_id: str) -> ClearNote:
    note = plane.caches.audit.register.find(clear_id)
    if note is None:
        raise HTTPException(404, "this process knows of no such clear; it remembers the last hundred it was asked for")
    return note


def _preview(plane: ControlPlane, body: ClearPreviewRequest) -> ClearPreviewResponse:
    caches = plane.caches
    caches.watch()
    found = caches.preview(
        body.service_name,
        everything=body.everything,
        mode=body.mode,
        prefix=body.prefix,
        tags=body.tags,
        max_items=body.max_items,
        rate=None if body.refill is None else body.refill.rate_per_second,
    )
    return ClearPreviewResponse(
        service_name=found.service,
        all=found.everything,
        mode=found.mode,
        entries=found.entries,
        entries_exact=found.exact,
        bytes=found.size,
        items=list(found.items),
        hottest=[hot_model(hot) for hot in found.hottest],
        level=caches.level,
        processes=len(caches.processes()),
        members=[MachineModel(name=name) for name in machines_of(caches)],
        cost=CostModel(
            reload_seconds=None if found.forecast is None else found.forecast.reload_seconds,
            reloads=None if found.forecast is None else found.forecast.reloads,
            entry_seconds=found.entry_seconds,
            horizon_seconds=HORIZON,
            callers_wait=found.waits,
        ),
        prediction=None if found.forecast is None else prediction(found.forecast),
        basis=found.basis,
        sampled=found.sampled,
        took_ms=round(1000 * found.seconds, 3),
        message=found.message,
    )


def _recovery(plane: ControlPlane, clear_id: str) -> RecoveryResponse:
    note = _find(plane, clear_id)
    recovery = plane.caches.recovery(clear_id)
    if recovery is None:
        raise HTTPException(404, "a recovery is watched behind clears of whole caches; the last twenty are kept")
    expected = recovery.expected
    return RecoveryResponse(
        clear=clear_model(note),
        hit_rate_before=recovery.hit_rate_before,
        predicted=None if expected is None else prediction(expected),
        predicted_reload_seconds=None if expected is None else expected.reload_seconds,
        predicted_reloads=None if expected is None else expected.reloads,
        actual=RecoveryModel(
            seconds=round(recovery.points[-1][0], 3) if recovery.points else 0.0,
            curve=[CurvePoint(seconds=end, hit_rate=rate) for end, rate in recovery.curve()],
            reload_seconds=round(recovery.reload_seconds, 6),
            reloads=recovery.reloads,
            secondsTo90=recovery.seconds_to(0.9),
            secondsTo95=recovery.seconds_to(0.95),
            stale_served=recovery.stale_served,
            over=recovery.over,
        ),
    )


def hot_model(hot: SeenKey) -> HotKey:
    """Turn a key that is read often into its wire form."""
    return HotKey(
        key=hot.key, reads=hot.reads, reads_per_second=hot.reads_per_second, load_seconds=round(hot.load_seconds, 6)
    )


def prediction(forecast: Forecast) -> Prediction:
    """Turn a forecast into its wire form."""
    return Prediction(
        hit_rate_before=forecast.hit_rate_before,
        secondsTo90=forecast.seconds_to_90,
        secondsTo95=forecast.seconds_to_95,
        curve=[CurvePoint(seconds=end, hit_rate=rate) for end, rate in forecast.curve],
        peak_loads_per_second=forecast.peak_loads_per_second,
        confidence=forecast.confidence,
        basis=forecast.basis,
    )


def clear_model(note: ClearNote) -> ClearModel:
    """Turn a clear into its wire form."""
    return ClearModel(
        clear_id=note.clear_id,
        service_name=note.service,
        all=note.everything,
        mode=note.mode,
        scope=note.scope,
        state=note.state,
        started_at=moment(note.started),
        ended_at=None if note.ended is None else moment(note.ended),
        duration_ms=None if note.duration is None else round(1000 * note.duration, 3),
        level=note.level,
        entries=note.entries,
        actor=note.actor,
        reason=note.reason,
        message=note.message,
        members=[member_model(member) for member in list(note.members)],
    )


def member_model(member: MemberNote) -> ClearMemberModel:
    """Turn a machine that a clear is for into its wire form."""
    return ClearMemberModel(
        name=str(member.name),
        acknowledged=member.acknowledged,
        after_ms=None if member.after is None else round(1000 * member.after, 3),
        lapsed=member.lapsed,
    )
