"""What is seen of entries that are chosen at random, and what is foretold from it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from cenote import CacheManager
from cenote.forecast import forecast, recovered
from cenote.probing import Probes
from cenote.rereads import HORIZON, step_ends
from cenote.testing import FakeClock


def looked_at(cache, clock, between):
    """What became of the entries that were chosen first, when something happens after a second."""
    cache.set_many({f"k{number}": number for number in range(800)})
    probes = Probes(cache._core, random.Random(1))
    probes.step()
    clock.advance(1.0)
    between(list(cache.keys()))
    clock.advance(1.0)
    probes.step()
    clock.advance(4.0)
    probes.step()
    cohort = probes._batches[0].cohort
    return cohort, sum(map(sum, cohort.read))


def test_a_read_is_seen_and_what_was_not_read_is_watched_on(cache, clock):
    cohort, read = looked_at(cache, clock, lambda keys: cache.get_many(keys[:400]))
    assert cohort.held == 800
    assert sum(cohort.chosen) == 100
    assert 30 < read < 70
    assert cohort.reach == pytest.approx(6.0)


def test_what_was_loaded_again_before_it_was_read_is_not_read_again(cache, clock):
    """It would have been loaded without the clear, too."""

    def renew(keys):
        cache.set_many(dict.fromkeys(keys, 2))
        clock.advance(1.0)
        probes = cache._core.seen_hot.__self__
        probes.step()
        cache.get_many(keys)

    cohort, read = looked_at(cache, clock, renew)
    assert (sum(cohort.chosen), read) == (100, 0)


@pytest.mark.parametrize("loaded", [True, False])
def test_only_a_load_that_the_end_made_necessary_is_put_off(caches, clock, loaded):
    """What is set in between is newer with a clear and without it, and nothing is saved."""
    cache = caches.service("short", max_entries=2000, ttl=20.0)
    keys = [f"k{number}" for number in range(800)]

    def load():
        for key in keys:
            cache.get_or_load(key, lambda: clock.advance(0.0001))

    load()
    probes = Probes(cache._core, random.Random(1))
    probes.step()
    cache.get_many(keys)
    clock.advance(5.0)
    probes.step()
    clock.advance(17.0)
    cache._core.sweep()
    if loaded:
        load()
    else:
        cache.set_many(dict.fromkeys(keys, 2))
    clock.advance(3.0)
    probes.step()
    cohort = probes._batches[0].cohort
    assert sum(map(sum, cohort.read)) == 100
    assert (min(cohort.later) < -50) is loaded


def test_that_entries_which_are_gone_are_never_read_is_seen_as_long_as_others_are_watched(cache, clock):
    cohort, read = looked_at(cache, clock, cache.delete_many)
    assert (read, cohort.reach) == (0, pytest.approx(6.0))
    clock.advance(HORIZON)
    cache._core.seen_hot.__self__.step()
    assert cohort.reach >= HORIZON


@pytest.mark.parametrize(("policy", "saves"), [("s3fifo", True), ("sieve", False)])
def test_keys_that_come_back_tell_what_room_would_save(caches, clock, policy, saves):
    """Three hundred keys take turns in a cache of two hundred: each comes back after a hundred others were evicted."""
    cache = caches.service("turns", max_entries=200, eviction=policy)
    probes = Probes(cache._core, random.Random(1))
    for number in range(6000):
        clock.advance(0.1)
        cache.get_or_load(f"k{number % 300}", lambda: 1)
        if number % 10 == 0:
            probes.step()
    room = probes.count().room
    assert (room is not None and room.saved(600.0) > 100) is saves
    assert room is None or room.saved(5.0) == 0.0


@pytest.mark.parametrize(("policy", "share"), [("s3fifo", 0.005), ("sieve", 0.0)])
def test_watching_costs_no_hits(policy, share):
    def hits(*, watched):
        clock, found = FakeClock(), 0
        names = random.Random(6).choices(range(2000), [1 / (number + 1) for number in range(2000)], k=20_000)
        with CacheManager(clock=clock) as caches:
            cache = caches.service("books", max_entries=200, eviction=policy)
            probes = Probes(cache._core, random.Random(7))
            for name in map(str, names):
                clock.advance(0.05)
                if watched:
                    probes.step()
                if cache.get(name) is None:
                    cache.set(name, 1)
                else:
                    found += 1
        return found

    assert hits(watched=True) == pytest.approx(hits(watched=False), rel=share)


def test_probing_changes_no_entry_but_its_count(caches, cache):
    cache.set_many({f"k{number}": number for number in range(200)})
    for number in range(200):
        for _ in range(5):
            cache.get(f"k{number}")
    before = {key: cache.explain(key) for key in list(cache.keys())}
    Probes(cache._core, random.Random(1)).step()
    for key, info in before.items():
        after = cache.explain(key)
        assert (after.state, after.birth, after.expires_in) == (info.state, info.birth, info.expires_in)
        assert info.reads - 1 <= after.reads <= info.reads
    assert cache.get_many(before) == {f"k{number}": number for number in range(200)}


def replay(*, limit, clear, ttl=None, reads=65_000):
    """Reads at random, cleared after 700 seconds or not; return the forecast, and the hits until each read."""
    clock, names, dice = FakeClock(), [f"k{number}" for number in range(3000)], random.Random(2)
    weights = [1 / (number + 1) for number in range(3000)]
    found, served, hits, due = None, [], 0, 0.0
    with CacheManager(clock=clock) as caches:
        cache = caches.service("books", max_entries=limit, ttl=ttl)
        probes = Probes(cache._core, random.Random(3))
        for number, name in enumerate(dice.choices(names, weights, k=reads)):
            clock.advance(0.02)
            if clock.monotonic() >= due:
                due = probes.step()
            if number % 25 == 0:
                # As the keeper does.
                cache._core.sweep()
            if number == 35_000:
                rate = 100 * (hits - served[number - 3000]) / 3000
                found = forecast(probes.count(), entries=len(cache), reads_per_second=50.0, hit_rate=rate)
                if clear:
                    cache.clear()
            if cache.get(name) is None:
                cache.get_or_load(name, lambda: clock.advance(0.001) or 1)
            else:
                hits += 1
            served.append(hits)
    return found, served


@pytest.mark.parametrize("ttl", [30.0, 120.0, 250.0])
def test_the_forecast_of_a_cache_whose_entries_end_comes_true(ttl):
    expected, cleared = replay(limit=5000, clear=True, ttl=ttl)
    _, whole = replay(limit=5000, clear=False, ttl=ttl)
    lost = (whole[-1] - whole[34_999]) - (cleared[-1] - cleared[34_999])
    assert expected.reloads == pytest.approx(lost, rel=0.35)


@pytest.mark.parametrize("limit", [1000, 1500])
def test_the_forecast_of_a_cache_that_evicts_comes_true(limit):
    """Its twin, which gets the same reads and is not cleared, says what would have been without the clear."""
    expected, cleared = replay(limit=limit, clear=True)
    _, whole = replay(limit=limit, clear=False)
    lost = (whole[-1] - whole[34_999]) - (cleared[-1] - cleared[34_999])
    assert expected.reloads == pytest.approx(lost, rel=0.2)
    at = [34_999 + int(50 * end) for end in (0.0, *step_ends())]
    usual = [float(whole[b] - whole[a]) for a, b in pairwise(at)]
    curve = [
        (end, 100 * (cleared[b] - cleared[a]) / all_hits)
        for end, all_hits, (a, b) in zip(step_ends(), usual, pairwise(at), strict=True)
    ]
    assert expected.seconds_to_90 == pytest.approx(recovered(curve, 90.0, usual), rel=0.35)
