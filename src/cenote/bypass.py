"""Bypass: a block of code, or a request, that reads as if nothing were cached."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["bypass", "bypassed", "bypasses"]

_bypassed: ContextVar[bool] = ContextVar("cenote_bypass", default=False)
_lock = threading.Lock()


class _Bypasses:
    """The bypasses of this process, counted so that a hit pays for one attribute only.

    Attributes:
        open: How many bypasses are open, over all threads and tasks.
    """

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = 0


bypasses = _Bypasses()


def _after_fork() -> None:
    """Replace the lock in a forked child, where its holder may not exist."""
    global _lock  # noqa: PLW0603  # looked up by name wherever it is taken
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def bypassed() -> bool:
    """Whether the calling thread or task is inside a bypass."""
    return _bypassed.get()


@contextmanager
def bypass() -> Iterator[None]:
    """Read as if nothing were cached, in this thread or task and in the tasks it starts.

    Inside the block ``get`` finds nothing, loads run without looking and without storing, and wait for nobody else's.
    ``set`` and every invalidation work as always.

    Yields:
        Nothing; use it in a ``with`` statement.
    """
    with _lock:
        bypasses.open += 1
    token = _bypassed.set(True)
    try:
        yield
    finally:
        with _lock:
            bypasses.open -= 1
        _bypassed.reset(token)
