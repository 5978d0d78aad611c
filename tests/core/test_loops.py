"""Loads that threads and several event loops share: circles, cancellation, loops that end."""

from __future__ import annotations

import asyncio
import threading

import pytest

PATIENCE = 20.0


def test_a_thread_and_a_task_whose_loaders_want_each_others_keys_do_not_wait_forever(cache, spawn):
    both = threading.Barrier(2, timeout=PATIENCE)

    def in_a_thread():
        def load():
            both.wait()
            return cache.get_or_load("task", lambda: "alone")

        return cache.get_or_load("thread", load)

    async def in_a_task():
        async def load():
            await asyncio.to_thread(both.wait)
            return await cache.aget_or_load("thread", lambda: "alone")

        return await cache.aget_or_load("task", load)

    thread, loop = spawn(in_a_thread), spawn(asyncio.run, in_a_task())
    assert thread.result() == loop.result() == "alone"


def test_tasks_of_several_event_loops_in_several_threads_share_one_load(cache, spawn, until):
    started = threading.Event()
    releases = []
    calls = []

    async def slow():
        release = asyncio.Event()
        loop = asyncio.get_running_loop()
        releases.append(lambda: loop.call_soon_threadsafe(release.set))
        calls.append(1)
        started.set()
        await release.wait()
        return "value"

    async def main():
        return await asyncio.gather(*(cache.aget_or_load("k", slow) for _ in range(3)))

    loops = [spawn(asyncio.run, main()) for _ in range(4)]
    threads = [spawn(cache.get_or_load, "k", lambda: pytest.fail("loaded twice")) for _ in range(2) if started.wait(20)]
    until(lambda: cache.stats().coalesced == 13)
    releases[0]()
    assert [loop.result() for loop in loops] == [["value"] * 3] * 4
    assert [thread.result() for thread in threads] == ["value"] * 2
    assert len(calls) == 1


def test_a_cancelled_task_of_one_loop_does_not_cancel_the_load_that_another_loop_waits_for(cache, spawn, until):
    started, joined = threading.Event(), threading.Event()
    control = {}

    async def slow():
        control["release"] = asyncio.Event()
        control["loop"] = asyncio.get_running_loop()
        started.set()
        await control["release"].wait()
        return "value"

    async def leading():
        task = asyncio.create_task(cache.aget_or_load("k", slow))
        await asyncio.to_thread(joined.wait, PATIENCE)
        task.cancel()
        await asyncio.wait([task])
        load = next(iter(cache._core.state.flights.values())).task
        control["release"].set()
        await load

    async def joining():
        return await cache.aget_or_load("k", lambda: pytest.fail("loaded twice"))

    leader = spawn(asyncio.run, leading())
    assert started.wait(PATIENCE)
    other = spawn(asyncio.run, joining())
    until(lambda: cache.stats().coalesced == 1)
    joined.set()
    assert other.result() == "value"
    leader.result()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_who_waits_for_a_load_of_a_loop_that_ends_loads_for_himself(cache, spawn, until, asynchronous):
    started, joined = threading.Event(), threading.Event()

    async def never():
        started.set()
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(cache.aget_or_load("k", never))
        await asyncio.to_thread(joined.wait, PATIENCE)
        assert not task.done()

    loop = spawn(asyncio.run, main())
    assert started.wait(PATIENCE)

    async def joining():
        return await cache.aget_or_load("k", lambda: "mine")

    other = spawn(asyncio.run, joining()) if asynchronous else spawn(cache.get_or_load, "k", lambda: "mine")
    until(lambda: cache.stats().coalesced == 1)
    joined.set()
    assert other.result() == "mine"
    loop.result()
    assert not cache._core.state.flights


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_who_waits_for_a_load_of_a_loop_that_was_closed_amid_it_loads_for_himself(
    cache, spawn, until, monkeypatch, asynchronous
):
    monkeypatch.setattr(f"cenote.{'aloading' if asynchronous else 'loading'}.LOOK_AGAIN_SECONDS", 0.01)
    started, joined = threading.Event(), threading.Event()

    async def never():
        started.set()
        await asyncio.Event().wait()

    def main():
        loop = asyncio.new_event_loop()
        task = loop.create_task(cache.aget_or_load("k", never))
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.to_thread(joined.wait, PATIENCE))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        return task, loop

    closing = spawn(main)
    assert started.wait(PATIENCE)

    async def joining():
        return await cache.aget_or_load("k", lambda: "mine")

    other = spawn(asyncio.run, joining()) if asynchronous else spawn(cache.get_or_load, "k", lambda: "mine")
    until(lambda: cache.stats().coalesced == 1)
    joined.set()
    task, _ = closing.result()
    assert other.result() == "mine"
    assert cache.get_or_load("k", lambda: "next") in ("mine", "next")
    task._log_destroy_pending = False
    for flying in list(cache._core.tasks):
        flying._log_destroy_pending = False


def test_a_load_left_behind_by_a_closed_loop_keeps_nobody_from_loading(cache):
    loop = asyncio.new_event_loop()
    task = loop.create_task(cache.aget_or_load("k", lambda: asyncio.Event().wait()))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert cache.get_or_load("k", lambda: "mine") == "mine"
    assert cache.get("k") == "mine"
    task._log_destroy_pending = False
    for flying in list(cache._core.tasks):
        flying._log_destroy_pending = False
