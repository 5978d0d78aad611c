"""Interruptions: whatever stops a load or a change halfway leaves nothing behind that others wait for."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cenote import CacheManager, aloading, approach, clearing, loading, swapping
from cenote.cache import Cache
from cenote.core import CacheCore
from cenote.errors import LoadTimeoutError, ReentrantError
from cenote.testing import FakeClock, Scenario, explore

from .interleaving import SOON, before_line, ended, in_thread, interrupt, memoized


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_load_of_many_that_meets_an_error_midway_leaves_no_flight_behind(asynchronous: bool) -> None:
    cache = CacheManager().service("s", negative_ttl=60)

    def fail() -> None:
        raise KeyError("no such row")

    with pytest.raises(KeyError):
        cache.get_or_load("b", fail)

    def load_both() -> None:
        if asynchronous:
            asyncio.run(cache.aget_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1)))
        else:
            cache.get_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))

    with pytest.raises(KeyError):
        load_both()
    assert not cache._core.state.flights
    got: list[Any] = []
    assert ended(in_thread(lambda: got.append(cache.get_or_load("a", lambda: 2))))
    assert got == [2]


@pytest.mark.parametrize(
    ("function", "text"),
    [(loading._lead, "token ="), (loading.load, "if step is Step.LEAD:"), (approach._register, "return flight")],
)
def test_an_interrupt_before_the_loader_runs_leaves_no_flight_behind(function: Any, text: str) -> None:
    cache = CacheManager().service("s")
    with before_line(function, text, interrupt), pytest.raises(KeyboardInterrupt):
        cache.get_or_load("k", lambda: 1)
    assert not cache._core.state.flights
    got: list[Any] = []
    assert ended(in_thread(lambda: got.append(cache.get_or_load("k", lambda: 2))))
    assert got == [2]


def test_an_interrupt_before_a_batch_runs_leaves_no_flight_behind() -> None:
    from cenote import batch, claiming, many

    for function, text in (
        (batch.load_batch, "turn ="),
        (batch.load_batch, "limit ="),
        (many._split, "batch.led[key] ="),
        (batch._run_batch, "if turn.begin()"),
        (batch._Turn.begin, "self._led ="),
        (claiming.ManyClaims.ask, "groups:"),
        (claiming.ManyClaims.ask, "return turn"),
        (batch._Turn.inside.__wrapped__, "token ="),
        (batch._Turn.inside.__wrapped__, "move_child"),
    ):
        cache = CacheManager().service("s")
        with before_line(function, text, interrupt), pytest.raises(KeyboardInterrupt):
            cache.get_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))
        assert not cache._core.state.flights, text


def test_an_asynchronous_leader_learns_that_a_joiner_ended_its_load_before_it_began() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", load_timeout=5)

    def time_out() -> None:
        clock.advance(6)

        def join() -> None:
            with pytest.raises(LoadTimeoutError):
                cache.get_or_load("k", lambda: 1)

        assert ended(in_thread(join))

    async def main() -> None:
        with before_line(aloading.start_task, "eager", time_out), pytest.raises(LoadTimeoutError):
            async with asyncio.timeout(SOON):
                await cache.aget_or_load("k", lambda: 2)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("function", "text"),
    [(CacheCore.settle, ".wake()"), (CacheCore.fail, ".wake()"), (CacheCore.settle, "self.discard(dropped)")],
)
def test_an_interrupt_after_the_load_loses_no_wake(function: Any, text: str) -> None:
    cache = CacheManager().service("s")
    joined = threading.Event()
    got: list[Any] = []

    def join() -> None:
        with before_line(loading.wait_for, "limit =", joined.set):
            try:
                got.append(cache.get_or_load("k", lambda: 2))
            except ValueError as error:
                got.append(error)

    threads: list[threading.Thread] = []

    def load() -> int:
        threads.append(in_thread(join))
        assert joined.wait(SOON)
        if function is CacheCore.fail:
            raise ValueError
        return 1

    with before_line(function, text, interrupt), pytest.raises(KeyboardInterrupt):
        cache.get_or_load("k", load)
    assert ended(*threads)
    assert len(got) == 1


def test_a_handler_inside_a_change_is_refused_where_it_could_wait_for_the_change_itself() -> None:
    caches = CacheManager()
    first, second = caches.service("a"), caches.service("b")
    in_setter = threading.Event()
    caught: list[Any] = []
    threads: list[threading.Thread] = []

    def switch_off() -> None:
        with before_line(Cache.apply_switches, "self._", in_setter.set):
            caches.enabled = False

    def handler() -> None:
        # Another thread holds the manager's lock, and waits for the lock that this thread holds.
        threads.append(in_thread(switch_off))
        assert in_setter.wait(SOON)
        for change in (caches.clear_all, caches.close, lambda: caches.service("c"), caches.stats):
            try:
                change()
            except ReentrantError as error:
                caught.append(error)

    def change() -> None:
        with before_line(CacheCore.store_value, "state = self.obey", handler):
            second.set("k", 1)

    assert ended(in_thread(change))
    assert ended(*threads)
    assert len(caught) == 4
    assert first.get("k") is None


def test_clear_all_waits_for_a_cache_while_it_holds_no_other() -> None:
    def make_threads() -> list[Callable[[], object]]:
        caches = CacheManager()
        first, second = caches.service("a"), caches.service("b")

        class Key:
            """A key whose comparison, which happens amid a change of one cache, changes another one."""

            def __hash__(self) -> int:
                return 1

            def __eq__(self, other: object) -> bool:
                first.set("k", 1)
                return True

        memoized = second.memoize()(lambda key: key)
        memoized(Key())
        return [lambda: memoized.refresh(Key()), caches.clear_all]

    explore(make_threads, modules=[clearing], mode="systematic")
    explore(make_threads, modules=[clearing, sys.modules["cenote.core"]], seeds=range(30))


def test_the_switch_that_was_set_last_is_the_one_in_force() -> None:
    def make_threads() -> Scenario:
        cache = CacheManager().service("s")
        cache.enabled = False

        def after() -> None:
            cache.set("k", 1)
            assert cache.enabled is (cache.get("k") == 1)

        return Scenario([lambda: setattr(cache, "enabled", True), lambda: setattr(cache, "enabled", False)], after)

    explore(make_threads, modules=[sys.modules["cenote.cache"], clearing], mode="systematic")


def test_nothing_is_stored_while_a_manager_closes_nor_afterwards() -> None:
    caches = CacheManager()
    cache = caches.service("s")
    function = memoized(cache, "f", "f")

    def call() -> None:
        assert ended(in_thread(lambda: function("x")))

    with before_line(swapping.finish, "if soft", call):
        caches.close()
    assert not cache._core.state.flights
    assert len(cache._core.state.store) == 0


def test_a_close_that_was_refused_can_be_repeated() -> None:
    caches = CacheManager()
    cache = caches.service("s")
    caught: list[BaseException] = []

    def handler() -> None:
        with pytest.raises(ReentrantError) as refused:
            caches.close()
        caught.append(refused.value)

    with before_line(CacheCore.store_value, "state = self.obey", handler):
        cache.set("k", 1)
    assert caught
    caches.close()
    assert len(cache._core.state.store) == 0
