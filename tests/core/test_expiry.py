"""Expiry: entries leave without waiting for a read, and counts are exact meanwhile."""

from __future__ import annotations

import gc
import weakref

import pytest

from cenote import CacheManager
from cenote.entry import FOREVER, Entry, ParticularEntry
from cenote.keeper import Keeper
from cenote.options import CacheOptions
from cenote.stores.memory import MemoryStore


class Value:
    """Something that a weak reference can watch."""


def test_an_entry_that_has_ended_is_freed_although_nobody_reads_it(until):
    with CacheManager() as caches:
        cache = caches.service("made", ttl=0.01)
        value = Value()
        seen = weakref.ref(value)
        cache.set("k", value)
        del value
        until(lambda: seen() is None)
        assert cache.stats().expirations == 1


def test_counts_are_exact_whether_or_not_anybody_swept(cache, clock):
    for number in range(100):
        cache.set(f"k{number}", number, ttl=1 + number)
    for number in range(100):
        assert len(cache) == 100 - number
        clock.advance(1)
    assert len(cache) == 0
    assert cache.stats().expirations == 100


def test_entries_of_very_different_lifetimes_leave_when_they_end(cache, clock):
    lifetimes = [0.001, 0.5, 1, 59, 61, 3600, 86_400, 1e7]
    for lifetime in lifetimes:
        cache.set(str(lifetime), 1, ttl=lifetime)
    left = len(lifetimes)
    for before, after in zip([0, *lifetimes], lifetimes, strict=False):
        clock.advance(after - before)
        left -= 1
        assert len(cache) == left


def test_an_entry_that_is_written_again_ends_by_its_new_ttl(cache, clock):
    for first, second, end in [(5, 50, 50), (50, 5, 5), (5, None, None), (None, 5, 5)]:
        cache.set("k", 1, ttl=first)
        cache.set("k", 2, ttl=second)
        if end is None:
            clock.advance(1000)
            assert len(cache) == 1
        else:
            clock.advance(end - 0.01)
            assert len(cache) == 1
            clock.advance(0.01)
            assert len(cache) == 0
        cache.clear()


def test_the_longest_stale_window_decides_when_an_entry_leaves(make, clock):
    cache = make(ttl=10, stale_while_revalidate=20, fail_safe=50)
    cache.set("k", 1)
    clock.advance(59.9)
    assert len(cache) == 1
    clock.advance(0.1)
    assert len(cache) == 0


def test_a_remembered_failure_leaves_when_it_ends(make, clock):
    cache = make(negative_ttl=10)
    with pytest.raises(LookupError):
        cache.get_or_load("k", lambda: {}["k"])
    assert len(cache) == 1
    clock.advance(10)
    assert len(cache) == 0


def test_a_sweep_can_be_stopped_and_goes_on_where_it_stopped():
    store = MemoryStore(CacheOptions(ttl=10, max_entries=None))
    for number in range(2000):
        store.put(Entry(number, number, fresh_until=5.0))
    swept = []
    while len(store):
        swept.append(store.sweep(100.0, lambda: True))
    assert sum(swept) == 2000
    assert len(swept) > 4
    assert max(swept) <= 512


def test_an_entry_ends_at_its_very_moment():
    store = MemoryStore(CacheOptions())
    store.put(Entry("k", 1, fresh_until=5.0))
    assert store.sweep(4.999) == 0
    assert store.sweep(5.0) == 1


def test_entries_without_an_end_wait_nowhere():
    store = MemoryStore(CacheOptions())
    store.put(Entry("k", 1))
    assert store.expiring == 0
    assert store.sweep(1e12) == 0


def test_places_of_entries_that_were_replaced_do_not_pile_up():
    store = MemoryStore(CacheOptions(ttl=100))
    for number in range(20_000):
        end = 1000.0 - number / 100
        store.put(Entry("k", number, fresh_until=end))
    assert len(store) == 1
    assert store.expiring < 3000


def test_places_of_entries_that_were_removed_do_not_pile_up():
    store = MemoryStore(CacheOptions(ttl=100))
    for number in range(20_000):
        entry = Entry(number, number, fresh_until=1000.0 + number)
        store.put(entry)
        store.remove(entry)
    assert len(store) == 0
    assert store.expiring < 3000


def test_an_idle_entry_that_was_read_waits_for_its_later_end():
    store = MemoryStore(CacheOptions(idle_ttl=10))
    entry = ParticularEntry("k", 1, used=0.0, hard_until=FOREVER, fresh_until=0.0)
    store.put(entry)
    entry.used = 8.0
    assert store.sweep(10.0) == 0
    assert store.sweep(17.9) == 0
    assert store.sweep(18.0) == 1


def test_an_argument_whose_hash_changes_does_not_end_the_sweep_of_other_caches(until):
    class Fickle:
        hash = 1

        def __hash__(self):
            return self.hash

        def __eq__(self, other):
            return self is other

    with CacheManager() as caches:
        bad = caches.service("bad", ttl=0.1)
        f = bad.memoize()(lambda value: 1)
        f(Fickle())
        assert len(bad) == 1
        Fickle.hash = 2
        until(lambda: not bad._core.expiring)
        good = caches.service("good", ttl=0.01)
        value = Value()
        seen = weakref.ref(value)
        good.set("k", value)
        del value
        until(lambda: seen() is None)


def test_a_cache_that_nobody_holds_any_more_is_swept_no_more(until):
    caches = CacheManager()
    caches.service("made", ttl=60).set("k", 1)
    seen = weakref.ref(caches.find("made")._core)
    caches.close()
    del caches

    def gone():
        gc.collect()
        return seen() is None

    until(gone)


def test_a_keeper_frees_what_it_is_given_and_knows_what_is_left(until):
    keeper = Keeper()
    value = Value()
    seen = weakref.ref(value)
    keeper.notice()
    keeper.bury([{1: value}, [value], {value}, None], 1)
    del value
    until(lambda: seen() is None and keeper.backlog == 0)


def test_a_keeper_frees_many_small_things_between_two_naps(monkeypatch):
    keeper = Keeper()
    monkeypatch.setattr("cenote.keeper.WORK_SECONDS", 1e6)
    for _ in range(100):
        keeper.bury([{1: 1}], 1)
    keeper._free(None)
    assert keeper.backlog == 0


def test_whoever_stores_frees_some_when_more_waits_than_may(monkeypatch):
    monkeypatch.setattr("cenote.keeper.ASSIST_ABOVE", 10)
    keeper = Keeper()
    monkeypatch.setattr(keeper, "_start", lambda: None)
    keeper.bury([dict.fromkeys(range(100), 1)], 100)
    for _ in range(20):
        keeper.assist()
    assert keeper.backlog == 0
