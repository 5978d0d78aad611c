"""Batches: the keys of one caller that nobody has, loaded together.

Over processes and machines one of them loads each key: the loader is called for those whose claims were had, their
values are published and the claims given back, and only then is the rest waited for. What another process has loaded
ends the flight here; what it has not, because it failed or crashed, comes in a later turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from cenote import locks
from cenote.admission import admit, admit_in_loop
from cenote.aloading import awaited, off_loop, waker_of
from cenote.approach import Started, alone, leave, outcome_of
from cenote.claiming import ManyClaims
from cenote.core import CacheCore
from cenote.errors import LoadTimeoutError, RefillTimeoutError
from cenote.flight import Flight
from cenote.tables import Slot
from cenote.terms import Terms
from cenote.waits import CURRENT, Wait, add_child, move_child, remove_child
from cenote.workers import workers

__all__ = ["Batch", "Places", "aload_batch", "load_batch"]

Places = Mapping[str, tuple[Slot, Hashable]]


@dataclass
class Batch:
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


class _Left(LookupError):  # noqa: N818  # never raised to a caller
    """A loader left a key out."""


class _Turn:
    """The load of a batch, turn by turn.

    Attributes:
        claims: The claims of the batch's flights.
        values: What has been loaded so far.
        keys: What the loader is to be asked for now.
    """

    def __init__(self, core: CacheCore, places: Places, batch: Batch, terms: Terms) -> None:
        self._core = core
        self._places = places
        self._batch = batch
        self._terms = terms
        self._alone = list(batch.alone)
        self._led: list[str] = []
        self.claims = ManyClaims(core, {key: (places[key][0], flight) for key, flight in batch.led.items()})
        self.values: dict[str, Any] = {}
        self.keys: list[str] = []

    def begin(self) -> bool:
        """Find out what is to be loaded now; return whether that is anything."""
        self._led = self.claims.ask()
        self.keys = [*self._led, *self._alone]
        return bool(self.keys)

    def refuse(self, error: Exception) -> dict[str, Any]:
        """End all flights with a failure, before anything was loaded; where each has a stale copy nothing is raised."""
        self.values |= _fail(self._core, self._places, self._batch, self._batch.led, error)
        if self._alone:
            raise error
        return self.values

    def leader(self) -> tuple[Slot, Flight] | None:
        """Return the table and the flight of one key, which stands for all of them; None where all load alone."""
        for key, flight in self._batch.led.items():
            return self._places[key][0], flight
        return None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have the loader run inside of every flight that it serves, so that a recursion on any of them is seen.

        The flights that wait for other processes rest on these: a loader that asks for one of them loads it alone.
        """
        token = CURRENT.set(CURRENT.get())
        led = [self._batch.led[key] for key in self._led]
        behind = [flight for _, flight in self.claims.waiting.values()] if led else []
        for flight in led:
            move_child(flight, CURRENT.get())
            CURRENT.set(flight)
        for flight in behind:
            add_child(flight, led[0])
        try:
            yield
        finally:
            for flight in behind:
                remove_child(flight, led[0])
            CURRENT.reset(token)

    def watched(self) -> AbstractContextManager[Any]:
        """Return what the loader runs inside of, for those who watch loads."""
        for key in self._led:
            return self._batch.led[key].running()  # the flights of a batch share what is kept of it
        return alone(self._core, lambda: self.keys[0])

    def settle(self, values: Mapping[str, Any]) -> None:
        """End the flights of this turn with the loader's values, and let go of their claims."""
        core = self._core
        self.values |= {key: values[key] for key in self._alone if key in values}
        for key in self._led:
            flight, slot = self._batch.led[key], self._places[key][0]
            if key not in values:
                core.abandon(flight, _Left(key))
                continue
            try:
                core.settle(slot, flight, values[key], self._terms)
            except Exception as error:  # noqa: BLE001  # a function of the value failed: the flight carries it
                core.fail(slot, flight, error)
        self.claims.over(self._led)
        for key in self._led:
            if key in values:
                self.values[key] = outcome_of(core, self._batch.led[key])
        self._led, self._alone = [], []

    def fail(self, error: Exception) -> None:
        """End the flights of this turn with the loader's failure; only if each has a stale copy is nothing raised."""
        self.values |= _fail(self._core, self._places, self._batch, self._led, error)
        if self._alone:
            raise error
        self._led = []

    def ended(self) -> dict[str, Any]:
        """Return all values, those included that other processes have loaded."""
        for key, flight in self._batch.led.items():
            outcome = flight.outcome
            if key not in self.values and outcome is not None and not isinstance(outcome.abandoned, _Left):
                self.values[key] = outcome_of(self._core, flight, led=True)
        return self.values


