"""Entries: one cached value and what a read must know about it.

A hit reads an entry without a lock, so the order of stores matters. Whoever changes an entry in place stores the
value first, then the birth, then ``fresh_until``; a reader loads the value last. A reader may then pair old terms
with a new value, never new terms with an old one.
"""

from __future__ import annotations

from collections.abc import Hashable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

__all__ = ["FOREVER", "GONE", "NO_TAGS", "SOFTLY_CLEARED", "Entry", "ParticularEntry"]


class _Gone:
    """The value of an entry that was taken out; a reader that meets it has lost a race and looks again."""

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = _Gone()

FOREVER: Final = float("inf")
"""The end of what does not end. Hits compare by identity with it to spare the clock: always store this object."""

SOFTLY_CLEARED: Final = -1
"""The birth of what a selective soft clear marked: below every soft floor."""

NO_TAGS: Final[frozenset[str]] = frozenset()
"""The tags of what has none."""


class Entry:
    """One cached value.

    Attributes:
        key: The key in its table.
        value: The value, or GONE once the entry was taken out.
        birth: The log sequence applied when the value's load began; below a soft floor the entry is stale.
        born: Seconds on the monotonic clock when the load began.
        fresh_until: Until when (monotonic seconds) a read may serve the value without a second thought.
        hard_until: Until when it may be served at all, as a stale value; a common entry ends with ``fresh_until``.
        freq: How often it was hit, up to the eviction policy's cap.
        where: The eviction policy's own mark; 0 when it is in no queue.
        slot: The number of its table.
        due: The number of the expiry bucket that holds it; 0 when none does.
        cost: Seconds that its load took.
    """

    __slots__ = (
        "birth",
        "born",
        "cost",
        "due",
        "freq",
        "fresh_until",
        "key",
        "slot",
        "value",
        "where",
    )

    if TYPE_CHECKING:
        size: int
        tags: frozenset[str]
        error: BaseException | None
        expires: float
        hard_until: float
    else:
        size = 1
        tags = NO_TAGS
        error = None
        expires = property(attrgetter("fresh_until"), doc="Until when the value is fresh, in monotonic seconds.")
        hard_until = property(attrgetter("fresh_until"), doc="The same: a common entry ends with its freshness.")

    def __init__(
        self,
        key: Hashable,
        value: Any,
        *,
        birth: int = 0,
        born: float = 0.0,
        fresh_until: float = FOREVER,
        slot: int = 0,
        cost: float = 0.0,
    ) -> None:
        self.key = key
        self.value = value
        self.birth = birth
        self.born = born
        self.fresh_until = fresh_until
        self.freq = 0
        self.where = 0
        self.slot = slot
        self.due = 0
        self.cost = cost


class ParticularEntry(Entry):
    """An entry that needs more than the common one: tags, a size, or terms that a plain hit cannot check.

    Attributes:
        tags: Its tags.
        size: Its weight in bytes, or 1.
        expires: Until when it is fresh; ``fresh_until`` may be earlier, to send reads through the careful path.
        used: When it was last read, for an idle TTL.
        retry_at: Until when a failed reload is not tried again, in monotonic seconds.
        error: The remembered failure, when this entry stands for one.
    """

    __slots__ = ("error", "expires", "hard_until", "retry_at", "size", "tags", "used")

    def __init__(
        self,
        key: Hashable,
        value: Any,
        *,
        birth: int = 0,
        born: float = 0.0,
        fresh_until: float = FOREVER,
        hard_until: float = FOREVER,
        slot: int = 0,
        cost: float = 0.0,
        tags: frozenset[str] = NO_TAGS,
        size: int = 1,
        expires: float = FOREVER,
        used: float = 0.0,
        error: BaseException | None = None,
    ) -> None:
        super().__init__(
            key,
            value,
            birth=birth,
            born=born,
            fresh_until=fresh_until,
            slot=slot,
            cost=cost,
        )
        self.hard_until = hard_until
        self.tags = tags
        self.size = size
        self.expires = expires
        self.used = used
        self.retry_at = 0.0
        self.error = error
