"""The store that the processes of one machine share: an LMDB file, without a server.

Several namespaces live in one file. Writes are not brought to the disk one by one: a killed process loses and damages
nothing, but after a crash of the machine the file must be checked (``lmdb_check``) before it is opened.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from cenote.clock import Clock, SystemClock
from cenote.entry import FOREVER
from cenote.errors import ConfigurationError, DecodeError, StoreError, StoreFullError
from cenote.stores.lmdb_batch import COUNTS, STAMP, STAMP_KEY, Batch
from cenote.stores.lmdb_env import Environment, Tables, as_store_error, borrow, forget_inherited, lmdb, translated
from cenote.stores.lmdb_keys import LONGEST, entry_key, place_key, place_of
from cenote.stores.lmdb_listing import carriers, walk
from cenote.stores.lmdb_room import look, make_room
from cenote.stores.shared import Place, SharedStore
from cenote.stores.stored import OVERHEAD, StoredEntry, fresh_payload, unpack

__all__ = ["LmdbStore"]

READS_REMEMBERED: Final = 4096
SMALLEST_MAP: Final = 1 << 22
PUTS_BETWEEN_LOOKS: Final = 64
ATTEMPTS: Final = 20
SMALL_BYTES: Final = 4096
BYTES_BETWEEN_LOOKS: Final = 1 << 17


class LmdbStore(SharedStore):
    """Entries of one namespace in the LMDB file of a directory.

    Over ``max_bytes``, which each namespace has for itself and which counts keys and values, the entry put first is
    evicted first; one that this process has read lately is spared once. When the file itself becomes full, a
    twentieth of the namespace is evicted.

    Attributes:
        path: The directory.
        namespace: The namespace.
        max_bytes: The limit of the namespace.
    """

    __slots__ = (
        "_begin",
        "_clock",
        "_closed",
        "_entries",
        "_environment",
        "_gate",
        "_largest",
        "_map_size",
        "_places",
        "_puts",
        "_read",
        "_reads",
        "_tables",
        "_unseen",
        "max_bytes",
        "namespace",
        "path",
    )

    def __init__(
        self,
        path: str | os.PathLike[str],
        namespace: str,
        *,
        max_bytes: int,
        map_size: int | None = None,
        clock: Clock | None = None,
        gate: AbstractContextManager[Any] | None = None,
    ) -> None:
        """Open a namespace; the first to do so makes it, so the caller holds the machine-wide lock.

        Args:
            path: A directory that is there, for its owner alone.
            namespace: 1 to 128 characters.
            max_bytes: The limit of the namespace in bytes of keys and values; the file needs about twice as much.
            map_size: The limit of the file in bytes, of which only what is used is taken from the disk. All processes
                must be told the same. Defaults to four times ``max_bytes`` and 16 MiB.
            clock: Where the wall-clock time comes from.
            gate: Entered around every change: keeps the writers of all namespaces apart, with a deadline, which LMDB's
                own lock does not have.

        Raises:
            MissingExtraError: The package lmdb is not installed.
            ConfigurationError: An argument cannot be used, or the directory is open with another ``map_size``.
            StoreError: The file cannot be opened.
        """
        map_size = 4 * max_bytes + (16 << 20) if map_size is None else map_size
        if not 0 < len(namespace) <= 128:
            raise ConfigurationError(f"a namespace must have 1 to 128 characters, not {len(namespace)}")
        if max_bytes < 1 or map_size < SMALLEST_MAP:
            raise ConfigurationError(f"max_bytes must be positive and map_size at least {SMALLEST_MAP} bytes")
        self.path = Path(path)
        self.namespace = namespace
        self.max_bytes = max_bytes
        self._map_size = map_size
        self._largest = min(max_bytes // 4, map_size // 16)
        self._clock = clock or SystemClock()
        self._gate = gate or nullcontext()
        self._closed = False
        self._places: dict[str, tuple[int, bytes]] = {}
        self._puts = PUTS_BETWEEN_LOOKS
        self._unseen = 0
        self._reads: deque[bytes] = deque(maxlen=READS_REMEMBERED)
        self._read = self._reads.append
        self._environment: Environment | None = None
        self._tables: Tables | None = None
        self._entries: Any = None
        self._begin: Callable[..., Any] = self._begin_late
        self._open()

    def find(self, cache: str, generation: int, identifier: str) -> StoredEntry | None:
        key, data = self._data_of(cache, generation, identifier)
        if data is None:
            return None
        try:
            entry = unpack(data, key, identifier if len(key) < LONGEST else None)
        except DecodeError:
            return None
        if entry.identifier != identifier:
            return None
        if entry.hard_until != FOREVER and entry.hard_until <= self._clock.time():
            return None
        self._read(key)
        return entry

    def find_fresh(self, cache: str, generation: int, identifier: str, *, floor: int) -> bytes | None:
        key, data = self._data_of(cache, generation, identifier)
        if data is None or len(key) >= LONGEST:
            return None
        payload = fresh_payload(data, key, now=self._clock.time(), floor=floor)
        if payload is not None:
            self._read(key)
        return payload

    # The hot path: each call saved here is felt by every read that leaves the process's own memory.
    def _data_of(self, cache: str, generation: int, identifier: str) -> tuple[bytes, bytes | None]:
        """Return the key of an entry and the bytes that are stored under it."""
        known = self._places.get(cache)
        place = known[1] if known is not None and known[0] == generation else self._place(cache, generation)
        key = place + identifier.encode() if identifier.isascii() else entry_key(place, identifier)
        if len(key) >= LONGEST:
            key = entry_key(place, identifier)
        try:
            txn = self._begin(self._entries)
            data = txn.get(key)
            txn.abort()
        except lmdb.ReadersFullError as error:
            # Slots of killed processes are given back only when somebody looks.
            if self._open()[0].reader_check():
                return self._data_of(cache, generation, identifier)
            raise as_store_error(error, self.path) from error
        except lmdb.Error as error:
            raise as_store_error(error, self.path) from error
        return key, data

    def put(self, cache: str, generation: int, entry: StoredEntry, *, sequence: int) -> int:
        place = self._place(cache, generation)
        key = entry_key(place, entry.identifier)
        self._refuse_large(entry, len(entry.payload))
        with self._gate:
            return self._put_within(place, key, entry, sequence)

    def _put_within(self, place: bytes, key: bytes, entry: StoredEntry, sequence: int) -> int:
        evicted = 0
        try:
            self._puts += 1
            self._unseen += len(entry.payload)
            if self._puts >= PUTS_BETWEEN_LOOKS or self._unseen >= BYTES_BETWEEN_LOOKS:
                evicted = look(*self._open(), self._map_size, len(entry.payload))
                self._puts = self._unseen = 0
            attempts = ATTEMPTS
            while True:
                try:
                    return evicted + self._put(key, place, entry, sequence)
                except lmdb.MapFullError:
                    attempts -= 1
                    made = make_room(*self._open()) if attempts else 0
                    if not made:
                        raise
                    evicted += made
        except (lmdb.Error, OSError) as error:
            raise as_store_error(error, self.path) from error

    def remove(self, cache: str, generation: int, identifier: str, *, sequence: int) -> bool:
        return self._remove(cache, generation, [identifier], FOREVER, sequence) > 0

    def remove_many(
        self, cache: str, generation: int, identifiers: Iterable[str], *, before: int, sequence: int
    ) -> int:
        return self._remove(cache, generation, identifiers, before, sequence)

    def soften_many(
        self, cache: str, generation: int, identifiers: Iterable[str], *, before: int, sequence: int
    ) -> int:
        place = self._place(cache, generation)
        now = self._clock.time()
        identifiers = list(identifiers)
        with self._writing(sequence, len(identifiers)) as batch:
            return batch.soften_named(place, identifiers, before, now)

    def carriers(self, cache: str, generation: int, tags: Iterable[str], limit: int) -> list[str]:
        place = self._place(cache, generation)
        with self._reading() as (txn, tables):
            return carriers(txn, tables, place, tags, limit)

    def matching(self, cache: str, generation: int, prefix: str, *, after: str | None = None, limit: int) -> list[str]:
        place = self._place(cache, generation)
        found: list[str] = []
        with self._reading() as (txn, tables):
            for _, identifier in walk(txn, tables, place, prefix, after):
                if len(found) >= limit:
                    break
                found.append(identifier)
        return found

    def entries(
        self, cache: str, generation: int, *, prefix: str = "", after: str | None = None, limit: int
    ) -> list[StoredEntry]:
        place = self._place(cache, generation)
        now = self._clock.time()
        found: list[StoredEntry] = []
        with self._reading() as (txn, tables):
            for key, _ in walk(txn, tables, place, prefix, after):
                if len(found) >= limit:
                    break
                with contextlib.suppress(DecodeError):
                    entry = unpack(txn.get(key, db=tables.entries), key)
                    if entry.hard_until > now:
                        entry.payload = b""
                        found.append(entry)
        return found

    def count(self, cache: str, generation: int) -> tuple[int, int]:
        place = self._place(cache, generation)
        with self._reading() as (txn, tables):
            row = txn.get(place, db=tables.meta)
        entries, size = (0, 0) if row is None else COUNTS.unpack(row)
        return entries, size

    def sweep(self, limit: int) -> dict[Place, int]:
        now = self._clock.time()
        swept: dict[Place, int] = {}
        with self._writing(changed=limit) as batch:
            for _ in range(limit):
                ended = batch.ended(now)
                if ended is None:
                    break
                batch.remove(*ended)
                place = place_of(ended[0])[0]
                swept[place] = swept.get(place, 0) + 1
        return swept

    def reap(self, floor: Callable[[str], int], limit: int) -> int:
        gone = 0
        with self._writing(changed=limit) as batch:
            for place in batch.places():
                cache, generation = place_of(place)[0]
                if generation < floor(cache):
                    for key, data in batch.some(place, limit - gone):
                        batch.remove(key, place, data)
                        gone += 1
        return gone

    def garbage(self, floor: Callable[[str], int]) -> int:
        waiting = 0
        with self._reading() as (txn, tables), txn.cursor(db=tables.meta) as cursor:
            for key, row in cursor:
                if key != STAMP_KEY:
                    cache, generation = place_of(key)[0]
                    if generation < floor(cache):
                        waiting += COUNTS.unpack(row)[0]
        return waiting

    def mark(self, sequence: int) -> None:
        with self._writing(sequence):
            pass

    @property
    def stamp(self) -> tuple[str, int]:
        with self._reading() as (txn, tables):
            stamp = txn.get(STAMP_KEY, db=tables.meta)
        if stamp is None:
            return "", 0
        return stamp[STAMP.size :].decode(), STAMP.unpack_from(stamp)[0]

    def reset(self, incarnation: str, head: int) -> None:
        with translated(self.path):
            env, tables = self._open()
            with self._gate, env.begin(write=True) as txn:
                Batch(txn, tables).reset(incarnation, head)

    def sync(self) -> None:
        with translated(self.path):
            self._open()[0].sync(True)  # noqa: FBT003  # LMDB's own signature

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        environment = self._environment
        self._forget()
        if environment is not None:
            environment.give_back()

    def after_fork(self) -> None:
        forget_inherited()
        self._reads.clear()
        self._forget()

    def _forget(self) -> None:
        self._begin = self._begin_late
        self._environment = self._tables = self._entries = None

    def _begin_late(self, *_: Any, **how: Any) -> Any:
        """Open the environment, and begin the first transaction in it."""
        env, tables = self._open()
        return env.begin(tables.entries, **how)

    def _open(self) -> tuple[Any, Tables]:
        environment, tables = self._environment, self._tables
        if environment is None or tables is None:
            if self._closed:
                raise StoreError(f"the shared store {self.path} was closed")
            environment = borrow(self.path, self._map_size)
            try:
                with translated(self.path):
                    tables = environment.tables(self.namespace)
            except BaseException:
                environment.give_back()
                raise
            self._environment, self._tables, self._entries = environment, tables, tables.entries
            self._begin = environment.env.begin
        return environment.env, tables

    def _place(self, cache: str, generation: int) -> bytes:
        known = self._places.get(cache)
        if known is None or known[0] != generation:
            known = self._places[cache] = generation, place_key(cache, generation)
        return known[1]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[tuple[Any, Tables]]:
        with translated(self.path):
            env, tables = self._open()
            with env.begin() as txn:
                yield txn, tables

    @contextlib.contextmanager
    def _writing(self, sequence: int = 0, changed: int = 1) -> Iterator[Batch]:
        with translated(self.path), self._gate:
            env, tables = self._open()
            self._reserve(0, changed)
            with env.begin(write=True) as txn:
                batch = Batch(txn, tables)
                yield batch
                batch.finish(sequence)

    def _reserve(self, fresh: int, changed: int) -> None:
        if self._environment is not None:
            self._environment.reserve(fresh, changed)

    def _put(self, key: bytes, place: bytes, entry: StoredEntry, sequence: int) -> int:
        env, tables = self._open()
        size = len(entry.payload)
        # A large entry may take the place of many small ones.
        self._reserve(*((size, 1 + size // OVERHEAD) if size > SMALL_BYTES else (0, 1)))
        with env.begin(write=True) as txn:
            batch = Batch(txn, tables)
            self._refuse_large(entry, batch.put(key, place, entry))
            evicted = 0
            if batch.size > self.max_bytes:
                evicted = batch.evict(self.max_bytes, set(self._reads), key)
            batch.finish(sequence)
        return evicted

    def _refuse_large(self, entry: StoredEntry, size: int) -> None:
        if size > self._largest:
            raise StoreFullError(
                f"{entry.identifier[:80]!r} has {size} bytes; the largest that the shared store {self.path} takes has "
                f"{self._largest}: raise max_bytes and map_size"
            )

    def _remove(self, cache: str, generation: int, identifiers: Iterable[str], before: float, sequence: int) -> int:
        place = self._place(cache, generation)
        now = self._clock.time()
        identifiers = list(identifiers)
        with self._writing(sequence, len(identifiers)) as batch:
            return batch.remove_named(place, identifiers, before, now)
