"""What the pickle codec adds to the contract: signatures, rotation, and any picklable type."""

import os
import pickle
from collections import OrderedDict
from typing import Any

import pytest

from cenote.codecs import MsgpackCodec, PickleCodec
from cenote.codecs.pickled import _signature
from cenote.errors import ConfigurationError, DecodeError, EncodeError

from .shapes import GROUP, Point, told

KEY = b"0123456789abcdef"
OTHER = "another key of more than 16 bytes"


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Local:
    def __reduce__(self):
        raise RuntimeError("no")


def test_any_picklable_type_comes_back_whatever_the_annotation():
    codec = PickleCodec(KEY)
    for value in (Point(1, 2), OrderedDict(a=1), GROUP, 1j, bytearray(b"x"), "\ud800", Point):
        for kind in (None, Any, list[int]):
            assert told(codec.decode(codec.encode(value, kind), kind)) == told(value)


def test_a_payload_that_is_not_signed_with_the_key_is_refused_and_never_run(tmp_path):
    bomb = tmp_path / "exploded"
    payload = pickle.dumps(Bomb(bomb), 5)
    for forged in (
        payload,
        b"\x50" + payload,
        b"\x50" + bytes(32) + payload,
        b"\x50" + _signature(b"x" * 16, payload) + payload,
        b"\x50" + PickleCodec(KEY).encode("good")[1:33] + payload,
        PickleCodec(OTHER).encode(Bomb(bomb)),
    ):
        with pytest.raises(DecodeError):
            PickleCodec(KEY).decode(forged)
    assert not bomb.exists()
    PickleCodec(KEY).decode(PickleCodec(KEY).encode(Bomb(bomb)))
    assert bomb.exists(), "the payload would not have shown that it ran"


def test_the_format_byte_is_signed_too():
    data = PickleCodec(KEY).encode(1)
    with pytest.raises(DecodeError):
        PickleCodec(KEY).decode(b"\x51" + data[1:])


def test_what_a_previous_key_signed_is_read_and_nothing_new_is_signed_with_it():
    old = PickleCodec(KEY)
    new = PickleCodec(OTHER, previous=[b"f" * 32, KEY])
    assert new.decode(old.encode("value")) == "value"
    assert PickleCodec(OTHER).decode(new.encode("value")) == "value"
    with pytest.raises(DecodeError):
        old.decode(new.encode("value"))


def test_text_is_a_key_by_its_utf_8_bytes():
    assert PickleCodec("0123456789abcdef").decode(PickleCodec(KEY).encode(1)) == 1
    assert PickleCodec("é" * 8).decode(PickleCodec("é" * 8).encode(1)) == 1


@pytest.mark.parametrize("key", [b"", "short", b"123456789012345", None, 16, bytearray(32)])
def test_a_short_key_or_one_of_another_type_is_refused(key):
    with pytest.raises(ConfigurationError, match="key of the pickle codec"):
        PickleCodec(key)
    with pytest.raises(ConfigurationError, match="key of the pickle codec"):
        PickleCodec(KEY, previous=[key])


def test_one_key_in_place_of_the_previous_ones_is_refused():
    for previous in (OTHER, KEY):
        with pytest.raises(ConfigurationError, match="previous"):
            PickleCodec(KEY, previous=previous)


def test_messages_do_not_show_the_key():
    with pytest.raises(ConfigurationError) as caught:
        PickleCodec("secret word")
    assert "secret word" not in str(caught.value)
    with pytest.raises(DecodeError) as refused:
        PickleCodec(OTHER).decode(PickleCodec(KEY).encode(1))
    assert OTHER not in str(refused.value)
    assert OTHER not in repr(PickleCodec(OTHER))


@pytest.mark.parametrize("value", [Local(), [lambda: None], {"a": Local()}], ids=["raises", "function", "inside"])
def test_what_cannot_be_pickled_is_refused_and_named(value):
    with pytest.raises(EncodeError, match=type(value).__name__):
        PickleCodec(KEY).encode(value)


def test_a_class_that_is_gone_is_a_decode_error(monkeypatch):
    data = PickleCodec(KEY).encode(Point(1))
    monkeypatch.delattr(Point.__module__ + ".Point")
    with pytest.raises(DecodeError, match="cannot be built"):
        PickleCodec(KEY).decode(data)


def test_neither_codec_reads_the_bytes_of_the_other():
    pickled, packed = PickleCodec(KEY).encode([1]), MsgpackCodec().encode([1])
    with pytest.raises(DecodeError):
        PickleCodec(KEY).decode(packed)
    with pytest.raises(DecodeError):
        MsgpackCodec().decode(pickled)
