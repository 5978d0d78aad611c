"""Background threads outlive what fails in them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any

import pytest

import cenote
from cenote import CacheManager, approach, loading, waits
from cenote.errors import LoadTimeoutError
from cenote.keeper import Keeper
from cenote.terms import Terms
from cenote.testing import FakeClock
from cenote.workers import Workers

from .interleaving import SOON, Gate, ended, in_thread


def test_a_key_without_a_repr_does_not_keep_background_loads_from_running() -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError("no name")

    workers = Workers()
    failed = threading.Event()

    def job() -> None:
        failed.set()
        repr(Nameless())

    workers.submit(job)
    assert failed.wait(SOON)
    ran = [threading.Event() for _ in range(3)]
    for event in ran:
        workers.submit(event.set)
    assert all(event.wait(SOON) for event in ran)


def test_a_background_load_that_fails_needs_no_name() -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError("no name")

    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", ttl=100, stale_while_revalidate=50)
    answers: list[Any] = [1, ValueError("down"), 3]
    over = threading.Event()

    @cache.memoize()
    def function(key: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            over.set()
            raise answer
        return answer

    key = Nameless()
    assert function(key) == 1
    clock.advance(120)
    assert function(key) == 1
    assert over.wait(SOON)


def test_a_sweep_that_fails_does_not_end_the_keeper() -> None:
    keeper = Keeper()
    swept = threading.Event()

    class Broken:
        expiring = 1
        times = 0

        def sweep(self, enough: object = None) -> int:
            self.times += 1
            if self.times == 1:
                raise RuntimeError("a key that cannot be hashed any more")
            swept.set()
            self.expiring = 0
            return 0

    broken = Broken()
    keeper.watch(broken)
    keeper.notice()
    assert swept.wait(SOON)


def test_a_forked_child_frees_what_it_cleared() -> None:
    caches = CacheManager()
    cache = caches.service("s")
    cache.set("k", 1)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for number in range(3):
                cache.set(f"k{number}", number)
            cache.clear()
            cache.set("k", 2)
            status = int("cenote-keeper" not in {thread.name for thread in threading.enumerate()})
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_fork_amid_another_threads_bookkeeping_leaves_the_child_usable() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with waits._lock, sys.modules["cenote.bypass"]._lock:
            held.set()
            assert done.wait(SOON)

    holder = in_thread(hold)
    assert held.wait(SOON)
    cache = CacheManager().service("s")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(5)
            with cenote.bypass():
                pass
            cache.get_or_load("outer", lambda: cache.get_or_load("inner", lambda: 1))
            status = 0
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    done.set()
    assert ended(holder)
    assert code == 0


def test_a_task_waits_no_longer_than_the_load_timeout_for_a_background_load_in_a_thread() -> None:
    cache = CacheManager().service("s", load_timeout=0.05)
    gate = Gate("late")
    with cache._core.lock:
        started = approach.Started(cache._core)
        flight = approach._register(
            cache._core, cache._direct, cache._core.state, "k", frozenset(), None, started, parent=None
        )
    loading.start_behind(cache._core, cache._direct, flight, gate, Terms())
    assert gate.began.wait(SOON)

    async def main() -> None:
        with pytest.raises(LoadTimeoutError):
            async with asyncio.timeout(SOON):
                await cache.aget_or_load("k", lambda: 2)
        assert await cache.aget_or_load("k", lambda: 3) == 3

    asyncio.run(main())
    gate.go.set()
