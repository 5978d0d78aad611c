"""Previews of clears, and what became of the hit rate afterwards."""

from __future__ import annotations

import random
import threading
from types import SimpleNamespace

import pytest

from cenote import CacheManager
from cenote.errors import UnknownServiceError
from cenote.eviction import POLICIES
from cenote.history import Recent
from cenote.recovering import Baseline, together, why_unknown
from cenote.rereads import Cohort, Rereads


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
        threads = SimpleNamespace(Thread=lambda **_: SimpleNamespace(start=bool), Event=threading.Event)
        monkeypatch.setattr("cenote.watching.threading", threads)
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


# The first seconds of a cache's life


def test_nothing_is_foretold_before_entries_were_watched_for_a_while(traffic):
    """Whenever it is asked: either nothing is known, with the reason, or the reloads are counted and not nought."""
    known = []
    for _ in range(60):
        traffic.run(1)
        preview = traffic.caches.preview("books")
        known.append(preview.forecast is not None)
        if preview.forecast is None:
            assert "not known yet" in preview.message
            assert preview.basis in preview.message
            assert "watched" in preview.basis or "read" in preview.basis
        else:
            assert preview.forecast.reloads > 10
            assert preview.basis == preview.forecast.basis
            assert preview.forecast.confidence == "poor" or "up to 2" not in preview.basis
    assert not any(known[:15])
    assert known[-1]
    assert known == sorted(known)


def test_a_short_watch_is_poor():
    assert baseline(sightings(500, 500, 20.0)).forecast().confidence == "poor"
    assert baseline(sightings(500, 500, 40.0)).forecast().confidence == "fair"


def baseline(sightings, *, reads=1000, hits=500, **more):
    recent = Recent(seconds=60.0, reads=reads, hits=hits)
    return Baseline(rereads=None if sightings is None else Rereads(sightings), entries=1000, recent=recent, **more)


def sightings(read, unread, watched):
    """Entries that were watched together: some were read again after a second, at a cost of 0.1 seconds."""
    cohort = Cohort(read + unread)
    for number in range(read + unread):
        kind = cohort.choose(0.0)
        if number < read:
            cohort.note(kind, 1.0, 0.1)
    cohort.reach = watched
    return [cohort]


@pytest.mark.parametrize(
    ("seen", "reads", "reason"),
    [
        (None, 1000, "blind"),
        ([], 1000, "blind"),
        (sightings(5, 5, 100.0), 0, "nothing was read in the last minute"),
        (sightings(5, 5, 3.0), 1000, "its entries were watched for 3 seconds, and 15 are the least"),
        (sightings(0, 9, 20.0), 1000, "of 9 entries that were watched none was read again within 20 seconds"),
        (sightings(5, 5, 20.0), 1000, None),
        (sightings(9, 0, 3.0), 1000, None),
    ],
)
def test_why_nothing_is_known_is_said(seen, reads, reason):
    told = baseline(seen, reads=reads, hits=reads // 2, blind="blind")
    assert told.unknown() == reason
    assert (told.forecast() is None) == (reason is not None) == (together([told]) is None)
    assert why_unknown([told]) == (reason or "nothing was read in the last minute")


def test_a_cache_that_is_not_hit_has_nothing_to_reload():
    told = baseline(sightings(0, 9, 20.0), hits=0)
    assert told.unknown() is None
    assert told.forecast().reloads == 0


def test_a_sum_says_of_how_many_caches_nothing_is_known():
    known, unknown = baseline(sightings(500, 500, 600.0)), baseline(None, reads=2000)
    unread = baseline(None, reads=0, hits=0)
    whole = together([known, unread])
    assert (whole.confidence, "more" in whole.basis) == ("good", False)
    part = together([known, unknown, known, unread])
    assert part.confidence == "poor"
    assert "1 more that are read are not in it" in part.basis
    assert part.reloads == 2 * whole.reloads
    assert why_unknown([unread, unknown]) == "its entries are not watched"
    assert why_unknown([]) == "nothing was read in the last minute"


# Soft clears


def test_a_soft_clear_is_previewed_with_what_is_loaded_again_behind_stale_copies(traffic):
    traffic.run(200)
    hard = traffic.caches.preview("books")
    soft = traffic.caches.preview("books", mode="soft")
    assert (hard.waits, soft.waits) == ("all", "first")
    assert "mark" in soft.message
    assert "one caller of each entry" in soft.message
    assert (soft.forecast.reloads, soft.forecast.curve) == (hard.forecast.reloads, hard.forecast.curve)


@pytest.fixture
def lenient(traffic):
    """Traffic on a cache that serves stale copies while it reloads, here at once."""
    traffic.cache = traffic.caches.service("lenient", max_entries=1500, stale_while_revalidate=1000)
    return traffic


def test_where_stale_copies_are_served_nobody_waits_and_the_hit_rate_stays(lenient):
    lenient.run(200)
    soft = lenient.caches.preview("lenient", mode="soft")
    assert soft.waits == "none"
    assert "no caller waits" in soft.message
    forecast = soft.forecast
    assert forecast.reloads == lenient.caches.preview("lenient").forecast.reloads > 100
    assert {rate for _, rate in forecast.curve} == {forecast.hit_rate_before}
    assert (forecast.seconds_to_90, forecast.seconds_to_95) == (0.0, 0.0)
    assert lenient.caches.preview(everything=True, mode="soft").waits == "first"


def test_what_comes_of_a_soft_clear_is_watched(lenient):
    lenient.run(700)
    clear = lenient.cache.clear(mode="soft")
    recovery = lenient.caches.recovery(clear.clear_id)
    lenient.run(610)
    assert recovery.over
    assert recovery.stale_served > 100
    assert recovery.reloads > 100
    early = [rate for end, rate in recovery.curve() if end < 20]
    assert sum(early) / len(early) > 0.8 * recovery.hit_rate_before
    assert recovery.expected.reloads == pytest.approx(recovery.reloads, rel=0.3)


def test_a_clear_of_a_part_is_not_watched_as_if_it_were_of_all(traffic):
    traffic.run(30)
    assert traffic.caches.recovery(traffic.cache.clear(prefix="k1").clear_id) is None
    assert traffic.caches.recovery(traffic.cache.clear(tags=["t"], mode="soft").clear_id) is None
