"""Interleavings of loads with what invalidates them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cenote import CacheManager, loading
from cenote.testing import FakeClock, History, Scenario, assert_strict, checkpoint, explore

from .interleaving import SOON, Gate, ended, in_thread, unswept


def test_a_reload_ahead_is_not_stored_after_a_tag_that_its_value_turns_out_to_carry() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", ttl=100, refresh_ahead=0.5)
    load: Callable[[], Any] = lambda: {"tag": "a", "n": 1}  # noqa: E731
    cache.get_or_load("k", load, tags=lambda value: [value["tag"]])
    clock.advance(60)
    load = gate = Gate({"tag": "b", "n": 2})
    cache.get_or_load("k", load, tags=lambda value: [value["tag"]])
    assert gate.began.wait(SOON)
    flight = next(iter(cache._core.state.flights.values()))
    cache.invalidate_tags("b")
    over = threading.Event()
    flight.wakers.append(over.set)
    gate.go.set()
    assert over.wait(SOON)
    assert cache.get("k") != {"tag": "b", "n": 2}


def test_nobody_joins_a_load_of_unknown_tags_after_an_invalidation_that_may_cover_it() -> None:
    cache = CacheManager().service("s")
    gate = Gate("old")
    first = in_thread(lambda: cache.get_or_load("k", gate, tags=lambda _: ["t"]))
    assert gate.began.wait(SOON)
    cache.invalidate_tags("t")
    got: list[str] = []
    later = in_thread(lambda: got.append(cache.get_or_load("k", lambda: "new", tags=lambda _: ["t"])))
    later.join(0.5)
    gate.go.set()
    assert ended(first, later)
    assert got == ["new"]
    assert cache.get("k") == "new"


def test_a_stale_value_is_not_served_for_ever_because_of_a_reload_whose_loop_was_lost() -> None:
    cache = CacheManager().service("s", stale_while_revalidate=10)
    cache.set("k", "old")
    cache.clear(mode="soft")
    loop = asyncio.new_event_loop()

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    assert loop.run_until_complete(cache.aget_or_load("k", hang)) == "old"
    loop.run_until_complete(asyncio.sleep(0))
    tasks = asyncio.all_tasks(loop)
    assert cache.get("k") is None
    reloaded = threading.Event()

    def load() -> str:
        flight = cache._core.state.flights[0, "k"]
        flight.wakers.append(reloaded.set)
        return "new"

    assert cache.get_or_load("k", load) == "old"
    assert reloaded.wait(SOON)
    assert cache.get("k") == "new"
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


def test_a_remembered_failure_leaves_with_the_tags_of_its_load() -> None:
    cache = CacheManager().service("s", negative_ttl=60)
    answers: list[Any] = [KeyError("no such row"), "the row"]

    def load() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(KeyError):
        cache.get_or_load("k", load, tags=["table"])
    assert cache.invalidate_tags("table") == 1
    assert cache.get_or_load("k", load, tags=["table"]) == "the row"


def test_a_failure_of_unknown_tags_is_not_remembered_across_an_invalidation() -> None:
    cache = CacheManager().service("s", negative_ttl=60)
    gate = Gate(KeyError("no such row"))
    caught: list[BaseException] = []

    def read() -> None:
        try:
            cache.get_or_load("k", gate, tags=lambda _: ["table"])
        except KeyError as error:
            caught.append(error)

    reader = in_thread(read)
    assert gate.began.wait(SOON)
    cache.invalidate_tags("table")
    gate.go.set()
    assert ended(reader)
    assert caught
    assert cache.get_or_load("k", lambda: "the row") == "the row"


@pytest.mark.parametrize("scope", [{"prefix": "k"}, {"tags": ["t"]}])
@pytest.mark.parametrize("tags", [["t"], lambda _: ["t"]])
def test_a_load_from_before_a_selective_soft_clear_is_stored_as_stale(scope: dict[str, Any], tags: Any) -> None:
    cache = CacheManager().service("s", ttl=100, stale_while_revalidate=50)
    gate = Gate("old")
    reader = in_thread(lambda: cache.get_or_load("k", gate, tags=tags))
    assert gate.began.wait(SOON)
    token = cache.fill("k2")
    cache.clear(mode="soft", **scope)
    gate.go.set()
    assert ended(reader)
    assert cache.explain("k").state == "stale"
    assert token.set("older", tags=["t"])
    assert cache.explain("k2").state == "stale"


def test_an_entry_that_had_ended_counts_as_expired_whoever_takes_it_out() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s", ttl=10)
    for key in ("deleted", "replaced", "dropped"):
        cache.set(key, 1)
    with unswept(cache):
        clock.advance(11)
        assert not cache.delete("deleted")
        cache.set("replaced", 2)
        cache.set("dropped", 2, ttl=0)
    stats = cache.stats()
    assert (stats.expirations, stats.invalidations, stats.current_size) == (3, 0, 1)


def test_a_load_that_began_before_a_fill_does_not_overwrite_it() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s")
    gate = Gate("older")
    reader = in_thread(lambda: cache.get_or_load("k", gate))
    assert gate.began.wait(SOON)
    clock.advance(1)
    token = cache.fill("k")
    assert token.set("newer")
    gate.go.set()
    assert ended(reader)
    assert cache.get("k") == "newer"


def test_a_load_that_began_after_a_fill_overwrites_it() -> None:
    clock = FakeClock()
    cache = CacheManager(clock=clock).service("s")
    token = cache.fill("k")
    clock.advance(1)
    gate = Gate("newer")
    reader = in_thread(lambda: cache.get_or_load("k", gate))
    assert gate.began.wait(SOON)
    assert token.set("older")
    gate.go.set()
    assert ended(reader)
    assert cache.get("k") == "newer"


@pytest.mark.parametrize("tags", [["t"], lambda _: ["t"]])
@pytest.mark.parametrize(
    ("covered", "empty"),
    [
        ({"tags": ["t"]}, lambda cache: cache.invalidate_tags("t")),
        ({"prefix": "k"}, lambda cache: cache.clear(prefix="k")),
        ({"keys": ["k"]}, lambda cache: cache.delete("k")),
        ({}, lambda cache: cache.clear()),
    ],
)
def test_no_schedule_of_a_load_and_an_invalidation_breaks_the_promise(
    tags: Any, covered: dict[str, Any], empty: Callable[[Any], object]
) -> None:
    def make_threads() -> Scenario:
        history = History()
        cache = CacheManager().service("c")
        load = history.loader(checkpoint)

        def read() -> None:
            history.observe(lambda: cache.get_or_load("k", load, tags=tags), cache="c", key="k", tags=["t"])

        def invalidate() -> None:
            with history.invalidation(cache="c", **covered):
                empty(cache)
            read()

        return Scenario([read, invalidate], lambda: assert_strict(history, sets=False))

    explore(make_threads, modules=[loading, sys.modules["cenote.core"]], mode="systematic")
