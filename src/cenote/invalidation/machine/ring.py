"""The rings of records: what was invalidated, in order, as long as there is room.

A record is written whole, then the count of its ring is raised, then the head: a reader that sees the head sees what
it counts. Records carry the position and the sequence that they were written for, under a checksum. A reader walks back
from the last one, and what it copied while a writer came around again, or tore, fails that check: it then forgets
everything.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Final, NamedTuple

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine.file import SharedFile
from cenote.invalidation.machine.layout import RECORDS_EACH, Word
from cenote.refills import RefillOrder

__all__ = ["Draft", "Ring", "covered", "drafts", "fitted", "key_draft", "refill_of"]

_HEADER: Final = struct.Struct("<IBBHQQHxxxxxx")
"""CRC-32, kind, whether soft, service, position, sequence, bytes of text."""

_KINDS: Final = (RecordKind.CLEAR, RecordKind.CLEAR_ALL, RecordKind.KEY, RecordKind.TAGS, RecordKind.PREFIX)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS, 1)}


class Draft(NamedTuple):
    """A record before it has a place.

    Attributes:
        kind: What it makes old.
        service: The number of the service.
        soft: Whether entries only turn stale.
        text: What is covered, as it is written; of a clear, how the refill behind it is to be paced.
    """

    kind: RecordKind
    service: int
    soft: bool
    text: bytes


class Ring:
    """Records of one size, one after the other and around again."""

    def __init__(self, file: SharedFile, *, at: int, records: int, size: int, count: Word) -> None:
        """Look at a ring.

        Args:
            file: The file.
            at: Where it begins, in bytes.
            records: How many it holds.
            size: Bytes of each.
            count: The word that says how many there ever were.
        """
        self._bytes = file.bytes
        self._words = file.words
        self._at = at
        self._records = records
        self._size = size
        self._count = count

    @property
    def room(self) -> int:
        """How many bytes of text fit into a record."""
        return self._size - _HEADER.size

    def write(self, draft: Draft, sequence: int) -> None:
        """Write a record and count it; under the file's lock, before the head moves."""
        words = self._words
        count = words[self._count]
        at = self._place(count)
        body = (
            _HEADER.pack(0, _NUMBERS[draft.kind], draft.soft, draft.service, count, sequence, len(draft.text))[4:]
            + draft.text
        )
        self._bytes[at : at + 4 + len(body)] = zlib.crc32(body).to_bytes(4, "little") + body
        self._words[self._count] = count + 1

    def goes_beyond(self, head: int) -> bool:
        """Whether a writer was killed before the head moved to what it wrote; under the file's lock."""
        count = self._words[self._count]
        return count > 0 and self._sequence_at(count - 1) > head

    def drop_after(self, head: int) -> None:
        """Take back what was counted by writers that were killed before the head moved; under the file's lock."""
        count = self._words[self._count]
        for _ in range(min(count, self._records)):
            if self._sequence_at(count - 1) <= head:
                return
            count -= 1
            self._words[self._count] = count

    def after(self, sequence: int, head: int) -> list[tuple[Draft, int]] | None:
        """Return the records after a sequence and up to the head, in order, with their sequences.

        Returns:
            The records; None when one of them is not there any more, or is not what was written.
        """
        count = self._words[self._count]
        found: list[tuple[Draft, int]] = []
        position = count
        while position:
            position -= 1
            if count - position > self._records:
                return None
            record = self._read(position)
            if record is None:
                return None
            if record[1] <= sequence:
                break
            if record[1] <= head:
                found.append(record)
        # Whoever wrote meanwhile may have come around: the copies are good only as far as that is impossible.
        if self._words[self._count] - position > self._records:
            return None
        found.reverse()
        return found

    def last_sequence(self) -> int | None:
        """Return the sequence of the last record, 0 when there is none; None when it is not what was written."""
        count = self._words[self._count]
        if not count:
            return 0
        record = self._read(count - 1)
        return None if record is None else record[1]

    def _place(self, position: int) -> int:
        return self._at + position % self._records * self._size

    def _sequence_at(self, position: int) -> int:
        return self._words[(self._place(position) + 16) // 8]

    def _read(self, position: int) -> tuple[Draft, int] | None:
        at = self._place(position)
        raw = bytes(self._bytes[at : at + self._size])
        check, kind, soft, service, written, sequence, length = _HEADER.unpack_from(raw)
        end = _HEADER.size + length
        if end > self._size or zlib.crc32(raw[4:end]) != check or written != position or not 0 < kind <= len(_KINDS):
            return None
        return Draft(_KINDS[kind - 1], service, bool(soft), raw[_HEADER.size : end]), sequence


def key_draft(record: Record, service: int, room: int) -> Draft:
    """Turn the record of a key or a prefix into what is written; one that does not fit becomes a prefix."""
    written = record.covered[0].encode("utf-8", "surrogatepass")
    if len(written) <= room:
        return Draft(record.kind, service, record.soft, written)
    while written[room] & 0xC0 == 0x80:  # amid a character
        room -= 1
    return Draft(RecordKind.PREFIX, service, record.soft, written[:room])


def drafts(record: Record, service: int, room: int) -> list[Draft]:
    """Turn any other record into what is written: what does not fit is widened, never narrowed.

    Tags become several records, and a tag that is too long becomes a clear of the whole cache.
    """
    kind, soft = record.kind, record.soft
    if kind in (RecordKind.CLEAR, RecordKind.CLEAR_ALL):
        return [Draft(kind, service, soft, b"" if record.refill is None else _text(record.refill.written()))]
    if kind is RecordKind.TAGS:
        packed = [_tag(tag) for tag in record.covered]
        if any(len(part) > room for part in packed):
            return [Draft(RecordKind.CLEAR, service, soft, b"")]
        texts = [b""]
        for part in packed:
            if len(texts[-1]) + len(part) > room:
                texts.append(b"")
            texts[-1] += part
        return [Draft(kind, service, soft, text) for text in texts]
    return [key_draft(record, service, room)]


def fitted(record: Record) -> list[Record]:
    """Return records that cover at least what one does, each of which takes one place of a ring.

    That of a key stays whole, since its value goes with it: ``key_draft`` makes one place do, however long it is.
    """
    if record.kind is RecordKind.KEY:
        return [replace(record, sequence=0)]
    written = drafts(record, 0, RECORDS_EACH - _HEADER.size)
    return [replace(record, kind=draft.kind, covered=covered(draft), sequence=0) for draft in written]


def covered(draft: Draft) -> tuple[str, ...]:
    """Return the key, the tags or the prefix that a written record covers."""
    if draft.kind in (RecordKind.CLEAR, RecordKind.CLEAR_ALL):
        return ()
    if draft.kind is not RecordKind.TAGS:
        return (draft.text.decode("utf-8", "surrogatepass"),)
    tags = []
    at = 0
    while at < len(draft.text):
        length = int.from_bytes(draft.text[at : at + 2], "little")
        tags.append(draft.text[at + 2 : at + 2 + length].decode("utf-8", "surrogatepass"))
        at += 2 + length
    return tuple(tags)


def refill_of(draft: Draft) -> RefillOrder | None:
    """Return how the refill behind a written clear is to be paced; None where it says nothing, as older ones do."""
    if draft.kind not in (RecordKind.CLEAR, RecordKind.CLEAR_ALL) or not draft.text:
        return None
    return RefillOrder.read(draft.text.decode("utf-8", "surrogatepass"))


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _tag(tag: str) -> bytes:
    written = _text(tag)
    return len(written).to_bytes(2, "little") + written
