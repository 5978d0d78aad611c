"""Loads by tasks: cancellation, recursion, time limits."""

from __future__ import annotations

import asyncio

import pytest

from cenote import LoadTimeoutError, RecursiveLoadError

PATIENCE = 20.0


def flights(cache):
    return dict(cache._core.state.flights)


async def turns(count=5):
    """Lets every task that is ready run on."""
    for _ in range(count):
        await asyncio.sleep(0)


class Slow:
    """An asynchronous loader that stands still until it is released, and knows whether it was cancelled."""

    def __init__(self, value="value"):
        self.value = value
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.calls = 0
        self.cancelled = False

    async def __call__(self):
        self.calls += 1
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self.value


async def test_tasks_that_want_the_same_key_share_one_load(cache):
    slow = Slow()
    tasks = [asyncio.create_task(cache.aget_or_load("k", slow)) for _ in range(5)]
    await slow.started.wait()
    await turns()
    slow.release.set()
    assert await asyncio.gather(*tasks) == ["value"] * 5
    assert slow.calls == 1
    assert cache.stats().coalesced == 4


async def test_a_loader_may_be_asynchronous_or_not(cache):
    async def load():
        return 1

    assert await cache.aget_or_load("a", load) == 1
    assert await cache.aget_or_load("b", lambda: 2) == 2


async def test_one_cancelled_caller_cancels_nobody_elses_load(cache):
    slow = Slow()
    first = asyncio.create_task(cache.aget_or_load("k", slow))
    await slow.started.wait()
    second = asyncio.create_task(cache.aget_or_load("k", slow))
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not slow.cancelled
    slow.release.set()
    assert await second == "value"
    assert cache.get("k") == "value"
    assert slow.calls == 1


async def test_a_waiter_that_is_cancelled_leaves_the_load_to_the_others(cache):
    slow = Slow()
    first = asyncio.create_task(cache.aget_or_load("k", slow))
    await slow.started.wait()
    second = asyncio.create_task(cache.aget_or_load("k", slow))
    await turns()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    slow.release.set()
    assert await first == "value"


async def test_a_load_is_cancelled_when_nobody_waits_for_it_any_more(cache):
    slow = Slow()
    tasks = [asyncio.create_task(cache.aget_or_load("k", slow)) for _ in range(3)]
    await slow.started.wait()
    await turns()
    for task in tasks:
        assert not slow.cancelled
        task.cancel()
        await asyncio.wait([task])
    await turns()
    assert slow.cancelled
    assert not flights(cache)
    assert "k" not in cache


async def test_who_comes_after_a_load_was_cancelled_loads_anew(cache):
    slow = Slow()
    first = asyncio.create_task(cache.aget_or_load("k", slow))
    await slow.started.wait()
    first.cancel()
    again = asyncio.create_task(cache.aget_or_load("k", lambda: "again"))
    assert await again == "again"
    assert cache.get("k") == "again"
    await asyncio.wait([first])


async def test_a_caller_cancelled_before_its_load_began_leaves_no_flight(cache):
    task = asyncio.create_task(cache.aget_or_load("k", Slow()))
    task.cancel()
    await asyncio.wait([task])
    await turns()
    assert not flights(cache)


async def test_a_caller_that_times_out_is_like_one_that_is_cancelled(cache):
    slow = Slow()
    other = asyncio.create_task(cache.aget_or_load("k", slow))
    await slow.started.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cache.aget_or_load("k", slow)
    slow.release.set()
    assert await other == "value"


async def test_a_loader_that_raises_reaches_every_task_and_is_not_cached(cache):
    release = asyncio.Event()

    async def fail():
        await release.wait()
        raise OSError("no disk")

    tasks = [asyncio.create_task(cache.aget_or_load("k", fail)) for _ in range(3)]
    await turns()
    release.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["no disk"] * 3
    assert await cache.aget_or_load("k", lambda: 1) == 1


async def test_a_loader_that_cancels_itself_leaves_the_others_to_load_for_themselves(cache):
    release = asyncio.Event()

    async def cancels_itself():
        await release.wait()
        raise asyncio.CancelledError

    first = asyncio.create_task(cache.aget_or_load("k", cancels_itself))
    await turns()
    second = asyncio.create_task(cache.aget_or_load("k", lambda: "second"))
    await turns()
    release.set()
    assert await second == "second"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not flights(cache)


