"""The two things that threads wait for.

Both are looked up here, as attributes of this module, whenever one is made: ``cenote.testing`` puts its own in
their place to run threads in an order of its choosing.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Protocol

from cenote.errors import ConfigurationError

__all__ = ["Lock", "Waiter", "make_lock", "make_waiter", "owned", "refuse_gevent"]


class Lock(Protocol):
    """A re-entrant lock that knows whether the calling thread holds it."""

    def __enter__(self) -> bool: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def acquire(self, *, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, or try to: at once, or within ``timeout`` seconds; return whether it was taken."""
        ...

    def release(self) -> None:
        """Give the lock back, once for each time it was taken."""
        ...

    def _is_owned(self) -> bool: ...


class Waiter:
    """A one-shot signal from one thread to another: a bare lock, several times cheaper than an Event."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until ``wake`` is called.

        Args:
            timeout: Seconds to wait at most; None waits without limit.

        Returns:
            Whether it was woken.
        """
        return self._lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout))

    def wake(self) -> None:
        """Let the waiting thread go on; a second call does nothing."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()


def make_lock() -> Lock:
    """Make a re-entrant lock; re-entry is how an interrupted change recognises itself."""
    return threading.RLock()  # type: ignore[return-value]  # typeshed leaves _is_owned out


def refuse_gevent() -> None:
    """Raise ConfigurationError under gevent: its locks and threads are not those that the promise rests on."""
    patched = sys.modules.get("gevent.monkey")
    if patched is not None and patched.is_module_patched("threading"):
        raise ConfigurationError("gevent's patched threads are not supported; use threads or asyncio")


def owned(lock: Lock) -> bool:
    """Whether the calling thread holds a lock."""
    return lock._is_owned()  # noqa: SLF001  # threading.Condition relies on it too


def make_waiter() -> Waiter:
    """Make a one-shot signal."""
    return Waiter()
