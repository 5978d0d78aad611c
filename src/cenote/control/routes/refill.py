"""Refills: how loads are let through behind a paced clear, and how to let all of them go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from cenote.control.answers import REFUSALS, invalid
from cenote.control.operator_schemas import RefillStopResponse
from cenote.control.overview import refill_model
from cenote.control.routes.query import ServiceQuery
from cenote.control.schemas import ErrorResponse

if TYPE_CHECKING:
    from cenote.control.plane import ControlPlane

__all__ = ["add_refill_routes"]

_NO_SERVICE: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "No such service"}}


def add_refill_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add the end of a refill.

    Args:
        router: Where to add it.
        plane: The caches.
    """

    @router.delete("/api/system/cache/refill", responses={**REFUSALS, **_NO_SERVICE})
    async def stop_cache_refill(
        service_name: ServiceQuery = None,
        everything: Annotated[  # noqa: FBT002  # a query parameter
            bool, Query(alias="all", description="All caches whose refill goes on; leave serviceName out.")
        ] = False,
    ) -> RefillStopResponse:
        """Let all loads of a cache through from now on, in all processes and machines."""
        if everything and service_name is not None:
            raise invalid(("query", "all"), "all is of all caches: leave serviceName out")

        def stop() -> RefillStopResponse:
            if everything:
                return RefillStopResponse(success=plane.caches.stop_refills(), refill=None)
            cache = plane.cache(service_name)
            stopped = cache.stop_refill()
            return RefillStopResponse(success=stopped, refill=refill_model(cache, plane.caches.level))

        answer: RefillStopResponse = await plane.run(stop, quick=plane.quick)
        return answer
