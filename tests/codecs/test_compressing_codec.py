"""What the compressing codec adds to the contract: thresholds, other settings, bombs, and bytes that lie."""

import random
import threading
import tracemalloc
import zlib
from zlib import crc32

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.codecs import Codec, CompressingCodec, MsgpackCodec, PickleCodec
from cenote.codecs.compression import ALGORITHMS
from cenote.codecs.formats import COMPRESSED
from cenote.errors import ConfigurationError, DecodeError, EncodeError
from cenote.testing.contracts import CodecContract

LARGE = {"title": "dune", "pages": [f"sand and spice, and sand again: {number}" for number in range(100)]}
KEY = "a key of 16 bytes"
FORMS = {name: form for form, name in COMPRESSED.items()}

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
every_codec = pytest.mark.parametrize("inner", [MsgpackCodec(), PickleCodec(KEY)], ids=["msgpack", "pickle"])


def framed(algorithm, payload, size):
    """What a stranger could write who knows the format."""
    checked = size.to_bytes(4, "big") + payload
    return bytes([FORMS[algorithm]]) + crc32(checked, FORMS[algorithm]).to_bytes(4, "big") + checked


def squeezed(algorithm, content):
    """The content as the algorithm's own library compresses it."""
    return {
        "zlib": zlib.compress,
        "zstd": zstandard.compress,
        "lz4": lambda c: lz4.block.compress(c, store_size=False),
    }[algorithm](content)


class Text(Codec):
    """A codec whose bytes may begin with any byte."""

    name = "text"

    def encode(self, value, kind=None):
        return value.encode()

    def decode(self, data, kind=None):
        try:
            return bytes(data).decode()
        except ValueError as error:
            raise DecodeError(str(error)) from error


@every_codec
@every_algorithm
def test_a_large_value_comes_back_from_fewer_bytes_that_name_the_algorithm(algorithm, inner):
    codec = CompressingCodec(inner, algorithm)
    data = codec.encode(LARGE)
    assert data[0] == FORMS[algorithm]
    assert len(data) < len(inner.encode(LARGE)) / 5
    assert codec.decode(data) == codec.decode(memoryview(data)) == LARGE


@every_algorithm
def test_bytes_from_the_threshold_on_are_compressed_and_smaller_ones_stay_as_they_are(algorithm):
    value = "a" * 500
    plain = MsgpackCodec().encode(value)
    at, above = (CompressingCodec(MsgpackCodec(), algorithm, threshold=len(plain) + more) for more in (0, 1))
    assert at.encode(value)[0] == FORMS[algorithm]
    assert above.encode(value) == plain


@every_algorithm
def test_what_would_not_become_smaller_stays_as_it_is(algorithm):
    for length in (0, 1, 100, 5000):
        value = random.Random(8338).randbytes(length)
        assert CompressingCodec(MsgpackCodec(), algorithm, threshold=0).encode(value) == MsgpackCodec().encode(value)


@every_algorithm
def test_the_kind_reaches_the_other_codec(algorithm):
    codec = CompressingCodec(MsgpackCodec(), algorithm)
    with pytest.raises(EncodeError, match=r"list\[int\]"):
        codec.encode((1,) * 5000, list[int])
    data = codec.encode([1] * 5000, list[int])
    assert codec.decode(data, list[int]) == [1] * 5000
    with pytest.raises(DecodeError, match="tuple"):
        codec.decode(data, tuple[int, ...])


def test_readers_with_other_settings_read_what_is_there():
    written = [MsgpackCodec().encode(LARGE)]
    written += [CompressingCodec(MsgpackCodec(), name, threshold=0).encode(LARGE) for name in ALGORITHMS]
    assert len({data[0] for data in written}) == 4
    for name in ALGORITHMS:
        for threshold in (0, 1 << 20):
            reader = CompressingCodec(MsgpackCodec(), name, threshold=threshold)
            assert [reader.decode(data) for data in written] == [LARGE] * 4


@every_codec
@every_algorithm
def test_a_reader_without_it_refuses_and_says_what_is_missing(algorithm, inner):
    data = CompressingCodec(inner, algorithm).encode(LARGE)
    with pytest.raises(DecodeError, match=f"compressed with {algorithm}; wrap the codec in a CompressingCodec"):
        inner.decode(data)


@pytest.mark.parametrize("first", range(0x5F, 0x65))
def test_bytes_that_only_begin_like_compressed_ones_come_back(first):
    codec = CompressingCodec(Text(), "zlib")
    for value in (chr(first), chr(first) + "ab", chr(first) * 5000, chr(first) + "\0" * 20):
        assert codec.decode(codec.encode(value)) == value
    twice = CompressingCodec(codec, "lz4", threshold=0)
    assert twice.decode(twice.encode(chr(first) * 5000)) == chr(first) * 5000


@every_codec
@every_algorithm
@pytest.mark.parametrize(
    "case", ["test_a_cut_or_lengthened_encoding_is_refused", "test_an_encoding_with_any_bit_flipped_is_refused"]
)
def test_the_contract_about_damage_holds_for_compressed_bytes(case, algorithm, inner):
    class Suite(CodecContract):
        def make_codec(self):
            return CompressingCodec(inner, algorithm)

    getattr(Suite(), case)(value="sand" * 500)


