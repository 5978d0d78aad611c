"""Departures: why entries went, for whoever asks about a key that is not there.

A table of fingerprints with a bounded number of places: what is noted later may take the place of what was noted
earlier, and then nothing is known of that key any more. It holds no keys and no values. Where two threads note
something at once one of the notes may be lost.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from enum import IntEnum
from itertools import islice
from typing import Any, Final, NamedTuple

__all__ = ["Departure", "Departures", "Fate", "Obituary"]

FIRST_PLACES: Final = 64
MOST_PLACES: Final = 16_384
"""Places of a table at most, eight bytes each."""

_NEIGHBOURS: Final = 4
_HASH: Final = 0xFFFFFFFF
_SECONDS: Final = (1 << 28) - 1


class Fate(IntEnum):
    """What became of a key's last value."""

    EVICTED = 1
    """It left to make room."""

    EXPIRED = 2
    """Its time was over."""

    INVALIDATED = 3
    """Somebody invalidated it: by its key, a tag or a prefix."""

    NOT_STORED = 4
    """It was loaded, and not to be kept: its TTL was 0, or ``cache_if`` said so."""

    FAILED = 5
    """Its load raised."""

    CLEARED = 6
    """The whole cache was cleared."""


class Departure(NamedTuple):
    """What became of a key's last value, and when: in whole seconds of the cache's monotonic clock."""

    fate: Fate
    when: float


class Departures:
    """What became of the keys of one cache."""

    __slots__ = ("_begun", "_full", "_places", "_table", "lost")

    def __init__(self, begun: float) -> None:
        """Make an empty table, which takes memory once something is noted.

        Args:
            begun: Now, in monotonic seconds.
        """
        self._begun = begun
        # Replaced, never resized: who took it goes on with it while another thread makes a larger one. What is noted in
        # the smaller one meanwhile is lost, which a hint may be.
        self._table: array[int] = array("Q")
        self._full = False
        self.lost = False
        """Whether something that was noted is not known any more."""

    def note(self, slot: int, key: Hashable, fate: Fate, now: float) -> None:
        """Note what becomes of a key."""
        mark = (hash(key) ^ slot * 0x9E3779B1) & _HASH
        noted = mark << 32 | int(now - self._begun) << 4 & 0xFFFFFFF0 | fate
        table = self._table
        at = mark & (len(table) - 1)
        if table and (self._full or not (there := table[at]) or there >> 32 == mark):
            table[at] = noted
        else:
            self._find_place(mark, noted)

    def _find_place(self, mark: int, noted: int) -> None:
        former = self._table
        table = former or array("Q", [0]) * FIRST_PLACES
        at = _place_of(table, mark)
        while at is None and len(table) < MOST_PLACES:
            table = self._grown(table)
            at = _place_of(table, mark)
        if at is None:
            # From now on every note takes its first place, which is the quickest way.
            self.lost = self._full = True
            at = mark & (len(table) - 1)
        table[at] = noted
        if table is not former:
            self._table = table

    def find(self, slot: int, key: Hashable) -> Departure | None:
        """Return what became of a key's last value; None where that is not known."""
        table = self._table
        at = _place_of(table, (hash(key) ^ slot * 0x9E3779B1) & _HASH) if table else None
        there = 0 if at is None else table[at]
        return Departure(Fate(there & 0xF), self._begun + (there >> 4 & _SECONDS)) if there else None

    def _grown(self, table: array[int]) -> array[int]:
        """Return a table of twice the size with the same notes."""
        larger = array("Q", [0]) * (2 * len(table))
        for there in table:
            if there:
                at = _place_of(larger, there >> 32)
                if at is None:
                    self.lost = True
                else:
                    larger[at] = there
        return larger


def _place_of(table: array[int], mark: int) -> int | None:
    """Return where a mark is, or may be put; None where all its places are others'."""
    last = len(table) - 1
    for at in range(mark, mark + _NEIGHBOURS):
        there = table[at & last]
        if not there or there >> 32 == mark:
            return at & last
    return None


class Obituary:
    """Notes the keys of tables that a clear left behind, a few at a time, before they are freed."""

    def __init__(self, departures: Departures, tables: Sequence[dict[Hashable, Any]], now: float) -> None:
        """Write about tables that nobody changes any more.

        Args:
            departures: Where to.
            tables: The tables, by slot.
            now: When they were left behind, in monotonic seconds.
        """
        self._departures = departures
        self._keys = ((slot, key) for slot, table in enumerate(tables) for key in table)
        self._left = MOST_PLACES
        self._now = now
        departures.lost = departures.lost or sum(map(len, tables)) > MOST_PLACES

    def shed(self, most: int) -> int:
        """Note the next keys; return how many, 0 when there are no more."""
        found = list(islice(self._keys, min(most, self._left)))
        self._left -= len(found)
        for slot, key in found:
            self._departures.note(slot, key, Fate.CLEARED, self._now)
        return len(found)
