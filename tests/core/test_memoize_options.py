"""The options of a memoized function: its key, its lifetime, its tags, and what it keeps."""

from __future__ import annotations

import pytest

from cenote import ConfigurationError, UnhashableArgumentError


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
