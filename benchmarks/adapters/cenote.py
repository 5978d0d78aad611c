"""Cenote itself."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import server
from benchmarks.adapters import Adapter, Remote, Store
from cenote import Cache, CacheManager

TTL = 3600

_manager = CacheManager()
_numbers = count(1)


def _cache(size: int, ttl: float | None) -> Cache:
    return _manager.service(f"bench-{next(_numbers)}", max_entries=size, ttl=ttl)


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return _cache(size, ttl).memoize()(func)


def _store(size: int, ttl: float | None) -> Store:
    cache = _cache(size, ttl)
    return Store(cache.get, cache.set, cache.clear)


def _remote(url: str) -> Remote:
    import redis

    machine = tempfile.mkdtemp(prefix="bench-machine-")
    client = redis.Redis.from_url(url)
    manager = CacheManager(f"{url}?dir={machine}")
    books, films = (manager.service(name, ttl=TTL) for name in ("books", "films"))

    def fill(name: str, keys: list[str], value: Any) -> None:
        server.fill(client, manager.service(name), keys, value)

    def close() -> None:
        manager.close()
        client.close()
        server.end_agents(Path(machine))
        shutil.rmtree(machine, ignore_errors=True)

    return Remote(
        get=books.get,
        set=books.set,
        fill=fill,
        count=lambda: len(films),
        clears={
            "clear()": ("one script, then waits for every machine; values go later, 200 at a time", books.clear),
        },
        close=close,
    )


ADAPTERS = [Adapter("cenote", memo=_memo, amemo=_memo, store=_store, remote=_remote)]
