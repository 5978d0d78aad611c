"""Why a key is not there, as far as anybody noted it."""

from __future__ import annotations

import pytest

from cenote import departures
from cenote.departures import FIRST_PLACES, MOST_PLACES, Departures, Fate
from cenote.testing import explore


@pytest.fixture
def why(cache, until):
    """Returns why a key is missing; what a clear took is noted in the background."""

    def ask(key, expected):
        until(lambda: cache.last_miss(key).why == expected)
        return cache.last_miss(key)

    return ask


def test_a_key_that_nobody_stored_was_never_loaded(cache, why):
    why("absent", "neverLoaded")


def test_a_clear_is_named_by_its_receipt(cache, why, clock):
    cache.set("k", 1)
    clock.advance(5)
    receipt = cache.clear().clear_id
    clock.advance(5)
    miss = why("k", "cleared")
    assert miss.clear_id == receipt
    assert receipt in miss.sentence
    assert miss.when.timestamp() == pytest.approx(clock.time() - 5)
    assert cache.last_miss("other").why == "neverLoaded"


def test_a_key_that_is_back_says_why_its_last_load_was_needed(cache, why, clock):
    cache.get_or_load("k", lambda: 1)
    receipt = cache.clear().clear_id
    why("k", "cleared")
    clock.advance(3)
    cache.get_or_load("k", lambda: 2)
    assert cache.last_miss("k").clear_id == receipt


def test_a_clear_of_everything_is_named_too(caches, cache, why):
    cache.set("k", 1)
    assert caches.clear_all().clear_id == why("k", "cleared").clear_id


def test_what_was_evicted_expired_invalidated_or_deleted_is_told_apart(make, clock, until):
    cache = make(max_entries=2, ttl=10)
    for key in "abcdef":
        cache.set(key, 1)
    assert cache.last_miss("a").why == "evicted"
    clock.advance(11)
    assert cache.last_miss("f").why == "expired"
    assert len(cache) == 0
    assert cache.last_miss("f").why == "expired"
    cache.set("t", 1, tags=["tag"])
    cache.invalidate_tags("tag")
    assert cache.last_miss("t").why == "invalidated"
    cache.set("d", 1)
    cache.delete("d")
    assert cache.last_miss("d").why == "invalidated"


def test_what_was_not_to_be_kept_and_what_failed_are_told_apart(cache):
    cache.get_or_load("k", lambda: 1, ttl=0)
    assert cache.last_miss("k").why == "notStored"
    with pytest.raises(ZeroDivisionError):
        cache.get_or_load("failed", lambda: 1 / 0)
    assert cache.last_miss("failed").why == "loadFailed"


def test_a_value_that_ended_in_place_has_expired(make, clock):
    cache = make(ttl=10, fail_safe=100)
    cache.get_or_load("k", lambda: 1)
    clock.advance(11)
    cache.get_or_load("k", lambda: 2)
    assert cache.last_miss("k").why == "expired"


def test_calls_of_memoized_functions_are_explained_too(cache, why):
    @cache.memoize
    def double(number):
        return 2 * number

    double(4)
    cache.clear()
    why(double.key(4), "cleared")
    assert cache.functions() == [double.key(4).partition("(")[0]]


def test_the_table_is_bounded_and_says_when_it_has_lost_something():
    # Numbers, since two texts in forty thousand may have the same 32 bits of a hash.
    departures = Departures(100.0)
    for number in range(10 * MOST_PLACES):
        departures.note(0, number, Fate.EVICTED, 200.0 + number)
    assert departures.lost
    assert len(departures._table) == MOST_PLACES
    newest = departures.find(0, 10 * MOST_PLACES - 1)
    assert newest == (Fate.EVICTED, 200.0 + 10 * MOST_PLACES - 1)
    found = [departures.find(0, number) for number in range(10 * MOST_PLACES)]
    assert 0 < sum(each is not None for each in found) <= MOST_PLACES + 10
    assert all(each is None or each.when == 200.0 + number for number, each in enumerate(found))


def test_a_table_that_holds_little_loses_nothing():
    departures = Departures(0.0)
    for number in range(1000):
        departures.note(1, number, Fate.EXPIRED, 5.0)
    assert all(departures.find(1, number) == (Fate.EXPIRED, 5.0) for number in range(1000))
    assert not departures.lost
    assert departures.find(0, 5) is None


def test_notes_go_on_while_another_thread_makes_the_table_larger():
    # Their hashes differ by the size of the table, so that they want the same place; the last one needs a larger table.
    crowd = [number * FIRST_PLACES for number in range(1, departures._NEIGHBOURS + 2)]
    beyond = 2 * FIRST_PLACES - 1

    def scenario():
        noted = Departures(0.0)
        for key in crowd[:-1]:
            noted.note(0, key, Fate.CLEARED, 1.0)

        def note(key):
            noted.note(0, key, Fate.CLEARED, 1.0)
            assert noted.find(0, crowd[0]).fate is Fate.CLEARED

        return [lambda: note(crowd[-1]), lambda: note(beyond)]

    explore(scenario, modules=[departures], opcodes=True)
