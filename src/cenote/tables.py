"""The tables of one cache: one for the keys of callers, and one for the calls of each memoized function."""

from __future__ import annotations

import sys
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

from cenote import locks
from cenote.entry import Entry
from cenote.keys import CallKeys, check_key
from cenote.state import State
from cenote.stats import Counts

__all__ = ["GIL", "Slot", "Tables"]

GIL: Final = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
"""Whether threads switch only between bytecodes, where ``x += 1.0`` on an attribute or a cell loses no count."""


class Slot:
    """One table of a cache: the keys of callers (number 0), or the calls of one memoized function.

    Attributes:
        index: The number of the table.
        keys: How calls become keys; None in table 0.
        hits: Hits counted outside of generated wrappers.
        hot_hits: Reads the count of the generated wrapper.
        misses: Reads that were not served.
        loads: Loads that yielded a value.
        load_seconds: What they took together.
        saved_seconds: What the hits saved, as far as they were valued.
        valued: How many hits that are.
        fingerprint: Tells the function from others of its name in the store that processes share; None keeps its
            entries out of there.
        annotated: Returns the annotated type of the values, for a codec.
    """

    __slots__ = (
        "annotated",
        "fingerprint",
        "hits",
        "hot_hits",
        "index",
        "keys",
        "load_seconds",
        "loads",
        "misses",
        "saved_seconds",
        "valued",
    )

    def __init__(self, index: int, keys: CallKeys | None) -> None:
        self.index = index
        self.keys = keys
        self.hits = 0.0
        self.hot_hits: Callable[[], float] = float
        self.misses = 0.0
        self.loads = 0
        self.load_seconds = 0.0
        self.saved_seconds = 0.0
        self.valued = 0
        self.fingerprint: int | None = 0
        self.annotated: Callable[[], Any] = _anything

    def identifier(self, key: Any) -> str:
        """Return the text that names an entry of this table."""
        return key if self.keys is None else self.keys.identifier(key)

    @property
    def opening(self) -> str:
        """What its identifiers begin with, parenthesis included; empty for the keys of callers."""
        return "" if self.keys is None else self.keys.opening

    @property
    def all_hits(self) -> int:
        """All hits of this table."""
        return int(self.hits + self.hot_hits())

    def count_load(self, seconds: float) -> None:
        """Count a load; the hits before it keep the value that they had. Call under the write lock."""
        self.value_hits()
        self.loads += 1
        self.load_seconds += seconds

    def value_hits(self) -> None:
        """Value the hits since the last load at the mean time of the loads so far; call under the write lock."""
        hits = self.all_hits
        if self.loads:
            self.saved_seconds += (hits - self.valued) * self.load_seconds / self.loads
        self.valued = hits

    def restart_counts(self) -> None:
        """Count from nothing; what a generated wrapper has counted cannot be taken from it, so it is deducted."""
        self.hits = -self.hot_hits()
        self.misses = self.load_seconds = self.saved_seconds = 0.0
        self.loads = self.valued = 0

    def take_over(self, other: Slot) -> None:
        """Add the figures of a table that is given away; call under the write lock."""
        self.value_hits()
        other.value_hits()
        self.hits += other.all_hits
        self.valued += other.all_hits
        self.misses += other.misses
        self.loads += other.loads
        self.load_seconds += other.load_seconds
        self.saved_seconds += other.saved_seconds


def _anything() -> Any:
    """The type of values of which nothing is known."""
    return Any


