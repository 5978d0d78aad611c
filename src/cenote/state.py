"""States: what a clear swaps.

All that could hand out something old hangs from one State: its store, the loads under way and the soft floor. A read
loads the reference once and looks nowhere else, so a clear is one store of a new reference, and for all caches one
store of a new tuple of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING

from cenote import locks
from cenote.stores.memory import MemoryStore

if TYPE_CHECKING:
    from cenote.flight import Fill, Flight

__all__ = ["Root", "State"]


class Root:
    """What the caches of one manager hang from.

    Attributes:
        states: The State of every cache, by its index. Reads load this attribute once.
        lock: Held while ``states`` is replaced.
    """

    __slots__ = ("lock", "states")

    def __init__(self) -> None:
        self.states: tuple[State, ...] = ()
        self.lock = locks.make_lock()

    def replace(self, changes: dict[int, State]) -> None:
        """Put new States in the place of old ones, all with one store."""
        with self.lock:
            states = list(self.states)
            for index, state in changes.items():
                if index == len(states):
                    states.append(state)
                else:
                    states[index] = state
            self.states = tuple(states)


class State:
    """Everything of one cache that a clear makes old.

    Attributes:
        store: The entries.
        tables: The store's tables, for hits.
        touch: The eviction policy's hook for hits, if it has one.
        flights: The loads under way, by slot and key. A load publishes only while it is found here.
        fills: The outstanding fill tokens.
        soft_floor: Entries with an earlier birth were cleared softly.
    """

    __slots__ = ("fills", "flights", "soft_floor", "store", "tables", "touch")

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.tables = store.tables
        self.touch = store.policy.touch if store.policy is not None else None
        self.flights: dict[tuple[int, Hashable], Flight] = {}
        self.fills: weakref.WeakSet[Fill] = weakref.WeakSet()
        self.soft_floor = 0

    def softened(self, floor: int) -> State:
        """Return a State that shares everything with this one but has a later soft floor."""
        state = State.__new__(State)
        state.store = self.store
        state.tables = self.tables
        state.touch = self.touch
        state.flights = self.flights
        state.fills = self.fills
        state.soft_floor = floor
        return state

    def detach_key(self, slot: int, key: Hashable) -> None:
        """Keep the loads of one key that are under way from publishing, and new callers from joining them."""
        self.flights.pop((slot, key), None)
        for fill in self.fills:
            if fill.slot == slot and fill.key == key:
                fill.void = True

    def detach_tags(self, tags: frozenset[str]) -> None:
        """Do the same for loads that carry one of the tags, and for those that do not know theirs yet.

        A load of unknown tags may end up with one of them; nobody who comes later may join it.
        """
        for place, flight in list(self.flights.items()):
            if flight.tags is None or flight.tags & tags:
                self.flights.pop(place, None)  # a finalizer may have abandoned it meanwhile
        for fill in self.fills:
            fill.missed |= tags
