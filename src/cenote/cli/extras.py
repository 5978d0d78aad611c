"""Optional packages: which extra brings which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cenote.errors import MissingExtraError

__all__ = ["needs"]

_PACKAGES = {
    "cli": {"httpx", "rich", "typer"},
    "redis": {"msgspec", "redis"},
    "server": {"anyio", "fastapi", "prometheus_client", "pydantic", "starlette", "uvicorn"},
    "top": {"textual"},
}


@contextmanager
def needs(feature: str, extra: str) -> Iterator[None]:
    """Turn the failed import of an extra's package into the error that gives the pip command.

    Raises:
        MissingExtraError: A package of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _PACKAGES[extra]:
            raise
        raise MissingExtraError(feature, extra) from missing
