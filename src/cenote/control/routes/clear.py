"""The clears: one cache's, or everything's."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic_core import to_json
from starlette.responses import Response

from cenote.control.answers import BODY_REFUSALS, invalid, refuse
from cenote.control.plane import ControlPlane
from cenote.control.route import VIEWERS_LOOK
from cenote.control.schemas import CacheClearRequest, CacheClearResponse
from cenote.control.security import CALLER, OPERATOR
from cenote.errors import CenoteError, ClearFailedError, ClosedError, UnknownServiceError
from cenote.refills import Refill

if TYPE_CHECKING:
    from cenote import CacheManager, ClearResult

__all__ = ["add_clear_routes"]

_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_REFUSALS,
    404: {"model": CacheClearResponse, "description": "No such service; nothing was cleared"},
    503: {"model": CacheClearResponse, "description": "The promise could not be kept; level says what was"},
}


def add_clear_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add both clear operations.

    Args:
        router: Where to add them.
        plane: The caches.
    """

    @router.post(
        "/api/system/cache/clear",
        response_model=CacheClearResponse,
        response_description="Cleared as promised",
        responses=_ANSWERS,
    )
    async def clear_cache(body: CacheClearRequest, request: Request) -> Response:
        """Clear all entries of the global cache or of one service's cache.

        For debugging, testing, forced refreshes and getting rid of stale data. When this answers, nothing older
        can be served.
        """
        if _only_looks(request) and not body.dry_run:
            return refuse(403, VIEWERS_LOOK)
        return await _clear_one(plane, body, request.scope.get(OPERATOR))

    @router.post(
        "/api/system/performance/clear-cache",
        response_model=CacheClearResponse,
        response_description="Cleared as promised",
        responses=_ANSWERS,
    )
    async def clear_performance_cache(
        request: Request, body: Annotated[CacheClearRequest | None, Body()] = None
    ) -> Response:
        """Clear one service's cache, or everything in one step when no service is named."""
        operator = request.scope.get(OPERATOR)
        if body is None:
            body = CacheClearRequest()
        if _only_looks(request) and not body.dry_run:
            return refuse(403, VIEWERS_LOOK)
        if body.service_name is None:
            for name in ("tags", "prefix"):
                if getattr(body, name) is not None:
                    raise invalid(("body", name), f"{name} needs a serviceName here; without one all is cleared")
            return await _clear_all(plane, body, operator)
        return await _clear_one(plane, body, operator)


def _only_looks(request: Request) -> bool:
    caller = request.scope.get(CALLER)
    return caller is not None and caller.role == "viewer"


async def _clear_one(plane: ControlPlane, body: CacheClearRequest, operator: str | None) -> Response:
    caches = plane.caches
    work = partial(
        caches.clear,
        body.service_name,
        mode=body.mode,
        dry_run=body.dry_run,
        prefix=body.prefix,
        tags=body.tags,
        max_items=body.max_items,
        reason=body.reason,
        actor=operator,
        clear_id=body.clear_id,
        refill=_refill(body),
    )
    _refuse_known(caches, body)

    def clear() -> Response:
        try:
            result = work()
        except UnknownServiceError as error:
            return _failure(404, error)
        except (ClearFailedError, ClosedError) as error:
            return _failure(503, error)
        cost: float | None = 0.0
        if result.entries_cleared:
            cache = caches.find(body.service_name)
            mean = None if cache is None else _mean_load(cache.stats())
            cost = None if mean is None else mean * result.entries_cleared
        return _answer(caches, result, cost)

    answer: Response = await plane.run(clear, quick=_is_quick(plane, body))
    return answer


