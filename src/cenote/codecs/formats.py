"""Formats: the first bytes of what codecs write. A number is never given to another format."""

from __future__ import annotations

from typing import Final

__all__ = ["AS_IS", "COMPRESSED", "LZ4", "ZLIB", "ZSTD", "how_to_read"]

AS_IS: Final = 0x60
"""What begins like compressed bytes, and is none."""

ZLIB: Final = 0x61
ZSTD: Final = 0x62
LZ4: Final = 0x63

COMPRESSED: Final = {ZLIB: "zlib", ZSTD: "zstd", LZ4: "lz4"}
"""The algorithm of each compressed format."""


def how_to_read(data: bytes | memoryview) -> str | None:
    """Say how bytes can be read that a codec cannot read by itself; None when their first byte does not tell."""
    algorithm = COMPRESSED.get(data[0]) if len(data) else None
    if algorithm is None:
        return None
    return f"stored bytes cannot be read: they are compressed with {algorithm}; wrap the codec in a CompressingCodec"
