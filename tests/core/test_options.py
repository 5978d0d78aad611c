"""Options: each is refused by name when it cannot be meant, and does what it says."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from types import MappingProxyType

import pytest

from cenote import CacheOptions, ConfigurationError

NO_SECONDS = [0, -1, -0.5, float("nan"), float("inf"), "60", True, [1], timedelta(0), timedelta(-1)]
NO_SECONDS_OR_ZERO = [-1, -0.5, float("nan"), float("inf"), "60", True, None, [1]]
NO_COUNT = [0, -1, 1.5, "10", True, float("inf")]
NO_SHARE = [-0.1, 1, 1.5, float("nan"), "0.1", True]

REFUSED = [
    *[("ttl", value) for value in NO_SECONDS],
    *[("idle_ttl", value) for value in NO_SECONDS],
    *[("negative_ttl", value) for value in NO_SECONDS],
    *[("load_timeout", value) for value in NO_SECONDS],
    *[("stale_while_revalidate", value) for value in NO_SECONDS_OR_ZERO],
    *[("fail_safe", value) for value in NO_SECONDS_OR_ZERO],
    *[("fail_safe_throttle", value) for value in NO_SECONDS_OR_ZERO],
    *[("max_entries", value) for value in NO_COUNT],
    *[("max_bytes", value) for value in NO_COUNT],
    *[("ttl_jitter", value) for value in [*NO_SHARE, None]],
    *[("refresh_ahead", value) for value in [*NO_SHARE, 0, 0.0]],
    *[("weigher", value) for value in [5, "len", []]],
    *[("eviction", value) for value in ["fifo", "LRU", None, 5, ["lru"]]],
    *[("copy", value) for value in ["shallow", True, False, 0, 5, ["deep"]]],
    *[("negative_errors", value) for value in [None, 5, "LookupError", [LookupError], (int,), (BaseException,), int]],
]


@pytest.mark.parametrize(("option", "value"), REFUSED, ids=lambda value: repr(value)[:24])
def test_a_value_that_an_option_cannot_mean_is_refused_by_the_options_name(caches, option, value):
    with pytest.raises(ConfigurationError, match=option):
        caches.service("made", **{"ttl": 10, option: value} if option == "refresh_ahead" else {option: value})
    assert caches.services() == []


def test_an_option_that_there_is_not_is_refused_with_those_there_are(caches):
    with pytest.raises(ConfigurationError, match=r"'tll'; the options are ttl, .*max_entries"):
        caches.service("made", tll=5)


@pytest.mark.parametrize("options", [{"max_bytes": 10}, {"weigher": len}])
def test_bytes_need_both_a_limit_and_a_weigher(make, options):
    with pytest.raises(ConfigurationError, match="max_bytes and weigher"):
        make(**options)


def test_refresh_ahead_needs_a_ttl(make):
    with pytest.raises(ConfigurationError, match="refresh_ahead"):
        make(refresh_ahead=0.5)


def test_refresh_ahead_does_not_go_with_an_idle_ttl(make):
    with pytest.raises(ConfigurationError, match="refresh_ahead"):
        make(ttl=10, idle_ttl=5, refresh_ahead=0.5)


def test_durations_may_be_timedeltas():
    options = CacheOptions(ttl=timedelta(minutes=5), stale_while_revalidate=timedelta(seconds=30))
    assert (options.ttl, options.stale_while_revalidate) == (300.0, 30.0)


def test_one_error_type_may_be_given_without_a_tuple():
    assert CacheOptions(negative_errors=KeyError).negative_errors == (KeyError,)


def test_an_entry_is_fresh_for_the_ttl_of_its_cache(make, clock):
    cache = make(ttl=10)
    cache.set("k", 1)
    clock.advance(9.9)
    assert cache.get("k") == 1
    clock.advance(0.1)
    assert cache.get("k") is None


def test_a_jittered_ttl_is_shorter_by_at_most_its_share(make):
    cache = make(ttl=100, ttl_jitter=0.2)
    for number in range(200):
        cache.set(f"k{number}", 1)
    ends = [info.expires_in for info in cache.entries(limit=200).items]
    assert all(80 <= end <= 100 for end in ends)
    assert len(set(ends)) > 100
    assert max(ends) - min(ends) > 5


def test_an_entry_that_is_read_stays_and_an_idle_one_goes(make, clock):
    cache = make(idle_ttl=10)
    cache.set("read", 1)
    cache.set("idle", 1)
    f = cache.memoize(name="f")(lambda value: value)
    f(1)
    for _ in range(5):
        clock.advance(6)
        assert cache.get("read") == 1
        f(1)
    assert cache.get("idle") is None
    assert f.cache_info().hits == 5
    clock.advance(10)
    assert len(cache) == 0


def test_reads_do_not_prolong_an_entry_past_its_ttl(make, clock):
    cache = make(idle_ttl=10, ttl=25)
    cache.set("k", 1)
    for _ in range(4):
        clock.advance(6)
        assert cache.get("k") == 1
    clock.advance(1)
    assert cache.get("k") is None


@pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
def test_no_more_entries_are_held_than_asked_for(make, eviction):
    cache = make(max_entries=10, eviction=eviction)
    for number in range(100):
        cache.set(f"k{number}", number)
        assert len(cache) <= 10
    stats = cache.stats()
    assert (stats.current_size, stats.evictions, stats.max_size) == (10, 90, 10)


@pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
def test_an_entry_that_is_often_read_outlives_those_that_are_not(make, eviction):
    cache = make(max_entries=10, eviction=eviction)
    cache.set("often", 1)
    for number in range(100):
        cache.set(f"k{number}", number)
        assert cache.get("often") == 1


def test_a_cache_without_a_limit_evicts_nothing(make):
    cache = make(max_entries=None)
    for number in range(20_000):
        cache.set(f"k{number}", number)
    assert (len(cache), cache.stats().evictions, cache.stats().max_size) == (20_000, 0, None)


def test_memoized_calls_and_keys_share_the_limit(make):
    cache = make(max_entries=10)
    f = cache.memoize()(lambda value: value)
    for number in range(20):
        f(number)
        cache.set(f"k{number}", number)
    assert len(cache) == 10


@pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
def test_no_more_bytes_are_held_than_asked_for(make, eviction):
    cache = make(max_bytes=100, weigher=len, eviction=eviction)
    for number in range(50):
        cache.set(f"k{number}", "x" * (number % 30))
        held = sum(max(1, len(value)) for value in cache.get_many(cache.keys()).values())
        assert held == cache.stats().bytes <= 100


def test_a_value_that_is_larger_than_the_whole_cache_is_not_held_and_takes_the_older_one_along(make):
    cache = make(max_bytes=100, weigher=len)
    cache.set("k", "small")
    cache.set("other", "x")
    cache.set("k", "x" * 101)
    assert cache.get("k") is None
    assert cache.get("other") == "x"
    assert cache.get_or_load("big", lambda: "x" * 200) == "x" * 200
    assert "big" not in cache


def test_a_value_that_grows_makes_room_for_itself(make):
    cache = make(max_bytes=10, weigher=len, eviction="lru")
    cache.set("a", "xxx")
    cache.set("b", "xxx")
    cache.set("b", "x" * 9)
    assert cache.stats().bytes == 9
    assert cache.keys() == ["b"]


@pytest.mark.parametrize("size", [-1, 1.5, None, "5", True])
def test_a_weigher_that_returns_no_number_of_bytes_is_told_so(make, size):
    cache = make(max_bytes=10, weigher=lambda value: size)
    with pytest.raises(ConfigurationError, match="weigher"):
        cache.set("k", 1)
    assert len(cache) == 0


def test_a_weigher_that_raises_fails_the_load_and_leaves_no_flight(make):
    cache = make(max_bytes=10, weigher=len)
    with pytest.raises(TypeError, match="no len"):
        cache.get_or_load("k", lambda: 5)
    assert not cache._core.state.flights


def test_values_are_shared_unless_asked_otherwise(make):
    cache = make()
    value = cache.get_or_load("k", lambda: [1])
    value.append(2)
    assert cache.get("k") == [1, 2]


@pytest.mark.parametrize(
    "read",
    [
        lambda cache: cache.get("k"),
        lambda cache: cache.get_or_load("k", lambda: {"list": [1]}),
        lambda cache: cache.get_many(["k"])["k"],
        lambda cache: cache.get_or_load_many(["k"], dict)["k"],
        lambda cache: asyncio.run(cache.aget_or_load("k", lambda: {"list": [1]})),
    ],
    ids=["get", "get_or_load", "get_many", "get_or_load_many", "aget_or_load"],
)
def test_with_deep_copies_each_caller_has_a_value_of_his_own(make, read):
    cache = make(copy="deep")
    stored = {"list": [1]}
    cache.set("k", stored)
    stored["list"].append("changed by who stored it")
    for _ in range(2):
        value = read(cache)
        assert value == {"list": [1]}
        value["list"].append("changed by a reader")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_with_deep_copies_whoever_loads_has_a_value_of_his_own_too(make, gate, spawn, until, asynchronous):
    cache = make(copy="deep")

    def load():
        if asynchronous:
            return asyncio.run(cache.aget_or_load("k", lambda: gate.hold([1])))
        return cache.get_or_load("k", lambda: gate.hold([1]))

    loaders = [spawn(load) for _ in range(3)]
    until(lambda: cache.stats().coalesced == 2)
    gate.open()
    values = [loader.result() for loader in loaders]
    for value in values:
        assert value == [1]
        value.append(2)
    assert cache.get("k") == [1]


def test_memoized_hits_are_copies_too(make):
    f = make(copy="deep").memoize()(lambda: [1])
    f().append(2)
    f().append(3)
    assert f() == [1]


def test_frozen_values_are_read_only_all_the_way_down_for_everybody(make):
    cache = make(copy="freeze")
    first = cache.get_or_load("k", lambda: {"list": [1, {2}], "dict": {}})
    assert first == {"list": (1, frozenset({2})), "dict": {}}
    assert isinstance(first, MappingProxyType)
    assert cache.get("k") is first
    assert cache.get_or_load("k", dict) is first
    with pytest.raises(TypeError):
        first["new"] = 1
    with pytest.raises(TypeError):
        first["dict"]["new"] = 1


def test_frozen_values_do_not_change_with_what_they_were_made_of(make):
    cache = make(copy="freeze")
    value = {"list": [1]}
    cache.set("k", value)
    value["list"].append(2)
    value["more"] = 1
    assert cache.get("k") == {"list": (1,)}


def test_a_value_that_cannot_be_copied_fails_its_load(make):
    cache = make(copy="deep")
    with pytest.raises(TypeError, match="lock"):
        cache.get_or_load("k", threading.Lock)
    assert not cache._core.state.flights
