"""cachebox: caches written in Rust, under a decorator written in Python."""

from __future__ import annotations

from typing import Any

import cachebox

from benchmarks.adapters import Adapter, Store


def _cache(size: int, ttl: float | None) -> Any:
    return cachebox.LRUCache(size) if ttl is None else cachebox.TTLCache(size, ttl)


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return cachebox.cached(_cache(size, ttl))(func)


def _bare(func: Any, size: int, ttl: float | None) -> Any:
    return cachebox.cached(_cache(size, ttl), lock=None, postprocess=None)(func)


def _store(size: int, ttl: float | None) -> Store:
    cache = _cache(size, ttl)
    return Store(cache.get, cache.insert, cache.clear)


ADAPTERS = [
    Adapter("cachebox", memo=_memo, amemo=_memo, store=_store),
    # Its fastest form: no load is shared, and mutable values are handed out as they are.
    Adapter("cachebox, no lock, no copies", memo=_bare, amemo=_bare),
]
