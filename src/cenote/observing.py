"""Observing: the port through which loads and clears are told of, to a tracer for instance.

Nobody is told unless an observer was asked for. Reads that hit ask for none; a load looks once whether there is one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any

from cenote.audit import AuditEvent

__all__ = ["LoadEnd", "LoadWatch", "Observer"]


class LoadEnd(Enum):
    """How a load ended, for one key."""

    LOADED = "loaded"
    """With a value, kept if the cache keeps it at all."""

    DISCARDED = "discarded"
    """With a value that its callers got, and that was not kept: a clear, an invalidation or a set came meanwhile."""

    FAILED = "failed"
    """With an error, or with a stale copy in its place."""

    UNCACHED = "uncached"
    """With a value for one caller only: the cache is off, or to wait for another load could be to wait for itself."""

    ABSENT = "absent"
    """Without: a loader of many keys left this one out."""

    ADOPTED = "adopted"
    """Before its loader ran: another process has loaded the value meanwhile."""

    INTERRUPTED = "interrupted"
    """By a cancellation, or by something else that is no ``Exception``."""


class LoadWatch(ABC):
    """What an observer keeps of one load; its methods may be called from any thread, and must not raise."""

    @abstractmethod
    def also(self, describe: Callable[[], str]) -> None:
        """Note that the same call of the loader is for one more key; called under the cache's lock."""

    @abstractmethod
    def running(self) -> AbstractContextManager[Any]:
        """Return what the loader runs inside of, in the thread or task that runs it."""

    @abstractmethod
    def waiting(self) -> AbstractContextManager[Any]:
        """Return what another caller that waits for this load waits inside of."""

    @abstractmethod
    def ended(self, how: LoadEnd, reason: BaseException | None) -> None:
        """Note how the load ended; called once for each key, under no lock.

        Args:
            how: How.
            reason: What the loader raised, or was interrupted by.
        """


class Observer(ABC):
    """Who is told of the loads and clears of a manager."""

    @abstractmethod
    def load(self, cache: str | None, describe: Callable[[], str], *, behind: bool) -> LoadWatch:
        """Watch a load that is about to begin.

        Called under the cache's lock, in the context of the caller that set it off: it must not use the cache, wait or
        raise.

        Args:
            cache: The service; None for the global cache.
            describe: Returns the identifier of the key.
            behind: Whether nobody waits for it: it reloads in the background.
        """

    @abstractmethod
    def clear(self, event: AuditEvent) -> AbstractContextManager[Callable[[AuditEvent], None]]:
        """Return what a clear runs inside of; it gives a function that is told the event once it is complete.

        Args:
            event: What is known of it before.
        """
