"""Interleavings with functions that are made, named and collected."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from cenote import CacheManager, approach, clearing, selecting
from cenote.cache import Cache
from cenote.core import CacheCore
from cenote.signature import Shape

from .interleaving import before_line, ended, in_thread, memoized, memoized_local


def made(cache: Any, source: str) -> Any:
    def function(x: str) -> str:
        return f"{source} {x}"

    function.__qualname__ = "f"
    return cache.memoize()(function)


def test_a_fill_token_of_a_dead_function_stores_nothing_in_the_table_that_another_got() -> None:
    cache = CacheManager().service("s")
    dead = memoized(cache, "dead", "dead")
    token = cache.fill(dead.key("x"))
    del dead
    gc.collect()
    alive = memoized(cache, "alive", "alive")
    assert not token.set("of the dead")
    assert alive("x") == "alive x"
    assert cache.clear(prefix="alive(").entries_cleared == 1


def test_refresh_outlives_its_function_without_touching_the_table_that_another_got() -> None:
    cache = CacheManager().service("s")
    dead = memoized(cache, "dead", "dead")
    refresh, forget = dead.refresh, dead.invalidate
    del dead
    gc.collect()
    alive = memoized(cache, "alive", "alive")
    assert refresh("x") == "dead x"
    assert alive("x") == "alive x"
    assert forget("x")
    assert refresh("x") == "dead x"
    assert alive("x") == "alive x"


@pytest.mark.parametrize("write", ["set", "get_or_load", "fill"])
def test_what_was_resolved_to_a_dead_function_is_not_stored_for_the_next_one(write: str) -> None:
    cache = CacheManager().service("s")
    dead = [memoized(cache, "dead", "dead")]
    alive: list[Any] = []

    def replace() -> None:
        dead.clear()
        gc.collect()
        alive.append(memoized(cache, "alive", "alive"))

    if write == "set":
        with before_line(CacheCore.store_value, "with self.exclusive", replace):
            cache.set("dead('x')", "of the dead")
    elif write == "fill":
        with before_line(CacheCore.new_fill, "with self.changing", replace):
            token = cache.fill("dead('x')")
        assert not token.set("of the dead")
    else:
        with before_line(approach.approach, "with core.lock", replace):
            assert cache.get_or_load("dead('x')", lambda: "of the dead") == "of the dead"
    assert alive[0]("x") == "alive x"


def test_an_identifier_that_was_stored_before_its_function_was_made_can_be_deleted() -> None:
    cache = CacheManager().service("s")
    cache.set("late('x')", "old")
    token = cache.fill("late('y')")
    late = memoized(cache, "late", "late")
    cache.delete("late('x')")
    assert cache.get("late('x')") is None
    assert not token.set("old")
    assert late("x") == "late x"
    assert cache.get("late('x')") == "late x"


def test_a_set_that_was_resolved_before_its_function_was_made_is_not_left_out_of_reach() -> None:
    cache = CacheManager().service("s")
    late: list[Any] = []
    with before_line(
        CacheCore.store_value, "with self.exclusive", lambda: late.append(memoized(cache, "late", "late"))
    ):
        cache.set("late('x')", "old")
    cache.delete("late('x')")
    assert cache.get("late('x')") is None


def test_cache_clear_holds_for_its_function_while_another_takes_its_name() -> None:
    cache = CacheManager().service("s")
    answers = ["old", "new"]

    def first(x: str) -> str:
        return answers.pop(0) + x

    first.__qualname__ = "f"
    memoized = cache.memoize()(first)
    assert memoized("x") == "oldx"
    with before_line(Cache._clear_scope, "return run_clear", lambda: made(cache, "other")):
        memoized.cache_clear()
    assert memoized("x") == "newx"


def test_a_prefix_holds_for_a_function_while_another_takes_its_name() -> None:
    cache = CacheManager().service("s")
    answers = ["old", "new"]

    def first(x: str) -> str:
        return answers.pop(0) + x

    first.__qualname__ = "f"
    memoized = cache.memoize()(first)
    assert memoized("x") == "oldx"
    with before_line(selecting._clear_scope_here, "covered = tagged", lambda: made(cache, "other")):
        assert cache.clear(prefix="f('x").entries_cleared == 1
    assert memoized("x") == "newx"


@pytest.mark.parametrize("prefix", [None, "dead('"])
def test_a_clear_lists_what_it_took_from_a_table_that_another_function_got_meanwhile(prefix: str | None) -> None:
    cache = CacheManager().service("s")
    dead = [memoized(cache, "dead", "dead")]
    dead[0]("x")

    def replace() -> None:
        dead.clear()
        gc.collect()
        cache.memoize(name="alive")(lambda *args, **named: (args, named))

    function, text = (
        (clearing._clear_here, "finish(") if prefix is None else (selecting._clear_scope_here, "covered = tagged")
    )
    with before_line(function, text, replace):
        result = cache.clear(prefix=prefix)
    assert result.cleared_items in (("dead('x')",), ())
    assert result.entries_cleared == len(result.cleared_items)


def test_functions_made_at_the_same_time_get_different_names() -> None:
    cache = CacheManager().service("s")
    made: list[Any] = []
    threads: list[threading.Thread] = []

    def make_another() -> None:
        threads.append(in_thread(lambda: made.append(memoized_local(cache))))
        threads[0].join(0.2)

    with before_line(Shape.__init__, "self._name", make_another):
        made.append(memoized_local(cache))
    assert ended(*threads)
    assert len({function.key("x") for function in made}) == 2
    for function in made:
        function("x")
        assert cache.delete(function.key("x"))


class _Price(float):
    """A number of another type, written alike."""


class _One:
    def __repr__(self) -> str:
        return "1"


@pytest.mark.parametrize("argument", [_Price(1.0), _One(), 1 + 2j, True, None, (1, _Price(2.0)), "x", b"x", 1.5])
def test_an_identifier_is_read_back_as_the_argument_it_was_written_for(argument: Any) -> None:
    cache = CacheManager().service("s")
    answers = ["old", "new"]

    @cache.memoize(name="f")
    def function(x: Any) -> str:
        return answers.pop(0)

    assert function(argument) == "old"
    assert cache.delete(cache.keys()[0])
    assert function(argument) == "new"


def test_values_of_a_dead_function_are_freed_outside_of_the_write_lock() -> None:
    cache = CacheManager().service("s")
    inside: list[bool] = []

    class Value:
        def __del__(self) -> None:
            inside.append(cache._core.lock._is_owned())

    def make() -> Value:
        return Value()

    dead = cache.memoize(name="dead")(make)
    dead()
    del dead
    gc.collect()
    memoized(cache, "alive", "alive")
    gc.collect()
    assert inside == [False]
