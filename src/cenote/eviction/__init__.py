"""Eviction: which entry leaves a cache that is full."""

from __future__ import annotations

from typing import Final

from cenote.eviction.lru import Lru
from cenote.eviction.policy import EvictionPolicy
from cenote.eviction.s3fifo import S3Fifo
from cenote.eviction.sieve import Sieve

__all__ = ["POLICIES", "EvictionPolicy", "Lru", "S3Fifo", "Sieve"]

POLICIES: Final[dict[str, type[EvictionPolicy]]] = {"lru": Lru, "s3fifo": S3Fifo, "sieve": Sieve}
"""The policies by the name that the ``eviction`` option takes."""
