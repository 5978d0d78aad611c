"""Following: how a cache obeys the records of the log that it did not write itself.

Why a read is never served what another process made old: it loads the State, then the log's head, and serves only
when the State has obeyed that very head. The State's number grows only when all that the records cover has left it,
under the write lock; a clear of everything leaves the State behind, number and all.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final, Literal

from cenote import locks
from cenote.clock import Clock, lease_clock
from cenote.departures import Departures, Fate, Obituary
from cenote.entry import SOFTLY_CLEARED, Entry
from cenote.errors import ClearFailedError, ClosedError, ReentrantError
from cenote.invalidation.log import InvalidationLog, Record, RecordKind, Seen
from cenote.keeper import keeper
from cenote.observing import Observer
from cenote.options import CacheOptions
from cenote.pacing import Pace
from cenote.refills import RefillOrder
from cenote.scope import Scope
from cenote.state import NOT_SHARED, Root, State, shelf_of
from cenote.stats import Counts
from cenote.stores.memory import MemoryStore
from cenote.tables import Tables

__all__ = ["Follower"]

logger = logging.getLogger("cenote")

_KEPT_CLEARS: Final = 16


class Follower(Tables):
    """The part of a cache's core that holds the State and keeps it abreast of the log.

    Attributes:
        keeps_originals: Whether the entries in memory are the entries, and not copies of those in a shared store.
    """

    keeps_originals = True

    def __init__(
        self, name: str | None, options: CacheOptions, root: Root, index: int, log: InvalidationLog, clock: Clock
    ) -> None:
        """Hang a first State into the root; see CacheCore for the arguments."""
        self.name = name
        self.options = options
        self.root = root
        self.index = index
        self.log = log
        self.clock = clock
        self.now = clock.monotonic
        self.leased = log.leased
        self.counts = Counts()
        self.departures = Departures(clock.monotonic())
        self.clears: deque[tuple[int, float, str | None]] = deque(maxlen=_KEPT_CLEARS)
        """The last whole clears: sequence, monotonic seconds, and the receipt where this process made them."""
        super().__init__()
        self.lock = locks.make_lock()
        self.running = True
        """Whether reads may be served and values stored; False while the cache is switched off."""
        self.closed = False
        self.observer: Observer | None = None
        """Who is told of loads and clears; the manager sets it."""
        self.pace: Pace | None = None
        """The refill behind the last clear, where it was paced; loads look at it, hits do not."""
        self.rejoin: Callable[[], object] = bool
        """What attaches all caches of the manager to a log that was lost; the manager sets it."""
        root.replace({index: self.fresh()})

    @property
    def title(self) -> str:
        """What logs call it."""
        return self.name or "(global)"

    @property
    def state(self) -> State:
        """The State in force."""
        return self.root.states[self.index]

    def current(self) -> State:
        """Return the State in force once it has obeyed all that was written before; what every read begins with."""
        return self.abreast(self.ask())

    def abreast(self, seen: Seen | None) -> State:
        """Do what ``current`` does for a read that has asked already; nobody waits for a server in here.

        Args:
            seen: What ``ask`` returned after the read had begun. All that was written before the read is under it.
        """
        state = self.root.states[self.index]
        word = state.word
        if word is None or (word[0] == state.applied and self._holds(state)):
            return state
        if locks.owned(self.lock):
            return self.fresh()  # a finalizer amid a change of this thread finds nothing
        self._join()
        with self.lock:
            return self.obey_for(seen)

    def _join(self) -> None:
        """Take part again where this process does not; that waits for files of this machine alone."""
        if not self.log.connected and not self.closed:
            self.rejoin()

    def _holds(self, state: State) -> bool:
        """Whether nobody needs to be asked: there is a lease, or none is needed."""
        if not self.leased:
            return True
        state.until = until = state.deadline[0]
        return lease_clock() < until

    def ask(self) -> Seen | None:
        """Ask the server, where there is no lease, what a read that begins now must have obeyed.

        Never under the write lock, which event loops take too.
        """
        if not self.must_ask():
            return None
        try:
            return self.log.verify()
        except (ClearFailedError, ClosedError):
            return None

    def must_ask(self) -> bool:
        """Whether there is no lease, so that a read that begins now has to ask."""
        state = self.state
        if state.word is None or self._holds(state):
            return False
        if locks.owned(self.lock):
            return False  # a finalizer amid a change of this thread finds nothing
        self._join()
        state = self.state
        return state.word is not None and not self._holds(state)

    async def aask(self) -> Seen | None:
        """Do what ``ask`` does; no event loop stands still meanwhile."""
        return self.ask()

    def fresh(self) -> State:
        """Make an empty State that has obeyed everything."""
        log = self.log
        store = self.new_store()
        if log.word is None or not log.connected:
            return State(store, word=log.word, generation=NOT_SHARED)
        # The number first: what is written meanwhile is obeyed once more.
        applied = log.head
        return State(
            store,
            word=log.word,
            applied=applied,
            generation=log.floor(self.name, soft=False),
            shelf=shelf_of(self.name, log.incarnation),
            gauge=None if log.census is None else log.census.gauge(self.name),
            soft_floor=log.floor(self.name, soft=True),
        )

    def emptied(self, state: State, sequence: int) -> State:
        """Make the State that takes another's place after a whole hard clear."""
        return State(
            self.new_store(),
            word=state.word,
            applied=sequence,
            generation=sequence,
            shelf=state.shelf,
            gauge=state.gauge,
            soft_floor=state.soft_floor,
        )

    @abstractmethod
    def new_store(self) -> MemoryStore:
        """Make an empty store with a table for every slot."""

    def exclusive(self, action: str) -> AbstractContextManager[Any]:
        """Return what keeps other processes from changing anything; it is entered before the write lock.

        Raises:
            ReentrantError: This thread is inside a change already: a signal handler or a finalizer interrupted it.
            ClearFailedError: Other processes cannot be reached.
        """
        if locks.owned(self.lock):
            raise ReentrantError(action)
        self.check_open()
        if not self.log.connected:
            self.rejoin()
        return self.log.exclusive(action)

    def changing(self, action: str) -> locks.Lock:
        """Return the write lock for a change, to be used in a ``with`` statement.

        Raises:
            ReentrantError: This thread is inside a change already: a signal handler or a finalizer interrupted it.
            ClosedError: The manager was closed.
        """
        if locks.owned(self.lock):
            raise ReentrantError(action)
        self.check_open()
        return self.lock

    def check_open(self) -> None:
        """Raise ClosedError when the manager was closed."""
        if self.closed:
            raise ClosedError("the cache manager is closed")

    # Under the write lock

    def birth(self, state: State) -> int:
        """Return the sequence that what is born now is born at."""
        return self.log.head if state.word is None else state.applied

    def install(self, state: State) -> None:
        """Put a State in force: the one store that makes everything older unreachable."""
        self.root.replace({self.index: state})

    def obey(self) -> State:
        """Obey what is known here to be written since the State in force did last, and return the State then in force.

        That is enough for a change, which is judged by births and at the server; a read asks ``obey_for``. Where the
        log cannot be read an empty State is returned that is not in force: nothing is served from it, and what is
        stored there is lost.
        """
        try:
            return self._obey_records()
        except (ClearFailedError, ClosedError):
            return self._detached()

    def obey_for(self, seen: Seen | None) -> State:
        """Obey what was written, and return a State that a read may be served from.

        Why nothing old is served: with a lease, all that counts is under the head that was obeyed here. Without one the
        server was asked after the read had begun, about this very log, and all that it had written by then was obeyed;
        else an empty State is returned that is not in force, as in ``obey``.
        """
        state = self.obey()
        word = state.word
        if word is None or state.generation == NOT_SHARED or self._holds(state):
            return state
        if seen is None or seen.word is not word:
            return self._detached()
        if seen.head is not None and state.applied >= seen.head:
            return state
        stand_in = self._detached()
        stand_in.doubtful = state if seen.head is None else None
        return stand_in

    def _obey_records(self) -> State:
        """Obey what the log is known here to hold, and return the State then in force."""
        state = self.state
        if state.word is None or state.word[0] == state.applied:
            return state
        head, records = self.log.news(self.name, state.applied)
        if records is None:
            logger.info("the cache %s forgets everything: it missed records", self.title, extra={"cache": self.title})
            return self.forget()
        for record in records:
            state = self._obey_one(state, record)
        state.applied = head
        return state

    def _detached(self) -> State:
        """Make a State that is not in force: nothing is served from it, and what is stored there is lost."""
        return State(self.new_store(), word=self.log.word, generation=NOT_SHARED)

    def forget(self) -> State:
        """Leave everything behind, as a clear of this cache in this process does."""
        self.end_pace("cleared")
        old, new = self.state, self.fresh()
        self.count_gone(invalidated=len(old.store))
        self.install(new)
        self.bury(old)
        self.note_size()
        self.join_refill()
        return new

    def join_refill(self) -> None:
        """Take part in a refill behind a clear that this process did not see, if it goes on; under the write lock."""
        generation = self.state.generation
        if generation <= 0:
            return
        order = self.log.refill_behind(self.name, generation)
        if order is not None:
            self.end_pace("cleared")
            self.begin_refill(order, None, elapsed=max(0.0, self.clock.time() - order.begun))

    @abstractmethod
    def begin_refill(self, order: RefillOrder, old: State | None, *, elapsed: float = 0.0) -> None:
        """Have loads let through at a bounded rate from now on; call under the write lock, with the swap.

        So no load finds the new State without its refill. Why nothing old is served: loads wait in the State that the
        clear put in force, and a wait neither stores nor serves anything.

        Args:
            order: The refill, as the clear says it.
            old: The State that was left behind, to tell which keys were read most; None where nobody saw any.
            elapsed: Seconds since the refill began.
        """

    def count_gone(self, *, invalidated: int = 0, expired: int = 0) -> None:
        """Count entries that left memory, unless they were copies."""
        if self.keeps_originals:
            self.counts.invalidations += invalidated
            self.counts.expirations += expired

    def end_pace(self, ended_by: Literal["cleared", "stopped", "switchedOff"]) -> None:
        """End the refill behind an earlier clear."""
        if self.pace is not None:
            self.pace.end(ended_by)

    def note_gone(self, entries: Iterable[Entry], fate: Fate) -> None:
        """Note why entries went, for ``explain``."""
        now = self.now()
        for entry in entries:
            self.departures.note(entry.slot, entry.key, fate, now)

    def note_clear(self, sequence: int, clear_id: str | None = None) -> None:
        """Note a whole hard clear, for ``explain``; one that is noted again gets its receipt."""
        known = any(noted == sequence for noted, _, _ in self.clears)
        if known and clear_id is not None:
            kept = [(noted, when, clear_id if noted == sequence else name) for noted, when, name in self.clears]
            self.clears = deque(kept, maxlen=_KEPT_CLEARS)
        elif not known:
            self.clears.append((sequence, self.now(), clear_id))

    def bury(self, old: State, *, cleared: bool = False) -> None:
        """Have what a State holds freed in the background, and its keys noted before, where a clear took them."""
        if len(old.store):
            parts = old.store.dismantle()
            if cleared:
                parts.insert(0, Obituary(self.departures, old.tables, self.now()))
            keeper.bury(parts, len(old.store))

    def note_size(self) -> None:
        """Tell the other processes how many entries this one holds."""
        state = self.state
        gauge = state.gauge
        if gauge is not None:
            gauge[0] = len(state.store)
            gauge[1] = state.generation

    def _obey_one(self, state: State, record: Record) -> State:
        whole = record.kind in (RecordKind.CLEAR, RecordKind.CLEAR_ALL)
        if whole and record.soft:
            new = state.softened(record.sequence)
        elif whole:
            new = self.emptied(state, record.sequence)
        elif record.lets_go:
            self.end_pace("stopped")
            return state
        else:
            removed = self._obey_scope(state, Scope.of(record), record)
            if self.log.census is not None:
                self.log.census.note_removed(record.sequence, removed)
            return state
        self.count_gone(invalidated=len(state.store))
        self.install(new)
        if not record.soft:
            self.end_pace("cleared")
            order = record.refill
            self.note_clear(record.sequence, None if order is None else order.clear_id or None)
            if order is not None:
                self.begin_refill(order, state)
            self.bury(state, cleared=True)
            self.note_size()
        return new

    def _obey_scope(self, state: State, scope: Scope, record: Record) -> int:
        """Take out, or mark, all that a record covers and that was born before it; return how many entries."""
        if record.soft:
            scope.soften(state, self.slots)
        else:
            scope.detach(state, self.slots)
        now = self.now()
        taken: list[Entry] = []
        for entry in scope.entries(state, self.slots, self.slot_of):
            if entry.birth >= record.sequence:
                continue
            if record.soft:
                entry.birth = SOFTLY_CLEARED
            else:
                state.store.remove(entry)
            if now < entry.hard_until:
                taken.append(entry)
        self.count_gone(invalidated=len(taken))
        if not record.soft:
            self.note_gone(taken, Fate.INVALIDATED)
            self.discard(taken)
            self.note_size()
        return len(taken)
