"""Stale values, served while they are reloaded or because their reload failed, and failures that are remembered."""

from __future__ import annotations

import asyncio
import threading

import pytest


class Loader:
    """Counts its calls, and returns their number or raises."""

    def __init__(self):
        self.calls = 0
        self.failing = False
        self.done = threading.Event()

    def __call__(self):
        self.calls += 1
        try:
            if self.failing:
                raise LookupError(f"call {self.calls}")
            return self.calls
        finally:
            self.done.set()


def test_a_stale_value_is_served_while_it_is_reloaded_in_the_background(make, clock, until):
    cache = make(ttl=10, stale_while_revalidate=20)
    load = Loader()
    assert cache.get_or_load("k", load) == 1
    clock.advance(29.9)
    assert cache.get_or_load("k", load) == 1
    until(lambda: cache.get("k") == 2)
    assert load.calls == 2
    assert cache.stats().stale_served >= 1


def test_past_its_stale_window_a_value_is_loaded_in_the_foreground(make, clock):
    cache = make(ttl=10, stale_while_revalidate=20)
    load = Loader()
    cache.get_or_load("k", load)
    clock.advance(30)
    assert cache.get_or_load("k", load) == 2


def test_a_stale_value_that_nobody_reloads_is_not_served_to_a_caller_without_a_loader(make, clock):
    cache = make(ttl=10, stale_while_revalidate=20)
    cache.set("k", 1)
    clock.advance(15)
    assert cache.get("k") is None
    assert cache.explain("k").state == "stale"


async def test_a_stale_value_is_served_to_tasks_while_a_task_reloads_it(make, clock):
    cache = make(ttl=10, stale_while_revalidate=20)
    release = asyncio.Event()

    async def load():
        await release.wait()
        return "new"

    await cache.aset("k", "old")
    clock.advance(15)
    assert await asyncio.gather(*(cache.aget_or_load("k", load) for _ in range(3))) == ["old"] * 3
    release.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await cache.aget("k") == "new"


def test_a_background_reload_that_fails_is_not_tried_again_for_a_while(make, clock, until):
    cache = make(ttl=10, stale_while_revalidate=60, fail_safe_throttle=5)
    load = Loader()
    cache.get_or_load("k", load)
    load.failing = True
    clock.advance(11)
    assert cache.get_or_load("k", load) == 1
    until(lambda: cache.stats().load_failures == 1)
    assert cache.get_or_load("k", load) == 1
    assert cache.get("k") == 1
    assert load.calls == 2
    clock.advance(5)
    assert cache.get_or_load("k", load) == 1
    until(lambda: load.calls == 3)


def test_a_hit_late_in_its_ttl_reloads_ahead(make, clock, until):
    cache = make(ttl=100, refresh_ahead=0.8)
    f = Loader()
    memoized = cache.memoize(name="f")(f)
    assert memoized() == 1
    clock.advance(79)
    assert memoized() == 1
    assert f.calls == 1
    clock.advance(1)
    assert memoized() == 1
    until(lambda: cache.explain("f()").expires_in == 100)
    assert memoized() == 2
    assert f.calls == 2


def test_a_reload_ahead_that_fails_leaves_the_value_and_is_not_tried_again_at_once(make, clock, until):
    cache = make(ttl=100, refresh_ahead=0.5, fail_safe_throttle=5)
    load = Loader()
    cache.get_or_load("k", load)
    load.failing = True
    clock.advance(60)
    assert cache.get_or_load("k", load) == 1
    until(lambda: cache.stats().load_failures == 1)
    assert cache.get_or_load("k", load) == 1
    assert load.calls == 2
    clock.advance(40)
    with pytest.raises(LookupError):
        cache.get_or_load("k", load)


def test_a_stale_value_stands_in_for_a_failing_loader(make, clock):
    cache = make(ttl=10, fail_safe=50)
    load = Loader()
    cache.get_or_load("k", load)
    load.failing = True
    clock.advance(20)
    assert cache.get_or_load("k", load) == 1
    assert load.calls == 2
    assert cache.stats().stale_served == 1
    clock.advance(40)
    with pytest.raises(LookupError):
        cache.get_or_load("k", load)


def test_a_loader_that_works_again_replaces_the_stale_value(make, clock):
    cache = make(ttl=10, fail_safe=50, fail_safe_throttle=5)
    load = Loader()
    cache.get_or_load("k", load)
    clock.advance(20)
    assert cache.get_or_load("k", load) == 2


def test_while_a_stale_value_stands_in_the_loader_is_left_alone_for_a_while(make, clock):
    cache = make(ttl=10, fail_safe=50, fail_safe_throttle=5)
    load = Loader()
    cache.get_or_load("k", load)
    load.failing = True
    clock.advance(11)
    for _ in range(3):
        assert cache.get_or_load("k", load) == 1
    assert load.calls == 2
    assert "last reload failed" in cache.explain("k").reason
    clock.advance(5)
    load.failing = False
    assert cache.get_or_load("k", load) == 3


def test_a_failing_loader_is_not_covered_across_a_clear(make, clock):
    cache = make(ttl=10, fail_safe=50)
    load = Loader()
    cache.get_or_load("k", load)
    load.failing = True
    for invalidate in (cache.clear, lambda: cache.delete("k"), lambda: cache.clear(prefix="k")):
        cache.set("k", "old")
        clock.advance(11)
        invalidate()
        with pytest.raises(LookupError):
            cache.get_or_load("k", load)


def test_a_failing_loader_is_covered_after_a_soft_clear(make):
    cache = make(ttl=10, fail_safe=50)
    load = Loader()
    cache.get_or_load("k", load)
    load.failing = True
    cache.clear(mode="soft")
    assert cache.get_or_load("k", load) == 1


def test_failures_that_are_listed_are_remembered(make, clock):
    cache = make(negative_ttl=10, negative_errors=(LookupError,))
    load = Loader()
    load.failing = True
    for _ in range(3):
        with pytest.raises(LookupError, match="call 1"):
            cache.get_or_load("k", load)
    assert load.calls == 1
    info = cache.explain("k")
    assert (info.found, info.error) == (True, "LookupError")
    assert cache.get("k", "default") == "default"
    clock.advance(10)
    load.failing = False
    assert cache.get_or_load("k", load) == 2


def test_failures_that_are_not_listed_are_not_remembered(make):
    cache = make(negative_ttl=10, negative_errors=(KeyError,))
    load = Loader()
    load.failing = True
    for _ in range(2):
        with pytest.raises(LookupError):
            cache.get_or_load("k", load)
    assert load.calls == 2


def test_failures_are_not_remembered_unless_asked_for(make):
    cache = make()
    load = Loader()
    load.failing = True
    for _ in range(2):
        with pytest.raises(LookupError):
            cache.get_or_load("k", load)
    assert load.calls == 2


def test_a_remembered_failure_gives_way_to_a_value(make):
    cache = make(negative_ttl=10)
    load = Loader()
    load.failing = True
    with pytest.raises(LookupError):
        cache.get_or_load("k", load)
    cache.set("k", "value")
    assert cache.get("k") == "value"
    assert cache.get_or_load("k", load) == "value"


async def test_failures_are_remembered_for_coroutines_too(make):
    cache = make(negative_ttl=10)
    calls = []

    @cache.memoize()
    async def f():
        calls.append(1)
        raise KeyError("no such chapter")

    for _ in range(3):
        with pytest.raises(KeyError):
            await f()
    assert len(calls) == 1
