"""The figures of all caches, as exporters show them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import ClearFailedError, StoreError
from cenote.stats import CacheStats
from cenote.telemetry.labels import label_of

if TYPE_CHECKING:
    from cenote import CacheManager

__all__ = ["figures_of"]

_UNKNOWN: Final[Any] = None


def figures_of(caches: CacheManager) -> dict[str, CacheStats]:
    """Return the figures of every cache by its label, over all processes that share them.

    Where the shared store cannot be asked they are what processes counted, without what only the store knows: figures
    are wanted most while something is out of reach.

    Args:
        caches: The manager.
    """
    try:
        stats = caches.stats()
    except (ClearFailedError, StoreError):
        return {
            label_of(name): replace(each, current_size=_UNKNOWN, max_size=None, bytes=None)
            for name, each in caches.figures().items()
        }
    return {label_of(None): stats.global_cache, **stats.services}
