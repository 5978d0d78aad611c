"""Histories: what threads and tasks saw of a cache, with the moments at which they saw it.

Moments are tickets of one counter, not readings of a clock. A clock ticks more coarsely than threads act: a
clear and a read would share a reading, and a tie could neither be excused nor condemned. Every ticket is
drawn once and in the order in which things happened, so there are no ties and a violation cannot hide in one.
"""

from __future__ import annotations

import itertools
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator

__all__ = ["History", "Invalidation", "Read", "Stamped"]


@dataclass(frozen=True, slots=True)
class Stamped:
    """A value that carries its birth.

    Attributes:
        value: The value proper.
        birth: The ticket drawn when its load began.
        pending: Whether it was made to be set; its birth is then the end of that set, which ``birth``
            identifies.
    """

    value: Any
    birth: float
    pending: bool = False


class Read(NamedTuple):
    """One read that served something.

    Attributes:
        start: The ticket drawn before it.
        end: The ticket drawn after it.
        birth: The birth that the value carried.
        pending: Whether that birth stands for a set (see Stamped).
        cache: The name of the cache; None is the global one.
        key: The key.
        tags: The tags that the entry is known to have.
    """

    start: float
    end: float
    birth: float
    pending: bool
    cache: Hashable
    key: Hashable
    tags: tuple[str, ...]


class Invalidation(NamedTuple):
    """One clear, delete, set or invalidation of a tag or prefix.

    Attributes:
        start: The ticket drawn before it.
        end: The ticket drawn after it.
        cache: The name of the cache; None is the global one.
        what: What it covers in that cache: "everything" (of every cache), "cache", "key", "tag" or "prefix".
        names: The keys, tags or prefixes.
        action: What to call it in a report.
        counts: Whether it promised anything: a success, and hard.
    """

    start: float
    end: float
    cache: Hashable
    what: str
    names: tuple[Hashable, ...]
    action: str
    counts: bool

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.names))
        where = "of all caches" if self.what == "everything" else f"in cache {self.cache!r}"
        scope = f" {self.what} {names}" if names else ""
        return f"{self.action}{scope} {where} [{self.start} .. {self.end}]"


def _new_counter() -> Callable[[], int]:
    count = itertools.count(1).__next__
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        return count
    lock = threading.Lock()

    def locked() -> int:
        with lock:
            return count()

    return locked


class _Invalidating:
    """An invalidation under way; say on it what became of it."""

    __slots__ = ("mode", "success")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.success = True


