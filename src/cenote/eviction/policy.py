"""The eviction port: what a store asks of the policy that chooses its victims."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from cenote.entry import Entry
    from cenote.locks import Lock
    from cenote.room import Returns

__all__ = ["PATIENCE", "SLACK", "EvictionPolicy"]

PATIENCE: Final = 10_000
"""How many entries one eviction may spare because they were hit, before it takes the next one regardless.

It bounds the time that the write lock is held when everything was hit, or keeps being hit by other threads
while the search runs. A policy is exact as long as fewer entries in a row were hit.
"""

SLACK: Final = 1024
"""How many more dead slots than live entries a queue keeps before it is rebuilt."""


class EvictionPolicy(ABC):
    """The order in which entries leave a full cache.

    A policy knows the live entries of one State and marks them through ``entry.where``, which belongs to it
    alone: 0 stands for an entry that it does not hold. Every method except ``touch`` is called with the
    State's write lock held; nothing here calls back into the store.

    A hit takes no lock. Where ``touch`` is None it adds 1 to ``entry.freq`` unless that has reached
    ``touch_cap``, which may race with everything and lose a count; elsewhere it calls ``touch``.

    An entry object is admitted once. An overwrite in place is no admission; an entry that left comes back as
    a new object. An entry bigger than the capacity must not be admitted.

    Attributes:
        touch_cap: The ``freq`` beyond which a hit counts no more; 0 when the policy does not read it.
        touch: What a hit calls with the entry, without a lock and from any thread; None when counting in
            ``freq`` is enough.
        capacity: What the cache may hold, in units of ``entry.size``.
    """

    __slots__ = ("_lock", "capacity")

    touch_cap: ClassVar[int] = 0

    def __init__(self, capacity: int, lock: Lock | None = None) -> None:
        """Make a policy that holds nothing yet.

        Args:
            capacity: What the cache may hold, in units of ``entry.size``; at least 1.
            lock: The State's write lock. ``touch`` tries it, without waiting, to work off a backlog of
                touches; without it the backlog waits for the next write, however long it grows.

        Raises:
            ValueError: When the capacity is less than 1.
        """
        if capacity < 1:
            msg = f"capacity must be at least 1, not {capacity}"
            raise ValueError(msg)
        self.capacity = capacity
        self._lock = lock

    touch: Callable[[Entry], None] | None = None

    @abstractmethod
    def admit(self, entry: Entry) -> None:
        """Take in a new entry; the caller has made room before.

        Args:
            entry: An entry that no policy has held, with its size set.
        """

    @abstractmethod
    def remove(self, entry: Entry) -> None:
        """Forget an entry that left for another reason than eviction.

        It costs amortised O(1): the entry leaves a dead slot behind, and a queue with more than live + SLACK
        of them is rebuilt. An entry that is not held is ignored.

        Args:
            entry: The entry, with the size that it was last admitted or resized with.
        """

    @abstractmethod
    def evict(self) -> Entry | None:
        """Choose a victim, forget it and return it.

        Returns:
            The victim, its ``where`` 0; None when no entry is held.
        """

    def resize(self, entry: Entry, old_size: int) -> None:  # noqa: ARG002  # for the policies that sum sizes up
        """Note that a held entry's size was changed in place; its turn does not change.

        A policy that keeps no sums of sizes has nothing to do.

        Args:
            entry: The entry, with its new size; one that is not held is ignored.
            old_size: The size it had.
        """
        return

    def pick(self, dice: Random) -> Entry | None:  # noqa: ARG002  # for the policies that can
        """Return a live entry at random, every one alike; None where chance met none, or the policy cannot tell.

        It changes nothing, and needs no lock: an entry that leaves meanwhile may be returned.

        Args:
            dice: Where chance comes from.
        """
        return None

    def returns(self) -> Returns | None:
        """Return what it has counted of keys that were evicted and came back; None where it remembers none.

        It needs no lock: a count may be about to change.
        """
        return None

    @abstractmethod
    def shed(self, slots: int) -> int:
        """Let go of some queue slots of a policy that is out of use, to free a large one in steps.

        Args:
            slots: How many to let go at most.

        Returns:
            How many were let go; 0 when nothing is left. The policy must not be used for anything else
            afterwards.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return how many live entries it holds."""
