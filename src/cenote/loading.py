"""Loads: one for a key at a time, over threads and event loops alike.

Why no load from before a clear is ever served after it: a flight is registered in the State in force, under the write
lock, before the load begins; nobody joins a flight but through the State in force; and it publishes only while it is
registered in that State. A clear replaces the State, an invalidation takes the flight out of it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Hashable
from enum import Enum, auto
from typing import Any, Self

from cenote import locks
from cenote.bypass import bypassed, switch
from cenote.core import CacheCore, Slot
from cenote.decide import Verdict
from cenote.entry import GONE, Entry
from cenote.errors import LoadTimeoutError, RecursiveLoadError
from cenote.flight import Flight
from cenote.state import State
from cenote.terms import Terms
from cenote.waits import CURRENT, begin_wait, inside, running_loop
from cenote.workers import workers

__all__ = [
    "Started",
    "Step",
    "aload",
    "apart",
    "approach",
    "awaited",
    "leave",
    "load",
    "outcome_of",
    "reload",
    "serve",
    "stale_while_loading",
    "start_behind",
    "start_task",
    "wait_for",
    "wait_in_loop",
    "waker_of",
]

logger = logging.getLogger("cenote")

LOOK_AGAIN_SECONDS = 1.0
"""How often a waiter makes sure that the event loop which runs the load still runs."""


class Started(list[Flight]):
    """The flights that only their caller will end: should it be interrupted, they are abandoned."""

    __slots__ = ("_core",)

    def __init__(self, core: CacheCore) -> None:
        super().__init__()
        self._core = core

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


def load(
    core: CacheCore, slot: Slot, key: Hashable, call: Callable[[], Any], terms: Terms, *, anew: bool = False
) -> Any:
    """Serve a key that the fast path did not, loading it if need be.

    Args:
        core: The cache.
        slot: The table.
        key: The key in the table.
        call: The loader.
        terms: What the caller said of the value.
        anew: Whether to load even if a fresh value is there.

    Returns:
        The value.
    """
    if apart(core):
        return call()
    if not anew:
        served, value = serve(core, slot, key, terms, lambda flight: start_behind(core, slot, flight, call, terms))
        if served:
            return value
    first = True
    while True:
        waiter = locks.make_waiter()
        with Started(core) as started:
            step, what = approach(
                core, slot, key, terms, None, waiter.wake, started, first=first, anew=anew, blocking=True
            )
            first = False
            if step is Step.SERVE:
                return core.hand_out(what)
            if step is Step.ALONE:
                return call()
            if step is Step.LEAD_BEHIND:
                flight, value = what
                start_behind(core, slot, flight, call, terms)
                started.clear()
                return core.hand_out(value)
            if step is Step.LEAD:
                if core.options.load_timeout is None:
                    return _lead(core, slot, what, call, terms)
                flight = what
                workers.submit(lambda: _lead_behind(core, slot, flight, call, terms))  # noqa: B023  # run before the next turn
                started.clear()
                wait_for(core, slot, flight, waiter)
                return outcome_of(core, flight, led=True)
        flight, wait = what
        try:
            ended = wait_for(core, slot, flight, waiter)
        finally:
            wait.over()
        if not ended:
            return call()
        if flight.outcome.abandoned is None:
            return outcome_of(core, flight)


async def aload(
    core: CacheCore,
    slot: Slot,
    key: Hashable,
    call: Callable[[], Awaitable[Any] | Any],
    terms: Terms,
    *,
    anew: bool = False,
) -> Any:
    """Do what ``load`` does in an event loop; the load runs in a task of its own, which no single caller cancels."""
    if apart(core):
        return await awaited(call)
    loop = asyncio.get_running_loop()
    if not anew:
        served, value = serve(
            core, slot, key, terms, lambda flight: start_task(core, slot, flight, call, terms, loop), loop
        )
        if served:
            return value
    first = True
    while True:
        waiter: asyncio.Future[None] = loop.create_future()
        with Started(core) as started:
            step, what = approach(
                core, slot, key, terms, loop, waker_of(loop, waiter), started, first=first, anew=anew, blocking=False
            )
            if step is Step.LEAD_BEHIND:
                start_task(core, slot, what[0], call, terms, loop)
            elif step is Step.LEAD:
                start_task(core, slot, what, call, terms, loop)
        first = False
        if step is Step.SERVE:
            return core.hand_out(what)
        if step is Step.ALONE:
            return await awaited(call)
        if step is Step.LEAD_BEHIND:
            return core.hand_out(what[1])
        flight, wait = (what, None) if step is Step.LEAD else what
        try:
            ended = await wait_in_loop(core, flight, waiter, loop)
        finally:
            if wait is not None:
                wait.over()
        if not ended:
            return await awaited(call)
        if flight.outcome.abandoned is None or step is Step.LEAD:
            return outcome_of(core, flight, led=step is Step.LEAD)


def reload(core: CacheCore, slot: Slot, key: Hashable, call: Callable[[], Any], terms: Terms) -> Any:
    """Load a key now, whatever is there, and publish the new value."""
    with core.changing("refresh"):
        core.state.detach_key(slot.index, key)
    return load(core, slot, key, call, terms, anew=True)


def stale_while_loading(core: CacheCore, slot: Slot, key: Hashable) -> tuple[bool, Any]:
    """Look a key up for a caller without a loader: stale values are served while somebody else reloads them."""
    state = core.state
    entry = state.tables[slot.index].get(key)
    if entry is None:
        return False, None
    verdict = core.judge(state, entry)
    value = entry.value
    if value is GONE or entry.error is not None or verdict in (Verdict.DEAD, Verdict.FAILSAFE):
        return False, None
    if verdict is Verdict.STALE:
        flight = state.flights.get((slot.index, key))
        if flight is None or flight.lost():
            return False, None
    if verdict in (Verdict.STALE, Verdict.HELD):
        core.count_stale()
    core.count_hit(slot, state, entry)
    return True, core.hand_out(value)


def apart(core: CacheCore) -> bool:
    """Whether to load without the cache: inside a bypass, or inside a change that this thread interrupted."""
    return (switch.open and bypassed()) or locks.owned(core.lock)


def serve(
    core: CacheCore, slot: Slot, key: Hashable, terms: Terms, behind: Callable[[Flight], None], loop: Any = None
) -> tuple[bool, Any]:
    """Serve what needs no decision under the lock; one State is loaded once, as on the fast path."""
    state = core.state
    entry = state.tables[slot.index].get(key)
    if entry is None:
        return False, None
    verdict = core.judge(state, entry)
    if verdict is Verdict.AHEAD:
        with Started(core) as started:
            flight = _flight_ahead(core, slot, state, entry, terms, loop, started)
            if flight is not None:
                behind(flight)
    elif verdict not in (Verdict.FRESH, Verdict.HELD):
        return False, None
    value = entry.value
    if value is GONE:
        return False, None
    core.count_hit(slot, state, entry)
    if entry.error is not None:
        raise entry.error.with_traceback(None)
    if verdict is Verdict.HELD:
        core.count_stale()
    return True, core.hand_out(value)


def _flight_ahead(
    core: CacheCore, slot: Slot, state: State, entry: Entry, terms: Terms, loop: Any, started: Started
) -> Flight | None:
    """Register the background reload of an entry that is about to turn stale, unless one is under way."""
    with core.lock:
        if core.state is not state or not core.running or _under_way(state, slot, entry.key) is not None:
            return None
        # Not the entry's tags: those of the new value may be others.
        return _register(core, slot, state, entry.key, terms.known_tags(), loop, started, parent=None)


def _under_way(state: State, slot: Slot, key: Hashable) -> Flight | None:
    """Return the flight of a key that others may join, not one whose loop is lost; call under the write lock."""
    flight = state.flights.get((slot.index, key))
    if flight is not None and flight.lost():
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
) -> Flight:
    flight = Flight(state, slot.index, key, birth=core.log.head, born=core.now(), tags=tags, parent=parent, loop=loop)
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
) -> tuple[Step, Any]:
    """Decide, under the write lock, what a caller that was not served does: serve, load, or wait for a load."""
    with core.lock:
        if not core.running or not core.owns(slot, key):
            core.count_miss(slot)
            return Step.ALONE, None
        state = core.state
        entry = state.store.find(key, slot.index)
        flight = _under_way(state, slot, key)
        if entry is not None and not anew:
            verdict = core.judge(state, entry)
            if verdict in (Verdict.FRESH, Verdict.AHEAD, Verdict.HELD):
                core.count_hit(slot, state, entry)
                if entry.error is not None:
                    raise entry.error.with_traceback(None)
                core.counts.stale_served += verdict is Verdict.HELD
                return Step.SERVE, entry.value
            if verdict is Verdict.STALE:
                behind = flight is None and core.options.stale_while_revalidate > 0
                if behind or flight is not None:
                    core.count_hit(slot, state, entry)
                    core.counts.stale_served += 1
                if behind:
                    flight = _register(core, slot, state, key, terms.known_tags(), loop, started, parent=None)
                    return Step.LEAD_BEHIND, (flight, entry.value)
                if flight is not None:
                    return Step.SERVE, entry.value
        if first:
            core.count_miss(slot)
        if flight is None:
            flight = _register(core, slot, state, key, terms.known_tags(), loop, started, parent=CURRENT.get())
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


# Threads


def _lead(core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Any], terms: Terms) -> Any:
    """Run a load in the calling thread, to its end in every case."""
    token = CURRENT.set(flight)
    try:
        value = call()
        outcome = core.settle(slot, flight, value, terms)
    except Exception as error:
        outcome = core.fail(slot, flight, error)
        if outcome.error is error:
            raise
        return outcome_of(core, flight)
    except BaseException as reason:
        core.abandon(flight, reason)
        raise
    finally:
        CURRENT.reset(token)
    return value if core.treatment.hand_out is not None else outcome.value


def _lead_behind(core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Any], terms: Terms) -> None:
    """Run a load in a worker thread; its callers, if any, learn the outcome from the flight."""
    try:
        _lead(core, slot, flight, call, terms)
    except BaseException as error:  # noqa: BLE001  # the flight carries it to whoever waits
        logger.debug("a background load in table %d failed: %r", slot.index, error)


def start_behind(core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Any], terms: Terms) -> None:
    """Run a load in a worker thread."""
    try:
        workers.submit(lambda: _lead_behind(core, slot, flight, call, terms))
    except BaseException as reason:
        core.abandon(flight, reason)
        raise


def wait_for(core: CacheCore, slot: Slot, flight: Flight, waiter: locks.Waiter) -> bool:
    """Wait, in a thread, until a flight has ended.

    Returns:
        Whether it has; False when its event loop was lost and the caller should load by itself.
    """
    limit = core.options.load_timeout
    left = None if limit is None else max(0.0, flight.born + limit - core.now())
    try:
        while True:
            pause = left
            if flight.loop is not None:
                pause = LOOK_AGAIN_SECONDS if left is None else min(LOOK_AGAIN_SECONDS, left)
            if waiter.wait(pause):
                return True
            if left is not None:
                left -= pause or 0.0
                if left <= 0:
                    assert limit is not None  # noqa: S101  # left is None without a limit
                    core.fail(slot, flight, LoadTimeoutError(slot.identifier(flight.key), limit))
                    return True
            if flight.lost() and flight.outcome is None:
                return False
    finally:
        leave(core, flight)


# Event loops


def waker_of(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> Callable[[], None]:
    """Return a function that wakes a future's event loop from any thread."""

    def wake_here() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake() -> None:
        if running_loop() is loop:
            wake_here()
        elif not loop.is_closed():
            try:
                loop.call_soon_threadsafe(wake_here)
            except RuntimeError:
                logger.debug("an event loop was closed while one of its tasks waited for a load")

    return wake


