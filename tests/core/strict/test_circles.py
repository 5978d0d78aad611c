"""Circles of waits: whoever would wait for himself is told, or loads alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from cenote import CacheManager, loading

from .interleaving import SOON, Gate, before_line, ended, in_thread


def test_a_circle_through_any_key_of_a_batch_is_seen() -> None:
    cache = CacheManager().service("s")
    batch = threading.Event()
    single = threading.Event()
    got: list[Any] = []

    def load_c() -> str:
        single.set()
        assert batch.wait(SOON)
        waits_for_c.wait(SOON)
        return "c from " + cache.get_or_load("a", lambda: "a alone")

    waits_for_c = threading.Event()

    def load_batch(keys: list[str]) -> dict[str, str]:
        batch.set()
        flight = cache._core.state.flights[0, "c"]
        with before_line(loading.wait_for, "limit =", waits_for_c.set):
            value = cache.get_or_load("c", lambda: "c alone")
        assert flight is not None
        return dict.fromkeys(keys, value)

    one = in_thread(lambda: got.append(cache.get_or_load("c", load_c)))
    assert single.wait(SOON)
    many = in_thread(lambda: got.append(cache.get_or_load_many(["a", "b"], load_batch)))
    assert ended(one, many)
    assert len(got) == 2
    assert not cache._core.state.flights


def test_a_batch_leaves_no_edges_in_the_flight_that_it_ran_inside_of() -> None:
    cache = CacheManager().service("s")
    left: list[Any] = []

    def outer() -> int:
        flight = cache._core.state.flights[0, "outer"]
        cache.get_or_load_many(["a", "b", "c"], lambda keys: dict.fromkeys(keys, 1))
        left.extend(flight.rests_on)
        return 1

    cache.get_or_load("outer", outer)
    assert not left


def test_a_loop_that_waits_for_several_flights_is_known_to_wait_for_each() -> None:
    cache = CacheManager().service("s")
    loop_ready = threading.Event()
    gate = Gate("y")
    x_began = threading.Event()
    blocked = threading.Event()

    def load_x() -> str:
        x_began.set()
        assert blocked.wait(SOON)
        return cache.get_or_load("z", lambda: "z alone")

    threads = [in_thread(lambda: cache.get_or_load("x", load_x)), in_thread(lambda: cache.get_or_load("y", gate))]
    assert x_began.wait(SOON)
    assert gate.began.wait(SOON)
    got: list[Any] = []

    async def load_z() -> str:
        loop_ready.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "z"

    async def main() -> None:
        z = asyncio.ensure_future(cache.aget_or_load("z", load_z))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert loop_ready.is_set()

        def released() -> None:
            blocked.set()
            gate.go.set()

        with before_line(loading.wait_for, "limit =", released):
            got.append(cache.get_or_load_many(["x", "y"], lambda keys: dict.fromkeys(keys, "batch")))
        await z

    threads.append(in_thread(lambda: asyncio.run(main())))
    assert ended(*threads)
    assert len(got) == 1
