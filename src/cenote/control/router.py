"""The router: all endpoints over one manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.control.events import EventStreams
from cenote.control.live import Journal
from cenote.control.plane import ControlPlane
from cenote.control.routes.clear import add_clear_routes
from cenote.control.routes.clears import add_clears_routes
from cenote.control.routes.entries import add_entry_routes
from cenote.control.routes.events import add_event_routes
from cenote.control.routes.health import add_health_routes
from cenote.control.routes.live import add_live_route
from cenote.control.routes.overview import add_overview_routes
from cenote.control.routes.page import add_page_routes
from cenote.control.routes.refill import add_refill_routes
from cenote.control.routes.session import add_session_routes
from cenote.control.routes.stats import add_stats_routes
from cenote.control.sessions import Sessions

if TYPE_CHECKING:
    from fastapi import APIRouter

    from cenote import CacheManager
    from cenote.control.settings import Settings

__all__ = ["add_routes", "make_plane"]


def make_plane(caches: CacheManager, settings: Settings) -> ControlPlane:
    """Put a manager under control.

    Args:
        caches: The manager.
        settings: The settings.

    Returns:
        What the endpoints share.
    """
    caches.watch()
    streams = EventStreams(
        caches,
        limit=settings.max_streams,
        heartbeat=settings.heartbeat_seconds,
        lifetime=settings.stream_seconds,
    )
    journal = Journal()
    journal.attend(caches)
    return ControlPlane(caches, settings, streams, Sessions(settings), journal)


def add_routes(router: APIRouter, plane: ControlPlane, *, page: str | None = None) -> None:
    """Add every endpoint.

    Args:
        router: Where to add them.
        plane: What they share.
        page: Where the operator's page is; None: there is none.
    """
    add_clear_routes(router, plane)
    add_clears_routes(router, plane)
    add_stats_routes(router, plane)
    add_overview_routes(router, plane)
    add_event_routes(router, plane)
    add_entry_routes(router, plane)
    add_live_route(router, plane)
    add_refill_routes(router, plane)
    add_session_routes(router, plane)
    add_health_routes(router, plane)
    if page is not None:
        add_page_routes(router, page)
