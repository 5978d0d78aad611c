"""The codec contract, run on all codecs and on codecs that break it."""

import json
import pickle

import pytest

from cenote.codecs import Codec, CompressingCodec, MsgpackCodec, PickleCodec
from cenote.errors import DecodeError, EncodeError
from cenote.testing.contracts import CodecContract


class TestMsgpackCodec(CodecContract):
    def make_codec(self) -> Codec:
        return MsgpackCodec()


class TestPickleCodec(CodecContract):
    def make_codec(self) -> Codec:
        return PickleCodec("a key of 16 bytes")


class TestCompressingCodec(CodecContract):
    def make_codec(self) -> Codec:
        return CompressingCodec(MsgpackCodec())


class TestCompressingCodecThatTriesAll(CodecContract):
    def make_codec(self) -> Codec:
        return CompressingCodec(PickleCodec("a key of 16 bytes"), "zlib", threshold=0)


class Json(Codec):
    """Changes what JSON has no word for."""

    name = "json"

    def encode(self, value, kind=None):
        try:
            return json.dumps(value).encode()
        except (TypeError, ValueError) as error:
            raise EncodeError(str(error)) from error

    def decode(self, data, kind=None):
        try:
            return json.loads(bytes(data))
        except ValueError as error:
            raise DecodeError(str(error)) from error


class Unsigned(Codec):
    """Unpickles whatever comes."""

    name = "unsigned"

    def encode(self, value, kind=None):
        return pickle.dumps(value)

    def decode(self, data, kind=None):
        try:
            return pickle.loads(data)
        except Exception as error:
            raise DecodeError(str(error)) from error


class Raw(PickleCodec):
    """Lets the errors of pickle through."""

    def encode(self, value, kind=None):
        pickle.dumps(value)
        return super().encode(value)


@pytest.mark.parametrize(
    ("broken", "case", "arguments"),
    [
        (Json, "test_a_plain_value_comes_back_with_its_types", {"value": ()}),
        (Json, "test_a_plain_value_comes_back_with_its_types", {"value": {True: 1}}),
        (Json, "test_any_nesting_of_plain_values_comes_back_with_its_types", {}),
        (Json, "test_bytes_of_something_else_are_refused", {}),
        (Json, "test_an_encoding_with_any_bit_flipped_is_refused", {"value": "text"}),
        (Unsigned, "test_a_cut_or_lengthened_encoding_is_refused", {"value": "text"}),
        (Unsigned, "test_an_encoding_with_any_bit_flipped_is_refused", {"value": "text"}),
    ],
)
def test_a_codec_that_breaks_the_contract_fails_it(broken, case, arguments) -> None:
    class Suite(CodecContract):
        def make_codec(self) -> Codec:
            return broken()

    with pytest.raises((AssertionError, pytest.fail.Exception, EncodeError, ExceptionGroup)):
        getattr(Suite(), case)(**arguments)


def test_a_codec_that_lets_other_errors_through_fails_the_contract() -> None:
    class Suite(CodecContract):
        def make_codec(self) -> Codec:
            return Raw(b"a key of 16 bytes")

    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        Suite().test_what_cannot_be_stored_is_refused_and_its_type_is_named(lambda: None)
