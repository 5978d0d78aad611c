"""The keys of the LMDB store.

A key of LMDB has at most 511 bytes. A place is the cache's name, a zero byte and the generation, big endian; an
entry's key is its place and its identifier. Only keys of identifiers that do not fit have exactly 511 bytes: they end
in a digest, and the identifier is read from the value.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from cenote.errors import StoreFullError
from cenote.stores.shared import Place

__all__ = ["LONGEST", "cut_prefix", "due_key", "entry_key", "place_key", "place_of", "tag_key", "told_by"]

LONGEST: Final = 511
"""Bytes of a key that ends in a digest; all others are shorter."""

_DIGEST: Final = 16
_NAME_LIMIT: Final = 255
_GENERATION: Final = struct.Struct(">Q")
_DUE: Final = struct.Struct(">dQ")


def place_key(cache: str, generation: int) -> bytes:
    """Return what the keys of a place begin with; no other place's keys begin so.

    Raises:
        StoreFullError: The cache's name has no room in a key, or contains a zero byte.
    """
    name = cache.encode("utf-8", "surrogatepass")
    if len(name) > _NAME_LIMIT or b"\0" in name:
        raise StoreFullError(f"the cache name {cache[:80]!r} must have at most {_NAME_LIMIT} bytes, and no zero byte")
    return name + b"\0" + _GENERATION.pack(generation)


def place_of(key: bytes) -> tuple[Place, bytes]:
    """Return the place that a key begins with, and its bytes."""
    end = key.index(b"\0") + 9
    return (key[: end - 9].decode("utf-8", "surrogatepass"), _GENERATION.unpack_from(key, end - 8)[0]), key[:end]


def entry_key(place: bytes, identifier: str) -> bytes:
    """Return the key of an entry."""
    name = identifier.encode("utf-8", "surrogatepass")
    key = place + name
    if len(key) < LONGEST:
        return key
    return key[: LONGEST - _DIGEST] + blake2b(name, digest_size=_DIGEST).digest()


def cut_prefix(place: bytes, prefix: str) -> bytes:
    """Return what the keys of all identifiers with a prefix begin with; others' may too when it is long."""
    return (place + prefix.encode("utf-8", "surrogatepass"))[: LONGEST - _DIGEST]


def told_by(key: bytes, place: bytes) -> str | None:
    """Return the identifier of a key, or None when only the value tells it."""
    return None if len(key) == LONGEST else key[len(place) :].decode("utf-8", "surrogatepass")


def tag_key(place: bytes, tag: str) -> bytes:
    """Return what the index rows of a tag begin with; the entry's turn follows."""
    return place + blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def due_key(hard_until: float, turn: int) -> bytes:
    """Return the key of a row of the expiry index; they sort by time."""
    return _DUE.pack(hard_until if hard_until > 0.0 else 0.0, turn)  # noqa: FURB136  # max(-0.0, 0.0) is -0.0, and sorts last
