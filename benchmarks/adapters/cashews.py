"""cashews: asynchronous caches behind one facade, in memory or at a server."""

from __future__ import annotations

from typing import Any

from cashews import Cache

from benchmarks.adapters import Adapter, Remote

TTL = 3600


def _amemo(func: Any, size: int, ttl: float | None) -> Any:
    cache = Cache()
    cache.setup("mem://", size=size)
    return cache(ttl=ttl)(func)


def _remote(url: str) -> Remote:
    cache = Cache()
    cache.setup(url)

    async def fill(name: str, keys: list[str], value: Any) -> None:
        await cache.set_many({f"{name}:{key}": value for key in keys}, expire=TTL)

    async def count() -> int:
        return len([key async for key in cache.scan("films:*")])

    return Remote(
        get=lambda key: cache.get(f"books:{key}"),
        set=lambda key, value: cache.set(f"books:{key}", value, expire=TTL),
        fill=fill,
        count=count,
        clears={
            "clear()": ("FLUSHDB", cache.clear),
            'delete_match("books:*")': (
                "SCAN by 100 through all keys, UNLINK of each page",
                lambda: cache.delete_match("books:*"),
            ),
        },
        close=cache.close,
        waits=True,
    )


ADAPTERS = [Adapter("cashews", amemo=_amemo, remote=_remote, fast=False)]
