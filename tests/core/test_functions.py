"""What can be memoized, and by what name."""

from __future__ import annotations

import asyncio
import functools
import pickle

import pytest

from cenote import ConfigurationError, UnhashableArgumentError


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


def test_a_memoized_function_can_be_pickled_by_its_name(cache, monkeypatch):
    import sys

    module = type(sys)("made_module")
    exec("def f(value):\n    return value\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_module", module)
    module.f = cache.memoize()(module.f)
    assert pickle.loads(pickle.dumps(module.f)) is module.f


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


def test_a_generator_that_a_function_returns_is_refused(cache):
    @cache.memoize
    def numbers():
        return (number for number in range(3))

    with pytest.raises(ConfigurationError, match="a generator can be read only once"):
        numbers()
    assert cache.keys() == []
