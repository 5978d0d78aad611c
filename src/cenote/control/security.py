"""The guard: decides from a request's head whether it may go on, and bounds its body.

It is plain ASGI, so that the app wears it as middleware and an included router wears it around each route.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from cenote.control.sessions import Caller, Sessions
from cenote.control.settings import LOOPBACK_HOSTS, Settings, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CALLER", "OPEN_PATHS", "OPERATOR", "PUBLIC_PATHS", "Access", "Guard", "GuardMiddleware"]

OPERATOR = "cenote.operator"
"""The scope key under which the guard leaves who is calling, for the audit trail."""

CALLER = "cenote.caller"
"""The scope key under which the guard leaves what the caller may do."""

Access = Literal["public", "open", "token"]
"""Who may use a route: anybody from anywhere, anybody who may ask for a token, or who has one."""

OPEN_PATHS = frozenset({"/api/system/session"})
"""What those may use who have no token yet."""

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""What probes and tools may read without a token and under any Host: nothing there is secret or changes."""

BODY_SECONDS = 30.0
"""How long a client may take to send its body: one that never does must not be held for ever."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CLOSE = (b"connection", b"close")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_PAGE_HEADERS = [(b"referrer-policy", b"no-referrer"), (b"x-frame-options", b"DENY")]
_NO_STORE = (b"cache-control", b"no-store")
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, last-event-id"),
    (b"access-control-max-age", b"600"),
]


class _Refusal(NamedTuple):
    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _BodyTooLongError(Exception):
    """The body passed the limit while it was read."""


class Guard:
    """Checks of Host, Origin, peer, token, content type and body length for every request.

    Args:
        settings: Whom to trust and how much to accept.
    """

    def __init__(self, settings: Settings) -> None:
        own = settings.host.strip("[]").lower()
        names = {name.strip("[]").lower() for name in settings.allowed_hosts}
        self._any_host = "*" in names
        self._hosts = LOOPBACK_HOSTS | names | {own}
        self._origins = frozenset(origin.lower().encode() for origin in settings.allowed_origins)
        self._sessions = Sessions(settings)
        self._limit = settings.max_body_bytes

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, access: Access) -> None:
        """Answer one HTTP request, or let the app answer it.

        Args:
            app: What to guard.
            scope: The request's ASGI scope.
            receive: Where its body comes from.
            send: Where the answer goes.
            access: Who may use it.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin")
        foreign = origin is not None and origin.lower() in self._origins

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.setdefault("headers", [])
                message["headers"] = _secured(given, origin if foreign else None)
            await send(message)

        refusal = None if access == "public" else self._refuse_caller(scope, headers, foreign=foreign)
        if refusal is None and foreign and _is_preflight(scope, headers):
            await send_secured({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
            await send_secured({"type": "http.response.body", "body": b""})
            return
        caller = self._sessions.caller(headers)
        if caller is not None and caller.way == "session" and not _is_own_page(scope, headers, foreign=foreign):
            caller = None
        if refusal is None and access == "token" and caller is None:
            refusal = self._refuse_token(headers)
        length = headers.get(b"content-length", b"")
        has_body = length not in {b"", b"0"} or b"transfer-encoding" in headers
        # HTTP/1 declares every body; HTTP/2 may just send one.
        unsure = not length and not has_body and scope.get("http_version", "1.1")[:1] != "1"
        if refusal is None and has_body:
            refusal = self._refuse_body(scope, headers, length)
        if refusal is None and (has_body or unsure):
            try:
                receive, size = await self._read(receive)
            except _BodyTooLongError:
                refusal = self._too_long()
            except TimeoutError:
                refusal = _Refusal(408, f"the body did not come within {BODY_SECONDS:g} seconds", (_CLOSE,))
            else:
                if unsure and size:
                    refusal = self._refuse_body(scope, headers, length)
        if refusal is not None:
            await _send_refusal(refusal, send_secured)
            return
        scope[CALLER] = caller
        scope[OPERATOR] = _name_of(scope, caller)
        await app(scope, receive, send_secured)

    def _refuse_caller(self, scope: Scope, headers: dict[bytes, bytes], *, foreign: bool) -> _Refusal | None:
        host = headers.get(b"host", b"").lower()
        if not self._any_host and _name(host) not in self._hosts:
            return _Refusal(403, "this Host is not allowed; add its name to CENOTE_ALLOWED_HOSTS")
        origin = headers.get(b"origin")
        if origin is not None:
            # The Host was checked before, so a page of that very host and port is our own.
            if not foreign and origin.lower().partition(b"://")[2] != host:
                return _Refusal(403, "this Origin is not allowed; add it to CENOTE_ALLOWED_ORIGINS")
        elif headers.get(b"sec-fetch-site", b"none") in {b"cross-site", b"same-site"} and (
            scope["method"] not in _SAFE_METHODS or headers.get(b"sec-fetch-mode") != b"navigate"
        ):
            return _Refusal(403, "requests from other sites are not allowed; see CENOTE_ALLOWED_ORIGINS")
        if not self._sessions.required:
            peer = scope.get("client")
            # No peer means a Unix socket, which the file system guards.
            if peer and not is_loopback(peer[0]):
                return _Refusal(403, "without a token only this machine is served; set CENOTE_TOKEN")
            if b"x-forwarded-for" in headers or b"forwarded" in headers:
                return _Refusal(403, "without a token forwarded requests are not served; set CENOTE_TOKEN")
        return None

    @staticmethod
    def _refuse_token(headers: dict[bytes, bytes]) -> _Refusal:
        given = headers.get(b"authorization", b"").partition(b" ")[2]
        detail = "wrong token" if given else "a token is needed: send Authorization: Bearer <token>"
        return _Refusal(401, detail, ((b"www-authenticate", b'Bearer realm="cenote"'),))

    def _refuse_body(self, scope: Scope, headers: dict[bytes, bytes], length: bytes) -> _Refusal | None:
        if length.isdigit() and int(length[:20]) > self._limit:
            return self._too_long()
        if scope["method"] not in _SAFE_METHODS:
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if kind != b"application/json":
                return _Refusal(415, "the body must be sent as Content-Type: application/json")
        return None

    def _too_long(self) -> _Refusal:
        # What remains of the body is not read, so the connection cannot be used again.
        return _Refusal(413, f"the body is longer than {self._limit} bytes", (_CLOSE,))

    async def _read(self, receive: Receive) -> tuple[Receive, int]:
        """Read the whole body within the limit, and return a channel that plays it again, and its length."""
        parts: list[bytes] = []
        size = 0
        more = True
        end = asyncio.get_running_loop().time() + BODY_SECONDS
        while more:
            async with asyncio.timeout_at(end):
                message = await receive()
            if message["type"] != "http.request":
                return _replay([message], receive), size
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                raise _BodyTooLongError
            if part:
                parts.append(part)
            more = message.get("more_body", False)
        whole = {"type": "http.request", "body": b"".join(parts), "more_body": False}
        return _replay([whole], receive), size


class GuardMiddleware:
    """ASGI middleware that puts a guard before a whole app.

    Args:
        app: The app to guard.
        guard: The guard.
        public: Paths that are served to anybody.
        opened: Paths that are served to those who have no token yet.
    """

    def __init__(
        self,
        app: ASGIApp,
        guard: Guard,
        public: frozenset[str] = PUBLIC_PATHS,
        opened: frozenset[str] = OPEN_PATHS,
    ) -> None:
        self._app = app
        self._guard = guard
        self._public = public
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        public = path in self._public and scope["method"] in _SAFE_METHODS
        access: Access = "public" if public else "open" if path in self._opened else "token"
        await self._guard.serve(self._app, scope, receive, send, access=access)


def _name_of(scope: Scope, caller: Caller | None) -> str:
    """Return what the audit trail calls a caller."""
    peer = scope.get("client")
    address = str(peer[0]) if peer else "local"
    if caller is None or caller.way == "local":
        return address
    return f"{caller.way}@{address}" if caller.role == "operator" else f"viewer@{address}"


def _is_own_page(scope: Scope, headers: dict[bytes, bytes], *, foreign: bool) -> bool:
    """Whether a request with a cookie comes from a page of this very host, as far as it changes something.

    An Origin was compared with the Host before. A browser sends one with every request that is not safe.
    """
    if foreign:
        return False
    own = b"origin" in headers or headers.get(b"sec-fetch-site") == b"same-origin"
    return own or scope["method"] in _SAFE_METHODS


def _name(host: bytes) -> str:
    """Return the name in a Host header, without port and brackets."""
    text = host.decode("latin-1")
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _is_preflight(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in headers


def _secured(given: list[tuple[bytes, bytes]], origin: bytes | None) -> list[tuple[bytes, bytes]]:
    headers = [*given, _NO_SNIFF]
    names = {name.lower(): value for name, value in given}
    if b"cache-control" not in names:
        headers.append(_NO_STORE)
    if names.get(b"content-type", b"").startswith(b"text/html"):
        headers += _PAGE_HEADERS
    if origin is not None:
        headers += [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
    return headers


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def channel() -> Message:
        return messages.pop() if messages else await receive()

    return channel


async def _send_refusal(refusal: _Refusal, send: Send) -> None:
    body = json.dumps({"detail": refusal.detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
