"""Stored entries: what a shared store keeps of a value, and the bytes it is kept in.

Version 1 is little endian: a head of fixed size, the identifier in UTF-8, each tag in UTF-8 behind its length, the
payload, and a CRC-32 of the key and all that stands before. What was written once is read for ever.
"""

from __future__ import annotations

import struct
from typing import Final
from zlib import crc32

from cenote.entry import FOREVER
from cenote.errors import DecodeError, EncodeError

__all__ = ["OVERHEAD", "SOFT", "StoredEntry", "fresh_payload", "pack", "terms_of", "unpack"]

VERSION: Final = 1

SOFT: Final = -1
"""The birth of an entry that was softly cleared: older than every record."""

_HEAD: Final = struct.Struct("<BIIqddddQQ")
_FRESHNESS: Final = struct.Struct("<BIIq8xd16xQ8x")  # of the head, what a read of a plain value needs
_LENGTH: Final = struct.Struct("<I")
_SIZE: Final = _HEAD.size

OVERHEAD: Final = _SIZE + 4
"""Bytes that every entry takes besides its identifier, tags and payload."""

# The CRC-32 of anything followed by its own CRC-32 is this constant, so a check needs no slice of the data.
_RESIDUE: Final = 0x2144DF1C

_NO_TAGS: Final[frozenset[str]] = frozenset()


class StoredEntry:
    """One value in a shared store, with all that decides whether it may be served.

    Attributes:
        identifier: The text that names the entry in its place.
        birth: The sequence applied when its load began; SOFT once it was softly cleared.
        born: When its load began, in seconds of wall-clock time.
        expires: When it goes stale, in seconds of wall-clock time; infinity never.
        hard_until: When it must not be served any more, in seconds of wall-clock time; infinity never.
        cost: How long its load took, in seconds.
        fingerprint: 64 bits that tell keys of equal identifiers apart.
        tags: Its tags.
        payload: The encoded value.
    """

    __slots__ = ("birth", "born", "cost", "expires", "fingerprint", "hard_until", "identifier", "payload", "tags")

    def __init__(  # noqa: PLR0917  # keywords would cost every read
        self,
        identifier: str,
        birth: int = 0,
        born: float = 0.0,
        expires: float = FOREVER,
        hard_until: float = FOREVER,
        cost: float = 0.0,
        fingerprint: int = 0,
        tags: frozenset[str] = _NO_TAGS,
        payload: bytes = b"",
    ) -> None:
        self.identifier = identifier
        self.birth = birth
        self.born = born
        self.expires = expires
        self.hard_until = hard_until
        self.cost = cost
        self.fingerprint = fingerprint
        self.tags = tags
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredEntry):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # it changes, as a softened one does

    def __repr__(self) -> str:
        return f"<StoredEntry {self.identifier[:80]!r} birth={self.birth} {len(self.payload)} bytes>"


def pack(entry: StoredEntry, key: bytes = b"", turn: int = 0) -> bytes:
    """Return the bytes of an entry.

    Args:
        entry: What to write down.
        key: What it is stored under; part of the checksum, so that a value under another key is recognised.
        turn: A number of the store's own, given back by ``terms_of``.

    Raises:
        EncodeError: A figure does not fit into its field.
    """
    name = entry.identifier.encode("utf-8", "surrogatepass")
    tags = entry.tags
    try:
        head = _HEAD.pack(
            VERSION,
            len(tags),
            len(name),
            entry.birth,
            entry.born,
            entry.expires,
            entry.hard_until,
            entry.cost,
            entry.fingerprint,
            turn,
        )
    except struct.error as error:
        raise EncodeError(f"the entry {entry.identifier[:80]!r} has a figure that cannot be stored: {error}") from error
    if tags:
        written = [tag.encode("utf-8", "surrogatepass") for tag in sorted(tags)]
        body = b"".join([head, name, *[_LENGTH.pack(len(tag)) + tag for tag in written], entry.payload])
    else:
        body = head + name + entry.payload
    return body + _LENGTH.pack(crc32(body, crc32(key)))


def unpack(data: bytes, key: bytes = b"", identifier: str | None = None) -> StoredEntry:
    """Return the entry that ``pack`` wrote.

    Args:
        data: The bytes.
        key: What they were stored under.
        identifier: The identifier, where the caller knows that it is this one; saves reading it.

    Raises:
        DecodeError: The bytes are damaged, were stored under another key, or are of another version.
    """
    if crc32(key + data) != _RESIDUE:
        raise DecodeError("a stored entry is damaged: its checksum does not fit")
    try:
        version, tagged, length, birth, born, expires, hard_until, cost, fingerprint, _ = _HEAD.unpack_from(data)
        if version != VERSION:
            raise DecodeError(f"a stored entry has format {version}, which this version of Cenote does not read")
        start = _SIZE + length
        if identifier is None:
            identifier = data[_SIZE:start].decode("utf-8", "surrogatepass")
        tags = _NO_TAGS
        if tagged:
            found, start = _tags_at(data, start, tagged)
            tags = frozenset(tag.decode("utf-8", "surrogatepass") for tag in found)
    except (struct.error, UnicodeDecodeError) as error:
        raise DecodeError(f"a stored entry cannot be read: {error}") from error
    if start > len(data) - 4:
        raise DecodeError("a stored entry is shorter than it says")
    return StoredEntry(identifier, birth, born, expires, hard_until, cost, fingerprint, tags, data[start:-4])


def _tags_at(data: bytes, start: int, tagged: int) -> tuple[list[bytes], int]:
    """Return the tags that stand at a place, and where they end."""
    found = []
    for _ in range(tagged):
        end = start + 4 + _LENGTH.unpack_from(data, start)[0]
        found.append(data[start + 4 : end])
        start = end
    return found, start


def fresh_payload(data: bytes, key: bytes, *, now: float, floor: int) -> bytes | None:
    """Return the payload of what ``pack`` wrote, without the rest, if it is fresh; None if it is not, or is damaged.

    Args:
        data: The bytes.
        key: What they were stored under.
        now: Seconds of wall-clock time.
        floor: An earlier birth is stale.
    """
    if crc32(key + data) != _RESIDUE:
        return None
    try:
        version, tagged, length, birth, expires, fingerprint = _FRESHNESS.unpack_from(data)
        if version != VERSION or fingerprint or birth < floor or expires <= now:
            return None
        start = _SIZE + length
        if tagged:
            start = _tags_at(data, start, tagged)[1]
    except struct.error:
        return None
    return data[start:-4] if start <= len(data) - 4 else None


def terms_of(data: bytes) -> tuple[int, float, int]:
    """Return birth, ``hard_until`` and turn of bytes whose checksum is known to fit."""
    _, _, _, birth, _, _, hard_until, _, _, turn = _HEAD.unpack_from(data)
    return birth, hard_until, turn
