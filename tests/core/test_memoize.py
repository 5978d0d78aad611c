"""Memoized functions: what counts as the same call, and what they can be told."""

from __future__ import annotations

import asyncio
import functools
import inspect
from dataclasses import dataclass

import pytest

from cenote import ConfigurationError, UnhashableArgumentError


def counted(cache, **options):
    """A memoized function that returns the number of times it ran."""
    runs = []

    @cache.memoize(name="counted", **options)
    def function(value):
        runs.append(value)
        return len(runs)

    return function


def test_a_second_call_does_not_run_the_function(cache):
    f = counted(cache)
    assert (f(1), f(1), f(2), f(1)) == (1, 1, 2, 1)


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, True, "1", b"1"),
        (0, 0.0, -0.0, False, None, "", b"", ()),
        (-1, -2),
        ((1, 2), (1.0, 2), (True, 2), ("1", 2)),
        (frozenset({1}), frozenset({1.0}), frozenset({True})),
        ((), ((),), (((),),)),
        (("a", "b"), "a, b", "('a', 'b')"),
        (int, "int", float),
    ],
    ids=lambda values: str(values[0]),
)
def test_arguments_of_different_types_are_different_arguments(cache, values):
    f = counted(cache)
    assert [f(value) for value in values] == list(range(1, len(values) + 1))
    assert [f(value) for value in values] == list(range(1, len(values) + 1))
    assert len(set(cache.keys())) == len(values)


def test_not_a_number_is_the_same_argument_every_time(cache):
    f = counted(cache)
    assert f(float("nan")) == f(float("nan")) == 1


def test_the_same_values_by_position_by_name_and_by_default_are_one_call(cache):
    runs = []

    @cache.memoize()
    def f(a, b=2, *, c=3):
        runs.append((a, b, c))
        return a, b, c

    for result in (f(1), f(1, 2), f(a=1), f(1, b=2), f(b=2, a=1), f(1, c=3), f(c=3, b=2, a=1)):
        assert result == (1, 2, 3)
    assert runs == [(1, 2, 3)]


def test_star_arguments_and_named_ones_in_any_order_are_one_call(cache):
    runs = []

    @cache.memoize(name="f")
    def f(*args, **kwargs):
        runs.append((args, kwargs))
        return len(runs)

    assert f(1, 2, x=1, y=2) == f(1, 2, y=2, x=1) == 1
    assert f(1, 2) == 2
    assert f((1, 2)) == 3
    assert f(1, ("x", 1)) == 4
    assert f(1, x=1) == 5
    assert f() == 6
    assert f.key(1, y=2, x="a") == "f(1, x='a', y=2)"


def test_every_kind_of_parameter_is_bound_as_python_binds_it(cache):
    def plain(a, /, b, c=3, *rest, d, e=5, **others):
        return a, b, c, rest, d, e, others

    f = cache.memoize()(plain)
    for args, kwargs in [
        ((1, 2), {"d": 4}),
        ((1,), {"b": 2, "d": 4, "z": 9}),
        ((1, 2, 3, 4, 5), {"d": 4, "e": 6, "a": "another a"}),
    ]:
        assert f(*args, **kwargs) == plain(*args, **kwargs) == f(*args, **kwargs)
    for args, kwargs in [((), {}), ((1, 2), {}), ((1, 2), {"d": 1, "b": 3})]:
        with pytest.raises(TypeError):
            f(*args, **kwargs)


def test_the_function_gets_the_very_arguments_of_the_caller(cache):
    got = []

    @cache.memoize()
    def f(value):
        got.append(value)

    argument = (1, 2)
    f(argument)
    assert got[0] is argument


def test_a_function_without_parameters_has_one_entry(cache):
    runs = []

    @cache.memoize(name="now")
    def now():
        runs.append(1)
        return len(runs)

    assert now() == now() == 1
    assert cache.keys() == ["now()"]
    assert cache.delete("now()") is True
    assert now() == 2


def test_none_is_cached_like_any_other_result(cache):
    runs = []

    @cache.memoize()
    def f():
        runs.append(1)

    f()
    f()
    assert len(runs) == 1


def test_an_error_is_raised_and_not_cached(cache):
    runs = []

    @cache.memoize()
    def f():
        runs.append(1)
        raise OSError("no disk")

    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            f()
    assert len(runs) == 2
    assert len(cache) == 0


def test_the_wrapper_looks_like_the_function(cache):
    def f(a: int, b: str = "x") -> list[str]:
        """Doc."""
        return [b] * a

    memoized = cache.memoize()(f)
    assert (memoized.__name__, memoized.__doc__, memoized.__module__) == ("f", "Doc.", __name__)
    assert memoized.__wrapped__ is f
    assert inspect.signature(memoized) == inspect.signature(f)


