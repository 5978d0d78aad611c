"""The endpoints, one noun a file."""

from __future__ import annotations

__all__: list[str] = []
