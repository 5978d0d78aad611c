"""Answers that are not the happy one: refusals, failures, and what may be repeated of a bad request."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from cenote.control.schemas import ErrorResponse
from cenote.errors import (
    CenoteError,
    ClearFailedError,
    ClosedError,
    ConfigurationError,
    InvalidKeyError,
    StoreError,
    UnknownServiceError,
)

__all__ = [
    "BODY_REFUSALS",
    "PLAIN_REFUSALS",
    "REFUSALS",
    "Handler",
    "invalid",
    "refuse",
    "shielded",
    "validation_answer",
]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorResponse, "description": "No token, or a wrong one"},
    403: {"model": ErrorResponse, "description": "This Host, Origin or address is not allowed"},
    408: {"model": ErrorResponse, "description": "The body did not come in time"},
    413: {"model": ErrorResponse, "description": "The body is too long"},
    500: {"model": ErrorResponse, "description": "An error of the server; its log says which"},
    503: {"model": ErrorResponse, "description": "The caches are closed or cannot keep their promise"},
}
"""What the guard and the shield may answer to any request, for the schema."""

PLAIN_REFUSALS: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    422: {
        "description": "A query parameter, where there are none",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
    },
}
"""The same for operations without parameters."""

BODY_REFUSALS: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    400: {"model": ErrorResponse, "description": "The body is not text, or nested too deeply"},
    415: {"model": ErrorResponse, "description": "The body is not sent as application/json"},
}
"""The same for requests with a body."""

_logger = logging.getLogger("cenote.control")
_MAX_ERRORS = 20
_MAX_TEXT = 200
_DOUBLE_DIGITS = 25


def refuse(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Make an answer that holds one sentence.

    Args:
        status: The HTTP status.
        detail: The sentence.
        headers: Headers to send along.

    Returns:
        The answer.
    """
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def invalid(location: Sequence[str], message: str, value: object = None) -> RequestValidationError:
    """Make a validation error of our own, to raise.

    Args:
        location: Where the fault is: ("body", "ttl"), ("query", "cursor").
        message: What is wrong with it.
        value: What was given, if it may be repeated.

    Returns:
        The error.
    """
    return RequestValidationError(
        [{"type": "value_error", "loc": tuple(location), "msg": message, "input": value, "ctx": {}}]
    )


def validation_answer(errors: Sequence[Any]) -> Response:
    """Make the 422 answer, repeating only small fields of the request.

    Args:
        errors: The errors, as pydantic describes them.

    Returns:
        An answer whose ``detail`` lists loc, msg, type, input and ctx of at most 20 errors.
    """
    detail = [_plain(error) for error in errors[:_MAX_ERRORS]]
    # ASCII, because a refused text may hold what cannot be encoded.
    return Response(json.dumps({"detail": detail}, allow_nan=False), status_code=422, media_type="application/json")


def _plain(error: Mapping[str, Any]) -> dict[str, Any]:
    location = [part if isinstance(part, int) else _short(str(part)) for part in error.get("loc", ())]
    kind = str(error.get("type", "value_error"))
    # A misspelt field or a bare body can hold anything, and a value belongs to the caller: none is repeated.
    secret = kind == "extra_forbidden" or location == ["body"] or "value" in location[1:2]
    return {
        "loc": location,
        "msg": _short(str(error.get("msg", ""))),
        "type": kind,
        "input": None if secret else _echo(error.get("input")),
        "ctx": {str(name): _echo_context(value) for name, value in (error.get("ctx") or {}).items()},
    }


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _echo(value: object) -> object:
    if isinstance(value, str):
        return _short(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        text = repr(value)
        return value if len(text) <= _DOUBLE_DIGITS and text not in {"nan", "inf", "-inf"} else _short(text)
    return {} if isinstance(value, Mapping) else []


def _echo_context(value: object) -> object:
    return value if isinstance(value, int) else _short(str(value))


def shielded(handler: Handler) -> Handler:
    """Wrap a route's handler so that every failure becomes an answer that leaks nothing.

    Args:
        handler: The handler FastAPI made.

    Returns:
        A handler that raises nothing but HTTPException.
    """

    async def shield(request: Request) -> Response:
        try:
            return await handler(request)
        except RequestValidationError as error:
            return validation_answer(error.errors())
        except HTTPException:
            raise
        except UnknownServiceError as error:
            return refuse(404, str(error))
        except (ClosedError, ClearFailedError, StoreError) as error:
            return refuse(503, str(error))
        except InvalidKeyError as error:
            return validation_answer([{"loc": ("key",), "msg": str(error)}])
        except ConfigurationError as error:
            return validation_answer([{"loc": ("serviceName",), "msg": str(error)}])
        except CenoteError as error:
            _logger.exception("request failed")
            return refuse(500, f"the cache reported {type(error).__name__}; see the server's log")
        except Exception:
            _logger.exception("request failed")
            return refuse(500, "internal error; see the server's log")

    return shield
