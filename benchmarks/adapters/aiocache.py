"""aiocache: asynchronous caches; here its memory backend."""

from __future__ import annotations

from typing import Any

from aiocache import SimpleMemoryCache, cached

from benchmarks.adapters import Adapter


def _amemo(func: Any, size: int, ttl: float | None) -> Any:
    return cached(ttl=ttl, cache=SimpleMemoryCache)(func)


ADAPTERS = [Adapter("aiocache", amemo=_amemo, fast=False)]