async def test_the_loader_sees_the_context_of_its_caller(cache):
    from contextvars import ContextVar

    request = ContextVar("request")
    request.set("r-1")

    async def load():
        return request.get()

    assert await cache.aget_or_load("k", load) == "r-1"


async def test_a_task_that_asks_for_the_key_it_loads_is_told_so(cache):
    async def load():
        return await cache.aget_or_load("k", load)

    with pytest.raises(RecursiveLoadError):
        await cache.aget_or_load("k", load)
    assert not flights(cache)


async def test_a_task_started_by_a_loader_that_asks_for_its_key_is_told_so(cache):
    async def load():
        return await asyncio.gather(cache.aget_or_load("k", load))

    with pytest.raises(RecursiveLoadError):
        await cache.aget_or_load("k", load)


async def test_a_thread_started_by_a_loader_that_asks_for_its_key_is_told_so(cache):
    async def load():
        return await asyncio.to_thread(cache.get_or_load, "k", int)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RecursiveLoadError):
            await cache.aget_or_load("k", load)


async def test_a_recursive_coroutine_works_on_other_arguments(cache):
    @cache.memoize()
    async def fib(n):
        if n < 2:
            return n
        return sum(await asyncio.gather(fib(n - 1), fib(n - 2)))

    async with asyncio.timeout(PATIENCE):
        assert await fib(30) == 832040


async def test_a_task_that_outlives_its_loader_may_ask_for_the_key(cache):
    release = asyncio.Event()
    left = []

    async def later():
        await release.wait()
        return await cache.aget_or_load("k", lambda: "anew")

    async def load():
        left.append(asyncio.create_task(later()))
        return "first"

    assert await cache.aget_or_load("k", load) == "first"
    cache.clear()
    release.set()
    assert await left[0] == "anew"


async def test_two_tasks_whose_loaders_want_each_others_keys_do_not_wait_forever(cache):
    both = asyncio.Barrier(2)

    async def cross(own, other):
        async def load():
            await both.wait()
            return await cache.aget_or_load(other, lambda: "alone")

        return await cache.aget_or_load(own, load)

    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(cross("a", "b"), cross("b", "a")) == ["alone", "alone"]
    assert not flights(cache)


def test_a_task_waits_for_a_load_of_a_thread_without_blocking_its_loop(cache, gate, spawn):
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("thread"))
    gate.begun()

    async def main():
        waiting = asyncio.create_task(cache.aget_or_load("k", lambda: pytest.fail("loaded twice")))
        await turns()
        gate.open()
        return await waiting

    assert spawn(asyncio.run, main()).result() == "thread"
    assert load.result() == "thread"


async def test_an_asynchronous_load_that_takes_too_long_is_given_up_and_cancelled(make):
    cache = make(load_timeout=0.02)
    slow = Slow()
    tasks = [asyncio.create_task(cache.aget_or_load("k", slow)) for _ in range(3)]
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, LoadTimeoutError)
    assert slow.cancelled
    assert slow.calls == 1
    assert not flights(cache)


async def test_a_loaders_own_timeout_error_is_not_taken_for_the_limit(make):
    cache = make(load_timeout=PATIENCE)

    async def load():
        raise TimeoutError("the database")

    with pytest.raises(TimeoutError, match="the database") as raised:
        await cache.aget_or_load("k", load)
    assert not isinstance(raised.value, LoadTimeoutError)


async def test_a_cancelled_refresh_leaves_no_flight(cache):
    slow = Slow()

    @cache.memoize()
    async def f():
        return await slow()

    task = asyncio.create_task(f.refresh())
    await slow.started.wait()
    task.cancel()
    await asyncio.wait([task])
    await turns()
    assert slow.cancelled
    assert not flights(cache)


async def test_a_background_load_is_not_cancelled_with_the_caller_that_set_it_off(make, clock):
    cache = make(ttl=10, stale_while_revalidate=10)
    slow = Slow("new")
    await cache.aset("k", "old")
    clock.advance(11)

    async def request():
        assert await cache.aget_or_load("k", slow) == "old"
        await asyncio.Event().wait()

    task = asyncio.create_task(request())
    await slow.started.wait()
    await turns()
    task.cancel()
    await asyncio.wait([task])
    assert not slow.cancelled
    slow.release.set()
    await turns()
    assert cache.get("k") == "new"
