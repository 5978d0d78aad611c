"""Loads of many keys: one loader call for all that nobody has and nobody is loading.

Each key has a flight of its own, so others join and invalidations detach them one by one. A caller finishes what it
loads itself before it waits for what others load; two callers that need each other's keys do not wait in a circle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cenote import locks
from cenote.admission import admit, admit_in_loop
from cenote.aloading import awaited, off_loop, start_task, wait_in_loop, waker_of
from cenote.approach import Started, Step, apart, approach, leave, outcome_of, serve
from cenote.core import CacheCore
from cenote.entry import Entry
from cenote.errors import LoadTimeoutError
from cenote.flight import Flight
from cenote.loading import start_behind, wait_for
from cenote.tables import Slot
from cenote.terms import Terms
from cenote.waits import CURRENT, Wait, move_child
from cenote.workers import workers

__all__ = ["aload_many", "load_many"]

Places = Mapping[str, tuple[Slot, Hashable]]


@dataclass
class _Batch:
    """What one round of a load of many keys found.

    Attributes:
        started: The flights that this caller registered.
        values: What could be served.
        led: The flights that this caller loads, by key.
        alone: Keys to load without coalescing.
        joined: Flights of others, with what to wait on.
    """

    started: Started
    values: dict[str, Any] = field(default_factory=dict)
    led: dict[str, Flight] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
    joined: dict[str, tuple[Flight, Wait, Any]] = field(default_factory=dict)

    @property
    def wanted(self) -> list[str]:
        """The keys to ask the loader for."""
        return [*self.led, *self.alone]

    def give_up(self, core: CacheCore, reason: BaseException) -> None:
        """End what this caller began, and wait for nobody, because it was interrupted."""
        for flight in self.started:
            core.abandon(flight, reason)
        self.leave(core)

    def leave(self, core: CacheCore) -> None:
        """Lose interest in the flights that were not waited for."""
        while self.joined:
            _, (flight, wait, _) = self.joined.popitem()
            wait.over()
            leave(core, flight)


class _Left(Exception):  # noqa: N818  # never raised to a caller
    """A loader left a key out."""


def load_many(
    core: CacheCore, places: Places, loader: Callable[[list[str]], Mapping[str, Any]], terms: Terms
) -> dict[str, Any]:
    """Do what ``Cache.get_or_load_many`` says."""
    if apart(core):
        return dict(loader(list(places)))

    def behind(key: str, slot: Slot, flight: Flight) -> None:
        start_behind(core, slot, flight, lambda: loader([key])[key], terms)

    result: dict[str, Any] = {}
    remaining, first = dict(places), True
    while remaining:
        found = core.seek_each(list(remaining.values())) if core.far else None
        batch = _split(core, remaining, terms, behind, None, first=first, found=found)
        result |= batch.values
        first = False
        try:
            if batch.wanted:
                result |= _load_batch(core, places, batch, loader, terms)
            remaining = {}
            for key, (flight, wait, waiter) in list(batch.joined.items()):
                del batch.joined[key]
                try:
                    ended = wait_for(core, places[key][0], flight, waiter)
                finally:
                    wait.over()
                if not ended or (flight.outcome is not None and flight.outcome.abandoned is not None):
                    remaining[key] = places[key]
                else:
                    result[key] = outcome_of(core, flight)
        except BaseException as reason:
            batch.give_up(core, reason)
            raise
    return {key: result[key] for key in places if key in result}


async def aload_many(
    core: CacheCore,
    places: Places,
    loader: Callable[[list[str]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]],
    terms: Terms,
) -> dict[str, Any]:
    """Do what ``load_many`` does in an event loop."""
    if apart(core):
        return dict(await awaited(lambda: loader(list(places))))
    loop = asyncio.get_running_loop()

    async def one(key: str) -> Any:
        return (await awaited(lambda: loader([key])))[key]

    def behind(key: str, slot: Slot, flight: Flight) -> None:
        start_task(core, slot, flight, lambda: one(key), terms, loop)

    result: dict[str, Any] = {}
    remaining, first = dict(places), True
    while remaining:
        found = await core.aseek_each(list(remaining.values())) if core.far else None
        batch = _split(core, remaining, terms, behind, loop, first=first, found=found)
        result |= batch.values
        first = False
        try:
            if batch.wanted:
                result |= await _aload_batch(core, places, batch, loader, terms)
            remaining = {}
            for key, (flight, wait, waiter) in list(batch.joined.items()):
                del batch.joined[key]
                try:
                    ended = await wait_in_loop(core, flight, waiter, loop)
                finally:
                    wait.over()
                if not ended or (flight.outcome is not None and flight.outcome.abandoned is not None):
                    remaining[key] = places[key]
                else:
                    result[key] = outcome_of(core, flight)
        except BaseException as reason:
            batch.give_up(core, reason)
            raise
    return {key: result[key] for key in places if key in result}


def _split(
    core: CacheCore,
    places: Places,
    terms: Terms,
    behind: Callable[[str, Slot, Flight], None],
    loop: asyncio.AbstractEventLoop | None,
    *,
    first: bool,
    found: Sequence[Entry | None] | None,
) -> _Batch:
    """Serve what can be served, and find out who loads the rest."""
    batch = _Batch(Started(core))
    there = [None] * len(places) if found is None else found
    try:
        for (key, (slot, place)), entry in zip(places.items(), there, strict=True):
            served, value = serve(
                core,
                slot,
                place,
                terms,
                lambda flight, key=key, slot=slot: behind(key, slot, flight),  # type: ignore[misc]  # the defaults bind the loop's variables
                loop,
            )
            if served:
                batch.values[key] = value
                continue
            waiter: Any = locks.make_waiter() if loop is None else loop.create_future()
            wake = waiter.wake if loop is None else waker_of(loop, waiter)
            step, what = approach(
                core,
                slot,
                place,
                terms,
                loop,
                wake,
                batch.started,
                first=first,
                anew=False,
                blocking=loop is None,
                found=entry,
            )
            if step is Step.SERVE:
                batch.values[key] = core.hand_out(what)
            elif step is Step.LEAD_BEHIND:
                behind(key, slot, what[0])
                batch.started.remove(what[0])
                batch.values[key] = core.hand_out(what[1])
            elif step is Step.LEAD:
                batch.led[key] = what
            elif step is Step.JOIN:
                batch.joined[key] = (*what, waiter)
            else:
                batch.alone.append(key)
    except BaseException as reason:
        batch.give_up(core, reason)
        raise
    return batch


def _enter(batch: _Batch) -> None:
    """Have the loader run inside of every flight that it serves, so that a recursion on any of them is seen."""
    current = CURRENT.get()
    for flight in batch.led.values():
        move_child(flight, current)
        current = flight
    CURRENT.set(current)


def _settle(core: CacheCore, places: Places, batch: _Batch, values: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """End the flights with the loader's values."""
    result = {key: values[key] for key in batch.alone if key in values}
    for key, flight in batch.led.items():
        if key not in values:
            core.abandon(flight, _Left(key))
            continue
        try:
            core.settle(places[key][0], flight, values[key], terms)
        except Exception as error:  # noqa: BLE001  # a function of the value failed: the flight carries it
            core.fail(places[key][0], flight, error)
        result[key] = outcome_of(core, flight)
    return result


