"""The exceptions of Cenote.

::

    CenoteError
    ├── ConfigurationError        an option, a URL or a name that cannot be used
    │   └── MissingExtraError     an optional dependency is not installed
    ├── InvalidKeyError           a key that is not a non-empty string
    ├── UnhashableArgumentError   an argument of a memoized function cannot be part of a key
    ├── UnknownServiceError       no cache of that name
    ├── ClosedError               the manager was closed
    ├── ClearFailedError          an invalidation that could not keep its promise
    │   └── ReentrantError        a change asked for from inside another change, by the same thread
    ├── StoreError                what processes share cannot be read or written
    │   └── StoreFullError        the value does not fit
    ├── EncodeError               a value that the codec cannot store
    ├── DecodeError               stored bytes that the codec cannot read
    └── LoadError                 a load that did not yield a value
        ├── LoadTimeoutError      it took longer than load_timeout
        ├── RefillTimeoutError    it waited too long to be let through behind a paced clear
        └── RecursiveLoadError    it asked for the very key it was loading
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "CenoteError",
    "ClearFailedError",
    "ClosedError",
    "ConfigurationError",
    "DecodeError",
    "EncodeError",
    "InvalidKeyError",
    "LoadError",
    "LoadTimeoutError",
    "MissingExtraError",
    "RecursiveLoadError",
    "ReentrantError",
    "RefillTimeoutError",
    "StoreError",
    "StoreFullError",
    "UnhashableArgumentError",
    "UnknownServiceError",
]


class CenoteError(Exception):
    """The root of all errors that Cenote raises by itself."""


class ConfigurationError(CenoteError, ValueError):
    """An option, a URL or a name cannot be used; the message names it and states the rule."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional dependency is missing; the message gives the pip command that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs packages that are not installed: run pip install "cenote[{extra}]"')
        self.feature = feature
        self.extra = extra

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.feature, self.extra)


class InvalidKeyError(CenoteError, ValueError):
    """A key is not a non-empty string, or is the identifier of a call that cannot be told from its text."""


class UnhashableArgumentError(CenoteError, TypeError):
    """An argument of a memoized function is not hashable, so no key can be made of it."""


class UnknownServiceError(CenoteError, LookupError):
    """There is no cache for that service; nothing was created and nothing was cleared.

    Attributes:
        service: The name asked for.
        known: The names there are, sorted.
    """

    def __init__(self, service: str, known: Sequence[str]) -> None:
        self.service = service
        self.known = tuple(known)
        names = ", ".join(self.known[:20]) or "none yet"
        more = f" and {len(self.known) - 20} more" if len(self.known) > 20 else ""
        super().__init__(f"No cache for service: {service}. Services: {names}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.service, self.known)


class ClosedError(CenoteError, RuntimeError):
    """The cache manager was closed and cannot be used any more."""


class ClearFailedError(CenoteError, RuntimeError):
    """An invalidation could not keep its promise, so it must not be taken for done.

    Attributes:
        level: How far it reached all the same: "process", "machine" or "network"; "none" when nothing was cleared.
    """

    def __init__(self, message: str, level: str = "none") -> None:
        super().__init__(message)
        self.level = level

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.level)


class ReentrantError(ClearFailedError):
    """A change was asked for from inside another change of the same cache, by the same thread.

    This happens to signal handlers, finalizers and weakref callbacks that interrupt a change. Do it from a thread
    or from the event loop instead.
    """

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(
            f"{action} was called by a signal handler or a finalizer while the same thread was changing this cache; "
            "call it from another thread, or schedule it on the event loop"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.action,)


class StoreError(CenoteError, RuntimeError):
    """What processes share cannot be read or written; the message says why, and what to do.

    Attributes:
        logged: Whether the cause is in the log already, so that not every read needs to write it there.
    """

    logged = False


class StoreFullError(StoreError):
    """A value does not fit into the shared store, however much were evicted for it."""


class EncodeError(CenoteError, TypeError):
    """A value cannot be stored outside the process; the message names its type and the choices."""


class DecodeError(CenoteError, ValueError):
    """Stored bytes cannot be turned into a value: they are damaged, of another type, or not signed with this key."""


class LoadError(CenoteError):
    """A load did not yield a value."""


class LoadTimeoutError(LoadError, TimeoutError):
    """A load took longer than ``load_timeout``.

    Attributes:
        key: The identifier of the entry.
        seconds: The limit.
    """

    def __init__(self, key: str, seconds: float) -> None:
        super().__init__(f"loading {key!r} took longer than load_timeout={seconds:g} seconds")
        self.key = key
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.seconds)


class RefillTimeoutError(LoadError, TimeoutError):
    """Behind a clear whose refill is paced, a load waited longer than ``wait_seconds`` to be let through."""

    def __init__(self, key: str, seconds: float) -> None:
        """Name the key.

        Args:
            key: Its identifier.
            seconds: How long it waited.
        """
        super().__init__(
            f"the load of {key!r} was not let through within {seconds:g} seconds: its cache was cleared, and is "
            "refilled at a bounded rate; try again later, or raise the rate"
        )
        self.key = key
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.seconds)


class RecursiveLoadError(LoadError, RecursionError):
    """A loader asked for the very entry that it is loading.

    Attributes:
        key: The identifier of the entry.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"the loader of {key!r} asked for {key!r} itself; it would wait for itself forever")
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key,)
