"""Many keys at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cenote import ConfigurationError, InvalidKeyError, LoadTimeoutError, RecursiveLoadError


def flights(cache):
    return dict(cache._core.state.flights)


def test_many_keys_are_read_stored_and_removed_at_once(cache):
    cache.set_many({"a": 1, "b": None}, tags=["t"])
    assert cache.get_many(["a", "b", "c", "a"]) == {"a": 1, "b": None}
    assert cache.delete_many(["a", "c", "a"]) == 1
    assert cache.invalidate_tags("t") == 1
    assert cache.get_many([]) == {}


def test_values_set_together_end_together(cache, clock):
    cache.set_many({"a": 1, "b": 2}, ttl=5)
    clock.advance(5)
    assert cache.get_many(["a", "b"]) == {}


def test_nothing_is_stored_when_one_key_or_the_terms_cannot_be_used(cache):
    with pytest.raises(InvalidKeyError):
        cache.set_many({"a": 1, "": 2})
    with pytest.raises(ConfigurationError, match="ttl"):
        cache.set_many({"a": 1}, ttl=-1)
    with pytest.raises(ConfigurationError, match="tags"):
        cache.set_many({"a": 1}, tags="t")
    assert len(cache) == 0


def test_one_loader_call_loads_all_that_is_missing(cache):
    cache.set("b", "there")
    asked = []

    def load(keys):
        asked.append(keys)
        return {key: key.upper() for key in keys}

    assert cache.get_or_load_many(["a", "b", "c", "a"], load) == {"a": "A", "b": "there", "c": "C"}
    assert asked == [["a", "c"]]
    assert cache.get_or_load_many(["c", "a"], load) == {"c": "C", "a": "A"}
    assert len(asked) == 1
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads) == (3, 2, 2)


def test_the_loader_is_not_called_for_nothing(cache):
    assert cache.get_or_load_many([], lambda keys: pytest.fail("called")) == {}
    cache.set("a", 1)
    assert cache.get_or_load_many(["a"], lambda keys: pytest.fail("called")) == {"a": 1}


def test_a_key_that_the_loader_leaves_out_is_left_out_and_not_cached(cache):
    assert cache.get_or_load_many(["a", "b"], lambda keys: {"a": 1}) == {"a": 1}
    assert cache.keys() == ["a"]
    assert not flights(cache)


def test_a_key_that_the_loader_adds_is_not_stored(cache):
    assert cache.get_or_load_many(["a"], lambda keys: {"a": 1, "z": 2}) == {"a": 1}
    assert cache.keys() == ["a"]


def test_values_loaded_together_have_the_ttl_and_the_tags_that_were_given(cache, clock):
    cache.get_or_load_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1), ttl=5, tags=lambda value: [f"v{value}"])
    assert cache.explain("a").tags == ("v1",)
    clock.advance(5)
    assert len(cache) == 0


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_loader_that_raises_stores_nothing_and_leaves_no_flight(cache, error):
    def fail(keys):
        raise error

    with pytest.raises(error):
        cache.get_or_load_many(["a", "b"], fail)
    assert not flights(cache)
    assert cache.get_or_load("a", lambda: 1) == 1


@pytest.mark.parametrize("values", [None, 5])
def test_a_loader_that_returns_no_mapping_leaves_no_flight(cache, values):
    with pytest.raises(TypeError, match="not iterable"):
        cache.get_or_load_many(["a", "b"], lambda keys: values)
    assert not flights(cache)


def test_two_callers_share_what_both_want(cache, gate, spawn, until):
    asked = []

    def slow(keys):
        asked.append(keys)
        gate.hold()
        return dict.fromkeys(keys, "slow")

    def quick(keys):
        asked.append(keys)
        return dict.fromkeys(keys, "quick")

    first = spawn(cache.get_or_load_many, ["a", "b"], slow)
    gate.begun()
    second = spawn(cache.get_or_load_many, ["b", "c"], quick)
    until(lambda: cache.stats().coalesced == 1)
    gate.open()
    assert first.result() == {"a": "slow", "b": "slow"}
    assert second.result() == {"b": "slow", "c": "quick"}
    assert asked == [["a", "b"], ["c"]]


def test_a_single_caller_joins_a_load_of_many(cache, gate, spawn, until):
    first = spawn(cache.get_or_load_many, ["a", "b"], lambda keys: gate.hold(dict.fromkeys(keys, 1)))
    gate.begun()
    second = spawn(cache.get_or_load, "b", lambda: pytest.fail("loaded twice"))
    until(lambda: cache.stats().coalesced == 1)
    gate.open()
    assert first.result() == {"a": 1, "b": 1}
    assert second.result() == 1


def test_who_waits_for_a_key_that_another_loader_left_out_loads_it(cache, gate, spawn, until):
    first = spawn(cache.get_or_load_many, ["a", "b"], lambda keys: gate.hold({"a": 1}))
    gate.begun()
    second = spawn(cache.get_or_load_many, ["b"], lambda keys: {"b": "mine"})
    until(lambda: cache.stats().coalesced == 1)
    gate.open()
    assert first.result() == {"a": 1}
    assert second.result() == {"b": "mine"}


def test_two_callers_that_need_each_others_keys_do_not_wait_in_a_circle(cache, spawn):
    both = threading.Barrier(2, timeout=20)

    def load(keys):
        both.wait()
        return dict.fromkeys(keys, 1)

    def many(keys):
        return cache.get_or_load_many(keys, lambda keys: load(keys) if len(keys) == 2 else dict.fromkeys(keys, 1))

    one = spawn(many, ["a", "b"])
    two = spawn(many, ["c", "d"])
    assert one.result() == {"a": 1, "b": 1}
    assert two.result() == {"c": 1, "d": 1}
    one = spawn(cache.get_or_load_many, ["x", "y"], lambda keys: dict.fromkeys(keys, 1))
    two = spawn(cache.get_or_load_many, ["y", "x"], lambda keys: dict.fromkeys(keys, 1))
    assert one.result() == two.result() == {"x": 1, "y": 1}


@pytest.mark.parametrize("wanted", ["first", "last"])
def test_a_loader_of_many_and_one_that_needs_any_of_its_keys_do_not_wait_for_each_other(
    cache, gates, spawn, until, wanted
):
    many, single = gates(), gates()

    def load_many(keys):
        many.hold()
        cache.get_or_load("single", lambda: "alone")
        return dict.fromkeys(keys, "many")

    def load_single():
        single.hold()
        return cache.get_or_load(wanted, lambda: "alone")

    first = spawn(cache.get_or_load_many, ["first", "middle", "last"], load_many)
    second = spawn(cache.get_or_load, "single", load_single)
    many.begun()
    single.begun()
    many.open()
    until(lambda: cache.stats().coalesced == 1)
    single.open()
    assert second.result() == "alone"
    assert first.result() == {"first": "many", "middle": "many", "last": "many"}
    assert not flights(cache)


@pytest.mark.parametrize("wanted", ["a", "b"])
def test_a_loader_of_many_that_asks_for_one_of_its_keys_is_told_so(cache, wanted):
    with pytest.raises(RecursiveLoadError, match=wanted):
        cache.get_or_load_many(["a", "b"], lambda keys: {key: cache.get_or_load(wanted, int) for key in keys})
    assert not flights(cache)


def test_a_load_of_many_amid_which_one_key_is_a_recursion_leaves_no_flight(cache):
    def load():
        return cache.get_or_load_many(["before", "k", "after"], lambda keys: dict.fromkeys(keys, 1))

    with pytest.raises(RecursiveLoadError):
        cache.get_or_load("k", load)
    assert not flights(cache)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_remembered_failure_of_one_key_leaves_no_flight_of_another(make, asynchronous):
    cache = make(negative_ttl=60)
    with pytest.raises(LookupError):
        cache.get_or_load("bad", lambda: {}["bad"])

    def load(keys):
        return dict.fromkeys(keys, 1)

    def call():
        if asynchronous:
            return asyncio.run(cache.aget_or_load_many(["good", "bad"], load))
        return cache.get_or_load_many(["good", "bad"], load)

    with pytest.raises(LookupError):
        call()
    assert not flights(cache)


def test_a_load_of_many_that_takes_too_long_is_given_up(make, gate):
    cache = make(load_timeout=0.02)
    with pytest.raises(LoadTimeoutError, match="a, b"):
        cache.get_or_load_many(["a", "b"], gate.hold)
    assert not flights(cache)


def test_a_clear_amid_a_load_of_many_keeps_its_values_from_being_stored(cache, gate, spawn):
    load = spawn(cache.get_or_load_many, ["a", "b"], lambda keys: gate.hold(dict.fromkeys(keys, "old")))
    gate.begun()
    cache.clear()
    gate.open()
    assert load.result() == {"a": "old", "b": "old"}
    assert len(cache) == 0


def test_a_delete_amid_a_load_of_many_keeps_that_value_from_being_stored(cache, gate, spawn):
    load = spawn(cache.get_or_load_many, ["a", "b"], lambda keys: gate.hold(dict.fromkeys(keys, "old")))
    gate.begun()
    cache.delete("a")
    gate.open()
    load.result()
    assert cache.keys() == ["b"]


def test_stale_values_of_many_are_served_and_reloaded_in_the_background(make, clock, until):
    cache = make(ttl=10, stale_while_revalidate=10)
    cache.set_many({"a": "old", "b": "old"})
    clock.advance(11)
    asked = []

    def load(keys):
        asked.append(keys)
        return dict.fromkeys(keys, "new")

    assert cache.get_or_load_many(["a", "b"], load) == {"a": "old", "b": "old"}
    until(lambda: cache.get_many(["a", "b"]) == {"a": "new", "b": "new"})


async def test_the_asynchronous_twins_do_what_their_twins_do(cache):
    asked = []

    async def load(keys):
        asked.append(keys)
        await asyncio.sleep(0)
        return {key: key.upper() for key in keys}

    await cache.aset_many({"a": "there"})
    assert await cache.aget_many(["a", "b"]) == {"a": "there"}
    assert await cache.aget_or_load_many(["a", "b", "c"], load) == {"a": "there", "b": "B", "c": "C"}
    assert asked == [["b", "c"]]
    assert await cache.aget_or_load_many(["d"], lambda keys: {"d": 1}) == {"d": 1}
    assert await cache.adelete_many(["a", "b", "z"]) == 2


async def test_tasks_share_what_they_both_want(cache):
    release = asyncio.Event()
    asked = []

    async def load(keys):
        asked.append(keys)
        await release.wait()
        return dict.fromkeys(keys, len(asked))

    one = asyncio.create_task(cache.aget_or_load_many(["a", "b"], load))
    for _ in range(3):
        await asyncio.sleep(0)
    two = asyncio.create_task(cache.aget_or_load_many(["b", "c"], load))
    for _ in range(3):
        await asyncio.sleep(0)
    release.set()
    await asyncio.gather(one, two)
    assert asked == [["a", "b"], ["c"]]


async def test_a_cancelled_caller_of_many_cancels_nobody_elses_load(cache):
    release, cancelled = asyncio.Event(), []

    async def load(keys):
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled.append(keys)
            raise
        return dict.fromkeys(keys, 1)

    one = asyncio.create_task(cache.aget_or_load_many(["a", "b"], load))
    for _ in range(3):
        await asyncio.sleep(0)
    two = asyncio.create_task(cache.aget_or_load("b", lambda: pytest.fail("loaded twice")))
    for _ in range(3):
        await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    assert not cancelled
    release.set()
    assert await two == 1


async def test_a_load_of_many_that_nobody_waits_for_any_more_is_cancelled(cache):
    cancelled = asyncio.Event()

    async def load(keys):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    one = asyncio.create_task(cache.aget_or_load_many(["a", "b"], load))
    for _ in range(3):
        await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    async with asyncio.timeout(20):
        await cancelled.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not flights(cache)


async def test_who_joined_a_load_of_many_last_cancels_it_by_leaving(cache):
    cancelled = asyncio.Event()

    async def load(keys):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    one = asyncio.create_task(cache.aget_or_load_many(["a", "b"], load))
    for _ in range(3):
        await asyncio.sleep(0)
    two = asyncio.create_task(cache.aget_or_load("b", lambda: pytest.fail("loaded twice")))
    for _ in range(3):
        await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    two.cancel()
    await asyncio.wait([two])
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_who_fails_over_one_key_waits_for_no_other(cache):
    cancelled = asyncio.Event()

    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail(keys):
        await asyncio.sleep(0)
        raise OSError("no disk")

    slowly = asyncio.create_task(cache.aget_or_load("slow", slow))
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(OSError, match="no disk"):
        await cache.aget_or_load_many(["slow", "other"], fail)
    slowly.cancel()
    async with asyncio.timeout(5):
        await cancelled.wait()
