"""Reading: how a cache reads entries that live at a server, with no lock held while the server answers.

Why nothing old is served: the look begins with a State that has obeyed all that was written before, and what the server
has is found under that State's generation, later. What is obeyed after the look is no older than the read. A copy is
kept only where nothing was obeyed since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from cenote import locks
from cenote.bypass import bypasses
from cenote.clock import lease_clock
from cenote.core import CacheCore
from cenote.entry import Entry
from cenote.errors import StoreError
from cenote.invalidation.log import Seen
from cenote.state import NOT_SHARED, State
from cenote.stores.redis import Name, RedisStore
from cenote.tables import Slot

__all__ = ["FarReader", "Look"]

_AT_ONCE: Final = 128
"""How many entries are asked for together."""

_NOTHING: Final = (False, None)


class Look(NamedTuple):
    """A look for one key.

    Attributes:
        state: The State in force when it began.
        applied: What that had obeyed.
        slot: The table.
        key: The key there.
        entry: What is in memory.
        name: What the server is to be asked for; None where memory says it all.
    """

    state: State
    applied: int
    slot: Slot
    key: Hashable
    entry: Entry | None
    name: Name | None


class FarReader(CacheCore):
    """The part of a core of many machines that reads."""

    far = True

    @cached_property
    def _store(self) -> RedisStore:
        assert self.sharing is not None  # noqa: S101  # this core has a store
        store = self.sharing.store
        assert isinstance(store, RedisStore)  # noqa: S101  # and it is this one
        return store

    async def aask(self) -> Seen | None:
        """Ask what ``ask`` does, off the event loop; the tasks of one tick ask together."""
        return await self._store.averify() if self.must_ask() else None

    def look_for(self, slot: Slot, key: Hashable, seen: Seen | None) -> Look:
        """Look for a key in memory, and begin to look at the server if that is not enough."""
        state = self.abreast(seen)
        entry = state.tables[slot.index].get(key)
        name = None
        if not self._serves(state, entry) and state.generation != NOT_SHARED and self.running:
            assert self.sharing is not None  # noqa: S101  # this core has a store
            identifier = self.sharing.identifier(slot, key)
            name = None if identifier is None else (state.shelf, state.generation, identifier)
        return Look(state, state.applied, slot, key, entry, name)

    def look_at_once(self, key: Hashable) -> Look | None:
        """Do what ``look_for`` does for a caller's key that memory has nothing of; None where there is more to do.

        Why nothing old is served: the State carries the number of the log's word, in a lease, as for every hit.
        """
        state = self.root.states[self.index]
        if type(key) is not str or key in state.tables[0]:
            return None
        word, generation = state.word, state.generation
        if (
            word is None
            or word[0] != state.applied
            or lease_clock() >= state.until
            or generation == NOT_SHARED
            or not (self.running and key.isascii() and key[-1:] not in ("", ")"))
            or bypasses.open
            or self.closed
            or locks.owned(self.lock)
        ):
            return None
        return Look(state, state.applied, self.slots[0], key, None, (state.shelf, generation, key))

    def read(self, look: Look) -> bytes | None:
        """Return what the server has for a look."""
        return None if look.name is None else self._read_each([look.name])[0]

    @cached_property
    def aread(self) -> Callable[[Name], Awaitable[bytes | None]]:
        """What asks for what the server has under a name; no event loop stands still meanwhile."""
        return self._store.aread

    def _read_each(self, names: Sequence[Name]) -> list[bytes | None]:
        try:
            return self._store.read(names)
        except StoreError as error:
            self._warn(names[0], error)
            return [None] * len(names)

    def _warn(self, name: Name, error: StoreError) -> None:
        assert self.sharing is not None  # noqa: S101  # this core has a store
        self.sharing.warn(name[2], error)

    def value_at_once(self, look: Look, raw: bytes | None) -> tuple[bool, Any]:
        """Return whether a fresh value was read of which no copy is to be made, and the value; counts the hit."""
        state, _, slot, key, entry, name = look
        sharing = self.sharing
        if (
            raw is None
            or name is None
            or entry is not None
            or sharing is None
            or slot.keys is not None
            or not (self._serves_stored and isinstance(key, str))
        ):
            return _NOTHING
        payload = self._store.payload(name, raw, floor=state.soft_floor)
        if payload is None:
            return _NOTHING
        answer = sharing.first_of(key, payload)
        if answer[0]:
            self.count_slot_hit(slot)
        return answer

    def entry_of(self, look: Look, raw: bytes | None) -> Entry | None:
        """End a look: return the later of the entry in memory and what was read, of which a copy may be kept."""
        if raw is None or look.name is None or self.sharing is None:
            return look.entry
        try:
            stored = self._store.entry(look.name, raw)
        except StoreError as error:
            self._warn(look.name, error)
            return look.entry
        found = self.sharing.entry(look.slot, look.key, stored)
        return self._copy(look.state, look.applied, look.slot, look.key, look.entry, found)

    async def aentry_of(self, look: Look, raw: bytes | None) -> Entry | None:
        """Do what ``entry_of`` does; no event loop stands still where the server must be asked once more."""
        if raw is not None and look.name is not None and self._store.is_doubtful(look.name, raw):
            return await asyncio.to_thread(self.entry_of, look, raw)
        return self.entry_of(look, raw)

    def seek(self, slot: Slot, key: Hashable, seen: Seen | None = None) -> Entry | None:
        """Return the entry that a read may be served: the copy in memory, or a later one of the server."""
        look = self.look_for(slot, key, seen or self.ask())
        return self.entry_of(look, self.read(look))

    async def aseek(self, slot: Slot, key: Hashable, seen: Seen | None) -> Entry | None:
        """Do what ``seek`` does; no event loop stands still for the server."""
        look = self.look_for(slot, key, seen)
        return await self.aentry_of(look, None if look.name is None else await self.aread(look.name))

    def seek_each(self, wanted: Sequence[tuple[Slot, Hashable]], seen: Seen | None = None) -> list[Entry | None]:
        """Do what ``seek`` does for several keys, with one question to the server for many of them."""
        seen = seen or self.ask()
        looks = [self.look_for(slot, key, seen) for slot, key in wanted]
        names = list(dict.fromkeys(look.name for look in looks if look.name is not None))
        raw: dict[Name | None, bytes | None] = {}
        for at in range(0, len(names), _AT_ONCE):
            asked = names[at : at + _AT_ONCE]
            raw.update(zip(asked, self._read_each(asked), strict=True))
        return [self.entry_of(look, raw.get(look.name)) for look in looks]

    async def aseek_each(self, wanted: Sequence[tuple[Slot, Hashable]], seen: Seen | None) -> list[Entry | None]:
        """Do what ``seek_each`` does; no event loop stands still for the server."""
        looks = [self.look_for(slot, key, seen) for slot, key in wanted]
        if all(look.name is None for look in looks):
            return [look.entry for look in looks]
        return await asyncio.to_thread(self.seek_each, wanted, seen)
