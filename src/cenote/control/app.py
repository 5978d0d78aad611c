"""The app factory: the control plane as an app of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from cenote.control.answers import refuse
from cenote.control.route import route_class
from cenote.control.router import add_routes, make_plane
from cenote.control.routes.page import page_paths
from cenote.control.security import OPEN_PATHS, Guard, GuardMiddleware
from cenote.control.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request
    from starlette.responses import Response

    from cenote import CacheManager

__all__ = ["create_app"]


def create_app(caches: CacheManager, settings: Settings | None = None) -> FastAPI:
    """Make the control plane's app for one cache manager.

    ``/`` is the operator's page. The app does not close the manager. ``app.state.control`` holds what its endpoints
    share; its ``streams.close()`` ends the event streams and belongs before a server's graceful shutdown, as in
    ``serve``.

    Args:
        caches: The manager to control.
        settings: How; None: from the environment.

    Returns:
        The app, guarded as the settings say.

    Raises:
        ConfigurationError: A setting in the environment cannot be used.
    """
    if settings is None:
        settings = Settings.from_env()
    plane = make_plane(caches, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        plane.streams.close()

    # The pages of FastAPI's documentation load scripts of other sites, which has no place beside a control plane.
    app = FastAPI(
        title="Cenote",
        description="Caches whose clear is real: when a clear has answered, nothing older can be served.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.control = plane
    app.router.route_class = route_class(None)
    add_routes(app.router, plane, page="/")
    app.add_middleware(GuardMiddleware, guard=Guard(settings), opened=OPEN_PATHS | page_paths())
    app.add_exception_handler(Exception, _internal_error)
    return app


async def _internal_error(_request: Request, _error: Exception) -> Response:
    return refuse(500, "internal error; see the server's log")
