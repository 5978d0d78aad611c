"""Previews of clears, and what became of the hit rate afterwards."""

from __future__ import annotations

import random

import pytest

from cenote import CacheManager
from cenote.errors import UnknownServiceError
from cenote.eviction import POLICIES


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


def test_a_cache_without_a_limit_is_not_forecast(traffic):
    endless = traffic.caches.service("endless", max_entries=None)
    traffic.cache = endless
    traffic.run(30)
    preview = traffic.caches.preview("endless")
    assert preview.forecast is None
    assert preview.sampled > 0
    assert preview.entry_seconds > 0
