"""Loads by threads: one for a key at a time, whatever goes wrong in it."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

from cenote import LoadTimeoutError, RecursiveLoadError


def flights(cache):
    return dict(cache._core.state.flights)


def test_threads_that_want_the_same_key_share_one_load(cache, gate, spawn, until):
    callers = [spawn(cache.get_or_load, "k", lambda: gate.hold("value")) for _ in range(6)]
    until(lambda: cache.stats().coalesced == 5)
    gate.open()
    assert [caller.result() for caller in callers] == ["value"] * 6
    assert gate.calls == 1
    stats = cache.stats()
    assert (stats.loads, stats.misses, stats.hits) == (1, 6, 0)


def test_threads_that_want_different_keys_do_not_wait_for_each_other(cache, gate, spawn):
    slow = spawn(cache.get_or_load, "slow", gate.hold)
    gate.begun()
    assert cache.get_or_load("quick", lambda: 1) == 1
    gate.open()
    slow.result()


def test_calls_of_a_memoized_function_share_one_load(cache, gate, spawn, until):
    f = cache.memoize(name="f")(gate.hold)
    callers = [spawn(f, "a") for _ in range(3)]
    until(lambda: cache.stats().coalesced == 2)
    gate.open()
    assert [caller.result() for caller in callers] == ["a"] * 3
    assert gate.calls == 1


def test_a_loader_that_raises_reaches_every_waiter_and_is_not_cached(cache, gate, spawn, until):
    def fail():
        gate.hold()
        raise OSError("no disk")

    callers = [spawn(cache.get_or_load, "k", fail) for _ in range(4)]
    until(lambda: cache.stats().coalesced == 3)
    gate.open()
    assert [str(caller.error()) for caller in callers] == ["no disk"] * 4
    assert gate.calls == 1
    assert not flights(cache)
    assert cache.get_or_load("k", lambda: "later") == "later"
    assert cache.stats().load_failures == 1


def test_every_waiter_sees_where_the_loader_failed(cache, gate, spawn, until):
    import traceback

    def deep_inside():
        gate.hold()
        raise OSError("no disk")

    callers = [spawn(cache.get_or_load, "k", deep_inside) for _ in range(2)]
    until(lambda: cache.stats().coalesced == 1)
    gate.open()
    for caller in callers:
        assert "deep_inside" in "".join(traceback.format_exception(caller.error()))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupted_loader_leaves_no_flight_and_is_not_waited_for(cache, gate, spawn, until, interruption):
    def interrupted():
        gate.hold()
        raise interruption

    first = spawn(cache.get_or_load, "k", interrupted)
    gate.begun()
    second = spawn(cache.get_or_load, "k", lambda: "second")
    until(lambda: cache.stats().coalesced == 1)
    gate.open()
    assert isinstance(first.error(), interruption)
    assert second.result() == "second"
    assert not flights(cache)
    assert cache.get("k") == "second"


def test_a_read_is_counted_once_however_often_it_looks(cache, gate, spawn, until):
    def interrupted():
        gate.hold()
        cache.set("k", "set meanwhile")
        raise KeyboardInterrupt

    first = spawn(cache.get_or_load, "k", interrupted)
    gate.begun()
    second = spawn(cache.get_or_load, "k", lambda: pytest.fail("loaded"))
    until(lambda: cache.stats().coalesced == 1)
    gate.open()
    assert isinstance(first.error(), KeyboardInterrupt)
    assert second.result() == "set meanwhile"
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (0, 2)


def test_a_loader_that_asks_for_its_own_key_is_told_so(cache):
    with pytest.raises(RecursiveLoadError, match="'k'") as raised:
        cache.get_or_load("k", lambda: cache.get_or_load("k", int))
    assert raised.value.key == "k"
    assert not flights(cache)


def test_a_function_that_asks_for_its_own_call_is_told_so(cache):
    @cache.memoize(name="f")
    def f(value):
        return f(value)

    with pytest.raises(RecursiveLoadError, match=r"f\(1\)"):
        f(1)


def test_a_recursion_by_way_of_another_key_is_seen(cache):
    def one():
        return cache.get_or_load("two", lambda: cache.get_or_load("one", int))

    with pytest.raises(RecursiveLoadError, match="'one'"):
        cache.get_or_load("one", one)
    assert not flights(cache)


def test_a_recursion_by_way_of_another_cache_is_seen(cache, make):
    other = make()
    with pytest.raises(RecursiveLoadError):
        cache.get_or_load("k", lambda: other.get_or_load("k", lambda: cache.get_or_load("k", int)))


def test_the_same_key_in_another_cache_is_no_recursion(cache, make):
    other = make()
    assert cache.get_or_load("k", lambda: other.get_or_load("k", lambda: 1)) == 1


def test_a_recursive_function_works_on_other_arguments(cache):
    @cache.memoize()
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(60) == 1548008755920
    assert fib.cache_info().misses == 61


def test_a_loader_that_removes_its_own_key_may_not_store_it(cache):
    def load():
        cache.delete("k")
        return "old"

    assert cache.get_or_load("k", load) == "old"
    assert "k" not in cache


def test_a_value_set_while_its_key_is_loading_stays(cache, gate, spawn):
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("loaded"))
    gate.begun()
    cache.set("k", "set")
    gate.open()
    assert load.result() == "loaded"
    assert cache.get("k") == "set"


def test_two_threads_whose_loaders_want_each_others_keys_do_not_wait_forever(cache, spawn):
    both = threading.Barrier(2, timeout=20)

    def cross(own, other):
        def load():
            both.wait()
            return own + cache.get_or_load(other, lambda: f"({other} alone)")

        return cache.get_or_load(own, load)

    one, two = spawn(cross, "a", "b"), spawn(cross, "b", "a")
    assert one.result() in ("a(b alone)", "ab(a alone)", "ab")
    assert two.result() in ("b(a alone)", "ba(b alone)", "ba")
    assert not flights(cache)


def test_three_threads_in_a_circle_do_not_wait_forever(cache, spawn):
    everyone = threading.Barrier(3, timeout=20)

    def link(own, other):
        def load():
            everyone.wait()
            return cache.get_or_load(other, lambda: "alone")

        return cache.get_or_load(own, load)

    loads = [spawn(link, *pair) for pair in [("a", "b"), ("b", "c"), ("c", "a")]]
    assert {load.result() for load in loads} == {"alone"}


def test_two_caches_whose_loaders_want_each_other_do_not_wait_forever(make, spawn):
    one, two = make(), make()
    both = threading.Barrier(2, timeout=20)

    def cross(own, other):
        def load():
            both.wait()
            return other.get_or_load("k", lambda: "alone")

        return own.get_or_load("k", load)

    loads = [spawn(cross, one, two), spawn(cross, two, one)]
    assert [load.result() for load in loads] == ["alone", "alone"]


def test_a_load_that_takes_too_long_is_given_up(make, gate):
    cache = make(load_timeout=0.02)
    with pytest.raises(LoadTimeoutError, match=r"'k' took longer than load_timeout=0\.02 seconds") as raised:
        cache.get_or_load("k", gate.hold)
    assert (raised.value.key, raised.value.seconds) == ("k", 0.02)
    assert isinstance(raised.value, TimeoutError)
    assert not flights(cache)
    assert cache.stats().load_failures == 1


def test_a_load_that_was_given_up_is_not_stored_when_it_ends_after_all(make, gate, until):
    cache = make(load_timeout=0.02)
    late = []

    def load():
        value = {"late"}
        late.append(weakref.ref(value))
        return gate.hold(value)

    with pytest.raises(LoadTimeoutError):
        cache.get_or_load("k", load)
    assert cache.get_or_load("k", lambda: "next") == "next"
    gate.open()
    until(lambda: late[0]() is None)  # what was stored would live on
    assert cache.get("k") == "next"


def test_everybody_who_waits_learns_that_a_load_took_too_long(make, gate, spawn):
    cache = make(load_timeout=0.2)
    callers = [spawn(cache.get_or_load, "k", gate.hold) for _ in range(3)]
    assert [type(caller.error()) for caller in callers] == [LoadTimeoutError] * 3


def test_a_load_within_its_limit_behaves_like_any_other(make):
    cache = make(load_timeout=20)
    assert cache.get_or_load("k", lambda: 1) == 1
    with pytest.raises(OSError, match="no disk"):
        cache.get_or_load("other", lambda: (_ for _ in ()).throw(OSError("no disk")))
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_load("other", lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert cache.stats().loads == 1
    assert not flights(cache)


def test_a_recursion_within_a_time_limit_is_seen(make):
    cache = make(load_timeout=20)
    with pytest.raises(RecursiveLoadError):
        cache.get_or_load("k", lambda: cache.get_or_load("k", int))


def test_a_load_with_a_time_limit_sees_the_context_of_its_caller(make):
    from contextvars import ContextVar

    request = ContextVar("request")
    request.set("r-1")
    assert make(load_timeout=20).get_or_load("k", request.get) == "r-1"


def test_a_load_that_no_thread_can_be_started_for_leaves_no_flight(make, monkeypatch):
    from cenote.workers import Workers

    cache = make(load_timeout=20)
    monkeypatch.setattr("cenote.loading.workers", Workers())

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            cache.get_or_load("k", lambda: 1)
    assert not flights(cache)


def test_a_read_ahead_of_its_end_is_served_even_when_no_thread_can_be_started(make, clock, monkeypatch):
    from cenote.workers import Workers

    cache = make(ttl=10, refresh_ahead=0.5, stale_while_revalidate=10)
    cache.set("k", "value")
    monkeypatch.setattr("cenote.loading.workers", Workers())

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        clock.advance(6)
        assert cache.get_or_load("k", lambda: "new") == "value"
        clock.advance(6)
        assert cache.get_or_load("k", lambda: "new") == "value"
    assert not flights(cache)


def test_a_synchronous_load_inside_an_event_loop_does_not_wait_for_a_task_of_that_loop(cache):
    async def main():
        started = asyncio.Event()
        release = asyncio.Event()

        async def slow():
            started.set()
            await release.wait()
            return "task"

        task = asyncio.create_task(cache.aget_or_load("k", slow))
        await started.wait()
        assert cache.get_or_load("k", lambda: "alone") == "alone"
        release.set()
        assert await task == "task"

    asyncio.run(main())


def test_a_thread_waits_for_a_load_of_an_event_loop_in_another_thread(cache, spawn, until):
    started = threading.Event()

    async def main():
        release = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def slow():
            started.set()
            await release.wait()
            return "task"

        cache.let_go = lambda: loop.call_soon_threadsafe(release.set)
        return await cache.aget_or_load("k", slow)

    looping = spawn(asyncio.run, main())
    assert started.wait(20)
    waiting = spawn(cache.get_or_load, "k", lambda: pytest.fail("loaded twice"))
    until(lambda: cache.stats().coalesced == 1)
    cache.let_go()
    assert waiting.result() == looping.result() == "task"


def test_a_thread_blocked_on_several_loads_is_not_waited_for_by_any_of_them(cache, gates, spawn, until):
    """A loop whose thread waits for loads of two other threads is blocked for both of them."""
    one, two, ready = gates(), gates(), threading.Event()

    async def main():
        release = asyncio.Event()

        async def of_the_loop():
            ready.set()
            await release.wait()
            return "loop"

        task = asyncio.create_task(cache.aget_or_load("of the loop", of_the_loop))
        for _ in range(5):
            await asyncio.sleep(0)
        assert one.entered.wait(20)
        assert two.entered.wait(20)
        values = cache.get_or_load_many(["one", "two"], lambda keys: pytest.fail("both are loading"))
        release.set()
        await task
        return values

    def load_one():
        one.hold()
        return cache.get_or_load("of the loop", lambda: "alone")

    first = spawn(cache.get_or_load, "one", load_one)
    second = spawn(cache.get_or_load, "two", lambda: two.hold("two"))
    one.begun()
    two.begun()
    looping = spawn(asyncio.run, main())
    assert ready.wait(20)
    until(lambda: cache.stats().coalesced >= 2)
    one.open()
    assert first.result() == "alone"
    two.open()
    assert looping.result() == {"one": "alone", "two": "two"}
    assert second.result() == "two"
