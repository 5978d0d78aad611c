"""LRU: the entry whose last use is longest ago leaves first."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from cenote import locks
from cenote.eviction.policy import SLACK, EvictionPolicy

if TYPE_CHECKING:
    from random import Random

    from cenote.entry import Entry
    from cenote.locks import Lock

__all__ = ["Lru"]

_BACKLOG: Final = 1024


class Lru(EvictionPolicy):
    """Evicts the entry that was used least recently.

    Each use appends the entry to a queue once more, and ``where`` counts how often it stands there. Only its
    last place tells when it was used, so the oldest slot holds the victim exactly when its entry stands
    nowhere else; other slots are passed over. Touches arrive without a lock in a queue of their own and are
    worked off under it.
    """

    __slots__ = ("_live", "_slots", "_touches")

    def __init__(self, capacity: int, lock: Lock | None = None) -> None:
        super().__init__(capacity, lock)
        self._slots: deque[Entry] = deque()
        self._touches: deque[Entry] = deque()
        self._live = 0

    def touch(self, entry: Entry) -> None:
        """Note a use of an entry; any thread may call it at any time, and nothing is raised.

        Args:
            entry: The entry; one that has left is passed over later.
        """
        self._touches.append(entry)
        if len(self._touches) > _BACKLOG:
            self._relieve()

    def admit(self, entry: Entry) -> None:
        self._catch_up()
        self._live += 1
        entry.where = 1
        self._slots.append(entry)

    def remove(self, entry: Entry) -> None:
        if entry.where:
            entry.where = 0
            self._live -= 1
            self._compact()

    def evict(self) -> Entry | None:
        self._catch_up()
        slots = self._slots
        while slots:
            entry = slots.popleft()
            places = entry.where
            if places == 1:
                entry.where = 0
                self._live -= 1
                return entry
            if places:
                entry.where = places - 1
        return None

    def pick(self, dice: Random) -> Entry | None:
        slots = self._slots
        try:
            entry = slots[int(dice.random() * len(slots))]
        except IndexError:
            return None
        # An entry that stands in several slots is met as often as one that stands in one.
        return entry if entry.where and dice.random() * entry.where < 1 else None

    def shed(self, slots: int) -> int:
        shed = 0
        for queue in (self._touches, self._slots):
            while queue and shed < slots:
                queue.pop()
                shed += 1
        return shed

    def __len__(self) -> int:
        return self._live

    def _relieve(self) -> None:
        """Work off the touches when the lock is free; whoever holds it will do it otherwise."""
        lock = self._lock
        # A touch from inside a write of this very thread would get the lock, in the middle of that write.
        if lock is not None and not locks.owned(lock) and lock.acquire(blocking=False):
            try:
                self._catch_up()
            finally:
                lock.release()

    def _catch_up(self) -> None:
        """Work off the touches there are now; those that come meanwhile can wait."""
        touches = self._touches
        if not touches:
            return
        slots = self._slots
        newest = slots[-1] if slots else None
        for _ in range(len(touches)):
            entry = touches.popleft()
            if entry is not newest and entry.where:
                # The count first: an interruption in between must not leave a place that is not counted.
                entry.where += 1
                slots.append(entry)
                newest = entry
        self._compact()

    def _compact(self) -> None:
        if len(self._slots) <= 2 * self._live + SLACK:
            return
        last_places = []
        for entry in self._slots:
            places = entry.where
            if places == 1:
                last_places.append(entry)
            elif places:
                entry.where = places - 1
        self._slots = deque(last_places)
