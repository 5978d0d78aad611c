"""Previews: what a clear would take, and what it would cost, told from a few entries chosen at random.

It never goes through all of a large cache: it takes as long for a million entries as for ten thousand, and holds no
lock for longer than a moment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from cenote.core import CacheCore
from cenote.entry import GONE, Entry
from cenote.errors import ClearFailedError
from cenote.forecast import Forecast
from cenote.probing import Probes
from cenote.scope import Scope
from cenote.selecting import clear_scope
from cenote.sharing import PAGE, Sharing
from cenote.state import NOT_SHARED, State
from cenote.stats import CacheStats
from cenote.swapping import Tally
from cenote.tables import Slot

__all__ = ["HotKey", "Look", "Preview", "Waits", "hot_keys", "look_at"]

Waits = Literal["all", "first", "none"]

SAMPLE: Final = 1000
"""Entries that are looked at."""

LOOK_SECONDS: Final = 0.01
_SKIPPED: Final = 50_000
_COUNTED_ONE_BY_ONE: Final = 10_000
_COUNTING_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class HotKey:
    """A key that is read often; the figures are estimates.

    Attributes:
        key: Its identifier.
        reads: Reads since it was noticed.
        reads_per_second: Reads a second; where there are more than a hundred, they all look alike.
        load_seconds: Seconds that its last load took.
    """

    key: str
    reads: int
    reads_per_second: float
    load_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a clear would take of one cache.

    Attributes:
        entries: How many entries, as far as that can be told.
        exact: Whether that is exact, and not told from a sample.
        unseen: How many more there are of which nobody here knows whether they are covered: those in the memory of
            other processes, where this one has none to judge them by.
        size: Bytes, as the weigher counts them; None without a weigher.
        share: Which share of the cache's entries that is.
        cost: Mean seconds that loading one of them took; None where none was looked at.
        items: Identifiers of some, chosen at random; of a shared store, its first ones.
        hottest: Those that are read most often.
        sampled: How many entries were looked at.
    """

    entries: int
    exact: bool
    unseen: int
    size: int | None
    share: float
    cost: float | None
    items: list[str]
    hottest: list[HotKey]
    sampled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a clear would take, and cost.

    Attributes:
        service: The service; None: the global cache, or all.
        everything: Whether it is of all caches.
        mode: "hard" or "soft".
        entries: How many entries would go, or turn stale.
        exact: Whether that is exact.
        size: Their bytes, as weighers count them, or as they are in a file; None where nobody counts them.
        items: Identifiers of some, chosen at random; of a shared store, its first ones.
        hottest: Keys that are read most often.
        entry_seconds: Seconds that loading all of them takes; None where nothing was loaded.
        forecast: What is expected of it; None where that is not known.
        basis: What that rests on, or why it is not known, in one sentence.
        waits: Which callers wait for the loads: "all", "first" (one of each entry, while others are served its stale
            copy) or "none", of a soft clear where stale copies are served to all.
        sampled: How many entries were looked at.
        seconds: Seconds that the preview took.
        message: One sentence for people.
    """

    service: str | None
    everything: bool
    mode: str
    entries: int
    exact: bool
    size: int | None
    items: tuple[str, ...]
    hottest: tuple[HotKey, ...]
    entry_seconds: float | None
    forecast: Forecast | None
    basis: str
    waits: Waits
    sampled: int
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class _Part:
    """How much a clear of a part would take; see ``Look``."""

    entries: int
    exact: bool
    unseen: int = 0
    items: tuple[str, ...] | None = None


def look_at(core: CacheCore, probes: Probes, scope: Scope | None, *, stats: CacheStats, most: int, hot: int) -> Look:
    """Look at what a clear would take of one cache.

    Args:
        core: The cache.
        probes: What was seen of it.
        scope: What the clear is restricted to; None: nothing.
        stats: Its statistics, of all processes and of the store that they share.
        most: How many identifiers to return.
        hot: How many of the keys that are read most often.

    Raises:
        ClearFailedError: The log that a shared store goes by cannot be read, so nobody knows what is there.
    """
    state = core.current()
    entries_here = _sample(core, probes)
    slots = list(core.slots)
    covered = [each for each in entries_here if scope is None or _covers(scope, slots, each)]
    share = 1.0 if scope is None else len(covered) / len(entries_here) if entries_here else 0.0
    part, size = _Part(stats.current_size, exact=True), stats.bytes
    if scope is not None:
        count = _part_in_memory if core.sharing is None else _part_in_store
        part = count(core, state, scope, stats.current_size, share)
        share = min(1.0, part.entries / stats.current_size) if stats.current_size else 0.0
        size = None if size is None else round(share * size)
    if part.items is not None:
        items = list(part.items[:most])
    elif core.sharing is not None and state.generation != NOT_SHARED:
        items = core.sharing.sample(state, most)
    else:
        items = [slots[each.slot].identifier(each.key) for each in covered[:most]]
    return Look(
        entries=part.entries,
        exact=part.exact,
        unseen=part.unseen,
        size=size,
        share=share,
        cost=sum(each.cost for each in covered) / len(covered) if covered else None,
        items=items,
        hottest=hot_keys(core, probes, hot, scope),
        sampled=len(entries_here),
    )


def _part_in_memory(core: CacheCore, state: State, scope: Scope, whole: int, share: float) -> _Part:
    """Count what is covered in this process's memory, and take the memory of the others for alike."""
    here = len(state.store)
    elsewhere = max(0, whole - here)
    if not here:
        return _Part(0, exact=not elsewhere, unseen=elsewhere)
    exact, covered = not elsewhere, round(share * here)
    if here <= _COUNTED_ONE_BY_ONE:
        tally = Tally(most=0)
        clear_scope(core, scope, soft=False, dry_run=True, tally=tally)
        covered, share = tally.entries, min(1.0, tally.entries / here)
    else:
        exact = False
    return _Part(covered + round(share * elsewhere), exact=exact)


