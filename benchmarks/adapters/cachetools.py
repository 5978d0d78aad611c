"""cachetools: mutable mappings in Python; thread-safe only with a lock of one's own."""

from __future__ import annotations

import threading
from typing import Any

import cachetools

from benchmarks.adapters import Adapter, Store


def _cache(size: int, ttl: float | None) -> Any:
    return cachetools.LRUCache(size) if ttl is None else cachetools.TTLCache(size, ttl)


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return cachetools.cached(_cache(size, ttl), lock=threading.RLock())(func)


def _store(size: int, ttl: float | None) -> Store:
    cache = _cache(size, ttl)
    return Store(cache.get, cache.__setitem__, cache.clear)


def _locked(size: int, ttl: float | None) -> Store:
    cache = _cache(size, ttl)
    lock = threading.RLock()

    def get(key: Any) -> Any:
        with lock:
            return cache.get(key)

    def put(key: Any, value: Any) -> None:
        with lock:
            cache[key] = value

    def clear() -> None:
        with lock:
            cache.clear()

    return Store(get, put, clear)


ADAPTERS = [
    Adapter("cachetools", store=_store),
    Adapter("cachetools with a lock", memo=_memo, store=_locked),
]
