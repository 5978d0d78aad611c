"""diskcache: entries in SQLite on disk, shared by processes and kept over restarts, which is another job."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from typing import Any

import diskcache

from benchmarks.adapters import Adapter, Store


def _cache() -> Any:
    folder = tempfile.mkdtemp(prefix="bench-diskcache-")
    cache = diskcache.Cache(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(cache.close)
    return cache


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return _cache().memoize(expire=ttl)(func)


def _store(size: int, ttl: float | None) -> Store:
    cache = _cache()

    def put(key: Any, value: Any) -> None:
        cache.set(key, value, expire=ttl)

    return Store(cache.get, put, cache.clear)


ADAPTERS = [Adapter("diskcache (on disk)", memo=_memo, store=_store, fast=False)]
