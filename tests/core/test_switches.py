"""Switches: a cache, or all of them, turned off; and a bypass for one block of code."""

from __future__ import annotations

import asyncio
import threading

import pytest

import cenote
from cenote import ClosedError
from cenote.bypass import bypasses


def counter(cache):
    calls = []

    @cache.memoize(name="f")
    def f():
        calls.append(1)
        return len(calls)

    return f


@pytest.mark.parametrize("owner", ["cache", "caches"])
def test_a_cache_that_is_off_loads_every_time_and_stores_nothing(request, cache, owner):
    switched = request.getfixturevalue(owner)
    f = counter(cache)
    switched.enabled = False
    assert switched.enabled is False
    assert (f(), f()) == (1, 2)
    cache.set("k", 1)
    assert cache.get("k") is None
    assert (cache.get_or_load("k", lambda: 1), cache.get_or_load("k", lambda: 2)) == (1, 2)
    assert cache.get_or_load_many(["a"], lambda keys: {"a": 1}) == {"a": 1}
    assert cache.fill("k").set(1) is False
    assert len(cache) == 0
    switched.enabled = True
    assert (f(), f()) == (3, 3)


@pytest.mark.parametrize("owner", ["cache", "caches"])
def test_nothing_from_before_it_was_off_is_served_when_a_cache_is_on_again(request, cache, owner):
    switched = request.getfixturevalue(owner)
    cache.set("k", "old")
    token = cache.fill("k")
    switched.enabled = False
    switched.enabled = True
    assert cache.get("k") is None
    assert token.set("old") is False


def test_a_load_from_before_the_switch_is_not_stored(cache, gate, spawn):
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("old"))
    gate.begun()
    cache.enabled = False
    cache.enabled = True
    gate.open()
    assert load.result() == "old"
    assert "k" not in cache


def test_a_cache_is_on_when_its_own_switch_and_that_of_all_are(cache, caches):
    caches.enabled = False
    cache.enabled = False
    caches.enabled = True
    cache.set("k", 1)
    assert "k" not in cache
    cache.enabled = True
    cache.set("k", 1)
    assert "k" in cache


def test_a_cache_that_is_made_while_all_are_off_is_off(caches):
    caches.enabled = False
    late = caches.service("late")
    late.set("k", 1)
    assert "k" not in late
    caches.enabled = True
    late.set("k", 1)
    assert "k" in late


def test_the_switch_of_one_cache_leaves_the_others_on(cache, make):
    other = make()
    cache.enabled = False
    other.set("k", 1)
    assert "k" in other


def test_switching_is_written_into_the_audit_trail_when_it_changes_something(cache, caches):
    cache.enabled = False
    cache.enabled = False
    cache.enabled = True
    events = [(event.action, event.service, event.message) for event in caches.audit.events()]
    assert events == [
        ("switch", "etherforce", "Switched off the cache for service: etherforce"),
        ("switch", "etherforce", "Switched on the cache for service: etherforce"),
    ]


def test_switching_off_counts_what_went(cache):
    cache.set("a", 1)
    cache.set("b", 1)
    cache.enabled = False
    assert cache.stats().invalidations == 2


def test_the_switch_of_a_closed_cache_revives_nothing(caches, cache):
    f = counter(cache)
    caches.close()
    with pytest.raises(ClosedError):
        cache.enabled = True
    with pytest.raises(ClosedError):
        cache.enabled = False
    with pytest.raises(ClosedError):
        caches.enabled = True
    assert (f(), f()) == (1, 2)


def test_inside_a_bypass_reads_load_without_looking_and_without_storing(cache):
    f = counter(cache)
    cache.set("k", "cached")
    assert f() == 1
    with cenote.bypass():
        assert cache.get("k") is None
        assert cache.get("k", "default") == "default"
        assert cache.get_many(["k"]) == {}
        assert cache.get_or_load("k", lambda: "loaded") == "loaded"
        assert cache.get_or_load_many(["k"], lambda keys: dict.fromkeys(keys, "loaded")) == {"k": "loaded"}
        assert f() == 2
        assert f() == 3
    assert cache.get("k") == "cached"
    assert f() == 1


def test_a_bypassed_read_is_counted_nowhere(cache):
    cache.set("k", 1)
    with cenote.bypass():
        cache.get("k")
        cache.get_or_load("k", int)
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads) == (0, 0, 0)


def test_inside_a_bypass_sets_and_invalidations_work_as_always(cache):
    cache.set("gone", 1)
    with cenote.bypass():
        cache.set("k", 1)
        assert cache.delete("gone") is True
        assert cache.clear(prefix="zz").entries_cleared == 0
    assert cache.get("k") == 1


def test_bypasses_nest(cache):
    cache.set("k", 1)
    with cenote.bypass():
        with cenote.bypass():
            pass
        assert cache.get("k") is None
    assert cache.get("k") == 1
    assert bypasses.open == 0


def test_a_bypass_ends_with_an_error_in_its_block(cache):
    cache.set("k", 1)
    with pytest.raises(OSError, match="no disk"), cenote.bypass():
        raise OSError("no disk")
    assert cache.get("k") == 1
    assert bypasses.open == 0


def test_a_bypass_of_one_thread_does_not_reach_another(cache, spawn):
    cache.set("k", 1)
    inside, leave = threading.Event(), threading.Event()

    def bypassed():
        with cenote.bypass():
            inside.set()
            assert leave.wait(20)
            return cache.get("k")

    other = spawn(bypassed)
    assert inside.wait(20)
    assert cache.get("k") == 1
    leave.set()
    assert other.result() is None


async def test_a_bypass_of_one_task_reaches_the_tasks_it_starts_and_no_other(cache):
    cache.set("k", 1)
    inside, leave = asyncio.Event(), asyncio.Event()

    async def read():
        return await cache.aget("k")

    async def bypassed():
        with cenote.bypass():
            inside.set()
            await leave.wait()
            return await read(), await asyncio.create_task(read()), await asyncio.to_thread(cache.get, "k")

    task = asyncio.create_task(bypassed())
    await inside.wait()
    assert await read() == 1
    leave.set()
    assert await task == (None, None, None)
    assert await read() == 1


async def test_a_bypassed_task_waits_for_nobody_elses_load(cache):
    started = asyncio.Event()

    async def never():
        started.set()
        await asyncio.Event().wait()

    other = asyncio.create_task(cache.aget_or_load("k", never))
    await started.wait()
    with cenote.bypass():
        async with asyncio.timeout(20):
            assert await cache.aget_or_load("k", lambda: 1) == 1
            assert await cache.aget_or_load_many(["k"], lambda keys: {"k": 2}) == {"k": 2}
    other.cancel()
    await asyncio.wait([other])


async def test_a_memoized_coroutine_is_bypassed_too(cache):
    calls = []

    @cache.memoize()
    async def f():
        calls.append(1)
        return len(calls)

    assert await f() == 1
    with cenote.bypass():
        assert await f() == 2
    assert await f() == 1


def test_a_refresh_inside_a_bypass_stores_nothing(cache):
    f = counter(cache)
    f()
    with cenote.bypass():
        assert f.refresh() == 2
    assert f() == 1
