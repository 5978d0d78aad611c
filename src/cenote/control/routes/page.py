"""The operator's page: its files, each at a path of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from cenote.dashboard import POLICY, page_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cenote.dashboard import PageFile

__all__ = ["PAGE_FILE", "add_page_routes", "page_paths"]

PAGE_FILE = "page_file"
"""The name of the page's routes, which anybody may read who may ask for a token."""


def page_paths(at: str = "/") -> frozenset[str]:
    """Return the paths of all files.

    Args:
        at: Where the page is; begins and ends with a slash.
    """
    return frozenset(at + file.name for file in page_files())


def add_page_routes(router: APIRouter, at: str = "/") -> None:
    """Add the page.

    Args:
        router: Where to add it.
        at: Where the page is; begins and ends with a slash.
    """
    # Relative, so that whatever the app is mounted under does not matter.
    for file in page_files("../" * (at.count("/") - 1) or "./"):
        router.add_api_route(
            at + file.name,
            _sending(file),
            methods=["GET", "HEAD"],
            name=PAGE_FILE,
            include_in_schema=False,
            response_class=Response,
        )


def _sending(file: PageFile) -> Callable[[Request], Awaitable[Response]]:
    headers = {"etag": file.tag, "cache-control": "no-cache"}
    if not file.name:
        headers["content-security-policy"] = POLICY

    async def page_file(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if file.tag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers={**headers, "content-type": file.kind})

    return page_file
