"""Copying: what a cache takes from a store that processes share, and what it puts there."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from cenote.decide import Verdict
from cenote.entry import GONE, Entry
from cenote.flight import Flight, Outcome
from cenote.holding import Holder
from cenote.invalidation.log import Record, RecordKind, Seen
from cenote.observing import LoadEnd
from cenote.state import NOT_SHARED, State
from cenote.stores.stored import StoredEntry
from cenote.tables import Slot

__all__ = ["Copier"]


class Copier(Holder):
    """The part of a cache's core that deals with other processes' copies, and with the originals.

    Attributes:
        far: Whether what makes entries old is written at a server, and comes back from there.
    """

    far = False

    def _pack(self, slot: Slot, key: Hashable, value: Any, entry: Entry | None) -> StoredEntry | None:
        return None if self.sharing is None else self.sharing.pack(slot, key, value, entry)

    def _share(
        self,
        state: State,
        slot: Slot,
        key: Hashable,
        stored: StoredEntry | None,
        *,
        birth: int,
        sequence: int | None = None,
    ) -> bool:
        """Put what a key has now into the shared store, or nothing; return whether a live entry had to go for that."""
        if self.sharing is None:
            return False
        sequence = max(birth, state.applied, sequence or 0)
        if stored is None:
            return self.sharing.remove(state, slot, key, sequence=sequence)
        self.counts.evictions += self.sharing.put(state, stored, birth=birth, sequence=sequence)
        return False

    def key_record(self, slot: Slot, key: Hashable) -> Record | None:
        """Make what tells other processes that a key is old; None when there are none to be told.

        Where the text of a key does not mean the same in every process, the whole function is named.
        """
        if not self.log.shares_keys:
            return None
        if slot.keys is None:
            return Record(kind=RecordKind.KEY, cache=self.name, covered=(str(key),))
        if slot.keys.is_portable(key):
            return Record(kind=RecordKind.KEY, cache=self.name, covered=(slot.identifier(key),))
        return Record(kind=RecordKind.PREFIX, cache=self.name, covered=(slot.opening,))

    def tell_key(self, slot: Slot, key: Hashable, *, ahead: bool = False) -> None:
        """Have other processes drop their copies of a key that was loaded anew here.

        With ``ahead`` it is about to be: a load elsewhere that began earlier must not replace what this one will store.
        """
        if ahead and self.sharing is None:
            return  # it could replace copies of its own process only, and those are dropped afterwards
        record = self.key_record(slot, key)
        if record is not None:
            with self.exclusive("refresh"), self.changing("refresh"):
                state = self.obey()
                state.applied = self.log.append(record)
                if not ahead and self.sharing is not None and self.sharing.identifier(slot, key) is not None:
                    # A reader may have copied what it found before the new value came.
                    self.discard(self._take_out(state, slot.index, key))

    def fetch(self, state: State, slot: Slot, key: Hashable, entry: Entry | None) -> Entry | None:
        """Return the entry of a key: the copy in memory, or a later one of the shared store, copied into memory.

        What the store holds in a State's generation was not made old by anything that the State has obeyed: it is taken
        out before the record of that is written. A copy is kept only where nothing was obeyed since, and has the
        birth of its original, so what is written meanwhile finds it.
        """
        if self.sharing is None or state.generation == NOT_SHARED or not self.running:
            return entry
        applied = state.applied
        return self._copy(state, applied, slot, key, entry, self.sharing.find(state, slot, key))

    def seek(self, slot: Slot, key: Hashable, seen: Seen | None = None) -> Entry | None:
        """Return the entry that a read may be served: the copy in memory, or a later one of the shared store.

        Args:
            slot: The table.
            key: The key there.
            seen: What ``ask`` has returned since the read began; it is asked when that was nothing.
        """
        state = self.abreast(seen or self.ask())
        entry = state.store.find(key, slot.index)
        return entry if self._serves(state, entry) else self.fetch(state, slot, key, entry)

    async def aseek(self, slot: Slot, key: Hashable, seen: Seen | None) -> Entry | None:
        """Do what ``seek`` does; no event loop stands still for a server, so ``aask`` was asked before."""
        return self.seek(slot, key, seen)

    def seek_each(self, wanted: Sequence[tuple[Slot, Hashable]], seen: Seen | None = None) -> list[Entry | None]:
        """Do what ``seek`` does for several keys, where it can be done at once."""
        return [self.seek(slot, key, seen) for slot, key in wanted]

    async def aseek_each(self, wanted: Sequence[tuple[Slot, Hashable]], seen: Seen | None) -> list[Entry | None]:
        """Do what ``seek_each`` does; no event loop stands still for a server."""
        return self.seek_each(wanted, seen)

    def _serves(self, state: State, entry: Entry | None) -> bool:
        return entry is not None and self.judge(state, entry) in (Verdict.FRESH, Verdict.AHEAD, Verdict.HELD)

    def _copy(
        self, state: State, applied: int, slot: Slot, key: Hashable, entry: Entry | None, found: Entry | None
    ) -> Entry | None:
        """Keep what was found for a State that had obeyed so much, if it is worth it; return the later entry."""
        if self.sharing is None or found is None or (entry is not None and entry.born >= found.born):
            return entry
        if entry is None and not self.sharing.met_before(slot.index, key):
            return found
        dropped: list[Entry] = []
        with self.lock:
            if self.state is state and state.applied == applied and self.running and self.owns(slot, key):
                there = state.store.find(key, slot.index)
                if there is None or there.born < found.born:
                    dropped = self._put(state, found)
                # Where there was a copy already, the value is in it now, and what was found holds the old one.
                found = state.store.find(key, slot.index) or found
        self.discard(dropped)
        return found

    def read_through(self, key: str) -> tuple[bool, Any]:
        """Serve a caller's key straight from the shared store, when it was not read lately and no copy is to be made.

        The State has obeyed everything written before the read began; what the store holds in its generation is no
        older than that, as in ``fetch``.
        """
        sharing = self.sharing
        if sharing is None or not self._serves_stored or not self.running or key[-1:] == ")":
            return False, None
        state = self.current()
        if state.generation == NOT_SHARED or key in state.tables[0]:
            return False, None
        found, value = sharing.first_value(state, key)
        if found:
            self.count_slot_hit(self.slots[0])
        return found, value

    def adopt(self, slot: Slot, flight: Flight) -> Outcome | None:
        """End a flight with what another process has loaded meanwhile, if that is fresh; return how it ended.

        A caller that came after an invalidation did not join it: what was found before that is not too old for the
        others.
        """
        return self._adopt(slot, flight, self.seek(slot, flight.key) if self.far else None)

    def adopt_each(self, flights: Sequence[tuple[Slot, Flight]]) -> None:
        """Do what ``adopt`` does for several flights, with one question to a server for many of them."""
        found = self.seek_each([(slot, flight.key) for slot, flight in flights]) if self.far else [None] * len(flights)
        for (slot, flight), entry in zip(flights, found, strict=True):
            self._adopt(slot, flight, entry)

    def _adopt(self, slot: Slot, flight: Flight, found: Entry | None) -> Outcome | None:
        with self.lock:
            state = self.obey()
            entry = found if self.far else self.fetch(state, slot, flight.key, None)
            value = GONE if entry is None else entry.value
            if entry is None or value is GONE or self.judge(state, entry) is not Verdict.FRESH:
                return None
            outcome = Outcome(value)
            flight.detach()
            flight.end(outcome, LoadEnd.ADOPTED)
        flight.wake()
        return flight.outcome

    def look(self, slot: Slot, identifier: str, key: Hashable | None) -> Entry | None:
        """Return the entry of an identifier, for somebody who does not want its value."""
        state = self.current()
        entry = None if key is None else state.store.find(key, slot.index)
        if entry is None and self.sharing is not None and state.generation != NOT_SHARED:
            return self.sharing.look(state, slot, identifier)
        return entry
