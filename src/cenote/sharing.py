"""Sharing: one cache's part of a store that processes share, between entries in memory and entries in bytes.

What comes from the store keeps the birth that it was stored with, so a copy in memory is never taken for newer than its
original. Times are wall-clock in the store, which outlives processes, and monotonic in memory.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from cenote.clock import Clock
from cenote.codecs import Codec
from cenote.entry import FOREVER, Entry
from cenote.errors import DecodeError, StoreError
from cenote.state import State
from cenote.stores.shared import Place, SharedReads, SharedStore
from cenote.stores.stored import StoredEntry
from cenote.tables import Slot
from cenote.terms import Treatment

__all__ = ["Sharing", "fingerprint_of"]

logger = logging.getLogger("cenote")

_ALL: Final = 1 << 62

REMEMBERED: Final = 10_000
"""How many keys that were read from the store once are remembered."""

PAGE: Final = 500
"""How many entries are looked at, or changed, before others may write."""


class Sharing:
    """The shared entries of one cache.

    Every method that changes something is called while all other processes are kept away.
    """

    def __init__(self, cache: str | None, store: SharedReads, codec: Codec, clock: Clock, treatment: Treatment) -> None:
        """Make a cache's part of a store.

        Args:
            cache: The cache; None is the global one.
            store: The store.
            codec: Turns values into bytes.
            clock: The cache's time.
            treatment: Makes entries of what is read.
        """
        self.store = store
        self._title = cache or "the global cache"
        self._fields = {"cache": cache or "(global)"}
        self._codec = codec
        self._clock = clock
        self._treatment = treatment
        self._met: set[tuple[int, Hashable]] = set()
        self.noted: Callable[[int], object] = bool
        """Told of every sequence that the store has come to."""

        self.swept: Callable[[Mapping[Place, int]], int] = _how_many
        """Counts what was swept, for the caches it was swept from; returns how many entries that were."""

    # Reads

    def find(self, state: State, slot: Slot, key: Hashable) -> Entry | None:
        """Return the entry of a key as the store has it now, or None."""
        identifier = self.identifier(slot, key)
        if identifier is None:
            return None
        try:
            return self.entry(slot, key, self.store.find(state.shelf, state.generation, identifier))
        except StoreError as error:
            self.warn(identifier, error)
            return None

    def entry(self, slot: Slot, key: Hashable, stored: StoredEntry | None) -> Entry | None:
        """Return the entry of a key from what the store has under its identifier."""
        if stored is None or stored.fingerprint != _fingerprint(slot, key):
            return None
        try:
            value = self._codec.decode(stored.payload, slot.annotated())
        except (StoreError, DecodeError) as error:
            self.warn(stored.identifier, error)
            return None
        return self._restore(slot, key, value, stored)

    def warn(self, identifier: str, error: Exception) -> None:
        """Log that an entry could not be read."""
        if not getattr(error, "logged", False):
            text = "%s of %s cannot be read and counts as missing: %s"
            logger.warning(text, identifier, self._title, error, extra=self._fields)

    def _restore(self, slot: Slot, key: Hashable, value: Any, stored: StoredEntry) -> Entry:
        shift = self._clock.monotonic() - self._clock.time()
        return self._treatment.restore(
            slot.index,
            key,
            value,
            birth=stored.birth,
            born=stored.born + shift,
            expires=FOREVER if stored.expires == FOREVER else stored.expires + shift,
            hard=FOREVER if stored.hard_until == FOREVER else stored.hard_until + shift,
            cost=stored.cost,
            tags=stored.tags,
            now=self._clock.monotonic(),
        )

    def met_before(self, slot: int, key: Hashable) -> bool:
        """Whether a key was read from the store a short while ago; if so, a copy in memory is worth its place.

        What is read once leaves the copies of what is read often alone, as with TinyLFU's doorkeeper (Einziger,
        Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017).
        """
        place = (slot, key)
        if place in self._met:
            self._met.discard(place)
            return True
        self._meet(place)
        return False

    def _meet(self, place: tuple[int, Hashable]) -> None:
        if len(self._met) >= REMEMBERED:
            self._met = set()
        self._met.add(place)

    def first_value(self, state: State, key: str) -> tuple[bool, Any]:
        """Return whether a caller's key has a fresh value in the store, and the value.

        There is none for a key that was read from the store a short while ago, or is not stored as plain data; ``find``
        knows better. Nothing is made but the value, since no copy is to be kept.
        """
        if (0, key) in self._met:
            return False, None
        try:
            payload = self.store.find_fresh(state.shelf, state.generation, key, floor=state.soft_floor)
        except StoreError:
            return False, None
        return (False, None) if payload is None else self.first_of(key, payload)

    def first_of(self, key: str, payload: bytes) -> tuple[bool, Any]:
        """Do what ``first_value`` does with a payload that is known to be fresh."""
        place = (0, key)
        if place in self._met:
            return False, None
        try:
            value = self._codec.decode(payload, Any)
        except (StoreError, DecodeError):
            return False, None
        self._meet(place)
        return True, value

    def look(self, state: State, slot: Slot, identifier: str) -> Entry | None:
        """Return what is known of an entry, without its value."""
        try:
            stored = self.store.find(state.shelf, state.generation, identifier)
        except StoreError as error:
            if not error.logged:
                logger.warning("%s of %s cannot be read: %s", identifier, self._title, error, extra=self._fields)
            return None
        return None if stored is None else self._restore(slot, identifier, None, stored)

    def listed(self, state: State, prefix: str, slot_of: Callable[[str], Slot]) -> Iterator[tuple[str, Entry]]:
        """Iterate over the entries whose identifier begins with a prefix, without their values."""
        for stored in self.entries(state, prefix):
            yield stored.identifier, self._restore(slot_of(stored.identifier), stored.identifier, None, stored)

    def identifier(self, slot: Slot, key: Hashable) -> str | None:
        """Return what an entry is called in the store; None where its name means nothing to another process."""
        if slot.keys is None:
            return str(key)
        if slot.fingerprint is None or not slot.keys.is_portable(key):
            return None
        return slot.identifier(key)

    def count(self, state: State) -> tuple[int, int]:
        """Return how many entries and bytes there are."""
        return self.store.count(state.shelf, state.generation)

    def entries(self, state: State, prefix: str) -> Iterator[StoredEntry]:
        """Iterate over the live entries whose identifier begins with a prefix, without their values."""
        after: str | None = None
        while True:
            page = self.store.entries(state.shelf, state.generation, prefix=prefix, after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].identifier

    def live(self, state: State) -> int:
        """Return how many entries there are whose time is not over; with all others kept away."""
        while isinstance(self.store, SharedStore) and self.swept(self.store.sweep(PAGE)) == PAGE:
            pass
        return self.count(state)[0]

    def sample(self, state: State, most: int) -> list[str]:
        """Return identifiers of some entries."""
        return [entry.identifier for entry in islice(self.entries(state, ""), most)]

    # Changes

    @property
    def _kept(self) -> SharedStore:
        assert isinstance(self.store, SharedStore)  # noqa: S101  # who only reads changes nothing by this way
        return self.store

    def pack(self, slot: Slot, key: Hashable, value: Any, entry: Entry | None) -> StoredEntry | None:
        """Encode a value for the store; None when the entry is not to be kept, or not to be shared.

        Raises:
            EncodeError: The codec cannot store it.
        """
        identifier = None if entry is None else self.identifier(slot, key)
        if entry is None or identifier is None:
            return None
        shift = self._clock.time() - self._clock.monotonic()
        return StoredEntry(
            identifier,
            entry.birth,
            entry.born + shift,
            entry.expires + shift,
            entry.hard_until + shift,
            entry.cost,
            _fingerprint(slot, key),
            entry.tags,
            self._codec.encode(value, slot.annotated()),
        )

    def put(self, state: State, stored: StoredEntry, *, birth: int, sequence: int) -> int:
        """Keep an entry; return how many others were evicted for it."""
        stored.birth = birth
        evicted = self._kept.put(state.shelf, state.generation, stored, sequence=sequence)
        self.noted(sequence)
        return evicted

    def remove(self, state: State, slot: Slot, key: Hashable, *, sequence: int) -> bool:
        """Take a key out; return whether a live entry was there."""
        identifier = self.identifier(slot, key)
        if identifier is None:
            return False
        live = self._kept.remove(state.shelf, state.generation, identifier, sequence=sequence)
        self.noted(sequence)
        return live

    def mark(self, sequence: int) -> None:
        """Note that the log has come to a sequence, so that a store or a log from before it is recognised."""
        self._kept.mark(sequence)
        self.noted(sequence)

    def covered(self, state: State, *, tags: frozenset[str], prefix: str | None, exact: str | None) -> list[str]:
        """Return the identifiers of the entries that carry one of the tags, begin with the prefix, or are the one."""
        found = [] if exact is None else [exact]
        if tags:
            found += self.store.carriers(state.shelf, state.generation, tags, _ALL)
        if prefix is not None:
            found += self.store.matching(state.shelf, state.generation, prefix, after=None, limit=_ALL)
        return list(dict.fromkeys(found))

    def some_covered(
        self, state: State, *, tags: frozenset[str], prefix: str | None, limit: int
    ) -> tuple[list[str], bool]:
        """Return identifiers of what a tag or the prefix covers, up to a limit, and whether that is all."""
        parts = []
        if tags:
            parts.append(self.store.carriers(state.shelf, state.generation, tags, limit))
        if prefix is not None:
            parts.append(self.store.matching(state.shelf, state.generation, prefix, after=None, limit=limit))
        found = list(dict.fromkeys(name for part in parts for name in part))
        return found, all(len(part) < limit for part in parts)

    def take_out(self, state: State, identifiers: list[str], *, soft: bool, before: int, sequence: int) -> int:
        """Remove entries, or mark them stale; return how many live ones there were."""
        change: Callable[..., int] = self._kept.soften_many if soft else self._kept.remove_many
        return change(state.shelf, state.generation, identifiers, before=before, sequence=sequence)


def _how_many(swept: Mapping[Place, int]) -> int:
    return sum(swept.values())


def _fingerprint(slot: Slot, key: Any) -> int:
    found = slot.fingerprint or 0
    origin = "" if slot.keys is None else slot.keys.origin(key)
    return fingerprint_of(found, origin) if origin else found


def fingerprint_of(*parts: object) -> int:
    """Return 64 bits that tell functions of the same name apart."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") or 1