def _part_in_store(core: CacheCore, state: State, scope: Scope, whole: int, share: float) -> _Part:
    """Count what is covered in a store that processes share; what is too much, by the share among the copies here."""
    sharing = core.sharing
    assert sharing is not None  # noqa: S101  # asked before
    if state.generation == NOT_SHARED:
        raise ClearFailedError("this process cannot read the log that its shared store goes by; repeat it")
    if scope.tags and core.far:
        return _walked(sharing, state, scope, whole)
    found, exact = sharing.some_covered(state, tags=scope.tags, prefix=scope.prefix, limit=_COUNTED_ONE_BY_ONE)
    entries = len(found) if exact else max(len(found), round(share * whole))
    return _Part(entries, exact=exact, items=tuple(found))


def _walked(sharing: Sharing, state: State, scope: Scope, whole: int) -> _Part:
    """Count what is covered among the first entries of a server, which has no index of tags, and tell the rest."""
    found: list[str] = []
    end = time.perf_counter() + _COUNTING_SECONDS
    for looked, entry in enumerate(sharing.entries(state, "")):
        if looked >= _COUNTED_ONE_BY_ONE or (looked and looked % PAGE == 0 and time.perf_counter() > end):
            return _Part(max(len(found), round(len(found) / looked * whole)), exact=False, items=tuple(found))
        if scope.tags & entry.tags or (scope.prefix is not None and entry.identifier.startswith(scope.prefix)):
            found.append(entry.identifier)
    return _Part(len(found), exact=True, items=tuple(found))


def hot_keys(core: CacheCore, probes: Probes, most: int, scope: Scope | None = None) -> list[HotKey]:
    """Return keys that are read often, the hottest first."""
    slots, now = list(core.slots), core.now()
    found = [
        hot
        for hot in probes.hottest(10 * most)
        if hot.entry.where and (scope is None or _covers(scope, slots, hot.entry))
    ]
    return [
        HotKey(
            key=slots[hot.entry.slot].identifier(hot.entry.key),
            reads=round(hot.rate * (now - hot.since)) + 1,
            reads_per_second=round(hot.rate, 3),
            load_seconds=hot.entry.cost,
        )
        for hot in found[:most]
    ]


def _covers(scope: Scope, slots: list[Slot], entry: Entry) -> bool:
    return bool(scope.tags & entry.tags) or scope.covers(slots[entry.slot], entry.key)


def _sample(core: CacheCore, probes: Probes) -> list[Entry]:
    """Return entries chosen at random, as many as a few milliseconds of work allow."""
    store = core.state.store
    if store.policy is None:
        return _first(core, time.perf_counter() + LOOK_SECONDS)
    return probes.gather(min(SAMPLE, len(store)), seconds=LOOK_SECONDS)


def _first(core: CacheCore, end: float) -> list[Entry]:
    """Return some entries of a cache without a limit: of its oldest ones, evenly spread over them."""
    found: list[Entry] = []
    for table in list(core.state.tables):
        stride = max(1, min(len(table), _SKIPPED) // SAMPLE)
        try:
            found += [entry for entry in islice(table.values(), 0, _SKIPPED, stride) if entry.value is not GONE]
        except RuntimeError:
            continue  # another thread changed it meanwhile
        if time.perf_counter() > end:
            break
    return found
