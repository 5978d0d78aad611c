"""Sameness: whether two values are equal and have the same types all the way down."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from cenote.codecs.objects import is_kept, state_of

__all__ = ["same"]

_EQUAL: Final = frozenset({type(None), bool, int, str, bytes})
_TOLD_BY_REPR: Final = frozenset({float, date, datetime, time, timedelta, Decimal, UUID})
"""Types whose ``repr`` tells what ``==`` does not: the sign of zero, NaN, the fold, the time zone, trailing zeros."""


def same(one: Any, other: Any) -> bool:
    """Whether one value could stand for the other.

    Args:
        one: A value.
        other: What came back for it.

    Returns:
        True when that is certain; False also for types that are not known here.
    """
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _EQUAL:
        return bool(one == other)
    if kind in _TOLD_BY_REPR:
        return repr(one) == repr(other)
    if kind is list or kind is tuple:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        return len(one) == len(other) and all(map(same, one, other)) and all(map(same, one.values(), other.values()))
    if kind is set or kind is frozenset:
        there = {item: item for item in other}
        return len(one) == len(other) and all(item in there and same(item, there[item]) for item in one)
    if isinstance(one, Enum):
        return one is other
    return is_kept(kind) and same(state_of(one), state_of(other))
