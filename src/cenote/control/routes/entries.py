"""The entries: listing, reading, writing and removing single ones."""

from __future__ import annotations

import json
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from cenote.audit import AuditEvent
from cenote.control.answers import BODY_REFUSALS, REFUSALS, invalid, refuse
from cenote.control.plane import ControlPlane
from cenote.control.routes.query import ServiceQuery
from cenote.control.schemas import (
    CacheInvalidateRequest,
    CacheInvalidateResponse,
    EntryListResponse,
    EntryModel,
    EntryResponse,
    EntryWriteRequest,
    EntryWriteResponse,
    ErrorResponse,
)
from cenote.control.security import OPERATOR
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from cenote import Cache
    from cenote.result import EntryInfo, EntryPage

__all__ = ["add_entry_routes"]

_MISSING = object()
_MAX_AUDITED = 4096
_ENTRY = "/api/system/cache/entries/{key:cenote_text}"
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "No such service or entry"}}

_PathKey = Annotated[
    str,
    Path(
        description=(
            "The entry's identifier, percent-encoded; it may hold any character. "
            "Where no path can carry it, as with `..`, end the path in `entries/` and send `?key=`."
        ),
        examples=["workflow:123:result"],
    ),
]
_QueryKey = Annotated[
    str | None,
    # For keys that no path can carry, such as "..": the path then ends in "entries/".
    Query(alias="key", include_in_schema=False),
]


def add_entry_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add the operations on entries.

    Args:
        router: Where to add them.
        plane: The caches.
    """
    caches = plane.caches

    @router.delete("/api/system/cache/invalidate", responses=BODY_REFUSALS)
    async def invalidate_cache_entry(
        request: Request,
        body: Annotated[CacheInvalidateRequest | None, Body()] = None,
        key: Annotated[str | None, Query(description="The identifier, for clients that cannot send a body.")] = None,
        service_name: ServiceQuery = None,
    ) -> CacheInvalidateResponse:
        """Remove one entry, named in the body or in the query."""
        wanted = _target(body, key, service_name)
        cache = await plane.run(partial(caches.find, wanted.service_name), quick=plane.quick)
        if cache is None:
            return CacheInvalidateResponse(success=False, key=wanted.key, found=False)
        found = await _remove(plane, cache, wanted.key, request)
        return CacheInvalidateResponse(success=True, key=wanted.key, found=found)

    @router.get("/api/system/cache/entries", responses={**REFUSALS, **_NOT_FOUND})
    async def list_cache_entries(
        service_name: ServiceQuery = None,
        prefix: Annotated[str | None, Query(description="Only identifiers that begin so.")] = None,
        tag: Annotated[str | None, Query(description="Only entries with this tag.")] = None,
        cursor: Annotated[str | None, Query(description="The cursor of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many entries a page has.")] = 100,
    ) -> EntryListResponse:
        """List a cache's entries, page by page."""

        def look() -> EntryPage:
            return plane.cache(service_name).entries(prefix=prefix, tag=tag, cursor=cursor, limit=limit)

        try:
            page = await plane.run(look, quick=False)
        except ValueError as error:
            raise invalid(("query", "cursor"), str(error)) from error
        return EntryListResponse(entries=[EntryModel(**_facts(info)) for info in page.items], cursor=page.cursor)

    @router.get(_ENTRY, response_model=EntryResponse, responses={**REFUSALS, **_NOT_FOUND})
    async def get_cache_entry(
        key: _PathKey, query_key: _QueryKey = None, service_name: ServiceQuery = None
    ) -> Response:
        """Read one entry. It counts as a read of the cache."""
        name = _identifier(key, query_key)

        def look() -> tuple[Any, EntryInfo | None]:
            cache = plane.cache(service_name)
            value = cache.get(name, _MISSING)
            return value, None if value is _MISSING else cache.explain(name)

        value, info = await plane.run(look, quick=plane.quick)
        if info is None:
            return refuse(404, "there is no such entry")
        text, is_json = _as_json(value)
        facts = EntryResponse(
            **_facts(info),
            service_name=service_name,
            value_type=type(value).__name__,
            is_json=is_json,
        )
        head = facts.model_dump_json(by_alias=True, exclude={"value"})
        return Response(f'{head[:-1]},"value":{text}}}', media_type="application/json")

    @router.put(_ENTRY, responses=BODY_REFUSALS)
    async def put_cache_entry(
        key: _PathKey,
        body: EntryWriteRequest,
        query_key: _QueryKey = None,
        service_name: ServiceQuery = None,
    ) -> EntryWriteResponse:
        """Store one value; the service's cache is created where there is none."""
        name = _identifier(key, query_key)
        options: dict[str, Any] = {"tags": body.tags}
        if "ttl" in body.model_fields_set:
            options["ttl"] = body.ttl

        def store() -> bool:
            try:
                cache = caches.global_cache if service_name is None else caches.service(service_name)
            except ConfigurationError as error:
                raise invalid(("query", "serviceName"), str(error)) from error
            cache.set(name, body.value, **options)
            return name in cache

        stored = await plane.run(store, quick=plane.quick)
        return EntryWriteResponse(success=stored, key=name, service_name=service_name)

    @router.delete(_ENTRY, responses={**BODY_REFUSALS, **_NOT_FOUND})
    async def delete_cache_entry(
        request: Request, key: _PathKey, query_key: _QueryKey = None, service_name: ServiceQuery = None
    ) -> CacheInvalidateResponse:
        """Remove one entry."""
        name = _identifier(key, query_key)
        cache = await plane.run(partial(plane.cache, service_name), quick=plane.quick)
        found = await _remove(plane, cache, name, request)
        return CacheInvalidateResponse(success=True, key=name, found=found)


