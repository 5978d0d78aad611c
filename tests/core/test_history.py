"""What caches did lately: samples of their figures, in bounded memory."""

from __future__ import annotations

import gc
import math
import weakref

import pytest

from cenote import CacheManager, CacheStats, LoadTimes
from cenote.history import COARSE_POINTS, POINTS, History
from cenote.loadtimes import bucket_of
from cenote.testing import FakeClock


@pytest.fixture
def history(clock):
    made = History(clock)
    made.sample({"books": CacheStats(hits=1000, misses=1000, loads=1000)})
    return made


def take(history, clock, stats, seconds=10.0):
    clock.advance(seconds)
    history.sample({"books": stats})


def test_a_history_begins_with_its_first_sample_whatever_was_counted_before(history, clock):
    take(history, clock, CacheStats(hits=1090, misses=1010, loads=1005, current_size=7))
    series = history.series("books")
    assert series.reads_per_second == [10.0]
    assert series.hit_rate == [90.0]
    assert series.loads_per_second == [0.5]
    assert series.entries == [7.0]
    assert series.end == clock.time()


def test_steps_without_reads_have_no_hit_rate_and_steps_without_loads_no_load_time(history, clock):
    take(history, clock, CacheStats(hits=1000, misses=1000, loads=1000, current_size=7))
    series = history.series("books")
    assert (series.reads_per_second, series.hit_rate, series.load_p50) == ([0.0], [None], [None])


def test_steps_in_which_nobody_looked_are_unknown(history, clock):
    take(history, clock, CacheStats(hits=1100, misses=1000, loads=1000), seconds=35)
    series = history.series("books")
    assert series.hit_rate == [None, None, 100.0]
    assert series.reads_per_second[:2] == [None, None]
    assert series.reads_per_second[2] == pytest.approx(100 / 35, abs=0.001)


def test_ten_minutes_and_a_day_are_kept_and_no_more(history, clock):
    hits = 1000
    for _ in range(31 * COARSE_POINTS):
        hits += 10
        take(history, clock, CacheStats(hits=hits, misses=1000, loads=1000))
    fine, coarse = history.series("books"), history.series("books", "24h")
    assert fine.reads_per_second == [1.0] * POINTS
    assert coarse.reads_per_second == [1.0] * COARSE_POINTS
    assert coarse.step == 300.0


def test_two_who_sample_at_once_make_one_point(history, clock):
    take(history, clock, CacheStats(hits=1010, misses=1000))
    take(history, clock, CacheStats(hits=1010, misses=1000), seconds=0)
    assert len(history.series("books").hit_rate) == 1


def test_the_last_minute_goes_up_to_now(history, clock):
    for step in range(1, 9):
        take(history, clock, CacheStats(hits=1000 + 100 * step, misses=1000))
    clock.advance(4)
    recent = history.recent("books", CacheStats(hits=1810, misses=1010))
    assert (recent.reads, recent.hits, recent.seconds) == (620, 610, 64.0)
    assert recent.hit_rate == 98.39


def test_all_caches_together_are_a_sum(clock):
    history = History(clock)
    history.sample({None: CacheStats(), "a": CacheStats()})
    clock.advance(10)
    history.sample({None: CacheStats(hits=10), "a": CacheStats(misses=30), "b": CacheStats(hits=60)})
    assert history.series(None, total=True).hit_rate == [70.0]
    assert history.series("b").reads_per_second == [6.0]


def test_a_cache_that_is_gone_is_forgotten(history, clock):
    clock.advance(10)
    history.sample({})
    assert history.series("books").hit_rate == [None]


def test_counts_that_begin_anew_make_no_negative_rates(history, clock):
    take(history, clock, CacheStats(hits=10, misses=5))
    assert history.series("books").reads_per_second == [0.0]


@pytest.mark.parametrize(("seconds", "bound"), [(0.0, 1e-4), (1e-4, 1e-4), (0.003, 0.005), (100.0, 100.0)])
def test_a_load_is_counted_below_the_first_bound_that_it_does_not_pass(seconds, bound):
    assert LoadTimes.BOUNDS[bucket_of(seconds)] == bound


def test_quantiles_lie_in_the_bucket_of_the_load_that_they_name():
    counts = [0] * 20
    for seconds, loads in ((0.003, 90), (0.3, 9), (500.0, 1)):
        counts[bucket_of(seconds)] += loads
    times = LoadTimes.of(counts)
    assert 0.002 < times.quantile(0.5) <= 0.005
    assert 0.2 < times.quantile(0.95) <= 0.5
    assert times.quantile(1.0) == 100.0
    assert LoadTimes().quantile(0.5) is None
    assert (times - times).total == 0
    assert (times + times).total == 200


def test_caches_time_their_loads(caches, cache, clock):
    def slow():
        clock.advance(0.03)
        return 1

    for number in range(4):
        cache.get_or_load(f"k{number}", slow)
    token = cache.fill("filled")
    clock.advance(7)
    token.set(1)
    times = cache.stats().load_times
    assert times.total == 5
    assert 0.02 < times.quantile(0.5) <= 0.05
    assert 5 < times.quantile(1.0) <= 10
    assert caches.stats().services["etherforce"].load_times == times


def test_a_manager_that_is_watched_has_a_history_of_every_cache(clock):
    with CacheManager(clock=clock) as caches:
        assert not caches.watched
        caches.sample()
        cache = caches.service("books")
        cache.get("absent")
        clock.advance(10)
        caches.sample()
        assert caches.history.series("books").hit_rate == [0.0]
        assert caches.history.series(None).hit_rate == [None]


def test_the_thread_of_a_history_keeps_no_manager_alive():
    caches = CacheManager(clock=FakeClock())
    caches.watch()
    caches.watch()
    assert caches.watched
    gone = weakref.ref(caches)
    del caches
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
    assert gone() is None


def test_closing_ends_the_history(clock):
    caches = CacheManager(clock=clock)
    caches.watch()
    caches.close()
    assert not caches.watched


def test_figures_of_few_caches_are_always_those_of_now(caches, cache):
    caches.figures(recent=True)
    cache.get("absent")
    assert caches.figures(recent=True)["etherforce"].misses == 1
    assert not math.isnan(caches.uptime)
