"""The audit trail, as a list and as a stream."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query
from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from cenote.control.answers import REFUSALS
from cenote.control.auditing import ACTIONS, Filter
from cenote.control.events import EventStreamResponse, event_model, events_after, last_id
from cenote.control.plane import ControlPlane
from cenote.control.schemas import EventListResponse

__all__ = ["add_event_routes"]

_MAX_ID = 2**63 - 1

_Service = Annotated[str | None, Query(description="Only what concerns this service.")]
_Number = Annotated[int, Field(ge=0, le=_MAX_ID)]
_After = Annotated[_Number, Query(description="Only events with a greater number.")]

_STREAM: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    200: {
        "description": "The events, as they happen",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string"},
                        "event": {"type": "string"},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/AuditEventModel"},
                        },
                        "retry": {"type": "integer"},
                    },
                }
            }
        },
    },
}


_ANY_ACTION = f"(?:{'|'.join(sorted(ACTIONS))})"


def _written_out(value: object) -> object:
    """Refuse the bare numbers that would be taken for seconds since some epoch."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("must be a moment as ISO 8601, such as 2026-02-01T10:30:00Z")
    return value


_Moment = Annotated[datetime, BeforeValidator(_written_out)]


async def _filter(
    kind: Annotated[
        str | None,
        Query(
            pattern=f"^{_ANY_ACTION}(?:,{_ANY_ACTION})*$",
            description="Only these actions, between commas: clear, clear_all, invalidate, switch.",
        ),
    ] = None,
    status: Annotated[Literal["success", "error"] | None, Query(description="Only what ended so.")] = None,
    since: Annotated[_Moment | None, Query(description="Only what happened then or later: ISO 8601.")] = None,
    until: Annotated[_Moment | None, Query(description="Only what happened before: ISO 8601.")] = None,
    text: Annotated[
        str | None,
        Query(max_length=200, description="Only what has this in message, reason, actor, key or clearId."),
    ] = None,
) -> Filter:
    return Filter(
        kinds=None if kind is None else frozenset(kind.split(",")), status=status, since=since, until=until, text=text
    )


_Wanted = Annotated[Filter, Depends(_filter)]


def add_event_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add the audit trail.

    Args:
        router: Where to add it.
        plane: The caches.
    """
    caches = plane.caches

    @router.get("/api/system/cache/events", responses=REFUSALS)
    async def get_cache_events(
        wanted: _Wanted,
        service: _Service = None,
        after: _After = 0,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many events at most.")] = 100,
        order: Annotated[Literal["asc", "desc"], Query(description="asc: the oldest first.")] = "asc",
    ) -> EventListResponse:
        """Show what was cleared and invalidated: when, by whom, how much and why."""
        newest = last_id(caches)
        events = [event for event in events_after(caches, after, service) if wanted.takes(event)]
        # Who follows the trail reads on from where they are; who looks at it wants the newest.
        page = events[:limit] if after else events[-limit:]
        return EventListResponse(
            events=[event_model(event) for event in (page if order == "asc" else reversed(page))],
            last_id=page[-1].id if len(page) < len(events) and after else newest,
        )

    @router.get("/api/system/cache/events/stream", response_class=Response, responses=_STREAM)
    async def stream_cache_events(
        service: _Service = None,
        after: Annotated[
            _Number | SkipJsonSchema[None],
            Query(description="Begin after this event; absent: with what happens next."),
        ] = None,
        last_event_id: Annotated[
            _Number | SkipJsonSchema[None],
            Header(description="What a browser sends when it reconnects."),
        ] = None,
    ) -> Response:
        """Send events as they happen. Reconnect with Last-Event-ID, and none is missed while the trail holds it."""
        begin = after if last_event_id is None else last_event_id
        return EventStreamResponse(plane.streams, after=begin, service=service)
