"""dogpile.cache: regions; here its memory backend, which has no limit."""

from __future__ import annotations

from typing import Any

from dogpile.cache import make_region
from dogpile.cache.util import kwarg_function_key_generator

from benchmarks.adapters import Adapter, Store


def _region(ttl: float | None) -> Any:
    region = make_region(function_key_generator=kwarg_function_key_generator)
    return region.configure("dogpile.cache.memory", expiration_time=-1 if ttl is None else ttl)


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return _region(ttl).cache_on_arguments()(func)


def _store(size: int, ttl: float | None) -> Store:
    region = _region(ttl)
    # invalidate() keeps every entry in memory: it only notes the time.
    return Store(region.get, region.set, region.invalidate)


ADAPTERS = [Adapter("dogpile.cache", memo=_memo, store=_store, fast=False)]
