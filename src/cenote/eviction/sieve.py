"""SIEVE: one queue, one bit for each entry and a hand that sifts the queue from old to young.

Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cenote.eviction.fifo import Fifo
from cenote.eviction.policy import PATIENCE, EvictionPolicy

if TYPE_CHECKING:
    from random import Random

    from cenote.entry import Entry
    from cenote.locks import Lock

__all__ = ["Sieve"]


class Sieve(EvictionPolicy):
    """Evicts the first entry under the hand that was not hit since the hand last passed it.

    Two queues stand for the paper's one: the entries that the hand has passed, and those at it or ahead of
    it, where new ones join. When none is ahead the hand starts again at the oldest: the queues change places
    at once, before the next entry joins.
    """

    __slots__ = ("_ahead", "_passed")

    # One would do for the policy. Whoever looks for reads puts an entry one below the cap, which must not unmark it.
    touch_cap: ClassVar[int] = 2

    def __init__(self, capacity: int, lock: Lock | None = None) -> None:
        super().__init__(capacity, lock)
        self._ahead = Fifo(1)
        self._passed = Fifo(2)

    def admit(self, entry: Entry) -> None:
        self._ahead.push(entry)

    def remove(self, entry: Entry) -> None:
        if entry.where:
            (self._ahead if entry.where == self._ahead.mark else self._passed).drop(entry)
            self._wrap()

    def evict(self) -> Entry | None:
        patience = PATIENCE
        while (entry := self._ahead.pop()) is not None:
            if not entry.freq or not patience:
                self._wrap()
                return entry
            patience -= 1
            entry.freq = 0
            self._passed.push(entry)
            self._wrap()
        return None

    def resize(self, entry: Entry, old_size: int) -> None:
        if entry.where:
            (self._ahead if entry.where == self._ahead.mark else self._passed).size += entry.size - old_size

    def pick(self, dice: Random) -> Entry | None:
        first, second = self._ahead, self._passed
        at = int(dice.random() * (len(first.slots) + len(second.slots)))
        return first.pick(at) if at < len(first.slots) else second.pick(at - len(first.slots))

    def shed(self, slots: int) -> int:
        shed = self._ahead.shed(slots)
        return shed + self._passed.shed(slots - shed)

    def __len__(self) -> int:
        return self._ahead.live + self._passed.live

    def _wrap(self) -> None:
        if not self._ahead.live:
            self._ahead, self._passed = self._passed, self._ahead
