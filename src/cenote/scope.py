"""Scopes: which entries a selective invalidation covers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Self

from cenote.entry import SOFTLY_CLEARED, Entry
from cenote.invalidation.log import Record, RecordKind
from cenote.state import State
from cenote.tables import Slot

__all__ = ["Scope"]


class Scope:
    """The entries that carry one of some tags, or whose identifier begins with a prefix or is a given text.

    Attributes:
        tags: The tags.
        prefix: What identifiers begin with; None for no prefix.
        exact: The identifier; None for any.
        table: The table of a function, whatever the function is called by now; None for any.
    """

    def __init__(
        self,
        *,
        tags: frozenset[str] = frozenset(),
        prefix: str | None = None,
        exact: str | None = None,
        table: Slot | None = None,
    ) -> None:
        self.tags = tags
        self.prefix = prefix
        self.exact = exact
        self.table = table

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the scope that a record of a key, of tags or of a prefix covers."""
        if record.kind is RecordKind.TAGS:
            return cls(tags=frozenset(record.covered))
        (text,) = record.covered
        return cls(exact=text) if record.kind is RecordKind.KEY else cls(prefix=text)

    def records(self, cache: str | None, *, soft: bool) -> list[Record]:
        """What to write into the log of invalidations."""
        found = []
        if self.tags:
            found.append(Record(kind=RecordKind.TAGS, cache=cache, covered=tuple(sorted(self.tags)), soft=soft))
        if self.exact is not None:
            found.append(Record(kind=RecordKind.KEY, cache=cache, covered=(self.exact,), soft=soft))
        if self.prefix is not None:
            found.append(Record(kind=RecordKind.PREFIX, cache=cache, covered=(self.prefix,), soft=soft))
        if self.table is not None:
            found.append(Record(kind=RecordKind.PREFIX, cache=cache, covered=(self.table.opening,), soft=soft))
        return found

    def __str__(self) -> str:
        parts = [f"prefix {self.prefix!r}"] if self.prefix is not None else []
        parts += [f"function {self.table.opening[:-1]}"] if self.table is not None else []
        parts += [f"tags {', '.join(sorted(self.tags))}"] if self.tags else []
        return " or ".join(parts) or "nothing"

    def may_cover(self, slot: Slot) -> bool | None:
        """Whether a table is covered as a whole (True), not at all (False), or entry by entry (None); tags aside."""
        if self.table is not None:
            return slot is self.table
        if self.exact is not None:
            return None if slot.keys is None or slot.keys.owns(self.exact) else False
        if self.prefix is None:
            return False
        if slot.keys is not None and slot.keys.opening.startswith(self.prefix):
            return True
        return None if slot.keys is None or self.prefix.startswith(slot.keys.opening) else False

    def covers(self, slot: Slot, key: Any) -> bool:
        """Whether a key of a table is covered; tags aside."""
        whole = self.may_cover(slot)
        if whole is not None:
            return whole
        text = slot.identifier(key)
        return text == self.exact if self.exact is not None else text.startswith(self.prefix or "")

    def entries(self, state: State, slots: list[Slot], slot_of: Callable[[str], Slot]) -> list[Entry]:
        """Return the covered entries; call under the write lock."""
        if self.tags:
            return state.store.tagged(self.tags)
        if self.exact is not None:
            slot = slot_of(self.exact)
            key = self.exact if slot.keys is None else slot.keys.key_of(self.exact)
            if key is not None:
                entry = state.store.find(key, slot.index)
                return [] if entry is None else [entry]
        return [
            entry
            for slot in slots
            if self.may_cover(slot) is not False
            for entry in state.tables[slot.index].values()
            if self.covers(slot, entry.key)
        ]

    def soften(self, state: State, slots: list[Slot]) -> None:
        """Have covered loads that are under way publish what they load as stale; call under the write lock."""
        for flight in list(state.flights.values()):
            tagged = bool(self.tags) if flight.tags is None else not self.tags.isdisjoint(flight.tags)
            if tagged or self.covers(slots[flight.slot], flight.key):
                flight.birth = SOFTLY_CLEARED
        for fill in state.fills:
            if self.tags or self.covers(slots[fill.slot], fill.key):
                fill.birth = SOFTLY_CLEARED

    def detach(self, state: State, slots: list[Slot]) -> None:
        """Keep covered loads that are under way from publishing; call under the write lock."""
        if self.tags:
            state.detach_tags(self.tags)
        places: list[tuple[int, Hashable]] = list(state.flights)
        for index, key in places:
            if self.covers(slots[index], key):
                state.flights.pop((index, key), None)  # a finalizer may have abandoned it meanwhile
        for fill in state.fills:
            if self.covers(slots[fill.slot], fill.key):
                fill.void = True
