"""A codec that counts: how many values came from a shared store."""

from __future__ import annotations

from typing import Any, ClassVar

from cenote.codecs import Codec
from cenote.codecs.codec import ANY

__all__ = ["CountingCodec"]


class CountingCodec(Codec):
    """Another codec, with a count of what it decoded: what is served from memory is never decoded.

    Args:
        codec: What does the work.

    Attributes:
        decoded: How many values were decoded.
    """

    name: ClassVar[str] = "counting"

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.decoded = 0

    def encode(self, value: Any, kind: Any = ANY) -> bytes:
        return self._codec.encode(value, kind)

    def decode(self, data: bytes | memoryview, kind: Any = ANY) -> Any:
        value = self._codec.decode(data, kind)
        self.decoded += 1
        return value
