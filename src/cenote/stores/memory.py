"""The store of one process's memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from cenote.entry import FOREVER, Entry, ParticularEntry
from cenote.eviction import POLICIES
from cenote.eviction.policy import EvictionPolicy
from cenote.locks import Lock
from cenote.options import CacheOptions
from cenote.stores.expiry import ExpiryBuckets
from cenote.stores.store import Store

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Entries in dicts, one for each table.

    Attributes:
        tables: The dicts, by slot. Hits read them without a lock; nobody else but the store changes them.
        policy: The eviction policy; None when there is no limit.
    """

    __slots__ = (
        "_count",
        "_expiry",
        "_idle",
        "_max_bytes",
        "_max_entries",
        "_size",
        "_tags",
        "policy",
        "tables",
    )

    def __init__(self, options: CacheOptions, tables: int = 1, lock: Lock | None = None) -> None:
        """Make an empty store.

        Args:
            options: The cache's limits, eviction policy and TTLs.
            tables: How many tables to begin with.
            lock: The write lock, for a policy that works off a backlog of touches.
        """
        self.tables: list[dict[Hashable, Entry]] = [{} for _ in range(tables)]
        self._max_entries = FOREVER if options.max_entries is None else options.max_entries
        self._max_bytes = FOREVER if options.max_bytes is None else options.max_bytes
        capacity = options.max_bytes or options.max_entries
        self.policy: EvictionPolicy | None = None if capacity is None else POLICIES[options.eviction](capacity, lock)
        self._idle = options.idle_ttl
        ttls = [ttl for ttl in (options.ttl, options.idle_ttl) if ttl is not None]
        self._expiry = ExpiryBuckets(min(ttls, default=None), self._end_of, stable=options.idle_ttl is None)
        self._tags: dict[str, set[Entry]] = {}
        self._count = 0
        self._size = 0

    def add_table(self) -> int:
        """Add an empty table and return its slot."""
        self.tables.append({})
        return len(self.tables) - 1

    def find(self, key: Hashable, slot: int = 0) -> Entry | None:
        """Return the entry of a key, or None."""
        return self.tables[slot].get(key)

    def put(self, entry: Entry) -> list[Entry]:
        """Keep an entry, in place of an older one of its key; return what was evicted."""
        table = self.tables[entry.slot]
        older = table.get(entry.key)
        if entry.size > self._max_bytes:
            if older is not None:
                self.remove(older)
            return [entry]
        if older is not None:
            if type(older) is type(entry) and older.error is None and entry.error is None:
                self._overwrite(older, entry)
                return self._evict(0, 0)
            # A hit must never pair the terms of a value with the None of a remembered failure.
            self.remove(older)
        evicted = self._evict(1, entry.size)
        table[entry.key] = entry
        self._count += 1
        self._size += entry.size
        if self.policy is not None:
            self.policy.admit(entry)
        for tag in entry.tags:
            self._tags.setdefault(tag, set()).add(entry)
        self._schedule(entry)
        return evicted

    def remove(self, entry: Entry) -> bool:
        """Take this very entry out; return whether it was there."""
        if self.tables[entry.slot].get(entry.key) is not entry:
            return False
        self._drop(entry)
        if self.policy is not None:
            self.policy.remove(entry)
        self._expiry.forget(entry)
        return True

    def tagged(self, tags: Iterable[str]) -> list[Entry]:
        """Return the entries that carry at least one of the tags."""
        found: set[Entry] = set()
        for tag in tags:
            found |= self._tags.get(tag, set())
        return list(found)

    def entries(self, slot: int | None = None) -> Iterator[Entry]:
        """Iterate over a snapshot of one table, or of all."""
        for table in self.tables if slot is None else [self.tables[slot]]:
            yield from list(table.values())

    def sweep(self, now: float, enough: Callable[[], bool] | None = None) -> int:
        """Take out what has ended; return how many entries that were."""
        return len(self.sweep_out(now, enough))

    def sweep_out(self, now: float, enough: Callable[[], bool] | None = None) -> list[Entry]:
        """Take out what has ended and return it."""
        if not self._expiry:
            return []
        ended = self._expiry.pop(now, enough)
        for entry in ended:
            self._drop(entry)
            if self.policy is not None:
                self.policy.remove(entry)
        return ended

    @property
    def expiring(self) -> int:
        """How many entries wait for their end."""
        return len(self._expiry)

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """The sum of the entries' sizes."""
        return self._size

    def dismantle(self) -> list[Any]:
        """Give up all containers of a store that nobody writes any more, those first that free no values."""
        return [self.policy, *self._expiry.drain(), *self._tags.values(), *self.tables]

    def _end_of(self, entry: Entry) -> float:
        if self._idle is not None and isinstance(entry, ParticularEntry):
            return min(entry.hard_until, entry.used + self._idle)
        return entry.hard_until

    def _schedule(self, entry: Entry) -> None:
        end = self._end_of(entry)
        if end != FOREVER:
            self._expiry.add(entry, end)

    def _drop(self, entry: Entry) -> None:
        del self.tables[entry.slot][entry.key]
        self._count -= 1
        self._size -= entry.size
        for tag in entry.tags:
            self._untag(tag, entry)

    def _untag(self, tag: str, entry: Entry) -> None:
        carriers = self._tags[tag]
        carriers.discard(entry)
        if not carriers:
            del self._tags[tag]

    def _evict(self, entries: int, size: int) -> list[Entry]:
        """Make room for so many more entries and units of size."""
        evicted: list[Entry] = []
        while self._count + entries > self._max_entries or self._size + size > self._max_bytes:
            victim = self.policy.evict() if self.policy is not None else None
            if victim is None:
                break
            self._drop(victim)
            self._expiry.forget(victim)
            evicted.append(victim)
        return evicted

    def _overwrite(self, older: Entry, entry: Entry) -> None:
        """Move a newer value into the older entry, in the order that lock-free readers rely on.

        The value comes first and ``fresh_until`` last: a hit that saw the new terms also sees the new value.
        The older value goes into the discarded entry, so that it is freed outside the lock.
        """
        older.value, entry.value = entry.value, older.value
        if isinstance(older, ParticularEntry) and isinstance(entry, ParticularEntry):
            if older.size != entry.size:
                former = older.size
                older.size = entry.size
                self._size += entry.size - former
                if self.policy is not None:
                    self.policy.resize(older, former)
            for tag in older.tags - entry.tags:
                self._untag(tag, older)
            for tag in entry.tags - older.tags:
                self._tags.setdefault(tag, set()).add(older)
            older.tags = entry.tags
            older.used = entry.used
            older.retry_at = entry.retry_at
            older.expires = entry.expires
            older.hard_until = entry.hard_until
        older.cost = entry.cost
        older.born = entry.born
        older.birth = entry.birth
        older.fresh_until = entry.fresh_until
        self._schedule(older)