class Tables(ABC):
    """Which table an identifier leads to; the part of a cache's core that names things.

    Attributes:
        slots: The tables, by their number.
        functions: The memoized functions, by the name that their identifiers begin with.
        openings: Their tables, by what their identifiers begin with, parenthesis included.
        released: Tables of memoized functions that nobody can call any more.
    """

    counts: Counts

    def __init__(self) -> None:
        """Make table 0."""
        self.slots: list[Slot] = [Slot(0, None)]
        self.functions: dict[str, weakref.ref[Any]] = {}
        self.openings: dict[str, Slot] = {}
        self.released: deque[Slot] = deque()

    @property
    @abstractmethod
    def state(self) -> State:
        """The State in force."""

    @abstractmethod
    def current(self) -> State:
        """Return the State in force once it has obeyed all that was written before."""

    @abstractmethod
    def changing(self, action: str) -> locks.Lock:
        """Return the write lock for a change."""

    @abstractmethod
    def sweep(self, enough: Callable[[], bool] | None = None) -> int:
        """Take out what has ended; return how many entries that were."""

    @staticmethod
    @abstractmethod
    def discard(entries: Iterable[Entry]) -> None:
        """Let go of the values of entries that were taken out."""

    def add_slot(self, keys: CallKeys, func: Any) -> Slot | None:
        """Give a memoized function its table; None when another thread took the name meanwhile."""
        dropped: list[Entry] = []
        with self.changing("memoize"):
            if keys.opening in self.openings:
                return None
            if self.released:
                dead = self.released.popleft()
                dropped += self._reclaim(dead)
                slot = Slot(dead.index, keys)
                self.slots[slot.index] = slot
            else:
                slot = Slot(self.state.store.add_table(), keys)
                self.slots.append(slot)
            self.openings[keys.opening] = slot
            self.functions[keys.name] = weakref.ref(func)
            dropped += self._forget_texts(keys)
        self.discard(dropped)
        return slot

    def _forget_texts(self, keys: CallKeys) -> list[Entry]:
        """Take out what callers stored under identifiers that from now on mean the calls of a function."""
        state = self.state
        texts = [entry for entry in state.store.entries(0) if keys.owns(str(entry.key))]
        for entry in texts:
            state.store.remove(entry)
        self.counts.invalidations += len(texts)
        for place in list(state.flights):
            if place[0] == 0 and keys.owns(str(place[1])):
                state.flights.pop(place, None)
        for fill in state.fills:
            if fill.slot == 0 and keys.owns(str(fill.key)):
                fill.void = True
        return texts

    def _reclaim(self, slot: Slot) -> list[Entry]:
        """Empty the table of a function that is gone, keep its figures, and return what was in it."""
        state = self.state
        entries = list(state.store.entries(slot.index))
        for entry in entries:
            state.store.remove(entry)
        for place in list(state.flights):
            if place[0] == slot.index:
                state.flights.pop(place, None)
        for fill in list(state.fills):
            if fill.slot == slot.index:
                fill.void = True
                state.fills.discard(fill)
        assert slot.keys is not None  # noqa: S101  # only functions are released
        if self.openings.get(slot.keys.opening) is slot:
            del self.openings[slot.keys.opening]
            self.functions.pop(slot.keys.name, None)
        self.slots[0].take_over(slot)
        return entries

    def rename_slot(self, name: str, new: str) -> None:
        """Give a memoized function another name, because one that replaces it takes its own."""
        with self.changing("memoize"):
            slot = self.openings.get(f"{name}(")
            if slot is None or slot.keys is None or new in self.functions:
                return  # another thread was faster; whoever asked chooses again
            del self.openings[slot.keys.opening]
            slot.keys = slot.keys.renamed(new)
            self.openings[slot.keys.opening] = slot
            taken = self._forget_texts(slot.keys)
            self.functions[new] = self.functions.pop(name)
        self.discard(taken)

    def slot_of(self, identifier: str) -> Slot:
        """Return the table that an identifier belongs to: a memoized function's, or else that of callers' keys."""
        if identifier[-1:] == ")":
            opening = identifier[: identifier.find("(") + 1]
            return self.openings.get(opening, self.slots[0])
        return self.slots[0]

    def owns(self, slot: Slot, key: Hashable) -> bool:
        """Whether a place that was resolved without the write lock is still the key's; ask under the lock.

        Meanwhile the function may have died and its table been given to another one, or a function been made that the
        key's text is an identifier of.
        """
        if self.slots[slot.index] is not slot:
            return False
        return slot.keys is not None or self.slot_of(str(key)) is slot

    def place_of(self, identifier: str) -> tuple[Slot, Hashable | None]:
        """Return the table and key of an identifier; the key is None when the text does not tell it.

        Entries whose identifier cannot be read back, because an argument is no literal, are looked for one by one.
        """
        check_key(identifier)
        slot = self.slot_of(identifier)
        if slot.keys is None:
            return slot, identifier
        key = slot.keys.key_of(identifier)
        if key is None:
            for entry in self.current().store.entries(slot.index):
                if slot.identifier(entry.key) == identifier:
                    return slot, entry.key
        return slot, key

    def live_in(self, slot: Slot) -> int:
        """Return how many live entries a table has."""
        state = self.current()
        self.sweep()
        return len(state.tables[slot.index])
