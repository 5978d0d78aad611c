"""Memory: what leaves is freed, and what functions leave behind is used again."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from cenote.state import State


class Value:
    """Something that a weak reference can watch."""


def watched(cache, key="k", **terms):
    value = Value()
    cache.set(key, value, **terms)
    return weakref.ref(value)


LEAVING = {
    "deleted": lambda cache, clock: cache.delete("k"),
    "overwritten": lambda cache, clock: cache.set("k", 1),
    "overwritten by a tagged one": lambda cache, clock: cache.set("k", 1, tags=["t"]),
    "set to nothing": lambda cache, clock: cache.set("k", 1, ttl=0),
    "evicted": lambda cache, clock: [cache.set(f"{number}", 1) for number in range(50)],
    "expired": lambda cache, clock: (clock.advance(100), len(cache)),
    "invalidated by prefix": lambda cache, clock: cache.clear(prefix="k"),
    "invalidated by tag": lambda cache, clock: cache.invalidate_tags("t"),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
@pytest.mark.parametrize("tags", [[], ["t"]], ids=["plain", "tagged"])
def test_the_value_of_an_entry_that_left_is_freed_at_once(make, clock, leave, eviction, tags):
    if leave is LEAVING["invalidated by tag"]:
        tags = ["t"]
    cache = make(max_entries=10, ttl=60, eviction=eviction)
    seen = watched(cache, tags=tags)
    leave(cache, clock)
    assert seen() is None


@pytest.mark.parametrize("mode", ["clear", "clear_all", "off"])
def test_values_are_freed_after_a_clear(caches, cache, until, mode):
    seen = [watched(cache, f"k{number}", ttl=60) for number in range(100)]
    if mode == "clear":
        cache.clear()
    elif mode == "clear_all":
        caches.clear_all()
    else:
        cache.enabled = False
    until(lambda: all(value() is None for value in seen))


def test_values_are_freed_when_the_manager_is_closed(caches, cache, until):
    seen = watched(cache)
    caches.close()
    until(lambda: seen() is None)


def test_the_entries_of_a_function_that_nobody_holds_are_freed_by_the_next_one(cache):
    value = Value()
    seen = weakref.ref(value)

    def make(result):
        @cache.memoize()
        def f():
            return result

        return f

    f = make(value)
    f()
    del f, value
    gc.collect()
    make(None)()
    gc.collect()
    assert seen() is None


def test_tables_of_functions_that_nobody_holds_are_used_again(cache):
    def request(number):
        @cache.memoize()
        def f(value):
            return number, value

        return f(1)

    for number in range(200):
        assert request(number) == (number, 1)
    gc.collect()
    core = cache._core
    assert len(core.slots) < 20
    assert len(core.state.tables) == len(core.slots)
    assert len(core.functions) < 20
    assert len(core.openings) < 20
    stats = cache.stats()
    assert (stats.misses, stats.loads) == (200, 200)


def test_a_table_that_is_used_again_begins_empty(cache):
    def make(name):
        return cache.memoize(name=name)(lambda value: name)

    for name in ["a", "b", "c"]:
        f = make(name)
        assert f(1) == name
        assert f.cache_info() == (0, 1, 10_000, 1)
        del f
        gc.collect()


def test_a_fill_for_a_function_that_is_gone_does_not_reach_the_next_one(cache):
    f = cache.memoize(name="f")(lambda value: "f")
    token = cache.fill("f(1)")
    del f
    gc.collect()
    g = cache.memoize(name="g")(lambda value: "g")
    token.set("value for f")
    assert g(1) == "g"


@pytest.mark.parametrize("method", ["refresh", "invalidate", "cache_clear", "key"])
def test_what_is_kept_of_a_function_does_not_reach_into_the_table_of_another(cache, method):
    kept = getattr(cache.memoize(name="f")(lambda value: "f"), method)
    gc.collect()
    g = cache.memoize(name="g")(lambda value: "g")
    assert g(1) == "g"
    if method == "cache_clear":
        kept()
    else:
        kept(1)
    assert g(1) == "g"
    assert g.cache_info() == (1, 1, 10_000, 1)


def test_a_load_of_a_function_that_is_gone_does_not_reach_the_next_one(cache, gate, spawn):
    def start():
        f = cache.memoize(name="f")(lambda value: gate.hold("f"))
        return spawn(f, 1)

    load = start()
    gate.begun()
    gc.collect()
    g = cache.memoize(name="g")(lambda value: "g")
    gate.open()
    assert load.result() == "f"
    assert g(1) == "g"


def test_an_entry_does_not_outlive_its_ignored_self(cache):
    class Library:
        @cache.memoize(ignore="self", name="analyse")
        def analyse(self, chapter):
            return chapter

    library = Library()
    seen = weakref.ref(library)
    library.analyse(1)
    del library
    gc.collect()
    assert seen() is None


async def test_ended_tasks_are_not_kept(cache):
    async def load():
        await asyncio.sleep(0)
        return 1

    for number in range(10):
        await cache.aget_or_load(f"k{number}", load)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not cache._core.tasks


def test_a_loaded_value_is_held_by_its_entry_alone(cache):
    seen = weakref.ref(cache.get_or_load("k", Value))
    gc.collect()
    assert seen() is not None
    cache.delete("k")
    gc.collect()
    assert seen() is None


def test_what_a_failed_loader_held_is_freed(cache):
    def fail():
        value = Value()
        seen.append(weakref.ref(value))
        raise OSError("no disk")

    seen = []
    with pytest.raises(OSError, match="no disk"):
        cache.get_or_load("k", fail)
    gc.collect()
    assert seen[0]() is None


def test_a_remembered_failure_does_not_hold_what_its_readers_hold(make):
    cache = make(negative_ttl=60)

    def read():
        value = Value()
        seen.append(weakref.ref(value))
        with pytest.raises(LookupError):
            cache.get_or_load("k", lambda: {}["k"])

    seen = []
    read()
    read()
    gc.collect()
    assert seen[0]() is None
    assert seen[1]() is None


def test_repeated_clears_leave_no_states_behind(cache, until):
    def states():
        gc.collect()
        return sum(isinstance(thing, State) for thing in gc.get_objects())

    before = states()
    for number in range(50):
        cache.set("k", number, ttl=5)
        cache.clear()
    until(lambda: states() <= before + 1)
