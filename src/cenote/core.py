"""The core of a cache: what its reads, loads and invalidations share.

Order of a read, everywhere: load the State reference once, then look in it. Whatever publishes takes the write lock
and checks under it that its flight is still registered in the State it began in. Hits take no lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, NoReturn

from cenote import locks
from cenote.clock import Clock
from cenote.codecs import Codec
from cenote.decide import Verdict, decide
from cenote.entry import GONE, NO_TAGS, Entry, ParticularEntry
from cenote.errors import ClearFailedError, ClosedError, ConfigurationError, StoreError
from cenote.flight import Fill, Flight, Outcome
from cenote.following import Follower
from cenote.invalidation.log import InvalidationLog, Record, RecordKind
from cenote.keeper import keeper
from cenote.options import CacheOptions
from cenote.sharing import Sharing
from cenote.state import NOT_SHARED, Root, State
from cenote.stats import CacheStats
from cenote.stores.memory import MemoryStore
from cenote.stores.shared import SharedStore
from cenote.stores.stored import StoredEntry
from cenote.tables import GIL, Slot
from cenote.terms import Terms, Treatment

__all__ = ["CacheCore"]

logger = logging.getLogger("cenote")

_READ_ONCE: Final = frozenset({AsyncGeneratorType, CoroutineType, GeneratorType})
"""Types of values that the first caller uses up."""


class CacheCore(Follower):
    """One cache, without the methods that users call."""

    def __init__(
        self,
        name: str | None,
        options: CacheOptions,
        root: Root,
        index: int,
        log: InvalidationLog,
        clock: Clock,
        shared: tuple[SharedStore, Codec] | None = None,
    ) -> None:
        """Make a core and hang its first State into the root.

        Args:
            name: The service; None for the global cache.
            options: Its options.
            root: What all caches of the manager hang from.
            index: Its place there.
            log: The invalidation log that it obeys and writes.
            clock: Its time.
            shared: Where its entries live outside of this process, and how they are written there; entries in memory
            are
                then copies.
        """
        self.treatment = Treatment(options)
        self.sharing = None if shared is None else Sharing(name, *shared, clock, self.treatment)
        self.keeps_originals = shared is None
        self.tasks: set[asyncio.Task[Any]] = set()
        """Background loads, referenced so that they are not collected."""
        super().__init__(name, options, root, index, log, clock)

    def new_store(self) -> MemoryStore:
        """Make an empty store with a table for every slot."""
        return MemoryStore(self.options, len(self.slots), self.lock)

    # Reads

    def judge(self, state: State, entry: Entry) -> Verdict:
        """Decide what a read may do with an entry of a State."""
        return decide(entry, self.now(), state.soft_floor, self.options)

    def count_hit(self, slot: Slot, state: State, entry: Entry) -> None:
        """Count a hit that no generated code counts, and let the eviction policy know of it."""
        if isinstance(entry, ParticularEntry):
            entry.used = self.now()
        policy = state.store.policy
        if policy is not None and entry.freq < policy.touch_cap:
            entry.freq += 1
        if state.touch is not None:
            state.touch(entry)
        self.count_slot_hit(slot)

    def count_slot_hit(self, slot: Slot) -> None:
        """Count a hit of a table."""
        if GIL:
            slot.hits += 1.0
        else:
            with self.lock:
                slot.hits += 1.0

    def count_miss(self, slot: Slot) -> None:
        """Count a read that is not served."""
        if GIL:
            slot.misses += 1.0
        else:
            with self.lock:
                slot.misses += 1.0

    def count_stale(self) -> None:
        """Count a stale value handed out."""
        with self.lock:
            self.counts.stale_served += 1

    def hand_out(self, value: Any) -> Any:
        """Return a value as callers get it."""
        return value if self.treatment.hand_out is None else self.treatment.hand_out(value)

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
            if entry is not None:
                entry.birth = self.birth(state)
                dropped = self._put(state, entry)
            else:
                dropped = self._take_out(state, slot.index, key)
        self.discard(dropped)
        if keeper.backlog:
            keeper.assist()

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
        if stored is None:
            return self.sharing.remove(state, slot, key, sequence=max(birth, state.applied, sequence or 0))
        sequence = max(birth, state.applied, sequence or 0)
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
                logger.warning("%s was loaded and cannot be kept: %s", slot.identifier(flight.key), error)
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
        if flight.outcome is not None or not flight.registered:
            return []
        if not self.is_current(state) or (entry is not None and flight.missed & entry.tags):
            flight.detach()
            return []
        self._share(state, slot, flight.key, stored, birth=flight.birth)
        flight.detach()
        if entry is None:
            return self._take_out(state, slot.index, flight.key)
        entry.birth = flight.birth  # a soft clear may have changed it since the entry was made
        return self._put(state, entry)

    def _end(self, slot: Slot, flight: Flight, outcome: Outcome, cost: float) -> Outcome:
        """Count a load and note how it ended; return how it ended before, if it did; call under the write lock."""
        if flight.outcome is not None:
            return flight.outcome
        self.counts.loads += 1
        slot.count_load(cost)
        flight.detach()
        flight.end(outcome)
        return outcome

    def fetch(self, state: State, slot: Slot, key: Hashable, entry: Entry | None) -> Entry | None:
        """Return the entry of a key: the copy in memory, or a later one of the shared store, copied into memory.

        What the store holds in a State's generation was not made old by anything that the State has obeyed: it is taken
        out before the record of that is written. A copy is kept only where nothing was obeyed since, and has the
        birth of its original, so what is written meanwhile finds it.
        """
        if self.sharing is None or state.generation == NOT_SHARED:
            return entry
        applied = state.applied
        found = self.sharing.find(state, slot, key)
        if found is None or (entry is not None and entry.born >= found.born):
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

    def adopt(self, slot: Slot, flight: Flight) -> Outcome | None:
        """End a flight with what another process has loaded meanwhile, if that is fresh; return how it ended."""
        with self.lock:
            state = self.obey()
            entry = self.fetch(state, slot, flight.key, None)
            if entry is None or self.judge(state, entry) not in (Verdict.FRESH, Verdict.AHEAD):
                return None
            outcome = Outcome(entry.value)
            flight.detach()
            flight.end(outcome)
        flight.wake()
        return flight.outcome

    def fail(self, slot: Slot, flight: Flight, error: Exception) -> Outcome:
        """End a flight with its failure: serve a stale copy where that was asked for, remember it where asked to."""
        dropped: list[Entry] = []
        with self.lock:
            if flight.outcome is not None:
                return flight.outcome
            self.counts.load_failures += 1
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
            flight.detach()
            flight.end(outcome)
        flight.wake()
        self.discard(dropped)
        return outcome

    def abandon(self, flight: Flight, reason: BaseException) -> None:
        """End a flight whose loader was interrupted; those who waited try again by themselves."""
        with self.lock:
            flight.detach()
            flight.end(Outcome(abandoned=reason))
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
            self.counts.loads += 1
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

    def _drop_key(self, state: State, slot: Slot, key: Hashable, dropped: list[Entry]) -> bool:
        """Take a key out of memory; return whether it was live."""
        state.detach_key(slot.index, key)
        entry = state.store.find(key, slot.index)
        if entry is None:
            return False
        live = self.judge(state, entry) is not Verdict.DEAD
        state.store.remove(entry)
        self.count_gone(invalidated=int(live), expired=int(not live))
        self.note_size()
        dropped.append(entry)
        return live

    def sweep(self, enough: Callable[[], bool] | None = None) -> int:
        """Take out what has ended; return how many entries that were."""
        if locks.owned(self.lock):
            return 0
        with self.lock:
            ended = self.state.store.sweep_out(self.now(), enough)
            self.count_gone(expired=len(ended))
            if ended:
                self.note_size()
        self.discard(ended)
        return len(ended)

    @property
    def expiring(self) -> int:
        """How many entries wait for their end."""
        return self.state.store.expiring

    # Under the write lock

    def is_current(self, state: State) -> bool:
        """Whether a State, or a softened form of it, is in force."""
        return self.state.store is state.store and self.running

    def _is_over(self, entry: Entry) -> bool:
        """Whether an entry has ended, though no sweep has taken it out yet."""
        return self.judge(self.state, entry) is Verdict.DEAD

    def _take_out(self, state: State, slot: int, key: Hashable) -> list[Entry]:
        """Take out the value of a key whose new one is not to be kept; return the entry, if there was one."""
        older = state.store.find(key, slot)
        if older is None:
            return []
        self.count_gone(expired=int(self._is_over(older)))
        state.store.remove(older)
        self.note_size()
        return [older]

    def _put(self, state: State, entry: Entry) -> list[Entry]:
        """Store an entry, and return those that went for it."""
        nothing_ends = not state.store.expiring
        older = state.store.find(entry.key, entry.slot)
        self.count_gone(expired=int(older is not None and not nothing_ends and self._is_over(older)))
        evicted = state.store.put(entry)
        self.counts.evictions += len(evicted) if self.keeps_originals else 0
        self.note_size()
        if older is not None and state.store.find(entry.key, entry.slot) is not older:
            evicted.append(older)  # its value is freed with the others', outside the lock
        if nothing_ends and state.store.expiring:
            keeper.notice()
        return evicted

    # Without the write lock

    def _entry(
        self, slot: int, key: Hashable, value: Any, terms: Terms, *, birth: int, born: float, cost: float
    ) -> tuple[Entry | None, Any]:
        """Make the entry of a value, and the value as it is kept."""
        if type(value) in _READ_ONCE:
            _refuse(value)
        ttl, tags = terms.settle(value)
        take_in = self.treatment.take_in
        kept = value if take_in is None else take_in(value)
        entry = self.treatment.entry(
            slot, key, kept, now=self.now(), birth=birth, born=born, cost=cost, ttl=ttl, tags=tags
        )
        return entry, kept

    @staticmethod
    def discard(entries: Iterable[Entry]) -> None:
        """Let go of the values of entries that were taken out: queues may keep the shells for a while."""
        for entry in entries:
            entry.value = GONE

    def live(self) -> int:
        """Return how many live entries there are, in the shared store or in this process's memory."""
        state = self.current()
        if self.sharing is not None and state.generation != NOT_SHARED:
            return self.sharing.count(state)[0]
        self.sweep()
        return len(state.store)

    def look(self, slot: Slot, identifier: str, key: Hashable | None) -> Entry | None:
        """Return the entry of an identifier, for somebody who does not want its value."""
        state = self.current()
        entry = None if key is None else state.store.find(key, slot.index)
        if entry is None and self.sharing is not None and state.generation != NOT_SHARED:
            return self.sharing.look(state, slot, identifier)
        return entry

    def report(self) -> None:
        """Publish this process's figures for the others' sums."""
        census = self.log.census
        if census is not None and self.log.connected:
            census.report(self.name, self.own_stats())
            with self.lock:
                self.note_size()

    def stats(self) -> CacheStats:
        """Return the statistics, of all processes that share the cache."""
        state = self.current()
        census = self.log.census
        if census is None or not self.log.connected:
            return self.own_stats()
        self.report()
        total = census.total(self.name, self.own_stats())
        if self.sharing is None or state.generation == NOT_SHARED:
            return total
        entries, size = self.sharing.count(state)
        return replace(total, current_size=entries, max_size=None, bytes=size)

    def own_stats(self) -> CacheStats:
        """Return what this process counted."""
        self.sweep()
        with self.lock:
            counts = self.counts
            slots = list(self.slots)
            store = self.state.store
            for slot in slots:
                slot.value_hits()
            return CacheStats(
                hits=sum(slot.all_hits for slot in slots),
                misses=int(sum(slot.misses for slot in slots)),
                current_size=len(store),
                max_size=self.options.max_entries,
                evictions=counts.evictions,
                expirations=counts.expirations,
                invalidations=counts.invalidations,
                loads=counts.loads,
                load_failures=counts.load_failures,
                coalesced=counts.coalesced,
                stale_served=counts.stale_served,
                bytes=store.size if self.options.weigher is not None else None,
                load_seconds=sum(slot.load_seconds for slot in slots),
                saved_seconds=sum(slot.saved_seconds for slot in slots),
            )


def _refuse(value: Any) -> NoReturn:
    """Say why a value that can be read once is not kept."""
    if isinstance(value, CoroutineType):
        value.close()
        raise ConfigurationError(
            f"a coroutine can be awaited only once, so {value.__qualname__} cannot be kept: memoize the async "
            "function itself, or load with aget_or_load"
        )
    raise ConfigurationError(
        f"a generator can be read only once, so {value.__qualname__} cannot be kept: return a list or a tuple"
    )