async def _clear_all(plane: ControlPlane, body: CacheClearRequest, operator: str | None) -> Response:
    caches = plane.caches
    work = partial(
        caches.clear_all,
        mode=body.mode,
        dry_run=body.dry_run,
        max_items=body.max_items,
        reason=body.reason,
        actor=operator,
        clear_id=body.clear_id,
        refill=_refill(body),
    )
    _refuse_known(caches, body)

    def clear() -> Response:
        try:
            before = caches.stats()
            result = work()
        except (ClearFailedError, ClosedError) as error:
            return _failure(503, error)
        cost: float | None = 0.0
        for stats in (before.global_cache, *before.services.values()):
            if stats.current_size and cost is not None:
                mean = _mean_load(stats)
                cost = None if mean is None else cost + mean * stats.current_size
        return _answer(caches, result, cost)

    answer: Response = await plane.run(clear, quick=_is_quick(plane, body))
    return answer


def _refuse_known(caches: CacheManager, body: CacheClearRequest) -> None:
    if body.clear_id is not None and caches.audit.register.find(body.clear_id) is not None:
        raise invalid(("body", "clearId"), "there was a clear with this receipt already; choose another one")


def _refill(body: CacheClearRequest) -> Refill | None:
    wanted = body.refill
    if wanted is None:
        return None
    if body.mode == "soft" or body.dry_run or body.tags is not None or body.prefix is not None:
        raise invalid(
            ("body", "refill"), "refill goes with a hard clear of whole caches, without tags, prefix or dryRun"
        )
    return Refill(wanted.rate_per_second, wanted.max_seconds, wanted.wait_seconds, wanted.on_timeout)


def _is_quick(plane: ControlPlane, body: CacheClearRequest) -> bool:
    """Tell whether the clear is one swap that waits for nobody."""
    scans = body.prefix is not None or body.tags is not None or body.dry_run
    return plane.quick and body.mode == "hard" and not scans and body.refill is None


def _mean_load(stats: Any) -> float | None:
    """Return the mean seconds of a load; None where nothing was ever loaded."""
    return stats.mean_load_ms / 1000 if stats.loads else None


def _answer(caches: CacheManager, result: ClearResult, cost: float | None) -> Response:
    success = result.status == "success"
    body = {
        "status": result.status,
        "message": result.message,
        "clearedItems": result.cleared_items,
        "timestamp": _wire_time(result.timestamp),
        "success": success,
        "entriesCleared": result.entries_cleared,
        "level": result.level,
        "clearId": result.clear_id,
        "itemsTruncated": result.items_truncated,
        "durationMs": round(result.duration * 1000, 3),
        "countExact": result.count_exact,
        "members": _machines(result) or _members(caches, acknowledged=success),
        "cost": None if cost is None else round(cost, 6),
    }
    return _send(body, 200 if success else 503)


def _machines(result: ClearResult) -> list[dict[str, Any]]:
    """Return the machines that a clear was for, where it was for more than one."""
    told = [{"name": name, "acknowledged": True} for name in result.acknowledged]
    return told + [{"name": name, "acknowledged": False} for name in result.lapsed]


def _members(caches: CacheManager, *, acknowledged: bool) -> list[dict[str, Any]]:
    """Return the processes that a clear was for; one that attached later begins with nothing older."""
    try:
        pids = [process.pid for process in caches.processes()]
    except CenoteError:
        pids = [os.getpid()]  # closed, or cut off, since the clear returned
    return [{"pid": pid, "acknowledged": acknowledged} for pid in dict.fromkeys(pids)]


def _failure(status: int, error: CenoteError) -> Response:
    level = error.level if isinstance(error, ClearFailedError) else "none"
    body = {
        "status": "error",
        "message": str(error),
        "clearedItems": [],
        "timestamp": _wire_time(datetime.now(UTC)),
        "success": False,
        "entriesCleared": 0,
        # What went although the promise was not kept is not counted.
        "countExact": level == "none",
        "level": level,
        "clearId": None,
        "itemsTruncated": False,
        "durationMs": 0.0,
        # Of the others it is not known.
        "members": [{"pid": os.getpid(), "acknowledged": True}] if level == "process" else [],
        "cost": None,
    }
    return _send(body, status)


def _send(body: dict[str, Any], status: int) -> Response:
    # Written without the model, which would be validated twice; the tests hold it against the schema.
    return Response(to_json(body), status_code=status, media_type="application/json")


def _wire_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
