"""Labels: what exporters call the caches."""

from __future__ import annotations

from typing import Final

__all__ = ["GLOBAL_LABEL", "label_of"]

GLOBAL_LABEL: Final = "(global)"
"""What the global cache is called; no service can be called so."""


def label_of(cache: str | None) -> str:
    """Return what exporters call a cache.

    Args:
        cache: The service; None for the global cache.
    """
    return GLOBAL_LABEL if cache is None else cache
