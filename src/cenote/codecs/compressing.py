"""The compressing codec: large values of another codec, compressed.

What another codec writes stays as it is when it is small, or would not become smaller. Compressed bytes::

    1 byte     the format: 0x61 zlib, 0x62 zstd, 0x63 lz4
    4 bytes    CRC-32 of all that follows, big-endian; it starts from the format
    4 bytes    how many bytes the other codec wrote, big-endian
    the rest   a zlib stream, a Zstandard frame, or an LZ4 block

Should the other codec write bytes that begin with one of these formats, 0x60 stands in front of them.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, ClassVar, Final, Literal
from zlib import crc32

from cenote.codecs.codec import ANY, Codec
from cenote.codecs.compression import ALGORITHMS, Algorithm
from cenote.codecs.formats import AS_IS, COMPRESSED
from cenote.errors import ConfigurationError, DecodeError

__all__ = ["CompressingCodec"]

THRESHOLD_BYTES: Final = 1024
MAX_BYTES: Final = 64 << 20
LARGEST_MAX_BYTES: Final = 1 << 30

_HEAD: Final = Struct(">BII")
_CHECKED_FROM: Final = 5
_FORMATS: Final = frozenset({AS_IS, *COMPRESSED})


class CompressingCodec(Codec):
    """A codec that compresses the large values of another one.

    It reads what any CompressingCodec around the same codec has written, whatever its settings, and what that codec has
    written by itself. Without a CompressingCodec compressed values cannot be read: they raise DecodeError.

    Bytes are expanded before the other codec looks at them, so a payload that lies is refused within ``max_bytes``:
    it never takes more than a few times as much memory.

    Args:
        codec: The codec whose bytes are compressed.
        algorithm: "zstd", "lz4" or "zlib"; the first two need the extra of their name.
        threshold: The fewest bytes that are compressed.
        max_bytes: The most bytes that are compressed, and that compressed ones may expand to; at most 1 GiB.

    Raises:
        ConfigurationError: An argument cannot be used.
        MissingExtraError: The algorithm's package is not installed.
    """

    name: ClassVar[str] = "compressing"

    def __init__(
        self,
        codec: Codec,
        algorithm: Literal["zstd", "lz4", "zlib"] = "zstd",
        *,
        threshold: int = THRESHOLD_BYTES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not isinstance(codec, Codec):
            raise ConfigurationError(f"codec must be a Codec such as MsgpackCodec(), not {codec!r}")
        if algorithm not in ALGORITHMS:
            raise ConfigurationError(f"algorithm must be 'zstd', 'lz4' or 'zlib', not {algorithm!r}")
        if not isinstance(threshold, int) or threshold < 0:
            raise ConfigurationError(f"threshold must be a number of bytes, not {threshold!r}")
        if not isinstance(max_bytes, int) or not 0 < max_bytes <= LARGEST_MAX_BYTES:
            raise ConfigurationError(f"max_bytes must be 1 to {LARGEST_MAX_BYTES} bytes, not {max_bytes!r}")
        self._codec = codec
        self._threshold = threshold
        self._max_bytes = max_bytes
        self._algorithm = ALGORITHMS[algorithm](max_bytes)
        self._readers: dict[int, Algorithm] = {self._algorithm.form: self._algorithm}

    def encode(self, value: Any, kind: Any = ANY) -> bytes:
        plain = self._codec.encode(value, kind)
        size = len(plain)
        if self._threshold <= size <= self._max_bytes:
            payload = self._algorithm.compress(plain)
            if _HEAD.size + len(payload) < size:
                form = self._algorithm.form
                checked = size.to_bytes(4, "big") + payload
                return bytes([form]) + crc32(checked, form).to_bytes(4, "big") + checked
        if plain[:1] and plain[0] in _FORMATS:
            return bytes([AS_IS]) + plain
        return plain

    def decode(self, data: bytes | memoryview, kind: Any = ANY) -> Any:
        try:
            content = self._content(data)
        except DecodeError:
            raise
        except Exception as error:  # whatever a library says of forged bytes
            raise DecodeError(f"stored bytes cannot be expanded ({type(error).__name__}: {error})") from error
        return self._codec.decode(content, kind)

    def _content(self, data: bytes | memoryview) -> bytes | memoryview:
        """Return what the other codec wrote, or what only that one can judge."""
        view = memoryview(data)
        if not view or view[0] not in _FORMATS:
            return data
        if view[0] == AS_IS:
            return view[1:]
        form, check, size = _HEAD.unpack_from(view)
        if crc32(view[_CHECKED_FROM:], form) != check:
            raise DecodeError("stored bytes cannot be read: they begin like compressed ones and are damaged")
        if size > self._max_bytes:
            raise DecodeError(f"stored bytes would expand to {size} bytes; max_bytes allows {self._max_bytes}")
        return self._reader(form).expand(view[_HEAD.size :], size)

    def _reader(self, form: int) -> Algorithm:
        found = self._readers.get(form)
        if found is None:
            found = self._readers[form] = ALGORITHMS[COMPRESSED[form]](self._max_bytes)
        return found
