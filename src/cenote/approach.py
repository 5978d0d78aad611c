"""The approach to a load: what a caller that the fast path did not serve may take, lead, join or do alone.

Threads and event loops share it. Why no load from before a clear is ever served after it: a flight is registered in the
State in force, under the write lock, before the load begins; nobody joins a flight but through the State in force; and
it publishes only while it is registered in that State. A clear replaces the State, an invalidation takes the flight
out of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum, auto
from functools import partial
from typing import Any, Final, Self

from cenote import locks
from cenote.bypass import bypassed, bypasses
from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.entry import GONE, Entry
from cenote.errors import RecursiveLoadError
from cenote.flight import Flight
from cenote.invalidation.log import Seen
from cenote.observing import LoadEnd, LoadWatch, Observer
from cenote.state import State
from cenote.tables import Slot
from cenote.terms import Terms, again
from cenote.waits import CURRENT, begin_wait, inside, running_loop

__all__ = [
    "LATER",
    "LOOK_AGAIN_SECONDS",
    "Started",
    "Step",
    "alone",
    "apart",
    "approach",
    "leave",
    "outcome_of",
    "serve",
    "stale_while_loading",
]

_SERVED: Final = (Verdict.FRESH, Verdict.AHEAD, Verdict.HELD)
"""Verdicts on entries that a caller takes without anybody loading first."""

LOOK_AGAIN_SECONDS = 1.0
"""How often a waiter makes sure that the event loop which runs the load still runs."""


LATER: Final = object()
"""What ``get`` returns, asked with it, where more than memory must be looked at."""


class Started(list[Flight]):
    """The flights that only their caller will end: should it be interrupted, they are abandoned.

    Args:
        core: The cache.
        together: Whether one call of a loader is for all of them, but for those that are loaded in the background.
    """

    __slots__ = ("_core", "_together", "_watch")

    def __init__(self, core: CacheCore, *, together: bool = False) -> None:
        super().__init__()
        self._core = core
        self._together = together
        self._watch: LoadWatch | None = None

    def watch_of(self, observer: Observer, describe: Callable[[], str], *, behind: bool) -> LoadWatch:
        """Return what the observer keeps of a flight that is about to be added."""
        if self._watch is not None and not behind:
            self._watch.also(describe)
            return self._watch
        watch = observer.load(self._core.name, describe, behind=behind)
        if self._together and not behind:
            self._watch = watch
        return watch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, reason: BaseException | None, traceback: object) -> None:
        if reason is not None:
            for flight in self:
                self._core.abandon(flight, reason)


class Step(Enum):
    """What a caller that was not served at once does."""

    SERVE = auto()
    """Take the value."""

    LEAD = auto()
    """Load, for itself and for whoever joins."""

    LEAD_BEHIND = auto()
    """Take the stale value and have it reloaded in the background."""

    JOIN = auto()
    """Wait for a load that is under way."""

    ALONE = auto()
    """Load for itself only: waiting could be for itself, or nothing is to be cached."""


def apart(core: CacheCore) -> bool:
    """Whether to load without the cache: inside a bypass, or inside a change that this thread interrupted."""
    return (bypasses.open and bypassed()) or locks.owned(core.lock)


@contextmanager
def _watched_alone(observer: Observer, core: CacheCore, describe: Callable[[], str]) -> Iterator[None]:
    watch = observer.load(core.name, describe, behind=False)
    how, reason = LoadEnd.UNCACHED, None
    try:
        with watch.running():
            yield
    except BaseException as error:
        how, reason = LoadEnd.FAILED if isinstance(error, Exception) else LoadEnd.INTERRUPTED, error
        raise
    finally:
        watch.ended(how, reason)


def alone(core: CacheCore, describe: Callable[[], str]) -> AbstractContextManager[None]:
    """Return what a loader runs inside of that no flight is for."""
    return nullcontext() if core.observer is None else _watched_alone(core.observer, core, describe)


def serve(
    core: CacheCore,
    slot: Slot,
    key: Hashable,
    terms: Terms,
    behind: Callable[[Flight], None],
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    seen: Seen | None,
) -> tuple[bool, Any]:
    """Serve what needs no decision under the lock; one State is loaded once, as on the fast path.

    What the server was asked after the read had begun is passed in: an event loop does not wait for it.

    Why nothing old is served: a clear that returned before this began has put its State in force, which is looked in
    here, or took the entry out; what changes in the entry after the verdict, and before the value is read, is newer.
    """
    state = core.abreast(seen)
    entry = state.tables[slot.index].get(key)
    if entry is None:
        return False, None
    verdict = core.judge(state, entry)
    if verdict not in _SERVED:
        return False, None
    value = entry.value  # before the reload begins, which puts another in its place
    if value is GONE:
        return False, None
    if verdict is Verdict.AHEAD:
        with Started(core) as started:
            flight = _flight_ahead(core, slot, state, entry, terms, loop, started)
            if flight is not None:
                behind(flight)
    core.count_hit(slot, state, entry)
    if entry.error is not None:
        raise again(entry.error)
    if verdict is Verdict.HELD:
        core.count_stale()
    return True, core.hand_out(value)


def stale_while_loading(core: CacheCore, state: State, slot: Slot, entry: Entry | None) -> tuple[bool, Any]:
    """Serve what was found for a caller without a loader: stale values only while somebody else reloads them.

    Args:
        core: The cache.
        state: The State in force when the read began.
        slot: The table.
        entry: What was found.
    """
    if entry is None:
        return False, None
    verdict = core.judge(state, entry)
    value = entry.value
    if value is GONE or entry.error is not None or verdict in (Verdict.DEAD, Verdict.FAILSAFE):
        return False, None
    if verdict is Verdict.STALE:
        flight = state.flights.get((slot.index, entry.key))
        if flight is None or flight.lost():
            return False, None
    if verdict in (Verdict.STALE, Verdict.HELD):
        core.count_stale()
    core.count_hit(slot, state, entry)
    return True, core.hand_out(value)


def _flight_ahead(
    core: CacheCore,
    slot: Slot,
    state: State,
    entry: Entry,
    terms: Terms,
    loop: asyncio.AbstractEventLoop | None,
    started: Started,
) -> Flight | None:
    """Register the background reload of an entry that is about to turn stale, unless one is under way."""
    with core.lock:
        if core.state is not state or not core.running or _under_way(state, slot, entry.key) is not None:
            return None
        if state.tables[slot.index].get(entry.key) is not entry or core.judge(state, entry) is not Verdict.AHEAD:
            return None  # reloaded since it was judged, in another entry or in this one
        # Not the entry's tags: those of the new value may be others.
        return _register(core, slot, state, entry.key, terms.known_tags(), loop, started, parent=None, behind=True)


def _under_way(state: State, slot: Slot, key: Hashable) -> Flight | None:
    """Return the flight of a key that others may join; call under the write lock.

    A flight that does not know its tags yet, and missed an invalidation that may cover it, answers those it has;
    whoever comes later must not get its value. One whose event loop is lost may never end.
    """
    flight = state.flights.get((slot.index, key))
    if flight is not None and (flight.missed or flight.lost()):
        flight.detach()
        return None
    return flight


def _register(
    core: CacheCore,
    slot: Slot,
    state: State,
    key: Hashable,
    tags: frozenset[str] | None,
    loop: asyncio.AbstractEventLoop | None,
    started: Started,
    *,
    parent: Flight | None,
    behind: bool = False,
) -> Flight:
    flight = Flight(
        state, slot.index, key, birth=core.birth(state), born=core.now(), tags=tags, parent=parent, loop=loop
    )
    if core.observer is not None:
        flight.watch = started.watch_of(core.observer, partial(slot.identifier, key), behind=behind)
    started.append(flight)
    state.flights[slot.index, key] = flight
    return flight


def approach(
    core: CacheCore,
    slot: Slot,
    key: Hashable,
    terms: Terms,
    loop: asyncio.AbstractEventLoop | None,
    waker: Callable[[], None],
    started: Started,
    *,
    first: bool,
    anew: bool,
    blocking: bool,
    seen: Seen | None,
    found: Entry | None = None,
) -> tuple[Step, Any]:
    """Decide, under the write lock, what a caller that was not served does: serve, load, or wait for a load.

    What was asked of a server, and found there, is passed in: nobody holds the lock while a server answers.
    """
    with core.lock:
        if not core.running or not core.owns(slot, key):
            core.count_miss(slot)
            return Step.ALONE, None
        state = core.obey_for(seen)
        entry, value = _entry(core, state, slot, key, found, anew=anew)
        flight = _under_way(state, slot, key)
        if entry is not None and not anew:
            verdict = core.judge(state, entry)
            if verdict in _SERVED:
                if first:  # a caller that waited in vain was counted as a miss
                    core.count_hit(slot, state, entry)
                if entry.error is not None:
                    raise again(entry.error)
                core.counts.stale_served += verdict is Verdict.HELD
                return Step.SERVE, value
            if verdict is Verdict.STALE:
                behind = flight is None and core.options.stale_while_revalidate > 0
                if behind or flight is not None:
                    if first:
                        core.count_hit(slot, state, entry)
                    core.counts.stale_served += 1
                if behind:
                    tags = terms.known_tags()
                    flight = _register(core, slot, state, key, tags, loop, started, parent=None, behind=True)
                    return Step.LEAD_BEHIND, (flight, value)
                if flight is not None:
                    return Step.SERVE, value
        if first:
            core.count_miss(slot)
        if flight is None:
            flight = _register(core, slot, state, key, terms.known_tags(), loop, started, parent=CURRENT.get())
            flight.anew = anew
            # With the registration: from then on somebody else may end it, and must wake whoever leads it.
            flight.wakers.append(waker)
            return Step.LEAD, flight
        if inside(flight):
            raise RecursiveLoadError(slot.identifier(key))
        wait = begin_wait(flight, blocking=blocking)
        if wait is None:
            return Step.ALONE, None
        flight.interested += 1
        flight.wakers.append(waker)
        core.counts.coalesced += 1
        return Step.JOIN, (flight, wait)


def _entry(
    core: CacheCore, state: State, slot: Slot, key: Hashable, found: Entry | None, *, anew: bool
) -> tuple[Entry | None, Any]:
    """Return the latest entry of a key that is known here, or in the shared store, and its value."""
    entry = state.store.find(key, slot.index)
    if core.far:
        if found is not None and (entry is None or entry.born < found.born):
            entry = found
    elif core.sharing is not None and not anew and (entry is None or core.judge(state, entry) not in _SERVED):
        entry = core.fetch(state, slot, key, entry)
    value = None if entry is None else entry.value
    # What was found before the lock was taken may have been taken out since.
    return (None, None) if value is GONE else (entry, value)


def outcome_of(core: CacheCore, flight: Flight, *, led: bool = False) -> Any:
    """Hand a flight's outcome to one of its callers."""
    outcome = flight.outcome
    assert outcome is not None  # noqa: S101  # waiting ends with an outcome
    if outcome.abandoned is not None and led:
        raise outcome.abandoned
    value = core.hand_out(outcome.get())
    if outcome.stale:
        core.count_stale()
    return value


def leave(core: CacheCore, flight: Flight) -> None:
    """Lose interest in a flight; a load in a task that nobody waits for any more is cancelled."""
    with core.lock:
        flight.interested -= 1
        crew = flight.mates or (flight,)
        idle = all(each.interested <= 0 or each.outcome is not None for each in crew)
        cancel = idle and flight.outcome is None and flight.task is not None
        if cancel:
            for each in crew:
                each.detach()
    if cancel and flight.task is not None and flight.loop is not None:
        if running_loop() is flight.loop:
            flight.task.cancel()
        elif not flight.loop.is_closed():
            flight.loop.call_soon_threadsafe(flight.task.cancel)
