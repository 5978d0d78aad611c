"""States: what a clear swaps.

All that could hand out something old hangs from one State: its store, the loads under way and the soft floor. A read
loads the reference once and looks nowhere else, so a clear is one store of a new reference, and for all caches one
store of a new tuple of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final

from cenote import locks
from cenote.invalidation.log import deadline_of
from cenote.stores.memory import MemoryStore

if TYPE_CHECKING:
    from cenote.flight import Fill, Flight
    from cenote.invalidation.census import Gauge

__all__ = ["NOT_SHARED", "Root", "State", "cache_of", "shelf_of"]

LEFT: Final[Sequence[int]] = (-1,)
"""The word of a State that is in force no more: no sequence."""

NOT_SHARED: Final = -1
"""The generation of a State that knows of no log: nothing of a shared store may be served from it."""


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
        """Put new States in the place of old ones, all with one store.

        What was left says so: a read that came to it another way finds no sequence there, and looks here. Behind the
        store, or what interrupts this could leave a State in force that no read is served from.
        """
        with self.lock:
            states, left = list(self.states), list[State]()
            for index, state in changes.items():
                if index == len(states):
                    states.append(state)
                else:
                    left.append(states[index])
                    states[index] = state
            self.states = tuple(states)
            for former in left:
                if former.word is not None:
                    former.word = LEFT


class State:
    """Everything of one cache that a clear makes old.

    Attributes:
        store: The entries.
        tables: The store's tables, for hits.
        touch: The eviction policy's hook for hits, if it has one.
        flights: The loads under way, by slot and key. A load publishes only while it is found here.
        fills: The outstanding fill tokens.
        soft_floor: Entries with an earlier birth were cleared softly.
        word: The head of a log that others append to, as item 0, as long as the State is in force; None where nobody
            outside the process can.
        deadline: Until when that head may be relied on where it is leased, as item 0, in seconds of the lease clock.
        until: A deadline that stood there, which holds while the word is the head: reads look at this one. A mirror
            says why.
        applied: The last record that it has obeyed. A read that finds another head obeys first. It lies beside the
            tables that it speaks of: kept elsewhere, a reader could pair old tables with a new number.
        generation: The sequence of the last whole hard clear.
        gauge: Where other processes see how many entries there are; None where there are none to see it.
        shelf: What the cache is called in a shared store: its name, and the incarnation that sequences belong to.
        doubtful: The State in force that could not be verified because the server is out of reach, where this one
            stands in for it.
    """

    __slots__ = (
        "applied",
        "deadline",
        "doubtful",
        "fills",
        "flights",
        "gauge",
        "generation",
        "shelf",
        "soft_floor",
        "store",
        "tables",
        "touch",
        "until",
        "word",
    )

    def __init__(
        self,
        store: MemoryStore,
        *,
        word: Sequence[int] | None = None,
        applied: int = 0,
        generation: int = 0,
        shelf: str = "",
        gauge: Gauge | None = None,
        soft_floor: int = 0,
    ) -> None:
        self.store = store
        self.tables = store.tables
        self.touch = store.policy.touch if store.policy is not None else None
        self.flights: dict[tuple[int, Hashable], Flight] = {}
        self.fills: weakref.WeakSet[Fill] = weakref.WeakSet()
        self.soft_floor = soft_floor
        self.word = word
        self.deadline = deadline_of(word)
        self.until = self.deadline[0]
        self.applied = applied
        self.generation = generation
        self.shelf = shelf
        self.gauge = gauge
        self.doubtful: State | None = None

    def softened(self, floor: int) -> State:
        """Return a State that shares everything with this one but has obeyed a soft clear."""
        state = State.__new__(State)
        state.store = self.store
        state.tables = self.tables
        state.touch = self.touch
        state.flights = self.flights
        state.fills = self.fills
        state.soft_floor = floor
        state.word = self.word
        state.deadline = self.deadline
        state.until = self.until
        state.applied = floor
        state.generation = self.generation
        state.shelf = self.shelf
        state.gauge = self.gauge
        state.doubtful = None
        return state

    def detach_key(self, slot: int, key: Hashable) -> None:
        """Keep the loads of one key that are under way from publishing, and new callers from joining them."""
        self.flights.pop((slot, key), None)
        if not self.fills:
            return
        for fill in self.fills:
            if fill.slot == slot and fill.key == key:
                fill.void = True

    def detach_tags(self, tags: frozenset[str]) -> None:
        """Do the same for loads that carry one of the tags.

        A load that does not know its tags yet checks at its end; until then nobody who comes later may join it.
        """
        for place, flight in list(self.flights.items()):
            if flight.tags is None:
                flight.missed |= tags
            elif flight.tags & tags:
                del self.flights[place]
        for fill in self.fills:
            fill.missed |= tags


def shelf_of(cache: str | None, incarnation: str) -> str:
    """Return what a cache is called in a shared store while a log has an incarnation."""
    return f"{cache or ''}:{incarnation[:16]}"


def cache_of(shelf: str, incarnation: str) -> str | None:
    """Return the cache of a shelf, "" for the global one; None when it belongs to another incarnation."""
    cache, _, made_in = shelf.partition(":")
    return cache if made_in == incarnation[:16] else None
