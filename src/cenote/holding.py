"""Holding: the entries that a cache has in the memory of this process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, NoReturn

from cenote import locks
from cenote.clock import Clock
from cenote.codecs import Codec
from cenote.decide import Verdict, decide
from cenote.departures import Fate
from cenote.entry import GONE, Entry
from cenote.errors import ConfigurationError
from cenote.following import Follower
from cenote.invalidation.log import InvalidationLog
from cenote.keeper import keeper
from cenote.options import CacheOptions
from cenote.pacing import Pace
from cenote.refills import RefillOrder
from cenote.sharing import Sharing
from cenote.state import Root, State
from cenote.stores.memory import MemoryStore
from cenote.stores.shared import SharedReads
from cenote.tables import GIL, Slot
from cenote.terms import Terms, Treatment
from cenote.workers import workers

__all__ = ["Holder"]

_HOTTEST: Final = 200
_COUNTED: Final = 1e-6

_READ_ONCE: Final = frozenset({AsyncGeneratorType, CoroutineType, GeneratorType})
"""Types of values that the first caller uses up."""


class Holder(Follower):
    """The part of a cache's core that makes, keeps and drops entries in memory."""

    def __init__(
        self,
        name: str | None,
        options: CacheOptions,
        root: Root,
        index: int,
        log: InvalidationLog,
        clock: Clock,
        shared: tuple[SharedReads, Codec] | None = None,
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
                are then copies.
        """
        self.treatment = Treatment(options)
        self.sharing = None if shared is None else Sharing(name, *shared, clock, self.treatment)
        self.keeps_originals = shared is None
        self._serves_stored = not (
            self.treatment.take_in or self.treatment.hand_out or options.idle_ttl or options.refresh_ahead
        )
        """Whether a fresh value is served as it was stored, with nothing to be noted or done about it."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """Background loads, referenced so that they are not collected."""
        self.seen_hot: Callable[[], dict[tuple[int, Hashable], float]] = dict
        """Returns reads a second of the keys that were seen to be read most; whoever watches the cache sets it."""
        super().__init__(name, options, root, index, log, clock)

    def new_store(self) -> MemoryStore:
        """Make an empty store with a table for every slot."""
        return MemoryStore(self.options, len(self.slots), self.lock)

    def judge(self, state: State, entry: Entry) -> Verdict:
        """Decide what a read may do with an entry of a State."""
        return decide(entry, self.now(), state.soft_floor, self.options)

    def doubtful(self, state: State, slot: Slot, key: Hashable, *, failed: bool) -> tuple[bool, Any]:
        """Return a copy that nobody can verify, where that may be served; call under the write lock.

        Why no clear that succeeded is broken: all that is known here was obeyed, and ``is_doubtful`` says why what is
        not known has not succeeded.

        Args:
            state: What the read was given in place of the State in force.
            slot: The table.
            key: The key there.
            failed: Whether the loader was tried, so that a stale copy will do as well.
        """
        there = state.doubtful
        if there is None:
            return False, None
        now = self.obey()
        if now.store is not there.store or now.word is None or not self.running or not self.log.is_doubtful(now.word):
            return False, None
        entry = now.store.find(key, slot.index)
        if entry is None or entry.error is not None or entry.value is GONE:
            return False, None
        stale = (Verdict.STALE, Verdict.FAILSAFE) if failed else ()
        if self.judge(now, entry) not in (Verdict.FRESH, Verdict.AHEAD, Verdict.HELD, *stale):
            return False, None
        return True, entry.value

    def hand_out(self, value: Any) -> Any:
        """Return a value as callers get it."""
        return value if self.treatment.hand_out is None else self.treatment.hand_out(value)

    def count_slot_hit(self, slot: Slot) -> None:
        """Count a hit of a table."""
        if GIL:
            slot.hits += 1.0
        else:
            with self.lock:
                slot.hits += 1.0

    def sweep(self, enough: Callable[[], bool] | None = None) -> int:
        """Take out what has ended; return how many entries that were."""
        if locks.owned(self.lock):
            return 0
        with self.lock:
            ended = self.state.store.sweep_out(self.now(), enough)
            self.count_gone(expired=len(ended))
            if ended:
                self.note_gone(ended, Fate.EXPIRED)
                self.note_size()
        self.discard(ended)
        return len(ended)

    @property
    def expiring(self) -> int:
        """How many entries wait for their end."""
        return self.state.store.expiring

    def hottest(self, state: State) -> dict[tuple[int, Hashable], float]:
        """Return reads a second of the keys that were read most, as far as anybody saw them, and others in their order.

        What was only counted by the eviction policy comes behind what was timed.
        """
        found = dict(self.seen_hot())
        policy = state.store.policy
        if policy is None or len(found) >= _HOTTEST:
            return found
        dice = random.Random()  # noqa: S311  # no secret
        picked = [policy.pick(dice) for _ in range(2 * _HOTTEST)]
        counted = {(each.slot, each.key): each.freq * _COUNTED for each in picked if each is not None and each.freq}
        return counted | found

    def begin_refill(self, order: RefillOrder, old: State | None, *, elapsed: float = 0.0) -> None:
        """Have loads let through at a bounded rate from now on; call under the write lock, with the swap."""
        self.pace = Pace(
            order.refill,
            order.clear_id,
            {} if old is None else self.hottest(old),
            self.now,
            order.begun,
            elapsed=elapsed,
            share=partial(self.log.share, self.name),
            launch=workers.submit,
        )

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
        if older is not None and not nothing_ends and self.now() >= older.fresh_until:
            self.departures.note(entry.slot, entry.key, Fate.EXPIRED, self.now())
        evicted = state.store.put(entry)
        if evicted:
            self.note_gone(evicted, Fate.EVICTED)
        self.counts.evictions += len(evicted) if self.keeps_originals else 0
        self.note_size()
        if older is not None and state.store.find(entry.key, entry.slot) is not older:
            evicted.append(older)  # its value is freed with the others', outside the lock
        if nothing_ends and state.store.expiring:
            keeper.notice()
        return evicted

    def _drop_key(self, state: State, slot: Slot, key: Hashable, dropped: list[Entry]) -> bool:
        """Take a key out of memory; return whether it was live."""
        state.detach_key(slot.index, key)
        entry = state.store.find(key, slot.index)
        if entry is None:
            return False
        live = self.judge(state, entry) is not Verdict.DEAD
        state.store.remove(entry)
        self.count_gone(invalidated=int(live), expired=int(not live))
        self.departures.note(slot.index, key, Fate.INVALIDATED if live else Fate.EXPIRED, self.now())
        self.note_size()
        dropped.append(entry)
        return live

    @staticmethod
    def discard(entries: Iterable[Entry]) -> None:
        """Let go of the values of entries that were taken out: queues may keep the shells for a while."""
        for entry in entries:
            entry.value = GONE

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
