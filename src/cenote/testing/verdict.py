"""The judgement of histories: whether they keep the promise of a strict clear.

The promise: for every successful hard invalidation C and every read r it covers that starts after C returned,
``birth(value served by r) >= the moment C was called``. A birth is the moment a value's load began; for a
value that was set it may be any moment of that call, so the checker takes its return.

::

    history = History()
    cache.get_or_load("k", history.loader(fetch))       # values that carry their births
    with history.invalidation(cache="books"):
        cache.clear()
    history.observe(lambda: cache.get("k"), cache="books", key="k")
    assert_strict(history)
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from cenote.testing.history import History, Invalidation, Read

__all__ = ["Violation", "assert_strict", "check"]


class Violation(NamedTuple):
    """A read that was served something older than an invalidation that had already returned.

    Attributes:
        read: The read.
        birth: When the load of the served value began.
        invalidation: The latest one that the read breaks.
        by: How many tickets too old the value was.
    """

    read: Read
    birth: float
    invalidation: Invalidation
    by: float

    def __str__(self) -> str:
        read = self.read
        return (
            f"read of {read.key!r} in cache {read.cache!r} [{read.start} .. {read.end}] served a value "
            f"born at {self.birth}, {self.by} before {self.invalidation}"
        )


class _Timeline:
    """The invalidations of one scope: at any moment, the latest started of those that had returned."""

    __slots__ = ("ends", "latest")

    def __init__(self, invalidations: list[Invalidation]) -> None:
        invalidations.sort(key=lambda invalidation: invalidation.end)
        self.ends = [invalidation.end for invalidation in invalidations]
        self.latest: list[Invalidation] = []
        for invalidation in invalidations:
            best = self.latest[-1] if self.latest else invalidation
            self.latest.append(invalidation if invalidation.start > best.start else best)

    def before(self, moment: float) -> Invalidation | None:
        index = bisect_left(self.ends, moment)
        return self.latest[index - 1] if index else None


def _timelines(invalidations: Iterable[Invalidation], *, sets: bool) -> dict[tuple[Hashable, ...], _Timeline]:
    by_scope: dict[tuple[Hashable, ...], list[Invalidation]] = {}
    for invalidation in invalidations:
        if not invalidation.counts or (invalidation.action == "set" and not sets):
            continue
        if invalidation.what == "everything":
            by_scope.setdefault(("everything",), []).append(invalidation)
        elif invalidation.what == "cache":
            by_scope.setdefault(("cache", invalidation.cache), []).append(invalidation)
        else:
            for name in invalidation.names:
                by_scope.setdefault((invalidation.what, invalidation.cache, name), []).append(invalidation)
    return {scope: _Timeline(found) for scope, found in by_scope.items()}


def check(history: History, *, sets: bool = True) -> list[Violation]:
    """Return every read that breaks the promise, in the order of their starts.

    For each scope the prefix maximum of starts, ordered by ends, gives the latest invalidation that had
    returned before a read began; the read breaks the promise if and only if the value is older than that. The
    cost is O(n log n) for n operations (times the different lengths of prefixes, where there are any).

    Args:
        history: What was recorded; the threads that record must have stopped.
        sets: Whether a set must outdate older births of its key as well.
    """
    timelines = _timelines(history.invalidations, sets=sets)
    lengths: dict[Hashable, set[int]] = {}
    for scope in timelines:
        if scope[0] == "prefix":
            lengths.setdefault(scope[1], set()).add(len(str(scope[2])))
    births = history.births_of_sets()
    violations = []
    for read in sorted(history.reads, key=lambda read: read.start):
        birth = births.get(read.birth) if read.pending else read.birth
        if birth is None:
            continue
        scopes: list[tuple[Hashable, ...]] = [
            ("everything",),
            ("cache", read.cache),
            ("key", read.cache, read.key),
            *(("tag", read.cache, tag) for tag in read.tags),
        ]
        if isinstance(read.key, str):
            found = (length for length in lengths.get(read.cache, ()) if length <= len(read.key))
            scopes.extend(("prefix", read.cache, read.key[:length]) for length in found)
        latest: Invalidation | None = None
        for scope in scopes:
            timeline = timelines.get(scope)
            candidate = timeline.before(read.start) if timeline else None
            if candidate is not None and (latest is None or candidate.start > latest.start):
                latest = candidate
        if latest is not None and birth < latest.start:
            violations.append(Violation(read, birth, latest, latest.start - birth))
    return violations


def assert_strict(history: History, *, sets: bool = True, show: int = 5) -> None:
    """Check a history and fail with a readable report when the promise was broken.

    Args:
        history: What was recorded.
        sets: Whether a set must outdate older births of its key as well.
        show: How many violations the report shows at most.

    Raises:
        AssertionError: If a read was served something older than a returned invalidation.
    """
    violations = check(history, sets=sets)
    if not violations:
        return
    lines = [f"strict clear broken by {len(violations)} of {len(history.reads)} reads:"]
    lines += [f"  {violation}" for violation in violations[:show]]
    if len(violations) > show:
        lines.append(f"  ... and {len(violations) - show} more")
    raise AssertionError("\n".join(lines))
