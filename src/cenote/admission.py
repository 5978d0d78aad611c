"""Admission: what a load does before its loader runs, while its cache is refilled at a bounded rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cenote import locks
from cenote.errors import RefillTimeoutError
from cenote.pacing import Pace, TryAgain

if TYPE_CHECKING:
    from cenote.core import CacheCore
    from cenote.flight import Flight
    from cenote.tables import Slot

__all__ = ["admit", "admit_in_loop"]


def admit(core: CacheCore, slot: Slot, flight: Flight, *, weight: int = 1, retries: bool = True) -> None:
    """Wait, in a thread, until a load may run.

    Args:
        core: The cache.
        slot: The flight's table.
        flight: The flight, of one of the keys where there are many.
        weight: How many keys it loads.
        retries: Whether whoever wanted it can look again.

    Raises:
        RefillTimeoutError: It waited too long, and is not to run then.
        TryAgain: The cache was cleared meanwhile.
    """
    pace = core.pace
    if pace is None or not pace.running:
        return
    waiter = locks.make_waiter()
    ticket = pace.ask((slot.index, flight.key), waiter.wake, weight=weight)
    if ticket is not None:
        timed_out = True
        try:
            timed_out = not waiter.wait(pace.refill.wait_seconds) and not ticket.over
        finally:
            pace.give_up(ticket, timed_out=timed_out)
        _go_on(core, slot, flight, pace, timed_out=timed_out, again=ticket.again and retries)


async def admit_in_loop(
    core: CacheCore,
    slot: Slot,
    flight: Flight,
    waker: Callable[[asyncio.AbstractEventLoop, asyncio.Future[None]], Callable[[], None]],
    *,
    weight: int = 1,
    retries: bool = True,
) -> None:
    """Do what ``admit`` does in an event loop, which goes on meanwhile."""
    pace = core.pace
    if pace is None or not pace.running:
        return
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    ticket = pace.ask((slot.index, flight.key), waker(loop, waiter), weight=weight)
    if ticket is not None:
        timed_out = False
        try:
            await asyncio.wait({waiter}, timeout=pace.refill.wait_seconds)
            timed_out = not ticket.over
        finally:
            pace.give_up(ticket, timed_out=timed_out)
        _go_on(core, slot, flight, pace, timed_out=timed_out, again=ticket.again and retries)


def _go_on(core: CacheCore, slot: Slot, flight: Flight, pace: Pace, *, timed_out: bool, again: bool) -> None:
    if again:
        raise TryAgain
    if timed_out and pace.refill.on_timeout == "error":
        raise RefillTimeoutError(slot.identifier(flight.key), pace.refill.wait_seconds)
    with core.lock:
        # What it waited is not what it took to load; its birth stays that of its registration, which is older.
        flight.born = core.now()
