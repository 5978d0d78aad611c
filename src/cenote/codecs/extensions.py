"""The extension types: how msgpack says what it has no word for.

================  ==========================================================================
code              payload
================  ==========================================================================
-1                a datetime in UTC, as the msgpack specification has it (a timestamp)
1 int             beyond 64 bits: big-endian two's complement
2 tuple           an array
3 set             an array
4 frozenset       an array
5 dict            one whose keys need extensions: an array of key, value, key, value ...
6 datetime        year (2 bytes), month, day, hour, minute, second, fold (1 each), microsecond (4), and the zone
7 date            year (2 bytes), month, day
8 time            hour, minute, second, fold (1 byte each), microsecond (4), and the zone
9 timedelta       days (4 bytes, signed), seconds (4), microseconds (4)
10 time zone      the zone
11 Decimal        its text
12 UUID           16 bytes
13 object         an array: its place among the classes of the annotation, and its state
================  ==========================================================================

Numbers are big-endian. A zone is nothing (none), or in msgpack: an array of its offset in microseconds and its name if
it has one (``timezone``), text (``ZoneInfo``) or a number of seconds (the time zones that pydantic makes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from struct import Struct
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.msgpack import Decoder, Encoder, Ext

from cenote.codecs.objects import build, state_of
from cenote.errors import EncodeError

__all__ = ["KEPT", "SCALARS", "Reader", "Writer"]

DEEPEST: Final = 200
"""Levels of nesting; deeper ones could not be read back on a stack that is already deep."""

SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
"""Types that msgpack has itself."""

_BUT_INT: Final = SCALARS - {int}

_DATETIME: Final = Struct(">H6BI")
_DATE: Final = Struct(">H2B")
_TIME: Final = Struct(">4BI")
_TIMEDELTA: Final = Struct(">i2I")

_encode: Final = Encoder().encode
_decode_zone: Final = Decoder(list | str | int).decode


class Writer:
    """Turns a value into one that msgpack can write without loss.

    Args:
        classes: The classes of the annotation, each with its place; other classes are refused.

    Attributes:
        objects: Whether there was an instance of one of them.
    """

    __slots__ = ("_classes", "_scalars", "objects")

    def __init__(self, classes: Mapping[type, int]) -> None:
        self._classes = classes
        self._scalars: frozenset[type] = SCALARS
        self.objects = False

    def write(self, value: Any) -> bytes:
        """Write a value.

        Args:
            value: The value.

        Returns:
            Its msgpack.

        Raises:
            EncodeError: Something in it is neither plain nor of a class of the annotation.
        """
        try:
            return _encode(self._plain(value, 0))
        except OverflowError:
            self._scalars = _BUT_INT
            return _encode(self._plain(value, 0))

    def _plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in self._scalars:
            return value
        if depth > DEEPEST:
            raise EncodeError(f"the value contains itself, or is nested more than {DEEPEST} levels deep")
        covers = self._scalars.issuperset
        if kind is list:
            return value if covers(map(type, value)) else [self._plain(item, depth + 1) for item in value]
        if kind is dict:
            if not covers(map(type, value)):
                return Ext(5, self._array([part for item in value.items() for part in item], depth))
            if covers(map(type, value.values())):
                return value
            return {key: self._plain(item, depth + 1) for key, item in value.items()}
        if kind in _COLLECTIONS:
            return Ext(_COLLECTIONS[kind], self._array(list(value), depth))
        if kind in _WRITERS:
            return _WRITERS[kind](value)
        place = self._classes.get(kind)
        if place is None:
            raise _unknown(kind)
        self.objects = True
        return Ext(13, self._array([place, state_of(value)], depth))

    def _array(self, items: list[Any], depth: int) -> bytes:
        return _encode([self._plain(item, depth + 1) for item in items])


class Reader:
    """Turns what a Writer wrote into the value.

    Args:
        classes: The classes of the annotation, in the same order.
    """

    __slots__ = ("_array", "_classes", "read")

    read: Callable[[bytes | memoryview], Any]

    def __init__(self, classes: Sequence[type]) -> None:
        self._classes = classes
        self._array = Decoder(list, ext_hook=self._extension).decode
        self.read = Decoder(ext_hook=self._extension).decode

    def _extension(self, code: int, data: memoryview) -> Any:
        if code in _READERS:
            return _READERS[code](data)
        array = self._array(data)
        if code == 5:
            return dict(zip(array[::2], array[1::2], strict=True))
        if code == 13:
            place, state = array
            return build(self._classes[place], state)
        return _FROM_ARRAY[code](array)


def _unknown(kind: type) -> EncodeError:
    """Say that a type cannot be stored; the codec adds what can be done."""
    return EncodeError(f"a value of type {kind.__module__}.{kind.__qualname__} cannot be stored")


def _zone(zone: tzinfo | None) -> bytes:
    """Write a time zone."""
    kind = type(zone)
    if zone is None:
        return b""
    if isinstance(zone, timezone):
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle asks a timezone for
        return _encode([offset // timedelta(microseconds=1), *name])
    if kind is ZoneInfo and zone.key is not None:  # type: ignore[attr-defined]  # it is a ZoneInfo
        return _encode(zone.key)  # type: ignore[attr-defined]  # the same
    if kind.__name__ == "TzInfo" and kind.__module__.startswith("pydantic_core"):
        return _encode((zone.utcoffset(None) or timedelta()) // timedelta(seconds=1))
    raise _unknown(kind)


def _read_zone(data: memoryview) -> tzinfo | None:
    """Read a time zone."""
    if not data:
        return None
    zone = _decode_zone(data)
    if isinstance(zone, str):
        return ZoneInfo(zone)
    if isinstance(zone, list):
        offset, *name = zone
        return timezone(timedelta(microseconds=offset), *name)
    # Only who has pydantic can have stored it.
    from pydantic_core import TzInfo  # noqa: PLC0415

    return TzInfo(zone)


def _write_datetime(value: datetime) -> Any:
    if value.tzinfo is UTC and not value.fold:
        return value
    day = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.fold, value.microsecond)
    return Ext(6, _DATETIME.pack(*day) + _zone(value.tzinfo))


def _read_datetime(data: memoryview) -> datetime:
    year, month, day, hour, minute, second, fold, microsecond = _DATETIME.unpack_from(data)
    zone = _read_zone(data[_DATETIME.size :])
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _write_time(value: time) -> Ext:
    packed = _TIME.pack(value.hour, value.minute, value.second, value.fold, value.microsecond)
    return Ext(8, packed + _zone(value.tzinfo))


def _read_time(data: memoryview) -> time:
    hour, minute, second, fold, microsecond = _TIME.unpack_from(data)
    return time(hour, minute, second, microsecond, _read_zone(data[_TIME.size :]), fold=fold)


def _read_timedelta(data: memoryview) -> timedelta:
    days, seconds, microseconds = _TIMEDELTA.unpack(data)
    return timedelta(days, seconds, microseconds)


def _write_int(value: int) -> Any:
    if -(2**63) <= value < 2**64:
        return value
    return Ext(1, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


_COLLECTIONS: Final[dict[type, int]] = {tuple: 2, set: 3, frozenset: 4}
_FROM_ARRAY: Final[dict[int, Callable[[list[Any]], Any]]] = {2: tuple, 3: set, 4: frozenset}

_WRITERS: Final[dict[type, Callable[[Any], Any]]] = {
    int: _write_int,
    datetime: _write_datetime,
    date: lambda value: Ext(7, _DATE.pack(value.year, value.month, value.day)),
    time: _write_time,
    timedelta: lambda value: Ext(9, _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)),
    timezone: lambda value: Ext(10, _zone(value)),
    ZoneInfo: lambda value: Ext(10, _zone(value)),
    Decimal: lambda value: Ext(11, str(value).encode()),
    UUID: lambda value: Ext(12, value.bytes),
}
_READERS: Final[dict[int, Callable[[memoryview], Any]]] = {
    1: lambda data: int.from_bytes(data, "big", signed=True),
    6: _read_datetime,
    7: lambda data: date(*_DATE.unpack(data)),
    8: _read_time,
    9: _read_timedelta,
    10: _read_zone,
    11: lambda data: Decimal(str(data, "ascii")),
    12: lambda data: UUID(bytes=bytes(data)),
}

KEPT: Final = SCALARS | {list, dict} | _COLLECTIONS.keys() | _WRITERS.keys()
"""Types that are stored without an annotation, exactly these and no subclasses."""
