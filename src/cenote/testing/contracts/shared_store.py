"""The contract of shared stores.

::

    class TestLmdbStore(SharedStoreContract):
        def make_store(self, namespace, clock, max_bytes):
            return LmdbStore(self.path, namespace, max_bytes=max_bytes, clock=clock)
"""

# ruff: noqa: S101  # a contract is made of assertions

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from cenote.clock import Clock
from cenote.stores.shared import SharedStore
from cenote.stores.stored import SOFT, StoredEntry
from cenote.testing.clock import FakeClock
from cenote.testing.contracts.shared_store_model import ODD_IDENTIFIERS, shared_machine

__all__ = ["SharedStoreContract"]

PLENTY = 1 << 24


class SharedStoreContract(ABC):
    """What every SharedStore must do; inherit from it and say how to make one.

    Attributes:
        profile: Hypothesis' settings for the comparison with a dict.
        limited: Whether the store keeps to ``max_bytes``.
    """

    profile = settings(max_examples=60, deadline=None)
    limited = True

    @abstractmethod
    def make_store(self, namespace: str, clock: Clock, max_bytes: int) -> SharedStore:
        """Open a namespace of the place that all stores of one test share."""

    def audit(self, store: SharedStore) -> None:  # noqa: B027  # a store may have nothing else to check
        """Check what the store keeps beside its entries; called now and then, and free to do nothing."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """A wall clock of the test's own."""
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> SharedStore:
        """An empty store with room for all."""
        return self.make_store("first", clock, PLENTY)

    def test_a_missing_entry_is_none(self, store: SharedStore) -> None:
        assert store.find("", 0, "k") is None
        assert store.remove("", 0, "k", sequence=1) is False

    def test_an_entry_is_found_with_all_that_was_put_in(self, store: SharedStore) -> None:
        entry = StoredEntry("k", 7, 1.5, 1e9, 2e9, 0.25, 2**64 - 1, frozenset({"a", "\U0001f600"}), b"\0payload")
        assert store.put("users", 3, entry, sequence=8) == 0
        assert store.find("users", 3, "k") == entry

    def test_places_do_not_see_each_other(self, store: SharedStore) -> None:
        places = [("", 0), ("", 1), ("user", 1), ("users", 1), ("user", 2**40)]
        for number, (cache, generation) in enumerate(places):
            store.put(cache, generation, StoredEntry("s", payload=bytes([number])), sequence=1)
        for number, (cache, generation) in enumerate(places):
            entry = store.find(cache, generation, "s")
            assert entry is not None
            assert entry.payload == bytes([number])
            assert store.count(cache, generation)[0] == 1
            assert store.matching(cache, generation, "", limit=9) == ["s"]

    def test_namespaces_do_not_see_each_other(self, store: SharedStore, clock: FakeClock) -> None:
        other = self.make_store("second", clock, PLENTY)
        store.put("", 0, StoredEntry("k", payload=b"first"), sequence=4)
        assert other.find("", 0, "k") is None
        assert other.stamp == ("", 0)
        other.reset("second", 9)
        assert store.find("", 0, "k") is not None
        assert store.stamp == ("", 4)

    @pytest.mark.parametrize("identifier", ODD_IDENTIFIERS, ids=range(len(ODD_IDENTIFIERS)))
    def test_any_text_is_an_identifier_and_finds_only_itself(self, store: SharedStore, identifier: str) -> None:
        for number, other in enumerate(ODD_IDENTIFIERS):
            store.put("", 1, StoredEntry(other, payload=bytes([number])), sequence=1)
        entry = store.find("", 1, identifier)
        assert entry is not None
        assert (entry.identifier, entry.payload) == (identifier, bytes([ODD_IDENTIFIERS.index(identifier)]))
        assert store.find_fresh("", 1, identifier, floor=0) in {entry.payload, None}
        assert identifier in store.matching("", 1, identifier[:2000], limit=99)
        assert store.remove("", 1, identifier, sequence=2) is True
        assert store.find("", 1, identifier) is None
        assert store.count("", 1)[0] == len(ODD_IDENTIFIERS) - 1

    def test_an_entry_is_over_at_its_very_moment_and_counts_until_it_is_swept(
        self, store: SharedStore, clock: FakeClock
    ) -> None:
        store.put("", 0, StoredEntry("k", hard_until=clock.time() + 1), sequence=1)
        clock.advance(0.999)
        assert store.find("", 0, "k") is not None
        clock.advance(0.001)
        assert store.find("", 0, "k") is None
        assert store.entries("", 0, limit=9) == []
        assert store.count("", 0)[0] == 1
        assert store.sweep(10) == {("", 0): 1}
        assert store.count("", 0) == (0, 0)

    @pytest.mark.parametrize("tags", [frozenset[str](), frozenset({"red", "t" * 700})], ids=["untagged", "tagged"])
    def test_a_payload_is_found_only_while_it_is_fresh(
        self, store: SharedStore, clock: FakeClock, tags: frozenset[str]
    ) -> None:
        end = clock.time() + 1
        store.put("", 0, StoredEntry("k", 3, expires=end, hard_until=end + 1, tags=tags, payload=b"p"), sequence=3)
        store.put("", 0, StoredEntry("empty", 3), sequence=3)
        store.put("", 0, StoredEntry("f()", 3, fingerprint=5, payload=b"p"), sequence=3)
        assert store.find_fresh("", 0, "k", floor=3) == b"p"
        assert store.find_fresh("", 0, "empty", floor=0) == b""
        assert store.find_fresh("", 0, "f()", floor=0) is None
        assert store.find_fresh("", 0, "k", floor=4) is None
        assert store.find_fresh("", 1, "k", floor=0) is None
        clock.advance(1)
        assert store.find_fresh("", 0, "k", floor=0) is None
        assert store.find("", 0, "k") is not None
        store.soften_many("", 0, ["empty"], before=9, sequence=9)
        assert store.find_fresh("", 0, "empty", floor=0) is None

    def test_a_sweep_takes_the_longest_over_first_and_no_more_than_its_limit(
        self, store: SharedStore, clock: FakeClock
    ) -> None:
        for second in (3, 1, 2):
            store.put("", second, StoredEntry("k", hard_until=clock.time() + second), sequence=1)
        clock.advance(2.5)
        assert store.sweep(1) == {("", 1): 1}
        assert store.sweep(9) == {("", 2): 1}
        assert store.sweep(9) == {}

    def test_what_is_over_is_removed_and_does_not_count(self, store: SharedStore, clock: FakeClock) -> None:
        store.put("", 0, StoredEntry("k", hard_until=clock.time()), sequence=1)
        assert store.remove("", 0, "k", sequence=2) is False
        assert store.count("", 0) == (0, 0)

    def test_younger_entries_are_neither_removed_nor_softened(self, store: SharedStore) -> None:
        for birth in (SOFT, 4, 5, 6):
            store.put("", 0, StoredEntry(f"k{birth}", birth), sequence=7)
        names = ["k-1", "k4", "k5", "k6", "none"]
        assert store.soften_many("", 0, names, before=5, sequence=8) == 1
        assert [entry.birth for entry in store.entries("", 0, limit=9)] == [SOFT, SOFT, 5, 6]
        assert store.remove_many("", 0, names, before=6, sequence=9) == 3
        assert store.matching("", 0, "", limit=9) == ["k6"]
        assert store.stamp[1] == 9

    def test_tags_follow_an_overwrite_and_a_removal(self, store: SharedStore) -> None:
        store.put("", 0, StoredEntry("k", tags=frozenset({"red", "blue"})), sequence=1)
        assert store.carriers("", 0, ["red", "blue"], 9) == ["k"]
        store.put("", 0, StoredEntry("k", tags=frozenset({"blue"})), sequence=2)
        assert store.carriers("", 0, ["red"], 9) == []
        assert store.carriers("", 1, ["blue"], 9) == []
        store.remove("", 0, "k", sequence=3)
        assert store.carriers("", 0, ["blue"], 9) == []

    def test_the_head_never_goes_back_until_a_reset(self, store: SharedStore) -> None:
        store.mark(7)
        store.mark(5)
        store.put("", 0, StoredEntry("k"), sequence=6)
        assert store.stamp == ("", 7)
        store.reset("other", 2)
        assert store.stamp == ("other", 2)
        assert store.count("", 0) == (0, 0)

    def test_garbage_is_reaped_in_steps_and_nothing_else_is(self, store: SharedStore) -> None:
        for generation in (1, 2, 3):
            for number in range(10):
                store.put("user", generation, StoredEntry(str(number)), sequence=1)
                store.put("users", generation, StoredEntry(str(number)), sequence=1)
        floors = {"user": 3, "users": 2}
        assert store.garbage(floors.__getitem__) == 30
        reaped = [store.reap(floors.__getitem__, 7) for _ in range(6)]
        assert reaped == [7, 7, 7, 7, 2, 0]
        assert [store.count("user", n)[0] + store.count("users", n)[0] for n in (1, 2, 3)] == [0, 10, 20]

    def test_a_limited_store_evicts_and_says_how_many(self, clock: FakeClock) -> None:
        if not self.limited:
            pytest.skip("it has no limit")
        store = self.make_store("small", clock, 20_000)
        evicted = 0
        for number in range(500):
            evicted += store.put("", number % 2, StoredEntry(str(number % 300), payload=b"x" * 500), sequence=number)
            counted = [store.count("", 0), store.count("", 1)]
            assert sum(size for _, size in counted) <= 20_000
            assert sum(entries for entries, _ in counted) == min(number + 1, 300) - evicted or number >= 300
            assert store.find("", number % 2, str(number % 300)) is not None
        assert evicted > 400

    def test_it_agrees_with_a_dict(self) -> None:
        stores: list[SharedStore] = []

        def make(clock: Clock) -> SharedStore:
            for store in stores:
                store.close()
            stores[:] = [self.make_store("machine", clock, PLENTY)]
            return stores[0]

        run_state_machine_as_test(shared_machine(make, self.audit), settings=self.profile)
