"""Statistics: exact, under threads too."""

from __future__ import annotations

import random
import sys
import threading

import pytest

from cenote import CacheStats


def test_figures_of_a_cache_that_nobody_used_are_zero(cache):
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.current_size, stats.evictions) == (0, 0, 0, 0)
    assert (stats.hit_rate, stats.miss_rate, stats.mean_load_ms, stats.efficiency) == (0, 0, 0, 0)
    assert stats.bytes is None
    assert stats.max_size == 10_000


def test_rates_are_percents_with_two_decimals():
    stats = CacheStats(hits=234, misses=12)
    assert (stats.hit_rate, stats.miss_rate) == (95.12, 4.88)
    assert CacheStats(hits=1).hit_rate == 100.0
    assert CacheStats(misses=3).miss_rate == 100.0
    assert CacheStats(hits=1, misses=2).hit_rate + CacheStats(hits=1, misses=2).miss_rate == 100.0


def test_saved_time_values_hits_at_the_mean_time_of_the_loads(cache, clock):
    cache.get_or_load("a", lambda: clock.advance(2))
    cache.get_or_load("b", lambda: clock.advance(4))
    for _ in range(3):
        cache.get("a")
    stats = cache.stats()
    assert (stats.load_seconds, stats.mean_load_ms, stats.saved_seconds) == (6, 3000, 9)
    assert stats.efficiency == 60.0


def test_a_slow_load_does_not_revalue_the_hits_before_it(cache, clock):
    cache.get_or_load("a", lambda: clock.advance(1))
    for _ in range(10):
        cache.get("a")
    cache.get_or_load("b", lambda: clock.advance(99))
    assert cache.stats().saved_seconds == 10
    cache.get("b")
    assert cache.stats().saved_seconds == 60


def test_hits_on_what_was_set_before_any_load_save_nothing(cache, clock):
    cache.set("a", 1)
    cache.get("a")
    cache.get_or_load("b", lambda: clock.advance(5))
    assert cache.stats().saved_seconds == 0


def test_each_function_is_valued_at_its_own_load_time(cache, clock):
    slow = cache.memoize(name="slow")(lambda: clock.advance(10))
    quick = cache.memoize(name="quick")(lambda: clock.advance(1))
    slow()
    quick()
    slow()
    quick()
    quick()
    assert cache.stats().saved_seconds == 12


def test_every_way_to_leave_is_counted_once(make, clock):
    cache = make(max_entries=10, eviction="lru")
    for number in range(15):
        cache.set(f"k{number}", 1, tags=["t"], ttl=100)
    cache.delete("k14")
    cache.invalidate_tags("t")
    cache.set("a", 1, ttl=1)
    cache.set("b", 1)
    clock.advance(1)
    stats = cache.stats()
    assert (stats.evictions, stats.invalidations, stats.expirations, stats.current_size) == (5, 10, 1, 1)


def test_statistics_survive_a_clear(cache):
    cache.get_or_load("k", lambda: 1)
    cache.get("k")
    cache.clear()
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.invalidations, stats.current_size) == (1, 1, 1, 1, 0)


@pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
def test_figures_are_exact_when_eight_threads_hammer_a_cache(make, spawn, eviction):
    cache = make(max_entries=200, eviction=eviction)
    f = cache.memoize(name="f")(lambda value: value)
    start = threading.Barrier(8, timeout=20)
    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def hammer(seed):
        chance = random.Random(seed)
        reads = 0
        start.wait()
        for _ in range(1500):
            key = f"k{chance.randrange(300)}"
            match chance.randrange(6):
                case 0:
                    cache.get(key)
                    reads += 1
                case 1 | 2:
                    cache.get_or_load(key, lambda: 1)
                    reads += 1
                case 3:
                    f(chance.randrange(100))
                    reads += 1
                case 4:
                    cache.delete(key)
                case 5:
                    if chance.randrange(100) == 0:
                        cache.clear()
        return reads

    try:
        threads = [spawn(hammer, seed) for seed in range(8)]
        reads = sum(thread.result() for thread in threads)
    finally:
        sys.setswitchinterval(switches)
    stats = cache.stats()
    assert stats.hits + stats.misses == reads
    assert stats.current_size == len(cache) == len(cache.keys())
    # A load whose key was invalidated meanwhile is counted, but its value was never stored.
    left = stats.current_size + stats.evictions + stats.invalidations + stats.expirations
    assert left <= stats.loads
    assert not cache._core.state.flights


def test_every_entry_is_accounted_for_when_eight_threads_store_and_remove(make, spawn):
    cache = make(max_entries=100)
    start = threading.Barrier(8, timeout=20)
    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def hammer(number):
        start.wait()
        for turn in range(1000):
            cache.set(f"{number}:{turn}", turn)
            if turn % 3 == 0:
                cache.delete(f"{number}:{turn}")
            if turn % 400 == 0:
                cache.clear()

    try:
        for thread in [spawn(hammer, number) for number in range(8)]:
            thread.result()
    finally:
        sys.setswitchinterval(switches)
    stats = cache.stats()
    assert stats.current_size + stats.evictions + stats.invalidations == 8000


def test_hits_of_generated_wrappers_are_exact_under_threads(cache, spawn):
    f = cache.memoize()(lambda value: value)
    f(1)
    start = threading.Barrier(8, timeout=20)
    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def hammer():
        start.wait()
        for _ in range(20_000):
            f(1)

    try:
        for thread in [spawn(hammer) for _ in range(8)]:
            thread.result()
    finally:
        sys.setswitchinterval(switches)
    assert f.cache_info().hits == 160_000
    assert cache.stats().hits == 160_000


def test_hits_of_get_are_exact_under_threads(cache, spawn):
    cache.set("k", 1)
    start = threading.Barrier(8, timeout=20)
    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def hammer():
        start.wait()
        for _ in range(10_000):
            cache.get("k")
            cache.get("none")

    try:
        for thread in [spawn(hammer) for _ in range(8)]:
            thread.result()
    finally:
        sys.setswitchinterval(switches)
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (80_000, 80_000)


@pytest.fixture
def no_gil(monkeypatch):
    """Has hits counted as they are where no GIL keeps threads apart: under the lock."""
    for module in ("figures", "operations", "signature"):
        monkeypatch.setattr(f"cenote.{module}.GIL", False)


@pytest.mark.usefixtures("no_gil")
def test_hits_are_counted_under_the_lock_where_there_is_no_gil(cache, spawn):
    @cache.memoize
    def double(number: int) -> int:
        return 2 * number

    double(1)
    cache.set("k", 1)

    def read():
        for _ in range(2000):
            double(1)
            cache.get("k")

    for thread in [spawn(read) for _ in range(4)]:
        thread.result()
    assert double.cache_info()[:2] == (8000, 1)
    assert cache.stats().hits == 16_000
