"""Flights: loads under way, one for a key, which others wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from cenote.invalidation.claims import UNCLAIMED
from cenote.observing import LoadEnd, LoadWatch
from cenote.options import UNSET
from cenote.waits import add_child, remove_child

if TYPE_CHECKING:
    from cenote.state import State

__all__ = ["Fill", "Flight", "Outcome"]

logger = logging.getLogger("cenote")


class Outcome:
    """How a flight ended: with a value, with an error for all, or abandoned, so that those who waited try again."""

    __slots__ = ("abandoned", "error", "stale", "traceback", "value")

    def __init__(
        self,
        value: Any = None,
        *,
        error: Exception | None = None,
        stale: bool = False,
        abandoned: BaseException | None = None,
    ) -> None:
        self.value = value
        self.error = error
        self.traceback = error.__traceback__ if error is not None else None
        self.stale = stale
        self.abandoned = abandoned

    def get(self) -> Any:
        """Return the value or raise the error, with the loader's traceback and not those of other waiters."""
        if self.error is not None:
            raise self.error.with_traceback(self.traceback)
        return self.value


class Flight:
    """One load under way.

    Attributes:
        state: The State that it began in, the only one it may publish into.
        slot: The number of its table.
        key: Its key there.
        birth: The log sequence applied when it began.
        born: Monotonic seconds when it began.
        anew: Whether it loads though there may be a fresh value.
        tags: Its tags; None while they are not known.
        missed: Tags that were invalidated while its own were not known.
        parent: The flight whose loader started this one.
        loop: The event loop that runs it; None when a thread does.
        task: The task that runs it, on ``loop``.
        mates: The flights that the same task runs, itself included; empty when it runs no other.
        rests_on: Flights that its loader started or waits for.
        interested: How many callers want its outcome.
        wakers: What to call when it has ended.
        claim: Its claim among the processes that share the cache.
        outcome: How it ended; None while it is under way.
        discarded: Whether something made its value old before it could be kept.
        watch: What an observer keeps of it; None where nobody observes.
    """

    __slots__ = (
        "_untold",
        "anew",
        "birth",
        "born",
        "claim",
        "discarded",
        "interested",
        "key",
        "loop",
        "mates",
        "missed",
        "outcome",
        "parent",
        "rests_on",
        "slot",
        "state",
        "tags",
        "task",
        "wakers",
        "watch",
    )

    def __init__(
        self,
        state: State,
        slot: int,
        key: Hashable,
        *,
        birth: int,
        born: float,
        tags: frozenset[str] | None,
        parent: Flight | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.state = state
        self.slot = slot
        self.key = key
        self.birth = birth
        self.born = born
        self.tags = tags
        self.missed: frozenset[str] = frozenset()
        self.parent = parent
        self.loop = loop
        self.task: asyncio.Task[Any] | None = None
        self.mates: tuple[Flight, ...] = ()
        self.rests_on: list[Flight] = []
        self.anew = False
        self.claim = UNCLAIMED
        self.interested = 1
        self.wakers: list[Callable[[], None]] = []
        self.outcome: Outcome | None = None
        self.discarded = False
        self.watch: LoadWatch | None = None
        self._untold: list[Callable[[], None]] | None = None
        if parent is not None:
            add_child(parent, self)

    @property
    def registered(self) -> bool:
        """Whether it may still publish; ask under the write lock."""
        return self.state.flights.get((self.slot, self.key)) is self

    def detach(self) -> None:
        """Take it out of the registry, if it is still there; call under the write lock."""
        if self.registered:
            del self.state.flights[self.slot, self.key]

    def end(self, outcome: Outcome, how: LoadEnd = LoadEnd.LOADED, reason: BaseException | None = None) -> None:
        """Note how it ended; call under the write lock, and ``wake`` once it is released.

        Args:
            outcome: What its callers get.
            how: How, for an observer.
            reason: What was raised, for the same.
        """
        if self.outcome is not None:
            return
        self.outcome = outcome
        if self.watch is not None:
            how = LoadEnd.DISCARDED if self.discarded and how is LoadEnd.LOADED else how
            self._untold = [partial(self.watch.ended, how, reason)]
        if self.parent is not None:
            remove_child(self.parent, self)

    def wake(self) -> None:
        """Wake all who wait; whoever was interrupted in the middle calls it again, so wakers bear a second call."""
        for waker in list(self.wakers):
            waker()
        self.wakers = []
        # Last, and under no lock: how the flight ended is settled, and whoever waits has it, whatever an observer does.
        if self._untold:
            with suppress(IndexError):  # somebody else who wakes has taken it
                tell = self._untold.pop()
                try:
                    tell()
                except Exception:
                    logger.exception("an observer of loads failed")

    def running(self) -> AbstractContextManager[Any]:
        """Return what its loader runs inside of."""
        return nullcontext() if self.watch is None else self.watch.running()

    def waiting(self) -> AbstractContextManager[Any]:
        """Return what a caller that joined it waits inside of."""
        return nullcontext() if self.watch is None else self.watch.waiting()

    def lost(self) -> bool:
        """Whether its event loop is closed or stands still, so that nothing says when it will end."""
        return self.loop is not None and (self.loop.is_closed() or not self.loop.is_running())


class Fill:
    """A token that takes the birth of a value before its caller computes it.

    It registers no flight: nobody waits for it, and a dropped one leaves nothing behind. ``set`` publishes the value
    unless the key was invalidated, or written, since the token was made.

    Attributes:
        state: The State that it began in.
        slot: The number of the table.
        key: The key there.
        birth: The log sequence applied when it was made.
        born: Monotonic seconds when it was made.
        void: Whether a covering invalidation came since.
        missed: Tags that were invalidated since.
    """

    __slots__ = ("__weakref__", "_publish", "birth", "born", "key", "missed", "slot", "state", "void")

    def __init__(
        self,
        state: State,
        slot: int,
        key: Hashable,
        *,
        birth: int,
        born: float,
        publish: Callable[[Fill, Any, Any, Any], bool],
    ) -> None:
        self.state = state
        self.slot = slot
        self.key = key
        self.birth = birth
        self.born = born
        self.void = False
        self.missed: frozenset[str] = frozenset()
        self._publish = publish

    def set(self, value: Any, *, ttl: Any = UNSET, tags: Any = ()) -> bool:
        """Store the value, if nothing made it old since the token was made.

        Args:
            value: The value that was computed.
            ttl: Seconds that it is fresh; the cache's own TTL when not given, None for no end.
            tags: Its tags.

        Returns:
            Whether it was stored.
        """
        return self._publish(self, value, ttl, tags)
