"""The store contract, run on the store of one process's memory and on stores that break it."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import Phase, settings

from cenote.entry import Entry
from cenote.options import CacheOptions
from cenote.stores.memory import MemoryStore
from cenote.stores.store import Store
from cenote.testing.contracts import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self, options: CacheOptions, tables: int) -> Store:
        return MemoryStore(options, tables)


class RemovesByKey(MemoryStore):
    """Removes whatever has the key."""

    __slots__ = ()

    def remove(self, entry: Entry) -> bool:
        present = self.find(entry.key, entry.slot)
        return present is not None and super().remove(present)


class SweepsLate(MemoryStore):
    """Takes an entry for alive at the moment of its end."""

    __slots__ = ()

    def sweep(self, now: float, enough: Callable[[], bool] | None = None) -> int:
        return super().sweep(now - 0.001, enough)


class TagsOfAll(MemoryStore):
    """Asks for all tags instead of any."""

    __slots__ = ()

    def tagged(self, tags: Iterable[str]) -> list[Entry]:
        wanted = set(tags)
        return [entry for entry in super().tagged(wanted) if wanted <= entry.tags]


class SilentEviction(MemoryStore):
    """Does not say whom it evicted."""

    __slots__ = ()

    def put(self, entry: Entry) -> list[Entry]:
        super().put(entry)
        return []


UNSHRUNK = settings(max_examples=2000, deadline=None, phases=[Phase.generate], database=None, derandomize=True)
MACHINE = "test_a_store_without_limit_agrees_with_a_model"
BROKEN = {
    RemovesByKey: ["test_removing_an_entry_that_was_replaced_leaves_its_successor", MACHINE],
    SweepsLate: ["test_an_entry_that_ends_at_this_very_moment_has_ended", MACHINE],
    TagsOfAll: ["test_tagged_returns_the_carriers_of_any_of_the_tags_once_each", MACHINE],
    SilentEviction: ["test_a_full_store_evicts_and_says_whom"],
}


@pytest.mark.parametrize(
    ("broken", "test"),
    [(broken, test) for broken, tests in BROKEN.items() for test in tests],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_store_that_breaks_the_contract_fails_it(broken: type[MemoryStore], test: str) -> None:
    class Suite(StoreContract):
        profile = UNSHRUNK

        def make_store(self, options: CacheOptions, tables: int) -> Store:
            return broken(options, tables)

    with pytest.raises(AssertionError):
        getattr(Suite(), test)()


def test_a_limited_store_that_hides_its_victims_disagrees_with_the_model() -> None:
    class Suite(StoreContract):
        profile = UNSHRUNK

        def make_store(self, options: CacheOptions, tables: int) -> Store:
            return SilentEviction(options, tables)

    with pytest.raises(AssertionError):
        Suite().test_a_limited_store_agrees_with_a_model_that_is_told_who_was_evicted("s3fifo")
