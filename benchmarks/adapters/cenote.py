"""Cenote itself."""

from __future__ import annotations

from itertools import count
from typing import Any

from benchmarks.adapters import Adapter, Store
from cenote import Cache, CacheManager

_manager = CacheManager()
_numbers = count(1)


def _cache(size: int, ttl: float | None) -> Cache:
    return _manager.service(f"bench-{next(_numbers)}", max_entries=size, ttl=ttl)


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return _cache(size, ttl).memoize()(func)


def _store(size: int, ttl: float | None) -> Store:
    cache = _cache(size, ttl)
    return Store(cache.get, cache.set, cache.clear)


ADAPTERS = [Adapter("cenote", memo=_memo, amemo=_memo, store=_store)]
