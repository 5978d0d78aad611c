"""Identifiers: the text that names an entry, and that can be handed back."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cenote
from cenote import CacheManager, InvalidKeyError


class Colour(enum.Enum):
    RED = 1


class Text(str):
    __slots__ = ()


ARGUMENTS = [
    0,
    -5,
    10**30,
    1.0,
    -0.0,
    float("inf"),
    float("nan"),
    True,
    None,
    "",
    "ch-1",
    'it\'s "quoted"',
    "a, b=1)",
    "(",
    "\n\t\0",
    "ü€\U0001f30a",
    "\ud800",
    b"bytes\xff",
    (),
    (1,),
    (1, (2.0, "x"), None),
    frozenset(),
    pytest.param(frozenset({1, "a"}), id="frozenset of two types"),  # its repr has no fixed order
    Colour.RED,
    int,
    Text("sub"),
    1 + 2j,
    ...,
    range(3),
    "x" * 5000,
    tuple(range(2000)),
]


@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda value: ascii(value)[:20])
def test_what_a_listing_shows_deletes_exactly_that_entry(cache, argument):
    @cache.memoize(name="f")
    def f(value, other=0):
        return value

    f(argument)
    f(argument, 1)
    f("bystander")
    identifier = f.key(argument)
    assert identifier in set(cache.keys())
    assert identifier in cache
    assert cache.explain(identifier).found
    assert cache.delete(identifier) is True
    assert identifier not in cache
    assert cache.delete(identifier) is False
    assert len(cache) == 2


@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda value: ascii(value)[:20])
def test_an_identifier_is_text_that_can_be_sent_and_printed(cache, argument):
    f = cache.memoize(name="f")(lambda value: value)
    f(argument)
    (identifier,) = cache.keys()
    assert identifier.encode("utf-8")
    assert "\n" not in identifier
    assert len(identifier) < 600


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), st.tuples))
def test_any_argument_can_be_found_again_by_its_identifier(argument):
    with CacheManager() as caches:
        cache = caches.global_cache
        f = cache.memoize(name="f")(lambda value: "value")
        f(argument)
        (identifier,) = cache.keys()
        assert cache.get(identifier) == "value"
        assert cache.delete(identifier) is True
        assert len(cache) == 0


@given(
    st.lists(st.integers(-2, 2) | st.floats(-1, 1) | st.text("a,)('", max_size=3) | st.booleans(), max_size=3),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(0, 1) | st.sampled_from(["", "1"]), max_size=2),
)
def test_any_call_with_star_arguments_can_be_found_again_by_its_identifier(args, kwargs):
    with CacheManager() as caches:
        cache = caches.global_cache
        f = cache.memoize(name="f")(lambda *args, **kwargs: "value")
        f(*args, **kwargs)
        assert cache.keys() == [f.key(*args, **kwargs)]
        assert cache.delete(f.key(*args, **kwargs)) is True


@given(st.lists(st.text(min_size=1).filter(lambda text: text.isascii()), unique=True, max_size=5))
def test_keys_of_callers_are_their_own_identifiers(keys):
    with CacheManager() as caches:
        cache = caches.global_cache
        for key in keys:
            cache.set(key, key)
        assert cache.keys() == sorted(keys)
        for key in keys:
            assert cache.delete(key) is True


def test_an_identifier_reads_like_the_call(cache):
    class Library:
        @cache.memoize(ignore="self")
        def analyse(self, chapter, *, depth=1):
            return chapter

    Library().analyse("ch-1")
    assert cache.keys() == ["Library.analyse('ch-1', depth=1)"]


def test_a_value_can_be_set_and_read_by_the_identifier_of_a_call(cache):
    @cache.memoize(name="f")
    def f(value):
        return "loaded"

    cache.set("f(1)", "set")
    assert f(1) == "set"
    assert cache.get("f(1)") == "set"
    assert cache.get_or_load("f(2)", lambda: "elsewhere") == "elsewhere"
    assert f(2) == "elsewhere"


def test_a_key_that_only_looks_like_a_call_is_refused_when_it_is_to_be_stored(cache):
    cache.memoize(name="f")(lambda value: value)
    with pytest.raises(InvalidKeyError, match=r"f\(x\)"):
        cache.set("f(x)", 1)
    assert cache.get("f(x)") is None
    assert cache.delete("f(x)") is False


def test_a_key_with_parentheses_of_no_function_is_a_key_like_any_other(cache):
    cache.set("g(1)", 1)
    cache.set(")", 2)
    cache.set("(", 3)
    assert (cache.get("g(1)"), cache.get(")"), cache.get("(")) == (1, 2, 3)
    assert cache.delete("g(1)")


def test_a_key_set_before_a_function_took_its_name_is_not_served_past_its_deletion(cache):
    cache.set("f(1)", "set by hand")
    cache.memoize(name="f")(lambda value: "loaded")
    cache.delete("f(1)")
    assert cache.get("f(1)") is None
    assert cache.keys() == []
    assert len(cache) == 0


def test_a_load_of_a_key_under_way_while_a_function_takes_its_name_is_not_stored_beside_it(cache, gate, spawn):
    load = spawn(cache.get_or_load, "f(1)", lambda: gate.hold("by hand"))
    gate.begun()
    token = cache.fill("f(2)")
    cache.memoize(name="f")(lambda value: "loaded")
    gate.open()
    assert load.result() == "by hand"
    token.set("by hand")
    assert cache.keys() == []


def test_an_identifier_is_never_evaluated(cache):
    cache.memoize(name="f")(lambda value: value)
    assert cache.get("f(__import__('os').abort())") is None
    assert cache.delete("f(" + "(" * 10_000 + ")") is False
    assert cache.delete("f(" + "-" * 10_000 + "1)") is False
    assert cache.delete("f(*[1])") is False
    assert cache.delete("f(1) + f(2)") is False
    assert cache.delete("f(1, 2)") is False


def test_a_second_spelling_of_a_call_is_no_identifier(cache):
    f = cache.memoize(name="f")(lambda value: value)
    f("a")
    f(10)
    assert cache.delete('f("a")') is False
    assert cache.delete("f(0xa)") is False
    assert cache.delete("f( 10 )") is False
    assert len(cache) == 2


def test_long_arguments_are_cut_and_still_told_apart(cache):
    f = cache.memoize(name="f")(lambda value: value)
    f("a" * 5000)
    f("a" * 5001)
    one, other = cache.keys()
    assert one != other
    assert cache.delete(one) is True
    assert cache.keys() == [other]


def test_an_identifier_is_the_same_in_every_process():
    program = """
import enum, cenote
class Colour(enum.Enum):
    RED = 1
f = cenote.CacheManager().global_cache.memoize(name="f")(lambda value: value)
for value in ["ch-1", 1.5, frozenset("abcdefgh"), ("x", frozenset({1, 2.0, "y"})), Colour.RED, str, "x" * 1000]:
    print(f.key(value))
"""
    source = str(Path(cenote.__file__).parent.parent)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": source},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
