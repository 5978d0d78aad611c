"""Cenote: caches for Python services whose clear is real."""

from cenote import locks
from cenote._version import __version__
from cenote.bypass import bypass
from cenote.cache import Cache
from cenote.clock import Clock, SystemClock
from cenote.errors import (
    CenoteError,
    ClearFailedError,
    ClosedError,
    ConfigurationError,
    DecodeError,
    EncodeError,
    InvalidKeyError,
    LoadError,
    LoadTimeoutError,
    MissingExtraError,
    RecursiveLoadError,
    ReentrantError,
    RefillTimeoutError,
    StoreError,
    StoreFullError,
    UnhashableArgumentError,
    UnknownServiceError,
)
from cenote.flight import Fill
from cenote.loadtimes import LoadTimes
from cenote.manager import CacheManager
from cenote.memoize import CacheInfo, Memoized, MemoizedMethod
from cenote.options import CacheOptions
from cenote.refills import Refill, RefillStatus
from cenote.result import ClearResult, EntryInfo, EntryPage, Miss
from cenote.stats import CacheStats, ManagerStats

locks.refuse_gevent()

__all__ = [
    "Cache",
    "CacheInfo",
    "CacheManager",
    "CacheOptions",
    "CacheStats",
    "CenoteError",
    "ClearFailedError",
    "ClearResult",
    "Clock",
    "ClosedError",
    "ConfigurationError",
    "DecodeError",
    "EncodeError",
    "EntryInfo",
    "EntryPage",
    "Fill",
    "InvalidKeyError",
    "LoadError",
    "LoadTimeoutError",
    "LoadTimes",
    "ManagerStats",
    "Memoized",
    "MemoizedMethod",
    "Miss",
    "MissingExtraError",
    "RecursiveLoadError",
    "ReentrantError",
    "Refill",
    "RefillStatus",
    "RefillTimeoutError",
    "StoreError",
    "StoreFullError",
    "SystemClock",
    "UnhashableArgumentError",
    "UnknownServiceError",
    "__version__",
    "bypass",
]
