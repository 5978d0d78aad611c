"""The page's files: what is served under which name, and as what."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["POLICY", "PageFile", "page_files"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page: nothing inline, nothing from elsewhere."""

_HERE = Path(__file__).parent
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFile(NamedTuple):
    """One file of the page.

    Attributes:
        name: The path below the page, without a leading slash; empty for the page itself.
        kind: The content type.
        body: The bytes.
        tag: What tells this version of it from others, as ETag has it.
    """

    name: str
    kind: str
    body: bytes
    tag: str


@lru_cache(maxsize=8)
def page_files(root: str = "./") -> tuple[PageFile, ...]:
    """Return all files of the page, the page itself first.

    Args:
        root: The way from the page to the folder that ``api/`` is in, as a relative URL ending in a slash.

    Returns:
        The files, read once.
    """
    page = (_HERE / "index.html").read_bytes()
    place = b'name="cenote-root" content="./"'
    files = [_file("", ".html", page.replace(place, place.replace(b"./", root.encode())))]
    found = sorted([*(_HERE / "assets").iterdir(), *(_HERE / "vendor").iterdir()])
    files += [
        _file(f"{path.parent.name}/{path.name}", path.suffix, path.read_bytes())
        for path in found
        if path.suffix in _KINDS
    ]
    return tuple(files)


def _file(name: str, suffix: str, body: bytes) -> PageFile:
    return PageFile(name, _KINDS[suffix], body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
