"""A queue that entries can leave from the middle at once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cenote.eviction.policy import SLACK

if TYPE_CHECKING:
    from cenote.entry import Entry

__all__ = ["Fifo"]


class Fifo:
    """A first-in, first-out queue of entries, eight bytes each.

    An entry that is dropped stays behind as a shell, ``where`` 0, which is passed over when its turn comes.

    Attributes:
        slots: The queue, shells included; oldest on the left.
        mark: What ``where`` says in an entry of this queue; not 0.
        live: How many entries it holds, shells not counted.
        size: The sum of their sizes.
    """

    __slots__ = ("live", "mark", "size", "slots")

    def __init__(self, mark: int) -> None:
        """Make an empty queue.

        Args:
            mark: What ``where`` says in its entries; a small number that no other queue of the policy uses.
        """
        self.slots: deque[Entry] = deque()
        self.mark = mark
        self.live = 0
        self.size = 0

    def push(self, entry: Entry) -> None:
        """Let an entry join at the young end."""
        entry.where = self.mark
        self.live += 1
        self.size += entry.size
        self.slots.append(entry)

    def pop(self) -> Entry | None:
        """Take out the oldest entry; None when there is none."""
        slots = self.slots
        while slots:
            entry = slots.popleft()
            if entry.where:
                entry.where = 0
                self.live -= 1
                self.size -= entry.size
                return entry
        return None

    def drop(self, entry: Entry) -> None:
        """Take out an entry of this queue wherever it stands."""
        entry.where = 0
        self.live -= 1
        self.size -= entry.size
        if len(self.slots) > 2 * self.live + SLACK:
            self.slots = deque([kept for kept in self.slots if kept.where])

    def pick(self, at: int) -> Entry | None:
        """Return what is in a slot, shells excepted; it may have changed since the slot was chosen."""
        try:
            entry = self.slots[at]
        except IndexError:
            return None
        return entry if entry.where == self.mark else None

    def shed(self, slots: int) -> int:
        """Let go of up to so many slots, whatever is in them, and return how many."""
        shed = min(slots, len(self.slots))
        for _ in range(shed):
            self.slots.pop()
        return shed
