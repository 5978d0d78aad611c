"""Expiry buckets: which entries may have ended, without looking at all of them.

Entries wait in buckets of equal width in time, so that one that ends costs one list item and nothing while it lives. A
bucket is only a hint: an entry whose end has moved is put into a later one when its bucket comes up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from cenote.entry import FOREVER, Entry

__all__ = ["ExpiryBuckets"]

HORIZON: Final = 1024
"""How many buckets ahead an entry may wait; what ends later is looked at again on the way."""

NARROWEST: Final = 1 / 16
WIDEST: Final = 16.0
SHELLS_KEPT: Final = 1024


class ExpiryBuckets:
    """The entries of one store that end, by the time at which they do."""

    __slots__ = (
        "_buckets",
        "_end_of",
        "_first",
        "_order",
        "_shells",
        "_sorted",
        "_stable",
        "_waiting",
        "_width",
    )

    def __init__(self, ttl: float | None, end_of: Callable[[Entry], float], *, stable: bool) -> None:
        """Make empty buckets.

        Args:
            ttl: The usual lifetime in seconds; sets the width of the buckets.
            end_of: Returns when an entry ends, in monotonic seconds.
            stable: Whether an end only moves when ``add`` is called (it does not under an idle TTL).
        """
        self._width = min(max((ttl or 60.0) / 256, NARROWEST), WIDEST)
        self._end_of = end_of
        self._stable = stable
        self._buckets: dict[int, list[Entry]] = {}
        self._order: list[int] = []
        self._first = 0
        self._sorted = 0
        self._waiting = 0
        self._shells = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, entry: Entry, at: float) -> None:
        """Let an entry wait for its end, or move it to an earlier one."""
        number = int(at / self._width) + 1
        if self._first:
            number = min(number, self._first + HORIZON)
        due = entry.due
        if due and due <= number:
            if due == self._sorted:
                self._sorted = 0
            return
        if due:
            self._shells += 1
        self._append(number, entry)

    def forget(self, entry: Entry) -> None:
        """Note that an entry was taken out for another reason; its place is freed in time."""
        if entry.due:
            entry.due = 0
            self._shells += 1
            if self._shells > SHELLS_KEPT + self._waiting - self._shells:
                self._compact()

    def pop(self, now: float, enough: Callable[[], bool] | None = None) -> list[Entry]:
        """Take out the entries that have ended by now.

        Args:
            now: Monotonic seconds.
            enough: Asked between batches; stops early when it answers True.

        Returns:
            The ended entries.
        """
        ended: list[Entry] = []
        self._first = present = int(now / self._width) + 1
        while self._order and self._order[0] <= present:
            number = self._order[0]
            bucket = self._buckets[number]
            if number == present:
                self._pop_present(number, bucket, now, ended)
                if bucket:
                    break
            while bucket:
                for entry in bucket[-256:]:
                    if entry.due == number:
                        self._settle(entry, now, ended)
                    else:
                        self._shells -= 1
                self._waiting -= len(bucket[-256:])
                del bucket[-256:]
                if enough is not None and enough():
                    return ended
            heapq.heappop(self._order)
            del self._buckets[number]
        return ended

    def drain(self) -> list[list[Entry]]:
        """Give up all lists, to be freed elsewhere."""
        lists = list(self._buckets.values())
        self._buckets = {}
        self._order = []
        self._waiting = self._shells = 0
        return lists

    def _append(self, number: int, entry: Entry) -> None:
        entry.due = number
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [entry]
            heapq.heappush(self._order, number)
        else:
            bucket.append(entry)
        self._waiting += 1
        if number == self._sorted:
            self._sorted = 0

    def _settle(self, entry: Entry, now: float, ended: list[Entry]) -> None:
        """Decide on an entry whose bucket is over: it has ended, or waits again."""
        entry.due = 0
        at = self._end_of(entry)
        if at <= now:
            ended.append(entry)
        elif at != FOREVER:
            self.add(entry, at)

    def _pop_present(self, number: int, bucket: list[Entry], now: float, ended: list[Entry]) -> None:
        """Take what has ended out of the bucket that time is in; sorted once, so that asking again is cheap."""
        if self._sorted != number or not self._stable:
            bucket.sort(key=self._end_of, reverse=True)
            self._sorted = number
        while bucket and (bucket[-1].due != number or self._end_of(bucket[-1]) <= now):
            entry = bucket.pop()
            self._waiting -= 1
            if entry.due == number:
                entry.due = 0
                ended.append(entry)
            else:
                self._shells -= 1

    def _compact(self) -> None:
        """Drop the places of entries that are gone."""
        waiting = 0
        for number in list(self._buckets):
            kept = [entry for entry in self._buckets[number] if entry.due == number]
            waiting += len(kept)
            if kept:
                self._buckets[number] = kept
            else:
                del self._buckets[number]
        self._order = sorted(self._buckets)
        self._waiting = waiting
        self._shells = 0
        self._sorted = 0
