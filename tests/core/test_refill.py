"""Refills behind a clear: loads at a bounded rate, the hottest keys first, and nothing from before the clear."""

from __future__ import annotations

import asyncio
import time

import pytest

from cenote import ConfigurationError, Refill, RefillTimeoutError
from cenote.pacing import Pace, Ticket


class Woken:
    """Counts how often it was called."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1


def make_pace(clock, rate=2.0, hottest=None, **options):
    return Pace(Refill(rate, **options), "receipt", hottest or {}, clock.monotonic, clock.time())


def ask(pace, key):
    return pace.ask((0, key), Woken())


def test_loads_are_let_through_at_the_rate(clock):
    pace = make_pace(clock)
    assert ask(pace, "first") is None
    tickets = [ask(pace, f"k{number}") for number in range(10)]
    assert all(isinstance(ticket, Ticket) for ticket in tickets)
    for granted in range(1, 11):
        clock.advance(0.25)
        pace.pump()
        assert sum(ticket.granted for ticket in tickets) == granted // 2
        clock.advance(0.0)
    clock.advance(100)
    pace.pump()
    assert sum(ticket.granted for ticket in tickets) <= 6
    assert [ticket.wake.times for ticket in tickets if ticket.granted] == [1] * sum(t.granted for t in tickets)


def test_the_hottest_keys_come_first_and_others_in_their_order(clock):
    pace = make_pace(clock, hottest={(0, "hot"): 50.0, (0, "warm"): 5.0})
    ask(pace, "first")
    tickets = {key: ask(pace, key) for key in ("cold", "cold too", "warm", "hot")}
    order = []
    for _ in range(4):
        clock.advance(0.5)
        pace.pump()
        order += [key for key, ticket in tickets.items() if ticket.granted and key not in order]
    assert order == ["hot", "warm", "cold", "cold too"]
    status = pace.status()
    assert (status.hottest, status.hottest_back, status.admitted, status.waiting) == (2, 2, 5, 0)


def test_a_refill_ends_when_the_hottest_are_back_and_nobody_waits(clock):
    pace = make_pace(clock, hottest={(0, "hot"): 1.0})
    clock.advance(60)
    pace.pump()
    assert pace.running
    ask(pace, "hot")
    pace.pump()
    assert pace.ended_by == "hottestBack"
    assert ask(pace, "any") is None


def test_a_refill_ends_after_its_time_and_lets_everybody_go(clock):
    pace = make_pace(clock, rate=0.001, hottest={(0, "hot"): 1.0}, max_seconds=30)
    ask(pace, "first")
    ticket = ask(pace, "second")
    clock.advance(30)
    pace.pump()
    assert (pace.ended_by, ticket.granted, ticket.again, ticket.wake.times) == ("maxSeconds", True, False, 1)
    assert pace.status().seconds == 30


def test_a_load_of_many_keys_takes_as_much_as_its_keys(clock):
    pace = make_pace(clock)
    assert pace.ask((0, "many"), Woken(), weight=10) is None
    ticket = ask(pace, "next")
    clock.advance(4.9)
    pace.pump()
    assert not ticket.granted
    clock.advance(0.2)
    pace.pump()
    assert ticket.granted


def test_who_gave_up_is_passed_over(clock):
    pace = make_pace(clock)
    ask(pace, "first")
    gone, stays = ask(pace, "gone"), ask(pace, "stays")
    pace.give_up(gone, timed_out=True)
    clock.advance(0.5)
    pace.pump()
    assert (gone.granted, stays.granted) == (False, True)
    assert (pace.status().timed_out, pace.status().waiting) == (1, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": True},
        {"rate": 1, "max_seconds": 0},
        {"rate": 1, "wait_seconds": -1},
        {"rate": 1, "on_timeout": "x"},
    ],
)
def test_terms_that_cannot_be_meant_are_refused(options):
    with pytest.raises(ConfigurationError):
        Refill(**options)


@pytest.mark.parametrize("options", [{"mode": "soft"}, {"tags": ["t"]}, {"prefix": "p"}, {"dry_run": True}])
def test_only_a_hard_clear_of_a_whole_cache_is_paced(cache, options):
    with pytest.raises(ConfigurationError, match="refill"):
        cache.clear(refill=Refill(1), **options)


def test_what_was_there_is_gone_at_once_and_callers_wait(cache, spawn, until):
    cache.set("k", "old")
    cache.clear(refill=Refill(0.001, wait_seconds=60))
    assert cache.get("k") is None
    assert cache.get_or_load("first", lambda: 1) == 1
    waiting = [spawn(cache.get_or_load, "k", lambda: "new") for _ in range(3)]
    until(lambda: cache.refill.waiting == 1)
    assert not any(each.done for each in waiting)
    assert cache.get("k") is None
    assert cache.stop_refill()
    assert [each.result() for each in waiting] == ["new"] * 3
    assert cache.get("k") == "new"
    assert cache.refill.ended_by == "stopped"
    assert not cache.stop_refill()
    assert cache.stats().loads == 2


def test_a_caller_that_waited_too_long_loads_all_the_same(cache):
    cache.clear(refill=Refill(0.001, wait_seconds=0.01))
    assert [cache.get_or_load(f"k{number}", lambda number=number: number) for number in range(3)] == [0, 1, 2]
    assert cache.refill.timed_out == 2
    assert cache.get("k2") == 2


def test_a_caller_that_waited_too_long_fails_where_that_was_asked_for(cache):
    cache.clear(refill=Refill(0.001, wait_seconds=0.01, on_timeout="error"))
    cache.get_or_load("first", lambda: 1)
    with pytest.raises(RefillTimeoutError, match="second"):
        cache.get_or_load("second", lambda: 1)
    assert cache.get("second") is None
    assert cache.stats().load_failures == 1


def test_the_next_clear_ends_a_refill_and_who_waited_looks_again(cache, spawn, until):
    cache.clear(refill=Refill(0.001, wait_seconds=60))
    cache.get_or_load("first", lambda: 1)
    calls = []
    waiting = spawn(cache.get_or_load, "k", lambda: calls.append(1) or "late")
    until(lambda: cache.refill.waiting == 1)
    cache.clear()
    assert waiting.result() == "late"
    # It was loaded in the State behind the second clear, where it is kept.
    assert cache.get("k") == "late"
    assert calls == [1]
    assert cache.refill.ended_by == "cleared"


@pytest.mark.parametrize("how", ["all", "off", "paced"])
def test_other_ways_to_empty_a_cache_end_its_refill_too(caches, cache, spawn, until, how):
    cache.clear(refill=Refill(0.001, wait_seconds=60))
    cache.get_or_load("first", lambda: 1)
    waiting = spawn(cache.get_or_load, "k", lambda: 1)
    until(lambda: cache.refill.waiting == 1)
    first = cache._core.pace
    if how == "all":
        caches.clear_all()
    elif how == "off":
        cache.enabled = False
    else:
        cache.clear(refill=Refill(1000))
    assert waiting.result() == 1
    assert first.ended_by in {"cleared", "switchedOff"}


def test_a_load_inside_of_a_load_waits_and_does_not_deadlock(cache):
    cache.clear(refill=Refill(0.001, wait_seconds=0.01))

    def outer():
        return cache.get_or_load("inner", lambda: "inner") + " and outer"

    assert cache.get_or_load("outer", outer) == "inner and outer"


def test_what_was_waited_is_not_what_a_load_took(cache, spawn, until, clock):
    cache.clear(refill=Refill(0.001, wait_seconds=60))
    cache.get_or_load("first", lambda: 1)
    waiting = spawn(cache.get_or_load, "k", lambda: clock.advance(0.5))
    until(lambda: cache.refill.waiting == 1)
    clock.advance(40)
    cache.stop_refill()
    waiting.result()
    assert cache.explain("k").load_seconds == pytest.approx(0.5)


def test_a_stale_value_is_served_only_if_it_was_born_behind_the_clear(make, clock, until):
    cache = make(ttl=10, stale_while_revalidate=100)
    cache.get_or_load("k", lambda: "old")
    clock.advance(11)
    cache.clear(refill=Refill(0.001, wait_seconds=0.01))
    assert cache.get_or_load("k", lambda: "new") == "new"
    clock.advance(11)
    assert cache.get_or_load("k", lambda: "newer") == "new"
    until(lambda: cache.get("k") == "newer")


def test_many_keys_are_one_load(cache):
    cache.clear(refill=Refill(0.001, wait_seconds=0.01))
    loaded = cache.get_or_load_many(["a", "b", "c"], lambda keys: dict.fromkeys(keys, 1))
    assert loaded == {"a": 1, "b": 1, "c": 1}
    assert cache.refill.admitted == 1


def test_hot_keys_are_known_by_the_counts_of_the_eviction_policy(cache):
    cache.set_many({f"k{number}": 1 for number in range(50)})
    for _ in range(3):
        cache.get("k7")
    cache.clear(refill=Refill(1000))
    assert (0, "k7") in cache._core.pace._rates
    assert (0, "k8") not in cache._core.pace._rates


def test_an_event_loop_goes_on_while_its_loads_wait(caches):
    cache = caches.service("aio")

    async def run():
        cache.clear(refill=Refill(0.001, wait_seconds=60))
        assert await cache.aget_or_load("first", lambda: 1) == 1
        tasks = [asyncio.create_task(cache.aget_or_load("k", lambda: "new")) for _ in range(3)]
        cancelled = asyncio.create_task(cache.aget_or_load("other", lambda: 1))
        while cache.refill.waiting < 2:  # noqa: ASYNC110  # nothing tells that they wait
            await asyncio.sleep(0)
        cancelled.cancel()
        while cache.refill.waiting > 1:  # noqa: ASYNC110  # the same
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        cache.clear()
        assert await asyncio.gather(*tasks) == ["new"] * 3
        assert cache.get("k") == "new"

        cache.clear(refill=Refill(0.001, wait_seconds=0.01, on_timeout="error"))
        await cache.aget_or_load("first", lambda: 1)
        with pytest.raises(RefillTimeoutError):
            await cache.aget_or_load("second", lambda: 1)
        with pytest.raises(RefillTimeoutError):
            await cache.aget_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))

    asyncio.run(asyncio.wait_for(run(), 20))


def test_loads_are_let_through_without_anybody_asking():
    """On the machine's own clock, with the thread that lets loads through."""
    from cenote import CacheManager

    with CacheManager() as caches:
        cache = caches.service("real")
        cache.clear(refill=Refill(50.0, wait_seconds=30))
        begin = time.monotonic()
        for number in range(20):
            cache.get_or_load(f"k{number}", lambda: 1)
        took = time.monotonic() - begin
        # The first is free, and a tenth of a second's worth may come at once.
        assert took >= (20 - 1 - 5) / 50.0
        assert cache.refill.timed_out == 0