def _fail(core: CacheCore, places: Places, batch: _Batch, error: Exception) -> dict[str, Any]:
    """End the flights with the loader's failure; only if every key has a stale copy is nothing raised."""
    for key, flight in batch.led.items():
        core.fail(places[key][0], flight, error)
    if batch.alone:
        raise error
    return {key: outcome_of(core, flight) for key, flight in batch.led.items()}


def _abandon(core: CacheCore, batch: _Batch, reason: BaseException) -> None:
    for flight in batch.led.values():
        core.abandon(flight, reason)


def _load_batch(
    core: CacheCore,
    places: Places,
    batch: _Batch,
    loader: Callable[[list[str]], Mapping[str, Any]],
    terms: Terms,
) -> dict[str, Any]:
    limit = core.options.load_timeout
    if limit is None:
        return _run_batch(core, places, batch, loader, terms)
    done = locks.make_waiter()
    values: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def job() -> None:
        try:
            values.append(_run_batch(core, places, batch, loader, terms))
        except BaseException as error:  # noqa: BLE001  # carried to the waiting thread
            errors.append(error)
        finally:
            done.wake()

    workers.submit(job)
    batch.started.clear()
    if not done.wait(limit):
        return _fail(core, places, batch, LoadTimeoutError(", ".join(batch.wanted[:3]), limit))
    if errors:
        raise errors[0]
    return values[0]


def _run_batch(
    core: CacheCore,
    places: Places,
    batch: _Batch,
    loader: Callable[[list[str]], Mapping[str, Any]],
    terms: Terms,
) -> dict[str, Any]:
    token = CURRENT.set(CURRENT.get())
    try:
        _enter(batch)
        for key, flight in list(batch.led.items())[:1]:
            admit(core, places[key][0], flight, weight=len(batch.wanted), retries=False)
        values = loader(batch.wanted)
        return _settle(core, places, batch, values, terms)
    except Exception as error:  # noqa: BLE001  # raised again unless stale copies stand in
        return _fail(core, places, batch, error)
    except BaseException as reason:
        _abandon(core, batch, reason)
        raise
    finally:
        CURRENT.reset(token)


async def _aload_batch(
    core: CacheCore,
    places: Places,
    batch: _Batch,
    loader: Callable[[list[str]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]],
    terms: Terms,
) -> dict[str, Any]:
    """Run the loader in a task of its own: cancelling this caller cancels it only when nobody else waits for a key."""
    task = asyncio.ensure_future(_arun_batch(core, places, batch, loader, terms))
    core.tasks.add(task)

    def ended(task: asyncio.Task[Any]) -> None:
        core.tasks.discard(task)
        # A task that is cancelled before its first step never enters the coroutine, nor its error handling.
        _abandon(core, batch, asyncio.CancelledError())

    task.add_done_callback(ended)
    batch.started.clear()
    crew = tuple(batch.led.values())
    for flight in crew:
        flight.task, flight.mates = task, crew
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            _abandon(core, batch, asyncio.CancelledError())
        for flight in batch.led.values():
            leave(core, flight)
        if not crew:
            task.cancel()
        raise


async def _arun_batch(
    core: CacheCore,
    places: Places,
    batch: _Batch,
    loader: Callable[[list[str]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]],
    terms: Terms,
) -> dict[str, Any]:
    limit = core.options.load_timeout
    try:
        _enter(batch)
        for key, flight in list(batch.led.items())[:1]:
            slot = places[key][0]
            await admit_in_loop(core, slot, flight, waker_of, weight=len(batch.wanted), retries=False)
        try:
            async with asyncio.timeout(limit) as scope:
                values = await awaited(lambda: loader(batch.wanted))
        except TimeoutError:
            if limit is None or not scope.expired():
                raise
            raise LoadTimeoutError(", ".join(batch.wanted[:3]), limit) from None
        return await off_loop(core, _settle, core, places, batch, values, terms)
    except Exception as error:  # noqa: BLE001  # raised again unless stale copies stand in
        return _fail(core, places, batch, error)
    except BaseException as reason:
        _abandon(core, batch, reason)
        raise
