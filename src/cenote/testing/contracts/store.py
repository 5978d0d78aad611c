"""The contract of stores.

::

    class TestMemoryStore(StoreContract):
        def make_store(self, options, tables):
            return MemoryStore(options, tables)
"""

# ruff: noqa: S101  # a contract is made of assertions

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from cenote.entry import Entry, ParticularEntry
from cenote.options import CacheOptions
from cenote.stores.store import Store
from cenote.testing.contracts.store_model import bounded_machine, unbounded_machine

__all__ = ["StoreContract"]

ODD_KEYS = [" ", "/", "a/b/../c", "%2F", "k\n", "é", "e\u0301", "\u2028", "\U0001f600", "\x00", "'\"", "x" * 5000]


def _values(store: Store, slot: int | None = None) -> dict[tuple[int, Any], Any]:
    return {(entry.slot, entry.key): entry.value for entry in store.entries(slot)}


class StoreContract(ABC):
    """What every Store must do; inherit from it and say how to make one.

    Attributes:
        profile: Hypothesis' settings for the comparison with a model.
    """

    profile = settings(max_examples=60, deadline=None)

    @abstractmethod
    def make_store(self, options: CacheOptions, tables: int) -> Store:
        """Make an empty store with so many tables."""

    def unlimited(self) -> Store:
        """Make a store of three tables that never needs to evict."""
        return self.make_store(CacheOptions(max_entries=None), 3)

    def test_a_missing_key_is_none(self) -> None:
        store = self.unlimited()
        assert store.find("k") is None
        assert store.find("k", 2) is None

    def test_an_entry_is_found_with_all_that_was_put_in(self) -> None:
        store = self.unlimited()
        assert store.put(ParticularEntry("k", "v", birth=7, born=1.0, fresh_until=2.0, hard_until=3.0, cost=0.5)) == []
        entry = store.find("k")
        assert entry is not None
        assert (entry.key, entry.value, entry.birth, entry.born) == ("k", "v", 7, 1.0)
        assert (entry.fresh_until, entry.hard_until, entry.cost, entry.slot) == (2.0, 3.0, 0.5, 0)
        assert len(store) == 1

    def test_none_is_a_value_like_any_other(self) -> None:
        store = self.unlimited()
        store.put(Entry("k", None))
        entry = store.find("k")
        assert entry is not None
        assert entry.value is None

    def test_an_overwrite_replaces_value_and_terms_and_counts_once(self) -> None:
        store = self.unlimited()
        store.put(Entry("k", "old", birth=1, fresh_until=10.0))
        store.put(Entry("k", "new", birth=2, fresh_until=20.0))
        entry = store.find("k")
        assert entry is not None
        assert (entry.value, entry.birth, entry.hard_until) == ("new", 2, 20.0)
        assert len(store) == 1
        assert store.sweep(10.0) == 0
        assert store.sweep(20.0) == 1

    @pytest.mark.parametrize("kinds", [(Entry, ParticularEntry), (ParticularEntry, Entry)])
    def test_an_entry_of_another_kind_overwrites_too(self, kinds: tuple[type[Entry], type[Entry]]) -> None:
        store = self.unlimited()
        store.put(kinds[0]("k", "old"))
        store.put(kinds[1]("k", "new"))
        assert _values(store) == {(0, "k"): "new"}
        assert len(store) == 1

    @pytest.mark.parametrize("key", ODD_KEYS, ids=ascii)
    def test_any_text_is_a_key_and_hits_only_itself(self, key: str) -> None:
        store = self.unlimited()
        for number, other in enumerate(ODD_KEYS):
            store.put(Entry(other, number))
        entry = store.find(key)
        assert entry is not None
        assert entry.value == ODD_KEYS.index(key)
        assert store.remove(entry) is True
        assert len(store) == len(ODD_KEYS) - 1
        assert store.find(key) is None

    def test_tables_do_not_see_each_other(self) -> None:
        store = self.unlimited()
        for slot in range(3):
            store.put(Entry("k", slot, slot=slot))
        for slot in range(3):
            entry = store.find("k", slot)
            assert entry is not None
            assert entry.value == slot
            assert _values(store, slot) == {(slot, "k"): slot}
        assert len(store) == 3
        assert len(_values(store)) == 3

    def test_remove_tells_whether_this_very_entry_was_there(self) -> None:
        store = self.unlimited()
        entry = Entry("k", "v")
        assert store.remove(entry) is False
        store.put(entry)
        found = store.find("k")
        assert found is not None
        assert store.remove(found) is True
        assert store.remove(found) is False
        assert (store.find("k"), len(store)) == (None, 0)

    def test_removing_an_entry_that_was_replaced_leaves_its_successor(self) -> None:
        store = self.unlimited()
        store.put(Entry("k", "old"))
        old = store.find("k")
        assert old is not None
        store.remove(old)
        store.put(Entry("k", "new"))
        assert store.remove(old) is False
        assert _values(store) == {(0, "k"): "new"}

    def test_tagged_returns_the_carriers_of_any_of_the_tags_once_each(self) -> None:
        store = self.unlimited()
        store.put(ParticularEntry("a", 1, tags=frozenset({"red", "blue"})))
        store.put(ParticularEntry("b", 2, tags=frozenset({"red"}), slot=1))
        store.put(ParticularEntry("c", 3, tags=frozenset({"green"})))
        store.put(Entry("d", 4))
        assert sorted(entry.value for entry in store.tagged(["red", "blue"])) == [1, 2]
        assert sorted(entry.value for entry in store.tagged(["green"])) == [3]
        assert list(store.tagged(["none", ""])) == []
        assert list(store.tagged([])) == []

    def test_tags_follow_an_overwrite_and_a_removal(self) -> None:
        store = self.unlimited()
        store.put(ParticularEntry("a", 1, tags=frozenset({"red"})))
        store.put(ParticularEntry("a", 2, tags=frozenset({"blue"})))
        assert list(store.tagged(["red"])) == []
        (entry,) = store.tagged(["blue"])
        store.remove(entry)
        assert list(store.tagged(["blue"])) == []

    def test_an_entry_that_ends_at_this_very_moment_has_ended(self) -> None:
        store = self.unlimited()
        store.put(Entry("now", 1, fresh_until=100.0))
        store.put(Entry("later", 2, fresh_until=100.001))
        store.put(Entry("never", 3))
        assert store.sweep(100.0) == 1
        assert _values(store) == {(0, "later"): 2, (0, "never"): 3}
        assert len(store) == 2

    def test_an_entry_that_was_over_before_it_came_leaves_with_the_next_sweep(self) -> None:
        store = self.unlimited()
        store.put(Entry("k", 1, born=50.0, fresh_until=50.0))
        store.sweep(50.0)
        assert (store.find("k"), len(store)) == (None, 0)

    def test_a_sweep_that_has_had_enough_stops_and_the_next_one_ends_the_work(self) -> None:
        store = self.unlimited()
        for number in range(2000):
            store.put(Entry(number, number, slot=1, fresh_until=number / 10))
        gone = store.sweep(1000.0, lambda: True)
        assert gone + len(store) == 2000
        while swept := store.sweep(1000.0):
            gone += swept
        assert (gone, len(store)) == (2000, 0)

    def test_entries_iterate_over_a_snapshot(self) -> None:
        store = self.unlimited()
        for number in range(10):
            store.put(Entry(str(number), number))
        seen = []
        for entry in store.entries(0):
            seen.append(entry.value)
            store.remove(entry)
            store.put(Entry(f"more {entry.value}", -1))
        assert sorted(seen) == list(range(10))

    def test_a_full_store_evicts_and_says_whom(self) -> None:
        store = self.make_store(CacheOptions(max_entries=10), 1)
        gone = [str(entry.key) for number in range(100) for entry in store.put(Entry(str(number), number))]
        assert len(store) == 10
        kept = [str(entry.key) for entry in store.entries()]
        assert sorted(kept + gone) == sorted(map(str, range(100)))

    def test_an_overwrite_in_a_full_store_evicts_nobody(self) -> None:
        store = self.make_store(CacheOptions(max_entries=3), 1)
        for key in "abc":
            store.put(Entry(key, 1))
        assert store.put(Entry("b", 2)) == []
        assert _values(store) == {(0, "a"): 1, (0, "b"): 2, (0, "c"): 1}

    def test_sizes_are_summed_and_limited(self) -> None:
        store = self.make_store(CacheOptions(max_entries=None, max_bytes=100, weigher=len), 1)
        store.put(ParticularEntry("a", 1, size=60))
        store.put(ParticularEntry("b", 2, size=40))
        assert store.size == 100
        evicted = store.put(ParticularEntry("c", 3, size=10))
        assert evicted
        assert store.size == sum(entry.size for entry in store.entries()) <= 100
        assert store.find("c") is not None

    def test_an_entry_larger_than_the_store_is_returned_and_takes_its_elder_along(self) -> None:
        store = self.make_store(CacheOptions(max_entries=None, max_bytes=100, weigher=len), 1)
        store.put(ParticularEntry("a", 1, size=10))
        store.put(ParticularEntry("b", 2, size=10))
        large = ParticularEntry("a", 3, size=101)
        assert large in store.put(large)
        assert _values(store) == {(0, "b"): 2}
        assert store.size == 10

    def test_a_store_without_limit_agrees_with_a_model(self) -> None:
        machine = unbounded_machine(self.unlimited)
        run_state_machine_as_test(machine, settings=self.profile)

    @pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
    def test_a_limited_store_agrees_with_a_model_that_is_told_who_was_evicted(self, eviction: Any) -> None:
        options = CacheOptions(max_entries=4, eviction=eviction)
        machine = bounded_machine(lambda: self.make_store(options, 3), 4)
        run_state_machine_as_test(machine, settings=self.profile)
