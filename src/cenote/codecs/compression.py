"""Compression algorithms: bytes made smaller, and made whole again within a bound."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from cenote.codecs.formats import LZ4, ZLIB, ZSTD
from cenote.errors import MissingExtraError

if TYPE_CHECKING:
    import zstandard

__all__ = ["ALGORITHMS", "Algorithm", "Lz4", "Zlib", "Zstd"]


class Algorithm(ABC):
    """One way to compress. It may be used from any thread.

    Args:
        largest: The most bytes that ``expand`` is ever asked for.

    Raises:
        MissingExtraError: Its package is not installed.

    Attributes:
        form: The format byte of what it makes.
    """

    form: ClassVar[int]

    @abstractmethod
    def __init__(self, largest: int) -> None: ...

    @abstractmethod
    def compress(self, content: bytes) -> bytes:
        """Return bytes that ``expand`` makes the same content of."""

    @abstractmethod
    def expand(self, payload: memoryview, size: int) -> bytes:
        """Return the content, or fail before more than a small multiple of ``size`` bytes of memory was used.

        Args:
            payload: What ``compress`` made, or anything else.
            size: How many bytes the content has, if the payload is sound.

        Raises:
            Exception: The payload is damaged, goes on behind its end, or has another size. Any exception means that.
        """


class Zlib(Algorithm):
    """The algorithm of every Python."""

    form = ZLIB

    def __init__(self, largest: int) -> None:  # its window is small, whatever the content
        """Need nothing."""

    def compress(self, content: bytes) -> bytes:
        return zlib.compress(content)

    def expand(self, payload: memoryview, size: int) -> bytes:
        stream = zlib.decompressobj()
        # One more than there should be, so that a sound stream comes to its end and a longer one is seen.
        content = stream.decompress(payload, size + 1)
        if not stream.eof or stream.unused_data or len(content) != size:
            raise ValueError("the stream does not end where it should")
        return content


class Zstd(Algorithm):
    """Zstandard at its default level, by the package zstandard."""

    form = ZSTD

    def __init__(self, largest: int) -> None:
        try:
            import zstandard  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise MissingExtraError("Compression with zstd", "zstd") from error
        # No window of a frame is larger than its content, rounded up to a power of two.
        window = 1 << max(10, (largest - 1).bit_length())
        self._parameters = zstandard.get_frame_parameters
        self._compressors = _Contexts(lambda: zstandard.ZstdCompressor(write_checksum=False))
        self._expanders = _Contexts(lambda: zstandard.ZstdDecompressor(max_window_size=window))

    def compress(self, content: bytes) -> bytes:
        context: zstandard.ZstdCompressor = self._compressors.take()
        try:
            return context.compress(content)
        finally:
            self._compressors.give_back(context)

    def expand(self, payload: memoryview, size: int) -> bytes:
        # What the frame says is allocated at once, whatever the limit that is passed on.
        if self._parameters(payload).content_size != size:
            raise ValueError("the frame says another size")
        context: zstandard.ZstdDecompressor = self._expanders.take()
        try:
            return context.decompress(payload, max_output_size=size, allow_extra_data=False)
        finally:
            self._expanders.give_back(context)


class _Contexts:
    """Contexts that one thread at a time may use: made when all are in use, and used again."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._idle: list[Any] = []

    def take(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give_back(self, context: Any) -> None:
        self._idle.append(context)


class Lz4(Algorithm):
    """LZ4 blocks, by the package lz4."""

    form = LZ4

    def __init__(self, largest: int) -> None:  # noqa: ARG002  # it has no window
        try:
            from lz4 import block  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, without types
        except ImportError as error:
            raise MissingExtraError("Compression with lz4", "lz4") from error
        self._block: Any = block

    def compress(self, content: bytes) -> bytes:
        made: bytes = self._block.compress(content, store_size=False)
        return made

    def expand(self, payload: memoryview, size: int) -> bytes:
        content: bytes = self._block.decompress(payload, uncompressed_size=size)
        if len(content) != size:
            raise ValueError("the block has another size")
        return content


ALGORITHMS: Final[dict[str, type[Algorithm]]] = {"zstd": Zstd, "lz4": Lz4, "zlib": Zlib}
"""All algorithms, by the names that users give."""
