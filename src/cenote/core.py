"""The core of a cache: what its reads, loads and invalidations share.

Order of a read, everywhere: load the State reference once, then look in it. Whatever publishes takes the write lock
and checks under it that its flight is still registered in the State it began in. Hits take no lock.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import Any

from cenote.decide import Verdict
from cenote.departures import Fate
from cenote.entry import NO_TAGS, Entry, ParticularEntry
from cenote.errors import ClearFailedError, ClosedError, StoreError
from cenote.figures import Figures
from cenote.flight import Fill, Flight, Outcome
from cenote.invalidation.log import Record
from cenote.keeper import keeper
from cenote.observing import LoadEnd
from cenote.stores.stored import StoredEntry
from cenote.tables import Slot
from cenote.terms import Terms

__all__ = ["CacheCore"]

logger = logging.getLogger("cenote")


class CacheCore(Figures):
    """One cache, without the methods that users call."""

    def clear_far(self, records: Sequence[Record], *, most: int) -> tuple[int, Sequence[str], bool]:  # noqa: ARG002  # who counts nothing lists nothing
        """Write invalidations at the server and wait until they hold everywhere.

        Args:
            records: The invalidations.
            most: How many identifiers of what went to return.

        Returns:
            How many entries went, identifiers of some, and whether the number is exact or an estimate.

        Raises:
            ClearFailedError: They may not hold everywhere; ``level`` says how far they reached.
        """
        for record in records:
            self.log.confirm(self.log.append(record))
        return 0, [], False

    # Changes; each takes the write lock by itself

    def store_value(self, slot: Slot, key: Hashable, value: Any, terms: Terms) -> None:
        """Store a value that the caller has: an invalidation of every earlier load of the key."""
        born = self.now()
        entry = self._entry(slot.index, key, value, terms, birth=0, born=born, cost=0.0)[0]
        stored = self._pack(slot, key, value, entry)
        record = self.key_record(slot, key)
        dropped: list[Entry] = []
        with self.exclusive("set"), self.changing("set"):
            state = self.obey()
            kept = self.running and self.owns(slot, key)
            # The store before the record: whoever obeys the record finds the new value, or none, never the old one.
            # Born at the last record: if this process dies before it writes its own, the next one covers it.
            self._share(state, slot, key, stored if kept else None, birth=state.applied, sequence=state.applied + 1)
            if record is not None:
                state.applied = self.log.append(record)
            if not kept:
                return
            state.detach_key(slot.index, key)
            if entry is None:
                dropped = self._take_out(state, slot.index, key)
            elif stored is None or state.store.find(key, slot.index) is not None:
                entry.birth = self.birth(state)
                dropped = self._put(state, entry)
        self.discard(dropped)
        if keeper.backlog:
            keeper.assist()

    def settle(self, slot: Slot, flight: Flight, value: Any, terms: Terms) -> Outcome:
        """End a flight with its value, and publish it if nothing made it old.

        The check and the store are one step under the write lock, in the State that the flight began in: a clear
        before it left that State behind, a clear after it leaves the entry behind.
        """
        now = self.now()
        cost = max(0.0, now - flight.born)
        entry, kept = self._entry(slot.index, flight.key, value, terms, birth=flight.birth, born=flight.born, cost=cost)
        outcome, dropped = Outcome(kept), list[Entry]()
        if self.sharing is None:
            with self.lock:
                dropped = self._publish(slot, flight, entry, None)
                ended = self._end(slot, flight, outcome, cost)
        else:
            stored = self.sharing.pack(slot, flight.key, value, entry)
            try:
                # A load that another process made old is detached by what is obeyed here, with nobody else writing.
                with self.log.exclusive("load"), self.lock:
                    self.obey()
                    dropped = self._publish(slot, flight, entry, stored)
            except (ClearFailedError, ClosedError, StoreError) as error:
                logger.warning(
                    "%s was loaded and cannot be kept: %s",
                    slot.identifier(flight.key),
                    error,
                    extra={"cache": self.title},
                )
            with self.lock:
                ended = self._end(slot, flight, outcome, cost)
        flight.wake()
        self.discard(dropped)
        if keeper.backlog:
            keeper.assist()
        return ended

    def _publish(self, slot: Slot, flight: Flight, entry: Entry | None, stored: StoredEntry | None) -> list[Entry]:
        """Store what a flight loaded, if it may; return the entries that went for it; call under the write lock."""
        state = flight.state
        flight.discarded = not flight.registered
        if flight.outcome is not None or flight.discarded:
            return []
        if not self.is_current(state) or (entry is not None and flight.missed & entry.tags):
            flight.discarded = True
            flight.detach()
            return []
        self._share(state, slot, flight.key, stored, birth=flight.birth)
        flight.detach()
        if entry is None:
            self.departures.note(slot.index, flight.key, Fate.NOT_STORED, self.now())
            return self._take_out(state, slot.index, flight.key)
        entry.birth = flight.birth  # a soft clear may have changed it since the entry was made
        return self._put(state, entry)

    def _end(self, slot: Slot, flight: Flight, outcome: Outcome, cost: float) -> Outcome:
        """Count a load and note how it ended; return how it ended before, if it did; call under the write lock."""
        if flight.outcome is not None:
            return flight.outcome
        self.counts.count_load(cost)
        slot.count_load(cost)
        flight.detach()
        flight.end(outcome)
        return outcome

    def fail(self, slot: Slot, flight: Flight, error: Exception) -> Outcome:
        """End a flight with its failure: serve a stale copy where that was asked for, remember it where asked to."""
        dropped: list[Entry] = []
        with self.lock:
            if flight.outcome is not None:
                return flight.outcome
            self.counts.load_failures += 1
            self.departures.note(slot.index, flight.key, Fate.FAILED, self.now())
            outcome = Outcome(error=error)
            state = flight.state
            if flight.registered and self.is_current(state):
                entry = state.store.find(flight.key, slot.index)
                verdict = Verdict.DEAD if entry is None else self.judge(self.state, entry)
                if self.treatment.may_hold and isinstance(entry, ParticularEntry) and verdict is not Verdict.DEAD:
                    entry.retry_at = self.now() + self.options.fail_safe_throttle
                    if self.options.fail_safe and verdict in (Verdict.STALE, Verdict.FAILSAFE):
                        outcome = Outcome(entry.value, stale=True)
                if outcome.error is not None and not flight.missed and verdict in (Verdict.DEAD, Verdict.FAILSAFE):
                    failure = self.treatment.failure(
                        slot.index,
                        flight.key,
                        error,
                        now=self.now(),
                        birth=flight.birth,
                        born=flight.born,
                        tags=flight.tags or NO_TAGS,
                    )
                    if failure is not None:
                        dropped = self._put(state, failure)
            else:
                found, value = self.doubtful(state, slot, flight.key, failed=True)
                outcome = Outcome(value, stale=True) if found else outcome
            flight.detach()
            flight.end(outcome, LoadEnd.FAILED, error)
        flight.wake()
        self.discard(dropped)
        return outcome

    def abandon(self, flight: Flight, reason: BaseException) -> None:
        """End a flight whose loader was interrupted; those who waited try again by themselves."""
        with self.lock:
            flight.detach()
            # A loader of many keys raises no LookupError here: this is how a key that it left out is told of.
            left_out = isinstance(reason, LookupError)
            flight.end(Outcome(abandoned=reason), LoadEnd.ABSENT if left_out else LoadEnd.INTERRUPTED, reason)
        flight.wake()

    def fill_value(self, fill: Fill, value: Any, ttl: Any, tags: Any) -> bool:
        """Publish the value of a fill token, unless a covering invalidation or a later birth came first."""
        cost = max(0.0, self.now() - fill.born)
        terms = Terms.of(ttl, tags)
        entry = self._entry(fill.slot, fill.key, value, terms, birth=fill.birth, born=fill.born, cost=cost)[0]
        stored = self._pack(self.slots[fill.slot], fill.key, value, entry)
        dropped: list[Entry] = []
        with nullcontext() if self.sharing is None else self.exclusive("fill"), self.changing("fill"):
            if self.sharing is not None:
                self.obey()
            state = fill.state
            if entry is None or fill.void or fill.missed & entry.tags or not (self.running and self.is_current(state)):
                return False
            slot = self.slots[fill.slot]
            older = self.fetch(state, slot, fill.key, state.store.find(fill.key, fill.slot))
            if older is not None and older.born > fill.born:
                return False
            self._share(state, slot, fill.key, stored, birth=fill.birth)
            fill.void = True
            flight = state.flights.get((fill.slot, fill.key))
            if flight is not None and flight.born < fill.born:
                flight.detach()  # as a set would: what began earlier does not overwrite it
            self.counts.count_load(cost)
            slot.count_load(cost)
            entry.birth = fill.birth
            dropped = self._put(state, entry)
        self.discard(dropped)
        return True

    def new_fill(self, slot: Slot, key: Hashable) -> Fill:
        """Take a birth for a value that the caller is about to compute."""
        with self.changing("fill"):
            state = self.obey()
            fill = Fill(state, slot.index, key, birth=self.birth(state), born=self.now(), publish=self.fill_value)
            if self.owns(slot, key):
                state.fills.add(fill)
            else:
                fill.void = True
            return fill

    def remove_key(self, slot: Slot, key: Hashable) -> bool:
        """Take one key out, whatever is loading for it; return whether a live entry was there, in any process."""
        record = self.key_record(slot, key)
        with self.exclusive("delete"), self.changing("delete"):
            state = self.obey()
            sequence = state.applied
            # With the record's own sequence, or a store from before this would fit the log from after it.
            live = self._share(state, slot, key, None, birth=sequence, sequence=sequence + 1)
            self.counts.invalidations += live
            if record is not None:
                sequence = state.applied = self.log.append(record)
            dropped: list[Entry] = []
            if self.slots[slot.index] is slot:
                live = self._drop_key(state, slot, key, dropped) or live
        self.discard(dropped)
        if record is not None:
            self.log.confirm(sequence)
            if not live and self.sharing is None and self.log.census is not None:
                return self.log.census.removed_elsewhere(sequence) > 0
        return live
