"""Literals in identifiers are read back exactly, and nothing else is read."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.keys import CallKeys, part, text_of
from cenote.literals import NotALiteralError, read_call

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


@given(st.lists(LITERALS, max_size=4), st.dictionaries(st.sampled_from(["kind", "größe", "x1"]), LITERALS))
def test_what_repr_writes_is_read_back(shown, named):
    text = ", ".join([*map(text_of, shown), *[f"{name}={text_of(value)}" for name, value in named.items()]])
    assert read_call(text + ")") == (shown, named)


@given(LITERALS)
def test_the_key_of_an_identifier_is_the_key_that_wrote_it(value):
    keys = CallKeys("f", ["a"], [], variadic=False, single=True)
    identifier = keys.identifier(part(value))
    found = keys.key_of(identifier)
    assert found == part(value) if len(identifier) < 500 else found in (None, part(value))


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(NotALiteralError):
        read_call(text)


@pytest.mark.parametrize(
    "text", ["__import__('os'))", "1 + 1)", "[1])", "1", "1))", "'a", "(1, 2", "a.b)", "1,2)", "f'x')"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(NotALiteralError):
        read_call(text)


def test_deep_nesting_is_refused_rather_than_overflowing():
    with pytest.raises(NotALiteralError):
        read_call("(" * 100_000)


def test_not_a_number_and_infinity_are_read():
    (nan, infinity), _ = read_call("nan, -inf)")
    assert math.isnan(nan)
    assert infinity == -math.inf
