"""``cenote top``: the caches of a server on a terminal, live."""

from __future__ import annotations

__all__: list[str] = []
