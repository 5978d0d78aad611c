"""FastAPI: the control plane as a router of one's own app, and a header that bypasses the caches.

::

    app.include_router(cache_router(caches))
    app.add_middleware(BypassMiddleware, token="...")
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cenote.bypass import bypass
from cenote.control import Settings
from cenote.errors import ConfigurationError, MissingExtraError

try:
    from fastapi import APIRouter

    from cenote.control.route import route_class
    from cenote.control.router import add_routes, make_plane
    from cenote.control.security import Guard
except ModuleNotFoundError as error:
    if (error.name or "").startswith("cenote"):
        raise
    raise MissingExtraError("The FastAPI integration", "server") from error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from cenote import CacheManager

__all__ = ["BYPASS_HEADER", "BypassMiddleware", "cache_router"]

BYPASS_HEADER = "Cenote-Bypass"
"""The request header that asks for fresh values."""

_PAGE = re.compile(r"/(?:[A-Za-z0-9._~-]+/)*")


def cache_router(
    caches: CacheManager,
    settings: Settings | None = None,
    *,
    allowed_query: Iterable[str] = (),
    page: str | None = None,
) -> APIRouter:
    """Make a router with all endpoints of the control plane, guarded as in an app of its own.

    Each route checks Host, Origin, token, content type and body length itself, whatever the surrounding app
    does. Without a token only callers on the same machine are served.

    Args:
        caches: The manager to control.
        settings: Whom to trust and how much to accept; None: from the environment. ``host`` and ``port`` are the
            surrounding app's business and only widen the Host names that are accepted.
        allowed_query: Query names that the app's own dependencies read; any other unknown name is refused.
        page: Where the operator's page is to be, ``"/cenote/"``, below the prefix that the router is included with;
            None: nowhere.

    Returns:
        The router, for ``app.include_router``.

    Raises:
        ConfigurationError: A setting in the environment cannot be used, or ``page`` is no path between slashes.
    """
    if page is not None and not _PAGE.fullmatch(page):
        raise ConfigurationError(f"page= must begin and end with a slash, as in '/cenote/', not {page!r}")
    if settings is None:
        settings = Settings.from_env()
    router = APIRouter(route_class=route_class(Guard(settings), allowed_query))
    add_routes(router, make_plane(caches, settings), page=page)
    return router


class BypassMiddleware:
    """ASGI middleware: a request with ``Cenote-Bypass`` reads past the caches, if it is allowed to.

    The header's value is ``1`` where ``allow`` decides, or the token. A request that is not allowed is served
    from the caches as if the header were not there.

    Args:
        app: The app to wrap.
        token: The value that allows it, compared in constant time.
        allow: Decides from the ASGI scope, when the value is ``1``; it runs on the event loop.
        header: The header's name.

    Raises:
        ConfigurationError: Neither a token nor a predicate was given.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None = None,
        allow: Callable[[Scope], bool] | None = None,
        header: str = BYPASS_HEADER,
    ) -> None:
        if not token and allow is None:
            raise ConfigurationError(
                "BypassMiddleware needs token= or allow=: without either, any client could make every request load anew"
            )
        self._app = app
        self._token = token.encode() if token else None
        self._allow = allow
        self._header = header.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and self._allowed(scope):
            with bypass():
                await self._app(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == self._header), None)
        if given is None:
            return False
        if self._token is not None and hmac.compare_digest(given, self._token):
            return True
        return self._allow is not None and given == b"1" and bool(self._allow(scope))
