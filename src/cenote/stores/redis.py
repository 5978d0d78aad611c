"""The store that machines share: values at a Redis or Valkey server.

The key of a value carries incarnation and generation, so that what a clear left behind is never found again. In front
of each value stand 8 bytes: one more than the sequence that it was born at, 0 once it was softly cleared. A value that
is older than the last invalidation by tags or by a prefix is checked against their floors before it is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from cenote.clock import Clock
from cenote.errors import ClearFailedError, ClosedError, DecodeError, StoreFullError
from cenote.invalidation.log import Seen
from cenote.invalidation.machine.parts import ScopedWord
from cenote.invalidation.network.answers import Value
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.line import Line
from cenote.invalidation.network.log import NetworkLog
from cenote.invalidation.network.shards import Shard
from cenote.stores.batching import Asker, Batching
from cenote.stores.line_asker import LineAsker
from cenote.stores.shared import Place, SharedReads
from cenote.stores.steps import in_steps
from cenote.stores.stored import SOFT, StoredEntry, fresh_payload, pack, unpack

__all__ = ["BIRTH_BYTES", "LARGEST_BYTES", "Name", "RedisStore"]

LONGEST_SECONDS: Final = 7 * 24 * 3600.0
"""How long a value is kept at most, if it is not written again."""

LARGEST_BYTES: Final = 8 << 20
LONGEST_IDENTIFIER: Final = 4096

Name = tuple[str, int, str]
"""A shelf, a generation, and the identifier of an entry there."""

_BIRTH: Final = struct.Struct(">Q")
_birth_in: Final = _BIRTH.unpack_from
BIRTH_BYTES: Final = _BIRTH.size
_PAGE: Final = 200
_REST_SECONDS: Final = 0.2
_LAST: Final = b"\xff" * 8


class RedisStore(SharedReads):
    """Entries of one namespace at a server.

    Attributes:
        largest: Bytes of the largest value that it takes.
    """

    def __init__(self, ledger: Ledger, log: NetworkLog, clock: Clock, *, largest: int = LARGEST_BYTES) -> None:
        """Look at a namespace.

        Args:
            ledger: The namespace at the server.
            log: Its log.
            clock: Where the wall-clock time comes from.
            largest: Bytes of the largest value.
        """
        self.largest = largest
        self._ledger = ledger
        self._link = ledger.link
        self._log = log
        self._clock = clock
        self._openings: dict[tuple[str, int], bytes] = {}
        self._places: dict[str, ScopedWord] = {}
        self._rest_until = 0.0
        self._batching: Batching[Name, bytes | None] = Batching(self.read, None, self._line)
        self._verifying: Batching[str, Seen | None] = Batching(lambda asked: [self._verify()] * len(asked), None)

    def _key(self, shelf: str, generation: int, identifier: str) -> bytes:
        opening = self._openings.get((shelf, generation))
        if opening is None:
            if len(self._openings) > 1000:
                self._openings = {}
            cache, _, incarnation = shelf.partition(":")
            opening = self._openings[shelf, generation] = self._ledger.value_key(incarnation, cache, generation, "")
        return opening + identifier.encode("utf-8", "surrogatepass")

    def _keys(self, names: Sequence[Name]) -> list[bytes]:
        """Return the keys of several entries; most are of one generation of one cache."""
        key, last = self._key, names[0]
        opening = key(last[0], last[1], "")
        return [
            opening + name[2].encode("utf-8", "surrogatepass")
            if name[0] is last[0] and name[1] == last[1]
            else key(*name)
            for name in names
        ]

    def read(self, names: Sequence[Name]) -> list[bytes | None]:
        """Return what the server has of entries, if its log is still that of their shelves' incarnation.

        Else a server that came back with older data, or a replica, would bring back what was invalidated since.
        """
        return self._checked(names, *self._link.fetch(self._keys(names), self._ledger.log_key))

    def _checked(
        self, names: Sequence[Name], found: list[bytes | None], incarnation: bytes | None
    ) -> list[bytes | None]:
        ending = "?" if incarnation is None else ":" + incarnation[:16].decode()
        made_there = {shelf: shelf.endswith(ending) for shelf in {name[0] for name in names}}
        if not all(made_there.values()):
            # Either the mirror is about to follow another incarnation, or the server has been replaced.
            self._link.look_anew()
        return [
            raw if raw is not None and len(raw) > BIRTH_BYTES and made_there[name[0]] else None
            for raw, name in zip(found, names, strict=True)
        ]

    def _line(self, loop: asyncio.AbstractEventLoop) -> Asker[Name, bytes | None] | None:
        """Return what asks the server in an event loop itself, where that can be."""
        line = self._link.line(loop)
        return None if line is None else LineAsker(line, self)

    def read_on(self, line: Line, names: Sequence[Name], done: Callable[[Sequence[bytes | None] | None], None]) -> bool:
        """Do what ``read`` does on a line, and have a function called with what it returns; see ``Link.fetch_on``."""

        def came(found: tuple[list[bytes | None], bytes | None] | None) -> None:
            answers = None
            with contextlib.suppress(Exception):  # in a thread it comes again, and is told to whoever asked
                answers = None if found is None else self._checked(names, *found)
            done(answers)

        return self._link.fetch_on(line, self._keys(names), self._ledger.log_key, came)

    def _verify(self) -> Seen | None:
        try:
            return self._log.verify()
        except (ClearFailedError, ClosedError):
            return None

    @property
    def aread(self) -> Callable[[Name], Awaitable[bytes | None]]:
        """What does for one entry what ``read`` does; what the tasks of one tick ask for is read together.

        Nothing is there, for who waits, where the server is out of reach.

        What answers was asked after this was called: a batch is closed before it is sent.
        """
        return self._batching.ask

    def averify(self) -> Awaitable[Seen | None]:
        """Ask, off the event loop, what ``NetworkLog.verify`` says; the tasks of one tick ask once, after that."""
        return self._verifying.ask("")

    def find(self, cache: str, generation: int, identifier: str) -> StoredEntry | None:
        name = (cache, generation, identifier)
        return self.entry(name, self.read([name])[0])

    def entry(self, name: Name, raw: bytes | None) -> StoredEntry | None:
        """Return the entry from what was read, unless it is damaged, over, or was made old."""
        if raw is None:
            return None
        scoped = self._scoped(name[0])
        if scoped is None:
            return None
        try:
            entry = unpack(raw[BIRTH_BYTES:])
        except DecodeError:
            return None
        entry.birth = _birth_of(raw)
        if entry.identifier != name[2] or entry.hard_until <= self._clock.time():
            return None
        if entry.birth < scoped:
            verdict = self._check(name, entry)
            if verdict == 2:
                return None
            if verdict:
                entry.birth = SOFT
        return entry

    def is_doubtful(self, name: Name, raw: bytes) -> bool:
        """Whether ``entry`` must ask the server if tags or a prefix made this old."""
        scoped = self._scoped(name[0])
        return scoped is not None and _birth_of(raw) < scoped

    def _check(self, name: Name, entry: StoredEntry) -> int:
        """Ask the server whether tags or a prefix made an entry old; see ``Ledger.check``."""
        shelf, generation, identifier = name
        cache, _, opening = shelf.partition(":")
        try:
            incarnation = self._log.incarnation
        except ClearFailedError:
            incarnation = ""
        if not incarnation.startswith(opening):
            return 2
        return self._ledger.check(
            cache, identifier, incarnation=incarnation, generation=generation, birth=entry.birth, tags=entry.tags
        )

    def find_fresh(self, cache: str, generation: int, identifier: str, *, floor: int) -> bytes | None:
        name = (cache, generation, identifier)
        return self.payload(name, self.read([name])[0], floor=floor)

    def payload(self, name: Name, raw: bytes | None, *, floor: int) -> bytes | None:
        """Return only the payload from what was read, as ``find_fresh`` does."""
        if raw is None:
            return None
        # What ``_scoped`` does, written out: a call would cost every read.
        place = self._places.get(name[0])
        if place is None or place.parts is not self._log.membership:
            place = self._place_of(name[0])
            if place is None:
                return None
        birth = _birth_in(raw)[0] + SOFT
        if birth < place.words[place.at] or birth < floor:
            return None
        return fresh_payload(raw[BIRTH_BYTES:], b"", now=self._clock.time(), floor=SOFT)

    def _scoped(self, shelf: str) -> int | None:
        """Return a sequence after which tags or a prefix made nothing of a shelf old.

        None when another incarnation is followed by now: while a value was read this machine may have left the one that
        it was read in, and the next one knows nothing of what was made old before.
        """
        place = self._places.get(shelf)
        if place is None or place.parts is not self._log.membership:
            place = self._place_of(shelf)
        return None if place is None else place.words[place.at]

    def _place_of(self, shelf: str) -> ScopedWord | None:
        cache, _, opening = shelf.partition(":")
        if len(self._places) > 1000:
            self._places = {}
        try:
            place = self._log.scoped_word(cache or None, int(opening, 16))
        except ClearFailedError:
            return None  # another file is being attached to
        if place is not None:
            self._places[shelf] = place
        return place

    def value_of(self, entry: StoredEntry) -> Value:
        """Return what the server keeps of an entry.

        Raises:
            StoreFullError: It is too large.
        """
        payload = pack(entry)
        if len(entry.identifier) > LONGEST_IDENTIFIER:
            raise StoreFullError(
                f"the key {entry.identifier[:80]!r}… has {len(entry.identifier)} characters; the server is given keys "
                f"of {LONGEST_IDENTIFIER} at most: take a shorter one, as a digest is"
            )
        if len(payload) > self.largest:
            raise StoreFullError(
                f"{entry.identifier[:80]!r} has {len(payload)} bytes; the largest that the server is given has "
                f"{self.largest}: keep less, or raise max_value_bytes"
            )
        now = self._clock.time()
        left = min(entry.hard_until - now, LONGEST_SECONDS)
        return Value(payload, max(1, int(left * 1000)), now + left, entry.tags)

    def put(self, shelf: str, generation: int, entry: StoredEntry) -> bool:
        """Keep what was loaded, unless something has made it old; return whether it is kept.

        Raises:
            StoreError: It is too large, or the server is out of reach.
        """
        cache, _, opening = shelf.partition(":")
        incarnation = self._log.incarnation
        if not incarnation.startswith(opening):
            return False
        return self._ledger.put(
            cache,
            entry.identifier,
            self.value_of(entry),
            incarnation=incarnation,
            generation=generation,
            birth=entry.birth,
        )

    @property
    def evicts(self) -> bool:
        """Whether the server has evicted anything since it was started."""
        return bool(self._link.call(lambda client: client.info("stats")).get("evicted_keys", 0))

    # Listings

    def _indexes(self, shelf: str, generation: int) -> tuple[str, str]:
        cache, _, incarnation = shelf.partition(":")
        return self._ledger.index_keys(incarnation, cache, generation)

    def count(self, cache: str, generation: int) -> tuple[int, int]:
        by_end = self._indexes(cache, generation)[0]
        now = self._clock.time()
        return int(self._link.call(lambda client: client.zcount(by_end, now, "+inf"))), 0

    def matching(self, cache: str, generation: int, prefix: str, *, after: str | None = None, limit: int) -> list[str]:
        written = prefix.encode("utf-8", "surrogatepass")
        seen = None if after is None else after.encode("utf-8", "surrogatepass")
        first = b"[" + written if seen is None or seen < written else b"(" + seen
        last = b"[" + written + _LAST if written else b"+"
        found = self._names(cache, generation, first, last, limit)
        return [name.decode("utf-8", "surrogatepass") for name in found]

    def _names(self, shelf: str, generation: int, first: bytes, last: bytes, limit: int) -> list[bytes]:
        by_name = self._indexes(shelf, generation)[1]
        found: list[bytes] = self._link.call(lambda client: client.zrangebylex(by_name, first, last, 0, limit))
        return found

    def entries(
        self, cache: str, generation: int, *, prefix: str = "", after: str | None = None, limit: int
    ) -> list[StoredEntry]:
        found: list[StoredEntry] = []
        while len(found) < limit:
            names = self.matching(cache, generation, prefix, after=after, limit=_PAGE)
            keys = [self._key(cache, generation, name) for name in names]
            values = self._values(keys)
            for name, raw in zip(names, values, strict=True):
                if raw is None or len(raw) <= BIRTH_BYTES or len(found) >= limit:
                    continue
                entry = self.entry((cache, generation, name), raw)
                if entry is not None:
                    entry.payload = b""
                    found.append(entry)
            if len(names) < _PAGE:
                break
            after = names[-1]
        return found

    def _values(self, keys: list[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = self._link.call(lambda client: client.mget(keys)) if keys else []
        return found

    def carriers(self, cache: str, generation: int, tags: Iterable[str], limit: int) -> list[str]:
        wanted = frozenset(tags)
        found: list[str] = []
        after: str | None = None
        while len(found) < limit:
            page = self.entries(cache, generation, after=after, limit=_PAGE)
            found += [entry.identifier for entry in page if not wanted.isdisjoint(entry.tags)]
            if len(page) < _PAGE:
                break
            after = page[-1].identifier
        return found[:limit]

    # What needs to be done now and then

    def tidy(self, places: Iterable[Place], limit: int) -> bool:
        # Every record that anybody writes wakes all machines; nothing that goes here can be served, so it may wait.
        now = self._clock.monotonic()
        if now < self._rest_until:
            return False
        self._rest_until = now + _REST_SECONDS
        shard = self._due()
        ended = [self._sweep(shard, shelf, generation, limit) for shelf, generation in places]
        more = max([self._give_back(limit), *ended]) >= limit
        if more:
            self._rest_until = now
        return more

    def _due(self) -> Shard:
        """Return where to sweep this time."""
        return self._ledger

    def _sweep(self, shard: Shard, shelf: str, generation: int, limit: int) -> int:
        """Take at most so many names of what has ended, or was evicted, out of the indexes; return how many."""
        cache, _, incarnation = shelf.partition(":")
        by_end, by_name = shard.index_keys(incarnation, cache, generation)
        now = self._clock.time()

        def sweep(client: Any) -> int:
            ended: list[Any] = client.zrangebyscore(by_end, "-inf", now, 0, limit)
            if ended:
                with client.pipeline(transaction=False) as pipe:
                    pipe.zremrangebyscore(by_end, "-inf", now) if len(ended) < limit else pipe.zrem(by_end, *ended)
                    pipe.zrem(by_name, *ended)
                    pipe.execute()
            return len(ended)

        return int(shard.link.call(sweep))

    def _give_back(self, limit: int) -> int:
        """Take values that nobody can be served any more out of the server, in steps; return how many."""
        return in_steps(limit, self._ledger.give_back)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ledger.close()

    def after_fork(self) -> None:
        self._batching.after_fork()
        self._verifying.after_fork()
        self._ledger.after_fork()


def _birth_of(raw: bytes) -> int:
    birth: int = _birth_in(raw)[0]
    return birth + SOFT
