"""Membership of a manager: what it and the other processes that share its caches ask of each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from cenote import locks
from cenote.audit import AuditTrail
from cenote.cache import Cache
from cenote.clock import Clock
from cenote.core import CacheCore
from cenote.errors import ClosedError
from cenote.invalidation.census import Process
from cenote.invalidation.log import InvalidationLog, Standing
from cenote.meters import Meters
from cenote.state import NOT_SHARED, Root, State, cache_of
from cenote.stores.shared import Place, SharedStore
from cenote.swapping import forget_all, hold_all, release_all
from cenote.wiring import SharedBackend

__all__ = ["Member"]

TENDED_AT_ONCE: Final = 200
"""Entries of a shared store that are swept or reaped before others may write."""

_inherited: list[State] = []
"""What a forked child keeps of its parent's States, never to be freed."""


class Member:
    """The part of a cache manager that deals with other processes, and with forks."""

    global_cache: Cache
    audit: AuditTrail
    _log: InvalidationLog
    _shared: SharedBackend | None
    _clock: Clock
    _root: Root
    _lock: locks.Lock
    _closed: bool
    _services: dict[str, Cache]
    _all: list[Cache]
    _cores: list[CacheCore]
    _since: float
    _unattended: bool

    def obey_all(self) -> None:
        """Have every cache obey what other processes wrote."""
        for core in list(self._cores):
            core.current()

    def report(self) -> None:
        """Publish the figures of every cache, for whichever process is asked for the sums."""
        if self._log.census is not None and not self._closed:
            for core in list(self._cores):
                core.report()
            self._measure()

    def own_meters(self) -> Meters:
        """Return what this process did for all caches together; it is published for the others' sums."""
        self._check_open()
        return self._measure()

    def _measure(self) -> Meters:
        meters = Meters(clears=self.audit.durations())
        self._log.measure(meters)
        census = self._log.counting
        if census is not None:
            census.measure(meters)
        return meters

    def meters(self) -> Meters:
        """Return what the processes that share the caches did for all of them together.

        They are sums over all processes of this machine, as each last reported; ``stats`` has them report.
        """
        self._check_open()
        own = self._measure()
        census = self._log.counting
        return own if census is None else census.meters()

    def standing(self) -> Standing | None:
        """Return how this machine stands with the others that share the caches; None where it is one machine's."""
        self._check_open()
        self._attach()
        return self._log.standing()

    def rejoin(self) -> bool:
        """Take part again when what is shared was lost, or in a forked child; whatever was cached is forgotten."""
        attended = self._log.connected
        joined = self._log.rejoin(self._forget)
        if joined and not attended and self._unattended:
            self._unattended = False
            self._log.attend(self)
        return joined

    def _forget(self) -> None:
        if self._shared is not None and self._log.connected:
            with self._log.exclusive("open"):
                self._shared.align()
        forget_all(list(self._cores))

    def tend(self) -> bool:
        """Do a little of what a shared store needs; return whether there is more to do."""
        shared, census = self._shared, self._log.census
        if shared is None or census is None or not census.first or self._closed:
            return False
        if not isinstance(shared.store, SharedStore):
            states = [core.state for core in list(self._cores)]
            places = [(state.shelf, state.generation) for state in states if state.generation != NOT_SHARED]
            return shared.store.tidy(places, TENDED_AT_ONCE)
        with self._log.exclusive("tend"):
            swept = self._count_swept(shared.store.sweep(TENDED_AT_ONCE))
            return max(swept, shared.store.reap(self._floor, TENDED_AT_ONCE)) >= TENDED_AT_ONCE

    def _floor(self, shelf: str) -> int:
        """Return the generation below which a shelf of the shared store holds garbage."""
        cache = cache_of(shelf, self._log.incarnation)
        return sys.maxsize if cache is None else self._log.floor(cache or None, soft=False)

    def _count_swept(self, swept: Mapping[Place, int]) -> int:
        """Count what ended in the shared store for the caches that it belonged to; return how much that was."""
        for (shelf, _), count in swept.items():
            name = cache_of(shelf, self._log.incarnation)
            cache = self._services.get(name) if name else self.global_cache
            if cache is not None:
                cache.count_expired(count)
        return sum(swept.values())

    def processes(self) -> list[Process]:
        """Return the processes that share the caches, this one included, the longest attached first."""
        self._check_open()
        self._attach()
        census = self._log.counting
        if census is not None:
            return census.processes()
        return [Process(os.getpid(), self._since, sum(len(cache) for cache in self._all))]

    def machines(self) -> list[str]:
        """Return the names of the machines that share the caches; none where that is one alone.

        Raises:
            ClearFailedError: The server that knows them cannot be asked.
        """
        self._check_open()
        self._attach()
        return list(self._log.machines())

    def _attach(self) -> None:
        """Take part again where this process does not: it was forked, or what is shared was lost."""
        if not self._log.connected and not self._closed:
            self.rejoin()

    def _known(self) -> Sequence[str]:
        self._attach()
        return self._log.known_caches()

    def _call_census(self) -> None:
        census = self._log.counting
        if census is not None:
            census.call()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the cache manager is closed")

    # Fork: locks are taken before, so that no change is cut in two; the child has new ones, and nothing cached.

    def before_fork(self) -> None:
        """Take every lock, so that nothing is amid a change."""
        self._lock.acquire()
        self._log.hold()
        if self._shared is not None:
            self._shared.hold()
        hold_all(self._cores)
        self._root.lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Give them back."""
        self._root.lock.release()
        release_all(self._cores)
        if self._shared is not None:
            self._shared.release()
        self._log.release()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin with new locks and empty caches; the log is joined when it is first needed."""
        self._lock = locks.make_lock()
        self._root.lock = locks.make_lock()
        self.audit.after_fork()
        self._log.after_fork()
        if self._shared is not None:
            self._shared.after_fork()
        self._unattended = True
        for core in self._cores:
            core.lock = locks.make_lock()
            core.tasks.clear()
            core.restart_counts()  # the parent counts what it did
            core.pace = None
            # Freeing the parent's entries would copy every page that the two still share.
            _inherited.append(core.state)
            core.install(core.fresh())
