"""Loads in event loops: one for a key at a time, in a task of its own, which no single caller cancels."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Hashable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from cenote.admission import admit_in_loop
from cenote.approach import (
    LOOK_AGAIN_SECONDS,
    Started,
    Step,
    alone,
    apart,
    approach,
    leave,
    outcome_of,
    serve,
)
from cenote.claiming import Claim
from cenote.core import CacheCore
from cenote.errors import LoadTimeoutError
from cenote.flight import Flight
from cenote.pacing import TryAgain
from cenote.tables import Slot
from cenote.terms import Terms
from cenote.waits import CURRENT, running_loop
from cenote.workers import workers

if TYPE_CHECKING:
    from cenote.entry import Entry

__all__ = ["aload", "areload", "awaited", "off_loop", "start_task", "wait_in_loop", "waker_of"]

logger = logging.getLogger("cenote")

P = ParamSpec("P")
R = TypeVar("R")


async def aload(
    core: CacheCore,
    slot: Slot,
    key: Hashable,
    call: Callable[[], Awaitable[Any] | Any],
    terms: Terms,
    *,
    anew: bool = False,
    sought: tuple[Entry | None, ...] = (),
) -> Any:
    """Do what ``load`` does in an event loop; the load runs in a task of its own, which no single caller cancels.

    ``sought`` holds what a look at the server has just found, if there was one.
    """
    if apart(core):
        return await awaited(call)
    loop = asyncio.get_running_loop()
    found = sought[0] if sought else None
    seen = await core.aask() if core.far else None
    if not anew:
        served, value = serve(
            core, slot, key, terms, lambda flight: start_task(core, slot, flight, call, terms, loop), loop, seen=seen
        )
        if served:
            return value
    first = True
    while True:
        seen = await core.aask() if core.far and not first else seen
        if core.far and not anew and not (first and sought):
            found = await core.aseek(slot, key, seen)
        waiter: asyncio.Future[None] = loop.create_future()
        wake = waker_of(loop, waiter)
        with Started(core) as started:
            step, what = approach(
                core,
                slot,
                key,
                terms,
                loop,
                wake,
                started,
                first=first,
                anew=anew,
                blocking=False,
                seen=seen,
                found=found,
            )
            if step is Step.LEAD_BEHIND:
                start_task(core, slot, what[0], call, terms, loop)
            elif step is Step.LEAD:
                start_task(core, slot, what, call, terms, loop)
        first = False
        if step is Step.SERVE:
            return core.hand_out(what)
        if step is Step.ALONE:
            with alone(core, partial(slot.identifier, key)):
                return await awaited(call)
        if step is Step.LEAD_BEHIND:
            return core.hand_out(what[1])
        flight, wait = (what, None) if step is Step.LEAD else what
        try:
            with nullcontext() if wait is None else flight.waiting():
                ended = await wait_in_loop(core, flight, waiter, loop)
        finally:
            if wait is not None:
                wait.over()
        if not ended:
            with alone(core, partial(slot.identifier, key)):
                return await awaited(call)
        abandoned = flight.outcome.abandoned
        if abandoned is None or (step is Step.LEAD and not isinstance(abandoned, TryAgain)):
            return outcome_of(core, flight, led=step is Step.LEAD)


async def areload(
    core: CacheCore, slot: Slot, key: Hashable, call: Callable[[], Awaitable[Any] | Any], terms: Terms
) -> Any:
    """Load a key now, whatever is there, and publish the new value."""
    with core.changing("refresh"):
        core.obey().detach_key(slot.index, key)
    await off_loop(core, core.tell_key, slot, key, ahead=True)
    value = await aload(core, slot, key, call, terms, anew=True)
    await off_loop(core, core.tell_key, slot, key)
    return value


async def off_loop(core: CacheCore, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call what waits for a server in a thread, and everything else at once."""
    return await asyncio.to_thread(call, *args, **kwargs) if core.far else call(*args, **kwargs)


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
    claim = Claim(core, slot, flight)
    try:
        await admit_in_loop(core, slot, flight, waker_of)
        while (pause := await off_loop(core, claim.pause)) is not None:  # noqa: ASYNC110  # another process wakes nobody here
            await asyncio.sleep(pause)
        if claim.outcome is not None:
            return
        with flight.running():
            value = await (awaited(call) if limit is None else _timed(call, limit, slot, flight))
        await off_loop(core, core.settle, slot, flight, value, terms)
    except Exception as error:  # noqa: BLE001  # the flight carries it to whoever waits
        core.fail(slot, flight, error)
    except TryAgain as reason:
        core.abandon(flight, reason)
    except BaseException as reason:
        core.abandon(flight, reason)
        raise
    finally:
        if core.far:
            with contextlib.suppress(RuntimeError):  # no thread is to be had now: the next one does it
                workers.submit(claim.over)
        else:
            claim.over()


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
