"""The contract of codecs.

::

    class TestMsgpackCodec(CodecContract):
        def make_codec(self):
            return MsgpackCodec()
"""

# ruff: noqa: S101  # a contract is made of assertions
# ruff: noqa: DTZ001, DTZ901  # datetimes without a time zone must come back as well

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.codecs.codec import Codec
from cenote.errors import DecodeError, EncodeError

__all__ = ["CodecContract"]

_ZONE = timezone(timedelta(hours=5, minutes=30), "IST")
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**63, 2**64, -(2**63) - 1, 10**100, "", "a", "é\0\U0001f600", b"", b"\xff\0"),
    *(0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), 5e-324),
    *([], (), {}, set(), frozenset(), [()], ([],), {1: "int", "1": "str"}, {True: 1}, {None: 0, 1.5: 1, b"b": 2}),
    *({(1, "a"): {(2,)}}, {frozenset({1}): (1, [2, (3,)])}, [1, True, 1.0], {1.0}, {True}, frozenset({(1, (2,))})),
    *(
        date(1, 1, 1),
        time(23, 59, 59, 999999),
        time(1, fold=1),
        time(1, tzinfo=UTC),
        timedelta(-1, 1, 1),
        timedelta.max,
    ),
    *(datetime(2026, 10, 25, 2, 30, 0, 1), datetime(2026, 10, 25, 2, 30, fold=1), datetime.max, datetime.min),
    *(datetime(1969, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, fold=1, tzinfo=UTC)),
    *(datetime(2026, 1, 1, tzinfo=_ZONE), UTC, _ZONE, timezone(timedelta(microseconds=1))),
    *(Decimal("1.10"), Decimal("-0"), Decimal("NaN"), Decimal("sNaN123"), Decimal("-Infinity"), Decimal("1E+999")),
    UUID(int=2**128 - 1),
)
_HASHABLE = st.one_of(
    *(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.binary(),
        st.decimals(allow_nan=False),
        st.uuids(),
        st.dates(),
    ),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.times(),
    st.timedeltas(),
    st.datetimes(timezones=st.sampled_from([None, UTC, _ZONE])),
)
_KEYS = st.recursive(_HASHABLE, lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner), max_leaves=3)
_ANYTHING = st.recursive(
    _KEYS | st.decimals(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(_KEYS, inner) | st.sets(_KEYS),
    max_leaves=8,
)


def _told(value: Any) -> Any:
    """Describe a value so exactly that equal descriptions mean equal values of equal types."""
    kind = type(value)
    if kind in {list, tuple}:
        return kind, [_told(item) for item in value]
    if kind in {set, frozenset}:
        return kind, sorted(repr(_told(item)) for item in value)
    if kind is dict:
        return kind, [(_told(key), _told(item)) for key, item in value.items()]
    zone = getattr(value, "tzinfo", None)
    return kind, repr(value), type(zone), value if isinstance(value, tzinfo) else None


class CodecContract(ABC):
    """What every Codec must do; inherit from it and say how to make one."""

    @abstractmethod
    def make_codec(self) -> Codec:
        """Make a codec."""

    def comes_back(self, codec: Codec, value: Any) -> None:
        """Assert that a value comes back equal, with the same types all the way down."""
        data = codec.encode(value)
        assert type(data) is bytes
        assert _told(codec.decode(data)) == _told(value)

    @pytest.mark.parametrize("value", _VALUES, ids=repr)
    def test_a_plain_value_comes_back_with_its_types(self, value: Any) -> None:
        codec = self.make_codec()
        for each in (value, [value], (value, value), {"key": value}, {"a": [1, {"b": (value,)}]}):
            self.comes_back(codec, each)

    def test_any_nesting_of_plain_values_comes_back_with_its_types(self) -> None:
        codec = self.make_codec()

        @given(value=_ANYTHING)
        @settings(max_examples=200, deadline=None, database=None)
        def check(value: Any) -> None:
            self.comes_back(codec, value)

        check()

    def test_the_order_of_a_dict_is_kept(self) -> None:
        codec = self.make_codec()
        orders: tuple[dict[Any, int], ...] = ({"b": 1, "a": 2}, {(2,): 1, (1,): 2})
        for value in orders:
            assert list(codec.decode(codec.encode(value))) == list(value)

    def test_a_memoryview_is_decoded_and_the_value_keeps_no_reference_to_it(self) -> None:
        codec = self.make_codec()
        value = {"text": "a" * 100, "bytes": b"b" * 100, "more": (b"c",)}
        buffer = bytearray(codec.encode(value))
        read = codec.decode(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
        assert read == value
        buffer.clear()  # refused while something still looks into it

    def test_each_decoded_value_shares_nothing_with_another(self) -> None:
        codec = self.make_codec()
        data = codec.encode({"list": []})
        codec.decode(data)["list"].append(1)
        assert codec.decode(data) == {"list": []}

    def test_a_value_is_not_changed_by_encoding_it(self) -> None:
        value = {"a": [(1, {2}), {3: [4]}], (5,): Decimal(6)}
        before = _told(value)
        self.make_codec().encode(value)
        assert _told(value) == before

    @pytest.mark.parametrize("value", [threading.Lock(), lambda: 0, memoryview(b"")], ids=["lock", "function", "view"])
    def test_what_cannot_be_stored_is_refused_and_its_type_is_named(self, value: Any) -> None:
        name = type(value).__qualname__
        with pytest.raises(EncodeError, match=name):
            self.make_codec().encode(value)
        with pytest.raises(EncodeError):
            self.make_codec().encode([1, {"key": (value,)}])

    def test_a_value_that_contains_itself_is_refused_or_kept_and_never_a_crash(self) -> None:
        codec = self.make_codec()
        endless: list[Any] = []
        endless.append(endless)
        circle: dict[str, Any] = {}
        circle["a"] = circle
        for value in (endless, circle):
            try:
                data = codec.encode(value)
            except EncodeError:
                continue
            read = codec.decode(data)
            assert read[0 if isinstance(read, list) else "a"] is read

    def test_deep_nesting_is_refused_or_kept_and_never_a_crash(self) -> None:
        codec = self.make_codec()
        for levels in (50, 100_000):
            value: Any = []
            for _ in range(levels):
                value = [value]
            try:
                data = codec.encode(value)
            except EncodeError:
                assert levels > 50
                continue
            read = codec.decode(data)
            for _ in range(levels):
                [read] = read
            assert read == []

    def test_bytes_of_something_else_are_refused(self) -> None:
        codec = self.make_codec()
        for data in (
            b"",
            b"\0",
            b"\x80",
            b"null",
            b"{}",
            b"\xc0",
            b"\x80\x05N.",
            b"x" * 1000,
            bytes(100),
            b"\xff" * 100,
        ):
            with pytest.raises(DecodeError):
                codec.decode(data)
            with pytest.raises(DecodeError):
                codec.decode(memoryview(data))

    @pytest.mark.parametrize("value", ["text", {"a": 1, "b": (1, {2})}, [datetime(2026, 1, 1, tzinfo=_ZONE)]], ids=repr)
    def test_a_cut_or_lengthened_encoding_is_refused(self, value: Any) -> None:
        codec = self.make_codec()
        data = codec.encode(value)
        for length in range(len(data)):
            with pytest.raises(DecodeError):
                codec.decode(data[:length])
        for more in (b"\0", b"\xc0", data):
            with pytest.raises(DecodeError):
                codec.decode(data + more)

    @pytest.mark.parametrize("value", ["text", {"a": 1, "b": (1, {2})}, [datetime(2026, 1, 1, tzinfo=_ZONE)]], ids=repr)
    def test_an_encoding_with_any_bit_flipped_is_refused(self, value: Any) -> None:
        codec = self.make_codec()
        data = codec.encode(value)
        for bit in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DecodeError):
                codec.decode(bytes(flipped))

    def test_noise_after_a_good_beginning_is_refused(self) -> None:
        codec = self.make_codec()
        good = codec.encode({"a": (1, 2.5, "text", None)})

        @given(noise=st.binary(), kept=st.integers(0, 40))
        @settings(max_examples=200, deadline=None, database=None)
        def check(noise: bytes, kept: int) -> None:
            if good[:kept] + noise != good:
                with pytest.raises(DecodeError):
                    codec.decode(good[:kept] + noise)

        check()

    def test_threads_may_share_a_codec(self) -> None:
        codec = self.make_codec()
        failures: list[BaseException] = []

        def work(worker: int) -> None:
            try:
                for number in range(50):
                    self.comes_back(codec, {"a": (worker, number), "b": [{worker}, 2**70 + number]})
            except BaseException as error:  # noqa: BLE001  # it is shown below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_every_encoding_begins_with_a_format_byte_and_the_codec_has_a_name(self) -> None:
        codec = self.make_codec()
        assert codec.name
        assert len({codec.encode(value)[0] for value in (None, "text", [1], (1,), {"a": 1})}) == 1
