"""The core of a cache whose entries live at a server that many machines share.

Why nothing old is kept or served: whatever makes entries old is written at the server in one step with the floors
that keep older loads out, or in a cluster while they are kept out, and the mirror brings it to every State before the
call returns. A value is kept there only if no floor is above its birth, and copied only while the State that it was
read for is in force and has obeyed all that it had then.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import Any, Final

from cenote import locks
from cenote.departures import Fate
from cenote.entry import Entry
from cenote.errors import ClearFailedError, ClosedError, ReentrantError, StoreError
from cenote.flight import Fill, Flight, Outcome
from cenote.invalidation.log import Members, Record, RecordKind
from cenote.invalidation.machine import fitted
from cenote.invalidation.network.answers import TAKE_OUT, Receipt, Value
from cenote.invalidation.network.log import NetworkLog
from cenote.keeper import keeper
from cenote.reading import FarReader
from cenote.state import State
from cenote.stores.stored import StoredEntry
from cenote.tables import Slot
from cenote.terms import Terms

__all__ = ["RemoteCore"]

logger = logging.getLogger("cenote")

_LEAVE: Final = Value(None, -1)
_CATCH_UP_SECONDS: Final = 0.25


class RemoteCore(FarReader):
    """One cache of many machines, without the methods that users call."""

    log: NetworkLog

    def _enter(self, action: str) -> None:
        """Refuse what cannot be done, before anything is sent."""
        if locks.owned(self.lock):
            raise ReentrantError(action)
        self.check_open()
        if not self.log.connected:
            self.rejoin()

    def _write_key(self, slot: Slot, key: Hashable, value: Value) -> Receipt:
        """Write the record of a key, and what becomes of its value at the server."""
        record = self.key_record(slot, key)
        assert record is not None  # noqa: S101  # there are others to be told
        try:
            return self.log.write_key(record, value)
        except ClearFailedError:
            # Others do not learn of it. This process knows better than to serve what it has, verified or not.
            with self.lock:
                state = self.obey()
                state.detach_key(slot.index, key)
                dropped = self._take_out(state, slot.index, key)
            self.discard(dropped)
            raise

    # Changes

    def store_value(self, slot: Slot, key: Hashable, value: Any, terms: Terms) -> None:
        """Store a value that the caller has: an invalidation of every earlier load of the key."""
        born = self.now()
        entry = self._entry(slot.index, key, value, terms, birth=0, born=born, cost=0.0)[0]
        stored = self._pack(slot, key, value, entry)
        self._enter("set")
        kept = self.running and self.owns(slot, key)
        there = self._store.value_of(stored) if kept and stored is not None else TAKE_OUT
        receipt = self._write_key(slot, key, there)
        dropped: list[Entry] = []
        with self.changing("set"):
            state = self.obey()
            if not kept:
                return
            state.detach_key(slot.index, key)
            older = state.store.find(key, slot.index)
            # What was obeyed behind the record may have been meant for this value: only the server knows it then.
            fits = state.applied <= receipt.sequence and receipt.incarnation.startswith(state.shelf.partition(":")[2])
            fits = fits and (stored is None or receipt.kept)
            if entry is None or not fits or (older is not None and older.birth > receipt.sequence):
                dropped = self._take_out(state, slot.index, key)
            elif stored is None or older is not None:
                entry.birth = receipt.sequence
                dropped = self._put(state, entry)
        self.discard(dropped)
        if keeper.backlog:
            keeper.assist()

    def settle(self, slot: Slot, flight: Flight, value: Any, terms: Terms) -> Outcome:
        """End a flight with its value, and publish it if nothing made it old."""
        now = self.now()
        cost = max(0.0, now - flight.born)
        entry, kept = self._entry(slot.index, flight.key, value, terms, birth=flight.birth, born=flight.born, cost=cost)
        outcome, dropped = Outcome(kept), list[Entry]()
        stored = self._pack(slot, flight.key, value, entry)
        with self.lock:
            self.obey()
            wanted = self._may_publish(flight, entry)
        shared: bool | None = wanted
        if wanted and stored is not None:
            shared = self._keep(flight.state, stored, flight.birth)
        with self.lock:
            self.obey()
            wanted = wanted and self._may_publish(flight, entry)
            flight.discarded = not wanted or shared is False
            if wanted and shared:
                flight.detach()
                if entry is None:
                    self.departures.note(slot.index, flight.key, Fate.NOT_STORED, now)
                    dropped = self._take_out(flight.state, slot.index, flight.key)
                else:
                    entry.birth = flight.birth
                    dropped = self._put(flight.state, entry)
            ended = self._end(slot, flight, outcome, cost)
        flight.wake()
        self.discard(dropped)
        if keeper.backlog:
            keeper.assist()
        return ended

    def _may_publish(self, flight: Flight, entry: Entry | None) -> bool:
        """Whether a flight may store what it loaded; call under the write lock."""
        if flight.outcome is not None or not flight.registered:
            return False
        return self.is_current(flight.state) and (entry is None or not flight.missed & entry.tags)

    def _keep(self, state: State, stored: StoredEntry, birth: int) -> bool | None:
        """Give a loaded value to the server; return whether it may be copied here.

        False if it is old there, None if the server does not keep it for another reason.
        """
        stored.birth = birth
        try:
            return self._store.put(state.shelf, state.generation, stored)
        except (StoreError, ClearFailedError, ClosedError) as error:
            logger.info("%s was loaded and cannot be shared: %s", stored.identifier, error, extra={"cache": self.title})
            return None

    def fill_value(self, fill: Fill, value: Any, ttl: Any, tags: Any) -> bool:
        """Publish the value of a fill token, unless a covering invalidation or a later birth came first."""
        cost = max(0.0, self.now() - fill.born)
        entry = self._entry(
            fill.slot, fill.key, value, Terms.of(ttl, tags), birth=fill.birth, born=fill.born, cost=cost
        )[0]
        slot = self.slots[fill.slot]
        stored = self._pack(slot, fill.key, value, entry)
        self._enter("fill")
        with self.changing("fill"):
            self.obey()
            if not self._may_fill(fill, entry):
                return False
        if stored is not None and not self._keep(fill.state, stored, fill.birth):
            return False
        dropped: list[Entry] = []
        with self.changing("fill"):
            self.obey()
            if entry is None or not self._may_fill(fill, entry):
                return False
            fill.void = True
            flight = fill.state.flights.get((fill.slot, fill.key))
            if flight is not None and flight.born < fill.born:
                flight.detach()
            self.counts.count_load(cost)
            slot.count_load(cost)
            entry.birth = fill.birth
            dropped = self._put(fill.state, entry)
        self.discard(dropped)
        return True

    def _may_fill(self, fill: Fill, entry: Entry | None) -> bool:
        if entry is None or fill.void or fill.missed & entry.tags:
            return False
        older = fill.state.store.find(fill.key, fill.slot)
        return self.running and self.is_current(fill.state) and (older is None or older.born <= fill.born)

    def remove_key(self, slot: Slot, key: Hashable) -> bool:
        """Take one key out, whatever is loading for it; return whether a live entry was there, on any machine."""
        self._enter("delete")
        self.log.ledger.link.wake()
        receipt = self._write_key(slot, key, TAKE_OUT)
        self.log.await_members(receipt)
        dropped: list[Entry] = []
        live = receipt.live > 0
        with self.changing("delete"):
            state = self.obey()
            entry = state.store.find(key, slot.index)
            if entry is not None and entry.birth < receipt.sequence and self.slots[slot.index] is slot:
                live = self._drop_key(state, slot, key, dropped) or live
            self.counts.invalidations += receipt.live > 0
        self.discard(dropped)
        return live

    def tell_key(self, slot: Slot, key: Hashable, *, ahead: bool = False) -> None:
        """Have other processes drop their copies of a key that was loaded anew here, or is about to be."""
        self._enter("refresh")
        receipt = self._write_key(slot, key, _LEAVE)
        if ahead:
            # What is loaded from now on is kept only if it was born behind the record.
            self.log.await_own(receipt, _CATCH_UP_SECONDS)
        with self.changing("refresh"):
            self.obey()

    def clear_far(self, records: Sequence[Record], *, most: int) -> tuple[int, Sequence[str], bool]:
        """Write invalidations at the server and wait until they hold on every machine."""
        self._enter("clear")
        self.log.note(Members())
        live, sample = 0, list[str]()
        exact = True
        receipt = None
        for record in records:
            for each in fitted(record):
                value = TAKE_OUT if each.kind is RecordKind.KEY else None
                receipt = self.log.record(each, value=value, most=most - len(sample))
                live += receipt.live
                sample += receipt.sample
                exact = exact and receipt.exact
        # While the members learn of it.
        exact = exact and not self._evicts()
        if receipt is not None:
            self.log.note(self.log.await_members(receipt))
            # So that what went is freed, and counted, before anybody asks.
            self.current()
        return live, sample, exact

    def _evicts(self) -> bool:
        """Whether the server may have evicted entries that its indexes still name."""
        try:
            return self._store.evicts
        except StoreError:
            return True
