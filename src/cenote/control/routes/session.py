"""Sign-in: who the caller is, and sessions for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cenote.control.answers import BODY_REFUSALS, REFUSALS, refuse
from cenote.control.operator_schemas import SessionResponse
from cenote.control.overview import moment
from cenote.control.schemas import ErrorResponse, SessionRequest
from cenote.control.security import CALLER, OPERATOR
from cenote.control.sessions import COOKIE

if TYPE_CHECKING:
    from cenote.control.plane import ControlPlane
    from cenote.control.sessions import Caller

__all__ = ["add_session_routes"]

_PATH = "/api/system/session"
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_REFUSALS,
    429: {"model": ErrorResponse, "description": "Too many wrong tokens; try again later"},
}


def add_session_routes(router: APIRouter, plane: ControlPlane) -> None:
    """Add the session's routes.

    Args:
        router: Where to add them.
        plane: Who knows the tokens.
    """
    sessions = plane.sessions

    def answer(caller: Caller | None, actor: str | None) -> SessionResponse:
        expires = None if caller is None or caller.expires is None else moment(caller.expires)
        return SessionResponse(
            role=None if caller is None else caller.role,
            required=sessions.required,
            viewers=sessions.viewers,
            actor=None if caller is None else actor,
            expires_at=expires,
        )

    def cookie(response: Response, request: Request, value: str, seconds: int) -> None:
        forwarded = request.headers.get("x-forwarded-proto", "")
        response.set_cookie(
            COOKIE,
            value,
            max_age=seconds,
            path=request.scope.get("root_path") or "/",
            secure="https" in {request.scope.get("scheme"), forwarded.partition(",")[0].strip()},
            httponly=True,
            samesite="strict",
        )

    @router.get(_PATH, responses=REFUSALS)
    async def get_session(request: Request) -> SessionResponse:
        """Say who the caller is; anybody may ask."""
        return answer(request.scope.get(CALLER), request.scope.get(OPERATOR))

    @router.post(_PATH, response_model=SessionResponse, responses=_ANSWERS)
    async def sign_in(body: SessionRequest, request: Request) -> Response:
        """Begin a session: a cookie that no script can read and no other site can send."""
        if not sessions.required:
            return _json(answer(request.scope.get(CALLER), request.scope.get(OPERATOR)))
        wait = sessions.wait
        if wait > 0:
            return refuse(429, "too many wrong tokens; try again later", {"retry-after": str(int(wait) + 1)})
        role = sessions.role_of_token(body.token.encode())
        if role is None:
            sessions.note_wrong()
            return refuse(401, "wrong token")
        value, caller = sessions.issue(role)
        response = _json(answer(caller, request.scope.get(OPERATOR)))
        cookie(response, request, value, sessions.seconds)
        return response

    @router.delete(_PATH, response_model=SessionResponse, responses=REFUSALS)
    async def sign_out(request: Request) -> Response:
        """End the session of this browser."""
        response = _json(answer(None, None))
        cookie(response, request, "", 0)
        return response


def _json(answer: SessionResponse) -> Response:
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")
