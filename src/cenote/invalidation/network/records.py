"""Records as bytes, as the server keeps them and every member reads them."""

from __future__ import annotations

from typing import Final

from cenote.invalidation.log import Record, RecordKind
from cenote.refills import RefillOrder

__all__ = ["heard", "packed_record", "unpacked_record"]

_INCARNATION: Final = 32
_SEQUENCE: Final = 8

_KINDS: Final = (RecordKind.CLEAR, RecordKind.CLEAR_ALL, RecordKind.KEY, RecordKind.TAGS, RecordKind.PREFIX)
_WHOLE: Final = (RecordKind.CLEAR, RecordKind.CLEAR_ALL)


def packed_record(record: Record) -> bytes:
    """Return the bytes of a record; version 1, as long as a namespace has members that read it."""
    words = [record.cache or "", *record.covered]
    if record.kind in _WHOLE and record.refill is not None:
        words.append(record.refill.written())  # who does not know of it takes it for what a clear has no use for
    texts = [text.encode("utf-8", "surrogatepass") for text in words]
    head = bytes([1, _KINDS.index(record.kind), record.soft])
    return head + b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def unpacked_record(raw: bytes) -> Record:
    """Return the record of bytes.

    Raises:
        ValueError: It is of another version.
    """
    if raw[0] != 1:
        raise ValueError(f"a record has format {raw[0]}, which this version of Cenote does not read")
    texts = []
    at = 3
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        texts.append(raw[at + 4 : end].decode("utf-8", "surrogatepass"))
        at = end
    kind, cache, soft = _KINDS[raw[1]], texts[0] or None, bool(raw[2])
    if kind in _WHOLE:
        return Record(kind=kind, cache=cache, soft=soft, refill=RefillOrder.read(texts[1]) if texts[1:] else None)
    return Record(kind=kind, cache=cache, covered=tuple(texts[1:]), soft=soft)


def heard(message: bytes) -> tuple[str, Record]:
    """Return the incarnation and the record of a message of the doorbell.

    Raises:
        ValueError: It is no such message.
    """
    body = _INCARNATION + _SEQUENCE
    if len(message) <= body:
        raise ValueError("a message is too short to be a record")
    sequence = int.from_bytes(message[_INCARNATION:body], "big")
    return message[:_INCARNATION].decode("ascii"), unpacked_record(message[body:]).at(sequence)