async def awaited(call: Callable[[], Awaitable[Any] | Any]) -> Any:
    """Call a loader and await what it returns, if that can be awaited."""
    value = call()
    return await value if isinstance(value, Awaitable) else value


def start_task(
    core: CacheCore,
    slot: Slot,
    flight: Flight,
    call: Callable[[], Awaitable[Any] | Any],
    terms: Terms,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Run a load in a task; where the interpreter can, it begins at once and a load that need not wait ends at once."""

    def ended(task: asyncio.Task[Any]) -> None:
        core.tasks.discard(task)
        # A task that is cancelled before its first step never enters the coroutine, nor its error handling.
        if flight.outcome is None:
            core.abandon(flight, asyncio.CancelledError())

    eager: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    try:
        task: asyncio.Task[None] = asyncio.Task(_fly(core, slot, flight, call, terms), loop=loop, **eager)
    except BaseException as reason:
        core.abandon(flight, reason)
        raise
    flight.task = task
    if not task.done():
        core.tasks.add(task)
        task.add_done_callback(ended)


async def _fly(
    core: CacheCore, slot: Slot, flight: Flight, call: Callable[[], Awaitable[Any] | Any], terms: Terms
) -> None:
    CURRENT.set(flight)
    limit = core.options.load_timeout
    try:
        if limit is None:
            value = await awaited(call)
        else:
            value = await _timed(call, limit, slot, flight)
        core.settle(slot, flight, value, terms)
    except Exception as error:  # noqa: BLE001  # the flight carries it to whoever waits
        core.fail(slot, flight, error)
    except BaseException as reason:
        core.abandon(flight, reason)
        raise


async def _timed(call: Callable[[], Awaitable[Any] | Any], limit: float, slot: Slot, flight: Flight) -> Any:
    try:
        async with asyncio.timeout(limit) as scope:
            return await awaited(call)
    except TimeoutError:
        if scope.expired():
            raise LoadTimeoutError(slot.identifier(flight.key), limit) from None
        raise


async def wait_in_loop(
    core: CacheCore, flight: Flight, waiter: asyncio.Future[None], loop: asyncio.AbstractEventLoop
) -> bool:
    """Wait, in a task, until a flight has ended; False when its event loop was lost."""
    limit = core.options.load_timeout
    elsewhere = flight.loop is not None and flight.loop is not loop
    try:
        # A task of this loop ends by its own limit; a thread that nobody leads may not end at all.
        if flight.loop is loop or (not elsewhere and limit is None):
            await waiter
            return True
        while True:
            left = None if limit is None else max(0.0, flight.born + limit - core.now())
            pause = LOOK_AGAIN_SECONDS if left is None else min(LOOK_AGAIN_SECONDS, left)
            if (await asyncio.wait({waiter}, timeout=pause))[0]:
                return True
            if limit is not None and core.now() >= flight.born + limit:
                slot = core.slots[flight.slot]
                core.fail(slot, flight, LoadTimeoutError(slot.identifier(flight.key), limit))
                return True
            if flight.lost() and flight.outcome is None:
                return False
    finally:
        leave(core, flight)


def leave(core: CacheCore, flight: Flight) -> None:
    """Lose interest in a flight; a load in a task that nobody waits for any more is cancelled."""
    with core.lock:
        flight.interested -= 1
        cancel = flight.interested <= 0 and flight.outcome is None and flight.task is not None
        if cancel:
            flight.detach()
    if cancel and flight.task is not None and flight.loop is not None:
        if running_loop() is flight.loop:
            flight.task.cancel()
        elif not flight.loop.is_closed():
            flight.loop.call_soon_threadsafe(flight.task.cancel)
