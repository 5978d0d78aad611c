"""S3-FIFO: three queues keep one-hit wonders from pushing out what is used.

Yang, Zhang, Qiu, Yue, Rashmi: "FIFO Queues are All You Need for Cache Eviction", SOSP 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cenote.eviction.fifo import Fifo
from cenote.eviction.ghost import Ghosts
from cenote.eviction.policy import PATIENCE, EvictionPolicy
from cenote.room import Returns

if TYPE_CHECKING:
    from random import Random

    from cenote.entry import Entry
    from cenote.locks import Lock

__all__ = ["S3Fifo"]


def _small_share(whole: int) -> int:
    return max(1, whole // 10)


class S3Fifo(EvictionPolicy):
    """Evicts by a small queue, a main queue and a ghost of the small one.

    A new entry joins the small queue, a tenth of the capacity; one whose key was evicted from there lately
    joins the main queue. At the end of the small queue an entry that was hit more than once moves on to the
    main queue, its count cleared; others are evicted, and their keys remembered for as many evictions as the
    main queue has entries. At the end of the main queue an entry that was hit goes round again with a count
    one lower.
    """

    __slots__ = ("_ghosts", "_main", "_main_target", "_small", "_small_target")

    touch_cap: ClassVar[int] = 3

    def __init__(self, capacity: int, lock: Lock | None = None) -> None:
        super().__init__(capacity, lock)
        self._small = Fifo(1)
        self._main = Fifo(2)
        self._ghosts = Ghosts()
        self._small_target = _small_share(capacity)
        self._main_target = capacity - self._small_target

    def admit(self, entry: Entry) -> None:
        (self._main if self._ghosts.take(entry) else self._small).push(entry)

    def remove(self, entry: Entry) -> None:
        if entry.where:
            self._queue_of(entry).drop(entry)

    def evict(self) -> Entry | None:
        small, main = self._small, self._main
        patience = PATIENCE
        if small.size >= self._small_target or not main.live:
            while (entry := small.pop()) is not None:
                if entry.freq < 2 or not patience:
                    live = small.live + main.live + 1
                    self._ghosts.add(entry, min(self._main_target, live - _small_share(live)))
                    return entry
                patience -= 1
                entry.freq = 0
                main.push(entry)
                if main.size > self._main_target:
                    break
        while (entry := main.pop()) is not None:
            hits = entry.freq
            if hits < 1 or not patience:
                return entry
            patience -= 1
            entry.freq = hits - 1
            main.push(entry)
        return None

    def resize(self, entry: Entry, old_size: int) -> None:
        if entry.where:
            self._queue_of(entry).size += entry.size - old_size

    def pick(self, dice: Random) -> Entry | None:
        first, second = self._small, self._main
        at = int(dice.random() * (len(first.slots) + len(second.slots)))
        return first.pick(at) if at < len(first.slots) else second.pick(at - len(first.slots))

    def returns(self) -> Returns | None:
        ghosts = self._ghosts
        # An entry that is evicted has gone through the small queue, which holds that many, since it came.
        return Returns(ghosts.evicted, ghosts.limit, self._small.live, tuple(ghosts.returns))

    def shed(self, slots: int) -> int:
        shed = self._small.shed(slots)
        return shed + self._main.shed(slots - shed)

    def __len__(self) -> int:
        return self._small.live + self._main.live

    def _queue_of(self, entry: Entry) -> Fifo:
        return self._small if entry.where == self._small.mark else self._main
