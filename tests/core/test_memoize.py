"""Memoized functions: what counts as the same call, and what they can be told."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
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


def test_a_key_function_stands_for_the_arguments(cache):
    runs = []

    @cache.memoize(key=lambda record: record["id"], name="f")
    def f(record):
        runs.append(record)
        return len(runs)

    assert f({"id": 7, "x": 1}) == f({"id": 7, "x": 2}) == 1
    assert f({"id": 8}) == 2
    assert cache.keys() == ["f(7)", "f(8)"]
    assert f.invalidate({"id": 7}) is True
    assert f.key({"id": 8}) == "f(8)"
    assert cache.delete("f(8)") is True


def test_a_key_function_that_returns_something_unhashable_is_told_so(cache):
    @cache.memoize(key=lambda value: [value], name="f")
    def f(value):
        return value

    with pytest.raises(UnhashableArgumentError, match="the key of f"):
        f(1)


@pytest.mark.parametrize("key", ["id", 5, ()])
def test_a_key_that_is_no_function_is_refused(cache, key):
    with pytest.raises(ConfigurationError, match="key"):
        cache.memoize(key=key)


@pytest.mark.parametrize("ignore", ["session", ["session"], ("session",), {"session"}])
def test_an_ignored_parameter_does_not_count(cache, ignore):
    runs = []

    @cache.memoize(ignore=ignore, name="f")
    def f(session, chapter):
        runs.append(session)
        return len(runs)

    assert f([], "ch-1") == f({}, "ch-1") == f(object(), chapter="ch-1") == 1
    assert cache.keys() == ["f('ch-1')"]
    assert f.invalidate(None, "ch-1") is True


def test_an_ignored_parameter_that_there_is_not_is_refused(cache):
    with pytest.raises(ConfigurationError, match="ignore names sesion"):

        @cache.memoize(ignore=["sesion"])
        def f(session):
            return session


def test_self_counts_unless_it_is_ignored(cache):
    class Library:
        runs = 0

        @cache.memoize()
        def counting(self, chapter):
            Library.runs += 1
            return Library.runs

        @cache.memoize(ignore="self")
        def ignoring(self, chapter):
            Library.runs += 1
            return Library.runs

    one, other = Library(), Library()
    assert (one.counting(1), other.counting(1), one.counting(1)) == (1, 2, 1)
    assert (one.ignoring(1), other.ignoring(1)) == (3, 3)


def test_class_methods_and_static_methods_can_be_memoized_in_either_order(cache):
    class Library:
        runs = 0

        @cache.memoize()
        @classmethod
        def outer_class(cls, value):
            Library.runs += 1
            return cls, value

        @classmethod
        @cache.memoize()
        def inner_class(cls, value):
            Library.runs += 1
            return cls, value

        @cache.memoize()
        @staticmethod
        def outer_static(value):
            Library.runs += 1
            return value

        @staticmethod
        @cache.memoize()
        def inner_static(value):
            Library.runs += 1
            return value

    class Child(Library):
        pass

    for method in ("outer_class", "inner_class"):
        assert getattr(Library, method)(1) == (Library, 1)
        assert getattr(Library(), method)(1) == (Library, 1)
        assert getattr(Child, method)(1) == (Child, 1)
    for method in ("outer_static", "inner_static"):
        assert getattr(Library, method)(2) == getattr(Library(), method)(2) == 2
    assert Library.runs == 6


def test_an_instance_without_a_hash_is_named_as_the_argument_self(cache):
    class Equal:
        def __eq__(self, other):
            return True

        __hash__ = None

        @cache.memoize()
        def method(self):
            return 1

    with pytest.raises(UnhashableArgumentError, match=r"'self'.*ignore="):
        Equal().method()


def test_generators_are_refused(cache):
    def generator():
        yield 1

    async def async_generator():
        yield 1

    for function in (generator, async_generator):
        with pytest.raises(ConfigurationError, match="is a generator, which can be read only once"):
            cache.memoize()(function)


@pytest.mark.parametrize("thing", [5, "f", None, int])
def test_what_is_no_function_is_refused(cache, thing):
    with pytest.raises(ConfigurationError, match="memoize decorates functions"):
        cache.memoize()(thing)


def test_a_callable_object_can_be_memoized(cache):
    class Adder:
        def __call__(self, value):
            return value + 1

    f = cache.memoize()(Adder())
    assert f(1) == f(1) == 2
    assert f.cache_info().hits == 1
    assert cache.keys()[0].endswith("Adder(1)")


def test_partials_lambdas_and_built_in_functions_can_be_memoized(cache):
    assert cache.memoize()(functools.partial(pow, 2))(3) == 8
    assert cache.memoize(name="double")(lambda value: value * 2)(4) == 8
    assert cache.memoize()(len)("abc") == 3


def test_a_function_whose_signature_is_not_known_is_refused_with_the_reason(cache):
    with pytest.raises(ConfigurationError, match="signature"):
        cache.memoize()(max)


def test_a_name_begins_the_identifiers(cache):
    @cache.memoize(name="chapters")
    def f(number):
        return number

    f(1)
    assert cache.keys() == ["chapters(1)"]


@pytest.mark.parametrize("name", ["", "a(b", "a)", 5, b"f"])
def test_a_name_that_no_identifier_can_begin_with_is_refused(cache, name):
    with pytest.raises(ConfigurationError, match="name"):
        cache.memoize(name=name)(lambda value: value)


def test_two_different_functions_of_one_name_are_refused_in_one_cache(cache):
    cache.memoize(name="f")(asyncio.iscoroutine)
    with pytest.raises(ConfigurationError, match="give name="):
        cache.memoize(name="f")(asyncio.isfuture)


def test_functions_made_by_another_function_do_not_share_their_entries(cache):
    def make(offset):
        @cache.memoize()
        def add(value):
            return value + offset

        return add

    one, two = make(1), make(2)
    assert (one(1), two(1), one(1), two(1)) == (2, 3, 2, 3)
    assert cache.keys() == ["add#2(1)", "add(1)"]
    assert cache.delete("add(1)") is True
    assert (one.cache_info().currsize, two.cache_info().currsize) == (0, 1)


def test_a_function_defined_again_takes_the_name_over(cache):
    source = "@cache.memoize()\ndef f(value):\n    return {0}, value\n"
    space = {"cache": cache, "__name__": "notebook"}
    exec(source.format("'old'"), space)
    old = space["f"]
    old(1)
    exec(source.format("'new'"), space)
    new = space["f"]
    assert new(1) == ("new", 1)
    assert old(1) == ("old", 1)
    assert new.key(1) == "f(1)"
    assert old.key(1) != "f(1)"
    assert cache.delete("f(1)") is True
    assert new.cache_info().currsize == 0
    assert old.cache_info().currsize == 1


def test_a_ttl_may_depend_on_the_value(cache, clock):
    @cache.memoize(ttl=lambda value: value)
    def f(value):
        return value

    f(5)
    f(None)
    f(0)
    assert f.cache_info().currsize == 2
    clock.advance(5)
    assert f.cache_info().currsize == 1


def test_a_ttl_that_depends_on_the_value_and_is_none_of_seconds_fails_the_call(cache):
    f = cache.memoize(ttl=lambda value: -1, name="f")(lambda value: value)
    with pytest.raises(ConfigurationError, match="ttl"):
        f(1)
    assert len(cache) == 0


@pytest.mark.parametrize("ttl", [-1, "60", float("inf"), True])
def test_a_ttl_that_is_none_of_seconds_is_refused_before_the_first_call(cache, ttl):
    with pytest.raises(ConfigurationError, match="ttl"):
        cache.memoize(ttl=ttl)


def test_tags_are_fixed_or_made_from_the_arguments(cache):
    fixed = cache.memoize(tags=["library"], name="fixed")(lambda chapter: chapter)
    made = cache.memoize(tags=lambda chapter: [f"chapter:{chapter}"], name="made")(lambda chapter: chapter)
    fixed(1)
    made(1)
    made(2)
    assert cache.invalidate_tags("chapter:1") == 1
    assert cache.keys() == ["fixed(1)", "made(2)"]
    assert cache.invalidate_tags("library") == 1


@pytest.mark.parametrize("tags", ["library", 5, [""]])
def test_tags_that_cannot_be_tags_are_refused_before_the_first_call(cache, tags):
    with pytest.raises(ConfigurationError, match="tag"):
        cache.memoize(tags=tags)(lambda value: value)


def test_a_value_is_kept_only_if_asked_to(cache):
    runs = []

    @cache.memoize(cache_if=lambda value: value is not None)
    def f(value):
        runs.append(value)
        return value

    assert (f(None), f(None), f(1), f(1)) == (None, None, 1, 1)
    assert runs == [None, None, 1]


def test_a_refreshed_value_that_is_not_to_be_kept_takes_the_old_one_along(cache):
    values = iter([1, None, 2])

    @cache.memoize(cache_if=lambda value: value is not None)
    def f():
        return next(values)

    assert f() == 1
    assert f.refresh() is None
    assert f() == 2


@pytest.mark.parametrize("cache_if", [5, "yes", True])
def test_a_cache_if_that_is_no_function_is_refused(cache, cache_if):
    with pytest.raises(ConfigurationError, match="cache_if"):
        cache.memoize(cache_if=cache_if)(lambda value: value)


def test_a_memoized_function_can_be_pickled_by_its_name(cache, monkeypatch):
    import sys

    module = type(sys)("made_module")
    exec("def f(value):\n    return value\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_module", module)
    module.f = cache.memoize()(module.f)
    assert pickle.loads(pickle.dumps(module.f)) is module.f


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


def test_many_calls_of_one_name_are_told_apart_by_their_parameters_names(cache):
    @cache.memoize(name="f")
    def f(*, a=0, b=0):
        return a, b

    assert f(a=1) == (1, 0)
    assert f(b=1) == (0, 1)
    assert cache.keys() == ["f(a=0, b=1)", "f(a=1, b=0)"]


def test_a_parameter_may_have_any_name(cache):
    @cache.memoize()
    def f(wrapper, type, args, kwargs, key, value, self, make, int, str):  # noqa: A002, PLR0917  # awkward on purpose
        return [wrapper, type, args, kwargs, key, value, self, make, int, str]

    assert f(*range(10)) == list(range(10)) == f(*range(10))


def test_memoize_works_without_parentheses(cache):
    @cache.memoize
    def double(number):
        return 2 * number

    assert (double(2), double(2)) == (4, 4)
    assert double.cache_info()[:2] == (1, 1)