def test_a_memoized_coroutine_function_is_a_coroutine_function(cache):
    @cache.memoize()
    async def f():
        return 1

    assert inspect.iscoroutinefunction(f)


async def test_a_coroutine_runs_once_and_serves_what_it_returned(cache):
    runs = []

    @cache.memoize()
    async def f(value):
        runs.append(value)
        await asyncio.sleep(0)
        return [value]

    first = await f(1)
    assert await f(1) is first
    assert runs == [1]


async def test_a_memoized_coroutine_can_be_told_what_to_forget_and_to_load_anew(cache):
    runs = []

    @cache.memoize(name="f")
    async def f(value):
        runs.append(value)
        return len(runs)

    assert await f("a") == 1
    assert f.invalidate("a") is True
    assert await f("a") == 2
    assert await f.refresh("a") == 3
    assert await f("a") == 3
    assert f.key("a") == "f('a')"
    f.cache_clear()
    assert await f("a") == 4


def test_one_call_can_be_forgotten(cache):
    f = counted(cache)
    assert (f(1), f(2)) == (1, 2)
    assert f.invalidate(1) is True
    assert f.invalidate(1) is False
    assert (f(1), f(2)) == (3, 2)


def test_a_refresh_loads_whatever_is_there_and_keeps_the_new_value(cache):
    f = counted(cache)
    assert f(1) == 1
    assert f.refresh(1) == 2
    assert f(1) == 2
    assert f.refresh(2) == 3
    assert f(2) == 3


def test_a_refresh_that_fails_raises_and_leaves_the_value_that_was_there(cache):
    values = iter([1])

    @cache.memoize()
    def f():
        return next(values)

    assert f() == 1
    with pytest.raises(StopIteration):
        f.refresh()
    assert f() == 1


def test_cache_info_and_cache_clear_are_those_of_functools(make):
    cache = make(max_entries=100)
    f = counted(cache)
    f(1)
    f(1)
    f(2)
    info = f.cache_info()
    assert info == (1, 2, 100, 2)
    assert info._fields == functools.lru_cache(int).cache_info()._fields
    f.cache_clear()
    assert f.cache_info().currsize == 0
    assert f(1) == 3


def test_cache_clear_of_one_function_leaves_the_others_and_the_keys_of_callers(cache):
    f = counted(cache)

    @cache.memoize(name="counted_too")
    def other():
        return "other"

    f(1)
    other()
    cache.set("counted", 1)
    f.cache_clear()
    assert cache.keys() == ["counted", "counted_too()"]


def test_cache_clear_needs_no_text_of_the_arguments(cache):
    class Mute:
        def __repr__(self):
            pytest.fail("asked for the text of an argument")

    f = counted(cache)
    f(Mute())
    f.cache_clear()
    assert f.cache_info().currsize == 0


def test_an_unhashable_argument_is_named(cache):
    f = counted(cache)
    with pytest.raises(UnhashableArgumentError, match=r"argument 'value' of counted .* 'list'.*ignore= .* key="):
        f([1])
    with pytest.raises(UnhashableArgumentError, match="'value'"):
        f(([1], 2))


@pytest.mark.parametrize("method", ["invalidate", "refresh"])
def test_an_unhashable_argument_is_named_by_every_method(cache, method):
    f = counted(cache)
    with pytest.raises(UnhashableArgumentError, match="'value'"):
        getattr(f, method)([1])


def test_an_unhashable_star_argument_is_refused(cache):
    @cache.memoize()
    def f(*args, **kwargs):
        return 1

    with pytest.raises(UnhashableArgumentError, match="arguments"):
        f([1])
    with pytest.raises(UnhashableArgumentError, match="arguments"):
        f(x={})


def test_a_type_error_of_the_function_is_not_taken_for_an_unhashable_argument(cache):
    @cache.memoize()
    def f(value):
        return value + 1

    with pytest.raises(TypeError, match="can only concatenate") as raised:
        f("a")
    assert not isinstance(raised.value, UnhashableArgumentError)


def test_dataclasses_that_are_frozen_are_arguments_like_others(cache):
    @dataclass(frozen=True)
    class Point:
        x: int

    f = counted(cache)
    assert f(Point(1)) == f(Point(1)) == 1
    assert f(Point(2)) == 2


def test_a_loader_that_returns_a_coroutine_is_told_so(cache):
    async def load():
        return 1

    def plain():
        return load()

    for call in (
        lambda: cache.get_or_load("k", load),
        cache.memoize()(plain),
        lambda: cache.set("k", load()),
    ):
        with pytest.raises(ConfigurationError, match="coroutine"):
            call()
    assert len(cache) == 0
