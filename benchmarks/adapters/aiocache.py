"""aiocache: asynchronous caches, in memory or at a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiocache import RedisCache, SimpleMemoryCache, cached

from benchmarks.adapters import Adapter, Remote

TTL = 3600


def _amemo(func: Any, size: int, ttl: float | None) -> Any:
    return cached(ttl=ttl, cache=SimpleMemoryCache)(func)


def _remote(url: str) -> Remote:
    parts = urlsplit(url)
    place = {"endpoint": parts.hostname, "port": parts.port, "db": int(parts.path[1:] or 0)}
    caches = {name: RedisCache(namespace=name, **place) for name in ("books", "films")}
    books, films = caches["books"], caches["films"]

    async def fill(name: str, keys: list[str], value: Any) -> None:
        await caches[name].multi_set([(key, value) for key in keys], ttl=TTL)

    async def count() -> int:
        return len(await films.raw("keys", "films*"))

    async def close() -> None:
        for cache in caches.values():
            await cache.close()

    return Remote(
        get=books.get,
        set=lambda key, value: books.set(key, value, ttl=TTL),
        fill=fill,
        count=count,
        clears={
            "clear()": ("FLUSHDB, though the cache has a namespace", books.clear),
            'clear(namespace="books")': ("KEYS books:*, then one DEL of them all", lambda: books.clear("books")),
        },
        close=close,
        waits=True,
    )


ADAPTERS = [Adapter("aiocache", amemo=_amemo, remote=_remote, fast=False)]
