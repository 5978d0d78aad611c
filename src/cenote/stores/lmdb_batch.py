"""One write transaction of the LMDB store: entries, their index rows and the counters change together."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from cenote.entry import FOREVER
from cenote.errors import DecodeError
from cenote.stores.lmdb_env import Tables
from cenote.stores.lmdb_keys import LONGEST, due_key, entry_key, tag_key
from cenote.stores.stored import SOFT, StoredEntry, pack, terms_of, unpack

__all__ = ["COUNTS", "STAMP", "STAMP_KEY", "TURN", "Batch"]

STAMP: Final = struct.Struct("<QQQQ")
"""Head, next turn, entries and bytes of the namespace; the incarnation in UTF-8 follows."""

STAMP_KEY: Final = b"stamp"
"""The row of the stamp; those of the counters are places, and so contain a zero byte."""

COUNTS: Final = struct.Struct("<QQ")
TURN: Final = struct.Struct(">Q")

CHANCES: Final = 64
"""How many entries that were read lately one put spares; the next one goes all the same."""


class Batch:
    """What one write transaction changes; nothing of it is seen before ``finish`` and the commit.

    Attributes:
        head: The highest sequence seen.
        entries: How many entries the namespace has.
        size: Bytes of their keys and values.
    """

    __slots__ = ("_counts", "_incarnation", "_tables", "_turn", "_txn", "entries", "head", "size")

    def __init__(self, txn: Any, tables: Tables) -> None:
        self._txn = txn
        self._tables = tables
        self._counts: dict[bytes, tuple[int, int]] = {}
        stamp = txn.get(STAMP_KEY, db=tables.meta)
        if stamp is None:
            self.head = self._turn = self.entries = self.size = 0
            self._incarnation = b""
        else:
            self.head, self._turn, self.entries, self.size = STAMP.unpack_from(stamp)
            self._incarnation = stamp[STAMP.size :]

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes under a key."""
        data: bytes | None = self._txn.get(key, db=self._tables.entries)
        return data

    def named(self, place: bytes, identifiers: Iterable[str]) -> Iterator[tuple[bytes, bytes]]:
        """Give keys and bytes of those identifiers that have an entry."""
        for identifier in identifiers:
            key = entry_key(place, identifier)
            data = self.get(key)
            if data is None:
                continue
            if len(key) == LONGEST:
                with contextlib.suppress(DecodeError):
                    if unpack(data, key).identifier != identifier:
                        continue
            yield key, data

    def remove_named(self, place: bytes, identifiers: Iterable[str], before: float, now: float) -> int:
        """Take out those of the named entries that were born before a sequence; return how many live ones went."""
        gone = 0
        for key, data in self.named(place, identifiers):
            try:
                unpack(data, key, "")
                birth, hard_until, _ = terms_of(data)
            except DecodeError:
                birth, hard_until = SOFT, 0.0
            if birth < before:
                self.remove(key, place, data)
                gone += hard_until > now
        return gone

    def soften_named(self, place: bytes, identifiers: Iterable[str], before: float, now: float) -> int:
        """Mark those of the named entries that were born before a sequence; return how many live ones that were."""
        softened = 0
        for key, data in self.named(place, identifiers):
            with contextlib.suppress(DecodeError):
                entry = unpack(data, key)
                if SOFT < entry.birth < before:
                    softened += entry.hard_until > now
                    entry.birth = SOFT
                    self.replace(key, entry, data)
        return softened

    def put(self, key: bytes, place: bytes, entry: StoredEntry) -> int:
        """Keep an entry under its key, in place of an older one; return the bytes that both take."""
        txn, tables = self._txn, self._tables
        turn = self._turn
        self._turn = turn + 1
        data = pack(entry, key, turn)
        older = txn.get(key, db=tables.entries)
        if older is not None:
            self._unlink(key, place, older)
        txn.put(key, data, db=tables.entries)
        row = TURN.pack(turn)
        txn.put(row, key, db=tables.order, append=True)
        if entry.hard_until != FOREVER:
            txn.put(due_key(entry.hard_until, turn), place, db=tables.expiry)
        for tag in entry.tags:
            txn.put(tag_key(place, tag) + row, b"", db=tables.tags)
        if older is None:
            self._count(place, 1, len(key) + len(data))
        else:
            self._count(place, 0, len(data) - len(older))
        return len(key) + len(data)

    def remove(self, key: bytes, place: bytes, data: bytes) -> None:
        """Take out the entry whose bytes are ``data``."""
        self._unlink(key, place, data)
        self._txn.delete(key, db=self._tables.entries)
        self._count(place, -1, -len(key) - len(data))

    def replace(self, key: bytes, entry: StoredEntry, data: bytes) -> None:
        """Write an entry over its bytes ``data``; only figures that no index tells may differ."""
        self._txn.put(key, pack(entry, key, terms_of(data)[2]), db=self._tables.entries)

    def evict(self, room: int, read: Collection[bytes] = (), keep: bytes = b"") -> int:
        """Take out entries, the one put first at first, until all together have at most ``room`` bytes.

        Args:
            room: The bytes.
            read: Keys that were read lately; a few of them get a later turn instead, once.
            keep: A key that stays.

        Returns:
            How many went.
        """
        gone = 0
        spared: set[bytes] = set()
        while self.size > room:
            first = self.first()
            if first is None:
                break
            key, place, data = first
            if key == keep or (key in read and key not in spared and len(spared) < CHANCES):
                spared.add(key)
                try:
                    self.put(key, place, unpack(data, key))
                    continue
                except DecodeError:
                    pass
            self.remove(key, place, data)
            gone += 1
        return gone

    def first(self) -> tuple[bytes, bytes, bytes] | None:
        """Return key, place and bytes of the entry put first."""
        while row := self._first_row(self._tables.order):
            turn, key = row
            if found := self._entry_of(turn, key):
                return found
            self._txn.delete(turn, db=self._tables.order)
        return None

    def ended(self, now: float) -> tuple[bytes, bytes, bytes] | None:
        """Return key, place and bytes of the entry that is over the longest, if one is."""
        last = due_key(now, 2**64 - 1)
        while (row := self._first_row(self._tables.expiry)) and row[0] <= last:
            turn = row[0][8:]
            if found := self._entry_of(turn, self._txn.get(turn, db=self._tables.order)):
                return found
            self._txn.delete(row[0], db=self._tables.expiry)
        return None

    def places(self) -> list[bytes]:
        """Return the places that have entries."""
        with self._txn.cursor(db=self._tables.meta) as cursor:
            return [key for key in cursor.iternext(keys=True, values=False) if key != STAMP_KEY]

    def some(self, place: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys and bytes of at most ``limit`` entries of a place."""
        found: list[tuple[bytes, bytes]] = []
        with self._txn.cursor(db=self._tables.entries) as cursor:
            more = cursor.set_range(place)
            while more and len(found) < limit and cursor.key().startswith(place):
                found.append(cursor.item())
                more = cursor.next()
        return found

    def finish(self, sequence: int) -> None:
        """Write the stamp and the counters; the commit is the caller's."""
        txn, meta = self._txn, self._tables.meta
        self.head = max(self.head, sequence)
        for place, (entries, size) in self._counts.items():
            if entries:
                txn.put(place, COUNTS.pack(entries, size), db=meta)
            else:
                txn.delete(place, db=meta)
        stamp = STAMP.pack(self.head, self._turn, self.entries, self.size) + self._incarnation
        txn.put(STAMP_KEY, stamp, db=meta)

    def reset(self, incarnation: str, head: int) -> None:
        """Empty the namespace and set its stamp."""
        for table in self._tables.all():
            self._txn.drop(table, delete=False)
        self._counts.clear()
        self.entries = self.size = self._turn = 0
        self.head = head
        self._incarnation = incarnation.encode()
        self.finish(head)

    def _first_row(self, table: Any) -> tuple[bytes, bytes] | None:
        with self._txn.cursor(db=table) as cursor:
            return cursor.item() if cursor.first() else None

    def _entry_of(self, turn: bytes, key: bytes | None) -> tuple[bytes, bytes, bytes] | None:
        """Return the entry that an index row stands for; None for a row that a damaged entry left behind."""
        data = None if key is None else self.get(key)
        if key is None or data is None:
            return None
        place = key[: key.index(b"\0") + 9]
        try:
            unpack(data, key, "")
        except DecodeError:
            self.remove(key, place, data)
            return None
        return (key, place, data) if terms_of(data)[2] == TURN.unpack(turn)[0] else None

    def _unlink(self, key: bytes, place: bytes, data: bytes) -> None:
        """Remove the index rows of an entry; those of a damaged one are dropped when they are met."""
        txn, tables = self._txn, self._tables
        try:
            entry = unpack(data, key, "")
        except DecodeError:
            return
        turn = terms_of(data)[2]
        row = TURN.pack(turn)
        txn.delete(row, db=tables.order)
        if entry.hard_until != FOREVER:
            txn.delete(due_key(entry.hard_until, turn), db=tables.expiry)
        for tag in entry.tags:
            txn.delete(tag_key(place, tag) + row, db=tables.tags)

    def _count(self, place: bytes, entries: int, size: int) -> None:
        counts = self._counts.get(place)
        if counts is None:
            row = self._txn.get(place, db=self._tables.meta)
            counts = (0, 0) if row is None else COUNTS.unpack(row)
        self._counts[place] = counts[0] + entries, counts[1] + size
        self.entries += entries
        self.size += size