def _fail(core: CacheCore, places: Places, batch: Batch, keys: Iterable[str], error: Exception) -> dict[str, Any]:
    flights = {key: batch.led[key] for key in keys}
    for key, flight in flights.items():
        core.fail(places[key][0], flight, error)
    return {key: outcome_of(core, flight) for key, flight in flights.items()}


def _abandon(core: CacheCore, batch: Batch, reason: BaseException) -> None:
    for flight in batch.led.values():
        core.abandon(flight, reason)


def load_batch(
    core: CacheCore,
    places: Places,
    batch: Batch,
    loader: Callable[[list[str]], Mapping[str, Any]],
    terms: Terms,
) -> dict[str, Any]:
    """Load a batch, in a worker thread where there is a time limit, and return the values."""
    turn = _Turn(core, places, batch, terms)
    limit = core.options.load_timeout
    if limit is None:
        return _run_batch(core, batch, turn, loader)
    done = locks.make_waiter()
    values: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def job() -> None:
        try:
            values.append(_run_batch(core, batch, turn, loader))
        except BaseException as error:  # noqa: BLE001  # carried to the waiting thread
            errors.append(error)
        finally:
            done.wake()

    workers.submit(job)
    batch.started.clear()
    if not done.wait(limit):
        error = LoadTimeoutError(", ".join(batch.wanted[:3]), limit)
        found = _fail(core, places, batch, batch.led, error)
        if batch.alone:
            raise error
        return found
    if errors:
        raise errors[0]
    return values[0]


def _run_batch(
    core: CacheCore, batch: Batch, turn: _Turn, loader: Callable[[list[str]], Mapping[str, Any]]
) -> dict[str, Any]:
    try:
        # Before anything is claimed: others are not to wait for who waits here.
        try:
            if (leader := turn.leader()) is not None:
                admit(core, *leader, weight=len(batch.wanted), retries=False)
        except RefillTimeoutError as error:
            return turn.refuse(error)
        while True:
            if turn.begin():
                with turn.inside():
                    try:
                        with turn.watched():
                            values = loader(turn.keys)
                        turn.settle(values)
                    except Exception as error:  # noqa: BLE001  # raised again unless stale copies stand in
                        turn.fail(error)
                        turn.claims.over()
            elif turn.claims.waiting:
                time.sleep(turn.claims.nap)
            if not turn.claims.waiting:
                return turn.ended()
    except BaseException as reason:
        _abandon(core, batch, reason)
        raise
    finally:
        turn.claims.over()


async def aload_batch(
    core: CacheCore,
    places: Places,
    batch: Batch,
    loader: Callable[[list[str]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]],
    terms: Terms,
) -> dict[str, Any]:
    """Run the loader in a task of its own: cancelling this caller cancels it only when nobody else waits for a key."""
    turn = _Turn(core, places, batch, terms)
    task = asyncio.ensure_future(_arun_batch(core, batch, turn, loader))
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
    batch: Batch,
    turn: _Turn,
    loader: Callable[[list[str]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]],
) -> dict[str, Any]:
    try:
        try:
            if (leader := turn.leader()) is not None:
                await admit_in_loop(core, *leader, waker_of, weight=len(batch.wanted), retries=False)
        except RefillTimeoutError as error:
            return turn.refuse(error)
        while True:
            if await off_loop(core, turn.begin):
                with turn.inside():
                    try:
                        with turn.watched():
                            values = await _timed(loader, turn.keys, core.options.load_timeout)
                        await off_loop(core, turn.settle, values)
                    except Exception as error:  # noqa: BLE001  # raised again unless stale copies stand in
                        turn.fail(error)
                        await off_loop(core, turn.claims.over)
            elif turn.claims.waiting:
                await asyncio.sleep(turn.claims.nap)
            if not turn.claims.waiting:
                return turn.ended()
    except BaseException as reason:
        _abandon(core, batch, reason)
        raise
    finally:
        if core.far:
            workers.submit(turn.claims.over)
        else:
            turn.claims.over()


async def _timed(
    loader: Callable[[list[str]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]],
    keys: list[str],
    limit: float | None,
) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(limit) as scope:
            values: Mapping[str, Any] = await awaited(lambda: loader(keys))
            return values
    except TimeoutError:
        if limit is None or not scope.expired():
            raise
        raise LoadTimeoutError(", ".join(keys[:3]), limit) from None
