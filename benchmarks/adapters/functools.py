"""functools.lru_cache: no TTL, and a load under way is kept across a clear."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks.adapters import Adapter


def _memo(func: Any, size: int, ttl: float | None) -> Any:
    return functools.lru_cache(maxsize=size)(func)


ADAPTERS = [Adapter("lru_cache (no TTL)", memo=_memo)]