@every_algorithm
def test_a_bomb_is_refused_within_a_few_times_its_bound_of_memory(algorithm):
    bound = 1 << 20
    codec = CompressingCodec(MsgpackCodec(), algorithm, max_bytes=bound)
    content = bytes(64 << 20)
    payload = squeezed(algorithm, content)
    streamed = zstandard.ZstdCompressor(level=1).compressobj()
    bombs = [framed(algorithm, payload, len(content)), framed(algorithm, payload, bound), framed(algorithm, payload, 9)]
    if algorithm == "zstd":
        unsaid = streamed.compress(content) + streamed.flush()
        lies = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\0\0"
        bombs += [framed(algorithm, unsaid, bound), framed(algorithm, lies, bound), framed(algorithm, lies, 9)]
    del content
    for bomb in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(DecodeError) as refused:
                codec.decode(bomb)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * bound
        assert not isinstance(refused.value.__cause__, MemoryError), "the system refused it"


def test_no_window_is_allocated_for_a_frame_that_is_larger_than_the_bound_needs():
    content = MsgpackCodec().encode(LARGE)

    def frame(window_log):
        block = (len(content) << 3 | 1).to_bytes(3, "little") + content
        return b"\x28\xb5\x2f\xfd\x80" + bytes([window_log - 10 << 3]) + len(content).to_bytes(4, "little") + block

    codec = CompressingCodec(MsgpackCodec(), max_bytes=1 << 20)
    assert codec.decode(framed("zstd", frame(20), len(content))) == LARGE
    for window_log, reason in ((20, "full frame"), (21, "too much memory")):
        with pytest.raises(DecodeError, match=reason):  # a whole frame needs no window
            codec.decode(framed("zstd", frame(window_log)[:-1], len(content)))


@every_algorithm
def test_what_says_more_than_the_limit_is_refused_and_nothing_larger_is_ever_written(algorithm):
    plain = MsgpackCodec().encode(LARGE)
    exact = CompressingCodec(MsgpackCodec(), algorithm, max_bytes=len(plain))
    data = exact.encode(LARGE)
    assert (data[0], exact.decode(data)) == (FORMS[algorithm], LARGE)
    less = CompressingCodec(MsgpackCodec(), algorithm, max_bytes=len(plain) - 1)
    assert less.encode(LARGE) == plain
    assert less.decode(plain) == LARGE
    with pytest.raises(DecodeError, match=f"would expand to {len(plain)} bytes; max_bytes allows {len(plain) - 1}"):
        less.decode(data)


@every_algorithm
def test_payloads_that_are_cut_go_on_behind_their_end_or_lie_about_their_size_are_refused(algorithm):
    content = MsgpackCodec().encode(LARGE)
    codec, payload = CompressingCodec(MsgpackCodec(), algorithm), squeezed(algorithm, content)
    assert codec.decode(framed(algorithm, payload, len(content))) == LARGE
    cut = [payload[:length] for length in range(len(payload))]
    longer = [payload + more for more in (b"\0", b"\xff", payload, squeezed(algorithm, b"more"))]
    forged = [(each, len(content)) for each in cut + longer]
    forged += [(payload, size) for size in (0, 1, len(content) - 1, len(content) + 1, 64 << 20, (1 << 32) - 1)]
    forged += [(b"\x50\x2a\x4d\x18\4\0\0\0skip" + payload, len(content)), (squeezed(algorithm, b""), 0)]
    for each, size in forged:
        with pytest.raises(DecodeError):
            codec.decode(framed(algorithm, each, size))


@every_algorithm
def test_whatever_a_stranger_writes_is_refused(algorithm):
    codec, payload = CompressingCodec(MsgpackCodec(), algorithm), squeezed(algorithm, MsgpackCodec().encode(LARGE))

    @given(kept=st.integers(0, 60), noise=st.binary(max_size=200), size=st.integers(0, 1 << 22))
    @settings(max_examples=300, deadline=None, database=None)
    def check(kept, noise, size):
        with pytest.raises(DecodeError):
            codec.decode(framed(algorithm, payload[:kept] + noise, size))
        with pytest.raises(DecodeError):
            codec.decode(bytes([FORMS[algorithm]]) + noise)

    check()


@every_algorithm
def test_threads_may_compress_and_expand_at_the_same_time(algorithm):
    codec = CompressingCodec(MsgpackCodec(), algorithm)
    failures, together = [], threading.Barrier(4)

    def work(worker):
        source = random.Random(worker)
        try:
            together.wait()
            for _ in range(30):
                value = [source.randrange(1000) for _ in range(20_000)]
                assert codec.decode(codec.encode(value)) == value
        except BaseException as error:  # noqa: BLE001  # it is shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize(
    ("arguments", "options", "word"),
    [
        ((MsgpackCodec,), {}, "codec"),
        ((None,), {}, "codec"),
        ((MsgpackCodec(), "gzip"), {}, "algorithm"),
        ((MsgpackCodec(), None), {}, "algorithm"),
        ((MsgpackCodec(),), {"threshold": -1}, "threshold"),
        ((MsgpackCodec(),), {"threshold": 1.5}, "threshold"),
        ((MsgpackCodec(),), {"max_bytes": 0}, "max_bytes"),
        ((MsgpackCodec(),), {"max_bytes": (1 << 30) + 1}, "max_bytes"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_by_name(arguments, options, word):
    with pytest.raises(ConfigurationError, match=word):
        CompressingCodec(*arguments, **options)
