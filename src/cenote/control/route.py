"""The route class: keys of any character in paths, strict query names, shield and guard around each endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor

from cenote.control.answers import Handler, refuse, shielded, validation_answer
from cenote.control.security import CALLER

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from cenote.control.security import Access, Guard

__all__ = ["VIEWERS_LOOK", "ControlRoute", "route_class"]

VIEWERS_LOOK = (
    "signed in as a viewer, who may look but not clear, write or invalidate; sign in with the operator's token"
)
"""What a viewer is told who asks for more."""

_SESSION = frozenset({"get_session", "sign_in", "sign_out"})
_OPEN = _SESSION | {"page_file"}
_FOR_VIEWERS = _SESSION | {"preview_clear", "clear_cache", "clear_performance_cache"}
"""Operations that change nothing although their method might, or that look themselves who asks: dry runs."""


class _TextConvertor(Convertor[str]):
    """Matches the whole rest of a path: slashes, line ends and nothing at all included."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("cenote_text", _TextConvertor())


class _StrictRequest(Request):
    """A request whose JSON says everything once: of two services, none is the one that was meant."""

    async def json(self) -> Any:
        text = await self.body()

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) < len(pairs):
                # The name may be part of a value, so it is not repeated.
                raise json.JSONDecodeError("a name stands twice in one object", "", 0)
            return found

        return json.loads(text, object_pairs_hook=unique)


class ControlRoute(APIRoute):
    """A route of the control plane.

    Attributes:
        guard: Who checks requests; None where middleware does it for the whole app.
        allowed_query: Query names to let through beside the endpoint's own.
        methods_by_path: What all routes of a class serve, for the Allow header.
    """

    guard: Guard | None = None
    allowed_query: frozenset[str] = frozenset()
    methods_by_path: dict[str, set[str]]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._own = frozenset(self.methods or ())
        self._allow = self.methods_by_path.setdefault(path, set())
        self._allow |= self._own

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler, with unknown query names refused and failures made answers."""
        handler = super().get_route_handler()
        known = _query_names(self.dependant) | self.allowed_query

        async def strict(request: Request) -> Response:
            query: bytes = request.scope["query_string"]
            for place, raw in (("path", request.scope.get("raw_path") or b""), ("query", query)):
                if not _is_utf8(raw):
                    return validation_answer([_not_utf8(place)])
            if query:
                names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
                unknown = [name for name in names if name not in known]
                if unknown:
                    return validation_answer([_unknown_name(name, known) for name in unknown])
                twice = {name for name in names if names.count(name) > 1} - self.allowed_query
                if twice:
                    return validation_answer([_repeated_name(name) for name in sorted(twice)])
            return await handler(_StrictRequest(request.scope, request.receive))

        return shielded(strict)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, behind the guard where there is one."""
        if self.guard is None:
            await self._serve(scope, receive, send)
            return
        access: Access = "token"
        if self.name in {"healthz", "readyz"}:
            access = "public"
        elif self.name in _OPEN:
            access = "open"
        await self.guard.serve(self._serve, scope, receive, send, access=access)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in self._own:
            caller = scope.get(CALLER)
            changes = scope["method"] not in {"GET", "HEAD", "OPTIONS"} and self.name not in _FOR_VIEWERS
            if changes and caller is not None and caller.role == "viewer":
                await refuse(403, VIEWERS_LOOK)(scope, receive, send)
                return
            await super().handle(scope, receive, send)
            return
        # Other routes serve other methods of this path, so one route's own would be half of the answer.
        wrong = refuse(405, "Method Not Allowed", {"allow": ", ".join(sorted(self._allow))})
        await wrong(scope, receive, send)


def route_class(guard: Guard | None, allowed_query: Iterable[str] = ()) -> type[ControlRoute]:
    """Make a route class that carries its guard.

    Args:
        guard: The guard to put around every route.
        allowed_query: Query names that the surrounding app uses for itself.

    Returns:
        A subclass of ControlRoute.
    """
    attributes: dict[str, Any] = {"guard": guard, "allowed_query": frozenset(allowed_query), "methods_by_path": {}}
    return type("GuardedRoute", (ControlRoute,), attributes)


def _query_names(dependant: Dependant) -> set[str]:
    names = {parameter.alias for parameter in dependant.query_params}
    return names.union(*(_query_names(child) for child in dependant.dependencies))


def _unknown_name(name: str, known: Iterable[str]) -> dict[str, object]:
    names = ", ".join(sorted(known)) or "none"
    return {"loc": ("query", name), "msg": f"unknown parameter; known: {names}", "type": "extra_forbidden"}


def _repeated_name(name: str) -> dict[str, object]:
    return {"loc": ("query", name), "msg": "stands twice; send it once", "type": "value_error"}


def _is_utf8(raw: bytes) -> bool:
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return raw.isascii()


def _not_utf8(place: str) -> dict[str, object]:
    # Decoded leniently, it would become another text, which may name another entry.
    return {"loc": (place,), "msg": f"the {place} must be percent-encoded UTF-8", "type": "value_error"}
