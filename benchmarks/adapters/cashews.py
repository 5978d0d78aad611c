"""cashews: asynchronous caches behind one facade; here its memory backend."""

from __future__ import annotations

from typing import Any

from cashews import Cache

from benchmarks.adapters import Adapter


def _amemo(func: Any, size: int, ttl: float | None) -> Any:
    cache = Cache()
    cache.setup("mem://", size=size)
    return cache(ttl=ttl)(func)


ADAPTERS = [Adapter("cashews", amemo=_amemo, fast=False)]
