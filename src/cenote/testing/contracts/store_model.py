"""State machines that drive a store and a dict side by side."""

# ruff: noqa: S101  # a contract is made of assertions

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cenote.entry import FOREVER, Entry, ParticularEntry
from cenote.stores.store import Store
from cenote.testing.clock import FakeClock

__all__ = ["bounded_machine", "unbounded_machine"]

KEYS = st.sampled_from(["a", "b", "c/d", "é", " ", "chapter:1", "chapter:2"])
SLOTS = st.integers(0, 2)
TAGS = st.sampled_from(["red", "blue", "green"])
LIFETIMES = st.one_of(st.just(FOREVER), st.sampled_from([0.0, 0.01, 1.0, 5.0, 60.0, 3600.0, 1e6]))


class _Machine(RuleBasedStateMachine):
    """A store and its model: (slot, key) to (value, tags, end)."""

    make: Callable[[], Store]
    limit: int | None

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = type(self).make()
        self.model: dict[tuple[int, Any], tuple[int, frozenset[str], float]] = {}
        self.values = 0
        self.removed: list[Entry] = []

    @rule(key=KEYS, slot=SLOTS, tags=st.frozensets(TAGS), lifetime=LIFETIMES)
    def put(self, key: str, slot: int, tags: frozenset[str], lifetime: float) -> None:
        self.values += 1
        value = self.values
        end = self.clock.monotonic() + lifetime
        entry = (
            ParticularEntry(key, value, slot=slot, hard_until=end, tags=tags)
            if tags
            else Entry(key, value, slot=slot, fresh_until=end)
        )
        held = set(self.model)
        evicted = self.store.put(entry)
        self.model[slot, key] = (value, tags, end)
        for gone in evicted:
            place = gone.slot, gone.key
            if place == (slot, key):
                continue
            assert place in held, f"{place} was not there to be evicted"
            del self.model[place]
        if self.limit is None:
            assert all((gone.slot, gone.key) == (slot, key) for gone in evicted)

    @rule(key=KEYS, slot=SLOTS)
    def remove(self, key: str, slot: int) -> None:
        entry = self.store.find(key, slot)
        assert (entry is not None) == ((slot, key) in self.model)
        if entry is not None:
            assert self.store.remove(entry) is True
            del self.model[slot, key]
            self.removed.append(entry)

    @rule()
    def remove_again(self) -> None:
        for entry in self.removed:
            assert self.store.remove(entry) is False

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 1.0, 4.0, 60.0, 4000.0]))
    def sweep(self, seconds: float) -> None:
        now = self.clock.advance(seconds)
        ended = [place for place, (_, _, end) in self.model.items() if end <= now]
        assert self.store.sweep(now) == len(ended)
        for place in ended:
            del self.model[place]

    @rule(tags=st.frozensets(TAGS))
    def tagged(self, tags: frozenset[str]) -> None:
        found = [entry.value for entry in self.store.tagged(tags)]
        assert sorted(found) == sorted(value for value, carried, _ in self.model.values() if carried & tags)

    @invariant()
    def agree(self) -> None:
        entries = list(self.store.entries())
        assert {(entry.slot, entry.key): entry.value for entry in entries} == {
            place: value for place, (value, _, _) in self.model.items()
        }
        assert len(entries) == len(self.store) == len(self.model)
        assert self.store.size == sum(entry.size for entry in entries)
        if self.limit is not None:
            assert len(self.store) <= self.limit
        for (slot, key), (value, _, end) in self.model.items():
            entry = self.store.find(key, slot)
            assert entry is not None
            assert (entry.value, entry.hard_until) == (value, end)


def unbounded_machine(make: Callable[[], Store]) -> type[RuleBasedStateMachine]:
    """Make the state machine of a store without limit and with three tables."""
    return type("StoreMachine", (_Machine,), {"make": staticmethod(make), "limit": None})


def bounded_machine(make: Callable[[], Store], limit: int) -> type[RuleBasedStateMachine]:
    """Make the state machine of a store with three tables and at most ``limit`` entries."""
    return type("BoundedStoreMachine", (_Machine,), {"make": staticmethod(make), "limit": limit})
