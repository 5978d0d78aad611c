"""The live stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from cenote.control.answers import REFUSALS
from cenote.control.live import LiveStreamResponse
from cenote.control.routes.overview import names_of

if TYPE_CHECKING:
    from cenote.control.plane import ControlPlane

__all__ = ["add_live_route"]

_STREAM: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    200: {
        "description": "What happens, as it does",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string"},
                        "event": {"type": "string"},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                        "retry": {"type": "integer"},
                    },
                }
            }
        },
    },
}


def add_live_route(router: APIRouter, plane: ControlPlane) -> None:
    """Add the live stream.

    Args:
        router: Where to add it.
        plane: The caches.
    """

    @router.get("/api/system/cache/live", response_class=Response, responses=_STREAM)
    async def stream_cache_live(
        names: Annotated[
            str | None, Query(description="Services to tell of, between commas; the global cache is the empty name.")
        ] = None,
        interval: Annotated[
            float, Query(ge=1, le=60, description="Seconds from one look at the caches to the next.")
        ] = 2.0,
        last_event: Annotated[
            str | None, Query(alias="lastEventId", description="For clients that cannot send the header.")
        ] = None,
        last_event_id: Annotated[str | None, Header(description="What a browser sends when it reconnects.")] = None,
    ) -> Response:
        """Send what caches do, and clears as they go on. Reconnect with Last-Event-ID, and no clear is missed."""
        plane.journal.attend(plane.caches)
        return LiveStreamResponse(
            plane,
            names=None if names is None else names_of(names),
            interval=interval,
            last_event=last_event if last_event_id is None else last_event_id,
        )
