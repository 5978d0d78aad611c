"""Loads of many keys: one loader call for all that nobody has and nobody is loading.

Each key has a flight of its own, so others join and invalidations detach them one by one. A caller finishes what it
loads itself before it waits for what others load; two callers that need each other's keys do not wait in a circle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cenote import locks
from cenote.aloading import awaited, start_task, wait_in_loop, waker_of
from cenote.approach import Started, Step, apart, approach, outcome_of, serve
from cenote.batch import Batch, Places, aload_batch, load_batch
from cenote.core import CacheCore
from cenote.entry import Entry
from cenote.flight import Flight
from cenote.invalidation.log import Seen
from cenote.loading import start_behind, wait_for
from cenote.tables import Slot
from cenote.terms import Terms

__all__ = ["aload_many", "load_many"]


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
        seen = core.ask()
        found = core.seek_each(list(remaining.values()), seen) if core.far else None
        batch = _split(core, remaining, terms, behind, None, first=first, seen=seen, found=found)
        result |= batch.values
        first = False
        try:
            if batch.wanted:
                result |= load_batch(core, places, batch, loader, terms)
            remaining = {}
            for key, (flight, wait, waiter) in list(batch.joined.items()):
                del batch.joined[key]
                try:
                    with flight.waiting():
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
        seen = await core.aask() if core.far else None
        found = await core.aseek_each(list(remaining.values()), seen) if core.far else None
        batch = _split(core, remaining, terms, behind, loop, first=first, seen=seen, found=found)
        result |= batch.values
        first = False
        try:
            if batch.wanted:
                result |= await aload_batch(core, places, batch, loader, terms)
            remaining = {}
            for key, (flight, wait, waiter) in list(batch.joined.items()):
                del batch.joined[key]
                try:
                    with flight.waiting():
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
    seen: Seen | None,
    found: Sequence[Entry | None] | None,
) -> Batch:
    """Serve what can be served, and find out who loads the rest."""
    batch = Batch(Started(core, together=True))
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
                seen=seen,
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
                seen=seen,
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
