"""Previews of clears, and what became of the hit rate afterwards."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from cenote import CacheManager
from cenote.errors import UnknownServiceError
from cenote.eviction import POLICIES
from cenote.forecast import forecast, recovered
from cenote.probing import Probes
from cenote.rereads import HORIZON, step_ends
from cenote.testing import FakeClock


class Traffic:
    """Reads at fixed rates on a clock that stands still between them, and a manager that looks as its thread does."""

    def __init__(self, caches, cache, clock, keys=2000, seed=1):
        self.caches, self.cache, self.clock = caches, cache, clock
        self.dice = random.Random(seed)
        self.names = [f"k{number}" for number in range(keys)]
        self.weights = [1 / (number + 1) for number in range(keys)]
        self.due = 0.0

    def load(self):
        self.clock.advance(0.001)
        return 1

    def run(self, seconds, rate=50):
        for name in self.dice.choices(self.names, self.weights, k=int(seconds * rate)):
            self.clock.advance(1 / rate)
            if self.clock.monotonic() >= self.due:
                self.due = self.clock.monotonic() + max(0.001, self.caches.look())
            self.cache.get_or_load(name, self.load)


@pytest.fixture
def traffic(clock, monkeypatch):
    with CacheManager(clock=clock) as caches:
        cache = caches.service("books", max_entries=1500, weigher=None)
        made = Traffic(caches, cache, clock)
        # The thread stands aside: the test looks when something is due.
        monkeypatch.setattr("cenote.watching.threading.Thread", lambda **_: type("T", (), {"start": lambda _: None})())
        monkeypatch.setattr("cenote.probing.Random", lambda: random.Random(5))
        caches.watch()
        yield made


def test_a_preview_says_what_a_clear_would_take_without_taking_it(caches, cache):
    cache.set_many({f"a-{number}": 1 for number in range(30)}, tags=["t"])
    cache.set_many({f"b-{number}": 1 for number in range(10)})
    whole = caches.preview("etherforce")
    assert (whole.entries, whole.exact, len(whole.items)) == (40, True, 20)
    assert set(whole.items) <= set(cache.keys())
    assert caches.preview("etherforce", tags=["t"]).entries == 30
    assert caches.preview("etherforce", prefix="b-").entries == 10
    assert set(caches.preview("etherforce", prefix="b-").items) <= {f"b-{number}" for number in range(10)}
    assert caches.preview(everything=True).entries == 40
    assert len(cache) == 40
    assert caches.audit.events() == []


def test_what_nobody_watched_has_no_forecast(caches, cache):
    cache.set("k", 1)
    preview = caches.preview("etherforce")
    assert preview.forecast is None
    assert "not known" in preview.message
    with pytest.raises(UnknownServiceError):
        caches.preview("nobody")


def test_what_is_held_is_valued_at_its_load_times(caches, cache, clock):
    for number in range(10):
        cache.get_or_load(f"k{number}", lambda: clock.advance(0.5))
    assert caches.preview("etherforce").entry_seconds == pytest.approx(5.0)


def test_a_preview_of_many_entries_is_told_from_a_sample(caches, clock):
    cache = caches.service("large", max_entries=50_000)
    cache.set_many({f"{number % 4}-{number}": 1 for number in range(30_000)})
    preview = caches.preview("large", prefix="0-")
    assert not preview.exact
    assert preview.entries == pytest.approx(7500, rel=0.35)
    assert preview.sampled <= 1000


def test_a_forecast_comes_true(traffic):
    """The traffic behind the clear is like the traffic before, so the forecast must be near what comes."""
    traffic.run(700)
    preview = traffic.caches.preview("books")
    assert preview.forecast is not None
    clear = traffic.cache.clear()
    recovery = traffic.caches.recovery(clear.clear_id)
    assert recovery.expected.reload_seconds == pytest.approx(preview.forecast.reload_seconds, rel=0.05)
    traffic.run(610)
    assert recovery.over
    assert recovery.expected.reloads == pytest.approx(recovery.reloads, rel=0.25)
    assert recovery.seconds_to(0.9) is not None
    assert recovery.expected.seconds_to_90 == pytest.approx(recovery.seconds_to(0.9), rel=0.5)
    assert recovery.hit_rate_before == pytest.approx(recovery.expected.hit_rate_before)


@pytest.mark.parametrize("limit", [1000, 1500])
def test_the_forecast_of_a_cache_that_evicts_comes_true(limit):
    """Its twin, which gets the same reads and is not cleared, says what would have been without the clear."""

    def replay(*, clear):
        clock, names, dice = FakeClock(), [f"k{number}" for number in range(3000)], random.Random(2)
        weights = [1 / (number + 1) for number in range(3000)]
        found, served, hits, due = None, [], 0, 0.0
        with CacheManager(clock=clock) as caches:
            cache = caches.service("books", max_entries=limit)
            probes = Probes(cache._core, random.Random(3))
            for number, name in enumerate(dice.choices(names, weights, k=65_000)):
                clock.advance(0.02)
                if clock.monotonic() >= due:
                    due = probes.step()
                if number == 35_000:
                    rate = 100 * (hits - served[number - 3000]) / 3000
                    found = forecast(probes.count(), entries=len(cache), reads_per_second=50.0, hit_rate=rate)
                    if clear:
                        cache.clear()
                if cache.get(name) is None:
                    cache.set(name, 1)
                else:
                    hits += 1
                served.append(hits)
        return found, served

    expected, cleared = replay(clear=True)
    _, whole = replay(clear=False)
    lost = (whole[-1] - whole[34_999]) - (cleared[-1] - cleared[34_999])
    assert expected.reloads == pytest.approx(lost, rel=0.2)
    at = [34_999 + int(50 * end) for end in (0.0, *step_ends())]
    usual = [float(whole[b] - whole[a]) for a, b in pairwise(at)]
    curve = [
        (end, 100 * (cleared[b] - cleared[a]) / all_hits)
        for end, all_hits, (a, b) in zip(step_ends(), usual, pairwise(at), strict=True)
    ]
    assert expected.seconds_to_90 == pytest.approx(recovered(curve, 90.0, usual), rel=0.35)


def test_the_hottest_keys_are_those_that_are_read_most(traffic):
    traffic.run(300)
    ranks = [int(hot.key[1:]) for hot in traffic.caches.hot_keys("books", 5)]
    assert len(ranks) == 5
    # A key that was read just when it was looked at may pass for one until it is looked at again.
    assert sorted(ranks)[3] < 20


def test_a_clear_ends_what_was_watched_and_holds_no_value(traffic):
    traffic.run(60)
    traffic.cache.clear()
    traffic.caches.look()
    probes = traffic.caches._probes["books"]
    assert all(not batch.watching for batch in probes._batches[:-1])
    assert all(not hunt.watching for hunt in probes._hunts[:-1])


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_entries_are_picked_alike_wherever_they_stand(caches, policy):
    cache = caches.service(f"p-{policy}", max_entries=100, eviction=policy)
    for number in range(100):
        cache.set(f"k{number}", 1)
    for _ in range(3):
        for number in range(0, 100, 2):
            cache.get(f"k{number}")
    for number in range(100, 120):
        cache.set(f"k{number}", 1)
    core = cache._core
    dice = random.Random(4)
    counts = {}
    for _ in range(40_000):
        entry = core.state.store.policy.pick(dice)
        if entry is not None:
            counts[entry.key] = counts.get(entry.key, 0) + 1
    assert set(counts) == set(cache.keys())
    mean = sum(counts.values()) / len(counts)
    assert all(0.6 * mean < count < 1.4 * mean for count in counts.values())


def looked_at(cache, clock, between):
    """What became of the entries that were chosen first, when something happens after a second."""
    cache.set_many({f"k{number}": number for number in range(1600)})
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
    cohort, read = looked_at(cache, clock, lambda keys: cache.get_many(keys[:800]))
    assert cohort.held == 1600
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


def test_a_cache_without_a_limit_is_not_forecast(traffic):
    endless = traffic.caches.service("endless", max_entries=None)
    traffic.cache = endless
    traffic.run(30)
    preview = traffic.caches.preview("endless")
    assert preview.forecast is None
    assert preview.sampled > 0
    assert preview.entry_seconds > 0