async def _remove(plane: ControlPlane, cache: Cache, key: str, request: Request) -> bool:
    caches = plane.caches
    start = perf_counter()
    found = bool(await plane.run(partial(cache.delete, key), quick=plane.quick))
    event = AuditEvent(
        action="invalidate",
        service=cache.name,
        entries=int(found),
        duration=perf_counter() - start,
        level=caches.level,
        actor=request.scope.get(OPERATOR),
        # The trail keeps many events, also of keys that never were an entry.
        key=key if len(key) <= _MAX_AUDITED else key[:_MAX_AUDITED] + "…",
        message="Invalidated one entry" if found else "There was no such entry",
    )
    caches.audit.record(event)
    return found


def _target(body: CacheInvalidateRequest | None, key: str | None, service_name: str | None) -> CacheInvalidateRequest:
    """Return what to invalidate, from the body, the query, or both if they agree."""
    if key is None:
        if body is None:
            raise RequestValidationError([_missing("body")])
        if service_name is not None and service_name != body.service_name:
            raise invalid(("query", "serviceName"), "the query and the body name different services")
        return body
    if not key:
        raise invalid(("query", "key"), "a key is a non-empty text")
    if body is not None and (body.key, body.service_name) != (key, service_name):
        raise invalid(("query", "key"), "the query and the body name different entries")
    return CacheInvalidateRequest(key=key, service_name=service_name)


def _missing(place: str) -> dict[str, Any]:
    message = "send a body with key, or ?key=... where bodies of DELETE get lost"
    return {"type": "missing", "loc": (place, "key"), "msg": message, "input": None, "ctx": {}}


def _identifier(key: str, query_key: str | None) -> str:
    if not key:
        key = query_key or ""
    elif query_key is not None and query_key != key:
        raise invalid(("query", "key"), "the path and the query name different entries")
    if not key:
        raise invalid(("path", "key"), "a key is a non-empty text")
    return key


def _facts(info: EntryInfo) -> dict[str, Any]:
    return {
        "key": info.key,
        "state": info.state,
        "age": info.age,
        "expires_in": info.expires_in,
        "hard_end_in": info.hard_end_in,
        "tags": list(info.tags),
        "load_seconds": info.load_seconds,
        "size": info.size,
        "reads": info.reads,
    }


def _as_json(value: object) -> tuple[str, bool]:
    """Return a value's JSON, and whether it has one."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return "null", False
    return text, True
