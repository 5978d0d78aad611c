"""The memory of keys that were evicted a short while ago."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cenote.entry import Entry

__all__ = ["PARTS", "Ghosts"]

PARTS: Final = 32
"""In how many parts the evictions back are counted."""

_WAYS: Final = 4
_LEAST_SLOTS: Final = 256
_LOW: Final = 0xFFFF_FFFF
_LAST_NUMBER: Final = 0xFFFF_FFFF


class Ghosts:
    """The last evicted keys, as fingerprints in one flat table.

    The table is cut into buckets of four words. A word holds the number of its eviction above 32 bits of the
    key's hash, so that the smallest word of a bucket is the oldest. A key is remembered while fewer than
    ``limit`` others were evicted after it; five such keys in one bucket make it forget the oldest, and two
    keys with one fingerprint are taken for each other: both only cost a worse guess.

    Attributes:
        limit: How many evictions back it remembers; it grows with the cache and never shrinks.
        returns: How many keys came back, by the evictions in between, in equal parts of the limit.
    """

    __slots__ = ("_mask", "_number", "_table", "limit", "returns")

    def __init__(self) -> None:
        self.limit = 0
        self.returns = [0] * PARTS
        self._number = 0
        self._mask = 0
        self._table: array[int] = array("Q")

    @property
    def slots(self) -> int:
        """How many words the table has; 0 before the first eviction."""
        return len(self._table)

    @property
    def evicted(self) -> int:
        """How many keys it was told of, of those that have a hash."""
        return self._number

    def add(self, entry: Entry, limit: int) -> None:
        """Remember the key of an evicted entry.

        Args:
            entry: The entry.
            limit: How many evictions back to remember, when that is more than so far.
        """
        if limit > self.limit or not self._table:
            self._grow(limit)
        fingerprint, place = self._locate(entry)
        if not fingerprint:
            return
        table = self._table
        if self._number >= _LAST_NUMBER:
            self._table = table = array("Q", bytes(8 * len(table)))
            self._number = 0
        self._number += 1
        bucket = table[place : place + _WAYS]
        table[place + bucket.index(min(bucket))] = self._number << 32 | fingerprint

    def take(self, entry: Entry) -> bool:
        """Forget the key of an entry that comes in.

        Args:
            entry: The entry.

        Returns:
            Whether the key was remembered.
        """
        table = self._table
        if not table:
            return False
        fingerprint, place = self._locate(entry)
        if not fingerprint:
            return False
        for word in table[place : place + _WAYS]:
            if word & _LOW == fingerprint and (since := self._number - (word >> 32)) < self.limit:
                table[table.index(word, place)] = 0
                self.returns[since * PARTS // self.limit] += 1
                return True
        return False

    def _locate(self, entry: Entry) -> tuple[int, int]:
        """Return a key's fingerprint, which is odd, and where its bucket starts; two zeros without a hash."""
        try:
            mixed = hash((entry.slot, entry.key))
        except Exception:  # noqa: BLE001  # a key's own __hash__ may raise anything; the eviction goes on
            return 0, 0
        return mixed >> 32 & _LOW | 1, (mixed & self._mask) * _WAYS

    def _grow(self, limit: int) -> None:
        self.limit = max(self.limit, limit)
        table = self._table
        if not table:
            slots = max(_LEAST_SLOTS, 1 << (limit - 1).bit_length() if limit > 0 else 0)
            self._table = table = array("Q", bytes(8 * slots))
        while len(table) < self.limit:
            # A bucket's keys now belong either to it or to its twin in the new half; the copy that is never
            # asked ages out.
            table.extend(table)
        self._mask = len(table) // _WAYS - 1
