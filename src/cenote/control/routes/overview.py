"""The operator's view: all caches at a glance, one in detail, and what they did lately."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic.alias_generators import to_camel

from cenote.control.answers import REFUSALS, invalid
from cenote.control.events import event_model
from cenote.control.explaining import explain, last_clear
from cenote.control.operator_schemas import (
    CacheDetailResponse,
    CacheHistoryResponse,
    CacheOverviewResponse,
    CacheRow,
    ExplainResponse,
    MachineModel,
    SeriesModel,
)
from cenote.control.overview import choose, machines_of, moment, row, totals_row
from cenote.control.plane import ControlPlane
from cenote.control.routes.clears import hot_model
from cenote.control.routes.query import ServiceQuery
from cenote.control.routes.stats import process_model
from cenote.control.schemas import ErrorResponse

if TYPE_CHECKING:
    from cenote import Cache

__all__ = ["add_overview_routes", "names_of"]

_MAX_NAMES = 500
_NO_SERVICE: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "No such service"}}
_Sort = Literal[
    "name",
    "hitRate",
    "recentHitRate",
    "reads",
    "recentReads",
    "misses",
    "entries",
    "bytes",
    "evictions",
    "savedSeconds",
    "loadSeconds",
    "efficiency",
]


def add_overview_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add overview, detail and history.

    Args:
        router: Where to add them.
        plane: The caches.
    """
    caches = plane.caches

    @router.get("/api/system/cache/overview", responses=REFUSALS)
    async def get_cache_overview(
        search: Annotated[
            str | None, Query(max_length=64, description="Part of the names to show; the global cache is `global`.")
        ] = None,
        names: Annotated[
            str | None, Query(description="Services to show, between commas; the global cache is the empty name.")
        ] = None,
        sort: Annotated[_Sort, Query(description="What to sort by.")] = "name",
        order: Annotated[Literal["asc", "desc"] | None, Query(description="Absent: asc for names, else desc.")] = None,
        offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many caches to pass over.")] = 0,
        limit: Annotated[int, Query(ge=1, le=500, description="How many caches at most.")] = 100,
        sparklines: Annotated[  # noqa: FBT002  # a query parameter
            bool, Query(description="Whether to send the last ten minutes of each.")
        ] = True,
    ) -> CacheOverviewResponse:
        """Show all caches at a glance: what they did, what they hold, and what they saved."""
        selected = None if names is None else names_of(names)
        descending = sort != "name" if order is None else order == "desc"

        def look() -> CacheOverviewResponse:
            caches.watch()
            figures = caches.figures(recent=True)
            chosen = choose(caches, figures, search=search, names=selected, sort=sort, descending=descending)
            return CacheOverviewResponse(
                timestamp=moment(caches.now()),
                enabled=caches.enabled,
                backend=caches.backend,
                level=caches.level,
                uptime_seconds=round(caches.uptime, 3),
                processes=[process_model(each) for each in caches.processes()],
                members=[MachineModel(name=name) for name in machines_of(caches)],
                history_since=moment(caches.history.since),
                totals=totals_row(caches, figures, sparkline=sparklines),
                matching=len(chosen),
                offset=offset,
                caches=[
                    CacheRow(**row(caches, name, figures[name], sparkline=sparklines))
                    for name in chosen[offset : offset + limit]
                ],
            )

        overview: CacheOverviewResponse = await plane.run(look, quick=False)
        return overview

    @router.get("/api/system/cache/detail", responses={**REFUSALS, **_NO_SERVICE})
    async def get_cache_detail(service_name: ServiceQuery = None) -> CacheDetailResponse:
        """Show one cache: its figures, its options, its functions and its last clear."""

        def look() -> CacheDetailResponse:
            caches.watch()
            cache = plane.cache(service_name)
            stats = caches.stats_of(service_name) or cache.stats()
            event = last_clear(caches, service_name)
            return CacheDetailResponse(
                **row(caches, service_name, stats, sparkline=True),
                enabled=cache.enabled and caches.enabled,
                options=_options(cache),
                functions=cache.functions(),
                last_clear=None if event is None else event_model(event),
                top_keys=[hot_model(hot) for hot in caches.hot_keys(service_name)],
            )

        detail: CacheDetailResponse = await plane.run(look, quick=False)
        return detail

    @router.get("/api/system/cache/history", responses={**REFUSALS, **_NO_SERVICE})
    async def get_cache_history(
        service_name: ServiceQuery = None,
        span: Annotated[
            Literal["10m", "24h"],
            Query(alias="range", description="Ten minutes in steps of ten seconds, or a day in steps of five minutes."),
        ] = "10m",
        everything: Annotated[  # noqa: FBT002  # a query parameter
            bool, Query(alias="all", description="Whether to add up all caches instead.")
        ] = False,
    ) -> CacheHistoryResponse:
        """Show what one cache, or all together, did lately."""
        if everything and service_name is not None:
            raise invalid(("query", "all"), "all adds up all caches; leave serviceName out")
        history: CacheHistoryResponse = await plane.run(
            partial(_history, plane, service_name, span, total=everything), quick=False
        )
        return history

    @router.get("/api/system/cache/explain", responses={**REFUSALS, **_NO_SERVICE})
    async def explain_cache_key(
        key: Annotated[str, Query(min_length=1, description="The identifier.", examples=["workflow:123:result"])],
        service_name: ServiceQuery = None,
    ) -> ExplainResponse:
        """Say what is known of one key, and why it is missing or was loaded last; counts as no read."""
        explained: ExplainResponse = await plane.run(partial(explain, plane, key, service_name), quick=False)
        return explained


def names_of(names: str) -> list[str | None]:
    """Read a list of services between commas, in which the global cache is the empty name."""
    found = [name.strip() or None for name in names.split(",")]
    if len(found) > _MAX_NAMES:
        raise invalid(("query", "names"), f"at most {_MAX_NAMES} names")
    return found


def _history(
    plane: ControlPlane, service: str | None, span: Literal["10m", "24h"], *, total: bool
) -> CacheHistoryResponse:
    caches = plane.caches
    caches.watch()
    plane.cache(service)
    series = caches.history.series(service, span, total=total)
    shown = {
        field.name: getattr(series, field.name)
        for field in dataclasses.fields(series)
        if isinstance(getattr(series, field.name), list)
    }
    for name in ("load_p50", "load_p95", "load_p99"):
        times = shown.pop(name)
        shown[f"{name}_ms"] = [None if each is None else round(1000 * each, 3) for each in times]
    return CacheHistoryResponse(
        service_name=service,
        range=span,
        step_seconds=series.step,
        end=moment(series.end),
        since=moment(caches.history.since),
        points=len(series.entries),
        series=SeriesModel(**shown),
        load_times_of="process" if caches.level == "process" else "machine",
    )


def _options(cache: Cache) -> dict[str, Any]:
    options = cache.options
    return {to_camel(field.name): _plain(getattr(options, field.name)) for field in dataclasses.fields(options)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", None) or type(value).__qualname__
