"""Options: what a cache may be told, checked when it is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Literal

from cenote.errors import ConfigurationError

__all__ = ["DEFAULT_MAX_ENTRIES", "UNSET", "CacheOptions", "Unset", "seconds"]

DEFAULT_MAX_ENTRIES: Final = 10_000

EVICTIONS: Final = ("s3fifo", "lru", "sieve")
COPIES: Final = (None, "deep", "freeze")


class Unset:
    """The type of UNSET, the value of an argument that was not given."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


def seconds(option: str, value: Any, *, zero: bool = False) -> float:
    """Check a duration.

    Args:
        option: The name to put into the error.
        value: Seconds as a number, or a timedelta.
        zero: Whether 0 is allowed.

    Returns:
        The duration in seconds.

    Raises:
        ConfigurationError: It is not a finite number of seconds above (or, with ``zero``, at) 0.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    rule = f"{option} must be a finite number of seconds, {'0 or more' if zero else 'more than 0'}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{rule}, not {value!r}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ConfigurationError(f"{rule}, not {value!r}")
    return float(value)


def _count(option: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{option} must be a whole number of 1 or more, or None, not {value!r}")
    return value


def _share(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ConfigurationError(f"{option} must be a share of the TTL, 0 or more and below 1, not {value!r}")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """The options of one cache.

    Attributes:
        ttl: Seconds that an entry is fresh; None keeps it until it is evicted or invalidated.
        ttl_jitter: Share of the TTL, 0 up to 1, by which each entry's TTL is shortened at random, so that entries made
            together do not expire together.
        idle_ttl: Seconds after its last read that an entry expires; None never.
        max_entries: Most entries held; None for no limit.
        max_bytes: Most bytes held, as the weigher counts them; None for no limit.
        weigher: Returns the bytes of a value; goes with max_bytes.
        stale_while_revalidate: Seconds past its TTL that an entry is still served while it is reloaded in the
            background.
        refresh_ahead: Share of the TTL after which a hit starts a reload in the background; None never.
        fail_safe: Seconds past its TTL that an entry is kept, to be served should the loader fail; 0 never.
        fail_safe_throttle: Seconds that a failed reload is not tried again while a stale value can be served.
        negative_ttl: Seconds that a failure listed in negative_errors is remembered and raised again; None never.
        negative_errors: The exception types to remember.
        load_timeout: Seconds a load may take; None for no limit.
        eviction: "s3fifo", "lru" or "sieve".
        copy: None shares values with callers, "deep" hands each caller a copy of its own, "freeze" stores dicts,
            lists and sets as read-only views of themselves.
    """

    ttl: float | None = None
    ttl_jitter: float = 0.0
    idle_ttl: float | None = None
    max_entries: int | None = DEFAULT_MAX_ENTRIES
    max_bytes: int | None = None
    weigher: Callable[[Any], int] | None = None
    stale_while_revalidate: float = 0.0
    refresh_ahead: float | None = None
    fail_safe: float = 0.0
    fail_safe_throttle: float = 1.0
    negative_ttl: float | None = None
    negative_errors: tuple[type[Exception], ...] = (LookupError,)
    load_timeout: float | None = None
    eviction: Literal["s3fifo", "lru", "sieve"] = "s3fifo"
    copy: Literal["deep", "freeze"] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, naming the option."""
        for option in ("ttl", "idle_ttl", "negative_ttl", "load_timeout"):
            if getattr(self, option) is not None:
                self._settle(option, seconds(option, getattr(self, option)))
        for option in ("stale_while_revalidate", "fail_safe", "fail_safe_throttle"):
            self._settle(option, seconds(option, getattr(self, option), zero=True))
        for option in ("max_entries", "max_bytes"):
            if getattr(self, option) is not None:
                _count(option, getattr(self, option))
        self._settle("ttl_jitter", _share("ttl_jitter", self.ttl_jitter))
        if self.refresh_ahead is not None:
            if not _share("refresh_ahead", self.refresh_ahead):
                raise ConfigurationError("refresh_ahead must be a share of the TTL above 0 and below 1, or None, not 0")
            if self.ttl is None:
                raise ConfigurationError("refresh_ahead is a share of the TTL: give ttl too")
            if self.idle_ttl is not None:
                raise ConfigurationError("refresh_ahead and idle_ttl do not go together: one keeps what is read fresh")
        if self.weigher is not None and not callable(self.weigher):
            raise ConfigurationError(f"weigher must be a function of a value, not {self.weigher!r}")
        if (self.max_bytes is None) is not (self.weigher is None):
            raise ConfigurationError("max_bytes and weigher, a function that returns the bytes of a value, go together")
        if self.eviction not in EVICTIONS:
            raise ConfigurationError(f"eviction must be one of {', '.join(EVICTIONS)}, not {self.eviction!r}")
        if self.copy not in COPIES:
            raise ConfigurationError(f"copy must be None, 'deep' or 'freeze', not {self.copy!r}")
        errors = self.negative_errors
        if isinstance(errors, type):
            self._settle("negative_errors", errors := (errors,))
        if not isinstance(errors, tuple) or not all(isinstance(e, type) and issubclass(e, Exception) for e in errors):
            raise ConfigurationError(f"negative_errors must be a tuple of Exception types, not {errors!r}")

    def _settle(self, option: str, value: Any) -> None:
        object.__setattr__(self, option, value)

    @classmethod
    def of(cls, **options: Any) -> CacheOptions:
        """Make options, refusing names that there are not.

        Raises:
            ConfigurationError: An option is unknown or cannot be used.
        """
        known = [field.name for field in fields(cls)]
        for option in options:
            if option not in known:
                raise ConfigurationError(f"there is no option {option!r}; the options are {', '.join(known)}")
        return cls(**options)
