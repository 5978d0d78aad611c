"""dogpile.cache: regions, in memory without a limit or at a server."""

from __future__ import annotations

from typing import Any

from dogpile.cache import make_region
from dogpile.cache.util import kwarg_function_key_generator

from benchmarks.adapters import Adapter, Remote, Store

TTL = 3600


def _region(ttl: float | None) -> Any:
    region = make_region(function_key_generator=kwarg_function_key_generator)
    return region.configure("dogpile.cache.memory", expiration_time=-1 if ttl is None else ttl)


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return _region(ttl).cache_on_arguments()(func)


def _store(size: int, ttl: float | None) -> Store:
    region = _region(ttl)
    # invalidate() keeps every entry in memory: it only notes the time.
    return Store(region.get, region.set, region.invalidate)


def _remote(url: str) -> Remote:
    regions = {
        name: make_region(key_mangler=f"{name}:{{}}".format).configure(
            "dogpile.cache.redis", expiration_time=TTL, arguments={"url": url, "redis_expiration_time": TTL}
        )
        for name in ("books", "films")
    }
    books, films = regions["books"], regions["films"]

    def fill(name: str, keys: list[str], value: Any) -> None:
        regions[name].set_multi(dict.fromkeys(keys, value))

    def close() -> None:
        for region in regions.values():
            region.backend.writer_client.close()

    return Remote(
        get=books.get,
        set=books.set,
        fill=fill,
        count=lambda: len(films.backend.writer_client.keys("films:*")),
        clears={"invalidate()": ("sends nothing: this process notes the time", books.invalidate)},
        close=close,
    )


ADAPTERS = [Adapter("dogpile.cache", memo=_memo, store=_store, remote=_remote, fast=False)]
