"""Watching: a thread that samples the figures of all caches, for whoever wants to know what happened lately."""

from __future__ import annotations

import logging
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from cenote.core import CacheCore
from cenote.errors import CenoteError
from cenote.history import STEP_SECONDS, History
from cenote.member import Member
from cenote.stats import CacheStats

__all__ = ["Watched"]

logger = logging.getLogger("cenote")

_AT_ONCE: Final = 200
"""Up to so many caches are looked at anew for everybody who asks."""

_FRESH_SECONDS: Final = 1.0
"""How long the figures of more caches than that are good enough for the next one who asks."""


class Watched(Member, ABC):
    """The part of a cache manager that an operator looks at.

    Attributes:
        history: What every cache did lately, once ``watch`` was called.
    """

    history: History
    _watch: threading.Event | None = None
    _calls = 0
    _seen: dict[str | None, CacheStats] | None = None
    _seen_at = 0.0

    def watch(self) -> None:
        """Begin the history, if it has not begun: a thread takes a sample every ten seconds until ``close``.

        A forked child has to call it again.
        """
        with self._lock:
            if self._watch is not None or self._closed:
                return
            event = self._watch = threading.Event()
        reference = weakref.ref(self, lambda _: event.set())
        threading.Thread(target=_sample_on, args=(reference, event), name="cenote-history", daemon=True).start()

    @property
    def uptime(self) -> float:
        """Seconds since the manager was made."""
        return max(0.0, self._clock.time() - self._since)

    def now(self) -> float:
        """Return its clock's time, in seconds since the Unix epoch."""
        return self._clock.time()

    @property
    def watched(self) -> bool:
        """Whether the history goes on."""
        return self._watch is not None and not self._watch.is_set()

    def end_watch(self) -> None:
        """End the history's thread."""
        if self._watch is not None:
            self._watch.set()

    def figures(self, *, recent: bool = False) -> dict[str | None, CacheStats]:
        """Return the statistics of every cache by service, over all processes that share them.

        The global cache is None.

        Args:
            recent: Whether figures that somebody else asked for a second ago will do, where there are many caches.
        """
        seen = self._seen
        lately = self._clock.monotonic() < self._seen_at + _FRESH_SECONDS
        if recent and lately and seen is not None and len(seen) > _AT_ONCE:
            return seen
        cores = self._all_cores("stats")
        self._call_census()
        return self._look_at(cores)

    def sample(self) -> None:
        """Take a sample for the history if one is due."""
        if self.history.due > 0:
            return
        cores = self._all_cores("stats")
        census = self._log.counting
        if census is not None:
            # Where every process has a history, one of them at a time has the others report.
            if census.calls == self._calls:
                census.call()
            self._calls = census.calls
        self.history.sample(self._look_at(cores))

    def _look_at(self, cores: Sequence[CacheCore]) -> dict[str | None, CacheStats]:
        # How many entries there are at a server is not asked here: a round trip for each cache is too dear.
        found = {core.name: core.counted() if core.far else core.stats() for core in cores}
        self._seen, self._seen_at = found, self._clock.monotonic()
        return found

    @abstractmethod
    def _all_cores(self, action: str) -> list[CacheCore]:
        """Return the cores of all caches, those included that only other processes used until now."""

    def after_fork_in_child(self) -> None:
        """Begin without a history, too; counts start from nothing in a child."""
        super().after_fork_in_child()
        self._watch = self._seen = None
        self.history.forget()


def _sample_on(reference: weakref.ref[Watched], over: threading.Event) -> None:
    """Take samples until the manager is closed, or nobody has it any more."""
    pause = 0.0
    while not over.wait(min(pause, STEP_SECONDS)):
        manager = reference()
        if manager is None:
            return
        try:
            manager.sample()
            pause = max(0.01, manager.history.due)
        except CenoteError as error:
            logger.debug("no sample of the figures: %s", error)
            pause = STEP_SECONDS
        del manager  # or this thread would keep it from being collected while it waits
