"""Probes and metrics."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from cenote.control.answers import PLAIN_REFUSALS, refuse
from cenote.control.plane import ControlPlane
from cenote.control.schemas import HealthResponse
from cenote.errors import CenoteError, MissingExtraError

if TYPE_CHECKING:
    from cenote import CacheManager

__all__ = ["add_health_routes"]

_READY: dict[int | str, dict[str, Any]] = {
    **PLAIN_REFUSALS,
    503: {"model": HealthResponse, "description": "The caches are closed"},
}
_METRICS: dict[int | str, dict[str, Any]] = {
    **PLAIN_REFUSALS,
    200: {
        "description": "The figures in Prometheus' text format",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
}


def add_health_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add probes and metrics.

    Args:
        router: Where to add them.
        plane: The caches.
    """
    caches = plane.caches

    @router.get("/healthz", responses=PLAIN_REFUSALS)
    async def healthz() -> HealthResponse:
        """Tell that the server lives."""
        return HealthResponse(status="ok")

    @router.get("/readyz", response_model=HealthResponse, responses=_READY)
    async def readyz() -> Response:
        """Tell whether the caches can be used."""
        closed = await plane.run(partial(_is_closed, caches), quick=plane.quick)
        return JSONResponse({"status": "closed" if closed else "ok"}, status_code=503 if closed else 200)

    @router.get("/metrics", response_class=Response, responses=_METRICS)
    async def metrics() -> Response:
        """Show the figures in Prometheus' text format."""
        try:
            from cenote.telemetry.prometheus import CONTENT_TYPE, exposition  # noqa: PLC0415 - an optional extra
        except MissingExtraError as error:
            return refuse(503, str(error))
        # In a thread whatever the reach: to write the figures of many caches takes longer than an event loop may.
        text = await plane.run(partial(exposition, caches), quick=False)
        return Response(text, headers={"content-type": CONTENT_TYPE})


def _is_closed(caches: CacheManager) -> bool:
    try:
        caches.services()
        len(caches.global_cache)
    except CenoteError:
        return True
    return caches.closed