class History:
    """A recorder that threads and tasks share; each operation costs two tickets and one append to a list.

    Args:
        ticket: Draws a number greater than all drawn before, from any thread; the default counts.
            Histories of several processes need a common source, such as ``time.monotonic_ns`` on one machine.
    """

    def __init__(self, ticket: Callable[[], float] | None = None) -> None:
        self.now: Callable[[], float] = ticket or _new_counter()
        self._reads: list[Read] = []
        self._invalidations: list[Invalidation] = []
        self._sets: list[tuple[float, float]] = []

    @property
    def reads(self) -> list[Read]:
        """The reads so far that served something."""
        return list(self._reads)

    @property
    def invalidations(self) -> list[Invalidation]:
        """The invalidations so far, also those that promised nothing."""
        return list(self._invalidations)

    def births_of_sets(self) -> dict[float, float]:
        """Return when each set returned, by the stamp of the value that it stored."""
        return dict(self._sets)

    def extend(self, other: History) -> None:
        """Add what another history saw; both must have drawn tickets from the same source."""
        self._reads += other._reads
        self._invalidations += other._invalidations
        self._sets += other._sets

    def stamp(self, value: Any, birth: float | None = None) -> Stamped:
        """Give a value a birth.

        Args:
            value: The value.
            birth: Its birth; the present moment unless given. A ``fill`` token's value takes a ticket that
                was drawn after the token, before the computation.
        """
        return Stamped(value, self.now() if birth is None else birth)

    def loader(self, function: Callable[..., Any]) -> Callable[..., Stamped]:
        """Wrap a loader so that what it returns carries the moment it was called."""

        @wraps(function)
        def stamped(*args: Any, **kwargs: Any) -> Stamped:
            birth = self.now()
            return Stamped(function(*args, **kwargs), birth)

        return stamped

    def aloader(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """Wrap an asynchronous loader so that what it returns carries the moment its coroutine began."""

        @wraps(function)
        async def stamped(*args: Any, **kwargs: Any) -> Stamped:
            birth = self.now()
            return Stamped(await function(*args, **kwargs), birth)

        return stamped

    def read(self, start: float, value: object, *, cache: Hashable, key: Hashable, tags: Iterable[str] = ()) -> None:
        """Record a read that has just returned.

        Args:
            start: The ticket drawn before it.
            value: What it served: a Stamped, or None for a miss, about which there is nothing to judge.
            cache: The name of the cache.
            key: The key.
            tags: The tags that the entry has.

        Raises:
            TypeError: If the value carries no birth; such a read would be judged by nobody.
        """
        if isinstance(value, Stamped):
            end = self.now()
            self._reads.append(Read(start, end, value.birth, value.pending, cache, key, tuple(tags)))
        elif value is not None:
            msg = f"the read of {key!r} served {type(value).__name__}, not Stamped: its birth is unknown"
            raise TypeError(msg)

    def observe(self, read: Callable[[], Any], *, cache: Hashable, key: Hashable, tags: Iterable[str] = ()) -> Any:
        """Call ``read`` and record what it served; returns that. The arguments are those of ``read``."""
        start = self.now()
        value = read()
        self.read(start, value, cache=cache, key=key, tags=tags)
        return value

    def set(self, write: Callable[[Stamped], object], value: Any, *, cache: Hashable, key: Hashable) -> Stamped:
        """Call ``write`` with a stamped value and record it as a set, which outdates older births of its key.

        Args:
            write: Stores what it is given, such as ``lambda value: cache.set("k", value)``.
            value: The value.
            cache: The name of the cache.
            key: The key.
        """
        start = self.now()
        stamped = Stamped(value, start, pending=True)
        write(stamped)
        end = self.now()
        self._sets.append((start, end))
        self._invalidations.append(Invalidation(start, end, cache, "key", (key,), "set", counts=True))
        return stamped

    @contextmanager
    def invalidation(
        self,
        *,
        cache: Hashable = None,
        everything: bool = False,
        keys: Iterable[Hashable] | None = None,
        tags: Iterable[str] | None = None,
        prefix: str | None = None,
        mode: str = "hard",
        action: str = "clear",
    ) -> Iterator[_Invalidating]:
        """Record what happens inside the block as one invalidation; it failed if the block raises.

        Without ``keys``, ``tags`` or ``prefix`` it covers the whole cache. Tags cover the reads that were
        recorded with one of them; where those are not known, give the covered keys instead.

        Args:
            cache: The name of the cache; None is the global one.
            everything: Whether it covers every cache.
            keys: The keys that it covers.
            tags: The tags that it covers.
            prefix: The beginning of the keys that it covers.
            mode: Only "hard" promises anything.
            action: What to call it in a report.

        Yields:
            An object whose ``success`` may be set to False, for a result that says it failed.

        Raises:
            ValueError: If more than one scope is given.
        """
        scopes: list[tuple[str, tuple[Hashable, ...]]] = []
        if everything:
            scopes.append(("everything", ()))
        if keys is not None:
            scopes.append(("key", tuple(keys)))
        if tags is not None:
            scopes.append(("tag", tuple(tags)))
        if prefix is not None:
            scopes.append(("prefix", (prefix,)))
        if len(scopes) > 1:
            msg = "an invalidation has one scope: everything, keys, tags or prefix"
            raise ValueError(msg)
        what, names = scopes[0] if scopes else ("cache", ())
        under_way = _Invalidating(mode)
        start = self.now()
        try:
            yield under_way
        except BaseException:
            under_way.success = False
            raise
        finally:
            end = self.now()
            counts = under_way.success and under_way.mode == "hard"
            self._invalidations.append(Invalidation(start, end, cache, what, names, action, counts))
